// SPDX-License-Identifier: Apache-2.0
/*
 * One entry into the guest: what must be delivered, when to come back, then in. Written to be short on the common path,
 * on which nothing is to be delivered and no control changes: what was last written is remembered and not written
 * again.
 */
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/instr.h"
#include "kernel/fastpath.h"
#include "mullion/regs.h"
#include "vmx/quirks.h"
#include "vmx/vmx.h"
#include "vmx/vmx_instr.h"

bool vmx_reach_by_timer;
uint64_t vmx_turn[2];

static void set_proc(struct vmx_vcpu *hw, uint32_t value)
{
    if (hw->proc != value) {
        hw->proc = value;
        vmwrite32(CONTROL_PROC, value);
    }
}

static void deliver(uint32_t info, uint32_t error, uint32_t length)
{
    if (info & EVENT_ERROR) {
        if (vmreadn(GUEST_CR0) & CR0_PE)
            vmwrite32(ENTRY_EVENT_ERROR, error & 0xffff);
        else
            info &= ~EVENT_ERROR; /* real mode has no error codes (SDM vol. 3, 27.2.1.3) */
    }
    if (length)
        vmwrite32(ENTRY_EVENT_LENGTH, length);
    vmwrite32(ENTRY_EVENT, info);
    vmwrite32(GUEST_ACTIVITY, 0);
}

/* Does nothing of these, nor a debug exception that comes first, keep an interrupt or an NMI away? An entry that
 * delivers something forgets the pending debug exceptions (SDM vol. 3, 27.7.3). */
static bool open_to(uint32_t blocked_by)
{
    return !(vmread32(GUEST_INTERRUPTIBILITY) & blocked_by) && !vmreadn(GUEST_PENDING_DEBUG);
}

/* What the monitor wants injected. False: it is an NMI, and not now. */
static bool deliver_inject(struct vcpu_state *s, uint32_t info)
{
    if (EVENT_TYPE(info) != EVENT_NMI)
        info = EVENT_VALID | INJECT_TYPE_EXCEPTION | (info & (EVENT_ERROR | INJECT_VECTOR_MASK));
    else if (open_to(BLOCKED_BY_NMI | BLOCKED_BY_MOV_SS | BLOCKED_BY_STI))
        info = EVENT_VALID | INJECT_TYPE_NMI | 2;
    else
        return false;
    __atomic_store_n(&s->inject, 0, __ATOMIC_RELAXED);
    deliver(info, read_once(s->inject_error), 0);
    return true;
}

/* Not every CPU's NMI window waits for the end of STI's shadow (25.6.2): the other one does, and there IF is set. */
static uint32_t inject_window(void)
{
    return vmread32(GUEST_INTERRUPTIBILITY) & BLOCKED_BY_STI ? BIT(PROC_INTERRUPT_WINDOW) : BIT(PROC_NMI_WINDOW);
}

/* One event at most can go with an entry: first what was interrupted in its delivery, then the monitor's event, then
 * its interrupt. */
static __attribute__((noinline)) void deliver_events(struct vmx_vcpu *hw, struct vcpu_state *s)
{
    uint32_t inject = read_once(s->inject), irq = read_once(s->irq), proc = hw->proc_base;
    bool taken = hw->event;
    if (taken) {
        deliver((uint32_t)hw->event, (uint32_t)(hw->event >> 32), hw->event_length);
        hw->event = hw->event_length = 0;
    } else if (inject & INJECT_VALID) {
        taken = deliver_inject(s, inject);
    }
    if (read_once(s->inject) & INJECT_VALID)
        proc |= inject_window();
    if (irq & IRQ_VALID) {
        if (!taken && (vmreadn(GUEST_RFLAGS) & RFLAGS_IF) && open_to(BLOCKED_BY_STI | BLOCKED_BY_MOV_SS)) {
            uint32_t vector = irq & INJECT_VECTOR_MASK;
            __atomic_store_n(&s->irq, IRQ_DELIVERED | vector, __ATOMIC_RELAXED);
            deliver(EVENT_VALID | EVENT_INTERRUPT << 8 | vector, 0, 0);
        } else {
            proc |= BIT(PROC_INTERRUPT_WINDOW) | BIT(PROC_CR8_LOAD) | quirk_window();
        }
    }
    set_proc(hw, proc);
}

/* A lowered TPR may let an interrupt through that the monitor's local APIC holds back: it must hear of that, and only
 * of that. */
static void watch_tpr(struct vmx_vcpu *hw, const struct vcpu_state *s)
{
    uint32_t tpr = virtual_tpr(s);
    if (hw->tpr_threshold != tpr) {
        hw->tpr_threshold = tpr;
        vmwrite32(CONTROL_TPR_THRESHOLD, tpr);
    }
}

