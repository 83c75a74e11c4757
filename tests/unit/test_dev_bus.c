// SPDX-License-Identifier: Apache-2.0
/* The bus: finding devices, cutting accesses, refusing bad ranges; the clock's conversions; what an MSI means. */
// sources: vmm/devices/bus.c vmm/stream.c vmm/memory.c vmm/devices/clock.c vmm/devices/irq.c vmm/devices/pic.c vmm/devices/ioapic.c
#include "dev_test.h"

struct probe {
    unsigned calls, sizes[16];
    uint64_t at[16], written[16];
    uint64_t answer;
    struct bus *bus;
};

static void probe_port(void *device, uint16_t port, unsigned size, bool is_write, uint32_t *value)
{
    struct probe *p = device;
    p->at[p->calls & 15] = port;
    p->written[p->calls & 15] = *value;
    p->sizes[p->calls++ & 15] = size;
    if (!is_write)
        *value = (uint32_t)p->answer;
}

static void probe_memory(void *device, uint64_t offset, unsigned size, bool is_write, uint64_t *value)
{
    struct probe *p = device;
    p->at[p->calls & 15] = offset;
    p->written[p->calls & 15] = *value;
    p->sizes[p->calls++ & 15] = size;
    if (!is_write)
        *value = p->answer;
}

static void silent_port(void *device, uint16_t port, unsigned size, bool is_write, uint32_t *value)
{
    (void)device, (void)port, (void)size, (void)is_write, (void)value;
}

static void moving_port(void *device, uint16_t port, unsigned size, bool is_write, uint32_t *value)
{
    struct probe *p = device;
    (void)size, (void)is_write, (void)value;
    bus_remove_ports(p->bus, port & 0xfff0, p);
    assert_int_equal(bus_add_ports(p->bus, 0x9000, 0x900f, 4, moving_port, p), OK);
}

static void ranges(void **state)
{
    (void)state;
    static struct bus bus;
    struct probe p = {0};
    bus_init(&bus);
    assert_int_equal(bus_add_ports(&bus, 0x100, 0x107, 4, probe_port, &p), OK);
    assert_int_equal(bus_add_ports(&bus, 0x107, 0x200, 4, probe_port, &p), E_OVERLAP);
    assert_int_equal(bus_add_ports(&bus, 0x0f0, 0x100, 4, probe_port, &p), E_OVERLAP);
    assert_int_equal(bus_add_ports(&bus, 0x000, 0xffff, 4, probe_port, &p), E_OVERLAP);
    assert_int_equal(bus_add_ports(&bus, 0x102, 0x103, 4, probe_port, &p), E_OVERLAP);
    assert_int_equal(bus_add_ports(&bus, 0x300, 0x2ff, 4, probe_port, &p), E_ARG);
    assert_int_equal(bus_add_ports(&bus, 0x300, 0x300, 3, probe_port, &p), E_ARG);
    assert_int_equal(bus_add_ports(&bus, 0x300, 0x300, 8, probe_port, &p), E_ARG);
    assert_int_equal(bus_add_ports(&bus, 0x300, 0x300, 1, NULL, &p), E_ARG);
    assert_int_equal(bus_add_ports(&bus, 0xffff, 0xffff, 4, probe_port, &p), OK);
    assert_int_equal(bus_add_ports(&bus, 0x0, 0xff, 4, probe_port, &p), OK);
    assert_int_equal(bus_add_memory(&bus, UINT64_MAX - 15, UINT64_MAX, 8, probe_memory, &p), OK);
    assert_int_equal(bus_add_memory(&bus, UINT64_MAX, UINT64_MAX, 8, probe_memory, &p), E_OVERLAP);
    assert_int_equal(bus_add_memory(&bus, 1, 0, 8, probe_memory, &p), E_ARG);
    uint64_t v = 0;
    assert_true(bus_memory(&bus, UINT64_MAX - 7, 8, false, &v));
    assert_true(bus_memory(&bus, UINT64_MAX - 3, 8, false, &v)); /* the upper half is beyond the end of the world */
    assert_int_equal(v >> 32, 0xffffffff);
    for (unsigned i = bus.ports; i < BUS_PORT_RANGES; i++)
        assert_int_equal(bus_add_ports(&bus, (uint16_t)(0x1000 + i), (uint16_t)(0x1000 + i), 1, probe_port, &p), OK);
    assert_int_equal(bus_add_ports(&bus, 0x8000, 0x8000, 1, probe_port, &p), E_QUOTA);
    bus_remove_ports(&bus, 0x100, &bus); /* not its owner */
    assert_true(bus_port(&bus, 0x100, 1, false, &(uint32_t){0}));
    bus_remove_ports(&bus, 0x100, &p);
    assert_false(bus_port(&bus, 0x100, 1, false, &(uint32_t){0}));
    assert_int_equal(bus_add_ports(&bus, 0x8000, 0x8000, 1, probe_port, &p), OK);
}

