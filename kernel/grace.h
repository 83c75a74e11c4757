/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects that are reached without the kernel's lock: events, irqs, vCPUs, and the threads behind them. A CPU opens a
 * section before it looks for one, and closes it when it is done with what it has found; interrupts are off meanwhile.
 * What is out of reach of every later section is freed when the sections that were open at that time have ended: a
 * grace period. So the way of a signal counts no references, and writes no line that CPUs share for its safety.
 *
 * Both sides first write, then look: a section its number, then for the object; the end of an object its last pointer,
 * then at the numbers. All four are sequentially consistent, so one of the two sees the other.
 */
#ifndef KERNEL_GRACE_H
#define KERNEL_GRACE_H

#include "arch/x86_64/cpu.h"

/* The calling CPU's; they do not nest. Kernel lock: not needed. Its holder needs no section: what is freed is freed
 * under it. */
static inline void section_open(struct cpu *c)
{
    __atomic_store_n(&c->section, c->section + 1, __ATOMIC_SEQ_CST);
}
static inline void section_close(struct cpu *c)
{
    __atomic_store_n(&c->section, c->section + 1, __ATOMIC_RELEASE);
}

/* Kernel lock held. The number of a grace period that begins now or later. */
uint64_t grace_next(void) must_check;
/* Kernel lock held. Has that one ended? Makes a bounded step towards it. */
bool grace_over(uint64_t number) must_check;

#endif
