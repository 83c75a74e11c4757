/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moves to and from device memory that were decoded before. Almost every access to a device is one of a few MOVs of a
 * driver, done over and over: what the decoder found out is kept by rip, and used again while the very same bytes stand
 * there. Pure but for the device hook.
 */
#ifndef VMM_MOVE_CACHE_H
#define VMM_MOVE_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#define MOVE_CACHE_SIZE 16u /* per vCPU */

enum cached_move_kind { MOVE_CACHE_NONE = 0, MOVE_CACHE_LOAD, MOVE_CACHE_STORE, MOVE_CACHE_STORE_IMMEDIATE };

struct cached_move {
    uint64_t rip;
    uint64_t code[2];    /* the instruction's bytes, as little-endian words */
    uint64_t immediate;  /* of MOVE_CACHE_STORE_IMMEDIATE */
    uint64_t keep;       /* of a load: the bits of the register that stay */
    uint8_t kind, width; /* width of the code: 16, 32, 64; 0: nothing is kept here */
    uint8_t length;
    uint8_t size;      /* bytes in memory: 1, 2, 4, 8 */
    uint8_t gpr;       /* GPR_*; rsp, which stands apart, takes the long way */
    uint8_t shift;     /* where in it the value starts: 8 for AH..BH */
    uint8_t sign_size; /* of a load: sign-extended to so many bytes; 0: not */
    uint8_t base;      /* where the operand is: GPR_*, or MOVE_CACHE_NO_BASE, or MOVE_CACHE_ANYWHERE */
    uint8_t segment;   /* SEG_* */
    uint16_t offset;   /* added to base: the low 12 bits */
};
#define MOVE_CACHE_NO_BASE  0xfe
#define MOVE_CACHE_ANYWHERE 0xff /* not kept */

static inline struct cached_move *move_cache_slot(struct cached_move *moves, uint64_t rip)
{
    return &moves[(rip ^ rip >> 4) & (MOVE_CACHE_SIZE - 1)];
}

struct guest_cpu;
struct decoded;

/* Keeps d in q if it is such a move. */
void move_cache_add(struct cached_move *q, const struct guest_cpu *c, const struct decoded *d, const uint8_t *bytes);

/* The exit was an access to gpa by the instruction at rip, in code of `width` bits. True: q knew it, and it has
 * retired. False: nothing has happened; so it is for an operand that may lie in two pages. RIP and CR valid; SEG too,
 * unless width is 64. */
bool move_cache_execute(const struct cached_move *q, const struct guest_cpu *c, unsigned width, uint64_t gpa);

#endif
