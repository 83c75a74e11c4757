/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The MultiProcessor table (Intel MultiProcessor Specification 1.4, chapter 4): CPUs, I/O APIC and interrupt routing
 * for systems that do not read ACPI's tables, a Linux with acpi=off among them. It says the same as MADT and _PRT.
 */
#ifndef VMM_MPTABLE_H
#define VMM_MPTABLE_H

#include "mullion/types.h"
#include "vmm/memory.h"

#define MPTABLE_AREA      0xf4000u /* the floating pointer is the first thing here, 16 bytes; then the table */
#define MPTABLE_AREA_SIZE 0x2000u

struct mptable_machine {
    uint32_t vcpus;               /* 1..VMM_VCPUS_MAX; APIC id = number */
    uint32_t signature, features; /* CPUID.1 EAX and EDX */
    uint8_t apic_version;
};

/* Describes the machine of vmm/devices/layout.h. E_ARG: no RAM there, or no CPUs. */
enum error mptable_install(const struct guest_memory *m, const struct mptable_machine *machine) must_check;

#endif
