// SPDX-License-Identifier: Apache-2.0
// sources: @kernel tests/unit/pool_count.c
// libs: -include tests/unit/fake_cpu.h -Wl,--wrap=pool_init,--wrap=pool_alloc,--wrap=pool_free,--wrap=pool_page_free
/*
 * Waiting and waking: events with their deadlines, guests that sleep, kicks, and the exits that ring 0 settles from the
 * monitor's tables.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "fake_machine.h"
#include "kernel/grace.h"
#include "pool_count.h"
#include "pt_lookup.h"

#define T  root_thread
#define MS 1000000ull /* ticks: the TSC runs at 1 GHz */

static uint64_t event;
static struct thread *a, *b, *c; /* of one domain, on CPUs 1, 2 and 2; the event is their handle 5, their domain 4 */
static uint64_t domain;

static int setup(void **state)
{
    machine_start(state);
    event = made(call0(T, SYS_EVENT_CREATE));
    domain = domain_on(T, 300, 1, 2, 0, 0);
    made(call4(T, SYS_HANDLE_GRANT, domain, domain, RIGHTS_ALL, 4));
    made(call4(T, SYS_HANDLE_GRANT, domain, event, RIGHTS_ALL, 5));
    a = object_at(T, made(call(T, SYS_THREAD_CREATE, domain, 0x400000, 0, 1, SCHED_PLACE(1, 3), 0)));
    b = object_at(T, made(call(T, SYS_THREAD_CREATE, domain, 0x400000, 0, 2, SCHED_PLACE(2, 3), 0)));
    c = object_at(T, made(call(T, SYS_THREAD_CREATE, domain, 0x400000, 0, 3, SCHED_PLACE(2, 3), 0)));
    return 0;
}

static void signal_bits(uint64_t bits)
{
    assert_int_equal(call2(T, SYS_EVENT_SIGNAL, event, bits).error, OK);
}
static struct answer wait_for(struct thread *t, uint64_t mask, uint64_t deadline)
{
    return call3(t, SYS_EVENT_WAIT, 5, mask, deadline);
}

/* The thread, which had been blocked, is back in ring 3 with this answer. */
static void is_back(struct thread *t, enum error error, uint64_t value)
{
    struct thread *got = run_cpu(t->cpu->number);
    if (got != t && got) {
        now += 20 * MS; /* another's slice */
        got = run_cpu(t->cpu->number);
    }
    assert_ptr_equal(got, t);
    assert_int_equal(t->frame.rax, error);
    assert_int_equal(t->frame.rdx, value);
    assert_null(t->waiting);
    assert_false(t->timed);
}

static void test_bits_are_taken_once(void **state)
{
    (void)state;
    assert_int_equal(wait_for(a, ~0ull, 0).error, E_TIMEOUT);
    signal_bits(0x13);
    signal_bits(0x100);
    assert_int_equal(made(wait_for(a, 0x12, NEVER)), 0x12);
    assert_int_equal(wait_for(a, 0x12, 0).error, E_TIMEOUT);
    assert_int_equal(made(wait_for(b, 0x12 | 1, NEVER)), 1);
    assert_int_equal(made(wait_for(b, ~0ull, 0)), 0x100);
    signal_bits(0);
    assert_int_equal(wait_for(a, ~0ull, 1).error, E_TIMEOUT);
    assert_int_equal(wait_for(a, 0, now + 1).error, E_TIMEOUT);
}

static void test_a_waiter_is_woken_by_its_bits_only(void **state)
{
    (void)state;
    assert_true(wait_for(a, 0x6, NEVER).blocked);
    assert_int_equal(wait_for(b, 1, NEVER).error, E_BUSY);
    assert_int_equal(wait_for(b, 1, 0).error, E_BUSY);
    signal_bits(0x9);
    assert_null(run_cpu(1));
    assert_int_equal(made(wait_for(b, 1, NEVER)), 1); /* another thread may take what is there */
    signal_bits(0xc);
    assert_null(((struct event *)object_at(T, event))->waiter); /* served at once, whenever its CPU comes round */
    assert_true(wait_for(b, 0x10, NEVER).blocked);
    is_back(a, OK, 0x4);
    assert_int_equal(made(wait_for(c, 0x8, 0)), 0x8);
    signal_bits(0x30);
    is_back(b, OK, 0x10);
    assert_int_equal(made(wait_for(b, ~0ull, 0)), 0x20);
}

static void test_deadlines(void **state)
{
    (void)state;
    uint64_t start = now;
    assert_true(wait_for(b, 1, start + 500 * MS).blocked);
    uint64_t other = made(call0(c, SYS_EVENT_CREATE));
    assert_true(call3(c, SYS_EVENT_WAIT, other, 1, start + 200 * MS).blocked);
    assert_ptr_equal(cpu_by_number(2)->timeouts, c); /* the earlier one first */
    assert_null(run_cpu(2));
    assert_int_equal(cpu_by_number(2)->timer_armed, start + 200 * MS);
    now = start + 199 * MS;
    assert_null(run_cpu(2));
    now = start + 201 * MS;
    is_back(c, E_TIMEOUT, 0);
    assert_ptr_equal(((struct event *)object_at(T, event))->waiter, b);
    assert_true(call3(c, SYS_EVENT_WAIT, other, 1, start + 90000 * MS).blocked);
    assert_ptr_equal(cpu_by_number(2)->timeouts, b); /* the later one last */
    assert_null(run_cpu(2));
    assert_int_equal(cpu_by_number(2)->timer_armed, start + 500 * MS); /* a CPU that sleeps is woken by nothing older */
    now = start + 501 * MS;
    is_back(b, E_TIMEOUT, 0);
    assert_null(((struct event *)object_at(T, event))->waiter);
    signal_bits(1);
    assert_int_equal(made(wait_for(b, 1, 0)), 1);

    /* Signalled before the deadline, looked at after it: the signal counts. */
    start = now;
    assert_true(wait_for(b, 1, start + 50 * MS).blocked);
    signal_bits(1);
    now = start + 100 * MS;
    is_back(b, OK, 1);
    assert_ptr_equal(cpu_by_number(2)->timeouts, c);
    assert_null(c->timeout_next);
    assert_null(cpu_by_number(2)->wake_list);
}

/* The timer ends the turn of the thread that runs when another's deadline comes. */
static void test_a_deadline_while_another_runs(void **state)
{
    (void)state;
    uint64_t deadline = now + 500 * MS;
    assert_true(wait_for(b, 1, deadline).blocked);
    now = deadline - MS / 10;
    cpu_by_number(2)->timer_armed = NEVER;
    assert_ptr_equal(run_cpu(2), c);
    assert_int_equal(cpu_by_number(2)->timer_armed, deadline);
    now = deadline;
    is_back(b, E_TIMEOUT, 0);
}

