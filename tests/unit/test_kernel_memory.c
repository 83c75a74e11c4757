// SPDX-License-Identifier: Apache-2.0
// sources: @kernel
// libs: -include tests/unit/fake_cpu.h
/*
 * Memory objects and their mappings: no domain gets a frame that another still has, can still reach through any CPU's
 * translations, or has left data in. The made-up machine asserts, each time the kernel zeroes a frame, that no CPU
 * remembers a translation to it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "fake_machine.h"
#include "pt_lookup.h"

#define T  root_thread
#define R  RIGHT_READ
#define RW (RIGHT_READ | RIGHT_WRITE)
#define RX (RIGHT_READ | RIGHT_EXEC)

static uint64_t carve(uint64_t offset, uint64_t size)
{
    return made(call4(T, SYS_MEMORY_CARVE, RAM_SLOT, offset, size, 7));
}
static enum error map_step(uint64_t target, uint64_t at, uint64_t memory, uint64_t offset, uint64_t size,
                           uint64_t rights)
{
    return call(T, SYS_MAP, target, at, memory, offset, size, rights).error;
}
static enum error map(uint64_t target, uint64_t at, uint64_t memory, uint64_t offset, uint64_t size, uint64_t rights)
{
    enum error e;
    do
        e = map_step(target, at, memory, offset, size, rights);
    while (e == E_AGAIN);
    return e;
}
static bool zero(uint64_t offset, uint64_t size)
{
    for (uint64_t i = 0; i < size; i++)
        if (ram[offset + i])
            return false;
    return true;
}
static struct thread *domain_with_thread(uint64_t *handle, unsigned cpu)
{
    *handle = domain_on(T, 128, 0, 2, 0, 0);
    uint64_t h = made(call(T, SYS_THREAD_CREATE, *handle, 0x400000, 0x800000, 0, SCHED_PLACE(cpu, 3), 0));
    return object_at(T, h);
}

static void test_carving(void **state)
{
    (void)state;
    const struct {
        uint64_t offset, size;
    } bad[] = {
        {0, 0},
        {1, 0x1000},
        {0, 0x1001},
        {0x800, 0x800},
        {RAM_SIZE, 0x1000},
        {0, RAM_SIZE + 0x1000},
        {RAM_SIZE - 0x1000, 0x2000},
        {0x1000, ~PAGE_MASK},
        {~PAGE_MASK, 0x2000},
        {0x2000, 0 - 0x1000ull},
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(call4(T, SYS_MEMORY_CARVE, RAM_SLOT, bad[i].offset, bad[i].size, 7).error, E_ARG);
    uint64_t a = carve(0x10000, 0x4000), b = carve(0x14000, 0x1000), c = carve(RAM_SIZE - 0x1000, 0x1000);
    const struct {
        uint64_t offset, size;
    } taken[] = {{0x10000, 0x1000}, {0xf000, 0x2000}, {0x13000, 0x1000}, {0x14000, 0x1000}, {0, RAM_SIZE}};
    for (size_t i = 0; i < ARRAY_SIZE(taken); i++)
        assert_int_equal(call4(T, SYS_MEMORY_CARVE, RAM_SLOT, taken[i].offset, taken[i].size, 7).error, E_OVERLAP);
    assert_int_equal(call4(T, SYS_MEMORY_CARVE, a, 0, 0x1000, 7).error, E_TYPE);
    assert_int_equal(call4(T, SYS_MEMORY_CARVE, ROOT_SLOT_SELF, 0, 0x1000, 7).error, E_TYPE);
    const uint64_t expected[][2] = {{0x10000, 0x4000}, {0x14000, 0x1000}, {RAM_SIZE - 0x1000, 0x1000}};
    uint64_t offset, size;
    for (uint64_t i = 0; i < 3; i++) {
        assert_true(owned(i, &offset, &size));
        assert_int_equal(offset, expected[i][0]);
        assert_int_equal(size, expected[i][1]);
    }
    assert_false(owned(3, &offset, &size));
    assert_int_equal(call3(T, SYS_QUERY, a, QUERY_MEMORY_BASE, 0).value, RAM_BASE + 0x10000);
    assert_int_equal(call3(T, SYS_QUERY, a, QUERY_MEMORY_SIZE, 0).value, 0x4000);
    assert_int_equal(call_steps(T, SYS_DESTROY, a, 0), OK);
    assert_int_equal(call4(T, SYS_MEMORY_CARVE, RAM_SLOT, 0x10000, 0x5000, 7).error, E_OVERLAP);
    carve(0x10000, 0x4000);
    assert_int_equal(call1(T, SYS_DESTROY, RAM_SLOT).error, E_RIGHTS);
    (void)b, (void)c;
}

static void test_what_map_refuses(void **state)
{
    (void)state;
    uint64_t m = carve(0, 0x10000), s = made(call0(T, SYS_SPACE_CREATE)), d;
    struct thread *t = domain_with_thread(&d, 1);
    const struct {
        uint64_t target, at, offset, size, rights;
        enum error e;
    } rows[] = {
        {d, 0x400000, 0, 0x1000, 0, E_ARG},
        {d, 0x400000, 0, 0x1000, RIGHT_WRITE, E_ARG},
        {d, 0x400000, 0, 0x1000, RW | RIGHT_EXEC, E_ARG}, /* never both in ring 3 */
        {d, 0x400000, 0, 0x1000, R | RIGHT_GRANT, E_ARG},
        {d, 0x400000, 0, 0x1000, R | 0x1000, E_ARG}, /* the kernel's own bits: PT_USER, */
        {d, 0x400000, 0, 0x1000, R | 0x4000, E_ARG}, /* PT_UNCACHED */
        {d, 0x400000, 0, 0x1000, R | 1ull << 32, E_ARG},
        {d, 0x400800, 0, 0x1000, R, E_ARG},
        {d, 0x400000, 0x800, 0x1000, R, E_ARG},
        {d, 0x400000, 0, 0x1800, R, E_ARG},
        {d, 0x400000, 0, 0, R, E_ARG},
        {d, 0x400000, 0x10000, 0x1000, R, E_ARG},
        {d, 0x400000, 0xf000, 0x2000, R, E_ARG},
        {d, 0x400000, 0x1000, ~PAGE_MASK, R, E_ARG},
        {d, 0, 0, 0x1000, R, E_ARG},
        {d, USER_VA_MIN - 0x1000, 0, 0x2000, R, E_ARG},
        {d, USER_VA_MAX, 0, 0x1000, R, E_ARG},
        {d, USER_VA_MAX - 0x1000, 0, 0x2000, R, E_ARG},
        {d, 0xffffffff80000000, 0, 0x1000, R, E_ARG}, /* the kernel's half */
        {d, 0xffff800000000000, 0, 0x1000, R, E_ARG},
        {d, USER_VA_MAX - 0x1000, 0, 0x1000, R, OK},
        {d, USER_VA_MIN, 0, 0x1000, RX, OK},
        {d, USER_VA_MIN, 0x1000, 0x1000, R, E_OVERLAP},
        {s, 1ull << 48, 0, 0x1000, R, E_ARG},
        {s, (1ull << 48) - 0x1000, 0, 0x2000, R, E_ARG},
        {s, (1ull << 48) - 0x1000, 0, 0x1000, RW | RIGHT_EXEC, OK},
        {s, 0, 0, 0x10000, RW | RIGHT_EXEC, OK},
        {s, 0xf000, 0, 0x1000, R, E_OVERLAP},
        {m, 0, 0, 0x1000, R, E_TYPE},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(map(rows[i].target, rows[i].at, m, rows[i].offset, rows[i].size, rows[i].rights), rows[i].e);
    assert_int_equal(map(d, 0x400000, RAM_SLOT, 0, 0x1000, R), E_RIGHTS); /* RAM is only carved from */
    assert_int_equal(map(d, 0x400000, s, 0, 0x1000, R), E_TYPE);

    /* A handle without the right gives no mapping with it. */
    made(call4(T, SYS_HANDLE_GRANT, d, m, R, 3));
    made(call4(T, SYS_HANDLE_GRANT, d, d, RIGHT_MAP, 4));
    assert_int_equal(call(t, SYS_MAP, 4, 0x500000, 3, 0, 0x1000, RW).error, E_RIGHTS);
    assert_int_equal(call(t, SYS_MAP, 4, 0x500000, 3, 0, 0x1000, RX).error, E_RIGHTS);
    assert_int_equal(call(t, SYS_MAP, 4, 0x500000, 3, 0, 0x1000, R).error, OK);
    uint32_t rights;
    assert_true(pt_lookup(&t->domain->tables, 0x500000, NULL, &rights, NULL));
    assert_int_equal(rights, R | PT_USER);
    assert_int_equal(call2(t, SYS_UNMAP, 4, 0x501000).error, E_ARG);
    assert_int_equal(call2(t, SYS_UNMAP, 3, 0x500000).error, E_TYPE);
    assert_int_equal(call2(T, SYS_UNMAP, m, 0x500000).error, E_TYPE);
    /* The page of a vCPU is the kernel's: unmap knows only what map made. */
    uint64_t space = made(call0(t, SYS_SPACE_CREATE));
    assert_int_equal(call2(t, SYS_VCPU_CREATE, space, 0x500000).error, E_OVERLAP);
    const uint64_t bad[] = {0, 0x700800, USER_VA_MAX, USER_VA_MIN - 0x1000, 0xffffffff80000000};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(call2(t, SYS_VCPU_CREATE, space, bad[i]).error, E_ARG);
    assert_int_equal(call2(t, SYS_VCPU_CREATE, space, 0x700000).error, OK);
    assert_int_equal(call2(t, SYS_UNMAP, 4, 0x700000).error, E_ARG);
}

