// SPDX-License-Identifier: Apache-2.0
/* A PCI device with all that one can ask for: a slot and BARs that follow from its number, INTx, MSI, an option ROM. */
// sources: vmm/devices/bus.c vmm/stream.c vmm/memory.c vmm/devices/pci.c vmm/devices/msi.c vmm/devices/uart.c
// sources: vmm/test/pciserial.c vmm/devices/irq.c vmm/devices/ioapic.c vmm/devices/pic.c
#include "dev_test.h"
#include "vmm/devices/layout.h"
#include "vmm/devices/msi.h"
#include "vmm/devices/uart.h"

#define DEVFN 0x28u /* slot 5 */
#define IO    (LAYOUT_PCI_IO_BASE + 5 * LAYOUT_PCI_IO_SLOT)
#define GSI   17u /* INTA of slot 5: 16 + (5 + 0) % 4 */
#define PAGE  (LAYOUT_PCI_MMIO_BASE + 5 * LAYOUT_PCI_SLOT_BYTES)
#define ROM   (PAGE + 0x1000)

extern const struct device pci_serial_device;

static struct bus bus;
static struct pci pci;
static struct lines lines;
static struct interrupt_message last;
static unsigned messages;
static uint8_t state[8192] __attribute__((aligned(64)));

static void on_message(void *context, const struct interrupt_message *m)
{
    (void)context;
    last = *m;
    messages++;
}

static void wr(unsigned devfn, unsigned reg, uint32_t value)
{
    outl(&bus, 0xcf8, 0x80000000u | devfn << 8 | (reg & 0xfc));
    outl(&bus, 0xcfc, value);
}

static uint32_t rd(unsigned devfn, unsigned reg)
{
    outl(&bus, 0xcf8, 0x80000000u | devfn << 8 | (reg & 0xfc));
    return inl(&bus, 0xcfc);
}

static int setup(void **unused)
{
    (void)unused;
    static const struct vmm_boot boot = {.options.bench_device = 1};
    const struct irq_sink irq = {.gsi = lines_gsi, .context = &lines};
    memset(&lines, 0, sizeof lines);
    messages = 0;
    bus_init(&bus);
    assert_int_equal(pci_init(&pci, &bus, &irq), OK);
    memset(state, 0, sizeof state);
    const struct platform platform = {.boot = &boot, .bus = &bus, .pci = &pci, .message = on_message};
    assert_true(pci_serial_device.bytes <= sizeof state);
    assert_int_equal(pci_serial_device.count(&boot), 1);
    assert_int_equal(pci_serial_device.init(state, &platform, 0), OK);
    return 0;
}

static void found_with_addresses(void **unused)
{
    (void)unused;
    assert_int_equal(rd(DEVFN, 0), 0x00021b36);
    assert_int_equal(rd(DEVFN, 8) >> 8, 0x070002);
    assert_int_equal(rd(DEVFN, 0x10), IO | 1);
    assert_int_equal(rd(DEVFN, 0x14), PAGE);
    assert_int_equal(rd(DEVFN, 0x30), ROM);
    assert_int_equal(rd(DEVFN, 0x3c) >> 8 & 0xff, 1); /* INTA */
    uint32_t value = 0;
    assert_false(bus_port(&bus, IO + 5, 1, false, &value)); /* not decoded yet */
    wr(DEVFN, 4, 1);
    assert_int_equal(inb(&bus, IO + 5), 0x60);
}

static void say(const char *text)
{
    for (; *text; text++)
        outb(&bus, IO, (uint8_t)*text);
}

