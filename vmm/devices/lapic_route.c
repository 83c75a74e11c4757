// SPDX-License-Identifier: Apache-2.0
/*
 * How interrupt messages find their CPUs (Intel SDM vol. 3, 11.6.2) and are left there for the vCPU's own thread. Any
 * thread may run this, so it touches only the atomic members of a struct lapic. A target that changes its address
 * meanwhile is matched by the old or the new one, as on a real bus.
 */
#include <stddef.h>

#include "vmm/devices/lapic_internal.h"

/* Intel SDM vol. 3, figure 11-12. */
#define ICR_MODE      0x700u
#define ICR_LOGICAL   0x800u
#define ICR_SHORTHAND 0xc0000u

_Static_assert(VMM_VCPUS_MAX < 0xff, "the number of an APIC is no broadcast");

void lapic_post_fixed(struct lapic *l, uint8_t vector, bool level_triggered)
{
    if (vector < 16) {
        atomic_fetch_or(&l->errors, LAPIC_ERROR_RECEIVE_VECTOR);
        atomic_fetch_or(&l->mail, LAPIC_MAIL_ERROR);
        return;
    }
    uint64_t bit = 1ull << (vector & 63);
    /* Trigger mode first: a reader that sees the request sees it right. */
    if (level_triggered)
        atomic_fetch_or(&l->level[vector >> 6], bit);
    else if (atomic_load_explicit(&l->level[vector >> 6], memory_order_relaxed) & bit)
        atomic_fetch_and(&l->level[vector >> 6], ~bit);
    atomic_fetch_or(&l->pending[vector >> 6], bit);
}

void lapic_post_mail(struct lapic *l, uint32_t mail, uint8_t sipi_vector)
{
    uint32_t old = atomic_load(&l->mail), wanted;
    do {
        wanted = old | mail | (old & mail & LAPIC_MAIL_NMI ? LAPIC_MAIL_NMI_AGAIN : 0);
        if (mail & LAPIC_MAIL_INIT) /* an earlier start-up IPI is void now */
            wanted &= ~(uint32_t)(LAPIC_MAIL_SIPI | 0xff00);
        if (mail & LAPIC_MAIL_SIPI)
            wanted = (wanted & ~0xff00u) | (uint32_t)sipi_vector << 8;
    } while (!atomic_compare_exchange_weak(&l->mail, &old, wanted));
}

static bool matches(const struct lapic *l, const struct interrupt_message *m)
{
    uint32_t mode = atomic_load_explicit(&l->route_mode, memory_order_acquire) & 0xff;
    if (mode == LAPIC_OFF)
        return false;
    if (m->wide ? m->dest == UINT32_MAX : m->dest == 0xff)
        return true;
    if (!m->dest_logical)
        return m->dest == atomic_load_explicit(&l->route_id, memory_order_relaxed);
    uint32_t ldr = atomic_load_explicit(&l->route_ldr, memory_order_relaxed);
    if (mode == LAPIC_X2APIC)
        return m->dest >> 16 == ldr >> 16 && (m->dest & ldr & 0xffff) != 0;
    if (m->dest > 0xff)
        return false;
    if (atomic_load_explicit(&l->route_dfr, memory_order_relaxed) >> 28 == 0xf)
        return (m->dest & ldr >> 24) != 0;
    return m->dest >> 4 == ldr >> 28 && (m->dest & ldr >> 24 & 0xf) != 0;
}

static bool software_on(const struct lapic *l)
{
    return (atomic_load_explicit(&l->route_mode, memory_order_acquire) & LAPIC_ROUTE_SOFTWARE_ON) != 0;
}

static void deliver_to(struct apic_set *set, struct lapic *l, const struct interrupt_message *m)
{
    switch (m->delivery_mode) {
    case DELIVER_FIXED:
    case DELIVER_LOWEST:
        if (!software_on(l))
            return;
        lapic_post_fixed(l, m->vector, m->level_triggered);
        break;
    case DELIVER_NMI: lapic_post_mail(l, LAPIC_MAIL_NMI, 0); break;
    case DELIVER_INIT:
        if (!m->level)
            return; /* de-assert only resynchronised arbitration IDs, long ago */
        lapic_post_mail(l, LAPIC_MAIL_INIT, 0);
        break;
    case DELIVER_SIPI: lapic_post_mail(l, LAPIC_MAIL_SIPI, m->vector); break;
    case DELIVER_EXTINT: lapic_post_mail(l, LAPIC_MAIL_EXTINT, 0); break;
    default: return; /* SMI: there is no SMM here */
    }
    if (set->kick)
        set->kick(set->context, l->index);
}

/* The APICs that the message may be for, [*first, the answer): one for a physical destination, whose number it is; a
 * cluster of 16 for a logical one that only an x2APIC can have. Whether it is for them `matches` says. */
