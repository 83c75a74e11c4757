// SPDX-License-Identifier: Apache-2.0
/*
 * See vmm/insn/emulate.h. Every instruction here is: read the sources, compute, write the destination, and only then
 * change registers and flags, so a fault half-way leaves the guest as it was.
 */
#include "vmm/insn/emulate.h"
#include "lib/string.h"
#include "vmm/insn/decode.h"
#include "vmm/insn/flags.h"
#include "vmm/insn/move_cache.h"

struct run {
    const struct guest_cpu *c;
    struct guest_fault *fault;
    struct decoded d;
};

/* The linear address of a memory operand of `size` bytes. */
static enum verdict reach(struct run *r, const ZydisDecodedOperand *o, unsigned size, bool write, uint64_t *linear)
{
    struct logical a = {.size = size, .write = write};
    if ((size != 1 && size != 2 && size != 4 && size != 8) || !operand_place(r->c->state, &r->d, o, 0, &a))
        return VERDICT_UNSUPPORTED;
    return access_address(r->c, &a, linear, r->fault);
}

static enum verdict load(struct run *r, const ZydisDecodedOperand *o, uint64_t *value)
{
    uint64_t linear;
    unsigned size = o->size / 8u;
    enum verdict v;
    switch (o->type) {
    case ZYDIS_OPERAND_TYPE_REGISTER:
        return register_get(r->c->state, o->reg.value, value) ? VERDICT_DONE : VERDICT_UNSUPPORTED;
    case ZYDIS_OPERAND_TYPE_IMMEDIATE:
        *value = o->imm.value.u; /* sign-extended where the instruction does so */
        return VERDICT_DONE;
    case ZYDIS_OPERAND_TYPE_MEMORY:
        v = reach(r, o, size, false, &linear);
        return v == VERDICT_DONE ? access_linear(r->c, linear, size, false, value, r->fault) : v;
    default: return VERDICT_UNSUPPORTED;
    }
}

static enum verdict store(struct run *r, const ZydisDecodedOperand *o, uint64_t value)
{
    uint64_t linear;
    unsigned size = o->size / 8u;
    if (o->type == ZYDIS_OPERAND_TYPE_REGISTER)
        return register_set(r->c->state, o->reg.value, value) ? VERDICT_DONE : VERDICT_UNSUPPORTED;
    if (o->type != ZYDIS_OPERAND_TYPE_MEMORY)
        return VERDICT_UNSUPPORTED;
    enum verdict v = reach(r, o, size, true, &linear);
    return v == VERDICT_DONE ? access_linear(r->c, linear, size, true, &value, r->fault) : v;
}

static void set_flags(struct vcpu_state *s, uint64_t flags)
{
    s->rflags = flags;
    s->dirty |= GROUP_RIP;
}

static uint64_t sign_extend(uint64_t value, unsigned size)
{
    unsigned shift = 64 - 8 * size;
    return (uint64_t)((int64_t)(value << shift) >> shift);
}

/* MOV and its relatives: one load, perhaps widened, one store. */
static enum verdict do_move(struct run *r, bool sign)
{
    uint64_t value = 0;
    enum verdict v = load(r, &r->d.operand[1], &value);
    if (v != VERDICT_DONE)
        return v;
    unsigned from = r->d.operand[1].size / 8u, to = r->d.operand[0].size / 8u;
    if (sign && from < to)
        value = sign_extend(value, from);
    return store(r, &r->d.operand[0], value);
}

/* Two operands, flags; the result goes to the first unless it is a comparison. */
static enum verdict do_two(struct run *r)
{
    struct vcpu_state *s = r->c->state;
    uint64_t a = 0, b = 0, flags = s->rflags, result;
    unsigned size = r->d.operand[0].size / 8u;
    enum verdict v = load(r, &r->d.operand[1], &b);
    if (v == VERDICT_DONE)
        v = load(r, &r->d.operand[0], &a);
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
    if (keep && (v = store(r, &r->d.operand[0], result)) != VERDICT_DONE)
        return v;
    set_flags(s, flags);
    return VERDICT_DONE;
}

