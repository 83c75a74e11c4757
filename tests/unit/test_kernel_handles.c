// SPDX-License-Identifier: Apache-2.0
// sources: @kernel tests/unit/pool_count.c lib/calls.c
// libs: -include tests/unit/fake_cpu.h -Wl,--wrap=pool_init,--wrap=pool_alloc,--wrap=pool_free,--wrap=pool_page_free
/*
 * Handles, rights, quotas and the life of domains, through the system calls themselves, as root and its children make
 * them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "fake_machine.h"
#include "lib/calls.h"
#include "pool_count.h"
#include "pt_lookup.h"

#define T root_thread

static uint64_t domain_of(uint64_t pages, uint64_t event)
{
    return domain_on(T, pages, 0, 2, event, 1);
}

static struct thread *thread_in(uint64_t domain, unsigned cpu)
{
    uint64_t h = made(call(T, SYS_THREAD_CREATE, domain, 0x400000, 0x800000, 0, SCHED_PLACE(cpu, 3), 0));
    return object_at(T, h);
}

static void test_numbers_that_name_nothing(void **state)
{
    (void)state;
    const uint64_t bad[] = {0, 15, 200, MAX_HANDLES - 1, MAX_HANDLES, 0x100000001, ~0ull};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_int_equal(call1(T, SYS_HANDLE_CLOSE, bad[i]).error, E_HANDLE);
        assert_int_equal(call1(T, SYS_DESTROY, bad[i]).error, E_HANDLE);
        assert_int_equal(call4(T, SYS_HANDLE_GRANT, bad[i], ROOT_SLOT_SELF, 1, 0).error, E_HANDLE);
        assert_int_equal(call4(T, SYS_HANDLE_GRANT, ROOT_SLOT_SELF, bad[i], 1, 0).error, E_HANDLE);
        assert_int_equal(call3(T, SYS_QUERY, bad[i], QUERY_DOMAIN_STATE, 0).error,
                         bad[i] ? E_HANDLE : E_ARG); /* 0: the thread itself */
        assert_int_equal(call2(T, SYS_EVENT_SIGNAL, bad[i], 1).error, E_HANDLE);
    }
    assert_int_equal(call0(T, SYS_COUNT).error, E_NOSYS);
    assert_int_equal(call0(T, (enum syscall) ~0u).error, E_NOSYS);
    assert_int_equal(call2(T, SYS_EVENT_SIGNAL, ROOT_SLOT_SELF, 1).error, E_TYPE);
    assert_int_equal(call1(T, SYS_DESTROY, ROOT_SLOT_SELF).error, E_STATE); /* no domain ends itself, nor root */
    assert_int_equal(call1(T, SYS_DESTROY, PORTS_SLOT).error, E_TYPE);
}

static void test_grants_only_narrow(void **state)
{
    (void)state;
    uint64_t d = domain_of(64, 0), e = made(call0(T, SYS_EVENT_CREATE));
    struct domain *target = object_at(T, d);
    struct thread *t = thread_in(d, 1);
    assert_int_equal(made(call4(T, SYS_HANDLE_GRANT, d, e, RIGHT_SIGNAL | RIGHT_GRANT, 7)), 7);
    assert_int_equal(call4(T, SYS_HANDLE_GRANT, d, e, RIGHT_SIGNAL, 7).error, E_BUSY);
    assert_int_equal(call4(T, SYS_HANDLE_GRANT, d, e, RIGHT_SIGNAL, MAX_HANDLES).error, E_ARG);
    assert_int_equal(call4(T, SYS_HANDLE_GRANT, d, e, RIGHT_SIGNAL, 0x100000008).error, E_ARG);
    uint64_t self = made(call4(T, SYS_HANDLE_GRANT, d, d, RIGHT_MANAGE, 0));
    assert_int_equal(self, 1);

    assert_int_equal(call2(t, SYS_EVENT_SIGNAL, 7, 1).error, OK);
    assert_int_equal(call3(t, SYS_EVENT_WAIT, 7, 1, 0).error, E_RIGHTS);
    assert_int_equal(call1(t, SYS_DESTROY, 7).error, E_RIGHTS);
    /* Asking for more than one has gives what one has. */
    uint64_t copy = made(call4(t, SYS_HANDLE_GRANT, self, 7, ~0ull, 0)),
             less = made(call4(t, SYS_HANDLE_GRANT, self, 7, RIGHT_WAIT | RIGHT_SIGNAL, 0));
    uint32_t rights;
    struct object *o;
    assert_int_equal(handle_any(target, copy, 0, &o, &rights), OK);
    assert_int_equal(rights, RIGHT_SIGNAL | RIGHT_GRANT);
    assert_int_equal(handle_any(target, less, 0, &o, &rights), OK);
    assert_int_equal(rights, RIGHT_SIGNAL);
    assert_int_equal(call4(t, SYS_HANDLE_GRANT, self, less, RIGHT_SIGNAL, 0).error,
                     E_RIGHTS); /* no RIGHT_GRANT in it */
    assert_int_equal(call4(t, SYS_HANDLE_GRANT, copy, copy, 1, 0).error, E_TYPE);
    assert_int_equal(call2(t, SYS_PORTS_OPEN, self, copy).error, E_RIGHTS); /* self came without RIGHT_MAP */

    assert_int_equal(call1(T, SYS_DESTROY, e).error, OK);
    assert_int_equal(call1(T, SYS_DESTROY, e).error, E_DEAD);
    assert_int_equal(call2(t, SYS_EVENT_SIGNAL, 7, 1).error, E_DEAD);
    assert_int_equal(call4(t, SYS_HANDLE_GRANT, self, copy, 1, 0).error, E_DEAD);
    assert_int_equal(call1(t, SYS_HANDLE_CLOSE, 7).error, OK); /* a dead object's handle can be closed, once */
    assert_int_equal(call1(t, SYS_HANDLE_CLOSE, 7).error, E_HANDLE);
}

