/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every kernel object starts with. Objects come from the pool and are paid for by a domain's quota. A reference is
 * held by each handle and by each object that points here, but for a thread and a vCPU that an event points to. A
 * destroyed object stays as an inert shell until the last reference goes.
 */
#ifndef KERNEL_OBJECT_H
#define KERNEL_OBJECT_H

#include "mullion/abi.h"
#include "mullion/types.h"

struct domain;

struct object {
    uint8_t type; /* enum object_type */
    bool dead;    /* atomic */
    uint32_t references;
    struct object *next; /* of those that wait for a grace period */
};

#define container_of(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* Kernel lock held for all of these. */
void kernel_lock(void);
void kernel_unlock(void);

static inline void object_init(struct object *o, enum object_type type)
{
    *o = (struct object){.type = (uint8_t)type, .references = 1};
}
static inline void object_get(struct object *o)
{
    o->references++;
}
/* Drops a reference; the last one ends the object. One that is reached without the lock (kernel/grace.h), or is large,
 * is freed later, by object_reap. */
void object_put(struct object *o);
/* Frees a bounded number of those whose grace period is over. */
void object_reap(void);
static inline bool object_dead(const struct object *o)
{
    return __atomic_load_n(&o->dead, __ATOMIC_SEQ_CST);
}
static inline void object_die(struct object *o)
{
    __atomic_store_n(&o->dead, true, __ATOMIC_SEQ_CST);
}

/* A new object of `size` bytes, zeroed, paid by `payer` (which gets a reference); NULL: quota. And its end. */
void *object_new(struct domain *payer, size_t size) must_check;
void object_free(struct domain *payer, void *p, size_t size);

struct result {
    enum error error;
    uint64_t value;
};
static inline struct result result_of(enum error e)
{
    return (struct result){e, 0};
}
static inline struct result done(uint64_t value)
{
    return (struct result){OK, value};
}

#endif
