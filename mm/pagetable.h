/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One walker for every four-level table of the x86 family: the host's own page tables, EPT and NPT. What differs
 * between them is a `struct pt_format` of bits. Pure; callers hold the kernel lock and flush translations themselves.
 */
#ifndef MM_PAGETABLE_H
#define MM_PAGETABLE_H

#include "mm/pool.h"
#include "mullion/cpuset.h"

/* Rights of a leaf, besides RIGHT_READ/WRITE/EXEC of the ABI. */
#define PT_USER      0x1000u /* host: ring 3 may use it */
#define PT_GLOBAL    0x2000u
#define PT_UNCACHED  MAP_UNCACHED
#define PT_COMBINING MAP_COMBINING

struct pt_format {
    unsigned max_leaf_level; /* 1: 4 KiB only, 2: 2 MiB too, 3: 1 GiB too */
    bool canonical;          /* addresses are virtual: bits 63:48 repeat bit 47, anything else is E_ARG. Else 0..2^48 */
    uint64_t table_bits;     /* bits of an entry that points to a table */
    uint64_t grants, denies; /* of a leaf: bits that allow something by being set, and by being clear */
    uint64_t (*leaf)(hpa_t frame, unsigned level, uint32_t rights);
};

extern struct pt_format pt_host; /* Intel SDM vol. 3, 4.5 */
extern struct pt_format pt_ept;  /* Intel SDM vol. 3, 29.3.2; memory type WB */
extern struct pt_format pt_npt;  /* AMD APM vol. 2, 15.25: host format, always user */
/* Boot code lowers max_leaf_level where the CPU has no 1 GiB (2 MiB) pages. */

struct pagetable {
    const struct pt_format *format;
    uint64_t *root;      /* in the pool */
    struct quota *quota; /* pays for the tables */
    /* The kernel's: */
    struct cpuset cpus; /* which CPUs may have translations of it in their caches */
    uint32_t mappings;  /* in it: struct mapping */
};

enum error pt_create(struct pagetable *pt, const struct pt_format *format, struct quota *q) must_check;

/* Maps [address, address+size) to [frame, ...) with the largest pages that alignment and format allow (but an empty
 * table that an earlier unmap left is used, not replaced). All 4 KiB aligned; E_ARG if not, if size is 0, or if the
 * range leaves its half (host) or 2^48. E_OVERLAP: something in the range is mapped; E_QUOTA: the tables cannot be paid
 * for. On any error nothing has changed. Entries become visible leaf last: a table is complete before it is linked, so
 * a CPU that walks meanwhile never sees a half-built one. For ranges whose size no other party chooses. */
enum error pt_map(struct pagetable *pt, uint64_t address, hpa_t frame, uint64_t size, uint32_t rights) must_check;

/* The same for as much of the range as a bounded number of entries can show: `done` says how many bytes, at least a
 * page. What lies behind was not looked at. */
enum error pt_map_step(struct pagetable *pt, uint64_t address, hpa_t frame, uint64_t size, uint32_t rights,
                       uint64_t *done) must_check;

struct pt_change {
    uint64_t done; /* bytes of the range, from its beginning */
    bool stale;    /* a CPU may remember more than there is now (host: anything else): to be flushed */
};

/* Gives other rights to [address, address+size), which is 4 KiB aligned and lies in one range that pt_map has made,
 * whose frames are those from `frame` on. rights 0: nothing is there any more, until rights are given again; pt_map
 * may use the hole. Pages in the range that show other frames are left alone. Goes on for a bounded number of entries;
 * `change` says how far, at least a page. A large page that an end of the range cuts is split: E_QUOTA: the tables for
 * that cannot be paid for, and nothing has changed. A CPU that walks meanwhile sees the old rights or the new ones of
 * each page. */
enum error pt_protect(struct pagetable *pt, uint64_t address, hpa_t frame, uint64_t size, uint32_t rights,
                      struct pt_change *change) must_check;

/* Clears what pt_map made in the range (whole earlier mappings only; in steps, lowest first or last first: a page that
 * a step touches goes whole). Goes on for a bounded number of entries and answers how many bytes are done, at least a
 * page. Tables stay until pt_free_step or the next map uses them. */
uint64_t pt_unmap_step(struct pagetable *pt, uint64_t address, uint64_t size) must_check;

/* Frees up to max_pages tables, from the bottom; true when all are gone (root included). First, top-level slots from
 * `shared_from` (0..512) on lead to tables that are shared, and are only forgotten. */
bool pt_free_step(struct pagetable *pt, unsigned shared_from, unsigned max_pages);

#endif