/* Each handle argument of each call: exactly the right that its manual names is asked for, and all others together
 * do not replace it. */
static void test_every_call_asks_for_its_right(void **state)
{
    (void)state;
    enum { D, SPACE, VCPU, EVENT, RAM, IRQ, PORTS, LOG, HARDWARE, THREAD, KINDS };
    static const struct {
        enum syscall n;
        uint64_t a[6];
        unsigned at, kind;
        uint32_t right;
    } rows[] = {
        {SYS_HANDLE_GRANT, {0, 60, 0, 0}, 0, D, RIGHT_MANAGE},
        {SYS_HANDLE_GRANT, {61, 0, 0, 0}, 1, EVENT, RIGHT_GRANT},
        {SYS_DESTROY, {0}, 0, EVENT, RIGHT_DESTROY},
        {SYS_DESTROY, {0}, 0, D, RIGHT_DESTROY},
        {SYS_DOMAIN_CREATE, {4, 0, 1}, 1, EVENT, RIGHT_SIGNAL},
        {SYS_DOMAIN_CPU, {0, 1}, 0, D, RIGHT_MANAGE},
        {SYS_THREAD_CREATE, {0, 0x1000, 0, 0, 1, 0}, 0, D, RIGHT_MANAGE},
        {SYS_MEMORY_CARVE, {0, 0x100000, 0x1000, 9}, 0, RAM, RIGHT_MAP},
        {SYS_MAP, {0, 0x500000, 62, 0, 0x1000, RIGHT_READ}, 0, D, RIGHT_MAP},
        {SYS_MAP, {0, 0x500000, 62, 0, 0x1000, RIGHT_READ}, 0, SPACE, RIGHT_MAP},
        {SYS_UNMAP, {0, 0x500000}, 0, D, RIGHT_MAP},
        {SYS_UNMAP, {0, 0x500000}, 0, SPACE, RIGHT_MAP},
        {SYS_PROTECT, {0, 0x500000, 0x1000, 0}, 0, D, RIGHT_MAP},
        {SYS_PROTECT, {0, 0x500000, 0x1000, 0}, 0, SPACE, RIGHT_MAP},
        {SYS_EVENT_SIGNAL, {0, 1}, 0, EVENT, RIGHT_SIGNAL},
        {SYS_EVENT_WAIT, {0, 2, 0}, 0, EVENT, RIGHT_WAIT},
        {SYS_IRQ_BIND, {0, 60, 1}, 0, IRQ, RIGHT_SIGNAL},
        {SYS_IRQ_BIND, {63, 0, 1}, 1, EVENT, RIGHT_SIGNAL},
        {SYS_IRQ_ACK, {0}, 0, IRQ, RIGHT_SIGNAL},
        {SYS_PORTS_OPEN, {0, 64}, 0, D, RIGHT_MAP},
        {SYS_PORTS_OPEN, {61, 0}, 1, PORTS, RIGHT_MAP},
        {SYS_VCPU_CREATE, {0, 0x710000}, 0, SPACE, RIGHT_MANAGE},
        {SYS_VCPU_KICK, {0}, 0, VCPU, RIGHT_SIGNAL},
        {SYS_VCPU_BIND, {0}, 0, EVENT, RIGHT_WAIT},
        {SYS_FASTPATH_CPUID, {0, 1, 2, 3, 0}, 0, SPACE, RIGHT_MANAGE},
        {SYS_FASTPATH_DOORBELL, {0, FASTPATH_DOORBELL_PORT, 1, 1, 60, 1}, 0, SPACE, RIGHT_MANAGE},
        {SYS_FASTPATH_DOORBELL, {65, FASTPATH_DOORBELL_PORT, 1, 1, 0, 1}, 4, EVENT, RIGHT_SIGNAL},
        {SYS_QUERY, {0, QUERY_DOMAIN_STATE, 0}, 0, D, RIGHT_MANAGE},
        {SYS_QUERY, {0, QUERY_MEMORY_SIZE, 0}, 0, RAM, RIGHT_MANAGE},
        {SYS_QUERY, {0, QUERY_THREAD_TICKS, 0}, 0, THREAD, RIGHT_MANAGE},
        {SYS_LOG, {0, 1, 'x'}, 0, LOG, RIGHT_SIGNAL},
        {SYS_HARDWARE, {0, HARDWARE_PORTS, 1, 1}, 0, HARDWARE, RIGHT_MANAGE},
    };
    /* No handle is left out. Those of handle_close and map's memory ask for no right of their own. */
    for (unsigned n = 0; n < SYS_COUNT; n++)
        for (unsigned k = 0; k < call_shapes[n].count; k++) {
            bool asked = call_shapes[n].argument[k].kind != ARGUMENT_HANDLE || n == SYS_HANDLE_CLOSE ||
                         (n == SYS_MAP && k == 2);
            for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                asked |= rows[i].n == n && rows[i].at == k;
            if (!asked)
                fail_msg("%s: no row for its argument %u", call_shapes[n].name, k);
        }
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        uint64_t d = domain_of(256, 0), other = domain_of(64, 0);
        struct thread *t = thread_in(d, 1), *second = thread_in(d, 2);
        struct domain *domain = t->domain;
        uint64_t space = made(call0(t, SYS_SPACE_CREATE)), vcpu = made(call2(second, SYS_VCPU_CREATE, space, 0x700000));
        uint64_t event = made(call0(t, SYS_EVENT_CREATE)),
                 memory = made(call4(T, SYS_MEMORY_CARVE, RAM_SLOT, 0, 0x1000, 9));
        struct object *o[KINDS] = {
            [D] = &((struct domain *)object_at(T, other))->object,
            [SPACE] = &((struct space *)object_at(t, space))->object,
            [VCPU] = &((struct vcpu *)object_at(t, vcpu))->object,
            [EVENT] = &((struct event *)object_at(t, event))->object,
            [RAM] = &((struct memory *)object_at(T, RAM_SLOT))->object,
            [IRQ] = &((struct irq *)object_at(T, IRQ_SLOT))->object,
            [PORTS] = &((struct ports *)object_at(T, PORTS_SLOT))->object,
            [LOG] = &log_object,
            [HARDWARE] = &hardware_object,
            [THREAD] = &t->object,
        };
        struct object *fixed[] = {o[EVENT], o[D],     &((struct memory *)object_at(T, memory))->object,
                                  o[IRQ],   o[PORTS], o[SPACE]};
        uint32_t slot = 60, without = 70, only = 71;
        for (size_t k = 0; k < ARRAY_SIZE(fixed); k++, slot++) {
            object_get(fixed[k]);
            assert_int_equal(handle_put(domain, fixed[k], RIGHTS_ALL, &slot), OK);
        }
        object_get(o[rows[i].kind]);
        assert_int_equal(handle_put(domain, o[rows[i].kind], RIGHTS_ALL & ~rows[i].right, &without), OK);
        object_get(o[rows[i].kind]);
        assert_int_equal(handle_put(domain, o[rows[i].kind], rows[i].right, &only), OK);
        for (uint32_t which = without; which <= only; which++) {
            uint64_t a[6];
            memcpy(a, rows[i].a, sizeof a);
            a[rows[i].at] = which;
            struct answer r = call(t, rows[i].n, a[0], a[1], a[2], a[3], a[4], a[5]);
            assert_false(r.blocked);
            if ((which == without) != (r.error == E_RIGHTS))
                fail_msg("row %zu, system call %d %s the right: error %d", i, rows[i].n,
                         which == only ? "with" : "without", r.error);
            if (rows[i].n == SYS_MEMORY_CARVE && r.error == OK)
                assert_int_equal(call_steps(t, SYS_DESTROY, r.value, 0), OK);
        }
        forget_everything();
    }
}

