// SPDX-License-Identifier: Apache-2.0
// sources: config/span.c lib/string.c
/* Pieces of text: what each take_* function cuts off, what it leaves, and that its result is set also when it fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "config/span.h"

typedef bool take(struct span *s, uint64_t *value);

/* `text` is given in memory of exactly its size, so that the address sanitizer sees a read past its end. */
static void taken(take *function, const char *text, uint64_t wanted, const char *rest)
{
    size_t size = strlen(text);
    char *copy = malloc(size + (size == 0));
    memcpy(copy, text, size);
    struct span s = {copy, size};
    uint64_t value = ~0ull;
    assert_true(function(&s, &value));
    assert_int_equal(value, wanted);
    assert_true(span_is(s, rest));
    free(copy);
}

static void not_taken(take *function, const char *text)
{
    size_t size = strlen(text);
    char *copy = malloc(size + (size == 0));
    memcpy(copy, text, size);
    struct span s = {copy, size};
    uint64_t value = ~0ull;
    assert_false(function(&s, &value));
    assert_int_equal(value, 0);
    free(copy);
}

static void test_numbers(void **state)
{
    (void)state;
    taken(take_number, "0", 0, "");
    taken(take_number, "42x", 42, "x");
    taken(take_number, "007 8", 7, " 8");
    taken(take_number, "9007199254740993", 9007199254740993, "");
    taken(take_number, "18446744073709551616", NUMBER_MAX, "");
    taken(take_number, "99999999999999999999999999999999999999999,1", NUMBER_MAX, ",1");
    not_taken(take_number, "");
    not_taken(take_number, " 1");
    not_taken(take_number, "-1");
    not_taken(take_number, "x");
    taken(take_number_or_hex, "0x1F4g", 0x1f4, "g");
    taken(take_number_or_hex, "0xffffffffffffffffffffffff", NUMBER_MAX, "");
    taken(take_number_or_hex, "12ab", 12, "ab");
    not_taken(take_number_or_hex, "0x");
    not_taken(take_number_or_hex, "0xg");
    not_taken(take_number_or_hex, "x10");
}

static void test_sizes_and_times(void **state)
{
    (void)state;
    taken(take_size, "1234", 1234, "");
    taken(take_size, "96K", 96 << 10, "");
    taken(take_size, "3 m", 3 << 20, "");
    taken(take_size, "2G,", 2ull << 30, ",");
    taken(take_size, "5 x", 5, " x");
    taken(take_size, "512MB", 512 << 20, "B");
    taken(take_size, "99999999999999999999G", NUMBER_MAX, "");
    taken(take_size, "1152921504606846975G", NUMBER_MAX, "");
    not_taken(take_size, "M");
    not_taken(take_size, "");
    taken(take_microseconds, "10ms", 10000, "");
    taken(take_microseconds, "250 us.", 250, ".");
    taken(take_microseconds, "99999999999999999999us", NUMBER_MAX, "");
    taken(take_microseconds, "99999999999999999999ms", NUMBER_MAX / 1000 * 1000, "");
    not_taken(take_microseconds, "10");
    not_taken(take_microseconds, "10s");
    not_taken(take_microseconds, "ms");
}

static void test_items(void **state)
{
    (void)state;
    struct span list = span_of(" a b ,,c"), item;
    assert_true(take_item(&list, &item) && span_is(item, "a b"));
    assert_true(take_item(&list, &item) && span_is(item, ""));
    assert_true(take_item(&list, &item) && span_is(item, "c"));
    assert_false(take_item(&list, &item));
    assert_int_equal(item.size, 0);
    struct span words = span_of("one\ttwo  three");
    assert_true(span_is(take_until_blank(&words), "one"));
    assert_true(span_is(take_until_blank(&words), "two"));
    assert_true(span_is(take_until_blank(&words), "three"));
    assert_true(span_is(take_until_blank(&words), ""));
    assert_true(span_is_name(span_of("a-1_b.c"), 32));
    assert_true(span_is_name(span_of("abc"), 4));
    assert_false(span_is_name(span_of("abcd"), 4));
    assert_false(span_is_name(span_of(".a"), 32));
    assert_false(span_is_name(span_of(""), 32));
}

/* By the numbers (RFC 3629): how long the character at `c` is, of `size` bytes that there are; 0: it is none. */
static size_t character_length(const unsigned char *c, size_t size)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = c[0] < 0x80 ? 1 : c[0] < 0xc0 ? 0 : c[0] < 0xe0 ? 2 : c[0] < 0xf0 ? 3 : c[0] < 0xf8 ? 4 : 0;
    if (length <= 1)
        return length;
    uint32_t code = c[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if (i >= size || c[i] < 0x80 || c[i] > 0xbf)
            return 0;
        code = code << 6 | (c[i] & 0x3fu);
    }
    bool good = code >= least[length] && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
    return good ? length : 0;
}

static void every_character(void **state)
{
    static const unsigned char tails[] = {0x00, 0x7f, 0x80, 0xbf, 0xc0, 0xff};
    (void)state;
    for (unsigned first = 0; first < 256; first++)
        for (unsigned second = 0; second < 256; second++)
            for (unsigned k = 0; k < 36; k++)
                for (size_t size = 1; size <= 4; size++) {
                    unsigned char c[4] = {(unsigned char)first, (unsigned char)second, tails[k / 6], tails[k % 6]};
                    assert_int_equal(span_utf8_length((struct span){(const char *)c, size}), character_length(c, size));
                }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_character),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_sizes_and_times),
        cmocka_unit_test(test_items),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
