// SPDX-License-Identifier: Apache-2.0
#include "kernel/string.h"

#include "arch/x86_64/instr.h"

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
    rep_movs(to, from, size);
    return to;
}

void *memset(void *to, int byte, size_t size)
{
    rep_stos(to, (uint8_t)byte, size);
    return to;
}

int memcmp(const void *a, const void *b, size_t size)
{
    const unsigned char *x = a, *y = b;
    for (size_t i = 0; i < size; i++) {
        if (x[i] != y[i])
            return x[i] - y[i];
    }
    return 0;
}

uint64_t read_le(const void *from, unsigned bytes)
{
    uint64_t v = 0;
    memcpy(&v, from, bytes);
    return v;
}

void copy_string(char *to, size_t size, const char *from)
{
    size_t i = 0;
    for (; i + 1 < size && from[i]; i++)
        to[i] = from[i];
    to[i] = 0;
}