#ifndef UNIT_TEST
/* vmx_enter saves no register but RBP: the compiler keeps here what it wants to keep, once for all rounds. */
static inline __attribute__((always_inline)) bool enter(struct vmx_vcpu *hw, uint64_t *gpr)
{
    bool refused;
    __asm__ volatile("call vmx_enter"
                     : "=@ccnz"(refused), "+D"(hw), "+S"(gpr)
                     :
                     : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory");
    return refused;
}

/* Where RSP is in vmx_enter when it is called from the calling function: behind a return address and two saved
 * registers. */
static inline __attribute__((always_inline)) void set_host_rsp(struct vmx_vcpu *hw)
{
    uint64_t rsp;
    __asm__ volatile("lea -24(%%rsp), %0" : "=r"(rsp));
    if (hw->host_rsp != rsp) {
        hw->host_rsp = rsp;
        vmwriten(HOST_RSP, rsp);
    }
}
#endif

/* q: SDM vol. 3, table 28-5 */
static inline uint32_t fastpath_out(struct vcpu *v, uint64_t q)
{
    return q & (QUALIFICATION_IO_IN | QUALIFICATION_IO_STRING)
               ? 0
               : fastpath_doorbell(v, (uint32_t)q >> 16, (q & 7) + 1, ~0ull, EXIT_PORT);
}

/* The length is not defined for this exit (SDM vol. 3, 28.2.5): where a CPU does not give the right one the monitor
 * rings. */
static inline uint32_t fastpath_store(struct vcpu *v)
{
    if (!read_once(v->space->doorbell) || (vmreadn(EXIT_QUALIFICATION) & QUALIFICATION_ACCESS) != QUALIFICATION_STORE ||
        (vmread32(IDT_VECTORING) & EVENT_VALID))
        return 0;
    return fastpath_doorbell(v, vmread64(EXIT_GUEST_PHYSICAL) | DOORBELL_STORE,
                             DOORBELL_KEY(vmreadn(GUEST_RIP), vmread32(EXIT_INSTRUCTION_LENGTH)), ~0ull, EXIT_MEMORY);
}

/*
 * The guest is left. An exit leaves the limits of GDT and IDT at 64 KiB, and the TSS's without its I/O bitmap (SDM vol.
 * 3, 28.5.2). There is nothing behind the GDT, and the IDT has all 256 vectors. TR matters to a domain with open ports
 * alone: another one has it loaded when it is switched to.
 */
static inline __attribute__((always_inline)) void leave(struct vcpu *v, uint32_t reason)
{
    v->exit_at = rdtsc();
    if (unlikely(v->cpu->open_ports))
        cpu_reload_tr(v->cpu);
    v->cr2 = read_cr2();
    v->state->exit.detail = reason;
    v->state->tpr = virtual_tpr(v->state); /* the guest moves it without an exit */
}

inline __attribute__((always_inline)) uint32_t vmx_run(struct vcpu *v, uint64_t deadline)
{
    struct vmx_vcpu *hw = vmx_of(v);
    struct vcpu_state *s = v->state;
    if (unlikely(hw->refused)) {
        s->exit.detail = REFUSED_BY_PUT | hw->refused;
        return EXIT_BAD_STATE;
    }
    uint32_t done = vcpu_take_advance(s);
    if (likely(done))
        vmx_step_over(done);
    if (unlikely((hw->event | read_once(s->inject) | read_once(s->irq)) & EVENT_VALID))
        deliver_events(hw, s);
    else
        set_proc(hw, hw->proc_base);
    if (vmx.proc & BIT(PROC_TPR_SHADOW))
        watch_tpr(hw, s);
    uint64_t now = rdtsc();
    vcpu_goes_on(v, now);
    bool long_turn = v->dedicated && !quirk_out_of_reach();
    vmwrite32(GUEST_PREEMPTION_TIMER, vmx_timer_value(now, deadline, vmx_turn[long_turn], vmx.timer_shift));

    /*
     * A guest's CPUID and doorbells are answered in here: no event can have come up, and an interrupt that has makes
     * the next entry an exit at once. The timer runs on from where it was, less the ticks that this loop takes;
     * `launched` bounds how far it falls behind. Only v outlives an entry: there is a register for it.
     */
    set_host_rsp(hw);
    for (unsigned settled = 1;; settled++) {
        if (unlikely(v->spec_switched))
            speculation_to_guest(v->spec_ctrl);
        if (unlikely(enter(vmx_of(v), v->state->gpr))) {
            if (v->spec_switched)
                speculation_to_host(&v->spec_ctrl);
            v->exit_at = rdtsc();
            return vmx_entry_failed(v, vmread32(INSTRUCTION_ERROR));
        }
        if (unlikely(v->spec_switched))
            speculation_to_host(&v->spec_ctrl);
        uint32_t reason = vmread32(EXIT_REASON), answer = 0;
        if (reason == REASON_IO) {
            uint64_t q = vmreadn(EXIT_QUALIFICATION);
            if ((answer = fastpath_out(v, q)) == 0) {
                leave(v, reason);
                return vmx_port(v, q);
            }
        } else if (!(reason == REASON_CPUID ? fastpath_cpuid(v, v->state->gpr)
                                            : reason == REASON_EPT_VIOLATION && (answer = fastpath_store(v)) != 0)) {
            leave(v, reason);
            return vmx_exit(v, reason, vmread32(IDT_VECTORING));
        }
        if ((answer & FASTPATH_SIGNALLED) && read_once(v->cpu->work))
            settled = UINT8_MAX; /* a thread that a doorbell woke may go first */
        vmx_step_over(vmread32(EXIT_INSTRUCTION_LENGTH));
        if (settled >= vmx_of(v)->launched) {
            /* As if the guest's time were over: it may be. */
            leave(v, REASON_TIMER);
            vmx_of(v)->launched = (uint8_t)vmx.launched; /* the first exit of all may be one of these */
            v->vector = 0;
            return EXIT_WAITING;
        }
    }
}
