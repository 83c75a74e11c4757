/*
 * A vCPU's thread: before each entry its APIC, timers and mail; then the guest runs; then its exit is settled in vmm/exits.c.
 *
 * No wake-up is lost: whoever has something for this vCPU first posts it and then kicks; this loop looks at everything that can
 * be posted and then runs, and a kick that came in between makes vcpu_run come back at once.
 */
#include "vmm/exits.h"
#include "lib/syscall.h"
#include "vmm/loader/loader.h"

#define RFLAGS_IF_BIT (1ull << 9)

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
        v->special = SPECIAL_WAIT_SIPI;
        v->state->inject = 0;
    }
    if ((mail & LAPIC_MAIL_SIPI) && (v->special & SPECIAL_WAIT_SIPI)) {
        v->special &= ~SPECIAL_WAIT_SIPI;
        apply_sipi_state(v->state, vector);
    }
    if (mail & LAPIC_MAIL_NMI)
        v->special |= SPECIAL_NMI;
    if (mail & LAPIC_MAIL_EXTINT)
        v->special |= SPECIAL_EXTINT;
}

/* An NMI goes in if the guest can take one now; otherwise it is tried again at the next exit, at the latest after
 * NMI_RETRY_TICKS. */
#define NMI_RETRY_TICKS 1000000u
static bool offer_nmi(struct vm_vcpu *v)
{
    if (v->state->inject & INJECT_VALID)
        return false;
    if (!exits_need(v, GROUP_RIP) || (v->state->shadow & (SHADOW_NMI | SHADOW_MOV_SS | SHADOW_STI)))
        return false;
    v->state->inject = INJECT_VALID | INJECT_TYPE_NMI | 2;
    v->special &= ~SPECIAL_NMI;
    return true;
}

/* The vector to offer, -1: none. */
static int choose_vector(struct vm_vcpu *v)
{
    struct vm *vm = v->vm;
    lapic_take_requests(&v->lapic);
    v->irq_from_pic = false;
    if (lapic_by_cpu(&v->lapic) && !(v->special & SPECIAL_HALTED) && !atomic_load(&vm->pic.output))
        return -1; /* nobody needs to know */
    int vector = lapic_highest_pending(&v->lapic);
    if (vector < 0 && ((v->special & SPECIAL_EXTINT) || lapic_accepts_pic(&v->lapic)) && atomic_load(&vm->pic.output)) {
        vm_lock(vm);
        vector = pic_peek(&vm->pic);
        vm_unlock(vm);
        v->irq_from_pic = vector >= 0;
    }
    return vector;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* The long way before an entry: everything is looked at. */
static __attribute__((noinline)) void prepare(struct vm_vcpu *v)
{
    struct vcpu_state *s = v->state;
    struct vm *vm = v->vm;

    take_mail(v);
    uint64_t now = tsc_now();
    s->irq = 0;
    s->deadline = NEVER;
    if (v->special & SPECIAL_WAIT_SIPI) {
        s->activity = ACTIVITY_HALT;
        return;
    }
    lapic_advance(&v->lapic, now);
    if (v->index == 0) {
        if (now >= atomic_load(&vm->next_event))
            machine_timers(vm);
        s->deadline = atomic_load(&vm->next_event);
    }
    s->deadline = earlier(s->deadline, lapic_next_deadline(&v->lapic));

    int vector = choose_vector(v);
    if ((v->special & SPECIAL_NMI) && !offer_nmi(v))
        s->deadline = earlier(s->deadline, now + NMI_RETRY_TICKS);
    if ((v->special & SPECIAL_HALTED) &&
        ((v->halted_if && vector >= 0) || (s->inject & INJECT_VALID) || atomic_exchange(&v->unhalt, false)))
        v->special &= ~SPECIAL_HALTED;
    bool halted = (v->special & SPECIAL_HALTED) != 0;
    s->activity = halted ? ACTIVITY_HALT : ACTIVITY_RUN;
    if (vector >= 0 && !halted && (v->irq_from_pic || !lapic_by_cpu(&v->lapic)))
        s->irq = IRQ_VALID | (uint32_t)vector;
}

/* The short way: nobody has posted anything, no timer is due. True: the vCPU may run as it is. */
static inline bool nothing_new(struct vm_vcpu *v)
{
    struct vcpu_state *s = v->state;
    struct vm *vm = v->vm;
    const _Atomic uint64_t *pending = v->lapic.pending;
    uint64_t due = lapic_next_deadline(&v->lapic);
    if (v->index == 0)
        due = earlier(due, atomic_load_explicit(&vm->next_event, memory_order_relaxed));
    if (v->special != 0 || atomic_load_explicit(&v->lapic.mail, memory_order_relaxed) != 0 ||
        atomic_load_explicit(&vm->pic.output, memory_order_relaxed) || tsc_now() >= due)
        return false;
    if ((atomic_load_explicit(&pending[0], memory_order_relaxed) | atomic_load_explicit(&pending[1], memory_order_relaxed) |
         atomic_load_explicit(&pending[2], memory_order_relaxed) | atomic_load_explicit(&pending[3], memory_order_relaxed)) != 0)
        return false;
    s->irq = 0;
    s->activity = ACTIVITY_RUN;
    s->deadline = due;
    return true;
}

/* CR8 and the local APIC's TPR are one register. The guest may have moved it without an exit, or the APIC's page has. */
static inline bool tpr_moved(const struct vm_vcpu *v) { return __builtin_expect(v->state->tpr != lapic_cr8(&v->lapic), 0); }

static __attribute__((noinline)) void show_tpr(struct vm_vcpu *v)
{
    if (!exits_need(v, GROUP_CR))
        return;
    v->state->tpr = lapic_cr8(&v->lapic);
    v->state->dirty |= GROUP_CR;
}

static __attribute__((noinline)) void account_interrupt(struct vm_vcpu *v)
{
    uint8_t vector = (uint8_t)v->state->irq;
    v->state->irq = 0;
    v->special &= ~SPECIAL_HALTED;
    if (v->irq_from_pic) {
        v->special &= ~SPECIAL_EXTINT;
        vm_lock(v->vm);
        pic_accept(&v->vm->pic, vector);
        vm_unlock(v->vm);
    } else {
        lapic_accept(&v->lapic, vector);
    }
}

void vcpu_loop(struct vm_vcpu *v)
{
    struct vm *vm = v->vm;
    if (v->index == 0) { /* the time first: who sees the state may read it */
        vm->control->first_entry_tsc = tsc_now();
        atomic_store(&vm->control->state, GUEST_RUNNING);
        (void)sys_event_signal(VMM_SLOT_ROOT_EVENT, vm->boot->root_bits);
    }
    while (!atomic_load(&vm->ending)) {
        if (!nothing_new(v))
            prepare(v);
        if (tpr_moved(v))
            show_tpr(v);
        enum error error = sys_vcpu_run();
        if (__builtin_expect(error != OK, 0)) {
            vm_end(vm, GUEST_CRASHED, 0, "vCPU %u: the kernel refused to run it (error %d)", v->index, (int)error);
            break;
        }
        /* Groups that are still dirty were not taken yet: what the page holds is newer than what the kernel has. */
        v->have = v->state->valid | v->state->dirty;
        if (tpr_moved(v))
            lapic_set_cr8(&v->lapic, (uint8_t)v->state->tpr);
        if (v->state->irq & IRQ_DELIVERED)
            account_interrupt(v);
        exits_handle(v);
    }
}
