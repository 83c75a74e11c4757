// SPDX-License-Identifier: Apache-2.0
/*
 * Which VMX controls this backend needs, and how a wish is resolved against what the CPU allows. Pure: the capability
 * MSRs' values come in as arguments. Source: Intel SDM vol. 3, appendix A.1-A.5, A.10 (capabilities), 25.6-25.8
 * (controls).
 */
#include "vmx/vmx.h"

static const struct control_row pin_rows[] = {
    {PIN_EXTERNAL_INTERRUPT, REQUIRED, "external-interrupt exiting"},
    {PIN_NMI, REQUIRED, "NMI exiting"},
    {PIN_VIRTUAL_NMIS, REQUIRED, "virtual NMIs"},
    {PIN_PREEMPTION_TIMER, REQUIRED, "activate VMX-preemption timer"},
};

/* Forbidden are those that would turn what a guest does all the time into exits that no code expects: a CPU that
 * insists on one is of no use. */
static const struct control_row proc_rows[] = {
    {PROC_INTERRUPT_WINDOW, SWITCHED, "interrupt-window exiting"},
    {PROC_TSC_OFFSETTING, REQUIRED, "use TSC offsetting"},
    {PROC_HLT, SWITCHED, "HLT exiting"},
    {PROC_INVLPG, FORBIDDEN, "INVLPG exiting off"},
    {PROC_MWAIT, REQUIRED, "MWAIT exiting"},
    {PROC_RDPMC, REQUIRED, "RDPMC exiting"},
    {PROC_RDTSC, FORBIDDEN, "RDTSC exiting off"},
    {PROC_CR3_LOAD, FORBIDDEN, "CR3-load exiting off"},
    {PROC_CR3_STORE, FORBIDDEN, "CR3-store exiting off"},
    {PROC_CR8_LOAD, SWITCHED, "CR8-load exiting"},
    {PROC_CR8_STORE, SWITCHED, "CR8-store exiting"},
    {PROC_TPR_SHADOW, WANTED, "use TPR shadow"},
    {PROC_NMI_WINDOW, SWITCHED, "NMI-window exiting"},
    {PROC_MOV_DR, SWITCHED, "MOV-DR exiting"},
    {PROC_IO, REQUIRED, "unconditional I/O exiting"},
    {PROC_IO_BITMAPS, FORBIDDEN, "use I/O bitmaps off"},
    {PROC_MONITOR_TRAP, FORBIDDEN, "monitor trap flag off"},
    {PROC_MSR_BITMAPS, REQUIRED, "use MSR bitmaps"},
    {PROC_MONITOR, REQUIRED, "MONITOR exiting"},
    {PROC_PAUSE, FORBIDDEN, "PAUSE exiting off"},
    {PROC_SECONDARY, REQUIRED, "activate secondary controls"},
};

/* Everything not named here is off: a feature behind it (XSAVES, user-mode wait, VMFUNC ...) raises #UD in the guest.
 */
static const struct control_row proc2_rows[] = {
    {PROC2_EPT, REQUIRED, "enable EPT"},
    {PROC2_DESCRIPTOR_TABLES, FORBIDDEN, "descriptor-table exiting off"},
    {PROC2_RDTSCP, WANTED, "enable RDTSCP"},
    {PROC2_VIRTUAL_X2APIC, WANTED, "virtualize x2APIC mode"}, /* this and the next two all or none: vmx_apic_controls */
    {PROC2_APIC_REGISTERS, WANTED, "APIC-register virtualization"},
    {PROC2_VIRTUAL_INTERRUPTS, WANTED, "virtual-interrupt delivery"},
    {PROC2_VPID, REQUIRED, "enable VPID"},
    {PROC2_WBINVD, REQUIRED, "WBINVD exiting"}, /* it would empty the caches of every guest on the package */
    {PROC2_UNRESTRICTED, REQUIRED, "unrestricted guest"},
    {PROC2_INVPCID, WANTED, "enable INVPCID"},
};

static const struct control_row exit_rows[] = {
    {EXITC_SAVE_DEBUG, REQUIRED, "save debug controls"},
    {EXITC_HOST_64, REQUIRED, "host address-space size"},
    {EXITC_ACK_INTERRUPT, REQUIRED, "acknowledge interrupt on exit"},
    {EXITC_SAVE_PAT, REQUIRED, "save IA32_PAT"},
    {EXITC_LOAD_PAT, REQUIRED, "load IA32_PAT on exit"},
    {EXITC_SAVE_EFER, REQUIRED, "save IA32_EFER"},
    {EXITC_LOAD_EFER, REQUIRED, "load IA32_EFER on exit"},
    {EXITC_SAVE_TIMER, WANTED, "save VMX-preemption timer value"}, /* see vmx_run */
};

