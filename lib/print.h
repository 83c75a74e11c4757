/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Formatting for ring-3 programs: a small snprintf. %s %c %d %i %u %x %X %p %% with the lengths l, ll, z, hh and h;
 * flags '0' and '-', width and precision (also '*'); precision counts for %s only. Anything else is copied as it
 * stands, so a wrong format is seen, not undefined.
 */
#ifndef LIB_PRINT_H
#define LIB_PRINT_H

#include <stdarg.h>
#include "mullion/types.h"

/* Always terminates when size > 0; returns the length the whole text would have. */
int format(char *out, size_t size, const char *text, ...) print_like(3, 4);
int format_list(char *out, size_t size, const char *text, va_list arguments) print_like(3, 0);
/* Bytes as the configuration writes them: "16M", "64K", "1000". 24 bytes are enough. Returns out. */
const char *format_size(char *out, size_t size, uint64_t bytes);

#endif
