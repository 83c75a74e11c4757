/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small ports that PC software touches: the i8042 keyboard controller with nothing attached (0x60, 0x64; its reset
 * pulse works), system control port A (0x92: fast reset, A20 always on), the POST port 0x80 and the DMA page registers
 * (ignored), and the optional debug-exit port. Lock: the VM's.
 */
#ifndef VMM_DEVICES_LEGACY_H
#define VMM_DEVICES_LEGACY_H

#include <stdbool.h>
#include <stdint.h>

#include "mullion/types.h"
#include "vmm/devices/bus.h"
#include "vmm/devices/device.h"
#include "vmm/devices/power.h"

struct kbd {
    uint8_t command; /* command waiting for its byte at 0x60; 0: none */
    uint8_t configuration, output, output_full;
    uint8_t port_a; /* 0x92 */
    struct power_sink power;
};
must_check enum error kbd_init(struct kbd *kbd, struct bus *bus, const struct power_sink *power);

struct ignored_ports {
    uint8_t page[16];
};
must_check enum error ignored_ports_init(struct ignored_ports *d, struct bus *bus);

struct debug_exit {
    struct power_sink power;
};
/* port: a guest's OUT there calls power->debug_exit with the value; IN reads 0. */
must_check enum error debug_exit_init(struct debug_exit *d, struct bus *bus, uint16_t port,
                                      const struct power_sink *power);

extern const struct device kbd_device, ignored_ports_device, debug_exit_device;

#endif
