// SPDX-License-Identifier: Apache-2.0
/* What has become of a line's last rise: asked of both interrupt controllers. The local APICs are made up. */
// sources: vmm/devices/bus.c vmm/stream.c vmm/memory.c vmm/devices/ioapic.c vmm/devices/irq.c vmm/devices/irq_fate.c
// sources: vmm/devices/pic.c
#include "dev_test.h"
#include "vmm/devices/ioapic.h"
#include "vmm/devices/lapic.h"
#include "vmm/devices/layout.h"
#include "vmm/devices/pic.h"

static struct bus bus;
static struct pic pic;
static struct ioapic io;
static struct apic_set apics;
static const struct irq_router router = {.pic = &pic, .ioapic = &io, .apics = &apics};
static int asked;

bool apic_set_asks(const struct apic_set *set, uint8_t vector)
{
    assert_ptr_equal(set, &apics);
    return vector == asked;
}

static int setup(void **state)
{
    (void)state;
    bus_init(&bus);
    asked = -1;
    assert_int_equal(pic_init(&pic, &bus, NULL, NULL), OK);
    assert_int_equal(ioapic_init(&io, &bus, LAYOUT_IOAPIC_BASE, NULL, NULL), OK);
    static const uint8_t words[][2] = {{0x20, 0x11}, {0x21, 0x20}, {0x21, 4}, {0x21, 1}, {0x21, 0xff},
                                       {0xa0, 0x11}, {0xa1, 0x28}, {0xa1, 2}, {0xa1, 1}, {0xa1, 0xff}};
    for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        outb(&bus, words[i][0], words[i][1]);
    return 0;
}

static void through_the_pic(void **state)
{
    (void)state;
    assert_int_equal(irq_router_fate(&router, 0), IRQ_MASKED);
    outb(&bus, 0x21, 0xfe);
    assert_int_equal(irq_router_fate(&router, 0), IRQ_TAKEN);
    irq_router_gsi((void *)(uintptr_t)&router, 0, true);
    assert_int_equal(irq_router_fate(&router, 0), IRQ_WAITS);
    assert_int_equal(pic_inta(&pic), 0x20);
    assert_int_equal(irq_router_fate(&router, 0), IRQ_TAKEN); /* in service: the next one will wait its turn */
    irq_router_gsi((void *)(uintptr_t)&router, 0, false);
    irq_router_gsi((void *)(uintptr_t)&router, 0, true);
    outb(&bus, 0x21, 0xff);
    assert_int_equal(irq_router_fate(&router, 0), IRQ_MASKED); /* latched all the same */
}

static void through_the_ioapic(void **state)
{
    (void)state;
    uint64_t select = 0x10 + 2 * LAYOUT_PIT_PIN, entry = 0x10030; /* masked, vector 0x30 */
    assert_true(bus_memory(&bus, LAYOUT_IOAPIC_BASE, 4, true, &select));
    assert_true(bus_memory(&bus, LAYOUT_IOAPIC_BASE + 0x10, 4, true, &entry));
    asked = 0x30;
    assert_int_equal(irq_router_fate(&router, 0), IRQ_MASKED);
    entry = 0x30;
    assert_true(bus_memory(&bus, LAYOUT_IOAPIC_BASE + 0x10, 4, true, &entry));
    assert_int_equal(irq_router_fate(&router, 0), IRQ_WAITS);
    asked = 0x31;
    assert_int_equal(irq_router_fate(&router, 0), IRQ_TAKEN);
    entry = 0x730; /* ExtINT: the PIC says */
    assert_true(bus_memory(&bus, LAYOUT_IOAPIC_BASE + 0x10, 4, true, &entry));
    assert_int_equal(irq_router_fate(&router, 0), IRQ_MASKED);
    assert_int_equal(irq_router_fate(&router, 8), IRQ_MASKED);
    assert_int_equal(irq_router_fate(&router, 40), IRQ_MASKED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup(through_the_pic, setup),
                                       cmocka_unit_test_setup(through_the_ioapic, setup)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
