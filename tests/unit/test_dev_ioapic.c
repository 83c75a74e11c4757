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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup(registers, setup), cmocka_unit_test_setup(edges, setup),
                                       cmocka_unit_test_setup(level_cycle, setup),
                                       cmocka_unit_test_setup(router, setup)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
