// SPDX-License-Identifier: Apache-2.0
// sources: kernel/nmi.c kernel/format.c tests/unit/ring0_string.c
// libs: -include tests/unit/fake_cpu.h
/* The NMI button: one CPU asks, the others answer, and a line about each is written; one that does not answer holds up
 * nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86_64/apic.h"
#include "arch/x86_64/time.h"
#include "drivers/screen.h"
#include "kernel/domain.h"
#include "kernel/log.h"
#include "kernel/nmi.h"
#include "kernel/thread.h"

#define CPUS 3
static struct cpu cpus[CPUS];
static unsigned running, asked_by_us, cleared;
static bool deaf[CPUS];
static char text[2000];
static uint64_t now;
unsigned cpu_count = CPUS;
uint64_t tsc_khz = 1000;

struct cpu *this_cpu(void)
{
    return &cpus[running];
}
struct cpu *cpu_by_number(unsigned number)
{
    assert_true(number < CPUS);
    return &cpus[number];
}
uint64_t rdtsc(void)
{
    return now++;
}
static void nmi_on(unsigned cpu, uint64_t rip)
{
    unsigned before = running;
    running = cpu;
    nmi_arrived(&(struct frame){.rip = rip});
    running = before;
}
void cpu_pause(void)
{
    now += 1000;
    for (unsigned i = 0; i < CPUS; i++)
        if (cpus[i].answered != nmis && !deaf[i])
            nmi_on(i, 0x1000 + i);
}
void apic_nmi_others(void)
{
    asked_by_us++;
}
void screen_clear(void)
{
    cleared++;
}
void log_at_once(const char *s)
{
    strcat(text, s);
}

static int fresh(void **state)
{
    (void)state;
    memset(cpus, 0, sizeof cpus);
    memset(deaf, 0, sizeof deaf);
    for (unsigned i = 0; i < CPUS; i++)
        cpus[i].number = i;
    text[0] = 0;
    running = asked_by_us = cleared = nmis = 0;
    now = 5000;
    return 0;
}

static void all_answer(void **state)
{
    (void)state;
    struct domain d = {.owner = TAG_MONITOR(2)};
    struct thread t = {.domain = &d};
    cpus[1].current = &t;
    cpus[1].path = PATH_GUEST;
    cpus[1].locks = true;
    cpus[2].work = WORK_FLUSH;
    nmi_on(0, 0xffffffff80101234);
    assert_non_null(strstr(text, "\n  CPU 0: rip 0xffffffff80101234, domain 0x0, path 0 begun "));
    assert_non_null(strstr(text, "\n  CPU 1: rip 0x1001, domain 0x202, path "));
    assert_non_null(strstr(text, "work 0x0, has the kernel's lock\n  CPU 2: rip 0x1002, domain 0x0"));
    assert_non_null(strstr(text, "work 0x2\n"));
    assert_null(strstr(text, "does not answer"));
    assert_int_equal(asked_by_us, 1);
    assert_int_equal(cleared, 1);
    assert_int_equal(nmis, 1);
    nmi_on(1, 0x77); /* again, and to another: it asks then */
    assert_true(nmis == 2 && asked_by_us == 2);
}

static void one_that_is_deaf(void **state)
{
    (void)state;
    deaf[1] = true;
    cpus[1].seen_rip = 0x99;
    nmi_on(0, 0x10);
    assert_non_null(strstr(text, "\n  CPU 1 does not answer: rip 0x99,"));
    assert_non_null(strstr(text, "\n  CPU 2: rip 0x1002,"));
    assert_in_range(now, 5000 + 100000, 5000 + 110000);
    nmi_on(1, 0x11); /* it hears at last: that is the answer, and not a new question */
    assert_true(asked_by_us == 1 && nmis == 1 && cpus[1].seen_rip == 0x11);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(all_answer, fresh),
        cmocka_unit_test_setup(one_that_is_deaf, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
