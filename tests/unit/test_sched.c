// sources: kernel/sched.c
/*
 * The scheduler against a model that keeps its own books: a million random steps, each checked for what is promised: who runs
 * has the highest priority of all that may run, nobody exceeds a budget in any period, equals take turns, and the CPU idles
 * only when nobody may run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "kernel/sched.h"

#define SLICE 1000u

static void test_priorities_and_turns(void **state)
{
    (void)state;
    struct sched s;
    struct sched_entity a = {.priority = 3}, b = {.priority = 3}, high = {.priority = 7}, low = {.priority = 0};
    sched_init(&s, SLICE);
    assert_null(sched_pick(&s, 10));
    assert_int_equal(sched_deadline(&s), NEVER);
    assert_false(sched_should_pick(&s, 1ull << 60));
    sched_wake(&s, &low, 20);
    assert_true(sched_should_pick(&s, 20));
    assert_ptr_equal(sched_pick(&s, 20), &low);
    assert_int_equal(sched_deadline(&s), NEVER); /* alone: no timer at all */
    sched_wake(&s, &a, 30);
    sched_wake(&s, &a, 30); /* not blocked: nothing */
    assert_true(sched_should_pick(&s, 30));
    assert_ptr_equal(sched_pick(&s, 30), &a);
    sched_wake(&s, &b, 40);
    assert_false(sched_should_pick(&s, 40));
    assert_int_equal(sched_deadline(&s), 30 + SLICE);
    assert_ptr_equal(sched_pick(&s, 29 + SLICE), &a);
    sched_wake(&s, &high, 29 + SLICE); /* one tick before the end of a's turn */
    assert_ptr_equal(sched_pick(&s, 29 + SLICE), &high);
    sched_block(&s, &high, 5000);
    assert_ptr_equal(sched_pick(&s, 5000), &a); /* gets that tick, no more */
    assert_int_equal(sched_deadline(&s), 5001);
    assert_ptr_equal(sched_pick(&s, 5001), &b);
    assert_int_equal(sched_deadline(&s), 5001 + SLICE);
    sched_block(&s, &a, 5100); /* ready */
    assert_int_equal(sched_deadline(&s), NEVER);
    sched_block(&s, &b, 5200);
    assert_ptr_equal(sched_pick(&s, 5200), &low);
    sched_block(&s, &low, 5300);
    assert_null(sched_pick(&s, 5300));
    assert_int_equal(a.ran, SLICE);
    assert_int_equal(b.ran, 199);
    assert_int_equal(high.ran, 5000 - 29 - SLICE);
    assert_int_equal(low.ran, 10 + 100);
}

static void test_budget(void **state)
{
    (void)state;
    struct sched s;
    struct sched_entity e = {.priority = 5, .budget = 25, .period = 100}, low = {.priority = 1};
    sched_init(&s, SLICE);
    sched_wake(&s, &e, 1000); /* a period starts at 1000 */
    sched_wake(&s, &low, 1000);
    assert_ptr_equal(sched_pick(&s, 1000), &e);
    assert_int_equal(sched_deadline(&s), 1025);
    assert_ptr_equal(sched_pick(&s, 1024), &e);
    assert_ptr_equal(sched_pick(&s, 1025), &low);
    assert_int_equal(sched_deadline(&s), 1100);
    sched_block(&s, &e, 1030);
    assert_int_equal(sched_deadline(&s), NEVER);
    sched_wake(&s, &e, 1040); /* sleeping does not fill the budget */
    assert_int_equal(sched_deadline(&s), 1100);
    assert_ptr_equal(sched_pick(&s, 1099), &low);
    assert_ptr_equal(sched_pick(&s, 1100), &e);
    sched_block(&s, &e, 1110);
    assert_ptr_equal(sched_pick(&s, 1110), &low);
    sched_wake(&s, &e, 1777); /* missed periods are gone: the next border is 1800 */
    assert_ptr_equal(sched_pick(&s, 1780), &e);
    assert_int_equal(e.refill_at, 1800);
    assert_int_equal(sched_deadline(&s), 1805);
    assert_ptr_equal(sched_pick(&s, 1805), &e); /* 20 from the old period, 5 from the new one */
    assert_int_equal(sched_deadline(&s), 1825);
    assert_ptr_equal(sched_pick(&s, 1810), &e);
    assert_ptr_equal(sched_pick(&s, 1826), &low); /* late by one */
    assert_ptr_equal(sched_pick(&s, 1900), &e);
    assert_ptr_equal(sched_pick(&s, 2110), &e); /* late by far: only what ran since 2100 counts against this period */
    assert_int_equal(sched_deadline(&s), 2125);
    assert_ptr_equal(sched_pick(&s, 2125), &low);
}

