// SPDX-License-Identifier: Apache-2.0
/*
 * Moves, two- and one-operand arithmetic, bits, exchanges. See vmm/insn/run.h.
 */
#include "lib/string.h"
#include "vmm/insn/flags.h"
#include "vmm/insn/run.h"

/* MOV and its relatives: one load, perhaps widened, one store. */
static enum verdict move(struct run *r, bool sign)
{
    uint64_t value = 0;
    enum verdict v = run_load(r, &r->d.operand[1], &value);
    if (v != VERDICT_DONE)
        return v;
    unsigned from = r->d.operand[1].size / 8u, to = r->d.operand[0].size / 8u;
    if (sign && from < to)
        value = sign_extend(value, from);
    return run_store(r, &r->d.operand[0], value);
}

enum verdict run_move(struct run *r)
{
    ZydisRegister to = r->d.operand[0].reg.value;
    uint64_t selector = 0;
    if (r->d.operand[0].type != ZYDIS_OPERAND_TYPE_REGISTER || to < ZYDIS_REGISTER_ES || to > ZYDIS_REGISTER_GS)
        return move(r, false);
    enum verdict v = run_load(r, &r->d.operand[1], &selector);
    return v == VERDICT_DONE ? run_segment(r, (unsigned)(to - ZYDIS_REGISTER_ES), (uint16_t)selector) : v;
}

enum verdict run_move_signed(struct run *r)
{
    return move(r, true);
}

/* MOVBE. */
enum verdict run_swapped_move(struct run *r)
{
    uint64_t value = 0;
    enum verdict v = run_load(r, &r->d.operand[1], &value);
    if (v != VERDICT_DONE)
        return v;
    value = __builtin_bswap64(value) >> (64 - r->d.operand[1].size);
    return run_store(r, &r->d.operand[0], value);
}

/* SDM vol. 1, appendix B: the condition in an opcode's low four bits. */
static bool condition(uint64_t flags, unsigned code)
{
    bool cf = flags & FLAG_CF, zf = flags & FLAG_ZF, less = !(flags & FLAG_SF) != !(flags & FLAG_OF), yes;
    switch (code >> 1 & 7) {
    case 0: yes = flags & FLAG_OF; break;
    case 1: yes = cf; break;
    case 2: yes = zf; break;
    case 3: yes = cf || zf; break;
    case 4: yes = flags & FLAG_SF; break;
    case 5: yes = flags & FLAG_PF; break;
    case 6: yes = less; break;
    default: yes = zf || less; break;
    }
    return yes != (code & 1);
}

/* CMOVcc: it loads in any case, and a 32-bit register's upper half is cleared in any case. */
enum verdict run_conditional_move(struct run *r)
{
    uint64_t value = 0, old = 0;
    enum verdict v = run_load(r, &r->d.operand[1], &value);
    if (v == VERDICT_DONE)
        v = run_load(r, &r->d.operand[0], &old);
    if (v != VERDICT_DONE)
        return v;
    return run_store(r, &r->d.operand[0], condition(r->c->state->rflags, r->d.insn.opcode) ? value : old);
}

enum verdict run_set(struct run *r)
{
    return run_store(r, &r->d.operand[0], condition(r->c->state->rflags, r->d.insn.opcode));
}

/* XLAT. The decoder gives its operand without AL. */
enum verdict run_translate(struct run *r)
{
    struct vcpu_state *s = r->c->state;
    uint64_t value = 0, linear;
    struct logical a = {.size = 1};
    for (unsigned i = 0; i < r->d.insn.operand_count; i++) {
        if (!operand_place(s, &r->d, &r->d.operand[i], (int64_t)(s->gpr[GPR_RAX] & 0xff), &a))
            continue;
        enum verdict v = access_address(r->c, &a, &linear, r->fault);
        if (v == VERDICT_DONE)
            v = access_linear(r->c, linear, 1, false, &value, r->fault);
        if (v == VERDICT_DONE)
            (void)register_set(s, ZYDIS_REGISTER_AL, value);
        return v;
    }
    return VERDICT_UNSUPPORTED;
}

/* Caches and prefetches: this machine's devices have none. */
enum verdict run_nothing(struct run *r)
{
    (void)r;
    return VERDICT_DONE;
}

