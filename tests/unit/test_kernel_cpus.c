// SPDX-License-Identifier: Apache-2.0
// sources: @kernel
// libs: -include tests/unit/fake_cpu.h -DMACHINE_CPUS=1024u
/*
 * The kernel's objects on a machine of 1,024 CPUs: a domain's threads run on its CPUs and on no others, whatever bits
 * their numbers share, and a flush reaches exactly the CPUs that ran with a table.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "fake_machine.h"
#include "kernel/nmi.h"

#define T      root_thread
#define SELF   1 /* slots in a domain under test */
#define MEMORY 0x200000ull
#define AT     0x40000000ull
#define RW     (RIGHT_READ | RIGHT_WRITE)

static const unsigned apart[] = {0, 1, 63, 64, 65, 127, 128, 300, 511, 512, 777, 960, 1022, 1023};

static struct answer make_thread(uint64_t domain, uint64_t cpu, uint64_t priority)
{
    return call(T, SYS_THREAD_CREATE, domain, 0x400000, 0x800000, 0, SCHED_PLACE(cpu, priority), 0);
}

static struct thread *thread_on(uint64_t domain, unsigned cpu)
{
    uint64_t h = made(make_thread(domain, cpu, 3));
    struct thread *t = object_at(T, h);
    assert_int_equal(call1(T, SYS_HANDLE_CLOSE, h).error, OK);
    assert_int_equal(t->cpu->number, cpu);
    return t;
}

static uint64_t memory_in(uint64_t target)
{
    uint64_t m = made(call4(T, SYS_MEMORY_CARVE, RAM_SLOT, MEMORY, MEMORY, 9));
    assert_int_equal(call(T, SYS_MAP, target, AT, m, 0, MEMORY, RW).error, OK);
    return m;
}

static bool must_flush(unsigned cpu)
{
    return cpu_by_number(cpu)->work & WORK_FLUSH;
}

/* A thread on every second CPU, all with the same memory. No CPU is forgotten: it is unmapped when the last one has
 * flushed. */
static void test_a_domain_on_many_cpus(void **state)
{
    (void)state;
    uint64_t d = domain_on(T, 800, 0, MACHINE_CPUS - 1, 0, 0), m = memory_in(d);
    assert_true(MACHINE_CPUS / 2 <= DOMAIN_THREADS_MAX);
    for (unsigned cpu = 1; cpu < MACHINE_CPUS; cpu += 2) {
        struct thread *t = thread_on(d, cpu);
        assert_ptr_equal(run_cpu(cpu), t);
        *touch(t, AT + cpu) = (uint8_t)(cpu % 251);
    }
    for (unsigned cpu = 1; cpu < MACHINE_CPUS; cpu += 2)
        assert_int_equal(ram[MEMORY + cpu], cpu % 251);
    assert_int_equal(call2(T, SYS_UNMAP, d, AT).error, E_AGAIN);
    for (unsigned cpu = 1; cpu < MACHINE_CPUS; cpu += 2)
        assert_true(must_flush(cpu));
    for (unsigned cpu = 0; cpu < MACHINE_CPUS; cpu++)
        if (cpu != 777)
            run_cpu(cpu);
    assert_true(remembered(RAM_BASE + MEMORY, MEMORY));
    assert_int_equal(call2(T, SYS_UNMAP, d, AT).error, E_AGAIN);
    run_cpu(777);
    assert_false(remembered(RAM_BASE + MEMORY, MEMORY));
    assert_int_equal(call2(T, SYS_UNMAP, d, AT).error, OK);
    assert_int_equal(call_steps(T, SYS_DESTROY, m, 0), OK);
    assert_int_equal(call_steps(T, SYS_DESTROY, d, 0), OK);
}

/* Domains on sets of CPUs by chance: those CPUs flush, and no others are disturbed. */
static void test_a_flush_disturbs_no_other_cpu(void **state)
{
    (void)state;
    srand(7);
    for (unsigned round = 0; round < 12; round++) {
        bool in[MACHINE_CPUS] = {false};
        uint64_t d = made(call4(T, SYS_DOMAIN_CREATE, 200, 0, 0, DOMAIN_OWN_CODE));
        for (unsigned i = 0; i < ARRAY_SIZE(apart); i++)
            in[apart[i]] = rand() % 2;
        for (unsigned i = 0; i < round; i++)
            in[(unsigned)rand() % MACHINE_CPUS] = true;
        for (unsigned cpu = 0; cpu < MACHINE_CPUS; cpu++)
            if (in[cpu]) {
                add_cpus(T, d, cpu, cpu);
                thread_on(d, cpu);
            }
        uint64_t m = memory_in(d);
        run_all();
        if (round % 2)
            assert_int_equal(call2(T, SYS_UNMAP, d, AT).error, E_AGAIN);
        else
            for (unsigned i = 0; i < 2; i++)
                assert_int_equal(call1(T, SYS_DESTROY, m).error, E_AGAIN);
        for (unsigned cpu = 1; cpu < MACHINE_CPUS; cpu++) /* root's CPU may have flushed already */
            assert_int_equal(must_flush(cpu), in[cpu]);
        assert_int_equal(call_steps(T, SYS_DESTROY, m, 0), OK);
        assert_int_equal(call_steps(T, SYS_DESTROY, d, 0), OK);
        assert_int_equal(call1(T, SYS_HANDLE_CLOSE, m).error, OK);
        assert_int_equal(call1(T, SYS_HANDLE_CLOSE, d).error, OK);
    }
}