static void test_unmap_waits_for_every_cpu(void **state)
{
    (void)state;
    uint64_t m = carve(0x200000, 0x200000), d;
    struct thread *t = domain_with_thread(&d, 1);
    made(call(T, SYS_THREAD_CREATE, d, 0x400000, 0x800000, 0, SCHED_PLACE(2, 3), 0));
    assert_int_equal(map(d, 0x40000000, m, 0, 0x200000, RW), OK);
    struct thread *u = run_cpu(2);
    assert_ptr_equal(run_cpu(1), t);
    *touch(t, 0x40000000) = 1;
    *touch(u, 0x40001000) = 1;
    assert_int_equal(call2(T, SYS_UNMAP, d, 0x40000000).error, E_AGAIN);
    assert_null(touch(t, 0x40000000));                      /* out of the table at once, */
    assert_true(remembered(RAM_BASE + 0x200000, 0x200000)); /* but not out of the CPUs */
    for (int i = 0; i < 20; i++)
        assert_int_equal(call2(T, SYS_UNMAP, d, 0x40000000).error, E_AGAIN);
    run_cpu(1);
    assert_int_equal(call2(T, SYS_UNMAP, d, 0x40000000).error, E_AGAIN);
    run_cpu(2);
    assert_false(remembered(RAM_BASE + 0x200000, 0x200000));
    assert_int_equal(call2(T, SYS_UNMAP, d, 0x40000000).error, OK);
    assert_int_equal(call2(T, SYS_UNMAP, d, 0x40000000).error, E_ARG);
    assert_int_equal(ram[0x200000], 1); /* unmapped is not destroyed */
}

