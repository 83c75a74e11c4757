/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last lines that a source has written, for the shell's `log`. Pure.
 */
#ifndef CONSOLE_SCROLLBACK_H
#define CONSOLE_SCROLLBACK_H

#include "mullion/types.h"

struct scrollback {
    uint64_t head; /* bytes ever kept; each line ends with '\n' */
    char *text;    /* the last `bytes` of them */
    uint32_t bytes;
};

/* Nothing is kept yet. `bytes` is not 0. */
void scrollback_init(struct scrollback *s, char *text, uint32_t bytes);

/* To another, smaller place, which may overlap its own: the last lines go along. `spare`: bytes of room meanwhile. */
void scrollback_move(struct scrollback *s, char *text, uint32_t bytes, char *spare);

/* `ms`: when it came, since Mullion's start; SCROLLBACK_NO_TIME: not known. */
#define SCROLLBACK_NO_TIME (~0ull)
void scrollback_keep(struct scrollback *s, const char *line, size_t size, uint64_t ms);
/* Shows at most the last `lines` lines, each with its time in seconds in front, and ended with CR LF. */
void scrollback_show(const struct scrollback *s, unsigned lines,
                     void (*show)(void *context, const char *text, size_t size), void *context);

#endif
