// SPDX-License-Identifier: Apache-2.0
/*
 * See vmm/insn/move_cache.h. The CPU has translated the operand's address and checked its rights before the
 * second-level tables refused it, so gpa is where the operand is. But if the operand begins in RAM and crosses into a
 * device's page, gpa is that page's begin. The code's own bytes are looked up anew, every time: the guest may have
 * changed or remapped them.
 */
#include "vmm/insn/move_cache.h"
#include "lib/string.h"
#include "vmm/insn/decode.h"
#include "vmm/insn/flags.h"

/* Fills in which register takes part and what stays of it. False: not one that is kept here. */
static bool place(struct cached_move *m, const ZydisDecodedOperand *o)
{
    unsigned gpr, size, shift;
    if (o->type != ZYDIS_OPERAND_TYPE_REGISTER || !register_place(o->reg.value, &gpr, &size, &shift) || gpr == GPR_RSP)
        return false;
    m->gpr = (uint8_t)gpr;
    m->shift = (uint8_t)shift;
    m->keep = size >= 4 ? 0 : ~(size_mask(size) << shift); /* a 32-bit result clears the upper half */
    return true;
}

/* Remembers how the place in its page follows from the registers, where that is simple. */
static void place_operand(struct cached_move *m, const struct decoded *d, const ZydisDecodedOperand *o)
{
    unsigned base = 0, size, shift;
    uint64_t offset = (uint64_t)o->mem.disp.value;
    bool fixed = o->mem.base == ZYDIS_REGISTER_NONE || o->mem.base == ZYDIS_REGISTER_RIP;
    if (o->mem.base == ZYDIS_REGISTER_RIP)
        offset += m->rip + d->insn.length;
    m->base = MOVE_CACHE_ANYWHERE;
    if (o->mem.index != ZYDIS_REGISTER_NONE || o->mem.segment < ZYDIS_REGISTER_ES ||
        o->mem.segment > ZYDIS_REGISTER_GS || (m->width == 64 && o->mem.segment >= ZYDIS_REGISTER_FS))
        return;
    if (!fixed && (!register_place(o->mem.base, &base, &size, &shift) || base == GPR_RSP))
        return;
    m->base = fixed ? MOVE_CACHE_NO_BASE : (uint8_t)base;
    m->segment = (uint8_t)(o->mem.segment - ZYDIS_REGISTER_ES);
    m->offset = (uint16_t)(offset & 4095);
}

void move_cache_add(struct cached_move *q, const struct guest_cpu *c, const struct decoded *d, const uint8_t *bytes)
{
    const ZydisDecodedOperand *to = &d->operand[0], *from = &d->operand[1];
    bool sign = d->insn.mnemonic == ZYDIS_MNEMONIC_MOVSX || d->insn.mnemonic == ZYDIS_MNEMONIC_MOVSXD;
    if (!sign && d->insn.mnemonic != ZYDIS_MNEMONIC_MOV && d->insn.mnemonic != ZYDIS_MNEMONIC_MOVZX)
        return;
    struct cached_move m = {
        .rip = c->state->rip, .width = (uint8_t)access_code_width(c->state), .length = d->insn.length};
    if (from->type == ZYDIS_OPERAND_TYPE_MEMORY && place(&m, to)) {
        m.kind = MOVE_CACHE_LOAD;
        m.size = (uint8_t)(from->size / 8);
        m.sign_size = sign ? (uint8_t)(to->size / 8) : 0;
    } else if (to->type == ZYDIS_OPERAND_TYPE_MEMORY && place(&m, from)) {
        m.kind = MOVE_CACHE_STORE;
        m.size = (uint8_t)(to->size / 8);
    } else if (to->type == ZYDIS_OPERAND_TYPE_MEMORY && from->type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
        m.kind = MOVE_CACHE_STORE_IMMEDIATE;
        m.immediate = from->imm.value.u;
        m.size = (uint8_t)(to->size / 8);
    } else {
        return;
    }
    if (m.size == 0 || m.size > 8 || (m.size & (m.size - 1)) != 0 || m.length == 0 || m.length > INSTRUCTION_MAX)
        return;
    place_operand(&m, d, m.kind == MOVE_CACHE_LOAD ? from : to);
    memcpy(m.code, bytes, m.length);
    *q = m;
}

