/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work-arounds for QEMU's AMD-V (TCG). They are compiled in, but do nothing unless the kernel has recognised it
 * (kernel/main.c); its option quirks=none turns them off, to try a new version. docs/debugging.md has how each was
 * found. All of them were found in 7.2; which of them 10.0 still needs has not been tried one by one. Elsewhere AMD-V
 * works as the manual says, and nothing here is needed.
 */
#ifndef SVM_QUIRKS_H
#define SVM_QUIRKS_H

#include "arch/x86_64/apic.h"
#include "arch/x86_64/instr.h"
#include "arch/x86_64/time.h"
#include "mullion/regs.h"
#include "svm/svm.h"

#define QUIRK_SHADOW_US    20u
#define QUIRK_SHADOW_TRIES 4u

static inline bool quirk_qemu(void)
{
    return unlikely(emulator == EMULATOR_QEMU);
}

/*
 * VMRUN forgets the shadow of STI that an exit has put into the VMCB: an interrupt would be taken before the HLT that
 * stands in it, not wake it, and the guest would sleep on. So no window is opened there; the guest gets the time for an
 * instruction, and where it has not moved since, it is in the shadow still: a few times, for a loop comes back to where
 * it was.
 */
static inline bool quirk_shadow(struct svm_vcpu *s)
{
    return quirk_qemu() && s->shadow_rip == s->vmcb->save.rip && s->shadow_tries > 0 && s->shadow_tries--;
}
/* Does the guest get a moment instead of the window? */
static inline bool quirk_window(struct cpu *c, bool shadow)
{
    if (!shadow || !quirk_qemu())
        return false;
    timer_arm(c, rdtsc() + us_to_ticks(QUIRK_SHADOW_US));
    return true;
}

/*
 * An interrupt in EVENTINJ comes twice, if QEMU leaves its translated code between VMRUN and the next exit. So none
 * goes there: V_IRQ has its vector, VINTR is not intercepted, and the CPU takes it by itself when it can. Then V_IRQ is
 * clear.
 */
static inline bool quirk_by_cpu(void)
{
    return quirk_qemu();
}
static inline void quirk_taken(struct vcpu_state *page, struct svm_vcpu *s)
{
    struct vmcb_control *c = &s->vmcb->control;
    uint32_t vector = s->offered & EVENT_VECTOR;
    if (!(c->interrupt & V_IRQ)) {
        page->irq = IRQ_DELIVERED | vector;
        s->offered = 0;
        c->intercept_cr = svm_cr_intercepts(s); /* it has no clean bits */
    } else if ((c->event & EVENT_VECTOR) == vector) {
        c->event = 0; /* an exit interrupted its delivery (QEMU says: an exception's): the CPU begins again */
    }
}

/* VMRUN with V_IRQ set writes the CPU's word of pending interrupts without a lock, and can lose one of ours. */
static inline void quirk_lost_interrupt(const struct svm_vcpu *s)
{
    if (unlikely(s->offered & IRQ_VALID) && quirk_qemu())
        apic_recheck();
}

/* At each exit: was an interrupt taken? Notes a shadow too, and mends the state. */
static inline __attribute__((always_inline)) void quirk_exit(struct vcpu_state *page, struct svm_vcpu *s)
{
    struct vmcb *b = s->vmcb;
    if (!likely(emulator == EMULATOR_QEMU)) /* where it is looked at closely: a CPU does not mind the jump */
        return;
    if (s->offered & IRQ_VALID)
        quirk_taken(page, s);
    if (unlikely(b->control.shadow & 1)) {
        s->shadow_rip = b->save.rip;
        s->shadow_tries = QUIRK_SHADOW_TRIES;
    }
    if (unlikely(b->save.dr7 >> 32)) /* a guest may load it, and VMRUN would refuse it */
        b->save.dr7 = (uint32_t)b->save.dr7;
}

/*
 * VMEXIT_INVALID, four differences: an early refusal leaves the host's registers in the VMCB, with RIP at VMRUN; it
 * clears V_INTR_MASKING there, and a guest that is entered without that keeps the CPU for good (svm_run.c sets it
 * anyway); an event that was to be injected is still valid as interrupted; and the guest also exits like this, with its
 * own registers, when it sets a CR3 bit that the CPU lacks: #GP elsewhere. True: that #GP is what happened.
 */
static inline bool quirk_refused(struct vmcb *b)
{
    if (!quirk_qemu())
        return false;
    if (b->save.rip == (uint64_t)svm_vmrun) {
        svm_reset(&b->save);
        return false;
    }
    if (b->control.exit_event & EVENT_VALID)
        return false;
    svm_inject_gp(b); /* was it a refusal after all, then the next one comes with this event still valid */
    return true;
}

/*
 * Takes a busy task in TR for a mistake: at the next change from ring 3 of 32-bit code QEMU itself ends ("invalid tss
 * type"). Its own LTR leaves the descriptor's type there, which is not busy.
 */
static inline uint16_t quirk_attributes(unsigned segment)
{
    return quirk_qemu() && segment == SEG_TR ? (uint16_t)~2u : 0xffff;
}

#endif
