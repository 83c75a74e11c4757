// SPDX-License-Identifier: Apache-2.0
/* A Multiboot 1 guest in a 64-bit ELF file: reaches long mode, reports, takes interrupts, and ends with code 64 / 2
 * = 32. */
#include "guest.h"

static volatile unsigned ticks;
static void on_tick(struct frame *f)
{
    (void)f;
    ticks++;
}

int guest_main(uint32_t magic, const struct multiboot *info)
{
    serial_init();
    print("mb64: magic 0x%08x %s, in long mode, EFER 0x%llx\n", magic, magic == MULTIBOOT_MAGIC ? "(right)" : "(WRONG)",
          (unsigned long long)rdmsr(0xc0000080));
    if (info->flags & 4)
        print("mb64: command line: %s\n", (const char *)(uintptr_t)info->cmdline);
    if (info->flags & 8)
        print("mb64: %u module(s)\n", info->mods_count);
    tables_init();
    pic_init();
    handle(0x20, on_tick);
    pit_init(100);
    pic_unmask(0);
    while (ticks < 5)
        wait_interrupt();
    print("mb64: %u timer interrupts\nmb64: done\n", ticks);
    guest_exit(32);
}
