// SPDX-License-Identifier: Apache-2.0
/* ACPI fixed hardware, the ways to reset and power off, the keyboard controller, the debug-exit port. */
// sources: vmm/devices/bus.c vmm/stream.c vmm/memory.c vmm/devices/clock.c vmm/devices/pm.c vmm/devices/pci.c vmm/devices/kbd.c vmm/test/debugexit.c
#include "dev_test.h"
#include "vmm/devices/layout.h"
#include "vmm/devices/legacy.h"
#include "vmm/devices/pci.h"
#include "vmm/devices/pm.h"

#define KHZ 3000000ull
static struct bus bus;
static struct clock clk;
static struct pm pm;
static struct pci pci;
static struct kbd kbd;
static struct ignored_ports ignored;
static struct debug_exit debug;
static struct lines lines;
static unsigned offs, resets, exits;
static uint32_t exit_code;

static void on_off(void *context)
{
    (void)context;
    offs++;
}
static void on_reset(void *context)
{
    (void)context;
    resets++;
}
static void on_exit_code(void *context, uint32_t code)
{
    (void)context;
    exits++;
    exit_code = code;
}

static int setup(void **state)
{
    (void)state;
    struct irq_sink irq = {.gsi = lines_gsi, .context = &lines};
    struct power_sink power = {NULL, on_off, on_reset, on_exit_code};
    memset(&lines, 0, sizeof lines);
    offs = resets = exits = 0;
    clk = (struct clock){.now = 1ull << 40, .khz = KHZ};
    bus_init(&bus);
    assert_int_equal(pm_init(&pm, &bus, &clk, &irq, &power), OK);
    assert_int_equal(pci_init(&pci, &bus, &irq), OK);
    assert_int_equal(kbd_init(&kbd, &bus, &power), OK);
    assert_int_equal(ignored_ports_init(&ignored, &bus), OK);
    assert_int_equal(debug_exit_init(&debug, &bus, 0xf4, &power), OK);
    return 0;
}

static void timer(void **state)
{
    (void)state;
    assert_int_equal(inl(&bus, LAYOUT_PM_TMR), 0);
    clk.now += KHZ * 1000;
    assert_int_equal(inl(&bus, LAYOUT_PM_TMR), PM_TIMER_HZ);
    assert_int_equal(inb(&bus, LAYOUT_PM_TMR + 1), PM_TIMER_HZ >> 8 & 0xff);
    outw(&bus, LAYOUT_PM1A_EVT + 2, 0x0001);
    assert_int_equal(inw(&bus, LAYOUT_PM1A_EVT + 2), 1);
    uint64_t due = pm_next_event(&pm);
    assert_in_range(due, (1ull << 40) + KHZ * 599000, (1ull << 40) + KHZ * 600000);
    clk.now = due - 1;
    pm_advance(&pm);
    assert_false(lines.level[9]);
    clk.now = due;
    pm_advance(&pm);
    assert_true(lines.level[9]);
    assert_int_equal(inl(&bus, LAYOUT_PM_TMR), 0x80000000);
    assert_int_equal(inw(&bus, LAYOUT_PM1A_EVT), 1);
    assert_int_equal(pm_next_event(&pm), CLOCK_NEVER);
    outw(&bus, LAYOUT_PM1A_EVT, 1);
    assert_false(lines.level[9]);
    assert_true(pm_next_event(&pm) > due);
}

static void button_and_poweroff(void **state)
{
    (void)state;
    pm_power_button(&pm);
    assert_false(lines.level[9]); /* not enabled */
    outb(&bus, LAYOUT_PM1A_EVT + 3, 0x01);
    assert_true(lines.level[9]);
    outb(&bus, LAYOUT_PM1A_EVT, 0xff); /* the other byte */
    assert_true(lines.level[9]);
    outb(&bus, LAYOUT_PM1A_EVT + 1, 0x01);
    assert_false(lines.level[9]);
    assert_int_equal(inw(&bus, LAYOUT_PM1A_CNT), 1); /* ACPI mode from the start */
    outw(&bus, LAYOUT_PM1A_CNT, LAYOUT_SLP_TYP_S5 << 10 | 1);
    assert_int_equal(offs, 0);
    outw(&bus, LAYOUT_PM1A_CNT, 1 << 10 | 0x2001); /* some other sleep */
    assert_int_equal(offs, 0);
    outw(&bus, LAYOUT_PM1A_CNT, LAYOUT_SLP_TYP_S5 << 10 | 0x2001);
    assert_int_equal(offs, 1);
    assert_int_equal(inw(&bus, LAYOUT_PM1A_CNT), LAYOUT_SLP_TYP_S5 << 10 | 1); /* SLP_EN reads 0 */
    outl(&bus, LAYOUT_GPE0, 0xffffffff);
    assert_int_equal(inl(&bus, LAYOUT_GPE0), 0xffff0000);
}