static uint32_t candidates(const struct apic_set *set, const struct interrupt_message *m, uint32_t *first)
{
    uint32_t count = set->count < VMM_VCPUS_MAX ? set->count : VMM_VCPUS_MAX, some = count;
    *first = 0;
    if (m->wide ? m->dest == UINT32_MAX : m->dest == 0xff)
        return count;
    if (!m->dest_logical) {
        *first = m->dest;
        some = 1;
    } else if (m->dest > 0xff) {
        *first = (m->dest >> 16) * 16;
        some = 16;
    }
    if (*first >= count)
        *first = count;
    return some < count - *first ? *first + some : count;
}

void apic_set_deliver(struct apic_set *set, const struct interrupt_message *m)
{
    uint32_t first, end = candidates(set, m, &first), n = end - first;
    if (m->delivery_mode != DELIVER_LOWEST) {
        for (uint32_t i = first; i < end; i++)
            if (set->cpu[i] && matches(set->cpu[i], m))
                deliver_to(set, set->cpu[i], m);
        return;
    }
    /* Lowest priority: any target will do; take turns among those that listen. */
    uint32_t turn = n > 1 ? atomic_fetch_add_explicit(&set->turn, 1, memory_order_relaxed) : 0;
    for (uint32_t i = 0; i < n; i++) {
        struct lapic *l = set->cpu[first + (turn + i) % n];
        if (l && software_on(l) && matches(l, m)) {
            deliver_to(set, l, m);
            return;
        }
    }
}

bool lapic_send_self(struct lapic *l, uint8_t vector)
{
    if (vector < 16)
        return false;
    if (software_on(l)) {
        lapic_post_fixed(l, vector, false);
        if (l->set->kick)
            l->set->kick(l->set->context, l->index);
    }
    return true;
}

/* One vector for one CPU, by its number: the usual message. False: it is another, or no CPU has that number. */
static bool send_to_one(struct apic_set *set, uint32_t icr_low, uint32_t dest)
{
    struct lapic *l = dest < set->count && dest < VMM_VCPUS_MAX ? set->cpu[dest] : NULL;
    if ((icr_low & (ICR_SHORTHAND | ICR_LOGICAL | ICR_MODE)) != 0 || (icr_low & 0xf0) == 0 || l == NULL)
        return false;
    uint32_t route = atomic_load_explicit(&l->route_mode, memory_order_acquire);
    if ((route & LAPIC_ROUTE_SOFTWARE_ON) == 0 || (route & LAPIC_ROUTE_MODE) == LAPIC_OFF)
        return false;
    lapic_post_fixed(l, (uint8_t)icr_low, false);
    if (set->kick)
        set->kick(set->context, l->index);
    return true;
}

bool lapic_send_x2apic(struct lapic *l, uint64_t icr)
{
    uint32_t low = (uint32_t)icr, dest = (uint32_t)(icr >> 32);
    if ((low & ~ICR_WRITABLE) != 0 || !send_to_one(l->set, low, dest))
        return false;
    *reg_of(l, REG_ICR_LOW) = low;
    *reg_of(l, REG_ICR_HIGH) = dest;
    return true;
}

bool lapic_send_icr(struct lapic *l, bool x2, uint32_t icr_low, uint32_t dest)
{
    struct apic_set *set = l->set;
    if (send_to_one(set, icr_low, dest))
        return true;
    unsigned shorthand = icr_low >> 18 & 3;
    struct interrupt_message m = {
        .dest = dest,
        .dest_logical = (icr_low >> 11 & 1) != 0,
        .wide = x2,
        .delivery_mode = (uint8_t)(icr_low >> 8 & 7),
        .vector = (uint8_t)icr_low,
        .level = (icr_low >> 14 & 1) != 0 || !(icr_low >> 15 & 1), /* de-assert is level-triggered with level 0 */
    };
    if (m.delivery_mode == DELIVER_EXTINT || m.delivery_mode == 3)
        return true; /* reserved here: nothing is sent */
    if (m.delivery_mode <= DELIVER_LOWEST && m.vector < 16)
        return false;
    if (shorthand == SHORTHAND_NONE) {
        apic_set_deliver(set, &m);
        return true;
    }
    if (shorthand == SHORTHAND_SELF)
        return m.delivery_mode != DELIVER_FIXED || lapic_send_self(l, m.vector);
    if (m.delivery_mode == DELIVER_LOWEST)
        m.delivery_mode = DELIVER_FIXED;
    for (uint32_t i = 0; i < set->count && i < VMM_VCPUS_MAX; i++) {
        struct lapic *target = set->cpu[i];
        if (!target || (shorthand == SHORTHAND_OTHERS && target == l))
            continue;
        if ((atomic_load_explicit(&target->route_mode, memory_order_acquire) & 0xff) != LAPIC_OFF)
            deliver_to(set, target, &m);
    }
    return true;
}

bool apic_set_asks(const struct apic_set *set, uint8_t vector)
{
    for (uint32_t i = 0; i < set->count; i++) {
        const struct lapic *l = set->cpu[i];
        uint32_t irr = __atomic_load_n(&l->page[4 * (REG_IRR + (vector >> 5))], __ATOMIC_RELAXED);
        if ((lapic_posted(l, vector >> 6) >> (vector & 63) & 1) != 0 || (irr >> (vector & 31) & 1) != 0)
            return true;
    }
    return false;
}
