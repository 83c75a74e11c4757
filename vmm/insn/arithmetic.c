// SPDX-License-Identifier: Apache-2.0
/*
 * Shifts, multiplication, division, counted bits, and the instructions of BMI and ADX (Intel SDM vol. 2). See
 * vmm/insn/run.h.
 */
#include "vmm/insn/flags.h"
#include "vmm/insn/run.h"

/* Of a shift: five bits of the number, or six where 64 bits are shifted. */
static unsigned shift_count(uint64_t number, unsigned size)
{
    return (unsigned)number & (size == 8 ? 63 : 31);
}

enum verdict run_shift(struct run *r)
{
    uint64_t a = 0, count = 0, flags = r->c->state->rflags;
    const ZydisDecodedOperand *to = &r->d.operand[0];
    unsigned size = to->size / 8u;
    enum verdict v = run_load(r, &r->d.operand[1], &count);
    if (v == VERDICT_DONE)
        v = run_load(r, to, &a);
    if (v != VERDICT_DONE)
        return v;
    a = alu_shift((enum alu_shift)r->d.insn.raw.modrm.reg, a, shift_count(count, size), size, &flags);
    v = run_store(r, to, a);
    if (v == VERDICT_DONE)
        run_set_flags(r, flags);
    return v;
}

enum verdict run_double_shift(struct run *r)
{
    uint64_t a = 0, b = 0, count = 0, flags = r->c->state->rflags;
    const ZydisDecodedOperand *to = &r->d.operand[0];
    unsigned size = to->size / 8u;
    enum verdict v = run_load(r, &r->d.operand[2], &count);
    if (v == VERDICT_DONE)
        v = run_load(r, &r->d.operand[1], &b);
    if (v == VERDICT_DONE)
        v = run_load(r, to, &a);
    if (v != VERDICT_DONE)
        return v;
    bool left = r->d.insn.mnemonic == ZYDIS_MNEMONIC_SHLD;
    v = run_store(r, to, alu_shift_double(left, a, b, shift_count(count, size), size, &flags));
    if (v == VERDICT_DONE)
        run_set_flags(r, flags);
    return v;
}

/* rdx:rax, or ax for bytes. */
static struct alu_wide pair_get(const struct vcpu_state *s, unsigned size)
{
    if (size == 1)
        return (struct alu_wide){s->gpr[GPR_RAX] & 0xff, s->gpr[GPR_RAX] >> 8 & 0xff};
    return (struct alu_wide){s->gpr[GPR_RAX] & size_mask(size), s->gpr[GPR_RDX] & size_mask(size)};
}

static uint64_t merged(uint64_t old, uint64_t value, unsigned size)
{
    return size >= 4 ? value : (old & ~size_mask(size)) | value;
}

static void pair_set(struct vcpu_state *s, struct alu_wide w, unsigned size)
{
    if (size == 1) {
        s->gpr[GPR_RAX] = merged(s->gpr[GPR_RAX], w.high << 8 | w.low, 2);
        return;
    }
    s->gpr[GPR_RAX] = merged(s->gpr[GPR_RAX], w.low, size);
    s->gpr[GPR_RDX] = merged(s->gpr[GPR_RDX], w.high, size);
}

/* MUL, and IMUL with one, two or three operands. */
enum verdict run_multiply(struct run *r)
{
    struct vcpu_state *s = r->c->state;
    uint64_t a = 0, b = 0, flags = s->rflags;
    unsigned operands = r->d.insn.operand_count_visible, size = r->d.operand[0].size / 8u;
    bool is_signed = r->d.insn.mnemonic == ZYDIS_MNEMONIC_IMUL;
    enum verdict v = run_load(r, &r->d.operand[operands == 3 ? 2 : 0], &a);
    if (v == VERDICT_DONE && operands > 1)
        v = run_load(r, &r->d.operand[1], &b);
    if (v != VERDICT_DONE)
        return v;
    struct alu_wide w = alu_multiply(a, operands > 1 ? b : pair_get(s, size).low, is_signed, size, &flags);
    if (operands > 1)
        v = run_store(r, &r->d.operand[0], w.low);
    else
        pair_set(s, w, size);
    if (v == VERDICT_DONE)
        run_set_flags(r, flags);
    return v;
}

