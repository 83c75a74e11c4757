// SPDX-License-Identifier: Apache-2.0
/*
 * See uart.h. PC16550D data sheet (National Semiconductor, 1995), section 8: registers.
 */
#include "services/console/uart.h"
#include "lib/syscall.h"

enum { REG_DATA = 0, REG_IER = 1, REG_IIR = 2, REG_FCR = 2, REG_LCR = 3, REG_MCR = 4, REG_LSR = 5 };
#define IER_RX   0x01
#define IER_TX   0x02
#define IIR_NONE 0x01
#define IIR_FIFO 0xc0
#define LCR_8N1  0x03
#define LCR_DLAB 0x80
#define FCR_ON   0x87  /* FIFOs on and emptied, interrupt at 8 bytes */
#define MCR_ON   0x0bu /* DTR, RTS, OUT2: the interrupt line */
#define MCR_RTS  0x02u
#define LSR_DATA 0x01
#define LSR_THRE 0x20
#define LSR_TEMT 0x40

#define TX_BYTES       65536u
#define RX_BYTES       1024u
#define RX_SPARE       128u /* what may still come after RTS has gone */
#define SERVICE_ROUNDS 64   /* of one call: bounded whatever the device says */
#define STUCK_MS       2000 /* no byte has gone for so long: the queue is thrown away */

static uint16_t base;
static unsigned fifo;
static uint64_t khz, progress;
static uint8_t interrupts;
static bool held; /* RTS is off */
static char tx[TX_BYTES];
static uint8_t rx[RX_BYTES];
static uint32_t tx_head, tx_tail, rx_head, rx_tail;

static uint8_t in(unsigned reg)
{
    return port_in8((uint16_t)(base + reg));
}
static void out(unsigned reg, unsigned value)
{
    port_out8((uint16_t)(base + reg), (uint8_t)value);
}

bool uart_init(uint16_t port, uint64_t tsc_khz)
{
    base = port;
    khz = tsc_khz;
    if (in(REG_LSR) == 0xff)
        return false;
    /* The kernel's last bytes first: emptying the FIFO would lose them. */
    uint64_t end = tsc_now() + 20 * khz;
    while ((in(REG_LSR)&LSR_TEMT) == 0 && tsc_now() < end)
        ;
    out(REG_IER, 0);
    out(REG_LCR, LCR_DLAB | LCR_8N1);
    out(REG_DATA, 1); /* divisor 1: 115200 */
    out(REG_IER, 0);
    out(REG_LCR, LCR_8N1);
    out(REG_FCR, FCR_ON);
    out(REG_MCR, MCR_ON);
    fifo = (in(REG_IIR)&IIR_FIFO) == IIR_FIFO ? 16 : 1;
    interrupts = IER_RX;
    out(REG_IER, interrupts);
    progress = tsc_now();
    return true;
}

static void receive(void)
{
    for (unsigned i = 0; i < SERVICE_ROUNDS && rx_head - rx_tail < RX_BYTES && (in(REG_LSR)&LSR_DATA) != 0; i++)
        rx[rx_head++ % RX_BYTES] = in(REG_DATA);
    /* What is sent while there is no more room stays with the sender, if that heeds RTS (an emulator does without). */
    bool holds = rx_head - rx_tail >= RX_BYTES - RX_SPARE;
    if (holds != held) {
        held = holds;
        out(REG_MCR, holds ? MCR_ON & ~MCR_RTS : MCR_ON);
    }
}

/* The interrupts that are wanted now. */
static uint8_t wanted(void)
{
    return (uint8_t)((rx_head - rx_tail < RX_BYTES ? IER_RX : 0) | (tx_head != tx_tail ? IER_TX : 0));
}

static void transmit(uint64_t now)
{
    if (tx_head == tx_tail) {
        progress = now;
    } else if ((in(REG_LSR)&LSR_THRE) != 0) {
        for (unsigned i = 0; i < fifo && tx_tail != tx_head; i++)
            out(REG_DATA, (uint8_t)tx[tx_tail++ % TX_BYTES]);
        progress = now;
    } else if (now - progress > STUCK_MS * khz) {
        tx_tail = tx_head;
    }
    if (wanted() != interrupts) {
        interrupts = wanted();
        out(REG_IER, interrupts);
    }
}

void uart_service(uint64_t now)
{
    if (base == 0)
        return;
    /* The interrupt is edge-triggered on a PC: every cause is settled until none is left, or the next edge never comes.
     */
    for (unsigned i = 0; i < SERVICE_ROUNDS; i++) {
        uint8_t iir = in(REG_IIR);
        receive();
        transmit(now);
        if ((iir & IIR_NONE) != 0)
            break;
    }
}

void uart_write(const char *bytes, size_t size)
{
    for (size_t i = 0; i < size && base != 0 && tx_head - tx_tail < TX_BYTES; i++)
        tx[tx_head++ % TX_BYTES] = bytes[i];
}

size_t uart_backlog(void)
{
    return tx_head - tx_tail;
}

bool uart_idle(void)
{
    return base == 0 || (tx_head == tx_tail && (in(REG_LSR)&LSR_TEMT) != 0);
}

bool uart_has_input(void)
{
    return rx_head != rx_tail;
}

bool uart_read(uint8_t *byte)
{
    if (!uart_has_input())
        return false;
    *byte = rx[rx_tail++ % RX_BYTES];
    return true;
}
