/*
 * The scheduler of one CPU. It promises: the one that runs has the highest priority of all that want to and may, and the earliest deadline of those; who
 * has a budget runs no longer than that in any of its periods, but for what its caller is late and what nobody else wants; those without take turns of
 * a slice each. Never looks at a clock, never allocates, never touches another CPU's queue.
 */
#include "kernel/sched.h"
#include "kernel/log.h"

static uint64_t add_sat(uint64_t a, uint64_t b) { return a > NEVER - b ? NEVER : a + b; }
static uint64_t deadline_of(const struct sched_entity *e) { return e->budget ? e->budget->refill_at - e->urgent : NEVER; }
static bool exhausted(const struct sched_entity *e) { return e->budget && e->budget->left <= 0; }

/* Circular lists, ordered by key and then by arrival. Searched from the end, where a period that has just begun belongs. */
static void insert(struct sched_entity **head, struct sched_entity *e, uint64_t key)
{
    struct sched_entity *h = *head, *after = h ? h->previous : NULL;
    e->key = key;
    while (after && after->key > key)
        after = after == h ? NULL : after->previous;
    e->next = after ? after->next : h ? h : e;
    e->previous = h ? e->next->previous : e;
    e->next->previous = e;
    e->previous->next = e;
    if (!after)
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

static void charge(struct sched_budget *b, uint64_t used)
{
    b->left -= (int64_t)used;
    if (b->left < 0)
        b->left = b->borrow ? 0 : b->left < -(int64_t)b->ticks ? -(int64_t)b->ticks : b->left;
}

/* Starts the period that holds `now`; missed ones are gone. */
static __attribute__((noinline)) void refill(struct sched_budget *b, uint64_t now)
{
    uint64_t missed = (now - b->refill_at) / b->period;
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
    s->booked = now;
    if (!e) {
        s->kernel += now - from;
        return;
    }
    e->ran += now - from;
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

static void make_ready(struct sched *s, struct sched_entity *e)
{
    insert(&s->ready[e->priority], e, deadline_of(e));
    s->ready_mask |= 1u << e->priority;
    e->state = SCHED_READY;
}

static void make_throttled(struct sched *s, struct sched_entity *e)
{
    insert(&s->throttled, e, e->budget->refill_at);
    e->state = SCHED_THROTTLED;
}

/* Into the list in which it belongs now. */
static void enlist(struct sched *s, struct sched_entity *e, uint64_t now)
{
    if (e->budget && e->budget->refill_at <= now)
        refill(e->budget, now);
    if (exhausted(e))
        make_throttled(s, e);
    else
        make_ready(s, e);
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

/* The throttled one that has not borrowed for longest. */
static struct sched_entity *borrower(const struct sched *s)
{
    struct sched_entity *best = NULL, *e = s->throttled;
    if (e)
        do {
            if (e->budget->borrow && (!best || e->borrowed_at < best->borrowed_at))
                best = e;
            e = e->next;
        } while (e != s->throttled);
    return best;
}

void sched_init(struct sched *s, uint64_t slice_ticks)
{
    kassert(slice_ticks > 0);
    *s = (struct sched){.slice = slice_ticks};
}

void sched_wake(struct sched *s, struct sched_entity *e, uint64_t now)
{
    struct sched_budget *b = e->budget;
    if (e->state != SCHED_BLOCKED)
        return;
    kassert(e->priority < SCHED_PRIORITIES && (!b || (b->ticks && b->period >= b->ticks)));
    if (b && b->awake++ != 0)
        book(s, now); /* whoever runs on it pays before it is refilled */
    else if (b && (b->refill_at <= now || (__int128)b->left * b->period > (__int128)(b->refill_at - now) * b->ticks)) {
        b->left = (b->left > 0 ? 0 : b->left) + (int64_t)b->ticks;
        b->refill_at = add_sat(now, b->period);
    }
    enlist(s, e, now);
}

void sched_block(struct sched *s, struct sched_entity *e, uint64_t now)
{
    if (e->state == SCHED_BLOCKED)
        return;
    if (e->state == SCHED_RUNNING) {
        book(s, now);
        s->running = NULL;
    } else if (e->state == SCHED_READY) {
        remove_ready(s, e);
    } else {
        unlink_from(&s->throttled, e);
    }
    e->state = SCHED_BLOCKED;
    if (e->budget)
        e->budget->awake--;
}

/* The best priority that is ready (-1: none), with the head of its list as its budget is now: another may have used that up, or begun a new period. */
static int settle_top(struct sched *s, uint64_t now)
{
    int top;
    while ((top = top_ready(s)) >= 0) {
        struct sched_entity *e = s->ready[top];
        const struct sched_budget *b = e->budget;
        if (!b || (b->left > 0 && b->refill_at > now && e->key == deadline_of(e)))
            break;
        remove_ready(s, e);
        enlist(s, e, now);
    }
    return top;
}

struct sched_entity *sched_pick(struct sched *s, uint64_t now)
{
    book(s, now);
    while (s->throttled && s->throttled->key <= now) {
        struct sched_entity *e = s->throttled;
        unlink_from(&s->throttled, e);
        enlist(s, e, now); /* throttled again, if another on its budget has been here first */
    }
    struct sched_entity *r = s->running;
    int top = settle_top(s, now);
    if (r) {
        bool over = now >= s->slice_end;
        if (exhausted(r)) {
            if (r->budget->borrow && top < 0 && !over)
                return r;
            r->borrowed_at = now;
            make_throttled(s, r);
        } else if (top > r->priority || (top == r->priority && (s->ready[top]->key < deadline_of(r) || (!r->budget && over)))) {
            make_ready(s, r);
        } else {
            return r;
        }
        s->running = NULL;
    }
    if (top >= 0) {
        r = s->ready[top];
        remove_ready(s, r);
    } else {
        r = borrower(s);
        if (!r)
            return NULL;
        unlink_from(&s->throttled, r);
    }
    r->state = SCHED_RUNNING;
    s->running = r;
    s->slice_end = add_sat(now, s->slice);
    return r;
}

uint64_t sched_deadline(const struct sched *s)
{
    const struct sched_entity *r = s->running, *t = s->throttled;
    int top = top_ready(s);
    if (!r)
        return top >= 0 || borrower(s) ? 0 : t ? t->key : NEVER;
    bool borrows = exhausted(r);
    if (top > r->priority || (borrows && (top >= 0 || !r->budget->borrow)) || (top == r->priority && s->ready[top]->key < deadline_of(r)))
        return 0;
    uint64_t due = top == r->priority || borrows ? s->slice_end : NEVER;
    if (r->budget)
        due = min_u64(borrows ? due : add_sat(s->booked, (uint64_t)r->budget->left), r->budget->refill_at);
    if (!t)
        return due;
    do { /* a refilled equal's next deadline is a period later */
        if (borrows || t->priority > r->priority || (t->priority == r->priority && add_sat(t->key, t->budget->period) - t->urgent < deadline_of(r)))
            due = min_u64(due, t->key);
        t = t->next;
    } while (t != s->throttled);
    return due;
}