/* Two operands, flags; the result goes to the first unless it is a comparison. */
enum verdict run_two(struct run *r)
{
    struct vcpu_state *s = r->c->state;
    uint64_t a = 0, b = 0, flags = s->rflags, result;
    unsigned size = r->d.operand[0].size / 8u;
    enum verdict v = run_load(r, &r->d.operand[1], &b);
    if (v == VERDICT_DONE)
        v = run_load(r, &r->d.operand[0], &a);
    if (v != VERDICT_DONE)
        return v;
    bool keep = true;
    unsigned carry = (flags & FLAG_CF) != 0;
    switch (r->d.insn.mnemonic) {
    case ZYDIS_MNEMONIC_AND: result = alu_logic(a & b, size, &flags); break;
    case ZYDIS_MNEMONIC_OR: result = alu_logic(a | b, size, &flags); break;
    case ZYDIS_MNEMONIC_XOR: result = alu_logic(a ^ b, size, &flags); break;
    case ZYDIS_MNEMONIC_TEST:
        result = alu_logic(a & b, size, &flags);
        keep = false;
        break;
    case ZYDIS_MNEMONIC_ADD: result = alu_add(a, b, 0, size, &flags); break;
    case ZYDIS_MNEMONIC_ADC: result = alu_add(a, b, carry, size, &flags); break;
    case ZYDIS_MNEMONIC_SUB: result = alu_sub(a, b, 0, size, &flags); break;
    case ZYDIS_MNEMONIC_SBB: result = alu_sub(a, b, carry, size, &flags); break;
    case ZYDIS_MNEMONIC_CMP:
        result = alu_sub(a, b, 0, size, &flags);
        keep = false;
        break;
    default: return VERDICT_UNSUPPORTED;
    }
    if (keep && (v = run_store(r, &r->d.operand[0], result)) != VERDICT_DONE)
        return v;
    run_set_flags(r, flags);
    return VERDICT_DONE;
}

enum verdict run_one(struct run *r)
{
    struct vcpu_state *s = r->c->state;
    uint64_t a = 0, flags = s->rflags, carry = flags & FLAG_CF, result;
    unsigned size = r->d.operand[0].size / 8u;
    enum verdict v = run_load(r, &r->d.operand[0], &a);
    if (v != VERDICT_DONE)
        return v;
    switch (r->d.insn.mnemonic) {
    case ZYDIS_MNEMONIC_INC: /* INC and DEC leave CF alone */
        result = alu_add(a, 1, 0, size, &flags);
        flags = (flags & ~FLAG_CF) | carry;
        break;
    case ZYDIS_MNEMONIC_DEC:
        result = alu_sub(a, 1, 0, size, &flags);
        flags = (flags & ~FLAG_CF) | carry;
        break;
    case ZYDIS_MNEMONIC_NEG: result = alu_sub(0, a, 0, size, &flags); break;
    case ZYDIS_MNEMONIC_NOT: result = ~a; break;
    default: return VERDICT_UNSUPPORTED;
    }
    v = run_store(r, &r->d.operand[0], result);
    if (v == VERDICT_DONE)
        run_set_flags(r, flags);
    return v;
}

/* BT, BTS, BTR, BTC. With a register as bit number the memory operand is a bit string: the number may reach beyond it.
 */
enum verdict run_bit(struct run *r)
{
    struct vcpu_state *s = r->c->state;
    const ZydisDecodedOperand *where = &r->d.operand[0];
    unsigned size = where->size / 8u, bits = where->size;
    uint64_t number = 0, value = 0, linear = 0;
    enum verdict v = run_load(r, &r->d.operand[1], &number);
    if (v != VERDICT_DONE)
        return v;
    int64_t extra = 0;
    if (r->d.operand[1].type == ZYDIS_OPERAND_TYPE_REGISTER)
        extra = ((int64_t)sign_extend(number, size) >> __builtin_ctz(bits)) * (int64_t)size;
    struct logical at = {.size = size, .write = r->d.insn.mnemonic != ZYDIS_MNEMONIC_BT};
    if ((size != 2 && size != 4 && size != 8) || !operand_place(s, &r->d, where, extra, &at))
        return VERDICT_UNSUPPORTED;
    v = access_address(r->c, &at, &linear, r->fault);
    if (v == VERDICT_DONE)
        v = access_linear(r->c, linear, size, false, &value, r->fault);
    if (v != VERDICT_DONE)
        return v;
    uint64_t bit = 1ull << (number & (bits - 1)), result = value;
    switch (r->d.insn.mnemonic) {
    case ZYDIS_MNEMONIC_BTS: result |= bit; break;
    case ZYDIS_MNEMONIC_BTR: result &= ~bit; break;
    case ZYDIS_MNEMONIC_BTC: result ^= bit; break;
    default: break;
    }
    if (r->d.insn.mnemonic != ZYDIS_MNEMONIC_BT &&
        (v = access_linear(r->c, linear, size, true, &result, r->fault)) != VERDICT_DONE)
        return v;
    run_set_flags(r, (s->rflags & ~FLAG_CF) | (value & bit ? FLAG_CF : 0));
    return VERDICT_DONE;
}

