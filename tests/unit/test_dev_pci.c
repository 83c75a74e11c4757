// SPDX-License-Identifier: Apache-2.0
/* PCI: probing by both mechanisms, sizing and moving BARs, capabilities, INTx. */
// sources: vmm/devices/bus.c vmm/stream.c vmm/memory.c vmm/devices/pci.c
#include "dev_test.h"
#include "vmm/devices/layout.h"
#include "vmm/devices/pci.h"

static struct bus bus;
static struct pci pci;
static struct pci_function f, g;
static struct lines lines;
static unsigned writes, port_calls, memory_calls;
static uint64_t last_at;

static void on_port(void *device, uint16_t port, unsigned size, bool is_write, uint32_t *value)
{
    struct pci_function *function = device;
    (void)size;
    port_calls++;
    last_at = port - function->bar[0].base;
    if (!is_write)
        *value = 0x12345678;
}

static void on_memory(void *device, uint64_t offset, unsigned size, bool is_write, uint64_t *value)
{
    (void)device, (void)size;
    memory_calls++;
    last_at = offset;
    if (!is_write)
        *value = 0x1122334455667788ull;
}

static void on_written(void *context, unsigned offset, unsigned size)
{
    (void)context;
    assert_true(offset + size <= PCI_CONFIG_BYTES);
    writes++;
}

static void select_reg(unsigned devfn, unsigned reg)
{
    outl(&bus, 0xcf8, 0x80000000u | devfn << 8 | (reg & 0xfc));
}

static uint32_t rd(unsigned devfn, unsigned reg)
{
    select_reg(devfn, reg);
    return inl(&bus, 0xcfc);
}

static void wr(unsigned devfn, unsigned reg, uint32_t value)
{
    select_reg(devfn, reg);
    outl(&bus, 0xcfc, value);
}

static bool memory_read(uint64_t gpa, unsigned size, uint64_t *v)
{
    return bus_memory(&bus, gpa, size, false, v);
}

static int setup(void **state)
{
    (void)state;
    struct irq_sink irq = {.gsi = lines_gsi, .context = &lines};
    memset(&lines, 0, sizeof lines);
    writes = port_calls = memory_calls = 0;
    bus_init(&bus);
    assert_int_equal(pci_init(&pci, &bus, &irq), OK);
    pci_function_init(&f, &(struct pci_identity){.vendor = 0x1af4,
                                                 .device = 0x1042,
                                                 .class_code = 0x018000,
                                                 .revision = 1,
                                                 .subsystem_vendor = 0x1af4,
                                                 .subsystem = 2});
    f.written = on_written;
    assert_int_equal(
        pci_bar_init(&f, 0, 0, &(struct pci_bar){.kind = PCI_BAR_IO, .size = 64, .port = on_port, .device = &f}), OK);
    assert_int_equal(
        pci_bar_init(&f, 1, 0,
                     &(struct pci_bar){.kind = PCI_BAR_MEM32, .size = 4096, .memory = on_memory, .device = &f}),
        OK);
    assert_int_equal(
        pci_bar_init(
            &f, 4, 0,
            &(struct pci_bar){
                .kind = PCI_BAR_MEM64, .prefetchable = true, .size = 16384, .memory = on_memory, .device = &f}),
        OK);
    return 0;
}

