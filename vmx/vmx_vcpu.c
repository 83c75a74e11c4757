// SPDX-License-Identifier: Apache-2.0
/*
 * A vCPU's VMCS: made, filled, made current, freed. It is always used on the same CPU, and cleared there when its
 * thread ends: then the CPU holds nothing of it, and its page may be freed from anywhere. The guest's state comes from
 * the monitor, in groups. Sources: Intel SDM vol. 3, 25.11 (using VMCS regions), 27.2.2-27.2.4 (host state).
 */
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/instr.h"
#include "arch/x86_64/traps.h"
#include "kernel/domain.h"
#include "kernel/log.h"
#include "kernel/string.h"
#include "mullion/regs.h"
#include "vmx/vmx.h"
#include "vmx/vmx_instr.h"

#define VPID_LAST 0xffffu

/* #MC is the host's; for #DB and #AC see vmx_exit.c. */
#define INTERCEPTED_EXCEPTIONS (BIT(1) | BIT(17) | BIT(18))

static void vcpu_destroy(struct vcpu *v)
{
    struct vmx_vcpu *hw = vmx_of(v);
    struct quota *q = &v->payer->quota;
    pool_page_free(q, hw->vmcs);
    pool_free(q, hw, sizeof *hw);
}

static enum error vcpu_create(struct vcpu *v)
{
    struct quota *q = &v->payer->quota;
    struct vmx_vcpu *hw = pool_alloc(q, sizeof *hw);
    if (!hw)
        return E_QUOTA;
    hw->refused = GROUPS_REGISTERS; /* nothing is there yet */
    hw->proc_base = vmx.proc | BIT(PROC_MOV_DR) | (v->dedicated ? 0 : BIT(PROC_HLT));
    hw->dr6 = DR6_RESET;
    hw->vmcs = pool_page(q);
    v->hw = hw;
    if (!hw->vmcs)
        return E_QUOTA;
    hw->vmcs_hpa = pool_hpa(hw->vmcs);
    memcpy(hw->vmcs, &vmx.revision, sizeof vmx.revision);
    if (!vmclear(&hw->vmcs_hpa))
        panic("VT-x: VMCLEAR of a new VMCS was refused");
    v->state->apic_offer = vmx.apic ? APIC_BY_CPU : APIC_BY_MONITOR;
    return OK;
}

/* A VMCS begins with anything in its fields. */
static const vmcs32_t unused[] = {
    CONTROL_PF_MASK,        CONTROL_PF_MATCH,        CONTROL_CR3_TARGETS, CONTROL_EXIT_MSR_STORES,
    CONTROL_EXIT_MSR_LOADS, CONTROL_ENTRY_MSR_LOADS, ENTRY_EVENT,         CONTROL_TPR_THRESHOLD,
};

static void set_up_controls(struct vcpu *v, struct vmx_vcpu *hw)
{
    vmwrite32(CONTROL_PIN, vmx.pin);
    vmwrite32(CONTROL_PROC, hw->proc_base);
    vmwrite32(CONTROL_PROC2, vmx.proc2);
    vmwrite32(CONTROL_EXIT, vmx.exit);
    vmwrite32(CONTROL_ENTRY, vmx.entry);
    hw->proc = hw->proc_base;
    vmwrite32(CONTROL_EXCEPTIONS, INTERCEPTED_EXCEPTIONS);
    for (size_t i = 0; i < ARRAY_SIZE(unused); i++)
        vmwrite32(unused[i], 0);
    vmwrite64(CONTROL_MSR_BITMAP, pool_hpa(vmx_msr_page[APIC_BY_MONITOR]).v);
    vmwrite64(CONTROL_VIRTUAL_APIC, pool_hpa(v->state).v);
    vmwrite64(CONTROL_TSC_OFFSET, 0);
    vmwrite64(CONTROL_EPTP, pool_hpa(v->space->tables.root).v | EPTP_WALK_4 | EPTP_WRITE_BACK);
    vmwriten(CONTROL_CR0_MASK, vmx_cr0_mask());
    vmwriten(CONTROL_CR4_MASK, vmx_cr4_mask());
    vmwrite64(GUEST_EFER, 0); /* goes with CONTROL_ENTRY: see put_cr */
    vmwrite64(GUEST_DEBUGCTL, 0);
    vmwrite64(GUEST_LINK_POINTER, ~0ull);
}

