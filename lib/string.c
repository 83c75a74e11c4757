// SPDX-License-Identifier: Apache-2.0
/*
 * See lib/string.h. Copies use the string instructions: every CPU that can run this has fast ones, and no vector
 * register is touched (a monitor must leave the guest's FPU state where it is). By words, then what is left: that is an
 * eighth of the steps where each is executed by itself.
 */
#include "lib/string.h"
#include <stdint.h>

#ifndef UNIT_TEST /* on the host the C library has these */
void *memcpy(void *restrict to, const void *restrict from, size_t count)
{
    void *d = to;
    const void *s = from;
    size_t words = count / 8, rest = count % 8;
    __asm__ volatile("rep movsq" : "+D"(d), "+S"(s), "+c"(words) : : "memory");
    __asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(rest) : : "memory");
    return to;
}

void *memmove(void *to, const void *from, size_t count)
{
    if ((uintptr_t)to - (uintptr_t)from >= count)
        return memcpy(to, from, count);
    /* `to` lies inside the source: from the end. A byte loop, because a backward rep movs is slow everywhere. */
    volatile char *d = to;
    const volatile char *s = from;
    while (count-- > 0)
        d[count] = s[count];
    return to;
}

void *memset(void *to, int byte, size_t count)
{
    void *d = to;
    size_t words = count / 8, rest = count % 8;
    uint64_t pattern = (uint8_t)byte * 0x0101010101010101ull;
    __asm__ volatile("rep stosq" : "+D"(d), "+c"(words) : "a"(pattern) : "memory");
    __asm__ volatile("rep stosb" : "+D"(d), "+c"(rest) : "a"(pattern) : "memory");
    return to;
}

int memcmp(const void *a, const void *b, size_t count)
{
    const unsigned char *x = a, *y = b;
    for (size_t i = 0; i < count; i++)
        if (x[i] != y[i])
            return x[i] < y[i] ? -1 : 1;
    return 0;
}

size_t strlen(const char *s)
{
    const char *end = s;
    while (*(const volatile char *)end != 0)
        end++;
    return (size_t)(end - s);
}

size_t strnlen(const char *s, size_t most)
{
    size_t n = 0;
    while (n < most && s[n] != 0)
        n++;
    return n;
}

int strcmp(const char *a, const char *b)
{
    return strncmp(a, b, SIZE_MAX);
}

int strncmp(const char *a, const char *b, size_t most)
{
    for (size_t i = 0; i < most; i++) {
        unsigned char x = (unsigned char)a[i], y = (unsigned char)b[i];
        if (x != y)
            return x < y ? -1 : 1;
        if (x == 0)
            break;
    }
    return 0;
}

char *strchr(const char *s, int c)
{
    for (;; s++) {
        if (*s == (char)c)
            return (char *)(uintptr_t)s;
        if (*s == 0)
            return NULL;
    }
}

char *strrchr(const char *s, int c)
{
    const char *last = NULL;
    for (;; s++) {
        if (*s == (char)c)
            last = s;
        if (*s == 0)
            return (char *)(uintptr_t)last;
    }
}

char *strstr(const char *s, const char *part)
{
    size_t n = strlen(part);
    for (;; s++) {
        if (strncmp(s, part, n) == 0)
            return (char *)(uintptr_t)s;
        if (*s == 0)
            return NULL;
    }
}
#endif

size_t string_copy(char *to, const char *from, size_t size)
{
    size_t n = 0;
    for (; from[n] != 0; n++)
        if (n + 1 < size)
            to[n] = from[n];
    if (size > 0)
        to[n < size ? n : size - 1] = 0;
    return n;
}
