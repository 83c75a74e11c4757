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

/* Each hour of a day in each form: BCD or binary, of 24 or of 12 hours (data sheet, table 3); read and set. */
static void every_hour(void **state)
{
    (void)state;
    for (unsigned form = 0; form < 8; form += 2) /* DM is bit 2, 24/12 is bit 1 */
        for (unsigned hour = 0; hour < 24; hour++) {
            unsigned shown = form & 2 ? hour : hour % 12 == 0 ? 12 : hour % 12;
            unsigned byte = form & 4 ? shown : shown / 10 << 4 | shown % 10;
            if (!(form & 2) && hour >= 12)
                byte |= 0x80;               /* PM */
            boot(1700006400 + hour * 3600); /* from midnight on */
            wr(0xb, form);
            assert_int_equal(rd(4), byte);
            boot(1700006400);
            wr(0xb, form);
            wr(4, byte);
            wr(0xb, 2);
            assert_int_equal(rd(4), hour / 10 << 4 | hour % 10);
            assert_int_equal(rd(7), 0x15); /* the same day */
        }
}

/* Register A's rates (table 5, for the 32,768 Hz crystal): 0 none, 1 and 2 as 8 and 9. */
static void every_rate(void **state)
{
    (void)state;
    static const unsigned hz[16] = {0, 256, 128, 8192, 4096, 2048, 1024, 512, 256, 128, 64, 32, 16, 8, 4, 2};
    for (unsigned rate = 0; rate < 16; rate++) {
        boot(0);
        wr(0xa, 0x20 | rate);
        wr(0xb, 0x42);
        if (hz[rate] == 0) {
            assert_int_equal(rtc_device.next_event(&rtc), CLOCK_NEVER);
            continue;
        }
        uint64_t due = 777 + SECOND / hz[rate];
        assert_in_range(rtc_device.next_event(&rtc), due, due + 1);
        clk.now = due - SECOND / 32768;
        rtc_device.advance(&rtc);
        assert_false(lines.level[8]);
        clk.now = due + 1;
        rtc_device.advance(&rtc);
        assert_true(lines.level[8]);
        assert_int_equal(rd(0xc), 0xc0);
    }
}

/* What is written to the control registers, and what they read. */
static void control_registers(void **state)
{
    (void)state;
    boot(0);
    wr(0xa, 0xff);
    assert_int_equal(rd(0xa), 0x7f); /* UIP is not for writing */
    wr(0xb, 0x7f);
    assert_int_equal(rd(0xb), 0x7f);
    wr(0xb, 0xff); /* SET clears UIE */
    assert_int_equal(rd(0xb), 0xef);
    wr(0xc, 0xff);
    wr(0xd, 0x00);
    (void)rd(0xc);
    assert_int_equal(rd(0xc), 0);
    assert_int_equal(rd(0xd), 0x80);
    clk.now += SECOND - 1;
    assert_int_equal(rd(0xa), 0x7f); /* no update comes while SET is */
    wr(0xb, 0x02);
    clk.now += SECOND * 3 / 2;
    assert_int_equal(rd(0xc), 0x70 & ~0x20); /* flags rise without their enable, and raise no interrupt */
    assert_false(lines.level[8]);
    for (unsigned i = 0xe; i < 128; i++)
        if (i != 0x32) {
            wr(i, i ^ 0x5a);
            assert_int_equal(rd(i), i ^ 0x5a);
        }
    wr(1, 0x12);
    wr(3, 0x34);
    wr(5, 0x56);
    assert_true(rd(1) == 0x12 && rd(3) == 0x34 && rd(5) == 0x56);
}

