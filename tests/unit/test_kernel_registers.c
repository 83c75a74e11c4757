// SPDX-License-Identifier: Apache-2.0
// sources: @kernel tests/unit/pool_count.c
// libs: -include tests/unit/fake_cpu.h -Wl,--wrap=pool_init,--wrap=pool_alloc,--wrap=pool_free,--wrap=pool_page_free
/*
 * The registers that ring 3 can read and that stay a guest's while its vCPU is current: TSC_AUX and XCR0. Every guest
 * finds its own, every monitor its own guest's, and all others what is the same for everybody (docs/cpu-state.md).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86_64/fpu.h"
#include "arch/x86_64/speculation.h"
#include "fake_machine.h"
#include "mullion/regs.h"

#define T     root_thread
#define CPU   1u
#define AUX_A 0x5ec2e7a1ull
#define AUX_B 0x0badcafeull

static uint64_t event;
static struct thread *a, *b, *s; /* two monitors and a service, on one CPU; each in a domain of its own */

static struct thread *thread_in_a_domain(uint64_t flags)
{
    uint64_t d = made(call4(T, SYS_DOMAIN_CREATE, 64, 0, 0, 1 | flags));
    add_cpus(T, d, CPU, CPU);
    made(call4(T, SYS_HANDLE_GRANT, d, d, RIGHTS_ALL, 4));
    made(call4(T, SYS_HANDLE_GRANT, d, event, RIGHTS_ALL, 5));
    return object_at(T, made(call(T, SYS_THREAD_CREATE, d, 0x400000, 0, 1, SCHED_PLACE(CPU, 3), 0)));
}

static int setup(void **state)
{
    machine_start(state);
    event = made(call0(T, SYS_EVENT_CREATE));
    a = thread_in_a_domain(0);
    b = thread_in_a_domain(0);
    s = thread_in_a_domain(DOMAIN_OWN_CODE);
    for (int i = 0; i < 2; i++) {
        struct thread *t = i ? b : a;
        uint64_t space = made(call0(t, SYS_SPACE_CREATE));
        made(call2(t, SYS_VCPU_CREATE, space, 0x700000));
    }
    fpu_xcr0_by_guest = false;
    speculation_barriers = 0; /* else one is owed at many a switch, and what is owed is paid together */
    return 0;
}

static void set(struct thread *t, uint64_t tsc_aux, uint64_t xcr0)
{
    t->vcpu->state->tsc_aux = tsc_aux;
    t->vcpu->state->xcr0 = xcr0;
    t->vcpu->state->dirty = GROUP_MSR | GROUP_CR;
}

/* What a guest or ring 3 finds there. */
static void finds(uint64_t tsc_aux, uint64_t xcr0)
{
    assert_int_equal(tsc_aux_now(), tsc_aux);
    assert_int_equal(xcr0_now(), xcr0);
    assert_int_equal(xgetbv_works(), fpu_xcr0_by_guest);
}

static uint64_t want_aux, want_xcr0, sets_xcr0;
static unsigned entries;
static void guest(struct vcpu *v)
{
    (void)v;
    entries++;
    finds(want_aux, want_xcr0);
    if (!sets_xcr0)
        return;
    fpu_open(); /* the guest's CR4 has OSXSAVE */
    xsetbv(0, sets_xcr0);
    fpu_close();
}

static void runs(struct thread *t, uint64_t aux, uint64_t xcr0)
{
    want_aux = aux;
    want_xcr0 = xcr0;
    guest_runs = guest;
    unsigned before = entries;
    assert_int_equal(call0(t, SYS_VCPU_RUN).error, OK);
    assert_int_equal(entries, before + 1);
    guest_runs = NULL;
}

/* Slices end until its turn comes. */
static void to_ring3(struct thread *t)
{
    for (unsigned tries = 0; run_cpu(CPU) != t; tries++) {
        assert_true(tries < 16);
        now += 20000000;
    }
}

static void test_each_finds_its_own(void **state)
{
    (void)state;
    set(a, AUX_A, 3);
    runs(a, AUX_A, 3);
    finds(AUX_A, 3); /* its monitor */
    to_ring3(s);
    finds(0, cpu_xcr0_mask);
    to_ring3(b); /* its vCPU has never run */
    finds(0, cpu_xcr0_mask);
    set(b, AUX_B, 1);
    runs(b, AUX_B, 1);
    finds(AUX_B, 1);
    to_ring3(a); /* its own vCPU is not in the CPU */
    finds(0, cpu_xcr0_mask);
    runs(a, AUX_A, 3);
    to_ring3(s);
    finds(0, cpu_xcr0_mask);
    to_ring3(a); /* and now it is, still */
    finds(AUX_A, 3);
    runs(a, AUX_A, 3);
}

