// SPDX-License-Identifier: Apache-2.0
/*
 * What exits from a guest: which events and instructions; every port; and every MSR but those of the list below, each
 * with its reason. The bitmaps are shared by all vCPUs of the machine, so nothing that only one guest may touch can
 * ever stand there.
 */
#include "arch/x86_64/speculation.h"
#include "kernel/log.h"
#include "mullion/regs.h"
#include "svm/svm.h"

uint8_t svm_msrpm[MSRPM_BYTES] __attribute__((section(".bss.audit_view.maps"), aligned(4096)));
uint8_t svm_iopm[IOPM_BYTES] __attribute__((section(".bss.audit_view.maps"), aligned(4096)));

static const struct {
    uint32_t msr;
    uint8_t rights;
} allowed[] = {
    {MSR_FS_BASE, MSR_READ | MSR_WRITE},        /* thread switches; VMLOAD and VMSAVE switch it */
    {MSR_GS_BASE, MSR_READ | MSR_WRITE},        /* the same */
    {MSR_KERNEL_GS_BASE, MSR_READ | MSR_WRITE}, /* the same */
    {MSR_STAR, MSR_READ | MSR_WRITE},           /* system-call set-up; VMLOAD and VMSAVE switch it */
    {MSR_LSTAR, MSR_READ | MSR_WRITE},          /* the same */
    {MSR_CSTAR, MSR_READ | MSR_WRITE},          /* the same */
    {MSR_FMASK, MSR_READ | MSR_WRITE},          /* the same */
    {MSR_SYSENTER_CS, MSR_READ | MSR_WRITE},    /* the same; 32-bit kernels rewrite it at each process switch */
    {MSR_SYSENTER_ESP, MSR_READ | MSR_WRITE},   /* the same */
    {MSR_SYSENTER_EIP, MSR_READ | MSR_WRITE},   /* the same */
    {MSR_TSC_AUX, MSR_READ},                    /* the guest's is in the CPU; the kernel must know it, so writes exit */
};

/* Why each of these, and why none of the others (appendix B, table B-1): tests/unit/test_svm_intercepts.c. */
const uint32_t svm_intercepts[3] = {
    INTERCEPT(SVM_EXIT_INTR) | INTERCEPT(SVM_EXIT_NMI) | INTERCEPT(SVM_EXIT_INIT) | INTERCEPT(SVM_EXIT_VINTR) |
        INTERCEPT(SVM_EXIT_CR0_SELECTIVE) | INTERCEPT(SVM_EXIT_RDPMC) | INTERCEPT(SVM_EXIT_CPUID) |
        INTERCEPT(SVM_EXIT_INVD) | INTERCEPT(SVM_EXIT_HLT) | INTERCEPT(SVM_EXIT_INVLPGA) | INTERCEPT(SVM_EXIT_IOIO) |
        INTERCEPT(SVM_EXIT_MSR) | INTERCEPT(SVM_EXIT_TASK_SWITCH) | INTERCEPT(SVM_EXIT_FERR_FREEZE) |
        INTERCEPT(SVM_EXIT_SHUTDOWN),
    INTERCEPT(SVM_EXIT_VMRUN) | INTERCEPT(SVM_EXIT_VMMCALL) | INTERCEPT(SVM_EXIT_VMLOAD) | INTERCEPT(SVM_EXIT_VMSAVE) |
        INTERCEPT(SVM_EXIT_STGI) | INTERCEPT(SVM_EXIT_CLGI) | INTERCEPT(SVM_EXIT_SKINIT) | INTERCEPT(SVM_EXIT_WBINVD) |
        INTERCEPT(SVM_EXIT_MONITOR) | INTERCEPT(SVM_EXIT_MWAIT) | INTERCEPT(SVM_EXIT_MWAIT_ARMED) |
        INTERCEPT(SVM_EXIT_XSETBV) | INTERCEPT(SVM_EXIT_RDPRU),
    INTERCEPT(SVM_EXIT_INVLPGB) | INTERCEPT(SVM_EXIT_MCOMMIT) | INTERCEPT(SVM_EXIT_TLBSYNC),
};

void svm_msr_allow(uint8_t map[MSRPM_BYTES], uint32_t msr, uint8_t rights)
{
    /* Two bits for each MSR, read then write, in three runs of 8192 MSRs (15.11). */
    uint32_t run = msr < 0x2000 ? 0 : 1 + (msr >> 16 & 1);
    kassert(!run || (msr & ~0x11fffu) == 0xc0000000u);
    uint32_t bit = (run * 0x2000 + (msr & 0x1fff)) * 2;
    map[bit / 8] = (uint8_t)(map[bit / 8] & ~((unsigned)rights << bit % 8));
}

void svm_bitmaps_init(uint32_t features)
{
    __builtin_memset(svm_iopm, 0xff, sizeof svm_iopm);
    __builtin_memset(svm_msrpm, 0xff, sizeof svm_msrpm);
    for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
        svm_msr_allow(svm_msrpm, allowed[i].msr, allowed[i].rights);
    if (features & SVM_FEATURE_SPEC_CTRL) /* it is in the VMCB, as those above */
        svm_msr_allow(svm_msrpm, MSR_SPEC_CTRL, MSR_READ | MSR_WRITE);
    if (speculation_msrs & GUEST_PRED_CMD) /* it tells the predictors to forget */
        svm_msr_allow(svm_msrpm, MSR_PRED_CMD, MSR_WRITE);
}
