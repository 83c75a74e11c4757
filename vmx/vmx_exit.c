// SPDX-License-Identifier: Apache-2.0
/*
 * From a VM exit to the common form. No exit reason is ignored and none is fatal to the host: what is not known here
 * ends with the monitor as EXIT_UNKNOWN, with the raw reason. Sources: Intel SDM vol. 3, 28.2 (information about
 * exits), appendix C (reasons).
 */
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/fpu.h"
#include "arch/x86_64/instr.h"
#include "arch/x86_64/mce.h"
#include "mullion/regs.h"
#include "vmx/quirks.h"
#include "vmx/vmx.h"
#include "vmx/vmx_instr.h"

enum { VECTOR_DB = 1, VECTOR_AC = 17, VECTOR_MC = 18 };

static uint32_t instruction_length(void)
{
    return vmread32(EXIT_INSTRUCTION_LENGTH);
}

static uint32_t report(struct vcpu *v, enum exit_reason reason, uint32_t length)
{
    v->state->exit.insn_len = length;
    return reason;
}

/* Settled here or none of the guest's business: the kernel enters again when it is done with its own work. */
static uint32_t waiting(struct vcpu *v, uint32_t vector)
{
    v->vector = vector;
    return EXIT_WAITING;
}

/* The host's own NMI handler counts it; its IRET ends the blocking of NMIs that this exit began (SDM vol. 3, 28.5.5).
 */
static void host_nmi(void)
{
#ifndef UNIT_TEST
    __asm__ volatile("int $2" : : : "memory");
#endif
}

/* Has the event delivered at the next entry as if it had never exited. */
static void deliver_again(struct vmx_vcpu *hw, uint32_t info, vmcs32_t error_field)
{
    hw->event = (info & EVENT_KEEP) | (info & EVENT_ERROR ? (uint64_t)vmread32(error_field) << 32 : 0);
    if (EVENT_TYPE(info) >= EVENT_SOFT_INTERRUPT)
        hw->event_length = instruction_length();
}

/* The one place for events whose delivery an exit interrupted, whatever the exit's reason: they go first at the next
 * entry. */
static void interrupted_delivery(struct vmx_vcpu *hw, uint32_t idt_vectoring)
{
    deliver_again(hw, idt_vectoring, IDT_VECTORING_ERROR);
    if (EVENT_TYPE(idt_vectoring) == EVENT_NMI) /* its delivery began the blocking that would now forbid it */
        vmwrite32(GUEST_INTERRUPTIBILITY, vmread32(GUEST_INTERRUPTIBILITY) & ~BLOCKED_BY_NMI);
}

static void debug_exception(struct vcpu *v, bool by_registers)
{
    if (by_registers) { /* not INT1 */
        vmx_set_dr6(v, (vmx_dr6(v) & ~0xfull) | (vmreadn(EXIT_QUALIFICATION) & 0x600f));
        vmwriten(GUEST_DR7, vmreadn(GUEST_DR7) & ~(1ull << 13)); /* GD */
    }
    /* A step over STI: with TF set, the entry checks accept no shadow (SDM vol. 3, 27.3.1.5), and the delivery ends it
     * anyway. */
    vmwrite32(GUEST_INTERRUPTIBILITY, vmread32(GUEST_INTERRUPTIBILITY) & ~(BLOCKED_BY_STI | BLOCKED_BY_MOV_SS));
}

/*
 * #DB and #AC are intercepted only because their delivery can repeat without end inside one instruction, in which no
 * interrupt would get in: one guest could keep a CPU for ever. They go straight back. Their side effects, which the
 * exit left undone, come first (SDM vol. 3, 28.1).
 */
static __attribute__((noinline)) uint32_t exception(struct vcpu *v, struct vmx_vcpu *hw)
{
    uint32_t info = vmread32(EXIT_EVENT), vector = info & INJECT_VECTOR_MASK;
    if (EVENT_TYPE(info) == EVENT_NMI) {
        host_nmi();
        return waiting(v, 0);
    }
    if (vector == VECTOR_AC || vector == VECTOR_DB) {
        if (vector == VECTOR_DB)
            debug_exception(v, EVENT_TYPE(info) == EVENT_EXCEPTION);
        deliver_again(hw, info, EXIT_EVENT_ERROR);
        return waiting(v, 0);
    }
    if (vector == VECTOR_MC && !mce_look(MCE_OUTSIDE))
        return waiting(v, 0);
    v->state->exit.exception.vector = vector;
    v->state->exit.exception.error_code = info & EVENT_ERROR ? vmread32(EXIT_EVENT_ERROR) : 0;
    return report(v, EXIT_EXCEPTION, 0);
}

