// SPDX-License-Identifier: Apache-2.0
/*
 * Ownership and mappings of physical memory. A memory object that is destroyed goes through: out of all tables, flushed
 * from all CPUs, zeroed, back to free. Frames are free again only after the last of these.
 */
#include "kernel/memory.h"

#include "kernel/audit_view.h"
#include "kernel/domain.h"
#include "kernel/hardware.h"
#include "kernel/klog_ring.h"
#include "kernel/string.h"
#include "kernel/thread.h"
#include "mm/hostmap.h"

#define SCRUB_STEP   (256ull << 10)
#define MAPPINGS_MAX 1024u /* in a table: a call looks through them */
enum { PHASE_ALIVE = 0, PHASE_UNMAPPING, PHASE_FLUSHING, PHASE_SCRUBBING, PHASE_GONE };

struct audit_view shown __attribute__((section(".bss.audit_view"), aligned(4096)));

struct memory *memory_new(struct domain *payer, hpa_t base, uint64_t size, uint32_t tag, bool is_ram, enum error *e)
{
    *e = E_QUOTA;
    struct memory *m = object_new(payer, sizeof *m);
    if (!m)
        return NULL;
    object_init(&m->object, OBJ_MEMORY);
    m->payer = payer;
    m->is_ram = is_ram;
    m->range = (struct ledger_range){.base = base, .size = size, .tag = tag};
    *e = is_ram ? OK : ledger_insert(&shown.ledger, &m->range);
    if (*e == OK)
        return m;
    object_free(payer, m, sizeof *m);
    return NULL;
}

/* The last handle has gone, and no table shows it. Memory that was not destroyed keeps its place in the ledger, and so
 * its shell: the frames were not zeroed, so no domain may get them. */
void memory_free(struct memory *m)
{
    if (m->device)
        ledger_remove(&shown.ledger, &m->range);
    if (m->device || m->phase == PHASE_GONE)
        object_free(m->payer, m, sizeof *m);
    else
        klog(LOG_WARN, "memory 0x%lx+0x%lx was abandoned without being destroyed; it stays out of use", m->range.base.v,
             m->range.size);
}

struct memory *memory_carve(struct domain *payer, struct memory *ram, uint64_t offset, uint64_t size, uint32_t tag,
                            enum error *e)
{
    *e = !ram->is_ram ? E_TYPE : E_ARG;
    if (!ram->is_ram || size == 0 || ((offset | size) & PAGE_MASK) || offset >= ram->range.size ||
        size > ram->range.size - offset)
        return NULL;
    return memory_new(payer, hpa(ram->range.base.v + offset), size, tag, false, e);
}

struct memory *memory_device(struct domain *payer, uint64_t base, uint64_t size, uint32_t tag, enum error *e)
{
    *e = hardware_is_device(base, size);
    struct memory *m = *e == OK ? memory_new(payer, hpa(base), size, tag, false, e) : NULL;
    if (m)
        m->device = true;
    return m;
}

/* The mapping that an earlier step of the same call has begun; NULL: none. */
static struct mapping *begun(struct mapping *list, const struct mapping *wanted)
{
    for (struct mapping *x = list; x; x = x->target_next)
        if (x->made < x->size && x->cleared == 0 && x->memory == wanted->memory && x->address == wanted->address &&
            x->offset == wanted->offset && x->size == wanted->size && x->rights == wanted->rights)
            return x;
    return NULL;
}

static struct mapping *mapping_new(const struct map_target *target, const struct mapping *wanted)
{
    struct mapping *x = target->tables->mappings < MAPPINGS_MAX ? object_new(target->payer, sizeof *x) : NULL;
    if (!x)
        return NULL;
    *x = *wanted;
    target->tables->mappings++;
    object_get(&x->memory->object);
    x->memory_next = x->memory->mappings;
    x->memory_back = &x->memory->mappings;
    x->target_next = *target->list;
    x->target_back = target->list;
    if (x->memory_next)
        x->memory_next->memory_back = &x->memory_next;
    if (x->target_next)
        x->target_next->target_back = &x->target_next;
    x->memory->mappings = x;
    *target->list = x;
    return x;
}

enum error mapping_make_step(const struct map_target *target, struct memory *m, uint64_t address, uint64_t offset,
                             uint64_t size, uint32_t rights)
{
    if (m->is_ram)
        return E_TYPE;
    uint32_t type = rights & (MAP_UNCACHED | MAP_COMBINING);
    if (size == 0 || ((address | offset | size) & PAGE_MASK) || offset >= m->range.size ||
        size > m->range.size - offset || (m->device ? !type || (type & (type - 1)) || (rights & RIGHT_EXEC) : type))
        return E_ARG;
    const struct mapping wanted = {.memory = m,
                                   .payer = target->payer,
                                   .tables = target->tables,
                                   .address = address,
                                   .size = size,
                                   .offset = offset,
                                   .rights = rights};
    struct mapping *x = begun(*target->list, &wanted);
    if (!x)
        x = mapping_new(target, &wanted);
    if (!x)
        return E_QUOTA;
    uint64_t done, at = m->range.base.v + offset + x->made;
    enum error e = pt_map_step(x->tables, address + x->made, hpa(at), size - x->made, rights, &done);
    if (e == OK)
        x->made += done;
    else if (x->made == 0)
        mapping_free(x);
    return e == OK && x->made < size ? E_AGAIN : e;
}

