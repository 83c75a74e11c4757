/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's command line: words, `name` or `name=value`. Pure. */
#ifndef KERNEL_OPTIONS_H
#define KERNEL_OPTIONS_H

#include "mullion/types.h"

/* Is the option there? Its value (empty without `=`) is copied, cut to fit. */
bool option(const char *cmdline, const char *name, char *value, size_t size);

#endif
