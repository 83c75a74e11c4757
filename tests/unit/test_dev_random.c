// SPDX-License-Identifier: Apache-2.0
/* All devices on one bus, touched at random for a long while: nothing may be read or written outside its array, loop
 * for ever, or promise an event in the past for ever. The seed is fixed, so a failure comes back. */
// sources: vmm/devices/bus.c vmm/stream.c vmm/memory.c vmm/devices/clock.c vmm/devices/irq.c vmm/devices/pic.c vmm/devices/ioapic.c vmm/devices/lapic.c
// sources: vmm/devices/lapic_route.c vmm/devices/lapic_timer.c vmm/devices/pit.c vmm/devices/rtc.c vmm/devices/uart.c vmm/devices/pci.c
// sources: vmm/devices/pm.c vmm/devices/kbd.c vmm/test/debugexit.c
#include "dev_test.h"
#include "vmm/devices/ioapic.h"
#include "vmm/devices/lapic.h"
#include "vmm/devices/layout.h"
#include "vmm/devices/legacy.h"
#include "vmm/devices/pci.h"
#include "vmm/devices/pic.h"
#include "vmm/devices/pit.h"
#include "vmm/devices/pm.h"
#include "vmm/devices/rtc.h"
#include "vmm/devices/uart.h"

#define CPUS 3
static struct bus bus;
static struct clock clk = {.now = 1000, .khz = 2000000};
static struct pic pic;
static struct ioapic io;
static struct lapic cpu[CPUS];
static struct vcpu_state page[CPUS]; /* the second CPU's x2APIC is the hardware's, which does nothing here */
static struct apic_set set;
static struct irq_router router = {.pic = &pic, .ioapic = &io};
static struct pit pit;
static struct rtc rtc;
static struct uart uart;
static struct pci pci;
static struct pm pm;
static struct kbd kbd;
static struct ignored_ports ignored;
static struct debug_exit debug;
static uint64_t seed = 0x243f6a8885a308d3ull;

static uint32_t rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 16);
}

static size_t on_write(void *context, const uint8_t *bytes, size_t count)
{
    (void)context, (void)bytes;
    return rnd() % (count + 1);
}

static void on_deliver(void *context, const struct interrupt_message *m)
{
    (void)context;
    apic_set_deliver(&set, m);
}

static void on_eoi(void *context, uint8_t vector)
{
    (void)context;
    ioapic_eoi(&io, vector);
}

static void attach(void)
{
    struct irq_sink irq = {.gsi = irq_router_gsi, .context = &router};
    struct power_sink power = {0};
    bus_init(&bus);
    set.eoi = on_eoi;
    set.physical_bits = 52;
    page[1].apic_offer = APIC_BY_CPU;
    for (unsigned i = 0; i < CPUS; i++)
        lapic_init(&cpu[i], &set, i, &page[i], clk.khz);
    assert_int_equal(pic_init(&pic, &bus, NULL, NULL), OK);
    assert_int_equal(ioapic_init(&io, &bus, LAYOUT_IOAPIC_BASE, on_deliver, NULL), OK);
    assert_int_equal(pit_init(&pit, &bus, &clk, &irq), OK);
    assert_int_equal(rtc_init(&rtc, &bus, &clk, &irq, &(struct rtc_contents){1700000000, 1ull << 30, 0}), OK);
    uart_make(&uart, &irq, on_write, NULL);
    assert_int_equal(uart_place(&uart, &bus, 0x3f8, 4), OK);
    assert_int_equal(pci_init(&pci, &bus, &irq), OK);
    assert_int_equal(pm_init(&pm, &bus, &clk, &irq, &power), OK);
    assert_int_equal(kbd_init(&kbd, &bus, &power), OK);
    assert_int_equal(ignored_ports_init(&ignored, &bus), OK);
    assert_int_equal(debug_exit_init(&debug, &bus, 0xf4, &power), OK);
}

static void touch(void)
{
    static const uint16_t near[] = {0x20,  0xa0,  0x40, 0x61, 0x70,  0x3f8, 0xcf8,
                                    0xcfc, 0x600, 0x60, 0x80, 0x4d0, 0xf4,  0xfffe};
    uint32_t value = rnd();
    uint64_t wide = (uint64_t)rnd() << 32 | rnd(), gpa;
    struct lapic *l = &cpu[rnd() % CPUS];
    unsigned size = 1u << rnd() % 3;
    switch (rnd() % 6) {
    case 0:
    case 1:
    case 2: (void)bus_port(&bus, (uint16_t)(near[rnd() % 14] + rnd() % 8), size, rnd() & 1, &value); break;
    case 3:
        gpa = (rnd() & 1 ? LAYOUT_IOAPIC_BASE : LAYOUT_ECAM_BASE) + (rnd() & 1 ? rnd() % 0x80 : rnd() % 0x2000);
        (void)bus_memory(&bus, gpa, 1u << rnd() % 4, rnd() & 1, &wide);
        break;
    case 4:
        lapic_mmio(l, clk.now, (rnd() % 0x40) << 4 | (rnd() % 8 ? 0 : rnd() & 15), 1u << rnd() % 4, rnd() & 1, &wide);
        break;
    default: {
        uint32_t index = rnd() % 16 ? 0x800 + rnd() % 0x40 : rnd() & 1 ? MSR_APIC_BASE : MSR_TSC_DEADLINE;
        if (index == MSR_APIC_BASE)
            wide = LAYOUT_LAPIC_BASE | (wide & 0xc00);
        (void)(rnd() & 1 ? lapic_wrmsr(l, clk.now, index, rnd() & 1 ? wide : value)
                         : lapic_rdmsr(l, clk.now, index, &wide));
        break;
    }
    }
}

static void random_touches(void **state)
{
    (void)state;
    attach();
    for (unsigned i = 0; i < 600000; i++) {
        touch();
        clk.now += rnd() % 16 ? rnd() % 5000 : rnd();
        pit_device.advance(&pit);
        rtc_device.advance(&rtc);
        pm_advance(&pm);
        assert_true(pit_device.next_event(&pit) > clk.now);
        assert_true(rtc_device.next_event(&rtc) > clk.now);
        assert_true(pm_next_event(&pm) > clk.now);
        for (unsigned c = 0; c < CPUS; c++) {
            uint8_t sipi;
            lapic_advance(&cpu[c], clk.now);
            assert_true(lapic_next_deadline(&cpu[c]) > clk.now);
            if (lapic_take_mail(&cpu[c], &sipi) & LAPIC_MAIL_INIT)
                lapic_reset(&cpu[c], false);
            lapic_take_requests(&cpu[c]);
            int vector = lapic_highest_pending(&cpu[c]);
            assert_true(vector == -1 || (vector >= 16 && vector < 256));
            assert_false(c != 1 && lapic_by_cpu(&cpu[c]));
            if (vector >= 0 && !lapic_by_cpu(&cpu[c]) && rnd() % 2)
                lapic_accept(&cpu[c], (uint8_t)vector);
        }
        int vector = pic_peek(&pic);
        assert_int_equal(vector >= 0, atomic_load(&pic.output));
        if (vector >= 0)
            rnd() % 2 ? pic_accept(&pic, (uint8_t)vector) : (void)pic_inta(&pic);
        if (i % 64 == 0) {
            uart_pump(&uart);
            (void)uart_receive(&uart, (const uint8_t *)"0123456789abcdefghij", rnd() % 21);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_touches)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
