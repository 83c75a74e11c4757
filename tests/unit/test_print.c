// SPDX-License-Identifier: Apache-2.0
/* Ring 3's snprintf, against the C library's. */
// sources: lib/print.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "lib/print.h"

#pragma GCC diagnostic ignored "-Wformat"
#pragma GCC diagnostic ignored "-Wformat-extra-args"

#define SAME(...)                                                                                               \
    do {                                                                                                        \
        char ours[96], theirs[96];                                                                              \
        assert_int_equal(format(ours, sizeof ours, __VA_ARGS__), snprintf(theirs, sizeof theirs, __VA_ARGS__)); \
        assert_string_equal(ours, theirs);                                                                      \
    } while (0)

static int s_address;
static char *none;

static void like_libc(void **unused)
{
    (void)unused;
    SAME("plain %% %c|%5c|%-5c|", 'x', 'y', 'z');
    SAME("%d %d %d %i", 0, -1, 2147483647, -2147483647 - 1);
    SAME("%ld %llu %lx %zu", -5000000000l, 18446744073709551615ull, 0xdeadbeefcafel, (size_t)77);
    SAME("%08x|%-8x|%8X|%04d|%05d", 0x1234, 0xabcd, 0xabcd, 7, -7);
    SAME("%s|%10s|%-10s|%.3s|%.*s", "one", "two", "three", "fourth", 2, "fifth");
    SAME("%*d|%*d|", 6, 42, -6, 42);
    SAME("%hhx %hu", 0x1ff, 0x12345);
    SAME("%p|%p", (void *)0x1234, (void *)&s_address);
    SAME("%c%c%5s|%-5s|%05s", 0x41, 0xe4, "", "", "ab");
    SAME("%hhd %hhd %hd %hd", 127, 128, 32767, 32768);
    SAME("%lld|%20lld|%-20lld|%020lld", -1ll, -9223372036854775807ll - 1, 9223372036854775807ll, -5ll);
    SAME("%zx|%zd|%lX", (size_t)-1, (size_t)5, 0xabcdul);
    SAME("%.*s|%.0s|%.9s|%*s|%-*s|", -1, "all", "none", "short", 7, "right", 7, "left");
    SAME("%1d|%2d|%3d|%02d|%03x|%01u|", 12, 12, 12, 12, 0xab, 7u);
    SAME("%0*d|%*u|", 5, -42, 3, 12345u);
    SAME("%%%s%%", "x");
}

static void cut(void **unused)
{
    (void)unused;
    char out[4];
    assert_int_equal(format(out, sizeof out, "%s", "abcdef"), 6);
    assert_string_equal(out, "abc");
    assert_int_equal(format(NULL, 0, "%d", 12345), 5);
    for (size_t size = 1; size < 9; size++) {
        char few[10] = "#########";
        assert_int_equal(format(few, size, "%-4u|%3s", 12, "x"), 8);
        assert_memory_equal(few, "12  |  x", size - 1);
        assert_int_equal(few[size - 1], 0);
        assert_memory_equal(few + size, "##########", 9 - size);
    }
    char odd[40];
    assert_int_equal(format(odd, sizeof odd, "a%qb%", 1), 5); /* no conversions: as they stand */
    assert_string_equal(odd, "a%qb%");
    assert_int_equal(format(odd, sizeof odd, "%s", *(char *volatile *)&none), 6);
    assert_string_equal(odd, "(null)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(like_libc), cmocka_unit_test(cut)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
