// SPDX-License-Identifier: Apache-2.0
// sources: @kernel
// libs: -include tests/unit/fake_cpu.h
/* The books: each tick of a CPU is a thread's, idle, or the kernel's; a vCPU's are the guest's own, or some exit's. And
 * the budget that two threads live on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86_64/time.h"
#include "fake_machine.h"

#define T          root_thread
#define K          1000ull
#define NEAR(x, y) assert_in_range((x) + 300, (y), (y) + 600) /* the made-up TSC moves by one whenever it is read */

static uint64_t domain;
static struct thread *a, *b;
static uint64_t a_handle, b_handle;

static uint64_t thread_in(uint64_t d, uint64_t sched0, uint64_t sched1, struct thread **t)
{
    uint64_t h = made(call(T, SYS_THREAD_CREATE, d, 0x400000, 0, 0, sched0, sched1));
    *t = object_at(T, h);
    return h;
}

static int start(void **state)
{
    int r = machine_start(state);
    domain = domain_on(T, 256, 1, 2, 0, 0);
    made(call4(T, SYS_HANDLE_GRANT, domain, domain, RIGHTS_ALL & ~RIGHT_DESTROY, 1));
    a_handle = thread_in(domain, SCHED_PLACE(1, 3), 0, &a);
    b_handle = thread_in(domain, SCHED_PLACE(1, 4), 0, &b);
    return r;
}

static uint64_t ticks(uint64_t handle)
{
    return made(call3(T, SYS_QUERY, handle, QUERY_THREAD_TICKS, 0));
}
static uint64_t cpu_ticks(enum query what, uint64_t cpu)
{
    return made(call3(T, SYS_QUERY, ROOT_SLOT_SELF, what, cpu));
}
static uint64_t exit_ticks(uint64_t handle, enum exit_reason reason)
{
    return made(call3(T, SYS_QUERY, handle, QUERY_THREAD_EXIT_TICKS, reason));
}

/* All of CPU 1 (or its books up to some moment, if no thread has run there since). */
static uint64_t sum(void)
{
    return cpu_ticks(QUERY_CPU_IDLE, 1) + cpu_ticks(QUERY_CPU_KERNEL, 1) + cpu_ticks(QUERY_CPU_GONE, 1) +
           ticks(a_handle) + ticks(b_handle);
}

static void test_every_tick_has_an_owner(void **state)
{
    (void)state;
    uint64_t e = made(call0(b, SYS_EVENT_CREATE));
    assert_ptr_equal(run_cpu(1), b);
    NEAR(cpu_ticks(QUERY_CPU_KERNEL, 1), now); /* since the TSC was 0 */
    now += 1000 * K;
    NEAR(ticks(b_handle), 1000 * K);
    NEAR(made(call3(b, SYS_QUERY, 0, QUERY_THREAD_TICKS, 0)), 1000 * K);
    NEAR(sum(), now);
    assert_true(call3(b, SYS_EVENT_WAIT, e, 1, now + 5000 * K).blocked);
    assert_ptr_equal(run_cpu(1), a);
    now += 300 * K;
    NEAR(ticks(a_handle), 300 * K);
    NEAR(ticks(b_handle), 1000 * K);
    NEAR(sum(), now);
    uint64_t f = made(call0(a, SYS_EVENT_CREATE));
    assert_true(call3(a, SYS_EVENT_WAIT, f, 1, NEVER).blocked);
    assert_null(run_cpu(1));
    now += 2000 * K;
    NEAR(cpu_ticks(QUERY_CPU_IDLE, 1), 2000 * K);
    NEAR(sum(), now);
    now += 5000 * K;
    assert_ptr_equal(run_cpu(1), b);
    now += 10 * K;
    NEAR(sum(), now);
    NEAR(ticks(b_handle), 1010 * K);
}

static void test_nothing_is_lost_with_a_thread(void **state)
{
    (void)state;
    run_cpu(1);
    now += 777 * K;
    uint64_t before = sum();
    assert_int_equal(call_steps(T, SYS_DESTROY, domain, 0), OK);
    assert_int_equal(call3(T, SYS_QUERY, b_handle, QUERY_THREAD_TICKS, 0).error, E_DEAD);
    NEAR(cpu_ticks(QUERY_CPU_GONE, 1), 777 * K);
    NEAR(cpu_ticks(QUERY_CPU_GONE, 1) + cpu_ticks(QUERY_CPU_IDLE, 1) + cpu_ticks(QUERY_CPU_KERNEL, 1), before);
    assert_int_equal(call1(T, SYS_HANDLE_CLOSE, a_handle).error, OK);
    assert_int_equal(call1(T, SYS_HANDLE_CLOSE, b_handle).error, OK);
}

