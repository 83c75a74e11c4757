/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the checker sees of ring 0: the pool and a few pages, read only, changing under its eyes. An address found there
 * is believed only after it was turned into one of ours here, so the checker cannot be led outside whatever it reads.
 * Pure.
 */
#ifndef AUDIT_VIEW_H
#define AUDIT_VIEW_H

#include "kernel/audit_view.h"
#include "mullion/types.h"

struct view {
    const uint8_t *pool; /* here */
    uint64_t pool_hpa, pool_size;
    uint64_t pool_va;               /* the pool's address in ring 0 */
    const struct audit_view *shown; /* here: the start of [shown_hpa, +shown_size) */
    uint64_t shown_hpa, shown_size;
};

/* One read: what was looked at is what is used. */
#define LOOK(field) (*(const volatile __typeof__(field) *)&(field))

/* `size` bytes behind a pointer of ring 0's into the pool, or NULL: they are not all there, or not aligned. */
static inline const void *view_object(const struct view *v, const volatile void *ring0, size_t size)
{
    uint64_t at = (uint64_t)(uintptr_t)ring0 - v->pool_va;
    return at < v->pool_size && size <= v->pool_size - at && (at & 7) == 0 ? v->pool + at : NULL;
}

static inline bool view_in_pool(const struct view *v, uint64_t hpa)
{
    return hpa - v->pool_hpa < v->pool_size;
}

/* `size` bytes of whole pages at a physical address, of what ring 0 has shown: in the pool, or its other pages. NULL:
 * they are not all there, or begin inside a page. */
static inline const void *view_physical(const struct view *v, uint64_t hpa, size_t size)
{
    if ((hpa & PAGE_MASK) != 0)
        return NULL;
    if (hpa - v->shown_hpa < v->shown_size)
        return size <= v->shown_size - (hpa - v->shown_hpa) ? (const uint8_t *)v->shown + (hpa - v->shown_hpa) : NULL;
    return view_in_pool(v, hpa) && size <= v->pool_size - (hpa - v->pool_hpa) ? v->pool + (hpa - v->pool_hpa) : NULL;
}

#endif
