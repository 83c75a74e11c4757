// SPDX-License-Identifier: Apache-2.0
#include "kernel/object.h"

#include "kernel/domain.h"
#include "kernel/event.h"
#include "kernel/grace.h"
#include "kernel/hardware.h"
#include "kernel/irq.h"
#include "kernel/lock.h"
#include "kernel/log.h"
#include "kernel/memory.h"
#include "kernel/space.h"
#include "kernel/thread.h"
#include "kernel/vcpu.h"

#define FREED_PER_STEP 64u

static struct lock the_lock;

void kernel_lock(void)
{
    lock(&the_lock);
    this_cpu()->locks = true;
}
void kernel_unlock(void)
{
    this_cpu()->locks = false;
    unlock(&the_lock);
}

void *object_new(struct domain *payer, size_t size)
{
    void *p = pool_alloc(&payer->quota, size);
    if (p)
        object_get(&payer->object);
    return p;
}

void object_free(struct domain *payer, void *p, size_t size)
{
    pool_free(&payer->quota, p, size);
    object_put(&payer->object);
}

/* Those that ended since the period began that the others wait for, and these others. */
static struct object *ended, *waiting;

static void end_later(struct object *o, struct domain *payer)
{
    if (payer)
        payer->ending++;
    o->next = ended;
    ended = o;
}

void object_put(struct object *o)
{
    kassert(o->references > 0);
    if (--o->references > 0)
        return;
    switch (o->type) {
    case OBJ_DOMAIN: domain_free(container_of(o, struct domain, object)); break;
    case OBJ_EVENT:
        event_destroy(container_of(o, struct event, object));
        end_later(o, NULL);
        break;
    case OBJ_IRQ:
        irq_end(container_of(o, struct irq, object));
        end_later(o, NULL);
        break;
    case OBJ_SPACE: end_later(o, container_of(o, struct space, object)->payer); break;
    case OBJ_VCPU: end_later(o, container_of(o, struct vcpu, object)->payer); break;
    case OBJ_THREAD: end_later(o, NULL); break;
    case OBJ_PORTS: ports_free(container_of(o, struct ports, object)); break;
    case OBJ_MEMORY: memory_free(container_of(o, struct memory, object)); break;
    default: panic("object of type %u freed: it should live for ever", o->type);
    }
}

/* False: there is more of it to free. */
static bool free_step(struct object *o)
{
    switch (o->type) {
    case OBJ_SPACE: return space_free_step(container_of(o, struct space, object));
    case OBJ_EVENT: event_free(container_of(o, struct event, object)); break;
    case OBJ_IRQ: irq_free(container_of(o, struct irq, object)); break;
    case OBJ_VCPU: vcpu_free(container_of(o, struct vcpu, object)); break;
    default: thread_free(container_of(o, struct thread, object));
    }
    return true;
}

void object_reap(void)
{
    static uint64_t period;
    for (unsigned n = 0; (waiting || ended) && n < FREED_PER_STEP; n++) {
        if (!waiting) {
            waiting = ended;
            ended = NULL;
            period = grace_next();
        }
        if (!grace_over(period))
            return;
        struct object *o = waiting, *next = o->next;
        if (o->type == OBJ_SPACE)
            n += FREED_PER_STEP / 4;
        if (!free_step(o))
            return;
        waiting = next;
    }
}
