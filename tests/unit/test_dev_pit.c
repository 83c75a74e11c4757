// SPDX-License-Identifier: Apache-2.0
/* The 8254: calibration as operating systems do it, the modes, latches, interrupts. */
// sources: vmm/devices/bus.c vmm/stream.c vmm/memory.c vmm/devices/clock.c vmm/devices/pit.c
#include "dev_test.h"
#include "vmm/devices/pit.h"

#define KHZ   2386364ull /* 2000 ticks in a PIT cycle, exactly */
#define CYCLE 2000ull
static struct bus bus;
static struct clock clk;
static struct pit pit;
static struct lines lines;
static enum irq_fate fate;

static enum irq_fate fate_of(void *context, unsigned gsi)
{
    assert_ptr_equal(context, &lines);
    assert_int_equal(gsi, 0);
    return fate;
}

static int setup(void **state)
{
    (void)state;
    struct irq_sink irq = {.gsi = lines_gsi, .context = &lines, .fate = fate_of};
    fate = IRQ_TAKEN;
    memset(&lines, 0, sizeof lines);
    clk = (struct clock){.now = 123456 * CYCLE, .khz = KHZ};
    bus_init(&bus);
    assert_int_equal(pit_init(&pit, &bus, &clk, &irq), OK);
    return 0;
}

static void run(uint64_t cycles)
{
    clk.now += cycles * CYCLE;
    pit_device.advance(&pit);
}

static uint16_t read16(unsigned n)
{
    uint8_t low = inb(&bus, (uint16_t)(0x40 + n));
    return (uint16_t)(low | inb(&bus, (uint16_t)(0x40 + n)) << 8);
}

/* Linux's pit_calibrate_tsc: gate on, speaker off, channel 2 mode 0, wait for output 2. */
static void calibrate(void **state)
{
    (void)state;
    unsigned latch = PIT_HZ / 100;
    outb(&bus, 0x61, (inb(&bus, 0x61) & ~2u) | 1);
    outb(&bus, 0x43, 0xb0);
    outb(&bus, 0x42, latch & 0xff);
    outb(&bus, 0x42, latch >> 8);
    uint64_t start = clk.now;
    while (!(inb(&bus, 0x61) & 0x20)) {
        clk.now += 3 * CYCLE;
        assert_true(clk.now - start < 20 * KHZ);
    }
    assert_in_range(clk.now - start, 10 * KHZ - 10 * CYCLE, 10 * KHZ + 10 * CYCLE);
    /* quick_pit_calibrate: free-running from 0xffff, the high byte is watched */
    outb(&bus, 0x43, 0xb0);
    outb(&bus, 0x42, 0xff);
    outb(&bus, 0x42, 0xff);
    assert_int_equal(read16(2), 0xffff);
    run(0x180);
    assert_int_equal(read16(2), 0xfe7f);
    run(0xffff); /* wraps round */
    assert_int_equal(read16(2), 0xfe80);
}

static void gate(void **state)
{
    (void)state;
    outb(&bus, 0x61, 1);
    outb(&bus, 0x43, 0xb0);
    outb(&bus, 0x42, 100);
    outb(&bus, 0x42, 0);
    run(30);
    outb(&bus, 0x61, 0);
    run(1000);
    assert_int_equal(read16(2), 70);
    assert_int_equal(inb(&bus, 0x61) & 0x23, 0);
    outb(&bus, 0x61, 3);
    run(69);
    assert_int_equal(inb(&bus, 0x61) & 0x23, 0x03);
    run(1);
    assert_int_equal(inb(&bus, 0x61) & 0x23, 0x23);
    /* mode 1: the gate's rise starts it */
    outb(&bus, 0x61, 0);
    outb(&bus, 0x43, 0xb2);
    outb(&bus, 0x42, 50);
    outb(&bus, 0x42, 0);
    run(100);
    assert_int_equal(inb(&bus, 0x61) & 0x20, 0x20);
    outb(&bus, 0x61, 1);
    assert_int_equal(inb(&bus, 0x61) & 0x20, 0);
    run(50);
    assert_int_equal(inb(&bus, 0x61) & 0x20, 0x20);
    /* mode 3 with the gate low rests high */
    outb(&bus, 0x61, 1);
    outb(&bus, 0x43, 0xb6);
    outb(&bus, 0x42, 100);
    outb(&bus, 0x42, 0);
    run(60);
    assert_int_equal(inb(&bus, 0x61) & 0x20, 0);
    outb(&bus, 0x61, 0);
    assert_int_equal(inb(&bus, 0x61) & 0x20, 0x20);
    uint8_t before = inb(&bus, 0x61) & 0x10;
    run(18);
    assert_int_not_equal(inb(&bus, 0x61) & 0x10, before);
}

