// SPDX-License-Identifier: Apache-2.0
/*
 * The 16550A; see uart.h.
 *
 * +0 RBR/THR (DLL), +1 IER (DLM), +2 IIR/FCR, +3 LCR, +4 MCR, +5 LSR, +6 MSR, +7 SCR. DLL and DLM are there while LCR
 * bit 7 is set.
 *
 * The interrupt output is not gated by MCR's OUT2, although a PC's is: small systems forget to set it, and no driver
 * depends on it.
 */
#include "vmm/devices/uart.h"

#include "lib/string.h"
#include "vmm/devices/layout.h"

#define IER_RDA          0x01u
#define IER_THRE         0x02u
#define IER_LSR          0x04u
#define IER_MSR          0x08u
#define IIR_NONE         0x01u
#define IIR_MSR          0x00u
#define IIR_THRE         0x02u
#define IIR_RDA          0x04u
#define IIR_LSR          0x06u
#define IIR_TIMEOUT      0x0cu
#define FCR_ON           0x01u
#define LCR_DLAB         0x80u
#define MCR_LOOP         0x10u
#define LSR_DR           0x01u
#define LSR_OE           0x02u
#define LSR_BI           0x10u
#define LSR_ERRORS       0x1eu
#define LSR_THRE         0x20u
#define LSR_TEMT         0x40u
#define MSR_INPUTS_READY 0xb0u /* DCD, DSR, CTS: the other end is always there */

static bool fifo_on(const struct uart *u)
{
    return (u->fcr & FCR_ON) != 0;
}

static unsigned capacity(const struct uart *u)
{
    return fifo_on(u) ? UART_FIFO : 1;
}

static unsigned trigger(const struct uart *u)
{
    static const uint8_t level[4] = {1, 4, 8, 14};
    return fifo_on(u) ? level[u->fcr >> 6] : 1;
}

/* MSR's upper half: the inputs; in loopback they are the outputs of MCR. */
static uint8_t modem_inputs(uint8_t mcr)
{
    if (!(mcr & MCR_LOOP))
        return MSR_INPUTS_READY;
    return (uint8_t)((mcr & 2 ? 0x10 : 0) | (mcr & 1 ? 0x20 : 0) | (mcr & 4 ? 0x40 : 0) | (mcr & 8 ? 0x80 : 0));
}

/* A break belongs to one character, and shows when that is the next one to be read. */
static uint8_t errors(const struct uart *u)
{
    return (uint8_t)(u->lsr_errors | (u->break_at == 1 ? LSR_BI : 0));
}

static uint8_t interrupt_id(const struct uart *u)
{
    if ((u->ier & IER_LSR) && (errors(u) & LSR_ERRORS))
        return IIR_LSR;
    if ((u->ier & IER_RDA) && u->rx_count)
        return u->rx_count >= trigger(u) ? IIR_RDA : IIR_TIMEOUT;
    if ((u->ier & IER_THRE) && u->thre_pending)
        return IIR_THRE;
    if ((u->ier & IER_MSR) && u->msr_delta)
        return IIR_MSR;
    return IIR_NONE;
}

static void update_line(struct uart *u)
{
    bool line = interrupt_id(u) != IIR_NONE;
    if (line != u->line) {
        u->line = line;
        irq_set(&u->irq, u->gsi, line);
    }
}

static void push_receive(struct uart *u, uint8_t byte)
{
    if (u->rx_count >= capacity(u)) {
        u->lsr_errors |= LSR_OE;
        if (!fifo_on(u))
            u->rx[u->rx_first] = byte; /* the holding register is overwritten; a FIFO keeps what it has */
        return;
    }
    u->rx[(u->rx_first + u->rx_count) % UART_FIFO] = byte;
    u->rx_count++;
}

/* Offers the waiting bytes to the sink, in at most two runs. */
static void drain(struct uart *u)
{
    bool had = u->tx_count != 0;
    while (u->tx_count) {
        size_t run = UART_FIFO - u->tx_first, taken;
        run = run > u->tx_count ? u->tx_count : run;
        taken = u->write ? u->write(u->context, &u->tx[u->tx_first], run) : run;
        taken = taken > run ? run : taken;
        u->tx_first = (uint8_t)((u->tx_first + taken) % UART_FIFO);
        u->tx_count = (uint8_t)(u->tx_count - taken);
        if (taken < run)
            return;
    }
    if (had)
        u->thre_pending = true;
}