static void reset(void **state)
{
    (void)state;
    outb(&bus, LAYOUT_RESET_PORT, 0x02);
    assert_int_equal(resets, 0);
    assert_int_equal(inb(&bus, LAYOUT_RESET_PORT), 0x02);
    outb(&bus, LAYOUT_RESET_PORT, LAYOUT_RESET_VALUE);
    assert_int_equal(resets, 1);
    outl(&bus, 0xcf8, 0x80000600); /* PCI's register is another one */
    assert_int_equal(resets, 1);
    assert_int_equal(inl(&bus, 0xcf8), 0x80000600);
    outb(&bus, 0x64, 0xfe);
    assert_int_equal(resets, 2);
    outb(&bus, 0x64, 0xff);
    assert_int_equal(resets, 2);
    outb(&bus, 0x64, 0xd1);
    outb(&bus, 0x60, 0xfe);
    assert_int_equal(resets, 3);
    outb(&bus, 0x92, 0x02);
    assert_int_equal(resets, 3);
    assert_int_equal(inb(&bus, 0x92), 0x02);
    outb(&bus, 0x92, 0x03);
    assert_int_equal(resets, 4);
}

/* A driver's probing: flush, self-test, configuration, no mouse, no keyboard. */
static void keyboard(void **state)
{
    (void)state;
    assert_int_equal(inb(&bus, 0x64) & 3, 0);
    outb(&bus, 0x64, 0x20);
    assert_int_equal(inb(&bus, 0x64) & 3, 1);
    assert_int_equal(inb(&bus, 0x60), 0x34);
    outb(&bus, 0x64, 0x60);
    outb(&bus, 0x60, 0x47);
    outb(&bus, 0x64, 0x20);
    assert_int_equal(inb(&bus, 0x60), 0x47);
    outb(&bus, 0x64, 0xaa);
    assert_int_equal(inb(&bus, 0x60), 0x55);
    outb(&bus, 0x64, 0xd3);
    outb(&bus, 0x60, 0x5a);
    assert_int_equal(inb(&bus, 0x64) & 0x21, 0x01); /* not from a mouse */
    (void)inb(&bus, 0x60);
    outb(&bus, 0x64, 0xa9);
    assert_int_equal(inb(&bus, 0x60), 1);
    outb(&bus, 0x60, 0xf2); /* to a keyboard: no answer */
    assert_int_equal(inb(&bus, 0x64) & 3, 0);
    for (unsigned c = 0; c < 0xf0; c++) {
        outb(&bus, 0x64, c);
        (void)inb(&bus, 0x60);
    }
    assert_int_equal(resets, 0);
}

static void others(void **state)
{
    (void)state;
    outb(&bus, 0x80, 0x42);
    outb(&bus, 0x87, 0x11);
    assert_int_equal(inb(&bus, 0x87), 0x11);
    outb(&bus, 0xf4, 0x31);
    assert_int_equal(exits, 1);
    assert_int_equal(exit_code, 0x31);
    outl(&bus, 0xf4, 0x12345678);
    assert_int_equal(exit_code, 0x12345678);
    assert_int_equal(inb(&bus, 0xf4), 0);
    struct debug_exit more;
    struct power_sink none = {0};
    assert_int_equal(debug_exit_init(&more, &bus, 0xffff, &none), E_ARG);
    assert_int_equal(debug_exit_init(&more, &bus, 0xf6, &none), E_OVERLAP);
    assert_int_equal(debug_exit_init(&more, &bus, 0x501, &none), OK);
    outb(&bus, 0x501, 1);
}

