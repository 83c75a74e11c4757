// SPDX-License-Identifier: Apache-2.0
/*
 * See vmm/insn/access.h. The CPU has checked the operand that made the exit. It has not checked what INS and OUTS name,
 * nor what the later rounds of a string instruction name, nor its other operand.
 */
#include "vmm/insn/access.h"
#include "lib/string.h"
#include "mullion/regs.h"

unsigned access_code_width(const struct vcpu_state *s)
{
    if ((s->efer & EFER_LMA) && (s->seg[SEG_CS].attr & SEG_ATTR_L))
        return 64;
    if (!(s->cr0 & CR0_PE) || (s->rflags & RFLAGS_VM))
        return 16;
    return s->seg[SEG_CS].attr & SEG_ATTR_DB ? 32 : 16;
}

unsigned access_cpl(const struct vcpu_state *s)
{
    if (!(s->cr0 & CR0_PE))
        return 0;
    return s->rflags & RFLAGS_VM ? 3 : s->seg[SEG_SS].attr >> 5 & 3; /* SDM vol. 3, 25.4.1: SS.DPL is the CPL */
}

uint64_t access_to_linear(const struct vcpu_state *s, unsigned seg, uint64_t offset)
{
    if (access_code_width(s) == 64)
        return seg == SEG_FS || seg == SEG_GS ? s->seg[seg].base + offset : offset;
    return (s->seg[seg].base + offset) & 0xffffffffu;
}

/* Of the descriptor's type field (SDM vol. 3, table 3-1). */
#define TYPE_CODE        0x8u
#define TYPE_EXPAND_DOWN 0x4u /* data */
#define TYPE_WRITABLE    0x2u /* data */
#define TYPE_READABLE    0x2u /* code */
#define ATTR_PRESENT     0x80u

/* A segment's type lets it be accessed so. Null and absent ones are not. */
static bool type_permits(const struct segment *g, bool write)
{
    if ((g->attr & SEG_ATTR_UNUSABLE) || !(g->attr & ATTR_PRESENT))
        return false;
    if (g->attr & TYPE_CODE)
        return !write && (g->attr & TYPE_READABLE);
    return !write || (g->attr & TYPE_WRITABLE);
}

/* A limit of 4 GiB - 1 holds nothing back, though the operand may wrap around there. */
static bool within_limit(const struct segment *g, uint64_t offset, unsigned size)
{
    uint64_t last = offset + size - 1;
    if (!(g->attr & TYPE_CODE) && (g->attr & TYPE_EXPAND_DOWN))
        return offset > g->limit && last <= (g->attr & SEG_ATTR_DB ? 0xffffffffu : 0xffffu);
    return last <= g->limit || g->limit == 0xffffffffu;
}

static bool canonical(uint64_t linear)
{
    return (uint64_t)((int64_t)(linear << 16) >> 16) == linear;
}

enum verdict access_address(const struct guest_cpu *c, const struct logical *a, uint64_t *linear,
                            struct guest_fault *fault)
{
    const struct vcpu_state *s = c->state;
    const struct segment *g = &s->seg[a->seg];
    *linear = access_to_linear(s, a->seg, a->offset);
    bool good;
    if (access_code_width(s) == 64)
        good = canonical(*linear) && canonical(*linear + a->size - 1);
    else /* real mode and virtual-8086 mode know limits, but neither types nor null selectors */
        good = within_limit(g, a->offset, a->size) &&
               (!(s->cr0 & CR0_PE) || (s->rflags & RFLAGS_VM) || type_permits(g, a->write));
    if (good)
        return VERDICT_DONE;
    *fault = (struct guest_fault){.vector = a->seg == SEG_SS ? VECTOR_SS : VECTOR_GP, .has_code = true};
    return VERDICT_FAULT;
}

static enum verdict fault_of(const struct walk_result *w, uint64_t linear, struct guest_fault *fault)
{
    switch (w->outcome) {
    case WALK_PAGE_FAULT:
        *fault = (struct guest_fault){
            .vector = VECTOR_PF, .has_code = true, .is_page_fault = true, .code = w->error_code, .address = linear};
        return VERDICT_FAULT;
    case WALK_GENERAL: *fault = (struct guest_fault){.vector = VECTOR_GP, .has_code = true}; return VERDICT_FAULT;
    default: return VERDICT_UNSUPPORTED;
    }
}

