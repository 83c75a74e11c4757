// SPDX-License-Identifier: Apache-2.0
/*
 * PCI bus 0; see pci.h.
 *
 * 0xcf8: configuration address, 32-bit accesses only: enable 31, bus 23:16, device and function 15:8, register 7:2.
 * 0xcfc..0xcff: data. ECAM: bus 27:20, device and function 19:12, register 11:0.
 */
#include "vmm/devices/pci.h"

#include "lib/string.h"
#include "vmm/devices/layout.h"

enum {
    CFG_VENDOR = 0x00,
    CFG_DEVICE = 0x02,
    CFG_COMMAND = 0x04,
    CFG_STATUS = 0x06,
    CFG_REVISION = 0x08,
    CFG_CLASS = 0x09,
    CFG_HEADER = 0x0e,
    CFG_BAR = 0x10,
    CFG_SUBSYSTEM = 0x2c,
    CFG_ROM = 0x30,
    CFG_CAPABILITIES = 0x34,
    CFG_INT_LINE = 0x3c,
    CFG_INT_PIN = 0x3d,
    CFG_FREE = 0x40
};
#define ADDRESS_WRITABLE    0x80fffffcu
#define COMMAND_IO          0x0001u
#define COMMAND_MEMORY      0x0002u
#define COMMAND_WRITABLE    0x0547u /* I/O, memory, bus master, parity, SERR, INTx off */
#define COMMAND_INTX_OFF    0x0400u
#define ROM_ON              0x0001u
#define SMALL_BAR           0x10000u
#define LARGEST_LOW         0x4000000u
#define STATUS_INTX         0x0008u
#define STATUS_CAPABILITIES 0x0010u

static void put(struct pci_function *f, unsigned offset, unsigned bytes, uint32_t value)
{
    for (unsigned i = 0; i < bytes; i++)
        f->config[offset + i] = (uint8_t)(value >> (8 * i));
}

void pci_function_init(struct pci_function *f, const struct pci_identity *id)
{
    memset(f, 0, sizeof *f);
    put(f, CFG_VENDOR, 2, id->vendor);
    put(f, CFG_DEVICE, 2, id->device);
    put(f, CFG_REVISION, 1, id->revision);
    put(f, CFG_CLASS, 3, id->class_code);
    put(f, CFG_SUBSYSTEM, 2, id->subsystem_vendor);
    put(f, CFG_SUBSYSTEM + 2, 2, id->subsystem);
    f->writable[CFG_COMMAND] = COMMAND_WRITABLE & 0xff;
    f->writable[CFG_COMMAND + 1] = COMMAND_WRITABLE >> 8;
    f->writable[0x0c] = 0xff; /* cache line size: only remembered */
    f->writable[CFG_INT_LINE] = 0xff;
    f->capability_end = CFG_FREE;
}

enum error pci_bar_init(struct pci_function *f, unsigned index, uint64_t address, const struct pci_bar *bar)
{
    enum pci_bar_kind kind = bar->kind;
    uint64_t size = bar->size;
    bool io = kind == PCI_BAR_IO, wide = kind == PCI_BAR_MEM64;
    if (index >= 6 || kind == PCI_BAR_NONE || kind == PCI_BAR_UPPER || (wide && index == 5))
        return E_ARG;
    if (f->bar[index].kind != PCI_BAR_NONE || (wide && f->bar[index + 1].kind != PCI_BAR_NONE))
        return E_OVERLAP;
    bool allocate = address == PCI_ALLOCATE;
    address = allocate ? 0 : address;
    if (size == 0 || (size & (size - 1)) || (address & (size - 1)))
        return E_ARG;
    if (io ? (size < 4 || size > 256 || !bar->port || address > 0xffff) : (size < 16 || !bar->memory))
        return E_ARG;
    if (!io && !wide && (size > 0x80000000u || address > UINT32_MAX))
        return E_ARG;
    f->bar[index] = *bar;
    f->bar[index].allocate = allocate;
    f->bar[index].mapped = false;
    uint32_t flags = (io ? 1u : 0u) | (wide ? 4u : 0u) | (bar->prefetchable && !io ? 8u : 0u);
    uint64_t mask = ~(size - 1);
    unsigned at = CFG_BAR + 4 * index;
    put(f, at, 4, (uint32_t)address | flags);
    for (unsigned i = 0; i < (wide ? 8u : 4u); i++)
        f->writable[at + i] = (uint8_t)(mask >> (8 * i));
    if (wide) {
        f->bar[index + 1].kind = PCI_BAR_UPPER;
        put(f, at + 4, 4, (uint32_t)(address >> 32));
    }
    return OK;
}