/* A slot whose object was destroyed takes another object, if its giver says so; by itself it is not taken again. */
static void test_a_dead_slot(void **state)
{
    (void)state;
    uint64_t d = domain_of(64, 0), e = made(call0(T, SYS_EVENT_CREATE)), f = made(call0(T, SYS_EVENT_CREATE));
    assert_int_equal(made(call4(T, SYS_HANDLE_GRANT, d, e, RIGHT_SIGNAL, 7)), 7);
    assert_int_equal(call4(T, SYS_HANDLE_GRANT, d, f, RIGHT_SIGNAL, 7).error, E_BUSY);
    struct object *dead = object_at(T, e);
    uint32_t references = dead->references;
    assert_int_equal(call_steps(T, SYS_DESTROY, e, 0), OK);
    assert_int_equal(made(call4(T, SYS_HANDLE_GRANT, d, f, RIGHT_SIGNAL, 7)), 7);
    assert_int_equal(dead->references, references - 1);
    assert_int_equal(call4(T, SYS_HANDLE_GRANT, d, f, RIGHT_SIGNAL, 7).error, E_BUSY);
    uint64_t next = made(call0(T, SYS_EVENT_CREATE));
    assert_true(next != e);
}

static unsigned table_pages(void)
{
    unsigned n = 0;
    for (size_t i = 0; i < ARRAY_SIZE(root->handles); i++)
        n += root->handles[i] != NULL;
    return n;
}