static enum verdict do_one(struct run *r)
{
    struct vcpu_state *s = r->c->state;
    uint64_t a = 0, flags = s->rflags, carry = flags & FLAG_CF, result;
    unsigned size = r->d.operand[0].size / 8u;
    enum verdict v = load(r, &r->d.operand[0], &a);
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
    v = store(r, &r->d.operand[0], result);
    if (v == VERDICT_DONE)
        set_flags(s, flags);
    return v;
}

/* BT, BTS, BTR, BTC. With a register as bit number the memory operand is a bit string: the number may reach beyond it.
 */
static enum verdict do_bit(struct run *r)
{
    struct vcpu_state *s = r->c->state;
    const ZydisDecodedOperand *where = &r->d.operand[0];
    unsigned size = where->size / 8u, bits = where->size;
    uint64_t number = 0, value = 0, linear = 0;
    enum verdict v = load(r, &r->d.operand[1], &number);
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
    set_flags(s, (s->rflags & ~FLAG_CF) | (value & bit ? FLAG_CF : 0));
    return VERDICT_DONE;
}

/* XCHG, XADD, CMPXCHG. Devices have no atomicity to lose: the VM's lock orders every access. */
static enum verdict do_exchange(struct run *r)
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
    enum verdict v = load(r, to, &a);
    if (v == VERDICT_DONE)
        v = load(r, with, &b);
    if (v != VERDICT_DONE)
        return v;
    if (r->d.insn.mnemonic == ZYDIS_MNEMONIC_CMPXCHG) {
        uint64_t expected = s->gpr[GPR_RAX] & size_mask(size);
        alu_sub(expected, a, 0, size, &flags);
        v = store(r, to, expected == a ? b : a); /* written in both cases (SDM vol. 2, CMPXCHG) */
        if (v != VERDICT_DONE)
            return v;
        if (expected != a)
            s->gpr[GPR_RAX] = size >= 4 ? a : (s->gpr[GPR_RAX] & ~size_mask(size)) | a;
        set_flags(s, flags);
        return VERDICT_DONE;
    }
    uint64_t result = b;
    if (r->d.insn.mnemonic == ZYDIS_MNEMONIC_XADD)
        result = alu_add(a, b, 0, size, &flags);
    v = store(r, to, result);
    if (v == VERDICT_DONE)
        v = store(r, with, a);
    if (v == VERDICT_DONE)
        set_flags(s, flags);
    return v;
}

/* --- string instructions --- */

/* Adds to rsi, rdi or rcx as the address size has it. */
static void step(struct vcpu_state *s, unsigned gpr, uint64_t by, unsigned address_bytes)
{
    uint64_t mask = size_mask(address_bytes), next = (s->gpr[gpr] + by) & mask;
    s->gpr[gpr] = address_bytes == 2 ? (s->gpr[gpr] & ~mask) | next : next;
}

static const ZydisDecodedOperand *memory_by(const struct decoded *d, unsigned gpr)
{
    for (unsigned i = 0; i < d->insn.operand_count; i++) {
        const ZydisDecodedOperand *o = &d->operand[i];
        unsigned base = (unsigned)o->mem.base;
        if (o->type == ZYDIS_OPERAND_TYPE_MEMORY &&
            (base == (unsigned)ZYDIS_REGISTER_AX + gpr || base == (unsigned)ZYDIS_REGISTER_EAX + gpr ||
             base == (unsigned)ZYDIS_REGISTER_RAX + gpr))
            return o;
    }
    return NULL;
}

struct string {
    unsigned size, address_bytes;
    bool repeat, while_equal, while_different;
    const ZydisDecodedOperand *from, *to; /* by rsi, by rdi; NULL: not used */
    emulate_port *io;                     /* INS, OUTS */
    void *context;
    uint16_t port;
};

static enum verdict move_element(struct run *r, const struct string *t, const ZydisDecodedOperand *o, bool write,
                                 uint64_t *value)
{
    uint64_t linear;
    if (o == NULL)
        return VERDICT_UNSUPPORTED;
    enum verdict v = reach(r, o, t->size, write, &linear);
    return v == VERDICT_DONE ? access_linear(r->c, linear, t->size, write, value, r->fault) : v;
}

