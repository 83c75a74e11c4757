/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What root hands to the checker (services/audit), and what comes back: fixed slots and addresses, one run of pages to
 * read, one to write. The checker can do nothing else: it has no handle but to two events, and nothing to write
 * but its own memory and its answer.
 */
#ifndef LIB_AUDIT_BOOT_H
#define LIB_AUDIT_BOOT_H

#include <stdint.h>
#include "mullion/boot.h"

#define AUDIT_GUESTS_MAX     256
#define AUDIT_REGIONS_MAX    32
#define AUDIT_VIOLATIONS_MAX 24

/* Slots in the checker's handle table. */
enum {
    AUDIT_SLOT_EVENT = 1,  /* RIGHT_WAIT; any bit: there is a request */
    AUDIT_SLOT_ROOT_EVENT, /* RIGHT_SIGNAL: with audit_boot.root_bits, after an answer */
};

/* Addresses in the checker's domain. */
#define AUDIT_BOOT_VA     0x0000000010000000ull /* struct audit_boot, read only */
#define AUDIT_ANSWER_VA   0x0000000010100000ull /* struct audit_answer, read-write */
#define AUDIT_SHOWN_VA    0x0000000010200000ull /* ROOT_SLOT_SHOWN, read only */
#define AUDIT_STACK_TOP   0x0000000011000000ull
#define AUDIT_STACK_BYTES 0x4000ull
#define AUDIT_POOL_VA     0x0000000040000000ull /* ROOT_SLOT_POOL, read only; as physical memory modulo 2 MiB */

struct audit_range {
    uint64_t base, size;
};
/* The guests that the configuration lets read a region, and those of them that may write. */
#define AUDIT_USERS_MAX 32
struct audit_region {
    uint32_t user_count;
    struct {
        uint16_t guest, writable;
    } user[AUDIT_USERS_MAX];
};

/* A service: the program that root has made with `tag`, whose own memory has that tag too. Beside that, and what all
 * may read, it may reach memory of these owners, with these rights, and no other. */
#define AUDIT_SERVICES_MAX 16
#define AUDIT_REACH_MAX    4
struct audit_reach {
    uint32_t owner;  /* TAG_*, or AUDIT_CHANNELS: what root shares with each monitor */
    uint32_t rights; /* RIGHT_* */
};
#define AUDIT_CHANNELS TAG_SHARED(TAG_MONITOR(0))
struct audit_service {
    uint32_t tag;
    uint32_t ports; /* 1: it may have I/O ports */
    struct audit_reach reach[AUDIT_REACH_MAX];
};

#define AUDIT_BOOT_MAGIC 0x5449445541313056ull
struct audit_boot {
    uint64_t magic;
    uint64_t request; /* root raises it, then signals */
    uint64_t root_bits, tsc_khz;
    uint64_t ram_total;             /* bytes, in the firmware's map */
    struct audit_range pool, shown; /* physical */
    uint32_t amd;                   /* 1: AMD-V and NPT, 0: VT-x and EPT */
    uint32_t ram_count;
    struct audit_range ram[BOOT_RAM_MAX]; /* what root may carve from: never the kernel's */
    uint32_t region_count, service_count;
    struct audit_service service[AUDIT_SERVICES_MAX];
    struct audit_region region[AUDIT_REGIONS_MAX]; /* memory of TAG_SHARED_REGION(i) */
};
#define AUDIT_BOOT_BYTES 0x4000ull
_Static_assert(sizeof(struct audit_boot) <= AUDIT_BOOT_BYTES, "fits");

enum audit_verdict {
    AUDIT_NONE = 0,
    AUDIT_PASSED,
    AUDIT_FAILED,
    AUDIT_RESTLESS, /* something changed each time while it looked: nothing is known */
    AUDIT_TOO_MUCH, /* more of something than it has room for: nothing is known */
    AUDIT_VERDICT_COUNT
};

/* `who` is a TAG_*: TAG_GUEST(n) the guest itself, by its second-level table; others the program whose own memory has
 * that tag, by its host table; TAG_KERNEL ring 0, by the half that every host table shares; 0 none that is known. */
enum audit_kind {
    AUDIT_OWNER =
        1, /* `who` reaches [where, +size) at `at`, which belongs to `other` (0: to none; TAG_KERNEL: to ring 0) */
    AUDIT_RIGHTS,        /* the same, but it may reach it with fewer rights only */
    AUDIT_TWO_GUESTS,    /* [where, +size), which is no shared region, is reached by the guests `who` and `other` */
    AUDIT_WX,            /* `who`: `at` is writable and executable, +size */
    AUDIT_RING0_REACHES, /* ring 0 maps [where, +size), which is RAM for ring 3, of `other`, at `at` */
    AUDIT_PRIVILEGE,     /* `who`: `at`, +size: a page for ring 0 in ring 3's half, or the reverse */
    AUDIT_HALF,       /* `who`: the kernel's half of its top-level table is not that of all others; where: the table */
    AUDIT_TABLE,      /* `who`: a table at `where` lies outside the pool, or is part of another table too */
    AUDIT_ENTRY,      /* `who`: the entry `at` in the table at `where` is not one that the format knows */
    AUDIT_TWO_OWNERS, /* the ledger: [where, +size) overlaps what comes before, or is empty, or out of order */
    AUDIT_OBJECT,     /* a kernel object is not where objects are: a pointer `where` */
    AUDIT_MSR,        /* MSR `where` is open to guests (at 1: reading, 2: writing) */
    AUDIT_PORT,       /* port `where` is open to guests */
    AUDIT_PROGRAM_PORTS, /* `who` has I/O ports, `where` to `at`, that are not for it, or that `other` has (TAG_KERNEL:
                            ring 0) */
    AUDIT_CONTROLS,      /* `who`: a vCPU runs without nested paging, with another table than its space's, or with other
                            bitmaps than the checked ones */
    AUDIT_MEMORY_TYPE,   /* `who`: [where, +size) of `other` at `at`: device memory write-back, or RAM otherwise */
    AUDIT_DEVICE_RAM,    /* the ledger: [where, +size), RAM, is device memory of `other` */
};

struct audit_violation {
    uint32_t kind, who, other, reserved;
    uint64_t where, size, at;
};

struct audit_answer {
    uint64_t answered; /* == audit_boot.request: what follows is whole */
    uint32_t verdict, tries;
    uint32_t tables, leaves, ranges, domains, spaces, vcpus;
    uint64_t digest; /* of owners and mappings; the same for the same */
    uint64_t guest_bytes[AUDIT_GUESTS_MAX], region_bytes[AUDIT_REGIONS_MAX];
    uint64_t free_bytes, monitor_bytes, root_bytes, shared_bytes, service_bytes, module_bytes, kernel_bytes;
    uint32_t violation_count, listed; /* all; those that follow */
    struct audit_violation violation[AUDIT_VIOLATIONS_MAX];
};
#define AUDIT_ANSWER_BYTES 4096ull
_Static_assert(sizeof(struct audit_answer) <= AUDIT_ANSWER_BYTES, "one page");

#endif
