/* The kernel's command line: words, `name` or `name=value`. Pure. */
#ifndef KERNEL_OPTIONS_H
#define KERNEL_OPTIONS_H

#include "arch/x86_64/types.h"

/* Is the option there? Its value (empty without `=`) is copied, cut to fit. */
bool option(const char *cmdline, const char *name, char *value, size_t size);

#endif