static void test_edges(void **state)
{
    (void)state;
    struct sched s;
    struct sched_entity e = {.priority = 0, .budget = 100, .period = 100}, huge = {.priority = 7, .budget = 1, .period = NEVER};
    sched_init(&s, SLICE);
    sched_wake(&s, &e, 500);
    assert_ptr_equal(sched_pick(&s, 500), &e);
    for (uint64_t t = 501; t < 2000; t += 7)
        assert_ptr_equal(sched_pick(&s, t), &e); /* all of the CPU is all of the CPU */
    assert_ptr_equal(sched_pick(&s, 100), &e);   /* a clock that goes back books nothing */
    assert_int_equal(e.ran, 1999 - 500);
    sched_block(&s, &e, 100);
    assert_int_equal(e.ran, 1999 - 500);
    sched_wake(&s, &huge, 1000);
    assert_ptr_equal(sched_pick(&s, 1000), &huge);
    assert_null(sched_pick(&s, 1 << 30)); /* its next period never comes, and nothing wraps */
    assert_int_equal(sched_deadline(&s), NEVER);
    sched_block(&s, &huge, 1 << 30);
    assert_null(s.throttled);
}

/* What the model knows of an entity. */
struct model {
    bool awake;
    uint64_t period_index, used;     /* in the present period */
    uint64_t waiting_since_turns;    /* time its equals have run since it last ran or became able to run */
    uint64_t awake_since;
};

enum { N = 12 };

static struct sched_entity entity[N];
static struct model model[N];

static bool may_run(int i, uint64_t now)
{
    const struct sched_entity *e = &entity[i];
    return model[i].awake && (!e->budget || now / e->period != model[i].period_index || model[i].used < e->budget);
}

/* Entity i has run from..to: books it period by period. A period's use may exceed the budget by what the caller was late. */
static void model_run(int i, uint64_t from, uint64_t to, uint64_t late)
{
    struct sched_entity *e = &entity[i];
    struct model *m = &model[i];
    while (e->budget && from < to) {
        uint64_t index = from / e->period, end = min_u64(to, (index + 1) * e->period);
        if (index != m->period_index) {
            m->period_index = index;
            m->used = 0;
        }
        m->used += end - from;
        if (m->used > e->budget + late)
            fail_msg("entity %d used %lu of %lu in one period, late by %lu", i, m->used, e->budget, late);
        from = end;
    }
}

static void check_lists(const struct sched *s)
{
    int seen = s->running != NULL;
    for (int p = 0; p < SCHED_PRIORITIES; p++) {
        assert_int_equal(s->ready[p] != NULL, s->ready_mask >> p & 1);
        const struct sched_entity *e = s->ready[p];
        if (e) {
            do {
                assert_int_equal(e->state, SCHED_READY);
                assert_int_equal(e->priority, p);
                assert_ptr_equal(e->next->previous, e);
                e = e->next;
                seen++;
            } while (e != s->ready[p]);
        }
    }
    const struct sched_entity *e = s->throttled;
    if (e) {
        do {
            assert_int_equal(e->state, SCHED_THROTTLED);
            assert_true(e->next == s->throttled || e->refill_at <= e->next->refill_at);
            assert_ptr_equal(e->next->previous, e);
            e = e->next;
            seen++;
        } while (e != s->throttled);
    }
    for (int i = 0; i < N; i++)
        seen -= model[i].awake;
    assert_int_equal(seen, 0);
}

