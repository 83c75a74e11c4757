/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What root tells about itself, as records (lib/proto/records.h). An answer is pulled, one record at a time, whenever
 * the asking side has room for one: so an answer may be of any length, root never waits for a reader, and keeps no
 * queue.
 *
 * Each function here fills the next record of one answer. `at` says where the answer is; zero at its beginning. False:
 * there is no further record.
 */
#ifndef ROOT_ANSWERS_H
#define ROOT_ANSWERS_H

#include "lib/proto/records.h"

struct cursor {
    unsigned guest; /* the guest that was asked about */
    unsigned part, index, inner;
};

/* guest_report.c */
bool list_next(struct cursor *at, union record *out);
bool stats_next(struct cursor *at, union record *out);
bool crash_next(struct cursor *at, union record *out);
/* Number of the guest with that name; false: there is none. */
bool guest_find(const char *name, unsigned *n);
void guest_report(unsigned n, union record *out); /* a guest_record */

/* memory_report.c */
bool memory_next(struct cursor *at, union record *out);
void machine_report(union record *out); /* a machine_record */

/* accounts.c: each CPU is read when its turn comes, all its accounts at once. One answer at a time. */
bool accounts_next(struct cursor *at, union record *out);
bool paths_next(struct cursor *at, union record *out);

/* errors.c */
bool errors_next(struct cursor *at, union record *out);
void errors_look(void); /* each time root is awake */

/* device_report.c */
bool devices_next(struct cursor *at, union record *out);

/* regions.c: the region of number at->index as a range_record, then its guests. */
bool region_next(struct cursor *at, union record *out);

/* audit_report.c: of the last look that the shell asked for. */
bool audit_next(struct cursor *at, union record *out);

#endif