/* 150 that sleep to one tick: 64 are woken in one turn of the CPU, and the timer ends the next one at once. */
static void test_many_deadlines_at_once(void **state)
{
    (void)state;
    enum { MANY = 150 };
    struct thread *many[MANY];
    uint64_t big = domain_on(T, 400, 1, 1, 0, 0);
    const uint64_t deadline = now + 10000 * MS;
    assert_true(wait_for(a, 1, NEVER).blocked);
    for (unsigned i = 0; i < MANY; i++) {
        many[i] = object_at(T, made(call(T, SYS_THREAD_CREATE, big, 0x400000, 0, i, SCHED_PLACE(1, 3), 0)));
        assert_true(call3(many[i], SYS_EVENT_WAIT, made(call0(many[i], SYS_EVENT_CREATE)), 1, deadline).blocked);
    }
    struct cpu *cpu = cpu_by_number(1);
    assert_null(run_cpu(1));
    assert_int_equal(cpu->timer_armed, deadline);
    now = deadline;
    for (unsigned left = MANY; left > 0;) {
        unsigned woken = left < 64 ? left : 64, timed = 0;
        struct thread *t = run_cpu(1);
        assert_non_null(t);
        for (unsigned i = 0; i < MANY; i++)
            timed += many[i]->timed;
        left -= woken;
        assert_int_equal(timed, left);
        assert_true(left == 0 || cpu->timer_armed <= now);
    }
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(many[i]->frame.rax, E_TIMEOUT);
}

static void test_events_end_under_their_waiters(void **state)
{
    (void)state;
    assert_true(wait_for(a, 1, now + 1000 * MS).blocked);
    assert_int_equal(call1(T, SYS_DESTROY, event).error, OK);
    is_back(a, E_DEAD, 0);
    assert_int_equal(wait_for(a, 1, 0).error, E_DEAD);
    assert_null(cpu_by_number(1)->timeouts);
    assert_true(call3(a, SYS_EVENT_WAIT, made(call0(a, SYS_EVENT_CREATE)), 1, NEVER).blocked);
    assert_null(run_cpu(1));
    assert_int_equal(cpu_by_number(1)->timer_armed, NEVER);

    /* The last handle goes while a thread waits: nothing can signal it any more. */
    uint64_t e = made(call0(b, SYS_EVENT_CREATE));
    assert_true(call3(b, SYS_EVENT_WAIT, e, 1, now + 5000 * MS).blocked);
    uint64_t used = pool_bytes_of(&b->domain->quota);
    assert_int_equal(call1(c, SYS_HANDLE_CLOSE, e).error, OK);
    assert_int_equal(pool_bytes_of(&b->domain->quota), used - 64);
    is_back(b, E_DEAD, 0);
}

/* While a CPU is in a section that it opened before, what has ended is not freed; and what ends later waits for a
 * period of its own. */
static void test_a_section_holds_what_has_ended(void **state)
{
    (void)state;
    struct cpu *c2 = cpu_by_number(2);
    uint64_t e = made(call0(a, SYS_EVENT_CREATE)), f = made(call0(a, SYS_EVENT_CREATE));
    uint64_t used = pool_bytes_of(&a->domain->quota);
    section_open(c2);
    assert_int_equal(call1(a, SYS_HANDLE_CLOSE, e).error, OK);
    for (int n = 0; n < 5; n++)
        assert_int_equal(call1(a, SYS_HANDLE_CLOSE, e).error, E_HANDLE);
    assert_int_equal(pool_bytes_of(&a->domain->quota), used);
    section_close(c2);
    section_open(c2); /* this one began after e had ended, but before f does */
    assert_int_equal(call1(a, SYS_HANDLE_CLOSE, f).error, OK);
    assert_int_equal(call1(a, SYS_HANDLE_CLOSE, f).error, E_HANDLE);
    assert_int_equal(pool_bytes_of(&a->domain->quota), used - 64);
    section_close(c2);
    assert_int_equal(call1(a, SYS_HANDLE_CLOSE, f).error, E_HANDLE);
    assert_int_equal(pool_bytes_of(&a->domain->quota), used - 128);
}

/* Calls that take no lock look at no object but one that a section keeps: another CPU may have freed it, and an event
 * of another domain may be there now. */
static void test_a_handle_knows_the_type(void **state)
{
    (void)state;
    uint64_t memory = made(call4(T, SYS_MEMORY_CARVE, RAM_SLOT, 0, 1 << 20, 7));
    struct memory *m = object_at(T, memory);
    made(call4(T, SYS_HANDLE_GRANT, domain, memory, RIGHT_MAP, 20));
    m->object.type = OBJ_EVENT;
    enum error e = call2(a, SYS_EVENT_SIGNAL, 20, 1).error;
    m->object.type = OBJ_MEMORY;
    assert_int_equal(e, E_TYPE);
}

static void test_an_interrupt_signals(void **state)
{
    (void)state;
    assert_int_equal(call3(T, SYS_IRQ_BIND, IRQ_SLOT, event, 0x40).error, OK);
    assert_int_equal(call3(T, SYS_IRQ_BIND, IRQ_SLOT, event, 0x80).error, OK); /* again: the last one counts */
    assert_int_equal(((struct event *)object_at(T, event))->object.references, 3);
    assert_int_equal(call3(T, SYS_IRQ_BIND, event, event, 1).error, E_TYPE);
    assert_int_equal(call3(T, SYS_IRQ_BIND, IRQ_SLOT, IRQ_SLOT, 1).error, E_TYPE);
    assert_true(wait_for(a, ~0ull, NEVER).blocked);
    run_cpu(0);
    assert_false(lines[4].in_section);
    irq_arrived(((struct irq *)object_at(T, IRQ_SLOT))->vector);
    assert_true(lines[4].masked && lines[4].in_section);
    is_back(a, OK, 0x80);
    lines[4].in_section = false;
    assert_int_equal(call1(T, SYS_IRQ_ACK, IRQ_SLOT).error, OK);
    assert_true(!lines[4].masked && lines[4].in_section);
}

/* The log's bell is an interrupt that no hardware raises: CPU 0 does, when it finds that a line was written. */
static void test_a_line_of_the_log_rings(void **state)
{
    (void)state;
    struct event *e = object_at(T, event);
    irq_bind(&log_bell, e, 0x20);
    assert_true(wait_for(a, ~0ull, NEVER).blocked);
    cpu_post(cpu_by_number(0), WORK_LOG);
    cpu_post(cpu_by_number(0), WORK_LOG);
    (void)run_cpu(0);
    is_back(a, OK, 0x20);
    assert_int_equal(e->bits, 0);
    object_put(&e->object);
    log_bell.event = NULL;
    cpu_post(cpu_by_number(0), WORK_LOG); /* not bound: it rings nowhere */
    (void)run_cpu(0);
    assert_int_equal(e->bits, 0);
}

