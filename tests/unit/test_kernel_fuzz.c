// SPDX-License-Identifier: Apache-2.0
// sources: @kernel lib/calls.c
// libs: -include tests/unit/fake_cpu.h -Wl,--wrap=pool_free -Wl,--wrap=pool_page_free
/*
 * Random system calls from hostile ring-3 domains. Whatever they ask for: no panic, no right that was not granted,
 * nothing mapped that a mapping object and the ledger do not answer for, nothing of a bystander changed, and when all
 * is destroyed the kernel's memory is as before. What the pool gets back is overwritten, so that a use after it shows.
 * KERNEL_FUZZ_SEED=n repeats one run, KERNEL_FUZZ_CALLS=n sets its length.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "fake_machine.h"
#include "lib/calls.h"
#include "pt_lookup.h"

#define HOSTILE     4u
#define MEMORIES    6u
#define EVENTS      4u
#define RUNS        24u
#define CALLS       12000u
#define CHECK_EVERY 1500u
#define MEMORY_SIZE (2ull << 20)
#define VA          0x10000000ull
#define ENTRY_FRAME 0x000ffffffffff000ull

/* ---- the pool forgets nothing by itself: make it */

void __real_pool_free(struct quota *q, void *object, size_t size);
void __real_pool_page_free(struct quota *q, void *page);
void __wrap_pool_free(struct quota *q, void *object, size_t size);
void __wrap_pool_page_free(struct quota *q, void *page);
void __wrap_pool_free(struct quota *q, void *object, size_t size)
{
    __real_pool_free(q, object, size);
    if (object)
        memset(object, 0xdd, size);
}
void __wrap_pool_page_free(struct quota *q, void *page)
{
    __real_pool_page_free(q, page);
    if (page)
        memset(page, 0xdd, PAGE_SIZE);
}

/* ---- chance */

static uint64_t seed;
static uint64_t any(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed * 0x2545f4914f6cdd1dull;
}
static uint64_t below(uint64_t n)
{
    return (any() >> 11) % n;
}
static bool once_in(uint64_t n)
{
    return below(n) == 0;
}

/* ---- the cast */

static struct {
    uint64_t handle;
} hostile[HOSTILE];
static uint64_t memory[MEMORIES], event[EVENTS];
/* What hostile domains may hold of an object that root made, at the most. */
static struct {
    struct object *object;
    uint32_t rights;
} allowed[MEMORIES + EVENTS + 8];
static unsigned allowed_count;
static uint64_t bystander_handle, bystander_memory, bystander_event, calls_made, calls_good;
static uint64_t made_of[SYS_COUNT + 1], good_of[SYS_COUNT + 1];
static struct thread *bystander;

static void allow(struct object *o, uint32_t rights)
{
    for (unsigned i = 0; i < allowed_count; i++)
        if (allowed[i].object == o) {
            allowed[i].rights |= rights;
            return;
        }
    assert_true(allowed_count < ARRAY_SIZE(allowed));
    allowed[allowed_count].object = o;
    allowed[allowed_count++].rights = rights;
}

static struct object *object_of(uint64_t slot)
{
    struct object *o = NULL;
    assert_int_equal(handle_any(root, slot, 0, &o, NULL), OK);
    return o;
}

static void give(uint64_t domain, uint64_t handle, uint32_t rights)
{
    uint32_t has;
    struct object *o;
    assert_int_equal(handle_any(root, handle, 0, &o, &has), OK);
    struct answer a = call4(root_thread, SYS_HANDLE_GRANT, domain, handle, rights, 0);
    if (a.error == OK && o->type != OBJ_DOMAIN) /* domains come and go */
        allow(o, has & rights);
}

/* A hostile domain, with itself, some memory, some events and the singletons in its table, each with rights by chance.
 */