static void periodic(void **state)
{
    (void)state;
    assert_int_equal(pit_device.next_event(&pit), CLOCK_NEVER);
    outb(&bus, 0x43, 0x34); /* mode 2, 250 Hz as a kernel would */
    outb(&bus, 0x40, 4773 & 0xff);
    outb(&bus, 0x40, 4773 >> 8);
    uint64_t start = clk.now;
    for (unsigned i = 1; i <= 10; i++) {
        assert_int_equal(pit_device.next_event(&pit), start + i * 4773 * CYCLE);
        clk.now = pit_device.next_event(&pit) - 1;
        pit_device.advance(&pit);
        assert_int_equal(lines.rises[0], i - 1);
        clk.now++;
        pit_device.advance(&pit);
        assert_int_equal(lines.rises[0], i);
    }
    fate = IRQ_WAITS; /* does not matter */
    run(4773 * 7);    /* missed ones melt into one, for nothing is replayed */
    assert_int_equal(lines.rises[0], 11);
    run(100);
    assert_int_equal(read16(0), 4673);
    /* latch: the value stands while time goes on */
    outb(&bus, 0x43, 0x00);
    run(200);
    outb(&bus, 0x43, 0x00); /* a second latch is ignored */
    assert_int_equal(read16(0), 4673);
    assert_int_equal(read16(0), 4473);
    /* read-back: status first, then count */
    outb(&bus, 0x43, 0xc2);
    assert_int_equal(inb(&bus, 0x40), 0xb4);
    assert_int_equal(read16(0), 4473);
    outb(&bus, 0x43, 0x34);
    outb(&bus, 0x43, 0xe2);
    assert_int_equal(inb(&bus, 0x40), 0xf4); /* null count */
    /* shut down as Linux does: mode 0, count 0 */
    outb(&bus, 0x43, 0x30);
    outb(&bus, 0x40, 0);
    outb(&bus, 0x40, 0);
    assert_false(lines.level[0]);
    assert_int_equal(pit_device.next_event(&pit), clk.now + 65536 * CYCLE);
    run(65536);
    assert_int_equal(lines.rises[0], 12);
    assert_int_equal(pit_device.next_event(&pit), CLOCK_NEVER);
    /* one-shot, mode 4 */
    outb(&bus, 0x43, 0x38);
    outb(&bus, 0x40, 0xe8);
    outb(&bus, 0x40, 0x03);
    assert_int_equal(pit_device.next_event(&pit), clk.now + 1000 * CYCLE);
    run(1000);
    assert_int_equal(lines.rises[0], 13);
    assert_int_equal(pit_device.next_event(&pit), CLOCK_NEVER);
}

#define RATE_1000 1193u
static void program_1000_hz(void)
{
    outb(&bus, 0x43, 0x34);
    outb(&bus, 0x40, RATE_1000 & 0xff);
    outb(&bus, 0x40, RATE_1000 >> 8);
}

/* A tenth of a CPU: every 100 ms the guest runs for 10 ms. In the end it has had every tick, and never more. */
static void lost_ticks_come_later(void **state)
{
    (void)state;
    pit.replays = true;
    program_1000_hz();
    uint64_t start = clk.now;
    for (unsigned period = 1; period <= 20; period++) {
        clk.now = start + 90 * period * KHZ + 10 * (period - 1) * KHZ;
        uint64_t end = clk.now + 10 * KHZ, last = 0;
        for (uint64_t due; pit_device.advance(&pit), (due = pit_device.next_event(&pit)) < end;) {
            unsigned before = lines.rises[0];
            clk.now = due > clk.now ? due : clk.now;
            pit_device.advance(&pit);
            assert_in_range(lines.rises[0] - before, 0, 1);
            assert_true((uint64_t)lines.rises[0] * RATE_1000 * CYCLE <= clk.now - start);
            if (lines.rises[0] != before) {
                if (last != 0) /* at most twenty times the rate */
                    assert_true(clk.now - last >= (RATE_1000 * CYCLE - 1) / PIT_CATCH_UP);
                last = clk.now;
            }
        }
        clk.now = end;
    }
    assert_int_equal(lines.rises[0], (clk.now - start) / (RATE_1000 * CYCLE));
    assert_int_equal(pit.owed, 0);
}