static void probing(void **state)
{
    (void)state;
    uint64_t v;
    /* Linux's check of mechanism 1: a byte write to 0xcfb changes nothing, the enable bit can be read back */
    outb(&bus, 0xcfb, 0x01);
    outl(&bus, 0xcf8, 0x80000000);
    assert_int_equal(inl(&bus, 0xcf8), 0x80000000);
    assert_int_equal(inw(&bus, 0xcf8), 0xffff);
    outl(&bus, 0xcf8, 0xffffffff);
    assert_int_equal(inl(&bus, 0xcf8), 0x80fffffc);
    assert_int_equal(rd(0, 8) >> 8, 0x060000);
    assert_int_equal(rd(0xf8, 8) >> 8, 0x060100);
    assert_int_equal(rd(8, 0), 0xffffffff);
    outl(&bus, 0xcf8, 0);
    assert_int_equal(inl(&bus, 0xcfc), 0xffffffff); /* not enabled */
    outl(&bus, 0xcf8, 0x80010000);
    assert_int_equal(inl(&bus, 0xcfc), 0xffffffff); /* no bus 1 */
    assert_int_equal(pci_add(&pci, &f, 3 << 3, 1), OK);
    assert_int_equal(rd(3 << 3, 0), 0x10421af4);
    select_reg(3 << 3, 0);
    assert_int_equal(inw(&bus, 0xcfe), 0x1042);
    assert_int_equal(inb(&bus, 0xcfd), 0x1a);
    assert_int_equal(inw(&bus, 0xcfd), 0x421a);
    /* ECAM shows the same */
    assert_true(memory_read(LAYOUT_ECAM_BASE + (3 << 15), 4, &v));
    assert_int_equal(v, 0x10421af4);
    assert_true(memory_read(LAYOUT_ECAM_BASE + (3 << 15) + 2, 2, &v));
    assert_int_equal(v, 0x1042);
    assert_true(memory_read(LAYOUT_ECAM_BASE + (3 << 15), 8, &v));
    assert_int_equal(v, 0x0000000010421af4ull);
    assert_true(memory_read(LAYOUT_ECAM_BASE + (3 << 15) + 0x100, 4, &v));
    assert_int_equal(v, 0);
    assert_true(memory_read(LAYOUT_ECAM_BASE + (4 << 15), 4, &v));
    assert_int_equal(v, 0xffffffff);
    v = 0xffffffff;
    for (uint64_t offset = 0; offset < LAYOUT_ECAM_BYTES; offset += 1 + offset % 5) {
        (void)bus_memory(&bus, LAYOUT_ECAM_BASE + offset, 4, true, &v);
        uint64_t r;
        (void)memory_read(LAYOUT_ECAM_BASE + offset, 4, &r);
    }
    assert_int_equal(rd(3 << 3, 0), 0x10421af4); /* read-only all the same */
    assert_int_equal(rd(3 << 3, 4) & 0xffff, 0x0547);
}

static void bars(void **state)
{
    (void)state;
    unsigned d = 3 << 3;
    uint64_t v;
    assert_int_equal(pci_add(&pci, &f, (uint8_t)d, 1), OK);
    wr(d, 0x10, 0xffffffff);
    assert_int_equal(rd(d, 0x10), 0xffffffc1);
    wr(d, 0x14, 0xffffffff);
    assert_int_equal(rd(d, 0x14), 0xfffff000);
    wr(d, 0x18, 0xffffffff);
    assert_int_equal(rd(d, 0x18), 0);
    wr(d, 0x20, 0xffffffff);
    wr(d, 0x24, 0xffffffff);
    assert_int_equal(rd(d, 0x20), 0xffffc00c);
    assert_int_equal(rd(d, 0x24), 0xffffffff);
    wr(d, 0x10, 0xc000);
    wr(d, 0x14, 0xc0000000);
    wr(d, 0x20, 0xc0004000);
    wr(d, 0x24, 0x1);
    assert_false(memory_read(0xc0000000, 4, &v)); /* not decoding yet */
    wr(d, 0x04, 0x7);
    assert_int_equal(inl(&bus, 0xc004), 0x12345678);
    assert_int_equal(last_at, 4);
    assert_true(memory_read(0xc0000ff8, 8, &v));
    assert_int_equal(v, 0x1122334455667788ull);
    assert_int_equal(last_at, 0xff8);
    assert_true(memory_read(0x1c0007ffc, 4, &v));
    assert_int_equal(last_at, 0x3ffc);
    assert_false(memory_read(0x1c0008000, 4, &v));
    assert_false(memory_read(0xc0004000, 4, &v));
    /* moving while decoding */
    wr(d, 0x14, 0xc0010000);
    assert_false(memory_read(0xc0000000, 4, &v));
    assert_true(memory_read(0xc0010000, 4, &v));
    /* a taken place is refused, and left again without harm */
    wr(d, 0x14, LAYOUT_ECAM_BASE);
    assert_true(memory_read(LAYOUT_ECAM_BASE, 4, &v));
    assert_int_equal(v, 0x00081b36);
    wr(d, 0x14, 0xc0020000);
    assert_true(memory_read(0xc0020000, 4, &v));
    /* sizing with decoding on: the pattern is not a place */
    wr(d, 0x14, 0xffffffff);
    assert_false(memory_read(0xfffff000, 4, &v));
    wr(d, 0x14, 0xc0020000);
    wr(d, 0x04, 0x0);
    assert_false(memory_read(0xc0020000, 4, &v));
    assert_false(bus_port(&bus, 0xc004, 4, false, &(uint32_t){0}));
    assert_true(writes > 10);
    /* byte by byte, anything at all */
    for (unsigned i = 0; i < 20000; i++) {
        select_reg(d, i * 7 & 0xff);
        outb(&bus, (uint16_t)(0xcfc + i % 4), i * 2654435761u >> 24);
    }
    assert_true(bus.memories <= 3 + 1);
}

