// SPDX-License-Identifier: Apache-2.0
// sources: @kernel tests/unit/pool_watch.c
// libs: -include tests/unit/fake_cpu.h -pthread -DDISTURBED -Wl,--wrap=pool_free,--wrap=pool_page_free
/*
 * The kernel's CPUs at the same time, each in a thread of the host: domains run hostile noise on CPUs 1 and 2 while
 * root, on CPU 0, makes and destroys them and the memory they have mapped. Kicks, wake-ups, flushes and parking meet in
 * every order that the host's scheduler finds. test_kernel_race.c looks for data races.
 * KERNEL_SMP_ROUNDS=n: how long.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "fake_machine.h"
#include "kernel/log.h"

#define T       root_thread
#define MEMORY  (1ull << 20)
#define DOMAINS 3

static uint32_t stop;
static uint64_t calls[MACHINE_CPUS], waits[MACHINE_CPUS];
static uint32_t touched;

static uint64_t next(uint64_t *seed) /* xorshift */
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* Not by the clock: where one CPU alone moves it, it would find the same exit for ever. */
static void noise_of_a_guest(struct vcpu *v)
{
    static const enum exit_reason reasons[] = {EXIT_WAITING, EXIT_HLT, EXIT_WAITING, EXIT_CPUID, EXIT_PORT};
    static _Thread_local uint64_t seed = 4711;
    uint64_t n = next(&seed);
    v->state->exit = (struct vcpu_exit){.reason = reasons[n % ARRAY_SIZE(reasons)], .insn_len = 2};
    if (v->state->exit.reason == EXIT_PORT)
        v->state->exit.port.port = 0x1000, v->state->exit.port.size = 4;
}

/* What a hostile thread calls next. */
static enum syscall choose(uint64_t *seed, uint64_t a[6])
{
    static const enum syscall often[] = {SYS_EVENT_SIGNAL, SYS_EVENT_SIGNAL, SYS_EVENT_WAIT, SYS_VCPU_RUN,
                                         SYS_VCPU_KICK,    SYS_MAP,          SYS_UNMAP};
    for (int i = 0; i < 6; i++)
        a[i] = next(seed) % 12;
    uint64_t time = __atomic_load_n(&now, __ATOMIC_RELAXED);
    enum syscall n = next(seed) % 3 ? often[next(seed) % ARRAY_SIZE(often)] : (enum syscall)(next(seed) % SYS_COUNT);
    switch (n) {
    case SYS_EVENT_WAIT:
        a[1] = 1ull << next(seed) % 8;
        a[2] = next(seed) % 8 ? time + next(seed) % 100000 : NEVER;
        break;
    case SYS_EVENT_SIGNAL: a[1] = 1ull << next(seed) % 8; break;
    case SYS_MAP:
        a[0] = 1 + next(seed) % 8;
        a[1] = 0x10000000 + next(seed) % 16 * MEMORY;
        a[2] = 3 + next(seed) % 2;
        a[3] = next(seed) % 4 * PAGE_SIZE;
        a[4] = (1 + next(seed) % 4) * PAGE_SIZE;
        a[5] = RIGHT_READ;
        break;
    case SYS_UNMAP: a[1] = 0x10000000 + next(seed) % 16 * MEMORY; break;
    case SYS_VCPU_CREATE: a[1] = 0x700000 + next(seed) % 4 * PAGE_SIZE; break;
    case SYS_DOMAIN_CREATE: a[0] = 8 + next(seed) % 16; break;
    case SYS_DOMAIN_CPU: a[1] = 1 + next(seed) % 2; break;
    case SYS_THREAD_CREATE:
        a[1] = a[2] = 0x400000;
        a[4] = SCHED_PLACE(1 + next(seed) % 2, next(seed) % 4);
        a[5] = next(seed) % 4 ? 0 : 100 | 1000ull << 32;
        break;
    case SYS_FASTPATH_DOORBELL: a[1] = next(seed) % 2, a[2] = 0x1000, a[3] = 4; break;
    case SYS_THREAD_EXIT: return next(seed) % 16 ? SYS_EVENT_SIGNAL : n;
    case SYS_HANDLE_CLOSE: return next(seed) % 8 ? SYS_QUERY : n;
    case SYS_DESTROY: a[0] = 5 + next(seed) % 12; break;
    default: break;
    }
    return n;
}

