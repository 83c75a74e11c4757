// SPDX-License-Identifier: Apache-2.0
// sources: kernel/sched.c
/*
 * The scheduler against models that keep their own books: millions of random steps, each checked for what is promised:
 * the thread that runs has the highest priority of all that may run, and the earliest deadline of those; none exceeds
 * its budget, in a period or over any stretch of time; a thread with a budget gets it by each deadline, as long as the
 * shares fit; equals without one take turns; the CPU idles only when no thread may run; and every tick is booked.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "kernel/sched.h"

#define SLICE 1000u

static unsigned throttled, turns, borrowed; /* how often: the random steps must come there */

static bool should_pick(const struct sched *s, uint64_t now)
{
    return now >= sched_deadline(s);
}

static void test_priorities_and_turns(void **state)
{
    (void)state;
    struct sched s;
    struct sched_entity a = {.priority = 3}, b = {.priority = 3}, high = {.priority = 7}, low = {.priority = 0};
    sched_init(&s, SLICE);
    assert_null(sched_pick(&s, 10));
    assert_int_equal(sched_deadline(&s), NEVER);
    sched_wake(&s, &low, 20);
    assert_true(should_pick(&s, 20));
    assert_ptr_equal(sched_pick(&s, 20), &low);
    assert_int_equal(sched_deadline(&s), NEVER); /* alone: no timer at all */
    sched_wake(&s, &a, 30);
    sched_wake(&s, &a, 30); /* not blocked: nothing */
    assert_true(should_pick(&s, 30));
    assert_ptr_equal(sched_pick(&s, 30), &a);
    sched_wake(&s, &b, 40);
    assert_true(should_pick(&s, 40)); /* after every change */
    assert_ptr_equal(sched_pick(&s, 40), &a);
    assert_int_equal(sched_deadline(&s), 30 + SLICE);
    assert_ptr_equal(sched_pick(&s, 29 + SLICE), &a);
    sched_wake(&s, &high, 29 + SLICE); /* one tick before the end of a's turn */
    assert_ptr_equal(sched_pick(&s, 29 + SLICE), &high);
    sched_block(&s, &high, 5000);
    assert_ptr_equal(sched_pick(&s, 5000), &b); /* a preempted thread goes to the end */
    assert_int_equal(sched_deadline(&s), 5000 + SLICE);
    sched_block(&s, &a, 5100); /* ready */
    assert_true(should_pick(&s, 5100));
    assert_ptr_equal(sched_pick(&s, 5100), &b);
    assert_int_equal(sched_deadline(&s), NEVER);
    sched_block(&s, &b, 5200);
    assert_ptr_equal(sched_pick(&s, 5200), &low);
    sched_block(&s, &low, 5300);
    sched_block(&s, &low, 5300); /* blocked: nothing */
    assert_null(sched_pick(&s, 5300));
    assert_int_equal(a.ran, SLICE - 1);
    assert_int_equal(b.ran, 200);
    assert_int_equal(high.ran, 5000 - 29 - SLICE);
    assert_int_equal(low.ran, 10 + 100);
    sched_waited(&s, 6000);
    sched_wake(&s, &low, 6010);
    assert_ptr_equal(sched_pick(&s, 6020), &low);
    assert_int_equal(s.idle, 700);
    assert_int_equal(s.kernel, 20 + 20); /* before the first, and from the end of idle to the next pick */
    assert_int_equal(s.idle + s.kernel + a.ran + b.ran + high.ran + low.ran, 6020);
}

