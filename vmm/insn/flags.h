/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arithmetic of the x86 integer instructions with their flags (Intel SDM vol. 1, 3.4.3.1, and each instruction in vol.
 * 2). Pure.
 */
#ifndef VMM_FLAGS_H
#define VMM_FLAGS_H

#include <stdbool.h>
#include <stdint.h>
#include "mullion/types.h"

#define FLAG_CF          (1ull << 0)
#define FLAG_PF          (1ull << 2)
#define FLAG_AF          (1ull << 4)
#define FLAG_ZF          (1ull << 6)
#define FLAG_SF          (1ull << 7)
#define FLAG_DF          (1ull << 10)
#define FLAG_OF          (1ull << 11)
#define FLAGS_ARITHMETIC (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)

static inline uint64_t size_mask(unsigned size)
{
    return size >= 8 ? ~0ull : (1ull << (8 * size)) - 1;
}

/* Each returns the result cut to `size` bytes and replaces the arithmetic flags in *flags. */
uint64_t alu_add(uint64_t a, uint64_t b, unsigned carry, unsigned size, uint64_t *flags);
uint64_t alu_sub(uint64_t a, uint64_t b, unsigned borrow, unsigned size, uint64_t *flags);
/* For a result of AND, OR, XOR. */
uint64_t alu_logic(uint64_t result, unsigned size, uint64_t *flags);

/* In the encoding's order (SDM vol. 2, table A-6, group 2). */
enum alu_shift { ALU_ROL, ALU_ROR, ALU_RCL, ALU_RCR, ALU_SHL, ALU_SHR, ALU_SAL, ALU_SAR };
/* count: already cut to 5 bits, or 6 of 64. With count 0 the flags stay. */
uint64_t alu_shift(enum alu_shift kind, uint64_t a, unsigned count, unsigned size, uint64_t *flags);
/* SHLD, SHRD: bits of b come in. */
uint64_t alu_shift_double(bool left, uint64_t a, uint64_t b, unsigned count, unsigned size, uint64_t *flags);

/* A number of twice `size` bytes. */
struct alu_wide {
    uint64_t low, high;
};
/* Sets CF and OF if the product does not fit into its low half. */
struct alu_wide alu_multiply(uint64_t a, uint64_t b, bool is_signed, unsigned size, uint64_t *flags);
/* *n becomes {quotient, remainder}. False, and nothing done: #DE. */
bool alu_divide(struct alu_wide *n, uint64_t divisor, bool is_signed, unsigned size) must_check;

#endif
