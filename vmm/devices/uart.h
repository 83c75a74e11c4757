/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The 16550A serial port (National PC16550D data sheet). Lock: the VM's.
 *
 * Output goes to `write` as it comes; when that takes fewer bytes than offered, they wait in the transmit FIFO, THRE
 * and TEMT stay clear, and uart_pump (called when the sink has room again) goes on. Input waits in the receive FIFO; a
 * character timeout is announced at once, since no more input is on its way.
 */
#ifndef VMM_DEVICES_UART_H
#define VMM_DEVICES_UART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mullion/types.h"
#include "vmm/devices/bus.h"
#include "vmm/devices/irq.h"

#define UART_FIFO 16u

struct uart {
    uint8_t rx[UART_FIFO], tx[UART_FIFO];
    uint8_t rx_first, rx_count, tx_first, tx_count;
    uint8_t ier, fcr, lcr, mcr, msr_delta, scr, dll, dlm;
    uint8_t lsr_errors; /* overrun, break: cleared by reading LSR */
    bool thre_pending;  /* THRE interrupt raised and not yet seen */
    bool line;          /* interrupt output */
    uint16_t base;
    unsigned gsi;
    struct irq_sink irq;
    size_t (*write)(void *context, const uint8_t *bytes, size_t count);
    void *context;
};

/* write == NULL: output is dropped. */
must_check enum error uart_init(struct uart *u, struct bus *bus, uint16_t base, unsigned gsi,
                                const struct irq_sink *irq,
                                size_t (*write)(void *context, const uint8_t *bytes, size_t count), void *context);
size_t uart_receive(struct uart *u, const uint8_t *bytes, size_t count); /* how many fitted; 0 in loopback */
size_t uart_room(const struct uart *u);
void uart_pump(struct uart *u);

#endif