static void read_rom(void *device, uint64_t offset, unsigned size, bool is_write, uint64_t *value)
{
    const struct pci_function *f = device;
    uint64_t v = 0;
    if (is_write || size > 8 || offset > f->bar[PCI_ROM].size - size)
        return;
    memcpy(&v, f->rom + offset, size);
    *value = v;
}

enum error pci_rom_init(struct pci_function *f, const uint8_t *rom, uint64_t size)
{
    if (size < 2048 || size > SMALL_BAR || (size & (size - 1)) || !rom)
        return E_ARG;
    f->rom = rom;
    f->bar[PCI_ROM] = (struct pci_bar){
        .kind = PCI_BAR_MEM32, .allocate = true, .size = size, .memory = read_rom, .device = f};
    uint32_t mask = (uint32_t) ~(size - 1) | ROM_ON;
    for (unsigned i = 0; i < 4; i++)
        f->writable[CFG_ROM + i] = (uint8_t)(mask >> (8 * i));
    return OK;
}

unsigned pci_capability(struct pci_function *f, uint8_t id, const uint8_t *body, const uint8_t *writable_body,
                        unsigned bytes)
{
    unsigned at = (f->capability_end + 3u) & ~3u;
    if (bytes < 2 || bytes > PCI_CONFIG_BYTES || at < CFG_FREE || at + bytes > PCI_CONFIG_BYTES - 4)
        return 0;
    /* Appended: the order of discovery is the order of adding. */
    unsigned link = CFG_CAPABILITIES;
    for (unsigned guard = 0; f->config[link] && guard < 64; guard++)
        link = f->config[link] + 1u;
    f->config[link] = (uint8_t)at;
    f->config[at] = id;
    f->config[at + 1] = 0;
    if (body)
        memcpy(&f->config[at + 2], body, bytes - 2);
    if (writable_body)
        memcpy(&f->writable[at + 2], writable_body, bytes - 2);
    f->config[CFG_STATUS] |= STATUS_CAPABILITIES;
    f->capability_end = (uint8_t)(at + bytes);
    return at;
}

static struct pci_function *function_at(struct pci *pci, unsigned bus, unsigned devfn)
{
    if (bus != 0)
        return NULL;
    for (unsigned i = 0; i < pci->count; i++)
        if (pci->function[i]->devfn == devfn)
            return pci->function[i];
    return NULL;
}

/* ---- INTx ---- */

static void update_intx(struct pci *pci, unsigned index)
{
    struct pci_function *f = pci->function[index];
    unsigned pin = f->config[CFG_INT_PIN];
    if (f->intx)
        f->config[CFG_STATUS] |= STATUS_INTX;
    else
        f->config[CFG_STATUS] &= (uint8_t)~STATUS_INTX;
    if (pin < 1 || pin > 4)
        return;
    unsigned line = ((f->devfn >> 3) + pin - 1u) & 3u;
    uint64_t before = pci->intx_lines[line], bit = 1ull << index;
    bool on = f->intx && !(pci_config16(f, CFG_COMMAND) & COMMAND_INTX_OFF);
    pci->intx_lines[line] = on ? before | bit : before & ~bit;
    if ((before != 0) != (pci->intx_lines[line] != 0))
        irq_set(&pci->irq, PCI_INTX_GSI(line), pci->intx_lines[line] != 0);
}