static void make_hostile(unsigned i)
{
    struct answer a = call3(root_thread, SYS_DOMAIN_CREATE, 40 + below(200), once_in(2) ? event[below(EVENTS)] : 0,
                            any());
    if (a.error != OK) {
        hostile[i].handle = 0;
        return;
    }
    hostile[i].handle = a.value;
    add_cpus(root_thread, a.value, 0, MACHINE_CPUS - 1);
    give(a.value, a.value, once_in(4) ? (uint32_t)any() & RIGHTS_ALL : RIGHTS_ALL);
    for (unsigned n = 0; n < MEMORIES; n++)
        if (once_in(2))
            give(a.value, memory[n],
                 (once_in(2) ? RIGHT_READ | RIGHT_WRITE : 0) |
                     ((uint32_t)any() & RIGHTS_ALL & (once_in(4) ? ~0u : ~RIGHT_DESTROY)));
    for (unsigned n = 0; n < EVENTS; n++)
        if (once_in(2))
            give(a.value, event[n], (uint32_t)any() & (RIGHTS_ALL & ~RIGHT_DESTROY));
    give(a.value, ROOT_SLOT_LOG, once_in(2) ? RIGHTS_ALL : RIGHT_SIGNAL);
    give(a.value, PORTS_SLOT, (uint32_t)any() & RIGHTS_ALL);
    if (once_in(2))
        give(a.value, ROOT_SLOT_HARDWARE, once_in(4) ? RIGHT_GRANT : RIGHTS_ALL);
    if (once_in(2))
        give(a.value, IRQ_SLOT, RIGHT_SIGNAL | RIGHT_GRANT);
    for (unsigned n = 1 + (unsigned)below(3); n-- > 0;) {
        struct answer t = call(root_thread, SYS_THREAD_CREATE, a.value, 0x400000, 0x800000, i,
                               SCHED_PLACE(1 + below(2), 3), once_in(4) ? 500ull | 2000ull << 32 : 0);
        if (t.error == OK) /* its shell would keep the domain's, and that its quota */
            assert_int_equal(call1(root_thread, SYS_HANDLE_CLOSE, t.value).error, OK);
    }
}

static uint64_t bystander_digest(void)
{
    const struct domain *d = bystander->domain;
    uint64_t sum = d->quota.used_bytes * 31 + d->quota.limit_bytes, h = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(d->handles); i++)
        for (unsigned k = 0; d->handles[i] && k < HANDLES_PER_PAGE; k++)
            h = h * 1099511628211ull + d->handles[i][k];
    for (uint64_t va = VA; va < VA + 0x40000; va += PAGE_SIZE) {
        hpa_t frame = {0};
        uint32_t rights = 0;
        (void)pt_lookup(&d->tables, va, &frame, &rights, NULL);
        h = h * 1099511628211ull + frame.v + rights;
    }
    const struct event *e = object_at(bystander, 3);
    h = h * 1099511628211ull + e->bits + (e->waiter == NULL) + e->object.dead;
    const struct memory *m = object_at(bystander, 2);
    for (uint64_t i = 0; i < m->range.size; i += 61)
        h = h * 31 + ram[m->range.base.v - RAM_BASE + i];
    return h ^ sum << 1 ^ d->state ^ d->port_count << 8 ^ d->live_threads << 16;
}