/* Pages come when they are needed, one by one; the lowest free slot is taken, wherever slots were freed. */
static void test_a_table_grows(void **state)
{
    (void)state;
    uint64_t first = made(call0(T, SYS_EVENT_CREATE)), last = first;
    assert_int_equal(table_pages(), 1);
    for (uint64_t n = 0; n < 3000; n++) {
        uint64_t slot = made(call0(T, SYS_EVENT_CREATE));
        assert_true(slot > last);
        last = slot;
        assert_int_equal(table_pages(), last / HANDLES_PER_PAGE + 1);
    }
    const uint64_t closed[] = {2500, 300, 2999, 301, 900};
    for (size_t i = 0; i < ARRAY_SIZE(closed); i++)
        assert_int_equal(call1(T, SYS_HANDLE_CLOSE, closed[i]).error, OK);
    assert_int_equal(made(call4(T, SYS_HANDLE_GRANT, ROOT_SLOT_SELF, first, RIGHT_SIGNAL, 300)), 300);
    const uint64_t order[] = {301, 900, 2500, 2999, last + 1};
    for (size_t i = 0; i < ARRAY_SIZE(order); i++)
        assert_int_equal(made(call0(T, SYS_EVENT_CREATE)), order[i]);
}

static void test_a_full_table(void **state)
{
    (void)state;
    uint64_t count = 0;
    struct answer a;
    while ((a = call0(T, SYS_EVENT_CREATE)).error == OK)
        count++;
    assert_int_equal(a.error, E_QUOTA);
    assert_in_range(count, MAX_HANDLES - 10, MAX_HANDLES);
    uint64_t used = pool_bytes_of(&root->quota);
    uint32_t references = root->object.references;
    /* Every call that makes something gives all of it back when there is no slot for its handle. */
    assert_int_equal(call0(T, SYS_EVENT_CREATE).error, E_QUOTA);
    assert_int_equal(call0(T, SYS_SPACE_CREATE).error, E_QUOTA);
    assert_int_equal(call3(T, SYS_DOMAIN_CREATE, 16, 0, 0).error, E_QUOTA);
    assert_int_equal(call4(T, SYS_MEMORY_CARVE, RAM_SLOT, 0, 0x1000, 9).error, E_QUOTA);
    assert_int_equal(call(T, SYS_THREAD_CREATE, ROOT_SLOT_SELF, 0x1000, 0, 0, 0, 0).error, E_QUOTA);
    assert_int_equal(root->live_threads, 1);
    assert_int_equal(pool_bytes_of(&root->quota), used);
    assert_int_equal(root->object.references, references);
    uint64_t offset, size;
    assert_false(owned(0, &offset, &size));
}

static void test_a_full_table_and_a_vcpu(void **state)
{
    (void)state;
    uint64_t s = made(call0(T, SYS_SPACE_CREATE));
    while (call0(T, SYS_EVENT_CREATE).error == OK)
        ;
    assert_int_equal(call2(T, SYS_VCPU_CREATE, s, 0x700000).error, E_QUOTA);
    assert_null(T->vcpu);
    assert_int_equal(call1(T, SYS_HANDLE_CLOSE, MAX_HANDLES - 1).error, OK);
    uint64_t h = made(call2(T, SYS_VCPU_CREATE, s, 0x700000));
    assert_int_equal(h, MAX_HANDLES - 1);
    /* Root lives for ever, and so would its vCPU: undo by hand what its domain's end would do. */
    struct vcpu *v = T->vcpu;
    T->vcpu = NULL;
    pt_unmap_all(&root->tables, 0x700000, PAGE_SIZE);
    vcpu_make_current(cpu_by_number(0), NULL);
    object_put(&v->object);
}

