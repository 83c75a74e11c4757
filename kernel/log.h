/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's log and its last words. Text goes into the klog ring, and, until ring 3 has taken them over, to serial
 * and screen.
 */
#ifndef KERNEL_LOG_H
#define KERNEL_LOG_H

#include <stdarg.h>
#include "mullion/types.h"

enum log_level { LOG_ERROR = 0, LOG_WARN, LOG_INFO };

/* %s %u %x, and `l` before the last two. No others. `klog` adds the newline, and puts `error: ` or `warning: ` before
 * the line. */
void klog(enum log_level level, const char *format, ...) print_like(2, 3);
/* Cuts what does not fit, and always terminates: size > 0. The length of the text in `out`. */
size_t kformat(char *out, size_t size, const char *format, ...) print_like(3, 4);
size_t kvformat(char *out, size_t size, const char *format, va_list arguments) print_like(3, 0);

/* On serial and screen, past locks and whatever has taken these over: for a panic, and for an NMI. */
void log_at_once(const char *text);
/* Prints what happened, where and what to do, on serial and screen, stops all CPUs. */
noreturn void panic(const char *format, ...) print_like(1, 2);

/* Compiled into every build; in unit tests it aborts. */
#define kassert(condition)                                                        \
    do {                                                                          \
        if (unlikely(!(condition)))                                               \
            panic("assertion failed: %s, %s:%u", #condition, __FILE__, __LINE__); \
    } while (0)

#endif
