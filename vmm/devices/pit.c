// SPDX-License-Identifier: Apache-2.0
/*
 * The 8254 and port 0x61; see pit.h.
 *
 * 0x40..0x42: the channels' counts. 0x43 write: control word (channel 7:6, access 5:4, mode 3:1, BCD 0), counter latch
 * (access 0), read-back (channel 3). 0x61: gate 2 (bit 0), speaker (1), refresh toggle (4), output 2 (5).
 *
 * Everything follows from the number of input cycles since a channel's count was loaded. A new count takes effect at
 * once, in modes 2 and 3 too (the chip would end the period first); no guest is known to mind.
 */
#include "vmm/devices/pit.h"

#include "lib/string.h"
#include "vmm/devices/layout.h"

#define LATCH_CYCLES 18u /* about the 15 us refresh period */

static uint64_t cycles_now(const struct pit *pit)
{
    return scale_apply(pit->to_cycles, clock_since(pit->clock->now, pit->base_tick));
}

static uint64_t elapsed(const struct pit_channel *c, uint64_t now)
{
    if (!c->loaded)
        return 0;
    /* The gate stops modes 0, 2, 3, 4; in 1 and 5 only its rise matters. */
    if (!c->gate && c->mode != 1 && c->mode != 5)
        return c->stopped;
    return now > c->start ? now - c->start : 0;
}

static bool output(const struct pit_channel *c, uint64_t now)
{
    uint64_t e = elapsed(c, now);
    switch (c->mode) {
    case 0: return c->loaded && e >= c->reload;
    case 1: return !c->loaded || e >= c->reload;
    case 2: return !c->loaded || !c->gate || e % c->reload != c->reload - 1;
    case 3: return !c->loaded || !c->gate || e % c->reload < (c->reload + 1) / 2;
    default: return !c->loaded || e != c->reload;
    }
}

static uint16_t to_bcd(uint32_t v)
{
    return (uint16_t)(v % 10 | v / 10 % 10 << 4 | v / 100 % 10 << 8 | v / 1000 % 10 << 12);
}

static uint32_t from_bcd(uint32_t v)
{
    return (v & 15) + 10 * (v >> 4 & 15) + 100 * (v >> 8 & 15) + 1000 * (v >> 12 & 15);
}

static uint16_t count(const struct pit_channel *c, uint64_t now)
{
    uint64_t e = elapsed(c, now);
    uint32_t modulus = c->bcd ? 10000 : 65536, value;
    if (!c->loaded)
        value = c->reload;
    else if (c->mode == 2)
        value = c->reload - (uint32_t)(e % c->reload);
    else if (c->mode == 3) /* counts by two, twice a period */
        value = c->reload - ((uint32_t)(2 * (e % c->reload)) % c->reload & ~1u);
    else
        value = c->reload + modulus - (uint32_t)(e % modulus);
    value %= modulus;
    return c->bcd ? to_bcd(value) : (uint16_t)value;
}

/* How many times channel 0's output has risen since its count was loaded. */
static uint64_t rises(const struct pit_channel *c, uint64_t now)
{
    uint64_t e = elapsed(c, now);
    if (!c->loaded || c->mode == 1 || c->mode == 5)
        return 0;
    return c->mode == 2 || c->mode == 3 ? e / c->reload : e >= c->reload;
}

/* A period so short that its ticks are thinned out anyway is nothing to catch up with. */
static bool catches_up(const struct pit *pit)
{
    const struct pit_channel *c = &pit->channel[0];
    return pit->replays && (c->mode == 2 || c->mode == 3) && c->reload >= PIT_HZ / 10000;
}

/* Until the next tick may be given, in host ticks. */
static uint64_t gap(const struct pit *pit)
{
    uint64_t least = pit->clock->khz / 10;
    if (pit->owed == 0 || !catches_up(pit))
        return least;
    return max_u64(scale_apply(pit->to_ticks, pit->channel[0].reload) / PIT_CATCH_UP, pit->clock->khz / 50);
}

static void give(struct pit *pit)
{
    if (pit->owed == 0 || clock_since(pit->not_before, pit->clock->now) > 0)
        return;
    enum irq_fate fate = catches_up(pit) ? irq_fate(&pit->irq, LAYOUT_IRQ_PIT) : IRQ_TAKEN;
    if (fate != IRQ_WAITS) {
        irq_set(&pit->irq, LAYOUT_IRQ_PIT, false);
        irq_set(&pit->irq, LAYOUT_IRQ_PIT, true);
        pit->owed = fate == IRQ_MASKED ? 0 : pit->owed - 1;
    }
    pit->not_before = pit->clock->now + gap(pit);
}