static void test_quotas_are_split_and_come_back(void **state)
{
    (void)state;
    uint64_t limit = root->quota.limit_bytes;
    assert_int_equal(call3(T, SYS_DOMAIN_CREATE, limit / PAGE_SIZE, 0, 0).error, E_QUOTA);
    assert_int_equal(call3(T, SYS_DOMAIN_CREATE, ~0ull, 0, 0).error, E_ARG);
    assert_int_equal(call3(T, SYS_DOMAIN_CREATE, 1ull << 52, 0, 0).error, E_ARG);
    assert_int_equal(call3(T, SYS_DOMAIN_CREATE, 0, 0, 0).error, E_QUOTA); /* not even its top-level table */
    assert_int_equal(call3(T, SYS_DOMAIN_CREATE, 16, ROOT_SLOT_LOG, 0).error, E_TYPE);
    assert_int_equal(root->quota.limit_bytes, limit);

    uint64_t d = domain_of(32, 0);
    struct domain *child = object_at(T, d);
    assert_int_equal(child->quota.limit_bytes, 32 * PAGE_SIZE);
    assert_int_equal(root->quota.limit_bytes, limit - 32 * PAGE_SIZE);
    assert_int_equal(call3(T, SYS_QUERY, d, QUERY_DOMAIN_KMEM_QUOTA, 0).value, 32);
    struct thread *t = thread_in(d, 1);
    uint64_t count = 0, before = pool_pages_free();
    struct answer a;
    while ((a = call0(t, SYS_EVENT_CREATE)).error == OK)
        assert_true(++count < 2000);
    assert_int_equal(a.error, E_QUOTA);
    assert_true(child->quota.used_bytes <= child->quota.limit_bytes);
    assert_true(before - pool_pages_free() <= 32);
    made(call0(T, SYS_EVENT_CREATE)); /* root does not notice */
    assert_int_equal(call3(t, SYS_DOMAIN_CREATE, 8, 0, 0).error, E_QUOTA);

    assert_int_equal(call_steps(T, SYS_DESTROY, d, 0), OK);
    assert_int_equal(call1(T, SYS_DESTROY, d).error, E_DEAD);
    assert_in_range(pool_bytes_of(&child->quota), 1, 1024); /* its thread's shell: root still has a handle to it */
    assert_int_equal(child->quota.limit_bytes, child->quota.used_bytes); /* the rest is back, before root closes it */
    assert_int_equal(root->quota.limit_bytes, limit - child->quota.used_bytes);
    forget_everything();
    assert_int_equal(root->quota.limit_bytes, limit);
}

static void test_destroying_a_domain_that_is_busy(void **state)
{
    (void)state;
    uint64_t death = made(call0(T, SYS_EVENT_CREATE)), never = made(call0(T, SYS_EVENT_CREATE)),
             d = domain_of(128, death);
    struct thread *runs = thread_in(d, 1), *waits = thread_in(d, 2), *ready = thread_in(d, 0);
    made(call4(T, SYS_HANDLE_GRANT, d, never, RIGHTS_ALL, 5));
    made(call4(T, SYS_HANDLE_GRANT, d, d, RIGHTS_ALL, 6)); /* a cycle: its own handle */
    assert_ptr_equal(run_cpu(1), runs);
    assert_true(call3(waits, SYS_EVENT_WAIT, 5, 1, NEVER).blocked);
    struct event *e = object_at(T, never);
    assert_ptr_equal(e->waiter, waits);
    struct answer again = call1(T, SYS_DESTROY, d);
    assert_int_equal(again.error, E_AGAIN);
    assert_int_equal(call(T, SYS_THREAD_CREATE, d, 0, 0, 0, 0, 0).error, E_DEAD);
    assert_int_equal(call4(T, SYS_HANDLE_GRANT, d, never, 1, 0).error, E_DEAD);
    assert_int_equal(call3(T, SYS_QUERY, d, QUERY_DOMAIN_STATE, 0).error, E_DEAD);
    for (int i = 0; i < 50; i++) /* not before every CPU has let go of it */
        assert_int_equal(call1(T, SYS_DESTROY, d).error, E_AGAIN);
    struct domain *child = object_at(T, d);
    assert_non_null(child->threads);
    run_cpu(1);
    assert_int_equal(call1(T, SYS_DESTROY, d).error, E_AGAIN);
    assert_non_null(child->threads); /* CPU 2 has not */
    assert_int_equal(call_steps(T, SYS_DESTROY, d, 0), OK);
    assert_null(e->waiter);
    assert_int_equal(e->object.references, 1);
    for (unsigned c = 0; c < MACHINE_CPUS; c++) {
        struct thread *left = run_cpu(c);
        assert_true(left == (c == 0 ? T : NULL));
        assert_ptr_not_equal(cpu_by_number(c)->domain, child);
        assert_int_not_equal(read_cr3(), 0);
    }
    (void)ready;
    assert_int_equal(call3(T, SYS_EVENT_WAIT, death, ~0ull, 0).error, E_TIMEOUT); /* it did not die by itself */
}

