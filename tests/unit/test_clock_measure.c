// SPDX-License-Identifier: Apache-2.0
// sources: arch/x86_64/clock.c
// libs: -include tests/unit/fake_clock.h
/*
 * The clock is measured on machines whose host takes the CPU away at any moment, whose PIT or PM timer is missing, or
 * whose timers contradict each other: within 0.1%, or with a warning, or not at all.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86_64/apic.h"
#include "arch/x86_64/clock.h"
#include "kernel/log.h"

#define PM_PORT 0x608
#define APIC_HZ 62500000.0

static struct machine {
    double ns;          /* since power-on */
    double khz;         /* of the TSC */
    bool pit, pm, apic; /* those that count */
    double pit_rate;    /* 1: as it should */
    unsigned pauses;    /* one access in so many is followed by a pause */
    double pause_ns;    /* of at most so long */
    double read_ns;     /* an access takes so long */
} m;
static struct {
    bool hypervisor;
    uint32_t last, last_above; /* leaves */
    struct cpuid_regs crystal; /* 15H */
    uint32_t mhz, khz_above;   /* 16H, 4000_0010H */
} told;
static double apic_from;
static uint32_t latched;
static unsigned nibble, warnings, mode_set;
static jmp_buf stopped;

static void pass(double ns)
{
    m.ns += ns;
    if (m.pauses && (unsigned)rand() % m.pauses == 0)
        m.ns += m.pause_ns * (rand() % 1000) / 1000;
}
uint64_t rdtsc(void)
{
    pass(10);
    uint64_t now = (uint64_t)(m.ns * m.khz / 1e6);
    pass(10);
    return now;
}
uint32_t in32(uint16_t port)
{
    assert_int_equal(port, PM_PORT);
    pass(m.read_ns / 2);
    uint32_t now = m.pm ? (uint32_t)(uint64_t)(m.ns * 3579545 / 1e9) | 0xff000000
                        : ~0u; /* the high bits mean nothing */
    pass(m.read_ns / 2);
    return now;
}
uint8_t in8(uint16_t port)
{
    pass(m.read_ns);
    if (port == 0x61)
        return m.pit ? 0x20 : 0xff;
    assert_int_equal(port, 0x42);
    return m.pit ? (uint8_t)(latched >> (nibble++ % 2 * 8)) : 0xff;
}
void out8(uint16_t port, uint8_t v)
{
    pass(m.read_ns / 2);
    if (port == 0x43 && v == 0x80) {
        latched = 65535 - (uint32_t)(uint64_t)(m.ns * m.pit_rate * 1193182 / 1e9) % 65536;
        nibble = 0;
    }
    mode_set += port == 0x43 && v == 0xb4;
    pass(m.read_ns / 2);
}
struct cpuid_regs cpuid(uint32_t leaf, uint32_t subleaf)
{
    (void)subleaf;
    assert_true(leaf <= told.last || (leaf >= 0x40000000 && told.hypervisor && leaf <= told.last_above) ||
                leaf == 0x40000000 || leaf == 1);
    switch (leaf) {
    case 0: return (struct cpuid_regs){.eax = told.last};
    case 1: return (struct cpuid_regs){.ecx = (uint32_t)told.hypervisor << 31};
    case 0x15: return told.crystal;
    case 0x16: return (struct cpuid_regs){.eax = told.mhz | 0xabcd0000}; /* the upper half is reserved */
    case 0x40000000: return (struct cpuid_regs){.eax = told.last_above};
    default: return (struct cpuid_regs){.eax = told.khz_above};
    }
}
void apic_timer(uint32_t ticks)
{
    assert_true(ticks == ~0u || ticks == 0);
    apic_from = m.ns;
}
uint32_t apic_timer_left(void)
{
    pass(m.read_ns / 2);
    uint32_t left = m.apic ? ~0u - (uint32_t)((m.ns - apic_from) * APIC_HZ / 1e9) : 0;
    pass(m.read_ns / 2);
    return left;
}
void klog(enum log_level level, const char *format, ...)
{
    (void)format;
    warnings += level == LOG_WARN;
}
void panic(const char *format, ...)
{
    (void)format;
    longjmp(stopped, 1);
}

static int setup(void **state)
{
    (void)state;
    m = (struct machine){
        .ns = 3e9, .khz = 2596000, .pit = true, .pm = true, .apic = true, .pit_rate = 1, .read_ns = 900};
    told.hypervisor = false;
    told.last = 0xd;
    warnings = mode_set = 0;
    srand(7);
    return 0;
}

static uint64_t apic_rate;
static void is_exact(uint16_t port)
{
    uint64_t khz = clock_measure(port, &apic_rate);
    if ((double)khz < m.khz * 0.999 || (double)khz > m.khz * 1.001)
        fail_msg("%lu kHz instead of %.0f", (unsigned long)khz, m.khz);
    double rate = APIC_HZ / (m.khz * 1000) * 4294967296.0;
    assert_true(!m.apic || ((double)apic_rate > rate * 0.998 && (double)apic_rate < rate * 1.002));
    assert_int_equal(mode_set, 1);
    mode_set = 0;
}

