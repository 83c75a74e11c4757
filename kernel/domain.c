// SPDX-License-Identifier: Apache-2.0
#include "kernel/domain.h"

#include "arch/x86_64/instr.h"
#include "arch/x86_64/speculation.h"
#include "kernel/event.h"
#include "kernel/grace.h"
#include "kernel/hardware.h"
#include "kernel/log.h"
#include "kernel/memory.h"
#include "kernel/thread.h"
#include "kernel/vcpu.h"
#include "mm/hostmap.h"

#define HANDLES_PER_STEP 32
#define SEVERAL          (~0u) /* no domain's tag */
enum { PHASE_ALIVE = 0, PHASE_STOPPING, PHASE_WAITING, PHASE_FLUSHING, PHASE_HANDLES, PHASE_TABLES, PHASE_GONE };

static uint32_t domains_made;

struct domain *domain_new(struct domain *parent, uint64_t quota_bytes)
{
    struct quota *payer = parent ? &parent->quota : &kernel_quota;
    struct domain *d = pool_alloc(payer, sizeof *d);
    if (!d)
        return NULL;
    if (quota_move(payer, &d->quota, quota_bytes) != OK || pt_create(&d->tables, &pt_host, &d->quota) != OK) {
        (void)!quota_move(&d->quota, payer, d->quota.limit_bytes);
        pool_free(payer, d, sizeof *d);
        return NULL;
    }
    object_init(&d->object, OBJ_DOMAIN);
    d->parent = parent;
    d->holds_data = true;
    d->tag = ++domains_made;
    d->tables.root[KERNEL_SLOT] = kernel_tables.root[KERNEL_SLOT];
    d->cr3 = pool_hpa(d->tables.root).v;
    if (parent) {
        object_get(&parent->object);
        d->sibling = parent->children;
        parent->children = d;
        object_get(&d->object);
    }
    return d;
}

/* What nothing uses of it. */
static void return_quota(struct domain *d)
{
    (void)!quota_move(&d->quota, &d->parent->quota, d->quota.limit_bytes - d->quota.used_bytes);
}

void domain_free(struct domain *d)
{
    kassert(d->phase == PHASE_GONE && d->quota.used_bytes == 0 && d->parent);
    return_quota(d);
    object_free(d->parent, d, sizeof *d);
}

static handle_t *entry_of(struct domain *d, uint64_t slot)
{
    if (slot == 0 || slot >= MAX_HANDLES)
        return NULL;
    slot = checked_index(slot, MAX_HANDLES);
    handle_t *page = __atomic_load_n(&d->handles[slot / HANDLES_PER_PAGE], __ATOMIC_ACQUIRE);
    return page ? &page[slot % HANDLES_PER_PAGE] : NULL;
}

static handle_t handle_at(struct domain *d, uint64_t slot)
{
    handle_t *h = entry_of(d, slot);
    return h ? __atomic_load_n(h, __ATOMIC_SEQ_CST) : 0;
}

enum error handle_put(struct domain *d, struct object *o, uint32_t rights, uint32_t *slot)
{
    uint32_t at = *slot ? *slot : (uint32_t)max_u64(d->first_free, 1);
    for (; at < MAX_HANDLES; at++) {
        handle_t **page = &d->handles[at / HANDLES_PER_PAGE];
        if (!*page) {
            handle_t *new = pool_page(&d->quota);
            if (!new)
                return E_QUOTA;
            __atomic_store_n(page, new, __ATOMIC_RELEASE);
        }
        handle_t *h = entry_of(d, at);
        if (*slot && *h && object_dead(handle_object(*h)))
            (void)!handle_close(d, at);
        if (!*h) {
            __atomic_store_n(h, o ? handle_of(o, rights) : 0, __ATOMIC_SEQ_CST);
            d->first_free = *slot ? d->first_free : at;
            *slot = at;
            return OK;
        }
        if (*slot)
            return E_BUSY;
    }
    return *slot ? E_ARG : E_QUOTA;
}

enum error handle_room(struct domain *d)
{
    uint32_t slot = 0;
    return handle_put(d, NULL, 0, &slot); /* leaves the slot free, and its page there */
}

