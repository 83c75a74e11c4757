// SPDX-License-Identifier: Apache-2.0
// sources: mm/pool.c
/* The pool: everything zeroed, aligned, disjoint and paid for by whole pages; nothing lost; double frees caught. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "kernel/log.h"
#include "mm/pool.h"

#define POOL_PAGES 300u
#define POOL_BASE  0x7000000ull

static _Alignas(4096) uint8_t arena[POOL_PAGES * 4096];
static jmp_buf on_panic;

void panic(const char *format, ...)
{
    (void)format;
    longjmp(on_panic, 1);
}

#define assert_panics(statement)                  \
    do {                                          \
        if (setjmp(on_panic) == 0) {              \
            statement;                            \
            fail_msg("no panic: %s", #statement); \
        }                                         \
    } while (0)

static int fresh(void **state)
{
    (void)state;
    memset(arena, 0xaa, sizeof(arena)); /* what boot finds is not zero */
    pool_init(hpa(POOL_BASE), sizeof(arena), arena);
    return 0;
}

static void test_views(void **state)
{
    (void)state;
    struct quota q = {.limit_bytes = 1 << 20};
    uint8_t *p = pool_page(&q);
    assert_ptr_equal(pool_ptr(pool_hpa(p + 5)), p + 5);
    assert_int_equal(pool_hpa(p).v - POOL_BASE, p - arena);
    assert_true(pool_contains(hpa(POOL_BASE)));
    assert_true(pool_contains(hpa(POOL_BASE + sizeof(arena) - 1)));
    assert_false(pool_contains(hpa(POOL_BASE + sizeof(arena))));
    assert_false(pool_contains(hpa(POOL_BASE - 1)));
    assert_panics(pool_hpa(arena + sizeof(arena)));
    assert_panics(pool_ptr(hpa(POOL_BASE - 1)));
}

static void test_all_pages_and_back(void **state)
{
    (void)state;
    struct quota q = {.limit_bytes = UINT64_MAX};
    uint64_t total = pool_pages_total();
    static void *pages[POOL_PAGES];
    assert_true(total >= POOL_PAGES - 3 && total < POOL_PAGES);
    for (int round = 0; round < 2; round++) {
        for (uint64_t i = 0; i < total; i++) {
            pages[i] = pool_page(&q);
            assert_non_null(pages[i]);
            memset(pages[i], 0x55, 4096);
        }
        assert_null(pool_page(&q));
        assert_null(pool_alloc(&q, 64));
        assert_int_equal(pool_pages_free(), 0);
        assert_int_equal(q.used_bytes, total * 4096);
        for (uint64_t i = 0; i < total; i++)
            pool_page_free(&q, pages[i]);
        assert_int_equal(pool_pages_free(), total);
        assert_int_equal(q.used_bytes, 0);
    }
}

static void test_quota(void **state)
{
    (void)state;
    struct quota a = {.limit_bytes = 2 * 4096}, b = {.limit_bytes = 0};
    void *page = pool_page(&a), *one = pool_alloc(&a, 65);
    assert_non_null(page);
    assert_non_null(one);
    assert_int_equal(a.used_bytes, 2 * 4096); /* the second page is paid for whole */
    assert_null(pool_page(&a));
    void *two = pool_alloc(&a, 300); /* in the same page, at a multiple of its size */
    assert_ptr_equal(two, (uint8_t *)one + 512);
    assert_int_equal(quota_move(&a, &b, 1), E_QUOTA);
    pool_free(&a, one, 65);
    assert_int_equal(a.used_bytes, 2 * 4096);
    pool_free(&a, two, 300);
    assert_int_equal(a.used_bytes, 4096);
    assert_int_equal(quota_move(&a, &b, 4097), E_QUOTA);
    assert_int_equal(quota_move(&a, &b, 4096), OK);
    assert_int_equal(b.limit_bytes, 4096);
    assert_null(pool_alloc(&a, 1));
    one = pool_alloc(&b, 128);
    assert_non_null(one);
    pool_free(&b, one, 128);
    a.limit_bytes = 0; /* used more than the limit: no wrap */
    assert_null(pool_alloc(&a, 1));
    assert_int_equal(quota_move(&a, &b, 1), E_QUOTA);
    a.limit_bytes = 4096;
    pool_page_free(&a, page);
}

/* A payer that keeps one object of each page, of every size, holds no more pages than its quota says. */
static void test_a_quota_bounds_the_pool(void **state)
{
    (void)state;
    enum { QUOTA_PAGES = 100 };
    struct quota q = {.limit_bytes = QUOTA_PAGES * 4096}, other = {.limit_bytes = UINT64_MAX};
    uint64_t before = pool_pages_free();
    for (size_t size = 64; size <= 2048; size *= 2) {
        static void *o[QUOTA_PAGES * 64 + 1];
        unsigned n = 0;
        while ((o[n] = pool_alloc(&q, size)))
            n++;
        assert_int_equal(before - pool_pages_free(), QUOTA_PAGES);
        void *kept = NULL;
        for (unsigned i = 0; i < n; i++) {
            if (((uintptr_t)o[i] ^ (uintptr_t)kept) >> 12)
                kept = o[i];
            else
                pool_free(&q, o[i], size);
        }
    }
    while (pool_page(&q))
        ;
    assert_int_equal(before - pool_pages_free(), QUOTA_PAGES);
    for (size_t size = 64; size <= 2048; size *= 2) /* what is free in its pages is not another's; all fit into one */
        assert_non_null(pool_alloc(&other, size));
    assert_int_equal(before - pool_pages_free(), QUOTA_PAGES + 1);
    assert_int_equal(other.used_bytes, 4096);
}

