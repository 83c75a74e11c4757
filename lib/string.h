/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory and string functions that ring-3 programs (and the compiler, on its own) call. C17's names and meanings.
 * No allocation.
 */
#ifndef LIB_STRING_H
#define LIB_STRING_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t count);
void *memmove(void *to, const void *from, size_t count);
void *memset(void *to, int byte, size_t count);
int memcmp(const void *a, const void *b, size_t count);
size_t strlen(const char *s);
size_t strnlen(const char *s, size_t most);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t most);
char *strchr(const char *s, int c);
char *strrchr(const char *s, int c);
char *strstr(const char *s, const char *part);

/* Copies and always terminates when size > 0; returns strlen(from), so `>= size` means it was cut. */
size_t string_copy(char *to, const char *from, size_t size);

#endif