enum error handle_any(struct domain *d, uint64_t slot, uint32_t rights, struct object **out, uint32_t *rights_out)
{
    handle_t h = handle_at(d, slot);
    if (!h)
        return E_HANDLE;
    if ((h & rights) != rights)
        return E_RIGHTS;
    *out = handle_object(h);
    if (rights_out)
        *rights_out = h & RIGHTS_ALL;
    return OK;
}

enum error handle_get(struct domain *d, uint64_t slot, uint32_t types, uint32_t rights, struct object **out)
{
    handle_t h = handle_at(d, slot);
    struct object *o = handle_object(h);
    if (!h)
        return E_HANDLE;
    if (!(types >> handle_type(h) & 1))
        return E_TYPE;
    if (object_dead(o))
        return E_DEAD;
    *out = o;
    return (h & rights) == rights ? OK : E_RIGHTS;
}

enum error handle_close(struct domain *d, uint64_t slot)
{
    handle_t h = handle_at(d, slot);
    if (!h)
        return E_HANDLE;
    __atomic_store_n(entry_of(d, slot), 0, __ATOMIC_SEQ_CST);
    d->first_free = (uint32_t)min_u64(d->first_free, slot);
    object_put(handle_object(h));
    return OK;
}

/* Ports stay in the bitmap until another domain with ports comes. */
static void load_ports(struct cpu *c, const struct domain *d)
{
    c->open_ports = d ? d->port_count : 0;
    cpu_ports_reach(c, c->open_ports);
    if (c->open_ports == 0)
        return;
    cpu_reload_tr(c);
    if (c->ports_owner == d->tag && c->ports_held == c->open_ports)
        return;
    while (c->ports_held) {
        c->ports_held--;
        cpu_ports(c, c->ports[c->ports_held].first, c->ports[c->ports_held].last, false);
    }
    for (; c->ports_held < c->open_ports; c->ports_held++) {
        const struct ports *p = d->ports[c->ports_held];
        cpu_ports(c, p->first, p->last, true);
        c->ports[c->ports_held].first = p->first;
        c->ports[c->ports_held].last = p->last;
    }
    c->ports_owner = d->tag;
}

enum error domain_open_ports(struct domain *d, struct ports *p)
{
    if (d->port_count == DOMAIN_PORTS_MAX)
        return E_QUOTA;
    object_get(&p->object);
    d->ports[d->port_count] = p;
    __atomic_store_n(&d->port_count, d->port_count + 1, __ATOMIC_RELEASE); /* other CPUs may be looking */
    if (this_cpu()->domain == d) /* other CPUs load the ports when they next switch to it */
        load_ports(this_cpu(), d);
    return OK;
}

/* docs/memory.md has this as a table. */
static void owe_barriers(struct cpu *c, const struct domain *d)
{
    uint32_t owed = 0;
    if (c->data_of && c->data_of != d->tag)
        owed = BARRIER_L1D | BARRIER_BUFFERS;
    c->data_of = d->holds_data ? d->tag : 0;
    bool others = c->steered_by && c->steered_by != d->tag;
    if (others && d->holds_data) {
        owed |= BARRIER_PREDICTOR;
        c->steered_by = 0;
    } else if (others && d->foreign_input) {
        c->steered_by = SEVERAL;
    }
    if (!c->steered_by && d->foreign_input)
        c->steered_by = d->tag;
    c->owed |= owed & speculation_barriers;
}

void domain_switch(struct cpu *c, struct domain *d)
{
    c->domain = d;
    c->owed |= OWED_REGISTERS;
    if (unlikely(speculation_barriers) && d)
        owe_barriers(c, d);
    if (c->open_ports || (d && d->port_count))
        load_ports(c, d);
    write_cr3(d ? d->cr3 : pool_hpa(kernel_tables.root).v);
}

void domain_stop(struct domain *d, enum domain_state state)
{
    if (!domain_runs(d))
        return;
    __atomic_store_n(&d->state, state, __ATOMIC_SEQ_CST);
    for (struct thread *t = d->threads; t; t = t->next)
        thread_wake(t);
    if (d->death)
        event_signal(d->death, d->death_bits);
}