void pci_intx(struct pci_function *f, bool level)
{
    f->intx = level;
    for (unsigned i = 0; f->pci && i < f->pci->count; i++)
        if (f->pci->function[i] == f)
            update_intx(f->pci, i);
}

/* ---- BARs ---- */

static unsigned bar_register(unsigned index)
{
    return index == PCI_ROM ? CFG_ROM : CFG_BAR + 4 * index;
}

/* Where the BAR wants to be now. False: it does not decode. */
static bool bar_wanted(const struct pci_function *f, unsigned index, uint64_t *base)
{
    const struct pci_bar *bar = &f->bar[index];
    unsigned command = pci_config16(f, CFG_COMMAND), at = bar_register(index);
    if (index == PCI_ROM && !(f->config[CFG_ROM] & ROM_ON))
        return false;
    uint64_t address = (uint64_t)pci_config16(f, at) | (uint64_t)pci_config16(f, at + 2) << 16;
    if (bar->kind == PCI_BAR_MEM64)
        address |= (uint64_t)pci_config16(f, at + 4) << 32 | (uint64_t)pci_config16(f, at + 6) << 48;
    address &= ~(bar->size - 1);
    *base = address;
    if (!(command & (bar->kind == PCI_BAR_IO ? COMMAND_IO : COMMAND_MEMORY)) || address == 0)
        return false;
    /* All ones is the sizing pattern, not a place. */
    static const uint64_t ends[] = {
        [PCI_BAR_NONE] = 0, [PCI_BAR_IO] = 0xffff, [PCI_BAR_MEM32] = UINT32_MAX, [PCI_BAR_MEM64] = UINT64_MAX};
    uint64_t last = ends[bar->kind];
    return address <= last && last - address > bar->size - 1;
}

static void unmap(struct pci *pci, struct pci_bar *bar)
{
    if (!bar->mapped)
        return;
    if (bar->kind == PCI_BAR_IO)
        bus_remove_ports(pci->bus, (uint16_t)bar->base, bar->device);
    else
        bus_remove_memory(pci->bus, bar->base, bar->device);
    if (bar->disappear)
        bar->disappear(bar->device, bar->base);
    bar->mapped = false;
}

/* A place that is taken is refused by the bus, and the BAR answers nowhere until the guest writes again. */
static void map(struct pci *pci, struct pci_bar *bar, uint64_t base)
{
    uint64_t last = base + bar->size - 1;
    enum error e = bar->kind == PCI_BAR_IO
                       ? bus_add_ports(pci->bus, (uint16_t)base, (uint16_t)last, 4, bar->port, bar->device)
                       : bus_add_memory(pci->bus, base, last, 8, bar->memory, bar->device);
    if (e == OK && bar->appear && (e = bar->appear(bar->device, base)) != OK)
        bus_remove_memory(pci->bus, base, bar->device);
    bar->base = base;
    bar->mapped = e == OK;
}

/* Puts BARs where the guest wants them: first all that move are taken off, so that two can change places. */
static void place_bars(struct pci *pci, struct pci_function *f)
{
    uint64_t base;
    for (unsigned i = 0; i < PCI_BARS; i++)
        if (f->bar[i].size && (!bar_wanted(f, i, &base) || base != f->bar[i].base))
            unmap(pci, &f->bar[i]);
    for (unsigned i = 0; i < PCI_BARS; i++) {
        struct pci_bar *bar = &f->bar[i];
        if (!bar->size || bar->mapped || !bar_wanted(f, i, &base))
            continue;
        map(pci, bar, base);
    }
}

/* ---- configuration space ---- */

