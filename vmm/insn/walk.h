/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk through a guest's own page tables: linear address -> guest-physical address, in every paging mode that the
 * machine offers (none, 32-bit, PAE, four-level; Intel SDM vol. 3, chapter 4). Pure.
 *
 * Promises: reads and writes nothing outside the guest's RAM, whatever the tables say. Sets accessed and dirty bits as
 * the CPU does, so a page that the monitor wrote for the guest is not lost to the guest's swapper: only in an entry
 * that is still what the walk saw. If another vCPU has changed it meanwhile, the walk begins anew. Does not know:
 * reserved bits, protection keys, PCIDs.
 */
#ifndef VMM_WALK_H
#define VMM_WALK_H

#include <stdbool.h>
#include <stdint.h>
#include "mullion/vcpu.h"
#include "vmm/memory.h"

/* How memory is accessed; WRITE, USER and FETCH have the values of the page-fault error code (SDM vol. 3, 4.7). */
#define ACCESS_WRITE 0x02u
#define ACCESS_USER  0x04u
#define ACCESS_FETCH 0x10u
#define ACCESS_PEEK  0x100u /* for looking only: no permission checks, no accessed or dirty bits */

enum walk_outcome {
    WALK_OK = 0,
    WALK_PAGE_FAULT, /* error_code */
    WALK_GENERAL,    /* not canonical: #GP(0) (#SS(0) for the stack, which is not told apart) */
    WALK_BROKEN,     /* a table lies outside RAM: no CPU could go on sensibly */
    WALK_CHANGED,    /* inside walk.c only */
};

struct walk_result {
    enum walk_outcome outcome;
    uint32_t error_code;
    uint64_t gpa;
    uint64_t left; /* bytes from gpa to the end of its 4 KiB page: as far as this answer reaches */
};

/* s: CR and RIP groups valid. access: ACCESS_*. */
struct walk_result walk(const struct guest_memory *m, const struct vcpu_state *s, uint64_t linear, uint32_t access);

/* The byte at rip, which 64-bit code has just run; what follows it in its 4 KiB page follows it here. NULL: not to be
 * had. For looking only, and short: each access to a device's memory needs it. RIP and CR valid. */
const uint8_t *walk_code64(const struct guest_memory *m, const struct vcpu_state *s);

/* Long mode is active. */
bool walk_long_mode(const struct vcpu_state *s);

#endif
