// SPDX-License-Identifier: Apache-2.0
// The battery clock's date, against the C library's calendar.
// sources: services/root/clock_date.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "services/root/clock.h"

static uint8_t bcd(int v)
{
    return (uint8_t)(v / 10 * 16 + v % 10);
}

static void every_kind_of_clock(void **state)
{
    (void)state;
    srand(1);
    for (int i = 0; i < 20000; i++) {
        time_t when = 946684800 + (time_t)((double)rand() / RAND_MAX * 6300000000.0); /* 2000 .. 2199 */
        struct tm t = *gmtime(&when);
        uint64_t seconds = 0;
        int year = t.tm_year + 1900, hour12 = t.tm_hour % 12 ? t.tm_hour % 12 : 12;
        uint8_t pm = t.tm_hour >= 12 ? 0x80 : 0;
        struct cmos_time a = {bcd(t.tm_sec),     bcd(t.tm_min),   bcd(t.tm_hour),  bcd(t.tm_mday),
                              bcd(t.tm_mon + 1), bcd(year % 100), bcd(year / 100), 2};
        assert_true(cmos_seconds(&a, &seconds));
        assert_int_equal(seconds, when);
        a.hour = (uint8_t)(bcd(hour12) | pm);
        a.status_b = 0;
        assert_true(cmos_seconds(&a, &seconds));
        assert_int_equal(seconds, when);
        struct cmos_time b = {
            (uint8_t)t.tm_sec,       (uint8_t)t.tm_min,     (uint8_t)(hour12 | pm), (uint8_t)t.tm_mday,
            (uint8_t)(t.tm_mon + 1), (uint8_t)(year % 100), (uint8_t)(year / 100),  4};
        assert_true(cmos_seconds(&b, &seconds));
        assert_int_equal(seconds, when);
    }
}

static void nonsense_is_refused(void **state)
{
    (void)state;
    uint64_t seconds;
    const struct cmos_time bad[] = {{0x60, 0, 0, 1, 1, 0x26, 0x20, 2},
                                    {0, 0x60, 0, 1, 1, 0x26, 0x20, 2},
                                    {0, 0, 0x24, 1, 1, 0x26, 0x20, 2},
                                    {0, 0, 0, 0, 1, 0x26, 0x20, 2},
                                    {0, 0, 0, 0x29, 2, 0x26, 0x20, 2},
                                    {0, 0, 0, 1, 0x13, 0x26, 0x20, 2},
                                    {0, 0, 0, 1, 0, 0x26, 0x20, 2},
                                    {0, 0, 0, 1, 1, 0xff, 0x20, 2},
                                    {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
                                    {0, 0, 0, 1, 1, 0x26, 0x20, 0}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(cmos_seconds(&bad[i], &seconds));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_kind_of_clock), cmocka_unit_test(nonsense_is_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
