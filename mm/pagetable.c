// SPDX-License-Identifier: Apache-2.0
/*
 * The walker of four-level tables, and the three entry formats. A map is surveyed first (overlap, tables that are
 * missing) and only then built, so it either happens whole or changes nothing; new tables are filled before they are
 * linked, so a CPU that walks meanwhile sees the old state or the new one of each page, never anything else. Never
 * frees a table that a CPU may still walk: that is pt_free_step's caller's promise. Recursion is at most four deep.
 */
#include "mm/pagetable.h"
#include "kernel/log.h"

#define ENTRIES          512u /* of a table */
#define ENTRIES_PER_STEP 512u
/* In all three formats: */
#define ENTRY_PRESENT (1ull << 0) /* P; R of EPT, which every entry that we make has */
#define ENTRY_LARGE   (1ull << 7) /* levels 2 and 3: a page. In a 4 KiB entry bit 7 is PAT, or ignored, and stays 0 */
#define ENTRY_ADDRESS 0x000ffffffffff000ull /* bits 51:12; what lies above MAXPHYADDR must be 0 */
#define ADDRESS_END   (1ull << 48)
#define FRAME_END     (1ull << 52)

/* Host format: Intel SDM vol. 3, 4.5.4, figure 4-11; AMD APM vol. 2, 5.3.3 and 5.4.1. */
#define HOST_RW  (1ull << 1)
#define HOST_US  (1ull << 2)
#define HOST_PWT (1ull << 3) /* alone: entry 1 of the PAT, which the kernel makes WC (PAT_HOST) */
#define HOST_PCD (1ull << 4) /* PCD and PWT: entry 3 of the PAT, UC at reset (Intel SDM vol. 3, 12.12.4) */
#define HOST_A   (1ull << 5)
#define HOST_D   (1ull << 6)
#define HOST_G   (1ull << 8)
#define HOST_NX  (1ull << 63) /* needs EFER.NXE, which the kernel always sets */

/* EPT format: Intel SDM vol. 3, 29.3.2, tables 29-1 to 29-6. */
#define EPT_W    (1ull << 1) /* never without R: that is an EPT misconfiguration (29.3.3.1) */
#define EPT_X    (1ull << 2)
#define EPT_WC   (1ull << 3)
#define EPT_WB   (6ull << 3) /* memory type, bits 5:3; 0 is UC */
#define EPT_IPAT (1ull << 6) /* the guest's PAT is ignored: it cannot make an aliased mapping of another type */

/* Tables allow everything; the leaf decides. */
#define HOST_TABLE (ENTRY_PRESENT | HOST_RW | HOST_US | HOST_A)
#define EPT_TABLE  (ENTRY_PRESENT | EPT_W | EPT_X)

/* A and D are set from the start, so the CPU has no reason ever to write into a table. */
static uint64_t host_leaf(hpa_t frame, unsigned level, uint32_t rights)
{
    return frame.v | ENTRY_PRESENT | HOST_A | HOST_D | (level > 1 ? ENTRY_LARGE : 0) |
           (rights & RIGHT_WRITE ? HOST_RW : 0) | (rights & RIGHT_EXEC ? 0 : HOST_NX) |
           (rights & PT_USER ? HOST_US : 0) | (rights & PT_GLOBAL ? HOST_G : 0) |
           (rights & PT_UNCACHED ? HOST_PCD : 0) | (rights & (PT_UNCACHED | PT_COMBINING) ? HOST_PWT : 0);
}

/* Accesses through nested tables count as user accesses (AMD APM vol. 2, 15.25.5): U/S is set everywhere. G means
 * nothing. */
static uint64_t npt_leaf(hpa_t frame, unsigned level, uint32_t rights)
{
    return host_leaf(frame, level, (rights & ~PT_GLOBAL) | PT_USER);
}

