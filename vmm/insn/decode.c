// SPDX-License-Identifier: Apache-2.0
/*
 * See vmm/insn/decode.h.
 */
#include "vmm/insn/decode.h"
#include "lib/string.h"
#include "mullion/regs.h"
#include "vmm/insn/flags.h"

bool decode(const struct guest_cpu *c, struct decoded *d, struct instruction_bytes *seen)
{
    seen->count = access_fetch(c, seen->bytes, INSTRUCTION_MAX);
    ZydisMachineMode mode;
    ZydisStackWidth stack;
    switch (access_code_width(c->state)) {
    case 64:
        mode = ZYDIS_MACHINE_MODE_LONG_64;
        stack = ZYDIS_STACK_WIDTH_64;
        break;
    case 32:
        mode = ZYDIS_MACHINE_MODE_LEGACY_32;
        stack = ZYDIS_STACK_WIDTH_32;
        break;
    default:
        mode = c->state->cr0 & CR0_PE ? ZYDIS_MACHINE_MODE_LEGACY_16 : ZYDIS_MACHINE_MODE_REAL_16;
        stack = ZYDIS_STACK_WIDTH_16;
        break;
    }
    ZydisDecoder decoder;
    bool good = seen->count > 0 && ZYAN_SUCCESS(ZydisDecoderInit(&decoder, mode, stack)) &&
                ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, seen->bytes, seen->count, &d->insn, d->operand));
    seen->name = good ? ZydisMnemonicGetString(d->insn.mnemonic) : NULL;
    return good;
}

uint64_t gpr_get(const struct vcpu_state *s, unsigned number)
{
    return number == GPR_RSP ? s->rsp : s->gpr[number & 15];
}

void gpr_set(struct vcpu_state *s, unsigned number, uint64_t value)
{
    if (number == GPR_RSP) {
        s->rsp = value;
        s->dirty |= GROUP_RIP;
    } else {
        s->gpr[number & 15] = value;
    }
}

/* Zydis numbers AL..BL, AH..BH, SPL..R15B, then AX.. etc. */
bool register_place(ZydisRegister r, unsigned *number, unsigned *size, unsigned *shift)
{
    *shift = 0;
    if (r >= ZYDIS_REGISTER_AL && r <= ZYDIS_REGISTER_BL) {
        *number = (unsigned)(r - ZYDIS_REGISTER_AL);
        *size = 1;
    } else if (r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH) {
        *number = (unsigned)(r - ZYDIS_REGISTER_AH);
        *size = 1;
        *shift = 8;
    } else if (r >= ZYDIS_REGISTER_SPL && r <= ZYDIS_REGISTER_R15B) {
        *number = (unsigned)(r - ZYDIS_REGISTER_SPL) + 4;
        *size = 1;
    } else if (r >= ZYDIS_REGISTER_AX && r <= ZYDIS_REGISTER_R15W) {
        *number = (unsigned)(r - ZYDIS_REGISTER_AX);
        *size = 2;
    } else if (r >= ZYDIS_REGISTER_EAX && r <= ZYDIS_REGISTER_R15D) {
        *number = (unsigned)(r - ZYDIS_REGISTER_EAX);
        *size = 4;
    } else if (r >= ZYDIS_REGISTER_RAX && r <= ZYDIS_REGISTER_R15) {
        *number = (unsigned)(r - ZYDIS_REGISTER_RAX);
        *size = 8;
    } else {
        return false;
    }
    return true;
}

bool register_get(const struct vcpu_state *s, ZydisRegister r, uint64_t *value)
{
    unsigned number, size, shift;
    if (register_place(r, &number, &size, &shift)) {
        *value = gpr_get(s, number) >> shift & size_mask(size);
        return true;
    }
    if (r >= ZYDIS_REGISTER_ES && r <= ZYDIS_REGISTER_GS) { /* same order as SEG_* */
        *value = s->seg[r - ZYDIS_REGISTER_ES].selector;
        return true;
    }
    return false;
}

bool register_set(struct vcpu_state *s, ZydisRegister r, uint64_t value)
{
    unsigned number, size, shift;
    if (!register_place(r, &number, &size, &shift))
        return false;
    uint64_t old = gpr_get(s, number), mask = size_mask(size) << shift;
    /* A 32-bit result clears the upper half, narrower ones keep the rest (SDM vol. 1, 3.4.1.1). */
    gpr_set(s, number, size >= 4 ? value & size_mask(size) : (old & ~mask) | (value << shift & mask));
    return true;
}