/* From an idle or busy ring 3 of another's straight into the guest. */
static void test_a_guest_that_slept_finds_its_own(void **state)
{
    (void)state;
    set(a, AUX_A, 3);
    runs(a, AUX_A, 3);
    a->vcpu->state->activity = ACTIVITY_HALT;
    a->vcpu->state->deadline = now + 1000000000;
    assert_true(call0(a, SYS_VCPU_RUN).blocked);
    to_ring3(s);
    finds(0, cpu_xcr0_mask);
    a->vcpu->state->inject = INJECT_VALID; /* to be delivered: it goes in without its monitor */
    now = a->vcpu->state->deadline + 1;
    a->vcpu->state->deadline = NEVER;
    want_aux = AUX_A;
    want_xcr0 = 3;
    guest_runs = guest;
    unsigned before = entries;
    to_ring3(a);
    assert_int_equal(entries, before + 1);
    finds(AUX_A, 3);
}

/* The hot path writes none of them, nor does a guest that does not use them, wherever the CPU goes. */
static void test_writes_are_counted(void **state)
{
    (void)state;
    set(a, AUX_A, cpu_xcr0_mask);
    runs(a, AUX_A, cpu_xcr0_mask);
    tsc_aux_writes = xcr0_writes = 0;
    for (unsigned i = 0; i < 100; i++)
        runs(a, AUX_A, cpu_xcr0_mask);
    assert_int_equal(tsc_aux_writes, 0);
    for (unsigned i = 0; i < 10; i++) {
        to_ring3(s);
        to_ring3(a);
        runs(a, AUX_A, cpu_xcr0_mask);
    }
    assert_int_equal(tsc_aux_writes, 20); /* out and in */
    set(a, 0, cpu_xcr0_mask);             /* as a Linux has it on its first CPU */
    runs(a, 0, cpu_xcr0_mask);
    tsc_aux_writes = 0;
    for (unsigned i = 0; i < 10; i++) {
        to_ring3(s);
        to_ring3(a);
        runs(a, 0, cpu_xcr0_mask);
    }
    assert_int_equal(tsc_aux_writes, 0);
    assert_int_equal(xcr0_writes, 0);
}

/* A vCPU that ends leaves nothing. */
static void test_what_an_ended_guest_leaves(void **state)
{
    (void)state;
    set(a, AUX_A, 3);
    runs(a, AUX_A, 3);
    (void)call0(a, SYS_THREAD_EXIT);
    to_ring3(s);
    finds(0, cpu_xcr0_mask);
}

/* Where XSETBV of a guest makes no exit: what it has set is its own all the same, and goes with it. */
static void test_a_guest_that_sets_xcr0_itself(void **state)
{
    (void)state;
    fpu_xcr0_by_guest = true;
    set(a, AUX_A, 3);
    sets_xcr0 = 1;
    runs(a, AUX_A, 3);
    sets_xcr0 = 0;
    to_ring3(s);
    finds(0, cpu_xcr0_mask);
    to_ring3(b);
    runs(b, 0, 1); /* as after reset */
    finds(0, 1);
    to_ring3(a);
    runs(a, AUX_A, 1);
    assert_int_equal(a->vcpu->xcr0, 1);
}

/* A monitor asks for what no CPU takes: nothing is loaded. */
static void test_a_bad_xcr0_is_not_loaded(void **state)
{
    (void)state;
    set(a, AUX_A, 3);
    runs(a, AUX_A, 3);
    set(a, AUX_A, 2);
    runs(a, AUX_A, 3);
}

#define ON_A_MACHINE(f) cmocka_unit_test_setup_teardown(f, setup, machine_stop)
int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_A_MACHINE(test_each_finds_its_own),
        ON_A_MACHINE(test_a_guest_that_slept_finds_its_own),
        ON_A_MACHINE(test_writes_are_counted),
        ON_A_MACHINE(test_what_an_ended_guest_leaves),
        ON_A_MACHINE(test_a_guest_that_sets_xcr0_itself),
        ON_A_MACHINE(test_a_bad_xcr0_is_not_loaded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
