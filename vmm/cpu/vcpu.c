// SPDX-License-Identifier: Apache-2.0
/*
 * A vCPU's thread: before an entry its APIC, timers and mail, if there is news; then the guest runs; then its exit is
 * settled in vmm/cpu/exits.c.
 *
 * No wake-up is lost: a thread that has something for this vCPU first posts it and then kicks. A kick by this thread
 * itself sets v->recheck. A kick by another thread makes vcpu_run come back with EXIT_KICK, which sets it too: at once,
 * or at the next call if this thread was here.
 */
#include "lib/syscall.h"
#include "vmm/cpu/exits.h"
#include "vmm/cpu/nmi.h"
#include "vmm/loader/loader.h"

static void take_mail(struct vm_vcpu *v)
{
    uint8_t vector = 0;
    uint32_t mail = lapic_take_mail(&v->lapic, &vector);
    if (mail == 0)
        return;
    if (mail & LAPIC_MAIL_INIT) {
        if (v->index == 0) { /* the boot CPU would start at the reset vector, where a PC's firmware starts over */
            vm_end(v->vm, GUEST_RESET, 0, NULL);
            return;
        }
        lapic_reset(&v->lapic, false);
        v->pending = PENDING_WAIT_SIPI;
        v->state->inject = 0;
        v->step.on = false;
    }
    if ((mail & LAPIC_MAIL_SIPI) && (v->pending & PENDING_WAIT_SIPI)) {
        v->pending &= ~PENDING_WAIT_SIPI;
        apply_sipi_state(v->state, vector);
    }
    if (mail & LAPIC_MAIL_NMI)
        nmi_arrive(v, mail & LAPIC_MAIL_NMI_AGAIN ? 2 : 1);
    if (mail & LAPIC_MAIL_EXTINT)
        v->pending |= PENDING_EXTINT;
}

static bool listens_to_pic(const struct vm_vcpu *v)
{
    return (v->pending & PENDING_EXTINT) || lapic_accepts_pic(&v->lapic);
}

static int pic_vector(struct vm *vm)
{
    vm_lock(vm);
    int vector = pic_peek(vm->pic);
    vm_unlock(vm);
    return vector;
}

/* CR8 and the local APIC's TPR are one register. The guest may have moved it without an exit, or the APIC's page has.
 */
static inline bool tpr_moved(const struct vcpu_state *s)
{
    return s->tpr != lapic_page_cr8(s->apic);
}

static __attribute__((noinline)) void show_tpr(struct vm_vcpu *v)
{
    if (!exits_need(v, GROUP_CR))
        return;
    v->state->tpr = lapic_cr8(&v->lapic);
    v->state->dirty |= GROUP_CR;
}

/* The rare part of prepare: the vCPU is halted, or an NMI waits. */
static __attribute__((noinline)) void prepare_special(struct vm_vcpu *v, uint64_t now, int vector)
{
    struct vcpu_state *s = v->state;
    nmi_withdraw(v);
    if ((v->pending & PENDING_HALTED) && v->halted_if && vector >= 0)
        v->pending &= ~PENDING_HALTED;
    if (v->pending & PENDING_NMI)
        nmi_offer(v, now);
    if (s->inject & INJECT_VALID)
        v->pending &= ~PENDING_HALTED;
    s->activity = v->pending & PENDING_HALTED ? ACTIVITY_HALT : ACTIVITY_RUN;
}

/* Looks at everything that can be posted. What it leaves in the page (irq, activity, deadline) is good until there is
 * news. False: the guest has ended. */
