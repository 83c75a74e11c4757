// SPDX-License-Identifier: Apache-2.0
#include "kernel/irq.h"

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/ioapic.h"
#include "kernel/event.h"

#define MSI_ADDRESS 0xfee00000ull /* Intel SDM vol. 3, 11.11.1: the destination in bits 19:12 */

struct irq log_bell = {.gsi = IRQ_NO_LINE};

struct irq *irq_new(struct domain *payer, struct cpu *c, uint64_t gsi, uint64_t how, enum error *e)
{
    unsigned n = 0;
    while (n < VECTOR_IRQ_COUNT && c->irq[n])
        n++;
    *e = c->apic_id > APIC_ID_MAX ? E_UNSUPPORTED : E_QUOTA;
    struct irq *i = n < VECTOR_IRQ_COUNT && c->apic_id <= APIC_ID_MAX ? object_new(payer, sizeof *i) : NULL;
    if (!i)
        return NULL;
    object_init(&i->object, OBJ_IRQ);
    i->payer = payer;
    i->cpu = c;
    i->gsi = gsi;
    i->vector = (uint8_t)(VECTOR_IRQ_BASE + n);
    i->level = how & LINE_LEVEL;
    *e = gsi == IRQ_NO_LINE ? OK : ioapic_route(gsi, i->vector, c->apic_id, i->level, how & LINE_LOW);
    if (*e == OK) {
        c->irq[n] = i;
        return i;
    }
    object_free(payer, i, sizeof *i);
    return NULL;
}

void irq_free(struct irq *i)
{
    if (i->gsi != IRQ_NO_LINE)
        ioapic_free(i->gsi);
    i->cpu->irq[i->vector - VECTOR_IRQ_BASE] = NULL;
    if (i->event)
        object_put(&i->event->object);
    object_free(i->payer, i, sizeof *i);
}

void irq_bind(struct irq *i, struct event *e, uint64_t bits)
{
    object_get(&e->object);
    if (i->event)
        object_put(&i->event->object);
    i->event = e;
    i->bits = bits;
    if (i->gsi != IRQ_NO_LINE)
        ioapic_mask(i->gsi, false);
}

void irq_ack(struct irq *i)
{
    if (i->level && i->event)
        ioapic_mask(i->gsi, false);
}

uint64_t irq_message(const struct irq *i)
{
    return (MSI_ADDRESS | (uint64_t)i->cpu->apic_id << 12) << 32 | i->vector;
}

static void arrived(struct irq *i)
{
    if (i && i->level)
        ioapic_mask(i->gsi, true);
    if (i && i->event)
        event_signal(i->event, i->bits);
}

void irq_raise(struct irq *i)
{
    kernel_lock();
    arrived(i);
    kernel_unlock();
}

void irq_arrived(unsigned vector)
{
    kernel_lock();
    arrived(this_cpu()->irq[vector - VECTOR_IRQ_BASE]);
    kernel_unlock();
}