static uint32_t config_read(struct pci *pci, unsigned bus, unsigned devfn, unsigned offset, unsigned size)
{
    struct pci_function *f = function_at(pci, bus, devfn);
    uint32_t value = 0;
    if (!f)
        return UINT32_MAX;
    if (offset >= PCI_CONFIG_BYTES)
        return 0; /* no extended capabilities */
    if (f->reading)
        f->reading(f->context, offset, size);
    for (unsigned i = 0; i < size && offset + i < PCI_CONFIG_BYTES; i++)
        value |= (uint32_t)f->config[offset + i] << (8 * i);
    return value;
}

static void config_write(struct pci *pci, unsigned bus, unsigned devfn, unsigned offset, unsigned size, uint32_t value)
{
    struct pci_function *f = function_at(pci, bus, devfn);
    if (!f || offset >= PCI_CONFIG_BYTES)
        return;
    if (size > PCI_CONFIG_BYTES - offset)
        size = PCI_CONFIG_BYTES - offset;
    for (unsigned i = 0; i < size; i++) {
        unsigned at = offset + i;
        uint8_t byte = (uint8_t)(value >> (8 * i));
        f->config[at] = (uint8_t)((f->config[at] & ~f->writable[at]) | (byte & f->writable[at]));
        f->config[at] &= (uint8_t) ~(byte & f->clear[at]);
    }
    if (offset < CFG_ROM + 4 && offset + size > CFG_COMMAND) {
        place_bars(pci, f);
        for (unsigned i = 0; i < pci->count; i++)
            if (pci->function[i] == f)
                update_intx(pci, i);
    }
    if (f->written)
        f->written(f->context, offset, size);
}

static void config_port(void *device, uint16_t port, unsigned size, bool is_write, uint32_t *value)
{
    struct pci *pci = device;
    if (port < 0xcfc) {
        if (port != 0xcf8 || size != 4)
            return; /* narrower accesses are not for the address register */
        if (is_write)
            pci->address = *value & ADDRESS_WRITABLE;
        else
            *value = pci->address;
        return;
    }
    if (!(pci->address & 0x80000000u))
        return;
    unsigned offset = (pci->address & 0xfc) + (port & 3u), bus = pci->address >> 16 & 0xff,
             devfn = pci->address >> 8 & 0xff;
    if (is_write)
        config_write(pci, bus, devfn, offset, size, *value);
    else
        *value = config_read(pci, bus, devfn, offset, size);
}

static void ecam_access(void *device, uint64_t offset, unsigned size, bool is_write, uint64_t *value)
{
    unsigned bus = (unsigned)(offset >> 20), devfn = (unsigned)(offset >> 12) & 0xff, reg = (unsigned)offset & 0xfff;
    if (is_write)
        config_write(device, bus, devfn, reg, size, (uint32_t)*value);
    else
        *value = config_read(device, bus, devfn, reg, size);
}

/* ---- places ---- */

enum error pci_place(enum pci_kind kind, unsigned number, uint8_t *devfn)
{
    static const uint8_t first[PCI_KINDS] = {LAYOUT_SLOT_SHARED, LAYOUT_SLOT_OTHER, LAYOUT_SLOT_DISK,
                                             LAYOUT_SLOT_NETWORK, LAYOUT_SLOT_PASSED};
    static const uint8_t slots[PCI_KINDS] = {LAYOUT_SLOTS_SHARED, LAYOUT_SLOTS_OTHER, LAYOUT_SLOTS_DISK,
                                             LAYOUT_SLOTS_NETWORK, LAYOUT_SLOTS_PASSED};
    if (kind >= PCI_KINDS || number / slots[kind] > 7)
        return E_QUOTA;
    *devfn = (uint8_t)((first[kind] + number % slots[kind]) << 3 | number / slots[kind]);
    return OK;
}

void pci_window(struct pci *pci, uint64_t base, uint64_t size)
{
    pci->high_next = base;
    pci->high_end = base + size;
}

