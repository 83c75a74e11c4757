// SPDX-License-Identifier: Apache-2.0
/*
 * The monitor's lock, with real threads on stacks where a monitor's are: never two inside, none left asleep although
 * the lock is free, and a thread that finds it taken sleeps until the holder wakes it. The last is what keeps a thread
 * of high priority from keeping the holder off their CPU.
 */
// sources: vmm/lock.c
// libs: -pthread
#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>
#include "lib/syscall.h"
#include "vmm/lock.h"

#define THREADS 6
#define ROUNDS  20000

static struct vm_lock l;
static pthread_mutex_t kernel = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t rung = PTHREAD_COND_INITIALIZER;
static uint64_t bits[THREADS];
static unsigned waits, signals, inside, entries;
static _Atomic bool sleeps;

/* Events 1 to THREADS, without time: a wait ends by a signal or never, and then alarm() ends the test. */
struct syscall_result syscall6(enum syscall number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
                               uint64_t f)
{
    (void)c, (void)d, (void)e, (void)f;
    uint64_t met = 0;
    pthread_mutex_lock(&kernel);
    if (number == SYS_EVENT_SIGNAL) {
        signals++;
        bits[a - 1] |= b;
        pthread_cond_broadcast(&rung);
    } else if (number == SYS_EVENT_WAIT) {
        waits++;
        sleeps = true;
        while ((met = bits[a - 1] & b) == 0)
            pthread_cond_wait(&rung, &kernel);
        bits[a - 1] &= ~met;
        sleeps = false;
    }
    pthread_mutex_unlock(&kernel);
    return (struct syscall_result){number == SYS_EVENT_SIGNAL || number == SYS_EVENT_WAIT ? OK : E_NOSYS, met};
}

static void start(pthread_t *thread, unsigned number, void *(*body)(void *))
{
    void *stack = (void *)(VMM_STACKS_VA + number * VMM_STACK_STRIDE);
    assert_ptr_equal(
        mmap(stack, VMM_STACK_STRIDE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), stack);
    pthread_attr_t attributes;
    assert_int_equal(pthread_attr_init(&attributes), 0);
    assert_int_equal(pthread_attr_setstack(&attributes, stack, VMM_STACK_STRIDE), 0);
    atomic_store(&l.thread[number].event, number + 1);
    assert_int_equal(pthread_create(thread, &attributes, body, (void *)(uintptr_t)number), 0);
}

static int fresh(void **state)
{
    (void)state;
    l = (struct vm_lock){0};
    waits = signals = inside = entries = 0;
    for (unsigned i = 0; i < THREADS; i++)
        bits[i] = 0;
    alarm(60);
    return 0;
}

static void *one_wants_in(void *number)
{
    assert_int_equal(thread_self(), (uintptr_t)number);
    lock_take(&l);
    entries++;
    lock_release(&l);
    return NULL;
}

/* The second thread makes one call and no more until the holder lets go: it does not spin. */
static void a_waiter_sleeps(void **state)
{
    (void)state;
    pthread_t t;
    lock_take(&l);
    assert_int_equal(waits + signals, 0); /* no other thread was there: no system call */
    start(&t, 3, one_wants_in);
    while (!sleeps)
        usleep(100);
    usleep(20000);
    assert_int_equal(waits, 1);
    assert_int_equal(entries, 0);
    lock_release(&l);
    assert_int_equal(pthread_join(t, NULL), 0);
    assert_int_equal(entries, 1);
    assert_int_equal(signals, 1);
    assert_int_equal(atomic_load(&l.held) + atomic_load(&l.waiters), 0);
}

static void *in_and_out(void *number)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        lock_take(&l);
        assert_int_equal(++inside, 1);
        entries++;
        if (i % 64 == (uintptr_t)number) /* another's turn on this CPU, in the middle */
            usleep(1);
        inside--;
        lock_release(&l);
    }
    return NULL;
}

static void no_two_inside_and_no_wakeup_lost(void **state)
{
    (void)state;
    pthread_t t[THREADS];
    for (unsigned i = 0; i < THREADS; i++)
        start(&t[i], i, in_and_out);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(t[i], NULL), 0);
    assert_int_equal(entries, THREADS * ROUNDS);
    assert_int_equal(atomic_load(&l.held) + atomic_load(&l.waiters), 0);
    assert_true(waits > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_waiter_sleeps, fresh),
        cmocka_unit_test_setup(no_two_inside_and_no_wakeup_lost, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
