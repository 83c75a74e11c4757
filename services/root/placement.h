/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where in the machine's RAM things are put. Pure: a map of free extents, and from it private runs for programs and
 * pieces for guests, such that guest-physical and host-physical addresses agree in their low bits as far as possible:
 * only then can the tables use 2 MiB and 1 GiB pages.
 *
 * What is taken stays taken as long as the guest is there, on or off: so a restart never fails for want of memory.
 */
#ifndef ROOT_PLACEMENT_H
#define ROOT_PLACEMENT_H

#include "lib/proto/vmm_boot.h"
#include "mullion/types.h"

#define EXTENTS_MAX 256

struct extent {
    uint64_t base, size;
}; /* host-physical; whole pages; never empty */

struct free_map {
    unsigned count;
    struct extent extent[EXTENTS_MAX];
};

/* Adds free memory. Extents are kept apart even if they touch: they may belong to different RAM objects. False: the map
 * is full, or the range is not made of whole pages. */
bool free_map_add(struct free_map *m, uint64_t base, uint64_t size);
/* Takes [base, +size) out, as far as it is free. False: the map has no room for the remaining pieces (then nothing has
 * changed). */
bool free_map_take(struct free_map *m, uint64_t base, uint64_t size);
/* Gives [base, +size) back, which was taken. It joins its free neighbours as far as they lie in [low, high), the RAM
 * object that it came from. False: the map has no room for it (then nothing has changed). */
bool free_map_give(struct free_map *m, uint64_t base, uint64_t size, uint64_t low, uint64_t high);
uint64_t free_map_total(const struct free_map *m);

/* A run of `size` bytes from the smallest extent that holds it; 0: there is none. */
uint64_t place_private(struct free_map *m, uint64_t size);

/* A run of `size` bytes, a power of two, at as large a power of two as can be had, up to its own size, but at 2 MiB at
 * least if it has that many; 0: there is none. */
uint64_t place_region(struct free_map *m, uint64_t size);

struct piece {
    uint64_t gpa, hpa, size;
};
struct guest_memory {
    unsigned count;
    struct piece piece[VMM_PIECES_MAX];
};

/* Guest RAM of `bytes`: guest-physical [0, min(bytes, 3G)) and, if there is more, from 4G on. False: it does not fit,
 * or only in more than VMM_PIECES_MAX pieces; then nothing has changed. */
bool place_guest(struct free_map *m, uint64_t bytes, struct guest_memory *out);

#define GUEST_HOLE_START (3ull << 30)
#define GUEST_HOLE_END   (4ull << 30)

/* How many page-table pages a mapping of [va, +size) onto [pa, +size) needs at most below the top-level table. */
uint64_t table_pages(uint64_t va, uint64_t pa, uint64_t size);

#endif
