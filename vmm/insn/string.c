// SPDX-License-Identifier: Apache-2.0
/*
 * String instructions. See vmm/insn/run.h; what was done of a repeated one before a fault stays done.
 */
#include "lib/string.h"
#include "mullion/regs.h"
#include "vmm/insn/flags.h"
#include "vmm/insn/run.h"

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
    enum verdict v = run_reach(r, o, t->size, write, &linear);
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
        v = run_reach(r, t->to, t->size, true, &a);
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

enum verdict run_string(struct run *r, unsigned size, emulate_port *io, uint16_t port)
{
    struct string string = {.size = size, .io = io, .context = r->c->context, .port = port}, *t = &string;
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
        if (round == (s->rflags & RFLAGS_TF ? 1 : EMULATE_ROUNDS)) {
            emulate_end(s, s->rip);
            s->rflags |= RFLAGS_RF; /* as if an interrupt came between two rounds (SDM vol. 3, 17.3.1.1) */
            return VERDICT_AGAIN;
        }
        uint64_t flags = s->rflags;
        enum verdict v = round_of(r, t, &flags);
        if (v != VERDICT_DONE)
            return v;
        if (t->from != NULL)
            step(s, GPR_RSI, by, t->address_bytes);
        if (t->to != NULL)
            step(s, GPR_RDI, by, t->address_bytes);
        if (flags != s->rflags)
            run_set_flags(r, flags);
        if (!t->repeat)
            return VERDICT_DONE;
        step(s, GPR_RCX, ~0ull, t->address_bytes);
        if ((t->while_equal && !(flags & FLAG_ZF)) || (t->while_different && (flags & FLAG_ZF)))
            return VERDICT_DONE;
    }
}
