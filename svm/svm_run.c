// SPDX-License-Identifier: Apache-2.0
/*
 * Both ends of one round trip into the guest (svm_entry.asm): what must be flushed and delivered, and what came back.
 * This is the hot path; what is rare stands in functions of its own. An event whose delivery an exit interrupted is
 * dealt with here, for every exit: it waits in the VMCB's event field and goes before everything else at the next
 * entry.
 */
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/instr.h"
#include "arch/x86_64/mce.h"
#include "arch/x86_64/time.h"
#include "kernel/fastpath.h"
#include "mullion/regs.h"
#include "svm/quirks.h"
#include "svm/svm.h"

#define CPUID_LENGTH 2u /* without next-RIP: see svm_exit.c */

void svm_asid_forget(struct asid_pool *p)
{
    p->generation++;
    p->next = 1;
    p->flush_all = true;
}

uint8_t svm_asid_prepare(struct asid_pool *p, struct asid_tag *t)
{
    if (t->generation != p->generation) {
        if (p->next >= p->count)
            svm_asid_forget(p);
        t->asid = p->next++;
        t->generation = p->generation;
    }
    uint8_t control = p->flush_all ? TLB_FLUSH_ALL : TLB_KEEP;
    p->flush_all = false;
    return control;
}

struct svm_plan svm_plan(uint64_t interrupted, uint64_t inject, uint32_t irq, bool irq_open)
{
    struct svm_plan p = {.event = interrupted, .offer = irq};
    if (!p.event && (inject & INJECT_VALID)) {
        /* The ABI's layout is EVENTINJ's. */
        p.event = inject & (EVENT_VALID | EVENT_TYPE | EVENT_VECTOR);
        if (inject & INJECT_ERROR_CODE)
            p.event |= EVENT_ERROR_CODE | inject >> EVENT_ERROR_SHIFT << EVENT_ERROR_SHIFT;
        p.take_inject = true;
    }
    if ((irq & IRQ_VALID) && !p.event && irq_open) {
        p.event = EVENT_VALID | EVENT_INTERRUPT | (irq & EVENT_VECTOR);
        p.offer = 0;
    }
    return p;
}

/* With V_IRQ the CPU says when it can take one: VINTR is intercepted, so the vector is for quirk_by_cpu alone. As long
 * as one waits a new TPR may concern it, so the monitor weighs it anew. */
static void offer(struct svm_vcpu *s, uint32_t irq)
{
    struct vmcb_control *c = &s->vmcb->control;
    c->interrupt &= V_TPR | V_CONSTANT;
    if (irq & IRQ_VALID)
        c->interrupt |= V_IRQ | (irq & EVENT_VECTOR) << V_VECTOR_SHIFT;
    s->offered = irq;
    c->intercept_cr = svm_cr_intercepts(s);
    c->clean &= ~CLEAN_INTERCEPTS;
}

static void prepare_events(struct vcpu *v, struct svm_vcpu *s)
{
    struct vmcb *b = s->vmcb;
    bool shadow = (b->control.shadow & 1) || quirk_shadow(s);
    struct vcpu_state *page = v->state;
    uint32_t irq = read_once(page->irq);
    uint64_t inject = read_once(page->inject) | (uint64_t)read_once(page->inject_error) << EVENT_ERROR_SHIFT;
    if ((inject & EVENT_TYPE) == EVENT_NMI && s->held)
        inject = 0; /* after the IRET that the monitor steps over */
    if (!(b->save.cr0 & CR0_PE))
        inject &= ~(uint64_t)INJECT_ERROR_CODE; /* real mode has none */
    struct svm_plan plan = svm_plan(b->control.event, inject, irq,
                                    (b->save.rflags & RFLAGS_IF) && !shadow && !quirk_by_cpu());
    b->control.event = plan.event;
    if (plan.take_inject) {
        page->inject = 0;
        if ((plan.event & EVENT_TYPE) == EVENT_NMI)
            svm_hold(s, SHADOW_NMI);
    }
    if ((inject & INJECT_VALID) && !plan.take_inject)
        timer_arm(v->cpu, rdtsc()); /* it comes right behind the other event, before an instruction */
    if (plan.offer != irq)
        page->irq = IRQ_DELIVERED | (irq & EVENT_VECTOR);
    if ((plan.offer & IRQ_VALID) && quirk_window(v->cpu, shadow))
        plan.offer = IRQ_HELD;
    offer(s, plan.offer);
}

static void prepare_tlb(struct svm_vcpu *s)
{
    struct vmcb_control *c = &s->vmcb->control;
    c->tlb_control = svm_asid_prepare(s->asids, &s->tag);
    c->asid = s->tag.asid;
    c->clean &= ~CLEAN_ASID;
}

