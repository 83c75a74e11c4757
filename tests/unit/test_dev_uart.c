// SPDX-License-Identifier: Apache-2.0
/* The 16550A: what a driver's probing sees, both directions, interrupts, back-pressure. */
// sources: vmm/devices/bus.c vmm/stream.c vmm/memory.c vmm/devices/uart.c
#include "dev_test.h"
#include "vmm/devices/uart.h"

#define P 0x3f8
static struct bus bus;
static struct uart u;
static struct lines lines;
static uint8_t sink[256];
static size_t sunk, room;

static size_t on_write(void *context, const uint8_t *bytes, size_t count)
{
    (void)context;
    size_t n = count < room ? count : room;
    memcpy(sink + sunk, bytes, n);
    sunk += n;
    room -= n;
    return n;
}

static int setup(void **state)
{
    (void)state;
    struct irq_sink irq = {.gsi = lines_gsi, .context = &lines};
    memset(&lines, 0, sizeof lines);
    sunk = 0;
    room = sizeof sink;
    bus_init(&bus);
    uart_make(&u, &irq, on_write, NULL);
    assert_int_equal(uart_place(&u, &bus, P, 4), OK);
    return 0;
}

/* A break is a zero character, and its bit shows when that is the next one to be read. */
static void breaks(void **state)
{
    (void)state;
    outb(&bus, P + 2, 0x01);
    outb(&bus, P + 1, 0x04); /* interrupts for the line's state only */
    uart_receive(&u, (const uint8_t *)"a", 1);
    uart_break(&u);
    uart_break(&u); /* one at a time */
    uart_receive(&u, (const uint8_t *)"h", 1);
    assert_int_equal(inb(&bus, P + 5) & 0x1f, 0x01);
    assert_int_equal(inb(&bus, P), 'a');
    assert_int_equal(inb(&bus, P + 2) & 0x0f, 0x06);
    assert_int_equal(inb(&bus, P + 5) & 0x1f, 0x11);
    assert_int_equal(inb(&bus, P + 5) & 0x1f, 0x01); /* told once */
    assert_int_equal(inb(&bus, P + 2) & 0x0f, 0x01);
    assert_int_equal(inb(&bus, P), 0);
    assert_int_equal(inb(&bus, P), 'h');
    assert_int_equal(inb(&bus, P + 5) & 0x1f, 0);
    uart_break(&u);
    assert_int_equal(inb(&bus, P), 0); /* read without a look at the bit: it is gone with its character */
    assert_int_equal(inb(&bus, P + 5) & 0x1f, 0);
}

/* The order in which Linux's 8250 driver finds out what it has. */
static void autoconfig(void **state)
{
    (void)state;
    outb(&bus, P + 1, 0);
    assert_int_equal(inb(&bus, P + 1) & 0x0f, 0);
    outb(&bus, P + 1, 0xff);
    assert_int_equal(inb(&bus, P + 1), 0x0f);
    outb(&bus, P + 1, 0);
    outb(&bus, P + 4, 0x1a); /* loopback, OUT2, RTS */
    assert_int_equal(inb(&bus, P + 6) & 0xf0, 0x90);
    outb(&bus, P + 4, 0x08);
    assert_int_equal(inb(&bus, P + 6) & 0xf0, 0xb0);
    outb(&bus, P + 3, 0xbf); /* no EFR here: register 2 stays the IIR */
    assert_int_not_equal(inb(&bus, P + 2), 0);
    outb(&bus, P + 3, 0x00);
    outb(&bus, P + 2, 0x01);
    assert_int_equal(inb(&bus, P + 2) >> 6, 3);
    outb(&bus, P + 3, 0x80);
    outb(&bus, P + 2, 0x21);
    assert_int_equal(inb(&bus, P + 2) & 0x20, 0); /* not a 16750 */
    outb(&bus, P + 0, 0x34);
    outb(&bus, P + 1, 0x12);
    assert_int_equal(inb(&bus, P + 0), 0x34);
    assert_int_equal(inb(&bus, P + 1), 0x12);
    outb(&bus, P + 3, 0x03);
    assert_int_equal(inb(&bus, P + 3), 0x03);
    assert_int_equal(inb(&bus, P + 1), 0);
    outb(&bus, P + 7, 0xa5);
    assert_int_equal(inb(&bus, P + 7), 0xa5);
    assert_int_equal(inb(&bus, P + 5), 0x60);
    assert_int_equal(sunk, 0);
}

