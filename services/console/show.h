/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Root's records (lib/proto/records.h) as lines for a person: columns, units, words. Pure: records in, lines out
 * through `line`. One file for each topic.
 */
#ifndef CONSOLE_SHOW_H
#define CONSOLE_SHOW_H

#include "lib/proto/records.h"

struct show {
    void (*line)(void *context, const char *text); /* without its end */
    void *context;
    uint64_t tsc_khz;
    unsigned name_width; /* of the longest guest's name */
    /* private: where the answer is */
    enum request_kind what;
    bool head;        /* the table's head has been shown */
    char region[240]; /* a region's line, while its guests are added */
    size_t region_used;
};

/* The answer to such a request begins. */
void show_begin(struct show *s, enum request_kind what);
/* Its next record. Kinds that are no part of an answer show nothing. */
void show_record(struct show *s, const union record *r);
/* The end_record; what went wrong is shown, as far as no note has said it. */
void show_end(struct show *s, const struct end_record *r);

void show_line(struct show *s, const char *text, ...) print_like(2, 3);

/* The topics; called by show_record. */
void show_guest(struct show *s, const struct guest_record *r);
void show_stats(struct show *s, const struct stats_record *r);
void show_left_out(struct show *s, const struct machine_record *r);
void show_free(struct show *s, const struct machine_record *r);
void show_range(struct show *s, const struct range_record *r);
void show_access(struct show *s, const struct access_record *r);
void show_region_end(struct show *s);
void show_cpu(struct show *s, const struct cpu_record *r);
void show_account(struct show *s, const struct account_record *r);
void show_device(struct show *s, const struct device_record *r);
void show_no_device(struct show *s); /* at the end, if there was none */
void show_path(struct show *s, const struct path_record *r);
void show_owned(struct show *s, const struct owned_record *r);
void show_violation(struct show *s, const struct violation_record *r);
void show_audit(struct show *s, const struct audit_record *r);

/* What an enum exit_reason is called. EXIT_NONE: before the first entry. */
const char *exit_name(unsigned reason);
/* What a vCPU's account holds for all its exits. */
uint64_t account_exits(const struct account_record *a);

#endif
