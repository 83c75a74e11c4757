/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupt lines and messages, as the devices speak of them.
 *
 * A GSI is a line: 0..15 are the ISA interrupts by their ISA number (so the PIT is GSI 0 here, and arrives at I/O APIC
 * pin 2, as the ACPI tables must say); 16..23 are I/O APIC pins only. `level` means asserted, whatever polarity the
 * guest programs. A line has one owner, which calls only when the level changes (or pulses low-high for an edge).
 */
#ifndef VMM_DEVICES_IRQ_H
#define VMM_DEVICES_IRQ_H

#include <stdbool.h>
#include <stdint.h>

#define GSI_COUNT 24u

/* What has become of a line's last rise. */
enum irq_fate {
    IRQ_TAKEN,  /* a CPU has it, or there never was one: the next will not melt into it */
    IRQ_WAITS,  /* it is asked for and no CPU has taken it yet */
    IRQ_MASKED, /* the guest does not listen to this line */
};

struct irq_sink {
    void (*gsi)(void *context, unsigned gsi, bool level);
    void *context;
    enum irq_fate (*fate)(void *context, unsigned gsi); /* of an edge-triggered line; NULL: always IRQ_TAKEN */
};

static inline enum irq_fate irq_fate(const struct irq_sink *sink, unsigned gsi)
{
    return sink->fate ? sink->fate(sink->context, gsi) : IRQ_TAKEN;
}

static inline void irq_set(const struct irq_sink *sink, unsigned gsi, bool level)
{
    if (sink->gsi)
        sink->gsi(sink->context, gsi, level);
}

/* Intel SDM vol. 3, 11.6.1 (ICR) */
enum delivery_mode {
    DELIVER_FIXED = 0,
    DELIVER_LOWEST = 1,
    DELIVER_SMI = 2,
    DELIVER_NMI = 4,
    DELIVER_INIT = 5,
    DELIVER_SIPI = 6,
    DELIVER_EXTINT = 7
};
enum shorthand { SHORTHAND_NONE = 0, SHORTHAND_SELF = 1, SHORTHAND_ALL = 2, SHORTHAND_OTHERS = 3 };

struct interrupt_message {
    uint32_t dest; /* 8 bits from xAPIC, I/O APIC and MSI; 32 bits from x2APIC */
    bool dest_logical;
    bool wide;             /* dest has 32 bits: 0xffffffff is the broadcast, not 0xff */
    uint8_t delivery_mode; /* enum delivery_mode */
    uint8_t vector;
    bool level; /* INIT: assert or de-assert */
    bool level_triggered;
};

/* The message that a write of `data` to `address` (0xfee.....) means; Intel SDM vol. 3, 11.11. False: not an
 * interrupt address. */
bool interrupt_message_of_msi(uint64_t address, uint32_t data, struct interrupt_message *out);

struct pic;
struct ioapic;
struct apic_set;

/* Sends ISA lines to both controllers and the others to the I/O APIC; ISA 0 to pin 2, ISA 2 (the cascade) nowhere. */
struct irq_router {
    struct pic *pic;
    struct ioapic *ioapic;
    const struct apic_set *apics;
};
void irq_router_gsi(void *router, unsigned gsi, bool level);     /* fits irq_sink.gsi */
enum irq_fate irq_router_fate(const void *router, unsigned gsi); /* an ISA line's */

#endif
