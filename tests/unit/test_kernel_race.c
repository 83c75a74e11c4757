// SPDX-License-Identifier: Apache-2.0
// sources: @kernel tests/unit/pool_watch.c
// libs: -include tests/unit/fake_cpu.h -pthread -DMACHINE_CPUS=8u -DDISTURBED -Wl,--wrap=pool_free,--wrap=pool_page_free
// sanitizer: thread
/*
 * Objects that are reached without the kernel's lock, under a thread sanitizer: eight CPUs, each a thread of the host,
 * signal, wait, kick, run bound vCPUs, raise interrupts, close and grant handles and destroy what the others use. A
 * data race is reported, and so is the use of what has been freed: freeing writes every byte (pool_watch.c).
 *
 * Among the noise one domain hands tokens round, CPU to CPU: half of its threads wait for an event, the other half run
 * a vCPU to which one is bound. A token is a bit. One that is lost never arrives, and one that is delivered twice comes
 * where it is not expected. KERNEL_RACE_ROUNDS=n: how long.
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

#define T            root_thread
#define DOMAINS      3
#define TOKENS       4u
#define TOKEN_BITS   ((1ull << TOKENS) - 1)
#define NOISE_SHIFT  32
#define RING         (MACHINE_CPUS - 1) /* CPU 0 is root's */
#define SHARED       4
#define SLOT_SHARED  2
#define SLOT_RING    6 /* RING events that it may signal, RING vCPUs or events that it may kick or signal */
#define SLOT_DEVICES (SLOT_RING + RING)
#define SLOT_OTHERS  (SLOT_DEVICES + 1)
#define SLOTS        32

/* What the thread sanitizer leaves out. query_thread: a vCPU counts its exits and their ticks in the innermost loops,
 * by plain additions that another CPU's query may meet; each number is one word, and nothing is decided by it. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "race:query_thread\n";
}

static uint32_t stop;
static uint64_t calls[MACHINE_CPUS], hops, kicks_seen, arrivals;

static uint64_t next(uint64_t *seed) /* xorshift */
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* ---- the ring. A member's slots: 1 the space, 2 its own event, 3 the next one's. */
enum doing { NOTHING, WAITING, RUNNING, FORWARDING };
static struct member {
    struct thread *thread;
    struct event *event;
    enum doing doing;
    uint64_t seed, slot[2]; /* of its own event, and of the next one's */
    bool by_vcpu, bound;
} ring[RING];
static uint32_t place[TOKENS]; /* the member that a token is on its way to */

static struct thread *member_call(struct member *m, enum doing doing, enum syscall n, uint64_t a, uint64_t b,
                                  uint64_t c)
{
    m->doing = doing;
    return make_call(m->thread, n, (const uint64_t[6]){a, b, c});
}

/* What has come: it goes on to the next. Answers the thread that is on the CPU then. */
static struct thread *forward(struct member *m, uint64_t bits)
{
    unsigned me = (unsigned)(m - ring), to = (me + 1) % RING;
    for (unsigned i = 0; i < TOKENS; i++)
        if (bits >> i & 1) {
            if (__atomic_exchange_n(&place[i], to, __ATOMIC_RELAXED) != me)
                panic("token %u came twice, or to the wrong one", i);
            __atomic_add_fetch(&hops, 1, __ATOMIC_RELAXED);
        }
    return member_call(m, FORWARDING, SYS_EVENT_SIGNAL, m->slot[1], bits & TOKEN_BITS, 0);
}

