/* SPDX-License-Identifier: Apache-2.0 */
/* How many tables a page table is made of, counted by itself: the oracle for what others report. */
#ifndef TESTS_UNIT_COUNT_TABLES_H
#define TESTS_UNIT_COUNT_TABLES_H

#include "mm/pagetable.h"

static inline uint64_t count_below(const uint64_t *table, unsigned level, unsigned slots)
{
    uint64_t n = 1;
    for (unsigned i = 0; level > 1 && i < slots; i++)
        if ((table[i] & 7) && !(table[i] & 0x80)) /* there (R, W, X or P), and not a large page: in every format */
            n += count_below(pool_ptr(hpa(table[i] & 0x000ffffffffff000ull)), level - 1, 512);
    return n;
}

/* Top-level slots from `slots` on lead to shared tables. */
static inline uint64_t count_tables(const struct pagetable *pt, unsigned slots)
{
    return count_below(pt->root, 4, slots);
}

#endif
