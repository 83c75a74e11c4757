/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signal, wait and destroy, as kernel/event.c, thread.c, domain.c, object.c and grace.c do them. Run by
 * tests/model/run.py; docs/memory.md, "Objects reached without the lock", says what it shows and what it leaves out.
 *
 * CPU 0 signals two bits, one after the other. CPU 1 has a thread that waits until it has both, with and without a
 * deadline. One process more, which holds the kernel's lock, ends the event, or the thread's domain, or both, or
 * nothing. Each line is a step that other CPUs can come between. Polls are guards that block, so whatever does not end
 * is a deadlock, which is an error: a lost wake-up, or a destroy that stands still.
 *
 * With -DMUTANT_... a mistake is built in; run.py expects that it is found.
 */
#define CPUS   2
#define WAITER 1

#define WORK_WAKE  1
#define WORK_FLUSH 2

#define BLOCK_NONE   0
#define BLOCK_EVENT  1
#define BLOCK_PARKED 2

byte section[CPUS];
bool handle[CPUS] = true; /* each CPU's own, to the event */

/* the event */
bool event_freed, event_dead, locked, waiter;
byte bits;

/* the thread, and its CPU */
bool thread_freed, waiting, wake_queued, listed, timed, answered;
byte block, frame_bits, work, flush_seen, flush_generation;
bool domain_stopped;

byte delivered; /* bits that the thread has seen */
byte signalled; /* bits that found the event alive */

#define EVENT  assert(!event_freed)
#define THREAD assert(!thread_freed)

inline lock() { atomic { !locked -> locked = true; EVENT } }
inline unlock() { atomic { EVENT; locked = false } }

inline section_open(c) { section[c] = section[c] + 1 }
inline section_close(c) { section[c] = section[c] + 1 }

inline post(w) { work = work | w }

inline thread_wake()
{
    if
    :: atomic { !wake_queued -> THREAD; wake_queued = true }
        atomic { THREAD; listed = true } /* the push */
    :: atomic { wake_queued -> THREAD }
    fi
    post(WORK_WAKE)
}

/* The event's lock held. The error is E_DEAD if `with` is 0. */
inline answer(with)
{
    waiter = false
    atomic { THREAD; frame_bits = with; answered = true }
#ifdef MUTANT_WAKE_BEFORE_ANSWER
    thread_wake()
    atomic { THREAD; waiting = false }
#else
    atomic { THREAD; waiting = false }
#ifndef WAKE_AFTER_UNLOCK
    thread_wake()
#endif
#endif
}

proctype signaller()
{
    byte c = 0, mine = 1
    bool found, dead, wake

#ifdef MUTANT_SIGNAL_WITHOUT_SECTION
#define OPEN_S  skip
#define CLOSE_S skip
#else
#define OPEN_S  section_open(c)
#define CLOSE_S section_close(c)
#endif
again:
    wake = false
#ifdef MUTANT_SECTION_NOT_ORDERED /* the number is still in the store buffer when the handle is read */
    found = handle[c]
    section_open(c)
#else
    OPEN_S
    found = handle[c]
#endif
    if
    :: found ->
        atomic { EVENT; dead = event_dead }
        if
        :: !dead ->
            lock()
            if
            :: !event_dead -> signalled = signalled | mine
            :: else
            fi
            if
            :: waiter ->
                atomic { EVENT; bits = 0 }
                answer(mine)
                wake = true
            :: else -> atomic { EVENT; bits = bits | mine }
            fi
            unlock()
#ifdef WAKE_AFTER_UNLOCK
            if
            :: wake -> thread_wake()
            :: else
            fi
#endif
        :: else
        fi
    :: else
    fi
    CLOSE_S
    if
    :: mine == 1 -> mine = 2; goto again
    :: else
    fi
}

/* ---- the thread and its CPU */

inline deliver(these)
{
    atomic {
        assert(!(delivered & (these)))
        delivered = delivered | (these)
    }
}

/* outcome: false: it had been served already */
inline event_forget(outcome)
{
    outcome = false
#ifndef MUTANT_FORGET_WITHOUT_SECTION
    section_open(WAITER)
#endif
    if
    :: waiting ->
        lock()
        if
        :: waiter -> waiter = false; waiting = false; outcome = true
        :: else
        fi
        unlock()
    :: else
    fi
#ifndef MUTANT_FORGET_WITHOUT_SECTION
    section_close(WAITER)
#endif
}

inline look_at()
{
    atomic { THREAD; stopped = domain_stopped }
    if
    :: stopped ->
        if
        :: atomic { block != BLOCK_PARKED -> THREAD }
            timed = false
            event_forget(forgot)
            atomic { THREAD; block = BLOCK_PARKED }
        :: else
        fi
    :: else ->
        if
        :: atomic { block == BLOCK_EVENT && !waiting -> THREAD; block = BLOCK_NONE; timed = false }
        :: else
        fi
    fi
}

inline take_work()
{
    atomic { w = work; work = 0 }
    if
    :: w & WORK_FLUSH ->
        generation = flush_generation
        flush_seen = generation
    :: else
    fi
    if
    :: w & WORK_WAKE ->
        atomic { l = listed; listed = false }
        if
        :: l ->
#ifdef MUTANT_QUEUED_AFTER_LOOK
            look_at()
            atomic { THREAD; wake_queued = false }
#else
            atomic { THREAD; wake_queued = false }
            look_at()
#endif
        :: else
        fi
    :: else
    fi
}

