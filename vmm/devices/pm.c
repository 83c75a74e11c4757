// SPDX-License-Identifier: Apache-2.0
/*
 * ACPI fixed hardware; see pm.h (ACPI 6.4, tables 4.11 to 4.16).
 *
 * PM1 status: timer 0, power button 8, wake 15 (a written 1 clears). PM1 enable: the same bits. PM1 control: SCI_EN 0,
 * SLP_TYP 12:10, SLP_EN 13 (reads 0). 0xcf9: bit 2 set resets.
 */
#include "vmm/devices/pm.h"

#include "lib/string.h"
#include "vmm/devices/layout.h"

#define PM1_TIMER      0x0001u
#define PM1_BUTTON     0x0100u
#define PM1_STATUS     0x8731u
#define PM1_ENABLE     0x0721u
#define CNT_SCI_EN     0x0001u
#define CNT_WRITABLE   0x1c02u
#define CNT_SLP_EN     0x2000u
#define CNT_SLP_TYP(v) ((v) >> 10 & 7u)

static uint64_t counter(const struct pm *pm)
{
    return scale_apply(pm->to_cycles, clock_since(pm->clock->now, pm->base_tick));
}

static void update_sci(struct pm *pm)
{
    bool sci = (pm->status & pm->enable & PM1_ENABLE) != 0;
    if (sci != pm->sci) {
        pm->sci = sci;
        irq_set(&pm->irq, LAYOUT_IRQ_SCI, sci);
    }
}

void pm_advance(struct pm *pm)
{
    uint64_t toggles = counter(pm) >> 31;
    if (toggles != pm->overflow_seen) {
        pm->overflow_seen = toggles;
        pm->status |= PM1_TIMER;
        update_sci(pm);
    }
}

uint64_t pm_next_event(const struct pm *pm)
{
    if (!(pm->enable & PM1_TIMER) || (pm->status & PM1_TIMER))
        return CLOCK_NEVER;
    return pm->base_tick + clock_tick_of(pm->to_cycles, pm->to_ticks, (pm->overflow_seen + 1) << 31);
}

void pm_power_button(struct pm *pm)
{
    pm->status |= PM1_BUTTON;
    update_sci(pm);
}

static void write_control(struct pm *pm, uint16_t value)
{
    pm->control = (uint16_t)((value & CNT_WRITABLE) | CNT_SCI_EN);
    if ((value & CNT_SLP_EN) && CNT_SLP_TYP(value) == LAYOUT_SLP_TYP_S5 && pm->power.poweroff)
        pm->power.poweroff(pm->power.context);
}

/* The event block holds two 16-bit registers; `shift` says which byte of one a byte access means. */
static void event_port(void *device, uint16_t port, unsigned size, bool is_write, uint32_t *value)
{
    struct pm *pm = device;
    unsigned shift = 8u * (port & 1u), mask = (size == 1 ? 0xffu : 0xffffu) << shift;
    bool enable = (port - LAYOUT_PM1A_EVT) >= 2;
    pm_advance(pm);
    if (!is_write) {
        *value = (uint32_t)(enable ? pm->enable : pm->status) >> shift;
        return;
    }
    uint32_t v = *value << shift & mask;
    if (enable)
        pm->enable = (uint16_t)(((pm->enable & ~mask) | v) & PM1_ENABLE);
    else
        pm->status &= (uint16_t) ~(v & PM1_STATUS);
    update_sci(pm);
}

static void control_port(void *device, uint16_t port, unsigned size, bool is_write, uint32_t *value)
{
    struct pm *pm = device;
    unsigned shift = 8u * (port & 1u), mask = (size == 1 ? 0xffu : 0xffffu) << shift;
    if (is_write)
        write_control(pm, (uint16_t)((pm->control & ~mask) | (*value << shift & mask)));
    else
        *value = (uint32_t)pm->control >> shift;
}

