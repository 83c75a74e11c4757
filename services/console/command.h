/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shell's command lines, read. Pure.
 */
#ifndef CONSOLE_COMMAND_H
#define CONSOLE_COMMAND_H

#include "mullion/types.h"

enum command_kind {
    SHELL_NOTHING = 0, /* an empty line */
    SHELL_HELP,
    SHELL_LIST,
    SHELL_ATTACH,
    SHELL_START,
    SHELL_STOP,
    SHELL_RESTART,
    SHELL_LOG,
    SHELL_FAULT,
    SHELL_MEMORY,
    SHELL_POWEROFF,
    SHELL_REBOOT,
    SHELL_STAY,
    SHELL_NMI,
    SHELL_BREAK,
    SHELL_MUTE,
    SHELL_UNMUTE,
    SHELL_CRASH,
    SHELL_EXIT,
    SHELL_STATS,
    SHELL_AUDIT,
    SHELL_AUDIT_BREAK,
    SHELL_TOP,
    SHELL_ACCOUNTS,
    SHELL_PATHS,
    SHELL_ERRORS,
    SHELL_DEVICES,
};

struct command {
    enum command_kind kind;
    unsigned guest; /* number of the guest named; COMMAND_NO_GUEST: none */
    /* stop: seconds, 0: now; poweroff, reboot: 1 = now; fault: 1 = fuzz; break: the character behind it; exit: code;
     * log: lines; top: tables, 0: until a key is pressed; help: the command's number, COMMAND_ALL */
    unsigned value;
};
#define COMMAND_NO_GUEST (~0u)
#define COMMAND_ALL      (~0u)

/* False: it is not understood, and `why` says in words what would be. */
bool command_parse(const char *line, const char (*guests)[32], unsigned guest_count, struct command *out, char *why,
                   size_t why_size);

/* The i-th line of the help text; NULL after the last. */
const char *command_help(unsigned i);
/* What `help COMMAND` says behind that command's line; NULL: no more than that. */
const char *command_more(unsigned i);
/* For the editor: words that may stand where the last word of `line` stands. `i` counts; NULL: there are no more. */
const char *command_word(const char *line, unsigned i, const char (*guests)[32], unsigned guest_count);

#endif