void domain_fault(struct thread *t, uint64_t cr2)
{
    if (t->cpu->vcpu) /* a page fault has overwritten its CR2, perhaps another domain's guest's */
        write_cr2(t->cpu->vcpu->cr2);
    kernel_lock();
    struct domain *d = t->domain;
    if (domain_runs(d)) {
        d->fault[0] = (t->frame.vector & 0xff) | t->frame.error << 32;
        d->fault[1] = t->frame.rip;
        d->fault[2] = cr2;
        d->fault[3] = t->frame.rsp;
        domain_stop(d, DOMAIN_FAULTED);
        if (!d->parent)
            panic("root, the first ring-3 program, has crashed at 0x%lx (exception %lu, address 0x%lx)", t->frame.rip,
                  t->frame.vector, cr2);
    }
    kernel_unlock();
}

static bool all_parked(const struct domain *d)
{
    for (struct thread *t = d->threads; t; t = t->next)
        if (__atomic_load_n(&t->block, __ATOMIC_ACQUIRE) != BLOCK_PARKED ||
            __atomic_load_n(&t->wake_queued, __ATOMIC_SEQ_CST))
            return false;
    return true;
}

static void free_threads(struct domain *d)
{
    while (d->threads) {
        struct thread *t = d->threads;
        d->threads = t->next;
        object_die(&t->object);
        t->cpu->ended_ticks += t->entity.ran;
        if (t->vcpu) {
            object_put(&t->vcpu->object); /* which frees it later */
            t->vcpu = NULL;
        }
        object_put(&t->object);
    }
}

static void leave_parent(struct domain *d)
{
    struct domain **at = &d->parent->children;
    while (*at != d)
        at = &(*at)->sibling;
    *at = d->sibling;
    object_put(&d->object);
}

static enum error destroy_step(struct domain *d)
{
    switch (d->phase) {
    case PHASE_ALIVE:
        if (!d->parent)
            return E_STATE;
        object_die(&d->object);
        if (d->death)
            object_put(&d->death->object);
        d->death = NULL;
        domain_stop(d, DOMAIN_DYING);
        d->phase = PHASE_STOPPING;
        return E_AGAIN;
    case PHASE_STOPPING:
        if (!all_parked(d))
            return E_AGAIN;
        for (struct thread *t = d->threads; t; t = t->next)
            if (t->vcpu)
                vcpu_end(t->vcpu);
        d->grace_period = grace_next();
        d->phase = PHASE_WAITING;
        return E_AGAIN;
    case PHASE_WAITING: /* for signals and kicks on their way: the last that can put a thread on a wake list */
        if (!grace_over(d->grace_period) || !all_parked(d))
            return E_AGAIN;
        d->flush_target = flush_request(&d->tables.cpus);
        d->phase = PHASE_FLUSHING;
        return E_AGAIN;
    case PHASE_FLUSHING: /* its CPUs have emptied their wake lists and translations since */
        if (!flush_done(d->flush_target, &d->tables.cpus))
            return E_AGAIN;
        free_threads(d);
        d->phase = PHASE_HANDLES;
        return E_AGAIN;
    case PHASE_HANDLES:
        for (unsigned n = 0; n < HANDLES_PER_STEP; n++, d->next_handle++) {
            if (d->next_handle == MAX_HANDLES) {
                for (unsigned i = 0; i < ARRAY_SIZE(d->handles); i++)
                    if (d->handles[i])
                        pool_page_free(&d->quota, d->handles[i]);
                d->phase = PHASE_TABLES;
                return E_AGAIN;
            }
            if (!d->handles[d->next_handle / HANDLES_PER_PAGE])
                d->next_handle |= HANDLES_PER_PAGE - 1;
            else
                (void)!handle_close(d, d->next_handle);
        }
        return E_AGAIN;
    case PHASE_TABLES:
        while (d->port_count)
            object_put(&d->ports[--d->port_count]->object);
        for (unsigned n = 0; n < MAPPINGS_PER_STEP && d->mappings; n++)
            mapping_free(d->mappings);
        if (d->ending || d->mappings || !pt_free_step(&d->tables, 256, TABLES_PER_STEP))
            return E_AGAIN;
        d->phase = PHASE_GONE;
        return_quota(d); /* now: it may be long until the last handle to it is closed */
        leave_parent(d);
        return OK;
    default: return E_DEAD;
    }
}

/* Children end first, theirs before them; but each domain is stopped before its children are looked at, so that it
 * makes no more. */
enum error domain_destroy_step(struct domain *d)
{
    struct domain *x = d;
    while (x->phase != PHASE_ALIVE && x->children)
        x = x->children;
    enum error e = destroy_step(x);
    return x == d ? e : E_AGAIN;
}
