/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines into the kernel's log, by SYS_LOG. The kernel puts the domain's tag at a line's start. Best effort: a log that
 * refuses costs nothing but the text.
 */
#ifndef LIB_LOG_H
#define LIB_LOG_H

#include "mullion/types.h"

/* `log`: the handle's slot. The text ends its own lines with '\n'. Longer than 511 bytes is cut. */
void log_printf(uint64_t log, const char *text, ...) print_like(2, 3);

#endif