static void test_faults_and_exits_are_told(void **state)
{
    (void)state;
    uint64_t death = made(call0(T, SYS_EVENT_CREATE)), d = domain_of(64, death);
    struct thread *a = thread_in(d, 1), *b = thread_in(d, 2);
    assert_int_equal(call3(T, SYS_QUERY, d, QUERY_DOMAIN_STATE, 0).value, DOMAIN_RUNNING);
    assert_true(call0(a, SYS_THREAD_EXIT).blocked);
    assert_int_equal(call3(T, SYS_QUERY, d, QUERY_DOMAIN_STATE, 0).value, DOMAIN_RUNNING);
    assert_true(call0(b, SYS_THREAD_EXIT).blocked);
    assert_int_equal(call3(T, SYS_QUERY, d, QUERY_DOMAIN_STATE, 0).value, DOMAIN_EXITED);
    assert_int_equal(made(call3(T, SYS_EVENT_WAIT, death, ~0ull, 0)), 1);
    assert_int_equal(call(T, SYS_THREAD_CREATE, d, 0, 0, 0, 0, 0).error, E_STATE);

    uint64_t f = domain_of(64, death);
    struct thread *c = thread_in(f, 1);
    assert_ptr_equal(run_cpu(1), c);
    c->frame.vector = 14;
    c->frame.error = 6;
    c->frame.rip = 0x401234;
    domain_fault(c, 0xdeadbeef);
    assert_null(run_cpu(1));
    assert_int_equal(call3(T, SYS_QUERY, f, QUERY_DOMAIN_STATE, 0).value, DOMAIN_FAULTED);
    assert_int_equal(call3(T, SYS_QUERY, f, QUERY_DOMAIN_FAULT, 0).value, 14 | 6ull << 32);
    assert_int_equal(call3(T, SYS_QUERY, f, QUERY_DOMAIN_FAULT, 1).value, 0x401234);
    assert_int_equal(call3(T, SYS_QUERY, f, QUERY_DOMAIN_FAULT, 2).value, 0xdeadbeef);
    assert_int_equal(call3(T, SYS_QUERY, f, QUERY_DOMAIN_FAULT, 4).error, E_ARG);
    assert_int_equal(made(call3(T, SYS_EVENT_WAIT, death, ~0ull, 0)), 1);
}

/* The kernel must survive a domain whose last handle goes without a destroy: it belongs to its maker, and ends with it.
 */
static void test_a_domain_nobody_can_name(void **state)
{
    (void)state;
    uint64_t limit = root->quota.limit_bytes, parent = domain_of(512, 0);
    struct thread *t = thread_in(parent, 1);
    uint64_t empty = domain_on(t, 16, 1, 1, 0, 0);
    assert_int_equal(call1(t, SYS_HANDLE_CLOSE, empty).error, OK);
    uint64_t busy = domain_on(t, 64, 2, 2, 0, 0);
    struct thread *orphan = object_at(t, made(call(t, SYS_THREAD_CREATE, busy, 0x400000, 0, 0, SCHED_PLACE(2, 3), 0)));
    assert_ptr_equal(run_cpu(2), orphan);
    const struct domain *d = object_at(T, parent);
    assert_int_equal(call_steps(T, SYS_DESTROY, parent, 0), OK); /* its handles to both go with it */
    assert_null(run_cpu(2));                                     /* the orphan does not run on */
    assert_int_equal(d->quota.limit_bytes, d->quota.used_bytes); /* theirs came back to it, and went on to root */
    assert_int_equal(root->quota.limit_bytes, limit - d->quota.used_bytes);
}

static void test_a_tower_of_domains(void **state)
{
    (void)state;
    uint64_t limit = root->quota.limit_bytes, top = domain_of(900, 0);
    struct thread *t = thread_in(top, 1);
    for (unsigned depth = 0; depth < 40; depth++) {
        uint64_t d = domain_on(t, 880 - depth * 20, 1, 2, 0, 0);
        t = object_at(t, made(call(t, SYS_THREAD_CREATE, d, 0x400000, 0, 0, SCHED_PLACE(1 + depth % 2, 3), 0)));
        assert_false(call0(t, SYS_EVENT_CREATE).blocked);
    }
    assert_int_equal(call_steps(T, SYS_DESTROY, top, 0), OK);
    for (unsigned c = 1; c < MACHINE_CPUS; c++)
        assert_null(run_cpu(c));
    forget_everything();
    assert_int_equal(root->quota.limit_bytes, limit);
}

/* What makes domains has their time in no account of its own: no monitor may. */
static void test_a_monitor_makes_no_domains(void **state)
{
    (void)state;
    uint64_t limit = root->quota.limit_bytes, monitor = made(call4(T, SYS_DOMAIN_CREATE, 64, 0, 0, TAG_MONITOR(0)));
    add_cpus(T, monitor, 0, 1);
    struct thread *t = thread_in(monitor, 1);
    uint64_t bytes = pool_bytes_of(&t->domain->quota);
    assert_int_equal(call4(t, SYS_DOMAIN_CREATE, 16, 0, 0, DOMAIN_OWN_CODE).error, E_RIGHTS);
    assert_int_equal(pool_bytes_of(&t->domain->quota), bytes);
    assert_null(t->domain->children);
    assert_int_equal(call_steps(T, SYS_DESTROY, monitor, 0), OK);
    forget_everything();
    assert_int_equal(root->quota.limit_bytes, limit);
}

