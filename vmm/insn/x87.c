// SPDX-License-Identifier: Apache-2.0
/*
 * x87 loads and stores, with their conversions (Intel SDM vol. 1, 8.1 to 8.5, and each instruction in vol. 2). What
 * computes is not known. See vmm/insn/fpu.h.
 *
 * An exception that the guest has not masked is left pending in the status word: the guest's next x87 instruction gets
 * it from the CPU. The pointers to instruction and operand are not kept.
 */
#include "lib/string.h"
#include "vmm/insn/flags.h"
#include "vmm/insn/fpu.h"

/* Status word */
#define INVALID     0x01u
#define DENORMAL    0x02u
#define OVERFLOW    0x08u
#define UNDERFLOW   0x10u
#define PRECISION   0x20u
#define EXCEPTIONS  0x3fu
#define STACK_FAULT 0x40u
#define SUMMARY     0x80u
#define C1          0x200u
#define BUSY        0x8000u

enum rounding { NEAREST, DOWN, UP, TO_ZERO }; /* RC, control word 11:10 */

/* A register: an explicit integer bit is in front of the fraction. */
struct real {
    uint64_t fraction;
    uint16_t exponent; /* biased by 16383 */
    bool sign;
};
#define INTEGER_BIT (1ull << 63)
#define QUIET_BIT   (1ull << 62)
#define EXPONENT    0x7fffu
static const struct real default_nan = {INTEGER_BIT | QUIET_BIT, EXPONENT, true};

struct x87 {
    struct fpu_image *image;
    uint16_t control, status;
    unsigned raised; /* by this instruction: exceptions, STACK_FAULT, C1 */
};

static enum verdict begin(struct run *r, struct x87 *x)
{
    enum verdict v = fpu_x87(r, &x->image);
    if (v != VERDICT_DONE)
        return v;
    memcpy(&x->control, x->image->legacy + FPU_CONTROL, 2);
    memcpy(&x->status, x->image->legacy + FPU_STATUS, 2);
    x->raised = 0;
    return VERDICT_DONE;
}

static bool unmasked(const struct x87 *x, unsigned exceptions)
{
    return (x->raised & exceptions & ~x->control) != 0;
}

static void finish(struct run *r, struct x87 *x)
{
    x->status = (uint16_t)((x->status & ~C1) | x->raised);
    x->status &= (uint16_t) ~(SUMMARY | BUSY);
    if (x->status & ~x->control & EXCEPTIONS)
        x->status |= SUMMARY | BUSY;
    memcpy(x->image->legacy + FPU_CONTROL, &x->control, 2);
    memcpy(x->image->legacy + FPU_STATUS, &x->status, 2);
    fpu_changed(r);
}

/* --- the register stack --- */

static uint8_t *stack_of(struct x87 *x, unsigned i)
{
    return x->image->legacy + FPU_STACK + (size_t)16 * i;
}

static unsigned top_of(const struct x87 *x)
{
    return x->status >> FPU_TOP_SHIFT & 7;
}

static bool in_use(const struct x87 *x, unsigned i)
{
    return x->image->legacy[FPU_TAGS] >> ((top_of(x) + i) & 7) & 1;
}

static void turn(struct x87 *x, unsigned by)
{
    uint8_t before[8][16];
    memcpy(before, stack_of(x, 0), sizeof before);
    for (unsigned i = 0; i < 8; i++)
        memcpy(stack_of(x, i), before[(i + by) & 7], 16);
    x->status = (uint16_t)((x->status & ~(7u << FPU_TOP_SHIFT)) | ((top_of(x) + by) & 7) << FPU_TOP_SHIFT);
}

static void push(struct x87 *x, struct real value)
{
    if (in_use(x, 7)) {
        x->raised = INVALID | STACK_FAULT | C1;
        value = default_nan;
    }
    if (unmasked(x, INVALID))
        return;
    uint16_t head = (uint16_t)(value.exponent | (value.sign ? 0x8000u : 0));
    turn(x, 7);
    memcpy(stack_of(x, 0), &value.fraction, 8);
    memcpy(stack_of(x, 0) + 8, &head, 2);
    x->image->legacy[FPU_TAGS] |= (uint8_t)(1u << top_of(x));
}