static void make_bystander(void)
{
    bystander_event = made(call0(root_thread, SYS_EVENT_CREATE));
    bystander_handle = domain_on(root_thread, 64, 0, 2, 0, 0);
    bystander_memory = made(call4(root_thread, SYS_MEMORY_CARVE, RAM_SLOT, RAM_SIZE - (2ull << 20), 0x40000, 9));
    made(call4(root_thread, SYS_HANDLE_GRANT, bystander_handle, bystander_handle, RIGHTS_ALL, 1));
    made(call4(root_thread, SYS_HANDLE_GRANT, bystander_handle, bystander_memory, RIGHTS_ALL, 2));
    made(call4(root_thread, SYS_HANDLE_GRANT, bystander_handle, bystander_event, RIGHTS_ALL, 3));
    uint64_t rw = RIGHT_READ | RIGHT_WRITE;
    assert_int_equal(call(root_thread, SYS_MAP, bystander_handle, VA, bystander_memory, 0, 0x40000, rw).error, OK);
    uint64_t t = made(
        call(root_thread, SYS_THREAD_CREATE, bystander_handle, 0x400000, 0x800000, 0, SCHED_PLACE(1, 4), 0));
    bystander = object_at(root_thread, t);
    for (uint64_t i = 0; i < 0x40000; i++)
        ram[RAM_SIZE - (2ull << 20) + i] = (uint8_t)(i * 7 + i / 251);
    run_cpu(1);
    assert_true(call3(bystander, SYS_EVENT_WAIT, 3, 1, NEVER).blocked); /* for ever: no other domain has its event */
}

/* ---- arguments */

static const struct domain *whose;
/* Mostly one of these types from the caller's own table: an attacker knows what it has. */
static uint64_t a_handle(uint32_t types)
{
    switch (below(16)) {
    case 0: return any();
    case 1: return below(MAX_HANDLES + 8);
    case 2: return 1 + below(48);
    default: break;
    }
    uint64_t found = 0, seen = 0;
    for (uint64_t slot = 1; slot < MAX_HANDLES; slot++) {
        const handle_t *page = whose->handles[slot / HANDLES_PER_PAGE];
        if (!page) {
            slot |= HANDLES_PER_PAGE - 1;
            continue;
        }
        const struct object *o = handle_object(page[slot % HANDLES_PER_PAGE]);
        if (o && (types >> o->type & 1) && below(++seen) == 0)
            found = slot;
    }
    return found;
}
static uint64_t an_address(void)
{
    switch (below(24)) {
    case 0: return any();
    case 1: return any() & ~PAGE_MASK;
    case 2: return USER_VA_MAX - PAGE_SIZE * below(4);
    case 3: return USER_VA_MIN + PAGE_SIZE * below(4);
    case 4: return VA + (below(4) << 21);
    case 5: return below(8) << 30;
    default: return VA + PAGE_SIZE * below(600);
    }
}
static uint64_t a_size(void)
{
    switch (below(12)) {
    case 0: return any();
    case 1: return any() & ~PAGE_MASK;
    case 2: return 2ull << 20;
    default: return PAGE_SIZE * below(24);
    }
}
static uint64_t an_offset(void)
{
    switch (below(16)) {
    case 0: return any();
    case 1: return 0 - PAGE_SIZE * below(8);
    default: return once_in(2) ? 0 : PAGE_SIZE * below(once_in(2) ? 16 : 520);
    }
}
static uint64_t rights(void)
{
    return once_in(8) ? any() : any() & RIGHTS_ALL;
}
static uint64_t when(void)
{
    return once_in(60) ? any() : once_in(60) ? NEVER : once_in(3) ? 0 : now + below(30000000);
}
static uint64_t edge(void)
{
    static const uint64_t v[] = {0, 1, 2, 0xff, 0x100, 0xffff, 0xffffffff, 0x100000000, INT64_MAX, 1ull << 63, ~0ull};
    return once_in(2) ? v[below(ARRAY_SIZE(v))] : any();
}

static uint64_t an_argument(enum argument_kind kind, uint32_t of)
{
    switch (kind) {
    case ARGUMENT_HANDLE: return a_handle(of);
    case ARGUMENT_BELOW: return once_in(8) ? any() : below(of);
    case ARGUMENT_ADDRESS: return an_address();
    case ARGUMENT_SIZE: return a_size();
    case ARGUMENT_OFFSET: return an_offset();
    case ARGUMENT_RIGHTS:
        return once_in(3) ? rights() : RIGHT_READ | (once_in(2) ? RIGHT_WRITE : 0) | (once_in(4) ? MAP_UNCACHED : 0);
    case ARGUMENT_DEADLINE: return when();
    case ARGUMENT_PLACE: return SCHED_PLACE(below(4), below(5));
    case ARGUMENT_HARDWARE: /* an address: somewhere around the RAM */
        return once_in(2) ? below(MACHINE_LINES + 2)
                          : a_size() + (once_in(2) ? 0 : RAM_BASE + RAM_SIZE * (below(4) - 1));
    case ARGUMENT_ROW: return below(3) | (once_in(2) ? 0 : below(70) << 8 | below(14) << 16);
    case ARGUMENT_DOORBELL: return once_in(2) ? below(8) : below(4) << 12 | below(18) << 56;
    case ARGUMENT_NUMBER: break;
    }
    return once_in(2) ? edge() : 0;
}