static void test_of_any_rate(void **state)
{
    (void)state;
    static const double rates[] = {50000, 200000, 1000000, 2596123, 5700000};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        m.khz = rates[i];
        is_exact(PM_PORT);
        is_exact(0);
        m.pit = false;
        is_exact(PM_PORT);
        m.pit = true;
    }
    assert_int_equal(warnings, 0);
}

/* Pauses of up to 200 ms, anywhere: also between a counter and the TSC that belongs to it. */
static void test_a_host_takes_the_cpu_away(void **state)
{
    (void)state;
    static const double longest[] = {30e3, 3e6, 200e6};
    unsigned warned = 0;
    for (unsigned n = 0; n < 600; n++) {
        m.pause_ns = longest[n % 3];
        m.pauses = n % 3 == 0 ? 50 : 2000;
        warnings = 0;
        if (n % 2) {
            is_exact(PM_PORT);
            warned += warnings;
            continue;
        }
        m.pause_ns = longest[n % 3] < 30e6 ? longest[n % 3] : 30e6; /* the PIT alone goes round in 55 ms */
        uint64_t khz = clock_measure(0, &apic_rate);
        mode_set = 0;
        if (warnings == 0 && ((double)khz < m.khz * 0.998 || (double)khz > m.khz * 1.002))
            fail_msg("%lu kHz, without a warning", (unsigned long)khz);
    }
    assert_true(warned < 5);
}

static void test_a_timer_is_missing(void **state)
{
    (void)state;
    m.pit = false;
    is_exact(PM_PORT);
    m.pit = true;
    m.pm = false; /* the tables name a port at which nothing counts */
    is_exact(PM_PORT);
    m.apic = false;
    (void)clock_measure(PM_PORT, &apic_rate);
    assert_int_equal(apic_rate, 0);
    assert_int_equal(warnings, 0);
    m.pit = false;
    if (setjmp(stopped) == 0) {
        (void)clock_measure(PM_PORT, &apic_rate);
        fail_msg("measured by nothing");
    }
    if (setjmp(stopped) == 0) {
        (void)clock_measure(0, &apic_rate);
        fail_msg("measured by nothing");
    }
}

static void none_counts(uint64_t khz)
{
    volatile uint64_t got = 0;
    m.pit = m.pm = false;
    warnings = 0;
    if (setjmp(stopped) == 0) {
        got = clock_measure(PM_PORT, &apic_rate);
        assert_int_equal(warnings, 1);
        double rate = APIC_HZ / (m.khz * 1000) * 4294967296.0; /* measured all the same */
        assert_true((double)apic_rate > rate * 0.998 && (double)apic_rate < rate * 1.002);
    }
    assert_int_equal(got, khz);
}

/* Then what the CPU or the hypervisor says is believed, if it is a rate; 0 here: a panic. */
static void test_what_cpuid_tells(void **state)
{
    (void)state;
    told.crystal = (struct cpuid_regs){.eax = 2, .ebx = 216, .ecx = 24000000};
    told.mhz = 2600;
    told.last = 0x14;
    none_counts(0);
    told.last = 0x15;
    none_counts(2592000);
    told.last = 0x16;
    none_counts(2592000);
    told.crystal.ecx = 0; /* Skylake: the ratio alone */
    none_counts(2600000);
    told.crystal = (struct cpuid_regs){.eax = 0, .ebx = 216, .ecx = 24000000};
    none_counts(2600000);
    told.mhz = 0;
    none_counts(0);
    told.mhz = 9; /* no CPU's */
    none_counts(0);
    told.hypervisor = true;
    told.last_above = 0x4000000f;
    told.khz_above = 2595123;
    none_counts(0);
    told.last_above = 0x40000010;
    none_counts(2595123);
    told.khz_above = 0;
    told.mhz = 2600;
    none_counts(2600000);
    setup(NULL);
    is_exact(PM_PORT); /* not asked where anything counts */
    assert_int_equal(warnings, 0);
}

static void test_timers_that_disagree(void **state)
{
    (void)state;
    m.pit_rate = 1.02;
    uint64_t khz = clock_measure(PM_PORT, &apic_rate);
    assert_int_equal(warnings, 1);
    assert_true((double)khz > m.khz * 0.999 && (double)khz < m.khz * 1.001); /* the PM timer's */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_of_any_rate, setup),
        cmocka_unit_test_setup(test_a_host_takes_the_cpu_away, setup),
        cmocka_unit_test_setup(test_a_timer_is_missing, setup),
        cmocka_unit_test_setup(test_what_cpuid_tells, setup),
        cmocka_unit_test_setup(test_timers_that_disagree, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
