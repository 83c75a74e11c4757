// SPDX-License-Identifier: Apache-2.0
/*
 * The backend's face to the kernel, and what is not on the hot path: turning AMD-V on, making and ending vCPUs, their
 * VMCB with no state of the guest's yet. Relies on cpu_init for the host's TR, LDTR, FS, GS, SYSENTER and
 * SYSCALL: cpu_start records them once, they must not change afterwards.
 */
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/fpu.h"
#include "arch/x86_64/instr.h"
#include "kernel/domain.h"
#include "kernel/log.h"
#include "kernel/string.h"
#include "mm/hostmap.h"
#include "mullion/regs.h"
#include "svm/quirks.h"
#include "svm/svm.h"

static struct {
    uint64_t host_vmcb;
    struct asid_pool asids;
} cpus[MAX_CPUS];
static struct quota machine = {.limit_bytes = ~0ull}; /* two pages a CPU: the machine's own, no domain pays */

static struct lack probe(void)
{
    struct svm_abilities a = svm_abilities();
    fpu_xcr0_by_guest = quirk_qemu() && cpu_xcr0_mask; /* it does not intercept XSETBV (7.2) */
    return (struct lack){.what = svm_lacks(&a)};
}

static enum error cpu_start(unsigned number)
{
    struct svm_abilities a = svm_abilities();
    if (number >= MAX_CPUS || svm_lacks(&a))
        return E_UNSUPPORTED;
    void *host_save = pool_page(&machine), *host_vmcb = pool_page(&machine);
    if (!host_save || !host_vmcb)
        return E_QUOTA; /* at boot, the end anyway: nothing is given back */
    if (a.vm_cr & VM_CR_SVMDIS)
        wrmsr(MSR_VM_CR, a.vm_cr & ~VM_CR_SVMDIS); /* off, but not locked */
    cpu_calls_by(CALL_BY_SYSCALL);
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
    wrmsr(MSR_VM_HSAVE_PA, pool_hpa(host_save).v);
    cpus[number].host_vmcb = pool_hpa(host_vmcb).v;
    __asm__ volatile("vmsave %0" : : "a"(cpus[number].host_vmcb) : "memory");
    cpus[number].asids = (struct asid_pool){.generation = 0, .count = a.asids};
    svm_asid_forget(&cpus[number].asids);
    if (svm_iopm[0] == 0) /* the boot CPU comes first and alone */
        svm_bitmaps_init(a.features);
    return OK;
}

/* Low half reads, high half writes: DR0-3, and writes of DR7 (and DR5, its other name). DR6 and DR7 themselves are in
 * the VMCB. */
#define INTERCEPT_DR 0x00af000fu

static void controls(struct vmcb_control *c, const struct space *space)
{
    memcpy(c->intercepts, svm_intercepts, sizeof c->intercepts);
    if (quirk_by_cpu())
        c->intercepts[0] &= ~INTERCEPT(SVM_EXIT_VINTR);
    c->intercept_exceptions = SVM_EXCEPTIONS;
    c->intercept_cr = INTERCEPT_CR4;
    c->intercept_dr = INTERCEPT_DR;
    c->iopm = image_hpa(svm_iopm).v;
    c->msrpm = image_hpa(svm_msrpm).v;
    c->interrupt = V_CONSTANT; /* the guest's CR8 is V_TPR: svm_run.c, offer() */
    c->nested = 1;
    c->nested_cr3 = pool_hpa(space->tables.root).v;
}

static enum error vcpu_create(struct vcpu *v)
{
    struct svm_vcpu *s = pool_alloc(&v->payer->quota, sizeof *s);
    struct vmcb *b = pool_page(&v->payer->quota);
    if (!s || !b) {
        pool_free(&v->payer->quota, s, sizeof *s);
        pool_page_free(&v->payer->quota, b);
        return E_QUOTA;
    }
    uint32_t features = svm_abilities().features;
    *s = (struct svm_vcpu){.gpr = v->state->gpr,
                           .host_vmcb = cpus[v->cpu->number].host_vmcb,
                           .asids = &cpus[v->cpu->number].asids,
                           .vmcb = b,
                           .vmcb_hpa = pool_hpa(b).v,
                           .helps = features,
                           .clean = features & SVM_FEATURE_CLEAN ? CLEAN_ALL : 0};
    controls(&b->control, v->space);
    if (!(features & SVM_FEATURE_NRIPS)) /* WBNOINVD comes here too, a byte longer, and nothing would say which it is */
        b->control.intercepts[1] &= ~INTERCEPT(SVM_EXIT_WBINVD);
    svm_reset(&b->save);
    v->state->nmi_offer = NMI_BY_STEP;
    v->vector = VECTOR_PENDING; /* an interrupt that makes an exit is not acknowledged */
    v->hw = s;
    return OK;
}

static void vcpu_destroy(struct vcpu *v)
{
    struct svm_vcpu *s = v->hw;
    pool_page_free(&v->payer->quota, s->vmcb);
    pool_free(&v->payer->quota, s, sizeof *s);
}

static uint64_t dr7(struct vcpu *v)
{
    return ((struct svm_vcpu *)v->hw)->vmcb->save.dr7;
}

static void watch_dr(struct vcpu *v, bool on)
{
    struct vmcb_control *c = &((struct svm_vcpu *)v->hw)->vmcb->control;
    c->intercept_dr = on ? INTERCEPT_DR : 0;
    c->clean = 0;
}

static void skip(struct vcpu *v, uint32_t length)
{
    struct vmcb *b = ((struct svm_vcpu *)v->hw)->vmcb;
    svm_skip_to(b, b->save.rip + length);
}

static uint64_t cr4(struct vcpu *v)
{
    return ((struct svm_vcpu *)v->hw)->vmcb->save.cr4;
}

static void flush(void)
{
    svm_asid_forget(&cpus[this_cpu()->number].asids);
}

const struct backend svm_backend = {
    .name = "AMD-V",
    .call_way = CALL_BY_SYSCALL,
    .format = &pt_npt,
    .probe = probe,
    .cpu_start = cpu_start,
    .vcpu_create = vcpu_create,
    .vcpu_destroy = vcpu_destroy,
    .put = svm_put,
    .get = svm_get,
    .run = svm_run,
    .enter = svm_vcpu_enter,
    .skip = skip,
    .cr4 = cr4,
    .dr7 = dr7,
    .watch_dr = watch_dr,
    .flush = flush,
};
