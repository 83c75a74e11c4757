/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's locks, all of them, in the order in which they may be taken:
 *   1. kernel_lock (kernel/object.h): objects, handles, tables, ledger, pool.
 *   2. an irq's: what it signals, and its line's mask.
 *   3. registers_lock (arch/x86_64/ioapic.c), or an event's: its bits, its waiter.
 *   4. ring_lock (kernel/log.c): the log's text.
 * What belongs to one CPU (scheduler, timeouts, its vCPUs) needs none: only that CPU touches it, with interrupts off.
 * Other CPUs leave word in cpu->work and cpu->wake_list, by atomic operations. The way from a guest's exit back into
 * the guest takes no lock unless it signals an event.
 *
 * Each waiter has a ticket: first come, first served. Where a hypervisor or an emulator may take away our CPUs, that
 * alone would make each handing-over wait until the one whose turn it is runs again. There a waiter takes its ticket
 * only when it would be served at once, so those that run overtake those that do not. After LOCK_PATIENCE vain looks
 * it takes a ticket all the same: so it waits for a bounded time there too, however often other CPUs come.
 */
#ifndef KERNEL_LOCK_H
#define KERNEL_LOCK_H

#include "arch/x86_64/instr.h"

#define LOCK_PATIENCE (1u << 16) /* looks; in QEMU tens of milliseconds of a CPU's own time, so several turns of it */

struct lock {
    uint32_t next, serving;
};

extern uint32_t lock_patience; /* 0: this machine's CPUs are its own */

static inline void lock(struct lock *l)
{
    uint32_t turn;
    for (uint32_t left = lock_patience; left > 0; left--, cpu_pause()) {
        turn = __atomic_load_n(&l->serving, __ATOMIC_ACQUIRE);
        if (__atomic_load_n(&l->next, __ATOMIC_RELAXED) == turn &&
            __atomic_compare_exchange_n(&l->next, &turn, turn + 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            return;
    }
    turn = __atomic_fetch_add(&l->next, 1, __ATOMIC_RELAXED);
    while (__atomic_load_n(&l->serving, __ATOMIC_ACQUIRE) != turn)
        cpu_pause();
}

static inline void unlock(struct lock *l)
{
    __atomic_store_n(&l->serving, l->serving + 1, __ATOMIC_RELEASE);
}

#endif