static void test_budget(void **state)
{
    (void)state;
    struct sched s;
    struct sched_budget budget = {.ticks = 25, .period = 100};
    struct sched_entity e = {.priority = 5, .budget = &budget}, low = {.priority = 1};
    sched_init(&s, SLICE);
    sched_wake(&s, &e, 1000); /* a period starts at 1000 */
    sched_wake(&s, &low, 1000);
    assert_ptr_equal(sched_pick(&s, 1000), &e);
    assert_int_equal(sched_deadline(&s), 1025);
    assert_ptr_equal(sched_pick(&s, 1024), &e);
    assert_ptr_equal(sched_pick(&s, 1025), &low);
    assert_int_equal(sched_deadline(&s), 1100);
    sched_block(&s, &e, 1030);
    assert_ptr_equal(sched_pick(&s, 1030), &low);
    assert_int_equal(sched_deadline(&s), NEVER);
    sched_wake(&s, &e, 1040); /* sleeping does not fill the budget */
    assert_ptr_equal(sched_pick(&s, 1040), &low);
    assert_int_equal(sched_deadline(&s), 1100);
    assert_ptr_equal(sched_pick(&s, 1099), &low);
    assert_ptr_equal(sched_pick(&s, 1100), &e);
    sched_block(&s, &e, 1110);
    assert_ptr_equal(sched_pick(&s, 1110), &low);
    sched_wake(&s, &e, 1140); /* 15 left, and 15 is a quarter of the 60 that are left of the period: it goes on in it */
    assert_ptr_equal(sched_pick(&s, 1140), &e);
    assert_int_equal(sched_deadline(&s), 1155);
    sched_block(&s, &e, 1150);
    sched_wake(&s, &e,
               1190); /* 5 left for 10: more than its share, as after a sleep. A period starts here, not at 1200 */
    assert_ptr_equal(sched_pick(&s, 1190), &e);
    assert_int_equal(sched_deadline(&s), 1215);
    assert_ptr_equal(sched_pick(&s, 1216), &low); /* late by one */
    assert_int_equal(sched_deadline(&s), 1290);
    assert_ptr_equal(sched_pick(&s, 1290), &e);
    assert_ptr_equal(sched_pick(&s, 1510), &e); /* late by far: only what ran since 1490 counts against this period */
    assert_int_equal(sched_deadline(&s), 1515);
    assert_ptr_equal(sched_pick(&s, 1515), &low);
}

/* Two that divide a CPU in full, with periods that have little to do with each other: taking turns would starve the
 * quick one. */
static void test_earliest_deadline_first(void **state)
{
    (void)state;
    struct sched s;
    struct sched_budget of_slow = {.ticks = 5000, .period = 10000}, of_quick = {.ticks = 50, .period = 100};
    struct sched_entity slow = {.priority = 3, .budget = &of_slow}, quick = {.priority = 3, .budget = &of_quick},
                        free = {.priority = 3};
    sched_init(&s, SLICE);
    sched_wake(&s, &free, 100);
    assert_ptr_equal(sched_pick(&s, 100), &free);
    sched_wake(&s, &slow, 100); /* before its equal that has no budget, and so no deadline */
    assert_ptr_equal(sched_pick(&s, 100), &slow);
    sched_wake(&s, &quick, 110);
    assert_ptr_equal(sched_pick(&s, 110), &quick);
    assert_int_equal(sched_deadline(&s), 160);
    assert_ptr_equal(sched_pick(&s, 160), &slow);
    assert_int_equal(sched_deadline(&s), 210); /* quick's next period, which ends before slow's */
    assert_ptr_equal(sched_pick(&s, 210), &quick);
    for (uint64_t t = 260; t < 100100; t = sched_deadline(&s))
        sched_pick(&s, t);
    assert_in_range(quick.ran, 49900, 50050);
    assert_in_range(slow.ran, 49900, 50050);
    assert_true(free.ran < 100);
}

