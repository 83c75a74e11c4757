// SPDX-License-Identifier: Apache-2.0
// sources: kernel/format.c tests/unit/ring0_string.c
/* kformat against the C library's snprintf; ring 0's string functions against the C library's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "kernel/log.h"
#include "kernel/string.h"

void *ring0_memcpy(void *to, const void *from, size_t size);
void *ring0_memset(void *to, int byte, size_t size);
int ring0_memcmp(const void *a, const void *b, size_t size);

/* Cut as snprintf cuts, but the answer is what was written. */
#define same(...)                                                                  \
    do {                                                                           \
        for (size_t size = 1; size <= 80; size = size < 8 ? size + 1 : size * 2) { \
            char ours[81], theirs[81];                                             \
            memset(ours, '#', sizeof(ours));                                       \
            memset(theirs, '#', sizeof(theirs));                                   \
            size_t a = kformat(ours, size, __VA_ARGS__);                           \
            snprintf(theirs, size, __VA_ARGS__);                                   \
            assert_int_equal(a, strlen(theirs));                                   \
            assert_string_equal(ours, theirs);                                     \
            assert_memory_equal(ours + size, theirs + size, sizeof(ours) - size);  \
        }                                                                          \
    } while (0)

#pragma GCC diagnostic ignored "-Wformat"
#pragma GCC diagnostic ignored "-Wformat-truncation"

static void test_against_snprintf(void **state)
{
    (void)state;
    same("plain");
    same("%s", "");
    same("%s and %s", "one", "two");
    const int values[] = {0, 1, -1, 9, 10, 12345, -12345, 2147483647, -2147483647 - 1};
    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        int v = values[i];
        same("%u %x", (unsigned)v, (unsigned)v);
    }
    const long wide[] = {0, -1, 1, 0x7fffffffffffffff, -0x7fffffffffffffff - 1, 0x123456789abcdef};
    for (size_t i = 0; i < ARRAY_SIZE(wide); i++) {
        long v = wide[i];
        same("%lu %lx", (unsigned long)v, (unsigned long)v);
    }
}

static void test_random_integers(void **state)
{
    (void)state;
    srand(3);
    for (int i = 0; i < 20000; i++) {
        char format[32], ours[64], theirs[64];
        static const char *const kinds[] = {"u", "x", "lu", "lx"};
        int k = rand() % 4;
        snprintf(format, sizeof(format), "<%%%s>", kinds[k]);
        unsigned long v = ((unsigned long)rand() << 33 ^ (unsigned long)rand() << 11) >> rand() % 64;
        v = rand() % 2 ? v : 0 - v;
        size_t a;
        if (kinds[k][0] == 'l') {
            a = kformat(ours, sizeof(ours), format, v);
            snprintf(theirs, sizeof(theirs), format, v);
        } else {
            a = kformat(ours, sizeof(ours), format, (unsigned)v);
            snprintf(theirs, sizeof(theirs), format, (unsigned)v);
        }
        assert_int_equal(a, strlen(theirs));
        assert_string_equal(ours, theirs);
    }
}

/* No argument is taken after a conversion that it does not know, and none for it. */
static void test_odd_formats(void **state)
{
    (void)state;
    static const char *const unknown[] = {"%q",  "%d",   "%ld", "%5u",  "%-3u", "%0u", "%012u", "%.2s",
                                          "%3s", "%03s", "%ls", "%03c", "%p",   "%zu", "%llu",  "%%",
                                          "%c",  "%",    "%l",  "%08l", "%0",   "%03u"};
    for (size_t i = 0; i < ARRAY_SIZE(unknown); i++) {
        char out[64], format[32], right[32];
        snprintf(format, sizeof(format), "%%u %s %%s", unknown[i]);
        snprintf(right, sizeof(right), "1 %s %%s", unknown[i]);
        assert_int_equal(kformat(out, sizeof(out), format, 1, 2), strlen(right));
        assert_string_equal(out, right);
        assert_int_equal(kformat(out, sizeof(out), unknown[i]), strlen(unknown[i]));
        assert_string_equal(out, unknown[i]);
    }
}

static int sign(int v)
{
    return (v > 0) - (v < 0);
}

static void test_strings(void **state)
{
    (void)state;
    unsigned char a[300], b[300], c[300];
    srand(4);
    for (int i = 0; i < 20000; i++) {
        for (size_t k = 0; k < sizeof(a); k++)
            a[k] = b[k] = (unsigned char)rand();
        size_t n = (size_t)rand() % 140, to = (size_t)rand() % 150;
        size_t from = (size_t)rand() % 150;
        memcpy(c, b, sizeof(c));
        assert_ptr_equal(ring0_memcpy(a + to, c + from, n), a + to);
        memcpy(b + to, c + from, n);
        assert_memory_equal(a, b, sizeof(a));
        int byte = rand();
        assert_ptr_equal(ring0_memset(a + to, byte, n), a + to);
        memset(b + to, byte, n);
        assert_memory_equal(a, b, sizeof(a));
        if (n)
            b[to + (size_t)rand() % n] ^= (unsigned char)(rand() % 2 << 7);
        assert_int_equal(sign(ring0_memcmp(a + to, b + to, n)), sign(memcmp(a + to, b + to, n)));

        char s[12];
        for (size_t k = 0; k < 11; k++)
            s[k] = (char)(rand() % 4 ? 'a' + rand() % 2 * 128 : 0);
        s[11] = '\0';
        char out[12];
        memset(out, '#', sizeof(out));
        size_t room = 1 + (size_t)rand() % 11;
        copy_string(out, room, s);
        for (size_t k = room; k < sizeof(out); k++)
            assert_int_equal(out[k], '#');
        size_t copied = strlen(s) < room ? strlen(s) : room - 1;
        assert_memory_equal(out, s, copied);
        assert_int_equal(out[copied], 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_snprintf),
        cmocka_unit_test(test_random_integers),
        cmocka_unit_test(test_odd_formats),
        cmocka_unit_test(test_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
