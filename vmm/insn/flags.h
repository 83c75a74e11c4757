/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arithmetic of the x86 integer instructions with their flags (Intel SDM vol. 1, 3.4.3.1, and each instruction in vol.
 * 2). Pure.
 */
#ifndef VMM_FLAGS_H
#define VMM_FLAGS_H

#include <stdint.h>

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

#endif