static void test_two_on_one_budget(void **state)
{
    (void)state;
    struct sched s;
    struct sched_budget budget = {.ticks = 30, .period = 100}, other_budget = {.ticks = 40, .period = 100};
    struct sched_entity vcpu = {.priority = 3, .budget = &budget},
                        devices = {.priority = 3, .budget = &budget, .urgent = 1};
    struct sched_entity other = {.priority = 3, .budget = &other_budget};
    sched_init(&s, SLICE);
    sched_wake(&s, &vcpu, 1000);
    assert_ptr_equal(sched_pick(&s, 1000), &vcpu);
    sched_wake(&s, &other, 1000);
    assert_ptr_equal(sched_pick(&s, 1000), &vcpu);
    sched_wake(&s, &devices, 1010); /* first, and out of what is left; their period does not begin anew */
    assert_ptr_equal(sched_pick(&s, 1010), &devices);
    assert_int_equal(sched_deadline(&s), 1030);
    sched_block(&s, &devices, 1015);
    assert_ptr_equal(sched_pick(&s, 1015), &other); /* the same deadline: a preempted one goes behind its equals */
    sched_wake(&s, &devices, 1016);
    assert_ptr_equal(sched_pick(&s, 1016), &devices);
    sched_block(&s, &devices, 1020);
    assert_ptr_equal(sched_pick(&s, 1020), &vcpu);
    assert_int_equal(sched_deadline(&s), 1031); /* 19 are used up */
    assert_ptr_equal(sched_pick(&s, 1031), &other);
    sched_wake(&s, &devices, 1032); /* nothing is left for it either */
    assert_ptr_equal(sched_pick(&s, 1032), &other);
    assert_null(sched_pick(&s, 1071));
    assert_int_equal(sched_deadline(&s), 1100);
    assert_ptr_equal(sched_pick(&s, 1100), &devices);
    sched_block(&s, &devices, 1101);
    assert_int_equal(devices.ran + vcpu.ran, 31);
    assert_int_equal(budget.left, 29);
    sched_block(&s, &vcpu, 1130);
    assert_int_equal(budget.awake, 0);
}

static void test_borrowing(void **state)
{
    (void)state;
    struct sched s;
    struct sched_budget own[3] = {{.ticks = 10, .period = 10000, .borrow = true},
                                  {.ticks = 10, .period = 20000, .borrow = true},
                                  {.ticks = 10, .period = 5000}};
    struct sched_entity a = {.priority = 3, .budget = &own[0]}, b = {.priority = 3, .budget = &own[1]},
                        c = {.priority = 1, .budget = &own[2]};
    sched_init(&s, SLICE);
    sched_wake(&s, &a, 100);
    sched_wake(&s, &b, 100);
    sched_wake(&s, &c, 100);
    assert_ptr_equal(sched_pick(&s, 100), &a);
    assert_ptr_equal(sched_pick(&s, 110), &b);
    assert_ptr_equal(sched_pick(&s, 120), &c); /* of low priority, but within its share */
    assert_ptr_equal(sched_pick(&s, 130), &a); /* no other may run: on it goes, but for c, which does not borrow */
    assert_int_equal(sched_deadline(&s), 130 + SLICE);
    assert_ptr_equal(sched_pick(&s, 130 + SLICE), &b); /* in turns */
    assert_ptr_equal(sched_pick(&s, 130 + 2 * SLICE), &a);
    sched_block(&s, &c, 130 + 2 * SLICE);
    sched_wake(&s, &c, 9000); /* its new period begins */
    assert_true(should_pick(&s, 9000));
    assert_ptr_equal(sched_pick(&s, 9000), &c);
    assert_ptr_equal(sched_pick(&s, 9010), &b);
    assert_int_equal(sched_deadline(&s), 9010 + SLICE);
    assert_ptr_equal(sched_pick(&s, 9010 + SLICE), &a);
    assert_int_equal(sched_deadline(&s), 9010 + 2 * SLICE < own[0].refill_at ? 9010 + 2 * SLICE : own[0].refill_at);
    assert_ptr_equal(sched_pick(&s, own[0].refill_at), &a); /* what it borrowed is not taken from its next period */
    assert_int_equal(own[0].left, 10);
    sched_block(&s, &b, 10500);
    sched_block(&s, &a, 10500);
    assert_null(sched_pick(&s, 10500)); /* c has used its own up */
}

static void test_edges(void **state)
{
    (void)state;
    struct sched s;
    struct sched_budget whole = {.ticks = 100, .period = 100}, once = {.ticks = 1, .period = NEVER};
    struct sched_entity e = {.priority = 0, .budget = &whole}, huge = {.priority = 7, .budget = &once};
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
    assert_ptr_equal(s.throttled.next, &s.throttled);
}

/* ---- random steps */

enum { N = 12 };

struct model {
    bool awake;
    uint64_t used; /* of its budget, in the period that ends at `end` */
    uint64_t end;
    uint64_t waiting; /* of those without a budget: time that their equals have run since it last ran or became able to
                         run */
    /* over any stretch of time: ran * period - time * ticks, now, and at its lowest so far */
    __int128 excess, lowest;
};

