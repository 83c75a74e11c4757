// SPDX-License-Identifier: Apache-2.0
/* The I/O APIC: entries, edges, level-triggered cycles; and the router in front of it. */
// sources: vmm/devices/bus.c vmm/stream.c vmm/memory.c vmm/devices/ioapic.c vmm/devices/irq.c vmm/devices/pic.c
#include "dev_test.h"
#include "vmm/devices/ioapic.h"
#include "vmm/devices/layout.h"
#include "vmm/devices/pic.h"

static struct bus bus;
static struct ioapic io;
static struct interrupt_message last;
static unsigned sent;

static void on_deliver(void *context, const struct interrupt_message *m)
{
    (void)context;
    last = *m;
    sent++;
}

static void reg_write(unsigned reg, uint32_t value)
{
    uint64_t v = reg;
    assert_true(bus_memory(&bus, LAYOUT_IOAPIC_BASE, 4, true, &v));
    v = value;
    assert_true(bus_memory(&bus, LAYOUT_IOAPIC_BASE + 0x10, 4, true, &v));
}

static uint32_t reg_read(unsigned reg)
{
    uint64_t v = reg;
    assert_true(bus_memory(&bus, LAYOUT_IOAPIC_BASE, 4, true, &v));
    assert_true(bus_memory(&bus, LAYOUT_IOAPIC_BASE + 0x10, 4, false, &v));
    return (uint32_t)v;
}

static int setup(void **state)
{
    (void)state;
    bus_init(&bus);
    sent = 0;
    assert_int_equal(ioapic_init(&io, &bus, LAYOUT_IOAPIC_BASE, on_deliver, NULL), OK);
    return 0;
}

static void registers(void **state)
{
    (void)state;
    assert_int_equal(reg_read(1), 0x00170020);
    reg_write(0, 0x0f000000);
    assert_int_equal(reg_read(0), 0x0f000000);
    for (unsigned pin = 0; pin < 24; pin++)
        assert_int_equal(reg_read(0x10 + 2 * pin), 0x10000);
    reg_write(0x10, 0xffffffff);
    assert_int_equal(reg_read(0x10), 0x1afff);
    reg_write(0x11, 0xffffffff);
    assert_int_equal(reg_read(0x11), 0xff000000);
    for (unsigned reg = 0x40; reg < 0x100; reg++) { /* past the last entry */
        reg_write(reg, 0xffffffff);
        assert_int_equal(reg_read(reg), 0);
    }
    for (uint64_t offset = 0; offset < 0x1000; offset += 4) {
        uint64_t v = 0;
        assert_true(bus_memory(&bus, LAYOUT_IOAPIC_BASE + offset, 4, false, &v));
    }
}

static void edges(void **state)
{
    (void)state;
    ioapic_set(&io, 4, true); /* masked: lost */
    reg_write(0x19, 0x02000000);
    reg_write(0x18, 0x34 | 0x800);
    assert_int_equal(sent, 0);
    ioapic_set(&io, 4, true); /* no edge */
    assert_int_equal(sent, 0);
    ioapic_set(&io, 4, false);
    ioapic_set(&io, 4, true);
    assert_int_equal(sent, 1);
    assert_int_equal(last.vector, 0x34);
    assert_int_equal(last.dest, 2);
    assert_true(last.dest_logical);
    assert_false(last.level_triggered);
    ioapic_eoi(&io, 0x34);
    assert_int_equal(sent, 1);
    ioapic_set(&io, 24, true);
    ioapic_set(&io, 1000, true);
}