static void a_tick_that_waits_holds_the_next(void **state)
{
    (void)state;
    pit.replays = true;
    program_1000_hz();
    run(RATE_1000);
    assert_int_equal(lines.rises[0], 1);
    fate = IRQ_WAITS; /* interrupts off */
    for (unsigned i = 0; i < 50; i++) {
        uint64_t due = pit_device.next_event(&pit);
        clk.now = due > clk.now ? due : clk.now;
        pit_device.advance(&pit);
        assert_true(pit_device.next_event(&pit) > clk.now);
    }
    assert_int_equal(lines.rises[0], 1);
    uint64_t owed = pit.owed;
    assert_true(owed >= 2);
    fate = IRQ_TAKEN;
    while (pit.owed != 0) {
        clk.now = pit_device.next_event(&pit);
        pit_device.advance(&pit);
    }
    assert_true(lines.rises[0] >= 1 + owed);
    /* A masked line is pulsed as ever, and nothing is kept for it. */
    unsigned before = lines.rises[0];
    fate = IRQ_MASKED;
    run(100 * RATE_1000);
    assert_int_equal(lines.rises[0], before + 1);
    assert_int_equal(pit.owed, 0);
    /* A new count begins anew; a short period is not caught up with; what is owed has an end. */
    fate = IRQ_WAITS;
    run(100 * RATE_1000);
    assert_int_equal(pit.owed, 100);
    program_1000_hz();
    assert_int_equal(pit.owed, 0);
    run(1000000ull * RATE_1000);
    assert_int_equal(pit.owed, PIT_OWED_MAX);
    fate = IRQ_TAKEN;
    outb(&bus, 0x43, 0x14);
    outb(&bus, 0x40, 100);
    run(100000);
    assert_int_equal(pit.owed, 0);
}

static void odd_requests(void **state)
{
    (void)state;
    /* the shortest period is bounded in its interrupts */
    outb(&bus, 0x43, 0x14);
    outb(&bus, 0x40, 1);
    run(2);
    unsigned before = lines.rises[0];
    assert_true(pit_device.next_event(&pit) >= clk.now + KHZ / 10 - 1);
    run(1);
    assert_int_equal(lines.rises[0], before);
    /* BCD */
    outb(&bus, 0x43, 0x35);
    outb(&bus, 0x40, 0x00);
    outb(&bus, 0x40, 0x10);
    run(1);
    assert_int_equal(read16(0), 0x0999);
    outb(&bus, 0x43, 0x31);
    outb(&bus, 0x40, 0);
    outb(&bus, 0x40, 0);
    run(1);
    assert_int_equal(read16(0), 0x9999);
    /* every control word, every channel, with counts: nothing breaks */
    for (unsigned control = 0; control < 256; control++)
        for (unsigned n = 0; n < 3; n++) {
            outb(&bus, 0x43, control);
            outb(&bus, (uint16_t)(0x40 + n), control * 7 & 0xff);
            outb(&bus, 0x61, control & 1);
            run(control * 131 + 1);
            (void)read16(n);
            assert_true(pit_device.next_event(&pit) > clk.now);
        }
    assert_int_equal(inb(&bus, 0x43), 0xff);
}

/* ---- A second counter, clock by clock (82C54 data sheet): channel 2, whose gate is in port 61h. */

static struct {
    unsigned mode, access, reload, count, modulus, at;
    bool bcd, written, running, gate, out;
} m;
static uint32_t seed = 8254;

static unsigned any(unsigned below)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
}

static void model_clock(void)
{
    bool by_gate = m.mode == 1 || m.mode == 5;
    if (!m.running || (!m.gate && !by_gate))
        return;
    m.at = (m.at + 1) % m.reload;
    m.count = (m.count + m.modulus - (m.mode == 3 ? 2 : 1)) % m.modulus;
    switch (m.mode) {
    case 0:
    case 1: m.out |= m.count == 0; break;
    case 2:
        if (m.count == 0)
            m.count = m.reload % m.modulus;
        m.out = m.at != m.reload - 1;
        break;
    case 3:
        if (m.count == 0)
            m.count = m.reload % m.modulus;
        m.out = m.at < (m.reload + 1) / 2;
        break;
    default: m.out = m.count != 0; break;
    }
}

static void model_start(void)
{
    m.count = m.reload % m.modulus;
    m.at = 0;
    m.running = true;
    m.out = m.mode > 1;
}