static uint64_t ept_type(uint32_t rights)
{
    if (rights & PT_UNCACHED)
        return 0;
    return rights & PT_COMBINING ? EPT_WC : EPT_WB;
}

static uint64_t ept_leaf(hpa_t frame, unsigned level, uint32_t rights)
{
    return frame.v | ENTRY_PRESENT | EPT_IPAT | ept_type(rights) | (level > 1 ? ENTRY_LARGE : 0) |
           (rights & RIGHT_WRITE ? EPT_W : 0) | (rights & RIGHT_EXEC ? EPT_X : 0);
}

struct pt_format pt_host = {3, true, HOST_TABLE, ENTRY_PRESENT | HOST_RW, HOST_NX, host_leaf};
struct pt_format pt_ept = {3, false, EPT_TABLE, ENTRY_PRESENT | EPT_W | EPT_X, 0, ept_leaf};
struct pt_format pt_npt = {3, false, HOST_TABLE, ENTRY_PRESENT | HOST_RW, HOST_NX, npt_leaf};

struct request {
    const struct pt_format *format;
    uint64_t delta; /* frame = address + delta, modulo 2^64 */
    uint32_t rights;
    /* of pt_protect */
    unsigned *left;
    bool *stale;
};

static uint64_t span(unsigned level)
{
    return 1ull << (PAGE_SHIFT + 9 * (level - 1));
}

/* Drops a virtual address's copies of bit 47. Answers where the range must end at the latest; 0: not an address. */
static uint64_t limit_of(const struct pt_format *f, uint64_t *address)
{
    uint64_t end = f->canonical ? ADDRESS_END / 2 : ADDRESS_END;
    if (f->canonical && *address >= 0 - end) {
        *address %= ADDRESS_END;
        end = ADDRESS_END;
    }
    return *address < end ? end : 0;
}

static size_t slot_of(uint64_t a, unsigned level)
{
    return (a / span(level)) % ENTRIES;
}

/* Where the entry that holds `a` ends, or the range, if that comes first. */
static uint64_t next_of(uint64_t a, uint64_t end, unsigned level)
{
    return min_u64(end, (a | (span(level) - 1)) + 1);
}

static bool is_table(uint64_t entry, unsigned level)
{
    return level > 1 && (entry & (ENTRY_PRESENT | ENTRY_LARGE)) == ENTRY_PRESENT;
}

static uint64_t *table_of(uint64_t entry)
{
    return pool_ptr(hpa(entry & ENTRY_ADDRESS));
}

/* The CPU may walk while we write: one store, after everything it leads to. */
static void store(uint64_t *slot, uint64_t entry)
{
    __atomic_store_n(slot, entry, __ATOMIC_RELEASE);
}

static bool fits(const struct request *r, unsigned level, uint64_t a, uint64_t end)
{
    uint64_t mask = span(level) - 1;
    return level <= r->format->max_leaf_level && ((a | (a + r->delta)) & mask) == 0 && end - a > mask;
}

/* What a map may do, and what has become of it. */
struct survey {
    uint64_t tables;  /* that can still be paid */
    uint64_t entries; /* that may still be looked at */
    uint64_t done;    /* bytes */
    enum error error;
};

/* Looks for what is mapped already, and counts the tables that build() will make. table NULL: one of those. Answers
 * where it has stopped: at `end`, after the last entry that it may look at, or at an error. */
static uint64_t survey(struct survey *s, const struct request *r, const uint64_t *table, unsigned level, uint64_t a,
                       uint64_t end)
{
    if (!table && s->tables-- == 0)
        s->error = E_QUOTA;
    for (uint64_t next; a < end && s->entries && s->error == OK; a = next) {
        next = next_of(a, end, level);
        uint64_t entry = table ? table[slot_of(a, level)] : 0;
        if (is_table(entry, level))
            next = survey(s, r, table_of(entry), level - 1, a, next);
        else if (entry & ENTRY_PRESENT)
            s->error = E_OVERLAP;
        else if (fits(r, level, a, next))
            s->entries--;
        else
            next = survey(s, r, NULL, level - 1, a, next);
    }
    return a;
}

