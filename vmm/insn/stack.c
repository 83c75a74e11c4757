// SPDX-License-Identifier: Apache-2.0
/*
 * What pushes, pops and jumps: with a device for the operand or, odd as that is, for the stack. Far jumps are not
 * known. See vmm/insn/run.h.
 */
#include "mullion/regs.h"
#include "vmm/insn/flags.h"
#include "vmm/insn/run.h"

/* Bytes of the stack pointer (SDM vol. 1, 6.2.3). */
static unsigned pointer_bytes(const struct vcpu_state *s)
{
    if (access_code_width(s) == 64)
        return 8;
    return s->seg[SEG_SS].attr & SEG_ATTR_DB ? 4 : 2;
}

static void set_pointer(struct vcpu_state *s, uint64_t value)
{
    unsigned bytes = pointer_bytes(s);
    uint64_t mask = size_mask(bytes);
    s->rsp = bytes == 2 ? (s->rsp & ~mask) | (value & mask) : value & mask;
    s->dirty |= GROUP_RIP;
}

/* Of what is pushed or popped. 0: not one that is done here. */
static unsigned element_bytes(const struct run *r)
{
    unsigned size = r->d.insn.operand_width / 8u;
    return size == 2 || size == 4 || size == 8 ? size : 0;
}

/* The place of an element at `pointer`. A push finds out here whether it can be written: nothing is done before. */
static enum verdict reach_element(struct run *r, uint64_t pointer, bool write, uint64_t *linear)
{
    struct logical a = {.seg = SEG_SS, .size = element_bytes(r), .write = write};
    a.offset = pointer & size_mask(pointer_bytes(r->c->state));
    if (a.size == 0)
        return VERDICT_UNSUPPORTED;
    enum verdict v = access_address(r->c, &a, linear, r->fault);
    return v == VERDICT_DONE && write ? access_probe(r->c, *linear, a.size, true, r->fault) : v;
}

static enum verdict push(struct run *r, uint64_t linear, uint64_t value)
{
    unsigned size = element_bytes(r);
    enum verdict v = access_linear(r->c, linear, size, true, &value, r->fault);
    if (v == VERDICT_DONE)
        set_pointer(r->c->state, r->c->state->rsp - size);
    return v;
}

static enum verdict pop(struct run *r, uint64_t *value)
{
    uint64_t linear;
    unsigned size = element_bytes(r);
    enum verdict v = reach_element(r, r->c->state->rsp, false, &linear);
    if (v == VERDICT_DONE)
        v = access_linear(r->c, linear, size, false, value, r->fault);
    if (v == VERDICT_DONE)
        set_pointer(r->c->state, r->c->state->rsp + size);
    return v;
}

enum verdict run_push(struct run *r)
{
    uint64_t value = 0, linear = 0;
    enum verdict v = reach_element(r, r->c->state->rsp - element_bytes(r), true, &linear);
    if (v == VERDICT_DONE)
        v = run_load(r, &r->d.operand[0], &value);
    return v == VERDICT_DONE ? push(r, linear, value) : v;
}

/* An address by rsp, and rsp itself, are those behind the pop. */
enum verdict run_pop(struct run *r)
{
    const ZydisDecodedOperand *to = &r->d.operand[0];
    uint64_t value = 0, before = r->c->state->rsp;
    enum verdict v = pop(r, &value);
    if (v != VERDICT_DONE)
        return v;
    if (to->type == ZYDIS_OPERAND_TYPE_REGISTER && to->reg.value >= ZYDIS_REGISTER_ES &&
        to->reg.value <= ZYDIS_REGISTER_GS)
        v = run_segment(r, (unsigned)(to->reg.value - ZYDIS_REGISTER_ES), (uint16_t)value);
    else
        v = run_store(r, to, value);
    if (v != VERDICT_DONE)
        r->c->state->rsp = before;
    return v;
}

static uint64_t next_rip(const struct run *r)
{
    return r->c->state->rip + r->d.insn.length;
}

/* A near jump's target, cut and checked (SDM vol. 2, CALL and JMP). */
static enum verdict jump(struct run *r, uint64_t target)
{
    const struct vcpu_state *s = r->c->state;
    bool wide = access_code_width(s) == 64;
    unsigned size = element_bytes(r);
    if (size == 0 || wide != (size == 8))
        return VERDICT_UNSUPPORTED;
    r->target = target & size_mask(size);
    if (wide ? (uint64_t)((int64_t)(target << 16) >> 16) != target : r->target > s->seg[SEG_CS].limit)
        return run_fault(r, VECTOR_GP);
    r->jumps = true;
    return VERDICT_DONE;
}

static enum verdict jump_to_operand(struct run *r)
{
    const ZydisDecodedOperand *o = &r->d.operand[0];
    uint64_t target = 0;
    if (r->d.insn.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
        return VERDICT_UNSUPPORTED;
    enum verdict v = run_load(r, o, &target);
    if (v != VERDICT_DONE)
        return v;
    if (o->type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
        target += next_rip(r);
    return jump(r, target);
}

enum verdict run_jump(struct run *r)
{
    return jump_to_operand(r);
}

enum verdict run_call(struct run *r)
{
    uint64_t linear = 0;
    enum verdict v = reach_element(r, r->c->state->rsp - element_bytes(r), true, &linear);
    if (v == VERDICT_DONE)
        v = jump_to_operand(r);
    return v == VERDICT_DONE ? push(r, linear, next_rip(r)) : v;
}

enum verdict run_return(struct run *r)
{
    const ZydisDecodedOperand *more = &r->d.operand[0];
    uint64_t target = 0, before = r->c->state->rsp;
    if (r->d.insn.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
        return VERDICT_UNSUPPORTED;
    enum verdict v = pop(r, &target);
    if (v == VERDICT_DONE)
        v = jump(r, target);
    if (v != VERDICT_DONE)
        r->c->state->rsp = before;
    else if (r->d.insn.operand_count_visible == 1 && more->type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
        set_pointer(r->c->state, r->c->state->rsp + (more->imm.value.u & 0xffff));
    return v;
}

enum verdict run_leave(struct run *r)
{
    struct vcpu_state *s = r->c->state;
    uint64_t value = 0, before = s->rsp;
    set_pointer(s, s->gpr[GPR_RBP]);
    enum verdict v = pop(r, &value);
    if (v != VERDICT_DONE)
        s->rsp = before;
    else
        s->gpr[GPR_RBP] = element_bytes(r) == 2 ? (s->gpr[GPR_RBP] & ~0xffffull) | value : value;
    return v;
}
