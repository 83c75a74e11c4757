// SPDX-License-Identifier: Apache-2.0
/* Goes where there is nothing. The command line says how: jump (default), read, write, stack, tables; or halt, for
 * good. */
#include "guest.h"

static bool has(const char *text, const char *word)
{
    for (; *text; text++) {
        const char *a = text, *b = word;
        while (*b && *a == *b) {
            a++;
            b++;
        }
        if (!*b)
            return true;
    }
    return false;
}

int guest_main(uint32_t magic, const struct multiboot *info)
{
    const char *how = info->flags & 4 ? (const char *)(uintptr_t)info->cmdline : "";
    (void)magic;
    serial_init();
    if (has(how, "reset")) {
        print("wild: reset now\n");
        guest_reboot();
    }
    if (has(how, "read")) {
        print("wild: reading nothing\n");
        print("wild: got 0x%08x\n", *(volatile uint32_t *)(uintptr_t)0xdead0000u);
        print("wild: done\n");
        guest_exit(0);
    }
    if (has(how, "write")) {
        print("wild: writing to nothing\n");
        for (uint32_t a = 0xc0000000u; a < 0xc0010000u; a += 4096)
            *(volatile uint32_t *)(uintptr_t)a = a;
        print("wild: done\n");
        guest_exit(0);
    }
    if (has(how, "stack")) {
        print("wild: a stack in nothing, no interrupt table\n");
        __asm__ volatile("mov %0, %%esp; push %%eax; int3" : : "r"(0xdead0000u));
    }
    if (has(how, "tables")) {
        print("wild: page tables in nothing\n");
        __asm__ volatile("mov %0, %%cr3; mov %%cr0, %%eax; bts $31, %%eax; mov %%eax, %%cr0; nop"
                         :
                         : "r"(0xdead0000u)
                         : "eax");
    }
    if (has(how, "halt")) {
        print("wild: halting with interrupts off\n");
        return 0;
    }
    print("wild: jumping into nothing\n");
    ((void (*)(void))(uintptr_t)0xdead0000u)();
    print("wild: came back: WRONG\n");
    return 0;
}
