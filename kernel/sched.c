/*
 * The scheduler of one CPU. It promises: the one that runs has the highest priority of all that want to and may; who has a
 * budget runs no longer than that in any of its periods (but for what its caller is late); those of one priority take turns of
 * a slice each, and who is preempted by a higher one keeps the rest of its turn. Never looks at a clock, never allocates,
 * never touches another CPU's queue.
 */
#include "kernel/sched.h"
#include "kernel/log.h"

static uint64_t add_sat(uint64_t a, uint64_t b)
{
    return a > NEVER - b ? NEVER : a + b;
}

/* Circular lists. Puts e before `at` in the list of *head (at NULL: the list is empty); e becomes the head if asked. */
static void link_before(struct sched_entity **head, struct sched_entity *at, struct sched_entity *e, bool becomes_head)
{
    e->next = at ? at : e;
    e->previous = at ? at->previous : e;
    e->next->previous = e;
    e->previous->next = e;
    if (!*head || becomes_head)
        *head = e;
}

static void unlink_from(struct sched_entity **head, struct sched_entity *e)
{
    if (*head == e)
        *head = e->next == e ? NULL : e->next;
    e->next->previous = e->previous;
    e->previous->next = e->next;
    e->next = e->previous = NULL;
}

/* Starts the period that holds `now`, if it has not started yet; missed ones are gone. */
static void refill(struct sched_entity *e, uint64_t now)
{
    if (!e->budget || e->refill_at > now)
        return;
    e->left = e->budget;
    e->refill_at += (now - e->refill_at) / e->period * e->period;
    e->refill_at = add_sat(e->refill_at, e->period);
}

/* Books what the running one has used until now: what it ran before its newest period's start is paid by earlier budgets. */
static void book(struct sched *s, uint64_t now)
{
    struct sched_entity *e = s->running;
    if (!e || now <= s->running_since)
        return;
    uint64_t from = s->running_since;
    e->ran += now - from;
    s->running_since = now;
    if (!e->budget)
        return;
    if (e->refill_at <= now) {
        refill(e, now);
        if (e->refill_at != NEVER)
            from = max_u64(from, e->refill_at - e->period);
    }
    e->left -= min_u64(e->left, now - from);
}

static bool exhausted(const struct sched_entity *e)
{
    return e->budget && e->left == 0;
}

static void make_ready(struct sched *s, struct sched_entity *e, bool first)
{
    struct sched_entity **head = &s->ready[e->priority];
    link_before(head, *head, e, first);
    s->ready_mask |= 1u << e->priority;
    e->state = SCHED_READY;
}

static void make_throttled(struct sched *s, struct sched_entity *e)
{
    struct sched_entity *at = s->throttled;
    bool first = !at || e->refill_at < at->refill_at;
    if (!first) { /* behind all that come no later; before the head means at the end */
        do
            at = at->next;
        while (at != s->throttled && at->refill_at <= e->refill_at);
    }
    link_before(&s->throttled, at, e, first);
    e->slice_left = 0;
    e->state = SCHED_THROTTLED;
}

static void remove_ready(struct sched *s, struct sched_entity *e)
{
    unlink_from(&s->ready[e->priority], e);
    if (!s->ready[e->priority])
        s->ready_mask &= ~(1u << e->priority);
}

/* -1: nobody is ready. */
static int top_ready(const struct sched *s)
{
    return s->ready_mask ? 31 - __builtin_clz(s->ready_mask) : -1;
}

void sched_init(struct sched *s, uint64_t slice_ticks)
{
    kassert(slice_ticks > 0);
    *s = (struct sched){.slice = slice_ticks};
}

void sched_wake(struct sched *s, struct sched_entity *e, uint64_t now)
{
    if (e->state != SCHED_BLOCKED)
        return;
    kassert(e->priority < SCHED_PRIORITIES && (!e->budget || e->period));
    refill(e, now);
    e->slice_left = 0;
    if (exhausted(e))
        make_throttled(s, e);
    else
        make_ready(s, e, false);
}

void sched_block(struct sched *s, struct sched_entity *e, uint64_t now)
{
    if (e->state == SCHED_RUNNING) {
        book(s, now);
        s->running = NULL;
    } else if (e->state == SCHED_READY) {
        remove_ready(s, e);
    } else if (e->state == SCHED_THROTTLED) {
        unlink_from(&s->throttled, e);
    }
    e->state = SCHED_BLOCKED;
}

struct sched_entity *sched_pick(struct sched *s, uint64_t now)
{
    book(s, now);
    while (s->throttled && s->throttled->refill_at <= now) {
        struct sched_entity *e = s->throttled;
        unlink_from(&s->throttled, e);
        refill(e, now);
        make_ready(s, e, false);
    }
    struct sched_entity *r = s->running;
    int top = top_ready(s);
    if (r) {
        bool turn_over = now >= s->slice_end;
        if (exhausted(r)) {
            make_throttled(s, r);
        } else if (top > r->priority || (top == r->priority && turn_over)) {
            r->slice_left = turn_over ? 0 : s->slice_end - now;
            make_ready(s, r, !turn_over);
        } else {
            return r;
        }
        s->running = NULL;
    }
    if (top < 0)
        return NULL;
    r = s->ready[top];
    remove_ready(s, r);
    refill(r, now);
    r->state = SCHED_RUNNING;
    s->running = r;
    s->running_since = now;
    s->slice_end = add_sat(now, r->slice_left ? r->slice_left : s->slice);
    return r;
}

uint64_t sched_deadline(const struct sched *s)
{
    const struct sched_entity *r = s->running, *t = s->throttled;
    int top = top_ready(s);
    if (top >= 0 && (!r || top > r->priority))
        return 0;
    if (!r)
        return t ? t->refill_at : NEVER;
    uint64_t due = r->budget ? add_sat(s->running_since, r->left) : NEVER;
    if (top == r->priority)
        due = min_u64(due, s->slice_end);
    if (!t)
        return due;
    do { /* an equal that is refilled waits for the end of the slice like any other */
        if (t->priority >= r->priority)
            due = min_u64(due, t->priority > r->priority ? t->refill_at : max_u64(t->refill_at, s->slice_end));
        t = t->next;
    } while (t != s->throttled);
    return due;
}

bool sched_should_pick(const struct sched *s, uint64_t now)
{
    return now >= sched_deadline(s);
}