static void accesses(void **state)
{
    (void)state;
    static struct bus bus;
    struct probe p = {.answer = 0x11223344aabbccddull};
    uint32_t v;
    uint64_t w;
    bus_init(&bus);
    assert_int_equal(bus_add_ports(&bus, 0x10, 0x13, 4, probe_port, &p), OK);
    assert_int_equal(bus_add_ports(&bus, 0x20, 0x23, 1, probe_port, &p), OK);
    assert_int_equal(bus_add_ports(&bus, 0x24, 0x27, 2, probe_port, &p), OK);
    assert_int_equal(bus_add_ports(&bus, 0x40, 0x40, 1, silent_port, &p), OK);
    assert_int_equal(bus_add_ports(&bus, 0xffff, 0xffff, 1, probe_port, &p), OK);
    assert_int_equal(inl(&bus, 0x10), 0xaabbccdd);
    assert_int_equal(inb(&bus, 0x13), 0xdd);
    assert_int_equal(p.calls, 2);
    /* cut into bytes, then into words */
    p.calls = 0;
    assert_int_equal(inl(&bus, 0x20), 0xdddddddd);
    assert_int_equal(p.calls, 4);
    p.calls = 0;
    outl(&bus, 0x24, 0x12345678);
    assert_int_equal(p.calls, 2);
    assert_int_equal(p.written[0], 0x5678);
    assert_int_equal(p.written[1], 0x1234);
    assert_int_equal(p.at[1], 0x26);
    /* across an end */
    p.calls = 0;
    assert_int_equal(inl(&bus, 0x12), 0xffffdddd);
    assert_int_equal(inw(&bus, 0xffff), 0xffdd);
    /* no device there */
    v = 5;
    assert_false(bus_port(&bus, 0x500, 2, false, &v));
    assert_int_equal(v, 0xffff);
    assert_false(bus_port(&bus, 0x500, 4, true, &v));
    assert_false(bus_port(&bus, 0x10, 3, false, &v));
    assert_false(bus_port(&bus, 0x10, 0, false, &v));
    assert_int_equal(inb(&bus, 0x40), 0xff);
    /* memory */
    p.calls = 0;
    assert_int_equal(bus_add_memory(&bus, 0x1000, 0x1fff, 4, probe_memory, &p), OK);
    assert_true(bus_memory(&bus, 0x1ff8, 8, false, &w));
    assert_int_equal(w, 0xaabbccddaabbccddull);
    assert_int_equal(p.at[0], 0xff8);
    assert_true(bus_memory(&bus, 0x1ffc, 8, false, &w));
    assert_int_equal(w, 0xffffffffddddddddull);
    assert_false(bus_memory(&bus, 0x2000, 8, false, &w));
    assert_int_equal(w, UINT64_MAX);
    assert_false(bus_memory(&bus, 0x1000, 16, false, &w));
    p.calls = 0;
    assert_true(bus_memory_claimed(&bus, 0x1000, 0x1000) && bus_memory_claimed(&bus, 0x1fff, 0x2010));
    assert_true(bus_memory_claimed(&bus, 0, 0x1000) && bus_memory_claimed(&bus, 0, UINT64_MAX));
    assert_false(bus_memory_claimed(&bus, 0, 0xfff) || bus_memory_claimed(&bus, 0x2000, UINT64_MAX));
    assert_int_equal(p.calls, 0);
    /* a byte register under a wide one */
    struct probe q = {.answer = 0x77};
    assert_int_equal(bus_add_byte_port(&bus, 0x11, probe_port, &q), OK);
    assert_int_equal(bus_add_byte_port(&bus, 0x11, probe_port, &q), E_OVERLAP);
    assert_int_equal(inb(&bus, 0x11), 0x77);
    assert_int_equal(inl(&bus, 0x10), 0xaabbccdd);
    assert_int_equal(inw(&bus, 0x11), 0xccdd);
}

