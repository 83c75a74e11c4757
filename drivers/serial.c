// SPDX-License-Identifier: Apache-2.0
/* Source: National Semiconductor PC16550D data sheet. */
#include "drivers/serial.h"

#include "arch/x86_64/instr.h"

enum { DATA = 0, INTERRUPTS = 1, FIFO = 2, LINE_CONTROL = 3, MODEM_CONTROL = 4, LINE_STATUS = 5, SCRATCH = 7 };
#define PATIENCE 100000u /* polls per byte: a dead port must not hang the machine */

uint16_t serial_port;

void serial_init(uint16_t where)
{
    out8(where + SCRATCH, 0x5a);
    if (in8(where + SCRATCH) != 0x5a)
        return;
    out8(where + INTERRUPTS, 0);
    out8(where + LINE_CONTROL, 0x80);
    out8(where + DATA, 1);
    out8(where + INTERRUPTS, 0);
    out8(where + LINE_CONTROL, 3);
    out8(where + FIFO, 7);
    out8(where + MODEM_CONTROL, 3);
    serial_port = where;
}

void serial_write(char c)
{
    if (serial_port == 0)
        return;
    for (unsigned i = 0; i < PATIENCE && !(in8(serial_port + LINE_STATUS) & 0x20); i++)
        cpu_pause();
    out8(serial_port + DATA, (uint8_t)c);
}
