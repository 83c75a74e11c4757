// SPDX-License-Identifier: Apache-2.0
/*
 * See vmm/firmware/mptable.h. Section numbers are those of the specification.
 */
#include "vmm/firmware/mptable.h"
#include "lib/string.h"
#include "vmm/devices/layout.h"
#include "vmm/devices/pci.h"

/* 4.1 */
struct floating_pointer {
    char signature[4];
    uint32_t table;
    uint8_t length, revision, checksum, features[5]; /* length in 16 bytes; features[1] bit 7: there is an IMCR */
} __attribute__((packed));
_Static_assert(sizeof(struct floating_pointer) == 16, "ABI");

/* 4.2 */
struct header {
    char signature[4];
    uint16_t length;
    uint8_t revision, checksum;
    char oem[8], product[12];
    uint32_t oem_table;
    uint16_t oem_size, entries;
    uint32_t lapic;
    uint16_t extended_length;
    uint8_t extended_checksum, reserved;
} __attribute__((packed));
_Static_assert(sizeof(struct header) == 44, "ABI");

/* 4.3 */
enum { ENTRY_CPU, ENTRY_BUS, ENTRY_IOAPIC, ENTRY_INTERRUPT, ENTRY_LOCAL };
struct cpu_entry {
    uint8_t type, id, version, flags;
    uint32_t signature, features, reserved[2];
} __attribute__((packed));
_Static_assert(sizeof(struct cpu_entry) == 20, "ABI");
#define CPU_ENABLED 1u
#define CPU_BOOT    2u
struct bus_entry {
    uint8_t type, id;
    char name[6];
} __attribute__((packed));
struct ioapic_entry {
    uint8_t type, id, version, flags;
    uint32_t base;
} __attribute__((packed));
struct interrupt_entry { /* also a local one, whose destination is a local APIC */
    uint8_t type, kind;
    uint16_t flags;
    uint8_t bus, source, apic, pin;
} __attribute__((packed));
_Static_assert(sizeof(struct bus_entry) == 8 && sizeof(struct ioapic_entry) == 8 && sizeof(struct interrupt_entry) == 8,
               "ABI");
#define KIND_INT         0u
#define KIND_NMI         1u
#define KIND_EXTINT      3u
#define FLAGS_BUS        0u    /* as the bus has it: ISA edge, active high; PCI level, active low */
#define FLAGS_LEVEL_HIGH 0x0du /* the SCI, as in MADT */
#define ALL_LOCAL_APICS  0xffu
#define BUS_PCI          0u
#define BUS_ISA          1u
#define ISA_INTERRUPTS   16u
#define IOAPIC_VERSION   0x20u
#define REVISION         4u /* 1.4 */
#define PCI_SLOTS        32u
#define PCI_PINS         4u

/* How long the table becomes is known before: the area holds the largest machine. */
struct writer {
    uint8_t bytes[MPTABLE_AREA_SIZE];
    uint32_t used;
    uint16_t entries;
};

static void add(struct writer *w, const void *entry, uint32_t size)
{
    memcpy(w->bytes + w->used, entry, size);
    w->used += size;
    w->entries++;
}

static uint8_t checksum(const uint8_t *bytes, uint32_t count)
{
    uint8_t sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum = (uint8_t)(sum + bytes[i]);
    return (uint8_t)(0 - sum);
}

static void add_interrupt(struct writer *w, uint16_t flags, uint8_t bus, uint8_t source, uint8_t pin)
{
    const struct interrupt_entry e = {ENTRY_INTERRUPT, KIND_INT, flags, bus, source, LAYOUT_IOAPIC_ID, pin};
    add(w, &e, sizeof e);
}

static void add_interrupts(struct writer *w)
{
    for (uint8_t irq = 0; irq < ISA_INTERRUPTS; irq++)
        if (irq != LAYOUT_PIT_PIN) /* the cascade of the two 8259s */
            add_interrupt(w, irq == LAYOUT_IRQ_SCI ? FLAGS_LEVEL_HIGH : FLAGS_BUS, BUS_ISA, irq,
                          irq == LAYOUT_IRQ_PIT ? LAYOUT_PIT_PIN : irq);
    for (uint8_t slot = 1; slot < PCI_SLOTS; slot++)
        for (uint8_t pin = 0; pin < PCI_PINS; pin++)
            add_interrupt(w, FLAGS_BUS, BUS_PCI, (uint8_t)(slot << 2 | pin), PCI_INTX_GSI((slot + pin) % PCI_PINS));
    static const struct interrupt_entry local[] = {
        {ENTRY_LOCAL, KIND_EXTINT, FLAGS_BUS, BUS_ISA, 0, 0, 0},
        {ENTRY_LOCAL, KIND_NMI, FLAGS_BUS, BUS_ISA, 0, ALL_LOCAL_APICS, 1},
    };
    add(w, &local[0], sizeof local[0]);
    add(w, &local[1], sizeof local[1]);
}

_Static_assert(sizeof(struct floating_pointer) + sizeof(struct header) + VMM_VCPUS_MAX * sizeof(struct cpu_entry) +
                       (2 + 1 + ISA_INTERRUPTS + PCI_SLOTS * PCI_PINS + 2) * 8 <=
                   MPTABLE_AREA_SIZE,
               "the largest machine fits");

enum error mptable_install(const struct guest_memory *m, const struct mptable_machine *machine)
{
    static struct writer w; /* one machine is made at a time */
    static const struct bus_entry buses[] = {{ENTRY_BUS, BUS_PCI, "PCI   "}, {ENTRY_BUS, BUS_ISA, "ISA   "}};
    if (machine->vcpus == 0 || machine->vcpus > VMM_VCPUS_MAX)
        return E_ARG;
    struct floating_pointer p = {.signature = "_MP_", .length = 1, .revision = REVISION};
    struct header h = {.signature = "PCMP",
                       .revision = REVISION,
                       .oem = "MULLION ",
                       .product = "GUEST       ",
                       .lapic = LAYOUT_LAPIC_BASE};
    w.used = sizeof p + sizeof h;
    w.entries = 0;
    for (uint32_t i = 0; i < machine->vcpus; i++) {
        const struct cpu_entry e = {.type = ENTRY_CPU,
                                    .id = (uint8_t)i,
                                    .version = machine->apic_version,
                                    .flags = CPU_ENABLED | (i == 0 ? CPU_BOOT : 0),
                                    .signature = machine->signature,
                                    .features = machine->features};
        add(&w, &e, sizeof e);
    }
    add(&w, &buses[0], sizeof buses[0]);
    add(&w, &buses[1], sizeof buses[1]);
    const struct ioapic_entry ioapic = {ENTRY_IOAPIC, LAYOUT_IOAPIC_ID, IOAPIC_VERSION, 1, LAYOUT_IOAPIC_BASE};
    add(&w, &ioapic, sizeof ioapic);
    add_interrupts(&w);

    p.table = MPTABLE_AREA + sizeof p;
    p.checksum = checksum((const uint8_t *)&p, sizeof p);
    h.entries = w.entries;
    h.length = (uint16_t)(w.used - sizeof p);
    memcpy(w.bytes, &p, sizeof p);
    memcpy(w.bytes + sizeof p, &h, sizeof h);
    h.checksum = checksum(w.bytes + sizeof p, h.length);
    memcpy(w.bytes + sizeof p, &h, sizeof h);
    return guest_write(m, MPTABLE_AREA, w.bytes, w.used);
}
