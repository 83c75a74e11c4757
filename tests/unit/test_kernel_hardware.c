// SPDX-License-Identifier: Apache-2.0
// sources: @kernel
// libs: -include tests/unit/fake_cpu.h
/*
 * Hardware by class: what one handle makes of the machine, what owns it, and what it never gives.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "fake_machine.h"
#include "kernel/klog_ring.h"
#include "pt_lookup.h"

#define T  root_thread
#define HW ROOT_SLOT_HARDWARE
#define RW (RIGHT_READ | RIGHT_WRITE)

#define DEVICE 0xe0000000ull

static struct answer hardware(uint64_t class, uint64_t a, uint64_t b, uint64_t c)
{
    return call(T, SYS_HARDWARE, HW, class, a, b, c, 0);
}
static uint64_t new_domain(void)
{
    return domain_on(T, 64, 0, 2, 0, 0);
}
static struct thread *thread_in(uint64_t domain, unsigned cpu)
{
    return object_at(T, made(call(T, SYS_THREAD_CREATE, domain, 0x400000, 0x800000, 0, SCHED_PLACE(cpu, 3), 0)));
}
static enum error map(uint64_t domain, uint64_t at, uint64_t memory, uint64_t size, uint32_t rights)
{
    return call(T, SYS_MAP, domain, at, memory, 0, size, rights).error;
}

static void test_who_may(void **state)
{
    (void)state;
    assert_int_equal(call(T, SYS_HARDWARE, ROOT_SLOT_LOG, HARDWARE_PORTS, 1, 1, 0, 0).error, E_TYPE);
    assert_int_equal(call(T, SYS_HARDWARE, 999, HARDWARE_PORTS, 1, 1, 0, 0).error, E_HANDLE);
    uint64_t less = made(call4(T, SYS_HANDLE_GRANT, ROOT_SLOT_SELF, HW, RIGHTS_ALL & ~RIGHT_MANAGE, 0));
    assert_int_equal(call(T, SYS_HARDWARE, less, HARDWARE_PORTS, 1, 1, 0, 0).error, E_RIGHTS);
    assert_int_equal(hardware(HARDWARE_MESSAGE + 1, 0, 0, 0).error, E_ARG);
    assert_int_equal(hardware(~0ull, 0, 0, 0).error, E_ARG);
}

/* ---- ports */

