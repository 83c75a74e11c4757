/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ownership ledger: which ranges of physical memory have an owner, and which one. Every frame has at most one.
 * Kept as disjoint ranges in a balanced tree: its cost grows with the number of ranges, never with RAM. Pure; callers
 * hold the kernel lock.
 */
#ifndef MM_LEDGER_H
#define MM_LEDGER_H

#include "mullion/abi.h"
#include "mullion/types.h"

/* Embedded in the owner's object; the ledger only links it. */
struct ledger_range {
    hpa_t base;
    uint64_t size;                 /* bytes, page multiple, > 0, does not wrap */
    uint32_t tag;                  /* TAG_* */
    int32_t height;                /* private to the ledger */
    struct ledger_range *child[2]; /* private: below, above */
};

struct ledger {
    struct ledger_range *root;
};

/* E_ARG: misaligned, empty or wrapping; E_OVERLAP: some frame has an owner. */
enum error ledger_insert(struct ledger *l, struct ledger_range *r) must_check;
void ledger_remove(struct ledger *l, struct ledger_range *r);

#endif
