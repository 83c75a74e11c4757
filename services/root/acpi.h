/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What root needs of the host's ACPI tables: how the machine is switched off, and where the ISA interrupts are. Every
 * length is checked; a broken table means that its facts are missing, no more. Of several MADTs the first counts, of
 * several FADTs the first that tells it. Sources: ACPI Specification 6.4, 5.2.7/8
 * (RSDT, XSDT), 5.2.9 (FADT), 5.2.12.5 (interrupt source overrides), 7.4.2 (\_S5), 20.2 (AML).
 */
#ifndef ROOT_ACPI_H
#define ROOT_ACPI_H

#include "mullion/types.h"

struct acpi_power {
    uint16_t port; /* PM1a control */
    uint8_t type;  /* SLP_TYP of S5 */
};

#define ISA_LINES 16u
/* Where the I/O APICs have an ISA interrupt. */
struct isa_line {
    uint32_t gsi, how; /* how: LINE_* */
};

/* How much of it there is. */
#define ACPI_COUNT_IDS 4096u
struct acpi_count {
    uint32_t madts, fadts;     /* sound ones */
    uint32_t cpus, ioapics;    /* in the first MADT; CPUs that are there */
    bool seen[ACPI_COUNT_IDS]; /* by local APIC id */
};

/* `list`: physical address of the RSDT or XSDT. False: it is not known how. */
bool acpi_find_power(uint64_t list, struct acpi_power *out);
/* What the tables do not tell of is at the line of its own number, edge-triggered, active high. */
void acpi_find_isa(uint64_t list, struct isa_line out[ISA_LINES]);
void acpi_count(uint64_t list, struct acpi_count *out);

/* acpi_show.c: shows [at, +size) of physical memory; what was shown before goes. NULL: it cannot be shown. Size 0:
 * shows nothing any more. */
const uint8_t *acpi_show(uint64_t at, uint64_t size);

#endif
