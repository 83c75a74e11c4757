/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's memory map in the form of the BIOS call INT 15h E820 (ACPI 6.4, 15.1), from which every loader makes its
 * own.
 */
#ifndef VMM_E820_H
#define VMM_E820_H

#include <stdint.h>
#include "mullion/types.h"
#include "vmm/memory.h"

#define E820_RAM      1u
#define E820_RESERVED 2u
#define E820_ACPI     3u

struct e820_entry {
    uint64_t base, size;
    uint32_t type;
} __attribute__((packed));
_Static_assert(sizeof(struct e820_entry) == 20, "as the boot protocols have it");

#define E820_MAX 32
struct e820_map {
    uint32_t count;
    struct e820_entry entry[E820_MAX];
};

struct e820_range {
    uint64_t base, size;
};

/* RAM from m's pieces without [0x9fc00, 0x100000), that hole as reserved, and the `reserved` ranges (outside RAM: ECAM,
 * APIC windows) as reserved; sorted by address. E_OVERLAP: a reserved range meets RAM or another. E_QUOTA: too many. */
enum error e820_build(struct e820_map *map, const struct guest_memory *m, const struct e820_range *reserved,
                      uint32_t reserved_count) must_check;

#endif
