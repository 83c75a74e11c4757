// SPDX-License-Identifier: Apache-2.0
// sources:
// libs: -pthread
/* The kernel's lock, by threads: one at a time; a waiter that does not run holds up no other where CPUs can be taken
 * away, and is served before others all the same when its patience is over. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>
#include <cmocka.h>

#define cpu_pause real_cpu_pause
#include "arch/x86_64/instr.h"
#undef cpu_pause
static void cpu_pause(void);
#include "kernel/lock.h"

uint32_t lock_patience;

#define THREADS 4
#define ROUNDS  20000

static struct lock the_lock;
static uint64_t counter;

/* A thread that has looked in vain goes to sleep in the gate, if it is shut: its CPU was taken away. */
static uint32_t gate_shut, asleep;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void cpu_pause(void)
{
    if (__atomic_load_n(&gate_shut, __ATOMIC_ACQUIRE)) {
        __atomic_store_n(&asleep, 1, __ATOMIC_RELEASE);
        pthread_mutex_lock(&gate);
        pthread_mutex_unlock(&gate);
    } else {
        sched_yield();
    }
}

static void *count(void *unused)
{
    for (int i = 0; i < ROUNDS; i++) {
        lock(&the_lock);
        counter++; /* not atomic: two at a time would lose some */
        unlock(&the_lock);
    }
    return unused;
}

static void test_one_at_a_time(void **state)
{
    static const uint32_t patience[] = {0, 1, 50, LOCK_PATIENCE};
    (void)state;
    for (unsigned p = 0; p < sizeof patience / sizeof patience[0]; p++) {
        pthread_t thread[THREADS];
        lock_patience = patience[p];
        counter = 0;
        for (int i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&thread[i], NULL, count, NULL), 0);
        for (int i = 0; i < THREADS; i++)
            pthread_join(thread[i], NULL);
        assert_int_equal(counter, THREADS * ROUNDS);
        assert_int_equal(the_lock.next, the_lock.serving);
    }
}

static uint32_t had_it;

static void *wait_for_it(void *unused)
{
    lock(&the_lock);
    __atomic_store_n(&had_it, 1, __ATOMIC_RELEASE);
    unlock(&the_lock);
    return unused;
}

/* Before a lock that is held stands a thread that does not run. */
static pthread_t start_sleeper(void)
{
    pthread_t sleeper;
    had_it = asleep = 0;
    lock(&the_lock);
    pthread_mutex_lock(&gate);
    __atomic_store_n(&gate_shut, 1, __ATOMIC_RELEASE);
    assert_int_equal(pthread_create(&sleeper, NULL, wait_for_it, NULL), 0);
    while (!__atomic_load_n(&asleep, __ATOMIC_ACQUIRE))
        sched_yield();
    __atomic_store_n(&gate_shut, 0, __ATOMIC_RELEASE);
    return sleeper;
}

static void wake(pthread_t sleeper)
{
    pthread_mutex_unlock(&gate);
    pthread_join(sleeper, NULL);
    assert_true(had_it);
}

static void test_one_that_does_not_run_holds_up_no_other(void **state)
{
    (void)state;
    lock_patience = LOCK_PATIENCE;
    pthread_t sleeper = start_sleeper();
    alarm(60);
    for (int i = 0; i < 1000; i++) {
        unlock(&the_lock);
        lock(&the_lock); /* the sleeper's turn, if it had a ticket: we would wait for ever */
    }
    alarm(0);
    assert_false(had_it);
    unlock(&the_lock);
    wake(sleeper);
}

/* Where CPUs are our own: first come, first served. Also for one that has lost its patience. */
static void test_one_with_a_ticket_comes_first(void **state)
{
    (void)state;
    for (lock_patience = 0; lock_patience < 3; lock_patience++) {
        pthread_t waiter;
        had_it = 0;
        lock(&the_lock);
        assert_int_equal(pthread_create(&waiter, NULL, wait_for_it, NULL), 0);
        while (__atomic_load_n(&the_lock.next, __ATOMIC_RELAXED) == the_lock.serving + 1)
            sched_yield(); /* until it has a ticket */
        unlock(&the_lock);
        lock(&the_lock);
        assert_true(__atomic_load_n(&had_it, __ATOMIC_ACQUIRE));
        unlock(&the_lock);
        pthread_join(waiter, NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_at_a_time),
        cmocka_unit_test(test_one_that_does_not_run_holds_up_no_other),
        cmocka_unit_test(test_one_with_a_ticket_comes_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
