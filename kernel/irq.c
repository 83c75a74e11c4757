// SPDX-License-Identifier: Apache-2.0
#include "kernel/irq.h"

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/ioapic.h"
#include "kernel/event.h"
#include "kernel/grace.h"

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
        __atomic_store_n(&c->irq[n], i, __ATOMIC_SEQ_CST);
        return i;
    }
    object_free(payer, i, sizeof *i);
    return NULL;
}

void irq_end(struct irq *i)
{
    __atomic_store_n(&i->cpu->irq[i->vector - VECTOR_IRQ_BASE], NULL, __ATOMIC_SEQ_CST);
    lock(&i->lock);
    struct event *e = i->event;
    i->event = NULL;
    i->level = false;
    if (i->gsi != IRQ_NO_LINE)
        ioapic_free(i->gsi);
    unlock(&i->lock);
    if (e)
        object_put(&e->object);
}

void irq_free(struct irq *i)
{
    object_free(i->payer, i, sizeof *i);
}

void irq_bind(struct irq *i, struct event *e, uint64_t bits)
{
    object_get(&e->object);
    lock(&i->lock);
    struct event *before = i->event;
    i->event = e;
    i->bits = bits;
    if (i->gsi != IRQ_NO_LINE)
        ioapic_mask(i->gsi, false);
    unlock(&i->lock);
    if (before)
        object_put(&before->object);
}

void irq_ack(struct irq *i)
{
    lock(&i->lock);
    if (i->level && i->event)
        ioapic_mask(i->gsi, false);
    unlock(&i->lock);
}

uint64_t irq_message(const struct irq *i)
{
    return (MSI_ADDRESS | (uint64_t)i->cpu->apic_id << 12) << 32 | i->vector;
}

/* The one that is there, if any. */
static void raise(struct irq *const *at)
{
    struct cpu *c = this_cpu();
    section_open(c);
    struct irq *i = __atomic_load_n(at, __ATOMIC_SEQ_CST);
    if (i) {
        lock(&i->lock);
        if (i->level)
            ioapic_mask(i->gsi, true);
        if (i->event)
            event_signal(i->event, i->bits);
        unlock(&i->lock);
    }
    section_close(c);
}

void irq_raise(struct irq *i)
{
    raise(&i);
}

void irq_arrived(unsigned vector)
{
    raise(&this_cpu()->irq[vector - VECTOR_IRQ_BASE]);
}
