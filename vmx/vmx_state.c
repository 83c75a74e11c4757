// SPDX-License-Identifier: Apache-2.0
/*
 * State groups between the shared page and the VMCS of the current vCPU, and the small changes that the kernel makes
 * itself.
 *
 * The page may change at any moment: each field is read once, by TAKE. What the VM-entry checks find wrong is left for
 * them to find; what would hurt before that (a WRMSR of a bad value) or would silently be something else marks the
 * group as refused, and run() then does not enter.
 */
#include "arch/x86_64/instr.h"
#include "kernel/string.h"
#include "mullion/regs.h"
#include "vmx/quirks.h"
#include "vmx/vmx.h"
#include "vmx/vmx_instr.h"

static void put_rip(const struct vcpu_state *s)
{
    vmwriten(GUEST_RIP, read_once(s->rip));
    vmwriten(GUEST_RSP, read_once(s->rsp));
    vmwriten(GUEST_RFLAGS, read_once(s->rflags) | RFLAGS_FIXED);
    vmwrite32(GUEST_INTERRUPTIBILITY, read_once(s->shadow) & (SHADOW_STI | SHADOW_MOV_SS | SHADOW_NMI));
    vmwrite32(GUEST_ACTIVITY, 0);
    vmwriten(GUEST_PENDING_DEBUG, read_once(s->pending_debug));
}

static void get_rip(struct vcpu_state *s)
{
    s->rip = vmreadn(GUEST_RIP);
    s->rsp = vmreadn(GUEST_RSP);
    s->rflags = vmreadn(GUEST_RFLAGS);
    s->shadow = vmread32(GUEST_INTERRUPTIBILITY) & (SHADOW_STI | SHADOW_MOV_SS | SHADOW_NMI);
    s->pending_debug = (uint32_t)vmreadn(GUEST_PENDING_DEBUG);
}

void vmx_end_instruction(uint64_t flags)
{
    vmwrite32(GUEST_INTERRUPTIBILITY, vmread32(GUEST_INTERRUPTIBILITY) & ~(BLOCKED_BY_STI | BLOCKED_BY_MOV_SS));
    vmwriten(GUEST_RFLAGS, flags & ~RFLAGS_RF);
    if (flags & RFLAGS_TF)
        vmwriten(GUEST_PENDING_DEBUG, vmreadn(GUEST_PENDING_DEBUG) | DR6_BS);
}

static void put_segments(const struct vcpu_state *s)
{
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        vmwrite16(GUEST_SELECTOR(i), read_once(s->seg[i].selector));
        vmwrite32(GUEST_LIMIT(i), read_once(s->seg[i].limit));
        vmwrite32(GUEST_ATTR(i), read_once(s->seg[i].attr));
        vmwriten(GUEST_BASE(i), read_once(s->seg[i].base));
    }
    vmwriten(GUEST_GDTR_BASE, read_once(s->gdtr.base));
    vmwrite32(GUEST_GDTR_LIMIT, read_once(s->gdtr.limit));
    vmwriten(GUEST_IDTR_BASE, read_once(s->idtr.base));
    vmwrite32(GUEST_IDTR_LIMIT, read_once(s->idtr.limit));
}

static void get_segments(struct vcpu_state *s)
{
    for (unsigned i = 0; i < SEG_COUNT; i++)
        s->seg[i] = (struct segment){.selector = vmread16(GUEST_SELECTOR(i)),
                                     .attr = vmread32(GUEST_ATTR(i)),
                                     .limit = vmread32(GUEST_LIMIT(i)),
                                     .base = vmreadn(GUEST_BASE(i))};
    s->gdtr = (struct table_register){.base = vmreadn(GUEST_GDTR_BASE), .limit = vmread32(GUEST_GDTR_LIMIT)};
    s->idtr = (struct table_register){.base = vmreadn(GUEST_IDTR_BASE), .limit = vmread32(GUEST_IDTR_LIMIT)};
}

/* Writes a register that address translation hangs on; true if it was different. */
static bool change(vmcsn_t field, uint64_t value)
{
    bool differs = vmreadn(field) != value;
    if (differs)
        vmwriten(field, value);
    return differs;
}