/* The exits that neither the kernel nor the monitor need to know. */
static __attribute__((noinline)) uint32_t own_exit(struct vcpu *v, struct svm_vcpu *s)
{
    struct vmcb *b = s->vmcb;
    uint64_t code = b->control.exit_code;
    switch (code) {
    case SVM_EXIT_INVD:   /* it would throw away everybody's unwritten cache lines */
    case SVM_EXIT_WBINVD: /* and this would empty everybody's caches; no guest has devices that see memory past them */
        svm_skip_to(b, b->save.rip + svm_length(b, s->helps));
        break;
    case SVM_EXIT_EXCEPTION + VECTOR_MC:
        v->state->exit.raw[0] = VECTOR_MC;
        return mce_look(MCE_OUTSIDE) ? EXIT_EXCEPTION : EXIT_WAITING;
    default:
        if (code < SVM_EXIT_EXCEPTION) { /* a debug register */
            vcpu_load_dr(v);
            break;
        }
        if (s->held & SHADOW_STEP) { /* whatever comes of the monitor's step is its to settle */
            v->state->exit.raw[0] = (uint32_t)(code - SVM_EXIT_EXCEPTION) | b->control.exit_info1 << 32;
            v->state->exit.exception.address = b->control.exit_info2;
            return EXIT_EXCEPTION;
        }
        /* #DB or #AC: intercepted only so that a guest that raises them endlessly while delivering them can be left */
        if (!b->control.event) /* an interrupted event comes first; it will raise this again */
            b->control.event = EVENT_VALID | EVENT_EXCEPTION | (code - SVM_EXIT_EXCEPTION) |
                               (code == SVM_EXIT_EXCEPTION + VECTOR_AC ? EVENT_ERROR_CODE : 0);
    }
    return EXIT_WAITING;
}

/* Or waited, and the CPU was told. */
static inline bool events_wait(const struct vcpu *v, const struct svm_vcpu *s)
{
    return ((read_once(v->state->inject) | read_once(v->state->irq) | s->offered) & (INJECT_VALID | IRQ_HELD)) != 0;
}

static __attribute__((noinline)) void prepare_more(struct vcpu *v, struct svm_vcpu *s, uint64_t deadline)
{
    timer_arm(v->cpu, deadline);
    if (s->tag.generation != s->asids->generation)
        prepare_tlb(s);
    if (events_wait(v, s))
        prepare_events(v, s);
}

struct svm_vcpu *svm_prepare(struct vcpu *v, uint64_t deadline_tsc)
{
    struct svm_vcpu *s = v->hw;
    uint32_t done = vcpu_take_advance(v->state);
    if (done)
        svm_skip_to(s->vmcb, s->vmcb->save.rip + done);
    s->vmcb->save.rax = s->gpr[GPR_RAX];
    if (unlikely(deadline_tsc < v->cpu->timer_armed || s->tag.generation != s->asids->generation || events_wait(v, s)))
        prepare_more(v, s, deadline_tsc);
    return s;
}

void svm_inject_gp(struct vmcb *b)
{
    b->control.event = EVENT_VALID | EVENT_EXCEPTION | VECTOR_GP | (b->save.cr0 & CR0_PE ? EVENT_ERROR_CODE : 0);
}

/* VMEXIT_INVALID: the CPU refused to enter, and the VMCB is as it was. */
static uint32_t refused(struct svm_vcpu *s)
{
    struct vmcb *b = s->vmcb;
    if (quirk_refused(b))
        return EXIT_WAITING;
    b->control.interrupt |= V_CONSTANT;
    b->control.event = 0;
    svm_asid_forget(s->asids); /* it may not have flushed what it was told to */
    return EXIT_BAD_STATE;
}

inline __attribute__((always_inline)) uint32_t svm_finish(struct vcpu *v, struct svm_vcpu *s)
{
    struct vmcb *b = s->vmcb;
    s->gpr[GPR_RAX] = b->save.rax;
    v->state->tpr = b->control.interrupt & V_TPR; /* the guest moves it without an exit */
    b->control.tlb_control = TLB_KEEP;
    b->control.clean = s->clean;
    b->control.event = unlikely(b->control.exit_event & EVENT_VALID) ? svm_interrupted_event(b->control.exit_event) : 0;
    quirk_exit(v->state, s);
    uint32_t reason = svm_translate(b, s->helps, s->gpr[GPR_RCX], &v->state->exit);
    if (unlikely(reason == EXIT_NONE))
        reason = own_exit(v, s);
    else if (unlikely(reason == EXIT_BAD_STATE))
        reason = refused(s);
    return reason;
}

#ifndef UNIT_TEST
/*
 * What VMRUN does not switch (TR, LDTR, FS, GS, STAR, ..., SYSENTER) is the guest's from open_way to close_way: VMLOAD
 * and VMSAVE move it. GIF is clear as long, which holds back interrupts and, since its stack needs the host's TR, an
 * NMI; IF=1 makes the CPU leave the guest for an interrupt (V_INTR_MASKING; AMD APM vol. 2, 15.17, 15.21.1). It is
 * pending then. The code between is ring 0's alone and uses none of those registers.
 */