/* What was found is remembered, and forgotten when the ranges change, whether or not they changed there. */
static void hits(void **state)
{
    (void)state;
    static struct bus bus;
    struct probe a = {.answer = 0xaaaaaaaa}, b = {.answer = 0xbbbbbbbb};
    uint64_t v;
    bus_init(&bus);
    assert_int_equal(bus_add_ports(&bus, 0x100, 0x103, 4, probe_port, &a), OK);
    assert_int_equal(bus_add_ports(&bus, 0x104, 0x107, 2, probe_port, &b), OK);
    for (unsigned round = 0; round < 3; round++) { /* neighbours, every size, and what lies across their border */
        assert_int_equal(inb(&bus, 0x103), 0xaa);
        assert_int_equal(inb(&bus, 0x104), 0xbb);
        assert_int_equal(inw(&bus, 0x102), 0xaaaa);
        assert_int_equal(inw(&bus, 0x103), 0xbbaa);
        assert_int_equal(inl(&bus, 0x100), 0xaaaaaaaa);
        assert_int_equal(inl(&bus, 0x102), 0xbbbbaaaa);
        b.calls = 0;
        assert_int_equal(inl(&bus, 0x104), 0xbbbbbbbb);
        assert_int_equal(b.calls, 2);
    }
    bus_remove_ports(&bus, 0x100, &a); /* another device comes to its place */
    assert_int_equal(bus_add_ports(&bus, 0x102, 0x103, 1, probe_port, &b), OK);
    assert_int_equal(inb(&bus, 0x103), 0xbb);
    assert_false(bus_port(&bus, 0x100, 1, true, &(uint32_t){0}));
    assert_int_equal(inl(&bus, 0x100), 0xbbbbffff);
    /* Ports that share a place among the hits drive each other out, no more. */
    assert_int_equal(bus_add_ports(&bus, 0x1000, 0x1fff, 4, probe_port, &a), OK);
    for (uint32_t port = 0x1000; port < 0x2000; port++) {
        assert_int_equal(inb(&bus, (uint16_t)port), 0xaa);
        assert_int_equal(inb(&bus, 0x106), 0xbb);
    }
    /* A byte register that appears over a remembered one. */
    assert_int_equal(inb(&bus, 0x1001), 0xaa);
    assert_int_equal(bus_add_byte_port(&bus, 0x1001, probe_port, &b), OK);
    assert_int_equal(inb(&bus, 0x1001), 0xbb);
    assert_int_equal(inw(&bus, 0x1001), 0xaaaa);

    assert_int_equal(bus_add_memory(&bus, 0x2000, 0x2fff, 8, probe_memory, &a), OK);
    assert_int_equal(bus_add_memory(&bus, 0x3000, 0x3fff, 2, probe_memory, &b), OK);
    for (unsigned round = 0; round < 2; round++) {
        assert_true(bus_memory(&bus, 0x2ff8, 8, false, &v));
        assert_int_equal(v, 0xaaaaaaaa);
        assert_int_equal(bus.memory_hit.sizes, 0x116);
        assert_true(bus_memory(&bus, 0x2ffe, 4, false, &v)); /* half of it is the neighbour's */
        assert_int_equal(v, 0xbbbbaaaa);
        assert_true(bus_memory(&bus, 0x3000, 2, false, &v));
        assert_int_equal(v, 0xbbbb);
        assert_int_equal(bus.memory_hit.sizes, 0x006);
        b.calls = 0;
        assert_true(bus_memory(&bus, 0x3000, 8, false, &v));
        assert_int_equal(b.calls, 4);
        assert_false(bus_memory(&bus, 0x1fff, 1, false, &v));
        assert_false(bus_memory(&bus, 0x4000, 1, false, &v));
    }
    assert_true(bus_memory(&bus, 0x2000, 1, false, &v));
    bus_remove_memory(&bus, 0x2000, &a);
    assert_false(bus_memory(&bus, 0x2000, 1, false, &v));
    assert_int_equal(v, 0xff);
    assert_int_equal(bus_add_memory(&bus, 0x1800, 0x2fff, 4, probe_memory, &b), OK);
    assert_true(bus_memory(&bus, 0x2000, 4, true, &(uint64_t){0x1122334455667788ull}));
    assert_int_equal(b.at[(b.calls - 1) & 15], 0x800);
    assert_int_equal(b.written[(b.calls - 1) & 15], 0x55667788);
}