/* Arguments target and address: mostly those of a mapping that there is, as the caller well knows. */
static void where_something_is(struct domain *d, uint64_t x[6])
{
    struct object *o;
    if (x[0] >= MAX_HANDLES || once_in(4) || handle_any(d, x[0], 0, &o, NULL) != OK)
        return;
    const struct mapping *m = NULL;
    if (o->type == OBJ_DOMAIN)
        m = container_of(o, struct domain, object)->mappings;
    else if (o->type == OBJ_SPACE)
        m = container_of(o, struct space, object)->mappings;
    for (uint64_t skip = below(5); m && m->target_next && skip > 0; skip--)
        m = m->target_next;
    if (m)
        x[1] = m->address;
}

/* Another thread of the monitor, or the monitor itself, writes into the state page; and the guest does something. */
static void guest_does(struct vcpu *v)
{
    struct vcpu_state *s = v->state;
    if (once_in(3)) {
        uint8_t *bytes = (uint8_t *)s;
        for (unsigned i = 0; i < 40; i++)
            bytes[below(sizeof *s)] = (uint8_t)any();
    }
    v->state->exit = (struct vcpu_exit){
        .reason = (uint32_t)below(EXIT_COUNT), .insn_len = (uint32_t)below(16), .detail = 0};
    if (v->state->exit.reason == EXIT_PORT) {
        v->state->exit.port.port = (uint16_t)below(8);
        v->state->exit.port.size = (uint8_t)(1u << below(3));
        v->state->exit.port.in = once_in(3);
    } else if (v->state->exit.reason == EXIT_MEMORY) {
        v->state->exit.memory.gpa = PAGE_SIZE * below(64) + below(8);
        v->state->exit.memory.write = once_in(2);
    } else if (v->state->exit.reason == EXIT_CPUID) {
        s->gpr[GPR_RAX] = below(6);
        s->gpr[GPR_RCX] = below(3);
    } else if (v->state->exit.reason == EXIT_WAITING) {
        v->state->exit.detail = below(2) * 0x40;
        now += below(3000000);
    }
}

static void scribble(struct thread *t)
{
    struct vcpu_state *s = t->vcpu->state;
    s->activity = (uint32_t)below(3);
    s->deadline = when();
    s->dirty = (uint32_t)any();
    s->irq = once_in(2) ? (uint32_t)any() : 0;
    s->inject = once_in(2) ? (uint32_t)any() : 0;
    s->xcr0 = edge();
    if (t->vcpu->fpu_shown)
        ((uint64_t *)t->vcpu->fpu_shown)[once_in(2) ? below(72) : below(512)] = edge();
}

