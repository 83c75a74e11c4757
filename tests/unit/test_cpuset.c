// SPDX-License-Identifier: Apache-2.0
// sources:
/* Sets of CPUs, for 1,024 of them, beside an array of bools that is obviously right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "mullion/cpuset.h"

static uint32_t seed = 1;

static uint32_t next(void)
{
    seed = seed * 1664525 + 1013904223;
    return seed >> 8;
}

/* Both say the same of every CPU, in every way of asking. */
static void compare(const struct cpuset *s, const bool *wanted)
{
    unsigned count = 0, last = MAX_CPUS;
    for (unsigned cpu = MAX_CPUS; cpu-- > 0;) {
        assert_int_equal(cpuset_has(s, cpu), wanted[cpu]);
        if (wanted[cpu])
            last = cpu;
        assert_int_equal(cpuset_next(s, cpu, MAX_CPUS), last);
        assert_true(cpuset_next(s, cpu, cpu + 1) == last || last > cpu);
        count += wanted[cpu];
    }
    unsigned walked = 0;
    for (unsigned cpu = cpuset_next(s, 0, MAX_CPUS); cpu < MAX_CPUS; cpu = cpuset_next(s, cpu + 1, MAX_CPUS))
        walked++;
    assert_int_equal(walked, count);
    walked = 0;
    for (unsigned cpu = cpuset_next(s, 0, 70); cpu < 70; cpu = cpuset_next(s, cpu + 1, 70))
        walked++;
    count = 0;
    for (unsigned cpu = 0; cpu < 70; cpu++)
        count += wanted[cpu];
    assert_int_equal(walked, count);
}

static void test_edges(void **state)
{
    (void)state;
    static const unsigned edges[] = {0, 1, 31, 32, 62, 63, 64, 65, 127, 128, 1022, 1023};
    struct cpuset s = {{0}};
    bool wanted[MAX_CPUS] = {false};
    compare(&s, wanted);
    for (unsigned i = 0; i < sizeof edges / sizeof edges[0]; i++) {
        cpuset_set(&s, edges[i]);
        wanted[edges[i]] = true;
        compare(&s, wanted);
    }
    assert_false(cpuset_has(&s, MAX_CPUS));
    assert_false(cpuset_has(&s, ~0u));
    assert_false(cpuset_has(&s, 1ull << 32));
    assert_false(cpuset_has(&s, ~0ull));
    assert_int_equal(cpuset_next(&s, MAX_CPUS, MAX_CPUS), MAX_CPUS);
    assert_int_equal(sizeof s, 128);
}

static void test_random(void **state)
{
    (void)state;
    struct cpuset a = {{0}}, b = {{0}};
    bool in_a[MAX_CPUS] = {false}, in_b[MAX_CPUS] = {false}, in_any[MAX_CPUS];
    for (unsigned round = 0; round < 1200; round++) {
        unsigned cpu = next() % MAX_CPUS;
        bool second = next() % 2 != 0;
        cpuset_set(second ? &b : &a, cpu);
        (second ? in_b : in_a)[cpu] = true;
        if (round % 10 != 0)
            continue;
        compare(&a, in_a);
        struct cpuset any = a;
        cpuset_add(&any, &b);
        for (unsigned i = 0; i < MAX_CPUS; i++)
            in_any[i] = in_a[i] || in_b[i];
        compare(&any, in_any);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_edges), cmocka_unit_test(test_random)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