static void bad_descriptions(void **state)
{
    (void)state;
    assert_int_equal(
        pci_bar_init(&f, 6, 0, &(struct pci_bar){.kind = PCI_BAR_IO, .size = 64, .port = on_port, .device = &f}),
        E_ARG);
    assert_int_equal(
        pci_bar_init(&f, 0, 0, &(struct pci_bar){.kind = PCI_BAR_IO, .size = 64, .port = on_port, .device = &f}),
        E_OVERLAP);
    assert_int_equal(
        pci_bar_init(&f, 5, 0, &(struct pci_bar){.kind = PCI_BAR_MEM32, .size = 64, .memory = on_memory, .device = &f}),
        E_OVERLAP);
    assert_int_equal(
        pci_bar_init(&f, 2, 0, &(struct pci_bar){.kind = PCI_BAR_MEM32, .size = 65, .memory = on_memory, .device = &f}),
        E_ARG);
    assert_int_equal(
        pci_bar_init(&f, 2, 0, &(struct pci_bar){.kind = PCI_BAR_MEM32, .size = 8, .memory = on_memory, .device = &f}),
        E_ARG);
    assert_int_equal(
        pci_bar_init(&f, 2, 0, &(struct pci_bar){.kind = PCI_BAR_MEM32, .size = 4096, .port = on_port, .device = &f}),
        E_ARG);
    assert_int_equal(
        pci_bar_init(&f, 3, 0,
                     &(struct pci_bar){.kind = PCI_BAR_MEM64, .size = 4096, .memory = on_memory, .device = &f}),
        E_OVERLAP);
    assert_int_equal(pci_add(&pci, &f, 0, 1), E_OVERLAP);
    assert_int_equal(pci_add(&pci, &f, 8, 5), E_ARG);
    assert_int_equal(pci_capability(&f, 9, NULL, NULL, 1), 0);
    assert_int_equal(pci_capability(&f, 9, NULL, NULL, 1000), 0);
    while (pci_capability(&f, 9, NULL, NULL, 16))
        ;
    assert_true(f.capability_end <= 252);
}

static void capabilities(void **state)
{
    (void)state;
    uint8_t body[10] = {0x11, 0x22}, mask[10] = {0x00, 0x80};
    assert_int_equal(pci_capability(&f, 0x11, body, mask, 12), 0x40);
    assert_int_equal(pci_capability(&f, 0x09, body, NULL, 7), 0x4c);
    assert_int_equal(pci_capability(&f, 0x09, body, NULL, 12), 0x54);
    assert_int_equal(pci_add(&pci, &f, 8, 1), OK);
    assert_int_equal(rd(8, 4) >> 16 & 0x10, 0x10);
    assert_int_equal(rd(8, 0x34) & 0xff, 0x40);
    assert_int_equal(rd(8, 0x40), 0x22114c11);
    assert_int_equal(rd(8, 0x4c) & 0xffff, 0x5409);
    assert_int_equal(rd(8, 0x54) & 0xffff, 0x0009);
    wr(8, 0x40, 0xffffffff);
    assert_int_equal(rd(8, 0x40), 0xa2114c11);
}

static void intx(void **state)
{
    (void)state;
    pci_function_init(
        &g, &(struct pci_identity){
                .vendor = 1, .device = 2, .class_code = 3, .revision = 4, .subsystem_vendor = 5, .subsystem = 6});
    assert_int_equal(pci_add(&pci, &f, 1 << 3, 1), OK);     /* slot 1 INTA: GSI 17 */
    assert_int_equal(pci_add(&pci, &g, 0 << 3 | 1, 2), OK); /* slot 0 INTB: GSI 17 */
    assert_int_equal(rd(0, 0x0c) >> 16 & 0x80, 0x80);       /* slot 0 is multi-function now */
    pci_intx(&f, true);
    pci_intx(&g, true);
    assert_true(lines.level[17]);
    assert_int_equal(lines.rises[17], 1);
    assert_int_equal(rd(1 << 3, 4) >> 16 & 8, 8);
    pci_intx(&f, false);
    assert_true(lines.level[17]);
    wr(1, 0x04, 0x400); /* INTx off */
    assert_false(lines.level[17]);
    wr(1, 0x04, 0x000);
    assert_true(lines.level[17]);
    pci_intx(&g, false);
    assert_false(lines.level[17]);
}

