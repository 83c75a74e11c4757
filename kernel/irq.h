/* SPDX-License-Identifier: Apache-2.0 */
/* Hardware interrupts as objects: bound to an event. Kernel lock held, but for irq_arrived and irq_raise. */
#ifndef KERNEL_IRQ_H
#define KERNEL_IRQ_H

#include "kernel/object.h"

struct event;

struct irq {
    struct object object;
    uint32_t gsi, number;
    bool level;
    struct event *event;
    uint64_t bits;
};

/* Rings when the kernel's log has a new line: no hardware raises it, but CPU 0 when it finds WORK_LOG. */
extern struct irq log_bell;

/* Routes a GSI to the boot CPU, masked. NULL: no vector left, or nobody serves that GSI. */
struct irq *irq_new(uint32_t gsi, bool level, bool low);
enum error irq_bind(struct irq *i, struct event *e, uint64_t bits) must_check;
void irq_ack(struct irq *i);
/* What an arrival does. Takes the lock. */
void irq_raise(struct irq *i);
/* From the interrupt itself. Takes the lock. */
void irq_arrived(unsigned number);

#endif
