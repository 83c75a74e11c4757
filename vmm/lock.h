/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VM's lock. Threads of different priorities that share a CPU use it (thread 0 and the vCPUs of a capped guest), so
 * a thread that finds it taken sleeps: a spinning thread of high priority would keep the holder off the CPU for ever.
 * An uncontended lock and unlock make no system call.
 *
 * Not recursive. Held only around device code, which is bounded and makes no blocking call.
 */
#ifndef VMM_LOCK_H
#define VMM_LOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "lib/proto/vmm_boot.h"
#include "mullion/types.h"

#define THREADS_MAX       (VMM_VCPUS_MAX + 1)
#define THREAD_EVENT_LOCK 0x1ull /* bits of a thread's own event */
#define THREAD_EVENT_GO   0x2ull

struct lock_waiter {
    _Atomic uint32_t waiting;
    _Atomic uint64_t event; /* the thread's own; 0: not made yet */
};

struct vm_lock {
    _Atomic uint32_t held, waiters;
    const struct vm_lock *events; /* the lock whose thread[].event are meant; NULL: this one */
    struct lock_waiter thread[THREADS_MAX];
};

/* The number of the calling thread (0: devices and console, 1 + vCPU), from where its stack is. */
static inline unsigned thread_self(void)
{
    return (unsigned)(((uint64_t)__builtin_frame_address(0) - VMM_STACKS_VA) / VMM_STACK_STRIDE);
}

void lock_wait(struct vm_lock *l);
void lock_wake(struct vm_lock *l);

static inline bool lock_try(struct vm_lock *l)
{
    uint32_t expected = 0;
    return atomic_compare_exchange_strong(&l->held, &expected, 1);
}

static inline void lock_take(struct vm_lock *l)
{
    if (unlikely(!lock_try(l)))
        lock_wait(l);
}

static inline void lock_release(struct vm_lock *l)
{
    atomic_store(&l->held, 0);
    if (unlikely(atomic_load(&l->waiters) != 0))
        lock_wake(l);
}

#endif
