/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A domain: a ring-3 address space, its handle table, its quota of kernel memory, its threads. Kernel lock held unless
 * said otherwise.
 */
#ifndef KERNEL_DOMAIN_H
#define KERNEL_DOMAIN_H

#include "kernel/object.h"
#include "mm/pagetable.h"

struct thread;
struct event;
struct mapping;
struct ports;
struct cpu;

/* The object's address, of which 48 bits tell all, above 4 bits of its type and 12 of rights; 0: none. One word, so
 * that it is read without a lock. The type is in it because in a section an object of another type may be gone. */
typedef uint64_t handle_t;
_Static_assert(OBJ_COUNT <= 1 << 4 && RIGHTS_ALL < 1u << 12, "");
static inline handle_t handle_of(struct object *o, uint32_t rights)
{
    return (uint64_t)(uintptr_t)o << 16 | (uint64_t)o->type << 12 | rights;
}
static inline uint32_t handle_type(handle_t h)
{
    return h >> 12 & 0xf;
}
static inline struct object *handle_object(handle_t h)
{
    return (struct object *)(uintptr_t)((int64_t)h >> 16);
}
#define HANDLES_PER_PAGE (PAGE_SIZE / sizeof(handle_t))

struct domain {
    struct object object;
    struct domain *parent; /* whose quota was split; NULL: root */
    struct domain *children,
        *sibling; /* a parent holds a reference to each child until the child is gone; they end with it */
    struct quota quota;
    struct pagetable tables;
    uint64_t cr3;                                      /* where they are */
    handle_t *handles[MAX_HANDLES / HANDLES_PER_PAGE]; /* atomic; pages that are there when they are needed */
    uint32_t ending;                                   /* spaces and vCPUs that it pays and that object_reap frees */
    uint32_t first_free;                               /* no slot below it is free, but 0 */
    struct thread *threads;
    struct mapping *mappings;
    struct cpuset cpus; /* on which its threads may run: all of them its maker's */
    uint32_t state;     /* enum domain_state; atomic: read by every CPU */
    uint32_t live_threads;
    uint32_t threads_made; /* at most DOMAIN_THREADS_MAX: steps that look at all of them stay short */
    struct event *death;
    uint64_t death_bits;
    uint64_t fault[4];
    struct ports *ports[DOMAIN_PORTS_MAX]; /* open; a reference each */
    uint32_t port_count;
    uint32_t owner;     /* its maker's number for it: TAG_* */
    bool foreign_input; /* what others have chosen runs in it: code, or data that steers branches */
    bool holds_data;    /* that others must not know */
    uint32_t tag;       /* its number of creation: no other domain has it */
    char log_line[128]; /* its line for the log, until it is whole: lines of several domains do not mix */
    uint32_t log_used;
    /* destruction: how far it has come */
    uint32_t phase;
    uint32_t next_handle;
    uint64_t flush_target, grace_period;
};

struct domain *domain_new(struct domain *parent, uint64_t quota_bytes); /* NULL: E_QUOTA */
enum error domain_destroy_step(struct domain *d) must_check;            /* E_AGAIN until it and its children are gone */
void domain_free(struct domain *d);                                     /* from object_put */

/* Puts a handle in; `slot` 0: the first free one. It takes over the caller's reference on success only. */
enum error handle_put(struct domain *d, struct object *o, uint32_t rights, uint32_t *slot) must_check;
/* Makes sure that the next handle_put into the first free slot succeeds: for objects that cannot be unmade. */
enum error handle_room(struct domain *d) must_check;
/* The object behind a handle with these rights, alive. types: a bit (1 << OBJ_*) for each type that it may have. Kernel
 * lock held; for an event, an irq or a vCPU a section is enough. */
enum error handle_get(struct domain *d, uint64_t slot, uint32_t types, uint32_t rights, struct object **out) must_check;
/* As handle_get, but a destroyed object is found too. */
enum error handle_any(struct domain *d, uint64_t slot, uint32_t rights, struct object **out,
                      uint32_t *rights_out) must_check;
enum error handle_close(struct domain *d, uint64_t slot) must_check;

/* Takes the lock itself: a thread of a domain has faulted, or its last thread ends. All its threads stop. */
void domain_fault(struct thread *t, uint64_t cr2);
void domain_stop(struct domain *d, enum domain_state state);
static inline bool domain_runs(const struct domain *d)
{
    return read_once(d->state) <= DOMAIN_RUNNING;
}

/* No lock: loads page tables and ports on this CPU. NULL: the kernel's own. */
void domain_switch(struct cpu *c, struct domain *d);
/* Opens them in the domain: E_QUOTA: it has as many as it can. Takes a reference. */
enum error domain_open_ports(struct domain *d, struct ports *p) must_check;

#endif
