/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's ACPI tables: RSDP, XSDT, FADT, FACS, MADT, MCFG, DSDT (ACPI 6.4, chapters 5 and 20). They describe the
 * machine that vmm/devices models and are written once, before the guest starts, into [ACPI_AREA, GUEST_HOLE_END),
 * which the memory map reserves.
 */
#ifndef VMM_ACPI_H
#define VMM_ACPI_H

#include <stddef.h>
#include <stdint.h>
#include "mullion/types.h"
#include "vmm/memory.h"

#define ACPI_AREA \
    0xe0000u /* RSDP is the first thing here: a guest that searches finds it at once (ACPI 6.4, 5.2.5.1) */
#define ACPI_AREA_SIZE 0x20000u

struct acpi_machine {
    uint32_t vcpus; /* 1..VMM_VCPUS_MAX; APIC id = number */
    uint32_t lapic_base, ioapic_base;
    uint8_t ioapic_id;
    uint8_t sci_irq;       /* GSI of the SCI, level, active high */
    uint16_t pm1a_event;   /* 4 bytes: status, enable */
    uint16_t pm1a_control; /* 2 bytes */
    uint16_t pm_timer;     /* 4 bytes; 0: none */
    uint16_t gpe0;         /* 0: none */
    uint8_t gpe0_bytes;    /* status and enable together: even */
    uint16_t reset_port;   /* byte register; 0: none */
    uint8_t reset_value;
    uint8_t rtc_century; /* CMOS index; 0: none */
    uint64_t ecam_base;  /* 0: no ECAM */
    uint8_t ecam_bus_last;
    uint64_t mmio64_base, mmio64_size; /* the PCI window above RAM; size 0: none */
    uint8_t power_button;              /* 1: fixed power button in PM1a */
};

/* The machine of vmm/devices/layout.h. */
void acpi_standard(struct acpi_machine *machine, uint32_t vcpus);

/* Writes all tables into area[0, size), meant for guest-physical `gpa`. `rsdp` gets the RSDP's address. Returns the
 * bytes used, 0 if it does not fit or the machine is not describable. */
size_t acpi_write(uint8_t *area, size_t size, uint64_t gpa, const struct acpi_machine *machine, uint64_t *rsdp);

/* The same into guest memory at ACPI_AREA. E_ARG: no RAM there; E_QUOTA: does not fit. */
enum error acpi_install(const struct guest_memory *m, const struct acpi_machine *machine, uint64_t *rsdp) must_check;

#endif
