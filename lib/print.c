// SPDX-License-Identifier: Apache-2.0
/*
 * See lib/print.h. One pass over the format; a sink counts what would be written and stores what fits.
 */
#include "lib/print.h"
#include "lib/string.h"

struct sink {
    char *out;
    size_t size, used;
};

static void put(struct sink *s, char c)
{
    if (s->used + 1 < s->size)
        s->out[s->used] = c;
    s->used++;
}

struct conversion {
    bool zero, left;
    unsigned width;
    unsigned precision; /* ~0: none */
    unsigned bytes;     /* of an integer argument */
};

static void put_padded(struct sink *s, const struct conversion *c, const char *text, size_t length)
{
    size_t pad = c->width > length ? c->width - length : 0;
    bool zero = c->zero && !c->left;
    size_t first = 0;
    if (zero && length > 0 && text[0] == '-') {
        put(s, '-');
        first = 1;
    }
    for (size_t i = 0; !c->left && i < pad; i++)
        put(s, zero ? '0' : ' ');
    for (size_t i = first; i < length; i++)
        put(s, text[i]);
    for (size_t i = 0; c->left && i < pad; i++)
        put(s, ' ');
}

static void put_number(struct sink *s, const struct conversion *c, uint64_t value, bool negative, unsigned base,
                       bool upper)
{
    char digits[24];
    size_t at = sizeof digits;
    const char *of = upper ? "0123456789ABCDEF" : "0123456789abcdef";
    do {
        digits[--at] = of[value % base];
        value /= base;
    } while (value != 0);
    if (negative)
        digits[--at] = '-';
    put_padded(s, c, digits + at, sizeof digits - at);
}

static uint64_t narrowed(uint64_t value, unsigned bytes)
{
    return bytes >= 8 ? value : value & ((1ull << (8 * bytes)) - 1);
}

static int64_t sign_extended(uint64_t value, unsigned bytes)
{
    unsigned shift = 64 - 8 * (bytes > 8 ? 8 : bytes);
    return (int64_t)(value << shift) >> shift;
}

static unsigned number_in(const char **at)
{
    unsigned n = 0;
    for (; **at >= '0' && **at <= '9'; (*at)++)
        n = n < 10000 ? n * 10 + (unsigned)(**at - '0') : n;
    return n;
}

int format_list(char *out, size_t size, const char *text, va_list arguments)
{
    struct sink s = {out, size, 0};
    va_list args;
    va_copy(args, arguments);
    for (const char *p = text; *p != 0; p++) {
        if (*p != '%') {
            put(&s, *p);
            continue;
        }
        const char *start = p++;
        struct conversion c = {.precision = ~0u, .bytes = sizeof(int)};
        for (; *p == '0' || *p == '-' || *p == '#' || *p == '+' || *p == ' '; p++) {
            c.zero |= *p == '0';
            c.left |= *p == '-';
        }
        if (*p == '*') {
            int width = va_arg(args, int);
            c.left |= width < 0;
            c.width = width < 0 ? 0u - (unsigned)width : (unsigned)width;
            p++;
        } else {
            c.width = number_in(&p);
        }
        if (*p == '.') {
            p++;
            if (*p == '*') {
                int precision = va_arg(args, int);
                c.precision = precision < 0 ? ~0u : (unsigned)precision;
                p++;
            } else {
                c.precision = number_in(&p);
            }
        }
        for (; *p == 'l' || *p == 'z' || *p == 'h'; p++)
            if (*p != 'h')
                c.bytes = 8;
            else
                c.bytes = c.bytes == 2 ? 1 : 2;
        /* Arguments narrower than int are passed as int. */
        switch (*p) {
        case 'd':
        case 'i': {
            uint64_t raw = c.bytes == 8 ? va_arg(args, uint64_t) : va_arg(args, unsigned);
            int64_t v = sign_extended(raw, c.bytes);
            put_number(&s, &c, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, v < 0, 10, false);
            break;
        }
        case 'u':
        case 'x':
        case 'X': {
            uint64_t raw = c.bytes == 8 ? va_arg(args, uint64_t) : va_arg(args, unsigned);
            put_number(&s, &c, narrowed(raw, c.bytes), false, *p == 'u' ? 10 : 16, *p == 'X');
            break;
        }
        case 'p':
            put(&s, '0');
            put(&s, 'x');
            put_number(&s, &c, (uint64_t)(uintptr_t)va_arg(args, void *), false, 16, false);
            break;
        case 'c': {
            char one = (char)va_arg(args, int);
            put_padded(&s, &c, &one, 1);
            break;
        }
        case 's': {
            const char *string = va_arg(args, const char *);
            if (string == NULL)
                string = "(null)";
            c.zero = false;
            put_padded(&s, &c, string, strnlen(string, c.precision));
            break;
        }
        case '%': put(&s, '%'); break;
        default: /* not a conversion: shown as it stands */
            for (; start < p; start++)
                put(&s, *start);
            if (*p == 0)
                p--; /* the loop's step lands on the NUL */
            else
                put(&s, *p);
            break;
        }
    }
    va_end(args);
    if (size > 0)
        out[s.used < size ? s.used : size - 1] = 0;
    return s.used > 0x7fffffff ? 0x7fffffff : (int)s.used;
}

int format(char *out, size_t size, const char *text, ...)
{
    va_list arguments;
    va_start(arguments, text);
    int n = format_list(out, size, text, arguments);
    va_end(arguments);
    return n;
}

const char *format_size(char *out, size_t size, uint64_t bytes)
{
    static const char unit[] = {0, 'K', 'M', 'G'};
    unsigned u = 0;
    while (u < 3 && bytes != 0 && (bytes & 1023) == 0) {
        bytes >>= 10;
        u++;
    }
    int n = format(out, size, "%llu", (unsigned long long)bytes);
    if (u != 0 && (size_t)n < size)
        format(out + n, size - (size_t)n, "%c", unit[u]);
    return out;
}
