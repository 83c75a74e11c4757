/*
 * String functions in plain C, eight bytes at a time. They must never become calls of themselves: hence PLAIN, which stops the
 * compiler from recognising the loops.
 */
#include "kernel/string.h"
#include <stdint.h>

#ifdef __clang__
#define PLAIN __attribute__((no_builtin))
#else
#define PLAIN __attribute__((optimize("no-tree-loop-distribute-patterns")))
#endif

#ifdef UNIT_TEST /* on the host the real names belong to its libc */
#define memcpy  ring0_memcpy
#define memmove ring0_memmove
#define memset  ring0_memset
#define memcmp  ring0_memcmp
#define strlen  ring0_strlen
#define strcmp  ring0_strcmp
#define strncmp ring0_strncmp
#endif

typedef uint64_t __attribute__((may_alias, aligned(1))) word_t; /* may lie anywhere and be part of anything */

PLAIN void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
    unsigned char *t = to;
    const unsigned char *f = from;
    for (; size >= 32; size -= 32, t += 32, f += 32) {
        word_t *tw = (word_t *)t;
        const word_t *fw = (const word_t *)f;
        tw[0] = fw[0];
        tw[1] = fw[1];
        tw[2] = fw[2];
        tw[3] = fw[3];
    }
    for (; size >= 8; size -= 8, t += 8, f += 8)
        *(word_t *)t = *(const word_t *)f;
    while (size-- > 0)
        *t++ = *f++;
    return to;
}

PLAIN void *memmove(void *to, const void *from, size_t size)
{
    unsigned char *t = to;
    const unsigned char *f = from;
    if ((uintptr_t)t - (uintptr_t)f >= size) { /* `to` does not begin inside `from`: go upwards */
        for (; size >= 8; size -= 8, t += 8, f += 8)
            *(word_t *)t = *(const word_t *)f;
        while (size-- > 0)
            *t++ = *f++;
    } else {
        for (; size >= 8; size -= 8)
            *(word_t *)(t + size - 8) = *(const word_t *)(f + size - 8);
        while (size-- > 0)
            t[size] = f[size];
    }
    return to;
}

PLAIN void *memset(void *to, int byte, size_t size)
{
    unsigned char *t = to;
    uint64_t word = (unsigned char)byte * 0x0101010101010101ull;
    for (; size >= 64; size -= 64, t += 64) {
        word_t *w = (word_t *)t;
        w[0] = w[1] = w[2] = w[3] = word;
        w[4] = w[5] = w[6] = w[7] = word;
    }
    for (; size >= 8; size -= 8, t += 8)
        *(word_t *)t = word;
    while (size-- > 0)
        *t++ = (unsigned char)byte;
    return to;
}

PLAIN int memcmp(const void *a, const void *b, size_t size)
{
    const unsigned char *x = a, *y = b;
    for (size_t i = 0; i < size; i++) {
        if (x[i] != y[i])
            return x[i] - y[i];
    }
    return 0;
}

PLAIN size_t strlen(const char *s)
{
    size_t n = 0;
    while (s[n])
        n++;
    return n;
}

PLAIN int strncmp(const char *a, const char *b, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (a[i] != b[i] || !a[i])
            return (unsigned char)a[i] - (unsigned char)b[i];
    }
    return 0;
}

PLAIN int strcmp(const char *a, const char *b)
{
    return strncmp(a, b, SIZE_MAX);
}

size_t copy_string(char *to, size_t size, const char *from)
{
    size_t length = strlen(from);
    if (size > 0) {
        size_t n = length < size ? length : size - 1;
        memcpy(to, from, n);
        to[n] = '\0';
    }
    return length;
}
