/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the boot loader told us, in one form for Multiboot 1 and 2, copied out of its memory, checked and bounded: what
 * root wants to know at once into root's page, the rest here.
 */
#ifndef BOOT_MULTIBOOT_H
#define BOOT_MULTIBOOT_H

#include "boot/ranges.h"
#include "mullion/boot.h"
#include "mullion/types.h"

struct boot_facts {
    uint64_t rsdp; /* physical; 0: not told */
    unsigned ram_count;
    struct boot_range ram[BOOT_RAM_MAX]; /* usable, page aligned, ascending, disjoint; still holds image and modules */
};

/* Reads through the one-to-one map. Of `root`, zero before, it fills in the command line, ram_total, the modules (not
 * their slots), what is left out, and the screen. E_ARG: `magic` is no boot loader's. */
enum error multiboot_read(uint32_t magic, uint64_t info, struct boot_facts *out, struct root_boot *root) must_check;

#endif
