// SPDX-License-Identifier: Apache-2.0
// sources: vmm/test/bench.c vmm/doorbell.c vmm/devices/bus.c vmm/stream.c vmm/memory.c
/*
 * The device that the benchmark measures against: it answers at its port and in its page, swallows writes, and shows
 * the origin of the clock.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/syscall.h"
#include "vmm/test/bench.h"
#include "vmm/test/look.h"

static struct bus bus;
static uint64_t origin;

static unsigned rung;
struct syscall_result syscall6(enum syscall number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
                               uint64_t f)
{
    (void)c, (void)d, (void)e, (void)f;
    assert_int_equal(number, SYS_EVENT_SIGNAL);
    assert_int_equal(a, 77);
    assert_int_equal(b, 1);
    rung++;
    return (struct syscall_result){OK, 0};
}

struct look look_around(uint64_t ticks)
{
    return (struct look){(uint32_t)ticks, 2, 3, 4};
}

static int setup(void **state)
{
    (void)state;
    bus_init(&bus);
    origin = 0;
    return bench_init(&bus, &origin, 77);
}

static void test_answers(void **state)
{
    (void)state;
    uint32_t word = ~0u;
    uint64_t value = ~0ull;
    assert_true(bus_port(&bus, BENCH_PORT, 4, false, &word));
    assert_int_equal(word, BENCH_MAGIC);
    word = 0xff;
    assert_true(bus_port(&bus, BENCH_PORT, 1, false, &word));
    assert_int_equal(word, BENCH_MAGIC & 0xff);
    assert_true(bus_memory(&bus, BENCH_PAGE + BENCH_PAGE_DOORBELL, 4, false, &value));
    assert_int_equal(value, BENCH_MAGIC);
}

static void test_shows_the_origin_of_the_clock(void **state)
{
    (void)state;
    uint64_t value = ~0ull;
    origin = 0x123456789abcdef0ull;
    assert_true(bus_memory(&bus, BENCH_PAGE + 0x808, 8, false, &value));
    assert_int_equal(value, origin);
    assert_true(bus_memory(&bus, BENCH_PAGE + 0x80c, 4, false, &value));
    assert_int_equal(value, origin >> 32);
}

static void test_looks_when_told(void **state)
{
    (void)state;
    uint64_t value = 77;
    assert_true(bus_memory(&bus, BENCH_PAGE + 0x810, 8, true, &value));
    assert_true(bus_memory(&bus, BENCH_PAGE + 0x810, 8, false, &value));
    assert_int_equal(value, 77 | 2ull << 32);
    assert_true(bus_memory(&bus, BENCH_PAGE + 0x818, 8, false, &value));
    assert_int_equal(value, 3 | 4ull << 32);
}

static void test_swallows_writes(void **state)
{
    (void)state;
    const uint16_t ports[] = {BENCH_PORT, BENCH_PORT_DOORBELL, BENCH_PORT_WAKE};
    for (unsigned i = 0; i < 3; i++) {
        uint32_t word = 0x55;
        assert_true(bus_port(&bus, ports[i], 1, true, &word));
    }
    uint64_t value = 7;
    origin = 5;
    assert_true(bus_memory(&bus, BENCH_PAGE + 0x808, 8, true, &value));
    assert_int_equal(origin, 5);
}

/* A doorbell in memory is rung here; a write behind it, or a read, rings nothing. */
static void test_rings(void **state)
{
    (void)state;
    uint64_t value = 0;
    rung = 0;
    assert_true(bus_memory(&bus, BENCH_PAGE, 4, true, &value));
    assert_true(bus_memory(&bus, BENCH_PAGE + BENCH_PAGE_DOORBELL - 4, 4, true, &value));
    assert_int_equal(rung, 2);
    assert_true(bus_memory(&bus, BENCH_PAGE + BENCH_PAGE_DOORBELL, 4, true, &value));
    assert_true(bus_memory(&bus, BENCH_PAGE, 4, false, &value));
    assert_int_equal(rung, 2);
}

static void test_is_there_once(void **state)
{
    (void)state;
    assert_int_equal(bench_init(&bus, &origin, 77), E_OVERLAP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_answers, setup),
        cmocka_unit_test_setup(test_shows_the_origin_of_the_clock, setup),
        cmocka_unit_test_setup(test_looks_when_told, setup),
        cmocka_unit_test_setup(test_swallows_writes, setup),
        cmocka_unit_test_setup(test_rings, setup),
        cmocka_unit_test_setup(test_is_there_once, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