/* One round; rsi and rdi are stepped by the caller. *flags is changed by CMPS and SCAS. */
static enum verdict round_of(struct run *r, const struct string *t, uint64_t *flags)
{
    struct vcpu_state *s = r->c->state;
    uint64_t a = 0, b = 0;
    uint32_t data = 0;
    enum verdict v;
    switch (r->d.insn.mnemonic) {
    case ZYDIS_MNEMONIC_MOVSB:
    case ZYDIS_MNEMONIC_MOVSW:
    case ZYDIS_MNEMONIC_MOVSD:
    case ZYDIS_MNEMONIC_MOVSQ:
        v = move_element(r, t, t->from, false, &a);
        return v == VERDICT_DONE ? move_element(r, t, t->to, true, &a) : v;
    case ZYDIS_MNEMONIC_STOSB:
    case ZYDIS_MNEMONIC_STOSW:
    case ZYDIS_MNEMONIC_STOSD:
    case ZYDIS_MNEMONIC_STOSQ: a = s->gpr[GPR_RAX]; return move_element(r, t, t->to, true, &a);
    case ZYDIS_MNEMONIC_LODSB:
    case ZYDIS_MNEMONIC_LODSW:
    case ZYDIS_MNEMONIC_LODSD:
    case ZYDIS_MNEMONIC_LODSQ:
        v = move_element(r, t, t->from, false, &a);
        if (v == VERDICT_DONE)
            s->gpr[GPR_RAX] = t->size >= 4 ? a : (s->gpr[GPR_RAX] & ~size_mask(t->size)) | a;
        return v;
    case ZYDIS_MNEMONIC_CMPSB:
    case ZYDIS_MNEMONIC_CMPSW:
    case ZYDIS_MNEMONIC_CMPSD:
    case ZYDIS_MNEMONIC_CMPSQ:
        v = move_element(r, t, t->from, false, &a);
        if (v == VERDICT_DONE)
            v = move_element(r, t, t->to, false, &b);
        if (v == VERDICT_DONE)
            alu_sub(a, b, 0, t->size, flags);
        return v;
    case ZYDIS_MNEMONIC_SCASB:
    case ZYDIS_MNEMONIC_SCASW:
    case ZYDIS_MNEMONIC_SCASD:
    case ZYDIS_MNEMONIC_SCASQ:
        v = move_element(r, t, t->to, false, &b);
        if (v == VERDICT_DONE)
            alu_sub(s->gpr[GPR_RAX], b, 0, t->size, flags);
        return v;
    case ZYDIS_MNEMONIC_INSB:
    case ZYDIS_MNEMONIC_INSW:
    case ZYDIS_MNEMONIC_INSD:
        /* The destination is tried before the port is read: a device must not lose a byte to a page fault. */
        if (t->to == NULL)
            return VERDICT_UNSUPPORTED;
        v = reach(r, t->to, t->size, true, &a);
        if (v == VERDICT_DONE)
            v = access_probe(r->c, a, t->size, true, r->fault);
        if (v != VERDICT_DONE)
            return v;
        t->io(t->context, t->port, t->size, false, &data);
        a = data;
        return move_element(r, t, t->to, true, &a);
    case ZYDIS_MNEMONIC_OUTSB:
    case ZYDIS_MNEMONIC_OUTSW:
    case ZYDIS_MNEMONIC_OUTSD:
        v = move_element(r, t, t->from, false, &a);
        if (v != VERDICT_DONE)
            return v;
        data = (uint32_t)a;
        t->io(t->context, t->port, t->size, true, &data);
        return VERDICT_DONE;
    default: return VERDICT_UNSUPPORTED;
    }
}

