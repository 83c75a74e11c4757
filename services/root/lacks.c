// SPDX-License-Identifier: Apache-2.0
/* Why this machine cannot run guests, in words. The controls have Intel's names (SDM vol. 3, 25.6-25.8). See root.h. */
#include "lib/print.h"
#include "services/root/root.h"

static const struct row {
    uint8_t what, bit;
    const char *words;
} rows[] = {
    {LACK_VMX_BASIC, 32, "VMCS regions of at most 4 KiB"},
    {LACK_VMX_BASIC, 48, "VMX structures above 4 GiB (IA32_VMX_BASIC bit 48)"},
    {LACK_VMX_BASIC, 50, "VMCS regions in write-back memory"},
    {LACK_VMX_BASIC, 55, "the TRUE control capability MSRs (IA32_VMX_BASIC bit 55)"},
    {LACK_VMX_PIN, 0, "external-interrupt exiting"},
    {LACK_VMX_PIN, 3, "NMI exiting"},
    {LACK_VMX_PIN, 5, "virtual NMIs"},
    {LACK_VMX_PIN, 6, "activate VMX-preemption timer"},
    {LACK_VMX_PROC, 2, "interrupt-window exiting"},
    {LACK_VMX_PROC, 3, "use TSC offsetting"},
    {LACK_VMX_PROC, 7, "HLT exiting"},
    {LACK_VMX_PROC, 9, "INVLPG exiting off"},
    {LACK_VMX_PROC, 10, "MWAIT exiting"},
    {LACK_VMX_PROC, 11, "RDPMC exiting"},
    {LACK_VMX_PROC, 12, "RDTSC exiting off"},
    {LACK_VMX_PROC, 15, "CR3-load exiting off"},
    {LACK_VMX_PROC, 16, "CR3-store exiting off"},
    {LACK_VMX_PROC, 19, "CR8-load exiting"},
    {LACK_VMX_PROC, 20, "CR8-store exiting"},
    {LACK_VMX_PROC, 22, "NMI-window exiting"},
    {LACK_VMX_PROC, 23, "MOV-DR exiting"},
    {LACK_VMX_PROC, 24, "unconditional I/O exiting"},
    {LACK_VMX_PROC, 25, "use I/O bitmaps off"},
    {LACK_VMX_PROC, 27, "monitor trap flag off"},
    {LACK_VMX_PROC, 28, "use MSR bitmaps"},
    {LACK_VMX_PROC, 29, "MONITOR exiting"},
    {LACK_VMX_PROC, 30, "PAUSE exiting off"},
    {LACK_VMX_PROC, 31, "activate secondary controls"},
    {LACK_VMX_PROC2, 1, "enable EPT"},
    {LACK_VMX_PROC2, 2, "descriptor-table exiting off"},
    {LACK_VMX_PROC2, 5, "enable VPID"},
    {LACK_VMX_PROC2, 6, "WBINVD exiting"},
    {LACK_VMX_PROC2, 7, "unrestricted guest"},
    {LACK_VMX_EXIT, 2, "save debug controls"},
    {LACK_VMX_EXIT, 9, "host address-space size"},
    {LACK_VMX_EXIT, 15, "acknowledge interrupt on exit"},
    {LACK_VMX_EXIT, 18, "save IA32_PAT"},
    {LACK_VMX_EXIT, 19, "load IA32_PAT on exit"},
    {LACK_VMX_EXIT, 20, "save IA32_EFER"},
    {LACK_VMX_EXIT, 21, "load IA32_EFER on exit"},
    {LACK_VMX_ENTRY, 2, "load debug controls"},
    {LACK_VMX_ENTRY, 9, "IA-32e mode guest"},
    {LACK_VMX_ENTRY, 10, "entry to SMM off"},
    {LACK_VMX_ENTRY, 14, "load IA32_PAT on entry"},
    {LACK_VMX_ENTRY, 15, "load IA32_EFER on entry"},
    {LACK_VMX_EPT, 6, "EPT with four levels"},
    {LACK_VMX_EPT, 14, "EPT in write-back memory"},
    {LACK_VMX_EPT, 20, "INVEPT"},
    {LACK_VMX_EPT, 26, "INVEPT of all contexts"},
    {LACK_VMX_EPT, 32, "INVVPID"},
    {LACK_VMX_EPT, 41, "INVVPID of a single context"},
    {LACK_VMX_EPT, 42, "INVVPID of all contexts"},
};

static const char *words_of(struct lack lack)
{
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
        if (rows[i].what == lack.what && rows[i].bit == lack.bit)
            return rows[i].words;
    return "something new";
}

void lack_text(const struct lack lacks[2], char *out, size_t size)
{
    static const char *const control[] = {
        [LACK_VMX_PIN] = "pin-based control",
        [LACK_VMX_PROC] = "processor-based control",
        [LACK_VMX_PROC2] = "secondary processor-based control",
        [LACK_VMX_EXIT] = "VM-exit control",
        [LACK_VMX_ENTRY] = "VM-entry control",
    };
    struct lack lack = lacks[lacks[0].what == LACK_VTX];
    switch (lack.what) {
    case LACK_VTX_UNLOCKED:
        format(out, size,
               "VT-x: the firmware has switched it off and locked it: switch on \"Intel Virtualization "
               "Technology\" in its settings");
        break;
    case LACK_VMX_BASIC:
    case LACK_VMX_EPT: format(out, size, "VT-x: this CPU lacks %s", words_of(lack)); break;
    case LACK_VMX_PIN:
    case LACK_VMX_PROC:
    case LACK_VMX_PROC2:
    case LACK_VMX_EXIT:
    case LACK_VMX_ENTRY:
        format(out, size, "VT-x: this CPU lacks '%s' (%s %u)", words_of(lack), control[lack.what], lack.bit);
        break;
    case LACK_SVM_UNLOCKED:
        format(out, size,
               "the firmware has switched AMD-V off and locked it: enable \"SVM Mode\" (or \"AMD-V\") in "
               "its CPU settings");
        break;
    case LACK_SVM_NPT:
        format(out, size, "the CPU has AMD-V but no nested paging (CPUID 8000_000Ah EDX bit 0); a newer CPU is needed");
        break;
    case LACK_SVM_ASIDS:
        format(out, size, "AMD-V reports no address-space identifier for guests (CPUID 8000_000Ah EBX)");
        break;
    default:
        format(out, size,
               "the CPU has no AMD-V (CPUID 8000_0001h ECX bit 2) and no VT-x (CPUID 1 ECX bit 5); an "
               "emulator or an outer hypervisor may have it off by default");
    }
}
