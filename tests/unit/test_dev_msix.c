// SPDX-License-Identifier: Apache-2.0
/* MSI-X: masks of vectors and of the function, pending bits, what guests write where they should not. */
// sources: vmm/devices/bus.c vmm/stream.c vmm/memory.c vmm/devices/pci.c vmm/devices/msix.c vmm/devices/irq.c vmm/devices/ioapic.c vmm/devices/pic.c
#include "dev_test.h"
#include "vmm/devices/msix.h"

#define AT    (f.bar[1].base)
#define DEVFN (1u << 3)
#define COUNT 5u

static struct bus bus;
static struct pci pci;
static struct pci_function f;
static struct msix msix;
static struct lines lines;
static unsigned sent;
static struct interrupt_message last;

static void deliver(void *context, const struct interrupt_message *message)
{
    assert_ptr_equal(context, &lines);
    sent++;
    last = *message;
}

static void written(void *context, unsigned offset, unsigned size)
{
    msix_config_written(context, offset, size);
}

static uint64_t rd(uint64_t offset, unsigned size)
{
    uint64_t v = 0;
    assert_true(bus_memory(&bus, AT + offset, size, false, &v));
    return v;
}

static void wr(uint64_t offset, unsigned size, uint64_t v)
{
    assert_true(bus_memory(&bus, AT + offset, size, true, &v));
}

static void set_control(unsigned bits)
{
    outl(&bus, 0xcf8, 0x80000000u | DEVFN << 8 | msix.capability);
    outw(&bus, 0xcfe, bits);
}

static void entry(unsigned vector, uint64_t address, uint32_t data, uint32_t control)
{
    wr(16 * vector, 4, address);
    wr(16 * vector + 4, 4, address >> 32);
    wr(16 * vector + 8, 4, data);
    wr(16 * vector + 12, 4, control);
}

static int setup(void **state)
{
    (void)state;
    const struct irq_sink irq = {.gsi = lines_gsi, .context = &lines};
    sent = 0;
    bus_init(&bus);
    assert_int_equal(pci_init(&pci, &bus, &irq), OK);
    pci_function_init(&f, &(struct pci_identity){.vendor = 0x1af4,
                                                 .device = 0x1110,
                                                 .class_code = 0x050000,
                                                 .revision = 1,
                                                 .subsystem_vendor = 0x1af4,
                                                 .subsystem = 0x1100});
    f.written = written;
    f.context = &msix;
    assert_int_equal(msix_init(&msix, &f, 1, COUNT, deliver, &lines), OK);
    f.config[4] |= 2;
    assert_int_equal(pci_add(&pci, &f, DEVFN, 0), OK);
    return 0;
}

static void test_capability(void **state)
{
    (void)state;
    outl(&bus, 0xcf8, 0x80000000u | DEVFN << 8 | msix.capability);
    assert_int_equal(inl(&bus, 0xcfc), 0x11 | (COUNT - 1) << 16);
    outl(&bus, 0xcfc, 0xffffffff);
    assert_int_equal(inl(&bus, 0xcfc), 0x11 | (0xc000u | (COUNT - 1)) << 16);
    outl(&bus, 0xcf8, 0x80000000u | DEVFN << 8 | (msix.capability + 4));
    outl(&bus, 0xcfc, 0xffffffff);
    assert_int_equal(inl(&bus, 0xcfc), 1);
    outl(&bus, 0xcf8, 0x80000000u | DEVFN << 8 | (msix.capability + 8));
    outl(&bus, 0xcfc, 0xffffffff);
    assert_int_equal(inl(&bus, 0xcfc), MSIX_PBA | 1);
    struct msix other;
    struct pci_function g = f;
    assert_int_equal(msix_init(&other, &g, 0, 0, deliver, NULL), E_ARG);
    assert_int_equal(msix_init(&other, &g, 0, MSIX_VECTORS_MAX + 1, deliver, NULL), E_ARG);
    assert_int_equal(msix_init(&other, &g, 1, 1, deliver, NULL), E_OVERLAP);
    g.capability_end = 250;
    assert_int_equal(msix_init(&other, &g, 0, 1, deliver, NULL), E_QUOTA);
}

