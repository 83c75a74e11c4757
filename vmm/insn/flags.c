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

static uint64_t sign_bit(unsigned size)
{
    return 1ull << (8 * size - 1);
}

/* By one bit. *carry: CF before and after. */
static uint64_t shift_once(enum alu_shift kind, uint64_t a, unsigned size, bool *carry)
{
    uint64_t sign = sign_bit(size), in = *carry, top = (a & sign) != 0, bottom = a & 1;
    bool left = kind == ALU_ROL || kind == ALU_RCL || kind == ALU_SHL || kind == ALU_SAL;
    *carry = left ? top : bottom;
    switch (kind) {
    case ALU_ROL: in = top; break;
    case ALU_ROR: in = bottom; break;
    case ALU_RCL:
    case ALU_RCR: break;
    case ALU_SAR: in = top; break;
    default: in = 0; break;
    }
    return left ? (a << 1 | in) & size_mask(size) : a >> 1 | sign * in;
}

uint64_t alu_shift(enum alu_shift kind, uint64_t a, unsigned count, unsigned size, uint64_t *flags)
{
    a &= size_mask(size);
    if (count == 0)
        return a;
    bool carry = *flags & FLAG_CF, overflow = false;
    for (unsigned i = 0; i < count; i++) {
        uint64_t before = a;
        a = shift_once(kind, a, size, &carry);
        overflow = ((before ^ a) & sign_bit(size)) != 0; /* for one bit; else undefined */
    }
    uint64_t changed = FLAG_CF | FLAG_OF, f = (carry ? FLAG_CF : 0) | (overflow ? FLAG_OF : 0);
    if (kind >= ALU_SHL) {
        changed = FLAGS_ARITHMETIC;
        f |= result_flags(a, size);
    }
    *flags = (*flags & ~changed) | f;
    return a;
}

uint64_t alu_shift_double(bool left, uint64_t a, uint64_t b, unsigned count, unsigned size, uint64_t *flags)
{
    uint64_t sign = sign_bit(size), before = a &= size_mask(size);
    bool carry = false;
    if (count == 0)
        return a;
    for (unsigned i = 0; i < count; i++) {
        before = a;
        carry = a & (left ? sign : 1);
        a = left ? (a << 1 | ((b & sign) != 0)) & size_mask(size) : a >> 1 | sign * (b & 1);
        b = left ? b << 1 : b >> 1;
    }
    *flags = (*flags & ~FLAGS_ARITHMETIC) | result_flags(a, size) | (carry ? FLAG_CF : 0) |
             ((before ^ a) & sign ? FLAG_OF : 0);
    return a;
}

static uint64_t extend(uint64_t value, unsigned size)
{
    unsigned shift = 64 - 8 * size;
    return (uint64_t)((int64_t)(value << shift) >> shift);
}

struct alu_wide alu_multiply(uint64_t a, uint64_t b, bool is_signed, unsigned size, uint64_t *flags)
{
    uint64_t mask = size_mask(size);
    unsigned __int128 product;
    if (is_signed)
        product = (unsigned __int128)((__int128)(int64_t)extend(a, size) * (int64_t)extend(b, size));
    else
        product = (unsigned __int128)(a & mask) * (b & mask);
    struct alu_wide w = {(uint64_t)product & mask, (uint64_t)(product >> (8 * size)) & mask};
    bool fits = w.high == (is_signed && (w.low & sign_bit(size)) ? mask : 0);
    *flags = (*flags & ~(FLAG_CF | FLAG_OF)) | (fits ? 0 : FLAG_CF | FLAG_OF);
    return w;
}

/* 128 by 64 bits, bit by bit, as the compiler has no such division without a library. high < divisor. */
static struct alu_wide divide(uint64_t high, uint64_t low, uint64_t divisor)
{
    for (unsigned i = 0; i < 64; i++) {
        bool out = high >> 63;
        high = high << 1 | low >> 63;
        low <<= 1;
        if (out || high >= divisor) {
            high -= divisor;
            low |= 1;
        }
    }
    return (struct alu_wide){low, high};
}

bool alu_divide(struct alu_wide *n, uint64_t divisor, bool is_signed, unsigned size)
{
    uint64_t mask = size_mask(size), sign = sign_bit(size), high = n->high & mask, low = n->low & mask;
    divisor &= mask;
    bool negative = is_signed && (high & sign), other = is_signed && (divisor & sign);
    if (negative) { /* the magnitude */
        low = (0 - low) & mask;
        high = (~high + (low == 0)) & mask;
    }
    if (other)
        divisor = (0 - divisor) & mask;
    if (divisor == 0 || high >= divisor)
        return false;
    struct alu_wide q;
    if (size == 8)
        q = divide(high, low, divisor);
    else
        q = (struct alu_wide){(high << (8 * size) | low) / divisor, (high << (8 * size) | low) % divisor};
    bool minus = negative != other;
    if (is_signed && q.low > (minus ? sign : sign - 1))
        return false;
    n->low = (minus ? 0 - q.low : q.low) & mask;
    n->high = (negative ? 0 - q.high : q.high) & mask;
    return true;
}
