// SPDX-License-Identifier: Apache-2.0
#include "arch/x86_64/speculation.h"

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/instr.h"
#include "mullion/regs.h"

/* CPUID leaf 7, EBX and EDX */
#define HAS_RTM          (1u << 11)
#define HAS_MD_CLEAR     (1u << 10)
#define HAS_IBPB         (1u << 26) /* and IBRS; behind it STIBP */
#define HAS_L1D_FLUSH    (1u << 28)
#define HAS_CAPABILITIES (1u << 29)
/* IA32_ARCH_CAPABILITIES */
#define RDCL_NO       (1ull << 0)
#define IBRS_ALL      (1ull << 1)
#define SKIP_L1D      (1ull << 3)
#define MDS_NO        (1ull << 5)
#define TAA_NO        (1ull << 8)
#define STALE_MMIO_NO (7ull << 13) /* SBDR_SSDP_NO, FBSDP_NO, PSDP_NO */
#define FB_CLEAR      (1ull << 17)
#define BHI_NO        (1ull << 20)
#define RFDS_NO       (1ull << 27)
#define RFDS_CLEAR    (1ull << 28)
/* IA32_SPEC_CTRL */
#define SPEC_IBRS      (1ull << 0)
#define SPEC_BHI_DIS_S (1ull << 10)
#define HAS_BHI_CTRL   (1u << 4) /* leaf 7, subleaf 2, EDX */
/* AMD: leaf 8000_0008h EBX, 8000_0021h EAX and ECX */
#define AMD_IBPB       (1u << 12)
#define AMD_VERW_CLEAR (1u << 5)
#define AMD_AUTO_IBRS  (1u << 8)
#define AMD_TSA_NO     (3u << 1) /* TSA_SQ_NO, TSA_L1_NO */
#define EFER_AUTO_IBRS (1ull << 21)
/* Zen 2: family 17h, models 3xh, 4xh, 6xh, 7xh, 9xh, Axh (AMD-SB-7008, Cross-Process Information Leak). */
#define FAMILY_17(signature) (((signature)&0xff00f00) == 0x800f00)
#define ZEN_2(signature)     (FAMILY_17(signature) && (0x6d8u >> ((signature) >> 16 & 15) & 1))
#define DE_CFG_FIX_ZENBLEED  (1ull << 9)

uint32_t speculation_barriers, speculation_msrs;
static uint32_t in_force;
static uint64_t host_value, guest_bits; /* of IA32_SPEC_CTRL */

uint32_t speculation_needs(const struct speculation_facts *f)
{
    if (f->amd)
        return (f->amd8_ebx & AMD_IBPB ? BARRIER_PREDICTOR : 0) |
               (f->amd21_eax & AMD_AUTO_IBRS ? KEEP_PREDICTIONS : 0) |
               ((f->amd21_eax & AMD_VERW_CLEAR) && (f->amd21_ecx & AMD_TSA_NO) != AMD_TSA_NO ? BARRIER_BUFFERS : 0) |
               (ZEN_2(f->signature) ? FIX_ZENBLEED : 0);
    uint64_t c = f->capabilities;
    bool old = !(c & MDS_NO) || ((f->leaf7_ebx & HAS_RTM) && !(c & TAA_NO));
    bool stale = ((c & FB_CLEAR) && (c & STALE_MMIO_NO) != STALE_MMIO_NO) || (c & (RFDS_CLEAR | RFDS_NO)) == RFDS_CLEAR;
    return (f->leaf7_edx & HAS_IBPB ? BARRIER_PREDICTOR : 0) | (c & IBRS_ALL ? KEEP_PREDICTIONS : 0) |
           ((f->leaf7_edx & HAS_L1D_FLUSH) && !(c & (RDCL_NO | SKIP_L1D)) ? BARRIER_L1D : 0) |
           (((f->leaf7_edx & HAS_MD_CLEAR) && old) || stale ? BARRIER_BUFFERS : 0);
}

