/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Root's side of the checker (services/audit): its life, when it looks, and what it found. It is started at the first
 * look.
 *
 * It looks when it is asked to, and by itself soon after guests have come or gone: when all that were starting run and
 * all that ended are cleared away, but at the latest after AUDIT_LATE_MS, and at least AUDIT_REST_MS after the last
 * time. While it looks nothing is destroyed.
 */
#ifndef ROOT_AUDIT_H
#define ROOT_AUDIT_H

#include "lib/proto/audit_boot.h"
#include "lib/proto/records.h"
#include "mullion/types.h"

/* Finds its place in memory. */
void audit_init(void);
/* Guests have come or gone. */
void audit_due(void);
/* It looks at this moment: tables should rest. */
bool audit_looks(void);
/* `settled`: no guest is starting or ending. Answers when it wants to be called again: a TSC value, NEVER. */
uint64_t audit_work(bool settled);
/* The shell's `audit`. False: it cannot look now, and `why` says so; else audit_found tells when it has looked. */
bool audit_command(struct note_record *why);
/* The shell's `audit break NAME`: a page of another guest is mapped into that one's monitor while the checker looks. */
bool audit_break(unsigned n, struct note_record *why);

struct audit_found {
    struct audit_answer answer;
    uint64_t ticks; /* that the checker's thread has run */
    enum audit_broken broken;
};
/* What it found for the shell; NULL: it still looks. */
const struct audit_found *audit_found(void);

/* audit_report.c: what it found, as lines of the log: a look that was not asked for. */
void audit_log(const struct audit_found *f);

#endif
