// SPDX-License-Identifier: Apache-2.0
/*
 * The local APIC's timer: one-shot, periodic, TSC-deadline; see lapic.h (Intel SDM vol. 3, 11.5.4). Nothing ticks: the
 * next expiry is known as a host TSC, and lapic_advance looks whether it has come.
 */
#include "vmm/devices/lapic_internal.h"

void lapic_timer_stop(struct lapic *l)
{
    l->timer_due = CLOCK_NEVER;
    l->tsc_deadline = 0;
}

static unsigned divisor_shift(const struct lapic *l)
{
    uint32_t divide = *reg_of(l, REG_DIVIDE);
    return (((divide & 3) | (divide >> 1 & 4)) + 1) & 7;
}

static uint64_t count_ticks(const struct lapic *l, uint32_t count)
{
    return clock_tick_of(l->to_cycles, l->to_ticks, (uint64_t)count << divisor_shift(l));
}

/* From the initial count on, in host ticks. A periodic timer gets at least 20 us: a shorter one would leave its guest
 * no time to run in. */
static uint64_t whole_ticks(const struct lapic *l)
{
    uint64_t ticks = count_ticks(l, *reg_of(l, REG_INITIAL)), least = l->tsc_khz / 50 + 1;
    return TIMER_MODE(*lvt_of(l, LVT_TIMER)) == TIMER_PERIODIC && ticks < least ? least : ticks;
}

void lapic_timer_start(struct lapic *l, uint64_t now)
{
    l->timer_due = CLOCK_NEVER;
    if (*reg_of(l, REG_INITIAL) == 0 || TIMER_MODE(*lvt_of(l, LVT_TIMER)) > TIMER_PERIODIC)
        return;
    l->timer_start = now;
    l->timer_from = *reg_of(l, REG_INITIAL);
    l->timer_due = now + whole_ticks(l);
}

void lapic_timer_divide(struct lapic *l, uint64_t now, uint32_t divide)
{
    uint32_t left = lapic_timer_count(l, now);
    bool changes = divide != *reg_of(l, REG_DIVIDE);
    *reg_of(l, REG_DIVIDE) = divide;
    if (!changes || l->timer_due == CLOCK_NEVER || TIMER_MODE(*lvt_of(l, LVT_TIMER)) > TIMER_PERIODIC)
        return;
    l->timer_start = now;
    l->timer_from = left;
    l->timer_due = now + count_ticks(l, left);
}

uint32_t lapic_timer_count(const struct lapic *l, uint64_t now)
{
    if (l->timer_due == CLOCK_NEVER || TIMER_MODE(*lvt_of(l, LVT_TIMER)) > TIMER_PERIODIC || now < l->timer_start)
        return 0;
    uint32_t initial = *reg_of(l, REG_INITIAL);
    uint64_t gone = scale_apply(l->to_cycles, now - l->timer_start) >> divisor_shift(l);
    if (gone < l->timer_from)
        return l->timer_from - (uint32_t)gone;
    if (TIMER_MODE(*lvt_of(l, LVT_TIMER)) != TIMER_PERIODIC || initial == 0)
        return 0;
    return initial - (uint32_t)((gone - l->timer_from) % initial);
}

/* timer_due for the armed deadline. */
static void deadline_arm(struct lapic *l, uint64_t now)
{
    l->timer_due = CLOCK_NEVER;
    if (l->tsc_deadline == 0)
        return;
    uint64_t guest_now = now + l->tsc_offset;
    uint64_t left = l->tsc_deadline > guest_now ? l->tsc_deadline - guest_now : 0;
    l->timer_due = left >= CLOCK_NEVER - now ? CLOCK_NEVER - 1 : now + left;
}

void lapic_set_tsc_offset(struct lapic *l, uint64_t offset)
{
    l->tsc_offset = offset;
    if (TIMER_MODE(*lvt_of(l, LVT_TIMER)) == TIMER_DEADLINE)
        deadline_arm(l, l->seen);
}

void lapic_timer_fire(struct lapic *l, uint64_t now)
{
    if (TIMER_MODE(*lvt_of(l, LVT_TIMER)) == TIMER_PERIODIC) {
        uint64_t period = whole_ticks(l);
        l->timer_start = l->timer_due + (now - l->timer_due) / period * period;
        l->timer_from = *reg_of(l, REG_INITIAL);
        l->timer_due = l->timer_start + period;
    } else {
        lapic_timer_stop(l);
    }
    lapic_local_interrupt(l, LVT_TIMER);
}

void lapic_timer_mode(struct lapic *l, uint64_t now, uint32_t old)
{
    /* To or from TSC-deadline mode disarms (SDM 11.5.4.1); between the other two the count goes on. */
    if (TIMER_MODE(old) > TIMER_PERIODIC || TIMER_MODE(*lvt_of(l, LVT_TIMER)) > TIMER_PERIODIC) {
        lapic_timer_stop(l);
        *reg_of(l, REG_INITIAL) = 0;
    } else if (l->timer_due != CLOCK_NEVER) {
        uint32_t initial = *reg_of(l, REG_INITIAL);
        l->timer_due = l->timer_start + (l->timer_from == initial ? whole_ticks(l) : count_ticks(l, l->timer_from));
        if (l->timer_due < now)
            l->timer_due = now;
    }
}

bool lapic_deadline(struct lapic *l, uint64_t now, uint64_t guest_tsc)
{
    uint32_t entry = *lvt_of(l, LVT_TIMER);
    if (now >= l->timer_due) { /* the one before, first */
        lapic_timer_fire(l, now);
        (void)lapic_deadline(l, now, guest_tsc);
        return false;
    }
    l->seen = now;
    if (TIMER_MODE(entry) != TIMER_DEADLINE)
        return true;
    if (guest_tsc == 0 || guest_tsc > now + l->tsc_offset) {
        l->tsc_deadline = guest_tsc;
        deadline_arm(l, now);
        return true;
    }
    lapic_timer_stop(l); /* it has come already */
    return (entry & LVT_MASK) || lapic_request(l, (uint8_t)entry);
}