/* However many pages a domain may spend: what looks at all its threads stays short. */
static void test_threads_are_bounded(void **state)
{
    (void)state;
    uint64_t d = domain_of(1000, 0);
    struct thread *t = thread_in(d, 1);
    for (unsigned n = 1; n < DOMAIN_THREADS_MAX; n++) {
        uint64_t h = made(call(T, SYS_THREAD_CREATE, d, 0x400000, 0, 0, SCHED_PLACE(1, 3), 0));
        assert_int_equal(call1(T, SYS_HANDLE_CLOSE, h).error, OK); /* the domain keeps the thread */
    }
    uint64_t bytes = pool_bytes_of(&t->domain->quota);
    assert_int_equal(call(T, SYS_THREAD_CREATE, d, 0x400000, 0, 0, SCHED_PLACE(1, 3), 0).error, E_QUOTA);
    assert_int_equal(pool_bytes_of(&t->domain->quota), bytes);
    assert_int_equal(t->domain->live_threads, DOMAIN_THREADS_MAX);
    assert_int_equal(call_steps(T, SYS_DESTROY, d, 0), OK);
}

/* A vCPU's handle in another domain must not lead to a thread that is no more. */
static void test_a_vcpu_outlives_its_thread(void **state)
{
    (void)state;
    uint64_t maker = domain_of(64, 0), other = domain_of(64, 0);
    struct thread *t = thread_in(maker, 1), *o = thread_in(other, 2);
    made(call4(T, SYS_HANDLE_GRANT, maker, other, RIGHTS_ALL, 5));
    uint64_t s = made(call0(t, SYS_SPACE_CREATE)), v = made(call2(t, SYS_VCPU_CREATE, s, 0x700000));
    assert_int_equal(call2(t, SYS_VCPU_CREATE, s, 0x701000).error, E_STATE);
    made(call4(t, SYS_HANDLE_GRANT, 5, v, RIGHTS_ALL, 9));
    assert_int_equal(call1(o, SYS_VCPU_KICK, 9).error, OK);
    assert_int_equal(call_steps(T, SYS_DESTROY, maker, 0), OK);
    for (uint64_t slot = 1; slot < 40; slot++) {
        struct object *x;
        if (handle_any(root, slot, 0, &x, NULL) == OK && x->type == OBJ_THREAD && x->dead)
            assert_int_equal(call1(T, SYS_HANDLE_CLOSE, slot).error, OK);
    }
    assert_int_equal(call1(o, SYS_VCPU_KICK, 9).error, E_DEAD);
    assert_int_equal(call1(o, SYS_HANDLE_CLOSE, 9).error, OK);
}

