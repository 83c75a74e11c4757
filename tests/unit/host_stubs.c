// SPDX-License-Identifier: Apache-2.0
/* What ring-0 sources expect from the kernel, for unit tests on the host: a panic fails the test at once. */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernel/log.h"

__attribute__((weak)) void panic(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    abort();
}

__attribute__((weak)) void klog(enum log_level level, const char *format, ...)
{
    (void)level;
    (void)format;
}

__attribute__((weak)) uint32_t lock_patience; /* kernel/lock.h */
