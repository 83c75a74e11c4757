// SPDX-License-Identifier: Apache-2.0
// sources: @kernel
// libs: -include tests/unit/fake_cpu.h
// sanitizer: accesses
/*
 * Which cache lines a signal writes: the compiler reports each access of the kernel's C code to this test. It shows
 * that CPUs which signal different events share no line that one of them writes. It counts what is written, not what it
 * costs; the assembly (entry, IPI) is not seen, and memset and memcpy are not used on these ways.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "fake_machine.h"
#include "tsan_calls.h"

#define T    root_thread
#define LINE 64u

enum whose { OWN_CPU, OWN_THREAD, EVENT, IRQ, TARGET_CPU, TARGET_THREAD, TARGET_VCPU, OTHER, WHOSE_COUNT };
static const char *const names[] = {"own CPU",    "own thread",    "event",       "irq",
                                    "target CPU", "target thread", "target vCPU", "other"};

static bool recording;
static uintptr_t written[256];
static unsigned count;

/* Of the kernel's sources alone: they are linked behind the made-up machine, kernel/object.c first. Its stack does not
 * count. */
UNSEEN static void seen(const volatile void *at, size_t size, int write, const void *from)
{
    uintptr_t a = (uintptr_t)at, here = (uintptr_t)__builtin_frame_address(0);
    if (!recording || !write || a - here < 65536 || (uintptr_t)from < (uintptr_t)kernel_lock)
        return;
    for (uintptr_t line = a / LINE; line <= (a + size - 1) / LINE; line++) {
        unsigned n = 0;
        while (n < count && written[n] != line)
            n++;
        if (n == count && count < ARRAY_SIZE(written))
            written[count++] = line;
    }
}

static struct thread *own, *target;
static struct event *event;
static struct irq *irq;
static uint64_t own_event, own_vcpu, target_event, irq_handle;
static unsigned lines_of[WHOSE_COUNT];

static bool in(uintptr_t line, const void *object, size_t size)
{
    return object && line >= (uintptr_t)object / LINE && line <= ((uintptr_t)object + size - 1) / LINE;
}

static void tell(const char *what)
{
    recording = false;
    for (unsigned i = 0; i < WHOSE_COUNT; i++)
        lines_of[i] = 0;
    for (unsigned i = 0; i < count; i++) {
        uintptr_t l = written[i];
        if (in(l, own->cpu, sizeof *own->cpu))
            lines_of[OWN_CPU]++;
        else if (in(l, own, sizeof *own))
            lines_of[OWN_THREAD]++;
        else if (in(l, event, sizeof *event))
            lines_of[EVENT]++;
        else if (in(l, irq, sizeof *irq))
            lines_of[IRQ]++;
        else if (in(l, target->cpu, sizeof *target->cpu))
            lines_of[TARGET_CPU]++;
        else if (in(l, target, sizeof *target))
            lines_of[TARGET_THREAD]++;
        else if (in(l, target->vcpu, sizeof *target->vcpu))
            lines_of[TARGET_VCPU]++;
        else
            lines_of[OTHER]++;
    }
    print_message("%-40s", what);
    for (unsigned i = 0; i < WHOSE_COUNT; i++)
        if (lines_of[i])
            print_message("  %s %u", names[i], lines_of[i]);
    print_message("\n");
    count = 0;
}

/* The system call alone: what the fake machine does to bring the thread to it is not the call's. */
static void record(const char *what, enum syscall n, uint64_t a, uint64_t b, uint64_t c)
{
    assert_ptr_equal(run_cpu(own->cpu->number), own);
    recording = true;
    struct thread *t = make_call(own, n, (const uint64_t[6]){a, b, c});
    tell(what);
    assert_ptr_equal(t, own);
    assert_int_equal(own->frame.rax, OK);
}

