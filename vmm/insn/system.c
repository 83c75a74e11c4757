// SPDX-License-Identifier: Apache-2.0
/*
 * Moves of segment registers, and stores of system registers that every ring may ask for. See vmm/insn/run.h.
 */
#include "lib/string.h"
#include "mullion/regs.h"
#include "vmm/insn/descriptor.h"
#include "vmm/insn/flags.h"
#include "vmm/insn/run.h"

static bool plain_mode(const struct vcpu_state *s) /* no descriptors */
{
    return !(s->cr0 & CR0_PE) || (s->rflags & RFLAGS_VM);
}

/* May this segment be loaded into that register? SDM vol. 2, MOV: 0, or the vector of the fault. */
static unsigned refusal(const struct vcpu_state *s, unsigned seg, const struct segment *g)
{
    unsigned cpl = access_cpl(s), rpl = g->selector & 3, dpl = g->attr >> 5 & 3;
    bool code = g->attr & ATTR_CODE, good = g->attr & ATTR_S;
    if (seg == SEG_SS)
        good = good && !code && (g->attr & ATTR_WRITABLE) && rpl == cpl && dpl == cpl;
    else if (code)
        good = good && (g->attr & ATTR_READABLE) && ((g->attr & ATTR_CONFORMING) || (rpl <= dpl && cpl <= dpl));
    else
        good = good && rpl <= dpl && cpl <= dpl;
    if (!good)
        return VECTOR_GP;
    if (g->attr & ATTR_PRESENT)
        return 0;
    return seg == SEG_SS ? VECTOR_SS : VECTOR_NP;
}

/* The descriptor that a selector names, and where it is. */
static enum verdict find(struct run *r, const struct guest_cpu *system, uint16_t selector, uint64_t *at, uint64_t *d)
{
    const struct vcpu_state *s = r->c->state;
    const struct segment *ldt = &s->seg[SEG_LDTR];
    bool local = selector & 4;
    if (local && (ldt->attr & SEG_ATTR_UNUSABLE))
        return run_fault_code(r, VECTOR_GP, selector & ~3u);
    if ((selector | 7u) > (local ? ldt->limit : s->gdtr.limit))
        return run_fault_code(r, VECTOR_GP, selector & ~3u);
    *at = (local ? ldt->base : s->gdtr.base) + (selector & ~7u);
    return access_linear(system, *at, 8, false, d, r->fault);
}

static enum verdict load_null(struct run *r, unsigned seg, uint16_t selector)
{
    struct vcpu_state *s = r->c->state;
    unsigned cpl = access_cpl(s);
    if (seg == SEG_SS && (access_code_width(s) != 64 || cpl == 3 || selector != cpl))
        return run_fault(r, VECTOR_GP);
    s->seg[seg] = (struct segment){.selector = selector, .attr = SEG_ATTR_UNUSABLE | (seg == SEG_SS ? cpl << 5 : 0)};
    return VERDICT_DONE;
}

static enum verdict load_described(struct run *r, unsigned seg, uint16_t selector)
{
    struct vcpu_state *s = r->c->state;
    struct guest_cpu system = *r->c; /* the tables are read with ring 0's rights */
    system.as_system = true;
    uint64_t at = 0, d = 0;
    enum verdict v = find(r, &system, selector, &at, &d);
    if (v != VERDICT_DONE)
        return v;
    struct segment g = descriptor_unpack(d, selector);
    unsigned vector = refusal(s, seg, &g);
    if (vector != 0)
        return run_fault_code(r, vector, selector & ~3u);
    if (!(d & DESCRIPTOR_ACCESSED)) {
        uint64_t type = (d | DESCRIPTOR_ACCESSED) >> 40 & 0xff;
        v = access_linear(&system, at + 5, 1, true, &type, r->fault);
        g.attr |= ATTR_ACCESSED;
    }
    if (v == VERDICT_DONE)
        s->seg[seg] = g;
    return v;
}

