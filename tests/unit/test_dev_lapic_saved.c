// SPDX-License-Identifier: Apache-2.0
/* Local APICs, saved and loaded: another set, at another time, goes on as the first would have. One CPU's is served by
 * the hardware, which does nothing here. */
// sources: vmm/devices/lapic.c vmm/devices/lapic_route.c vmm/devices/lapic_timer.c vmm/devices/clock.c vmm/stream.c
#include "dev_test.h"
#include "vmm/devices/lapic.h"
#include "vmm/devices/layout.h"

#define CPUS 3
#define KHZ  2000000u

struct world {
    struct apic_set set;
    struct lapic cpu[CPUS];
    struct vcpu_state page[CPUS];
    uint64_t now;
    unsigned kicks[CPUS], ends;
};

static struct world worlds[2];
static uint64_t seed = 0x9e3779b97f4a7c15ull;

static uint32_t rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 16);
}

static void on_kick(void *context, unsigned vcpu)
{
    ((struct world *)context)->kicks[vcpu]++;
}
static void on_eoi(void *context, uint8_t vector)
{
    ((struct world *)context)->ends += vector;
}

static void make(struct world *w, uint64_t now)
{
    memset(w, 0, sizeof *w);
    w->now = now;
    w->set.context = w;
    w->set.kick = on_kick;
    w->set.eoi = on_eoi;
    w->set.physical_bits = 52;
    w->page[1].apic_offer = APIC_BY_CPU;
    for (unsigned i = 0; i < CPUS; i++) {
        lapic_init(&w->cpu[i], &w->set, i, &w->page[i], KHZ);
        lapic_firmware_state(&w->cpu[i]);
        lapic_set_tsc_offset(&w->cpu[i], 0 - now);
    }
}

struct access {
    unsigned kind, cpu, size;
    uint32_t index;
    uint64_t value;
    bool write;
    uint64_t ticks;
};

static struct access any_access(void)
{
    struct access a = {
        .kind = rnd() % 8, .cpu = rnd() % CPUS, .size = rnd() % 8 ? 4 : 1u << rnd() % 4, .write = rnd() & 1};
    a.value = rnd() % 3 ? rnd() & 0xff : (uint64_t)rnd() << 32 | rnd();
    if (a.kind < 3) {
        a.index = (rnd() % 0x40) << 4;
    } else if (a.kind < 6) {
        a.index = rnd() % 16 ? 0x800 + rnd() % 0x40 : rnd() & 1 ? MSR_APIC_BASE : MSR_TSC_DEADLINE;
        if (a.index == MSR_APIC_BASE)
            a.value = LAYOUT_LAPIC_BASE | (a.value & 0xc00) | (a.cpu == 0 ? 0x100 : 0);
        if (a.index == MSR_TSC_DEADLINE)
            a.value = rnd();
    }
    a.ticks = rnd() % 16 ? rnd() % 5000 : rnd();
    return a;
}

/* What came of it, as one number. */
static uint64_t do_access(struct world *w, const struct access *a)
{
    struct lapic *l = &w->cpu[a->cpu];
    uint64_t value = a->value, result = 0;
    uint8_t sipi = 0;
    if (a->kind < 3) {
        lapic_mmio(l, w->now, a->index, a->size, a->write, &value);
        result = value;
    } else if (a->kind < 6) {
        result = a->write ? lapic_wrmsr(l, w->now, a->index, a->value) : lapic_rdmsr(l, w->now, a->index, &value);
        result ^= value << 1;
    } else if (a->kind == 6) {
        const struct interrupt_message m = {.dest = a->value & 3,
                                            .vector = (uint8_t)(a->value >> 8 | 0x20),
                                            .delivery_mode = a->write ? DELIVER_FIXED : DELIVER_NMI,
                                            .level_triggered = a->size == 1};
        apic_set_deliver(&w->set, &m);
    } else {
        lapic_end_of_interrupt(l);
    }
    w->now += a->ticks;
    for (unsigned i = 0; i < CPUS; i++) {
        l = &w->cpu[i];
        lapic_advance(l, w->now);
        uint32_t mail = lapic_take_mail(l, &sipi);
        if (mail & LAPIC_MAIL_INIT)
            lapic_reset(l, false);
        lapic_take_requests(l);
        int vector = lapic_highest_pending(l);
        if (vector >= 0 && !lapic_by_cpu(l) && (a->value & 4))
            lapic_accept(l, (uint8_t)vector);
        result = result * 31 + mail * 7 + (uint64_t)(int64_t)vector + lapic_cr8(l);
        uint64_t due = lapic_next_deadline(l);
        result = result * 31 + (due == CLOCK_NEVER ? 1 : due - w->now);
        result = result * 31 + lapic_accepts_pic(l) + 2 * lapic_by_cpu(l) + 4 * lapic_has_work(l);
    }
    return result * 31 + w->ends;
}

