/*
 * Text formatting for the log. Never writes beyond the buffer. A conversion that it does not know is copied out, with all that
 * follows, as it stands: the arguments behind it cannot be trusted to be what the format says.
 */
#include "kernel/log.h"

struct sink {
    char *out;
    size_t size, length; /* length: of the whole text, also what did not fit */
};

struct field {
    bool left, zero;
    size_t width, precision; /* precision: of strings; SIZE_MAX when there is none */
};

static void put(struct sink *s, char c)
{
    if (s->length + 1 < s->size)
        s->out[s->length] = c;
    s->length++;
}

static void put_field(struct sink *s, const struct field *f, const char *prefix, const char *text, size_t length)
{
    size_t total = length;
    for (const char *p = prefix; *p; p++)
        total++;
    size_t pad = f->width > total ? f->width - total : 0;
    bool zeros = f->zero && !f->left;
    while (!f->left && !zeros && pad > 0 && pad--)
        put(s, ' ');
    while (*prefix)
        put(s, *prefix++);
    while (!f->left && pad > 0 && pad--)
        put(s, '0');
    for (size_t i = 0; i < length; i++)
        put(s, text[i]);
    while (pad > 0 && pad--)
        put(s, ' ');
}

static void put_number(struct sink *s, const struct field *f, const char *prefix, uint64_t value, unsigned base)
{
    char digits[20]; /* 2^64 has 20 decimal digits */
    size_t at = sizeof(digits);
    do {
        digits[--at] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    put_field(s, f, prefix, &digits[at], sizeof(digits) - at);
}

static size_t read_size(const char **p)
{
    size_t n = 0;
    for (; **p >= '0' && **p <= '9'; ++*p)
        n = n < 100000 ? n * 10 + (size_t)(**p - '0') : n;
    return n;
}

int kvformat(char *out, size_t size, const char *format, va_list arguments)
{
    struct sink s = {out, size, 0};
    va_list ap;
    va_copy(ap, arguments);
    for (const char *p = format; *p; p++) {
        if (*p != '%') {
            put(&s, *p);
            continue;
        }
        const char *start = p++;
        struct field f = {.precision = SIZE_MAX};
        for (; *p == '-' || *p == '0'; p++) {
            f.left |= *p == '-';
            f.zero |= *p == '0';
        }
        f.width = read_size(&p);
        if (*p == '.') {
            p++;
            f.precision = read_size(&p);
        }
        bool wide = *p == 'l' || *p == 'z'; /* long, long long and size_t are all 64 bits */
        while (*p == 'l' || *p == 'z')
            p++;
        switch (*p) {
        case '%':
            put(&s, '%');
            break;
        case 'c': {
            char c = (char)va_arg(ap, int);
            f.zero = false;
            put_field(&s, &f, "", &c, 1);
            break;
        }
        case 's': {
            const char *text = va_arg(ap, const char *);
            size_t length = 0;
            text = text ? text : "(null)";
            while (length < f.precision && text[length])
                length++;
            f.zero = false;
            put_field(&s, &f, "", text, length);
            break;
        }
        case 'd': {
            int64_t v = wide ? va_arg(ap, int64_t) : va_arg(ap, int);
            put_number(&s, &f, v < 0 ? "-" : "", v < 0 ? 0 - (uint64_t)v : (uint64_t)v, 10);
            break;
        }
        case 'u':
        case 'x':
            put_number(&s, &f, "", wide ? va_arg(ap, uint64_t) : va_arg(ap, unsigned), *p == 'u' ? 10 : 16);
            break;
        case 'p':
            put_number(&s, &f, "0x", (uintptr_t)va_arg(ap, void *), 16);
            break;
        default:
            while (*start)
                put(&s, *start++);
            p = start - 1;
        }
    }
    va_end(ap);
    if (size > 0)
        out[s.length < size ? s.length : size - 1] = '\0';
    return (int)s.length;
}

int kformat(char *out, size_t size, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = kvformat(out, size, format, arguments);
    va_end(arguments);
    return length;
}