/* The time of an alarm, its fields one by one; 0xc0 to 0xff: any. */
static void alarms(void **state)
{
    (void)state;
    static const struct {
        uint8_t second, minute, hour;
        unsigned after; /* seconds from 01:46:40 on; 0: not within the day */
    } row[] = {
        {0x41, 0x46, 0x01, 1},     {0x40, 0x46, 0x01, 86400}, {0x00, 0x47, 0x01, 20}, {0x00, 0x00, 0x02, 800},
        {0xc0, 0x47, 0x01, 20},    {0xff, 0xff, 0xff, 1},     {0x41, 0xff, 0x01, 1},  {0x41, 0x46, 0xc0, 1},
        {0x39, 0xff, 0xff, 59},    {0x40, 0x45, 0xff, 3540},  {0xbf, 0xff, 0xff, 0},  {0x41, 0x60, 0xff, 0},
        {0xff, 0x46, 0x00, 82760},
    };
    for (unsigned i = 0; i < sizeof row / sizeof row[0]; i++) {
        boot(1000000000);
        wr(1, row[i].second);
        wr(3, row[i].minute);
        wr(5, row[i].hour);
        wr(0xb, 0x22);
        unsigned after = 0;
        while (!lines.level[8] && after <= 86401) {
            after++;
            clk.now = 777 + after * SECOND + 1000;
            rtc_device.advance(&rtc);
        }
        assert_int_equal(after <= 86400 ? after : 0, row[i].after);
    }
}

/* Sizes of memory, where a PC's firmware keeps them. */
static void sizes(void **state)
{
    (void)state;
    static const struct {
        uint64_t low, high;
        unsigned above_1m, above_16m, above_4g;
    } row[] = {{1 << 20, 0, 0, 0, 0},
               {(1 << 20) + 1024, 0, 1, 0, 0},
               {2 << 20, 0, 1024, 0, 0},
               {16 << 20, 0, 15360, 0, 0},
               {(16 << 20) + 65536, 0, 15424, 1, 0},
               {64 << 20, 65536, 63 * 1024, 768, 1},
               {65 << 20, 1ull << 32, 63 * 1024, 784, 65536},
               {3ull << 30, 300ull << 30, 63 * 1024, 48896, 300 << 14}};
    for (unsigned i = 0; i < sizeof row / sizeof row[0]; i++) {
        struct irq_sink irq = {.gsi = lines_gsi, .context = &lines};
        bus_init(&bus);
        assert_int_equal(rtc_init(&rtc, &bus, &clk, &irq, &(struct rtc_contents){0, row[i].low, row[i].high}), OK);
        assert_int_equal(rd(0x14), 2);
        assert_int_equal(rd(0x17) | rd(0x18) << 8, row[i].above_1m);
        assert_int_equal(rd(0x30) | rd(0x31) << 8, row[i].above_1m);
        assert_int_equal(rd(0x34) | rd(0x35) << 8, row[i].above_16m);
        assert_int_equal(rd(0x5b) | rd(0x5c) << 8 | rd(0x5d) << 16, row[i].above_4g);
    }
}

/* What no calendar has comes into range. */
static void nonsense(void **state)
{
    (void)state;
    boot(1000000000);
    wr(0xb, 0x86);
    static const uint8_t index[] = {0, 2, 4, 7, 8, 9, 0x32};
    for (unsigned i = 0; i < 7; i++)
        wr(index[i], i == 3 || i == 4 ? 0 : 20); /* day 0 of month 0 */
    wr(0xb, 0x06);
    assert_true(rd(0) == 20 && rd(2) == 20 && rd(4) == 20 && rd(7) == 1 && rd(8) == 1 && rd(9) == 20);
    wr(0xb, 0x86);
    wr(0, 61), wr(2, 62), wr(4, 25), wr(7, 32), wr(8, 13), wr(9, 119), wr(0x32, 120);
    wr(0xb, 0x06);
    assert_true(rd(0) == 1 && rd(2) == 2 && rd(4) == 1 && rd(7) == 31 && rd(8) == 12 && rd(9) == 19);
    assert_int_equal(rd(0x32), 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reads),
                                       cmocka_unit_test(every_day),
                                       cmocka_unit_test(set_time),
                                       cmocka_unit_test(interrupts),
                                       cmocka_unit_test(lost_ticks_come_later),
                                       cmocka_unit_test(cmos),
                                       cmocka_unit_test(every_hour),
                                       cmocka_unit_test(every_rate),
                                       cmocka_unit_test(control_registers),
                                       cmocka_unit_test(alarms),
                                       cmocka_unit_test(sizes),
                                       cmocka_unit_test(nonsense)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
