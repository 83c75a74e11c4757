// SPDX-License-Identifier: Apache-2.0
#include "kernel/options.h"

bool option(const char *cmdline, const char *word)
{
    for (const char *p = cmdline; *p; p++) {
        size_t n = 0;
        while (word[n] && p[n] == word[n])
            n++;
        if (!word[n] && (p[n] == 0 || p[n] == ' ') && (p == cmdline || p[-1] == ' '))
            return true;
    }
    return false;
}
