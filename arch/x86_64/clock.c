// SPDX-License-Identifier: Apache-2.0
/*
 * How fast the TSC is, measured against a counter of known rate: the ACPI PM timer (ACPI Specification 6.4, 4.8.3.3),
 * and channel 2 of the PIT (8254 data sheet). Both run on by themselves. Each look at a counter stands between two
 * readings of the TSC, so it is known how far the look may be off, if firmware or a host
 * below us takes the CPU away meanwhile. Where neither counts, the CPU is believed: Intel SDM vol. 2, CPUID leaves 15H
 * (the crystal's rate and the ratio) and 16H (MHz); under a hypervisor leaf 4000_0010H (kHz), as VMware, KVM and others
 * have it. Only there: an emulator's CPU may tell the rate of the CPU that it imitates.
 */
#include "arch/x86_64/clock.h"

#include "arch/x86_64/apic.h"
#include "arch/x86_64/instr.h"
#include "arch/x86_64/time.h"
#include "kernel/log.h"

enum { PM_TIMER, PIT, APIC_TIMER, COUNTERS };
static const uint32_t hz[COUNTERS] = {3579545, 1193182};
static const uint32_t mask[COUNTERS] = {0xffffff, 0xffff, ~0u}; /* 24 or 32 bits: the firmware decides */

#define MEASURE_MS      6u
#define ATTEMPTS        12u
#define LOOKS           8u
#define PIT_MS          50u          /* after so long it might have gone round */
#define TOO_LONG        (1ull << 32) /* ticks in which no counter moves as it should */
#define KHZ_MIN         10000u       /* slower than any CPU */
#define IS_GOOD         1000u        /* one part in this is the error at most */
#define ARE_ALIKE(a, b) (max_u64(a, b) - min_u64(a, b) <= (a) / 400)

static uint16_t pm_port;

static uint32_t read_counter(unsigned which)
{
    if (which == PM_TIMER)
        return pm_port ? in32(pm_port) : 0;
    if (which == APIC_TIMER)
        return ~apic_timer_left();
    out8(0x43, 0x80); /* holds what channel 2 shows; it counts down */
    uint32_t low = in8(0x42);
    return ~(low | (uint32_t)in8(0x42) << 8);
}

struct look {
    uint64_t tsc, width; /* between tsc and tsc + width it showed */
    uint32_t count;
};

static struct look look_at(unsigned which)
{
    struct look best = {.width = NEVER};
    for (unsigned i = 0; i < LOOKS; i++) {
        struct look l = {.tsc = rdtsc()};
        l.count = read_counter(which);
        l.width = rdtsc() - l.tsc;
        if (l.width < best.width)
            best = l;
    }
    return best;
}

/* Of one counter, while the TSC went so far. */
struct stretch {
    uint64_t ticks, counts, error; /* error: ticks, at most */
};

static bool has_gone(unsigned which, const struct look *begin, uint32_t ms)
{
    return ((read_counter(which) - begin->count) & mask[which]) >= hz[which] / 1000 * ms;
}

static void measure(uint32_t ms, struct stretch s[COUNTERS])
{
    struct look begin[COUNTERS];
    for (unsigned i = 0; i < COUNTERS; i++)
        begin[i] = look_at(i);
    while (!has_gone(PM_TIMER, &begin[PM_TIMER], ms) && !has_gone(PIT, &begin[PIT], ms) &&
           rdtsc() - begin[PIT].tsc < TOO_LONG) {
    }
    for (unsigned i = 0; i < COUNTERS; i++) {
        struct look end = look_at(i);
        s[i].ticks = end.tsc - begin[i].tsc;
        s[i].counts = (end.count - begin[i].count) & mask[i];
        s[i].error = begin[i].width + end.width + s[i].ticks / max_u64(s[i].counts, 1);
    }
}

/* 0: it does not count. */
static uint64_t khz_by(unsigned which, const struct stretch *s)
{
    return s->counts ? s->ticks * hz[which] / s->counts / 1000 : 0;
}

/* What the CPU says; 0: nothing. */
static uint64_t khz_told(void)
{
    uint32_t last = cpuid(0, 0).eax;
    if (cpuid(1, 0).ecx >> 31 && cpuid(0x40000000, 0).eax >= 0x40000010 && cpuid(0x40000010, 0).eax)
        return cpuid(0x40000010, 0).eax;
    struct cpuid_regs crystal = last >= 0x15 ? cpuid(0x15, 0) : (struct cpuid_regs){0};
    if (crystal.eax && crystal.ebx && crystal.ecx)
        return (uint64_t)crystal.ecx * crystal.ebx / crystal.eax / 1000;
    return last >= 0x16 ? (cpuid(0x16, 0).eax & 0xffff) * 1000 : 0;
}

uint64_t clock_measure(uint16_t acpi_pm_port, uint64_t *apic_per_tsc)
{
    uint64_t khz = 0, before = 0;
    bool good = false;
    pm_port = acpi_pm_port;
    out8(0x61, (in8(0x61) & 0xfc) | 1); /* channel 2 counts, without the speaker */
    out8(0x43, 0xb4);                   /* round and round (mode 2), from 65,536 */
    out8(0x42, 0);
    out8(0x42, 0);
    apic_timer(~0u);
    for (unsigned n = 0; n < ATTEMPTS && !good && (n == 0 || before);
         n++) { /* what does not count at once never will */
        struct stretch s[COUNTERS];
        measure(MEASURE_MS << n / 4, s);
        uint64_t by_pm = khz_by(PM_TIMER, &s[PM_TIMER]), by_pit = khz_by(PIT, &s[PIT]);
        uint64_t now = by_pm ? by_pm : by_pit;
        const struct stretch *by = &s[by_pm ? PM_TIMER : PIT];
        bool both = by_pm && by_pit && by->ticks / by_pm < PIT_MS;
        good = now >= KHZ_MIN && by->error <= by->ticks / IS_GOOD && ARE_ALIKE(now, before) &&
               (!both || ARE_ALIKE(by_pm, by_pit));
        if (now >= KHZ_MIN)
            khz = now;
        *apic_per_tsc = (s[APIC_TIMER].counts << 32) / s[APIC_TIMER].ticks;
        before = now;
    }
    apic_timer(0);
    if (khz == 0) {
        khz = khz_told();
        if (khz < KHZ_MIN)
            panic(
                "neither the ACPI PM timer nor the PIT counts, and the CPU does not tell the rate of its clock (CPUID "
                "says %lu kHz): Mullion needs one of them",
                khz);
        klog(LOG_WARN, "neither the ACPI PM timer nor the PIT counts: the CPU's clock is %lu kHz because CPUID says so",
             khz);
    } else if (!good) {
        klog(LOG_WARN, "the CPU's clock could not be measured well: %lu kHz, but the machine's timers disagree", khz);
    }
    return khz;
}