/* The member's thread is in ring 3. */
static struct thread *member_step(struct member *m)
{
    struct frame *f = &m->thread->frame;
    enum doing did = m->doing;
    m->doing = NOTHING;
    if (did == WAITING && f->rax == OK && (f->rdx & TOKEN_BITS))
        return forward(m, f->rdx);
    if (did == WAITING && f->rax != OK && f->rax != E_TIMEOUT)
        panic("a wait: error %lu", f->rax);
    if (did == FORWARDING && f->rax != OK)
        panic("a signal: error %lu", f->rax);
    struct vcpu_state *s = m->by_vcpu ? m->thread->vcpu->state : NULL;
    if (did == RUNNING) {
        s->inject = 0;
        if (s->exit.reason == EXIT_KICK)
            __atomic_add_fetch(&kicks_seen, 1, __ATOMIC_RELAXED);
        if (s->exit.reason == EXIT_KICK && (s->exit.kick.events & TOKEN_BITS))
            return forward(m, s->exit.kick.events);
    }
    uint64_t deadline = next(&m->seed) % 4 ? __atomic_load_n(&now, __ATOMIC_RELAXED) + next(&m->seed) % 50000 : NEVER;
    if (!m->by_vcpu)
        return member_call(m, WAITING, SYS_EVENT_WAIT, m->slot[0], TOKEN_BITS | 1ull << NOISE_SHIFT, deadline);
    s->activity = next(&m->seed) % 2 ? ACTIVITY_HALT : ACTIVITY_RUN;
    s->deadline = deadline;
    return member_call(m, RUNNING, SYS_VCPU_RUN, 0, 0, 0);
}

static struct member *member_of(const struct thread *t)
{
    struct member *m = &ring[t->cpu->number - 1];
    return m->thread == t ? m : NULL;
}

static void make_ring(void)
{
    uint64_t domain = domain_on(T, 300, 0, MACHINE_CPUS - 1, 0, 0), event[RING];
    for (unsigned i = 0; i < RING; i++)
        event[i] = made(call0(T, SYS_EVENT_CREATE));
    for (unsigned i = 0; i < RING; i++) {
        struct member *m = &ring[i];
        *m = (struct member){.seed = 1234567 + i, .by_vcpu = i % 2, .event = object_at(T, event[i])};
        m->slot[0] = made(call4(T, SYS_HANDLE_GRANT, domain, event[i], RIGHT_WAIT, 0));
        m->slot[1] = made(call4(T, SYS_HANDLE_GRANT, domain, event[(i + 1) % RING], RIGHT_SIGNAL, 0));
        uint64_t t = made(call(T, SYS_THREAD_CREATE, domain, 0x400000, 0, 0, SCHED_PLACE(1 + i, 5), 0));
        m->thread = object_at(T, t);
        assert_ptr_equal(run_cpu(1 + i), m->thread);
        if (!m->by_vcpu)
            continue;
        uint64_t space = made(call0(m->thread, SYS_SPACE_CREATE));
        made(call2(m->thread, SYS_VCPU_CREATE, space, 0x700000 + i * PAGE_SIZE));
        assert_int_equal(call1(m->thread, SYS_VCPU_BIND, m->slot[0]).error, OK);
    }
    for (unsigned i = 0; i < TOKENS; i++) {
        place[i] = i * RING / TOKENS;
        assert_int_equal(call2(T, SYS_EVENT_SIGNAL, event[place[i]], 1ull << i).error, OK);
    }
}

