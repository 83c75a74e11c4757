// SPDX-License-Identifier: Apache-2.0
/*
 * See vmm/insn/task.h. In the order of Intel SDM vol. 3, 8.3: look at both, store the old task, mark and link, load the
 * new one, and only then check its segments.
 */
#include "vmm/insn/task.h"
#include "mullion/regs.h"
#include "vmm/insn/descriptor.h"

/* Types of TSS and LDT descriptors: table 3-2. */
#define TYPE_LDT      0x2u
#define TYPE_TSS_16   0x1u
#define TYPE_TSS_32   0x9u
#define TYPE_BUSY     0x2u
#define FLAGS_OF_TASK 0x3f7fd5ull /* RFLAGS that a TSS can set */
#define DR7_LOCAL     0x155ull    /* L0 to L3, LE: a task's own */

/* Where a TSS has what: figures 8-2 and 8-10. */
struct layout {
    unsigned width; /* of a register */
    unsigned size;
    unsigned ip, flags, gpr, seg, ldt;
    unsigned segments; /* ES, CS, SS, DS, and in a 32-bit one FS, GS */
};
static const struct layout layout_16 = {2, 44, 14, 16, 18, 34, 42, 4};
static const struct layout layout_32 = {4, 104, 32, 36, 40, 72, 96, 6};
#define TSS_LINK 0u
#define TSS_CR3  28u  /* 32-bit */
#define TSS_TRAP 100u /* likewise: bit 0 */

struct task {
    uint64_t at; /* its descriptor's address */
    uint64_t d;  /* the descriptor */
    struct segment tss;
    const struct layout *layout;
};

struct image {
    uint64_t cr3, ip, flags, gpr[8], seg[6], ldt, trap;
};

struct switching {
    struct guest_cpu system; /* the tables are accessed with ring 0's rights */
    struct vcpu_state *s;
    struct guest_fault *fault;
};

static enum verdict refuse(struct switching *w, unsigned vector, uint32_t code)
{
    *w->fault = (struct guest_fault){.vector = (uint8_t)vector, .has_code = true, .code = code & 0xffffu};
    return VERDICT_FAULT;
}

static enum verdict field(struct switching *w, uint64_t at, unsigned size, bool write, uint64_t *value)
{
    return access_linear(&w->system, at & 0xffffffffu, size, write, value, w->fault);
}

static uint64_t in_gdt(const struct vcpu_state *s, uint16_t selector)
{
    return s->gdtr.base + (selector & ~7u);
}

/* The new task's TSS. */
static enum verdict find_task(struct switching *w, const struct task_switch *t, struct task *new)
{
    unsigned vector = t->by == TASK_BY_IRET ? VECTOR_TS : VECTOR_GP, code = t->selector & ~3u;
    if ((t->selector & 4) || (t->selector & ~7u) == 0 || (t->selector | 7u) > w->s->gdtr.limit)
        return refuse(w, vector, code);
    new->at = in_gdt(w->s, t->selector);
    enum verdict v = field(w, new->at, 8, false, &new->d);
    if (v != VERDICT_DONE)
        return v;
    new->tss = descriptor_unpack(new->d, t->selector);
    unsigned type = new->tss.attr &ATTR_TYPE & ~TYPE_BUSY;
    bool busy = new->tss.attr &TYPE_BUSY;
    if ((type != TYPE_TSS_16 && type != TYPE_TSS_32) || busy != (t->by == TASK_BY_IRET))
        return refuse(w, vector, code);
    if (!(new->tss.attr &ATTR_PRESENT))
        return refuse(w, VECTOR_NP, code);
    new->layout = type == TYPE_TSS_32 ? &layout_32 : &layout_16;
    if (new->tss.limit < new->layout->size - 1)
        return refuse(w, VECTOR_TS, code);
    return access_probe(&w->system, new->tss.base, new->layout->size, true, w->fault);
}