static void advance(void *state)
{
    struct pit *pit = state;
    const struct pit_channel *c = &pit->channel[0];
    uint64_t now = cycles_now(pit);
    if (now > pit->irq_seen) {
        uint64_t before = rises(c, pit->irq_seen), all = rises(c, now);
        uint64_t owed = pit->owed + (all > before ? all - before : 0);
        pit->owed = (uint32_t)min_u64(owed, catches_up(pit) ? PIT_OWED_MAX : 1);
        pit->irq_seen = now;
    }
    give(pit);
}

static uint64_t next_event(const void *state)
{
    const struct pit *pit = state;
    const struct pit_channel *c = &pit->channel[0];
    if (pit->owed != 0)
        return pit->not_before;
    if (!c->loaded || c->mode == 1 || c->mode == 5)
        return CLOCK_NEVER;
    uint64_t done = rises(c, pit->irq_seen), cycle;
    if (c->mode == 2 || c->mode == 3)
        cycle = c->start + (done + 1) * c->reload;
    else if (done == 0)
        cycle = c->start + c->reload;
    else
        return CLOCK_NEVER;
    uint64_t tick = pit->base_tick + clock_tick_of(pit->to_cycles, pit->to_ticks, cycle);
    return clock_since(pit->not_before, tick) > 0 ? pit->not_before : tick;
}

static void load(struct pit *pit, struct pit_channel *c, uint32_t value)
{
    uint32_t modulus = c->bcd ? 10000 : 65536;
    value = c->bcd ? from_bcd(value) : value;
    c->reload = value ? value : modulus;
    /* A period of one cycle does not exist in modes 2 and 3. */
    if ((c->mode == 2 || c->mode == 3) && c->reload < 2)
        c->reload = 2;
    c->start = cycles_now(pit);
    c->stopped = 0;
    c->written = true;
    if (c->mode != 1 && c->mode != 5)
        c->loaded = true;
    if (c == &pit->channel[0]) {
        pit->irq_seen = c->start;
        pit->owed = 0;
        if (c->mode == 0)
            irq_set(&pit->irq, LAYOUT_IRQ_PIT, false);
    }
}

static void write_count(struct pit *pit, unsigned n, uint8_t value)
{
    struct pit_channel *c = &pit->channel[n];
    switch (c->access) {
    case 1: load(pit, c, value); break;
    case 2: load(pit, c, (uint32_t)value << 8); break;
    default:
        if (!c->write_high) {
            c->write_low = value;
            if (c->mode == 0)
                c->loaded = false; /* the first byte stops the count and lowers the output */
        } else {
            load(pit, c, (uint32_t)value << 8 | c->write_low);
        }
        c->write_high = !c->write_high;
        break;
    }
}

static uint8_t read_count(struct pit *pit, unsigned n)
{
    struct pit_channel *c = &pit->channel[n];
    if (c->status_latched) {
        c->status_latched = false;
        return c->status_latch;
    }
    uint16_t value = c->latched ? c->latch : count(c, cycles_now(pit));
    if (c->latched)
        c->latched--;
    if (c->access == 1)
        return (uint8_t)value;
    if (c->access == 2)
        return (uint8_t)(value >> 8);
    c->read_high = !c->read_high;
    return (uint8_t)(c->read_high ? value : value >> 8);
}

static void latch_count(struct pit *pit, struct pit_channel *c)
{
    if (c->latched)
        return;
    c->latch = count(c, cycles_now(pit));
    c->latched = c->access == 3 ? 2 : 1;
    c->read_high = false;
}

static void latch_status(struct pit *pit, struct pit_channel *c)
{
    if (c->status_latched)
        return;
    c->status_latched = true;
    int high = output(c, cycles_now(pit)) ? 0x80 : 0;
    c->status_latch = (uint8_t)(high | (c->written ? 0 : 0x40) | c->access << 4 | c->mode << 1 | (c->bcd ? 1 : 0));
}

static void write_control(struct pit *pit, uint8_t value)
{
    unsigned n = value >> 6;
    if (n == 3) {
        for (unsigned i = 0; i < 3; i++) {
            if (!(value >> (i + 1) & 1))
                continue;
            if (!(value & 0x20))
                latch_count(pit, &pit->channel[i]);
            if (!(value & 0x10))
                latch_status(pit, &pit->channel[i]);
        }
        return;
    }
    struct pit_channel *c = &pit->channel[n];
    if (!(value & 0x30)) {
        latch_count(pit, c);
        return;
    }
    c->access = value >> 4 & 3;
    c->mode = value >> 1 & 7;
    if (c->mode > 5)
        c->mode -= 4; /* 6, 7 are 2, 3 */
    c->bcd = value & 1;
    c->loaded = c->written = c->status_latched = c->read_high = c->write_high = false;
    c->latched = 0;
    c->stopped = 0;
    if (n == 0)
        pit->owed = 0;
    if (n == 0 && c->mode == 0)
        irq_set(&pit->irq, LAYOUT_IRQ_PIT, false);
}

