// SPDX-License-Identifier: Apache-2.0
/*
 * Which VMX controls this backend needs, and how a wish is resolved against what the CPU allows. Pure: the capability
 * MSRs' values come in as arguments. Source: Intel SDM vol. 3, appendix A.1-A.5, A.10 (capabilities), 25.6-25.8
 * (controls).
 */
#include "vmx/vmx.h"

/* Everything not named here is off: a feature behind it (XSAVES, user-mode wait, VMFUNC ...) raises #UD in the guest.
 * Forbidden are those that would turn what a guest does all the time into exits that no code expects: a CPU that
 * insists on one is of no use. */
const struct control_set vmx_control_sets[SET_COUNT] = {
    [SET_PIN] = {.msr = MSR_VMX_TRUE_PIN,
                 .required = BIT(PIN_EXTERNAL_INTERRUPT) | BIT(PIN_NMI) | BIT(PIN_VIRTUAL_NMIS) |
                             BIT(PIN_PREEMPTION_TIMER)},
    [SET_PROC] = {.msr = MSR_VMX_TRUE_PROC,
                  .required = BIT(PROC_TSC_OFFSETTING) | BIT(PROC_MWAIT) | BIT(PROC_RDPMC) | BIT(PROC_IO) |
                              BIT(PROC_MSR_BITMAPS) | BIT(PROC_MONITOR) | BIT(PROC_SECONDARY),
                  .wanted = BIT(PROC_TPR_SHADOW),
                  .switched = BIT(PROC_INTERRUPT_WINDOW) | BIT(PROC_HLT) | BIT(PROC_CR8_LOAD) | BIT(PROC_CR8_STORE) |
                              BIT(PROC_NMI_WINDOW) | BIT(PROC_MOV_DR),
                  .forbidden = BIT(PROC_INVLPG) | BIT(PROC_RDTSC) | BIT(PROC_CR3_LOAD) | BIT(PROC_CR3_STORE) |
                               BIT(PROC_IO_BITMAPS) | BIT(PROC_MONITOR_TRAP) | BIT(PROC_PAUSE)},
    /* Virtual x2APIC, APIC registers and virtual interrupts: all or none, see vmx_apic_controls. WBINVD would empty the
     * caches of every guest on the package. */
    [SET_PROC2] = {.msr = MSR_VMX_PROC2,
                   .required = BIT(PROC2_EPT) | BIT(PROC2_VPID) | BIT(PROC2_WBINVD) | BIT(PROC2_UNRESTRICTED),
                   .wanted = BIT(PROC2_RDTSCP) | BIT(PROC2_VIRTUAL_X2APIC) | BIT(PROC2_APIC_REGISTERS) |
                             BIT(PROC2_VIRTUAL_INTERRUPTS) | BIT(PROC2_INVPCID),
                   .forbidden = BIT(PROC2_DESCRIPTOR_TABLES)},
    [SET_EXIT] = {.msr = MSR_VMX_TRUE_EXIT,
                  .required = BIT(EXITC_SAVE_DEBUG) | BIT(EXITC_HOST_64) | BIT(EXITC_ACK_INTERRUPT) |
                              BIT(EXITC_SAVE_PAT) | BIT(EXITC_LOAD_PAT) | BIT(EXITC_SAVE_EFER) | BIT(EXITC_LOAD_EFER),
                  .wanted = BIT(EXITC_SAVE_TIMER)}, /* see vmx_run */
    [SET_ENTRY] = {.msr = MSR_VMX_TRUE_ENTRY,
                   .required = BIT(ENTRYC_LOAD_DEBUG) | BIT(ENTRYC_LOAD_PAT) | BIT(ENTRYC_LOAD_EFER),
                   .switched = BIT(ENTRYC_GUEST_64),
                   .forbidden = BIT(ENTRYC_SMM)},
};

uint32_t vmx_resolve(const struct control_set *set, uint64_t capability, uint32_t *value)
{
    uint32_t must = (uint32_t)capability, may = (uint32_t)(capability >> 32);
    *value = must | (may & (set->required | set->wanted)); /* bits unknown here get what the CPU insists on */
    return (must & (set->switched | set->forbidden)) | (~may & (set->switched | set->required));
}

uint32_t vmx_apic_controls(uint32_t proc, uint32_t *proc2)
{
    const uint32_t all = BIT(PROC2_VIRTUAL_X2APIC) | BIT(PROC2_APIC_REGISTERS) | BIT(PROC2_VIRTUAL_INTERRUPTS);
    bool possible = (*proc2 & all) == all && (proc & BIT(PROC_TPR_SHADOW));
    *proc2 &= ~all;
    return possible ? all : 0;
}

unsigned vmx_basic_lacking(uint64_t basic)
{
    if (!(basic >> 55 & 1)) /* the TRUE control capability MSRs */
        return 55;
    if ((basic >> 32 & 0x1fff) > PAGE_SIZE) /* a VMCS region's size... */
        return 32;
    if ((basic >> 50 & 0xf) != 6) /* ...and memory type: write-back */
        return 50;
    return basic >> 48 & 1 ? 48 : 0; /* physical addresses of 32 bits only */
}
