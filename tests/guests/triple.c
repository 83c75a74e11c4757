// SPDX-License-Identifier: Apache-2.0
/* Triple-faults after one line: no interrupt table, then a breakpoint. */
#include "guest.h"

int guest_main(uint32_t magic, const struct multiboot *info)
{
    static const struct {
        uint16_t limit;
        uintptr_t base;
    } __attribute__((packed)) none;
    (void)magic;
    (void)info;
    serial_init();
    print("triple: triple fault now\n");
    __asm__ volatile("lidt %0; int3" : : "m"(none));
    print("triple: still here: WRONG\n");
    return 0;
}
