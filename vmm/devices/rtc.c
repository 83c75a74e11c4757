// SPDX-License-Identifier: Apache-2.0
/*
 * The real-time clock and CMOS; see rtc.h (MC146818 data sheet).
 *
 * 0x70: index (bit 7, the NMI mask, is ignored). 0x71: data.
 * Index 0 seconds, 2 minutes, 4 hours, 6 day of week, 7 day, 8 month, 9 year, 0x32 century; 1, 3, 5 alarm; 0xa-0xd
 * registers A-D.
 */
#include "vmm/devices/rtc.h"

#include "lib/string.h"
#include "vmm/devices/layout.h"

enum {
    T_SECOND = 0,
    A_SECOND = 1,
    T_MINUTE = 2,
    A_MINUTE = 3,
    T_HOUR = 4,
    A_HOUR = 5,
    T_WEEKDAY = 6,
    T_DAY = 7,
    T_MONTH = 8,
    T_YEAR = 9,
    REG_A = 0xa,
    REG_B = 0xb,
    REG_C = 0xc,
    REG_D = 0xd,
    T_CENTURY = 0x32
};
#define A_UIP       0x80u
#define B_SET       0x80u
#define B_PIE       0x40u
#define B_AIE       0x20u
#define B_UIE       0x10u
#define B_BIN       0x04u
#define B_24H       0x02u
#define C_IRQF      0x80u
#define C_PF        0x40u
#define C_AF        0x20u
#define C_UF        0x10u
#define UIP_CYCLES  8u /* 244 us before each update, in cycles of 32768 Hz */
#define DAY         86400
#define SECONDS_MAX 0x100000000000ll /* more than any date that the registers can name */

static uint64_t cycles(const struct rtc *rtc)
{
    return scale_apply(rtc->to_32k, clock_since(rtc->clock->now, rtc->base_tick));
}

static uint8_t encode(const struct rtc *rtc, unsigned v)
{
    return (uint8_t)(rtc->b & B_BIN ? v : v / 10 << 4 | v % 10);
}

static unsigned decode(const struct rtc *rtc, uint8_t v)
{
    return rtc->b & B_BIN ? v : (v >> 4) * 10u + (v & 15u);
}

static uint8_t encode_hour(const struct rtc *rtc, unsigned hour)
{
    if (rtc->b & B_24H)
        return encode(rtc, hour);
    return (uint8_t)(encode(rtc, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? 0x80 : 0));
}

static unsigned decode_hour(const struct rtc *rtc, uint8_t v)
{
    if (rtc->b & B_24H)
        return decode(rtc, v) % 24;
    return decode(rtc, v & 0x7f) % 12 + (v & 0x80 ? 12 : 0);
}

