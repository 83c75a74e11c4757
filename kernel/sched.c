// SPDX-License-Identifier: Apache-2.0
/*
 * The scheduler of one CPU. It promises: the one that runs has the highest priority of all that want to and may, and
 * the earliest deadline of those; one with a budget runs no longer than that in any of its periods, but for what its
 * caller is late and what no other wants; those without take turns of a slice each. Never looks at a clock, never
 * allocates, never touches another CPU's queue.
 */
#include "kernel/sched.h"
#include "kernel/log.h"

static uint64_t add_sat(uint64_t a, uint64_t b)
{
    return a > NEVER - b ? NEVER : a + b;
}
static uint64_t deadline_of(const struct sched_entity *e)
{
    return e->budget ? e->budget->refill_at - e->urgent : NEVER;
}
static bool exhausted(const struct sched_entity *e)
{
    return e->budget && e->budget->left <= 0;
}

static struct sched_entity *entity_of(struct sched_link *l)
{
    return (struct sched_entity *)l;
}
_Static_assert(offsetof(struct sched_entity, link) == 0, "entity_of relies on it");

/* Searched from the end, where a period that has just begun belongs. */
static inline void insert(struct sched_link *list, struct sched_entity *e, uint64_t key)
{
    struct sched_link *l = &e->link, *after = list->previous;
    while (after->key > key)
        after = after->previous;
    *l = (struct sched_link){after->next, after, key};
    after->next->previous = l;
    after->next = l;
}

static inline void take(struct sched_entity *e)
{
    struct sched_link *l = &e->link;
    l->previous->next = l->next;
    l->next->previous = l->previous;
}

static inline void charge(struct sched_budget *b, uint64_t used)
{
    int64_t left = b->left - (int64_t)used, least = b->borrow ? 0 : -(int64_t)b->ticks;
    b->left = left < least ? least : left;
}

/* Starts the period that holds `now`; missed ones are gone. */
static inline void refill(struct sched_budget *b, uint64_t now)
{
    uint64_t late = now - b->refill_at, missed = unlikely(late >= b->period) ? late / b->period : 0;
    b->left = (missed || b->left > 0 ? 0 : b->left) + (int64_t)b->ticks;
    b->refill_at = add_sat(b->refill_at + missed * b->period, b->period);
}

/* Books until now. What the running one ran before its newest period's start is paid by the one before. */
static void book(struct sched *s, uint64_t now)
{
    struct sched_entity *e = s->running;
    uint64_t from = s->booked;
    if (now <= from)
        return;
    write_once(s->booked, now);
    if (!e) {
        write_once(s->kernel, s->kernel + now - from);
        return;
    }
    write_once(e->ran, e->ran + now - from);
    struct sched_budget *b = e->budget;
    if (!b)
        return;
    if (b->refill_at <= now) {
        charge(b, b->refill_at - min_u64(from, b->refill_at));
        refill(b, now);
        if (b->refill_at != NEVER)
            from = max_u64(from, b->refill_at - b->period);
    }
    charge(b, now - from);
}

static inline void make_ready(struct sched *s, struct sched_entity *e)
{
    insert(&s->ready[e->priority], e, deadline_of(e));
    s->ready_mask |= 1u << e->priority;
    e->state = SCHED_READY;
}

static inline void make_throttled(struct sched *s, struct sched_entity *e)
{
    insert(&s->throttled, e, e->budget->refill_at);
    e->state = SCHED_THROTTLED;
}

/* With its budget as it is now: may it run? */
static inline bool may_run(struct sched_entity *e, uint64_t now)
{
    if (e->budget && e->budget->refill_at <= now)
        refill(e->budget, now);
    return !exhausted(e);
}

/* Into the list in which it belongs now. */
static void enlist(struct sched *s, struct sched_entity *e, uint64_t now)
{
    if (may_run(e, now))
        make_ready(s, e);
    else
        make_throttled(s, e);
}

static inline void take_ready(struct sched *s, struct sched_entity *e)
{
    take(e);
    if (e->link.next == e->link.previous) /* the list itself: that was the last */
        s->ready_mask &= ~(1u << e->priority);
}

/* The throttled one that has not borrowed for longest. */
static struct sched_entity *borrower(struct sched *s)
{
    struct sched_entity *best = NULL;
    for (struct sched_link *l = s->throttled.next; l != &s->throttled; l = l->next) {
        struct sched_entity *e = entity_of(l);
        if (e->budget->borrow && (!best || e->borrowed_at < best->borrowed_at))
            best = e;
    }
    return best;
}

void sched_init(struct sched *s, uint64_t slice_ticks)
{
    kassert(slice_ticks > 0);
    *s = (struct sched){.slice = slice_ticks, .throttled = {&s->throttled, &s->throttled, 0}};
    for (unsigned i = 0; i < SCHED_PRIORITIES; i++)
        s->ready[i].next = s->ready[i].previous = &s->ready[i];
}