static void test_nobody_escapes_his_cap(void **state)
{
    (void)state;
    uint64_t d = domain_of(128, 0);
    made(call4(T, SYS_HANDLE_GRANT, d, d, RIGHTS_ALL, 1));
    assert_int_equal(call(T, SYS_THREAD_CREATE, d, 0x400000, 0, 0, SCHED_PLACE(1, 7), 0).error,
                     E_RIGHTS); /* root itself has 6 */
    struct thread *free = object_at(T, made(call(T, SYS_THREAD_CREATE, d, 0x400000, 0, 0, SCHED_PLACE(1, 3), 0)));
    struct thread *capped = object_at(
        T, made(call(T, SYS_THREAD_CREATE, d, 0x400000, 0, 0, SCHED_PLACE(2, 3), 1000 | 10000ull << 32)));
    assert_int_equal(call(free, SYS_THREAD_CREATE, 1, 0x400000, 0, 0, SCHED_PLACE(1, 4), 0).error, E_RIGHTS);
    assert_int_equal(call(free, SYS_THREAD_CREATE, 1, 0x400000, 0, 0, SCHED_PLACE(1, 3), 0).error, OK);
    assert_int_equal(call(capped, SYS_THREAD_CREATE, 1, 0x400000, 0, 0, SCHED_PLACE(2, 3), 1000 | 10000ull << 32).error,
                     E_RIGHTS);
    const struct {
        uint64_t entry, stack, sched0, sched1;
    } bad[] = {
        {USER_VA_MAX, 0, 1, 0},
        {~0ull, 0, 1, 0},
        {0, USER_VA_MAX, 1, 0},
        {0, 1ull << 63, 1, 0},
        {0, 0, MACHINE_CPUS, 0},
        {0, 0, 64, 0},
        {0, 0, 255, 0},
        {0, 0, 0xffff, 0},
        {0, 0, 1, 1000 | 99ull << 32},
        {0, 0, 1, 1001 | 1000ull << 32},
        {0, 0, 1, 5},
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(
            call(T, SYS_THREAD_CREATE, d, bad[i].entry, bad[i].stack, 0, bad[i].sched0, bad[i].sched1).error, E_ARG);
}

/* Fixed objects (the hardware, the log) are the kernel's: closing every handle to them must not end them. */
static void test_fixed_objects_outlive_their_handles(void **state)
{
    (void)state;
    const uint64_t slots[] = {ROOT_SLOT_HARDWARE, ROOT_SLOT_LOG};
    uint64_t d = domain_of(64, 0);
    for (size_t i = 0; i < ARRAY_SIZE(slots); i++) {
        made(call4(T, SYS_HANDLE_GRANT, d, slots[i], RIGHTS_ALL, 0));
        assert_int_equal(call1(T, SYS_HANDLE_CLOSE, slots[i]).error, OK);
    }
    assert_int_equal(call_steps(T, SYS_DESTROY, d, 0), OK);
}

/* Numbers at random, as hostile code would pass them: every answer is an error or a success, nothing is lost, nothing
 * asserts. */
static void test_noise(void **state)
{
    (void)state;
    uint64_t d = domain_of(256, 0);
    struct thread *t[2] = {thread_in(d, 1), thread_in(d, 2)};
    made(call4(T, SYS_HANDLE_GRANT, d, d, RIGHTS_ALL, 0));
    for (int i = 0; i < 4; i++) {
        uint64_t m = made(call4(T, SYS_MEMORY_CARVE, RAM_SLOT, 0x10000ull * (uint64_t)i, 0x4000, 9));
        made(call4(T, SYS_HANDLE_GRANT, d, m, RIGHTS_ALL & ~(i & 1 ? RIGHT_DESTROY : 0u), 0));
    }
    made(call4(T, SYS_HANDLE_GRANT, d, IRQ_SLOT, RIGHTS_ALL, 0));
    made(call4(T, SYS_HANDLE_GRANT, d, PORTS_SLOT, RIGHTS_ALL, 0));
    srand(3);
    unsigned counts[E_COUNT] = {0};
    for (int step = 0; step < 60000; step++) {
        uint64_t a[6];
        for (int i = 0; i < 6; i++)
            a[i] = rand() % 5 == 0   ? (uint64_t)rand() << (rand() % 60)
                   : rand() % 3 == 0 ? (uint64_t)(rand() % 40) << 12
                                     : (uint64_t)(rand() % 24);
        enum syscall n = (enum syscall)(rand() % (SYS_COUNT + 1));
        if (n == SYS_THREAD_EXIT || (n == SYS_EVENT_WAIT && a[2] > now + 1000))
            continue;
        if (n == SYS_DOMAIN_CREATE)
            a[0] %= 20;
        if (n == SYS_DOMAIN_CPU)
            a[1] %= 4;
        if (n == SYS_THREAD_CREATE)
            a[4] = SCHED_PLACE(1, a[4] % 3);
        struct thread *who = t[rand() % 2];
        if (!domain_runs(who->domain))
            break;
        struct answer r = call(who, n, a[0], a[1], a[2], a[3], a[4], a[5]);
        if (r.blocked) {
            now += 2000;
            continue;
        }
        assert_true(r.error < E_COUNT);
        counts[r.error]++;
        if (r.error != OK && !(n < SYS_COUNT ? call_shapes[n].errors >> r.error & 1 : r.error == E_NOSYS))
            fail_msg("system call %d answers error %d, which its manual does not say", n, r.error);
        if (step % 16 == 0)
            run_all();
    }
    assert_true(counts[OK] > 1000 && counts[E_HANDLE] > 1000 && counts[E_TYPE] > 500);
    assert_int_equal(call_steps(T, SYS_DESTROY, d, 0), OK);
}

#define ON_A_MACHINE(f) cmocka_unit_test_setup_teardown(f, machine_start, machine_stop)
int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_A_MACHINE(test_numbers_that_name_nothing),
        ON_A_MACHINE(test_grants_only_narrow),
        ON_A_MACHINE(test_every_call_asks_for_its_right),
        ON_A_MACHINE(test_a_dead_slot),
        ON_A_MACHINE(test_a_table_grows),
        ON_A_MACHINE(test_a_full_table),
        ON_A_MACHINE(test_a_full_table_and_a_vcpu),
        ON_A_MACHINE(test_quotas_are_split_and_come_back),
        ON_A_MACHINE(test_destroying_a_domain_that_is_busy),
        ON_A_MACHINE(test_faults_and_exits_are_told),
        ON_A_MACHINE(test_a_domain_nobody_can_name),
        ON_A_MACHINE(test_a_tower_of_domains),
        ON_A_MACHINE(test_a_monitor_makes_no_domains),
        ON_A_MACHINE(test_threads_are_bounded),
        ON_A_MACHINE(test_a_vcpu_outlives_its_thread),
        ON_A_MACHINE(test_nobody_escapes_his_cap),
        ON_A_MACHINE(test_fixed_objects_outlive_their_handles),
        ON_A_MACHINE(test_noise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
