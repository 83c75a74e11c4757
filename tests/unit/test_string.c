// SPDX-License-Identifier: Apache-2.0
/* Ring 3's string functions against the C library's. */
// sources: tests/unit/ring3_string.c
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

void *ring3_memcpy(void *restrict to, const void *restrict from, size_t count);
void *ring3_memmove(void *to, const void *from, size_t count);
void *ring3_memset(void *to, int byte, size_t count);
int ring3_memcmp(const void *a, const void *b, size_t count);
size_t ring3_strlen(const char *s);
size_t ring3_strnlen(const char *s, size_t most);
int ring3_strcmp(const char *a, const char *b);
int ring3_strncmp(const char *a, const char *b, size_t most);
char *ring3_strchr(const char *s, int c);
char *ring3_strrchr(const char *s, int c);
char *ring3_strstr(const char *s, const char *part);
size_t ring3_string_copy(char *to, const char *from, size_t size);

static int sign(int v)
{
    return (v > 0) - (v < 0);
}

static void test_memory(void **state)
{
    (void)state;
    unsigned char a[400], b[400];
    srand(1);
    for (unsigned round = 0; round < 20000; round++) {
        for (size_t i = 0; i < sizeof a; i++)
            a[i] = b[i] = (unsigned char)rand();
        size_t n = (size_t)rand() % 120, to = (size_t)rand() % 140, from = 260 + (size_t)rand() % 20;
        assert_ptr_equal(ring3_memcpy(a + to, a + from, n), a + to);
        memcpy(b + to, b + from, n);
        assert_memory_equal(a, b, sizeof a);
        from = (size_t)rand() % 140; /* may overlap, either way */
        assert_ptr_equal(ring3_memmove(a + to, a + from, n), a + to);
        memmove(b + to, b + from, n);
        assert_memory_equal(a, b, sizeof a);
        int byte = rand();
        assert_ptr_equal(ring3_memset(a + to, byte, n), a + to);
        memset(b + to, byte, n);
        assert_memory_equal(a, b, sizeof a);
        if (n != 0)
            b[to + (size_t)rand() % n] ^= (unsigned char)(rand() % 2 << 7);
        assert_int_equal(ring3_memcmp(a + to, b + to, n), sign(memcmp(a + to, b + to, n)));
        if (n != 0)
            assert_int_equal(ring3_memcmp(a + to, b + to, n - 1), sign(memcmp(a + to, b + to, n - 1)));
    }
}

/* Short strings of few different characters, one of them above 0x7f: much is alike. In memory of their length, so that
 * a byte too far is found. */
static char *any_string(unsigned most)
{
    size_t length = (size_t)rand() % (most + 1);
    char *s = malloc(length + 1);
    for (size_t i = 0; i < length; i++)
        s[i] = "ab\xe4"[rand() % 3];
    s[length] = 0;
    return s;
}

static void test_strings(void **state)
{
    (void)state;
    srand(2);
    for (unsigned round = 0; round < 20000; round++) {
        char *s = any_string(9), *t = any_string(rand() % 2 ? 9 : 2);
        size_t most = (size_t)rand() % 12;
        int c = "ab\xe4x"[rand() % 5]; /* the end, too */
        assert_int_equal(ring3_strlen(s), strlen(s));
        assert_int_equal(ring3_strnlen(s, most), strnlen(s, most));
        assert_int_equal(ring3_strcmp(s, t), sign(strcmp(s, t)));
        assert_int_equal(ring3_strncmp(s, t, most), sign(strncmp(s, t, most)));
        assert_ptr_equal(ring3_strchr(s, c), strchr(s, c));
        assert_ptr_equal(ring3_strrchr(s, c), strrchr(s, c));
        assert_ptr_equal(ring3_strstr(s, t), strstr(s, t));
        char *out = malloc(most + 1);
        memset(out, '#', most + 1);
        assert_int_equal(ring3_string_copy(out, s, most), strlen(s));
        if (most > 0) {
            size_t kept = strlen(s) < most ? strlen(s) : most - 1;
            assert_memory_equal(out, s, kept);
            assert_int_equal(out[kept], 0);
        }
        assert_int_equal(out[most], '#');
        free(out);
        free(s);
        free(t);
    }
    char four[4] = {'a', 'b', 'a', 'b'}; /* no end: what is limited stops before it */
    assert_int_equal(ring3_strnlen(four, 4), 4);
    assert_int_equal(ring3_strncmp(four, "abab", 4), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_memory), cmocka_unit_test(test_strings)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
