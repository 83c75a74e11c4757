/*
 * See vmm/quick.h. The CPU has translated the operand's address and checked its rights before the second-level tables refused
 * it, so gpa is where the operand is. Only the code's own bytes are looked up anew, every time: the guest may have changed or
 * remapped them.
 */
#include "vmm/quick.h"
#include "lib/string.h"
#include "vmm/decode.h"
#include "vmm/flags.h"

static bool is_general(const ZydisDecodedOperand *o)
{
    return o->type == ZYDIS_OPERAND_TYPE_REGISTER && o->reg.value >= ZYDIS_REGISTER_AL && o->reg.value <= ZYDIS_REGISTER_R15;
}

void quick_learn(struct quick_move *q, const struct guest_cpu *c, const struct decoded *d, const uint8_t *bytes)
{
    const ZydisDecodedOperand *to = &d->operand[0], *from = &d->operand[1];
    bool sign = d->insn.mnemonic == ZYDIS_MNEMONIC_MOVSX || d->insn.mnemonic == ZYDIS_MNEMONIC_MOVSXD;
    if (!sign && d->insn.mnemonic != ZYDIS_MNEMONIC_MOV && d->insn.mnemonic != ZYDIS_MNEMONIC_MOVZX)
        return;
    struct quick_move m = {.rip = c->state->rip, .width = (uint8_t)access_code_width(c->state), .length = d->insn.length};
    if (from->type == ZYDIS_OPERAND_TYPE_MEMORY && is_general(to)) {
        m.kind = QUICK_LOAD;
        m.reg = (uint16_t)to->reg.value;
        m.size = (uint8_t)(from->size / 8);
        m.reg_size = (uint8_t)(to->size / 8);
        m.sign = sign;
    } else if (to->type == ZYDIS_OPERAND_TYPE_MEMORY && is_general(from)) {
        m.kind = QUICK_STORE;
        m.reg = (uint16_t)from->reg.value;
        m.size = (uint8_t)(to->size / 8);
    } else if (to->type == ZYDIS_OPERAND_TYPE_MEMORY && from->type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
        m.kind = QUICK_STORE_IMMEDIATE;
        m.immediate = from->imm.value.u;
        m.size = (uint8_t)(to->size / 8);
    } else {
        return;
    }
    if (m.size == 0 || m.size > 8 || (m.size & (m.size - 1)) != 0 || m.length == 0 || m.length > INSTRUCTION_MAX)
        return;
    memcpy(m.bytes, bytes, m.length);
    *q = m;
}

static bool same_bytes(const struct quick_move *q, const struct guest_cpu *c)
{
    uint64_t rip = c->state->rip;
    struct walk_result w = walk(c->memory, c->state, q->width == 64 ? rip : access_to_linear(c->state, SEG_CS, rip), ACCESS_PEEK);
    if (w.outcome != WALK_OK || w.left < q->length) /* an instruction that crosses a page takes the long way */
        return false;
    const void *there = guest_ptr(c->memory, w.gpa, q->length);
    return there != NULL && memcmp(there, q->bytes, q->length) == 0;
}

bool quick_execute(const struct quick_move *q, const struct guest_cpu *c, unsigned width, uint64_t gpa)
{
    struct vcpu_state *s = c->state;
    if (q->kind == QUICK_NONE || q->rip != s->rip || q->width != width || q->size > 4096 - (gpa & 4095) || !same_bytes(q, c))
        return false;
    uint64_t value = q->immediate;
    if (q->kind == QUICK_LOAD) {
        value = 0;
        c->device(c->context, gpa, q->size, false, &value);
        value &= size_mask(q->size);
        if (q->sign && q->size < q->reg_size) {
            unsigned shift = 64 - 8u * q->size;
            value = (uint64_t)((int64_t)(value << shift) >> shift);
        }
        (void)register_set(s, (ZydisRegister)q->reg, value); /* quick_learn has seen that it is a general one */
    } else {
        if (q->kind == QUICK_STORE && !register_get(s, (ZydisRegister)q->reg, &value))
            return false;
        value &= size_mask(q->size);
        c->device(c->context, gpa, q->size, true, &value);
    }
    s->advance = q->length; /* cheaper than loading a new rip; nothing has made the group dirty since the exit */
    return true;
}