static void timer_port(void *device, uint16_t port, unsigned size, bool is_write, uint32_t *value)
{
    struct pm *pm = device;
    (void)size;
    if (!is_write)
        *value = (uint32_t)counter(pm) >> (8u * (port & 3u));
}

/* GPE0: two status bytes and two enable bytes, with no event behind them. */
static void gpe_port(void *device, uint16_t port, unsigned size, bool is_write, uint32_t *value)
{
    struct pm *pm = device;
    unsigned at = (unsigned)(port - LAYOUT_GPE0) & 3u;
    (void)size;
    if (!is_write)
        *value = pm->gpe[at];
    else if (at >= 2)
        pm->gpe[at] = (uint8_t)*value;
}

static void reset_port(void *device, uint16_t port, unsigned size, bool is_write, uint32_t *value)
{
    struct pm *pm = device;
    (void)port;
    (void)size;
    if (!is_write) {
        *value = pm->reset_control;
        return;
    }
    pm->reset_control = (uint8_t)*value & 0x0au;
    if ((*value & 0x04) && pm->power.reset)
        pm->power.reset(pm->power.context);
}

static void reset(void *state)
{
    struct pm *pm = state;
    pm->status = pm->enable = 0;
    pm->control = CNT_SCI_EN;
    memset(pm->gpe, 0, sizeof pm->gpe);
    pm->reset_control = 0;
    pm->base_tick = pm->clock->now;
    pm->overflow_seen = 0;
    pm->sci = false;
}

enum error pm_init(struct pm *pm, struct bus *bus, const struct clock *clock, const struct irq_sink *irq,
                   const struct power_sink *power)
{
    memset(pm, 0, sizeof *pm);
    pm->clock = clock;
    pm->irq = *irq;
    pm->power = *power;
    reset(pm);
    pm->to_cycles = clock_to_cycles(clock->khz, PM_TIMER_HZ);
    pm->to_ticks = clock_to_ticks(clock->khz, PM_TIMER_HZ);
    enum error e = bus_add_ports(bus, LAYOUT_PM1A_EVT, LAYOUT_PM1A_EVT + 3, 2 | BUS_TIMERS, event_port, pm);
    if (e == OK)
        e = bus_add_ports(bus, LAYOUT_PM1A_CNT, LAYOUT_PM1A_CNT + 1, 2 | BUS_TIMERS, control_port, pm);
    if (e == OK)
        e = bus_add_ports(bus, LAYOUT_PM_TMR, LAYOUT_PM_TMR + 3, 4, timer_port, pm);
    if (e == OK)
        e = bus_add_ports(bus, LAYOUT_GPE0, LAYOUT_GPE0 + LAYOUT_GPE0_BYTES - 1, 1, gpe_port, pm);
    if (e == OK)
        e = bus_add_byte_port(bus, LAYOUT_RESET_PORT, reset_port, pm);
    return e;
}

static enum error init(void *state, const struct platform *p, unsigned number)
{
    (void)number;
    return pm_init(state, p->bus, p->clock, &p->irq, &p->power);
}

static void fields(void *state, struct stream *s)
{
    struct pm *pm = state;
    STREAM_FIELD(s, pm->status);
    STREAM_FIELD(s, pm->enable);
    STREAM_FIELD(s, pm->control);
    STREAM_FIELD(s, pm->gpe);
    STREAM_FIELD(s, pm->reset_control);
    stream_time(s, pm->clock->now, &pm->base_tick);
    STREAM_FIELD(s, pm->overflow_seen);
    stream_bool(s, &pm->sci);
}

static uint64_t next_event(const void *state)
{
    return pm_next_event(state);
}

static void advance(void *state)
{
    pm_advance(state);
}

const struct device pm_device = {.name = "ACPI hardware",
                                 .version = 1,
                                 .bytes = sizeof(struct pm),
                                 .init = init,
                                 .reset = reset,
                                 .next_event = next_event,
                                 .advance = advance,
                                 .fields = fields};