static enum verdict load_image(struct switching *w, const struct task *t, struct image *i)
{
    const struct layout *l = t->layout;
    uint64_t base = t->tss.base;
    enum verdict v = field(w, base + l->ip, l->width, false, &i->ip);
    if (v == VERDICT_DONE)
        v = field(w, base + l->flags, l->width, false, &i->flags);
    for (unsigned n = 0; n < 8 && v == VERDICT_DONE; n++)
        v = field(w, base + l->gpr + n * l->width, l->width, false, &i->gpr[n]);
    for (unsigned n = 0; n < l->segments && v == VERDICT_DONE; n++)
        v = field(w, base + l->seg + n * l->width, 2, false, &i->seg[n]);
    if (v == VERDICT_DONE)
        v = field(w, base + l->ldt, 2, false, &i->ldt);
    if (v == VERDICT_DONE && l->width == 4)
        v = field(w, base + TSS_CR3, 4, false, &i->cr3);
    if (v == VERDICT_DONE && l->width == 4)
        v = field(w, base + TSS_TRAP, 2, false, &i->trap);
    return v;
}

/* The old task's registers; CR3 and LDT are not stored. */
static enum verdict store_image(struct switching *w, const struct segment *tr, const struct image *i)
{
    const struct layout *l = (tr->attr & ATTR_TYPE & ~TYPE_BUSY) == TYPE_TSS_32 ? &layout_32 : &layout_16;
    struct image copy = *i;
    enum verdict v = access_probe(&w->system, tr->base, l->size, true, w->fault);
    if (v == VERDICT_DONE && tr->limit < l->size - 1)
        v = refuse(w, VECTOR_TS, tr->selector & ~3u);
    if (v == VERDICT_DONE)
        v = field(w, tr->base + l->ip, l->width, true, &copy.ip);
    if (v == VERDICT_DONE)
        v = field(w, tr->base + l->flags, l->width, true, &copy.flags);
    for (unsigned n = 0; n < 8 && v == VERDICT_DONE; n++)
        v = field(w, tr->base + l->gpr + n * l->width, l->width, true, &copy.gpr[n]);
    for (unsigned n = 0; n < l->segments && v == VERDICT_DONE; n++)
        v = field(w, tr->base + l->seg + n * l->width, 2, true, &copy.seg[n]);
    return v;
}

static void take_registers(const struct vcpu_state *s, const struct task_switch *t, struct image *i)
{
    i->ip = t->next;
    i->flags = s->rflags | (t->by_fault ? RFLAGS_RF : 0);
    if (t->by == TASK_BY_IRET)
        i->flags &= ~RFLAGS_NT;
    for (unsigned n = 0; n < 8; n++)
        i->gpr[n] = n == GPR_RSP ? s->rsp : s->gpr[n];
    for (unsigned n = 0; n < 6; n++)
        i->seg[n] = s->seg[n].selector;
}

/* Busy is one bit of the descriptor's type. */
static enum verdict mark(struct switching *w, uint64_t at, bool busy)
{
    uint64_t type = 0;
    enum verdict v = field(w, at + 5, 1, false, &type);
    type = busy ? type | TYPE_BUSY : type & ~(uint64_t)TYPE_BUSY;
    return v == VERDICT_DONE ? field(w, at + 5, 1, true, &type) : v;
}

/* In memory, up to the point where the new task begins. */
static enum verdict leave_old(struct switching *w, const struct task_switch *t, struct task *new, struct image *in)
{
    const struct segment *tr = &w->s->seg[SEG_TR];
    struct image out;
    take_registers(w->s, t, &out);
    enum verdict v = load_image(w, new, in);
    if (v == VERDICT_DONE)
        v = store_image(w, tr, &out);
    if (v == VERDICT_DONE && (t->by == TASK_BY_IRET || t->by == TASK_BY_JUMP))
        v = mark(w, in_gdt(w->s, tr->selector), false);
    if (v == VERDICT_DONE && t->by != TASK_BY_IRET)
        v = mark(w, new->at, true);
    if (v != VERDICT_DONE || t->by == TASK_BY_IRET || t->by == TASK_BY_JUMP)
        return v;
    uint64_t link = tr->selector;
    in->flags |= RFLAGS_NT;
    return field(w, new->tss.base + TSS_LINK, 2, true, &link);
}