static enum verdict do_string(struct run *r, struct string *t)
{
    struct vcpu_state *s = r->c->state;
    const ZydisInstructionAttributes a = r->d.insn.attributes;
    t->address_bytes = r->d.insn.address_width / 8u;
    t->repeat = (a & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPZ | ZYDIS_ATTRIB_HAS_REPNE |
                      ZYDIS_ATTRIB_HAS_REPNZ)) != 0;
    bool compares = (r->d.insn.opcode & 0xfe) == 0xa6 || (r->d.insn.opcode & 0xfe) == 0xae;
    t->while_different = compares && (a & (ZYDIS_ATTRIB_HAS_REPNE | ZYDIS_ATTRIB_HAS_REPNZ));
    t->while_equal = compares && t->repeat && !t->while_different;
    t->from = memory_by(&r->d, GPR_RSI);
    t->to = memory_by(&r->d, GPR_RDI);

    uint64_t by = s->rflags & FLAG_DF ? 0 - (uint64_t)t->size : t->size;
    for (unsigned round = 0;; round++) {
        if (t->repeat && (s->gpr[GPR_RCX] & size_mask(t->address_bytes)) == 0)
            return VERDICT_DONE;
        if (round == EMULATE_ROUNDS)
            return VERDICT_AGAIN;
        uint64_t flags = s->rflags;
        enum verdict v = round_of(r, t, &flags);
        if (v != VERDICT_DONE)
            return v;
        if (t->from != NULL)
            step(s, GPR_RSI, by, t->address_bytes);
        if (t->to != NULL)
            step(s, GPR_RDI, by, t->address_bytes);
        if (flags != s->rflags)
            set_flags(s, flags);
        if (!t->repeat)
            return VERDICT_DONE;
        step(s, GPR_RCX, ~0ull, t->address_bytes);
        if ((t->while_equal && !(flags & FLAG_ZF)) || (t->while_different && (flags & FLAG_ZF)))
            return VERDICT_DONE;
    }
}

/* --- entry points --- */

static enum verdict execute(struct run *r)
{
    if (r->d.insn.meta.category == ZYDIS_CATEGORY_STRINGOP) {
        struct string t = {.size = r->d.insn.opcode & 1 ? r->d.insn.operand_width / 8u : 1};
        return do_string(r, &t);
    }
    switch (r->d.insn.mnemonic) {
    case ZYDIS_MNEMONIC_MOV:
    case ZYDIS_MNEMONIC_MOVZX:
    case ZYDIS_MNEMONIC_MOVNTI: return do_move(r, false);
    case ZYDIS_MNEMONIC_MOVSX:
    case ZYDIS_MNEMONIC_MOVSXD: return do_move(r, true);
    case ZYDIS_MNEMONIC_INC:
    case ZYDIS_MNEMONIC_DEC:
    case ZYDIS_MNEMONIC_NEG:
    case ZYDIS_MNEMONIC_NOT: return do_one(r);
    case ZYDIS_MNEMONIC_BT:
    case ZYDIS_MNEMONIC_BTS:
    case ZYDIS_MNEMONIC_BTR:
    case ZYDIS_MNEMONIC_BTC: return do_bit(r);
    case ZYDIS_MNEMONIC_XCHG:
    case ZYDIS_MNEMONIC_XADD:
    case ZYDIS_MNEMONIC_CMPXCHG: return do_exchange(r);
    default: return do_two(r);
    }
}

enum verdict emulate_memory(const struct guest_cpu *c, struct instruction_bytes *seen, struct guest_fault *fault)
{
    struct run r = {.c = c, .fault = fault};
    if (!decode(c, &r.d, seen))
        return VERDICT_UNSUPPORTED;
    if (c->move != NULL)
        move_cache_add(c->move, c, &r.d, seen->bytes);
    enum verdict v = execute(&r);
    if (v == VERDICT_DONE)
        emulate_skip(c->state, r.d.insn.length);
    return v;
}

enum verdict emulate_string_io(const struct guest_cpu *c, uint16_t port, unsigned size, emulate_port *io,
                               struct instruction_bytes *seen, struct guest_fault *fault)
{
    struct run r = {.c = c, .fault = fault};
    if (!decode(c, &r.d, seen) || (r.d.insn.opcode & 0xfc) != 0x6c || r.d.insn.opcode_map != ZYDIS_OPCODE_MAP_DEFAULT)
        return VERDICT_UNSUPPORTED;
    struct string t = {.size = size, .io = io, .context = c->context, .port = port};
    enum verdict v = do_string(&r, &t);
    if (v == VERDICT_DONE)
        emulate_skip(c->state, r.d.insn.length);
    return v;
}