static inline void open_way(uint64_t vmcb_hpa)
{
    __asm__ volatile("clgi; sti; vmload %0" : : "a"(vmcb_hpa) : "memory");
}
static inline void close_way(const struct svm_vcpu *s, uint64_t vmcb_hpa)
{
    __asm__ volatile("vmsave %0" : : "a"(vmcb_hpa) : "memory");
    __asm__ volatile("vmload %0; cli; stgi" : : "a"(s->host_vmcb) : "memory");
}

/* The compiler keeps here what it wants to keep, once for all rounds. RAX is the VMCB's address, also behind it. */
static inline __attribute__((always_inline)) void enter(struct svm_vcpu *s, uint64_t *vmcb_hpa)
{
    __asm__ volatile("call svm_enter"
                     : "+D"(s), "+a"(*vmcb_hpa)
                     :
                     : "rbx", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory",
                       "cc");
}

static inline uint32_t fastpath_out(struct vcpu *v, const struct vmcb_control *c)
{
    uint32_t info = (uint32_t)c->exit_info1;
    return info & (IO_IN | IO_STRING) ? 0 : fastpath_doorbell(v, info >> 16, info >> 4 & 7, ~0ull, EXIT_PORT);
}

/* The CPU does not say how long the instruction is: 0, if it is not settled. */
static inline uint32_t fastpath_store(struct vcpu *v, const struct vmcb *b)
{
    const struct vmcb_control *c = &b->control;
    if (!read_once(v->space->doorbell) || (c->exit_info1 & (NPF_WRITE | NPF_IN_WALK)) != NPF_WRITE ||
        (c->exit_event & EVENT_VALID))
        return 0;
    return fastpath_doorbell(v, c->exit_info2 | DOORBELL_STORE, DOORBELL_KEY(b->save.rip, 0), ~0xfull, EXIT_MEMORY);
}

static inline void skip_to(struct svm_vcpu *s, uint64_t rip)
{
    struct vmcb *b = s->vmcb;
    b->control.tlb_control = TLB_KEEP;
    b->control.clean = s->clean;
    b->control.event = 0;
    svm_skip_to(b, rip);
}

/* A guest's CPUID and doorbells are answered in here: nothing can have come up meanwhile but an interrupt, and with one
 * pending the next entry is an exit at once. */
inline __attribute__((always_inline)) uint32_t svm_run(struct vcpu *v, uint64_t deadline_tsc)
{
    (void)svm_prepare(v, deadline_tsc);
    vcpu_goes_on(v, rdtsc());
    struct svm_vcpu *s = v->hw;
    uint64_t vmcb_hpa = s->vmcb_hpa;
    open_way(vmcb_hpa);
    for (;; vmcb_hpa = s->vmcb_hpa) {
        if (unlikely(v->spec_switched))
            speculation_to_guest(v->spec_ctrl);
        enter(s, &vmcb_hpa); /* only v outlives it: there is a register for it */
        if (unlikely(v->spec_switched))
            speculation_to_host(&v->spec_ctrl);
        s = v->hw;
        struct vmcb *b = s->vmcb;
        uint32_t answer;
        uint64_t next;
        quirk_lost_interrupt(s);
        if (b->control.exit_code == SVM_EXIT_CPUID) {
            s->gpr[GPR_RAX] = b->save.rax;
            if (!fastpath_cpuid(v, s->gpr))
                break;
            b->save.rax = s->gpr[GPR_RAX];
            skip_to(s, s->helps & SVM_FEATURE_NRIPS ? b->control.next_rip : b->save.rip + CPUID_LENGTH);
            continue;
        }
        if (b->control.exit_code == SVM_EXIT_IOIO && (answer = fastpath_out(v, &b->control)) != 0)
            next = b->control.exit_info2;
        else if (b->control.exit_code == SVM_EXIT_NPF && (answer = fastpath_store(v, b)) != 0)
            next = b->save.rip + FASTPATH_LENGTH(answer);
        else
            break;
        if (unlikely(answer & FASTPATH_SIGNALLED) && read_once(v->cpu->work)) {
            skip_to(s, next); /* the thread that it woke may go first, as after an interrupt */
            b->control.exit_code = SVM_EXIT_INTR;
            break;
        }
        skip_to(s, next);
    }
    close_way(s, s->vmcb_hpa);
    v->exit_at = rdtsc();
    return svm_finish(v, s);
}
#endif

_Static_assert(INJECT_VALID == IRQ_VALID && INJECT_ERROR_CODE == EVENT_ERROR_CODE && INJECT_TYPE_NMI == EVENT_NMI &&
                   INJECT_TYPE_EXCEPTION == EVENT_EXCEPTION,
               "svm_plan relies on it");