static void loopback(void **state)
{
    (void)state;
    outb(&bus, P + 2, 0x07);
    outb(&bus, P + 4, 0x10);
    for (unsigned i = 0; i < 16; i++)
        outb(&bus, P, i);
    assert_int_equal(inb(&bus, P + 5), 0x61);
    outb(&bus, P, 99);
    assert_int_equal(inb(&bus, P + 5), 0x63); /* overrun, told once */
    assert_int_equal(inb(&bus, P + 5), 0x61);
    assert_int_equal(uart_receive(&u, (const uint8_t *)"x", 1), 0);
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(inb(&bus, P), i);
    assert_int_equal(inb(&bus, P + 5), 0x60);
    assert_int_equal(sunk, 0);
    inb(&bus, P + 6);
    outb(&bus, P + 1, 0x08);
    outb(&bus, P + 4, 0x12); /* CTS changes */
    assert_true(lines.level[4]);
    assert_int_equal(inb(&bus, P + 2) & 0x0f, 0x00);
    assert_int_equal(inb(&bus, P + 6), 0x11);
    assert_false(lines.level[4]);
}

static void transmit(void **state)
{
    (void)state;
    outb(&bus, P + 2, 0x01);
    outb(&bus, P + 1, 0x02);
    assert_true(lines.level[4]); /* empty: asks at once */
    assert_int_equal(inb(&bus, P + 2), 0xc2);
    assert_false(lines.level[4]); /* reading the IIR ends it */
    assert_int_equal(inb(&bus, P + 2), 0xc1);
    unsigned before = lines.rises[4];
    outb(&bus, P, 'h');
    assert_true(lines.level[4]);
    outb(&bus, P, 'i');
    assert_true(lines.level[4]);
    assert_int_equal(lines.rises[4], before + 2); /* an edge each, for an edge-triggered controller */
    assert_memory_equal(sink, "hi", 2);
    outb(&bus, P + 1, 0x00);
    assert_false(lines.level[4]);
    outb(&bus, P + 1, 0x02);
    assert_true(lines.level[4]);
}

static void back_pressure(void **state)
{
    (void)state;
    outb(&bus, P + 2, 0x01);
    outb(&bus, P + 1, 0x02);
    inb(&bus, P + 2);
    room = 2;
    for (unsigned i = 0; i < 20; i++)
        outb(&bus, P, 'a' + i);
    assert_int_equal(sunk, 2);
    assert_int_equal(inb(&bus, P + 5), 0x00); /* neither THRE nor TEMT */
    assert_false(lines.level[4]);
    room = 5;
    uart_pump(&u);
    assert_int_equal(inb(&bus, P + 5), 0x00);
    room = 100;
    uart_pump(&u);
    assert_int_equal(inb(&bus, P + 5), 0x60);
    assert_true(lines.level[4]);
    assert_int_equal(sunk, 18); /* two at once and sixteen in the FIFO: the last two found it full */
    assert_memory_equal(sink, "abcdefghijklmnopqr", 18);
    uart_pump(&u);
    assert_int_equal(sunk, 18);
}

static void receive(void **state)
{
    (void)state;
    outb(&bus, P + 2, 0x81); /* trigger at 8 */
    outb(&bus, P + 1, 0x01);
    assert_int_equal(uart_receive(&u, (const uint8_t *)"abc", 3), 3);
    assert_true(lines.level[4]);
    assert_int_equal(inb(&bus, P + 2), 0xcc); /* timeout */
    assert_int_equal(uart_receive(&u, (const uint8_t *)"defghijklmnopqrstuvw", 20), 13);
    assert_int_equal(uart_room(&u), 0);
    assert_int_equal(inb(&bus, P + 2), 0xc4);
    for (unsigned i = 0; i < 16; i++) {
        assert_int_equal(inb(&bus, P + 5) & 1, 1);
        assert_int_equal(inb(&bus, P), 'a' + i);
    }
    assert_false(lines.level[4]);
    assert_int_equal(inb(&bus, P + 2), 0xc1);
    /* without FIFOs there is one register */
    outb(&bus, P + 2, 0x00);
    assert_int_equal(uart_receive(&u, (const uint8_t *)"yz", 2), 1);
    assert_int_equal(inb(&bus, P), 'y');
    assert_int_equal(inb(&bus, P), 0);
    /* the FIFO is cleared on request */
    outb(&bus, P + 2, 0x01);
    assert_int_equal(uart_receive(&u, (const uint8_t *)"yz", 2), 2);
    outb(&bus, P + 2, 0x03);
    assert_int_equal(inb(&bus, P + 5), 0x60);
    /* line status beats data */
    outb(&bus, P + 2, 0x00);
    outb(&bus, P + 1, 0x07);
    outb(&bus, P + 4, 0x10);
    outb(&bus, P, 1);
    outb(&bus, P, 2);
    assert_int_equal(inb(&bus, P + 2), 0x06);
    assert_int_equal(inb(&bus, P + 5), 0x63);
    assert_int_equal(inb(&bus, P + 2), 0x04);
    assert_int_equal(inb(&bus, P), 2);
}

