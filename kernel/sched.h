/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scheduler of one CPU: fixed priorities; within one the earliest deadline first. What has a budget is a
 * constant-bandwidth server: `ticks` in each `period`, whose end is the deadline, guaranteed as long as the shares of a
 * CPU add up to no more than all of it, and a cap. A period begins when the server wakes up with more left than it may
 * use until the old one's end, else when the old one ends: so a sleeper cannot save up. Several entities may live on
 * one budget. Those without come after those of their priority with one, in turns. With `borrow`, one that has used up
 * its budget goes on while the CPU would be idle otherwise. docs/scheduling.md says why.
 *
 * Pure: it is told the time, keeps no globals and takes no lock; the CPU that owns it calls it. It also keeps that
 * CPU's books: each tick since the TSC was 0 is some entity's, idle, or the kernel's. Times are TSC ticks.
 */
#ifndef KERNEL_SCHED_H
#define KERNEL_SCHED_H

#include "mullion/abi.h"
#include "mullion/types.h"

struct sched_budget {
    uint64_t ticks; /* in each period */
    uint64_t period;
    int64_t left; /* of this period's; below 0: what it was stopped too late is owed to the next, a period's worth at
                     most */
    uint64_t refill_at; /* this period's end, absolute */
    uint32_t awake;     /* entities that live on it and are not blocked */
    bool borrow;
};

struct sched_link {
    struct sched_link *next, *previous;
    uint64_t key;
};

struct sched_entity {
    struct sched_link link;      /* first: in a ready list or the throttled one; private */
    struct sched_budget *budget; /* NULL: not capped */
    uint64_t ran;                /* total ticks, statistics */
    uint64_t borrowed_at;        /* when it last stopped borrowing; private */
    uint8_t priority;            /* 0..SCHED_PRIORITIES-1, higher first */
    uint8_t urgent;              /* 1: before others on its budget */
    uint8_t state;               /* enum sched_state; private */
};
enum sched_state { SCHED_BLOCKED = 0, SCHED_READY, SCHED_RUNNING, SCHED_THROTTLED };

struct sched {
    struct sched_link ready[SCHED_PRIORITIES]; /* circular lists by key, which is the deadline, and by arrival; begin
                                                  and end here, where it is 0 */
    struct sched_link throttled;               /* the same by the beginning of the next period, for which they wait */
    struct sched_entity *running;
    uint64_t due;          /* see sched_deadline */
    uint64_t booked;       /* everything up to here is booked */
    uint64_t idle, kernel; /* ticks in which none runs: waiting; between two that run */
    uint64_t slice;        /* a turn, ticks */
    uint64_t slice_end;
    uint32_t ready_mask; /* bit p: ready[p] is not empty */
};

void sched_init(struct sched *s, uint64_t slice_ticks);
/* Blocked -> ready (or throttled, if its budget is used up). Does nothing for an entity that is not blocked. */
void sched_wake(struct sched *s, struct sched_entity *e, uint64_t now);
/* Takes e out, whatever its state (its run time so far is booked). */
void sched_block(struct sched *s, struct sched_entity *e, uint64_t now);
/* Books the running entity's time, refills budgets that are due, and picks what runs from now on (NULL: nothing). */
struct sched_entity *sched_pick(struct sched *s, uint64_t now);
/* None runs, and the CPU has waited until now, which is not before the last pick's. */
static inline void sched_waited(struct sched *s, uint64_t now)
{
    write_once(s->idle, s->idle + now - s->booked), write_once(s->booked, now);
}
/* When sched_pick must be called again at the latest: at the end of a budget, of a turn if another waits for it, at
 * the beginning of a period in which another goes first; NEVER if nothing is due; 0, at once, after sched_wake and
 * sched_block. */
static inline uint64_t sched_deadline(const struct sched *s)
{
    return s->due;
}

#endif