inline __attribute__((always_inline)) uint32_t vmx_port(struct vcpu *v, uint64_t q)
{
    vmx_of(v)->launched = (uint8_t)vmx.launched;
    bool string = vmx_port_access(q, &v->state->exit);
    return report(v, EXIT_PORT, instruction_length()) | (unlikely(string) ? RUN_DECODE : 0);
}

static bool code64(void)
{
    return (vmread32(GUEST_ATTR(SEG_CS)) & SEG_ATTR_L) && (vmread64(GUEST_EFER) & EFER_LMA);
}

static uint32_t memory(struct vcpu *v, uint32_t idt_vectoring)
{
    uint64_t q = vmreadn(EXIT_QUALIFICATION);
    struct vcpu_exit *x = &v->state->exit;
    vmx_memory_access(q, x);
    x->memory.gpa = vmread64(EXIT_GUEST_PHYSICAL);
    x->memory.code64 = code64();
    x->memory.gva = q & QUALIFICATION_LINEAR ? vmreadn(EXIT_GUEST_LINEAR) : 0;
    quirk_again();
    /* The access was made by an IRET that had already ended the blocking of NMIs (SDM vol. 3, 28.2.3): it runs again.
     */
    if ((q >> 12 & 1) && !(idt_vectoring & EVENT_VALID))
        vmwrite32(GUEST_INTERRUPTIBILITY, vmread32(GUEST_INTERRUPTIBILITY) | BLOCKED_BY_NMI);
    return report(v, EXIT_MEMORY, 0); /* the length field is not defined for these exits */
}

static __attribute__((noinline)) uint32_t control_register(struct vcpu *v)
{
    struct cr_access a = vmx_cr_access(vmreadn(EXIT_QUALIFICATION));
    uint32_t length = instruction_length();
    uint64_t value = a.gpr == GPR_RSP ? vmreadn(GUEST_RSP) : read_once(v->state->gpr[a.gpr]);
    if (a.clts || a.lmsw) {
        uint64_t mask = vmx_cr0_mask();
        uint64_t cr0 = (vmreadn(GUEST_CR0) & ~mask) | (vmreadn(CONTROL_CR0_SHADOW) & mask);
        /* LMSW sets PE but never clears it (SDM vol. 2). */
        value = a.clts ? cr0 & ~CR0_TS : (cr0 & ~0xeull) | (a.source & 0xf);
    }
    if (a.write && (a.number == 0 || a.number == 4)) {
        vmcsn_t shadow_field = a.number == 0 ? CONTROL_CR0_SHADOW : CONTROL_CR4_SHADOW;
        uint64_t shadow;
        if (vmx_cr_fastpath(a.number, value, vmreadn(shadow_field), &shadow)) {
            vmwriten(shadow_field, shadow);
            quirk_again();
            return waiting(v, 0);
        }
    }
    struct vcpu_exit *x = &v->state->exit;
    x->raw[0] = 0;
    x->cr.number = a.number;
    x->cr.gpr = a.gpr;
    x->cr.known = 1;
    x->cr.value = a.write ? value : 0;
    return report(v, a.write ? EXIT_CR_WRITE : EXIT_CR_READ, length);
}

/* Both come after the instruction (SDM vol. 3, 30.4.3). */
static uint32_t apic_written(struct vcpu *v, uint32_t reason)
{
    uint32_t q = (uint32_t)vmreadn(EXIT_QUALIFICATION);
    v->state->exit.apic.offset = reason == REASON_EOI ? 0xb0 : q & 0xff0;
    v->state->exit.apic.vector = reason == REASON_EOI ? q & 0xff : 0;
    return report(v, EXIT_APIC, 0);
}

/* The entry did not happen. What the monitor put into the state is its own affair; it has the words for that, and for a
 * bad host state, which would be this kernel's mistake. */
