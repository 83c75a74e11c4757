/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Root's side of the checker (services/audit): its life, when it looks, and what it found, in words. It is started at
 * the first look.
 *
 * It looks when it is asked to, and by itself soon after guests have come or gone: when all that were starting run and
 * all that ended are cleared away, but at the latest after AUDIT_LATE_MS, and at least AUDIT_REST_MS after the last
 * time. While it looks nothing is destroyed.
 */
#ifndef ROOT_AUDIT_H
#define ROOT_AUDIT_H

#include "lib/proto/audit_boot.h"
#include "mullion/types.h"

/* Finds its place in memory. */
void audit_init(void);
/* Guests have come or gone. */
void audit_due(void);
/* It looks at this moment: tables should rest. */
bool audit_looks(void);
/* `settled`: no guest is starting or ending. Answers when it wants to be called again: a TSC value, NEVER. */
uint64_t audit_work(bool settled);
/* The shell's `audit`. False: it has been answered already; else the answer is DONE (console_done) later. */
bool audit_command(void);
/* The shell's `audit break NAME`: a page of another guest is mapped into that one's monitor while the checker looks. */
bool audit_break(unsigned n);

/* audit_words.c: one violation as a sentence. */
void audit_words(const struct audit_violation *v, char *out, size_t size);

#endif