static void random_call(struct thread *t)
{
    uint64_t x[6] = {edge(), edge(), edge(), edge(), edge(), edge()};
    enum syscall n = (enum syscall)below(SYS_COUNT + 1);
    if (n == SYS_THREAD_EXIT && !once_in(60))
        n = SYS_MAP;
    if (n == SYS_DESTROY && once_in(3))
        n = SYS_UNMAP;
    if (n == SYS_EVENT_WAIT && !once_in(3))
        n = SYS_MAP;
    if (n == SYS_HANDLE_CLOSE && !once_in(3))
        n = SYS_HANDLE_GRANT;
    if (t->vcpu && once_in(4))
        n = SYS_VCPU_RUN;
    whose = t->domain;
    if (n < SYS_COUNT && !once_in(8)) /* arguments that have a chance */
        for (unsigned i = 0; i < call_shapes[n].count; i++)
            x[i] = an_argument(call_shapes[n].argument[i].kind, call_shapes[n].argument[i].of);
    if (n == SYS_UNMAP || n == SYS_PROTECT)
        where_something_is(t->domain, x);
    if (n == SYS_PROTECT && !once_in(4)) { /* a part of it */
        x[1] += PAGE_SIZE * below(8);
        x[2] = PAGE_SIZE * (1 + below(8));
        x[3] = once_in(3) ? 0 : x[3];
    }
    if (n == SYS_VCPU_RUN && t->vcpu)
        scribble(t);
    calls_made++;
    made_of[n]++;
    struct answer r = call(t, n, x[0], x[1], x[2], x[3], x[4], x[5]);
    /* Again at once: the other CPUs have had no time to do anything. */
    for (uint64_t more = once_in(2) ? 0 : 8; r.error == E_AGAIN && !r.blocked && more > 0; more--)
        r = call(t, n, x[0], x[1], x[2], x[3], x[4], x[5]);
    if (r.blocked || (t->vcpu && t->vcpu->in_guest_mode)) /* not back yet */
        return;
    assert_in_range(r.error, OK, E_COUNT - 1);
    calls_good += r.error == OK;
    good_of[n] += r.error == OK;
}

/* Ring 3 and its guest touch their memory, which the CPU remembers: fake_machine.c asserts that no frame is zeroed
 * while a CPU still knows a way to it. */
static void use(struct thread *t)
{
    const struct mapping *m = t->domain->mappings;
    for (uint64_t skip = below(4); m && m->target_next && skip > 0; skip--)
        m = m->target_next;
    uint8_t *at = touch(t, m ? m->address : an_address());
    if (at && pt_lookup(&t->domain->tables, m ? m->address : 0, NULL, NULL, NULL))
        assert_true(at < ram + RAM_SIZE - MEMORY_SIZE); /* the bystander's is behind */
    if (t->vcpu && t->vcpu->space->mappings)
        (void)touch_guest(t, t->vcpu->space, t->vcpu->space->mappings->address);
}

/* ---- what must hold at any time */

/* The mapping that a page is of: its memory lies there. There may be others around it, or in its holes. */
static const struct mapping *mapping_at(const struct mapping *list, uint64_t address, uint64_t frame)
{
    for (; list; list = list->target_next)
        if (list->flush_target == 0 && address - list->address < list->size &&
            frame == list->memory->range.base.v + list->offset + (address - list->address))
            return list;
    return NULL;
}

static bool state_page_of(const struct domain *d, uint64_t frame)
{
    for (const struct thread *t = d->threads; t; t = t->next)
        if (t->vcpu &&
            (pool_hpa(t->vcpu->state).v == frame || (t->vcpu->fpu_shown && pool_hpa(t->vcpu->fpu_shown).v == frame)))
            return true;
    return false;
}

/* Every leaf below `table` shows a frame that a mapping answers for, inside its memory. d: NULL for a guest's tables.
 */
