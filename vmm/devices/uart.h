/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The 16550A serial port (National PC16550D data sheet). Lock: the VM's.
 *
 * Output goes to `write` as it comes; when that takes fewer bytes than offered, they wait in the transmit FIFO, THRE
 * and TEMT stay clear, and uart_pump (called when the sink has room again) goes on. Input waits in the receive FIFO; a
 * character timeout is announced at once, since no more input is on its way. It comes by uart_receive, or from `read`,
 * which is asked when the guest has touched the data register, and by uart_take_input.
 */
#ifndef VMM_DEVICES_UART_H
#define VMM_DEVICES_UART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mullion/types.h"
#include "vmm/devices/bus.h"
#include "vmm/devices/device.h"
#include "vmm/devices/irq.h"

#define UART_FIFO 16u

struct uart {
    uint8_t rx[UART_FIFO], tx[UART_FIFO];
    uint8_t rx_first, rx_count, tx_first, tx_count;
    uint8_t ier, fcr, lcr, mcr, msr_delta, scr, dll, dlm;
    uint8_t lsr_errors; /* overrun: cleared by reading LSR */
    uint8_t break_at;   /* a break stands so far from the head of rx, 1: there; 0: none, or LSR has told of it */
    bool thre_pending;  /* THRE interrupt raised and not yet seen */
    bool line;          /* interrupt output */
    uint16_t base;
    unsigned gsi;
    struct irq_sink irq;
    size_t (*write)(void *context, const uint8_t *bytes, size_t count);
    size_t (*read)(void *context, uint8_t *bytes, size_t count); /* NULL: input comes by uart_receive only */
    void *context;
};

/* Power-on state; write == NULL: output is dropped. Then uart_place puts it on the bus: ports base to base + 7. */
void uart_make(struct uart *u, const struct irq_sink *irq,
               size_t (*write)(void *context, const uint8_t *bytes, size_t count), void *context);
must_check enum error uart_place(struct uart *u, struct bus *bus, uint16_t base, unsigned gsi);
size_t uart_receive(struct uart *u, const uint8_t *bytes, size_t count); /* how many fitted; 0 in loopback */
size_t uart_room(const struct uart *u);
/* The other side holds the line: a zero character with the break bit. Not if there is no room, or one waits already. */
void uart_break(struct uart *u);
void uart_pump(struct uart *u);
/* Input that waits at `read`, as far as there is room. */
void uart_take_input(struct uart *u);
extern const struct device uart_device;

/* For other devices with a serial port in them, which uart_make has made: its registers 0..7. */
void uart_access(struct uart *u, unsigned reg, unsigned size, bool is_write, uint32_t *value);
void uart_reset(struct uart *u);
void uart_fields(struct uart *u, struct stream *s);
bool uart_valid(const struct uart *u);

#endif