/* ---- the noise */

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
    static const enum syscall often[] = {
        SYS_EVENT_SIGNAL, SYS_EVENT_SIGNAL, SYS_EVENT_SIGNAL, SYS_EVENT_WAIT,    SYS_EVENT_WAIT,    SYS_VCPU_RUN,
        SYS_VCPU_KICK,    SYS_VCPU_KICK,    SYS_IRQ_ACK,      SYS_IRQ_BIND,      SYS_HANDLE_CLOSE,  SYS_HANDLE_GRANT,
        SYS_EVENT_CREATE, SYS_HARDWARE,     SYS_VCPU_BIND,    SYS_VCPU_CREATE,   SYS_SPACE_CREATE,  SYS_DESTROY,
        SYS_DESTROY,      SYS_QUERY,        SYS_VCPU_FETCH,   SYS_THREAD_CREATE, SYS_DOMAIN_CREATE, SYS_DOMAIN_CPU};
    for (int i = 0; i < 6; i++)
        a[i] = 1 + next(seed) % SLOTS;
    uint64_t time = __atomic_load_n(&now, __ATOMIC_RELAXED), bits = 1ull << (NOISE_SHIFT + next(seed) % 8);
    enum syscall n = next(seed) % 8 ? often[next(seed) % ARRAY_SIZE(often)] : (enum syscall)(next(seed) % SYS_COUNT);
    switch (n) {
    case SYS_EVENT_WAIT:
        a[1] = bits;
        a[2] = next(seed) % 8 ? time + next(seed) % 50000 : NEVER;
        break;
    case SYS_EVENT_SIGNAL: a[1] = bits; break;
    case SYS_IRQ_BIND: a[2] = bits; break;
    case SYS_HARDWARE:
        a[0] = SLOT_DEVICES;
        a[1] = next(seed) % 2 ? HARDWARE_MESSAGE : HARDWARE_LINE;
        a[2] = 5 + next(seed) % 8;
        a[3] = 1 + next(seed) % RING;
        a[4] = LINE_LEVEL;
        break;
    case SYS_HANDLE_CLOSE:
        if (next(seed) % 4)
            a[0] = SLOT_OTHERS + next(seed) % (SLOTS - SLOT_OTHERS);
        break;
    case SYS_HANDLE_GRANT: a[2] = RIGHTS_ALL, a[3] = next(seed) % 2 ? 0 : a[3]; break;
    case SYS_VCPU_CREATE: a[1] = 0x700000 + next(seed) % 8 * PAGE_SIZE; break;
    case SYS_DOMAIN_CREATE:
        a[0] = 8 + next(seed) % 16;
        a[1] = SLOT_SHARED + next(seed) % SHARED;
        a[2] = bits;
        break;
    case SYS_DOMAIN_CPU: a[1] = 1 + next(seed) % RING; break;
    case SYS_THREAD_CREATE:
        a[1] = a[2] = 0x400000;
        a[4] = SCHED_PLACE(1 + next(seed) % RING, next(seed) % 4);
        a[5] = next(seed) % 4 ? 0 : 100 | 1000ull << 32;
        break;
    case SYS_FASTPATH_DOORBELL: a[1] = next(seed) % 2, a[2] = 0x1000, a[3] = 4, a[5] = bits; break;
    case SYS_THREAD_EXIT: return next(seed) % 16 ? SYS_VCPU_RUN : n;
    default: break;
    }
    return n;
}

static struct thread *cpu_step(unsigned number, struct thread *t, uint64_t *seed)
{
    uint64_t a[6];
    if (!t || next(seed) % 16 == 0) {
        if (next(seed) % 2) {
            irq_arrived(VECTOR_IRQ_BASE + (unsigned)(next(seed) % 4));
            __atomic_add_fetch(&arrivals, 1, __ATOMIC_RELAXED);
        }
        t = run_cpu(number); /* an interrupt, or the idle loop */
        if (!t) {
            __atomic_add_fetch(&now, 5000, __ATOMIC_RELAXED);
            sched_yield();
            return NULL;
        }
    }
    calls[number]++;
    struct member *m = member_of(t);
    return m ? member_step(m) : make_call(t, choose(seed, a), a);
}

static void *cpu(void *argument)
{
    unsigned number = (unsigned)(uintptr_t)argument;
    uint64_t seed = 88172645463325252ull + number;
    struct thread *t = run_cpu(number);
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
        t = cpu_step(number, t, &seed);
    return NULL;
}

static void make_domain(uint64_t *domain, const uint64_t *shared, const uint64_t *others)
{
    *domain = domain_on(T, 150, 1, MACHINE_CPUS - 1, shared[0], 1ull << NOISE_SHIFT);
    made(call4(T, SYS_HANDLE_GRANT, *domain, *domain, RIGHTS_ALL & ~RIGHT_DESTROY, 1));
    for (unsigned i = 0; i < SHARED; i++) {
        struct answer r = call4(T, SYS_HANDLE_GRANT, *domain, shared[i], RIGHTS_ALL & (i ? ~0u : ~RIGHT_DESTROY),
                                SLOT_SHARED + i);
        assert_true(r.error == OK || (i && r.error == E_DEAD)); /* another domain has destroyed it */
    }
    struct domain *d = object_at(T, *domain);
    for (unsigned i = 0; i < RING; i++) {
        struct object *o = ring[i].by_vcpu && i % 4 == 1 ? &ring[i].thread->vcpu->object : &ring[i].event->object;
        uint32_t slot = SLOT_RING + i;
        kernel_lock();
        object_get(o);
        assert_int_equal(handle_put(d, o, RIGHT_SIGNAL, &slot), OK);
        kernel_unlock();
    }
    made(call4(T, SYS_HANDLE_GRANT, *domain, ROOT_SLOT_HARDWARE, RIGHTS_ALL, SLOT_DEVICES));
    for (unsigned i = 0; i < DOMAINS; i++)
        if (others[i] && others[i] != *domain)
            made(call4(T, SYS_HANDLE_GRANT, *domain, others[i], RIGHT_MANAGE | RIGHT_MAP, 0));
    for (unsigned i = 0; i < RING; i++) {
        struct answer r = call(T, SYS_THREAD_CREATE, *domain, 0x400000, 0, 0, SCHED_PLACE(1 + i, i % 4), 0);
        if (i > 0 && (r.error == E_STATE || r.error == E_QUOTA)) /* those before it have ended, or used it up */
            break;
        assert_int_equal(call1(T, SYS_HANDLE_CLOSE, made(r)).error, OK);
    }
}

