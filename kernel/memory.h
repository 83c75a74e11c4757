/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory objects: runs of physical memory with one owner each, and where they are mapped. Kernel lock held.
 */
#ifndef KERNEL_MEMORY_H
#define KERNEL_MEMORY_H

#include "kernel/object.h"
#include "mm/ledger.h"
#include "mm/pagetable.h"

/* What one step frees at most. */
#define MAPPINGS_PER_STEP 16u
#define TABLES_PER_STEP   64u

struct mapping;
struct space;

struct memory {
    struct object object;
    struct domain *payer;
    struct ledger_range range; /* linked in the ledger, unless is_ram */
    bool is_ram;               /* a piece of the firmware's map: only carved from, never mapped */
    bool keep;                 /* the kernel's own: never destroyed */
    bool device;               /* no RAM: never mapped write-back, never zeroed */
    uint8_t phase;             /* of destruction */
    struct mapping *mappings;
    uint64_t flush_target, scrubbed;
    struct cpuset flush_cpus;
    bool being_scrubbed; /* by a thread that has given the kernel's lock back for it */
};

/* One mapping of one memory object into one table. */
struct mapping {
    struct memory *memory;
    struct domain *payer;
    struct pagetable *tables;
    uint64_t address, size, offset; /* offset: in the memory */
    uint64_t made, cleared;         /* bytes that are in the table yet; that an unmap has taken out again */
    uint32_t rights;                /* what it was made with; parts of it may have fewer */
    uint64_t protect_target;        /* the last flush that fewer rights in it have asked for; 0: none yet */
    uint64_t flush_target;          /* != 0: taken out of the table, waits for the flush */
    struct mapping *memory_next, **memory_back;
    struct mapping *target_next, **target_back;
};

/* An object over [base, base+size): enters the ledger, unless `is_ram`. */
struct memory *memory_new(struct domain *payer, hpa_t base, uint64_t size, uint32_t tag, bool is_ram, enum error *e);
void memory_free(struct memory *m);
enum error memory_destroy_step(struct memory *m) must_check;
struct memory *memory_carve(struct domain *payer, struct memory *ram, uint64_t offset, uint64_t size, uint32_t tag,
                            enum error *e);

/* Device memory [base, +size). */
struct memory *memory_device(struct domain *payer, uint64_t base, uint64_t size, uint32_t tag, enum error *e);

/* What memory is mapped into: a domain or a space. */
struct map_target {
    struct domain *payer;
    struct pagetable *tables;
    struct mapping **list;
};

/* Steps, as the calls map and unmap: E_AGAIN. */
enum error mapping_make_step(const struct map_target *target, struct memory *m, uint64_t address, uint64_t offset,
                             uint64_t size, uint32_t rights) must_check;
enum error mapping_remove_step(struct mapping *list, uint64_t address) must_check;
/* Other rights for a part of one mapping, as the call protect says; E_AGAIN. Its value: how many bytes it has done. */
struct result mapping_protect_step(struct mapping *list, uint64_t address, uint64_t size, uint32_t rights);
/* Forgets a mapping whose table is already dead or flushed. */
void mapping_free(struct mapping *m);

#endif
