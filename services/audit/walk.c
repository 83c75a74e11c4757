// SPDX-License-Identifier: Apache-2.0
/*
 * See walk.h. Host format and NPT: Intel SDM vol. 3, table 4-15 to 4-20; AMD APM vol. 2, 5.3 and 15.25.3 (what a nested
 * walk needs: user at every level). EPT: Intel SDM vol. 3, table 29-1 to 29-6, 29.3.3.1 (misconfigurations).
 */
#include "services/audit/walk.h"
#include "lib/string.h"
#include "mullion/abi.h"

#define BIT(n)     (1ull << (n))
#define FRAME_BITS 0x000ffffffffff000ull
#define LARGE      BIT(7)

/* What an entry allows, by itself; 0: it is not present. */
static uint32_t allows(enum walk_format format, uint64_t e)
{
    if (format == WALK_EPT)
        return (e & BIT(0) ? RIGHT_READ : 0) | (e & BIT(1) ? RIGHT_WRITE : 0) | (e & BIT(2) ? RIGHT_EXEC : 0);
    if ((e & BIT(0)) == 0)
        return 0;
    return RIGHT_READ | (e & BIT(1) ? RIGHT_WRITE : 0) | (e & BIT(63) ? 0 : RIGHT_EXEC) | (e & BIT(2) ? WALK_USER : 0);
}

/* Bits that must be clear: the format's reserved ones as far as they do not depend on the CPU. */
static bool well_formed(enum walk_format format, uint64_t e, unsigned level)
{
    bool leaf = level == 1 || (level < 4 && (e & LARGE) != 0);
    uint64_t low = leaf && level > 1 ? (BIT(12 + 9 * (level - 1)) - 1) & ~(BIT(12) - 1)
                                     : 0; /* of the frame's address */
    if (format != WALK_EPT)
        return (e & (low & ~BIT(12))) == 0 && !(level == 4 && (e & LARGE)); /* bit 12 of a large page is PAT */
    uint64_t type = e >> 3 & 7;
    if ((e & low) != 0 || (e & (BIT(0) | BIT(1))) == BIT(1))
        return false;
    return leaf ? type != 2 && type != 3 && type != 7 : (e & (BIT(3) | BIT(4) | BIT(5) | BIT(6) | LARGE)) == 0;
}

/* In the host's format, and in NPT: PWT, PCD and PAT, all clear, name entry 0 of the PAT, which is write-back. */
static uint32_t type_of(enum walk_format format, uint64_t e, unsigned level)
{
    uint64_t pat = level == 1 ? BIT(7) : BIT(12);
    bool write_back = format == WALK_EPT ? (e >> 3 & 7) == 6 : (e & (BIT(3) | BIT(4) | pat)) == 0;
    return write_back ? 0 : WALK_DEVICE;
}

static void close_run(struct walk *w)
{
    if (w->open.size != 0)
        w->found(w->context, &w->open);
    w->open.size = 0;
}

static void leaf(struct walk *w, uint64_t at, uint64_t frame, uint64_t size, uint32_t rights)
{
    struct walk_run *o = &w->open;
    w->leaves++;
    if (o->size != 0 && at == o->at + o->size && frame == o->frame + o->size && rights == o->rights &&
        !view_in_pool(w->view, frame)) {
        o->size += size;
        return;
    }
    close_run(w);
    *o = (struct walk_run){at, frame, size, rights};
}

static void table(struct walk *w, uint64_t hpa, unsigned level, uint64_t base, uint32_t up)
{
    const struct view *v = w->view;
    uint64_t page = (hpa - v->pool_hpa) >> PAGE_SHIFT;
    if (!view_in_pool(v, hpa) || page >= POOL_PAGES_MAX || (w->met[page / 64] >> page % 64 & 1)) {
        w->strange(w->context, hpa, 0);
        return;
    }
    w->met[page / 64] |= BIT(page % 64);
    w->tables++;
    const uint64_t *entries = (const uint64_t *)(const void *)(v->pool + (page << PAGE_SHIFT));
    unsigned shift = PAGE_SHIFT + 9 * (level - 1);
    unsigned first = level == 4 ? w->first : 0, end = level == 4 ? w->end : 512;
    for (unsigned i = first; i < end; i++) {
        uint64_t e = LOOK(entries[i]);
        uint32_t rights = e != 0 ? allows(w->format, e) : 0;
        if (rights == 0)
            continue;
        uint64_t at = base | (uint64_t)i << shift;
        if (level == 4 && i >= 256 && w->format == WALK_HOST)
            at |= 0xffffull << 48;
        if (!well_formed(w->format, e, level))
            w->strange(w->context, hpa, e);
        else if (level == 1 || (e & LARGE) != 0)
            leaf(w, at, e & FRAME_BITS & ~(BIT(shift) - 1), BIT(shift), (rights & up) | type_of(w->format, e, level));
        else
            table(w, e & FRAME_BITS, level - 1, at, rights & up);
    }
}

void walk_begin(struct walk *w)
{
    memset(w->met, 0, sizeof w->met);
    w->tables = w->leaves = 0;
    w->open.size = 0;
}

void walk_table(struct walk *w, enum walk_format format, uint64_t root, unsigned first, unsigned end)
{
    w->format = format;
    w->first = first;
    w->end = end;
    table(w, root, 4, 0, ~0u);
    close_run(w);
}