static struct sched_entity entity[N];
static struct sched_budget budget[N];
static struct model model[N]; /* by budget, for what concerns budgets */

static int budget_of(int i)
{
    return entity[i].budget ? (int)(entity[i].budget - budget) : -1;
}

static bool left(int i, uint64_t now)
{
    return !entity[i].budget || model[budget_of(i)].end <= now || model[budget_of(i)].used < entity[i].budget->ticks;
}

/* What the next period begins with: what was used too much, for its caller was late; but not what was borrowed. */
static uint64_t owed(int b, uint64_t periods)
{
    const struct sched_budget *x = &budget[b];
    return x->borrow || periods > 1 || model[b].used <= x->ticks ? 0 : min_u64(model[b].used - x->ticks, x->ticks);
}

/* Has a new period begun? Then it must have been allowed to. */
static void look_at_period(int b, uint64_t now, bool woken)
{
    struct model *m = &model[b];
    const struct sched_budget *x = &budget[b];
    if (x->refill_at == m->end)
        return;
    uint64_t spare = x->ticks - min_u64(m->used, x->ticks);
    bool over = m->end <= now,
         saved = woken && (unsigned __int128)spare * x->period > (unsigned __int128)(m->end - now) * x->ticks;
    if (!over && !saved)
        fail_msg("budget %d is refilled at %lu, its period ends at %lu", b, now, m->end);
    m->used = owed(b, woken ? 1 : (x->refill_at - m->end) / x->period);
    m->end = x->refill_at;
}

/* Entity i has run from..to; where a period ends meanwhile, what it ran before counts against that one. */
static void model_run(int i, uint64_t from, uint64_t to, uint64_t late)
{
    struct sched_budget *x = entity[i].budget;
    if (!x)
        return;
    struct model *m = &model[budget_of(i)];
    while (from < to) {
        if (m->end <= from) {
            uint64_t periods = (from - m->end) / x->period + 1;
            m->used = owed(budget_of(i), periods);
            m->end += periods * x->period;
        }
        uint64_t until = min_u64(to, m->end);
        if (!x->borrow && m->used + until - from > x->ticks + late)
            fail_msg("budget %d: %lu of %lu used in one period, late by %lu", budget_of(i), m->used + until - from,
                     x->ticks, late);
        m->used += until - from;
        from = until;
    }
}

static void check_lists(const struct sched *s)
{
    int seen = s->running != NULL;
    for (int p = 0; p <= SCHED_PRIORITIES; p++) {
        const struct sched_link *list = p < SCHED_PRIORITIES ? &s->ready[p] : &s->throttled;
        if (p < SCHED_PRIORITIES)
            assert_int_equal(list->next != list, s->ready_mask >> p & 1);
        assert_int_equal(list->key, 0);
        assert_ptr_equal(list->next->previous, list);
        for (const struct sched_link *l = list->next; l != list; l = l->next) {
            const struct sched_entity *e = (const struct sched_entity *)l;
            assert_int_equal(e->state, p < SCHED_PRIORITIES ? SCHED_READY : SCHED_THROTTLED);
            assert_true(p == SCHED_PRIORITIES || e->priority == p);
            assert_ptr_equal(l->next->previous, l);
            assert_true(l->next == list || l->key <= l->next->key);
            seen++;
        }
    }
    for (int i = 0; i < N; i++)
        seen -= model[i].awake;
    assert_int_equal(seen, 0);
}

static void check_choice(int running, uint64_t now, int step)
{
    int best = -1;
    bool borrower = false;
    for (int k = 0; k < N; k++) {
        if (!model[k].awake)
            continue;
        if (left(k, now) && entity[k].priority > best)
            best = entity[k].priority;
        borrower |= !left(k, now) && entity[k].budget->borrow;
        assert_false(entity[k].state == SCHED_THROTTLED && left(k, now));
    }
    if (best < 0) {
        if (running < 0 ? borrower : !entity[running].budget->borrow)
            fail_msg("step %d: %d runs, no thread has anything left", step, running);
        return;
    }
    if (running < 0 || !left(running, now) || entity[running].priority != best)
        fail_msg("step %d: %d runs, the best priority is %d", step, running, best);
    for (int k = 0; k < N; k++)
        if (model[k].awake && left(k, now) && entity[k].priority == best && entity[k].budget &&
            (!entity[running].budget ||
             entity[k].budget->refill_at < entity[running].budget->refill_at - entity[running].urgent))
            fail_msg("step %d: %d runs, %d has an earlier deadline", step, running, k);
}

