/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel memory: one contiguous run of physical memory, chosen at boot and mapped whole, from which every kernel object
 * and every table comes; and the quotas that say which domain may use how much of it. Pure: no globals of the CPU, no
 * locks (callers hold the kernel lock).
 */
#ifndef MM_POOL_H
#define MM_POOL_H

#include "mullion/abi.h"
#include "mullion/types.h"

#define POOL_UNIT 64u /* bytes of the smallest object, so that one 64-bit map serves a page */

/* What a payer may use, in bytes: whole pages, of which it holds each alone. All zero but limit_bytes at first; it
 * stays where it is while anything is charged to it. */
struct quota {
    uint64_t limit_bytes;
    uint64_t used_bytes;
    uint32_t partial; /* mm/pool.c's own */
};

/* The pool is [base, base+size), visible at virt. Both 4 KiB aligned. Called once at boot (unit tests: repeatedly). */
void pool_init(hpa_t base, uint64_t size, void *virt);

/* A zeroed object of `size` bytes (1..4096; rounded up to a power of two >= 64, aligned to that), or NULL. Free with
 * the same size. */
void *pool_alloc(struct quota *q, size_t size) must_check;
void pool_free(struct quota *q, void *object, size_t size);

/* A zeroed, 4 KiB aligned page, or NULL when the quota or the pool is used up. */
static inline must_check void *pool_page(struct quota *q)
{
    return pool_alloc(q, PAGE_SIZE);
}
void pool_page_free(struct quota *q, void *page);

/* Between the pool's two views. The argument must lie in the pool; asserted. */
hpa_t pool_hpa(const void *p);
void *pool_ptr(hpa_t a);
bool pool_contains(hpa_t a);

uint64_t pool_pages_total(void);
uint64_t pool_pages_free(void);

/* Moves `bytes` of allowance from one quota to another (all of them together are the pool: none overflows); E_QUOTA if
 * `from` has not that much unused. */
enum error quota_move(struct quota *from, struct quota *to, uint64_t bytes) must_check;

#endif
