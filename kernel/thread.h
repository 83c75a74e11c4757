/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads, and the loop in which each CPU decides what runs next.
 */
#ifndef KERNEL_THREAD_H
#define KERNEL_THREAD_H

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/traps.h"
#include "kernel/object.h"
#include "kernel/sched.h"
#include "mullion/cpuset.h"

struct event;
struct vcpu;

enum block { BLOCK_NONE = 0, BLOCK_EVENT, BLOCK_HALT /* in vcpu_run */, BLOCK_PARKED /* its domain has stopped */ };

struct thread {
    struct frame frame;    /* first: RSP0 points at its end */
    uint64_t kernel_stack; /* second: entry.asm takes it from here */
    struct object object;
    struct sched_entity entity;
    struct sched_budget budget; /* its own, if it has one */
    uint64_t not_run;           /* ticks that others had, or none, before its present turn on the CPU */
    struct cpu *cpu;            /* home, for good */
    struct domain *domain;
    struct thread *next; /* in the domain */
    struct vcpu *vcpu;
    /* waiting; the first two under the event's lock, the rest the home CPU's */
    struct event *waiting; /* atomic */
    uint64_t wait_mask;
    uint32_t block;
    bool timed, exited;
    uint64_t deadline;
    struct thread *timeout_next;
    /* the wake list of the home CPU; atomic */
    struct thread *wake_next;
    uint32_t wake_queued;
};

/* As the call thread_create says. */
struct new_thread {
    uint64_t entry, stack, arg, place, budget;
    struct thread *beside; /* whose budget it lives on too, or NULL */
};
/* Kernel lock held. The thread is made ready on its CPU. */
enum error thread_create(struct domain *d, const struct new_thread *start, struct thread **out) must_check;
void thread_free(struct thread *t);

/* Makes the thread's CPU look at it again: what it waited for has come, it was kicked, or its domain has stopped. Any
 * CPU, any context. */
void thread_wake(struct thread *t);
/* Home CPU: the current thread waits. deadline NEVER: none. */
void thread_block(struct thread *t, enum block why, uint64_t deadline);

/* Ring 0 was entered at `now`, because of `path` (a system call, or enum ring0_path). */
static inline __attribute__((always_inline)) void path_begin(struct cpu *c, uint32_t path, uint64_t now)
{
    c->entered = now, c->path = path;
}
/* Ring 0 is about to be left: how long was it there? */
static inline __attribute__((always_inline)) void path_end(struct cpu *c, uint64_t now)
{
    uint64_t ticks = now - c->entered;
    if (ticks > c->longest[c->path])
        write_once(c->longest[c->path], ticks);
}

/* Runs whatever is due on this CPU, for ever. Called at the bottom of the kernel stack with nothing held. */
noreturn void cpu_run(void);
/* Raises the flush generation and makes these CPUs drop their translations; flush_done tells when all of them have. It
 * may be asked about a set that CPUs have joined meanwhile: it makes those do so too. */
uint64_t flush_request(const struct cpuset *cpus);
bool flush_done(uint64_t generation, const struct cpuset *cpus);

#endif