static __attribute__((noinline)) bool prepare(struct vm_vcpu *v)
{
    struct vcpu_state *s = v->state;
    struct vm *vm = v->vm;
    struct lapic *l = &v->lapic;
    uint64_t now = tsc_now();

    lapic_advance(l, now);
    if (v->index == 0 && now >= atomic_load_explicit(&vm->next_event, memory_order_relaxed))
        machine_timers(vm);
    v->recheck = false; /* all that was posted until here is looked at below */
    if (atomic_load_explicit(&l->mail, memory_order_relaxed) != 0)
        take_mail(v);
    if (atomic_load_explicit(&vm->ending, memory_order_relaxed))
        return false;
    s->irq = 0;
    if (v->pending & PENDING_WAIT_SIPI) {
        s->activity = ACTIVITY_HALT;
        s->deadline = NEVER;
        v->recheck = true;
        return true;
    }
    s->deadline = exits_next_deadline(v);

    uint32_t held = 0;
    bool by_cpu = lapic_by_cpu(l), pic_asks = atomic_load_explicit(&vm->extint, memory_order_relaxed);
    bool more = lapic_any_posted(l); /* than what is offered now: it waits for the next time */
    int vector = -1;
    if (more && by_cpu) {
        lapic_take_requests(l);
        more = lapic_any_posted(l);
    } else if (more && (vector = lapic_highest_pending(l)) >= 0) {
        more = lapic_others_posted(l, (uint8_t)vector);
    } else if (more && lapic_held_by_tpr(l)) {
        held = IRQ_HELD;
    }
    /* The CPU delivers by itself: only one that sleeps needs to know, and one that might be asked for the PIC's
     * instead. */
    if (by_cpu && (pic_asks || (v->pending & PENDING_HALTED)))
        vector = lapic_highest_pending(l);
    /* The boot CPU is kicked when the PIC asks; another that listens to it looks each time. */
    bool pic_listens = (v->index != 0 || pic_asks) && listens_to_pic(v);
    v->irq_from_pic = false;
    if (vector < 0 && pic_listens) {
        vector = pic_vector(vm);
        v->irq_from_pic = vector >= 0;
    }
    s->activity = ACTIVITY_RUN;
    if (v->pending != 0)
        prepare_special(v, now, vector);
    if (vector >= 0 && s->activity == ACTIVITY_RUN && (v->irq_from_pic || !by_cpu) && !v->step.on)
        s->irq = IRQ_VALID | (uint32_t)vector;
    else
        s->irq = held;
    if (tpr_moved(s))
        show_tpr(v);
    if (more || pic_listens || v->pending != 0)
        v->recheck = true;
    return true;
}

static __attribute__((noinline)) void account_pic(struct vm_vcpu *v, uint8_t vector)
{
    v->pending &= ~PENDING_EXTINT;
    vm_lock(v->vm);
    pic_accept(v->vm->pic, vector);
    vm_unlock(v->vm);
}

static inline void account_interrupt(struct vm_vcpu *v, struct vcpu_state *s)
{
    unsigned vector = s->irq & 0xff;
    s->irq = 0;
    v->pending &= ~PENDING_HALTED;
    if (unlikely(v->irq_from_pic))
        account_pic(v, (uint8_t)vector);
    else
        lapic_accept(&v->lapic, vector);
}

/* The guest has moved CR8: what is pending is weighed anew. */
static __attribute__((noinline)) void take_tpr(struct vm_vcpu *v)
{
    lapic_set_cr8(&v->lapic, (uint8_t)v->state->tpr);
    v->recheck = true;
}

void vcpu_loop(struct vm_vcpu *v)
{
    struct vm *vm = v->vm;
    struct vcpu_state *s = v->state;
    if (v->index == 0) { /* the time first: a reader of the state may read it */
        vm->control->first_entry_tsc = tsc_now();
        atomic_store(&vm->control->state, GUEST_RUNNING);
        (void)sys_event_signal(VMM_SLOT_ROOT_EVENT, vm->boot->root_bits);
    }
    v->recheck = true;
    while (likely(!v->recheck) || prepare(v)) {
        enum error error = sys_vcpu_run();
        if (unlikely(error != OK)) {
            vm_end(vm, GUEST_CRASHED, 0, "vCPU %u: the kernel refused to run it (error %d)", v->index, (int)error);
            break;
        }
        if (unlikely(tpr_moved(s)))
            take_tpr(v);
        if (unlikely(s->irq & IRQ_DELIVERED))
            account_interrupt(v, s);
        exits_handle(v);
    }
}