enum verdict run_divide(struct run *r)
{
    struct vcpu_state *s = r->c->state;
    uint64_t divisor = 0;
    unsigned size = r->d.operand[0].size / 8u;
    enum verdict v = run_load(r, &r->d.operand[0], &divisor);
    if (v != VERDICT_DONE)
        return v;
    struct alu_wide n = pair_get(s, size);
    if (!alu_divide(&n, divisor, r->d.insn.mnemonic == ZYDIS_MNEMONIC_IDIV, size))
        return run_fault(r, VECTOR_DE);
    pair_set(s, n, size);
    return VERDICT_DONE;
}

static uint64_t zero_flag(uint64_t value)
{
    return value == 0 ? FLAG_ZF : 0;
}

/* BSF, BSR, TZCNT, LZCNT, POPCNT. A CPU without BMI1 or LZCNT takes their bytes for BSF and BSR. */
enum verdict run_scan(struct run *r)
{
    uint64_t a = 0, result, flags;
    unsigned bits = r->d.operand[1].size;
    enum verdict v = run_load(r, &r->d.operand[1], &a);
    if (v != VERDICT_DONE)
        return v;
    uint64_t first = a != 0 ? (unsigned)__builtin_ctzll(a) : bits;
    uint64_t above = a != 0 ? (unsigned)__builtin_clzll(a) - (64 - bits) : bits;
    ZydisMnemonic mnemonic = r->d.insn.mnemonic;
    if (mnemonic == ZYDIS_MNEMONIC_TZCNT && r->c->no_tzcnt)
        mnemonic = ZYDIS_MNEMONIC_BSF;
    if (mnemonic == ZYDIS_MNEMONIC_LZCNT && r->c->no_lzcnt)
        mnemonic = ZYDIS_MNEMONIC_BSR;
    switch (mnemonic) {
    case ZYDIS_MNEMONIC_TZCNT:
    case ZYDIS_MNEMONIC_LZCNT:
        result = mnemonic == ZYDIS_MNEMONIC_TZCNT ? first : above;
        flags = zero_flag(result) | (a == 0 ? FLAG_CF : 0);
        break;
    case ZYDIS_MNEMONIC_POPCNT:
        result = 0;
        flags = zero_flag(a);
        for (; a != 0; a &= a - 1)
            result++;
        break;
    default:
        result = mnemonic == ZYDIS_MNEMONIC_BSF ? first : bits - 1 - above;
        flags = zero_flag(a);
        break;
    }
    bool keeps = a == 0 && (mnemonic == ZYDIS_MNEMONIC_BSF || mnemonic == ZYDIS_MNEMONIC_BSR);
    if (!keeps) /* of nothing they leave the register as it is, as all CPUs do */
        v = run_store(r, &r->d.operand[0], result);
    if (v == VERDICT_DONE)
        run_set_flags(r, (r->c->state->rflags & ~FLAGS_ARITHMETIC) | flags);
    return v;
}

/* CRC-32C, least significant bit first. */
enum verdict run_crc(struct run *r)
{
    uint64_t sum = 0, data = 0;
    enum verdict v = run_load(r, &r->d.operand[1], &data);
    if (v == VERDICT_DONE)
        v = run_load(r, &r->d.operand[0], &sum);
    if (v != VERDICT_DONE)
        return v;
    sum &= 0xffffffffu;
    for (unsigned i = 0; i < r->d.operand[1].size; i++) {
        bool odd = (sum ^ data >> i) & 1;
        sum = sum >> 1 ^ (odd ? 0x82f63b78u : 0);
    }
    return run_store(r, &r->d.operand[0], sum);
}

/* ADCX carries through CF alone, ADOX through OF. */
enum verdict run_add_carry(struct run *r)
{
    uint64_t a = 0, b = 0, flags = r->c->state->rflags, mine;
    uint64_t carry = r->d.insn.mnemonic == ZYDIS_MNEMONIC_ADCX ? FLAG_CF : FLAG_OF;
    enum verdict v = run_load(r, &r->d.operand[1], &b);
    if (v == VERDICT_DONE)
        v = run_load(r, &r->d.operand[0], &a);
    if (v != VERDICT_DONE)
        return v;
    mine = flags;
    a = alu_add(a, b, (flags & carry) != 0, r->d.operand[0].size / 8u, &mine);
    v = run_store(r, &r->d.operand[0], a);
    if (v == VERDICT_DONE)
        run_set_flags(r, (flags & ~carry) | (mine & FLAG_CF ? carry : 0));
    return v;
}