/* Where they stand in CPUID: IBRS, STIBP, SSBD, and PSFD; Intel's IPRED_DIS, RRSBA_DIS, DDPD_U and BHI_DIS_S. */
uint64_t speculation_controls(const struct speculation_facts *f)
{
    uint32_t a = f->amd8_ebx, e = f->leaf7_2_edx;
    if (f->amd)
        return (a >> 14 & 3) | (a >> 24 & 1) << 2 | (a >> 28 & 1) << 7;
    return (f->leaf7_edx >> 26 & 3) | f->leaf7_edx >> 31 << 2 | (e & 1) << 7 | (e >> 1 & 1) * (3u << 3) |
           (e >> 2 & 1) * (3u << 5) | (e >> 3 & 1) << 8 | (e >> 4 & 1) << 10;
}

uint16_t speculation_init(bool off, bool force, uint64_t *capabilities)
{
    uint32_t vendor = cpuid(0, 0).ebx;
    bool amd = vendor == 0x68747541 || vendor == 0x6f677948; /* AuthenticAMD, HygonGenuine */
    struct cpuid_regs seven = cpuid(0, 0).eax >= 7 ? cpuid(7, 0) : (struct cpuid_regs){0};
    uint32_t last = cpuid(0x80000000, 0).eax;
    struct cpuid_regs more = last >= 0x80000021 ? cpuid(0x80000021, 0) : (struct cpuid_regs){0};
    struct speculation_facts f = {amd,
                                  cpuid(1, 0).ecx >> 31 ? 0 : cpuid(1, 0).eax,
                                  seven.ebx,
                                  seven.edx,
                                  seven.eax >= 2 ? cpuid(7, 2).edx : 0,
                                  last >= 0x80000008 ? cpuid(0x80000008, 0).ebx : 0,
                                  more.eax,
                                  more.ecx,
                                  0};
    if (!amd && (f.leaf7_edx & HAS_CAPABILITIES))
        f.capabilities = rdmsr(MSR_ARCH_CAPABILITIES);
    uint32_t needs = speculation_needs(&f), all = BARRIER_PREDICTOR | BARRIER_L1D | BARRIER_BUFFERS;
    guest_bits = speculation_controls(&f);
    speculation_msrs = needs & BARRIER_PREDICTOR ? GUEST_PRED_CMD : 0;
    if (off)
        needs = 0;
    uint64_t history = (f.leaf7_2_edx & HAS_BHI_CTRL) && !(f.capabilities & BHI_NO) ? SPEC_BHI_DIS_S : 0;
    host_value = (needs & KEEP_PREDICTIONS) && !amd ? SPEC_IBRS | history : 0;
    if (!amd && !host_value)
        speculation_msrs |= GUEST_SPEC_CTRL;
    speculation_barriers = force ? all : needs & all;
    in_force = speculation_barriers | needs;
    *capabilities = f.capabilities;
    return (uint16_t)in_force;
}

void speculation_cpu(void)
{
    if (host_value)
        wrmsr(MSR_SPEC_CTRL, host_value);
    else if (in_force & KEEP_PREDICTIONS)
        wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_AUTO_IBRS);
    if (in_force & FIX_ZENBLEED)
        wrmsr(MSR_DE_CFG, rdmsr(MSR_DE_CFG) | DE_CFG_FIX_ZENBLEED);
}

void speculation_barriers_now(uint32_t which)
{
    static const uint16_t selector = SEL_KERNEL_DATA;
    if (which & BARRIER_PREDICTOR)
        wrmsr(MSR_PRED_CMD, 1);
    if (which & BARRIER_L1D)
        wrmsr(MSR_FLUSH_CMD, 1);
    if (which & BARRIER_BUFFERS)
        __asm__ volatile("verw %0" : : "m"(selector) : "cc");
}

bool speculation_guest(uint64_t wanted, uint64_t *value)
{
    *value = (wanted & guest_bits) | host_value;
    return *value != host_value;
}

void speculation_to_guest(uint64_t value)
{
    if (value != host_value)
        wrmsr(MSR_SPEC_CTRL, value);
}

void speculation_to_host(uint64_t *value)
{
    if (speculation_msrs & GUEST_SPEC_CTRL)
        *value = rdmsr(MSR_SPEC_CTRL);
    if (*value != host_value)
        wrmsr(MSR_SPEC_CTRL, host_value);
}