/* The same for a guest's tables: the CPUs of its vCPUs, and those alone. */
static void test_a_space_on_cpus_far_apart(void **state)
{
    (void)state;
    uint64_t d = domain_on(T, 300, 64, 66, 0, 0), space = made(call0(T, SYS_SPACE_CREATE));
    add_cpus(T, d, 1000, 1001);
    made(call4(T, SYS_HANDLE_GRANT, d, space, RIGHT_MANAGE, 2));
    static const unsigned cpus[] = {65, 1001};
    struct thread *t[2];
    for (unsigned i = 0; i < 2; i++) {
        t[i] = thread_on(d, cpus[i]);
        made(call2(t[i], SYS_VCPU_CREATE, 2, 0x700000 + i * PAGE_SIZE));
    }
    uint64_t m = memory_in(space);
    struct space *s = object_at(T, space);
    for (unsigned i = 0; i < 2; i++)
        *touch_guest(t[i], s, AT + i) = 5;
    assert_int_equal(call1(T, SYS_DESTROY, m).error, E_AGAIN);
    assert_int_equal(call1(T, SYS_DESTROY, m).error, E_AGAIN);
    for (unsigned cpu = 0; cpu < MACHINE_CPUS; cpu++)
        assert_int_equal(must_flush(cpu), cpu == 65 || cpu == 1001);
    run_cpu(65);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(call1(T, SYS_DESTROY, m).error, E_AGAIN);
    assert_int_equal(ram[MEMORY], 5); /* not zeroed while CPU 1001 remembers it */
    run_cpu(1001);
    assert_int_equal(call_steps(T, SYS_DESTROY, m, 0), OK);
    assert_int_equal(ram[MEMORY] | ram[MEMORY + 1], 0);
    assert_int_equal(call_steps(T, SYS_DESTROY, d, 0), OK);
    assert_int_equal(call1(T, SYS_HANDLE_CLOSE, space).error, OK);
}

/* A domain gives what it has, and gets no more by itself, by its child or by a number whose low bits look like one of
 * its own. */
static void test_a_domain_keeps_to_its_cpus(void **state)
{
    (void)state;
    uint64_t d = domain_on(T, 300, 64, 70, 0, 0);
    made(call4(T, SYS_HANDLE_GRANT, d, d, RIGHTS_ALL & ~RIGHT_DESTROY, SELF));
    struct thread *t = thread_on(d, 64);
    uint64_t child = made(call3(t, SYS_DOMAIN_CREATE, 100, 0, 0));
    static const uint64_t others[] = {
        0, 1, 6, 63, 71, 128, 128 + 6, 320, 1023, 1024, 1024 + 64, 0x10000 + 64, 1ull << 32 | 64, ~0ull, ~0ull - 63};
    for (unsigned i = 0; i < ARRAY_SIZE(others); i++) {
        assert_int_equal(call2(t, SYS_DOMAIN_CPU, child, others[i]).error, E_ARG);
        assert_int_equal(call2(t, SYS_DOMAIN_CPU, SELF, others[i]).error, E_ARG);
        if (others[i] > 0xffff) /* there a place and an index have other fields */
            continue;
        assert_int_equal(make_thread(d, others[i], 0).error, E_ARG);
        assert_int_equal(call3(t, SYS_QUERY, SELF, QUERY_CPU_IDLE, others[i]).error, E_ARG);
    }
    assert_int_equal(call2(T, SYS_DOMAIN_CPU, d, MACHINE_CPUS).error, E_ARG); /* nor has root more than the machine */
    assert_int_equal(call3(T, SYS_QUERY, ROOT_SLOT_SELF, QUERY_CPU_IDLE, MACHINE_CPUS).error, E_ARG);

    assert_int_equal(call(t, SYS_THREAD_CREATE, child, 0x400000, 0, 0, SCHED_PLACE(64, 0), 0).error, E_ARG);
    assert_int_equal(call2(t, SYS_DOMAIN_CPU, child, 70).error, OK);
    assert_int_equal(call2(t, SYS_DOMAIN_CPU, child, 70).error, OK);
    made(call(t, SYS_THREAD_CREATE, child, 0x400000, 0, 0, SCHED_PLACE(70, 0), 0));
    assert_int_equal(call(t, SYS_THREAD_CREATE, child, 0x400000, 0, 0, SCHED_PLACE(69, 0), 0).error, E_ARG);
    assert_int_equal(call3(t, SYS_QUERY, SELF, QUERY_CPU_IDLE, 70).error, OK);
    assert_int_equal(call_steps(T, SYS_DESTROY, d, 0), OK);
}

