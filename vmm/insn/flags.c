// SPDX-License-Identifier: Apache-2.0
/*
 * See vmm/insn/flags.h.
 */
#include "vmm/insn/flags.h"

static uint64_t result_flags(uint64_t result, unsigned size)
{
    uint64_t sign = 1ull << (8 * size - 1);
    return (result == 0 ? FLAG_ZF : 0) | (result & sign ? FLAG_SF : 0) |
           (__builtin_parity((unsigned)(result & 0xff)) ? 0 : FLAG_PF);
}

uint64_t alu_add(uint64_t a, uint64_t b, unsigned carry, unsigned size, uint64_t *flags)
{
    uint64_t mask = size_mask(size), sign = 1ull << (8 * size - 1);
    a &= mask;
    b &= mask;
    uint64_t r = (a + b + carry) & mask;
    /* carry out of each bit: where both were set, or one was and the sum's bit is clear */
    uint64_t out = (a & b) | ((a | b) & ~r);
    *flags = (*flags & ~FLAGS_ARITHMETIC) | result_flags(r, size) | (out & sign ? FLAG_CF : 0) |
             (out & 8 ? FLAG_AF : 0) | (~(a ^ b) & (a ^ r) & sign ? FLAG_OF : 0);
    return r;
}

uint64_t alu_sub(uint64_t a, uint64_t b, unsigned borrow, unsigned size, uint64_t *flags)
{
    uint64_t mask = size_mask(size), sign = 1ull << (8 * size - 1);
    a &= mask;
    b &= mask;
    uint64_t r = (a - b - borrow) & mask;
    uint64_t out = (~a & b) | ((~a | b) & r);
    *flags = (*flags & ~FLAGS_ARITHMETIC) | result_flags(r, size) | (out & sign ? FLAG_CF : 0) |
             (out & 8 ? FLAG_AF : 0) | ((a ^ b) & (a ^ r) & sign ? FLAG_OF : 0);
    return r;
}

uint64_t alu_logic(uint64_t result, unsigned size, uint64_t *flags)
{
    result &= size_mask(size);
    *flags = (*flags & ~FLAGS_ARITHMETIC) | result_flags(result, size);
    return result;
}