static void check_tables(const struct pagetable *pt, const uint64_t *table, unsigned level, uint64_t base,
                         const struct mapping *list, const struct domain *d)
{
    uint64_t span = 1ull << (PAGE_SHIFT + 9 * (level - 1));
    for (unsigned i = 0; i < (d && level == 4 ? 256 : 512); i++) {
        uint64_t e = table[i], at = base + i * span;
        if (!pt_entry_present(pt, e))
            continue;
        if (!pt_entry_is_leaf(e, level)) {
            check_tables(pt, pool_ptr(hpa(e & ENTRY_FRAME)), level - 1, at, list, d);
            continue;
        }
        uint64_t frame = e & ENTRY_FRAME & ~(span - 1);
        if (pool_contains(
                hpa(frame))) { /* of the kernel's memory, a vCPU's state page alone may be seen, and by ring 3 alone */
            assert_non_null(d);
            assert_int_equal(level, 1);
            assert_true(state_page_of(d, frame));
            continue;
        }
        const struct mapping *x = mapping_at(list, at, frame);
        assert_non_null(x);
        assert_in_range(at, x->address, x->address + x->size - span);
        assert_false(x->memory->phase == 0 && x->memory->object.dead);
        uint32_t r = pt_entry_rights(pt, e) & (RIGHT_READ | RIGHT_WRITE | RIGHT_EXEC);
        assert_int_equal(r & ~x->rights, 0); /* protect gives less than map did, never more */
        for (unsigned k = 0; d != root && k < allowed_count; k++)
            if (allowed[k].object == &x->memory->object)
                assert_int_equal(r & ~(allowed[k].rights | RIGHT_READ), 0);
        assert_ptr_not_equal(d == bystander->domain ? NULL : &x->memory->object, object_of(bystander_memory));
    }
}

static void check_mappings(const struct mapping *list)
{
    for (const struct mapping *x = list; x; x = x->target_next) {
        assert_ptr_equal(*x->target_back, x);
        assert_ptr_equal(*x->memory_back, x);
        assert_true(x->memory->object.references > 0 && x->memory->phase < 4);
    }
}

static uint64_t check_domain(struct domain *d)
{
    bool evil = d != root && d != bystander->domain;
    assert_true(d->quota.used_bytes <= d->quota.limit_bytes);
    assert_true(d->phase || d->object.references > 0);
    check_mappings(d->mappings);
    if (d->phase < 4) /* later no thread can be in it, and its vCPUs' pages are gone */
        check_tables(&d->tables, d->tables.root, 4, 0, d->mappings, d);
    for (unsigned i = 0; d->phase < 5 && i < ARRAY_SIZE(d->handles); i++)
        for (unsigned k = 0; d->handles[i] && k < HANDLES_PER_PAGE; k++) {
            handle_t h = d->handles[i][k];
            struct object *o = handle_object(h);
            if (!h)
                continue;
            assert_in_range(o->type, OBJ_DOMAIN, OBJ_COUNT - 1);
            assert_true(o->references > 0);
            assert_int_equal(h & 0xfff & ~(uint64_t)RIGHTS_ALL, 0);
            assert_int_equal(handle_type(h), o->type);
            if (o->type == OBJ_SPACE) {
                struct space *s = container_of(o, struct space, object);
                check_mappings(s->mappings);
                check_tables(&s->tables, s->tables.root, 4, 0, s->mappings, NULL);
            }
            if (!evil)
                continue;
            assert_ptr_not_equal(o, object_of(bystander_handle));
            assert_ptr_not_equal(o, object_of(bystander_memory));
            assert_ptr_not_equal(o, object_of(bystander_event));
            assert_ptr_not_equal(o, &root->object);
            for (unsigned n = 0; n < allowed_count; n++)
                if (allowed[n].object == o && !o->dead)
                    assert_int_equal((h & 0xfff) & ~(uint64_t)allowed[n].rights, 0);
        }
    uint64_t used = d->quota.used_bytes;
    for (struct domain *c = d->children; c; c = c->sibling)
        used += check_domain(c);
    return used;
}

static void check_all(uint64_t digest)
{
    uint64_t used = check_domain(root) + kernel_quota.used_bytes;
    assert_true(used <= (pool_pages_total() - pool_pages_free()) * PAGE_SIZE);
    assert_true(bystander_digest() == digest);
    uint64_t end = 0, at, size; /* one owner for each frame */
    for (uint64_t i = 0; owned(i, &at, &size); i++) {
        assert_true(at >= end);
        end = at + size;
        assert_true(end <= RAM_SIZE);
    }
}

/* ---- a run */

