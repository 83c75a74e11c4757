/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's I/O APICs: routing of a global system interrupt to a CPU's vector. Source: Intel 82093AA data sheet.
 */
#ifndef ARCH_IOAPIC_H
#define ARCH_IOAPIC_H

#include "mullion/types.h"

/* Maps an I/O APIC found in ACPI and masks all its inputs. */
void ioapic_add(hpa_t base, uint32_t first_gsi);
/* Routes an input that is free, masked. E_UNSUPPORTED: there is no such GSI; E_OVERLAP: it is routed already. */
enum error ioapic_route(uint64_t gsi, uint8_t vector, uint32_t apic_id, bool level, bool low) must_check;
/* Of a GSI that is routed. */
void ioapic_mask(uint64_t gsi, bool masked);
void ioapic_free(uint64_t gsi);

#endif