static void set_up(unsigned seed)
{
    srand(seed);
    memset(model, 0, sizeof model);
    for (int i = 0; i < N; i++) {
        entity[i] = (struct sched_entity){.priority = (uint8_t)(rand() % 4 * 2)};
        budget[i] = (struct sched_budget){.period = 2000 + (uint64_t)rand() % 20000, .borrow = rand() % 2 == 0};
        budget[i].ticks = 1 + (uint64_t)rand() % (budget[i].period / 3);
        if (seed % 2 || rand() % 2)
            entity[i].budget = &budget[i];
    }
    for (int i = 1; i < N; i += 4) /* some pairs */
        if (entity[i].budget && rand() % 2) {
            entity[i + 1].budget = entity[i].budget;
            entity[i + 1].priority = entity[i].priority;
            entity[i + 1].urgent = 1;
        }
}

/* lateness: the longest delay between a deadline and the call of sched_pick. */
static void random_run(unsigned seed, unsigned lateness, int steps)
{
    struct sched s;
    uint64_t now = 1 + (uint64_t)seed * 1000003, since = now, total[N] = {0}, idle = 0, late = 0;
    int running = -1;
    set_up(seed);
    sched_init(&s, SLICE);
    sched_pick(&s, now);
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
            borrowed += !left(running, now);
            model_run(running, since, now, late);
            total[running] += now - since;
            for (int i = 0; i < N; i++)
                if (i != running && entity[i].priority == entity[running].priority && entity[i].state == SCHED_READY)
                    model[i].waiting += now - since;
            model[running].waiting = 0;
        } else {
            idle += now - since;
            sched_waited(&s, now);
        }
        since = now;
        int i = rand() % N, what = rand() % 16;
        if (what < 3 && !model[i].awake) {
            sched_wake(&s, &entity[i], now);
            model[i].awake = true;
            model[i].waiting = 0;
            if (entity[i].budget)
                look_at_period(budget_of(i), now, true);
        } else if (what == 3 && model[i].awake) {
            sched_block(&s, &entity[i], now);
            model[i].awake = false;
            running = running == i ? -1 : running;
        }
        bool should = should_pick(&s, now);
        int old = running;
        if (should || rand() % 4 == 0) {
            struct sched_entity *e = sched_pick(&s, now);
            running = e ? (int)(e - entity) : -1;
            if (running != old && !should)
                fail_msg("step %d: sched_deadline was silent: %d -> %d", step, old, running);
            assert_false(should_pick(&s, now)); /* a pick settles it: the caller cannot spin */
            for (int b = 0; b < N; b++)
                look_at_period(b, now, false);
            check_choice(running, now, step);
        }
        turns += running != old;
        for (int k = 0; k < N; k++) {
            unsigned others = 0;
            bool behind = entity[k].budget != NULL;
            throttled += entity[k].state == SCHED_THROTTLED;
            for (int j = 0; j < N; j++)
                if (j != k && entity[j].priority == entity[k].priority) {
                    others++;
                    behind |= entity[j].budget != NULL;
                }
            if (entity[k].state != SCHED_READY)
                model[k].waiting = 0;
            /* each equal has at most one turn before k, late by `lateness` at most (twice, if it was preempted) */
            if (!behind && model[k].waiting > (uint64_t)others * (SLICE + 2 * lateness))
                fail_msg("step %d: %d starves", step, k);
        }
        if (step % 64 == 0)
            check_lists(&s);
    }
    sched_pick(&s, now);
    uint64_t sum = s.idle + s.kernel;
    for (int i = 0; i < N; i++) {
        sum += entity[i].ran;
        assert_int_equal(entity[i].ran, total[i]);
    }
    assert_int_equal(sum, now);
    assert_true(s.idle <= idle);
}

static void test_random_exact(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 20; seed++)
        random_run(seed, 0, 30000);
    print_message("throttled %u times, %u turns, borrowed %u times\n", throttled, turns, borrowed);
    assert_true(throttled > 100000 && turns > 50000 && borrowed > 1000);
}

