/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's locks, all of them, in the order in which they may be taken:
 *   1. kernel_lock (kernel/object.h): objects, handles, tables, ledger, pool.
 *   2. an irq's: what it signals, and its line's mask.
 *   3. registers_lock (arch/x86_64/ioapic.c), or an event's: its bits, who waits.
 *   4. ring_lock (kernel/log.c): the log's text.
 * What belongs to one CPU (scheduler, timeouts, its vCPUs) needs none: only that CPU touches it, with interrupts off.
 * Other CPUs leave word in cpu->work and cpu->wake_list, by atomic operations. The way from a guest's exit back into
 * the guest takes no lock unless it signals an event.
 */
#ifndef KERNEL_LOCK_H
#define KERNEL_LOCK_H

#include "arch/x86_64/instr.h"

struct lock {
    uint32_t next, serving;
}; /* a ticket each: first come, first served */

static inline void lock(struct lock *l)
{
    uint32_t ticket = __atomic_fetch_add(&l->next, 1, __ATOMIC_RELAXED);
    while (__atomic_load_n(&l->serving, __ATOMIC_ACQUIRE) != ticket)
        cpu_pause();
}

static inline void unlock(struct lock *l)
{
    __atomic_store_n(&l->serving, l->serving + 1, __ATOMIC_RELEASE);
}

#endif