static void level_cycle(void **state)
{
    (void)state;
    reg_write(0x10 + 18, 0x39 | 0x8000 | 0x100);
    ioapic_set(&io, 9, true);
    assert_int_equal(sent, 1);
    assert_true(last.level_triggered);
    assert_int_equal(last.delivery_mode, DELIVER_LOWEST);
    assert_int_equal(reg_read(0x10 + 18), 0x39 | 0x8000 | 0x100 | 0x4000);
    ioapic_set(&io, 9, false);
    ioapic_set(&io, 9, true); /* remote IRR holds it back */
    assert_int_equal(sent, 1);
    ioapic_eoi(&io, 0x38); /* another's vector */
    assert_int_equal(sent, 1);
    ioapic_eoi(&io, 0x39); /* still up: again */
    assert_int_equal(sent, 2);
    ioapic_set(&io, 9, false);
    ioapic_eoi(&io, 0x39);
    assert_int_equal(sent, 2);
    assert_int_equal(reg_read(0x10 + 18) & 0x4000, 0);
    /* masked while up; unmasking sends */
    reg_write(0x10 + 18, 0x39 | 0x8000 | 0x10000);
    ioapic_set(&io, 9, true);
    assert_int_equal(sent, 2);
    reg_write(0x10 + 18, 0x39 | 0x8000);
    assert_int_equal(sent, 3);
    /* the EOI register, and the old way: to edge and back */
    uint64_t v = 0x39;
    assert_true(bus_memory(&bus, LAYOUT_IOAPIC_BASE + 0x40, 4, true, &v));
    assert_int_equal(sent, 4);
    ioapic_set(&io, 9, false);
    reg_write(0x10 + 18, 0x39 | 0x10000);
    assert_int_equal(reg_read(0x10 + 18) & 0x4000, 0);
}

static void router(void **state)
{
    (void)state;
    static struct pic pic;
    struct irq_router r = {.pic = &pic, .ioapic = &io};
    assert_int_equal(pic_init(&pic, &bus, NULL, NULL), OK);
    irq_router_gsi(&r, 0, true);
    assert_int_equal(io.lines, 1u << 2);
    assert_int_equal(pic.chip[0].irr, 1);
    irq_router_gsi(&r, 2, true);
    irq_router_gsi(&r, 0, false);
    irq_router_gsi(&r, 12, true);
    irq_router_gsi(&r, 23, true);
    irq_router_gsi(&r, 24, true);
    assert_int_equal(io.lines, 1u << 12 | 1u << 23);
    assert_int_equal(pic.chip[1].irr, 1 << 4);
}

/* ---- A second I/O APIC, from the 82093AA data sheet, 3.2.4: 24 pins, fields apart. */

struct pin {
    uint8_t vector, mode, dest;
    bool logical, low_active, level, masked, line, in_service;
};
static struct pin pins[24];
static uint32_t seed = 82093;
static unsigned any(unsigned below)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
}

static bool is_level(const struct pin *p)
{
    return p->level && p->mode <= 1; /* NMI, SMI, INIT and ExtINT are edges by nature */
}

/* What a pin sends now, if it does. */
static unsigned model_sends(unsigned n)
{
    struct pin *p = &pins[n];
    if (is_level(p))
        p->in_service = true;
    assert_true(sent == 1 && last.level);
    assert_int_equal(last.vector, p->vector);
    assert_int_equal(last.delivery_mode, p->mode);
    assert_int_equal(last.dest, p->dest);
    assert_int_equal(last.dest_logical, p->logical);
    assert_int_equal(last.level_triggered, is_level(p));
    sent = 0;
    return 1;
}

static bool asks(const struct pin *p)
{
    return is_level(p) && p->line && !p->masked && !p->in_service;
}

static uint32_t half_of(unsigned n, bool upper)
{
    const struct pin *p = &pins[n];
    if (upper)
        return (uint32_t)p->dest << 24;
    return p->vector | (uint32_t)p->mode << 8 | (uint32_t)p->logical << 11 | (uint32_t)p->low_active << 13 |
           (uint32_t)p->in_service << 14 | (uint32_t)p->level << 15 | (uint32_t)p->masked << 16;
}

static void model_entry(unsigned n, bool upper, uint32_t value)
{
    struct pin *p = &pins[n];
    if (upper) {
        p->dest = (uint8_t)(value >> 24);
    } else {
        p->vector = (uint8_t)value;
        p->mode = value >> 8 & 7;
        p->logical = value >> 11 & 1;
        p->low_active = value >> 13 & 1;
        p->level = value >> 15 & 1;
        p->masked = value >> 16 & 1;
        p->in_service &= is_level(p);
    }
}