/* An empty table that an unmap left stays in use, even where a large page would fit: a CPU may still have it in its
 * caches. */
static void build(struct pagetable *pt, const struct request *r, uint64_t *table, unsigned level, uint64_t a,
                  uint64_t end)
{
    const uint64_t leaf_bits = r->format->leaf(hpa(0), level, r->rights);
    for (uint64_t next; a < end; a = next) {
        next = next_of(a, end, level);
        uint64_t *slot = &table[slot_of(a, level)];
        if (is_table(*slot, level)) {
            build(pt, r, table_of(*slot), level - 1, a, next);
        } else if (fits(r, level, a, next)) {
            store(slot, (a + r->delta) | leaf_bits);
        } else {
            uint64_t *child = pool_page(pt->quota);
            kassert(child); /* pt_map looked: quota and pool have enough */
            build(pt, r, child, level - 1, a, next);
            store(slot, pool_hpa(child).v | r->format->table_bits);
        }
    }
}

enum error pt_create(struct pagetable *pt, const struct pt_format *format, struct quota *q)
{
    *pt = (struct pagetable){.format = format, .root = pool_page(q), .quota = q};
    return pt->root ? OK : E_QUOTA;
}

/* In pages. */
static uint64_t can_pay(const struct quota *q)
{
    return min_u64(pool_pages_free(), (q->limit_bytes - min_u64(q->used_bytes, q->limit_bytes)) / PAGE_SIZE);
}

static enum error map(struct pagetable *pt, uint64_t address, hpa_t frame, uint64_t size, uint32_t rights,
                      struct survey *s)
{
    uint64_t limit = limit_of(pt->format, &address);
    if (((address | frame.v | size) & PAGE_MASK) || size == 0 || limit == 0 || size > limit - address ||
        frame.v >= FRAME_END || size > FRAME_END - frame.v)
        return E_ARG;
    struct request r = {.format = pt->format, .delta = frame.v - address, .rights = rights};
    s->tables = can_pay(pt->quota);
    s->done = survey(s, &r, pt->root, 4, address, address + size) - address;
    if (s->error == OK)
        build(pt, &r, pt->root, 4, address, address + s->done);
    return s->error;
}

enum error pt_map(struct pagetable *pt, uint64_t address, hpa_t frame, uint64_t size, uint32_t rights)
{
    struct survey s = {.entries = UINT64_MAX};
    return map(pt, address, frame, size, rights, &s);
}

enum error pt_map_step(struct pagetable *pt, uint64_t address, hpa_t frame, uint64_t size, uint32_t rights,
                       uint64_t *done)
{
    struct survey s = {.entries = ENTRIES_PER_STEP};
    enum error e = map(pt, address, frame, size, rights, &s);
    *done = s.done;
    return e;
}

/* Tables that must be made so that an entry begins at `a`: below a large page, or below nothing. */
static uint64_t tables_to_cut(const struct pagetable *pt, uint64_t a)
{
    const uint64_t *table = pt->root;
    uint64_t missing = 0;
    for (unsigned level = 4; a & (span(level) - 1); level--) {
        uint64_t entry = table ? table[slot_of(a, level)] : 0;
        table = is_table(entry, level) ? table_of(entry) : NULL;
        missing += table == NULL;
    }
    return missing;
}

/* Puts a table in a large page's place that shows the same; or in an empty slot an empty one. */
static void split(struct pagetable *pt, uint64_t *slot, unsigned level)
{
    uint64_t old = *slot, *child = pool_page(pt->quota);
    kassert(child); /* pt_protect looked */
    for (size_t i = 0; old && i < ENTRIES; i++)
        child[i] = (level > 2 ? old : old & ~ENTRY_LARGE) + i * span(level - 1);
    store(slot, pool_hpa(child).v | pt->format->table_bits);
}

