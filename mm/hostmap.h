/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's own half of every address space: its image, its pool, the CPU areas, device registers and the scrub
 * windows. Nothing else of physical memory is mapped in ring 0, guest memory least of all.
 */
#ifndef MM_HOSTMAP_H
#define MM_HOSTMAP_H

#include "boot/ranges.h"
#include "mm/pagetable.h"

/* Chooses the pool in `free`, ascending (below 4 GiB, 2 MiB aligned; its size: mullion/pool.h), starts it, and builds
 * and loads the kernel's tables. The boot's one-to-one map is gone afterwards. Panics, in words, if there is no room.
 * The range of the pool comes back in *pool. `cpus`: how many there may be, for the kernel's own share of it. */
void hostmap_init(const struct boot_range *free, unsigned count, uint64_t ram_total, unsigned cpus,
                  struct boot_range *pool);
/* The kernel's tables: for idle CPUs, and the model from which a domain's are begun. */
extern struct pagetable kernel_tables;
extern struct quota kernel_quota; /* what the kernel itself uses; the rest is root's */
#define KERNEL_SLOT 511u          /* the top-level slot that every address space shares */

enum error hostmap_pool_page(uint64_t va) must_check; /* maps a fresh zeroed page read-write */
void *hostmap_device(hpa_t base, uint64_t size);      /* uncached; panics when the region for devices is full */
void *hostmap_video(
    hpa_t base,
    uint64_t size); /* write-combining once cpu_init has run; NULL when there is no room or no such address */
bool hostmap_reaches(uint64_t address); /* the CPU has so wide physical addresses */
hpa_t image_hpa(const void *in_image);

/* This CPU's window onto 2 MiB of physical memory: shows the 2 MiB page that holds `a`; the result points at `a`.
 * Interrupts off; one user at a time; closed before ring 3 runs. */
void *window_open(hpa_t a);
void window_close(void);

#endif