static void set_gate(struct pit *pit, struct pit_channel *c, bool gate)
{
    uint64_t now = cycles_now(pit);
    if (gate == c->gate)
        return;
    if (!gate) {
        c->stopped = elapsed(c, now);
        c->gate = false;
        return;
    }
    c->gate = true;
    if (c->mode == 1 || c->mode == 5) {
        c->loaded = c->written;
        c->start = now;
    } else if (c->mode == 2 || c->mode == 3) {
        c->start = now;
    } else {
        c->start = now - c->stopped;
    }
}

static void count_port(void *device, uint16_t port, unsigned size, bool is_write, uint32_t *value)
{
    struct pit *pit = device;
    unsigned n = port & 3;
    (void)size;
    advance(pit);
    if (n == 3) {
        if (is_write)
            write_control(pit, (uint8_t)*value);
    } else if (is_write) {
        write_count(pit, n, (uint8_t)*value);
    } else {
        *value = read_count(pit, n);
    }
}

static void port61(void *device, uint16_t port, unsigned size, bool is_write, uint32_t *value)
{
    struct pit *pit = device;
    (void)port;
    (void)size;
    if (is_write) {
        pit->port61 = (uint8_t)*value & 0x0f;
        set_gate(pit, &pit->channel[2], *value & 1);
        return;
    }
    uint64_t now = cycles_now(pit);
    *value = (uint32_t)pit->port61 | (now / LATCH_CYCLES & 1 ? 0x10u : 0u) |
             (output(&pit->channel[2], now) ? 0x20u : 0u);
}

static void reset(void *state)
{
    struct pit *pit = state;
    for (unsigned i = 0; i < 3; i++) {
        /* Nothing runs until the guest programs it. */
        pit->channel[i] = (struct pit_channel){.mode = 3, .access = 3, .reload = 65536, .gate = i != 2};
    }
    pit->base_tick = pit->clock->now;
    pit->not_before = pit->clock->now;
    pit->irq_seen = 0;
    pit->owed = 0;
    pit->port61 = 0;
}

enum error pit_init(struct pit *pit, struct bus *bus, const struct clock *clock, const struct irq_sink *irq)
{
    memset(pit, 0, sizeof *pit);
    pit->clock = clock;
    pit->irq = *irq;
    pit->to_cycles = clock_to_cycles(clock->khz, PIT_HZ);
    pit->to_ticks = clock_to_ticks(clock->khz, PIT_HZ);
    reset(pit);
    enum error e = bus_add_ports(bus, 0x40, 0x43, 1 | BUS_TIMERS, count_port, pit);
    return e == OK ? bus_add_ports(bus, 0x61, 0x61, 1 | BUS_TIMERS, port61, pit) : e;
}

static enum error init(void *state, const struct platform *p, unsigned number)
{
    struct pit *pit = state;
    (void)number;
    enum error e = pit_init(pit, p->bus, p->clock, &p->irq);
    pit->replays = p->boot->options.lost_ticks == LOST_TICKS_REPLAYED;
    return e;
}

static void channel_fields(struct pit_channel *c, struct stream *s)
{
    STREAM_FIELD(s, c->start);
    STREAM_FIELD(s, c->stopped);
    STREAM_FIELD(s, c->reload);
    STREAM_FIELD(s, c->latch);
    STREAM_FIELD(s, c->mode);
    STREAM_FIELD(s, c->access);
    STREAM_FIELD(s, c->status_latch);
    STREAM_FIELD(s, c->write_low);
    STREAM_FIELD(s, c->latched);
    stream_bool(s, &c->bcd);
    stream_bool(s, &c->gate);
    stream_bool(s, &c->status_latched);
    stream_bool(s, &c->written);
    stream_bool(s, &c->loaded);
    stream_bool(s, &c->read_high);
    stream_bool(s, &c->write_high);
}

static void fields(void *state, struct stream *s)
{
    struct pit *pit = state;
    for (unsigned i = 0; i < 3; i++)
        channel_fields(&pit->channel[i], s);
    stream_time(s, pit->clock->now, &pit->base_tick);
    stream_time(s, pit->clock->now, &pit->not_before);
    STREAM_FIELD(s, pit->irq_seen);
    STREAM_FIELD(s, pit->owed);
    STREAM_FIELD(s, pit->port61);
}

static bool valid(const void *state)
{
    const struct pit *pit = state;
    if (pit->owed > PIT_OWED_MAX)
        return false;
    for (unsigned i = 0; i < 3; i++) {
        const struct pit_channel *c = &pit->channel[i];
        unsigned least = c->mode == 2 || c->mode == 3 ? 2 : 1;
        if (c->mode > 5 || c->access > 3 || c->latched > 2 || c->reload < least || c->reload > 65536)
            return false;
    }
    return true;
}

const struct device pit_device = {.name = "PIT",
                                  .version = 2,
                                  .bytes = sizeof(struct pit),
                                  .init = init,
                                  .reset = reset,
                                  .next_event = next_event,
                                  .advance = advance,
                                  .fields = fields,
                                  .valid = valid};
