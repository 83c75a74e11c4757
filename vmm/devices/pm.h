/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACPI fixed hardware (ACPI 6.4, 4.8): PM1a event and control, the PM timer (32 bits), GPE0 (nothing behind it), and
 * the reset register 0xcf9. Ports: see layout.h. Lock: the VM's.
 */
#ifndef VMM_DEVICES_PM_H
#define VMM_DEVICES_PM_H

#include <stdbool.h>
#include <stdint.h>

#include "mullion/types.h"
#include "vmm/devices/bus.h"
#include "vmm/devices/clock.h"
#include "vmm/devices/device.h"
#include "vmm/devices/irq.h"
#include "vmm/devices/power.h"

#define PM_TIMER_HZ 3579545u

struct pm {
    uint16_t status, enable, control;
    uint8_t gpe[4];
    uint8_t reset_control;
    uint64_t base_tick, overflow_seen; /* overflow_seen: how often bit 31 has toggled */
    bool sci;
    struct scale to_cycles, to_ticks;
    const struct clock *clock;
    struct irq_sink irq;
    struct power_sink power;
};

/* The machine starts in ACPI mode (SCI_EN set, no SMI command port). */
must_check enum error pm_init(struct pm *pm, struct bus *bus, const struct clock *clock, const struct irq_sink *irq,
                              const struct power_sink *power);
void pm_power_button(struct pm *pm);
void pm_advance(struct pm *pm);
uint64_t pm_next_event(const struct pm *pm);
extern const struct device pm_device;

#endif
