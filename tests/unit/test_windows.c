/*
 * The burner's judgement of its own cap (tests/guests/windows.h) against the search through every window: random runs, and what a
 * guest does that gets two budgets back to back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/guests/windows.h"

#define RUNS 24u

static uint64_t from[RUNS], to[RUNS];

/* Over all windows that begin and end at any tick. */
static uint64_t search(unsigned runs, uint64_t percent)
{
    int64_t worst = 0;
    for (uint64_t begin = from[0]; begin <= to[runs - 1]; begin++) {
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

static uint64_t judge(unsigned runs, uint64_t percent)
{
    struct windows w = {.percent = percent};
    for (unsigned i = 0; i < runs; i++)
        windows_add(&w, from[i], to[i]);
    assert_int_equal(w.runs, runs);
    assert_int_equal(w.last, to[runs - 1]);
    return windows_worst(&w);
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
        uint64_t percent = 1 + (unsigned)rand() % 100;
        assert_int_equal(judge(runs, percent), search(runs, percent));
    }
}

static void test_what_a_cap_allows(void **state)
{
    (void)state;
    for (unsigned i = 0; i < RUNS; i++) { /* 10 of each 40 at the periods' begins: a slice, less what its own time is worth */
        from[i] = 5000000000 + 40 * i;
        to[i] = from[i] + 10;
    }
    assert_int_equal(judge(RUNS, 25), 7);
    from[RUNS - 1] -= 10; /* the last one comes sooner, but is no longer */
    to[RUNS - 1] -= 10;
    assert_int_equal(judge(RUNS, 25), 10);
    from[RUNS - 1] = to[RUNS - 2]; /* back to back */
    to[RUNS - 1] = from[RUNS - 1] + 10;
    assert_int_equal(judge(RUNS, 25), 15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_runs), cmocka_unit_test(test_what_a_cap_allows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