__attribute__((noinline)) uint32_t vmx_entry_failed(struct vcpu *v, uint64_t detail)
{
    vmx_of(v)->event = 0;
    vmwrite32(ENTRY_EVENT, 0);
    v->state->exit.detail = detail;
    if (detail == (REASON_ENTRY_FAILED | REASON_BAD_MC))
        (void)mce_look(MCE_OUTSIDE); /* the entry was half done: the guest ends anyway */
    return report(v, EXIT_BAD_STATE, 0);
}

/* Instructions that the guest's CPU does not have: VMX's own, and others that it is not told of. */
#define NOT_OFFERED                                                                                       \
    (((2ull << REASON_VMXON) - (1ull << REASON_VMCLEAR)) | 1ull << REASON_GETSEC | 1ull << REASON_RDPMC | \
     1ull << REASON_MWAIT | 1ull << REASON_MONITOR | 1ull << REASON_INVEPT | 1ull << REASON_RDTSCP |      \
     1ull << REASON_INVVPID | 1ull << REASON_INVPCID | 1ull << REASON_VMFUNC | 1ull << REASON_XSAVES)

static inline __attribute__((always_inline)) uint32_t by_reason(struct vcpu *v, struct vmx_vcpu *hw, uint32_t reason,
                                                                uint32_t idt_vectoring)
{
    switch (reason) {
    case REASON_EXCEPTION: return exception(v, hw);
    case REASON_INTERRUPT: return waiting(v, vmread32(EXIT_EVENT) & INJECT_VECTOR_MASK);
    case REASON_INTERRUPT_WINDOW: quirk_window_open(hw); return waiting(v, 0);
    case REASON_TIMER:
    case REASON_NMI_WINDOW: return waiting(v, 0);
    case REASON_CPUID: return report(v, EXIT_CPUID, instruction_length());
    case REASON_HLT: quirk_halted(v); return report(v, EXIT_HLT, instruction_length());
    case REASON_EPT_VIOLATION: return memory(v, idt_vectoring);
    case REASON_RDMSR:
    case REASON_WRMSR:
        v->state->exit.raw[0] = (uint32_t)read_once(v->state->gpr[GPR_RCX]); /* msr.index */
        return report(v, reason == REASON_RDMSR ? EXIT_RDMSR : EXIT_WRMSR, instruction_length());
    case REASON_CR: return control_register(v);
    case REASON_DR:
        quirk_again();
        vcpu_load_dr(v);
        return waiting(v, 0);
    case REASON_TPR_THRESHOLD: v->state->exit.kick.events = 0; return report(v, EXIT_KICK, 0);
    case REASON_EOI:
    case REASON_APIC_WRITE: return apic_written(v, reason);
    case REASON_XSETBV: return report(v, EXIT_XSETBV, instruction_length());
    case REASON_INVD: /* would throw away what other guests have in the caches */
    case REASON_WBINVD: vmx_step_over(instruction_length()); return waiting(v, 0);
    case REASON_VMCALL:
        v->state->exit.hypercall.cpl = vmread32(GUEST_ATTR(SEG_SS)) >> 5 &
                                       3; /* SDM vol. 3, 25.4.1: SS.DPL is the CPL */
        v->state->exit.hypercall.code64 = code64();
        return report(v, EXIT_HYPERCALL, instruction_length());
    case REASON_TRIPLE_FAULT: hw->event = 0; return report(v, EXIT_TRIPLE_FAULT, 0);
    case REASON_INIT: return report(v, EXIT_SHUTDOWN, 0);
    case REASON_TASK_SWITCH:
        v->state->exit.raw[0] = vmreadn(EXIT_QUALIFICATION); /* task.info */
        return report(v, EXIT_TASK_SWITCH, instruction_length());
    default:
        return report(v, reason < 64 && NOT_OFFERED >> reason & 1 ? EXIT_INVALID_OPCODE_WANTED : EXIT_UNKNOWN,
                      instruction_length());
    }
}

inline __attribute__((always_inline)) uint32_t vmx_exit(struct vcpu *v, uint32_t reason, uint32_t idt_vectoring)
{
    struct vmx_vcpu *hw = vmx_of(v);
    if (unlikely(reason & REASON_ENTRY_FAILED))
        return vmx_entry_failed(v, reason);
    hw->launched = (uint8_t)vmx.launched;
    if (unlikely(idt_vectoring & EVENT_VALID))
        interrupted_delivery(hw, idt_vectoring);
    return by_reason(v, hw, reason, idt_vectoring);
}
