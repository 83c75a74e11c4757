#include "kernel/options.h"

#include "kernel/string.h"

bool option(const char *cmdline, const char *name, char *value, size_t size)
{
    size_t n = strlen(name);
    if (size)
        value[0] = 0;
    for (const char *p = cmdline; *p;) {
        while (*p == ' ')
            p++;
        const char *end = p;
        while (*end && *end != ' ')
            end++;
        if ((size_t)(end - p) >= n && !strncmp(p, name, n) && (p + n == end || p[n] == '=')) {
            const char *from = p + n < end ? p + n + 1 : end;
            size_t k = 0;
            for (; from < end && k + 1 < size; k++)
                value[k] = *from++;
            if (size)
                value[k] = 0;
            return true;
        }
        p = end;
    }
    return false;
}