static void against_a_model(void **state)
{
    (void)state;
    unsigned messages = 0;
    memset(pins, 0, sizeof pins);
    for (unsigned n = 0; n < 24; n++)
        pins[n].masked = true;
    for (unsigned round = 0; round < 100000; round++) {
        unsigned n = any(24), upper = any(2);
        uint32_t value = any(1 << 24) | any(256) << 24;
        struct pin *p = &pins[n];
        uint8_t vector = 0;
        if (any(2))
            value &= 0xff00a8ff; /* unmasked, fixed */
        switch (any(6)) {
        case 0:
            reg_write(0x10 + 2 * n + upper, value);
            model_entry(n, upper, value);
            if (asks(p))
                messages += model_sends(n);
            break;
        case 1: assert_int_equal(reg_read(0x10 + 2 * n + upper), half_of(n, upper)); break;
        case 2: {
            bool waits = false; /* one pin at a time: vectors may be shared */
            for (unsigned k = 0; k < 24; k++)
                waits |= k != n && pins[k].in_service && pins[k].vector == p->vector;
            if (waits)
                break;
            ioapic_eoi(&io, p->vector);
            p->in_service = false;
            if (asks(p))
                messages += model_sends(n);
            break;
        }
        case 3:
            assert_int_equal(ioapic_vector(&io, n, &vector), !p->masked && p->mode <= 1);
            if (!p->masked && p->mode <= 1)
                assert_int_equal(vector, p->vector);
            break;
        default: {
            bool up = any(2), rose = up && !p->line;
            ioapic_set(&io, n, up);
            p->line = up;
            if (is_level(p) ? asks(p) : rose && !p->masked)
                messages += model_sends(n);
            break;
        }
        }
        assert_int_equal(sent, 0); /* nothing but what the model has sent */
    }
    assert_true(messages > 5000);
    assert_false(ioapic_vector(&io, 24, &(uint8_t){0}));
}

/* The registers that are no entries (3.2.1 to 3.2.3), and what lies between them. */
static void other_registers(void **state)
{
    (void)state;
    for (unsigned id = 0; id < 16; id++) {
        reg_write(0, 0xf0ffffff | id << 24);
        assert_int_equal(reg_read(0), id << 24);
        assert_int_equal(reg_read(2), id << 24); /* arbitration id */
        reg_write(2, ~(id << 24));
        reg_write(1, 0);
        assert_int_equal(reg_read(2), id << 24);
        assert_int_equal(reg_read(1), 0x00170020);
    }
    for (unsigned reg = 3; reg < 0x10; reg++) {
        reg_write(reg, 0xffffffff);
        assert_int_equal(reg_read(reg), 0);
    }
    for (uint64_t offset = 0; offset < 0x100; offset += 4) {
        uint64_t v = 0x5a;
        assert_true(bus_memory(&bus, LAYOUT_IOAPIC_BASE, 4, true, &v));
        v = ~0ull;
        assert_true(bus_memory(&bus, LAYOUT_IOAPIC_BASE + offset, 4, false, &v));
        assert_int_equal(v, offset == 0 ? 0x5a : 0);
        v = ~0ull; /* the page repeats each 256 bytes */
        assert_true(bus_memory(&bus, LAYOUT_IOAPIC_BASE + 0xf00 + offset, 4, false, &v));
        assert_int_equal(v, offset == 0 ? 0x5a : 0);
    }
}

/* An MSI's address and data (SDM vol. 3, 11.11). */
static void messages_of_msi(void **state)
{
    (void)state;
    struct interrupt_message m;
    assert_false(interrupt_message_of_msi(0xfed00000, 0x41, &m));
    assert_false(interrupt_message_of_msi(0xfef00000, 0x41, &m));
    assert_false(interrupt_message_of_msi(0x1fee00000, 0x41, &m));
    for (unsigned i = 0; i < 2000; i++) {
        uint32_t dest = any(256), logical = any(2), mode = any(8), vector = any(256), level = any(2), assert = any(2);
        uint64_t address = 0xfee00000 | dest << 12 | logical << 2 | any(2) << 3 | any(4) | any(256) << 4;
        uint32_t data = vector | mode << 8 | assert << 14 | level << 15 | any(65536) << 16 | any(8) << 11;
        assert_true(interrupt_message_of_msi(address, data, &m));
        assert_true(m.dest == dest && m.dest_logical == logical && m.delivery_mode == mode && m.vector == vector);
        assert_true(m.level_triggered == level && m.level == (assert || !level));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup(registers, setup),
                                       cmocka_unit_test_setup(edges, setup),
                                       cmocka_unit_test_setup(level_cycle, setup),
                                       cmocka_unit_test_setup(router, setup),
                                       cmocka_unit_test_setup(against_a_model, setup),
                                       cmocka_unit_test_setup(other_registers, setup),
                                       cmocka_unit_test(messages_of_msi)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