/* A CPU that comes to the tables between two steps has nothing to drop, but it must say so. */
static void test_a_cpu_joins_during_an_unmap(void **state)
{
    (void)state;
    uint64_t m = carve(0, 0x1000), d;
    struct thread *t = domain_with_thread(&d, 1);
    assert_ptr_equal(run_cpu(1), t);
    assert_int_equal(map(d, 0x40000000, m, 0, 0x1000, RW), OK);
    assert_int_equal(call2(T, SYS_UNMAP, d, 0x40000000).error, E_AGAIN);
    run_cpu(1);
    made(call(T, SYS_THREAD_CREATE, d, 0x400000, 0x800000, 0, SCHED_PLACE(2, 3), 0));
    run_cpu(2);
    assert_int_equal(call_steps(T, SYS_UNMAP, d, 0x40000000), OK);
}

static struct answer protect(uint64_t target, uint64_t at, uint64_t size, uint64_t rights)
{
    return call4(T, SYS_PROTECT, target, at, size, rights);
}

static void test_what_protect_refuses(void **state)
{
    (void)state;
    uint64_t m = carve(0, 0x10000), s = made(call0(T, SYS_SPACE_CREATE)), d;
    struct thread *t = domain_with_thread(&d, 1);
    assert_int_equal(map(d, 0x400000, m, 0x1000, 0x8000, RW), OK);
    assert_int_equal(map(d, 0x500000, m, 0, 0x8000, RX), OK);
    assert_int_equal(map(s, 0, m, 0, 0x10000, RW | RIGHT_EXEC), OK);
    const struct {
        uint64_t target, at, size, rights;
        enum error e;
    } rows[] = {
        {d, 0x400000, 0x1000, RIGHT_WRITE, E_ARG},
        {d, 0x400000, 0x1000, RX, E_ARG}, /* more than map was called with */
        {d, 0x500000, 0x1000, RW, E_ARG},
        {d, 0x400000, 0x1000, RW | RIGHT_EXEC, E_ARG},
        {d, 0x400000, 0x1000, R | RIGHT_GRANT, E_ARG},
        {d, 0x400000, 0x1000, R | 0x1000, E_ARG}, /* PT_USER */
        {d, 0x400000, 0x1000, 0x1000, E_ARG},
        {d, 0x400000, 0x1000, R | 1ull << 32, E_ARG},
        {d, 0x400800, 0x1000, R, E_ARG},
        {d, 0x400000, 0x1800, R, E_ARG},
        {d, 0x400000, 0, R, E_ARG},
        {d, 0x3ff000, 0x2000, R, E_ARG},
        {d, 0x407000, 0x2000, R, E_ARG},
        {d, 0x408000, 0x1000, R, E_ARG},
        {d, 0x400000, ~PAGE_MASK, R, E_ARG},
        {d, 0xffffffff80000000, 0x1000, R, E_ARG},
        {s, 0x10000, 0x1000, R, E_ARG},
        {m, 0, 0x1000, R, E_TYPE},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(protect(rows[i].target, rows[i].at, rows[i].size, rows[i].rights).error, rows[i].e);
    /* The page of a vCPU lies in a hole: no mapping's rights cover it. */
    made(call4(T, SYS_HANDLE_GRANT, d, d, RIGHT_MAP, 4));
    assert_int_equal(protect(d, 0x402000, 0x1000, 0).error, E_AGAIN);
    run_all();
    assert_int_equal(protect(d, 0x402000, 0x1000, 0).error, OK);
    uint64_t space = made(call0(t, SYS_SPACE_CREATE));
    assert_int_equal(call2(t, SYS_VCPU_CREATE, space, 0x402000).error, OK);
    run_all();
    assert_int_equal(protect(d, 0x401000, 0x3000, R).error, E_AGAIN);
    run_all();
    assert_int_equal(protect(d, 0x401000, 0x3000, R).value, 0x3000);
    hpa_t frame;
    uint32_t rights;
    assert_true(pt_lookup(&t->domain->tables, 0x402000, &frame, &rights, NULL));
    assert_true(frame.v == pool_hpa(t->vcpu->state).v && rights == (RW | PT_USER));
    assert_true(pt_lookup(&t->domain->tables, 0x403000, &frame, &rights, NULL));
    assert_true(frame.v == RAM_BASE + 0x4000 && rights == (R | PT_USER));
}

/* Fewer rights count when no CPU has the old ones; in a domain also more, for a fault there would end it. */
static void test_protect_waits_for_every_cpu(void **state)
{
    (void)state;
    uint64_t m = carve(0x200000, 0x200000), d, s = made(call0(T, SYS_SPACE_CREATE));
    struct thread *t = domain_with_thread(&d, 1);
    uint32_t rights;
    uint64_t size;
    made(call(T, SYS_THREAD_CREATE, d, 0x400000, 0x800000, 0, SCHED_PLACE(2, 3), 0));
    assert_int_equal(map(d, 0x40000000, m, 0, 0x200000, RW), OK);
    struct thread *u = run_cpu(2);
    assert_ptr_equal(run_cpu(1), t);
    *touch(t, 0x40001000) = 1;
    *touch(u, 0x40001000) = 1;
    assert_int_equal(protect(d, 0x40001000, 0x1000, 0).error, E_AGAIN);
    assert_null(touch(t, 0x40001000));
    assert_non_null(touch(t, 0x40002000)); /* around it all is as before */
    assert_true(remembered(RAM_BASE + 0x201000, 0x1000));
    assert_int_equal(protect(d, 0x40001000, 0x1000, 0).error, E_AGAIN);
    run_cpu(1);
    assert_int_equal(protect(d, 0x40001000, 0x1000, 0).error, E_AGAIN);
    run_cpu(2);
    assert_false(remembered(RAM_BASE + 0x201000, 0x1000));
    assert_int_equal(protect(d, 0x40001000, 0x1000, 0).value, 0x1000);
    assert_int_equal(protect(d, 0x40001000, 0x1000, R).error, OK); /* nothing was there: nothing is remembered */
    assert_true(pt_lookup(&t->domain->tables, 0x40001000, NULL, &rights, &size));
    assert_true(rights == (R | PT_USER) && size == PAGE_SIZE);
    assert_int_equal(protect(d, 0x40001000, 0x1000, RW).error, E_AGAIN);
    run_all();
    assert_int_equal(protect(d, 0x40001000, 0x1000, RW).error, OK);

    /* A space. Other memory in a hole stays when the mapping around it gets its rights back. */
    uint64_t other = carve(0x800000, 0x1000);
    struct space *space = object_at(T, s);
    hpa_t frame;
    assert_int_equal(map(s, 0x200000, m, 0, 0x200000, RW), OK);
    assert_int_equal(protect(s, 0x203000, 0x2000, 0).error, OK); /* no CPU has been in it */
    assert_int_equal(map(s, 0x203000, other, 0, 0x1000, R), OK);
    assert_int_equal(map(s, 0x202000, other, 0, 0x1000, R), E_OVERLAP);
    assert_int_equal(protect(s, 0x200000, 0x200000, RW).value, 0x200000);
    assert_true(pt_lookup(&space->tables, 0x203000, &frame, &rights, NULL));
    assert_true(frame.v == RAM_BASE + 0x800000 && rights == R);
    assert_true(pt_lookup(&space->tables, 0x204000, &frame, &rights, NULL));
    assert_true(frame.v == RAM_BASE + 0x204000 && rights == RW);
    assert_int_equal(protect(s, 0x203000, 0x1000, RW).error, E_ARG); /* the newer mapping is meant, and has no more */
    assert_int_equal(call_steps(T, SYS_DESTROY, other, 0), OK);
    assert_false(pt_lookup(&space->tables, 0x203000, NULL, NULL, NULL));
    assert_int_equal(protect(s, 0x203000, 0x1000, RW).error, OK);

    /* While it is taken out nothing of it comes back. */
    assert_int_equal(call2(T, SYS_UNMAP, d, 0x40000000).error, E_AGAIN);
    assert_int_equal(protect(d, 0x40001000, 0x1000, R).error, E_ARG);
    run_all();
    assert_int_equal(call2(T, SYS_UNMAP, d, 0x40000000).error, OK);
}

static void test_protect_is_paid_for(void **state)
{
    (void)state;
    uint64_t m = carve(0x200000, 0x400000), d = domain_on(T, 8, 0, 0, 0, 0);
    struct domain *domain = object_at(T, d);
    uint64_t used = 0, at = 0x40000000;
    for (; call(T, SYS_MAP, d, at, m, 0, 0x200000, RW).error == OK; at += 0x200000)
        used = domain->quota.used_bytes;
    for (at = 0x40000000; protect(d, at + 0x1000, 0x1000, R).error != E_QUOTA; at += 0x200000) {
        run_all();
        assert_in_range(domain->quota.used_bytes, used, domain->quota.limit_bytes);
    }
    uint32_t rights;
    uint64_t size;
    assert_true(pt_lookup(&domain->tables, at + 0x1000, NULL, &rights, &size));
    assert_true(rights == (RW | PT_USER) && size == 0x200000);     /* nothing has changed */
    assert_int_equal(protect(d, at, 0x200000, R).value, 0x200000); /* whole pages cost nothing */
}

static void test_destroyed_memory_is_gone_everywhere_and_zero(void **state)
{
    (void)state;
    enum { SIZE = 5 << 20 };
    uint64_t m = carve(0x100000, SIZE), d, s = made(call0(T, SYS_SPACE_CREATE));
    struct thread *t = domain_with_thread(&d, 1);
    struct space *space = object_at(T, s);
    memset(ram + 0x100000, 0x5a, SIZE);
    for (uint64_t i = 0; i < 60; i++)
        assert_int_equal(map(i % 2 ? d : s, 0x10000000 + i * 0x1000000, m, i * 0x1000, 0x10000, R), OK);
    assert_ptr_equal(run_cpu(1), t);
    for (uint64_t i = 0; i < 60; i++) {
        uint64_t at = 0x10000000 + i * 0x1000000 + 0x7000;
        assert_int_equal(*(i % 2 ? touch(t, at) : touch_guest(t, space, at)), 0x5a);
    }
    assert_int_equal(call2(T, SYS_UNMAP, d, 0x11000000).error, E_AGAIN); /* one of them is half-way out already */
    unsigned steps = 0, waited = 0;
    enum error e;
    while ((e = call1(T, SYS_DESTROY, m).error) == E_AGAIN) {
        steps++;
        if (steps == 1) {
            assert_int_equal(map(d, 0x400000, m, 0, 0x1000, R), E_DEAD);
            assert_int_equal(call4(T, SYS_HANDLE_GRANT, d, m, R, 0).error, E_DEAD);
        }
        assert_int_equal(call4(T, SYS_MEMORY_CARVE, RAM_SLOT, 0x100000, 0x1000, 7).error,
                         E_OVERLAP); /* not free before the end */
        if (remembered(RAM_BASE + 0x100000, SIZE) && ++waited == 30) {
            assert_false(zero(0x100000, 1));
            run_cpu(1);
        }
        run_cpu(2);
    }
    assert_int_equal(e, OK);
    assert_in_range(steps, 1 + 60 / 16 + 5, 80); /* bounded steps: 16 mappings, 1 MiB */
    assert_true(waited >= 30);
    assert_int_equal(call2(T, SYS_UNMAP, d, 0x11000000).error, E_ARG);
    for (uint64_t i = 0; i < 60; i++) {
        uint64_t at = 0x10000000 + i * 0x1000000;
        assert_null(i % 2 ? touch(t, at) : touch_guest(t, space, at));
    }
    assert_true(zero(0x100000, SIZE));
    assert_int_equal(ram[0xfffff], 0xfe); /* and not a byte more */
    assert_int_equal(ram[0x100000 + SIZE], 0xfe);
    assert_int_equal(call1(T, SYS_DESTROY, m).error, E_DEAD);
    assert_int_equal(call3(T, SYS_QUERY, m, QUERY_MEMORY_SIZE, 0).error, E_DEAD);
    carve(0x100000, SIZE);
}

/* Ranges that begin and end anywhere in the 2 MiB windows through which they are zeroed. */
static void test_zeroing_odd_ranges(void **state)
{
    (void)state;
    const struct {
        uint64_t offset, size;
    } rows[] = {
        {0x1ff000, 0x1000},   {0x1ff000, 0x2000},   {0x1ff000, 0x203000},
        {0x3f0000, 0x121000}, {0x2ff000, 0x101000}, {0x201000, 0x3fe000},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        memset(ram, 0xfe, RAM_SIZE);
        uint64_t m = carve(rows[i].offset, rows[i].size);
        assert_int_equal(call_steps(T, SYS_DESTROY, m, 0), OK);
        assert_true(zero(rows[i].offset, rows[i].size));
        assert_int_equal(ram[rows[i].offset - 1], 0xfe);
        assert_int_equal(ram[rows[i].offset + rows[i].size], 0xfe);
    }
}

/* Its tables are freed at its end: no CPU may then walk them, for the domain itself or for a guest of its. */
static void test_tables_are_freed_after_the_flush(void **state)
{
    (void)state;
    uint64_t m = carve(0, 0x200000), d;
    struct thread *t = domain_with_thread(&d, 1);
    made(call4(T, SYS_HANDLE_GRANT, d, m, RIGHTS_ALL, 3));
    uint64_t s = made(call0(t, SYS_SPACE_CREATE));
    assert_int_equal(call(t, SYS_MAP, s, 0, 3, 0, 0x200000, RW).error, OK);
    assert_int_equal(call2(t, SYS_VCPU_CREATE, s, 0x700000).error, OK);
    struct space *space = object_at(t, s);
    struct domain *domain = t->domain;
    assert_non_null(touch_guest(t, space, 0x1000));
    struct answer a;
    unsigned steps = 0;
    while ((a = call1(T, SYS_DESTROY, d)).error == E_AGAIN) {
        assert_true(!remembered(RAM_BASE, 0x200000) || (domain->tables.root && domain->threads && domain->handles[0]));
        if (++steps % 10 == 0)
            run_cpu(steps / 10 % MACHINE_CPUS);
    }
    assert_int_equal(a.error, OK);
    assert_false(remembered(RAM_BASE, 0x200000));
}

static void test_a_domains_end_unmaps(void **state)
{
    (void)state;
    uint64_t m = carve(0, 0x200000), d;
    struct thread *t = domain_with_thread(&d, 1);
    struct memory *object = object_at(T, m);
    for (uint64_t i = 0; i < 100; i++)
        assert_int_equal(map(d, 0x10000000 + i * 0x200000, m, 0, 0x1000, R), OK);
    assert_ptr_equal(run_cpu(1), t);
    assert_non_null(touch(t, 0x10000000));
    assert_int_equal(object->object.references, 101);
    assert_int_equal(call_steps(T, SYS_DESTROY, d, 0), OK);
    assert_int_equal(object->object.references, 1);
    assert_null(object->mappings);
    assert_false(remembered(RAM_BASE, 0x200000));
}

/* Memory of which every handle was closed, but that was not destroyed, keeps its frames: they were not zeroed. */
static void test_abandoned_memory_is_not_given_out(void **state)
{
    (void)state;
    uint64_t m = carve(0x300000, 0x1000);
    struct memory *object = object_at(T, m);
    assert_int_equal(map(ROOT_SLOT_SELF, 0x40000000, m, 0, 0x1000, RW), OK);
    assert_int_equal(call1(T, SYS_HANDLE_CLOSE, m).error, OK);
    *touch(T, 0x40000000) = 0x77; /* the mapping keeps it */
    assert_int_equal(call_steps(T, SYS_UNMAP, ROOT_SLOT_SELF, 0x40000000), OK);
    assert_int_equal(ram[0x300000], 0x77);
    assert_int_equal(call4(T, SYS_MEMORY_CARVE, RAM_SLOT, 0x300000, 0x1000, 7).error, E_OVERLAP);
    object->object.references =
        1; /* put the world in order again: the shell is found and destroyed as its owner should have */
    uint32_t slot = 0;
    assert_int_equal(handle_put(root, &object->object, RIGHTS_ALL, &slot), OK);
    assert_int_equal(call_steps(T, SYS_DESTROY, slot, 0), OK);
}

static void test_quota_of_mappings(void **state)
{
    (void)state;
    uint64_t m = carve(0, 0x400000), d = domain_on(T, 8, 0, 0, 0, 0);
    struct domain *domain = object_at(T, d);
    uint64_t at = 0x10000000;
    enum error e;
    for (; (e = map(d, at, m, 0, 0x1000, R)) == OK; at += SIZE_1G)
        assert_true(at < 100 * SIZE_1G);
    assert_int_equal(e, E_QUOTA);
    uint64_t used = domain->quota.used_bytes;
    assert_int_equal(map(d, at + 0x1000, m, 0x1000, 0x3ff000, R), E_QUOTA);
    assert_int_equal(domain->quota.used_bytes, used); /* a map that fails leaves nothing behind */
    unsigned count = 0;
    for (struct mapping *x = domain->mappings; x; x = x->target_next)
        count++;
    assert_int_equal(count, (at - 0x10000000) / SIZE_1G);
    assert_false(pt_lookup(&domain->tables, at, NULL, NULL, NULL));
    assert_true(used <= domain->quota.limit_bytes);
}

static unsigned mapped_pages(const struct pagetable *pt, uint64_t at, uint64_t pages)
{
    unsigned n = 0;
    for (uint64_t i = 0; i < pages; i++)
        n += pt_lookup(pt, at + i * PAGE_SIZE, NULL, NULL, NULL);
    return n;
}

/* 1,500 pages whose frames do not fit large ones: 512 a step. What a map has begun can go on, be unmapped, lose its
 * memory or run out of quota; no other call can go on with it. */
static void test_map_and_unmap_in_steps(void **state)
{
    (void)state;
    const uint64_t at = 0x40000000, pages = 1500, size = pages * PAGE_SIZE;
    uint64_t d = domain_on(T, 64, 0, 0, 0, 0), m = carve(0x1000, 0x800000), other = carve(0xa00000, 0x1000);
    struct domain *domain = object_at(T, d);
    const struct pagetable *pt = &domain->tables;
    uint64_t used = domain->quota.used_bytes;

    assert_int_equal(map_step(d, at, m, 0, size, R), E_AGAIN);
    assert_int_equal(mapped_pages(pt, at, pages), 512);
    assert_int_equal(map_step(d, at, m, 0, size, RW), E_OVERLAP);
    assert_int_equal(map_step(d, at, m, 0x1000, size, R), E_OVERLAP);
    assert_int_equal(map_step(d, at, m, 0, size - 0x1000, R), E_OVERLAP);
    assert_int_equal(map_step(d, at, other, 0, 0x1000, R), E_OVERLAP);
    assert_int_equal(call4(T, SYS_PROTECT, d, at + 511 * PAGE_SIZE, 2 * PAGE_SIZE, 0).error, E_ARG);
    assert_int_equal(map_step(d, at + 0x800000, other, 0, 0x1000, R), OK); /* another one in between */
    assert_int_equal(map_step(d, at, m, 0, size, R), E_AGAIN);
    assert_int_equal(mapped_pages(pt, at, pages), 1024);
    assert_int_equal(map_step(d, at, m, 0, size, R), OK);
    assert_int_equal(mapped_pages(pt, at, pages), pages);
    assert_int_equal(map_step(d, at, m, 0, size, R), E_OVERLAP); /* it is whole: this is another one */
    assert_int_equal(domain->tables.mappings, 2);

    assert_int_equal(call2(T, SYS_UNMAP, d, at).error, E_AGAIN);
    assert_int_equal(mapped_pages(pt, at, pages), pages - 512);
    assert_int_equal(call4(T, SYS_PROTECT, d, at + 600 * PAGE_SIZE, PAGE_SIZE, 0).error, E_ARG);
    assert_int_equal(map_step(d, at, m, 0, size, R), E_AGAIN); /* where the first is out already */
    assert_int_equal(map_step(d, at, m, 0, size, R), E_OVERLAP);
    assert_int_equal(call_steps(T, SYS_UNMAP, d, at), OK); /* the newer one: what it had made */
    assert_int_equal(mapped_pages(pt, at, pages), pages - 512);
    assert_int_equal(call_steps(T, SYS_UNMAP, d, at), OK);
    assert_int_equal(mapped_pages(pt, at, pages), 0);
    assert_int_equal(domain->tables.mappings, 1);

    /* One that is not whole, its neighbour behind it: unmap takes out no more than was made. */
    assert_int_equal(map_step(d, at, m, 0, size, R), E_AGAIN);
    assert_int_equal(map_step(d, at + 512 * PAGE_SIZE, other, 0, 0x1000, R), OK);
    assert_int_equal(map_step(d, at, m, 0, size, R), E_OVERLAP);
    assert_int_equal(call_steps(T, SYS_UNMAP, d, at), OK);
    assert_int_equal(mapped_pages(pt, at, pages), 1);

    /* Its memory goes: in steps, and the map does not go on. */
    assert_int_equal(map_step(d, at + 0x1000000, m, 0, size, R), E_AGAIN);
    assert_int_equal(map_step(d, at + 0x1000000, m, 0, size, R), E_AGAIN);
    assert_int_equal(call1(T, SYS_DESTROY, m).error, E_AGAIN);
    assert_int_equal(map_step(d, at + 0x1000000, m, 0, size, R), E_DEAD);
    assert_int_equal(call1(T, SYS_DESTROY, m).error, E_AGAIN);
    assert_int_equal(mapped_pages(pt, at + 0x1000000, pages), 512);
    assert_int_equal(call_steps(T, SYS_DESTROY, m, 0), OK);
    assert_int_equal(mapped_pages(pt, at + 0x1000000, pages), 0);
    assert_int_equal(call_steps(T, SYS_DESTROY, other, 0), OK);
    assert_int_equal(domain->tables.mappings, 0);
    assert_true(domain->quota.used_bytes >= used);
}

static void test_a_map_that_runs_out_of_quota_in_the_middle(void **state)
{
    (void)state;
    const uint64_t at = 0x40000000, pages = 1500;
    uint64_t d = domain_on(T, 64, 0, 0, 0, 0), m = carve(0x1000, 0x800000);
    struct domain *domain = object_at(T, d);
    uint64_t limit = domain->quota.limit_bytes;
    assert_int_equal(map_step(d, at, m, 0, pages * PAGE_SIZE, R), E_AGAIN);
    domain->quota.limit_bytes = domain->quota.used_bytes;
    assert_int_equal(map_step(d, at, m, 0, pages * PAGE_SIZE, R), E_QUOTA);
    assert_int_equal(mapped_pages(&domain->tables, at, pages), 512);
    domain->quota.limit_bytes = limit;
    assert_int_equal(map_step(d, at, m, 0, pages * PAGE_SIZE, R), E_AGAIN); /* it may go on */
    assert_int_equal(call_steps(T, SYS_UNMAP, d, at), OK);
    assert_int_equal(mapped_pages(&domain->tables, at, pages), 0);
    assert_int_equal(domain->tables.mappings, 0);
}

static void test_number_of_mappings(void **state)
{
    (void)state;
    uint64_t m = carve(0, 0x1000), space = made(call0(T, SYS_SPACE_CREATE));
    struct space *s = object_at(T, space);
    for (uint64_t i = 0; i < 1024; i++)
        assert_int_equal(map(space, i * PAGE_SIZE, m, 0, PAGE_SIZE, R), OK);
    assert_int_equal(map(space, 1024 * PAGE_SIZE, m, 0, PAGE_SIZE, R), E_QUOTA);
    assert_int_equal(call_steps(T, SYS_UNMAP, space, 0), OK);
    assert_int_equal(map(space, 1024 * PAGE_SIZE, m, 0, PAGE_SIZE, R), OK);
    assert_int_equal(s->tables.mappings, 1024);
}

/* A space of 300 tables and 300 mappings: each call frees a part of it, and the domain that pays is gone only then. */
static void test_a_space_ends_in_steps(void **state)
{
    (void)state;
    uint64_t m = carve(0, 0x1000), used = root->quota.used_bytes, space = made(call0(T, SYS_SPACE_CREATE));
    for (uint64_t i = 0; i < 300; i++)
        assert_int_equal(map(space, i * SIZE_2M, m, 0, PAGE_SIZE, R), OK);
    uint64_t full = root->quota.used_bytes, before = full;
    assert_int_equal(call1(T, SYS_HANDLE_CLOSE, space).error, OK);
    for (unsigned calls = 0; root->quota.used_bytes != used; calls++) {
        assert_true(calls < 100);
        assert_in_range(before - root->quota.used_bytes, 0, 66 * PAGE_SIZE);
        before = root->quota.used_bytes;
        (void)call0(T, SYS_HANDLE_CLOSE);
        for (unsigned cpu = 0; cpu < MACHINE_CPUS; cpu++)
            (void)run_cpu(cpu);
    }
    assert_true(full - used > 300 * PAGE_SIZE);
}

/* ---- everything at once, against an oracle: the owner of each frame, and what it was last written with. */

enum { FRAMES = 512, OBJECTS = 24, PLACES = 40, DOMAINS = 3 };
static struct {
    uint64_t handle, first, count;
    uint8_t mark;
    bool dying;
} objects[OBJECTS];
static struct {
    int object;
    uint64_t offset, count;
    bool leaving;
} places[DOMAINS + 1][PLACES]; /* the last one is a space */
static int owner[FRAMES];

static uint64_t place_va(int p)
{
    return 0x10000000 + (uint64_t)p * 0x400000;
}

static void make_object(uint8_t mark)
{
    int o = rand() % OBJECTS;
    uint64_t first = (uint64_t)rand() % FRAMES, count = 1 + (uint64_t)rand() % 30;
    if (objects[o].handle || first + count > FRAMES)
        return;
    bool free = true;
    for (uint64_t f = first; f < first + count; f++)
        free = free && owner[f] < 0;
    struct answer a = call4(T, SYS_MEMORY_CARVE, RAM_SLOT, first * PAGE_SIZE, count * PAGE_SIZE, 7);
    assert_int_equal(a.error, free ? OK : E_OVERLAP);
    if (!free)
        return;
    assert_false(remembered(RAM_BASE + first * PAGE_SIZE, count * PAGE_SIZE));
    for (uint64_t f = first; f < first + count; f++) {
        assert_true(owner[f] == -1 || zero(f * PAGE_SIZE, PAGE_SIZE)); /* -1: never had an owner; -2: had one */
        owner[f] = o;
        memset(ram + f * PAGE_SIZE, mark, PAGE_SIZE);
    }
    objects[o].handle = a.value;
    objects[o].first = first;
    objects[o].count = count;
    objects[o].mark = mark;
    objects[o].dying = false;
}

static void destroy_object(void)
{
    int o = rand() % OBJECTS;
    if (!objects[o].handle || (!objects[o].dying && rand() % 8))
        return;
    enum error e = call1(T, SYS_DESTROY, objects[o].handle).error;
    objects[o].dying = true;
    assert_true(e == OK || e == E_AGAIN);
    if (e != OK)
        return;
    for (int d = 0; d <= DOMAINS; d++)
        for (int p = 0; p < PLACES; p++)
            if (places[d][p].object == o)
                places[d][p].object = -1;
    for (uint64_t f = objects[o].first; f < objects[o].first + objects[o].count; f++)
        owner[f] = -2;
    assert_int_equal(call1(T, SYS_HANDLE_CLOSE, objects[o].handle).error, OK);
    objects[o].handle = 0;
}

static void test_random_world(void **state)
{
    (void)state;
    uint64_t target[DOMAINS + 1];
    struct thread *t[DOMAINS];
    for (unsigned d = 0; d < DOMAINS; d++)
        t[d] = domain_with_thread(&target[d], d % MACHINE_CPUS);
    target[DOMAINS] = made(call0(T, SYS_SPACE_CREATE));
    struct space *space = object_at(T, target[DOMAINS]);
    memset(objects, 0, sizeof objects);
    memset(places, 0xff, sizeof places);
    memset(owner, 0xff, sizeof owner);
    srand(11);
    unsigned touched = 0, reused = 0;
    for (int step = 0; step < 200000; step++) {
        int d = rand() % (DOMAINS + 1), p = rand() % PLACES, o = rand() % OBJECTS;
        switch (rand() % 24) {
        case 0:
        case 6: make_object((uint8_t)(1 + step % 250)); break;
        case 1: destroy_object(); break;
        case 2:
        case 7:
        case 8: {
            if (!objects[o].handle || objects[o].dying || places[d][p].object >= 0)
                break;
            uint64_t offset = (uint64_t)rand() % objects[o].count,
                     count = 1 + (uint64_t)rand() % (objects[o].count - offset);
            assert_int_equal(map(target[d], place_va(p), objects[o].handle, offset * PAGE_SIZE, count * PAGE_SIZE, R),
                             OK);
            places[d][p].object = o;
            places[d][p].offset = offset;
            places[d][p].count = count;
            places[d][p].leaving = false;
            break;
        }
        case 3: {
            enum error e = call2(T, SYS_UNMAP, target[d], place_va(p)).error;
            if (places[d][p].object < 0) {
                assert_int_equal(e, E_ARG);
            } else if (e == E_AGAIN) {
                places[d][p].leaving = true;
            } else {
                assert_true(e == OK || objects[places[d][p].object].dying);
                places[d][p].object = -1;
            }
            break;
        }
        case 4: run_cpu((unsigned)rand() % MACHINE_CPUS); break;
        case 5: now += (uint64_t)rand() % 20000000; break;
        default: { /* looks: a mapping shows its object, whole, and nothing else */
            if (d < DOMAINS && run_cpu((unsigned)d % MACHINE_CPUS) != t[d])
                break;
            uint64_t page = (uint64_t)rand() % 12;
            uint8_t *seen = d < DOMAINS
                                ? touch(t[d], place_va(p) + page * PAGE_SIZE)
                                : touch_guest(t[(unsigned)rand() % DOMAINS], space, place_va(p) + page * PAGE_SIZE);
            o = places[d][p].object;
            if (o < 0 || places[d][p].leaving || page >= places[d][p].count) {
                assert_null(seen);
            } else if (!objects[o].dying) {
                assert_ptr_equal(seen, ram + (objects[o].first + places[d][p].offset + page) * PAGE_SIZE);
                assert_int_equal(*seen, objects[o].mark);
                touched++;
            }
        }
        }
    }
    for (int f = 0; f < FRAMES; f++)
        reused += owner[f] == -2;
    print_message("%u accesses, %u frames with a past\n", touched, reused);
    assert_true(touched > 1000 && reused > 10);
}

#define ON_A_MACHINE(f) cmocka_unit_test_setup_teardown(f, machine_start, machine_stop)
int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_A_MACHINE(test_carving),
        ON_A_MACHINE(test_what_map_refuses),
        ON_A_MACHINE(test_unmap_waits_for_every_cpu),
        ON_A_MACHINE(test_a_cpu_joins_during_an_unmap),
        ON_A_MACHINE(test_what_protect_refuses),
        ON_A_MACHINE(test_protect_waits_for_every_cpu),
        ON_A_MACHINE(test_protect_is_paid_for),
        ON_A_MACHINE(test_destroyed_memory_is_gone_everywhere_and_zero),
        ON_A_MACHINE(test_zeroing_odd_ranges),
        ON_A_MACHINE(test_tables_are_freed_after_the_flush),
        ON_A_MACHINE(test_a_domains_end_unmaps),
        ON_A_MACHINE(test_abandoned_memory_is_not_given_out),
        ON_A_MACHINE(test_quota_of_mappings),
        ON_A_MACHINE(test_map_and_unmap_in_steps),
        ON_A_MACHINE(test_a_map_that_runs_out_of_quota_in_the_middle),
        ON_A_MACHINE(test_number_of_mappings),
        ON_A_MACHINE(test_a_space_ends_in_steps),
        ON_A_MACHINE(test_random_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