static void test_ports_have_one_owner(void **state)
{
    (void)state;
    static const struct {
        uint64_t first, last;
        enum error e;
    } rows[] = {
        {0x3f8, 0x3f7, E_ARG},   {0, 0x10000, E_ARG},    {0x10000, 0x10000, E_ARG},
        {0x20, 0x20, E_OVERLAP}, {0, 0x20, E_OVERLAP},   {0x21, 0x30, E_OVERLAP},
        {0xa1, 0xa1, E_OVERLAP}, {0, 0xffff, E_OVERLAP}, {0xcf0, 0xcff, E_OVERLAP}, /* root has 0xcf9 */
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(hardware(HARDWARE_PORTS, rows[i].first, rows[i].last, 0).error, rows[i].e);
    uint64_t p = made(hardware(HARDWARE_PORTS, 0x3f8, 0x3ff, 0));
    assert_int_equal(hardware(HARDWARE_PORTS, 0x3ff, 0x400, 0).error, E_OVERLAP);
    made(hardware(HARDWARE_PORTS, 0x400, 0xbff, 0));
    made(hardware(HARDWARE_PORTS, 0, 0x1f, 0));
    made(hardware(HARDWARE_PORTS, 0xd00, 0xffff, 0));
    assert_int_equal(call1(T, SYS_HANDLE_CLOSE, p).error, OK);
    made(hardware(HARDWARE_PORTS, 0x3ff, 0x3ff, 0)); /* free again */
}

/* What a CPU lets through follows the domain that runs there, and ends with it. */
static void test_open_ports(void **state)
{
    (void)state;
    uint64_t d[3], p[3];
    struct thread *t[3];
    for (unsigned i = 0; i < 3; i++) {
        d[i] = new_domain();
        t[i] = thread_in(d[i], 1);
        p[i] = made(hardware(HARDWARE_PORTS, 0x100 * (i + 1), 0x100 * (i + 1) + 70, 0));
    }
    assert_int_equal(call2(T, SYS_PORTS_OPEN, d[0], p[0]).error, OK);
    assert_int_equal(call2(T, SYS_PORTS_OPEN, d[1], p[1]).error, OK);
    for (unsigned round = 0; round < 12; round++) {
        struct thread *now_there = run_cpu(1);
        for (unsigned i = 0; i < 2; i++) {
            assert_int_equal(can_use_port(1, (uint16_t)(0x100 * (i + 1))), now_there == t[i]);
            assert_int_equal(can_use_port(1, (uint16_t)(0x100 * (i + 1) + 70)), now_there == t[i]);
            assert_false(can_use_port(1, (uint16_t)(0x100 * (i + 1) + 71)));
        }
        now += 20000000; /* its slice ends */
    }
    /* In the caller's own domain: at once. */
    assert_ptr_equal(run_cpu(0), T);
    assert_false(can_use_port(0, 0xcf9));
    assert_int_equal(call2(T, SYS_PORTS_OPEN, ROOT_SLOT_SELF, PORTS_SLOT).error, OK);
    assert_true(can_use_port(0, 0xcf9));

    /* Ports that a domain has open are its own until its end, whatever handles there are. */
    assert_int_equal(call1(T, SYS_HANDLE_CLOSE, p[0]).error, OK);
    assert_int_equal(hardware(HARDWARE_PORTS, 0x100, 0x100, 0).error, E_OVERLAP);
    assert_int_equal(call_steps(T, SYS_DESTROY, d[0], 0), OK);
    made(hardware(HARDWARE_PORTS, 0x100, 0x100, 0));
    for (unsigned round = 0; round < 6; round++, now += 20000000) {
        run_cpu(1);
        assert_false(can_use_port(1, 0x100));
    }
    /* A new domain, perhaps in the old one's place, has none. */
    uint64_t next = new_domain();
    struct thread *n = thread_in(next, 1);
    bool ran = false;
    for (unsigned round = 0; round < 8; round++, now += 20000000)
        if (run_cpu(1) == n) {
            ran = true;
            for (uint32_t port = 0; port < 0x10000; port++)
                assert_false(can_use_port(1, (uint16_t)port));
        }
    assert_true(ran);
}

static void test_ports_of_a_domain_are_few(void **state)
{
    (void)state;
    uint64_t d = new_domain();
    for (unsigned i = 0; i <= DOMAIN_PORTS_MAX; i++)
        assert_int_equal(call2(T, SYS_PORTS_OPEN, d, made(hardware(HARDWARE_PORTS, 0x100 + i, 0x100 + i, 0))).error,
                         i < DOMAIN_PORTS_MAX ? OK : E_QUOTA);
}

/* ---- interrupts */

static void test_a_line(void **state)
{
    (void)state;
    uint64_t e = made(call0(T, SYS_EVENT_CREATE));
    assert_int_equal(hardware(HARDWARE_LINE, MACHINE_LINES, 0, 0).error, E_UNSUPPORTED);
    assert_int_equal(hardware(HARDWARE_LINE, ~0ull, 0, 0).error, E_UNSUPPORTED);
    assert_int_equal(hardware(HARDWARE_LINE, 1ull << 32 | 5, 0, 0).error, E_UNSUPPORTED);
    assert_int_equal(hardware(HARDWARE_LINE, 5, MACHINE_CPUS, 0).error, E_ARG);
    assert_int_equal(hardware(HARDWARE_LINE, 5, ~0ull, 0).error, E_ARG);
    assert_int_equal(hardware(HARDWARE_LINE, 5, 0, 4).error, E_ARG);
    assert_int_equal(hardware(HARDWARE_LINE, 4, 0, 0).error, E_OVERLAP); /* root has it */
    uint64_t h = made(hardware(HARDWARE_LINE, 17, 2, LINE_LEVEL | LINE_LOW));
    struct irq *i = object_at(T, h);
    assert_true(lines[17].masked && lines[17].level && lines[17].low && lines[17].apic_id == 2);
    assert_int_equal(lines[17].vector, i->vector);
    assert_int_equal(call3(T, SYS_QUERY, h, QUERY_IRQ_MESSAGE, 0).error, E_ARG);

    assert_int_equal(call3(T, SYS_IRQ_BIND, h, e, 2).error, OK);
    assert_false(lines[17].masked);
    run_cpu(2);
    irq_arrived(i->vector); /* masked until it is acknowledged: it is level-triggered */
    assert_true(lines[17].masked);
    struct answer got = call3(T, SYS_EVENT_WAIT, e, ~0ull, 0);
    assert_int_equal(got.error, OK);
    assert_int_equal(got.value, 2);
    assert_int_equal(call1(T, SYS_IRQ_ACK, h).error, OK);
    assert_false(lines[17].masked);

    uint8_t vector = i->vector;
    assert_int_equal(call1(T, SYS_HANDLE_CLOSE, h).error, OK);
    assert_true(lines[17].masked && lines[17].vector == 0);
    run_cpu(2);
    irq_arrived(vector); /* a late one: there is no object any more */
    assert_int_equal(call3(T, SYS_EVENT_WAIT, e, ~0ull, 0).error, E_TIMEOUT);
    h = made(hardware(HARDWARE_LINE, 17, 1, 0));
    assert_true(!lines[17].level && !lines[17].low);
    /* Without an event it is not unmasked. */
    assert_int_equal(call1(T, SYS_IRQ_ACK, h).error, OK);
    assert_true(lines[17].masked);
}

/* The same vector on two CPUs is two interrupts; ring 0 chooses it, above the exceptions and below its own. */
static void test_messages(void **state)
{
    (void)state;
    uint64_t e = made(call0(T, SYS_EVENT_CREATE)), h[2];
    assert_int_equal(hardware(HARDWARE_MESSAGE, 0, MACHINE_CPUS, 0).error, E_ARG);
    for (unsigned n = 0; n < 2; n++) {
        h[n] = made(hardware(HARDWARE_MESSAGE, 0, 1 + n, 0));
        uint64_t message = made(call3(T, SYS_QUERY, h[n], QUERY_IRQ_MESSAGE, 0));
        assert_int_equal(message, (0xfee00000ull | (1 + n) << 12) << 32 | VECTOR_IRQ_BASE);
        assert_int_equal(call3(T, SYS_IRQ_BIND, h[n], e, 1ull << n).error, OK);
    }
    for (unsigned n = 0; n < 2; n++) {
        run_cpu(1 + n);
        irq_arrived(VECTOR_IRQ_BASE);
        assert_int_equal(call3(T, SYS_EVENT_WAIT, e, ~0ull, 0).value, 1ull << n);
        assert_int_equal(call1(T, SYS_IRQ_ACK, h[n]).error, OK);
    }
    unsigned more = 0;
    for (struct answer r; (r = hardware(HARDWARE_MESSAGE, 0, 1, 0)).error != E_QUOTA; more++) {
        uint64_t vector = made(call3(T, SYS_QUERY, made(r), QUERY_IRQ_MESSAGE, 0)) & 0xff;
        assert_in_range(vector, VECTOR_IRQ_BASE, SYSCALL_VECTOR - 1);
    }
    assert_int_equal(more, VECTOR_IRQ_COUNT - 1);
    made(hardware(HARDWARE_MESSAGE, 0, 0, 0)); /* another CPU has its own */
}

/* An interrupt ends with its last handle, which may be a driver's. */
static void test_an_interrupt_of_a_driver(void **state)
{
    (void)state;
    uint64_t d = new_domain(), e = made(call0(T, SYS_EVENT_CREATE)), h = made(hardware(HARDWARE_LINE, 9, 0, 0));
    made(call4(T, SYS_HANDLE_GRANT, d, h, RIGHT_SIGNAL, 0));
    assert_int_equal(call3(T, SYS_IRQ_BIND, h, e, 1).error, OK);
    assert_int_equal(call1(T, SYS_HANDLE_CLOSE, h).error, OK);
    assert_false(lines[9].masked);
    assert_int_equal(call_steps(T, SYS_DESTROY, d, 0), OK);
    assert_int_equal(lines[9].vector, 0);
    assert_int_equal(((struct event *)object_at(T, e))->object.references, 1);
}

static void test_a_cpu_out_of_reach(void **state)
{
    (void)state;
    cpu_by_number(2)->apic_id = APIC_ID_MAX; /* the last one that a message reaches */
    for (unsigned n = 0; n < VECTOR_IRQ_COUNT; n++) {
        uint64_t h = made(hardware(HARDWARE_MESSAGE, 0, 2, 0));
        assert_int_equal(made(call3(T, SYS_QUERY, h, QUERY_IRQ_MESSAGE, 0)) >> 32, 0xfee00000ull | APIC_ID_MAX << 12);
    }
    assert_int_equal(hardware(HARDWARE_MESSAGE, 0, 2, 0).error, E_QUOTA);
    cpu_by_number(2)->apic_id = APIC_ID_MAX + 1;
    assert_int_equal(hardware(HARDWARE_LINE, 5, 2, 0).error, E_UNSUPPORTED);
    assert_int_equal(hardware(HARDWARE_MESSAGE, 0, 2, 0).error, E_UNSUPPORTED);
}

/* ---- device memory */

static void test_device_memory_is_no_ram(void **state)
{
    (void)state;
    static const struct {
        uint64_t base, size;
        enum error e;
    } rows[] = {
        {RAM_BASE, PAGE_SIZE, E_RIGHTS},
        {RAM_BASE + RAM_SIZE - PAGE_SIZE, PAGE_SIZE, E_RIGHTS},
        {RAM_BASE - PAGE_SIZE, 2 * PAGE_SIZE, E_RIGHTS},
        {RAM_BASE + RAM_SIZE - PAGE_SIZE, 2 * PAGE_SIZE, E_RIGHTS},
        {0, 1ull << 40, E_RIGHTS},
        {RAM_BASE + 0x800, 0x800, E_RIGHTS},
        {DEVICE, 0, E_ARG},
        {DEVICE, 0x800, E_ARG},
        {DEVICE + 0x800, PAGE_SIZE, E_ARG},
        {~0ull - PAGE_SIZE + 1, PAGE_SIZE, E_ARG}, /* wraps */
        {~0ull << 12, 2 * PAGE_SIZE, E_ARG},
        {1ull << 40, PAGE_SIZE, E_ARG}, /* no CPU has such an address */
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(hardware(HARDWARE_MEMORY, rows[i].base, rows[i].size, TAG_DEVICE(0)).error, rows[i].e);
    made(hardware(HARDWARE_MEMORY, RAM_BASE + RAM_SIZE, PAGE_SIZE, TAG_DEVICE(0)));
    made(hardware(HARDWARE_MEMORY, RAM_BASE - PAGE_SIZE, PAGE_SIZE, TAG_DEVICE(0)));
    made(hardware(HARDWARE_MEMORY, DEVICE, 2 * PAGE_SIZE, TAG_DEVICE(0)));
    assert_int_equal(hardware(HARDWARE_MEMORY, DEVICE + PAGE_SIZE, PAGE_SIZE, TAG_DEVICE(1)).error, E_OVERLAP);
}

static void test_device_memory_is_never_write_back(void **state)
{
    (void)state;
    uint64_t d = new_domain(), m = made(hardware(HARDWARE_MEMORY, DEVICE, 4 * PAGE_SIZE, TAG_DEVICE(0)));
    uint64_t ram_memory = made(call4(T, SYS_MEMORY_CARVE, RAM_SLOT, 0, PAGE_SIZE, 7));
    struct domain *driver = object_at(T, d);
    uint32_t rights;
    hpa_t frame;
    assert_int_equal(map(d, 0x400000, m, PAGE_SIZE, RW), E_ARG);
    assert_int_equal(map(d, 0x400000, m, PAGE_SIZE, RW | MAP_UNCACHED | MAP_COMBINING), E_ARG);
    assert_int_equal(map(d, 0x400000, m, PAGE_SIZE, RIGHT_READ | RIGHT_EXEC | MAP_UNCACHED), E_ARG);
    assert_int_equal(map(d, 0x400000, m, 5 * PAGE_SIZE, RW | MAP_UNCACHED), E_ARG);
    assert_int_equal(map(d, 0x400000, ram_memory, PAGE_SIZE, RW | MAP_UNCACHED), E_ARG);
    assert_int_equal(map(d, 0x400000, ram_memory, PAGE_SIZE, RW | MAP_COMBINING), E_ARG);
    assert_int_equal(map(d, 0x400000, m, 2 * PAGE_SIZE, RW | MAP_UNCACHED), OK);
    assert_int_equal(map(d, 0x600000, m, PAGE_SIZE, RW | MAP_COMBINING), OK);
    assert_true(pt_lookup(&driver->tables, 0x401000, &frame, &rights, NULL));
    assert_int_equal(frame.v, DEVICE + PAGE_SIZE);
    assert_int_equal(rights, RW | PT_USER | PT_UNCACHED);
    assert_true(pt_lookup(&driver->tables, 0x600000, &frame, &rights, NULL));
    assert_int_equal(rights, RW | PT_USER | PT_COMBINING);
    struct thread *t = thread_in(d, 1);
    run_cpu(1);
    uint64_t space = made(call0(t, SYS_SPACE_CREATE));
    struct space *s = object_at(t, space);
    uint64_t own = made(call4(T, SYS_HANDLE_GRANT, d, m, RW, 0));
    assert_int_equal(call(t, SYS_MAP, space, 0x1000, own, 0, PAGE_SIZE, RW).error, E_ARG);
    assert_int_equal(call(t, SYS_MAP, space, 0x1000, own, 0, PAGE_SIZE, RW | MAP_UNCACHED).error, OK);
    assert_int_equal(call(t, SYS_MAP, space, 0x2000, own, 0, PAGE_SIZE, RW | MAP_COMBINING).error, OK);
    assert_true(pt_lookup(&s->tables, 0x1000, &frame, &rights, NULL));
    assert_int_equal(rights, RW | PT_UNCACHED);
    assert_true(pt_lookup(&s->tables, 0x2000, &frame, &rights, NULL));
    assert_int_equal(rights, RW | PT_COMBINING);
    assert_int_equal(call1(T, SYS_HANDLE_CLOSE, made(call4(T, SYS_HANDLE_GRANT, ROOT_SLOT_SELF, m, RW, 0))).error, OK);

    /* It is not destroyed; it ends with its last handle, once no table shows it. */
    assert_int_equal(call1(T, SYS_DESTROY, m).error, E_STATE);
    assert_int_equal(call1(T, SYS_HANDLE_CLOSE, m).error, OK);
    assert_int_equal(hardware(HARDWARE_MEMORY, DEVICE, PAGE_SIZE, TAG_DEVICE(1)).error, E_OVERLAP);
    assert_int_equal(call_steps(T, SYS_DESTROY, d, 0), OK);
    assert_int_equal(call_steps(T, SYS_DESTROY, ram_memory, 0), OK);
    run_all();
    made(hardware(HARDWARE_MEMORY, DEVICE, PAGE_SIZE, TAG_DEVICE(1)));
}

/* The program that shows the log says so, and needs a right for it. */
static void test_taking_the_log(void **state)
{
    (void)state;
    log_taken = false;
    uint64_t less = made(call4(T, SYS_HANDLE_GRANT, ROOT_SLOT_SELF, ROOT_SLOT_LOG, RIGHT_SIGNAL, 0));
    assert_int_equal(call(T, SYS_LOG, less, 0, 0, 0, 0, 0).error, E_RIGHTS);
    assert_int_equal(call(T, SYS_LOG, less, 1, 'x', 0, 0, 0).error, OK);
    assert_false(log_taken);
    assert_int_equal(call(T, SYS_LOG, ROOT_SLOT_LOG, 0, 0, 0, 0, 0).error, OK);
    assert_true(log_taken);
}

#define ON_A_MACHINE(f) cmocka_unit_test_setup_teardown(f, machine_start, machine_stop)
int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_A_MACHINE(test_who_may),
        ON_A_MACHINE(test_ports_have_one_owner),
        ON_A_MACHINE(test_open_ports),
        ON_A_MACHINE(test_ports_of_a_domain_are_few),
        ON_A_MACHINE(test_a_line),
        ON_A_MACHINE(test_messages),
        ON_A_MACHINE(test_an_interrupt_of_a_driver),
        ON_A_MACHINE(test_a_cpu_out_of_reach),
        ON_A_MACHINE(test_device_memory_is_no_ram),
        ON_A_MACHINE(test_device_memory_is_never_write_back),
        ON_A_MACHINE(test_taking_the_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
