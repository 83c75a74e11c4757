// SPDX-License-Identifier: Apache-2.0
/* What this machine's CPU needs against attacks by speculation, and what it gets, in the log. See speculation.h. */
#include "services/root/root.h"
#include "services/root/speculation.h"

struct regs {
    uint32_t a, b, c, d;
};

static struct regs cpuid(uint32_t leaf, uint32_t subleaf)
{
    struct regs r;
    __asm__ volatile("cpuid" : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d) : "a"(leaf), "c"(subleaf));
    return r;
}

/* Family and model: Intel SDM vol. 2, CPUID leaf 1; AMD's are read alike. */
static struct speculation_cpu this_cpu(uint64_t capabilities)
{
    struct regs zero = cpuid(0, 0), one = cpuid(1, 0), none = {0}, seven = zero.a >= 7 ? cpuid(7, 0) : none;
    struct regs more = seven.a >= 2 ? cpuid(7, 2) : none;
    uint32_t last = cpuid(0x80000000u, 0).a, family = one.a >> 8 & 15;
    struct regs amd_8 = last >= 0x80000008u ? cpuid(0x80000008u, 0) : none;
    struct regs amd_21 = last >= 0x80000021u ? cpuid(0x80000021u, 0) : none;
    return (struct speculation_cpu){.amd = zero.b == 0x68747541u || zero.b == 0x6f677948u,
                                    .family = family == 15 ? family + (one.a >> 20 & 255) : family,
                                    .model = (one.a >> 4 & 15) | (one.a >> 12 & 0xf0),
                                    .stepping = one.a & 15,
                                    .word = {seven.b, seven.d, more.d, amd_8.b, amd_21.a, amd_21.c,
                                             (uint32_t)capabilities, (uint32_t)(capabilities >> 32)}};
}

void speculation_report(void)
{
    static const struct {
        enum log_level level;
        const char *words;
    } lines[SPECULATION_STATES] = {
        [SPECULATION_HELD] = {LOG_INFO, "kept off"},
        [SPECULATION_OLD] = {LOG_WARN, "open until the CPU has newer microcode"},
        [SPECULATION_OFF] = {LOG_WARN, "open, for it is left to a hypervisor or switched off"},
        [SPECULATION_OPEN] = {LOG_WARN, "open (docs/memory.md)"},
    };
    const struct root_boot *b = ROOT_BOOT;
    struct speculation_cpu c = this_cpu(b->arch_capabilities);
    bool guest = (cpuid(1, 0).c >> 31) != 0; /* an emulator or a hypervisor, whose business it is */
    bool any = false;
    for (unsigned i = SPECULATION_HELD; i < SPECULATION_STATES; i++) {
        char names[320];
        speculation_names(&c, b->barriers, i, names, sizeof names);
        if (names[0] != 0)
            root_log(guest ? LOG_INFO : lines[i].level, "attacks by speculation, %s: %s", lines[i].words, names);
        any |= names[0] != 0;
    }
    if (!any)
        root_log(LOG_INFO, "attacks by speculation: this CPU needs nothing against those that are known");
}
