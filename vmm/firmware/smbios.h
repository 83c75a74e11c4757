/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's SMBIOS tables (DMTF DSP0134, System Management BIOS Reference Specification, 2.8): what inventories,
 * licence managers and cloud-init ask for: maker, product, the guest's name as serial number, a UUID.
 */
#ifndef VMM_SMBIOS_H
#define VMM_SMBIOS_H

#include "mullion/types.h"
#include "vmm/memory.h"

#define SMBIOS_AREA      0xf0000u /* the entry point is the first thing here */
#define SMBIOS_AREA_SIZE 0x1000u

struct smbios_machine {
    const char *name; /* the guest's */
    uint8_t uuid[16]; /* in the order of its text (RFC 4122, 4.1.2) */
    uint32_t vcpus;
    uint32_t signature, features; /* CPUID.1 EAX and EDX */
    char cpu_vendor[13];          /* of CPUID.0 */
    uint32_t mhz;
};

/* E_ARG: no RAM there; E_QUOTA: does not fit. */
enum error smbios_install(const struct guest_memory *m, const struct smbios_machine *machine) must_check;

/* A guest's UUID if nothing else says one: made from its name (RFC 9562, version 8), so it stays over restarts. */
void smbios_uuid_of(const char *name, uint8_t uuid[16]);

#endif