/* Answers where it has stopped: at `end`, or when *left entries have been looked at. */
static uint64_t change_rights(struct pagetable *pt, const struct request *r, uint64_t *table, unsigned level,
                              uint64_t a, uint64_t end)
{
    for (uint64_t next; a < end && *r->left; a = next) {
        next = next_of(a, end, level);
        uint64_t *slot = &table[slot_of(a, level)], old = *slot, first = a & ~(span(level) - 1);
        if (!is_table(old, level)) {
            --*r->left;
            if ((old & ENTRY_PRESENT) && (old & ENTRY_ADDRESS & ~(span(level) - 1)) != first + r->delta)
                continue; /* shared: another's to free */
            if (fits(r, level, a, next)) {
                uint64_t entry = r->rights ? r->format->leaf(hpa(a + r->delta), level, r->rights) : 0;
                bool fewer = (old & ~entry & r->format->grants) || (~old & entry & r->format->denies);
                *r->stale |= (old & ENTRY_PRESENT) && (r->format->canonical ? old != entry : fewer);
                store(slot, entry);
                continue;
            }
            split(pt, slot, level);
        }
        next = change_rights(pt, r, table_of(*slot), level - 1, a, next);
    }
    return min_u64(a, end);
}

enum error pt_protect(struct pagetable *pt, uint64_t address, hpa_t frame, uint64_t size, uint32_t rights,
                      struct pt_change *change)
{
    unsigned left = ENTRIES_PER_STEP;
    struct request r = {pt->format, frame.v - address, rights, &left, &change->stale};
    change->stale = false;
    if (tables_to_cut(pt, address) + tables_to_cut(pt, address + size) > can_pay(pt->quota))
        return E_QUOTA;
    change->done = change_rights(pt, &r, pt->root, 4, address, address + size) - address;
    return OK;
}

/* A page that the range touches goes whole: a step may end in the middle of a large page; nothing stays mapped by
 * mistake. Answers where it has stopped: at `end`, or when *left entries have been looked at. */
static uint64_t clear(uint64_t *table, unsigned level, uint64_t a, uint64_t end, unsigned *left)
{
    for (uint64_t next; a < end && *left; a = next) {
        next = next_of(a, end, level);
        uint64_t *slot = &table[slot_of(a, level)];
        if (is_table(*slot, level)) {
            next = clear(table_of(*slot), level - 1, a, next, left);
        } else {
            --*left;
            store(slot, 0);
        }
    }
    return a;
}

uint64_t pt_unmap_step(struct pagetable *pt, uint64_t address, uint64_t size)
{
    unsigned left = ENTRIES_PER_STEP;
    uint64_t limit = limit_of(pt->format, &address);
    return limit ? clear(pt->root, 4, address, address + min_u64(size, limit - address), &left) - address : size;
}

/* Frees the tables below `table`, children first, while *left lasts. Each leaves an empty slot: the next step goes on
 * there. */
static bool free_below(struct pagetable *pt, uint64_t *table, unsigned level, unsigned *left)
{
    for (size_t i = 0; level > 1 && i < ENTRIES; i++) {
        if (!is_table(table[i], level))
            continue;
        uint64_t *child = table_of(table[i]);
        if (!free_below(pt, child, level - 1, left) || *left == 0)
            return false;
        store(&table[i], 0);
        pool_page_free(pt->quota, child);
        --*left;
    }
    return true;
}

bool pt_free_step(struct pagetable *pt, unsigned shared_from, unsigned max_pages)
{
    if (!pt->root)
        return true;
    for (size_t i = shared_from; i < ENTRIES; i++)
        store(&pt->root[i], 0);
    if (!free_below(pt, pt->root, 4, &max_pages) || max_pages == 0)
        return false;
    pool_page_free(pt->quota, pt->root);
    pt->root = NULL;
    return true;
}