void sched_wake(struct sched *s, struct sched_entity *e, uint64_t now)
{
    struct sched_budget *b = e->budget;
    if (e->state != SCHED_BLOCKED)
        return;
    kassert(e->priority < SCHED_PRIORITIES && (!b || (b->ticks && b->period >= b->ticks)));
    if (b && b->awake++ != 0)
        book(s, now); /* what runs on it pays before it is refilled */
    else if (b && (b->refill_at <= now || (__int128)b->left * b->period > (__int128)(b->refill_at - now) * b->ticks)) {
        b->left = (b->left > 0 ? 0 : b->left) + (int64_t)b->ticks;
        b->refill_at = add_sat(now, b->period);
    }
    enlist(s, e, now);
    s->due = 0;
}

void sched_block(struct sched *s, struct sched_entity *e, uint64_t now)
{
    if (e->state == SCHED_BLOCKED)
        return;
    if (e->state == SCHED_RUNNING) {
        book(s, now);
        write_once(s->running, NULL);
    } else if (e->state == SCHED_READY) {
        take_ready(s, e);
    } else {
        take(e);
    }
    e->state = SCHED_BLOCKED;
    s->due = 0;
    if (e->budget)
        e->budget->awake--;
}

/* The first of those that are ready, with its budget as it is now: another may have used that up, or begun a new
 * period. NULL: none is. */
static inline struct sched_entity *first_ready(struct sched *s, uint64_t now)
{
    while (s->ready_mask) {
        struct sched_entity *e = entity_of(s->ready[31 - __builtin_clz(s->ready_mask)].next);
        const struct sched_budget *b = e->budget;
        if (!b || (b->left > 0 && b->refill_at > now && e->link.key == deadline_of(e)))
            return e;
        take_ready(s, e);
        enlist(s, e, now);
    }
    return NULL;
}

static inline bool goes_before(const struct sched_entity *a, const struct sched_entity *b)
{
    return a->priority > b->priority || (a->priority == b->priority && deadline_of(a) < deadline_of(b));
}

/* The one chosen runs until here at the latest: r, or none. */
static inline uint64_t until(const struct sched *s, const struct sched_entity *r)
{
    const struct sched_link *l = s->throttled.next;
    if (!r)
        return l != &s->throttled ? l->key : NEVER;
    const struct sched_budget *b = r->budget;
    bool borrows = exhausted(r);
    uint64_t due = borrows || s->ready_mask >> r->priority & 1 ? s->slice_end : NEVER;
    if (b)
        due = min_u64(borrows ? due : add_sat(s->booked, (uint64_t)b->left), b->refill_at);
    for (; l != &s->throttled && l->key < due; l = l->next) { /* a refilled equal's next deadline is a period later */
        const struct sched_entity *t = (const struct sched_entity *)l;
        if (borrows || t->priority > r->priority ||
            (t->priority == r->priority && add_sat(l->key, t->budget->period) - t->urgent < deadline_of(r)))
            return l->key;
    }
    return due;
}

/* The one that runs from now on, with its turn; NULL: none. `fresh` may run, and is in no list. */
static inline struct sched_entity *choose(struct sched *s, struct sched_entity *fresh, uint64_t now)
{
    struct sched_entity *r = s->running, *best = first_ready(s, now);
    if (fresh && best && !goes_before(fresh, best))
        make_ready(s, fresh), fresh = NULL;
    if (fresh)
        best = fresh;
    if (r) {
        bool over = now >= s->slice_end;
        if (exhausted(r)) {
            if (r->budget->borrow && !best && !over)
                return r;
            r->borrowed_at = now;
            make_throttled(s, r);
        } else if (best && (goes_before(best, r) || (best->priority == r->priority && !r->budget && over))) {
            make_ready(s, r);
        } else {
            if (fresh)
                make_ready(s, fresh);
            return r;
        }
    }
    if (!best) {
        best = borrower(s);
        if (!best)
            return NULL;
        take(best);
    } else if (!fresh) {
        take_ready(s, best);
    }
    best->state = SCHED_RUNNING;
    s->slice_end = now + s->slice;
    return best;
}

struct sched_entity *sched_pick(struct sched *s, uint64_t now)
{
    struct sched_entity *fresh = NULL; /* whose period begins first: most often the one that runs next */
    struct sched_link *l;
    book(s, now);
    while ((l = s->throttled.next)->key <= now && l != &s->throttled) {
        struct sched_entity *e = entity_of(l);
        take(e);
        if (fresh || !may_run(e, now)) /* throttled again, if another on its budget has been here first */
            enlist(s, e, now);
        else
            fresh = e;
    }
    write_once(s->running, choose(s, fresh, now));
    s->due = until(s, s->running);
    return s->running;
}
