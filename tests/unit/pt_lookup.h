/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Page tables as the CPU reads them: written from the manuals and not from mm/pagetable.c, which it checks. Host format
 * and NPT: Intel SDM vol. 3, 4.5.4; EPT: 29.3.2.
 */
#ifndef PT_LOOKUP_H
#define PT_LOOKUP_H

#include "mm/pagetable.h"

#define LOOKUP_FRAME 0x000ffffffffff000ull

/* A copy of a format, too: an EPT entry that points to a table is R, W, X and nothing else. */
static inline bool pt_is_ept(const struct pagetable *pt)
{
    return pt->format->table_bits == 7;
}

static inline bool pt_entry_present(const struct pagetable *pt, uint64_t e)
{
    return e & (pt_is_ept(pt) ? 7 : 1);
}

static inline bool pt_entry_is_leaf(uint64_t e, unsigned level)
{
    return level == 1 || (e >> 7 & 1);
}

static inline uint32_t pt_entry_rights(const struct pagetable *pt, uint64_t e)
{
    if (pt_is_ept(pt))
        return RIGHT_READ | (e >> 1 & 1 ? RIGHT_WRITE : 0) | (e >> 2 & 1 ? RIGHT_EXEC : 0) |
               ((e >> 3 & 7) == 0 ? PT_UNCACHED : 0) | ((e >> 3 & 7) == 1 ? PT_COMBINING : 0);
    uint32_t rights = RIGHT_READ | (e >> 1 & 1 ? RIGHT_WRITE : 0) | (e >> 63 ? 0 : RIGHT_EXEC);
    rights |= (e >> 4 & 1 ? PT_UNCACHED : e >> 3 & 1 ? PT_COMBINING : 0) | (e >> 8 & 1 ? PT_GLOBAL : 0);
    return rights | (pt->format->canonical && (e >> 2 & 1) ? PT_USER : 0); /* in NPT it says nothing */
}

/* false: not mapped. Out parameters may be NULL; *frame: the 4 KiB frame; *size: the page's size. */
static inline bool pt_lookup(const struct pagetable *pt, uint64_t address, hpa_t *frame, uint32_t *rights,
                             uint64_t *size)
{
    int64_t top = (int64_t)address >> 47;
    if (pt->format->canonical ? top != 0 && top != -1 : address >> 48 != 0)
        return false;
    const uint64_t *table = pt->root;
    for (unsigned level = 4;; level--) {
        uint64_t e = table[address >> (3 + 9 * level) & 511], mask = (4096ull << 9 * (level - 1)) - 1;
        if (!pt_entry_present(pt, e))
            return false;
        if (!pt_entry_is_leaf(e, level)) {
            table = pool_ptr(hpa(e & LOOKUP_FRAME));
            continue;
        }
        if (frame)
            *frame = hpa((e & LOOKUP_FRAME & ~mask) | (address & mask & LOOKUP_FRAME));
        if (rights)
            *rights = pt_entry_rights(pt, e);
        if (size)
            *size = mask + 1;
        return true;
    }
}

/* All the steps of an unmap; of a range that ends behind the last address: one step. */
static inline void pt_unmap_all(struct pagetable *pt, uint64_t address, uint64_t size)
{
    for (uint64_t done, end = address + size; size; size -= done, address += done) {
        done = pt_unmap_step(pt, address, size);
        if (end < address)
            return;
    }
}

static inline uint64_t pt_tables_below(const struct pagetable *pt, const uint64_t *table, unsigned level,
                                       unsigned slots)
{
    uint64_t n = 1;
    for (unsigned i = 0; level > 1 && i < slots; i++)
        if (pt_entry_present(pt, table[i]) && !pt_entry_is_leaf(table[i], level))
            n += pt_tables_below(pt, pool_ptr(hpa(table[i] & LOOKUP_FRAME)), level - 1, 512);
    return n;
}

/* The tables that there are, root included, without those behind top-level slots from `shared_from` on. */
static inline uint64_t pt_tables(const struct pagetable *pt, unsigned shared_from)
{
    return pt->root ? pt_tables_below(pt, pt->root, 4, shared_from) : 0;
}

#endif
