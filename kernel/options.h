/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's command line: words with spaces between them. Pure. */
#ifndef KERNEL_OPTIONS_H
#define KERNEL_OPTIONS_H

#include "mullion/types.h"

/* Is the word there, whole? */
bool option(const char *cmdline, const char *word);

#endif
