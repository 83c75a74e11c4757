// SPDX-License-Identifier: Apache-2.0
/*
 * The burner's judgement of its own cap (tests/guests/windows.h) against the search through every window: random runs,
 * claims, and what a guest sees that gets two budgets back to back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/guests/windows.h"

#define RUNS 24u

static uint64_t from[RUNS], to[RUNS];

/* Over all windows that begin and end at any tick; with `period`, that begin every period from `claim` on. */
static uint64_t search(unsigned runs, uint64_t percent, uint64_t claim, uint64_t period)
{
    int64_t worst = 0;
    for (uint64_t begin = period ? claim : from[0]; begin <= to[runs - 1]; begin += period ? period : 1) {
        int64_t ran = 0;
        unsigned i = 0;
        for (uint64_t end = begin; end < to[runs - 1]; end++) {
            while (i < runs && to[i] <= end)
                i++;
            ran += i < runs && from[i] <= end;
            int64_t excess = 100 * ran - (int64_t)(percent * (end + 1 - begin));
            worst = excess > worst ? excess : worst;
        }
    }
    return (uint64_t)worst / 100;
}

static struct windows judge(unsigned runs, uint64_t percent, uint64_t claim, uint64_t period)
{
    struct windows w = {.percent = percent, .claim = claim, .period = period};
    for (unsigned i = 0; i < runs; i++)
        windows_add(&w, from[i], to[i]);
    assert_int_equal(w.runs, runs);
    assert_int_equal(w.last, to[runs - 1]);
    return w;
}

static void test_random_runs(void **state)
{
    (void)state;
    srand(1);
    for (unsigned round = 0; round < 300; round++) {
        uint64_t now = (unsigned)rand() % 1000;
        unsigned runs = 1 + (unsigned)rand() % RUNS;
        for (unsigned i = 0; i < runs; i++) {
            from[i] = now += 1 + (unsigned)rand() % 20;
            to[i] = now += (unsigned)rand() % 12;
        }
        uint64_t percent = 1 + (unsigned)rand() % 100, claim = from[0] - 20 + (unsigned)rand() % 40,
                 period = 1 + (unsigned)rand() % 50;
        struct windows w = judge(runs, percent, claim, period);
        assert_int_equal(windows_worst(&w), search(runs, percent, 0, 0));
        assert_int_equal(windows_worst_claimed(&w), search(runs, percent, claim, period));
    }
}

/* Claims that come at any time between two runs. */
static void test_single_claims(void **state)
{
    (void)state;
    struct windows w = {.percent = 25};
    windows_add(&w, 100, 110); /* before any claim: no window of that kind holds it */
    assert_int_equal(windows_worst_claimed(&w), 0);
    windows_claim(&w, 150);
    windows_add(&w, 158, 170); /* 12 of 20 */
    assert_int_equal(windows_worst_claimed(&w), 7);
    windows_claim(&w, 174);
    windows_add(&w, 174, 184); /* 10 of 10; and 22 of 34 from 150 on */
    assert_int_equal(windows_worst_claimed(&w), 13);
    assert_int_equal(windows_worst(&w), 15); /* 22 of 26 from 158 on */
}

static void test_what_a_cap_allows(void **state)
{
    (void)state;
    for (unsigned i = 0; i < RUNS;
         i++) { /* 10 of each 40 at the periods' begins: a slice, less what its own time is worth */
        from[i] = 5000000000 + 40 * i;
        to[i] = from[i] + 10;
    }
    struct windows w = judge(RUNS, 25, from[0], 40);
    assert_int_equal(windows_worst(&w), 7);
    assert_int_equal(windows_worst_claimed(&w), 7);
    from[RUNS - 2] += 30; /* kept waiting until the period's end, and then two slices back to back */
    to[RUNS - 2] += 30;
    w = judge(RUNS, 25, from[0], 40);
    assert_int_equal(windows_worst(&w), 15);
    assert_int_equal(windows_worst_claimed(&w), 7);
    to[RUNS - 1] += 4; /* what is more than that is found in both */
    w = judge(RUNS, 25, from[0], 40);
    assert_int_equal(windows_worst(&w), 18);
    assert_int_equal(windows_worst_claimed(&w), 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_runs), cmocka_unit_test(test_single_claims),
                                       cmocka_unit_test(test_what_a_cap_allows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