active proctype waiter_cpu()
{
    byte w, generation, met, timeouts
    bool l, forgot, found, dead, again, stopped

ring3:
    if
    :: delivered == 3 -> goto finished
    :: else
    fi
    /* event_wait */
    again = false
    section_open(WAITER)
    found = handle[WAITER]
    met = 0
    if
    :: found ->
        lock()
        dead = event_dead
        if
        :: dead
        :: !dead && bits -> atomic { met = bits; bits = 0 }
        :: else ->
            waiter = true
            answered = false
            waiting = true
            again = true
        fi
        unlock()
    :: else -> dead = true
    fi
    section_close(WAITER)
    deliver(met)
    if
    :: dead -> goto finished
    :: else
    fi
    if
    :: again ->
        block = BLOCK_EVENT
        if
        :: timeouts < 1 -> timeouts++; timed = true
        :: timed = false
        fi
        goto host
    :: else
    fi
    if
    :: work -> goto host
    :: else -> goto ring3
    fi

host:
    if
    :: work -> take_work()
    :: else
    fi
    if
    :: timed -> /* it is due */
        timed = false
        event_forget(forgot)
        if
        :: forgot -> answered = false
        :: else
        fi
        block = BLOCK_NONE
    :: true
    fi
    if
    :: block == BLOCK_NONE && work == 0 ->
        if
        :: answered -> /* it comes back from its wait */
            answered = false
            if
            :: frame_bits == 0 -> goto finished /* E_DEAD */
            :: else -> deliver(frame_bits)
            fi
        :: else
        fi
        goto ring3
    :: block == BLOCK_NONE && work -> goto host
    :: block == BLOCK_PARKED -> goto parked
    :: block == BLOCK_EVENT -> /* idle */
        if
        :: work -> goto host
        :: timed -> goto host
        fi
    fi

finished: /* the program is content and computes: its CPU still takes its work */
    if
    :: block == BLOCK_PARKED -> goto parked
    :: else
    fi
end1:
    work != 0
    take_work()
    goto finished

parked:
end2:
    work != 0
    take_work()
    goto parked
}

/* ---- destroy */

byte ended, period_cpu, period_open;

inline grace_next(number)
{
#ifdef MUTANT_PERIOD_THAT_HAS_BEGUN
    number = ended + 1
#else
    number = ended + 1 + (period_cpu > 0 || period_open > 0)
#endif
}

inline grace_over(number)
{
    do
    :: ended >= number -> break
    :: else ->
        now = section[period_cpu]
        if
        :: now % 2 && (period_open == 0 || period_open == now) ->
            period_open = now
            section[period_cpu] != period_open /* E_AGAIN until then */
        :: else ->
            period_open = 0
            period_cpu++
            if
            :: period_cpu == CPUS -> period_cpu = 0; ended++
            :: else
            fi
        fi
    od
}

inline all_parked()
{
    block == BLOCK_PARKED
    !wake_queued
}

inline end_event()
{
    handle[0] = false
    handle[1] = false
    lock()
    event_dead = true
    if
    :: waiter -> answer(0); wake = true
    :: else
    fi
    unlock()
#ifdef WAKE_AFTER_UNLOCK
    if
    :: wake -> thread_wake()
    :: else
    fi
#endif
}

inline end_domain()
{
    domain_stopped = true
    thread_wake()
    all_parked()
    grace_next(number)
#ifndef MUTANT_NO_GRACE_BEFORE_FLUSH
    grace_over(number)
#endif
#ifndef MUTANT_NO_SECOND_PARKED
    all_parked()
#endif
#ifndef MUTANT_NO_FLUSH
    flush_generation++
    post(WORK_FLUSH)
    flush_seen == flush_generation
#endif
}

inline free_event()
{
#ifdef MUTANT_FREED_AT_ONCE
    event_freed = true
#else
    grace_next(number)
    grace_over(number)
    event_freed = true
#endif
}

inline free_thread()
{
    grace_next(number)
    grace_over(number)
    atomic { thread_freed = true }
}

active proctype destroyer()
{
    byte now, number
    bool wake
    run signaller()
    if
    :: true -> skip
    :: true -> end_event(); free_event()
    :: true -> end_domain(); free_thread()
    :: true -> end_event(); free_event(); end_domain(); free_thread()
    :: true -> end_domain(); free_thread(); end_event(); free_event()
    :: true -> /* a period is on its way, for some other object: it has looked at CPU 0 already */
        section[0] % 2 == 0
        period_cpu = 1
        end_event()
        free_event()
    fi
    /* Nothing ends: then the thread gets all there is. The CPU that waits for ever is no error of Spin's, so: */
    (_nr_pr == 2 && work == 0 && !timed)
    atomic {
        if
        :: !domain_stopped && !event_dead -> (waiter_cpu@end1 && delivered == 3)
        :: !domain_stopped && event_dead -> waiter_cpu@end1
        :: else -> waiter_cpu@end2
        fi
        /* Where the event lives on, each bit is somewhere, and in one place. */
        if
        :: !event_dead ->
            assert(signalled == 3)
            if
            :: answered -> assert((delivered | bits | frame_bits) == 3)
            :: else -> assert((delivered | bits) == 3 && (delivered & bits) == 0)
            fi
        :: else
        fi
    }
}
