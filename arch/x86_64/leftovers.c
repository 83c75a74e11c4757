// SPDX-License-Identifier: Apache-2.0
/* Sources: Intel SDM vol. 4, table 2-2 (the MSRs), vol. 2, CPUID (where each exists). */
#include "arch/x86_64/leftovers.h"

#include "arch/x86_64/instr.h"
#include "mullion/regs.h"

enum { EAX, EBX, ECX, EDX };
static const struct {
    uint32_t msr, leaf, subleaf, word, any_of;
} rows[] = {
    {MSR_DEBUGCTL, 1, 0, EDX, 1u << 5},        /* branch records and steps: guests of AMD-V run with the host's */
    {MSR_RTIT_CTL, 7, 0, EBX, 1u << 25},       /* traces all that runs, into memory that has other owners now */
    {MSR_LBR_CTL, 7, 0, EDX, 1u << 19},        /* records branches across domains */
    {MSR_PERF_GLOBAL_CTRL, 0xa, 0, EAX, 0xfe}, /* counts, and interrupts */
    {MSR_XSS, 0xd, 1, EAX, 1u << 3},           /* else XSAVES of a guest of AMD-V takes more than its own */
    {MSR_XFD, 0xd, 1, EAX, 1u << 4},           /* #NM for state that a guest has switched on */
};

void leftovers_clear(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        struct cpuid_regs r = cpuid(rows[i].leaf, rows[i].subleaf);
        const uint32_t words[] = {r.eax, r.ebx, r.ecx, r.edx};
        if (rows[i].leaf <= cpuid(0, 0).eax && words[rows[i].word] & rows[i].any_of)
            wrmsr(rows[i].msr, 0);
    }
}
