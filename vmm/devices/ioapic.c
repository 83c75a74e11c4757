// SPDX-License-Identifier: Apache-2.0
/*
 * The I/O APIC; see ioapic.h.
 *
 * Memory: 0x00 IOREGSEL (8 bits), 0x10 IOWIN (32 bits), 0x40 EOI (vector).
 * Registers: 0 ID (27:24), 1 version (entries - 1 in 23:16, 0x20), 2 arbitration, 0x10 + 2n / 0x11 + 2n redirection
 * entry n, low / high.
 */
#include "vmm/devices/ioapic.h"

#include "lib/string.h"
#include "vmm/devices/layout.h"

#define RTE_DELIVERY(e) ((uint8_t)((e) >> 8 & 7))
#define RTE_LOGICAL     (1ull << 11)
#define RTE_REMOTE_IRR  (1ull << 14)
#define RTE_LEVEL       (1ull << 15)
#define RTE_MASK        (1ull << 16)
#define RTE_WRITABLE    0xff0000000001afffull /* 12 (delivery status) and 14 are read-only */

/* Remote IRR exists for fixed and lowest-priority level-triggered pins only; the other delivery modes are edges by
 * nature. */
static bool level_pin(uint64_t entry)
{
    return (entry & RTE_LEVEL) && RTE_DELIVERY(entry) <= DELIVER_LOWEST;
}

static void send(struct ioapic *io, unsigned pin)
{
    uint64_t entry = io->entry[pin];
    struct interrupt_message message = {
        .dest = (uint32_t)(entry >> 56),
        .dest_logical = (entry & RTE_LOGICAL) != 0,
        .delivery_mode = RTE_DELIVERY(entry),
        .vector = (uint8_t)entry,
        .level = true,
        .level_triggered = level_pin(entry),
    };
    if (level_pin(entry))
        io->entry[pin] |= RTE_REMOTE_IRR;
    if (io->deliver)
        io->deliver(io->context, &message);
}

static void send_if_level(struct ioapic *io, unsigned pin)
{
    uint64_t entry = io->entry[pin];
    if (level_pin(entry) && !(entry & (RTE_MASK | RTE_REMOTE_IRR)) && (io->lines >> pin & 1))
        send(io, pin);
}

void ioapic_set(struct ioapic *io, unsigned pin, bool level)
{
    if (pin >= IOAPIC_PINS)
        return;
    uint32_t bit = 1u << pin;
    bool rose = level && !(io->lines & bit);
    io->lines = level ? io->lines | bit : io->lines & ~bit;
    if (level_pin(io->entry[pin]))
        send_if_level(io, pin);
    else if (rose && !(io->entry[pin] & RTE_MASK))
        send(io, pin);
}

void ioapic_eoi(struct ioapic *io, uint8_t vector)
{
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
        if ((uint8_t)io->entry[pin] == vector && (io->entry[pin] & RTE_REMOTE_IRR)) {
            io->entry[pin] &= ~RTE_REMOTE_IRR;
            send_if_level(io, pin);
        }
}

bool ioapic_vector(const struct ioapic *io, unsigned pin, uint8_t *vector)
{
    if (pin >= IOAPIC_PINS || (io->entry[pin] & RTE_MASK) || RTE_DELIVERY(io->entry[pin]) > DELIVER_LOWEST)
        return false;
    *vector = (uint8_t)io->entry[pin];
    return true;
}

static uint32_t read_register(const struct ioapic *io)
{
    unsigned n = io->select;
    if (n == 0)
        return io->id << 24;
    if (n == 1)
        return (IOAPIC_PINS - 1) << 16 | 0x20;
    if (n == 2)
        return io->id << 24;
    if (n >= 0x10 && n < 0x10 + 2 * IOAPIC_PINS)
        return (uint32_t)(io->entry[(n - 0x10) / 2] >> (n & 1 ? 32 : 0));
    return 0;
}

static void write_register(struct ioapic *io, uint32_t value)
{
    unsigned n = io->select;
    if (n == 0) {
        io->id = value >> 24 & 0xf;
        return;
    }
    if (n < 0x10 || n >= 0x10 + 2 * IOAPIC_PINS)
        return;
    unsigned pin = (n - 0x10) / 2;
    uint64_t old = io->entry[pin];
    uint64_t wanted = n & 1 ? (old & 0xffffffffull) | (uint64_t)value << 32 : (old & ~0xffffffffull) | value;
    uint64_t entry = (wanted & RTE_WRITABLE) | (old & RTE_REMOTE_IRR);
    /* Software ends an interrupt on chips without an EOI register by switching the pin to edge and back. */
    if (!level_pin(entry))
        entry &= ~RTE_REMOTE_IRR;
    io->entry[pin] = entry;
    send_if_level(io, pin);
}

static void ioapic_access(void *device, uint64_t offset, unsigned size, bool is_write, uint64_t *value)
{
    struct ioapic *io = device;
    (void)size;
    switch (offset & 0xff) {
    case 0x00:
        if (is_write)
            io->select = (uint8_t)*value;
        else
            *value = io->select;
        break;
    case 0x10:
        if (is_write)
            write_register(io, (uint32_t)*value);
        else
            *value = read_register(io);
        break;
    case 0x40:
        if (is_write)
            ioapic_eoi(io, (uint8_t)*value);
        else
            *value = 0;
        break;
    default:
        if (!is_write)
            *value = 0;
        break;
    }
}

static void reset(void *state)
{
    struct ioapic *io = state;
    io->select = io->id = 0;
    io->lines = 0;
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
        io->entry[pin] = RTE_MASK;
}

enum error ioapic_init(struct ioapic *io, struct bus *bus, uint64_t base,
                       void (*deliver)(void *context, const struct interrupt_message *message), void *context)
{
    memset(io, 0, sizeof *io);
    reset(io);
    io->deliver = deliver;
    io->context = context;
    return bus_add_memory(bus, base, base + 0xfff, 4, ioapic_access, io);
}

static enum error init(void *state, const struct platform *p, unsigned number)
{
    (void)number;
    return ioapic_init(state, p->bus, LAYOUT_IOAPIC_BASE, p->message, p->context);
}

static void fields(void *state, struct stream *s)
{
    struct ioapic *io = state;
    STREAM_FIELD(s, io->id);
    STREAM_FIELD(s, io->select);
    STREAM_FIELD(s, io->lines);
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
        STREAM_FIELD(s, io->entry[pin]);
}

static bool valid(const void *state)
{
    const struct ioapic *io = state;
    if (io->id > 15 || io->lines >> IOAPIC_PINS != 0)
        return false;
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
        if (io->entry[pin] & ~(RTE_WRITABLE | RTE_REMOTE_IRR))
            return false;
    return true;
}

const struct device ioapic_device = {.name = "I/O APIC",
                                     .version = 1,
                                     .bytes = sizeof(struct ioapic),
                                     .init = init,
                                     .reset = reset,
                                     .fields = fields,
                                     .valid = valid};
