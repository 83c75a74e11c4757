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

#define SAME(...)                                                                                               \
    do {                                                                                                        \
        char ours[64], theirs[64];                                                                              \
        assert_int_equal(format(ours, sizeof ours, __VA_ARGS__), snprintf(theirs, sizeof theirs, __VA_ARGS__)); \
        assert_string_equal(ours, theirs);                                                                      \
    } while (0)

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
}

static void cut(void **unused)
{
    (void)unused;
    char out[4];
    assert_int_equal(format(out, sizeof out, "%s", "abcdef"), 6);
    assert_string_equal(out, "abc");
    assert_int_equal(format(NULL, 0, "%d", 12345), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(like_libc), cmocka_unit_test(cut)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
