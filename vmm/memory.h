/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest-physical memory as the monitor sees it: a few pieces of RAM, each mapped at one run of the monitor's own
 * addresses.
 *
 * Promises: every access is checked against the pieces, whatever number the guest or an image gave; nothing here can
 * reach an address outside them. A range that straddles two pieces is refused, never split silently, except by the copy
 * helpers, which may cross from one piece into a neighbour.
 *
 * Writes have one door. Pointers into guest memory are for reading only. Code that changes guest memory calls
 * guest_write, guest_fill, guest_store or guest_replace. Code that lets hardware or another program write there calls
 * guest_written. Each of them tells `written` of the range, and nothing else has to know that it is watched. (What the
 * guest's own CPUs write is the second-level tables' concern.) `make check` refuses other ways.
 */
#ifndef VMM_MEMORY_H
#define VMM_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/proto/vmm_boot.h"
#include "mullion/abi.h"
#include "mullion/types.h"

#define GUEST_LOW_RAM_MAX 0x0c0000000ull /* RAM below 4 GiB ends here; the rest is at GUEST_HIGH_RAM */
#define GUEST_HIGH_RAM    0x100000000ull
/* [GUEST_HOLE_START, GUEST_HOLE_END) is never given to an operating system: the BIOS's extended data area up to
 * GUEST_EBDA_END, what would be a display's memory, and from 0xe0000 on the firmware's tables live there. */
#define GUEST_HOLE_START 0x00009fc00ull
#define GUEST_EBDA_END   0x0000a0000ull
#define GUEST_HOLE_END   0x000100000ull

struct guest_piece {
    uint64_t gpa, size;
    void *hva;
};

struct guest_memory {
    uint32_t count;
    uint32_t reserved;
    struct guest_piece piece[VMM_PIECES_MAX]; /* whole 4 KiB pages, by rising gpa, no two overlapping */
    /* Called after [gpa, gpa + len), which is RAM and not empty, was written; any thread. NULL: nothing watches. */
    void (*written)(void *context, uint64_t gpa, uint64_t len);
    void *context;
};

/* Which guest-physical ranges a guest with `bytes` of memory (4 KiB multiple) has: [0, min(bytes, 3 GiB)), the rest
 * from 4 GiB up. Returns how many of piece[] were filled (0..2); 0 for a size that is 0, not a multiple of 4 KiB, or
 * above 1 TiB. */
uint32_t guest_layout(uint64_t bytes, struct vmm_piece piece[2]);

/* Adds a piece, merging it with a neighbour that is adjacent in both address spaces. E_ARG: empty, not whole pages,
 * wraps around, or null; E_OVERLAP; E_QUOTA. */
enum error guest_memory_add(struct guest_memory *m, uint64_t gpa, uint64_t size, void *hva) must_check;

/* The piece that holds gpa, or NULL. */
static inline const struct guest_piece *guest_piece_of(const struct guest_memory *m, uint64_t gpa)
{
    for (const struct guest_piece *p = m->piece, *end = p + m->count; p < end; p++)
        if (gpa - p->gpa < p->size) /* below its start the difference wraps around, and no piece does */
            return p;
    return NULL;
}

/* The monitor's pointer to [gpa, gpa + len), or NULL if that is not wholly inside one piece. len 0 is never inside. */
static inline const void *guest_ptr(const struct guest_memory *m, uint64_t gpa, uint64_t len)
{
    const struct guest_piece *p = guest_piece_of(m, gpa);
    return p != NULL && len != 0 && len <= p->size - (gpa - p->gpa) ? (const uint8_t *)p->hva + (gpa - p->gpa) : NULL;
}

const void *guest_page_elsewhere(const struct guest_memory *m, uint64_t gpa);

/* The page at gpa, a multiple of 4096, or NULL. Nearly everything lies in the first piece. */
static inline const void *guest_page(const struct guest_memory *m, uint64_t gpa)
{
    uint64_t offset = gpa - m->piece[0].gpa;
    if (unlikely(offset >= m->piece[0].size))
        return guest_page_elsewhere(m, gpa);
    const uint8_t *page = (const uint8_t *)m->piece[0].hva + offset;
    if (page == NULL) /* the compiler cannot know that no piece is there */
        __builtin_unreachable();
    return page;
}

/* Copies; E_ARG, and nothing done, if any byte is outside RAM. */
enum error guest_read(const struct guest_memory *m, uint64_t gpa, void *to, uint64_t len) must_check;
enum error guest_write(const struct guest_memory *m, uint64_t gpa, const void *from, uint64_t len) must_check;
enum error guest_fill(const struct guest_memory *m, uint64_t gpa, uint8_t byte, uint64_t len) must_check;
/* One store of 1, 2, 4 or 8 bytes, whole if it is aligned. False, and nothing done: it is not inside one piece. */
bool guest_store(const struct guest_memory *m, uint64_t gpa, unsigned size, uint64_t value) must_check;
/* Changes the aligned 4 or 8 bytes at gpa from `seen` to `value`, atomically. False, and nothing done: they hold
 * something else by now, or it is not RAM. */
bool guest_replace(const struct guest_memory *m, uint64_t gpa, unsigned size, uint64_t seen, uint64_t value) must_check;
/* Something else has written there: a disk's or a network card's DMA, a service. What is not RAM is left out. */
void guest_written(const struct guest_memory *m, uint64_t gpa, uint64_t len);
/* Zeroes all of it: a machine's memory as it is switched on. */
void guest_clear(const struct guest_memory *m);

/* End of the RAM that starts at guest-physical 0 (0: there is none), and the sum of all pieces. */
uint64_t guest_low_end(const struct guest_memory *m);
uint64_t guest_total(const struct guest_memory *m);

#endif
