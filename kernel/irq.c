// SPDX-License-Identifier: Apache-2.0
#include "kernel/irq.h"

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/ioapic.h"
#include "kernel/event.h"

static struct irq irqs[VECTOR_IRQ_COUNT];
static unsigned irq_count;
struct irq log_bell = {.gsi = ~0u}; /* no line: none serves it */

struct irq *irq_new(uint32_t gsi, bool level, bool low)
{
    if (irq_count == VECTOR_IRQ_COUNT ||
        ioapic_route(gsi, (uint8_t)(VECTOR_IRQ_BASE + irq_count), cpu_by_number(0)->apic_id, level, low) != OK)
        return NULL;
    struct irq *i = &irqs[irq_count];
    object_init(&i->object, OBJ_IRQ);
    i->gsi = gsi;
    i->number = irq_count++;
    i->level = level;
    return i;
}

enum error irq_bind(struct irq *i, struct event *e, uint64_t bits)
{
    object_get(&e->object);
    if (i->event)
        object_put(&i->event->object);
    i->event = e;
    i->bits = bits;
    ioapic_mask(i->gsi, false);
    return OK;
}

void irq_ack(struct irq *i)
{
    if (i->level && i->event)
        ioapic_mask(i->gsi, false);
}

void irq_raise(struct irq *i)
{
    kernel_lock();
    if (i->level)
        ioapic_mask(i->gsi, true);
    if (i->event)
        event_signal(i->event, i->bits);
    kernel_unlock();
}

void irq_arrived(unsigned number)
{
    irq_raise(&irqs[number]);
}
