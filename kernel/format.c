// SPDX-License-Identifier: Apache-2.0
/*
 * Text formatting for the log. Never writes beyond the buffer. A conversion that it does not know is copied out, with
 * all that follows, as it stands: the arguments behind it cannot be trusted to be what the format says.
 */
#include "kernel/log.h"

struct sink {
    char *out;
    size_t size, length;
};

static void put(struct sink *s, char c)
{
    if (s->length + 1 < s->size)
        s->out[s->length++] = c;
}

static void put_text(struct sink *s, const char *text)
{
    while (*text)
        put(s, *text++);
}

static void put_number(struct sink *s, uint64_t value, unsigned base)
{
    char digits[20]; /* 2^64 has 20 decimal digits */
    size_t at = sizeof(digits);
    do {
        digits[--at] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    while (at < sizeof(digits))
        put(s, digits[at++]);
}

size_t kvformat(char *out, size_t size, const char *format, va_list arguments)
{
    struct sink s = {out, size, 0};
    for (const char *p = format; *p; p++) {
        if (*p != '%') {
            put(&s, *p);
            continue;
        }
        const char *start = p++;
        bool wide = *p == 'l';
        p += wide;
        if (*p == 's' && start + 1 == p) {
            put_text(&s, va_arg(arguments, const char *));
        } else if (*p == 'u' || *p == 'x') {
            put_number(&s, wide ? va_arg(arguments, uint64_t) : va_arg(arguments, unsigned), *p == 'u' ? 10 : 16);
        } else {
            put_text(&s, start);
            break;
        }
    }
    out[s.length] = '\0';
    return s.length;
}

size_t kformat(char *out, size_t size, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    size_t length = kvformat(out, size, format, arguments);
    va_end(arguments);
    return length;
}