static void line_by_intx(void **unused)
{
    (void)unused;
    wr(DEVFN, 4, 1);
    outb(&bus, IO + 2, 0x01); /* FIFO */
    outb(&bus, IO + 1, 0x01); /* an interrupt for what comes */
    assert_false(lines.level[GSI]);
    say("ab");
    assert_false(lines.level[GSI]); /* half a line stays there */
    say("\n");
    assert_true(lines.level[GSI]);
    assert_int_equal(rd(DEVFN, 4) >> 16 & 8, 8); /* status: interrupt */
    wr(DEVFN, 4, 0x401);                         /* INTx off: the line falls, the status stays */
    assert_false(lines.level[GSI]);
    assert_int_equal(rd(DEVFN, 4) >> 16 & 8, 8);
    wr(DEVFN, 4, 1);
    assert_true(lines.level[GSI]);
    assert_int_equal(inb(&bus, IO), 'a');
    assert_int_equal(inb(&bus, IO), 'b');
    assert_true(lines.level[GSI]);
    assert_int_equal(inb(&bus, IO), '\n');
    assert_false(lines.level[GSI]);
    assert_int_equal(lines.rises[GSI], 2);
    assert_int_equal(messages, 0);
}

static void message_by_msi(void **unused)
{
    (void)unused;
    unsigned at = rd(DEVFN, 0x34) & 0xff;
    wr(DEVFN, 4, 1);
    assert_int_equal(rd(DEVFN, at) & 0xff, 5);
    wr(DEVFN, at + 4, 0xfee01000u);
    wr(DEVFN, at + 8, 0);
    wr(DEVFN, at + 12, 0x41);
    wr(DEVFN, at, 0x10000);
    outb(&bus, IO + 1, 0x01);
    say("x\n");
    assert_int_equal(messages, 1);
    assert_true(last.vector == 0x41 && last.dest == 1 && !last.level_triggered);
    assert_false(lines.level[GSI]);
    wr(DEVFN, at + 4, 0x12340000); /* no interrupt's address: nothing happens */
    (void)inb(&bus, IO);
    (void)inb(&bus, IO);
    say("y\n");
    assert_int_equal(messages, 1);
}

static void option_rom(void **unused)
{
    (void)unused;
    uint64_t value = 0;
    wr(DEVFN, 4, 2);
    assert_false(bus_memory(&bus, ROM, 2, false, &value)); /* not switched on */
    wr(DEVFN, 0x30, 0xffffffff);
    assert_int_equal(rd(DEVFN, 0x30), 0xfffff801); /* 2 KiB */
    wr(DEVFN, 0x30, ROM | 1);
    assert_true(bus_memory(&bus, ROM, 2, false, &value));
    assert_int_equal(value, 0xaa55);
    value = 0;
    assert_true(bus_memory(&bus, ROM, 8, true, &value)); /* it is read-only */
    assert_true(bus_memory(&bus, ROM + 0x1c, 4, false, &value));
    assert_int_equal(value, 0x52494350); /* PCIR */
    assert_true(bus_memory(&bus, ROM + 2040, 8, false, &value));
    assert_int_equal(value, 0);
    assert_false(bus_memory(&bus, ROM + 2048, 1, false, &value));
    wr(DEVFN, 0x30, 0xc7000001);
    assert_true(bus_memory(&bus, 0xc7000000, 1, false, &value));
    wr(DEVFN, 4, 0);
    assert_false(bus_memory(&bus, 0xc7000000, 1, false, &value));
}

/* A kind's numbers have places of their own, all different, and none is another kind's. */
static void places(void **unused)
{
    (void)unused;
    bool taken[256] = {[0] = true, [LAYOUT_SLOT_ISA << 3] = true};
    unsigned all = 0;
    for (enum pci_kind kind = 0; kind < PCI_KINDS; kind++) {
        uint8_t devfn;
        unsigned n = 0;
        for (; pci_place(kind, n, &devfn) == OK; n++) {
            assert_false(taken[devfn]);
            taken[devfn] = true;
            all++;
            uint8_t again;
            assert_true(n < 8 || (devfn & 7) != 0 || kind == PCI_KIND_SHARED);
            assert_int_equal(pci_place(kind, n, &again), OK);
            assert_int_equal(again, devfn);
        }
        assert_true(n >= 24);
    }
    assert_int_equal(all, 8 * (4 + 3 + 8 + 8 + 5));
    for (unsigned slot = 29; slot < 31; slot++) /* hot-plug */
        assert_false(taken[slot << 3]);
    uint8_t devfn;
    assert_int_equal(pci_place(PCI_KIND_SHARED, 2, &devfn), OK);
    assert_int_equal(devfn, 3 << 3);
    assert_int_equal(pci_place(PCI_KINDS, 0, &devfn), E_QUOTA);
}