static void set_registers(struct vcpu_state *s, const struct task *new, const struct image *i)
{
    s->seg[SEG_TR] = new->tss;
    s->seg[SEG_TR].attr |= TYPE_BUSY;
    if ((s->cr0 & CR0_PG) && new->layout->width == 4)
        s->cr3 = i->cr3;
    s->cr0 |= CR0_TS;
    s->rip = i->ip;
    s->rflags = (i->flags & FLAGS_OF_TASK) | RFLAGS_FIXED;
    for (unsigned n = 0; n < 8; n++)
        *(n == GPR_RSP ? &s->rsp : &s->gpr[n]) = i->gpr[n];
    s->dr7 &= ~DR7_LOCAL;
    s->shadow &= SHADOW_NMI;
    s->pending_debug = 0;
    s->dirty |= GROUP_RIP | GROUP_SEG | GROUP_CR | GROUP_DR;
}

/* Segments that hold nothing yet: such that a CPU takes them, should the new task fault before it has its own. */
static void blank_segments(struct vcpu_state *s, const struct image *i)
{
    bool v86 = s->rflags & RFLAGS_VM;
    for (unsigned n = 0; n < 6; n++) {
        struct segment *g = &s->seg[n];
        g->selector = (uint16_t)i->seg[n];
        if (v86)
            *g = (struct segment){
                .selector = g->selector, .base = (uint64_t)g->selector << 4, .limit = 0xffff, .attr = 0xf3};
        else if (n != SEG_CS && n != SEG_SS)
            g->attr = SEG_ATTR_UNUSABLE;
    }
    s->seg[SEG_LDTR] = (struct segment){.selector = (uint16_t)i->ldt, .attr = SEG_ATTR_UNUSABLE};
}

/* The descriptor that a selector of the new task names. */
static enum verdict find_segment(struct switching *w, uint16_t selector, uint64_t *at, struct segment *g)
{
    const struct vcpu_state *s = w->s;
    const struct segment *ldt = &s->seg[SEG_LDTR];
    bool local = selector & 4;
    uint64_t d = 0;
    if ((local && (ldt->attr & SEG_ATTR_UNUSABLE)) || (selector | 7u) > (local ? ldt->limit : s->gdtr.limit))
        return refuse(w, VECTOR_TS, selector & ~3u);
    *at = (local ? ldt->base : s->gdtr.base) + (selector & ~7u);
    enum verdict v = field(w, *at, 8, false, &d);
    *g = descriptor_unpack(d, selector);
    return v;
}

static enum verdict load_ldt(struct switching *w)
{
    struct segment *ldt = &w->s->seg[SEG_LDTR], g;
    uint16_t selector = ldt->selector;
    uint64_t at;
    if ((selector & ~3u) == 0)
        return VERDICT_DONE;
    if (selector & 4)
        return refuse(w, VECTOR_TS, selector & ~3u);
    enum verdict v = find_segment(w, selector, &at, &g);
    if (v != VERDICT_DONE)
        return v;
    if ((g.attr & ATTR_TYPE) != TYPE_LDT || !(g.attr & ATTR_PRESENT))
        return refuse(w, VECTOR_TS, selector & ~3u);
    *ldt = g;
    return VERDICT_DONE;
}

/* May the new task, whose ring is `cpl`, have it in that register? Table 7-6. */
static bool fits(unsigned seg, const struct segment *g, unsigned cpl)
{
    unsigned rpl = g->selector & 3, dpl = g->attr >> ATTR_DPL_SHIFT & 3;
    bool code = g->attr & ATTR_CODE, conforming = code && (g->attr & ATTR_CONFORMING);
    if (!(g->attr & ATTR_S))
        return false;
    if (seg == SEG_CS)
        return code && (conforming ? dpl <= rpl : dpl == rpl);
    if (seg == SEG_SS)
        return !code && (g->attr & ATTR_WRITABLE) && rpl == cpl && dpl == cpl;
    return (!code || (g->attr & ATTR_READABLE)) && (conforming || (dpl >= cpl && dpl >= rpl));
}

