// SPDX-License-Identifier: Apache-2.0
/*
 * See vmm/insn/walk.h. One loop serves all modes: they differ in the number of levels, the width of an index and of an
 * entry.
 */
#include "vmm/insn/walk.h"
#include <stddef.h>
#include "mullion/regs.h"

#define PTE_PRESENT  (1ull << 0)
#define PTE_WRITE    (1ull << 1)
#define PTE_USER     (1ull << 2)
#define PTE_ACCESSED (1ull << 5)
#define PTE_DIRTY    (1ull << 6)
#define PTE_LARGE    (1ull << 7)
#define PTE_NX       (1ull << 63)
#define PTE_FRAME    0x000ffffffffff000ull

struct mode {
    unsigned levels, index_bits, entry_bytes;
    unsigned large_levels; /* bit n: an entry of level n may map a page */
};

bool walk_long_mode(const struct vcpu_state *s)
{
    return (s->efer & EFER_LMA) != 0;
}

static struct mode mode_of(const struct vcpu_state *s)
{
    if (walk_long_mode(s))
        return (struct mode){4, 9, 8, 1u << 2 | 1u << 3};
    if (s->cr4 & CR4_PAE)
        return (struct mode){3, 9, 8, 1u << 2};
    return (struct mode){2, 10, 4, s->cr4 & CR4_PSE ? 1u << 2 : 0};
}

/* Other vCPUs may be changing the entry: one atomic load. False: not in RAM. */
static bool entry_load(const struct guest_memory *m, uint64_t gpa, unsigned bytes, uint64_t *value)
{
    const void *p = guest_ptr(m, gpa, bytes);
    if (p == NULL)
        return false;
    *value = bytes == 8 ? __atomic_load_n((const uint64_t *)p, __ATOMIC_RELAXED)
                        : __atomic_load_n((const uint32_t *)p, __ATOMIC_RELAXED);
    return true;
}

static struct walk_result page_fault(uint32_t access, bool present, const struct vcpu_state *s)
{
    uint32_t code = (access & (ACCESS_WRITE | ACCESS_USER)) | (present ? 1u : 0);
    /* The fetch bit is reported only where the CPU can tell fetches apart (SDM vol. 3, 4.7). */
    if ((access & ACCESS_FETCH) && ((s->efer & EFER_NXE) || (s->cr4 & CR4_SMEP)))
        code |= ACCESS_FETCH;
    return (struct walk_result){.outcome = WALK_PAGE_FAULT, .error_code = code};
}

/* SDM vol. 3, 4.6.1. `all`: the AND of the entries' rights, `nx`: the OR of their execute-disables. */
static bool permitted(const struct vcpu_state *s, uint32_t access, uint64_t all, bool nx)
{
    bool user_page = (all & PTE_USER) != 0;
    bool nx_in_force = (s->efer & EFER_NXE) && nx;
    if (access & ACCESS_USER)
        return user_page && !((access & ACCESS_WRITE) && !(all & PTE_WRITE)) &&
               !((access & ACCESS_FETCH) && nx_in_force);
    if (access & ACCESS_FETCH)
        return !nx_in_force && !(user_page && (s->cr4 & CR4_SMEP));
    if (user_page && (s->cr4 & CR4_SMAP) && !(s->rflags & RFLAGS_AC))
        return false;
    return !(access & ACCESS_WRITE) || (all & PTE_WRITE) || !(s->cr0 & CR0_WP);
}

static struct walk_result found(uint64_t gpa)
{
    return (struct walk_result){.outcome = WALK_OK, .gpa = gpa, .left = 4096 - (gpa & 4095)};
}

/* For looking only, in long mode: *entry names a table; it becomes that table's entry at `offset`. */
static inline enum walk_outcome peek_entry(const struct guest_memory *m, uint64_t *entry, uint64_t offset)
{
    const uint8_t *table = guest_page(m, *entry & PTE_FRAME);
    if (unlikely(table == NULL))
        return WALK_BROKEN;
    *entry = __atomic_load_n((const uint64_t *)(table + offset), __ATOMIC_RELAXED);
    return likely(*entry & PTE_PRESENT) ? WALK_OK : WALK_PAGE_FAULT;
}

/* `linear` is canonical. */
static inline __attribute__((always_inline)) enum walk_outcome peek_long(const struct guest_memory *m, uint64_t cr3,
                                                                         uint64_t linear, uint64_t *gpa)
{
    uint64_t entry = cr3, inside;
    enum walk_outcome o = peek_entry(m, &entry, linear >> 36 & 0xff8);
    if (o == WALK_OK)
        o = peek_entry(m, &entry, linear >> 27 & 0xff8);
    inside = (1ull << 30) - 1;
    if (o == WALK_OK && likely(!(entry & PTE_LARGE))) {
        o = peek_entry(m, &entry, linear >> 18 & 0xff8);
        inside = (1ull << 21) - 1;
        if (o == WALK_OK && !(entry & PTE_LARGE)) {
            o = peek_entry(m, &entry, linear >> 9 & 0xff8);
            inside = (1ull << 12) - 1;
        }
    }
    *gpa = (entry & PTE_FRAME & ~inside) | (linear & inside);
    return o;
}