static void nothing_port(void *device, uint16_t port, unsigned size, bool is_write, uint32_t *value)
{
    (void)device, (void)port, (void)size, (void)is_write, (void)value;
}
static void nothing_memory(void *device, uint64_t offset, unsigned size, bool is_write, uint64_t *value)
{
    (void)device, (void)offset, (void)size, (void)is_write, (void)value;
}

/* Small BARs follow from the slot; large ones from the order, in the window that they fit in; what does not fit is
 * nowhere. */
static void addresses(void **unused)
{
    (void)unused;
    static struct pci_function f[3];
    pci_window(&pci, 0x1000000000ull, 0x10000000);
    for (unsigned i = 0; i < 3; i++) {
        uint8_t devfn;
        pci_function_init(
            &f[i],
            &(struct pci_identity){
                .vendor = 1, .device = 2, .class_code = 3, .revision = 4, .subsystem_vendor = 5, .subsystem = 6});
        assert_int_equal(
            pci_bar_init(&f[i], 0, PCI_ALLOCATE,
                         &(struct pci_bar){.kind = PCI_BAR_MEM32, .size = 512, .memory = nothing_memory, .device = &f}),
            OK);
        assert_int_equal(
            pci_bar_init(
                &f[i], 1, PCI_ALLOCATE,
                &(struct pci_bar){.kind = PCI_BAR_MEM32, .size = 0x10000, .memory = nothing_memory, .device = &f}),
            OK);
        assert_int_equal(pci_bar_init(&f[i], 2, PCI_ALLOCATE,
                                      &(struct pci_bar){.kind = PCI_BAR_MEM64,
                                                        .prefetchable = true,
                                                        .size = 0x8000000,
                                                        .memory = nothing_memory,
                                                        .device = &f}),
                         OK);
        assert_int_equal(
            pci_bar_init(&f[i], 4, PCI_ALLOCATE,
                         &(struct pci_bar){.kind = PCI_BAR_IO, .size = 128, .port = nothing_port, .device = &f}),
            OK);
        assert_int_equal(
            pci_bar_init(&f[i], 5, PCI_ALLOCATE,
                         &(struct pci_bar){.kind = PCI_BAR_IO, .size = 256, .port = nothing_port, .device = &f}),
            OK);
        assert_int_equal(pci_place(PCI_KIND_DISK, 2 - i, &devfn), OK);
        assert_int_equal(pci_add(&pci, &f[i], devfn, 0), OK);
        uint32_t base = (uint32_t)(LAYOUT_PCI_MMIO_BASE + (10 - i) * LAYOUT_PCI_SLOT_BYTES);
        assert_int_equal(rd(devfn, 0x10), base);
        assert_int_equal(rd(devfn, 0x14), base + 0x10000);
        assert_int_equal(rd(devfn, 0x1c), i < 2 ? 0x10 : 0); /* two fit */
        assert_int_equal(rd(devfn, 0x18), i < 2 ? i * 0x8000000 + 0xc : 0xc);
        assert_int_equal(rd(devfn, 0x20), (LAYOUT_PCI_IO_BASE + (10 - i) * 256) | 1);
        assert_int_equal(rd(devfn, 0x24), 1); /* no room for both in a slot */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(found_with_addresses, setup),
        cmocka_unit_test_setup(line_by_intx, setup),
        cmocka_unit_test_setup(message_by_msi, setup),
        cmocka_unit_test_setup(option_rom, setup),
        cmocka_unit_test_setup(places, setup),
        cmocka_unit_test_setup(addresses, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
