/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CPU's local APIC: x2APIC where there is one, else the memory-mapped xAPIC. Source: Intel SDM vol. 3, chapter 11.
 */
#ifndef ARCH_APIC_H
#define ARCH_APIC_H

#include "mullion/types.h"

/* Finds the mode and maps the registers; boot CPU, once. Also masks both 8259s. */
void apic_setup(void);
/* Where the calling CPU says that its registers are. */
hpa_t apic_base(void);
/* On each CPU: enables it, spurious vector, timer entry masked. */
void apic_init(void);
/* Lets NMIs in at LINT0, or at LINT1, of the calling CPU; apic_init masks both. */
void apic_nmi_button(bool lint0);
uint32_t apic_id(void);
bool apic_reaches(uint32_t apic_id); /* xAPIC addresses have eight bits, and 255 is everybody */
void apic_eoi(void);
/* Makes the APIC look again whether an interrupt waits for this CPU, and tell it so. Changes nothing else. */
void apic_recheck(void);
bool apic_in_service(uint8_t vector);
void apic_ipi(uint32_t apic_id, uint8_t vector);
void apic_init_ipi(uint32_t apic_id);
void apic_startup_ipi(uint32_t apic_id, uint8_t page);
/* To all but the caller: how a panic stops the machine, and an NMI asks where they are. Also in an NMI, whatever that
 * has interrupted. */
void apic_nmi_others(void);
/* One shot, in the APIC timer's own ticks (divider 1); 0 stops it. */
void apic_timer(uint32_t ticks);
uint32_t apic_timer_left(void);
/* TSC-deadline mode, where apic_has_deadline. */
void apic_timer_deadline(uint64_t tsc);
extern bool apic_has_deadline;

#endif
