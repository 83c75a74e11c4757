/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's I/O APICs: routing of a global system interrupt to a CPU's vector. Source: Intel 82093AA data sheet.
 */
#ifndef ARCH_IOAPIC_H
#define ARCH_IOAPIC_H

#include "mullion/types.h"

/* Maps an I/O APIC found in ACPI and masks all its inputs. */
void ioapic_add(hpa_t base, uint32_t first_gsi);
/* Routes, masked. */
enum error ioapic_route(uint32_t gsi, uint8_t vector, uint32_t apic_id, bool level, bool low);
void ioapic_mask(uint32_t gsi, bool masked);

#endif