static void set_up_host(void)
{
    vmwriten(HOST_CR0, read_cr0() | CR0_TS);       /* ring 3 must not use the FPU, whose state is a guest's */
    vmwriten(HOST_CR4, read_cr4() & ~CR4_OSXSAVE); /* the FPU is open here */
    vmwrite16(HOST_CS, SEL_KERNEL_CODE);
    vmwrite16(HOST_SS, SEL_KERNEL_DATA);
    vmwrite16(HOST_DS, 0);
    vmwrite16(HOST_ES, 0);
    vmwrite16(HOST_FS, 0);
    vmwrite16(HOST_GS, 0);
    vmwrite16(HOST_TR, SEL_TSS);
    vmwriten(HOST_FS_BASE, 0);
    vmwriten(HOST_GS_BASE, 0);
    vmwriten(HOST_TR_BASE, (uint64_t)this_cpu() + AREA_TSS);
    vmwriten(HOST_GDTR_BASE, (uint64_t)cpu_gdt(this_cpu()));
    vmwriten(HOST_IDTR_BASE, idt_base());
    vmwrite32(HOST_SYSENTER_CS, SEL_KERNEL_CODE);
    vmwriten(HOST_SYSENTER_ESP, cpu_call_stack(this_cpu()));
    vmwriten(HOST_SYSENTER_EIP, (uint64_t)sysenter_entry);
    vmwrite64(HOST_EFER, rdmsr(MSR_EFER));
    vmwrite64(HOST_PAT, rdmsr(MSR_PAT));
    vmwriten(HOST_RIP, (uint64_t)vmx_exit_point);
    vmwriten(HOST_CR3, read_cr3()); /* its thread's domain is loaded, and a thread does not change its domain */
}

/* A VPID of this CPU's own for each vCPU. When they are used up all begin anew, with nothing left of the old ones in
 * the TLB. */
static __attribute__((noinline)) void choose_vpid(struct vmx_vcpu *hw, struct vmx_cpu *c)
{
    if (c->vpid_next > VPID_LAST) {
        invvpid(INVALIDATE_ALL, 0);
        c->vpid_generation++;
        c->vpid_next = 1;
    }
    hw->vpid_generation = c->vpid_generation;
    hw->vpid = c->vpid_next++;
    vmwrite16(CONTROL_VPID, (uint16_t)hw->vpid);
}

static __attribute__((noinline)) void first_load(struct vcpu *v, struct vmx_vcpu *hw)
{
    hw->cpu = vmx_this_cpu();
    set_up_controls(v, hw);
    set_up_host();
    invept(INVALIDATE_ALL,
           0); /* the page of its EPT root may have been another space's: nothing of that one may be left */
}

/* The CPU may keep several VMCSs active: one that was put aside is neither cleared nor launched again (SDM vol.
 * 3, 25.1). */
static void change(struct vcpu *old, struct vcpu *v)
{
    if (old)
        vmx_save_msrs(vmx_of(old));
    if (!v)
        return;
    struct vmx_vcpu *hw = vmx_of(v);
    if (!vmptrld(&hw->vmcs_hpa))
        panic("VT-x: VMPTRLD was refused");
    if (unlikely(!hw->cpu))
        first_load(v, hw);
    if (unlikely(hw->vpid_generation != hw->cpu->vpid_generation))
        choose_vpid(hw, hw->cpu);
    vmx_load_msrs(hw);
    write_cr2(v->cr2); /* not in the VMCS */
}

/* The CPU writes back what it has of the VMCS, and knows it no more. */
static void retire(struct vcpu *v)
{
    if (!vmclear(&vmx_of(v)->vmcs_hpa))
        panic("VT-x: VMCLEAR was refused");
}

static void flush(void)
{
    invept(INVALIDATE_ALL, 0);
}

const struct backend vmx_backend = {
    .name = "VT-x",
    .call_way = CALL_BY_SYSENTER,
    .format = &pt_ept,
    .msr_bitmap = vmx_msr_page,
    .probe = vmx_probe,
    .cpu_start = vmx_cpu_start,
    .vcpu_create = vcpu_create,
    .vcpu_destroy = vcpu_destroy,
    .change = change,
    .retire = retire,
    .put = vmx_put,
    .get = vmx_get,
    .run = vmx_run,
    .enter = vmx_vcpu_enter,
    .skip = vmx_skip,
    .cr4 = vmx_cr4,
    .dr7 = vmx_dr7,
    .watch_dr = vmx_watch_dr,
    .flush = flush,
};
