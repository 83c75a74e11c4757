/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The I/O APIC (Intel 82093AA data sheet, version 0x20: with an EOI register), 24 pins. Lock: the VM's.
 *
 * Level-triggered: a message is sent when the line is up and remote IRR is clear; an EOI for the vector clears it, and
 * sends again if the line is still up. An edge that comes while the pin is masked is lost, as in the chip.
 */
#ifndef VMM_DEVICES_IOAPIC_H
#define VMM_DEVICES_IOAPIC_H

#include <stdbool.h>
#include <stdint.h>

#include "mullion/types.h"
#include "vmm/devices/bus.h"
#include "vmm/devices/device.h"
#include "vmm/devices/irq.h"

#define IOAPIC_PINS 24u

struct ioapic {
    uint64_t entry[IOAPIC_PINS];
    uint32_t lines; /* levels */
    uint32_t id, select;
    void (*deliver)(void *context, const struct interrupt_message *message);
    void *context;
};

must_check enum error ioapic_init(struct ioapic *io, struct bus *bus, uint64_t base,
                                  void (*deliver)(void *context, const struct interrupt_message *message),
                                  void *context);
void ioapic_set(struct ioapic *io, unsigned pin, bool level);
void ioapic_eoi(struct ioapic *io, uint8_t vector);
/* The vector that a rise of this pin asks a CPU for. False: it is masked, or asks for something else. */
bool ioapic_vector(const struct ioapic *io, unsigned pin, uint8_t *vector);
extern const struct device ioapic_device;

#endif
