/* SPDX-License-Identifier: Apache-2.0 */
/* Makes root, the first ring-3 program, and hands it everything there is. */
#ifndef KERNEL_ROOT_H
#define KERNEL_ROOT_H

#include "arch/x86_64/acpi.h"
#include "boot/multiboot.h"

/* What root is told. Whatever the start finds out is put here at once; root_create adds the rest. */
extern struct root_boot root_boot;

/* boot->ram: free for root to carve from; modules lie inside. pool: the kernel's. Boot CPU, once, interrupts off.
 * Panics in words if it cannot be done. */
void root_create(const struct boot_facts *boot, const struct acpi_facts *acpi, struct boot_range pool);

#endif
