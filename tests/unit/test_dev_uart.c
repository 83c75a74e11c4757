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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(autoconfig, setup),    cmocka_unit_test_setup(breaks, setup),
        cmocka_unit_test_setup(loopback, setup),      cmocka_unit_test_setup(transmit, setup),
        cmocka_unit_test_setup(back_pressure, setup), cmocka_unit_test_setup(receive, setup)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