/* BLSI, BLSMSK, BLSR. */
enum verdict run_bmi_lowest(struct run *r)
{
    uint64_t a = 0, result, flags = r->c->state->rflags;
    unsigned size = r->d.operand[0].size / 8u;
    enum verdict v = run_load(r, &r->d.operand[1], &a);
    if (v != VERDICT_DONE)
        return v;
    bool carry = a == 0;
    switch (r->d.insn.mnemonic) {
    case ZYDIS_MNEMONIC_BLSI:
        result = a & (0 - a);
        carry = a != 0;
        break;
    case ZYDIS_MNEMONIC_BLSMSK: result = a ^ (a - 1); break;
    default: result = a & (a - 1); break;
    }
    result = alu_logic(result, size, &flags);
    v = run_store(r, &r->d.operand[0], result);
    if (v == VERDICT_DONE)
        run_set_flags(r, flags | (carry ? FLAG_CF : 0));
    return v;
}

/* Bits of `a` go one after the other to where `mask` has ones; or come from there. */
static uint64_t deposit(uint64_t a, uint64_t mask, bool extract)
{
    uint64_t result = 0;
    for (unsigned n = 0; mask != 0; n++, mask &= mask - 1) {
        uint64_t there = mask & (0 - mask), here = 1ull << n;
        if (extract)
            result |= a & there ? here : 0;
        else
            result |= a & here ? there : 0;
    }
    return result;
}

/* ANDN, BEXTR, BZHI, PDEP, PEXT: operand 0 from 1 and 2. */
enum verdict run_bmi_three(struct run *r)
{
    uint64_t a = 0, b = 0, result, flags = r->c->state->rflags;
    unsigned size = r->d.operand[0].size / 8u, bits = r->d.operand[0].size;
    enum verdict v = run_load(r, &r->d.operand[1], &a);
    if (v == VERDICT_DONE)
        v = run_load(r, &r->d.operand[2], &b);
    if (v != VERDICT_DONE)
        return v;
    unsigned first = b & 0xff, length = b >> 8 & 0xff;
    switch (r->d.insn.mnemonic) {
    case ZYDIS_MNEMONIC_ANDN: result = alu_logic(~a & b, size, &flags); break;
    case ZYDIS_MNEMONIC_BEXTR:
        result = first < bits ? a >> first : 0;
        result = alu_logic(length < 64 ? result & ((1ull << length) - 1) : result, size, &flags);
        break;
    case ZYDIS_MNEMONIC_BZHI:
        result = alu_logic(first < bits ? a & ((1ull << first) - 1) : a, size, &flags);
        flags |= first < bits ? 0 : (uint64_t)FLAG_CF;
        break;
    case ZYDIS_MNEMONIC_PDEP: result = deposit(a, b, false); break;
    default: result = deposit(a, b, true); break;
    }
    v = run_store(r, &r->d.operand[0], result);
    if (v == VERDICT_DONE)
        run_set_flags(r, flags);
    return v;
}

/* MULX: no flags; if both registers are the same it holds the upper half. */
enum verdict run_bmi_multiply(struct run *r)
{
    uint64_t a = 0, flags = 0;
    unsigned size = r->d.operand[0].size / 8u;
    enum verdict v = run_load(r, &r->d.operand[2], &a);
    if (v != VERDICT_DONE)
        return v;
    struct alu_wide w = alu_multiply(a, r->c->state->gpr[GPR_RDX], false, size, &flags);
    v = run_store(r, &r->d.operand[1], w.low);
    return v == VERDICT_DONE ? run_store(r, &r->d.operand[0], w.high) : v;
}

/* RORX, SARX, SHLX, SHRX: no flags. */
enum verdict run_bmi_shift(struct run *r)
{
    uint64_t a = 0, count = 0, flags = 0;
    unsigned size = r->d.operand[0].size / 8u;
    enum alu_shift kind;
    enum verdict v = run_load(r, &r->d.operand[1], &a);
    if (v == VERDICT_DONE)
        v = run_load(r, &r->d.operand[2], &count);
    if (v != VERDICT_DONE)
        return v;
    switch (r->d.insn.mnemonic) {
    case ZYDIS_MNEMONIC_RORX: kind = ALU_ROR; break;
    case ZYDIS_MNEMONIC_SARX: kind = ALU_SAR; break;
    case ZYDIS_MNEMONIC_SHLX: kind = ALU_SHL; break;
    default: kind = ALU_SHR; break;
    }
    return run_store(r, &r->d.operand[0], alu_shift(kind, a, shift_count(count, size), size, &flags));
}
