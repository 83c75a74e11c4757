// SPDX-License-Identifier: Apache-2.0
/* The real-time clock: reading and setting the time, its three interrupts, the CMOS bytes. */
// sources: vmm/devices/bus.c vmm/stream.c vmm/memory.c vmm/devices/clock.c vmm/devices/rtc.c
#include "dev_test.h"
#include "vmm/devices/rtc.h"

#define KHZ    2000000ull
#define SECOND (KHZ * 1000)
static struct bus bus;
static struct clock clk;
static struct rtc rtc;
static struct lines lines;

static void boot(int64_t when)
{
    struct irq_sink irq = {.gsi = lines_gsi, .context = &lines};
    memset(&lines, 0, sizeof lines);
    clk = (struct clock){.now = 777, .khz = KHZ};
    bus_init(&bus);
    assert_int_equal(rtc_init(&rtc, &bus, &clk, &irq, &(struct rtc_contents){when, 512ull << 20, 3ull << 30}), OK);
}

static uint8_t rd(unsigned index)
{
    outb(&bus, 0x70, index);
    return inb(&bus, 0x71);
}

static void wr(unsigned index, unsigned value)
{
    outb(&bus, 0x70, index);
    outb(&bus, 0x71, value);
}

/* All in BCD: century, year, month and day; the day of the week, 1 Sunday; hour, minute and second. */
static void check_time(uint32_t date, unsigned weekday, uint32_t time)
{
    assert_int_equal(rd(0x32) << 24 | rd(9) << 16 | rd(8) << 8 | rd(7), date);
    assert_int_equal(rd(6), weekday);
    assert_int_equal(rd(4) << 16 | rd(2) << 8 | rd(0), time);
}

static void reads(void **state)
{
    (void)state;
    boot(1709251199); /* Thu 2024-02-29 23:59:59 UTC */
    check_time(0x20240229, 5, 0x235959);
    assert_int_equal(rd(0xa), 0x26);
    assert_int_equal(rd(0xd), 0x80);
    clk.now += SECOND - KHZ / 10; /* 100 us before the update */
    assert_int_equal(rd(0xa), 0xa6);
    clk.now += KHZ / 10;
    assert_int_equal(rd(0xa), 0x26);
    check_time(0x20240301, 6, 0x000000);
    clk.now += 365 * 86400 * SECOND + 3661 * SECOND;
    check_time(0x20250301, 7, 0x010101);
    boot(0);
    check_time(0x19700101, 5, 0x000000);
    boot(4102444800); /* Fri 2100-01-01, no leap year */
    check_time(0x21000101, 6, 0x000000);
    clk.now += 59 * 86400 * SECOND;
    check_time(0x21000301, 2, 0x000000);
    boot(-1); /* Wed 1969-12-31 */
    check_time(0x19691231, 4, 0x235959);
}

