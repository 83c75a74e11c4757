/* SPDX-License-Identifier: Apache-2.0 */
/* How fast the CPU's clocks are. */
#ifndef ARCH_CLOCK_H
#define ARCH_CLOCK_H

#include "mullion/types.h"

/* Ticks of the TSC in a millisecond, to 0.1%; a warning in the log says if that was not to be had. *apic_per_tsc:
 * ticks of the local APIC's timer in one of the TSC, times 2^32; 0: it stands still. acpi_pm_port: of the ACPI PM
 * timer; 0: none; then pauses of 50 ms, of which a host below us is capable, may make it wrong. A panic if there
 * is nothing to measure by. Boot CPU, interrupts off, local APIC enabled. */
uint64_t clock_measure(uint16_t acpi_pm_port, uint64_t *apic_per_tsc);

#endif