static enum verdict load_segment(struct switching *w, unsigned seg, unsigned cpl)
{
    struct segment *here = &w->s->seg[seg], g;
    uint16_t selector = here->selector;
    uint64_t at;
    if ((selector & ~3u) == 0 && seg != SEG_CS && seg != SEG_SS)
        return VERDICT_DONE;
    enum verdict v = (selector & ~3u) == 0 ? refuse(w, VECTOR_TS, 0) : find_segment(w, selector, &at, &g);
    if (v != VERDICT_DONE)
        return v;
    if (!fits(seg, &g, cpl))
        return refuse(w, VECTOR_TS, selector & ~3u);
    if (!(g.attr & ATTR_PRESENT))
        return refuse(w, seg == SEG_SS ? VECTOR_SS : VECTOR_NP, selector & ~3u);
    if (!(g.attr & ATTR_ACCESSED)) {
        g.attr |= ATTR_ACCESSED;
        uint64_t type = g.attr & 0xff;
        v = field(w, at + 5, 1, true, &type);
    }
    if (v == VERDICT_DONE)
        *here = g;
    return v;
}

static enum verdict load_segments(struct switching *w)
{
    static const uint8_t order[] = {SEG_CS, SEG_SS, SEG_DS, SEG_ES, SEG_FS, SEG_GS};
    struct vcpu_state *s = w->s;
    enum verdict v = load_ldt(w);
    if (s->rflags & RFLAGS_VM)
        return v;
    unsigned cpl = s->seg[SEG_CS].selector & 3;
    for (unsigned i = 0; i < sizeof order && v == VERDICT_DONE; i++) {
        v = load_segment(w, order[i], cpl);
        if (order[i] == SEG_CS && v == VERDICT_DONE) /* until it has its own stack: one of its ring, as the CPU wants */
            s->seg[SEG_SS].attr = (s->seg[SEG_SS].attr & ~(3u << ATTR_DPL_SHIFT)) | cpl << ATTR_DPL_SHIFT;
    }
    return v;
}

static enum verdict push_code(struct switching *w, const struct guest_cpu *c, unsigned width, uint32_t code)
{
    struct vcpu_state *s = w->s;
    uint64_t mask = s->seg[SEG_SS].attr & SEG_ATTR_DB ? 0xffffffffu : 0xffffu, linear, value = code;
    struct logical a = {.offset = (s->rsp - width) & mask, .seg = SEG_SS, .size = width, .write = true};
    enum verdict v = access_address(c, &a, &linear, w->fault);
    if (v == VERDICT_DONE)
        v = access_linear(c, linear, width, true, &value, w->fault);
    if (v == VERDICT_DONE)
        s->rsp = (s->rsp & ~mask) | a.offset;
    return v;
}

enum verdict task_switch(const struct guest_cpu *c, const struct task_switch *t, struct guest_fault *fault)
{
    struct vcpu_state *s = c->state;
    struct switching w = {.system = *c, .s = s, .fault = fault};
    struct task new;
    struct image in = {0};
    w.system.as_system = true;
    enum verdict v = find_task(&w, t, &new);
    if (v == VERDICT_DONE)
        v = leave_old(&w, t, &new, &in);
    if (v != VERDICT_DONE)
        return v;
    set_registers(s, &new, &in);
    blank_segments(s, &in);
    v = load_segments(&w);
    if (v == VERDICT_DONE && t->has_code)
        v = push_code(&w, c, new.layout->width, t->code);
    if (v == VERDICT_DONE && (in.trap & 1)) {
        s->dr6 |= DR6_BT;
        *fault = (struct guest_fault){.vector = VECTOR_DB};
        v = VERDICT_FAULT;
    }
    return v;
}
