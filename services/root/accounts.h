/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tick ledger, read from the kernel's books: on each CPU every tick is a guest's (its own, or an exit's by reason),
 * a service's, the kernel's, or idle.
 */
#ifndef ROOT_LEDGER_H
#define ROOT_LEDGER_H

#include <stdbool.h>

/* The shell's `ledger`: every account, a line each, for programs to read. The answer comes in pieces: call ledger_more
 * until it says false. */
void ledger_command(void);
bool ledger_more(void);
/* The shell's `top`: where the time has gone since the last call; `again` false: only begins to count. */
void ledger_top(bool again);
/* The shell's `paths`: the longest stays in ring 0. */
void ledger_paths(void);

#endif
