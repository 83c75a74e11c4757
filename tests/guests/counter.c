// SPDX-License-Identifier: Apache-2.0
/* Prints a number every 100 ms of its timer for ever: proof that this guest keeps running whatever its neighbours do.
 */
#include "guest.h"

static volatile unsigned ticks;
static void on_tick(struct frame *f)
{
    (void)f;
    ticks++;
}

int guest_main(uint32_t magic, const struct multiboot *info)
{
    unsigned shown = 0;
    (void)magic;
    (void)info;
    serial_init();
    tables_init();
    pic_init();
    handle(0x20, on_tick);
    pit_init(100);
    pic_unmask(0);
    print("counter ready\n");
    for (;;) {
        wait_interrupt();
        while (ticks / 10 > shown)
            print("count %u\n", ++shown);
    }
}
