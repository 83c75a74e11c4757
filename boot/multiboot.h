/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the boot loader told us, in one form for Multiboot 1 and 2, copied out of its memory, checked and bounded.
 */
#ifndef BOOT_MULTIBOOT_H
#define BOOT_MULTIBOOT_H

#include "boot/ranges.h"
#include "drivers/screen.h"
#include "mullion/boot.h"
#include "mullion/types.h"

struct boot_facts {
    char cmdline[BOOT_CMDLINE_MAX];
    uint64_t rsdp;      /* physical; 0: not told */
    uint64_t ram_total; /* bytes the firmware calls usable */
    unsigned ram_count, module_count;
    unsigned ranges_left_out, modules_left_out; /* beyond the tables below */
    struct boot_range ram[BOOT_RAM_MAX]; /* usable, page aligned, ascending, disjoint; still holds image and modules */
    struct {
        struct boot_range range;
        char name[BOOT_NAME_MAX];
    } module[BOOT_MODULES_MAX];
    struct screen_facts screen;
};

/* Reads through the one-to-one map. E_ARG: `magic` is no boot loader's. */
enum error multiboot_read(uint32_t magic, uint64_t info, struct boot_facts *out) must_check;

#endif
