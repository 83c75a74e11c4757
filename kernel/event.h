/* SPDX-License-Identifier: Apache-2.0 */
/* Events: 64 bits that threads signal and one thread waits for. Kernel lock held. */
#ifndef KERNEL_EVENT_H
#define KERNEL_EVENT_H

#include "kernel/object.h"

struct thread;

struct event {
    struct object object;
    struct domain *payer;
    uint64_t bits;
    struct thread *waiter;
};

struct event *event_new(struct domain *payer) must_check;
void event_signal(struct event *e, uint64_t bits);
/* E_AGAIN: the thread now waits, until the value at the latest; its result comes with the wake-up. */
struct result event_wait(struct event *e, struct thread *t, uint64_t mask, uint64_t deadline);
/* The thread waits no longer (deadline, or its domain's end). False: it had been served already. */
bool event_forget(struct thread *t);
void event_destroy(struct event *e);

#endif