static void *cpu(void *argument)
{
    unsigned number = (unsigned)(uintptr_t)argument;
    uint64_t seed = 88172645463325252ull + number, a[6];
    struct thread *t = NULL;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        if (!t || next(&seed) % 32 == 0) {
            t = run_cpu(number); /* an interrupt, or the idle loop */
            if (!t) {
                waits[number]++;
                __atomic_add_fetch(&now, 20000, __ATOMIC_RELAXED);
                sched_yield();
                continue;
            }
        }
        if (next(&seed) % 4 == 0) {
            uint8_t *seen = touch(t, 0x10000000 + next(&seed) % 16 * MEMORY);
            if (seen) {
                if (*seen != 0x42) /* its domain's memory, never a byte that is being zeroed or another's */
                    panic("CPU %u sees %02x", number, *seen);
                __atomic_add_fetch(&touched, 1, __ATOMIC_RELAXED);
            }
        }
        t = make_call(t, choose(&seed, a), a);
        calls[number]++;
    }
    return NULL;
}

static void make_domain(uint64_t *domain, uint64_t event, const uint64_t *memory, const uint64_t *others)
{
    *domain = domain_on(T, 150, 1, 2, event, 0x80);
    made(call4(T, SYS_HANDLE_GRANT, *domain, *domain, RIGHTS_ALL & ~RIGHT_DESTROY, 1));
    made(call4(T, SYS_HANDLE_GRANT, *domain, event, RIGHTS_ALL & ~RIGHT_DESTROY, 2));
    for (unsigned i = 0; i < 2; i++)
        made(call4(T, SYS_HANDLE_GRANT, *domain, memory[i], RIGHT_READ | RIGHT_GRANT, 3 + i));
    for (unsigned i = 0; i < DOMAINS; i++) /* so that they exchange handles: to events, vCPUs, spaces */
        if (others[i] && others[i] != *domain)
            made(call4(T, SYS_HANDLE_GRANT, *domain, others[i], RIGHT_MANAGE | RIGHT_MAP, 0));
    for (unsigned i = 0; i < 4; i++) {
        struct answer r = call(T, SYS_THREAD_CREATE, *domain, 0x400000, 0, 0, SCHED_PLACE(1 + i % 2, i % 4), 0);
        if (i > 0 && (r.error == E_STATE || r.error == E_QUOTA)) /* those before it have ended, or used it up */
            break;
        assert_int_equal(call1(T, SYS_HANDLE_CLOSE, made(r)).error, OK);
    }
}

static void test_all_at_once(void **state)
{
    (void)state;
    const char *wish = getenv("KERNEL_SMP_ROUNDS");
    int rounds = wish ? atoi(wish) : 20;
    pthread_t cpus[MACHINE_CPUS];
    uint64_t event = made(call0(T, SYS_EVENT_CREATE)), memory[2], domain[DOMAINS] = {0}, seed = 4711;
    for (uint64_t i = 0; i < 2; i++) {
        memory[i] = made(call4(T, SYS_MEMORY_CARVE, RAM_SLOT, i * MEMORY, MEMORY, 7));
        memset(ram + i * MEMORY, 0x42, MEMORY);
    }
    guest_runs = noise_of_a_guest;
    cpus_at_once = true;
    stop = 0;
    for (unsigned i = 1; i < MACHINE_CPUS; i++)
        assert_int_equal(pthread_create(&cpus[i], NULL, cpu, (void *)(uintptr_t)i), 0);
    for (int round = 0; round < rounds; round++) {
        unsigned d = (unsigned)(next(&seed) % DOMAINS), m = (unsigned)(next(&seed) % 2);
        if (domain[d]) {
            destroy_at_once(domain[d]);
            domain[d] = 0;
        }
        make_domain(&domain[d], event, memory, domain);
        if (next(&seed) % 4 == 0) {
            destroy_at_once(memory[m]);
            assert_true(ram[m * MEMORY] == 0 && !memcmp(ram + m * MEMORY, ram + m * MEMORY + 1, MEMORY - 1));
            assert_false(remembered(RAM_BASE + m * MEMORY, MEMORY));
            memory[m] = made(call4(T, SYS_MEMORY_CARVE, RAM_SLOT, m * MEMORY, MEMORY, 7));
            memset(ram + m * MEMORY, 0x42, MEMORY);
        }
        for (uint64_t wait = next(&seed) % 50; wait > 0; wait--) {
            (void)call2(T, SYS_EVENT_SIGNAL, event, next(&seed));
            sched_yield();
        }
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (unsigned i = 1; i < MACHINE_CPUS; i++)
        pthread_join(cpus[i], NULL);
    guest_runs = NULL; /* time stands still from here on: a guest that waits for it would wait for ever */
    print_message("%lu and %lu calls, idle %lu and %lu times, %u accesses\n", calls[1], calls[2], waits[1], waits[2],
                  touched);
    assert_true(calls[1] > 100 && calls[2] > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(test_all_at_once, machine_start, machine_stop)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
