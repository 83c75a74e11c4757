/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events: 64 bits that threads signal. One thread at a time waits for them; or they are bound to a vCPU, whose vcpu_run
 * returns with them. Each has a lock of its own. An event is reached in a section (kernel/grace.h), with the kernel's
 * lock, or through a reference.
 */
#ifndef KERNEL_EVENT_H
#define KERNEL_EVENT_H

#include "kernel/lock.h"
#include "kernel/object.h"

struct thread;
struct vcpu;

struct event {
    struct object object;
    struct domain *payer;
    struct lock lock; /* of what follows */
    uint64_t bits;    /* atomic: read without it */
    struct thread *waiter;
    struct vcpu *vcpu; /* that it is bound to */
};

/* Kernel lock held for these three. event_destroy tells the waiter; object_put of the last reference calls it too. */
struct event *event_new(struct domain *payer) must_check;
void event_destroy(struct event *e);
void event_free(struct event *e); /* from object_reap */

void event_signal(struct event *e, uint64_t bits);
/* E_AGAIN: the thread, the caller's, now waits, until the value at the latest; its result comes with the wake-up. */
struct result event_wait(struct event *e, struct thread *t, uint64_t mask, uint64_t deadline);
/* On the thread's CPU, outside of a section: it waits no longer (deadline, or its domain's end). False: it had been
 * served already. */
bool event_forget(struct thread *t);

/* Kernel lock held. E_BUSY: it is bound, or a thread waits; E_STATE: the vCPU has one. The vCPU gets a reference. */
enum error event_bind(struct event *e, struct vcpu *v) must_check;
/* Kernel lock held: the vCPU hears no more of it. */
void event_unbind(struct event *e);
/* The vCPU's CPU: all bits, which are clear from now on. */
uint64_t event_take(struct event *e);

#endif
