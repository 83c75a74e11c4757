// SPDX-License-Identifier: Apache-2.0
/*
 * See vmm/lock.h. A waiter announces itself and then tries again; the releaser frees the lock and then looks for
 * waiters. Both orders are sequentially consistent, so one of the two always sees the other and no wake-up is lost. The
 * timeout is a second net only.
 */
#include "vmm/lock.h"
#include <stddef.h>
#include "lib/syscall.h"

#define WAIT_TICKS 10000000u

static uint64_t event_of(const struct vm_lock *l, uint32_t thread)
{
    return atomic_load(&(l->events != NULL ? l->events : l)->thread[thread].event);
}

void lock_wait(struct vm_lock *l)
{
    uint32_t self = thread_self() % THREADS_MAX;
    struct lock_waiter *me = &l->thread[self];
    atomic_fetch_add(&l->waiters, 1);
    for (;;) {
        atomic_store(&me->waiting, 1);
        if (lock_try(l))
            break;
        (void)sys_event_wait(event_of(l, self), THREAD_EVENT_LOCK,
                             tsc_now() + WAIT_TICKS); /* woken or timed out: try again */
    }
    atomic_store(&me->waiting, 0);
    atomic_fetch_sub(&l->waiters, 1);
}

void lock_wake(struct vm_lock *l)
{
    for (uint32_t i = 0; i < THREADS_MAX; i++) {
        struct lock_waiter *w = &l->thread[i];
        if (atomic_load(&w->waiting) != 0 && atomic_exchange(&w->waiting, 0) != 0) {
            (void)sys_event_signal(event_of(l, i), THREAD_EVENT_LOCK);
            return;
        }
    }
}
