// SPDX-License-Identifier: Apache-2.0
/*
 * See lib/log.h. A system call carries 32 bytes.
 */
#include "lib/log.h"
#include "lib/print.h"
#include "lib/string.h"
#include "lib/syscall.h"

static void log_bytes(uint64_t log, const char *bytes, size_t count)
{
    while (count > 0) {
        uint64_t words[4] = {0};
        size_t n = count < sizeof words ? count : sizeof words;
        memcpy(words, bytes, n);
        if (sys_log(log, n, words[0], words[1], words[2], words[3]) != OK)
            return;
        bytes += n;
        count -= n;
    }
}

void log_printf(uint64_t log, const char *text, ...)
{
    char line[512];
    va_list arguments;
    va_start(arguments, text);
    int n = format_list(line, sizeof line, text, arguments);
    va_end(arguments);
    if (n > 0)
        log_bytes(log, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}
