/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts the other CPUs, one after the other.
 */
#ifndef ARCH_SMP_H
#define ARCH_SMP_H

#include "arch/x86_64/acpi.h"
#include "boot/ranges.h"

/* `page`: a free page below 1 MiB. Each started CPU runs cpu_init and then `entry` on its own kernel stack. A CPU that
 * does not answer is left out, with a line in the log. */
void smp_start(const struct acpi_facts *facts, uint64_t page, void (*entry)(void));
/* To be called by `entry` when it needs nothing any more that the boot CPU uses too: that one goes on then. */
void smp_online(void);

#endif
