// SPDX-License-Identifier: Apache-2.0
/* Counts the PIT's interrupts at 1,000 Hz for two seconds of the TSC, computing all the time. */
#include "guest.h"

static volatile unsigned ticks;

static void on_tick(struct frame *f)
{
    (void)f;
    ticks++;
}

int guest_main(uint32_t magic, const struct multiboot *info)
{
    uint32_t r[4];
    (void)magic;
    (void)info;
    serial_init();
    tables_init();
    pic_init();
    cpuid(0x40000010, r);
    handle(0x20, on_tick);
    pit_init(1000);
    pic_unmask(0);
    uint64_t end = rdtsc() + (uint64_t)r[0] * 2000;
    interrupts_on();
    while (rdtsc() < end)
        ;
    interrupts_off();
    print("ticks: %u in two seconds\n", ticks);
    guest_exit(0);
}