static void pop(struct x87 *x)
{
    x->image->legacy[FPU_TAGS] &= (uint8_t) ~(1u << top_of(x));
    turn(x, 1);
}

static struct real top_value(struct x87 *x)
{
    struct real v;
    uint16_t head;
    if (!in_use(x, 0)) {
        x->raised = INVALID | STACK_FAULT;
        return default_nan;
    }
    memcpy(&v.fraction, stack_of(x, 0), 8);
    memcpy(&head, stack_of(x, 0) + 8, 2);
    v.exponent = head & EXPONENT;
    v.sign = head >> 15;
    return v;
}

/* --- conversions --- */

/* 2^power times the integer. */
static struct real normalized(uint64_t integer, int power, bool sign)
{
    struct real v = {.sign = sign};
    if (integer == 0)
        return v;
    int shift = __builtin_clzll(integer);
    v.fraction = integer << shift;
    v.exponent = (uint16_t)(16383 + 63 + power - shift);
    return v;
}

/* A number as memory has it: 4 or 8 bytes. */
static struct real from_memory(struct x87 *x, uint64_t bits, unsigned size)
{
    unsigned fraction_bits = size == 4 ? 23 : 52, most = size == 4 ? 0xff : 0x7ff;
    int bias = size == 4 ? 127 : 1023;
    uint64_t fraction = bits & ((1ull << fraction_bits) - 1);
    unsigned exponent = (unsigned)(bits >> fraction_bits) & most;
    bool sign = bits >> (8 * size - 1) & 1;
    if (exponent == most) {
        struct real v = {INTEGER_BIT | fraction << (63 - fraction_bits), EXPONENT, sign};
        if (fraction != 0 && !(v.fraction & QUIET_BIT))
            x->raised |= INVALID;
        if (fraction != 0)
            v.fraction |= QUIET_BIT;
        return v;
    }
    if (exponent == 0) {
        if (fraction != 0)
            x->raised |= DENORMAL;
        return normalized(fraction, 1 - bias - (int)fraction_bits, sign);
    }
    return normalized(fraction | 1ull << fraction_bits, (int)exponent - bias - (int)fraction_bits, sign);
}

/* fraction / 2^shift, rounded. It raises PRECISION, and C1 if the magnitude grew. */
static uint64_t rounded(uint64_t fraction, unsigned shift, enum rounding mode, bool sign, unsigned *raised)
{
    uint64_t result = shift < 64 ? fraction >> shift : 0, half, rest;
    if (shift == 0)
        return fraction;
    if (shift > 64) { /* less than a half */
        half = 2;
        rest = fraction != 0;
    } else {
        half = 1ull << (shift - 1);
        rest = shift == 64 ? fraction : fraction & ((1ull << shift) - 1);
    }
    if (rest == 0)
        return result;
    bool up;
    switch (mode) {
    case NEAREST: up = rest > half || (rest == half && (result & 1)); break;
    case DOWN: up = sign; break;
    case UP: up = !sign; break;
    default: up = false; break;
    }
    *raised |= PRECISION | (up ? C1 : 0);
    return result + up;
}

static enum rounding rounding_of(const struct x87 *x)
{
    return (enum rounding)(x->control >> 10 & 3);
}

static bool is_unsupported(struct real v) /* no CPU since the 387 makes such numbers */
{
    return v.exponent != 0 && !(v.fraction & INTEGER_BIT);
}

/* What becomes of a number that is too large. */
static uint64_t overflowed(struct x87 *x, unsigned fraction_bits, uint64_t infinity, bool sign)
{
    enum rounding mode = rounding_of(x);
    bool grows = mode == NEAREST || mode == (sign ? DOWN : UP);
    x->raised = (x->raised & ~C1) | OVERFLOW | PRECISION | (grows ? C1 : 0);
    if (unmasked(x, OVERFLOW))
        x->raised &= ~(PRECISION | C1);
    return grows ? infinity << fraction_bits : (infinity << fraction_bits) - 1;
}

