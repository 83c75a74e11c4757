// SPDX-License-Identifier: Apache-2.0
/*
 * See placement.h.
 */
#include "services/root/placement.h"
#include "lib/string.h"

bool free_map_add(struct free_map *m, uint64_t base, uint64_t size)
{
    if (((base | size) & PAGE_MASK) != 0 || base + size < base || m->count == EXTENTS_MAX)
        return false;
    if (size != 0)
        m->extent[m->count++] = (struct extent){base, size};
    return true;
}

bool free_map_take(struct free_map *m, uint64_t base, uint64_t size)
{
    uint64_t end = base + size;
    if (end < base)
        return false;
    for (unsigned i = 0; i < m->count; i++) { /* at most one extent is cut in two */
        struct extent *e = &m->extent[i];
        if (e->base < base && e->base + e->size > end && m->count == EXTENTS_MAX)
            return false;
    }
    for (unsigned i = 0; i < m->count;) {
        struct extent *e = &m->extent[i];
        uint64_t e_end = e->base + e->size;
        if (e_end <= base || e->base >= end) {
            i++;
            continue;
        }
        uint64_t before = base > e->base ? base - e->base : 0;
        uint64_t after = e_end > end ? e_end - end : 0;
        if (before != 0) {
            e->size = before;
            if (after != 0)
                m->extent[m->count++] = (struct extent){end, after};
            i++;
        } else if (after != 0) {
            *e = (struct extent){end, after};
            i++;
        } else {
            *e = m->extent[--m->count];
        }
    }
    return true;
}

bool free_map_give(struct free_map *m, uint64_t base, uint64_t size, uint64_t low, uint64_t high)
{
    uint64_t end = base + size;
    for (unsigned i = 0; i < m->count;) {
        const struct extent *e = &m->extent[i];
        uint64_t e_end = e->base + e->size;
        bool joins = e->base >= low && e_end <= high && (e_end == base || e->base == end);
        if (!joins) {
            i++;
            continue;
        }
        base = min_u64(base, e->base);
        end = max_u64(end, e_end);
        m->extent[i] = m->extent[--m->count];
    }
    return free_map_add(m, base, end - base);
}

uint64_t free_map_total(const struct free_map *m)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < m->count; i++)
        sum += m->extent[i].size;
    return sum;
}

uint64_t place_private(struct free_map *m, uint64_t size)
{
    size = page_up(size);
    const struct extent *best = NULL;
    for (unsigned i = 0; i < m->count; i++) {
        const struct extent *e = &m->extent[i];
        /* Physical page 0 is not given out: 0 means "none" here, and nothing is lost. */
        if (e->base != 0 && e->size >= size && (best == NULL || e->size < best->size))
            best = e;
    }
    if (best == NULL || size == 0)
        return 0;
    /* From the end: an extent's aligned start stays whole. */
    uint64_t base = best->base + best->size - size;
    return free_map_take(m, base, size) ? base : 0;
}

/* The first address in e that is equal to gpa modulo align. */
static uint64_t congruent(const struct extent *e, uint64_t gpa, uint64_t align)
{
    return e->base + ((gpa - e->base) & (align - 1));
}

/* How much of e can be used from its first address that agrees with gpa. */
static uint64_t usable(const struct extent *e, uint64_t gpa, uint64_t align)
{
    uint64_t skip = (gpa - e->base) & (align - 1);
    return skip < e->size ? e->size - skip : 0;
}

uint64_t place_region(struct free_map *m, uint64_t size)
{
    for (uint64_t align = size; align >= min_u64(size, SIZE_2M); align /= 2) {
        const struct extent *best = NULL;
        for (unsigned i = 0; i < m->count; i++) {
            const struct extent *e = &m->extent[i];
            if (congruent(e, 0, align) != 0 && usable(e, 0, align) >= size && (best == NULL || e->size < best->size))
                best = e;
        }
        uint64_t base = best != NULL ? congruent(best, 0, align) : 0;
        if (base != 0 && free_map_take(m, base, size))
            return base;
    }
    return 0;
}

static bool put(struct free_map *m, struct guest_memory *out, uint64_t gpa, uint64_t hpa, uint64_t size)
{
    if (out->count == VMM_PIECES_MAX || !free_map_take(m, hpa, size))
        return false;
    out->piece[out->count++] = (struct piece){gpa, hpa, size};
    return true;
}

/* One run of guest-physical memory, in as few pieces as possible. */
static bool place_run(struct free_map *m, uint64_t gpa, uint64_t size, struct guest_memory *out)
{
    static const uint64_t aligns[] = {SIZE_1G, SIZE_2M, PAGE_SIZE};
    while (size != 0) {
        /* Whole into the smallest extent that takes it at the best alignment... */
        bool done = false;
        for (unsigned a = 0; a < ARRAY_SIZE(aligns) && !done; a++) {
            if (aligns[a] > size)
                continue;
            const struct extent *best = NULL;
            for (unsigned i = 0; i < m->count; i++)
                if (usable(&m->extent[i], gpa, aligns[a]) >= size && (best == NULL || m->extent[i].size < best->size))
                    best = &m->extent[i];
            if (best != NULL) {
                if (!put(m, out, gpa, congruent(best, gpa, aligns[a]), size))
                    return false;
                done = true;
            }
        }
        if (done)
            return true;
        /* ...or the largest part that any extent gives, in whole large pages if possible. */
        const struct extent *best = NULL;
        uint64_t align = 0, most = 0;
        for (unsigned a = 1; a < ARRAY_SIZE(aligns) && most == 0; a++)
            for (unsigned i = 0; i < m->count; i++) {
                uint64_t n = usable(&m->extent[i], gpa, aligns[a]) & ~(aligns[a] - 1);
                if (n > most) {
                    most = n;
                    best = &m->extent[i];
                    align = aligns[a];
                }
            }
        if (best == NULL || !put(m, out, gpa, congruent(best, gpa, align), min_u64(most, size)))
            return false;
        gpa += min_u64(most, size);
        size -= min_u64(most, size);
    }
    return true;
}

bool place_guest(struct free_map *m, uint64_t bytes, struct guest_memory *out)
{
    static struct free_map before; /* large, and root has one thread */
    before = *m;
    out->count = 0;
    bytes = page_up(bytes);
    uint64_t low = min_u64(bytes, GUEST_HOLE_START);
    if (bytes != 0 && place_run(m, 0, low, out) && place_run(m, GUEST_HOLE_END, bytes - low, out))
        return true;
    *m = before;
    out->count = 0;
    return false;
}

/* Tables of one level that [va, +size) touches, when an entry of the level above covers `span` bytes. */
static uint64_t touched(uint64_t va, uint64_t size, uint64_t span)
{
    return size == 0 ? 0 : (va + size - 1) / span - va / span + 1;
}

uint64_t table_pages(uint64_t va, uint64_t pa, uint64_t size)
{
    uint64_t pages = touched(va, size, SIZE_1G * 512) +
                     touched(va, size, SIZE_1G); /* tables of 1 GiB and of 2 MiB entries */
    if (((va ^ pa) & (SIZE_2M - 1)) != 0)
        return pages + touched(va, size, SIZE_2M);
    /* Large pages but for the ragged ends. */
    return pages + ((va & (SIZE_2M - 1)) != 0) + (((va + size) & (SIZE_2M - 1)) != 0);
}
