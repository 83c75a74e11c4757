/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The few string functions of ring 0. The first three are what the C standard says; the compiler calls some of them on
 * its own.
 */
#ifndef KERNEL_STRING_H
#define KERNEL_STRING_H

#include "mullion/types.h"

void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);

/* A little-endian number of 1 to 8 bytes, wherever it lies. */
uint64_t read_le(const void *from, unsigned bytes);
/* Copies as much of `from` as fits, and always terminates. size > 0. */
void copy_string(char *to, size_t size, const char *from);

#endif
