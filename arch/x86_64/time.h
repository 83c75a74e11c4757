/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time is the TSC. Its rate is measured once (clock.h), never taken from CPUID: an emulator's CPUID may tell another
 * machine's rate.
 */
#ifndef ARCH_TIME_H
#define ARCH_TIME_H

#include "mullion/types.h"

extern uint64_t tsc_khz;

/* Boot CPU, interrupts off, local APIC enabled. */
void time_init(uint16_t acpi_pm_port);
struct cpu;
/* Makes the timer interrupt of c, the calling CPU, come when the TSC reaches `deadline` or earlier: what is armed for
 * an earlier time stays. NEVER: leaves it. */
void timer_arm(struct cpu *c, uint64_t deadline);
/* The same for a CPU that has nothing to do until `deadline`: what is armed for an earlier time goes. NEVER: none
 * comes. */
void timer_set(struct cpu *c, uint64_t deadline);
/* Spins; boot only. */
void delay_us(uint64_t us);
static inline uint64_t us_to_ticks(uint64_t us)
{
    return us * tsc_khz / 1000;
}

#endif