/* ---- A second 16550A, from the PC16550D data sheet: queues of characters, and each register as its table says. */

static struct {
    struct {
        uint8_t byte;
        bool broken;
    } rx[16];
    unsigned rx_count, tx_count;
    uint8_t tx[16], ier, fcr, lcr, mcr, delta, scratch, dll, dlm;
    bool overrun, thre;
} m;
static uint8_t model_sink[256];
static size_t model_sunk, model_room;
static uint32_t seed = 16550;

static unsigned any(unsigned below)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
}

static unsigned places(void)
{
    return m.fcr & 1 ? 16 : 1;
}

static void model_receive(uint8_t byte, bool broken)
{
    unsigned at = m.rx_count;
    if (m.rx_count == places()) {
        m.overrun = true;
        if (m.fcr & 1)
            return; /* the shift register is lost, not the FIFO */
        at = 0;     /* the holding register is overwritten */
    } else {
        m.rx_count++;
    }
    m.rx[at].byte = byte;
    m.rx[at].broken = broken;
}

static void model_sends(void)
{
    unsigned n = m.tx_count < model_room ? m.tx_count : (unsigned)model_room;
    memcpy(model_sink + model_sunk, m.tx, n);
    memmove(m.tx, m.tx + n, m.tx_count - n);
    model_sunk += n;
    model_room -= n;
    if (m.tx_count != 0 && n == m.tx_count)
        m.thre = true;
    m.tx_count -= n;
}

static bool is_broken(void)
{
    return m.rx_count != 0 && m.rx[0].broken;
}

/* Table 4 of the data sheet: the identification, by priority. */
static uint8_t model_iir(void)
{
    static const uint8_t triggers[] = {1, 4, 8, 14};
    unsigned trigger = m.fcr & 1 ? triggers[m.fcr >> 6] : 1;
    if ((m.ier & 4) && (m.overrun || is_broken()))
        return 6;
    if ((m.ier & 1) && m.rx_count != 0)
        return m.rx_count >= trigger ? 4 : 12;
    if ((m.ier & 2) && m.thre)
        return 2;
    return (m.ier & 8) && m.delta != 0 ? 0 : 1;
}

/* The other end is there, always; in loopback the inputs are RTS, DTR, OUT1, OUT2. */
static uint8_t model_modem(void)
{
    if (!(m.mcr & 0x10))
        return 0xb0;
    return (uint8_t)((m.mcr >> 1 & 1) << 4 | (m.mcr & 1) << 5 | (m.mcr >> 2 & 1) << 6 | (m.mcr >> 3 & 1) << 7);
}

static void model_write(unsigned reg, uint8_t value)
{
    uint8_t before = model_modem();
    bool dlab = m.lcr & 0x80;
    switch (reg) {
    case 0:
        if (dlab) {
            m.dll = value;
        } else if (m.mcr & 0x10) {
            model_receive(value, false);
            m.thre = true;
        } else {
            m.thre = false;
            if (m.tx_count < places())
                m.tx[m.tx_count++] = value;
            else if (!(m.fcr & 1))
                m.tx[0] = value;
            model_sends();
        }
        break;
    case 1:
        if (dlab) {
            m.dlm = value;
        } else {
            m.thre |= !(m.ier & 2) && (value & 2) && m.tx_count == 0;
            m.ier = value & 15;
        }
        break;
    case 2: {
        bool changes = (value ^ m.fcr) & 1;
        if (changes || (value & 2))
            m.rx_count = 0;
        if ((changes || (value & 4)) && m.tx_count != 0) {
            m.tx_count = 0;
            m.thre = true;
        }
        m.fcr = value & 1 ? value & 0xc1 : 0;
        break;
    }
    case 3: m.lcr = value; break;
    case 4:
        m.mcr = value & 0x1f;
        m.delta |= ((before ^ model_modem()) & 0xb0) >> 4;
        m.delta |= (before & ~model_modem() & 0x40) >> 4; /* RI: its end */
        model_sends();
        break;
    case 7: m.scratch = value; break;
    default: break;
    }
}