static void test_messages(void **state)
{
    (void)state;
    for (unsigned v = 0; v < COUNT; v++)
        assert_int_equal(rd(16 * v + 12, 4), 1); /* masked at first */
    entry(2, 0xfee03000, 0x4041, 0);
    msix_raise(&msix, 2); /* off: lost */
    set_control(0x8000);
    assert_int_equal(sent, 0);
    assert_true(msix_on(&msix));
    msix_raise(&msix, 2);
    assert_int_equal(sent, 1);
    assert_int_equal(last.vector, 0x41);
    assert_int_equal(last.dest, 3);
    assert_false(last.dest_logical || last.level_triggered);
    assert_int_equal(last.delivery_mode, DELIVER_FIXED);
    msix_raise(&msix, COUNT);
    msix_raise(&msix, ~0u);
    assert_int_equal(sent, 1);
    entry(2, 0xfee03004, 0x0141, 0); /* read anew each time */
    msix_raise(&msix, 2);
    assert_true(last.dest_logical);
    assert_int_equal(last.delivery_mode, DELIVER_LOWEST);
    entry(2, 0x1000, 0x41, 0); /* somewhere in memory */
    msix_raise(&msix, 2);
    entry(2, 0x1fee03000, 0x41, 0);
    msix_raise(&msix, 2);
    assert_int_equal(sent, 2);
    assert_int_equal(msix.pending, 0);
}

static void test_masks(void **state)
{
    (void)state;
    set_control(0x8000);
    entry(0, 0xfee00000, 0x30, 1);
    entry(4, 0xfee00000, 0x34, 0);
    msix_raise(&msix, 0);
    msix_raise(&msix, 0);
    assert_int_equal(sent, 0);
    assert_int_equal(rd(MSIX_PBA, 4), 1);
    set_control(0xc000);
    msix_raise(&msix, 4);
    assert_int_equal(sent, 0);
    assert_int_equal(rd(MSIX_PBA, 8), 0x11);
    wr(12, 4, 0xfffffffe); /* vector 0 is free, the function is not */
    assert_int_equal(rd(12, 4), 0);
    assert_int_equal(sent, 0);
    set_control(0x4000); /* off, and free */
    set_control(0x0000);
    assert_int_equal(sent, 0);
    set_control(0x8000);
    assert_int_equal(sent, 2);
    assert_int_equal(last.vector, 0x34);
    assert_int_equal(rd(MSIX_PBA, 8), 0);
    wr(12, 4, 1);
    msix_raise(&msix, 0);
    wr(8, 8, 0x35); /* data and control at once */
    assert_int_equal(sent, 3);
    assert_int_equal(last.vector, 0x35);
}

static void test_wild_accesses(void **state)
{
    (void)state;
    wr(MSIX_PBA, 8, ~0ull);
    assert_int_equal(rd(MSIX_PBA, 8), 0);
    assert_int_equal(msix.pending, 0);
    wr(0, 4, 0xffffffff);
    assert_int_equal(rd(0, 4), 0xfffffffc);
    wr(0, 1, 0);
    wr(2, 2, 0);
    assert_int_equal(rd(0, 4), 0xfffffffc);
    assert_int_equal(rd(0, 1), 0);
    wr(2, 4, 0); /* not aligned */
    assert_int_equal(rd(0, 4), 0xfffffffc);
    uint32_t seed = 1;
    set_control(0x8000);
    for (unsigned i = 0; i < 200000; i++) {
        seed = seed * 1664525 + 1013904223;
        uint64_t offset = seed >> 8 & 0xfff, v = (uint64_t)seed << 32 | seed * 7u;
        unsigned size = 1u << (seed >> 20 & 3);
        (void)bus_memory(&bus, AT + offset, size, (seed >> 24 & 1) != 0, &v);
        msix_raise(&msix, seed >> 16 & 7);
        if (i % 64 == 0)
            set_control(seed >> 16);
        assert_true(msix.pending < 1u << COUNT);
    }
    for (unsigned v = COUNT; v < MSIX_PBA / 16; v++)
        assert_int_equal(rd(16 * v, 8), 0);
    for (unsigned v = COUNT; v < MSIX_VECTORS_MAX; v++)
        for (unsigned w = 0; w < MSIX_WORDS; w++)
            assert_int_equal(msix.table[v][w], 0);
    assert_int_equal(rd(0xff8, 8), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_capability, setup), cmocka_unit_test_setup(test_messages, setup),
        cmocka_unit_test_setup(test_masks, setup), cmocka_unit_test_setup(test_wild_accesses, setup)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