/* A finite number that is not 0, without its sign. */
static uint64_t finite_to_memory(struct x87 *x, struct real v, unsigned fraction_bits, unsigned infinity)
{
    int bias = (int)(infinity / 2), exponent = (v.exponent == 0 ? 1 : (int)v.exponent) - 16383;
    unsigned shift = 63 - fraction_bits, left = (unsigned)__builtin_clzll(v.fraction), ideal = 0;
    uint64_t fraction = v.fraction << left, result;
    exponent -= (int)left;
    /* As if the exponent had no bounds: this says whether it is tiny. */
    result = rounded(fraction, shift, rounding_of(x), v.sign, &ideal);
    bool carries = result >> (fraction_bits + 1);
    bool tiny = exponent + carries < 1 - bias;
    if (exponent >= 1 - bias) {
        x->raised |= ideal;
        exponent += bias + carries;
        if (exponent >= (int)infinity)
            return overflowed(x, fraction_bits, infinity, v.sign);
        return (uint64_t)exponent << fraction_bits | (carries ? 0 : result & ((1ull << fraction_bits) - 1));
    }
    unsigned more = (unsigned)(1 - bias - exponent);
    result = rounded(fraction, more > 64 ? 128 : shift + more, rounding_of(x), v.sign, &x->raised);
    if (tiny && (!(x->control & UNDERFLOW) || (x->raised & PRECISION)))
        x->raised |= UNDERFLOW;
    if (unmasked(x, UNDERFLOW))
        x->raised &= ~(PRECISION | C1);
    return result; /* a carry makes the smallest normal number of it */
}

static uint64_t to_memory(struct x87 *x, struct real v, unsigned size)
{
    unsigned fraction_bits = size == 4 ? 23 : 52, infinity = size == 4 ? 0xff : 0x7ff;
    uint64_t sign = (uint64_t)v.sign << (8 * size - 1);
    if (is_unsupported(v)) {
        x->raised |= INVALID;
        v = default_nan;
        sign = 1ull << (8 * size - 1);
    }
    if (v.exponent == EXPONENT) {
        uint64_t fraction = v.fraction & ~INTEGER_BIT;
        if (fraction != 0 && !(fraction & QUIET_BIT))
            x->raised |= INVALID;
        if (fraction != 0)
            fraction |= QUIET_BIT;
        return sign | (uint64_t)infinity << fraction_bits | fraction >> (63 - fraction_bits);
    }
    return v.fraction == 0 ? sign : sign | finite_to_memory(x, v, fraction_bits, infinity);
}

static uint64_t to_integer(struct x87 *x, struct real v, unsigned size, enum rounding mode)
{
    uint64_t most = 1ull << (8 * size - 1), result;
    int exponent = (int)v.exponent - 16383;
    unsigned raised = 0;
    bool fits = !is_unsupported(v) && exponent <= 63;
    if (fits) {
        if (exponent < -2)
            exponent = -2;
        result = rounded(v.fraction, (unsigned)(63 - exponent), mode, v.sign, &raised);
        /* at 2^63 and above nothing is cut off, so nothing wraps */
        fits = result < most || (result == most && v.sign);
        if (fits) {
            x->raised |= raised;
            return v.sign ? 0 - result : result;
        }
    }
    x->raised |= INVALID;
    return most;
}

/* --- instructions --- */