static void write_data(struct uart *u, uint8_t byte)
{
    /* The line falls while the register is full, so that an edge follows when it is empty again. */
    u->thre_pending = false;
    update_line(u);
    if (u->mcr & MCR_LOOP) {
        push_receive(u, byte);
        u->thre_pending = true;
        return;
    }
    if (u->tx_count < capacity(u)) {
        u->tx[(u->tx_first + u->tx_count) % UART_FIFO] = byte;
        u->tx_count++;
    } else if (!fifo_on(u)) {
        u->tx[u->tx_first] = byte;
    }
    drain(u);
}

static uint8_t read_data(struct uart *u)
{
    if (u->rx_count == 0)
        return 0;
    uint8_t byte = u->rx[u->rx_first];
    u->rx_first = (uint8_t)((u->rx_first + 1) % UART_FIFO);
    u->rx_count--;
    if (u->break_at != 0)
        u->break_at--;
    return byte;
}

static void write_fcr(struct uart *u, uint8_t value)
{
    bool toggled = ((value ^ u->fcr) & FCR_ON) != 0;
    if (toggled || (value & 0x02))
        u->rx_count = u->break_at = 0;
    if ((toggled || (value & 0x04)) && u->tx_count) {
        u->tx_count = 0;
        u->thre_pending = true;
    }
    u->fcr = value & FCR_ON ? value & 0xc9 : 0;
}

static void write_mcr(struct uart *u, uint8_t value)
{
    uint8_t before = modem_inputs(u->mcr), after = modem_inputs(value & 0x1f);
    uint8_t changed = (uint8_t)((before ^ after) >> 4);
    if (after & 0x40)
        changed &= (uint8_t)~0x04u; /* RI counts when it falls only */
    u->msr_delta |= changed;
    u->mcr = value & 0x1f;
    drain(u);
}

static void write_register(struct uart *u, unsigned reg, uint8_t value)
{
    bool dlab = (u->lcr & LCR_DLAB) != 0;
    switch (reg) {
    case 0:
        if (dlab)
            u->dll = value;
        else
            write_data(u, value);
        break;
    case 1:
        if (dlab) {
            u->dlm = value;
            break;
        }
        if (!(u->ier & IER_THRE) && (value & IER_THRE) && u->tx_count == 0)
            u->thre_pending = true;
        u->ier = value & 0x0f;
        break;
    case 2: write_fcr(u, value); break;
    case 3: u->lcr = value; break;
    case 4: write_mcr(u, value); break;
    case 7: u->scr = value; break;
    default: break; /* LSR and MSR are read-only */
    }
}

static uint8_t read_register(struct uart *u, unsigned reg)
{
    bool dlab = (u->lcr & LCR_DLAB) != 0;
    uint8_t value;
    switch (reg) {
    case 0: return dlab ? u->dll : read_data(u);
    case 1: return dlab ? u->dlm : u->ier;
    case 2:
        value = interrupt_id(u);
        if (value == IIR_THRE)
            u->thre_pending = false;
        return (uint8_t)(value | (fifo_on(u) ? 0xc0 : 0));
    case 3: return u->lcr;
    case 4: return u->mcr;
    case 5:
        value = (uint8_t)(errors(u) | (u->rx_count ? LSR_DR : 0) | (u->tx_count ? 0 : LSR_THRE | LSR_TEMT));
        u->lsr_errors = 0;
        if (u->break_at == 1)
            u->break_at = 0;
        return value;
    case 6:
        value = (uint8_t)(modem_inputs(u->mcr) | u->msr_delta);
        u->msr_delta = 0;
        return value;
    default: return u->scr;
    }
}

void uart_take_input(struct uart *u)
{
    uint8_t bytes[UART_FIFO];
    size_t room, n;
    while (u->read != NULL && (room = uart_room(u)) > 0) {
        n = u->read(u->context, bytes, room < sizeof bytes ? room : sizeof bytes);
        if (n == 0)
            break;
        uart_receive(u, bytes, n < room ? n : room);
    }
}

void uart_access(struct uart *u, unsigned reg, unsigned size, bool is_write, uint32_t *value)
{
    (void)size;
    reg &= 7;
    if (is_write)
        write_register(u, reg, (uint8_t)*value);
    else
        *value = read_register(u, reg);
    update_line(u);
    if (reg == 0)
        uart_take_input(u); /* the FIFO may have room now */
}

