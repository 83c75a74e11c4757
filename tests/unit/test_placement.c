// SPDX-License-Identifier: Apache-2.0
// sources: services/root/placement.c lib/string.c
/* Placement: no frame twice, large pages wherever they can be, the layout's hole, and nothing changed when it does not
 * fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "services/root/placement.h"

#define M (1ull << 20)
#define G (1ull << 30)

static struct free_map map;
static struct guest_memory out;

static void fresh(void)
{
    map.count = 0;
}

static uint64_t sum(void)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < out.count; i++)
        n += out.piece[i].size;
    return n;
}

static void test_take(void **state)
{
    (void)state;
    fresh();
    assert_true(free_map_add(&map, 1 * M, 10 * M));
    assert_false(free_map_add(&map, 1, 4096));
    assert_false(free_map_add(&map, 4096, 1));
    assert_false(free_map_add(&map, ~4095ull, 8192));
    assert_true(free_map_take(&map, 3 * M, M));
    assert_int_equal(free_map_total(&map), 9 * M);
    assert_int_equal(map.count, 2);
    assert_true(free_map_take(&map, 0, 100 * M));
    assert_int_equal(map.count, 0);
    assert_false(free_map_take(&map, ~0ull - 10, 100));
}

static void test_aligned(void **state)
{
    (void)state;
    fresh();
    free_map_add(&map, 0x123000, 100 * M);
    assert_true(place_guest(&map, 64 * M, &out));
    assert_int_equal(out.count, 1);
    assert_int_equal(out.piece[0].gpa, 0);
    assert_int_equal(out.piece[0].hpa, 2 * M);
    assert_int_equal(out.piece[0].size, 64 * M);
    assert_int_equal(free_map_total(&map), 36 * M);
}

static void test_huge_and_hole(void **state)
{
    (void)state;
    fresh();
    free_map_add(&map, 1 * M, 3 * G - M);
    free_map_add(&map, 4 * G, 8 * G);
    assert_true(place_guest(&map, 5 * G, &out));
    assert_int_equal(sum(), 5 * G);
    assert_int_equal(out.count, 2);
    assert_int_equal(out.piece[0].size, 3 * G);
    assert_int_equal(out.piece[0].hpa % G, 0);
    assert_int_equal(out.piece[1].gpa, 4 * G);
    assert_int_equal(out.piece[1].size, 2 * G);
    assert_int_equal(out.piece[1].hpa % G, 0);
}

static void test_pieces(void **state)
{
    (void)state;
    fresh();
    for (uint64_t i = 0; i < 4; i++)
        free_map_add(&map, (16 + 64 * i) * M, 32 * M);
    assert_true(place_guest(&map, 100 * M, &out));
    assert_int_equal(out.count, 4);
    assert_int_equal(sum(), 100 * M);
    uint64_t gpa = 0;
    for (unsigned i = 0; i < out.count; i++) {
        assert_int_equal(out.piece[i].gpa, gpa);
        assert_int_equal((out.piece[i].gpa ^ out.piece[i].hpa) & (SIZE_2M - 1), 0);
        gpa += out.piece[i].size;
    }
    assert_int_equal(free_map_total(&map), 28 * M);
}

static void test_too_much(void **state)
{
    (void)state;
    fresh();
    for (uint64_t i = 0; i < 40; i++)
        free_map_add(&map, (16 + 4 * i) * M, 2 * M);
    struct free_map before = map;
    assert_false(place_guest(&map, 81 * M, &out)); /* more than there is */
    assert_memory_equal(&before, &map, sizeof map);
    assert_false(place_guest(&map, 40 * M, &out)); /* 20 pieces */
    assert_memory_equal(&before, &map, sizeof map);
    assert_true(place_guest(&map, 32 * M, &out));
    assert_int_equal(out.count, 16);
    assert_false(place_guest(&map, 0, &out));
}

static void test_private(void **state)
{
    (void)state;
    fresh();
    free_map_add(&map, 0, 64 * 4096);
    free_map_add(&map, 16 * M, 16 * M);
    free_map_add(&map, 64 * M, M);
    uint64_t a = place_private(&map, 5000);
    assert_int_equal(a, 65 * M - 8192); /* the smallest that holds it, from its end; page 0's extent is left alone */
    assert_int_equal(place_private(&map, 32 * M), 0);
    assert_int_equal(place_private(&map, 0), 0);
    assert_int_equal(place_private(&map, 16 * M), 16 * M);
}

static void test_tables(void **state)
{
    (void)state;
    assert_int_equal(table_pages(0, 0, 0), 0);
    assert_int_equal(table_pages(0, 0, 512 * M), 2);
    assert_int_equal(table_pages(0, 2 * M, 512 * M), 2);
    assert_int_equal(table_pages(0, 4096, 512 * M), 2 + 256);
    assert_int_equal(table_pages(4096, 4096, 4096), 4); /* one too many is fine: at most */
    assert_int_equal(table_pages(0, 0, 2 * G + 4096), 1 + 3 + 1);
}