enum verdict run_segment(struct run *r, unsigned seg, uint16_t selector)
{
    struct vcpu_state *s = r->c->state;
    enum verdict v = VERDICT_DONE;
    if (seg == SEG_CS)
        return VERDICT_UNSUPPORTED;
    if (plain_mode(s)) { /* limit and type stay */
        s->seg[seg].selector = selector;
        s->seg[seg].base = (uint64_t)selector << 4;
    } else if ((selector & ~3u) == 0) {
        v = load_null(r, seg, selector);
    } else {
        v = load_described(r, seg, selector);
    }
    if (v != VERDICT_DONE)
        return v;
    s->dirty |= GROUP_SEG;
    r->blocks = seg == SEG_SS;
    return VERDICT_DONE;
}

/* LDS, LES, LFS, LGS, LSS: offset, then selector. */
enum verdict run_load_far(struct run *r)
{
    static const struct {
        ZydisMnemonic mnemonic;
        unsigned seg;
    } which[] = {{ZYDIS_MNEMONIC_LDS, SEG_DS},
                 {ZYDIS_MNEMONIC_LES, SEG_ES},
                 {ZYDIS_MNEMONIC_LFS, SEG_FS},
                 {ZYDIS_MNEMONIC_LGS, SEG_GS},
                 {ZYDIS_MNEMONIC_LSS, SEG_SS}};
    unsigned size = r->d.operand[0].size / 8u;
    struct wide_access w = {.size = size + 2};
    uint64_t offset = 0;
    uint16_t selector;
    unsigned i = 0;
    while (i < 4 && which[i].mnemonic != r->d.insn.mnemonic)
        i++;
    if (size != 2 && size != 4 && size != 8)
        return VERDICT_UNSUPPORTED;
    enum verdict v = run_reach_wide(r, &r->d.operand[1], &w);
    if (v == VERDICT_DONE)
        v = run_load_wide(r, &w);
    if (v != VERDICT_DONE)
        return v;
    memcpy(&offset, w.bytes, size);
    memcpy(&selector, w.bytes + size, 2);
    v = run_segment(r, which[i].seg, selector);
    return v == VERDICT_DONE ? run_store(r, &r->d.operand[0], offset) : v;
}

/* UMIP keeps these from ring 3 (SDM vol. 3, 2.5). */
static bool kept_back(const struct vcpu_state *s)
{
    return (s->cr4 & CR4_UMIP) && access_cpl(s) == 3;
}

/* SMSW, SLDT, STR to memory: 16 bits. SMSW to a register, which is here where reads of CR0 exit: as wide as that. */
enum verdict run_store_system(struct run *r)
{
    const struct vcpu_state *s = r->c->state;
    const ZydisDecodedOperand *to = &r->d.operand[0];
    bool from_cr0 = r->d.insn.mnemonic == ZYDIS_MNEMONIC_SMSW;
    if (to->type != ZYDIS_OPERAND_TYPE_MEMORY && !from_cr0)
        return VERDICT_UNSUPPORTED;
    if (kept_back(s))
        return run_fault(r, VECTOR_GP);
    if (to->type == ZYDIS_OPERAND_TYPE_REGISTER)
        return register_set(r->c->state, to->reg.value, s->cr0) ? VERDICT_DONE : VERDICT_UNSUPPORTED;
    if (from_cr0)
        return run_store(r, to, s->cr0 & 0xffff);
    if (plain_mode(s))
        return run_fault(r, VECTOR_UD);
    return run_store(r, to, s->seg[r->d.insn.mnemonic == ZYDIS_MNEMONIC_STR ? SEG_TR : SEG_LDTR].selector);
}

/* SGDT, SIDT: limit, then base. */
enum verdict run_store_table(struct run *r)
{
    const struct vcpu_state *s = r->c->state;
    const struct table_register *t = r->d.insn.mnemonic == ZYDIS_MNEMONIC_SGDT ? &s->gdtr : &s->idtr;
    struct wide_access w = {.size = access_code_width(s) == 64 ? 10 : 6, .write = true};
    if (kept_back(s))
        return run_fault(r, VECTOR_GP);
    memcpy(w.bytes, &t->limit, 2);
    memcpy(w.bytes + 2, &t->base, 8);
    enum verdict v = run_reach_wide(r, &r->d.operand[0], &w);
    return v == VERDICT_DONE ? run_store_wide(r, &w) : v;
}
