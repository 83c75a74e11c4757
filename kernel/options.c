// SPDX-License-Identifier: Apache-2.0
#include "kernel/options.h"

bool option(const char *cmdline, const char *name, char *value, size_t size)
{
    if (size)
        value[0] = 0;
    for (const char *p = cmdline; *p;) {
        size_t n = 0, k = 0;
        while (name[n] && p[n] == name[n])
            n++;
        if (!name[n] && (p[n] == 0 || p[n] == ' ' || p[n] == '=')) {
            p += n + (p[n] == '=');
            for (; k + 1 < size && *p && *p != ' '; k++)
                value[k] = *p++;
            if (size)
                value[k] = 0;
            return true;
        }
        while (*p && *p != ' ')
            p++;
        while (*p == ' ')
            p++;
    }
    return false;
}