/* Random maps and guests: pieces lie in what was free, do not meet, cover the guest, and free + taken stays the sum. */
static void test_random(void **state)
{
    (void)state;
    srand(7);
    for (int round = 0; round < 300; round++) {
        fresh();
        uint64_t at = 0;
        for (int i = 0; i < 1 + rand() % 12; i++) {
            at += (uint64_t)(1 + rand() % 5000) * 4096;
            uint64_t size = (uint64_t)(1 + rand() % 60000) * 4096;
            free_map_add(&map, at, size);
            at += size;
        }
        struct free_map whole = map;
        struct piece taken[400];
        unsigned count = 0;
        uint64_t total = free_map_total(&map);
        for (int g = 0; g < 10; g++) {
            uint64_t want = (uint64_t)(1 + rand() % 40000) * 4096;
            if (!place_guest(&map, want, &out))
                continue;
            uint64_t next = 0;
            for (unsigned i = 0; i < out.count; i++) {
                struct piece p = out.piece[i];
                assert_int_equal(p.gpa, next);
                next += p.size;
                bool inside = false;
                for (unsigned e = 0; e < whole.count; e++)
                    if (p.hpa >= whole.extent[e].base && p.hpa + p.size <= whole.extent[e].base + whole.extent[e].size)
                        inside = true;
                assert_true(inside);
                for (unsigned k = 0; k < count; k++)
                    assert_true(p.hpa + p.size <= taken[k].hpa || p.hpa >= taken[k].hpa + taken[k].size);
                taken[count++] = p;
            }
            assert_int_equal(next, want);
            total -= want;
            assert_int_equal(free_map_total(&map), total);
        }
    }
}

/* A run at a multiple of its size if that can be had, of 2 MiB at least if it is as large. */
static void test_region(void **state)
{
    (void)state;
    fresh();
    free_map_add(&map, 0x1000, 64 * M);
    assert_int_equal(place_region(&map, 4096), 0x1000);
    assert_int_equal(place_region(&map, 16 * M), 16 * M);
    assert_int_equal(place_region(&map, 16 * M), 32 * M);
    assert_int_equal(place_region(&map, 16 * M), 48 * M);
    assert_int_equal(place_region(&map, 16 * M), 0);
    assert_int_equal(place_region(&map, 8 * M), 8 * M);
    assert_int_equal(place_region(&map, 64 << 10), 0x10000);
    fresh();
    free_map_add(&map, 3 * G + 2 * M, G);
    assert_int_equal(place_region(&map, G), 3 * G + 2 * M); /* no multiple of 1 GiB, but large pages */
    assert_int_equal(free_map_total(&map), 0);
    free_map_add(&map, G + 0x1000, 4 * M);
    assert_int_equal(place_region(&map, 4 * M), 0); /* only at a ragged address */
    assert_int_equal(place_region(&map, 2 * M), G + 2 * M);
    fresh();
    assert_int_equal(place_region(&map, 4096), 0);
    free_map_add(&map, 0, 0x2000);
    assert_int_equal(place_region(&map, 0x1000), 0); /* where page 0 is, nothing is looked for */
}

/* What is given back joins what lies beside it, but not across the border of a RAM object. */
static void test_given_back(void **state)
{
    (void)state;
    fresh();
    map.count = 0;
    assert_true(free_map_add(&map, 0, 8 * M));
    assert_true(free_map_add(&map, 8 * M, 8 * M)); /* another object */
    for (unsigned i = 0; i < 16; i++)
        assert_true(free_map_take(&map, i * M, M));
    assert_int_equal(map.count, 0);
    static const unsigned order[16] = {3, 5, 4, 12, 0, 7, 9, 15, 1, 2, 6, 8, 14, 13, 11, 10};
    for (unsigned i = 0; i < 16; i++) {
        uint64_t at = order[i] * M, low = at < 8 * M ? 0 : 8 * M;
        assert_true(free_map_give(&map, at, M, low, low + 8 * M));
    }
    assert_int_equal(map.count, 2);
    assert_int_equal(free_map_total(&map), 16 * M);
    assert_true(map.extent[0].size == 8 * M && map.extent[1].size == 8 * M);
    /* A full map refuses what joins nothing, and takes what does. */
    map.count = 0;
    for (unsigned i = 0; i < EXTENTS_MAX; i++)
        assert_true(free_map_add(&map, (uint64_t)i * 4 * M, M));
    assert_false(free_map_give(&map, 2 * M, M, 0, G));
    assert_true(free_map_give(&map, M, M, 0, G));
    assert_int_equal(map.count, EXTENTS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_given_back),    cmocka_unit_test(test_take),   cmocka_unit_test(test_aligned),
        cmocka_unit_test(test_huge_and_hole), cmocka_unit_test(test_pieces), cmocka_unit_test(test_too_much),
        cmocka_unit_test(test_private),       cmocka_unit_test(test_tables), cmocka_unit_test(test_random),
        cmocka_unit_test(test_region),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
