/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hardware interrupts as objects: a line of an I/O APIC, or a message (MSI), that arrives on one CPU with a vector
 * which ring 0 has chosen, and signals an event. Kernel lock held, unless said otherwise.
 */
#ifndef KERNEL_IRQ_H
#define KERNEL_IRQ_H

#include "kernel/lock.h"
#include "kernel/object.h"

struct cpu;
struct event;

#define IRQ_NO_LINE (~0ull) /* instead of a GSI: a message, or the log's bell */
#define APIC_ID_MAX 254u    /* what a line or message reaches without interrupt remapping */

struct irq {
    struct object object;
    struct domain *payer;
    struct cpu *cpu; /* NULL: no hardware raises it */
    uint64_t gsi;
    uint8_t vector;
    struct lock lock; /* of what follows, and of the line's mask */
    bool level;
    struct event *event;
    uint64_t bits;
};

/* Rings when the kernel's log has a new line: no hardware raises it, but CPU 0 when it finds WORK_LOG. */
extern struct irq log_bell;

/* GSI `gsi` (masked, with LINE_* in `how`) or a message, to that CPU. NULL: E_QUOTA: no memory, or the CPU has no
 * vector left; E_UNSUPPORTED: no I/O APIC serves the GSI, or none reaches the CPU; E_OVERLAP: the GSI is in use. */
struct irq *irq_new(struct domain *payer, struct cpu *c, uint64_t gsi, uint64_t how, enum error *e);
void irq_end(struct irq *i);  /* from object_put: nothing arrives any more */
void irq_free(struct irq *i); /* from object_reap */
void irq_bind(struct irq *i, struct event *e, uint64_t bits);
/* In a section. */
void irq_ack(struct irq *i);
/* What a device must write to raise it: address << 32 | data. */
uint64_t irq_message(const struct irq *i);
/* What an arrival does. No lock, no section. */
void irq_raise(struct irq *i);
/* From the interrupt itself: the same. A late one, for a vector that has a new owner, is that one's: drivers
 * look at their device. */
void irq_arrived(unsigned vector);

#endif
