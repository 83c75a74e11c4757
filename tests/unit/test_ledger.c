// SPDX-License-Identifier: Apache-2.0
// sources: mm/ledger.c
/* The ledger against an array of frames, with the tree's order and balance checked all along. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ledger_next.h"
#include "mm/ledger.h"

/* Checks order, disjointness, heights and balance; returns the height. */
static int32_t check(const struct ledger_range *n, uint64_t low, uint64_t high, uint64_t *count)
{
    if (!n)
        return 0;
    assert_true(n->base.v >= low && n->base.v + n->size <= high);
    int32_t l = check(n->child[0], low, n->base.v, count), r = check(n->child[1], n->base.v + n->size, high, count);
    assert_true(l - r >= -1 && l - r <= 1);
    assert_int_equal(n->height, (l > r ? l : r) + 1);
    ++*count;
    return n->height;
}

static int32_t check_all(const struct ledger *l, uint64_t expected)
{
    uint64_t count = 0;
    int32_t height = check(l->root, 0, UINT64_MAX, &count);
    assert_int_equal(count, expected);
    return height;
}

static void test_arguments(void **state)
{
    (void)state;
    struct ledger l = {0};
    const struct {
        uint64_t base, size;
    } bad[] = {
        {0x1000, 0},          {0x1001, 0x1000},     {0x1000, 0x1001},     {0x1000, 0x800},
        {~PAGE_MASK, 0x2000}, {~PAGE_MASK, 0x1000}, {0x2000, ~PAGE_MASK},
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct ledger_range r = {.base = hpa(bad[i].base), .size = bad[i].size};
        assert_int_equal(ledger_insert(&l, &r), E_ARG);
    }
    assert_null(l.root);
    assert_null(ledger_next(&l, hpa(0)));
    struct ledger_range low = {.base = hpa(0), .size = 0x1000}, high = {.base = hpa(~0x1fffull), .size = 0x1000};
    assert_int_equal(ledger_insert(&l, &low), OK);
    assert_int_equal(ledger_insert(&l, &high), OK);
    assert_ptr_equal(ledger_next(&l, hpa(0)), &low);
    assert_ptr_equal(ledger_next(&l, hpa(1)), &high);
    assert_ptr_equal(ledger_next(&l, hpa(~0x1fffull)), &high);
    assert_null(ledger_next(&l, hpa(~0x1ffeull)));
}

static void test_sorted_orders_stay_balanced(void **state)
{
    (void)state;
    enum { N = 4096 };
    static struct ledger_range r[N];
    for (int down = 0; down < 2; down++) {
        struct ledger l = {0};
        memset(r, 0, sizeof(r));
        for (uint64_t i = 0; i < N; i++) {
            r[i].base = hpa((down ? N - i : i) * 0x1000);
            r[i].size = 0x1000;
            assert_int_equal(ledger_insert(&l, &r[i]), OK);
        }
        assert_true(check_all(&l, N) <= 13);
        for (uint64_t i = 0; i < N; i++) {
            ledger_remove(&l, &r[i]);
            if (i % 64 == 0)
                check_all(&l, N - 1 - i);
        }
        assert_null(l.root);
    }
}

static void test_random(void **state)
{
    (void)state;
    enum { FRAMES = 2000, RANGES = 300, BASE = 7 };
    static struct ledger_range r[RANGES];
    static int owner[FRAMES]; /* 0: none, else index + 1 */
    static bool in[RANGES];
    struct ledger l = {0};
    unsigned refused = 0, inserted = 0, removed = 0;
    srand(2);
    for (int step = 0; step < 200000; step++) {
        int i = rand() % RANGES;
        if (in[i]) {
            ledger_remove(&l, &r[i]);
            in[i] = false;
            removed++;
            for (int f = 0; f < FRAMES; f++)
                owner[f] = owner[f] == i + 1 ? 0 : owner[f];
        } else {
            int first = rand() % FRAMES, n = 1 + rand() % 12;
            n = first + n > FRAMES ? FRAMES - first : n;
            bool free = true;
            for (int f = first; f < first + n; f++)
                free = free && owner[f] == 0;
            r[i] = (struct ledger_range){.base = hpa((uint64_t)(BASE + first) * 0x1000), .size = (uint64_t)n * 0x1000};
            assert_int_equal(ledger_insert(&l, &r[i]), free ? OK : E_OVERLAP);
            in[i] = free;
            for (int f = first; free && f < first + n; f++)
                owner[f] = i + 1;
            inserted += free;
            refused += !free;
        }
        if (step % 50 == 0)
            check_all(&l, inserted - removed);
        int f = rand() % FRAMES, g = f;
        while (g < FRAMES && !(owner[g] && (g == 0 || owner[g - 1] != owner[g])))
            g++;
        assert_ptr_equal(ledger_next(&l, hpa((uint64_t)(BASE + f) * 0x1000)), g < FRAMES ? &r[owner[g] - 1] : NULL);
    }
    assert_true(refused > 1000 && inserted > 1000);
    uint64_t walked = 0; /* in order, as the kernel walks it */
    for (struct ledger_range *n = ledger_next(&l, hpa(0)); n; n = ledger_next(&l, hpa(n->base.v + n->size)))
        walked++;
    assert_int_equal(walked, inserted - removed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_sorted_orders_stay_balanced),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
