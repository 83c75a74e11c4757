// SPDX-License-Identifier: Apache-2.0
/* Pieces of text. See span.h. */
#include "config/span.h"
#include "lib/string.h"

struct span span_of(const char *text)
{
    return (struct span){text, strlen(text)};
}

bool span_is(struct span s, const char *word)
{
    return s.size == strlen(word) && memcmp(s.at, word, s.size) == 0;
}

bool span_starts(struct span s, const char *word)
{
    size_t n = strlen(word);
    return s.size >= n && memcmp(s.at, word, n) == 0;
}

bool span_has(struct span s, char c)
{
    for (size_t i = 0; i < s.size; i++)
        if (s.at[i] == c)
            return true;
    return false;
}

bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static void drop(struct span *s, size_t bytes)
{
    s->at += bytes;
    s->size -= bytes;
}

struct span span_trim(struct span s)
{
    skip_blanks(&s);
    while (s.size > 0 && is_blank(s.at[s.size - 1]))
        s.size--;
    return s;
}

bool span_is_name(struct span s, size_t most)
{
    if (s.size == 0 || s.size >= most)
        return false;
    for (size_t i = 0; i < s.size; i++) {
        char c = s.at[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && (i == 0 || (c != '-' && c != '_' && c != '.')))
            return false;
    }
    return true;
}

size_t span_utf8_length(struct span s)
{
    const unsigned char *at = (const unsigned char *)s.at;
    unsigned char c = at[0];
    size_t length = 0;
    if (c < 0x80)
        return 1;
    if (c >= 0xc2 && c <= 0xdf)
        length = 2;
    else if ((c & 0xf0) == 0xe0)
        length = 3;
    else if (c >= 0xf0 && c <= 0xf4)
        length = 4;
    if (length == 0 || length > s.size)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (c == 0xe0 && at[1] < 0xa0) || (c == 0xf0 && at[1] < 0x90);
    bool surrogate = c == 0xed && at[1] > 0x9f;
    bool too_large = c == 0xf4 && at[1] > 0x8f;
    return overlong || surrogate || too_large ? 0 : length;
}

void skip_blanks(struct span *s)
{
    while (s->size > 0 && is_blank(s->at[0]))
        drop(s, 1);
}

bool take_word(struct span *s, const char *word)
{
    if (!span_starts(*s, word))
        return false;
    drop(s, strlen(word));
    return true;
}

/* 16 and more: it is none. */
static unsigned digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 16;
}

static bool take_digits(struct span *s, unsigned base, uint64_t *value)
{
    size_t count = 0;
    *value = 0;
    while (s->size > 0 && digit_value(s->at[0]) < base) {
        *value = min_u64(*value * base + digit_value(s->at[0]), NUMBER_MAX / base);
        drop(s, 1);
        count++;
    }
    if (*value == NUMBER_MAX / base)
        *value = NUMBER_MAX;
    return count > 0;
}

bool take_number(struct span *s, uint64_t *value)
{
    return take_digits(s, 10, value);
}

bool take_number_or_hex(struct span *s, uint64_t *value)
{
    return take_word(s, "0x") ? take_digits(s, 16, value) : take_digits(s, 10, value);
}

bool take_size(struct span *s, uint64_t *bytes)
{
    static const struct {
        const char *unit;
        unsigned shift;
    } units[] = {{"K", 10}, {"k", 10}, {"M", 20}, {"m", 20}, {"G", 30}, {"g", 30}};
    if (!take_number(s, bytes))
        return false;
    struct span rest = *s;
    skip_blanks(&rest);
    for (size_t i = 0; i < ARRAY_SIZE(units); i++)
        if (take_word(&rest, units[i].unit)) {
            *s = rest;
            *bytes = min_u64(*bytes, NUMBER_MAX >> units[i].shift) << units[i].shift;
            break;
        }
    return true;
}

bool take_microseconds(struct span *s, uint64_t *us)
{
    uint64_t number;
    *us = 0;
    if (!take_number(s, &number))
        return false;
    skip_blanks(s);
    if (take_word(s, "ms"))
        *us = min_u64(number, NUMBER_MAX / 1000) * 1000;
    else if (take_word(s, "us"))
        *us = number;
    else
        return false;
    return true;
}

bool take_item(struct span *list, struct span *item)
{
    *item = (struct span){NULL, 0};
    if (list->at == NULL)
        return false;
    size_t i = 0;
    while (i < list->size && list->at[i] != ',')
        i++;
    *item = span_trim((struct span){list->at, i});
    *list = i < list->size ? (struct span){list->at + i + 1, list->size - i - 1} : (struct span){NULL, 0};
    return true;
}

struct span take_until_blank(struct span *s)
{
    struct span word = {s->at, 0};
    while (s->size > 0 && !is_blank(s->at[0])) {
        drop(s, 1);
        word.size++;
    }
    skip_blanks(s);
    return word;
}
