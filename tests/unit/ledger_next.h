/* SPDX-License-Identifier: Apache-2.0 */
/* Walks a ledger in order, for tests; the kernel itself never looks for the next range. */
#ifndef LEDGER_NEXT_H
#define LEDGER_NEXT_H

#include "mm/ledger.h"

/* The first range with base >= a, or NULL. */
static inline struct ledger_range *ledger_next(const struct ledger *l, hpa_t a)
{
    struct ledger_range *best = NULL;
    for (struct ledger_range *n = l->root; n; n = n->child[n->base.v < a.v]) {
        if (n->base.v >= a.v)
            best = n;
    }
    return best;
}

#endif