static uint64_t word_at(const uint8_t *p)
{
    uint64_t word;
    __builtin_memcpy(&word, p, sizeof word); /* one load */
    return word;
}

/* `left` bytes can be read there: up to the page's end. An instruction that crosses it takes the long way. */
static inline bool same_bytes(const struct cached_move *q, const uint8_t *there, uint64_t left)
{
    if (unlikely(left < sizeof q->code))
        return q->length <= left && memcmp(there, q->code, q->length) == 0;
    uint64_t first = word_at(there) ^ q->code[0];
    if (q->length <= 8)
        return first << (64 - 8 * q->length) == 0;
    return first == 0 && (word_at(there + 8) ^ q->code[1]) << (128 - 8 * q->length) == 0;
}

static __attribute__((noinline)) bool same_code_in_segment(const struct cached_move *q, const struct guest_cpu *c)
{
    struct walk_result w = walk(c->memory, c->state, access_to_linear(c->state, SEG_CS, c->state->rip), ACCESS_PEEK);
    const uint8_t *there = w.outcome == WALK_OK ? guest_ptr(c->memory, w.gpa, w.left) : NULL;
    return there != NULL && same_bytes(q, there, w.left);
}

static inline bool same_code(const struct cached_move *q, const struct guest_cpu *c)
{
    if (unlikely(q->width != 64))
        return same_code_in_segment(q, c);
    const uint8_t *there = walk_code64(c->memory, c->state);
    return there != NULL && same_bytes(q, there, 4096 - (c->state->rip & 4095));
}

/* `size` bytes as a register of `to` bytes has them. */
static uint64_t sign_extend(uint64_t value, unsigned size, unsigned to)
{
    unsigned shift = 64 - 8 * size;
    return (uint64_t)((int64_t)(value << shift) >> shift) & size_mask(to);
}

/* Whether the operand lies in gpa's page as a whole; that is not sure at the page's begin. */
static __attribute__((noinline)) bool in_one_page(const struct cached_move *q, const struct vcpu_state *s, uint64_t gpa)
{
    if ((gpa & 4095) != 0) /* it ends in the next one */
        return false;
    if (q->base == MOVE_CACHE_ANYWHERE)
        return q->size == 1;
    uint64_t at = q->offset + (q->base == MOVE_CACHE_NO_BASE ? 0 : s->gpr[q->base]);
    return ((at + (q->width == 64 ? 0 : s->seg[q->segment].base)) & 4095) == 0;
}

bool move_cache_execute(const struct cached_move *q, const struct guest_cpu *c, unsigned width, uint64_t gpa)
{
    struct vcpu_state *s = c->state;
    if (q->rip != s->rip || q->width != width || !same_code(q, c))
        return false;
    /* At a page's begin this wraps around, and the longer look decides. */
    if (unlikely(((gpa - 1) & 4095) + q->size > 4095) && !in_one_page(q, s, gpa))
        return false;
    uint64_t *gpr = &s->gpr[q->gpr], mask = UINT64_MAX >> (64 - 8 * q->size), value;
    if (q->kind == MOVE_CACHE_LOAD) {
        value = 0;
        c->device(c->context, gpa, q->size, false, &value);
        value &= mask;
        if (q->sign_size != 0)
            value = sign_extend(value, q->size, q->sign_size);
        *gpr = (*gpr & q->keep) | value << q->shift;
    } else {
        value = (q->kind == MOVE_CACHE_STORE ? *gpr >> q->shift : q->immediate) & mask;
        c->device(c->context, gpa, q->size, true, &value);
    }
    s->advance = q->length; /* cheaper than loading a new rip; nothing has made the group dirty since the exit */
    return true;
}