void mapping_free(struct mapping *x)
{
    *x->memory_back = x->memory_next;
    if (x->memory_next)
        x->memory_next->memory_back = x->memory_back;
    *x->target_back = x->target_next;
    if (x->target_next)
        x->target_next->target_back = x->target_back;
    x->tables->mappings--;
    object_put(&x->memory->object);
    object_free(x->payer, x, sizeof *x);
}

/* True: all of it is out of the table. */
static bool clear_step(struct mapping *x)
{
    if (x->cleared < x->made)
        x->cleared += pt_unmap_step(x->tables, x->address + x->cleared, x->made - x->cleared);
    return x->cleared == x->made;
}

enum error mapping_remove_step(struct mapping *list, uint64_t address)
{
    struct mapping *x = list;
    while (x && x->address != address)
        x = x->target_next;
    if (!x)
        return E_ARG;
    if (!clear_step(x))
        return E_AGAIN;
    if (x->flush_target == 0)
        x->flush_target = flush_request(&x->tables->cpus);
    if (!flush_done(x->flush_target, &x->tables->cpus))
        return E_AGAIN;
    mapping_free(x);
    return OK;
}

struct result mapping_protect_step(struct mapping *list, uint64_t address, uint64_t size, uint32_t rights)
{
    struct mapping *x = list;
    while (x && (x->cleared != 0 || address - x->address >= x->made))
        x = x->target_next;
    if (!x || size == 0 || ((address | size) & PAGE_MASK) || size > x->made - (address - x->address) ||
        (rights & ~x->rights))
        return result_of(E_ARG);
    if (rights)
        rights |= x->rights & ~(uint32_t)(RIGHT_READ | RIGHT_WRITE | RIGHT_EXEC); /* those that ring 3 does not name */
    struct pt_change change;
    hpa_t frame = hpa(x->memory->range.base.v + x->offset + (address - x->address));
    enum error e = pt_protect(x->tables, address, frame, size, rights, &change);
    if (e == OK && change.stale)
        x->protect_target = flush_request(&x->tables->cpus);
    if (e == OK && !flush_done(x->protect_target, &x->tables->cpus))
        e = E_AGAIN;
    return e == OK ? done(change.done) : result_of(e);
}

/* Without the kernel's lock, which the caller holds: no other CPU waits for it. Its thread alone is in here. */
static void scrub(struct memory *m)
{
    m->being_scrubbed = true;
    shown.generation++; /* nothing changes meanwhile */
    kernel_unlock();
    uint64_t at = m->range.base.v + m->scrubbed;
    uint64_t bytes = min_u64(min_u64(m->range.size - m->scrubbed, SCRUB_STEP), SIZE_2M - (at & (SIZE_2M - 1)));
    memset(window_open(hpa(at)), 0, bytes);
    window_close();
    kernel_lock();
    shown.generation++;
    m->being_scrubbed = false;
    m->scrubbed += bytes;
}

enum error memory_destroy_step(struct memory *m)
{
    if (m->keep || m->is_ram || m->device)
        return E_STATE;
    switch (m->phase) {
    case PHASE_ALIVE:
        object_die(&m->object); /* no new mapping from here on */
        m->phase = PHASE_UNMAPPING;
        return E_AGAIN;
    case PHASE_UNMAPPING:
        for (unsigned n = 0; m->mappings; n++) {
            if (n == MAPPINGS_PER_STEP)
                return E_AGAIN;
            struct mapping *x = m->mappings;
            if (!clear_step(x))
                return E_AGAIN;
            cpuset_add(&m->flush_cpus, &x->tables->cpus);
            mapping_free(x);
        }
        m->flush_target = flush_request(&m->flush_cpus);
        m->phase = PHASE_FLUSHING;
        return E_AGAIN;
    case PHASE_FLUSHING:
        if (!flush_done(m->flush_target, &m->flush_cpus))
            return E_AGAIN;
        m->phase = PHASE_SCRUBBING;
        return E_AGAIN;
    case PHASE_SCRUBBING:
        if (m->being_scrubbed)
            return E_AGAIN;
        if (m->scrubbed < m->range.size) {
            scrub(m);
            return E_AGAIN;
        }
        ledger_remove(&shown.ledger, &m->range);
        m->phase = PHASE_GONE;
        return OK;
    default: return E_DEAD;
    }
}