static const struct control_row entry_rows[] = {
    {ENTRYC_LOAD_DEBUG, REQUIRED, "load debug controls"},
    {ENTRYC_GUEST_64, SWITCHED, "IA-32e mode guest"},
    {ENTRYC_SMM, FORBIDDEN, "entry to SMM off"},
    {ENTRYC_LOAD_PAT, REQUIRED, "load IA32_PAT on entry"},
    {ENTRYC_LOAD_EFER, REQUIRED, "load IA32_EFER on entry"},
};

#define SET(name, msr, rows)              \
    {                                     \
        name, msr, ARRAY_SIZE(rows), rows \
    }
const struct control_set vmx_control_sets[SET_COUNT] = {
    [SET_PIN] = SET("pin-based control", MSR_VMX_TRUE_PIN, pin_rows),
    [SET_PROC] = SET("processor-based control", MSR_VMX_TRUE_PROC, proc_rows),
    [SET_PROC2] = SET("secondary processor-based control", MSR_VMX_PROC2, proc2_rows),
    [SET_EXIT] = SET("VM-exit control", MSR_VMX_TRUE_EXIT, exit_rows),
    [SET_ENTRY] = SET("VM-entry control", MSR_VMX_TRUE_ENTRY, entry_rows),
};

enum error vmx_resolve(const struct control_set *set, uint64_t capability, uint32_t *value,
                       const struct control_row **lacking)
{
    uint32_t must = (uint32_t)capability, may = (uint32_t)(capability >> 32);
    uint32_t result = must; /* bits unknown here get what the CPU insists on */
    for (uint32_t i = 0; i < set->count; i++) {
        const struct control_row *row = &set->rows[i];
        uint32_t bit = BIT(row->bit);
        bool possible = row->wish == FORBIDDEN || row->wish == SWITCHED ? !(must & bit) : true;
        if (row->wish == REQUIRED || row->wish == SWITCHED)
            possible = possible && (may & bit);
        if (!possible) {
            *lacking = row;
            return E_UNSUPPORTED;
        }
        if (row->wish == REQUIRED || row->wish == WANTED)
            result |= may & bit;
    }
    *value = result;
    return OK;
}

uint32_t vmx_apic_controls(uint32_t proc, uint32_t *proc2)
{
    const uint32_t all = BIT(PROC2_VIRTUAL_X2APIC) | BIT(PROC2_APIC_REGISTERS) | BIT(PROC2_VIRTUAL_INTERRUPTS);
    bool possible = (*proc2 & all) == all && (proc & BIT(PROC_TPR_SHADOW));
    *proc2 &= ~all;
    return possible ? all : 0;
}

struct word_row {
    uint8_t bit;
    const char *words;
};

static const char *first_clear(uint64_t value, const struct word_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!(value >> rows[i].bit & 1))
            return rows[i].words;
    return NULL;
}

const char *vmx_basic_lacking(uint64_t basic)
{
    if (!(basic >> 55 & 1))
        return "the TRUE control capability MSRs (IA32_VMX_BASIC bit 55)";
    if ((basic >> 32 & 0x1fff) > PAGE_SIZE)
        return "VMCS regions of at most 4 KiB";
    if ((basic >> 50 & 0xf) != 6)
        return "VMCS regions in write-back memory";
    if (basic >> 48 & 1)
        return "VMX structures above 4 GiB (IA32_VMX_BASIC bit 48)";
    return NULL;
}

const char *vmx_ept_lacking(uint64_t ept_vpid)
{
    static const struct word_row rows[] = {
        {6, "EPT with four levels"},
        {14, "EPT in write-back memory"},
        {20, "INVEPT"},
        {26, "INVEPT of all contexts"},
        {32, "INVVPID"},
        {41, "INVVPID of a single context"},
        {42, "INVVPID of all contexts"},
    };
    return first_clear(ept_vpid, rows, ARRAY_SIZE(rows));
}

const char *vmx_feature_lacking(uint64_t feature_control)
{
    if ((feature_control & FEATURE_LOCKED) && !(feature_control & FEATURE_VMX_NO_SMX))
        return "the firmware has switched it off and locked it: switch on \"Intel Virtualization Technology\" in its settings";
    return NULL;
}