/* The next multiple of `size` in [*next, end), which is then taken; 0: there is no room. */
static uint64_t take(uint64_t *next, uint64_t end, uint64_t size)
{
    uint64_t at = (*next + size - 1) & ~(size - 1);
    if (at < *next || at >= end || size > end - at)
        return 0;
    *next = at + size;
    return at;
}

static uint64_t allocate(struct pci *pci, unsigned slot, const struct pci_bar *bar)
{
    uint64_t base, next, at;
    if (bar->kind == PCI_BAR_IO) {
        base = LAYOUT_PCI_IO_BASE + slot * LAYOUT_PCI_IO_SLOT;
        next = base + pci->io_used[slot];
        at = take(&next, base + LAYOUT_PCI_IO_SLOT, bar->size);
        pci->io_used[slot] = (uint16_t)(next - base);
        return at;
    }
    if (bar->kind == PCI_BAR_MEM32 && bar->size <= SMALL_BAR) {
        base = LAYOUT_PCI_MMIO_BASE + slot * LAYOUT_PCI_SLOT_BYTES;
        next = base + pci->slot_used[slot];
        at = take(&next, base + LAYOUT_PCI_SLOT_BYTES, bar->size < 4096 ? 4096 : bar->size);
        pci->slot_used[slot] = (uint32_t)(next - base);
        return at;
    }
    if (bar->kind == PCI_BAR_MEM64 && bar->size > LARGEST_LOW)
        return take(&pci->high_next, pci->high_end, bar->size);
    return take(&pci->large_next, LAYOUT_PCI_MMIO_LAST + 1, bar->size);
}

static void allocate_bars(struct pci *pci, struct pci_function *f)
{
    for (unsigned i = 0; i < PCI_BARS; i++) {
        const struct pci_bar *bar = &f->bar[i];
        uint64_t at = bar->allocate ? allocate(pci, f->devfn >> 3, bar) : 0;
        if (at == 0)
            continue;
        put(f, bar_register(i), 4, (uint32_t)at | f->config[bar_register(i)]);
        if (bar->kind == PCI_BAR_MEM64)
            put(f, bar_register(i) + 4, 4, (uint32_t)(at >> 32));
    }
}

enum error pci_add(struct pci *pci, struct pci_function *f, uint8_t devfn, unsigned interrupt_pin)
{
    if (interrupt_pin > 4)
        return E_ARG;
    if (function_at(pci, 0, devfn))
        return E_OVERLAP;
    if (pci->count == PCI_FUNCTIONS_MAX)
        return E_QUOTA;
    f->pci = pci;
    f->devfn = devfn;
    f->config[CFG_INT_PIN] = (uint8_t)interrupt_pin;
    pci->function[pci->count++] = f;
    /* A device with functions other than 0 says so in function 0's header type. */
    struct pci_function *first = function_at(pci, 0, devfn & 0xf8u);
    for (unsigned i = 0; first && i < pci->count; i++)
        if ((pci->function[i]->devfn ^ devfn) < 8 && (pci->function[i]->devfn & 7))
            first->config[CFG_HEADER] |= 0x80;
    allocate_bars(pci, f);
    memcpy(f->power_on, f->config, sizeof f->power_on);
    place_bars(pci, f);
    return OK;
}

static void take_off_all(struct pci *pci)
{
    for (unsigned i = 0; i < pci->count; i++)
        for (unsigned bar = 0; bar < PCI_BARS; bar++)
            unmap(pci, &pci->function[i]->bar[bar]);
}

void pci_function_fields(struct pci_function *f, struct stream *s)
{
    uint8_t config[PCI_CONFIG_BYTES], to_map = 0;
    memcpy(config, f->config, sizeof config);
    for (unsigned i = 0; i < PCI_BARS; i++)
        to_map |= (uint8_t)(f->bar[i].mapped << i);
    STREAM_FIELD(s, config);
    STREAM_FIELD(s, to_map);
    stream_bool(s, &f->intx);
    for (unsigned i = 0; i < PCI_CONFIG_BYTES; i++) {
        uint8_t guests = f->writable[i] | f->clear[i];
        f->config[i] = (uint8_t)((f->config[i] & ~guests) | (config[i] & guests));
    }
    f->to_map = to_map;
}

