/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What root needs of the host's ACPI tables: how the machine is switched off. Every length is checked; a broken table
 * means that its facts are missing, no more. Sources: ACPI Specification 6.4, 5.2.7/8 (RSDT, XSDT), 5.2.9 (FADT), 7.4.2
 * (\_S5), 20.2 (AML).
 */
#ifndef ROOT_ACPI_H
#define ROOT_ACPI_H

#include "mullion/types.h"

struct acpi_power {
    uint16_t port; /* PM1a control */
    uint8_t type;  /* SLP_TYP of S5 */
};

/* `list`: physical address of the RSDT or XSDT. False: it is not known how. */
bool acpi_find_power(uint64_t list, struct acpi_power *out);

/* acpi_show.c: shows [at, +size) of physical memory; what was shown before goes. NULL: it cannot be shown. Size 0:
 * shows nothing any more. */
const uint8_t *acpi_show(uint64_t at, uint64_t size);

#endif