/* The accounts, the priority and the flags beside a large CPU number. */
static void test_numbers_beside_a_cpu(void **state)
{
    (void)state;
    uint64_t d = domain_on(T, 100, 1023, 1023, 0, 0);
    assert_int_equal(make_thread(d, 1023, 7).error, E_RIGHTS);
    struct thread *t = object_at(T, made(make_thread(d, 1023, 4)));
    assert_int_equal(t->entity.priority, 4);
    uint64_t capped = made(
        call(T, SYS_THREAD_CREATE, d, 0x400000, 0, 0, SCHED_PLACE(1023, 2) | SCHED_BORROW, 1000 | 10000ull << 32));
    assert_true(((struct thread *)object_at(T, capped))->budget.borrow && !t->budget.borrow);
    uint64_t beside = made(call(T, SYS_THREAD_CREATE, d, 0x400000, 0, 0, SCHED_PLACE(1023, 2) | SCHED_BESIDE, capped));
    assert_ptr_equal(((struct thread *)object_at(T, beside))->entity.budget,
                     &((struct thread *)object_at(T, capped))->budget);
    struct cpu *c = cpu_by_number(1023);
    c->longest[PATH_IDLE] = 4711;
    c->longest[SYS_EVENT_WAIT] = 17;
    uint64_t idle = 1023 | (uint64_t)PATH_IDLE << 16, wait = 1023 | (uint64_t)SYS_EVENT_WAIT << 16;
    assert_int_equal(call3(T, SYS_QUERY, d, QUERY_CPU_PATH, idle).value, 4711);
    assert_int_equal(call3(T, SYS_QUERY, d, QUERY_CPU_PATH, wait).value, 17);
    assert_int_equal(call3(T, SYS_QUERY, d, QUERY_CPU_PATH, 1023 | (uint64_t)PATH_COUNT << 16).error, E_ARG);
}

/* A CPU that is asked for its hardware errors looks for more. */
static void test_a_cpu_looks_for_errors(void **state)
{
    (void)state;
    cpu_by_number(1)->errors = 3;
    nmis = 2;
    run_cpu(1);
    unsigned before = polls[1];
    assert_int_equal(call3(T, SYS_QUERY, ROOT_SLOT_SELF, QUERY_CPU_ERRORS, 1).value, 3 | 2ull << 32);
    assert_int_equal(call3(T, SYS_QUERY, ROOT_SLOT_SELF, QUERY_CPU_ERRORS, MACHINE_CPUS).error, E_ARG);
    assert_int_equal(polls[1], before);
    run_cpu(1);
    assert_int_equal(polls[1], before + 1);
    run_cpu(1);
    assert_int_equal(polls[1], before + 1);
}

/* A signal from CPU 0 wakes a thread on the last one; an interrupt by message cannot reach so far. */
static void test_the_last_cpu_is_reached(void **state)
{
    (void)state;
    uint64_t d = domain_on(T, 100, 1023, 1023, 0, 0), event = made(call0(T, SYS_EVENT_CREATE));
    made(call4(T, SYS_HANDLE_GRANT, d, event, RIGHT_WAIT, 2));
    struct thread *t = thread_on(d, 1023);
    assert_true(call3(t, SYS_EVENT_WAIT, 2, 6, NEVER).blocked);
    assert_null(run_cpu(1023));
    assert_int_equal(call2(T, SYS_EVENT_SIGNAL, event, 4).error, OK);
    assert_ptr_equal(run_cpu(1023), t);
    assert_int_equal(t->frame.rdx, 4);
    made(call(T, SYS_HARDWARE, ROOT_SLOT_HARDWARE, HARDWARE_MESSAGE, 0, APIC_ID_MAX, 0, 0));
    assert_int_equal(call(T, SYS_HARDWARE, ROOT_SLOT_HARDWARE, HARDWARE_MESSAGE, 0, APIC_ID_MAX + 1, 0, 0).error,
                     E_UNSUPPORTED);
    assert_int_equal(call(T, SYS_HARDWARE, ROOT_SLOT_HARDWARE, HARDWARE_MESSAGE, 0, MACHINE_CPUS, 0, 0).error, E_ARG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_domain_on_many_cpus, machine_start, machine_stop),
        cmocka_unit_test_setup_teardown(test_a_flush_disturbs_no_other_cpu, machine_start, machine_stop),
        cmocka_unit_test_setup_teardown(test_a_space_on_cpus_far_apart, machine_start, machine_stop),
        cmocka_unit_test_setup_teardown(test_a_domain_keeps_to_its_cpus, machine_start, machine_stop),
        cmocka_unit_test_setup_teardown(test_numbers_beside_a_cpu, machine_start, machine_stop),
        cmocka_unit_test_setup_teardown(test_a_cpu_looks_for_errors, machine_start, machine_stop),
        cmocka_unit_test_setup_teardown(test_the_last_cpu_is_reached, machine_start, machine_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
