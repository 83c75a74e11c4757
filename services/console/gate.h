/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between a guest that has gone off under the operator's hands and the shell. What was meant for the guest (the rest of
 * a paste, a habit, what is still on the wire) must not become Mullion's commands: the gate is shut, and keys are
 * dropped until one comes that is meant for the shell. That is Ctrl-], or an Enter with silence before and behind it.
 * Pure.
 */
#ifndef CONSOLE_GATE_H
#define CONSOLE_GATE_H

#include "mullion/types.h"

#define GATE_KEY    0x1d /* Ctrl-] */
#define GATE_BEFORE 1000 /* ms of silence before an Enter that opens it... */
#define GATE_BEHIND 300  /* ...and behind it: a paste goes on */

struct gate {
    bool shut;
    uint64_t khz;  /* ticks in a ms */
    uint64_t last; /* tick of the last key, or when it was shut */
    bool entered;  /* that key was such an Enter, so far */
};

void gate_shut(struct gate *g, uint64_t now);
/* A key that came while it was shut. True: the key has opened it. */
bool gate_key(struct gate *g, uint8_t key, uint64_t now);
/* True: the silence behind an Enter has opened it. */
bool gate_work(struct gate *g, uint64_t now);
/* When that would be: a tick, NEVER. */
uint64_t gate_due(const struct gate *g);

#endif
