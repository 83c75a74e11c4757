/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work-arounds for Bochs' VT-x. They are compiled in, but do nothing unless the kernel has recognised Bochs
 * (kernel/main.c); its option quirks=none turns them off, to try a new version. docs/debugging.md has how each was
 * found. Elsewhere VT-x works as the manual says, and nothing here is needed.
 */
#ifndef VMX_QUIRKS_H
#define VMX_QUIRKS_H

#include "mullion/regs.h"
#include "vmx/vmx.h"
#include "vmx/vmx_instr.h"

#define QUIRK_SLICE_MS   10u
#define QUIRK_REACHED_MS 640u

static inline bool quirk_bochs(void)
{
    return unlikely(emulator == EMULATOR_BOCHS);
}

/*
 * Bochs 2.7: after an entry with RFLAGS.IF clear no interrupt for the host makes an exit until the guest has set IF,
 * and a guest that waits in HLT with IF clear is reached by the preemption timer alone. So that timer ends a guest's
 * turn early: a guest's that has its CPU to itself too, unless the option reach=interrupt forbids it.
 */
static inline uint64_t quirk_turn(bool dedicated, uint64_t khz, uint64_t longest)
{
    if (dedicated)
        return vmx_reach_by_timer ? QUIRK_REACHED_MS * khz : longest;
    return quirk_bochs() ? QUIRK_SLICE_MS * khz : longest;
}
static inline bool quirk_out_of_reach(void)
{
    return unlikely(vmx_reach_by_timer) && !(vmreadn(GUEST_RFLAGS) & RFLAGS_IF);
}

/*
 * There may be something to deliver now. Bochs 2.7:
 * - A guest in HLT is not woken by a virtual interrupt that is there already, nor by the interrupt window. It must not
 *   be in HLT, and if it cannot take anything yet, its next HLT must exit. That one exit is enough.
 * - A virtual interrupt that waits for RFLAGS.IF is delivered without it, as soon as one for the host arrives behind a
 *   CLI. With interrupt-window exiting none waits (SDM vol. 3, 30.2.1): it is recognised at the entry after that exit.
 */
static inline void quirk_request(struct vmx_vcpu *hw)
{
    if (!quirk_bochs())
        return;
    if ((vmreadn(GUEST_RFLAGS) & RFLAGS_IF) &&
        !(vmread32(GUEST_INTERRUPTIBILITY) & (BLOCKED_BY_STI | BLOCKED_BY_MOV_SS)))
        vmwrite32(GUEST_ACTIVITY, 0);
    else
        hw->proc_base |= BIT(PROC_HLT) | BIT(PROC_INTERRUPT_WINDOW);
}
static inline void quirk_window_open(struct vmx_vcpu *hw)
{
    if (quirk_bochs())
        hw->proc_base &= ~BIT(PROC_INTERRUPT_WINDOW);
}
static inline uint32_t quirk_window(void)
{
    return quirk_bochs() ? BIT(PROC_HLT) : 0;
}
static inline void quirk_halted(struct vcpu *v)
{
    if (v->dedicated)
        vmx_of(v)->proc_base &= ~BIT(PROC_HLT);
}

/*
 * Bochs 2.7: an exit from within an instruction says that its single step is pending, though the instruction has not
 * been done. It is harmless where the instruction is then carried out for the guest, or gets a fault; but where the
 * guest does it itself, the step would come before it.
 */
static inline void quirk_again(void)
{
    if (quirk_bochs() && !(vmread32(GUEST_INTERRUPTIBILITY) & BLOCKED_BY_MOV_SS))
        vmwriten(GUEST_PENDING_DEBUG, 0);
}

#endif