static void uart_port(void *device, uint16_t port, unsigned size, bool is_write, uint32_t *value)
{
    struct uart *u = device;
    uart_access(u, (unsigned)(port - u->base), size, is_write, value);
}

size_t uart_room(const struct uart *u)
{
    return u->mcr & MCR_LOOP || u->rx_count >= capacity(u) ? 0 : capacity(u) - u->rx_count;
}

size_t uart_receive(struct uart *u, const uint8_t *bytes, size_t count)
{
    size_t room = uart_room(u);
    count = count > room ? room : count;
    for (size_t i = 0; i < count; i++)
        push_receive(u, bytes[i]);
    update_line(u);
    return count;
}

void uart_break(struct uart *u)
{
    if (uart_room(u) == 0 || u->break_at != 0)
        return;
    push_receive(u, 0);
    u->break_at = u->rx_count;
    update_line(u);
}

void uart_pump(struct uart *u)
{
    drain(u);
    update_line(u);
}

void uart_reset(struct uart *u)
{
    u->rx_first = u->rx_count = u->tx_first = u->tx_count = u->break_at = 0;
    u->ier = u->fcr = u->mcr = u->msr_delta = u->scr = u->dlm = u->lsr_errors = 0;
    u->thre_pending = u->line = false;
    u->dll = 12; /* 9600 baud, as after firmware; the speed has no effect */
    u->lcr = 3;
}

void uart_make(struct uart *u, const struct irq_sink *irq,
               size_t (*write)(void *context, const uint8_t *bytes, size_t count), void *context)
{
    memset(u, 0, sizeof *u);
    u->irq = *irq;
    u->write = write;
    u->context = context;
    uart_reset(u);
}

enum error uart_place(struct uart *u, struct bus *bus, uint16_t base, unsigned gsi)
{
    if (base > 0xfff8)
        return E_ARG;
    u->base = base;
    u->gsi = gsi;
    return bus_add_ports(bus, base, (uint16_t)(base + 7), 1, uart_port, u);
}

static enum error init(void *state, const struct platform *p, unsigned number)
{
    struct uart *u = state;
    (void)number;
    uart_make(u, &p->irq, p->output, p->context);
    u->read = p->input;
    return uart_place(u, p->bus, LAYOUT_PORT_COM1, LAYOUT_IRQ_COM1);
}

void uart_fields(struct uart *u, struct stream *s)
{
    STREAM_FIELD(s, u->rx);
    STREAM_FIELD(s, u->tx);
    STREAM_FIELD(s, u->rx_first);
    STREAM_FIELD(s, u->rx_count);
    STREAM_FIELD(s, u->tx_first);
    STREAM_FIELD(s, u->tx_count);
    STREAM_FIELD(s, u->ier);
    STREAM_FIELD(s, u->fcr);
    STREAM_FIELD(s, u->lcr);
    STREAM_FIELD(s, u->mcr);
    STREAM_FIELD(s, u->msr_delta);
    STREAM_FIELD(s, u->scr);
    STREAM_FIELD(s, u->dll);
    STREAM_FIELD(s, u->dlm);
    STREAM_FIELD(s, u->lsr_errors);
    STREAM_FIELD(s, u->break_at);
    stream_bool(s, &u->thre_pending);
    stream_bool(s, &u->line);
}

bool uart_valid(const struct uart *u)
{
    return u->rx_first < UART_FIFO && u->tx_first < UART_FIFO && u->rx_count <= UART_FIFO && u->tx_count <= UART_FIFO &&
           u->break_at <= u->rx_count;
}

static void fields(void *state, struct stream *s)
{
    uart_fields(state, s);
}

static bool valid(const void *state)
{
    return uart_valid(state);
}

static void reset(void *state)
{
    uart_reset(state);
}

/* The console has written, or has room again. */
static void polled(void *state, uint64_t bits)
{
    (void)bits;
    uart_take_input(state);
    uart_pump(state);
}

const struct device uart_device = {.name = "serial port",
                                   .version = 1,
                                   .bytes = sizeof(struct uart),
                                   .wakes = VMM_EVENT_INPUT,
                                   .init = init,
                                   .reset = reset,
                                   .polled = polled,
                                   .fields = fields,
                                   .valid = valid};