bool operand_place(const struct vcpu_state *s, const struct decoded *d, const ZydisDecodedOperand *o, int64_t extra,
                   struct logical *a)
{
    if (o->type != ZYDIS_OPERAND_TYPE_MEMORY || o->mem.type != ZYDIS_MEMOP_TYPE_MEM)
        return false;
    uint64_t base = 0, index = 0;
    if (o->mem.base == ZYDIS_REGISTER_RIP || o->mem.base == ZYDIS_REGISTER_EIP)
        base = s->rip + d->insn.length;
    else if (o->mem.base != ZYDIS_REGISTER_NONE && !register_get(s, o->mem.base, &base))
        return false;
    if (o->mem.index != ZYDIS_REGISTER_NONE && !register_get(s, o->mem.index, &index))
        return false;
    uint64_t offset = base + index * o->mem.scale + (uint64_t)o->mem.disp.value + (uint64_t)extra;
    if (o->mem.segment < ZYDIS_REGISTER_ES || o->mem.segment > ZYDIS_REGISTER_GS)
        return false;
    a->offset = offset & size_mask(d->insn.address_width / 8u);
    a->seg = (unsigned)(o->mem.segment - ZYDIS_REGISTER_ES); /* same order as SEG_* */
    return true;
}

void emulate_end(struct vcpu_state *s, uint64_t rip)
{
    s->rip = rip;
    s->shadow &= ~(SHADOW_STI | SHADOW_MOV_SS);
    s->rflags &= ~RFLAGS_RF;
    if (s->rflags & RFLAGS_TF)
        s->pending_debug |= DR6_BS;
    s->dirty |= GROUP_RIP;
}

void emulate_skip(struct vcpu_state *s, unsigned length)
{
    uint64_t rip = s->rip + length;
    emulate_end(s, access_code_width(s) == 64 ? rip : rip & 0xffffffffu);
}

unsigned decode_length(const struct guest_cpu *c, struct instruction_bytes *seen)
{
    struct decoded d;
    return decode(c, &d, seen) ? d.insn.length : 0;
}

static bool control_number(ZydisRegister r, uint8_t *number)
{
    if (r < ZYDIS_REGISTER_CR0 || r > ZYDIS_REGISTER_CR15)
        return false;
    *number = (uint8_t)(r - ZYDIS_REGISTER_CR0);
    return true;
}

enum verdict decode_cr(const struct guest_cpu *c, struct cr_access *out, struct instruction_bytes *seen,
                       struct guest_fault *fault)
{
    struct decoded d;
    if (!decode(c, &d, seen))
        return VERDICT_UNSUPPORTED;
    const struct vcpu_state *s = c->state;
    const ZydisDecodedOperand *to = &d.operand[0], *from = &d.operand[1];
    *out = (struct cr_access){.length = d.insn.length};
    unsigned size, shift;
    uint64_t value = 0, linear;
    switch (d.insn.mnemonic) {
    case ZYDIS_MNEMONIC_MOV:
        if (to->type != ZYDIS_OPERAND_TYPE_REGISTER || from->type != ZYDIS_OPERAND_TYPE_REGISTER)
            return VERDICT_UNSUPPORTED;
        if (control_number(to->reg.value, &out->number)) {
            out->write = true;
            return register_get(s, from->reg.value, &out->value) ? VERDICT_DONE : VERDICT_UNSUPPORTED;
        }
        if (control_number(from->reg.value, &out->number))
            return register_place(to->reg.value, &out->gpr, &size, &shift) ? VERDICT_DONE : VERDICT_UNSUPPORTED;
        return VERDICT_UNSUPPORTED;
    case ZYDIS_MNEMONIC_CLTS:
        out->write = true;
        out->value = s->cr0 & ~CR0_TS;
        return VERDICT_DONE;
    case ZYDIS_MNEMONIC_LMSW: /* four bits, and PE can only be set (SDM vol. 2, LMSW) */
        if (to->type == ZYDIS_OPERAND_TYPE_REGISTER) {
            if (!register_get(s, to->reg.value, &value))
                return VERDICT_UNSUPPORTED;
        } else {
            struct logical a = {.size = 2};
            if (!operand_place(s, &d, to, 0, &a))
                return VERDICT_UNSUPPORTED;
            enum verdict v = access_address(c, &a, &linear, fault);
            if (v == VERDICT_DONE)
                v = access_linear(c, linear, 2, false, &value, fault);
            if (v != VERDICT_DONE)
                return v;
        }
        out->write = true;
        out->value = (s->cr0 & ~0xeull) | (value & 0xf);
        return VERDICT_DONE;
    default: return VERDICT_UNSUPPORTED;
    }
}