/* Signals, waits, deadlines and CPUs at random: no bit is lost, none is delivered twice. */
static void test_random(void **state)
{
    (void)state;
    struct thread *t[3] = {a, b, c};
    uint64_t sent[64] = {0}, got[64] = {0}, asked[3] = {0};
    bool out[3] = {false};
    unsigned timeouts = 0, blocked = 0;
    srand(5);
    for (int step = 0; step < 100000; step++) {
        unsigned i = (unsigned)rand() % 3;
        uint64_t pending = ((struct event *)object_at(T, event))->bits, mask = 0, value = 0;
        switch (rand() % 4) {
        case 0:
            mask = 1ull << (rand() % 64) & ~pending;
            for (int bit = 0; bit < 64; bit++)
                sent[bit] += mask >> bit & 1;
            signal_bits(mask);
            break;
        case 1: {
            if (out[i])
                break;
            mask = (uint64_t)rand() << 33 ^ (uint64_t)rand() << 2;
            struct answer r = wait_for(t[i], mask, rand() % 3 ? now + (uint64_t)rand() % (60 * MS) : NEVER);
            if (r.blocked && !t[i]->waiting && t[i]->entity.state == SCHED_READY)
                break; /* it never got to make the call: the CPU was another's */
            out[i] = r.blocked;
            asked[i] = mask;
            blocked += r.blocked;
            assert_true(r.blocked || r.error == OK || r.error == E_BUSY || r.error == E_TIMEOUT);
            value = !r.blocked && r.error == OK ? r.value : 0;
            assert_true((value & ~mask) == 0);
            break;
        }
        case 2: now += (uint64_t)rand() % (10 * MS); break;
        default: {
            struct thread *r = run_cpu(1 + (unsigned)rand() % 2);
            for (i = 0; i < 3; i++)
                if (r == t[i] && out[i]) {
                    out[i] = false;
                    value = r->frame.rax == OK ? r->frame.rdx : 0;
                    assert_true(r->frame.rax == E_TIMEOUT || (r->frame.rax == OK && value && (value & ~asked[i]) == 0));
                    timeouts += r->frame.rax == E_TIMEOUT;
                }
        }
        }
        for (int bit = 0; bit < 64; bit++)
            got[bit] += value >> bit & 1;
    }
    for (unsigned i = 0; i < 3; i++) /* what was delivered but not looked at yet */
        if (out[i] && !t[i]->waiting && t[i]->frame.rax == OK)
            for (int bit = 0; bit < 64; bit++)
                got[bit] += t[i]->frame.rdx >> bit & 1;
    uint64_t left = ((struct event *)object_at(T, event))->bits;
    for (int bit = 0; bit < 64; bit++)
        assert_int_equal(sent[bit], got[bit] + (left >> bit & 1));
    assert_true(timeouts > 100 && blocked > 1000);
}

/* ---- vCPUs */

static struct vcpu *v;
static uint64_t vcpu_handle, space;

static void with_vcpu(void)
{
    space = made(call0(a, SYS_SPACE_CREATE));
    vcpu_handle = made(call2(a, SYS_VCPU_CREATE, space, 0x700000));
    v = a->vcpu;
}

/* Likewise an irq, and a vCPU whose thread and domain are gone. */
static void test_a_section_holds_irqs_and_vcpus(void **state)
{
    (void)state;
    struct cpu *c2 = cpu_by_number(2);
    struct domain *d = a->domain; /* root's handles of its threads keep it */
    with_vcpu();
    uint32_t slot = 0;
    object_get(&v->object);
    assert_int_equal(handle_put(root, &v->object, RIGHT_SIGNAL, &slot), OK);
    assert_int_equal(call_steps(T, SYS_DESTROY, domain, 0), OK);
    for (int n = 0; n < 5; n++)
        assert_int_equal(call1(T, SYS_HANDLE_CLOSE, 99).error, E_HANDLE);
    uint64_t irq = made(call(T, SYS_HARDWARE, ROOT_SLOT_HARDWARE, HARDWARE_MESSAGE, 0, 1, 0, 0));
    struct domain *const payers[] = {root, d};
    const uint64_t handles[] = {irq, slot};
    for (unsigned i = 0; i < ARRAY_SIZE(handles); i++) {
        uint64_t used = pool_bytes_of(&payers[i]->quota);
        section_open(c2);
        assert_int_equal(call1(T, SYS_HANDLE_CLOSE, handles[i]).error, OK);
        for (int n = 0; n < 5; n++)
            assert_int_equal(call1(T, SYS_HANDLE_CLOSE, handles[i]).error, E_HANDLE);
        assert_int_equal(pool_bytes_of(&payers[i]->quota), used);
        section_close(c2);
        for (int n = 0; n < 5; n++)
            assert_int_equal(call1(T, SYS_HANDLE_CLOSE, handles[i]).error, E_HANDLE);
        assert_true(pool_bytes_of(&payers[i]->quota) < used);
    }
}

static enum exit_reason run_guest(void)
{
    struct answer r = call0(a, SYS_VCPU_RUN);
    assert_false(r.blocked);
    assert_int_equal(r.error, OK);
    return v->state->exit.reason;
}

/* What the monitor brings is what the guest gets, less what there is not, and more than nothing for good; what the
 * guest has set without an exit comes back where it can. */
static void test_speculation_control(void **state)
{
    (void)state;
    with_vcpu();
    assert_int_equal(run_guest(), EXIT_HLT);
    static const struct {
        uint64_t wanted, value;
        bool switched;
    } rows[] = {{0, 1, false}, {3, 1, false}, {~0ull, 5, true}, {0, 1, true}};
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        v->state->spec_ctrl = rows[i].wanted;
        v->state->dirty = GROUP_MSR;
        assert_int_equal(run_guest(), EXIT_HLT);
        assert_int_equal(v->spec_ctrl, rows[i].value);
        assert_int_equal(v->spec_switched, rows[i].switched);
        v->spec_ctrl = 6;
        for (speculation_msrs = GUEST_PRED_CMD; speculation_msrs <= GUEST_SPEC_CTRL; speculation_msrs++) {
            assert_int_equal(call1(a, SYS_VCPU_FETCH, GROUP_MSR).error, OK);
            assert_int_equal(v->state->spec_ctrl, speculation_msrs == GUEST_SPEC_CTRL ? 6 : rows[i].wanted);
        }
    }
    speculation_msrs = 0;
}

static void test_kicks_are_never_lost(void **state)
{
    (void)state;
    assert_int_equal(call0(a, SYS_VCPU_RUN).error, E_STATE);
    assert_int_equal(call1(a, SYS_VCPU_FETCH, GROUPS_ALL).error, E_STATE);
    with_vcpu();
    assert_int_equal(run_guest(), EXIT_HLT);
    assert_int_equal(v->state->valid, GROUP_RIP);
    assert_int_equal(call1(b, SYS_VCPU_KICK, vcpu_handle).error, OK); /* before it runs */
    assert_int_equal(call1(c, SYS_VCPU_KICK, vcpu_handle).error, OK); /* two are one */
    assert_int_equal(run_guest(), EXIT_KICK);
    assert_int_equal(run_guest(), EXIT_HLT);

    v->state->activity = ACTIVITY_HALT;
    assert_true(call0(a, SYS_VCPU_RUN).blocked);
    assert_null(run_cpu(1));
    assert_int_equal(call1(b, SYS_VCPU_KICK, vcpu_handle).error, OK); /* asleep */
    assert_ptr_equal(run_cpu(1), a);
    assert_int_equal(v->state->exit.reason, EXIT_KICK);
    assert_int_equal(call1(b, SYS_VCPU_KICK, vcpu_handle).error, OK); /* about to sleep */
    assert_int_equal(run_guest(), EXIT_KICK);

    v->state->deadline = now + 5 * MS;
    assert_true(call0(a, SYS_VCPU_RUN).blocked);
    now += 4 * MS;
    assert_null(run_cpu(1));
    now += 2 * MS;
    assert_ptr_equal(run_cpu(1), a);
    assert_int_equal(v->state->exit.reason, EXIT_DEADLINE);
    assert_int_equal(run_guest(), EXIT_DEADLINE); /* passed already: no sleep at all */
    v->state->irq = IRQ_VALID | 0x30;             /* something to deliver: it does not sleep */
    assert_int_equal(run_guest(), EXIT_HLT);
    v->state->irq = 0;
    v->state->inject = INJECT_VALID | INJECT_TYPE_NMI | 2;
    assert_int_equal(run_guest(), EXIT_HLT);
    assert_int_equal(made(call3(a, SYS_QUERY, 0, QUERY_THREAD_EXITS, EXIT_KICK)), 3);
    assert_int_equal(made(call3(a, SYS_QUERY, 0, QUERY_THREAD_EXITS, EXIT_DEADLINE)), 2);
    assert_int_equal(call3(a, SYS_QUERY, 0, QUERY_THREAD_EXITS, EXIT_COUNT).error, E_ARG);
    assert_int_equal(call3(b, SYS_QUERY, 0, QUERY_THREAD_EXITS, 0).error, E_ARG);
}