static void every_day(void **state)
{
    (void)state;
    static const unsigned length[13] = {0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    unsigned year = 1970, month = 1, day = 1;
    boot(0);
    for (unsigned i = 0; i < 50000; i++) {
        assert_int_equal(rd(7), day / 10 << 4 | day % 10);
        assert_int_equal(rd(8), month / 10 << 4 | month % 10);
        assert_int_equal(rd(6), (i + 4) % 7 + 1);
        bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        if (++day > length[month] + (month == 2 && leap)) {
            day = 1;
            if (++month > 12) {
                month = 1;
                year++;
            }
        }
        rtc.base_seconds += 86400;
    }
}

static void set_time(void **state)
{
    (void)state;
    boot(1000000000);
    wr(0xb, rd(0xb) | 0x80);
    clk.now += 100 * SECOND;
    assert_int_equal(rd(0), 0x40); /* frozen at 01:46:40 */
    wr(0x32, 0x20), wr(9, 0x30), wr(8, 0x07), wr(7, 0x04), wr(4, 0x12), wr(2, 0x34), wr(0, 0x56);
    wr(0xb, rd(0xb) & 0x7f);
    clk.now += 5 * SECOND;
    check_time(0x20300704, 5, 0x123501);
    wr(4, 0x08); /* without SET, one field */
    check_time(0x20300704, 5, 0x083501);
    /* 12 hours, binary */
    wr(0xb, 0x04);
    wr(4, 0x80 | 12);
    assert_int_equal(rd(4), 0x80 | 12);
    assert_int_equal(rd(2), 35);
    wr(0xb, 0x02);
    assert_int_equal(rd(4), 0x12);
    wr(0xb, 0x00);
    wr(4, 0x12);
    wr(0xb, 0x02);
    assert_int_equal(rd(4), 0x00);
    /* nonsense */
    wr(0xb, 0x82);
    for (unsigned i = 0; i < 128; i++)
        wr(i, 0xff);
    wr(0xb, 0x02);
    for (unsigned i = 0; i < 256; i++)
        (void)rd(i);
}

static void interrupts(void **state)
{
    (void)state;
    boot(1000000000); /* 01:46:40 */
    assert_int_equal(rtc_device.next_event(&rtc), CLOCK_NEVER);
    /* update-ended */
    wr(0xb, 0x12);
    assert_in_range(rtc_device.next_event(&rtc), 777 + SECOND, 777 + SECOND + 1);
    clk.now = rtc_device.next_event(&rtc);
    rtc_device.advance(&rtc);
    assert_true(lines.level[8]);
    assert_int_equal(rtc_device.next_event(&rtc), CLOCK_NEVER);
    assert_int_equal(rd(0xc) & 0xb0, 0x90); /* the periodic flag rises too, as on the chip */
    assert_false(lines.level[8]);
    assert_int_equal(rd(0xc), 0x00);
    /* alarm at 01:46:45, then every minute at :45 */
    wr(0xb, 0x22);
    wr(1, 0x45), wr(3, 0x46), wr(5, 0x01);
    unsigned events = 0;
    while (!lines.level[8] && events++ < 10) {
        clk.now = rtc_device.next_event(&rtc);
        rtc_device.advance(&rtc);
    }
    assert_int_equal(events, 4);
    assert_int_equal(rd(0xc) & 0xb0, 0xb0);
    wr(3, 0xff), wr(5, 0xc0);
    clk.now += 59 * SECOND;
    rtc_device.advance(&rtc);
    assert_false(lines.level[8]);
    clk.now += SECOND;
    rtc_device.advance(&rtc);
    assert_true(lines.level[8]);
    (void)rd(0xc);
    clk.now += 400 * 86400 * SECOND; /* a long sleep */
    rtc_device.advance(&rtc);
    assert_true(lines.level[8]);
    (void)rd(0xc);
    /* periodic at 1024 Hz */
    wr(0xa, 0x26);
    wr(0xb, 0x42);
    unsigned before = lines.rises[8];
    uint64_t start = clk.now;
    for (unsigned i = 0; i < 1024; i++) {
        clk.now = rtc_device.next_event(&rtc);
        rtc_device.advance(&rtc);
        assert_int_equal(rd(0xc) & 0xc0, 0xc0);
    }
    assert_int_equal(lines.rises[8] - before, 1024);
    assert_in_range(clk.now - start, SECOND - SECOND / 1000, SECOND + SECOND / 1000);
    wr(0xa, 0x20);
    wr(0xb, 0x42);
    assert_int_equal(rtc_device.next_event(&rtc), CLOCK_NEVER);
}

/* Ticks of 1,024 Hz that pass while register C is not read come later, each after the read of the one before. */
static void lost_ticks_come_later(void **state)
{
    (void)state;
    for (int replays = 0; replays < 2; replays++) {
        boot(1000000000);
        rtc.replays = replays;
        wr(0xa, 0x26);
        wr(0xb, 0x42);
        unsigned before = lines.rises[8], early = 0;
        uint64_t start = clk.now, last = 0;
        for (unsigned period = 1; period <= 20; period++) {
            clk.now = start + period * SECOND / 10 - SECOND / 100; /* it had no CPU for 90 ms */
            uint64_t end = start + period * SECOND / 10;
            rtc_device.advance(&rtc);
            for (uint64_t due; clk.now < end;) {
                if (lines.level[8]) {
                    assert_int_equal(rd(0xc) & 0xc0, 0xc0);
                    if (last != 0 && clk.now - last < SECOND / 32768 - 1)
                        early++;
                    last = clk.now;
                }
                due = rtc_device.next_event(&rtc);
                clk.now = due > clk.now ? due : clk.now;
                if (clk.now < end)
                    rtc_device.advance(&rtc);
            }
            clk.now = end;
        }
        unsigned ticks = lines.rises[8] - before;
        if (replays) {
            assert_in_range(ticks, 2046, 2048);
            assert_int_equal(early, 0);
        } else {
            assert_in_range(ticks, 200, 240);
        }
    }
    /* Another rate, or none, begins anew. */
    clk.now += 5 * SECOND;
    rtc_device.advance(&rtc);
    assert_true(rtc.owed > 1000);
    wr(0xa, 0x27);
    assert_int_equal(rtc.owed, 0);
    clk.now += 5 * SECOND;
    rtc_device.advance(&rtc);
    wr(0xb, 0x02);
    assert_int_equal(rtc.owed, 0);
    wr(0xb, 0x42);
    clk.now += 86400 * SECOND;
    rtc_device.advance(&rtc);
    assert_int_equal(rtc.owed, RTC_OWED_MAX);
}

static void cmos(void **state)
{
    (void)state;
    boot(0);
    assert_int_equal(rd(0x15) | rd(0x16) << 8, 639);
    assert_int_equal(rd(0x30) | rd(0x31) << 8, 63 * 1024);
    assert_int_equal(rd(0x34) | rd(0x35) << 8, (512 - 16) * 16);
    assert_int_equal(rd(0x5b) | rd(0x5c) << 8 | rd(0x5d) << 16, 3 * 1024 * 16);
    wr(0x0f, 0x0a);
    assert_int_equal(rd(0x0f), 0x0a);
    assert_int_equal(rd(0x8f), 0x0a); /* with the NMI bit */
    assert_int_equal(inb(&bus, 0x70), 0xff);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reads),
                                       cmocka_unit_test(every_day),
                                       cmocka_unit_test(set_time),
                                       cmocka_unit_test(interrupts),
                                       cmocka_unit_test(lost_ticks_come_later),
                                       cmocka_unit_test(cmos)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