/* Days since 1970-01-01 of a Gregorian date; the year counts from March, so the leap day is its last. */
static int64_t days_of(int64_t year, unsigned month, unsigned day)
{
    if (month <= 2)
        year--;
    int64_t era = (year >= 0 ? year : year - 399) / 400, in_era = year - era * 400;
    int64_t day_of_year = (153 * (int64_t)(month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return era * 146097 + in_era * 365 + in_era / 4 - in_era / 100 + day_of_year - 719468;
}

static void date_of(int64_t days, unsigned *year, unsigned *month, unsigned *day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097, d = days - era * 146097;
    int64_t y = (d - d / 1460 + d / 36524 - d / 146096) / 365;
    int64_t in_year = d - (365 * y + y / 4 - y / 100), m = (5 * in_year + 2) / 153;
    *day = (unsigned)(in_year - (153 * m + 2) / 5 + 1);
    *month = (unsigned)(m < 10 ? m + 3 : m - 9);
    *year = (unsigned)(y + era * 400 + (m >= 10));
}

static int64_t floor_days(int64_t seconds)
{
    return seconds >= 0 ? seconds / DAY : -((-seconds + DAY - 1) / DAY);
}

/* The current time into the time bytes of ram. */
static void fill(struct rtc *rtc)
{
    int64_t now = rtc->base_seconds + (int64_t)(cycles(rtc) >> 15), days = floor_days(now);
    unsigned second = (unsigned)(now - days * DAY), year, month, day;
    date_of(days, &year, &month, &day);
    rtc->ram[T_SECOND] = encode(rtc, second % 60);
    rtc->ram[T_MINUTE] = encode(rtc, second / 60 % 60);
    rtc->ram[T_HOUR] = encode_hour(rtc, second / 3600);
    rtc->ram[T_WEEKDAY] = encode(rtc, (unsigned)(((days + 4) % 7 + 7) % 7) + 1);
    rtc->ram[T_DAY] = encode(rtc, day);
    rtc->ram[T_MONTH] = encode(rtc, month);
    rtc->ram[T_YEAR] = encode(rtc, year % 100);
    rtc->ram[T_CENTURY] = encode(rtc, year / 100 % 100);
}

/* The time bytes of ram become the time; nonsense is brought into range, as there is no date for it. */
static void adopt(struct rtc *rtc)
{
    unsigned year = decode(rtc, rtc->ram[T_CENTURY]) % 100 * 100 + decode(rtc, rtc->ram[T_YEAR]) % 100;
    unsigned month = decode(rtc, rtc->ram[T_MONTH]), day = decode(rtc, rtc->ram[T_DAY]);
    month = (unsigned)min_u64(max_u64(month, 1), 12);
    day = (unsigned)min_u64(max_u64(day, 1), 31);
    rtc->base_seconds = days_of(year, month, day) * DAY + decode_hour(rtc, rtc->ram[T_HOUR]) * 3600 +
                        decode(rtc, rtc->ram[T_MINUTE]) % 60 * 60 + decode(rtc, rtc->ram[T_SECOND]) % 60;
    rtc->base_tick = rtc->clock->now;
    rtc->update_seen = rtc->periodic_seen = rtc->not_before = 0;
}

static unsigned period_cycles(const struct rtc *rtc)
{
    unsigned rate = rtc->a & 15;
    if (rate == 0)
        return 0;
    return 1u << ((rate < 3 ? rate + 7 : rate) - 1);
}

static bool alarm_matches(const struct rtc *rtc, unsigned second_of_day)
{
    const uint8_t *r = rtc->ram; /* 0xc0 and above: any */
    return (r[A_SECOND] >= 0xc0 || decode(rtc, r[A_SECOND]) == second_of_day % 60) &&
           (r[A_MINUTE] >= 0xc0 || decode(rtc, r[A_MINUTE]) == second_of_day / 60 % 60) &&
           (r[A_HOUR] >= 0xc0 || decode_hour(rtc, r[A_HOUR]) == second_of_day / 3600);
}

static void update_line(struct rtc *rtc)
{
    bool line = (rtc->c & rtc->b & (C_PF | C_AF | C_UF)) != 0;
    rtc->c = (uint8_t)((rtc->c & ~C_IRQF) | (line ? C_IRQF : 0));
    if (line != rtc->line) {
        rtc->line = line;
        irq_set(&rtc->irq, LAYOUT_IRQ_RTC, line);
    }
}

/* The flag of register C rises for the periods that have passed, and for those that are owed. */
static void advance_periodic(struct rtc *rtc, uint64_t now)
{
    unsigned period = period_cycles(rtc);
    if (period == 0)
        return;
    uint64_t passed = now / period - rtc->periodic_seen / period;
    bool all = rtc->replays && (rtc->b & B_PIE);
    rtc->owed = (uint32_t)min_u64(rtc->owed + passed, all ? RTC_OWED_MAX : 1);
    if (rtc->owed == 0 || (all && ((rtc->c & C_PF) || now < rtc->not_before)))
        return;
    rtc->c |= C_PF;
    rtc->owed--;
}

static void advance(void *state)
{
    struct rtc *rtc = state;
    uint64_t now = cycles(rtc);
    advance_periodic(rtc, now);
    rtc->periodic_seen = now;
    uint64_t seconds = now >> 15;
    if (seconds > rtc->update_seen && !(rtc->b & B_SET)) {
        /* After a day every time of day has been. */
        uint64_t first = seconds - rtc->update_seen > DAY ? seconds - DAY + 1 : rtc->update_seen + 1;
        int64_t start = rtc->base_seconds - floor_days(rtc->base_seconds) * DAY;
        rtc->c |= C_UF;
        for (uint64_t s = first; s <= seconds && !(rtc->c & C_AF); s++)
            if (alarm_matches(rtc, (unsigned)(((uint64_t)start + s) % DAY)))
                rtc->c |= C_AF;
    }
    rtc->update_seen = seconds;
    update_line(rtc);
}

static uint64_t next_event(const void *state)
{
    const struct rtc *rtc = state;
    uint64_t next = UINT64_MAX;
    unsigned period = period_cycles(rtc);
    if (rtc->line)
        return CLOCK_NEVER; /* nothing more can happen until register C is read */
    if (period && (rtc->b & B_PIE))
        next = rtc->owed != 0 ? rtc->not_before : (rtc->periodic_seen / period + 1) * period;
    if ((rtc->b & (B_UIE | B_AIE)) && !(rtc->b & B_SET)) {
        uint64_t second = (rtc->update_seen + 1) << 15;
        next = second < next ? second : next;
    }
    if (next == UINT64_MAX)
        return CLOCK_NEVER;
    return rtc->base_tick + clock_tick_of(rtc->to_32k, rtc->from_32k, next);
}

static bool is_time(unsigned index)
{
    return index == T_SECOND || index == T_MINUTE || index == T_HOUR || (index >= T_WEEKDAY && index <= T_YEAR) ||
           index == T_CENTURY;
}

static uint8_t read_byte(struct rtc *rtc)
{
    uint8_t value;
    switch (rtc->index) {
    case REG_A:
        value = rtc->a;
        if (!(rtc->b & B_SET) && (cycles(rtc) & 32767) >= 32768 - UIP_CYCLES)
            value |= A_UIP;
        return value;
    case REG_B: return rtc->b;
    case REG_C:
        value = rtc->c;
        rtc->c = 0;
        rtc->not_before = rtc->periodic_seen + period_cycles(rtc) / RTC_CATCH_UP + 1;
        update_line(rtc);
        return value;
    case REG_D: return 0x80; /* the battery is fine */
    default:
        if (is_time(rtc->index) && !(rtc->b & B_SET))
            fill(rtc);
        return rtc->ram[rtc->index & 127];
    }
}

static void write_byte(struct rtc *rtc, uint8_t value)
{
    switch (rtc->index) {
    case REG_A:
        rtc->a = value & 0x7f;
        rtc->owed = 0;
        return;
    case REG_B:
        if (!(rtc->b & B_SET) && (value & B_SET)) {
            fill(rtc);
            value &= (uint8_t)~B_UIE; /* the chip does so too */
        }
        bool release = (rtc->b & B_SET) && !(value & B_SET);
        if (!(value & B_PIE))
            rtc->owed = 0;
        rtc->b = value;
        if (release)
            adopt(rtc);
        update_line(rtc);
        return;
    case REG_C:
    case REG_D: return;
    default: break;
    }
    bool live = is_time(rtc->index) && !(rtc->b & B_SET);
    if (live)
        fill(rtc);
    rtc->ram[rtc->index & 127] = value;
    if (live)
        adopt(rtc);
}

static void rtc_port(void *device, uint16_t port, unsigned size, bool is_write, uint32_t *value)
{
    struct rtc *rtc = device;
    (void)size;
    if (!(port & 1)) {
        if (is_write)
            rtc->index = (uint8_t)*value & 0x7f;
        return; /* the index cannot be read: all ones */
    }
    advance(rtc);
    if (is_write)
        write_byte(rtc, (uint8_t)*value);
    else
        *value = read_byte(rtc);
}

static void put16(struct rtc *rtc, unsigned index, uint64_t value)
{
    uint64_t v = value > 0xffff ? 0xffff : value;
    rtc->ram[index] = (uint8_t)v;
    rtc->ram[index + 1] = (uint8_t)(v >> 8);
}

/* The battery keeps the time; the rest of the CMOS is as firmware leaves it. */
static void reset(void *state)
{
    struct rtc *rtc = state;
    if (rtc->b & B_SET)
        adopt(rtc);
    memcpy(rtc->ram, rtc->firmware, sizeof rtc->ram);
    rtc->index = rtc->c = 0;
    rtc->a = 0x26;
    rtc->b = B_24H;
    rtc->line = false;
    rtc->owed = 0;
    rtc->not_before = 0;
}

enum error rtc_init(struct rtc *rtc, struct bus *bus, const struct clock *clock, const struct irq_sink *irq,
                    const struct rtc_contents *contents)
{
    uint64_t low_bytes = contents->low_bytes, high_bytes = contents->high_bytes;
    memset(rtc, 0, sizeof *rtc);
    rtc->clock = clock;
    rtc->irq = *irq;
    rtc->to_32k = clock_to_cycles(clock->khz, 32768);
    rtc->from_32k = clock_to_ticks(clock->khz, 32768);
    rtc->base_tick = clock->now;
    rtc->base_seconds = contents->unix_seconds;
    /* Memory sizes where PC firmware keeps them: KiB below 640 K, KiB from 1 M (at most 63 M), 64 KiB from 16 M, 64 KiB
     * from 4 G. */
    uint64_t above_1m = low_bytes > 0x100000 ? (low_bytes - 0x100000) >> 10 : 0;
    uint64_t above_16m = low_bytes > 0x1000000 ? (low_bytes - 0x1000000) >> 16 : 0;
    uint64_t above_4g = high_bytes >> 16;
    put16(rtc, 0x15, GUEST_HOLE_START / 1024);
    put16(rtc, 0x17, above_1m > 63 * 1024 ? 63 * 1024 : above_1m);
    put16(rtc, 0x30, above_1m > 63 * 1024 ? 63 * 1024 : above_1m);
    put16(rtc, 0x34, above_16m);
    put16(rtc, 0x5b, above_4g & 0xffff);
    rtc->ram[0x5d] = (uint8_t)(above_4g >> 16);
    rtc->ram[0x14] = 0x02; /* equipment: an FPU */
    memcpy(rtc->firmware, rtc->ram, sizeof rtc->firmware);
    reset(rtc);
    return bus_add_ports(bus, 0x70, 0x71, 1 | BUS_TIMERS, rtc_port, rtc);
}

static enum error init(void *state, const struct platform *p, unsigned number)
{
    uint64_t low = guest_low_end(p->memory), total = guest_total(p->memory);
    (void)number;
    struct rtc *rtc = state;
    enum error e = rtc_init(rtc, p->bus, p->clock, &p->irq, &(struct rtc_contents){p->unix_seconds, low, total - low});
    rtc->replays = p->boot->options.lost_ticks == LOST_TICKS_REPLAYED;
    return e;
}

static void fields(void *state, struct stream *s)
{
    struct rtc *rtc = state;
    STREAM_FIELD(s, rtc->ram);
    STREAM_FIELD(s, rtc->index);
    STREAM_FIELD(s, rtc->a);
    STREAM_FIELD(s, rtc->b);
    STREAM_FIELD(s, rtc->c);
    stream_bool(s, &rtc->line);
    STREAM_FIELD(s, rtc->base_seconds);
    stream_time(s, rtc->clock->now, &rtc->base_tick);
    STREAM_FIELD(s, rtc->update_seen);
    STREAM_FIELD(s, rtc->periodic_seen);
    STREAM_FIELD(s, rtc->not_before);
    STREAM_FIELD(s, rtc->owed);
}

static bool valid(const void *state)
{
    const struct rtc *rtc = state;
    return rtc->index < sizeof rtc->ram && rtc->owed <= RTC_OWED_MAX && rtc->base_seconds > -SECONDS_MAX &&
           rtc->base_seconds < SECONDS_MAX;
}

const struct device rtc_device = {.name = "RTC",
                                  .version = 2,
                                  .bytes = sizeof(struct rtc),
                                  .init = init,
                                  .reset = reset,
                                  .next_event = next_event,
                                  .advance = advance,
                                  .fields = fields,
                                  .valid = valid};