/* What must be told of a kick: a guest that runs, by an interrupt; a vCPU that sleeps, by the scheduler. All others
 * look by themselves. */
static void test_a_kick_tells_who_must_be_told(void **state)
{
    (void)state;
    with_vcpu();
    struct cpu *c1 = cpu_by_number(1);
    assert_ptr_equal(a->cpu, c1);
    assert_int_equal(run_guest(), EXIT_HLT);
    unsigned before = ipis;
    assert_int_equal(call1(b, SYS_VCPU_KICK, vcpu_handle).error, OK); /* it has the CPU, and may be in its guest */
    assert_int_equal(ipis, before + 1);
    assert_int_equal(c1->work, 0);
    assert_int_equal(call1(b, SYS_VCPU_KICK, vcpu_handle).error, OK); /* the word is on its way */
    assert_int_equal(ipis, before + 1);
    assert_int_equal(run_guest(), EXIT_KICK);

    assert_true(wait_for(a, 1, NEVER).blocked); /* the monitor waits for something of its own */
    assert_null(run_cpu(1));
    assert_int_equal(call1(b, SYS_VCPU_KICK, vcpu_handle).error, OK);
    assert_int_equal(ipis, before + 1);
    assert_int_equal(c1->work, 0);
    signal_bits(1);
    assert_ptr_equal(run_cpu(1), a);
    assert_int_equal(run_guest(), EXIT_KICK);

    v->state->activity = ACTIVITY_HALT;
    assert_true(call0(a, SYS_VCPU_RUN).blocked);
    assert_int_equal(call1(b, SYS_VCPU_KICK, vcpu_handle).error, OK);
    assert_int_equal(c1->work, WORK_WAKE);
    assert_ptr_equal(run_cpu(1), a);
    assert_int_equal(v->state->exit.reason, EXIT_KICK);
}

/* What signals an event that is bound to a vCPU makes that vCPU's own thread come back with the bits. */
static void test_a_bound_event(void **state)
{
    (void)state;
    assert_int_equal(call1(a, SYS_VCPU_BIND, 5).error, E_STATE);
    with_vcpu();
    assert_true(wait_for(b, 0x100, NEVER).blocked);
    assert_int_equal(call1(a, SYS_VCPU_BIND, 5).error, E_BUSY);
    signal_bits(0x103);
    is_back(b, OK, 0x100);
    assert_int_equal(call1(a, SYS_VCPU_BIND, 5).error, OK);
    assert_int_equal(((struct event *)object_at(T, event))->object.references, 3);
    assert_int_equal(call1(a, SYS_VCPU_BIND, 5).error, E_STATE);
    assert_int_equal(wait_for(b, 0x100, NEVER).error, E_BUSY);
    assert_int_equal(run_guest(), EXIT_KICK); /* with what was there */
    assert_int_equal(v->state->exit.kick.events, 3);
    assert_int_equal(run_guest(), EXIT_HLT);
    assert_int_equal(call1(b, SYS_VCPU_KICK, vcpu_handle).error, OK);
    assert_int_equal(run_guest(), EXIT_KICK);
    assert_int_equal(v->state->exit.kick.events, 0);

    v->state->activity = ACTIVITY_HALT; /* asleep: it wakes up */
    assert_true(call0(a, SYS_VCPU_RUN).blocked);
    assert_null(run_cpu(1));
    signal_bits(4);
    signal_bits(8);
    assert_ptr_equal(run_cpu(1), a);
    assert_int_equal(v->state->exit.reason, EXIT_KICK);
    assert_int_equal(v->state->exit.kick.events, 0xc);
    v->state->activity = ACTIVITY_RUN;
    unsigned before = ipis; /* in its guest: it is told */
    signal_bits(0x10);
    assert_int_equal(ipis, before + 1);
    assert_int_equal(run_guest(), EXIT_KICK);
    assert_int_equal(v->state->exit.kick.events, 0x10);
    assert_int_equal(((struct event *)object_at(T, event))->bits, 0);
}

/* The vCPU's domain ends: the event, which others have too, signals no more to it. */
static void test_a_bound_event_outlives_its_vcpu(void **state)
{
    (void)state;
    with_vcpu();
    assert_int_equal(call1(a, SYS_VCPU_BIND, 5).error, OK);
    struct event *e = object_at(T, event);
    assert_int_equal(call_steps(T, SYS_DESTROY, domain, 0), OK);
    assert_null(e->vcpu);
    assert_int_equal(e->object.references, 1);
    signal_bits(1);
    assert_int_equal(made(call3(T, SYS_EVENT_WAIT, event, ~0ull, 0)), 1);
}

static void test_the_end_of_a_bound_event(void **state)
{
    (void)state;
    with_vcpu();
    assert_int_equal(call1(a, SYS_VCPU_BIND, 5).error, OK);
    assert_int_equal(run_guest(), EXIT_HLT); /* no bit was there: nothing kicks */
    assert_int_equal(call1(T, SYS_DESTROY, event).error, OK);
    assert_int_equal(run_guest(), EXIT_HLT);
    assert_int_equal(call1(b, SYS_VCPU_KICK, vcpu_handle).error, OK);
    assert_int_equal(run_guest(), EXIT_KICK);
    assert_int_equal(v->state->exit.kick.events, 0);
}

static unsigned entries;
static void kicked_in_the_guest(struct vcpu *x)
{
    x->state->exit.reason = EXIT_WAITING;
    if (++entries == 3) {
        vcpu_kick(x);
        irq_dispatch(0);
    }
    assert_true(entries < 10);
}

static void test_a_kick_while_the_guest_runs(void **state)
{
    (void)state;
    with_vcpu();
    entries = 0;
    guest_runs = kicked_in_the_guest;
    assert_int_equal(run_guest(), EXIT_KICK);
    assert_int_equal(entries, 3);
}

/* AMD-V has one timer for a guest's deadlines and the host's: when it has fired for the guest, it is the host's again
 * before anybody goes on. */
static uint64_t hosts_deadline;
static void timer_fires(struct vcpu *x)
{
    x->cpu->timer_armed = NEVER;
    x->cpu->next_deadline = hosts_deadline = now + 5 * MS;
    x->state->exit.reason = EXIT_WAITING;
    if (entries++)
        x->state->deadline = 0;
    else
        assert_true(x->state->deadline > now); /* the monitor has thought better of it: the guest goes on */
}

