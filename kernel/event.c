// SPDX-License-Identifier: Apache-2.0
#include "kernel/event.h"

#include "arch/x86_64/instr.h"
#include "kernel/thread.h"

struct event *event_new(struct domain *payer)
{
    struct event *e = object_new(payer, sizeof *e);
    if (!e)
        return NULL;
    object_init(&e->object, OBJ_EVENT);
    e->payer = payer;
    return e;
}

static void answer(struct event *e, enum error error, uint64_t value)
{
    struct thread *t = e->waiter;
    t->frame.rax = error;
    t->frame.rdx = value;
    __atomic_store_n(&t->waiting, NULL,
                     __ATOMIC_RELEASE); /* its CPU may look before the wake-up: then with the answer there */
    e->waiter = NULL;
    object_put(&e->object);
    thread_wake(t);
}

void event_signal(struct event *e, uint64_t bits)
{
    if (e->object.dead)
        return;
    e->bits |= bits;
    uint64_t met = e->waiter ? e->bits & e->waiter->wait_mask : 0;
    if (!met)
        return;
    e->bits &= ~met;
    answer(e, OK, met);
}

struct result event_wait(struct event *e, struct thread *t, uint64_t mask, uint64_t deadline)
{
    if (e->bits & mask) {
        uint64_t met = e->bits & mask;
        e->bits &= ~met;
        return done(met);
    }
    if (e->waiter)
        return result_of(E_BUSY);
    if (deadline != NEVER && rdtsc() >= deadline)
        return result_of(E_TIMEOUT);
    object_get(&e->object);
    e->waiter = t;
    t->waiting = e;
    t->wait_mask = mask;
    return (struct result){E_AGAIN, deadline};
}

bool event_forget(struct thread *t)
{
    struct event *e = t->waiting;
    if (!e)
        return false;
    e->waiter = NULL;
    t->waiting = NULL;
    object_put(&e->object);
    return true;
}

void event_destroy(struct event *e)
{
    e->object.dead = true;
    if (e->waiter)
        answer(e, E_DEAD, 0);
}