static void guest_runs_a_while(struct vcpu *v)
{
    now += 50 * K;
    v->state->exit.reason = EXIT_MEMORY;
}

static void test_exits_pay_for_themselves(void **state)
{
    (void)state;
    assert_ptr_equal(run_cpu(1), b);
    uint64_t s = made(call0(b, SYS_SPACE_CREATE));
    now += 40 * K;
    made(call2(b, SYS_VCPU_CREATE, s, 0x700000));
    now += 30 * K; /* the monitor makes its guest */
    guest_runs = guest_runs_a_while;
    assert_int_equal(call0(b, SYS_VCPU_RUN).error, OK);
    now += 7 * K; /* it handles the exit */
    assert_int_equal(call0(b, SYS_VCPU_RUN).error, OK);
    guest_runs = NULL; /* HLT, at once */
    now += 8 * K;
    assert_int_equal(call0(b, SYS_VCPU_RUN).error, OK);
    NEAR(exit_ticks(b_handle, EXIT_NONE), 30 * K);
    NEAR(exit_ticks(b_handle, EXIT_MEMORY), 15 * K);
    NEAR(ticks(b_handle), (40 + 30 + 50 + 7 + 50 + 8) * K);
    /* It waits; another has the CPU meanwhile, and that is not the exit's price. */
    uint64_t e = made(call0(b, SYS_EVENT_CREATE));
    now += 3 * K;
    assert_true(call3(b, SYS_EVENT_WAIT, e, 1, now + 1000 * K).blocked);
    assert_ptr_equal(run_cpu(1), a);
    now += 5000 * K;
    assert_ptr_equal(run_cpu(1), b);
    now += 4 * K;
    assert_int_equal(call0(b, SYS_VCPU_RUN).error, OK);
    NEAR(exit_ticks(b_handle, EXIT_HLT), 7 * K);
    assert_int_equal(made(call3(T, SYS_QUERY, b_handle, QUERY_THREAD_EXITS, EXIT_MEMORY)), 2);
    assert_int_equal(call3(T, SYS_QUERY, b_handle, QUERY_THREAD_EXIT_TICKS, EXIT_COUNT).error, E_ARG);
    assert_int_equal(call3(T, SYS_QUERY, a_handle, QUERY_THREAD_EXIT_TICKS, EXIT_HLT).error,
                     E_ARG); /* it has no vCPU */
    assert_int_equal(call3(T, SYS_QUERY, a_handle, QUERY_DOMAIN_STATE, 0).error, E_ARG);
}

static void test_the_longest_stay_in_ring_0(void **state)
{
    (void)state;
    assert_ptr_equal(run_cpu(1), b);
    assert_int_equal(cpu_ticks(QUERY_CPU_PATH, 1 | (uint64_t)SYS_EVENT_CREATE << 16), 0);
    made(call0(b, SYS_EVENT_CREATE));
    assert_int_not_equal(cpu_ticks(QUERY_CPU_PATH, 1 | (uint64_t)SYS_EVENT_CREATE << 16), 0);
    struct cpu *c = b->cpu;
    c->entered = now - 123;
    c->path = SYS_EVENT_SIGNAL;
    path_end(c, now);
    c->entered = now - 12;
    path_end(c, now);
    assert_int_equal(cpu_ticks(QUERY_CPU_PATH, 1 | (uint64_t)SYS_EVENT_SIGNAL << 16), 123);
    assert_int_equal(cpu_ticks(QUERY_CPU_PATH, 2 | (uint64_t)SYS_EVENT_SIGNAL << 16), 0);
    const uint64_t bad[] = {MACHINE_CPUS, 63, 255, 0xffff, 1 | (uint64_t)PATH_COUNT << 16, 1ull << 40};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(call3(T, SYS_QUERY, ROOT_SLOT_SELF, QUERY_CPU_PATH, bad[i]).error, E_ARG);
    assert_int_equal(call3(b, SYS_QUERY, 1, QUERY_CPU_IDLE, 0).error, E_ARG); /* CPU 0 is none of its domain's */
    assert_int_equal(call3(b, SYS_QUERY, 1, QUERY_CPU_IDLE, 1).error, OK);
}