/* One part that lies in one page. */
static void move(const struct guest_cpu *c, uint64_t gpa, unsigned size, bool write, uint64_t *value)
{
    const void *p = guest_ptr(c->memory, gpa, size);
    if (p == NULL && (size & (size - 1)) != 0) { /* a part of an access across two pages: no bus has such a width */
        uint64_t all = 0;
        for (unsigned i = 0; i < size; i++) {
            uint64_t byte = *value >> (8 * i) & 0xff;
            move(c, gpa + i, 1, write, &byte);
            all |= (byte & 0xff) << (8 * i);
        }
        if (!write)
            *value = all;
    } else if (p == NULL) {
        c->device(c->context, gpa, size, write, value);
    } else if (write) {
        (void)!guest_store(c->memory, gpa, size, *value); /* it is RAM */
    } else {
        *value = 0;
        memcpy(value, p, size);
    }
}

/* An access touches one page or two: `low` bytes are in the first. */
struct places {
    struct walk_result part[2];
    unsigned low;
};

/* Both pages must be there before anything is done. */
static enum verdict translate(const struct guest_cpu *c, uint64_t linear, unsigned size, bool write,
                              struct places *places, struct guest_fault *fault)
{
    struct walk_result *part = places->part;
    uint32_t how = (write ? ACCESS_WRITE : 0) | (!c->as_system && access_cpl(c->state) == 3 ? ACCESS_USER : 0);
    part[0] = walk(c->memory, c->state, linear, how);
    if (part[0].outcome != WALK_OK)
        return fault_of(&part[0], linear, fault);
    unsigned low = size <= part[0].left ? size : (unsigned)part[0].left;
    places->low = low;
    if (low == size)
        return VERDICT_DONE;
    part[1] = walk(c->memory, c->state, linear + low, how);
    return part[1].outcome == WALK_OK ? VERDICT_DONE : fault_of(&part[1], linear + low, fault);
}

enum verdict access_probe(const struct guest_cpu *c, uint64_t linear, unsigned size, bool write,
                          struct guest_fault *fault)
{
    struct places places;
    return translate(c, linear, size, write, &places, fault);
}

enum verdict access_linear(const struct guest_cpu *c, uint64_t linear, unsigned size, bool write, uint64_t *value,
                           struct guest_fault *fault)
{
    struct places places;
    enum verdict v = translate(c, linear, size, write, &places, fault);
    if (v != VERDICT_DONE)
        return v;
    const struct walk_result *part = places.part;
    unsigned low = places.low;
    uint64_t result = *value;
    move(c, part[0].gpa, low, write, &result);
    if (low < size) {
        uint64_t high = *value >> (8 * low);
        move(c, part[1].gpa, size - low, write, &high);
        result = (result & ((1ull << (8 * low)) - 1)) | high << (8 * low);
    }
    if (!write)
        *value = size == 8 ? result : result & ((1ull << (8 * size)) - 1);
    return VERDICT_DONE;
}

/* Bytes that lie in one page, in the widest parts that are aligned. */
static void move_bytes(const struct guest_cpu *c, uint64_t gpa, unsigned size, bool write, uint8_t *bytes)
{
    while (size > 0) {
        unsigned part = 8;
        while (part > size || (gpa & (part - 1)) != 0)
            part /= 2;
        uint64_t value = 0;
        if (write)
            memcpy(&value, bytes, part);
        move(c, gpa, part, write, &value);
        if (!write)
            memcpy(bytes, &value, part);
        gpa += part;
        bytes += part;
        size -= part;
    }
}

enum verdict access_bytes(const struct guest_cpu *c, uint64_t linear, unsigned size, bool write, uint8_t *bytes,
                          struct guest_fault *fault)
{
    struct places places;
    enum verdict v = translate(c, linear, size, write, &places, fault);
    if (v != VERDICT_DONE)
        return v;
    move_bytes(c, places.part[0].gpa, places.low, write, bytes);
    if (places.low < size)
        move_bytes(c, places.part[1].gpa, size - places.low, write, bytes + places.low);
    return VERDICT_DONE;
}

unsigned access_fetch(const struct guest_cpu *c, uint8_t *bytes, unsigned most)
{
    unsigned width = access_code_width(c->state), have = 0;
    while (have < most) {
        uint64_t offset = c->state->rip + have;
        if (width != 64)
            offset &= 0xffffffffu;
        struct walk_result w = walk(c->memory, c->state, access_to_linear(c->state, SEG_CS, offset), ACCESS_PEEK);
        if (w.outcome != WALK_OK)
            break;
        unsigned n = most - have;
        if (n > w.left)
            n = (unsigned)w.left;
        const void *p = guest_ptr(c->memory, w.gpa, n);
        if (p == NULL)
            break;
        memcpy(bytes + have, p, n);
        have += n;
    }
    return have;
}