static void test_misuse_panics(void **state)
{
    (void)state;
    struct quota q = {.limit_bytes = 1 << 20};
    uint8_t *p = pool_alloc(&q, 100), *keep = pool_alloc(&q, 100);
    assert_panics(pool_free(&q, p, 64));
    assert_panics(pool_free(&q, p, 200));
    assert_panics(pool_free(&q, keep, 200));
    assert_panics(pool_free(&q, p + 64, 64));
    assert_panics(pool_free(&q, p + 64, 100));
    pool_free(&q, p, 100);
    assert_panics(pool_free(&q, p, 100));
    pool_free(&q, keep, 100);
    assert_panics(pool_free(&q, keep, 100));
    assert_panics(pool_free(&q, arena, 4096));                        /* the bookkeeping itself */
    assert_panics(pool_free(&q, arena + sizeof(arena) - 4096, 4096)); /* never handed out */
    assert_panics((void)!pool_alloc(&q, 0));
    assert_panics((void)!pool_alloc(&q, 4097));
    pool_free(&q, NULL, 64);
}

static void test_random(void **state)
{
    (void)state;
    enum { SLOTS = 1500 };
    static struct {
        uint8_t *p;
        size_t size, charge;
        uint8_t fill;
        unsigned payer;
    } slot[SLOTS];
    static uint8_t owner[POOL_PAGES * 64]; /* per 64 bytes of the arena: its payer */
    static unsigned live[POOL_PAGES];      /* objects in the page */
    struct quota q[2] = {{.limit_bytes = 90 * 4096}, {.limit_bytes = UINT64_MAX}};
    uint64_t used[2] = {0, 0};
    unsigned refused = 0;
    srand(1);
    for (int step = 0; step < 300000; step++) {
        unsigned i = (unsigned)rand() % SLOTS;
        if (!slot[i].p) {
            size_t size = rand() % 3 ? 1 + (size_t)rand() % 300 : 1 + (size_t)rand() % 4096, charge = 64;
            while (charge < size)
                charge *= 2;
            unsigned payer = (unsigned)rand() % 2;
            uint8_t *p = pool_alloc(&q[payer], size);
            if (!p) {
                assert_true(used[payer] == q[payer].limit_bytes || pool_pages_free() == 0);
                refused++;
                continue;
            }
            assert_int_equal((uintptr_t)p % charge, 0);
            for (size_t k = 0; k < charge; k++)
                assert_int_equal(p[k], 0);
            uint8_t *mark = owner + (p - arena) / 64;
            for (size_t k = 0; k < charge / 64; k++) {
                assert_int_equal(mark[k], 0);
                mark[k] = (uint8_t)(1 + payer);
            }
            size_t page = (size_t)(p - arena) / 4096;
            for (size_t k = 0; k < 64; k++) /* all that lies there is this payer's */
                assert_in_set(owner[page * 64 + k], ((const uintmax_t[]){0, 1 + payer}), 2);
            if (live[page]++ == 0)
                used[payer] += 4096;
            slot[i].p = p;
            slot[i].size = size;
            slot[i].charge = charge;
            slot[i].payer = payer;
            slot[i].fill = (uint8_t)rand();
            memset(p, slot[i].fill, charge);
        } else {
            for (size_t k = 0; k < slot[i].charge; k++)
                assert_int_equal(slot[i].p[k], slot[i].fill);
            memset(owner + (slot[i].p - arena) / 64, 0, slot[i].charge / 64);
            if (--live[(slot[i].p - arena) / 4096] == 0)
                used[slot[i].payer] -= 4096;
            pool_free(&q[slot[i].payer], slot[i].p, slot[i].size);
            slot[i].p = NULL;
        }
        assert_int_equal(q[0].used_bytes, used[0]);
        assert_int_equal(q[1].used_bytes, used[1]);
    }
    assert_true(refused > 100);
    for (int i = 0; i < SLOTS; i++)
        pool_free(&q[slot[i].payer], slot[i].p, slot[i].p ? slot[i].size : 1);
    assert_int_equal(pool_pages_free(), pool_pages_total()); /* every page came back */
    assert_int_equal(q[0].used_bytes + q[1].used_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_views, fresh),
        cmocka_unit_test_setup(test_all_pages_and_back, fresh),
        cmocka_unit_test_setup(test_quota, fresh),
        cmocka_unit_test_setup(test_misuse_panics, fresh),
        cmocka_unit_test_setup(test_a_quota_bounds_the_pool, fresh),
        cmocka_unit_test_setup(test_random, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