static void handler_moves(void **state)
{
    (void)state;
    static struct bus bus;
    struct probe p = {.bus = &bus};
    bus_init(&bus);
    assert_int_equal(bus_add_ports(&bus, 0x8000, 0x800f, 4, moving_port, &p), OK);
    outl(&bus, 0x8000, 1);
    assert_false(bus_port(&bus, 0x8000, 4, false, &(uint32_t){0}));
    outl(&bus, 0x9000, 1);
}

static void conversions(void **state)
{
    (void)state;
    static const uint64_t khz[] = {1000, 50000, 2400000, 3000001, 5123456};
    static const uint64_t hz[] = {32768, 1193182, 3579545, 25000000, 1000000000};
    for (unsigned i = 0; i < 5; i++)
        for (unsigned j = 0; j < 5; j++) {
            struct scale forward = clock_to_cycles(khz[i], hz[j]), back = clock_to_ticks(khz[i], hz[j]);
            /* a second, a day, a year: exact */
            for (uint64_t s = 1; s < 40000000; s = s * 7 + 1)
                assert_int_equal(scale_apply(forward, khz[i] * 1000 * s), hz[j] * s);
            for (uint64_t c = 1; c < 1ull << 40; c = c * 3 + 1) {
                uint64_t tick = clock_tick_of(forward, back, c);
                assert_true(scale_apply(forward, tick) >= c);
                assert_true(scale_apply(forward, tick - 1) < c);
            }
        }
    assert_int_equal(scale_apply(scale_make(1u << 30, 1), UINT64_MAX), UINT64_MAX);
    assert_int_equal(scale_apply(scale_make(1, 3), 3), 1);
    assert_int_equal(clock_tick_of(clock_to_cycles(3000000, 1), clock_to_ticks(3000000, 1), UINT64_MAX), CLOCK_NEVER);
}

static void msi(void **state)
{
    (void)state;
    struct interrupt_message m;
    assert_false(interrupt_message_of_msi(0xfed00000, 0, &m));
    assert_false(interrupt_message_of_msi(0x1fee00000, 0, &m));
    assert_true(interrupt_message_of_msi(0xfee03004, 0x4131, &m));
    assert_int_equal(m.dest, 3);
    assert_true(m.dest_logical);
    assert_int_equal(m.vector, 0x31);
    assert_int_equal(m.delivery_mode, DELIVER_LOWEST);
    assert_false(m.level_triggered);
    assert_false(m.wide);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(ranges),      cmocka_unit_test(accesses),
                                       cmocka_unit_test(hits),        cmocka_unit_test(handler_moves),
                                       cmocka_unit_test(conversions), cmocka_unit_test(msi)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