static void put_cr(struct vcpu *v, struct vcpu_state *s)
{
    struct vmx_vcpu *hw = vmx_of(v);
    uint64_t cr0 = read_once(s->cr0), cr4 = read_once(s->cr4), efer = read_once(s->efer);
    if (!vmx_cr4_offered(cr4)) {
        hw->refused |= GROUP_CR;
        return;
    }
    /* LMA is not the monitor's to choose: it follows from LME and PG, and the entry control from it. */
    bool lma = (efer & EFER_LME) && (cr0 & CR0_PG);
    efer = lma ? efer | EFER_LMA : efer & ~EFER_LMA;

    write_cr2(v->cr2);
    bool differs = change(GUEST_CR0, vmx_cr0_real(cr0));
    differs |= change(GUEST_CR3, read_once(s->cr3));
    differs |= change(GUEST_CR4, vmx_cr4_real(cr4));
    if (vmread64(GUEST_EFER) != efer) {
        vmwrite64(GUEST_EFER, efer);
        vmwrite32(CONTROL_ENTRY, lma ? vmx.entry | BIT(ENTRYC_GUEST_64) : vmx.entry);
        differs = true;
    }
    vmwriten(CONTROL_CR0_SHADOW, cr0);
    vmwriten(CONTROL_CR4_SHADOW, cr4);
    if ((read_once(s->tpr) & 0xf) != virtual_tpr(s)) /* all eight bits are in the page; CR8 has four of them */
        __atomic_store_n(&s->apic[0x80 / 4], (uint32_t)(read_once(s->tpr) & 0xf) << 4, __ATOMIC_RELAXED);
    if (differs) /* entries keep the translations of a VPID */
        invvpid(INVALIDATE_SINGLE, hw->vpid);
}

static void get_cr(struct vcpu_state *s)
{
    uint64_t mask0 = vmx_cr0_mask(), mask4 = vmx_cr4_mask();
    s->cr0 = (vmreadn(GUEST_CR0) & ~mask0) | (vmreadn(CONTROL_CR0_SHADOW) & mask0);
    s->cr3 = vmreadn(GUEST_CR3);
    s->cr4 = (vmreadn(GUEST_CR4) & ~mask4) | (vmreadn(CONTROL_CR4_SHADOW) & mask4);
    s->efer = vmread64(GUEST_EFER);
    s->tpr = virtual_tpr(s);
}

void vmx_save_msrs(struct vmx_vcpu *hw)
{
    hw->kernel_gs_base = rdmsr(MSR_KERNEL_GS_BASE);
}

void vmx_load_msrs(const struct vmx_vcpu *hw)
{
    const uint64_t *own = hw->syscall;
    uint64_t *loaded = hw->cpu->syscall;
    if ((own[0] ^ loaded[0]) | (own[1] ^ loaded[1]) | (own[2] ^ loaded[2]) | (own[3] ^ loaded[3]))
        for (uint32_t i = 0; i < ARRAY_SIZE(hw->syscall); i++)
            if (loaded[i] != own[i])
                wrmsr(MSR_STAR + i, loaded[i] = own[i]);
    wrmsr(MSR_KERNEL_GS_BASE, hw->kernel_gs_base);
}
_Static_assert(MSR_LSTAR == MSR_STAR + 1 && MSR_CSTAR == MSR_STAR + 2 && MSR_FMASK == MSR_STAR + 3, "in a row");

static void set_msr_bitmap(struct vcpu *v)
{
    uint32_t open = v->spec_switched && (speculation_msrs & GUEST_SPEC_CTRL) ? BITMAP_SPEC_CTRL : 0;
    vmwrite64(CONTROL_MSR_BITMAP, pool_hpa(vmx_msr_page[vmx_of(v)->apic_mode | open]).v);
}

static void put_msrs(struct vmx_vcpu *hw, const struct vcpu_state *s)
{
    uint64_t syscall[4] = {read_once(s->star), read_once(s->lstar), read_once(s->cstar), read_once(s->fmask)},
             gs = read_once(s->kernel_gs_base);
    if (!vmx_canonical(syscall[1]) || !vmx_canonical(syscall[2]) || !vmx_canonical(gs) || syscall[3] >> 32) {
        hw->refused |= GROUP_MSR;
        return;
    }
    memcpy(hw->syscall, syscall, sizeof syscall);
    hw->kernel_gs_base = gs;
    vmx_load_msrs(hw);
    vmwrite32(GUEST_SYSENTER_CS, (uint32_t)read_once(s->sysenter_cs));
    vmwriten(GUEST_SYSENTER_ESP, read_once(s->sysenter_esp));
    vmwriten(GUEST_SYSENTER_EIP, read_once(s->sysenter_eip));
    vmwrite64(GUEST_PAT, read_once(s->pat));
}

static void get_msrs(struct vmx_vcpu *hw, struct vcpu_state *s)
{
    vmx_save_msrs(hw);
    memcpy((char *)s + offsetof(struct vcpu_state, star), hw->syscall, sizeof hw->syscall); /* STAR to FMASK */
    s->kernel_gs_base = hw->kernel_gs_base;
    s->sysenter_cs = vmread32(GUEST_SYSENTER_CS);
    s->sysenter_esp = vmreadn(GUEST_SYSENTER_ESP);
    s->sysenter_eip = vmreadn(GUEST_SYSENTER_EIP);
    s->pat = vmread64(GUEST_PAT);
}

