// SPDX-License-Identifier: Apache-2.0
// sources: services/audit/walk.c mm/pool.c mm/pagetable.c lib/string.c
/*
 * The checker's walker: against tables that the kernel's own code made, whose mappings the test remembers page by page;
 * and against tables made by hand, for what the kernel never makes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "count_tables.h"
#include "mm/pagetable.h"
#include "pt_lookup.h"
#include "services/audit/walk.h"

#define POOL_BASE 0x1000000ull
#define POOL_SIZE (4ull << 20)
#define RUNS_MAX  4096

static uint8_t *pool;
static struct quota quota;
static struct view view;
static struct walk w;
static struct walk_run run[RUNS_MAX];
static unsigned runs, stranges;
static uint64_t strange_entry;

static void found(void *context, const struct walk_run *r)
{
    assert_ptr_equal(context, &w);
    assert_true(runs < RUNS_MAX);
    run[runs++] = *r;
}

static void strange(void *context, uint64_t table, uint64_t entry)
{
    (void)context, (void)table;
    strange_entry = entry;
    stranges++;
}

static int setup(void **state)
{
    (void)state;
    if (!pool)
        pool = aligned_alloc(PAGE_SIZE, POOL_SIZE);
    pool_init(hpa(POOL_BASE), POOL_SIZE, pool);
    quota = (struct quota){.limit_bytes = POOL_SIZE};
    view = (struct view){
        .pool = pool, .pool_hpa = POOL_BASE, .pool_size = POOL_SIZE, .pool_va = (uint64_t)(uintptr_t)pool};
    w = (struct walk){.view = &view, .found = found, .strange = strange, .context = &w};
    return 0;
}

static void go(enum walk_format format, uint64_t root, unsigned first, unsigned end)
{
    runs = stranges = 0;
    walk_begin(&w);
    walk_table(&w, format, root, first, end);
    for (unsigned i = 1; i < runs; i++)
        assert_true(run[i].at >= run[i - 1].at + run[i - 1].size);
}

/* What the walk says of an address: its frame's address and rights. */
static bool says(uint64_t at, uint64_t *frame, uint32_t *rights)
{
    for (unsigned i = 0; i < runs; i++)
        if (at >= run[i].at && at - run[i].at < run[i].size) {
            *frame = run[i].frame + (at - run[i].at);
            *rights = run[i].rights;
            return true;
        }
    return false;
}

/* Random mappings, made and unmade; then every page of each is where it should be, and the sum of the runs is the sum
 * of the mappings. */
static void random_tables(struct pt_format *kernel, enum walk_format format, uint32_t fixed)
{
    struct {
        uint64_t at, frame, size;
        uint32_t rights;
    } m[64];
    srand(5);
    for (int round = 0; round < 60; round++) {
        void *state = NULL;
        setup(&state);
        struct pagetable pt;
        assert_int_equal(pt_create(&pt, kernel, &quota), OK);
        unsigned count = 0;
        uint64_t sum = 0;
        while (count < 12) {
            static const uint64_t unit[] = {PAGE_SIZE, SIZE_2M, SIZE_1G};
            unsigned u = (unsigned)rand() % 3;
            uint64_t size = unit[u] * (1 + (uint64_t)rand() % 5) +
                            (rand() % 3 ? 0 : PAGE_SIZE * ((uint64_t)rand() % 8));
            uint64_t at = ((uint64_t)rand() % 1000 * SIZE_1G + (uint64_t)rand() % 512 * unit[u < 2 ? u : 1]) &
                          ((1ull << 46) - 1);
            uint64_t frame = ((uint64_t)rand() << 21 & ((1ull << 40) - 1)) + (at & (SIZE_1G - 1)) +
                             (rand() % 2 ? 0 : PAGE_SIZE) + SIZE_1G;
            uint32_t rights = RIGHT_READ | (rand() % 2 ? RIGHT_WRITE : 0) | (rand() % 2 ? RIGHT_EXEC : 0);
            if (size > 8 * SIZE_2M && ((at ^ frame) & (SIZE_2M - 1)))
                continue; /* too many tables for this pool */
            if (pt_map(&pt, at, hpa(frame), size, rights | (format == WALK_HOST ? PT_USER : 0)) != OK)
                continue;
            m[count].at = at;
            m[count].frame = frame;
            m[count].size = size;
            m[count++].rights = rights | fixed;
        }
        for (unsigned i = 0; i < 4; i++) /* some go again, and leave empty tables */
            pt_unmap_all(&pt, m[i].at, m[i].size);
        go(format, pool_hpa(pt.root).v, 0, 256);
        assert_int_equal(stranges, 0);
        assert_int_equal(w.tables, count_tables(&pt, 256));
        for (unsigned i = 0; i < count; i++) {
            for (uint64_t k = 0; k<m[i].size; k += m[i].size> SIZE_2M ? SIZE_2M / 2 : PAGE_SIZE) {
                uint64_t frame;
                uint32_t rights;
                bool there = says(m[i].at + k, &frame, &rights);
                assert_int_equal(there, i >= 4);
                if (there) {
                    assert_int_equal(frame, m[i].frame + k);
                    assert_int_equal(rights, m[i].rights);
                }
            }
            sum += i >= 4 ? m[i].size : 0;
        }
        for (unsigned i = 0; i < runs; i++)
            sum -= run[i].size;
        assert_int_equal(sum, 0);
    }
}

