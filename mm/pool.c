// SPDX-License-Identifier: Apache-2.0
/*
 * The kernel's pool of memory. Every byte handed out is zero, and its page is paid for: a page serves objects of one
 * payer and one size class at a time, and goes back to the pool when the last of them is freed. So a payer never holds
 * more of the pool than its quota says, whatever it keeps and frees. All bookkeeping lies beside the pages, never in
 * them, so a write through a stale pointer cannot bend the allocator, and a double free is caught. Its cost at boot does
 * not depend on the pool's size: `fresh` only moves up.
 */
#include "mm/pool.h"
#include "kernel/log.h"

#define NO_PAGE 0u /* page 0 holds bookkeeping and is never handed out */

struct page_info {
    uint64_t free_map;       /* page of objects: bit i is set when object i is free */
    uint32_t next, previous; /* neighbours in the list that the page is on */
    uint32_t shift;          /* log2 of its objects' size (12: one whole page); 0: the page is free */
};

static struct {
    uint64_t base, size;
    uint8_t *virt;
    struct page_info *info; /* one per page, at the pool's start */
    uint32_t pages, first;  /* all pages; the first one after the bookkeeping */
    uint32_t fresh;         /* pages from here on were never used */
    uint32_t free_count, free_list;
} pool;

static void list_push(uint32_t *head, uint32_t page)
{
    pool.info[page].next = *head;
    pool.info[page].previous = NO_PAGE;
    if (*head != NO_PAGE)
        pool.info[*head].previous = page;
    *head = page;
}

static void list_unlink(uint32_t *head, uint32_t page)
{
    struct page_info *p = &pool.info[page];
    if (p->previous != NO_PAGE)
        pool.info[p->previous].next = p->next;
    else
        *head = p->next;
    if (p->next != NO_PAGE)
        pool.info[p->next].previous = p->previous;
}

void pool_init(hpa_t base, uint64_t size, void *virt)
{
    kassert(((base.v | size | (uintptr_t)virt) & PAGE_MASK) == 0 && size >> PAGE_SHIFT < UINT32_MAX);
    __builtin_memset(&pool, 0, sizeof(pool));
    pool.base = base.v;
    pool.size = size;
    pool.virt = virt;
    pool.info = virt;
    pool.pages = (uint32_t)(size >> PAGE_SHIFT);
    pool.first = (uint32_t)(page_up(pool.pages * sizeof(struct page_info)) >> PAGE_SHIFT);
    pool.fresh = pool.first;
    pool.free_count = pool.pages - pool.first;
}

static uint64_t map_of_all(unsigned shift)
{
    return ~0ull >> (64u - (PAGE_SIZE >> shift)); /* PAGE_SIZE >> shift is 1..64 */
}

/* A page for objects of 1 << shift bytes, none of them in use, or NO_PAGE. */
static uint32_t take_page(unsigned shift)
{
    uint32_t page = pool.free_list;
    if (page != NO_PAGE)
        list_unlink(&pool.free_list, page);
    else if (pool.fresh < pool.pages)
        page = pool.fresh++;
    else
        return NO_PAGE;
    pool.free_count--;
    pool.info[page].shift = shift;
    pool.info[page].free_map = map_of_all(shift);
    return page;
}

static unsigned shift_of(size_t size)
{
    kassert(size >= 1 && size <= PAGE_SIZE);
    unsigned shift = POOL_SHIFT_MIN;
    while ((1ull << shift) < size)
        shift++;
    return shift;
}

/* The payer's pages of that class with both used and free objects. */
static uint32_t *partial(struct quota *q, unsigned shift)
{
    return &q->partial[shift - POOL_SHIFT_MIN];
}

void *pool_alloc(struct quota *q, size_t size)
{
    unsigned shift = shift_of(size);
    kassert(q);
    uint32_t page = shift < PAGE_SHIFT ? *partial(q, shift) : NO_PAGE;
    if (page == NO_PAGE) {
        page = q->used_bytes < q->limit_bytes ? take_page(shift) : NO_PAGE;
        if (page == NO_PAGE)
            return NULL;
        q->used_bytes += PAGE_SIZE;
        if (shift < PAGE_SHIFT)
            list_push(partial(q, shift), page);
    }
    struct page_info *p = &pool.info[page];
    unsigned index = (unsigned)__builtin_ctzll(p->free_map);
    p->free_map &= p->free_map - 1;
    if (p->free_map == 0 && shift < PAGE_SHIFT)
        list_unlink(partial(q, shift), page);
    return __builtin_memset(pool.virt + ((uint64_t)page << PAGE_SHIFT) + ((uint64_t)index << shift), 0, 1ull << shift);
}

void pool_free(struct quota *q, void *object, size_t size)
{
    if (!object)
        return;
    unsigned shift = shift_of(size);
    uint64_t offset = pool_hpa(object).v - pool.base;
    uint32_t page = (uint32_t)(offset >> PAGE_SHIFT);
    struct page_info *p = &pool.info[page];
    uint64_t bit = 1ull << ((offset & PAGE_MASK) >> shift);
    kassert(page >= pool.first && page < pool.fresh && p->shift == shift);  /* the size it was allocated with */
    kassert((offset & ((1ull << shift) - 1)) == 0 && !(p->free_map & bit)); /* not freed twice */
    kassert(q && q->used_bytes >= PAGE_SIZE);
    if (p->free_map == 0 && shift < PAGE_SHIFT)
        list_push(partial(q, shift), page);
    p->free_map |= bit;
    if (p->free_map != map_of_all(shift))
        return;
    if (shift < PAGE_SHIFT)
        list_unlink(partial(q, shift), page);
    p->shift = 0;
    list_push(&pool.free_list, page);
    pool.free_count++;
    q->used_bytes -= PAGE_SIZE;
}

void pool_page_free(struct quota *q, void *page)
{
    pool_free(q, page, PAGE_SIZE);
}

hpa_t pool_hpa(const void *p)
{
    uint64_t offset = (uint64_t)(uintptr_t)p - (uint64_t)(uintptr_t)pool.virt;
    kassert(offset < pool.size);
    return hpa(pool.base + offset);
}

void *pool_ptr(hpa_t a)
{
    kassert(pool_contains(a));
    return pool.virt + (a.v - pool.base);
}

bool pool_contains(hpa_t a)
{
    return a.v - pool.base < pool.size;
}

uint64_t pool_pages_total(void)
{
    return pool.pages - pool.first;
}

uint64_t pool_pages_free(void)
{
    return pool.free_count;
}

enum error quota_move(struct quota *from, struct quota *to, uint64_t bytes)
{
    if (from->used_bytes > from->limit_bytes || from->limit_bytes - from->used_bytes < bytes)
        return E_QUOTA;
    from->limit_bytes -= bytes;
    to->limit_bytes += bytes;
    return OK;
}