/* XCHG, XADD, CMPXCHG. Devices have no atomicity to lose: the VM's lock orders every access. */
enum verdict run_exchange(struct run *r)
{
    struct vcpu_state *s = r->c->state;
    const ZydisDecodedOperand *to = &r->d.operand[0], *with = &r->d.operand[1];
    /* XCHG is symmetric; whichever operand is memory is written first, because only that can fail. */
    if (with->type == ZYDIS_OPERAND_TYPE_MEMORY) {
        const ZydisDecodedOperand *t = to;
        to = with;
        with = t;
    }
    uint64_t a = 0, b = 0, flags = s->rflags;
    unsigned size = to->size / 8u;
    enum verdict v = run_load(r, to, &a);
    if (v == VERDICT_DONE)
        v = run_load(r, with, &b);
    if (v != VERDICT_DONE)
        return v;
    if (r->d.insn.mnemonic == ZYDIS_MNEMONIC_CMPXCHG) {
        uint64_t expected = s->gpr[GPR_RAX] & size_mask(size);
        alu_sub(expected, a, 0, size, &flags);
        v = run_store(r, to, expected == a ? b : a); /* written in both cases (SDM vol. 2, CMPXCHG) */
        if (v != VERDICT_DONE)
            return v;
        if (expected != a)
            s->gpr[GPR_RAX] = size >= 4 ? a : (s->gpr[GPR_RAX] & ~size_mask(size)) | a;
        run_set_flags(r, flags);
        return VERDICT_DONE;
    }
    uint64_t result = b;
    if (r->d.insn.mnemonic == ZYDIS_MNEMONIC_XADD)
        result = alu_add(a, b, 0, size, &flags);
    v = run_store(r, to, result);
    if (v == VERDICT_DONE)
        v = run_store(r, with, a);
    if (v == VERDICT_DONE)
        run_set_flags(r, flags);
    return v;
}

/* CMPXCHG8B, CMPXCHG16B. */
enum verdict run_compare_pair(struct run *r)
{
    struct vcpu_state *s = r->c->state;
    unsigned half = r->d.operand[0].size / 16u;
    uint64_t low = 0, high = 0, mask = size_mask(half);
    if (half != 4 && half != 8)
        return VERDICT_UNSUPPORTED;
    struct wide_access w = {.size = 2 * half, .write = true};
    enum verdict v = run_reach_wide(r, &r->d.operand[0], &w);
    if (v == VERDICT_DONE && half == 8 && (w.linear & 15) != 0)
        return run_fault(r, VECTOR_GP);
    if (v == VERDICT_DONE)
        v = run_load_wide(r, &w);
    if (v != VERDICT_DONE)
        return v;
    memcpy(&low, w.bytes, half);
    memcpy(&high, w.bytes + half, half);
    bool equal = low == (s->gpr[GPR_RAX] & mask) && high == (s->gpr[GPR_RDX] & mask);
    if (equal) {
        memcpy(w.bytes, &s->gpr[GPR_RBX], half);
        memcpy(w.bytes + half, &s->gpr[GPR_RCX], half);
    }
    v = run_store_wide(r, &w); /* in both cases, as CMPXCHG does */
    if (v != VERDICT_DONE)
        return v;
    if (!equal) {
        s->gpr[GPR_RAX] = low;
        s->gpr[GPR_RDX] = high;
    }
    run_set_flags(r, (s->rflags & ~FLAG_ZF) | (equal ? FLAG_ZF : 0));
    return VERDICT_DONE;
}

/* MOVDIR64B: from memory to es:[register], which is aligned to 64 bytes. */
enum verdict run_move_64_bytes(struct run *r)
{
    struct wide_access from = {.size = 64}, to = {.size = 64, .write = true};
    struct logical a = {.size = 64, .write = true};
    if (r->d.insn.operand_count < 3 || !operand_place(r->c->state, &r->d, &r->d.operand[2], 0, &a))
        return VERDICT_UNSUPPORTED;
    a.seg = SEG_ES;
    enum verdict v = access_address(r->c, &a, &to.linear, r->fault);
    if (v == VERDICT_DONE && (to.linear & 63) != 0)
        v = run_fault(r, VECTOR_GP);
    if (v == VERDICT_DONE)
        v = run_reach_wide(r, &r->d.operand[1], &from);
    if (v == VERDICT_DONE)
        v = run_load_wide(r, &from);
    if (v != VERDICT_DONE)
        return v;
    memcpy(to.bytes, from.bytes, 64);
    return run_store_wide(r, &to);
}
