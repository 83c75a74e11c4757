// SPDX-License-Identifier: Apache-2.0
/* The devices for test guests; see vmm/test.h. They come after those of vmm/devices/table.c. */
#include "vmm/devices/device.h"
#include "vmm/test.h"

extern const struct device debug_exit_device, bench_device, pci_serial_device;

const struct device *const test_device_table[] = {&pci_serial_device, &debug_exit_device, &bench_device};
const uint32_t test_device_count = sizeof test_device_table / sizeof test_device_table[0];