void pci_function_loaded(struct pci_function *f)
{
    uint64_t base;
    for (unsigned i = 0; i < PCI_BARS; i++)
        if ((f->to_map >> i & 1) && f->bar[i].size && bar_wanted(f, i, &base))
            map(f->pci, &f->bar[i], base);
    pci_intx(f, f->intx);
}

enum error pci_init(struct pci *pci, struct bus *bus, const struct irq_sink *irq)
{
    memset(pci, 0, sizeof *pci);
    pci->bus = bus;
    pci->irq = *irq;
    pci->large_next = LAYOUT_PCI_LARGE;
    /* Ids on which no operating system hangs chipset-specific work: the generic PCIe host bridge of virtual machines,
     * and a bridge that is told by its class only. */
    pci_function_init(&pci->host, &(struct pci_identity){.vendor = 0x1b36,
                                                         .device = 0x0008,
                                                         .class_code = 0x060000,
                                                         .subsystem_vendor = 0x1af4,
                                                         .subsystem = 0x1100});
    pci_function_init(&pci->isa, &(struct pci_identity){.vendor = 0x1b36,
                                                        .device = 0x0ff0,
                                                        .class_code = 0x060100,
                                                        .subsystem_vendor = 0x1af4,
                                                        .subsystem = 0x1100});
    enum error e = pci_add(pci, &pci->host, 0x00, 0);
    if (e == OK)
        e = pci_add(pci, &pci->isa, LAYOUT_SLOT_ISA << 3, 0);
    if (e == OK)
        e = bus_add_ports(bus, 0xcf8, 0xcff, 4, config_port, pci);
    if (e == OK)
        e = bus_add_memory(bus, LAYOUT_ECAM_BASE, LAYOUT_ECAM_BASE + LAYOUT_ECAM_BYTES - 1, 4, ecam_access, pci);
    return e;
}

static enum error init(void *state, const struct platform *p, unsigned number)
{
    (void)number;
    enum error error = pci_init(state, p->bus, &p->irq);
    pci_window(state, p->window, p->window_bytes);
    return error;
}

static void reset(void *state)
{
    struct pci *pci = state;
    pci->address = 0;
    take_off_all(pci);
    for (unsigned i = 0; i < pci->count; i++) {
        struct pci_function *f = pci->function[i];
        uint8_t header = f->config[CFG_HEADER]; /* which other functions there are does not change */
        memcpy(f->config, f->power_on, sizeof f->config);
        f->config[CFG_HEADER] = header;
        f->intx = false;
    }
    memset(pci->intx_lines, 0, sizeof pci->intx_lines);
    for (unsigned i = 0; i < pci->count; i++)
        place_bars(pci, pci->function[i]);
}

static void fields(void *state, struct stream *s)
{
    struct pci *pci = state;
    STREAM_FIELD(s, pci->address);
    pci_function_fields(&pci->host, s);
    pci_function_fields(&pci->isa, s);
}

static bool valid(const void *state)
{
    const struct pci *pci = state;
    return (pci->address & ~ADDRESS_WRITABLE) == 0;
}

static void loaded(void *state)
{
    struct pci *pci = state;
    take_off_all(pci);
    pci_function_loaded(&pci->host);
    pci_function_loaded(&pci->isa);
}

const struct device pci_device = {.name = "PCI host bridge",
                                  .version = 1,
                                  .bytes = sizeof(struct pci),
                                  .init = init,
                                  .reset = reset,
                                  .fields = fields,
                                  .valid = valid,
                                  .loaded = loaded};