/* lateness: the longest delay between a deadline and the call of sched_pick. */
static void random_run(unsigned seed, unsigned lateness, int steps)
{
    struct sched s;
    uint64_t now = 1 + (uint64_t)seed * 1000003, since = now, total[N] = {0}, idle = 0, begin = now, late = 0;
    unsigned throttled = 0, turns = 0;
    int running = -1;
    srand(seed);
    sched_init(&s, SLICE);
    memset(model, 0, sizeof(model));
    for (int i = 0; i < N; i++) {
        entity[i] = (struct sched_entity){.priority = (uint8_t)(rand() % 4 * 2)};
        if (rand() % 2) {
            entity[i].period = 2000 + (uint64_t)rand() % 20000;
            entity[i].budget = 1 + (uint64_t)rand() % (entity[i].period / 3);
        }
        model[i].period_index = UINT64_MAX;
    }
    entity[0].priority = 7; /* alone at the top, with a budget: gets it in full, always */
    entity[0].period = 10000;
    entity[0].budget = 2500;
    for (int step = 0; step < steps; step++) {
        /* time passes: to the deadline at most, plus a delay */
        uint64_t due = sched_deadline(&s), next = now + (uint64_t)rand() % (rand() % 8 ? 300 : 5000);
        late = 0;
        if (next >= due) {
            late = lateness ? (uint64_t)rand() % (lateness + 1) : 0;
            next = max_u64(due + late, now);
        }
        now = next;
        if (running >= 0) {
            model_run(running, since, now, late);
            total[running] += now - since;
            for (int i = 0; i < N; i++)
                if (i != running && entity[i].priority == entity[running].priority && entity[i].state == SCHED_READY)
                    model[i].waiting_since_turns += now - since;
            model[running].waiting_since_turns = 0;
        } else {
            idle += now - since;
        }
        since = now;
        int i = rand() % N, what = rand() % 16;
        if (what < 3 && !model[i].awake) {
            sched_wake(&s, &entity[i], now);
            model[i].awake = true;
            model[i].waiting_since_turns = 0;
        } else if (what == 3 && model[i].awake && i != 0) {
            sched_block(&s, &entity[i], now);
            model[i].awake = false;
            running = running == i ? -1 : running;
        }
        bool should = sched_should_pick(&s, now);
        int old = running;
        if (should || rand() % 4 == 0) {
            struct sched_entity *e = sched_pick(&s, now);
            running = e ? (int)(e - entity) : -1;
            if (running != old && !should)
                fail_msg("step %d: sched_should_pick was silent", step);
            assert_false(sched_should_pick(&s, now)); /* a pick settles it: the caller cannot spin */
        }
        int best = -1, others = 0;
        for (int k = 0; k < N; k++) {
            if (may_run(k, now) && entity[k].priority > best)
                best = entity[k].priority;
            throttled += entity[k].state == SCHED_THROTTLED;
        }
        if (running < 0 ? best >= 0 : !may_run(running, now) || entity[running].priority != best)
            fail_msg("step %d: %d runs, the best priority is %d", step, running, best);
        turns += running != old;
        for (int k = 0; k < N; k++) {
            others = 0;
            for (int j = 0; j < N; j++)
                others += j != k && entity[j].priority == entity[k].priority;
            if (entity[k].state != SCHED_READY)
                model[k].waiting_since_turns = 0;
            /* each equal has at most one turn before k, late by `lateness` at most (twice, if it was preempted) */
            if (model[k].waiting_since_turns > (uint64_t)others * (SLICE + 2 * lateness))
                fail_msg("step %d: %d starves", step, k);
        }
        if (step % 64 == 0)
            check_lists(&s);
        /* the top one, awake all through a period and always willing, used its whole budget */
        if (model[0].awake && lateness == 0) {
            uint64_t in = now % entity[0].period;
            uint64_t used = model[0].period_index == now / entity[0].period ? model[0].used : 0;
            if (!model[0].awake_since)
                model[0].awake_since = now;
            if (model[0].awake_since <= now - in && used < min_u64(in, entity[0].budget))
                fail_msg("step %d: the top one got %lu of its budget by %lu", step, used, in);
        }
    }
    uint64_t sum = idle;
    for (int i = 0; i < N; i++) {
        sum += total[i];
        assert_true(entity[i].ran <= total[i] && (i == running || entity[i].ran == total[i]));
    }
    assert_int_equal(sum, now - begin);
    assert_true(throttled > 1000 && turns > 1000);
}

static void test_random_exact(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 20; seed++)
        random_run(seed, 0, 30000);
}

static void test_random_late(void **state)
{
    (void)state;
    for (unsigned seed = 101; seed <= 120; seed++)
        random_run(seed, 200, 20000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_priorities_and_turns),
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_random_exact),
        cmocka_unit_test(test_random_late),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