static void tokens_move(void)
{
    uint64_t before = __atomic_load_n(&hops, __ATOMIC_RELAXED);
    for (unsigned n = 0; __atomic_load_n(&hops, __ATOMIC_RELAXED) == before; n++) {
        if (n > 2000000)
            panic("the tokens stand still: a wake-up was lost");
        __atomic_add_fetch(&now, 100, __ATOMIC_RELAXED);
        sched_yield();
    }
}

static pthread_t cpus[MACHINE_CPUS];
static unsigned cpus_started;

static void stop_all(void)
{
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    while (cpus_started > 0)
        pthread_join(cpus[cpus_started--], NULL);
}

/* Also where the test has failed in the middle. */
static int teardown(void **state)
{
    stop_all();
    guest_runs = NULL;
    return machine_stop(state);
}

static void test_all_at_once(void **state)
{
    (void)state;
    const char *wish = getenv("KERNEL_RACE_ROUNDS");
    int rounds = wish ? atoi(wish) : 20;
    uint64_t shared[SHARED], domain[DOMAINS] = {0}, seed = 4711;
    for (unsigned i = 0; i < SHARED; i++)
        shared[i] = made(call0(T, SYS_EVENT_CREATE));
    make_ring();
    guest_runs = noise_of_a_guest;
    cpus_at_once = true;
    stop = 0;
    for (unsigned i = 1; i < MACHINE_CPUS; i++, cpus_started++)
        assert_int_equal(pthread_create(&cpus[i], NULL, cpu, (void *)(uintptr_t)i), 0);
    for (int round = 0; round < rounds; round++) {
        unsigned d = (unsigned)(next(&seed) % DOMAINS), e = (unsigned)(next(&seed) % SHARED);
        if (domain[d]) {
            destroy_at_once(domain[d]);
            domain[d] = 0;
        }
        if (e) {
            (void)call1(T, SYS_HANDLE_CLOSE, shared[e]);
            shared[e] = made(call0(T, SYS_EVENT_CREATE));
        }
        make_domain(&domain[d], shared, domain);
        for (uint64_t wait = next(&seed) % 50; wait > 0; wait--) {
            (void)call2(T, SYS_EVENT_SIGNAL, shared[next(&seed) % SHARED], 1ull << (NOISE_SHIFT + next(&seed) % 8));
            sched_yield();
        }
        tokens_move();
    }
    stop_all();
    for (unsigned i = 0; i < DOMAINS; i++)
        if (domain[i])
            assert_int_equal(call_steps(T, SYS_DESTROY, domain[i], 0), OK);
    /* In peace, one after the other: each token goes round once more. */
    bool round[TOKENS][RING] = {0};
    struct thread *t[MACHINE_CPUS] = {0};
    for (unsigned step = 0; step < 20000; step++) {
        unsigned number = 1 + step % RING;
        t[number] = cpu_step(number, t[number], &seed);
        for (unsigned i = 0; i < TOKENS; i++)
            round[i][place[i]] = true;
    }
    guest_runs = NULL;
    uint64_t sum = 0;
    for (unsigned i = 0; i < MACHINE_CPUS; i++)
        sum += calls[i];
    print_message("%lu calls, %lu interrupts, %lu hops, %lu kicks seen\n", sum, arrivals, hops, kicks_seen);
    for (unsigned i = 0; i < TOKENS; i++)
        for (unsigned k = 0; k < RING; k++)
            if (!round[i][k])
                fail_msg("token %u is lost", i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(test_all_at_once, machine_start, teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
