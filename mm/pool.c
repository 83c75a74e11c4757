// SPDX-License-Identifier: Apache-2.0
/*
 * The kernel's pool of memory. Every byte handed out is zero, and its page is paid for: a page holds objects of one
 * payer, of any sizes, and goes back to the pool when the last of them is freed. So a payer never holds more of the
 * pool than its quota says, whatever it keeps and frees. All bookkeeping lies beside the pages, never in them, so a
 * write through a stale pointer cannot bend the allocator, and a double free is caught. Its cost at boot does not
 * depend on the pool's size: `fresh` only moves up.
 */
#include "mm/pool.h"
#include "kernel/log.h"

#define NO_PAGE 0u /* page 0 holds bookkeeping and is never handed out */
#define ALL     (~0ull)
#define LOOKS   8u /* pages of a payer that are tried before a new one is taken */

struct page_info {
    uint64_t free;  /* bit i is set when unit i is free; all of them: the page has no payer */
    uint64_t first; /* bit i is set when an object begins at unit i */
    uint32_t next,
        previous; /* neighbours in the list that the page is on: its payer's partial ones, or the free ones */
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

/* A page that is on no list, or NO_PAGE. */
static uint32_t take_page(void)
{
    uint32_t page = pool.free_list;
    if (page != NO_PAGE)
        list_unlink(&pool.free_list, page);
    else if (pool.fresh < pool.pages)
        page = pool.fresh++;
    else
        return NO_PAGE;
    pool.free_count--;
    pool.info[page] = (struct page_info){.free = ALL};
    return page;
}

/* Log2 of how many units an object of this size takes: it lies at a multiple of its size. */
static unsigned order_of(size_t size)
{
    kassert(size >= 1 && size <= PAGE_SIZE);
    unsigned order = 0;
    while (POOL_UNIT << order < size)
        order++;
    return order;
}

static uint64_t units_of(unsigned order)
{
    return ALL >> (64u - (1u << order));
}

/* Bit i of the answer: the units from i on, which is a multiple of the object's size, are free. */
static uint64_t places(uint64_t free, unsigned order)
{
    for (unsigned i = 0; i < order; i++)
        free &= free >> (1u << i);
    return free & (ALL / units_of(order));
}

/* One of the payer's pages with room, or NO_PAGE. */
static uint32_t page_with_room(const struct quota *q, unsigned order)
{
    uint32_t page = POOL_UNIT << order < PAGE_SIZE ? q->partial : NO_PAGE; /* no partial page has a whole one */
    for (unsigned i = 0; page != NO_PAGE && !places(pool.info[page].free, order); i++)
        page = i < LOOKS ? pool.info[page].next : NO_PAGE;
    return page;
}

void *pool_alloc(struct quota *q, size_t size)
{
    unsigned order = order_of(size);
    uint32_t page = page_with_room(q, order);
    if (page == NO_PAGE) {
        page = q->used_bytes < q->limit_bytes ? take_page() : NO_PAGE;
        if (page == NO_PAGE)
            return NULL;
        q->used_bytes += PAGE_SIZE;
        list_push(&q->partial, page);
    }
    struct page_info *p = &pool.info[page];
    unsigned unit = (unsigned)__builtin_ctzll(places(p->free, order));
    p->free &= ~(units_of(order) << unit);
    p->first |= 1ull << unit;
    if (p->free == 0)
        list_unlink(&q->partial, page);
    return __builtin_memset(pool.virt + ((uint64_t)page << PAGE_SHIFT) + unit * POOL_UNIT, 0, POOL_UNIT << order);
}

void pool_free(struct quota *q, void *object, size_t size)
{
    if (!object)
        return;
    uint64_t offset = pool_hpa(object).v - pool.base;
    uint32_t page = (uint32_t)(offset >> PAGE_SHIFT);
    struct page_info *p = &pool.info[page];
    unsigned order = order_of(size), unit = (offset & PAGE_MASK) / POOL_UNIT, end = unit + (1u << order);
    uint64_t units = units_of(order) << unit;
    kassert(page >= pool.first && page < pool.fresh && offset % (POOL_UNIT << order) == 0);
    kassert((p->first & units) == 1ull << unit && !(p->free & units)); /* not freed twice */
    kassert(end == 64 || ((p->first | p->free) >> end & 1));           /* the size it was allocated with */
    kassert(q && q->used_bytes >= PAGE_SIZE);
    if (p->free == 0)
        list_push(&q->partial, page);
    p->free |= units;
    p->first &= ~units;
    if (p->free != ALL)
        return;
    list_unlink(&q->partial, page);
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