/* Each register of a header of type 0 (PCI 3.0, 6.1): what it begins with, and which bits a write reaches. */
static void header(void **state)
{
    (void)state;
    static const uint8_t rom[2048];
    static const struct {
        uint32_t value, writable;
    } row[64] = {
        [0x00 / 4] = {0x10421af4, 0},  [0x04 / 4] = {0, 0x547},
        [0x08 / 4] = {0x01800001, 0},  [0x0c / 4] = {0, 0xff}, /* cache line size */
        [0x10 / 4] = {1, 0xffffffc0},  [0x14 / 4] = {0, 0xfffff000},
        [0x20 / 4] = {12, 0xffffc000}, [0x24 / 4] = {0, 0xffffffff},
        [0x2c / 4] = {0x00021af4, 0},  [0x30 / 4] = {0, 0xfffff801}, /* the ROM, and whether it decodes */
        [0x3c / 4] = {0x100, 0xff},                                  /* INTA; the line is remembered */
    };
    assert_int_equal(pci_rom_init(&f, rom, sizeof rom), OK);
    assert_int_equal(pci_add(&pci, &f, 3 << 3, 1), OK);
    for (unsigned reg = 0; reg < 256; reg += 4) {
        if (reg != 0x30)
            assert_int_equal(rd(3 << 3, reg), row[reg / 4].value);
        else
            assert_int_equal(rd(3 << 3, reg), 0xc0300000); /* allocated: the third MiB is this slot's */
        wr(3 << 3, reg, 0xffffffff);
        assert_int_equal(rd(3 << 3, reg), row[reg / 4].value | row[reg / 4].writable);
        wr(3 << 3, reg, 0);
        assert_int_equal(rd(3 << 3, reg), row[reg / 4].value);
    }
}

/* Every slot and pin has its line: they turn by one from slot to slot, as _PRT tells. */
static void swizzle(void **state)
{
    (void)state;
    for (unsigned slot = 1; slot < 31; slot++)
        for (unsigned pin = 0; pin <= 4; pin++) {
            setup(NULL);
            assert_int_equal(pci_add(&pci, &f, (uint8_t)(slot << 3), pin), OK);
            pci_intx(&f, true);
            assert_int_equal(rd(slot << 3, 4) >> 16 & 8, 8);
            for (unsigned gsi = 0; gsi < GSI_COUNT; gsi++)
                assert_int_equal(lines.level[gsi], pin != 0 && gsi == 16 + (slot + pin - 1) % 4);
            pci_intx(&f, false);
            assert_int_equal(rd(slot << 3, 4) >> 16 & 0xff, 0);
            for (unsigned gsi = 0; gsi < GSI_COUNT; gsi++)
                assert_false(lines.level[gsi]);
        }
}