static void test_the_timer_is_the_hosts_again(void **state)
{
    (void)state;
    with_vcpu();
    struct cpu *c1 = cpu_by_number(1);
    assert_int_equal(run_guest(), EXIT_HLT);
    entries = 0;
    guest_runs = timer_fires;
    v->state->deadline = now + MS;
    assert_int_equal(run_guest(), EXIT_DEADLINE);
    assert_int_equal(entries, 2);
    assert_int_equal(c1->timer_armed, hosts_deadline);
    assert_int_equal(v->exits[EXIT_WAITING], 1); /* an exit is counted once */
    assert_int_equal(v->exits[EXIT_DEADLINE], 1);
}

static uint64_t leaf, subleaf, answers;
static void asks_cpuid(struct vcpu *x)
{
    if (answers++) {
        x->state->exit = (struct vcpu_exit){.reason = EXIT_HLT};
        return;
    }
    x->state->exit = (struct vcpu_exit){.reason = EXIT_CPUID, .insn_len = 2};
    x->state->gpr[GPR_RAX] = leaf;
    x->state->gpr[GPR_RCX] = subleaf;
}

static enum exit_reason cpuid_of(uint64_t l, uint64_t s)
{
    leaf = l;
    subleaf = s;
    answers = 0;
    guest_runs = asks_cpuid;
    return run_guest();
}

static void test_fastpath_cpuid(void **state)
{
    (void)state;
    with_vcpu();
    const uint64_t *gpr = v->state->gpr;
    assert_int_equal(cpuid_of(1, 0), EXIT_CPUID);
    assert_int_equal(call(a, SYS_FASTPATH_CPUID, space, 1 | 0xffffffffull << 32, 0x1111 | 0x2222ull << 32,
                          0x3333 | 0x4444ull << 32, CPUID_LIVE_OSXSAVE, 0)
                         .error,
                     OK);
    assert_int_equal(call(a, SYS_FASTPATH_CPUID, space, 4 | 1ull << 32, 7, 8, 0, 0).error, OK);
    assert_int_equal(cpuid_of(1, 77), EXIT_HLT);
    assert_int_equal(gpr[GPR_RAX], 0x1111);
    assert_int_equal(gpr[GPR_RBX], 0x2222);
    assert_int_equal(gpr[GPR_RCX], 0x3333);
    assert_int_equal(gpr[GPR_RDX], 0x4444);
    v->state->cr4 = 1 << 18;
    assert_int_equal(cpuid_of(1 | 5ull << 32, 0), EXIT_HLT); /* the upper halves do not count */
    assert_int_equal(gpr[GPR_RCX], 0x3333 | 1 << 27);
    assert_int_equal(cpuid_of(4, 0), EXIT_CPUID);
    assert_int_equal(cpuid_of(4, 1), EXIT_HLT);
    assert_int_equal(gpr[GPR_RAX], 7);
    /* The table has a fixed size; replacing an entry takes none of it. */
    unsigned count = 2;
    struct answer r;
    for (uint64_t l = 100; (r = call(a, SYS_FASTPATH_CPUID, space, l, 0, 0, 0, 0)).error == OK; l++)
        count++;
    assert_int_equal(r.error, E_QUOTA);
    assert_int_equal(count, FASTPATH_CPUID_MAX);
    assert_int_equal(call(a, SYS_FASTPATH_CPUID, space, 4 | 1ull << 32, 9, 8, 0, 0).error, OK);
    assert_int_equal(cpuid_of(4, 1), EXIT_HLT);
    assert_int_equal(gpr[GPR_RAX], 9);
    assert_int_equal(call(a, SYS_FASTPATH_CPUID, 5, 0, 0, 0, 0, 0).error, E_TYPE);
}

static struct vcpu_exit tried;
static void tries(struct vcpu *x)
{
    x->state->exit = answers++ ? (struct vcpu_exit){.reason = EXIT_HLT} : tried;
}

static bool settled(struct vcpu_exit x)
{
    tried = x;
    answers = 0;
    guest_runs = tries;
    return run_guest() == EXIT_HLT;
}

#define PORT(n, bytes, ...) \
    ((struct vcpu_exit){.reason = EXIT_PORT, .insn_len = 1, .port = {.port = (n), .size = (bytes), __VA_ARGS__}})