/* Every command of the 8042: what it answers, whether a byte follows, whether it pulls the reset line. */
static void every_command(void **state)
{
    for (unsigned c = 0; c < 256; c++) {
        setup(state);
        bool follows = c == 0x60 || (c >= 0xd1 && c <= 0xd4), pulls = c >= 0xf0 && c % 2 == 0;
        int answer = -1;
        switch (c) {
        case 0x20: answer = 0x34; break;
        case 0xa9:
        case 0xab: answer = 1; break; /* nothing is attached */
        case 0xaa: answer = 0x55; break;
        case 0xc0: answer = 0x80; break;
        case 0xd0: answer = 3; break;
        default: break;
        }
        outb(&bus, 0x64, c);
        assert_int_equal(inb(&bus, 0x64), 0x14 | (follows ? 8 : 0) | (answer >= 0 ? 1 : 0));
        if (answer >= 0)
            assert_int_equal(inb(&bus, 0x60), answer);
        assert_int_equal(resets, pulls);
        outb(&bus, 0x60, 0xa5); /* A20 open, the reset line high */
        assert_int_equal(inb(&bus, 0x64), 0x14 | (c == 0xd2 || c == 0xd3 ? 1 : 0));
        if (c == 0xd2 || c == 0xd3)
            assert_int_equal(inb(&bus, 0x60), 0xa5);
        assert_int_equal(inb(&bus, 0x64), 0x14);
        outb(&bus, 0x60, 0x5a); /* one byte follows, no second */
        assert_int_equal(resets, pulls);
        outb(&bus, 0x64, 0x20);
        assert_int_equal(inb(&bus, 0x60), c == 0x60 ? 0xa5 : c == 0xae ? 0x24 : c == 0xa8 ? 0x14 : 0x34);
    }
    outb(&bus, 0x64, 0x60);
    outb(&bus, 0x60, 0);
    outb(&bus, 0x64, 0xad);
    outb(&bus, 0x64, 0xa7);
    outb(&bus, 0x64, 0x20);
    assert_int_equal(inb(&bus, 0x60), 0x30); /* both interfaces off */
    for (unsigned v = 0; v < 256; v += 2) {  /* port A: bit 0 resets, A20 stays open */
        outb(&bus, 0x92, v);
        assert_int_equal(inb(&bus, 0x92), v | 2);
    }
}

/* Bit by bit what a write of ACPI's fixed registers reaches (ACPI 6.4, 4.8.3). */
static void fixed_registers(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < 16; bit++) {
        bool enables = bit == 0 || bit == 5 || bit == 8 || bit == 9 || bit == 10; /* timer, global, buttons, RTC */
        outw(&bus, LAYOUT_PM1A_EVT + 2, 1u << bit);
        assert_int_equal(inw(&bus, LAYOUT_PM1A_EVT + 2), enables ? 1u << bit : 0);
        bool kept = bit != 0 && bit != 13; /* SCI_EN is the machine's, SLP_EN reads 0; BM_RLD and SLP_TYP stay */
        outw(&bus, LAYOUT_PM1A_CNT, 1u << bit);
        assert_int_equal(inw(&bus, LAYOUT_PM1A_CNT), 1 | (kept && (0x1c02 >> bit & 1) ? 1u << bit : 0));
        outb(&bus, LAYOUT_RESET_PORT, (1u << bit & 0xff) & ~4u);
        assert_int_equal(inb(&bus, LAYOUT_RESET_PORT), 1u << bit & 0x0a);
    }
    assert_true(resets == 0 && offs == 0);
    for (unsigned type = 0; type < 8; type++) {
        outw(&bus, LAYOUT_PM1A_CNT, type << 10 | 1u << 13);
        assert_int_equal(offs, type >= 5);
    }
    outw(&bus, LAYOUT_PM1A_EVT + 2, 0);
    pm_power_button(&pm);
    outw(&bus, LAYOUT_PM1A_EVT, ~(1u << 8) & 0xffff); /* each status bit is cleared by its own 1 */
    assert_int_equal(inw(&bus, LAYOUT_PM1A_EVT), 1u << 8);
    outw(&bus, LAYOUT_PM1A_EVT, 1u << 8);
    assert_int_equal(inw(&bus, LAYOUT_PM1A_EVT), 0);
    for (unsigned at = 0; at < 4; at++) {
        outb(&bus, (uint16_t)(LAYOUT_GPE0 + at), 0xa0 + at);
        assert_int_equal(inb(&bus, (uint16_t)(LAYOUT_GPE0 + at)), at < 2 ? 0 : 0xa0 + at);
    }
    clk.now += KHZ * 77777;
    uint32_t ticks = inl(&bus, LAYOUT_PM_TMR);
    for (unsigned at = 0; at < 4; at++)
        assert_int_equal(inb(&bus, (uint16_t)(LAYOUT_PM_TMR + at)), ticks >> 8 * at & 0xff);
    for (unsigned at = 0; at < 16; at++)
        outb(&bus, (uint16_t)(0x80 + at), 0x30 + at);
    for (unsigned at = 0; at < 16; at++)
        assert_int_equal(inb(&bus, (uint16_t)(0x80 + at)), 0x30 + at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(timer, setup),          cmocka_unit_test_setup(button_and_poweroff, setup),
        cmocka_unit_test_setup(reset, setup),          cmocka_unit_test_setup(keyboard, setup),
        cmocka_unit_test_setup(others, setup),         cmocka_unit_test(every_command),
        cmocka_unit_test_setup(fixed_registers, setup)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