static void test_random_late(void **state)
{
    (void)state;
    for (unsigned seed = 101; seed <= 120; seed++)
        random_run(seed, 200, 20000);
}

/*
 * The guarantee: shares of all kinds of periods that add up to the whole CPU; some always want it, some sleep as they
 * like, one is hostile: it sleeps until just before its period's end, to have two budgets at once. A thread that always
 * wants it has had its whole budget at each deadline. None has ever had more than its share of any stretch of time, but
 * for a budget (the hostile one alone on a CPU), or for two (where another's deadline has kept it waiting, and it
 * catches up).
 */
static void guarantee_run(unsigned seed, bool alone, int steps)
{
    struct sched s;
    uint64_t now = 1000000, since = now, got[N] = {0}, due[N];
    int n = alone ? 1 : 2 + (int)(seed % 5), running = -1;
    uint64_t free_share = 1000;
    srand(seed);
    memset(model, 0, sizeof model);
    sched_init(&s, SLICE);
    for (int i = 0; i < n; i++) {
        uint64_t share = alone        ? 250
                         : i == n - 1 ? free_share
                                      : 1 + (uint64_t)rand() % (free_share - (uint64_t)(n - 1 - i));
        free_share -= share;
        budget[i] = (struct sched_budget){.period = (1 + (uint64_t)rand() % 40) * 1000};
        budget[i].ticks = budget[i].period * share / 1000;
        entity[i] = (struct sched_entity){.priority = 3, .budget = &budget[i]};
        sched_wake(&s, &entity[i], now);
        model[i].awake = true;
        due[i] = budget[i].refill_at;
    }
    for (int step = 0; step < steps; step++) {
        struct sched_entity *e = sched_pick(&s, now);
        running = e ? (int)(e - entity) : -1;
        uint64_t next = min_u64(sched_deadline(&s), now + 1 + (uint64_t)rand() % 3000);
        for (int i = 0; i < n; i++) /* look exactly at the deadlines of those that always want */
            if (i % 2 == 0)
                next = min_u64(next, due[i]);
        now = max_u64(next, now);
        uint64_t ran = now - since;
        for (int i = 0; i < n; i++) {
            model[i].excess += (i == running ? (__int128)ran * budget[i].period : 0) - (__int128)ran * budget[i].ticks;
            model[i].lowest = model[i].excess < model[i].lowest ? model[i].excess : model[i].lowest;
            if (model[i].excess - model[i].lowest > (__int128)(alone ? 1 : 2) * budget[i].ticks * budget[i].period)
                fail_msg("step %d: %d of %d has had too much", step, i, n);
            got[i] += i == running ? ran : 0;
        }
        since = now;
        for (int i = 0; i < n; i++) {
            bool willing = !alone && i % 2 == 0;
            if (willing && now == due[i]) {
                if (got[i] != budget[i].ticks)
                    fail_msg("step %d: %d of %d has had %lu of %lu by its deadline", step, i, n, got[i],
                             budget[i].ticks);
                got[i] = 0;
                due[i] += budget[i].period;
            } else if (!willing && model[i].awake && rand() % (alone ? 3 : 20) == 0) {
                sched_block(&s, &entity[i], now);
                model[i].awake = false;
            } else if (!willing && !model[i].awake &&
                       (alone ? now + 1 + budget[i].ticks >= budget[i].refill_at || rand() % 50 == 0
                              : rand() % 10 == 0)) {
                sched_wake(&s, &entity[i], now);
                model[i].awake = true;
            }
        }
        if (alone && !model[0].awake)
            now += (uint64_t)rand() % 100;
    }
}

static void test_guarantee(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 100; seed++)
        guarantee_run(seed, false, 20000);
}

static void test_hostile_sleeper(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 20; seed++)
        guarantee_run(seed, true, 20000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_priorities_and_turns),
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_earliest_deadline_first),
        cmocka_unit_test(test_two_on_one_budget),
        cmocka_unit_test(test_borrowing),
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_random_exact),
        cmocka_unit_test(test_random_late),
        cmocka_unit_test(test_guarantee),
        cmocka_unit_test(test_hostile_sleeper),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
