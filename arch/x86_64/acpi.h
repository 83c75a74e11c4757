/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The few facts the kernel needs of the host's ACPI tables; root reads the others (services/root/acpi.c). Every length
 * is checked; a broken table means its facts are missing, no more. Of several FADTs the first with a PM timer counts.
 */
#ifndef ARCH_ACPI_H
#define ARCH_ACPI_H

#include "mullion/abi.h"
#include "mullion/boot.h"
#include "mullion/types.h"

struct acpi_facts {
    bool by_bochs;      /* the tables are signed "BOCHS ": Bochs' firmware or QEMU's */
    uint32_t madts;     /* the first one counts */
    uint32_t cpu_count; /* 0: there is no table of them, and the boot CPU is alone */
    uint32_t cpu_apic_id[MAX_CPUS];
    uint32_t ioapic_count;
    struct {
        uint64_t base;
        uint32_t first_gsi;
    } ioapic[IOAPICS_MAX];
    bool nmi_lint0;   /* the local APICs' input for NMIs is LINT0, not LINT1 as usual */
    uint16_t pm_port; /* of the PM timer; 0: none in the ports */
    uint64_t list;    /* physical address of the RSDT or XSDT; 0: there are no tables */
};

/* `rsdp`: physical address, 0: search the BIOS area. Reads through the boot's one-to-one map (physical < 4 GiB). */
void acpi_read(uint64_t rsdp, struct acpi_facts *out);

#endif