static uint8_t model_read(unsigned reg)
{
    bool dlab = m.lcr & 0x80;
    uint8_t value;
    switch (reg) {
    case 0:
        if (dlab)
            return m.dll;
        if (m.rx_count == 0)
            return 0;
        value = m.rx[0].byte;
        memmove(m.rx, m.rx + 1, sizeof m.rx - sizeof m.rx[0]);
        m.rx_count--;
        return value;
    case 1: return dlab ? m.dlm : m.ier;
    case 2:
        value = model_iir();
        if (value == 2)
            m.thre = false;
        return value | (m.fcr & 1 ? 0xc0 : 0);
    case 3: return m.lcr;
    case 4: return m.mcr;
    case 5:
        value = (uint8_t)((m.rx_count != 0) | m.overrun << 1 | is_broken() << 4 | (m.tx_count == 0 ? 0x60 : 0));
        m.overrun = false;
        m.rx[0].broken = false;
        return value;
    case 6:
        value = model_modem() | m.delta;
        m.delta = 0;
        return value;
    default: return m.scratch;
    }
}

static bool model_breaks(void)
{
    for (unsigned i = 0; i < m.rx_count; i++)
        if (m.rx[i].broken)
            return true;
    return false;
}

static void against_a_model(void **state)
{
    (void)state;
    memset(&m, 0, sizeof m);
    m.dll = 12;
    m.lcr = 3;
    room = model_room = 0;
    sunk = model_sunk = 0;
    for (unsigned round = 0; round < 200000; round++) {
        unsigned reg = any(8);
        uint8_t value = (uint8_t)any(256);
        switch (any(8)) {
        case 0:
        case 1:
            if (reg == 3 && any(4))
                value &= 0x7f;
            if (reg == 4 && any(2))
                value &= 0x0f;
            if (reg == 2 && any(2))
                value = 0xc1 & (value | 1);
            outb(&bus, (uint16_t)(P + reg), value);
            model_write(reg, value);
            break;
        case 2:
        case 3: assert_int_equal(inb(&bus, (uint16_t)(P + reg)), model_read(reg)); break;
        case 4: {
            uint8_t bytes[3] = {value, (uint8_t)(value + 1), (uint8_t)(value + 2)};
            size_t fits = m.mcr & 0x10 ? 0 : places() - m.rx_count, n = 1 + any(3);
            assert_int_equal(uart_room(&u), fits);
            assert_int_equal(uart_receive(&u, bytes, n), n < fits ? n : fits);
            for (size_t i = 0; i < n && i < fits; i++)
                model_receive(bytes[i], false);
            break;
        }
        case 5:
            if (any(4) == 0) {
                bool taken = !(m.mcr & 0x10) && m.rx_count < places() && !model_breaks();
                uart_break(&u);
                if (taken)
                    model_receive(0, true);
            }
            break;
        case 6: /* the sink has room again */
            assert_int_equal(sunk, model_sunk);
            assert_memory_equal(sink, model_sink, sunk);
            sunk = model_sunk = 0;
            room = model_room = any(3) ? any(20) : 0;
            break;
        default:
            uart_pump(&u);
            model_sends();
            break;
        }
        assert_int_equal(lines.level[4], model_iir() != 1);
    }
}

/* After a reset: as firmware leaves it. */
static void after_reset(void **state)
{
    (void)state;
    static const uint8_t values[] = {0, 0, 0x01, 3, 0, 0x60, 0xb0, 0};
    for (unsigned reg = 0; reg < 8; reg++)
        assert_int_equal(inb(&bus, (uint16_t)(P + reg)), values[reg]);
    outb(&bus, P + 3, 0x83);
    assert_int_equal(inb(&bus, P) | inb(&bus, P + 1) << 8, 12); /* 9600 baud */
    assert_int_equal(uart_place(&u, &bus, 0xfff8, 4), OK);
    assert_int_equal(uart_place(&u, &bus, 0xfff9, 4), E_ARG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(autoconfig, setup),      cmocka_unit_test_setup(breaks, setup),
        cmocka_unit_test_setup(loopback, setup),        cmocka_unit_test_setup(transmit, setup),
        cmocka_unit_test_setup(back_pressure, setup),   cmocka_unit_test_setup(receive, setup),
        cmocka_unit_test_setup(against_a_model, setup), cmocka_unit_test_setup(after_reset, setup)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