static void test_doorbells(void **state)
{
    (void)state;
    with_vcpu();
    assert_int_equal(call(a, SYS_FASTPATH_DOORBELL, space, FASTPATH_DOORBELL_PORT, 0xc050, 2, 5, 0x10).error, OK);
    assert_int_equal(call(a, SYS_FASTPATH_DOORBELL, space, FASTPATH_DOORBELL_PORT, 0xc080, 4, 5, 0x20).error, OK);
    assert_int_equal(call(a, SYS_FASTPATH_DOORBELL, space, FASTPATH_DOORBELL_PORT, 0xc070, 0, 5, 0x40).error, OK);
    const struct {
        uint64_t kind, at, size, event;
        enum error e;
    } bad[] = {
        {FASTPATH_DOORBELL_STORE + 1, 1, 1, 5, E_ARG},     {FASTPATH_DOORBELL_PORT, 0x10000, 2, 5, E_ARG},
        {FASTPATH_DOORBELL_PORT, ~0ull, 2, 5, E_ARG},      {FASTPATH_DOORBELL_PORT, 0x1000, 5, 5, E_ARG},
        {FASTPATH_DOORBELL_PORT, 0xffffc060, 0, 5, E_ARG}, {FASTPATH_DOORBELL_PORT, 1, 1, 99, E_HANDLE},
        {FASTPATH_DOORBELL_PORT, 1, 1, 4, E_TYPE},
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(
            call(a, SYS_FASTPATH_DOORBELL, space, bad[i].kind, bad[i].at, bad[i].size, bad[i].event, 1).error,
            bad[i].e);

    assert_true(settled(PORT(0xc050, 2)));
    assert_int_equal(made(wait_for(b, ~0ull, 0)), 0x10);
    assert_false(settled(PORT(0xc050, 1)));
    assert_false(settled(PORT(0xc051, 2)));
    assert_false(settled(PORT(0xc04f, 2)));
    assert_false(settled(PORT(0xc060, 1)));
    assert_false(settled(PORT(0xc050, 2, .in = 1)));
    assert_false(settled(PORT(0xc050, 2, .string = 1)));
    assert_int_equal(call(a, SYS_FASTPATH_DOORBELL, space, FASTPATH_DOORBELL_PORT, 0xc050, 1, 5, 0x80).error,
                     OK); /* again: another size, the same event and bits */
    assert_true(settled(PORT(0xc050, 1)));
    assert_int_equal(made(wait_for(b, ~0ull, 0)), 0x10);
    assert_false(settled(PORT(0xc050, 2)));
    assert_int_equal(call(a, SYS_FASTPATH_DOORBELL, space, FASTPATH_DOORBELL_PORT, 0xc050, 2, 5, 0x80).error, OK);
    assert_true(settled(PORT(0xc070, 4)));
    assert_int_equal(made(wait_for(b, ~0ull, 0)), 0x40);
    assert_int_equal(wait_for(b, ~0ull, 0).error, E_TIMEOUT);

    unsigned count = 3;
    struct answer r;
    while ((r = call(a, SYS_FASTPATH_DOORBELL, space, FASTPATH_DOORBELL_PORT, 0x2000 + count, 1, 5, 1)).error == OK)
        count++;
    assert_int_equal(r.error, E_QUOTA);
    assert_int_equal(count, FASTPATH_DOORBELL_MAX);
    /* A doorbell of a dead event reaches no thread, and the guest goes on. */
    assert_int_equal(call1(T, SYS_DESTROY, event).error, OK);
    assert_true(settled(PORT(0xc050, 2)));
}

/* A doorbell of the event that is bound to the same vCPU: its guest is not entered again before that is told. */
static void test_a_doorbell_of_its_own(void **state)
{
    (void)state;
    with_vcpu();
    assert_int_equal(call(a, SYS_FASTPATH_DOORBELL, space, FASTPATH_DOORBELL_PORT, 0xc050, 2, 5, 0x10).error, OK);
    assert_int_equal(call1(a, SYS_VCPU_BIND, 5).error, OK);
    unsigned before = ipis;
    tried = PORT(0xc050, 2);
    answers = 0;
    guest_runs = tries;
    assert_int_equal(run_guest(), EXIT_KICK);
    assert_int_equal(v->state->exit.kick.events, 0x10);
    assert_int_equal(answers, 1);
    assert_int_equal(ipis, before);
}

/* What reaches a thread without the kernel's lock does so in a section. */
static void test_wake_ups_come_from_sections(void **state)
{
    (void)state;
    with_vcpu();
    assert_int_equal(call(a, SYS_FASTPATH_DOORBELL, space, FASTPATH_DOORBELL_PORT, 0xc050, 2, 5, 0x10).error, OK);
    assert_true(wait_for(b, 0x10, NEVER).blocked);
    posted_in_section = false;
    assert_true(settled(PORT(0xc050, 2)));
    assert_true(posted_in_section);
    is_back(b, OK, 0x10);
    assert_true(wait_for(b, 1, NEVER).blocked);
    posted_in_section = false;
    assert_int_equal(call2(a, SYS_EVENT_SIGNAL, 5, 1).error, OK);
    assert_true(posted_in_section);
    is_back(b, OK, 1);
    v->state->activity = ACTIVITY_HALT;
    assert_true(call0(a, SYS_VCPU_RUN).blocked);
    posted_in_section = false;
    assert_int_equal(call1(b, SYS_VCPU_KICK, vcpu_handle).error, OK);
    assert_true(posted_in_section);
}

#define STORE(address, bytes) \
    ((struct vcpu_exit){.reason = EXIT_MEMORY, .insn_len = (bytes), .memory = {.gpa = (address), .write = 1}})
#define FASTPATH_STORE(address, bytes, rip, bits)                                                                     \
    call(a, SYS_FASTPATH_DOORBELL, space, FASTPATH_DOORBELL_STORE, (address) | (uint64_t)(bytes) << 56, rip, 5, bits) \
        .error

/* One registration for the queues of a device: which of them was rung is a bit. */
static void test_rows_of_doorbells(void **state)
{
    (void)state;
    with_vcpu();
    struct vcpu_state *s = v->state;
#define ROW(kind, count, shift, at, key, bits) \
    call(a, SYS_FASTPATH_DOORBELL, space, (kind) | DOORBELL_ROW(count, shift), at, key, 5, bits).error
    const uint64_t store = 0xfeb00000 | 7ull << 56, rip = 0x401000;
    assert_int_equal(ROW(FASTPATH_DOORBELL_PORT, 16, 2, 0xc03c, 2, 0x10), OK);
    assert_int_equal(ROW(FASTPATH_DOORBELL_STORE, 64, 12, store, rip, 1), OK);
    assert_int_equal(ROW(FASTPATH_DOORBELL_PORT, 65, 0, 0x1000, 0, 1), E_ARG);
    assert_int_equal(ROW(FASTPATH_DOORBELL_PORT, 2, 13, 0x1000, 0, 1), E_ARG);
    assert_int_equal(ROW(FASTPATH_DOORBELL_PORT, 64, 0, 0x1000, 0, 2), E_ARG); /* the last bit falls out */
    assert_int_equal(ROW(FASTPATH_DOORBELL_PORT, 8, 2, 0xffe4, 0, 1), E_ARG);
    assert_int_equal(ROW(FASTPATH_DOORBELL_PORT, 8, 2, 0xffe0, 0, 1), OK);
    assert_int_equal(ROW(FASTPATH_DOORBELL_STORE, 2, 12, 0xffffffffff001ull | 1ull << 56, rip, 1), E_ARG);
    for (uint64_t n = 0; n < 16; n++) {
        assert_true(settled(PORT((uint16_t)(0xc03c + 4 * n), 2)));
        assert_int_equal(made(wait_for(b, ~0ull, 0)), 0x10 << n);
    }
    assert_false(settled(PORT(0xc03b, 2)));
    assert_false(settled(PORT(0xc07c, 2)));
    assert_false(settled(PORT(0xc040, 4)));
    s->rip = rip;
    for (uint64_t n = 0; n < 64; n++) {
        assert_true(settled(STORE(0xfeb00000 + n * 0x1000 + 0xfff, 7)));
        assert_int_equal(made(wait_for(b, ~0ull, 0)), 1ull << n);
    }
    assert_false(settled(STORE(0xfeaff000, 7)));
    assert_false(settled(STORE(0xfeb40000, 7)));
    /* Two rows in one piece, and pieces whose places in the index meet. */
    assert_int_equal(ROW(FASTPATH_DOORBELL_PORT, 4, 0, 0xc080, 0, 1), OK);
    assert_int_equal(ROW(FASTPATH_DOORBELL_PORT, 4, 0, 0xc084, 0, 0x100), OK);
    assert_int_equal(ROW(FASTPATH_DOORBELL_STORE, 1, 0, (0xc080ull >> 6) << 12 | 1ull << 56, rip, 1), OK);
    assert_true(settled(PORT(0xc087, 1)));
    assert_int_equal(made(wait_for(b, ~0ull, 0)), 0x800);
    assert_true(settled(PORT(0xc081, 1)));
    assert_int_equal(made(wait_for(b, ~0ull, 0)), 2);
    /* The index has room for so many pieces; one place always stays free, so that each search ends. */
    unsigned rows = 0;
    while (ROW(FASTPATH_DOORBELL_STORE, 64, 12, store + (++rows << 20), rip, 1) == OK)
        assert_true(rows < 10);
    assert_int_equal(rows, 3);
    assert_false(settled(STORE(0xfec50000, 7)));
}

/* Doorbells in memory: this instruction, at this address, as long as it was. On a CPU that does not say how long (0),
 * its address decides. */
static void test_store_doorbells(void **state)
{
    (void)state;
    with_vcpu();
    struct vcpu_state *s = v->state;
    const uint64_t at = 0xfeb00000, rip = 0xffffffff81234567;
    assert_int_equal(FASTPATH_STORE(at, 7, rip, 0x10), OK);
    assert_int_equal(FASTPATH_STORE(0xfffffffffffffull, 15, 0, 0x20), OK);
    assert_int_equal(FASTPATH_STORE(at, 0, rip, 1), E_ARG);
    assert_int_equal(FASTPATH_STORE(at, 16, rip, 1), E_ARG);
    assert_int_equal(FASTPATH_STORE(at, 255, rip, 1), E_ARG);
    assert_int_equal(FASTPATH_STORE(at | 1ull << 52, 1, rip, 1), E_ARG);
    assert_int_equal(call(a, SYS_FASTPATH_DOORBELL, space, FASTPATH_DOORBELL_STORE, at | 1ull << 56, rip, 99, 1).error,
                     E_HANDLE);
    s->rip = rip;
    assert_true(settled(STORE(at, 7)));
    assert_int_equal(made(wait_for(b, ~0ull, 0)), 0x10);
    assert_true(settled(STORE(at, 0)));
    assert_int_equal(made(wait_for(b, ~0ull, 0)), 0x10);
    assert_false(settled(STORE(at, 6)));
    assert_false(settled(STORE(at + 1, 7)));
    s->rip = rip + 1;
    assert_false(settled(STORE(at, 7)));
    assert_false(settled(STORE(at, 0)));
    assert_false(settled(PORT(at & 0xffff, 1)));
    assert_int_equal(FASTPATH_STORE(at, 3, rip + 1, 0x40),
                     OK); /* the new instruction in the old one's place, with the old one's bits */
    assert_true(settled(STORE(at, 3)));
    assert_int_equal(made(wait_for(b, ~0ull, 0)), 0x10);
    s->rip = rip;
    assert_false(settled(STORE(at, 7)));
    assert_int_equal(wait_for(b, ~0ull, 0).error, E_TIMEOUT);
}

/* The table of docs/memory.md, as a walk from one kind of domain to another. */
static void test_which_barriers_are_owed(void **state)
{
    (void)state;
    enum { GUEST, GUEST2, SERVICE, SERVICE2, PUMP, EMPTY, KINDS };
    static const uint64_t flags[] = {[SERVICE] = DOMAIN_OWN_CODE,
                                     [SERVICE2] = DOMAIN_OWN_CODE,
                                     [PUMP] = DOMAIN_OWN_CODE | DOMAIN_NO_DATA,
                                     [EMPTY] = DOMAIN_NO_DATA};
    struct domain *d[KINDS];
    for (unsigned i = 0; i < KINDS; i++)
        d[i] = object_at(T, made(call4(T, SYS_DOMAIN_CREATE, 16, 0, 0, 1 | flags[i])));
    const uint32_t none = 0, data = BARRIER_L1D | BARRIER_BUFFERS, both = data | BARRIER_PREDICTOR;
    const struct {
        unsigned to;
        uint32_t owed;
    } way[] = {
        {GUEST, none},
        {GUEST, none},
        {GUEST2, both},
        {SERVICE, both},
        {GUEST2, data},
        {PUMP, data},
        {GUEST2, none},
        {PUMP, data},
        {SERVICE, BARRIER_PREDICTOR},
        {SERVICE2, data},
        {PUMP, data},
        {SERVICE, none},
        {GUEST, data},
        {EMPTY, data},
        {GUEST, BARRIER_PREDICTOR},
        {EMPTY, data},
        {PUMP, none},
        {SERVICE, BARRIER_PREDICTOR},
        {EMPTY, data},
        {SERVICE, BARRIER_PREDICTOR},
    };
    struct cpu here = {.number = 1};
    speculation_barriers = both;
    for (size_t i = 0; i < ARRAY_SIZE(way); i++) {
        here.owed = 0;
        domain_switch(&here, d[way[i].to]);
        if (here.owed != (way[i].owed | OWED_REGISTERS))
            fail_msg("step %zu: 0x%x, not 0x%x", i, here.owed, way[i].owed | OWED_REGISTERS);
        domain_switch(&here, NULL); /* the kernel's own tables between two: nothing changes */
    }
    here.owed = 0;
    domain_switch(&here, d[GUEST]);
    domain_switch(&here, d[SERVICE]); /* before it was paid: nothing is forgotten */
    domain_switch(&here, d[PUMP]);
    assert_int_equal(here.owed, both | OWED_REGISTERS);
    speculation_barriers = BARRIER_PREDICTOR | BARRIER_BUFFERS;
}

static void test_fetch_keeps_what_the_monitor_changed(void **state)
{
    (void)state;
    with_vcpu();
    assert_int_equal(run_guest(), EXIT_HLT);
    v->state->dirty = GROUP_CR;
    v->state->cr2 = 0x1234;
    assert_int_equal(call1(a, SYS_VCPU_FETCH, ~0ull).error, OK);
    assert_int_equal(v->state->valid, GROUPS_REGISTERS & ~GROUP_CR);
    assert_int_equal(v->state->cr2, 0x1234);
    v->state->dirty = 0xffffffff; /* bits that name no group do nothing */
    assert_int_equal(run_guest(), EXIT_HLT);
    assert_int_equal(v->state->dirty, 0);
}

/* ---- the FPU */

static const struct fpu_image sound = {.legacy = {[0] = 0x7f, [1] = 3, [25] = 0x1f}, .xstate_bv = 7};
static struct fpu_image *image; /* as the monitor sees it */

static void uses_fpu(struct vcpu *x)
{
    (void)x;
    v->state->exit.reason = EXIT_HLT;
    fpu_now()->legacy[32]++; /* ST0 */
}

static void with_fpu(void)
{
    with_vcpu();
    assert_int_equal(call1(a, SYS_VCPU_FPU, 0x701000).error, OK);
    image = v->fpu_shown;
    guest_runs = uses_fpu;
}

static void test_the_page_of_the_fpu(void **state)
{
    (void)state;
    assert_int_equal(call1(a, SYS_VCPU_FPU, 0x701000).error, E_STATE);
    with_vcpu();
    assert_int_equal(run_guest(), EXIT_HLT);
    assert_int_equal(call1(a, SYS_VCPU_FETCH, GROUPS_ALL).error, OK); /* without the page there is no such group */
    assert_int_equal(v->state->valid, GROUPS_REGISTERS);
    v->state->dirty = GROUP_FPU;
    assert_int_equal(run_guest(), EXIT_HLT);
    uint64_t used = pool_bytes_of(&a->domain->quota);
    const uint64_t bad[] = {0, 0x701800, USER_VA_MAX, USER_VA_MIN - 0x1000, 0xffffffff80000000};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(call1(a, SYS_VCPU_FPU, bad[i]).error, E_ARG);
    assert_int_equal(call1(a, SYS_VCPU_FPU, 0x700000).error, E_OVERLAP); /* the state page */
    assert_int_equal(pool_bytes_of(&a->domain->quota), used);
    assert_int_equal(call1(a, SYS_VCPU_FPU, 0x701000).error, OK);
    assert_int_equal(pool_bytes_of(&a->domain->quota), used + PAGE_SIZE);
    assert_int_equal(call1(a, SYS_VCPU_FPU, 0x702000).error, E_STATE);
    hpa_t frame;
    uint32_t rights;
    assert_true(pt_lookup(&a->domain->tables, 0x701000, &frame, &rights, NULL));
    assert_int_equal(frame.v, pool_hpa(v->fpu_shown).v);
    assert_int_equal(rights, RIGHT_READ | RIGHT_WRITE | PT_USER);
}

static void test_fpu_goes_out_and_in(void **state)
{
    (void)state;
    with_fpu();
    memset(image, 0xee, sizeof *image);
    assert_int_equal(run_guest(), EXIT_HLT);
    assert_int_equal(run_guest(), EXIT_HLT);
    assert_int_equal(image->legacy[32], 0xee); /* only when it is asked for */
    assert_int_equal(call1(a, SYS_VCPU_FETCH, GROUP_FPU).error, OK);
    assert_int_equal(v->state->valid & GROUP_FPU, GROUP_FPU);
    assert_int_equal(image->legacy[32], 2);
    struct fpu_image kept = *image;
    assert_int_equal(run_guest(), EXIT_HLT);
    assert_int_equal(fpu_now()->legacy[32], 3);
    *image = kept;
    memset(image->extended, 0x5a, sizeof image->extended);
    v->state->dirty = GROUP_FPU;
    assert_int_equal(run_guest(), EXIT_HLT);
    assert_int_equal(fpu_now()->legacy[32], 3); /* from 2 on again */
    assert_int_equal(fpu_now()->extended[3519], 0x5a);
    /* What the monitor has changed stays, and nothing that the page holds later counts. */
    image->legacy[32] = 0x70;
    v->state->dirty = GROUP_FPU;
    assert_int_equal(call1(a, SYS_VCPU_FETCH, GROUPS_ALL).error, OK);
    assert_int_equal(image->legacy[32], 0x70);
    assert_int_equal(run_guest(), EXIT_HLT);
    image->legacy[32] = 0;
    assert_int_equal(run_guest(), EXIT_HLT);
    assert_int_equal(fpu_now()->legacy[32], 0x72);
}

/* What XRSTOR would refuse (the fake CPU asserts that it never sees it). */
static void test_a_bad_fpu_image_is_refused(void **state)
{
    (void)state;
    with_fpu();
    assert_int_equal(run_guest(), EXIT_HLT);
    for (unsigned bit = 0; bit < 64 * 8; bit++) { /* the header, and MXCSR's upper half */
        *image = sound;
        unsigned at = bit < 16 ? 26 * 8 + bit : 512 * 8 + bit;
        bool good = at >= 512 * 8 && at < 512 * 8 + 3;
        ((uint8_t *)image)[at / 8] ^= (uint8_t)(1u << at % 8);
        fpu_now()->legacy[32] = 0x44;
        v->state->dirty = GROUP_FPU;
        assert_int_equal(run_guest(), good ? EXIT_HLT : EXIT_BAD_STATE);
        assert_int_equal(fpu_now()->legacy[32], good); /* the image's 0 and one more; or as after reset */
        if (!good)
            assert_int_equal(v->state->exit.detail, BAD_STATE_FPU);
    }
    *image = sound;
    v->state->dirty = GROUP_FPU;
    assert_int_equal(run_guest(), EXIT_HLT);
}

#define ON_A_MACHINE(f) cmocka_unit_test_setup_teardown(f, setup, machine_stop)
/* One barrier at each change of domain on a CPU, and one when a vCPU follows another whose state was just put away;
 * none anywhere else. */
static void test_barriers_stand_between_domains(void **state)
{
    (void)state;
    with_vcpu();
    assert_int_equal(run_guest(), EXIT_HLT);
    unsigned before = barriers;
    assert_int_equal(run_guest(), EXIT_HLT);
    signal_bits(1);
    assert_int_equal(made(wait_for(a, 1, 0)), 1);
    assert_int_equal(run_guest(), EXIT_HLT);
    assert_int_equal(barriers, before); /* the monitor and its guest, back and forth: one domain */

    uint64_t other = domain_on(T, 100, 1, 1, 0, 0);
    made(call4(T, SYS_HANDLE_GRANT, other, event, RIGHTS_ALL, 5));
    struct thread *o = object_at(T, made(call(T, SYS_THREAD_CREATE, other, 0x400000, 0, 1, SCHED_PLACE(1, 3), 0)));
    before = barriers;
    assert_int_equal(wait_for(o, 2, 0).error, E_TIMEOUT);
    assert_int_equal(barriers, before + 1);
    assert_int_equal(run_guest(), EXIT_HLT); /* the same vCPU is current still: what the other did is enough */
    assert_int_equal(barriers, before + 2);
    uint64_t its_space = made(call0(o, SYS_SPACE_CREATE));
    made(call2(o, SYS_VCPU_CREATE, its_space, 0x700000));
    before = barriers;
    assert_false(call0(o, SYS_VCPU_RUN).blocked);
    assert_int_equal(barriers,
                     before + 1); /* in its own domain, but the first guest's registers were saved on the way */
    assert_ptr_equal(cpu_by_number(1)->vcpu, o->vcpu);
    assert_int_equal(run_guest(), EXIT_HLT);
    assert_int_equal(barriers, before + 3); /* into the monitor, and into the guest */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_A_MACHINE(test_bits_are_taken_once),
        ON_A_MACHINE(test_a_waiter_is_woken_by_its_bits_only),
        ON_A_MACHINE(test_deadlines),
        ON_A_MACHINE(test_a_deadline_while_another_runs),
        ON_A_MACHINE(test_many_deadlines_at_once),
        ON_A_MACHINE(test_events_end_under_their_waiters),
        ON_A_MACHINE(test_a_section_holds_what_has_ended),
        ON_A_MACHINE(test_a_section_holds_irqs_and_vcpus),
        ON_A_MACHINE(test_a_handle_knows_the_type),
        ON_A_MACHINE(test_an_interrupt_signals),
        ON_A_MACHINE(test_a_line_of_the_log_rings),
        ON_A_MACHINE(test_random),
        ON_A_MACHINE(test_speculation_control),
        ON_A_MACHINE(test_kicks_are_never_lost),
        ON_A_MACHINE(test_a_kick_tells_who_must_be_told),
        ON_A_MACHINE(test_the_timer_is_the_hosts_again),
        ON_A_MACHINE(test_a_bound_event),
        ON_A_MACHINE(test_a_bound_event_outlives_its_vcpu),
        ON_A_MACHINE(test_the_end_of_a_bound_event),
        ON_A_MACHINE(test_a_kick_while_the_guest_runs),
        ON_A_MACHINE(test_fastpath_cpuid),
        ON_A_MACHINE(test_doorbells),
        ON_A_MACHINE(test_rows_of_doorbells),
        ON_A_MACHINE(test_a_doorbell_of_its_own),
        ON_A_MACHINE(test_wake_ups_come_from_sections),
        ON_A_MACHINE(test_store_doorbells),
        ON_A_MACHINE(test_barriers_stand_between_domains),
        ON_A_MACHINE(test_which_barriers_are_owed),
        ON_A_MACHINE(test_fetch_keeps_what_the_monitor_changed),
        ON_A_MACHINE(test_the_page_of_the_fpu),
        ON_A_MACHINE(test_fpu_goes_out_and_in),
        ON_A_MACHINE(test_a_bad_fpu_image_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
