// SPDX-License-Identifier: Apache-2.0
/*
 * The devices of every guest's machine, in the order in which they are made, reset, saved and loaded: interrupt
 * controllers first, then what hangs on the buses. A new device is one row here.
 */
#include "vmm/devices/device.h"

#define DEVICES(ROW)   \
    ROW(pic)           \
    ROW(ioapic)        \
    ROW(pit)           \
    ROW(rtc)           \
    ROW(uart)          \
    ROW(pm)            \
    ROW(kbd)           \
    ROW(ignored_ports) \
    ROW(pci)           \
    ROW(shared)

#define DECLARE(name) extern const struct device name##_device;
#define POINTER(name) &name##_device,
DEVICES(DECLARE)

const struct device *const device_table[] = {DEVICES(POINTER)};
const uint32_t device_table_count = sizeof device_table / sizeof device_table[0];
