// SPDX-License-Identifier: Apache-2.0
/* See pci.h. */
#include "services/root/pci.h"

#include "services/root/root.h"

typedef unsigned long long ull;

enum {
    REG_ID = 0x00,
    REG_COMMAND = 0x04,
    REG_CLASS = 0x08,
    REG_HEADER = 0x0c,
    REG_BAR = 0x10,
    REG_BUSES = 0x18, /* of a bridge */
    REG_CAPABILITIES = 0x34,
    REG_INTERRUPT = 0x3c
};
#define COMMAND_DECODE   3u /* ports, memory */
#define COMMAND_MASTER   (1u << 2)
#define COMMAND_NO_LINE  (1u << 10)
#define STATUS_LIST      (1u << 20) /* in the upper half of the command's register */
#define MULTI_FUNCTION   (1u << 23)
#define CLASS_BRIDGE     0x06u
#define BRIDGE_TO_PCI    0x0604u
#define CAP_MSI          0x05
#define CAP_EXPRESS      0x10
#define CAP_MSIX         0x11
#define MSI_ENABLE       (1u << 16)
#define MSI_COUNT        (7u << 20)
#define MSI_WIDE         (1u << 23)
#define MSIX_ENABLE      (1u << 31)
#define EXPRESS_RESET    (1u << 28) /* device capabilities: it can be reset */
#define EXPRESS_DO_RESET (1u << 15) /* device control */
#define BUSES            256

static struct pci_function functions[PCI_FUNCTIONS_MAX];
static unsigned count, left_out;

unsigned pci_count(void)
{
    return count;
}

struct pci_function *pci_function(unsigned n)
{
    return n < count ? &functions[n] : NULL;
}

struct pci_function *pci_find(uint16_t vendor, uint16_t device, unsigned n)
{
    for (unsigned i = 0; i < count; i++) {
        struct pci_function *f = &functions[i];
        if (f->vendor == vendor && f->device == device && f->owner == NULL && n-- == 0)
            return f;
    }
    return NULL;
}

/* The upper half of this register is status: zeros written there change nothing. */
static void command(const struct pci_function *f, uint32_t clear, uint32_t set)
{
    uint32_t v = pci_read(f->place, REG_COMMAND) & 0xffff;
    pci_write(f->place, REG_COMMAND, (v & ~clear) | set);
}

static void change(const struct pci_function *f, unsigned reg, uint32_t clear, uint32_t set)
{
    pci_write(f->place, reg, (pci_read(f->place, reg) & ~clear) | set);
}

static void read_capabilities(struct pci_function *f)
{
    if (!(pci_read(f->place, REG_COMMAND) & STATUS_LIST))
        return;
    unsigned at = pci_read(f->place, REG_CAPABILITIES) & 0xfc;
    for (unsigned n = 0; at >= 0x40 && n < 48; n++) { /* a list that ends, whatever the device says */
        uint32_t head = pci_read(f->place, at);
        if ((head & 0xff) == CAP_MSI)
            f->msi = (uint8_t)at;
        if ((head & 0xff) == CAP_EXPRESS)
            f->express = (uint8_t)at;
        if ((head & 0xff) == CAP_MSIX) {
            uint32_t table = pci_read(f->place, at + 4);
            f->msix = (uint8_t)at;
            f->table_bar = table & 7;
            f->table_at = table & ~7u;
            f->table_bytes = ((head >> 16 & 0x7ff) + 1) * 16;
        }
        at = head >> 8 & 0xfc;
    }
    f->has_reset = f->express != 0 && (pci_read(f->place, f->express + 4u) & EXPRESS_RESET) != 0;
}

/* What stays when ones are written says how large it is. The function decodes nothing meanwhile. */
static uint32_t size_bits(const struct pci_function *f, unsigned reg)
{
    uint32_t before = pci_read(f->place, reg);
    pci_write(f->place, reg, ~0u);
    uint32_t bits = pci_read(f->place, reg);
    pci_write(f->place, reg, before);
    return bits;
}

static void read_bars(struct pci_function *f)
{
    uint32_t decoded = pci_read(f->place, REG_COMMAND) & COMMAND_DECODE;
    command(f, COMMAND_DECODE, 0);
    for (unsigned i = 0; i < PCI_BARS; i++) {
        struct pci_bar *b = &f->bar[i];
        unsigned reg = REG_BAR + 4 * i;
        uint32_t low = pci_read(f->place, reg), bits = size_bits(f, reg);
        if (bits == 0)
            continue;
        b->ports = low & 1;
        if (b->ports) {
            b->base = low & 0xfffc;
            b->size = (~(bits & 0xfffcu) + 1) & 0xffff;
        } else {
            bool wide = (low & 6) == 4 && i + 1 < PCI_BARS;
            uint64_t mask = (bits & ~15u) | 0xffffffffull << 32;
            b->combining = low & 8;
            b->base = low & ~15u;
            if (wide) {
                b->base |= (uint64_t)pci_read(f->place, reg + 4) << 32;
                mask = (bits & ~15u) | (uint64_t)size_bits(f, reg + 4) << 32;
                i++;
            }
            b->size = ~mask + 1;
        }
        if (b->base == 0)
            b->size = 0;
    }
    command(f, 0, decoded);
}

void pci_master(struct pci_function *f, bool on)
{
    command(f, on ? 0 : COMMAND_MASTER, on ? COMMAND_MASTER : 0);
}