static void test_random_host(void **state)
{
    (void)state;
    random_tables(&pt_host, WALK_HOST, WALK_USER);
}
static void test_random_npt(void **state)
{
    (void)state;
    random_tables(&pt_npt, WALK_NPT, WALK_USER);
}
static void test_random_ept(void **state)
{
    (void)state;
    random_tables(&pt_ept, WALK_EPT, 0);
}

/* ---- by hand */

static uint64_t *page(void)
{
    return pool_page(&quota);
}
static uint64_t at(const uint64_t *table)
{
    return pool_hpa(table).v;
}

/* A chain of four tables with these entries' bits, and a leaf. */
static uint64_t chain(uint64_t b4, uint64_t b3, uint64_t b2, uint64_t leaf)
{
    uint64_t *t4 = page(), *t3 = page(), *t2 = page(), *t1 = page();
    t4[0] = at(t3) | b4;
    t3[0] = at(t2) | b3;
    t2[0] = at(t1) | b2;
    t1[5] = leaf;
    return at(t4);
}

#define NX (1ull << 63)

/* An address may be used with the rights that all levels give. */
static void test_rights_of_all_levels(void **state)
{
    (void)state;
    go(WALK_HOST, chain(7, 7, 7, 0x9000 | 7), 0, 512);
    assert_int_equal(runs, 1);
    assert_int_equal(run[0].at, 5 * PAGE_SIZE);
    assert_int_equal(run[0].frame, 0x9000);
    assert_int_equal(run[0].rights, RIGHT_READ | RIGHT_WRITE | RIGHT_EXEC | WALK_USER);
    go(WALK_HOST, chain(5, 7, 7, 0x9000 | 7), 0, 512);
    assert_int_equal(run[0].rights, RIGHT_READ | RIGHT_EXEC | WALK_USER);
    go(WALK_HOST, chain(7, 7 | NX, 7, 0x9000 | 7), 0, 512);
    assert_int_equal(run[0].rights, RIGHT_READ | RIGHT_WRITE | WALK_USER);
    go(WALK_HOST, chain(7, 7, 3, 0x9000 | 7), 0, 512);
    assert_int_equal(run[0].rights, RIGHT_READ | RIGHT_WRITE | RIGHT_EXEC);
    go(WALK_HOST, chain(7, 6, 7, 0x9000 | 7), 0, 512);
    assert_int_equal(runs, 0);
    go(WALK_EPT, chain(7, 5, 7, 0x9000 | 0x37), 0, 512);
    assert_int_equal(run[0].rights, RIGHT_READ | RIGHT_EXEC);
    /* How a leaf is cached. */
    for (uint64_t type = 0; type < 8; type++) {
        go(WALK_HOST, chain(7, 7, 7, 0x9000 | 7 | (type & 3) << 3 | (type & 4) << 5), 0, 512);
        assert_int_equal(run[0].rights & WALK_DEVICE, type == 0 ? 0 : WALK_DEVICE);
    }
    go(WALK_EPT, chain(7, 7, 7, 0x9000 | 0x07), 0, 512);
    assert_int_equal(run[0].rights, RIGHT_READ | RIGHT_WRITE | RIGHT_EXEC | WALK_DEVICE);
    go(WALK_EPT, chain(7, 0, 7, 0x9000 | 0x37), 0, 512);
    assert_int_equal(runs, 0);
}

