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
        v->wait_sipi = true;
        v->halted = v->nmi = v->extint = false;
        v->state->inject = 0;
    }
    if ((mail & LAPIC_MAIL_SIPI) && v->wait_sipi) {
        v->wait_sipi = false;
        apply_sipi_state(v->state, vector);
    }
    if (mail & LAPIC_MAIL_NMI)
        v->nmi = true;
    if (mail & LAPIC_MAIL_EXTINT)
        v->extint = true;
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
    v->nmi = false;
    return true;
}

/* The vector to offer, -1: none. */
static int choose_vector(struct vm_vcpu *v)
{
    struct vm *vm = v->vm;
    int vector = lapic_highest_pending(&v->lapic);
    v->irq_from_pic = false;
    if (vector < 0 && (v->extint || lapic_accepts_pic(&v->lapic)) && atomic_load(&vm->pic.output)) {
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

static void prepare(struct vm_vcpu *v)
{
    struct vcpu_state *s = v->state;
    struct vm *vm = v->vm;
    uint64_t now = tsc_now();

    s->irq = 0;
    s->deadline = NEVER;
    if (v->wait_sipi) {
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
    if (v->nmi && !offer_nmi(v))
        s->deadline = earlier(s->deadline, now + NMI_RETRY_TICKS);
    if (v->halted && ((v->halted_if && vector >= 0) || (s->inject & INJECT_VALID) || atomic_exchange(&v->unhalt, false)))
        v->halted = false;
    s->activity = v->halted ? ACTIVITY_HALT : ACTIVITY_RUN;
    if (vector >= 0 && !v->halted)
        s->irq = IRQ_VALID | (uint32_t)vector;
}

static void account_interrupt(struct vm_vcpu *v)
{
    struct vcpu_state *s = v->state;
    if (!(s->irq & IRQ_DELIVERED))
        return;
    uint8_t vector = (uint8_t)s->irq;
    s->irq = 0;
    v->halted = false;
    if (v->irq_from_pic) {
        v->extint = false;
        vm_lock(v->vm);
        pic_accept(&v->vm->pic, vector);
        vm_unlock(v->vm);
    } else {
        lapic_accept(&v->lapic, vector);
    }
}

static void count(struct vm_vcpu *v)
{
    struct vmm_control *c = v->vm->control;
    uint32_t reason = v->state->exit.reason;
    __atomic_fetch_add(&c->exits, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&c->exits_by_reason[reason < 32 ? reason : EXIT_UNKNOWN], 1, __ATOMIC_RELAXED);
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
        take_mail(v);
        prepare(v);
        enum error error = sys_vcpu_run();
        if (error != OK) {
            vm_end(vm, GUEST_CRASHED, 0, "vCPU %u: the kernel refused to run it (error %d)", v->index, (int)error);
            break;
        }
        /* Groups that are still dirty were not taken yet: what the page holds is newer than what the kernel has. */
        v->have = v->state->valid | v->state->dirty;
        count(v);
        account_interrupt(v);
        exits_handle(v);
    }
}