static void model_gate(bool gate)
{
    if (gate && !m.gate && (m.mode == 2 || m.mode == 3 ? m.running : m.written && (m.mode == 1 || m.mode == 5)))
        model_start();
    if (!gate && (m.mode == 2 || m.mode == 3))
        m.out = true;
    m.gate = gate;
}

static unsigned to_digits(unsigned v)
{
    return m.bcd ? v % 10 | v / 10 % 10 << 4 | v / 100 % 10 << 8 | v / 1000 % 10 << 12 : v;
}

static void write_both(unsigned count)
{
    unsigned digits = to_digits(count % m.modulus);
    if (m.access & 1)
        outb(&bus, 0x42, digits & 0xff);
    if (m.access == 3) { /* half a count stops mode 0, and nothing else */
        m.out &= m.mode != 0;
        assert_int_equal(inb(&bus, 0x61) >> 5 & 1, m.out);
    }
    if (m.access & 2)
        outb(&bus, 0x42, digits >> 8);
    m.reload = count;
    m.written = true;
    if (m.mode != 1 && m.mode != 5)
        model_start();
}

/* A count that one or two bytes can give: modes 2 and 3 have none of one clock. */
static unsigned any_count(void)
{
    unsigned byte = m.bcd ? 100 : 256, low = 2 + any(any(2) ? byte - 2 : 20);
    if (m.access == 1)
        return low;
    if (m.access == 2)
        return byte * (1 + any(3));
    return any(8) == 0 ? m.modulus : byte * any(3) + low;
}

static void program(void)
{
    m.mode = any(6);
    m.access = 1 + any(3);
    m.bcd = any(2);
    m.modulus = m.bcd ? 10000 : 65536;
    m.written = m.running = false;
    m.out = m.mode != 0;
    outb(&bus, 0x43, 0x80 | m.access << 4 | (m.mode + (m.mode == 2 || m.mode == 3 ? 4 * any(2) : 0)) << 1 | m.bcd);
}

static void check_status(void)
{
    outb(&bus, 0x43, 0xe8); /* read-back: the status of channel 2 */
    unsigned status = (unsigned)m.out << 7 | (unsigned)!m.written << 6 | m.access << 4 | m.mode << 1 | m.bcd;
    assert_int_equal(inb(&bus, 0x42), status);
    assert_int_equal(inb(&bus, 0x61) >> 5 & 1, m.out);
}

static void check_count(void)
{
    if (!m.running || (m.mode == 3 && m.reload % 2 != 0))
        return; /* of odd square waves the sheet says less */
    unsigned digits = to_digits(m.count), value = 0;
    if (any(2))
        outb(&bus, 0x43, any(2) ? 0x80 : 0xd8); /* latched, in either way */
    if (m.access & 1)
        value |= inb(&bus, 0x42);
    if (m.access & 2)
        value |= (unsigned)inb(&bus, 0x42) << 8;
    unsigned seen = (m.access & 1 ? 0xff : 0) | (m.access & 2 ? 0xff00 : 0);
    assert_int_equal(value, digits & seen);
}

static void against_a_model(void **state)
{
    (void)state;
    memset(&m, 0, sizeof m);
    outb(&bus, 0x61, 0);
    program();
    for (unsigned round = 0; round < 100000; round++) {
        switch (any(8)) {
        case 0:
            if (any(4) == 0) {
                program();
                check_status();
                write_both(any_count());
            }
            break;
        case 1:
            if (m.mode == 0 || m.mode == 4) /* in these a new count begins at once */
                write_both(any_count());
            break;
        case 2: {
            bool gate = any(3) != 0;
            outb(&bus, 0x61, gate);
            model_gate(gate);
            break;
        }
        case 3: check_count(); break;
        case 4: check_status(); break;
        default: {
            unsigned cycles = 1 + any(any(4) ? 12 : 300);
            run(cycles);
            while (cycles-- > 0)
                model_clock();
            break;
        }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup(calibrate, setup),
                                       cmocka_unit_test_setup(against_a_model, setup),
                                       cmocka_unit_test_setup(gate, setup),
                                       cmocka_unit_test_setup(periodic, setup),
                                       cmocka_unit_test_setup(lost_ticks_come_later, setup),
                                       cmocka_unit_test_setup(a_tick_that_waits_holds_the_next, setup),
                                       cmocka_unit_test_setup(odd_requests, setup)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