void pci_silence(struct pci_function *f)
{
    command(f, COMMAND_MASTER, COMMAND_NO_LINE);
    if (f->msi != 0)
        change(f, f->msi, MSI_ENABLE, 0);
    if (f->msix != 0)
        change(f, f->msix, MSIX_ENABLE, 0);
}

void pci_use_line(struct pci_function *f)
{
    if (f->msi != 0)
        change(f, f->msi, MSI_ENABLE, 0);
    command(f, COMMAND_NO_LINE, 0);
}

bool pci_use_message(struct pci_function *f, uint64_t message)
{
    if (f->msi == 0)
        return false;
    uint32_t head = pci_read(f->place, f->msi);
    command(f, 0, COMMAND_NO_LINE);
    pci_write(f->place, f->msi, head & ~(MSI_ENABLE | MSI_COUNT));
    pci_write(f->place, f->msi + 4u, (uint32_t)(message >> 32));
    if (head & MSI_WIDE)
        pci_write(f->place, f->msi + 8u, 0);
    unsigned data = f->msi + (head & MSI_WIDE ? 12u : 8u);
    pci_write(f->place, data, (pci_read(f->place, data) & 0xffff0000) | (message & 0xffff));
    pci_write(f->place, f->msi, (head & ~MSI_COUNT) | MSI_ENABLE);
    return true;
}

bool pci_is_master(const struct pci_function *f)
{
    return (pci_read(f->place, REG_COMMAND) & COMMAND_MASTER) != 0;
}

bool pci_uses_message(const struct pci_function *f)
{
    return f->msi != 0 && (pci_read(f->place, f->msi) & MSI_ENABLE) != 0;
}

bool pci_reset(struct pci_function *f)
{
    if (!f->has_reset)
        return false;
    pci_silence(f);
    change(f, f->express + 8u, 0xffff0000, EXPRESS_DO_RESET); /* status bits are cleared by ones */
    return true;
}

void pci_restore(struct pci_function *f)
{
    for (unsigned i = 0; i < PCI_BARS; i++)
        if (f->bar[i].size != 0) {
            pci_write(f->place, REG_BAR + 4 * i, (uint32_t)f->bar[i].base);
            if (f->bar[i].base >> 32 != 0)
                pci_write(f->place, REG_BAR + 4 * i + 4, (uint32_t)(f->bar[i].base >> 32));
        }
    change(f, REG_INTERRUPT, 0xff, f->line);
    command(f, 0, COMMAND_DECODE | COMMAND_NO_LINE);
}

static void add(uint16_t place, uint32_t id, uint32_t class)
{
    if (count == PCI_FUNCTIONS_MAX) {
        left_out++;
        return;
    }
    struct pci_function *f = &functions[count++];
    uint32_t interrupt = pci_read(place, REG_INTERRUPT);
    *f = (struct pci_function){.place = place,
                               .vendor = (uint16_t)id,
                               .device = (uint16_t)(id >> 16),
                               .class = class,
                               .line = (uint8_t)interrupt,
                               .pin = (uint8_t)(interrupt >> 8)};
    read_capabilities(f);
    if (class >> 16 == CLASS_BRIDGE)
        return;
    pci_silence(f);
    read_bars(f);
}

/* Adds to `buses` the one behind a bridge. */
static void look_at(uint16_t place, uint8_t *buses, unsigned *bus_count)
{
    uint32_t id = pci_read(place, REG_ID), class = pci_read(place, REG_CLASS) >> 8;
    if ((id & 0xffff) == 0xffff)
        return;
    add(place, id, class);
    uint8_t behind = (uint8_t)(pci_read(place, REG_BUSES) >> 8);
    if (class >> 8 != BRIDGE_TO_PCI)
        return;
    for (unsigned i = 0; i < *bus_count; i++)
        if (buses[i] == behind)
            return; /* firmware has not numbered it */
    buses[(*bus_count)++] = behind;
}

static void show(const struct pci_function *f)
{
    root_log(LOG_DEBUG, "PCI %02x:%02x.%u: %04x:%04x, class %06x%s%s%s", f->place >> 8, f->place >> 3 & 31,
             f->place & 7, f->vendor, f->device, f->class, f->msi != 0 ? ", MSI" : "", f->msix != 0 ? ", MSI-X" : "",
             f->has_reset ? ", can be reset" : "");
    for (unsigned i = 0; i < PCI_BARS; i++)
        if (f->bar[i].size != 0)
            root_log(LOG_DEBUG, "  BAR %u: %s 0x%llx+0x%llx", i, f->bar[i].ports ? "ports" : "memory",
                     (ull)f->bar[i].base, (ull)f->bar[i].size);
}

void pci_init(void)
{
    static uint8_t buses[BUSES];
    unsigned bus_count = 1;
    buses[0] = 0;
    count = left_out = 0;
    for (unsigned b = 0; b < bus_count; b++)
        for (unsigned device = 0; device < 32; device++) {
            uint16_t place = (uint16_t)((unsigned)buses[b] << 8 | device << 3);
            if ((pci_read(place, REG_ID) & 0xffff) == 0xffff)
                continue;
            unsigned last = pci_read(place, REG_HEADER) & MULTI_FUNCTION ? 8 : 1;
            for (unsigned n = 0; n < last; n++)
                look_at((uint16_t)(place | n), buses, &bus_count);
        }
    for (unsigned i = 0; i < count; i++)
        show(&functions[i]);
    if (left_out != 0)
        root_log(LOG_WARN, "%u PCI functions beyond the first %u are not used", left_out, PCI_FUNCTIONS_MAX);
}