enum verdict run_x87_load(struct run *r)
{
    unsigned size = 0;
    struct x87 x;
    const ZydisDecodedOperand *from = NULL;
    for (unsigned i = 0; i < r->d.insn.operand_count_visible; i++)
        if (r->d.operand[i].type == ZYDIS_OPERAND_TYPE_MEMORY)
            from = &r->d.operand[i];
    if (from == NULL)
        return VERDICT_UNSUPPORTED;
    size = from->size / 8u;
    struct wide_access w = {.size = size};
    enum verdict v = begin(r, &x);
    if (v == VERDICT_DONE)
        v = run_reach_wide(r, from, &w);
    if (v == VERDICT_DONE)
        v = run_load_wide(r, &w);
    if (v != VERDICT_DONE)
        return v;
    uint64_t bits = 0;
    uint16_t head = 0;
    memcpy(&bits, w.bytes, size < 8 ? size : 8);
    struct real value;
    if (r->d.insn.mnemonic == ZYDIS_MNEMONIC_FILD) {
        int64_t integer = (int64_t)sign_extend(bits, size);
        value = normalized(integer < 0 ? 0 - (uint64_t)integer : (uint64_t)integer, 0, integer < 0);
    } else if (size == 10) {
        memcpy(&head, w.bytes + 8, 2);
        value = (struct real){bits, head & EXPONENT, head >> 15};
    } else {
        value = from_memory(&x, bits, size);
    }
    push(&x, value);
    finish(r, &x);
    return VERDICT_DONE;
}

static bool pops(ZydisMnemonic m)
{
    return m == ZYDIS_MNEMONIC_FSTP || m == ZYDIS_MNEMONIC_FISTP || m == ZYDIS_MNEMONIC_FISTTP;
}

/* The bytes that are to be stored. */
static void convert(const struct run *r, struct x87 *x, struct wide_access *w)
{
    struct real value = top_value(x);
    ZydisMnemonic m = r->d.insn.mnemonic;
    uint64_t bits;
    if (w->size == 10) {
        uint16_t head = (uint16_t)(value.exponent | (value.sign ? 0x8000u : 0));
        memcpy(w->bytes, &value.fraction, 8);
        memcpy(w->bytes + 8, &head, 2);
        return;
    }
    if (m == ZYDIS_MNEMONIC_FST || m == ZYDIS_MNEMONIC_FSTP)
        bits = to_memory(x, value, w->size);
    else
        bits = to_integer(x, value, w->size, m == ZYDIS_MNEMONIC_FISTTP ? TO_ZERO : rounding_of(x));
    memcpy(w->bytes, &bits, w->size);
}

enum verdict run_x87_store(struct run *r)
{
    const ZydisDecodedOperand *to = &r->d.operand[0];
    struct wide_access w = {.size = to->size / 8u, .write = true};
    struct x87 x;
    if (to->type != ZYDIS_OPERAND_TYPE_MEMORY || (w.size != 2 && w.size != 4 && w.size != 8 && w.size != 10))
        return VERDICT_UNSUPPORTED;
    enum verdict v = begin(r, &x);
    if (v == VERDICT_DONE)
        v = run_reach_wide(r, to, &w);
    if (v != VERDICT_DONE)
        return v;
    convert(r, &x, &w);
    if (!unmasked(&x, INVALID | OVERFLOW | UNDERFLOW)) { /* else nothing is stored or popped */
        v = run_store_wide(r, &w);
        if (v != VERDICT_DONE)
            return v;
        if (pops(r->d.insn.mnemonic))
            pop(&x);
    }
    finish(r, &x);
    return VERDICT_DONE;
}

/* FLDCW, FNSTCW, FNSTSW. */
enum verdict run_x87_control(struct run *r)
{
    const ZydisDecodedOperand *o = &r->d.operand[0];
    struct x87 x;
    uint64_t value = 0;
    if (o->type != ZYDIS_OPERAND_TYPE_MEMORY || o->size != 16)
        return VERDICT_UNSUPPORTED;
    enum verdict v = begin(r, &x);
    if (v != VERDICT_DONE)
        return v;
    if (r->d.insn.mnemonic != ZYDIS_MNEMONIC_FLDCW)
        return run_store(r, o, r->d.insn.mnemonic == ZYDIS_MNEMONIC_FNSTCW ? x.control : x.status);
    v = run_load(r, o, &value);
    if (v != VERDICT_DONE)
        return v;
    x.control = (uint16_t)((value & 0x1f3f) | 0x40); /* the bits that are none read so */
    x.raised = x.status & C1;
    finish(r, &x);
    return VERDICT_DONE;
}
