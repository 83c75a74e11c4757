/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The checker's own walker of four-level tables, written from the manuals and not from the kernel's: it knows the
 * host's format, NPT and EPT, says what an address range leads to, and believes no table that is not in the pool or
 * that it has met before. Its cost is that of the tables. Pure.
 */
#ifndef AUDIT_WALK_H
#define AUDIT_WALK_H

#include "services/audit/view.h"

#define POOL_PAGES_MAX (512u << 20 >> PAGE_SHIFT)

enum walk_format { WALK_HOST, WALK_NPT, WALK_EPT };

/* Rights beside RIGHT_READ, WRITE and EXEC. */
#define WALK_USER   0x1000u
#define WALK_DEVICE 0x2000u /* cached otherwise than write-back */

/* Addresses that lead to frames which follow one another, with the same rights: as few of them as possible, by rising
 * address. But frames of the pool come page by page: where those lie is chance. */
struct walk_run {
    uint64_t at, frame, size;
    uint32_t rights;
};

struct walk {
    const struct view *view;
    void (*found)(void *context, const struct walk_run *run);
    /* A table that is not one (entry 0), or an entry that the format does not know. */
    void (*strange)(void *context, uint64_t table, uint64_t entry);
    void *context;
    uint32_t tables, leaves;           /* met so far */
    uint64_t met[POOL_PAGES_MAX / 64]; /* pages of the pool that are tables of a walk so far, a bit each */
    struct walk_run open;              /* private */
    enum walk_format format;           /* private: of the table that is walked, and its slots */
    unsigned first, end;
};

/* The caller fills in view, found, strange, context. */
void walk_begin(struct walk *w);
/* Top-level slots [first, end) of the table at `root`. */
void walk_table(struct walk *w, enum walk_format format, uint64_t root, unsigned first, unsigned end);

#endif