/* Which BARs there can be. */
static void descriptions(void **state)
{
    (void)state;
    static const struct {
        enum pci_bar_kind kind;
        unsigned index;
        uint64_t size, address;
        enum error error;
    } row[] = {
        {PCI_BAR_IO, 2, 4, 0, OK},
        {PCI_BAR_IO, 2, 2, 0, E_ARG},
        {PCI_BAR_IO, 2, 256, 0, OK},
        {PCI_BAR_IO, 2, 512, 0, E_ARG},
        {PCI_BAR_IO, 2, 4, 0xfffc, OK},
        {PCI_BAR_IO, 2, 4, 0x10000, E_ARG},
        {PCI_BAR_IO, 2, 4, 2, E_ARG},
        {PCI_BAR_MEM32, 2, 16, 0, OK},
        {PCI_BAR_MEM32, 2, 0, 0, E_ARG},
        {PCI_BAR_MEM32, 2, 48, 0, E_ARG},
        {PCI_BAR_MEM32, 2, 0x80000000, 0, OK},
        {PCI_BAR_MEM32, 2, 0x100000000, 0, E_ARG},
        {PCI_BAR_MEM32, 2, 0x1000, 0xfffff000, OK},
        {PCI_BAR_MEM32, 2, 0x1000, 0x100000000, E_ARG},
        {PCI_BAR_MEM32, 2, 0x1000, 0x800, E_ARG},
        {PCI_BAR_MEM64, 2, 0x100000000, 0x100000000, OK},
        {PCI_BAR_MEM64, 2, 8, 0, E_ARG},
        {PCI_BAR_MEM64, 5, 16, 0, E_ARG},
        {PCI_BAR_MEM64, 1, 16, 0, E_OVERLAP},
        {PCI_BAR_NONE, 2, 16, 0, E_ARG},
        {PCI_BAR_UPPER, 2, 16, 0, E_ARG},
        {PCI_BAR_MEM32, 6, 16, 0, E_ARG},
    };
    for (unsigned i = 0; i < sizeof row / sizeof row[0]; i++) {
        struct pci_bar bar = {.kind = row[i].kind, .size = row[i].size, .device = &f};
        if (row[i].kind == PCI_BAR_IO)
            bar.port = on_port;
        else
            bar.memory = on_memory;
        setup(NULL);
        assert_int_equal(pci_bar_init(&f, row[i].index, row[i].address, &bar), row[i].error);
    }
    static const uint8_t rom[0x20000];
    static const struct {
        uint64_t size;
        enum error error;
    } roms[] = {{1024, E_ARG}, {2048, OK}, {3000, E_ARG}, {0x10000, OK}, {0x20000, E_ARG}};
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(pci_rom_init(&f, rom, roms[i].size), roms[i].error);
    assert_int_equal(pci_rom_init(&f, NULL, 2048), E_ARG);
}

/* A BAR decodes where it is told to, all of it and nothing else, while the command register lets it. */
static void decoding(void **state)
{
    (void)state;
    uint64_t v;
    uint32_t p;
    assert_int_equal(pci_add(&pci, &f, 3 << 3, 1), OK);
    wr(3 << 3, 0x10, 0xc001);
    wr(3 << 3, 0x14, 0xc0000000);
    wr(3 << 3, 0x20, 0x00000000);
    wr(3 << 3, 0x24, 0x00000001); /* 4 GiB */
    for (unsigned command = 0; command < 4; command++) {
        bool ports = command & 1, memory = command & 2;
        wr(3 << 3, 4, command);
        assert_int_equal(bus_port(&bus, 0xc000, 4, false, &p) != 0, ports);
        assert_int_equal(bus_port(&bus, 0xc03c, 4, false, &p) != 0, ports);
        assert_false(bus_port(&bus, 0xbffc, 4, false, &p) || bus_port(&bus, 0xc040, 4, false, &p));
        assert_int_equal(memory_read(0xc0000000, 4, &v), memory);
        assert_int_equal(memory_read(0xc0000ffc, 4, &v), memory);
        assert_int_equal(memory_read(0x100000000, 4, &v), memory);
        assert_int_equal(memory_read(0x100003ffc, 4, &v), memory);
        assert_false(memory_read(0xbffffffc, 4, &v) || memory_read(0xc0001000, 4, &v));
        assert_false(memory_read(0xfffffffc, 4, &v) || memory_read(0x100004000, 4, &v));
    }
    wr(3 << 3, 0x14, 0); /* at 0, or where it is sized: nowhere */
    assert_false(memory_read(0, 4, &v) || memory_read(0xc0000000, 4, &v));
    wr(3 << 3, 0x14, 0xffffffff);
    assert_false(memory_read(0xfffff000, 4, &v));
    wr(3 << 3, 0x14, 0xffffe000);
    assert_true(memory_read(0xffffe000, 4, &v));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup(probing, setup),
                                       cmocka_unit_test_setup(bars, setup),
                                       cmocka_unit_test_setup(bad_descriptions, setup),
                                       cmocka_unit_test_setup(capabilities, setup),
                                       cmocka_unit_test_setup(intx, setup),
                                       cmocka_unit_test_setup(header, setup),
                                       cmocka_unit_test(swizzle),
                                       cmocka_unit_test(descriptions),
                                       cmocka_unit_test_setup(decoding, setup)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