static int start(void **state)
{
    assert_true((uintptr_t)machine_start < (uintptr_t)kernel_lock && (uintptr_t)start < (uintptr_t)kernel_lock);
    assert_int_equal(machine_start(state), 0);
    uint64_t domain = domain_on(T, 200, 1, 2, 0, 0);
    target_event = made(call0(T, SYS_EVENT_CREATE));
    event = object_at(T, target_event);
    own = object_at(T, made(call(T, SYS_THREAD_CREATE, domain, 0x400000, 0, 0, SCHED_PLACE(1, 3), 0)));
    target = object_at(T, made(call(T, SYS_THREAD_CREATE, domain, 0x400000, 0, 0, SCHED_PLACE(2, 3), 0)));
    own_event = made(call4(T, SYS_HANDLE_GRANT, domain, target_event, RIGHTS_ALL, 5));
    irq_handle = made(call(T, SYS_HARDWARE, ROOT_SLOT_HARDWARE, HARDWARE_MESSAGE, 0, 1, 0, 0));
    irq = object_at(T, irq_handle);
    run_all();
    uint64_t space = made(call0(target, SYS_SPACE_CREATE));
    uint64_t vcpu = made(call2(target, SYS_VCPU_CREATE, space, 0x700000));
    own_vcpu = vcpu; /* one domain: one table of handles */
    recording = false;
    count = 0;
    return 0;
}

static int stop(void **state)
{
    recording = false;
    guest_runs = NULL;
    event = NULL;
    irq = NULL;
    return machine_stop(state);
}

/* All that a signal writes, but the event, is its own CPU's or the target's. */
static void check(unsigned event_lines)
{
    assert_int_equal(lines_of[OTHER], 0);
    assert_int_equal(lines_of[EVENT], event_lines);
    assert_true(lines_of[OWN_CPU] > 0);
}
static void reaches_no_target(void)
{
    assert_int_equal(lines_of[TARGET_CPU] + lines_of[TARGET_THREAD] + lines_of[TARGET_VCPU], 0);
}

static void test_signals(void **state)
{
    (void)state;
    record("signal, no thread waits", SYS_EVENT_SIGNAL, own_event, 1, 0);
    check(1);
    reaches_no_target();
    record("wait, the bits are there", SYS_EVENT_WAIT, own_event, 1, NEVER);
    check(1);
    reaches_no_target();
    assert_true(call3(target, SYS_EVENT_WAIT, 5, 2, NEVER).blocked);
    record("signal, a thread of another CPU waits", SYS_EVENT_SIGNAL, own_event, 2, 0);
    check(1);
    assert_int_equal(lines_of[TARGET_CPU], 1);
    assert_ptr_equal(run_cpu(2), target);
}

static void test_kicks(void **state)
{
    (void)state;
    record("kick, its thread runs", SYS_VCPU_KICK, own_vcpu, 0, 0);
    check(0);
    assert_int_equal(lines_of[TARGET_CPU], 0);
    assert_int_equal(call1(target, SYS_VCPU_BIND, 5).error, OK);
    assert_false(call0(target, SYS_VCPU_RUN).blocked);
    record("signal, a bound vCPU runs", SYS_EVENT_SIGNAL, own_event, 1, 0);
    check(1);
    assert_int_equal(lines_of[TARGET_VCPU], 1);
    assert_false(call0(target, SYS_VCPU_RUN).blocked);
    target->vcpu->state->activity = ACTIVITY_HALT;
    assert_true(call0(target, SYS_VCPU_RUN).blocked);
    record("signal, a bound vCPU sleeps", SYS_EVENT_SIGNAL, own_event, 1, 0);
    check(1);
    assert_int_equal(lines_of[TARGET_CPU], 1);
}

static void test_an_interrupt(void **state)
{
    (void)state;
    assert_int_equal(call3(T, SYS_IRQ_BIND, irq_handle, target_event, 4).error, OK);
    assert_true(call3(target, SYS_EVENT_WAIT, 5, 4, NEVER).blocked);
    assert_ptr_equal(run_cpu(1), own);
    recording = true;
    irq_arrived(irq->vector);
    tell("interrupt, a thread of another CPU waits");
    check(1);
    assert_int_equal(lines_of[IRQ], 1);
    assert_int_equal(lines_of[TARGET_CPU], 1);
}

/* What takes the kernel's lock is seen: the count above is not blind. */
static void test_the_lock_is_seen(void **state)
{
    (void)state;
    record("a call that takes the kernel's lock", SYS_QUERY, 0, QUERY_THREAD_TICKS, 0);
    assert_true(lines_of[OTHER] > 0);
}

#define ON_A_MACHINE(t) cmocka_unit_test_setup_teardown(t, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {ON_A_MACHINE(test_signals), ON_A_MACHINE(test_kicks),
                                       ON_A_MACHINE(test_an_interrupt), ON_A_MACHINE(test_the_lock_is_seen)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
