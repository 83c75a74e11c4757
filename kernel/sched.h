/*
 * The scheduler of one CPU: fixed priorities, round robin within one, and a budget per period for those that have one (a deferrable server:
 * the budget is refilled whole at each period's start; an entity that has used it up waits for the refill). Pure: it is told the time, keeps no
 * globals and takes no lock; the CPU that owns it calls it. Times are TSC ticks.
 */
#ifndef KERNEL_SCHED_H
#define KERNEL_SCHED_H

#include "arch/x86_64/types.h"
#include "mullion/abi.h"

struct sched_entity {
    struct sched_entity *next, *previous; /* ready or throttled list; private */
    uint64_t budget;      /* ticks per period; 0: not capped */
    uint64_t period;      /* ticks */
    uint64_t left;        /* of this period's budget */
    uint64_t refill_at;   /* absolute; valid when budget != 0 */
    uint64_t ran;         /* total ticks, statistics */
    uint64_t slice_left;  /* of its round-robin slice, when it was preempted; 0: the next one is whole; private */
    uint8_t priority;     /* 0..SCHED_PRIORITIES-1, higher first */
    uint8_t state;        /* enum sched_state; private */
};
enum sched_state { SCHED_BLOCKED = 0, SCHED_READY, SCHED_RUNNING, SCHED_THROTTLED };

struct sched {
    struct sched_entity *ready[SCHED_PRIORITIES]; /* circular lists; the head runs next */
    struct sched_entity *throttled;               /* ordered by refill_at */
    struct sched_entity *running;
    uint64_t running_since;
    uint64_t slice;       /* round-robin slice, ticks */
    uint64_t slice_end;
    uint32_t ready_mask;  /* bit p: ready[p] is not empty */
};

void sched_init(struct sched *s, uint64_t slice_ticks);
/* Blocked -> ready (or throttled, if its budget is used up). Does nothing for an entity that is not blocked. */
void sched_wake(struct sched *s, struct sched_entity *e, uint64_t now);
/* Takes e out, whatever its state (its run time so far is booked). */
void sched_block(struct sched *s, struct sched_entity *e, uint64_t now);
/* Books the running entity's time, refills budgets that are due, and picks who runs from now on (NULL: nobody). */
struct sched_entity *sched_pick(struct sched *s, uint64_t now);
/* When sched_pick must be called again at the latest (budget end, slice end if somebody waits at the same priority, refill of a throttled entity
 * that would preempt); NEVER if nothing is due. */
uint64_t sched_deadline(const struct sched *s);
/* True when sched_pick now could choose somebody other than the running one. */
bool sched_should_pick(const struct sched *s, uint64_t now);

#endif