static void carve(unsigned n)
{
    memory[n] = made(
        call4(root_thread, SYS_MEMORY_CARVE, RAM_SLOT, n * MEMORY_SIZE, n & 1 ? MEMORY_SIZE : 0x18000, 10 + n));
}

/* A domain destroyed it, or has begun to: root ends that and makes it anew. */
static void renew(unsigned n)
{
    struct object *o = object_of(memory[n]);
    if (!o->dead)
        return;
    enum error e = call_steps(root_thread, SYS_DESTROY, memory[n], 0);
    assert_true(e == OK || e == E_DEAD);
    assert_int_equal(call1(root_thread, SYS_HANDLE_CLOSE, memory[n]).error, OK);
    for (unsigned k = 0; k < allowed_count; k++)
        if (allowed[k].object == o)
            allowed[k] = allowed[--allowed_count];
    carve(n);
}

static void replace(unsigned i)
{
    if (hostile[i].handle) {
        enum error e = call_steps(root_thread, SYS_DESTROY, hostile[i].handle, 0);
        assert_true(e == OK || e == E_DEAD);
        assert_int_equal(call1(root_thread, SYS_HANDLE_CLOSE, hostile[i].handle).error, OK);
    }
    for (unsigned n = 0; n < MEMORIES; n++)
        renew(n);
    make_hostile(i);
}

static void one_run(uint64_t which, uint64_t calls)
{
    seed = which * 0x9e3779b97f4a7c15ull + 1;
    allowed_count = 0;
    make_bystander();
    for (unsigned i = 0; i < MEMORIES; i++)
        carve(i);
    for (unsigned i = 0; i < EVENTS; i++)
        event[i] = made(call0(root_thread, SYS_EVENT_CREATE));
    for (unsigned i = 0; i < HOSTILE; i++)
        make_hostile(i);
    uint64_t digest = bystander_digest();
    guest_runs = guest_does;
    for (uint64_t n = 0; n < calls; n++) {
        unsigned cpu = 1 + (unsigned)below(MACHINE_CPUS - 1);
        if (once_in(8) || !run_cpu(cpu))
            now += below(30000000);
        if (once_in(6))
            run_cpu(0); /* it takes part in every flush */
        struct thread *t = run_cpu(cpu);
        assert_ptr_not_equal(t, bystander); /* no domain can have woken it */
        if (t && once_in(3000)) {
            domain_fault(t, any());
            run_all();
        } else if (once_in(500)) {
            irq_arrived(VECTOR_IRQ_BASE + (unsigned)below(6));
        } else if (t) {
            use(t);
            random_call(t);
        }
        if (once_in(t ? 900 : 10))
            replace((unsigned)below(HOSTILE));
        if (n % CHECK_EVERY == 0)
            check_all(digest);
    }
    run_all();
    check_all(digest);
}

static uint64_t number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 0) : otherwise;
}

static void test_hostile_domains(void **state)
{
    (void)state;
    uint64_t one = number("KERNEL_FUZZ_SEED", 0), calls = number("KERNEL_FUZZ_CALLS", CALLS);
    for (uint64_t run = one ? one : 1; run <= (one ? one : RUNS); run++) {
        if (getenv("KERNEL_FUZZ_SHOW"))
            fprintf(stderr, "seed %llu\n", (unsigned long long)run);
        assert_int_equal(machine_start(NULL), 0);
        one_run(run, calls);
        guest_runs = NULL;
        assert_int_equal(machine_stop(NULL), 0); /* everything comes back */
    }
    if (getenv("KERNEL_FUZZ_SHOW"))
        for (unsigned n = 0; n <= SYS_COUNT; n++)
            print_message("  call %u: %llu, granted %llu\n", n, (unsigned long long)made_of[n],
                          (unsigned long long)good_of[n]);
    print_message("%llu system calls, %llu of them granted\n", (unsigned long long)calls_made,
                  (unsigned long long)calls_good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_hostile_domains)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