/*
 * The controls and the bitmap belong together: the one without the other would let the guest write to the CPU's own
 * APIC. What is in the page and in these fields can be anything; it decides which interrupts this guest gets, and no
 * more.
 */
static __attribute__((noinline)) void put_apic(struct vcpu *v)
{
    const struct vcpu_state *s = v->state;
    if (!vmx.apic)
        return;
    uint32_t mode = read_once(s->apic_mode) == APIC_BY_CPU ? APIC_BY_CPU : APIC_BY_MONITOR;
    vmwrite32(CONTROL_PROC2, mode == APIC_BY_CPU ? vmx.proc2 | vmx.apic : vmx.proc2);
    vmx_of(v)->apic_mode = mode;
    set_msr_bitmap(v);
    vmwrite16(GUEST_INTERRUPT_STATUS, (uint16_t)(read_once(s->apic_serving) << 8 | read_once(s->apic_request)));
    for (unsigned i = 0; i < 4; i++)
        vmwrite64(CONTROL_EOI_EXIT(i), read_once(s->apic_eoi_exit[i]));
}

static void raise_request(const struct vcpu_state *s)
{
    uint8_t request = read_once(s->apic_request);
    uint16_t status = vmx.apic ? vmread16(GUEST_INTERRUPT_STATUS) : 0xff;
    if (request > (status & 0xff))
        vmwrite16(GUEST_INTERRUPT_STATUS, (uint16_t)((status & 0xff00) | request));
}

static __attribute__((noinline)) void put_registers(struct vcpu *v, uint32_t groups)
{
    struct vmx_vcpu *hw = vmx_of(v);
    struct vcpu_state *s = v->state;
    hw->refused &= ~groups;
    if (groups & GROUP_RIP)
        put_rip(s);
    if (groups & GROUP_SEG)
        put_segments(s);
    if (groups & GROUP_CR)
        put_cr(v, s);
    if (groups & GROUP_MSR) {
        put_msrs(hw, s);
        set_msr_bitmap(v);
    }
    if (groups & GROUP_DR) {
        vmwriten(GUEST_DR7, read_once(s->dr7));
        vmx_set_dr6(v, read_once(s->dr6) & 0xffffffff);
        hw->event = read_once(s->event);
    }
    if (groups & GROUP_TSC)
        vmwrite64(CONTROL_TSC_OFFSET, read_once(s->tsc_offset));
}

void vmx_put(struct vcpu *v, uint32_t groups)
{
    if (unlikely(groups & (GROUPS_REGISTERS | GROUP_TSC)))
        put_registers(v, groups);
    if (groups & GROUP_APIC)
        put_apic(v);
    else if (groups & GROUP_APIC_REQUEST)
        raise_request(v->state);
    if (groups & (GROUP_APIC | GROUP_APIC_REQUEST))
        quirk_request(vmx_of(v));
}

void vmx_get(struct vcpu *v, uint32_t groups)
{
    struct vmx_vcpu *hw = vmx_of(v);
    struct vcpu_state *s = v->state;
    if (groups & GROUP_RIP)
        get_rip(s);
    if (groups & GROUP_SEG)
        get_segments(s);
    if (groups & GROUP_CR)
        get_cr(s);
    if (groups & GROUP_MSR)
        get_msrs(hw, s);
    if (groups & GROUP_DR) {
        s->dr7 = vmreadn(GUEST_DR7);
        s->dr6 = vmx_dr6(v);
        /* INT n and its like: rip is at the instruction, the guest does it again. */
        s->event = EVENT_TYPE(hw->event) < EVENT_SOFT_INTERRUPT ? hw->event : 0;
    }
}

void vmx_skip(struct vcpu *v, uint32_t len)
{
    (void)v;
    vmx_step_over(len);
}

uint64_t vmx_dr7(struct vcpu *v)
{
    (void)v;
    return vmreadn(GUEST_DR7);
}

uint64_t vmx_dr6(struct vcpu *v)
{
    return v->dr_here ? read_dr6() : vmx_of(v)->dr6;
}

void vmx_set_dr6(struct vcpu *v, uint64_t value)
{
    vmx_of(v)->dr6 = value;
    if (v->dr_here)
        write_dr6(value);
}

void vmx_watch_dr(struct vcpu *v, bool on)
{
    struct vmx_vcpu *hw = vmx_of(v);
    hw->proc_base ^= BIT(PROC_MOV_DR);
    if (on)
        hw->dr6 = read_dr6();
    else
        write_dr6(hw->dr6);
}

uint64_t vmx_cr4(struct vcpu *v)
{
    (void)v;
    uint64_t mask = vmx_cr4_mask();
    return (vmreadn(GUEST_CR4) & ~mask) | (vmreadn(CONTROL_CR4_SHADOW) & mask);
}
