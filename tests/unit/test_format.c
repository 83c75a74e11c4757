// sources: kernel/format.c kernel/string.c
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
void *ring0_memmove(void *to, const void *from, size_t size);
void *ring0_memset(void *to, int byte, size_t size);
int ring0_memcmp(const void *a, const void *b, size_t size);
size_t ring0_strlen(const char *s);
int ring0_strcmp(const char *a, const char *b);
int ring0_strncmp(const char *a, const char *b, size_t size);

#define same(...)                                                                                                             \
    do {                                                                                                                      \
        for (size_t size = 0; size <= 80; size = size < 8 ? size + 1 : size * 2) {                                            \
            char ours[81], theirs[81];                                                                                        \
            memset(ours, '#', sizeof(ours));                                                                                  \
            memset(theirs, '#', sizeof(theirs));                                                                              \
            int a = kformat(ours, size, __VA_ARGS__), b = snprintf(theirs, size, __VA_ARGS__);                                \
            assert_int_equal(a, b);                                                                                           \
            if (size > 0)                                                                                                     \
                assert_string_equal(ours, theirs);                                                                            \
            assert_memory_equal(ours + size, theirs + size, sizeof(ours) - size);                                             \
        }                                                                                                                     \
    } while (0)

#pragma GCC diagnostic ignored "-Wformat"
#pragma GCC diagnostic ignored "-Wformat-truncation"

static void test_against_snprintf(void **state)
{
    (void)state;
    same("plain");
    same("%s", "");
    same("%s and %s", "one", "two");
    same("[%10s] [%-10s] [%3s] [%.2s] [%8.3s]", "abc", "abc", "abcdef", "xyz", "uvwxyz");
    same("%c%c%5c%-5c|", 'a', 'b', 'c', 'd');
    same("100%%");
    const int values[] = {0, 1, -1, 9, 10, 12345, -12345, 2147483647, -2147483647 - 1};
    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        int v = values[i];
        same("%d %u %x", v, (unsigned)v, (unsigned)v);
        same("[%8d] [%-8d] [%08d] [%-08d] [%2d]", v, v, v, v, v);
        same("[%8x] [%-12u] [%08x] [%012u]", (unsigned)v, (unsigned)v, (unsigned)v, (unsigned)v);
    }
    const long wide[] = {0, -1, 1, 0x7fffffffffffffff, -0x7fffffffffffffff - 1, 0x123456789abcdef};
    for (size_t i = 0; i < ARRAY_SIZE(wide); i++) {
        long v = wide[i];
        same("%ld %lu %lx", v, (unsigned long)v, (unsigned long)v);
        same("%lld %llu %llx", (long long)v, (unsigned long long)v, (unsigned long long)v);
        same("[%20ld] [%020lx] [%-20lu] %zu", v, (unsigned long)v, (unsigned long)v, (size_t)v);
    }
    same("%p [%20p] [%-20p]", (void *)0x1234, (void *)0xffff800000000000, (void *)0x10);
}

static void test_random_integers(void **state)
{
    (void)state;
    srand(3);
    for (int i = 0; i < 20000; i++) {
        char format[32], ours[64], theirs[64];
        static const char *const kinds[] = {"d", "u", "x", "ld", "lu", "lx", "lld", "llu", "llx"};
        const char *kind = kinds[rand() % 9];
        snprintf(format, sizeof(format), "<%%%s%.0d%s>", (const char *[]){"", "0", "-", "-0"}[rand() % 4], rand() % 25, kind);
        unsigned long v = ((unsigned long)rand() << 33 ^ (unsigned long)rand() << 11) >> rand() % 64;
        v = rand() % 2 ? v : 0 - v;
        int a, b;
        if (kind[0] == 'l') {
            a = kformat(ours, sizeof(ours), format, v);
            b = snprintf(theirs, sizeof(theirs), format, v);
        } else {
            a = kformat(ours, sizeof(ours), format, (unsigned)v);
            b = snprintf(theirs, sizeof(theirs), format, (unsigned)v);
        }
        assert_int_equal(a, b);
        assert_string_equal(ours, theirs);
    }
}

static void test_odd_formats(void **state)
{
    (void)state;
    char out[64];
    const char *volatile null = NULL, *volatile unknown = "%d %q %s";
    kformat(out, sizeof(out), "%s", null);
    assert_string_equal(out, "(null)");
    kformat(out, sizeof(out), unknown, 1, 2);
    assert_string_equal(out, "1 %q %s"); /* no argument is taken after a conversion it does not know */
    unknown = "tail %";
    kformat(out, sizeof(out), unknown);
    assert_string_equal(out, "tail %");
    unknown = "tail %-08l";
    kformat(out, sizeof(out), unknown);
    assert_string_equal(out, "tail %-08l");
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
        size_t from = rand() % 3 ? (size_t)rand() % 150 : to + (size_t)rand() % 9;
        assert_ptr_equal(ring0_memmove(a + to, a + from, n), a + to);
        memmove(b + to, b + from, n);
        assert_memory_equal(a, b, sizeof(a));
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

        char s[12], t[12];
        for (size_t k = 0; k < 11; k++)
            s[k] = t[k] = (char)(rand() % 4 ? 'a' + rand() % 2 * 128 : 0);
        t[rand() % 11] = (char)rand();
        s[11] = t[11] = '\0';
        assert_int_equal(ring0_strlen(s), strlen(s));
        assert_int_equal(sign(ring0_strcmp(s, t)), sign(strcmp(s, t)));
        size_t limit = (size_t)rand() % 14;
        assert_int_equal(sign(ring0_strncmp(s, t, limit)), sign(strncmp(s, t, limit)));
        char out[12];
        memset(out, '#', sizeof(out));
        size_t room = (size_t)rand() % 12;
        assert_int_equal(copy_string(out, room, s), strlen(s));
        for (size_t k = room; k < sizeof(out); k++)
            assert_int_equal(out[k], '#');
        if (room > 0) {
            size_t copied = strlen(s) < room ? strlen(s) : room - 1;
            assert_memory_equal(out, s, copied);
            assert_int_equal(out[copied], 0);
        }
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