static void work_comes_up(struct vcpu *v)
{
    guest_runs_a_while(v);
    cpu_post(v->cpu, WORK_WAKE);
}

/* A vCPU's thread that gives way to work for its CPU, before its guest is entered and behind an exit: neither the
 * monitor's time nor the guest's is ring 0's. */
static void test_only_ring_0_is_ring_0s(void **state)
{
    (void)state;
    const uint64_t none[6] = {0};
    assert_ptr_equal(run_cpu(1), b);
    uint64_t s = made(call0(b, SYS_SPACE_CREATE));
    made(call2(b, SYS_VCPU_CREATE, s, 0x700000));
    now += 30 * K;
    guest_runs = work_comes_up;
    assert_ptr_equal(make_call(b, SYS_VCPU_RUN, none), b);
    now += 30 * K;
    cpu_post(b->cpu, WORK_WAKE);
    assert_ptr_equal(make_call(b, SYS_VCPU_RUN, none), b);
    assert_int_not_equal(cpu_ticks(QUERY_CPU_PATH, 1 | (uint64_t)PATH_GUEST << 16), 0);
    for (uint64_t path = 0; path < PATH_COUNT; path++)
        assert_in_range(cpu_ticks(QUERY_CPU_PATH, 1 | path << 16), 0, 10 * K);
}

static void test_two_on_one_budget(void **state)
{
    (void)state;
    struct thread *vcpu, *devices, *other;
    uint64_t v = thread_in(domain, SCHED_PLACE(2, 3) | SCHED_BORROW, 1000 | 10000ull << 32, &vcpu);
    uint64_t elsewhere = domain_on(T, 64, 2, 2, 0, 0);
    assert_int_equal(call(T, SYS_THREAD_CREATE, elsewhere, 0x400000, 0, 0, SCHED_PLACE(2, 3) | SCHED_BESIDE, v).error,
                     E_ARG);
    assert_int_equal(call(T, SYS_THREAD_CREATE, domain, 0x400000, 0, 0, SCHED_PLACE(1, 3) | SCHED_BESIDE, v).error,
                     E_ARG); /* another CPU */
    assert_int_equal(call(T, SYS_THREAD_CREATE, domain, 0x400000, 0, 0, SCHED_PLACE(2, 3) | SCHED_BESIDE, 200).error,
                     E_HANDLE);
    assert_int_equal(call(T, SYS_THREAD_CREATE, domain, 0x400000, 0, 0, SCHED_PLACE(2, 3) | SCHED_BESIDE, domain).error,
                     E_TYPE);
    thread_in(domain, SCHED_PLACE(2, 3) | SCHED_BESIDE, v, &devices);
    assert_ptr_equal(devices->entity.budget, &vcpu->budget);
    assert_true(vcpu->budget.borrow && devices->entity.urgent && !vcpu->entity.urgent);
    thread_in(domain, SCHED_PLACE(2, 3), 0, &other);
    assert_ptr_equal(run_cpu(2), devices);
    assert_int_equal(call(devices, SYS_THREAD_CREATE, 1, 0x400000, 0, 0, 2, 0).error, E_RIGHTS); /* it is capped, too */
    now += us_to_ticks(400);
    uint64_t e = made(call0(devices, SYS_EVENT_CREATE));
    assert_true(call3(devices, SYS_EVENT_WAIT, e, 1, NEVER).blocked);
    assert_ptr_equal(run_cpu(2), vcpu);
    now += us_to_ticks(600);
    assert_ptr_equal(run_cpu(2), other);
    assert_int_equal(call_steps(T, SYS_DESTROY, domain, 0), OK); /* in whatever order they go */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_tick_has_an_owner, start, machine_stop),
        cmocka_unit_test_setup_teardown(test_nothing_is_lost_with_a_thread, start, machine_stop),
        cmocka_unit_test_setup_teardown(test_exits_pay_for_themselves, start, machine_stop),
        cmocka_unit_test_setup_teardown(test_the_longest_stay_in_ring_0, start, machine_stop),
        cmocka_unit_test_setup_teardown(test_only_ring_0_is_ring_0s, start, machine_stop),
        cmocka_unit_test_setup_teardown(test_two_on_one_budget, start, machine_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
