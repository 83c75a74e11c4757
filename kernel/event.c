// SPDX-License-Identifier: Apache-2.0
#include "kernel/event.h"

#include "arch/x86_64/instr.h"
#include "kernel/grace.h"
#include "kernel/thread.h"
#include "kernel/vcpu.h"

struct event *event_new(struct domain *payer)
{
    struct event *e = object_new(payer, sizeof *e);
    if (!e)
        return NULL;
    object_init(&e->object, OBJ_EVENT);
    e->payer = payer;
    return e;
}

void event_free(struct event *e)
{
    object_free(e->payer, e, sizeof *e);
}

/* Its lock held. The waiter's CPU may look before the wake-up: it finds the answer there. */
static void answer(struct event *e, enum error error, uint64_t value)
{
    struct thread *t = e->waiter;
    e->waiter = NULL;
    t->frame.rax = error;
    t->frame.rdx = value;
    __atomic_store_n(&t->waiting, NULL, __ATOMIC_SEQ_CST);
    thread_wake(t);
}

void event_signal(struct event *e, uint64_t bits)
{
    lock(&e->lock);
    bits |= e->bits;
    uint64_t met = e->waiter ? bits & e->waiter->wait_mask : 0;
    write_once(e->bits, bits & ~met);
    if (met)
        answer(e, OK, met);
    if (e->vcpu)
        vcpu_kick(e->vcpu);
    unlock(&e->lock);
}

uint64_t event_take(struct event *e)
{
    lock(&e->lock);
    uint64_t bits = __atomic_exchange_n(&e->bits, 0, __ATOMIC_RELAXED);
    unlock(&e->lock);
    return bits;
}

struct result event_wait(struct event *e, struct thread *t, uint64_t mask, uint64_t deadline)
{
    struct result r = {E_AGAIN, deadline};
    lock(&e->lock);
    uint64_t met = e->bits & mask;
    if (object_dead(&e->object)) {
        r = result_of(E_DEAD);
    } else if (met) {
        write_once(e->bits, e->bits & ~met);
        r = done(met);
    } else if (e->waiter || e->vcpu) {
        r = result_of(E_BUSY);
    } else if (deadline != NEVER && rdtsc() >= deadline) {
        r = result_of(E_TIMEOUT);
    } else {
        e->waiter = t;
        t->wait_mask = mask;
        __atomic_store_n(&t->waiting, e, __ATOMIC_RELAXED); /* its own CPU looks */
    }
    unlock(&e->lock);
    return r;
}

bool event_forget(struct thread *t)
{
    section_open(t->cpu);
    struct event *e = __atomic_load_n(&t->waiting, __ATOMIC_SEQ_CST);
    bool waits = false;
    if (e) {
        lock(&e->lock);
        waits = e->waiter == t;
        if (waits) {
            e->waiter = NULL;
            __atomic_store_n(&t->waiting, NULL, __ATOMIC_RELAXED);
        }
        unlock(&e->lock);
    }
    section_close(t->cpu);
    return waits;
}

void event_destroy(struct event *e)
{
    lock(&e->lock);
    object_die(&e->object);
    e->vcpu = NULL;
    if (e->waiter)
        answer(e, E_DEAD, 0);
    unlock(&e->lock);
}

enum error event_bind(struct event *e, struct vcpu *v)
{
    if (v->event)
        return E_STATE;
    lock(&e->lock);
    enum error error = e->waiter || e->vcpu ? E_BUSY : OK;
    if (error == OK) {
        object_get(&e->object);
        v->event = e;
        e->vcpu = v;
        if (e->bits)
            vcpu_kick(v);
    }
    unlock(&e->lock);
    return error;
}

void event_unbind(struct event *e)
{
    lock(&e->lock);
    e->vcpu = NULL;
    unlock(&e->lock);
}