static void other_goes_on(void **state)
{
    (void)state;
    make(&worlds[0], 1000000000);
    make(&worlds[1], 77);
    for (unsigned round = 0; round < 300; round++) {
        for (unsigned i = rnd() % 2000; i > 0; i--) {
            const struct access a = any_access();
            (void)do_access(&worlds[0], &a);
        }
        uint64_t shift = worlds[1].now - worlds[0].now;
        for (unsigned i = 0; i < CPUS; i++) {
            struct lapic_saved saved;
            lapic_save(&worlds[0].cpu[i], &saved);
            if (saved.timer_due != CLOCK_NEVER)
                saved.timer_due += shift;
            saved.timer_start += shift;
            assert_true(lapic_saved_valid(&worlds[1].cpu[i], &saved));
            lapic_load(&worlds[1].cpu[i], worlds[1].now, &saved);
            /* The guest's TSC goes on where it was. */
            worlds[1].cpu[i].tsc_offset = worlds[0].cpu[i].tsc_offset - shift;
        }
        worlds[1].ends = worlds[0].ends = 0;
        atomic_store(&worlds[1].set.turn, atomic_load(&worlds[0].set.turn));
        for (unsigned i = 0; i < 300; i++) {
            const struct access a = any_access();
            assert_int_equal(do_access(&worlds[0], &a), do_access(&worlds[1], &a));
        }
    }
}

/* Garbage is refused, or does no harm. */
static void nonsense(void **state)
{
    (void)state;
    unsigned refused = 0, taken = 0;
    make(&worlds[0], 1000000000);
    for (unsigned round = 0; round < 30000; round++) {
        struct lapic_saved saved;
        lapic_save(&worlds[0].cpu[round % CPUS], &saved);
        for (unsigned n = 1 + rnd() % 3; n > 0; n--)
            ((uint8_t *)&saved)[rnd() % sizeof saved] = (uint8_t)rnd();
        if (lapic_saved_valid(&worlds[0].cpu[round % CPUS], &saved)) {
            lapic_load(&worlds[0].cpu[round % CPUS], worlds[0].now, &saved);
            taken++;
        } else {
            refused++;
        }
        for (unsigned i = 0; i < 5; i++) {
            const struct access a = any_access();
            (void)do_access(&worlds[0], &a);
        }
    }
    assert_true(refused > 1000 && taken > 1000);
}

/* What no local APIC's registers can hold (SDM vol. 3, 11.4 to 11.8) is refused, one bit at a time. */
static void each_refusal(void **state)
{
    (void)state;
    static const struct {
        unsigned offset;
        uint32_t refused;
    } row[] = {
        {0x30, 0xffffffff},  {0x80, 0xffffff00},  {0xf0, 0xfffffe00},  {0x100, 0x0000ffff},
        {0x320, 0xfff8af00}, {0x330, 0xfffea800}, {0x340, 0xfffea800}, {0x350, 0xfffe0800},
        {0x360, 0xfffe0800}, {0x370, 0xfffeaf00}, {0x3e0, 0xfffffff4},
    };
    struct lapic_saved good, bad;
    make(&worlds[0], 1000);
    struct lapic *l = &worlds[0].cpu[0];
    lapic_save(l, &good);
    assert_true(lapic_saved_valid(l, &good));
    for (unsigned i = 0; i < sizeof row / sizeof row[0]; i++)
        for (unsigned bit = 0; bit < 32; bit++) {
            bad = good;
            bad.reg[row[i].offset / 16] ^= 1u << bit;
            assert_int_equal(lapic_saved_valid(l, &bad), !(row[i].refused >> bit & 1));
        }
    for (unsigned bit = 0; bit < 64; bit++) { /* APIC_BASE: enabled, x2APIC, the address; the first CPU's bit stays */
        bad = good;
        bad.base_msr ^= 1ull << bit;
        assert_int_equal(lapic_saved_valid(l, &bad), bit >= 10 && bit < 52);
        bad = good;
        bad.irr[0] = 1ull << bit;
        assert_int_equal(lapic_saved_valid(l, &bad), bit >= 16); /* no interrupt has a vector below 16 */
    }
    bad = good;
    bad.base_msr = (good.base_msr | 1u << 10) & ~(1ull << 11); /* x2APIC mode of one that is off */
    assert_false(lapic_saved_valid(l, &bad));
    assert_false(lapic_saved_valid(&worlds[0].cpu[1], &good)); /* another CPU's is not the first's */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(other_goes_on), cmocka_unit_test(nonsense),
                                       cmocka_unit_test(each_refusal)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