static void test_high_half_and_slots(void **state)
{
    (void)state;
    uint64_t root = chain(7, 7, 7, 0x9000 | 7), *top = pool_ptr(hpa(root)), entry = top[0];
    top[0] = 0;
    top[511] = entry;
    go(WALK_HOST, root, 0, 512);
    assert_int_equal(run[0].at, 0xffffff8000005000ull);
    go(WALK_EPT, root, 0, 512);
    assert_int_equal(stranges, 0);
    assert_int_equal(run[0].at, 0xff8000005000ull); /* guest-physical addresses have no sign */
    go(WALK_HOST, root, 0, 256);
    assert_int_equal(runs, 0);
}

static void strange_is(enum walk_format format, uint64_t root, uint64_t entry)
{
    go(format, root, 0, 512);
    assert_int_equal(stranges, 1);
    assert_int_equal(strange_entry, entry);
    assert_int_equal(runs, 0);
}

static void test_strange(void **state)
{
    (void)state;
    uint64_t *top = page();
    strange_is(WALK_HOST, 0x123000, 0); /* the root is not in the pool */
    top[0] = 0x5000 | 7;
    strange_is(WALK_HOST, at(top), 0); /* nor is this table */
    top[0] = at(top) | 7;
    strange_is(WALK_HOST, at(top), 0); /* a table that leads to itself */
    top[0] = (POOL_BASE + POOL_SIZE) | 7;
    strange_is(WALK_EPT, at(top), 0);
    strange_is(WALK_EPT, chain(7, 7, 7, 0x9000 | 0x32), 0x9000 | 0x32); /* write without read */
    strange_is(WALK_EPT, chain(7, 7, 7, 0x9000 | 0x17), 0x9000 | 0x17); /* memory type 2 */
    top[0] = at(page()) | 0x87;
    strange_is(WALK_HOST, at(top), top[0]); /* no page is that large */
    strange_is(WALK_EPT, at(top), top[0]);
    uint64_t *directory = page();
    top[0] = at(directory) | 7;
    directory[3] = 0x40201087ull; /* 1 GiB at an odd address, and PAT */
    strange_is(WALK_HOST, at(top), directory[3]);
    directory[3] = 0x40000000ull | 0x1087; /* PAT alone is right */
    go(WALK_HOST, at(top), 0, 512);
    assert_int_equal(runs, 1);
    assert_int_equal(run[0].frame, 0x40000000);
    assert_int_equal(run[0].size, SIZE_1G);
}

/* A table in two trees is met twice. */
static void test_shared_table(void **state)
{
    (void)state;
    uint64_t root = chain(7, 7, 7, 0x9000 | 7), *top = pool_ptr(hpa(root)), *second = page();
    second[7] = top[0];
    go(WALK_NPT, root, 0, 512);
    assert_int_equal(stranges, 0);
    walk_table(&w, WALK_NPT, at(second), 0, 512);
    assert_int_equal(stranges, 1);
    assert_int_equal(w.tables, 5);
}

/* Runs join what follows, but never frames of the pool. */
static void test_runs(void **state)
{
    (void)state;
    uint64_t root = chain(7, 7, 7, 0x9000 | 7);
    uint64_t *t = pool_ptr(hpa(root));
    for (int level = 4; level > 1; level--)
        t = pool_ptr(hpa(t[0] & ~0xfffull));
    t[6] = 0xa000 | 7;
    t[7] = 0xc000 | 7;
    t[8] = 0xd000 | 5;
    t[9] = POOL_BASE | 7;
    t[10] = (POOL_BASE + PAGE_SIZE) | 7;
    go(WALK_HOST, root, 0, 512);
    assert_int_equal(runs, 5);
    assert_int_equal(run[0].size, 2 * PAGE_SIZE);
    assert_int_equal(run[3].size, PAGE_SIZE);
    assert_int_equal(w.leaves, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_random_host, setup),
        cmocka_unit_test_setup(test_random_npt, setup),
        cmocka_unit_test_setup(test_random_ept, setup),
        cmocka_unit_test_setup(test_rights_of_all_levels, setup),
        cmocka_unit_test_setup(test_high_half_and_slots, setup),
        cmocka_unit_test_setup(test_strange, setup),
        cmocka_unit_test_setup(test_shared_table, setup),
        cmocka_unit_test_setup(test_runs, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
