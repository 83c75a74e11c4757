/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pieces of text: the ground floor of config/. A span is never read past its end, and needs no NUL. The take_*
 * functions cut something off a span's front; false means that it is not there, and then the result is 0.
 */
#ifndef CONFIG_SPAN_H
#define CONFIG_SPAN_H

#include "mullion/types.h"

struct span {
    const char *at;
    size_t size;
};

/* A number beyond this is cut to it, so that no sum of a few of them overflows. */
#define NUMBER_MAX (1ull << 60)

struct span span_of(const char *text);
bool span_is(struct span s, const char *word);
bool span_starts(struct span s, const char *word);
bool span_has(struct span s, char c);
bool is_blank(char c); /* a space or a tab */
struct span span_trim(struct span s);
/* 1 to most - 1 letters, digits, '-', '_' or '.', with a letter or digit first. */
bool span_is_name(struct span s, size_t most);
/* The length of the UTF-8 character at the front of a span that is not empty; 0 if it is not one (RFC 3629: no overlong
 * forms, no surrogates, at most U+10FFFF). */
size_t span_utf8_length(struct span s);

void skip_blanks(struct span *s);
bool take_word(struct span *s, const char *word);
bool take_number(struct span *s, uint64_t *value);        /* decimal */
bool take_number_or_hex(struct span *s, uint64_t *value); /* decimal, or hexadecimal behind 0x */
bool take_size(struct span *s, uint64_t *bytes);          /* a number, perhaps with K, M or G */
bool take_microseconds(struct span *s, uint64_t *us);     /* a number with ms or us */
bool take_item(struct span *list, struct span *item);     /* up to the next comma, trimmed; false: no more items */
struct span take_until_blank(struct span *s);             /* and skips the blanks behind it; may be empty */

#endif