const uint8_t *walk_code64(const struct guest_memory *m, const struct vcpu_state *s)
{
    uint64_t gpa;
    if (unlikely(peek_long(m, s->cr3, s->rip, &gpa) != WALK_OK))
        return NULL;
    const uint8_t *page = guest_page(m, gpa & ~0xfffull);
    return page == NULL ? NULL : page + (gpa & 0xfff);
}

/* An entry that the walk went through, outermost first. */
struct step {
    uint64_t at, value;
    bool markable;
};

/* Sets the accessed bits of these entries, and the last one's dirty bit if it is written there: in entries that are
 * still what the walk saw, as the CPU does (SDM vol. 3, 4.8). False: one has changed meanwhile, so the answer may be
 * wrong. */
static bool mark(const struct guest_memory *m, const struct step *steps, unsigned count, unsigned bytes, bool write)
{
    for (unsigned i = 0; i < count; i++) {
        uint64_t bits = PTE_ACCESSED | (write && i == count - 1 ? PTE_DIRTY : 0), value = steps[i].value;
        if (steps[i].markable && (value & bits) != bits && !guest_replace(m, steps[i].at, bytes, value, value | bits))
            return false;
    }
    return true;
}

/* `linear` is as wide as the mode has it; paging is on. WALK_CHANGED: to be done anew. */
static struct walk_result walk_tables(const struct guest_memory *m, const struct vcpu_state *s, uint64_t linear,
                                      uint32_t access)
{
    const struct mode mode = mode_of(s);
    bool pae = mode.levels == 3;
    uint64_t base = mode.entry_bytes == 4 ? 0xfffff000u : PTE_FRAME; /* CR3's bits that are an address */
    uint64_t table = s->cr3 & (pae ? 0xffffffe0u : base);
    uint64_t all = PTE_WRITE | PTE_USER;
    bool nx = false;
    struct step seen[4];
    unsigned count = 0;

    for (unsigned level = mode.levels; level >= 1; level--) {
        unsigned shift = 12 + (level - 1) * mode.index_bits;
        uint64_t index = linear >> shift & ((1u << mode.index_bits) - 1);
        uint64_t entry = 0;
        struct step *step = &seen[count++];
        step->at = table + index * mode.entry_bytes;
        if (!entry_load(m, step->at, mode.entry_bytes, &entry))
            return (struct walk_result){.outcome = WALK_BROKEN};
        if (!(entry & PTE_PRESENT))
            return page_fault(access, false, s);
        /* PAE's page-directory-pointer entries have neither rights nor an accessed bit (SDM vol. 3, table 4-8). */
        step->value = entry;
        step->markable = !(pae && level == 3);
        if (step->markable) {
            all &= entry;
            nx |= mode.entry_bytes == 8 && (entry & PTE_NX);
        }
        bool leaf = level == 1 || ((mode.large_levels >> level & 1) && (entry & PTE_LARGE));
        if (!leaf) {
            table = entry & (mode.entry_bytes == 4 ? 0xfffff000u : PTE_FRAME);
            continue;
        }
        if (!(access & ACCESS_PEEK)) {
            if (!permitted(s, access, all, nx))
                return page_fault(access, true, s);
            if (!mark(m, seen, count, mode.entry_bytes, (access & ACCESS_WRITE) != 0))
                return (struct walk_result){.outcome = WALK_CHANGED};
        }
        uint64_t inside = (1ull << shift) - 1;
        uint64_t frame = entry & PTE_FRAME & ~inside;
        if (mode.entry_bytes == 4) {
            frame = entry & 0xfffff000u & ~inside;
            if (level == 2) /* PSE-36: bits 39:32 stand in 20:13 (SDM vol. 3, table 4-4) */
                frame |= (entry >> 13 & 0xff) << 32;
        }
        return found(frame | (linear & inside));
    }
    return (struct walk_result){.outcome = WALK_BROKEN}; /* not reached: level 1 is always a leaf */
}

struct walk_result walk(const struct guest_memory *m, const struct vcpu_state *s, uint64_t linear, uint32_t access)
{
    if (walk_long_mode(s)) {
        if ((uint64_t)((int64_t)(linear << 16) >> 16) != linear)
            return (struct walk_result){.outcome = WALK_GENERAL};
        if ((access & ACCESS_PEEK) && (s->cr0 & CR0_PG)) {
            uint64_t gpa;
            enum walk_outcome o = peek_long(m, s->cr3, linear, &gpa);
            if (o == WALK_PAGE_FAULT)
                return page_fault(access, false, s);
            return o == WALK_OK ? found(gpa) : (struct walk_result){.outcome = o};
        }
    } else {
        linear &= 0xffffffffu;
    }
    if (!(s->cr0 & CR0_PG))
        return found(linear);

    struct walk_result w;
    do { /* as often as another vCPU changes an entry between look and mark */
        w = walk_tables(m, s, linear, access);
    } while (w.outcome == WALK_CHANGED);
    return w;
}
