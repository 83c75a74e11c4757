// SPDX-License-Identifier: Apache-2.0
/* The local APIC: both faces, priorities, the timer's three modes, and how messages find their CPUs. All of it twice:
 * on a CPU that cannot help, and on one that serves the interrupts of an x2APIC by itself, which is made up here. */
// sources: vmm/devices/lapic.c vmm/devices/lapic_route.c vmm/devices/lapic_timer.c vmm/devices/clock.c
#include "dev_test.h"
#include "vmm/devices/lapic.h"
#include "vmm/devices/lapic_internal.h"
#include "vmm/devices/layout.h"

#define KHZ   2500000ull /* 100 ticks in a cycle of the timer's 25 MHz */
#define CPUS  64         /* VMM_VCPUS_MAX */
#define ALL   UINT64_MAX
#define TICKS 100ull

static struct lapic cpu[CPUS];
static struct vcpu_state page[CPUS];
#define PHYSICAL_BITS 39
static struct apic_set set;
static unsigned kicks[CPUS], eois;
static uint8_t eoi_vector;
static uint32_t offer;

static void on_kick(void *context, unsigned vcpu)
{
    (void)context;
    kicks[vcpu]++;
}

static void on_eoi(void *context, uint8_t vector)
{
    (void)context;
    eois++;
    eoi_vector = vector;
}

/*
 * The made-up CPU (Intel SDM vol. 3, chapter 30), and the kernel's part. Registers by their offset in the page;
 * `status` is the guest interrupt status.
 */
static struct status {
    uint8_t rvi, svi;
} status[CPUS];

static uint32_t *at(const struct lapic *l, unsigned offset)
{
    return &page[l->index].apic[offset / 4];
}
static uint32_t *at_vector(const struct lapic *l, unsigned base, uint8_t vector)
{
    return at(l, base + (vector >> 5) * 16u);
}
static uint8_t highest_at(const struct lapic *l, unsigned base)
{
    for (unsigned v = 256; v-- > 0;)
        if (*at_vector(l, base, (uint8_t)v) >> (v & 31) & 1)
            return (uint8_t)v;
    return 0;
}

static void cpu_priority(struct lapic *l)
{
    uint32_t tpr = *at(l, 0x80), svi = status[l->index].svi;
    *at(l, 0xa0) = tpr >> 4 >= svi >> 4 ? tpr : svi & 0xf0;
}

static void enter(struct lapic *l)
{
    struct vcpu_state *s = &page[l->index];
    if (s->dirty & GROUP_APIC)
        status[l->index] = (struct status){s->apic_request, s->apic_serving};
    else if ((s->dirty & GROUP_APIC_REQUEST) && s->apic_request > status[l->index].rvi)
        status[l->index].rvi = s->apic_request;
    s->dirty = 0;
    if (s->apic_mode == APIC_BY_CPU) {
        assert_int_equal(status[l->index].rvi, highest_at(l, 0x200)); /* nothing in IRR is forgotten */
        assert_int_equal(status[l->index].svi, highest_at(l, 0x100));
        cpu_priority(l);
    }
}

static void cpu_eoi(struct lapic *l)
{
    uint8_t vector = status[l->index].svi;
    *at_vector(l, 0x100, vector) &= ~(1u << (vector & 31));
    status[l->index].svi = highest_at(l, 0x100);
    cpu_priority(l);
    if (page[l->index].apic_eoi_exit[vector >> 6] >> (vector & 63) & 1)
        lapic_written(l, 0xb0, vector);
}

/* What the vCPU's loop does before an entry. */
static int next_vector(struct lapic *l)
{
    lapic_take_requests(l);
    return lapic_highest_pending(l);
}

static void take(struct lapic *l, int vector)
{
    enter(l);
    if (!lapic_by_cpu(l)) {
        lapic_accept(l, (uint8_t)vector);
        return;
    }
    assert_int_equal(vector, status[l->index].rvi);
    *at_vector(l, 0x100, (uint8_t)vector) |= 1u << (vector & 31);
    *at_vector(l, 0x200, (uint8_t)vector) &= ~(1u << (vector & 31));
    status[l->index] = (struct status){highest_at(l, 0x200), (uint8_t)vector};
    cpu_priority(l);
}

static int setup(void **state)
{
    (void)state;
    memset(&set, 0, sizeof set);
    set.physical_bits = PHYSICAL_BITS;
    memset(kicks, 0, sizeof kicks);
    eois = 0;
    set.kick = on_kick;
    set.eoi = on_eoi;
    memset(page, 0, sizeof page);
    memset(status, 0, sizeof status);
    for (unsigned i = 0; i < CPUS; i++) {
        page[i].apic_offer = offer;
        lapic_init(&cpu[i], &set, i, &page[i], KHZ);
    }
    return 0;
}

static uint32_t rd(struct lapic *l, uint32_t offset)
{
    uint64_t v = 0;
    lapic_mmio(l, l->seen, offset, 4, false, &v);
    return (uint32_t)v;
}

static void wr(struct lapic *l, uint32_t offset, uint32_t value)
{
    uint64_t v = value;
    lapic_mmio(l, l->seen, offset, 4, true, &v);
}

static bool rdmsr(struct lapic *l, uint32_t index, uint64_t *v)
{
    /* what the guest reads without an exit (vmx/vmx_msr.c) is what the model would say */
    bool open = lapic_by_cpu(l) &&
                (index == 0x802 || index == 0x803 || index == 0x808 || index == 0x80a || index == 0x80d ||
                 (index >= 0x80f && index <= 0x828) || (index >= 0x832 && index <= 0x838) || index == 0x83e);
    if (open) {
        lapic_take_requests(l);
        enter(l);
    }
    bool ok = lapic_rdmsr(l, l->seen, index, v);
    if (open) {
        uint32_t by_cpu = *at(l, (index & 0xff) << 4);
        if (index >= 0x820 && index <= 0x827) /* the CPU has one request at a time */
            by_cpu |= (uint32_t)(page[l->index].pending[(index - 0x820) / 2] >> (index & 1 ? 32 : 0));
        assert_true(ok);
        assert_int_equal(by_cpu, *v);
    }
    return ok;
}

static bool wrmsr(struct lapic *l, uint32_t index, uint64_t v)
{
    if (lapic_by_cpu(l) && (index == 0x808 || index == 0x80b || index == 0x83f)) {
        enter(l);
        if (index == 0x80b ? v != 0 : v > 0xff)
            return false;
        if (index == 0x80b)
            cpu_eoi(l);
        else if (index == 0x808)
            *at(l, 0x80) = (uint32_t)v, cpu_priority(l);
        else if (v < 16)
            lapic_written(l, 0x3f0, 0);
        else
            *at_vector(l, 0x200, (uint8_t)v) |= 1u << (v & 31), status[l->index].rvi = highest_at(l, 0x200);
        return true;
    }
    return lapic_wrmsr(l, l->seen, index, v);
}

static void all_on(void)
{
    for (unsigned i = 0; i < CPUS; i++)
        wr(&cpu[i], 0xf0, 0x1ff);
}

static void all_x2apic(void)
{
    for (unsigned i = 0; i < CPUS; i++) {
        assert_true(wrmsr(&cpu[i], MSR_APIC_BASE, cpu[i].base_msr | 0xc00));
        assert_true(wrmsr(&cpu[i], 0x80f, 0x1ff));
    }
}

static bool pending(unsigned n, uint8_t vector)
{
    return page[n].pending[vector >> 6] >> (vector & 63) & 1;
}

/* A bit for each CPU that has the vector pending; clears it. */
static uint64_t who(uint8_t vector)
{
    uint64_t set_of = 0;
    for (unsigned i = 0; i < CPUS; i++)
        if (pending(i, vector)) {
            set_of |= 1ull << i;
            page[i].pending[vector >> 6] &= ~(1ull << (vector & 63));
        }
    return set_of;
}

static void power_on(void **state)
{
    (void)state;
    uint64_t v;
    assert_true(rdmsr(&cpu[0], MSR_APIC_BASE, &v));
    assert_int_equal(v, 0xfee00900);
    assert_true(rdmsr(&cpu[1], MSR_APIC_BASE, &v));
    assert_int_equal(v, 0xfee00800);
    assert_int_equal(rd(&cpu[3], 0x20), 3u << 24);
    assert_int_equal(rd(&cpu[0], 0x30), 0x50014);
    assert_int_equal(rd(&cpu[0], 0xf0), 0xff);
    assert_int_equal(rd(&cpu[0], 0xe0), 0xffffffff);
    for (unsigned r = 0x320; r <= 0x370; r += 0x10) {
        wr(&cpu[0], r, 0xef); /* cannot be unmasked while software-disabled */
        assert_int_equal(rd(&cpu[0], r), 0x100ef);
    }
    assert_true(lapic_decodes(&cpu[0], 0xfee00fff));
    assert_false(lapic_decodes(&cpu[0], 0xfee01000));
    assert_false(lapic_accepts_pic(&cpu[0]));
    lapic_firmware_state(&cpu[0]);
    lapic_firmware_state(&cpu[1]);
    assert_true(lapic_accepts_pic(&cpu[0]));
    assert_false(lapic_accepts_pic(&cpu[1]));
    lapic_nmi_line(&cpu[0]);
    uint8_t sipi;
    assert_int_equal(lapic_take_mail(&cpu[0], &sipi), LAPIC_MAIL_NMI);
    /* every offset can be touched, in every size */
    for (uint32_t offset = 0; offset < 0x1000; offset++)
        for (unsigned size = 1; size <= 8; size *= 2) {
            lapic_mmio(&cpu[2], 0, offset, size, false, &v);
            v = UINT64_MAX;
            lapic_mmio(&cpu[2], 0, offset, size, true, &v);
        }
    lapic_mmio(&cpu[0], 0, 0x32, 1, false, &v);
    assert_int_equal(v & 0xff, 0x05);
}

static void priorities(void **state)
{
    (void)state;
    struct lapic *l = &cpu[0];
    all_on();
    assert_int_equal(next_vector(l), -1);
    lapic_post_fixed(l, 0x31, false);
    lapic_post_fixed(l, 0x45, false);
    assert_int_equal(next_vector(l), 0x45);
    take(l, 0x45);
    assert_int_equal(rd(l, 0x120), 0x20); /* ISR 0x45 */
    assert_int_equal(rd(l, 0xa0), 0x40);  /* PPR */
    assert_int_equal(next_vector(l), -1); /* 0x31 is below */
    assert_false(lapic_held_by_tpr(l));
    lapic_post_fixed(l, 0x4f, false);
    assert_int_equal(next_vector(l), -1); /* the same class */
    lapic_post_fixed(l, 0xf1, false);
    assert_int_equal(next_vector(l), 0xf1);
    take(l, 0xf1);
    wr(l, 0xb0, 0);
    assert_int_equal(rd(l, 0xa0), 0x40);
    wr(l, 0xb0, 0);
    assert_int_equal(next_vector(l), 0x4f);
    lapic_set_cr8(l, 4);
    assert_int_equal(rd(l, 0x80), 0x40);
    assert_int_equal(next_vector(l), -1);
    assert_true(lapic_held_by_tpr(l));
    assert_false(lapic_has_work(l));
    wr(l, 0x80, 0x3f);
    assert_int_equal(lapic_cr8(l), 3);
    assert_int_equal(next_vector(l), 0x4f);
    wr(l, 0x80, 0x00);
    assert_int_equal(rd(l, 0x210), 0x20000); /* IRR 0x31 */
    /* an end with nothing in service does nothing */
    wr(l, 0xb0, 0);
    wr(l, 0xb0, 0);
    assert_int_equal(eois, 0);
}

static void level_triggered(void **state)
{
    (void)state;
    struct interrupt_message m = {
        .dest = 1, .delivery_mode = DELIVER_FIXED, .vector = 0x61, .level = true, .level_triggered = true};
    all_on();
    assert_false(apic_set_asks(&set, 0x61));
    apic_set_deliver(&set, &m);
    assert_int_equal(kicks[1], 1);
    assert_true(apic_set_asks(&set, 0x61) && !apic_set_asks(&set, 0x62));
    assert_int_equal(next_vector(&cpu[1]), 0x61);
    assert_true(apic_set_asks(&set, 0x61));    /* also where the CPU delivers, and it is in its IRR */
    assert_int_equal(rd(&cpu[1], 0x1b0), 0x2); /* TMR */
    take(&cpu[1], 0x61);
    assert_false(apic_set_asks(&set, 0x61));
    wr(&cpu[1], 0xb0, 0);
    assert_int_equal(eois, 1);
    assert_int_equal(eoi_vector, 0x61);
    m.level_triggered = false;
    apic_set_deliver(&set, &m);
    take(&cpu[1], 0x61);
    wr(&cpu[1], 0xb0, 0);
    assert_int_equal(eois, 1);
}

static void base_transitions(void **state)
{
    (void)state;
    struct lapic *l = &cpu[1];
    uint64_t v, xapic = 0xfee00800, x2 = 0xfee00c00, off = 0xfee00000;
    assert_false(rdmsr(l, 0x802, &v)); /* not in x2APIC mode */
    assert_false(wrmsr(l, MSR_APIC_BASE, off | 0x400));
    assert_false(wrmsr(l, MSR_APIC_BASE, xapic | 1));
    assert_false(wrmsr(l, MSR_APIC_BASE, xapic | 1ull << 60));
    assert_false(wrmsr(l, MSR_APIC_BASE, xapic | 1ull << PHYSICAL_BITS)); /* no address of this machine */
    assert_true(wrmsr(l, MSR_APIC_BASE, xapic | 1ull << (PHYSICAL_BITS - 1)));
    assert_true(wrmsr(l, MSR_APIC_BASE, x2));
    assert_false(lapic_decodes(l, 0xfee00000));
    assert_true(rdmsr(l, 0x802, &v));
    assert_int_equal(v, 1);
    assert_true(rdmsr(l, 0x80d, &v));
    assert_int_equal(v, 2);
    assert_false(wrmsr(l, MSR_APIC_BASE, xapic));
    assert_true(wrmsr(l, MSR_APIC_BASE, x2));
    assert_true(lapic_on(l));
    assert_true(wrmsr(l, MSR_APIC_BASE, off));
    assert_false(lapic_on(l));
    assert_false(wrmsr(l, MSR_APIC_BASE, x2));
    assert_int_equal(next_vector(l), -1);
    assert_true(wrmsr(l, MSR_APIC_BASE, xapic));
    assert_int_equal(rd(l, 0xf0), 0xff);                       /* as after reset */
    assert_true(wrmsr(l, MSR_APIC_BASE, 0x1fee00000 | 0x800)); /* moved */
    assert_true(lapic_decodes(l, 0x1fee00080));
    assert_true(wrmsr(&cpu[0], MSR_APIC_BASE, off));
    assert_true(rdmsr(&cpu[0], MSR_APIC_BASE, &v));
    assert_int_equal(v, 0xfee00100); /* the BSP stays the BSP */
    assert_true(lapic_accepts_pic(&cpu[0]));
}

static void x2apic_registers(void **state)
{
    (void)state;
    struct lapic *l = &cpu[17];
    uint64_t v;
    all_x2apic();
    assert_true(rdmsr(l, 0x80d, &v));
    assert_int_equal(v, 0x10002);
    /* write-only, read-only, absent */
    assert_false(rdmsr(l, 0x80b, &v));
    assert_false(rdmsr(l, 0x83f, &v));
    assert_false(wrmsr(l, 0x802, 1));
    assert_false(wrmsr(l, 0x803, 1));
    assert_false(wrmsr(l, 0x80a, 0));
    assert_false(wrmsr(l, 0x80d, 0));
    assert_false(wrmsr(l, 0x839, 0));
    for (uint32_t i = 0x810; i < 0x828; i++) {
        assert_true(rdmsr(l, i, &v));
        assert_false(wrmsr(l, i, 0));
    }
    for (uint32_t i = 0x840; i < 0x900; i++)
        assert_true(!rdmsr(l, i, &v) && !wrmsr(l, i, 0));
    assert_false(rdmsr(l, 0x80e, &v));
    assert_false(rdmsr(l, 0x809, &v));
    assert_false(rdmsr(l, 0x831, &v));
    assert_false(wrmsr(l, 0x831, 0xff000000));
    assert_int_equal(page[17].apic[0x310 / 4], 0);
    /* reserved bits */
    assert_false(wrmsr(l, 0x808, 0x100));
    assert_false(wrmsr(l, 0x80b, 1));
    assert_false(wrmsr(l, 0x80f, 0x10000));
    assert_false(wrmsr(l, 0x828, 1));
    assert_true(wrmsr(l, 0x828, 0));
    assert_false(wrmsr(l, 0x83e, 4));
    assert_false(wrmsr(l, 0x832, 0x800ff));
    assert_false(wrmsr(l, 0x830, 0x100000));
    assert_false(wrmsr(l, 0x808, 1ull << 32));
    assert_false(wrmsr(l, 0x83f, 0x100));
    /* self IPI */
    assert_true(wrmsr(l, 0x83f, 0x42));
    assert_int_equal(next_vector(l), 0x42);
    take(l, 0x42);
    assert_true(wrmsr(l, 0x80b, 0));
    assert_true(rdmsr(l, 0x812, &v));
    assert_int_equal(v, 0);
    /* the ICR is one register */
    assert_true(wrmsr(l, 0x830, 5ull << 32 | 0x4043));
    assert_true(rdmsr(l, 0x830, &v));
    assert_int_equal(v, 5ull << 32 | 0x4043);
    assert_int_equal(who(0x43), 1u << 5);
    assert_false(lapic_owns_msr(0x7ff));
    assert_true(lapic_owns_msr(0x8ff));
    assert_false(lapic_owns_msr(0x900));
}

static void ipi_xapic(void **state)
{
    (void)state;
    struct lapic *l = &cpu[2];
    all_on();
    /* physical, all, others, self */
    wr(l, 0x310, 7u << 24);
    wr(l, 0x300, 0x4051);
    assert_int_equal(who(0x51), 1u << 7);
    wr(l, 0x310, 0xffu << 24);
    wr(l, 0x300, 0x4051);
    assert_int_equal(who(0x51), ALL);
    wr(l, 0x300, 0x80051);
    assert_int_equal(who(0x51), ALL);
    wr(l, 0x300, 0xc0051);
    assert_int_equal(who(0x51), ALL & ~4ull);
    wr(l, 0x300, 0x40051);
    assert_int_equal(who(0x51), 4);
    assert_int_equal(rd(l, 0x300), 0x40051);
    /* flat logical */
    for (unsigned i = 0; i < 8; i++)
        wr(&cpu[i], 0xd0, 1u << (24 + i));
    wr(l, 0x310, 0x83u << 24);
    wr(l, 0x300, 0x4852);
    assert_int_equal(who(0x52), 0x83);
    /* cluster logical: cluster 2 has CPUs 0..3, cluster 3 CPUs 4..7 */
    for (unsigned i = 0; i < 8; i++) {
        wr(&cpu[i], 0xe0, 0x0fffffff);
        wr(&cpu[i], 0xd0, (i < 4 ? 0x20u : 0x30u) << 24 | 1u << (24 + i % 4));
    }
    wr(l, 0x310, 0x35u << 24);
    wr(l, 0x300, 0x4853);
    assert_int_equal(who(0x53), 0x50);
    /* lowest priority: one of them, in turn, and only those that listen */
    wr(&cpu[4], 0xf0, 0xff);
    uint64_t seen = 0;
    for (unsigned i = 0; i < 60; i++) {
        wr(l, 0x310, 0x37u << 24);
        wr(l, 0x300, 0x4954);
        uint64_t one = who(0x54);
        assert_int_equal(__builtin_popcountll(one), 1);
        seen |= one;
    }
    assert_int_equal(seen, 0x60);
    /* no APIC there */
    wr(l, 0x310, 0x40000000);
    wr(l, 0x300, 0x4055);
    assert_int_equal(who(0x55), 0);
}

static void ipi_x2apic(void **state)
{
    (void)state;
    struct lapic *l = &cpu[2];
    all_x2apic();
    assert_true(wrmsr(l, 0x830, 19ull << 32 | 0x4051));
    assert_int_equal(who(0x51), 1u << 19);
    assert_true(wrmsr(l, 0x830, 0xffull << 32 | 0x4051)); /* 255 is an ordinary ID here */
    assert_int_equal(who(0x51), 0);
    assert_true(wrmsr(l, 0x830, 0xffffffffull << 32 | 0x4051));
    assert_int_equal(who(0x51), ALL);
    assert_true(wrmsr(l, 0x830, 0x10005ull << 32 | 0x4851)); /* cluster 1: CPUs 16, 18 */
    assert_int_equal(who(0x51), 0x50000);
    assert_true(wrmsr(l, 0x830, 0x38001ull << 32 | 0x4851)); /* cluster 3, the last: CPUs 48, 63 */
    assert_int_equal(who(0x51), 1ull << 48 | 1ull << 63);
    assert_true(wrmsr(l, 0x830, 63ull << 32 | 0x4051));
    assert_int_equal(who(0x51), 1ull << 63);
    assert_true(wrmsr(l, 0x830, 0x8001ull << 32 | 0x4851));
    assert_int_equal(who(0x51), 0x8001);
    /* the I/O APIC's 8 bits */
    struct interrupt_message m = {.dest = 0xff, .vector = 0x61, .level = true};
    apic_set_deliver(&set, &m);
    assert_int_equal(who(0x61), ALL);
    m.dest = 9;
    apic_set_deliver(&set, &m);
    assert_int_equal(who(0x61), 1u << 9);
}

static void init_sipi_nmi(void **state)
{
    (void)state;
    uint8_t vector = 0;
    all_on();
    wr(&cpu[1], 0x80, 0x20);
    lapic_post_fixed(&cpu[1], 0x77, false);
    wr(&cpu[0], 0x310, 1u << 24);
    wr(&cpu[0], 0x300, 0xc500); /* INIT, level assert */
    wr(&cpu[0], 0x300, 0x8500); /* de-assert: nothing */
    assert_int_equal(kicks[1], 1);
    wr(&cpu[0], 0x300, 0x4699);
    assert_int_equal(kicks[1], 2);
    assert_int_equal(lapic_take_mail(&cpu[1], &vector), LAPIC_MAIL_INIT | LAPIC_MAIL_SIPI);
    assert_int_equal(vector, 0x99);
    lapic_reset(&cpu[1], false);
    assert_int_equal(rd(&cpu[1], 0x80), 0);
    assert_int_equal(rd(&cpu[1], 0x20), 1u << 24);
    assert_false(pending(1, 0x77));
    assert_int_equal(lapic_take_mail(&cpu[1], &vector), 0);
    /* a start-up IPI that comes while the INIT is being handled stays */
    wr(&cpu[0], 0x300, 0xc500);
    assert_int_equal(lapic_take_mail(&cpu[1], &vector), LAPIC_MAIL_INIT);
    wr(&cpu[0], 0x300, 0x4612);
    lapic_reset(&cpu[1], false);
    assert_int_equal(lapic_take_mail(&cpu[1], &vector), LAPIC_MAIL_SIPI);
    assert_int_equal(vector, 0x12);
    /* a later INIT voids an earlier start-up */
    wr(&cpu[0], 0x300, 0x4612);
    wr(&cpu[0], 0x300, 0xc500);
    assert_int_equal(lapic_take_mail(&cpu[1], &vector), LAPIC_MAIL_INIT);
    /* NMI reaches a software-disabled APIC, a fixed interrupt does not */
    lapic_reset(&cpu[1], false);
    wr(&cpu[0], 0x300, 0x4400);
    wr(&cpu[0], 0x300, 0x4055);
    assert_int_equal(lapic_take_mail(&cpu[1], &vector), LAPIC_MAIL_NMI);
    assert_int_equal(who(0x55), 0);
    struct interrupt_message m = {.dest = 0, .delivery_mode = DELIVER_EXTINT, .level = true};
    apic_set_deliver(&set, &m);
    assert_int_equal(lapic_take_mail(&cpu[0], &vector), LAPIC_MAIL_EXTINT);
}

/* A message goes to those that its destination names; no other APIC is so much as looked at. */
static void messages_find_their_cpu_by_number(void **state)
{
    (void)state;
    all_on();
    struct apic_set one = {.count = VMM_VCPUS_MAX};
    for (uint32_t i = 0; i < VMM_VCPUS_MAX; i++)
        one.cpu[i] = (struct lapic *)8; /* a look would crash */
    one.cpu[1] = &cpu[1];
    struct interrupt_message m = {.dest = 1, .delivery_mode = DELIVER_FIXED, .vector = 0x61, .level = true};
    apic_set_deliver(&one, &m);
    assert_int_equal(next_vector(&cpu[1]), 0x61);
    m.delivery_mode = DELIVER_LOWEST;
    m.vector = 0x62;
    apic_set_deliver(&one, &m);
    assert_int_equal(next_vector(&cpu[1]), 0x62);
    m.wide = true;
    for (uint32_t i = 0; i < 3; i++) {
        m.dest = (const uint32_t[]){VMM_VCPUS_MAX, 0x12345678, UINT32_MAX - 1}[i]; /* no APIC's */
        apic_set_deliver(&one, &m);
    }
    m.dest_logical = true;
    m.dest = (VMM_VCPUS_MAX / 16) << 16 | 0xffff;
    apic_set_deliver(&one, &m);
    m.dest = 0x00030002; /* the cluster of 48 to 63 */
    for (uint32_t i = 0; i < 16; i++)
        one.cpu[48 + i] = NULL;
    apic_set_deliver(&one, &m);
}

static void errors(void **state)
{
    (void)state;
    struct lapic *l = &cpu[0];
    uint8_t vector;
    all_on();
    wr(l, 0x370, 0xfe);
    wr(l, 0x300, 0x40005); /* illegal vector to itself */
    assert_int_equal(next_vector(l), 0xfe);
    assert_int_equal(rd(l, 0x280), 0);
    wr(l, 0x280, 0);
    assert_int_equal(rd(l, 0x280), 0x20);
    wr(l, 0x280, 0);
    assert_int_equal(rd(l, 0x280), 0);
    (void)rd(l, 0x3f0);
    wr(l, 0x280, 0);
    assert_int_equal(rd(l, 0x280), 0x80);
    page[0].pending[3] = 0;
    struct interrupt_message m = {.dest = 0, .vector = 3, .level = true};
    apic_set_deliver(&set, &m);
    assert_int_equal(lapic_take_mail(l, &vector), 0);
    assert_int_equal(next_vector(l), 0xfe);
    wr(l, 0x280, 0);
    assert_int_equal(rd(l, 0x280), 0x40);
    /* an illegal error vector does not go round */
    wr(l, 0x370, 0x03);
    apic_set_deliver(&set, &m);
    assert_int_equal(lapic_take_mail(l, &vector), 0);
    assert_int_equal(atomic_load(&l->mail), 0);
}

static void timer_one_shot(void **state)
{
    (void)state;
    struct lapic *l = &cpu[0];
    uint64_t v;
    all_on();
    lapic_advance(l, 1000000);
    wr(l, 0x320, 0xec);
    wr(l, 0x3e0, 0x3); /* by 16 */
    assert_int_equal(lapic_next_deadline(l), CLOCK_NEVER);
    wr(l, 0x380, 1000);
    assert_int_equal(lapic_next_deadline(l), 1000000 + 16000 * TICKS);
    lapic_mmio(l, 1000000 + 1600 * TICKS, 0x390, 4, false, &v);
    assert_int_equal(v, 900);
    lapic_advance(l, 1000000 + 16000 * TICKS - 1);
    assert_int_equal(next_vector(l), -1);
    lapic_advance(l, 1000000 + 16000 * TICKS);
    assert_int_equal(next_vector(l), 0xec);
    assert_int_equal(lapic_next_deadline(l), CLOCK_NEVER);
    assert_int_equal(rd(l, 0x390), 0);
    assert_int_equal(rd(l, 0x380), 1000);
    /* masked: it counts, but does not interrupt; 0 stops it; divide by one */
    page[0].pending[3] = 0;
    wr(l, 0x320, 0x100ec);
    wr(l, 0x3e0, 0xb);
    wr(l, 0x380, 10);
    assert_int_equal(lapic_next_deadline(l), l->seen + 10 * TICKS);
    lapic_advance(l, l->seen + 1000);
    assert_int_equal(next_vector(l), -1);
    wr(l, 0x380, 0xffffffff);
    assert_int_not_equal(lapic_next_deadline(l), CLOCK_NEVER);
    wr(l, 0x380, 0);
    assert_int_equal(lapic_next_deadline(l), CLOCK_NEVER);
}

/* The count goes on where it is, by the new divisor; the same one changes nothing, not even in between two counts. */
static void timer_divisor(void **state)
{
    (void)state;
    struct lapic *l = &cpu[0];
    uint64_t v = 0, start = 1000000;
    all_on();
    lapic_advance(l, start);
    wr(l, 0x320, 0xec);
    wr(l, 0x3e0, 0x3); /* by 16 */
    wr(l, 0x380, 1000);
    lapic_advance(l, start + 1600 * TICKS + TICKS);
    wr(l, 0x3e0, 0x3);
    assert_int_equal(lapic_next_deadline(l), start + 16000 * TICKS);
    lapic_advance(l, start + 3200 * TICKS);
    wr(l, 0x3e0, 0xb); /* by 1 */
    assert_int_equal(rd(l, 0x390), 800);
    assert_int_equal(rd(l, 0x380), 1000);
    assert_int_equal(lapic_next_deadline(l), start + 4000 * TICKS);
    lapic_mmio(l, start + 3300 * TICKS, 0x390, 4, false, &v);
    assert_int_equal(v, 700);
    wr(l, 0x320, 0x200ec); /* periodic: the rest of this count, then whole ones */
    assert_int_equal(lapic_next_deadline(l), start + 4000 * TICKS);
    wr(l, 0x380, 100000);
    start = l->seen;
    lapic_advance(l, start + 90000 * TICKS);
    wr(l, 0x3e0, 0); /* by 2 */
    assert_int_equal(lapic_next_deadline(l), start + 110000 * TICKS);
    lapic_advance(l, start + 110000 * TICKS);
    assert_int_equal(next_vector(l), 0xec);
    assert_int_equal(lapic_next_deadline(l), start + 310000 * TICKS);
    lapic_mmio(l, start + 130000 * TICKS, 0x390, 4, false, &v);
    assert_int_equal(v, 90000);
    wr(l, 0x320, 0xec);
    lapic_advance(l, start + 310000 * TICKS);
    wr(l, 0x3e0, 0xb); /* nothing runs any more */
    assert_int_equal(lapic_next_deadline(l), CLOCK_NEVER);
}

static void timer_periodic(void **state)
{
    (void)state;
    struct lapic *l = &cpu[0];
    uint64_t period = 100000 * TICKS, start = 5000000;
    all_on();
    lapic_advance(l, start);
    wr(l, 0x320, 0x200ec);
    wr(l, 0x3e0, 0xb);
    wr(l, 0x380, 100000);
    for (unsigned i = 1; i <= 5; i++) {
        assert_int_equal(lapic_next_deadline(l), start + i * period);
        lapic_advance(l, start + i * period + 77);
        assert_int_equal(next_vector(l), 0xec);
        take(l, 0xec);
        wr(l, 0xb0, 0);
    }
    lapic_advance(l, start + 105 * period + period / 2); /* a hundred missed: one comes, in phase */
    assert_int_equal(next_vector(l), 0xec);
    assert_int_equal(lapic_next_deadline(l), start + 106 * period);
    assert_in_range(rd(l, 0x390), 49999, 50001);
    /* a tiny period is stretched */
    wr(l, 0x380, 1);
    assert_true(lapic_next_deadline(l) - l->seen >= KHZ / 50);
    (void)rd(l, 0x390);
    /* to one-shot and back, while it counts: a tiny count is stretched in periodic mode only */
    wr(l, 0x380, 100);
    uint64_t began = l->seen;
    assert_int_equal(lapic_next_deadline(l), began + KHZ / 50 + 1);
    wr(l, 0x320, 0xec);
    assert_int_equal(lapic_next_deadline(l), began + 100 * TICKS);
    wr(l, 0x320, 0x200ec);
    assert_int_equal(lapic_next_deadline(l), began + KHZ / 50 + 1);
    lapic_advance(l, began + 200 * TICKS); /* past where a one-shot's count would have ended: now */
    wr(l, 0x320, 0xec);
    assert_int_equal(lapic_next_deadline(l), began + 200 * TICKS);
    /* to one-shot: the count goes on and ends */
    lapic_advance(l, l->seen + KHZ);
    assert_int_equal(lapic_next_deadline(l), CLOCK_NEVER);
}

static void timer_deadline(void **state)
{
    (void)state;
    struct lapic *l = &cpu[0];
    uint64_t v, now = 10000000, offset = (uint64_t)-9000000; /* the guest's TSC is 1,000,000 */
    all_on();
    lapic_set_tsc_offset(l, offset);
    lapic_advance(l, now);
    assert_true(wrmsr(l, MSR_TSC_DEADLINE, 2000000)); /* ignored in the other modes */
    assert_true(rdmsr(l, MSR_TSC_DEADLINE, &v));
    assert_int_equal(v, 0);
    wr(l, 0x320, 0x400ec);
    wr(l, 0x380, 1000); /* ignored in this one */
    assert_int_equal(lapic_next_deadline(l), CLOCK_NEVER);
    assert_true(wrmsr(l, MSR_TSC_DEADLINE, 2000000));
    assert_int_equal(lapic_next_deadline(l), 11000000);
    assert_true(rdmsr(l, MSR_TSC_DEADLINE, &v));
    assert_int_equal(v, 2000000);
    lapic_set_tsc_offset(l, offset + 500000); /* the guest moved its TSC on */
    assert_int_equal(lapic_next_deadline(l), 10500000);
    lapic_advance(l, 10500000);
    assert_int_equal(next_vector(l), 0xec);
    assert_true(rdmsr(l, MSR_TSC_DEADLINE, &v));
    assert_int_equal(v, 0);
    take(l, 0xec);
    wr(l, 0xb0, 0);
    assert_true(wrmsr(l, MSR_TSC_DEADLINE, 1)); /* long past: now */
    assert_int_equal(lapic_next_deadline(l), CLOCK_NEVER);
    assert_int_equal(next_vector(l), 0xec);
    page[0].pending[3] = 0;
    assert_true(wrmsr(l, MSR_TSC_DEADLINE, UINT64_MAX)); /* never, in practice */
    lapic_advance(l, l->seen + 1);
    assert_int_equal(next_vector(l), -1);
    assert_true(wrmsr(l, MSR_TSC_DEADLINE, 0));
    assert_int_equal(lapic_next_deadline(l), CLOCK_NEVER);
    assert_true(wrmsr(l, MSR_TSC_DEADLINE, 1u << 30));
    wr(l, 0x320, 0xec); /* leaving the mode disarms */
    assert_int_equal(lapic_next_deadline(l), CLOCK_NEVER);
    wr(l, 0x320, 0x600ec); /* reserved mode: no timer */
    wr(l, 0x380, 5);
    assert_int_equal(lapic_next_deadline(l), CLOCK_NEVER);
}

/* Two local APICs of one machine, one served by the model, one by the CPU: whatever happens, their guests see the same.
 */
static uint32_t seed = 12345;
static uint32_t rnd(uint32_t below)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % below;
}

static void step(unsigned what, uint8_t vector, unsigned *delivered, unsigned *ended)
{
    int offered[2];
    for (unsigned i = 0; i < 2; i++) {
        struct lapic *l = &cpu[i];
        eois = eoi_vector = 0;
        switch (what) {
        case 0:
        case 1: lapic_post_fixed(l, vector, false); break;
        case 2: lapic_post_fixed(l, vector | 1, true); break;
        case 3:
            assert_true(wrmsr(l, 0x83f, vector & ~1u));
            break; /* TMR is not the CPU's affair: only vectors that never were in it */
        case 4: assert_true(wrmsr(l, 0x808, vector & (vector & 1 ? 0x7f : 0))); break;
        case 5:
        case 6:
        case 7: assert_true(wrmsr(l, 0x80b, 0)); break;
        case 8:
            assert_true(wrmsr(l, 0x80f, 0xff | (vector & 3 ? 0x100 : 0)));
            break; /* off now and then: the model serves */
        case 9:
            if (vector == 255) { /* INIT */
                lapic_reset(l, false);
                assert_true(wrmsr(l, 0x80f, 0x1ff));
            }
            break;
        default: break;
        }
        ended[i] += eois * 1000u + eoi_vector;
        offered[i] = next_vector(l);
        enter(l);
        if (offered[i] >= 0 && what >= 8) {
            take(l, offered[i]);
            delivered[i]++;
        }
    }
    assert_int_equal(offered[0], offered[1]);
}

static void same_either_way(void **state)
{
    (void)state;
    unsigned delivered[2] = {0}, ended[2] = {0}, by_cpu = 0;
    uint64_t a, b;
    page[1].apic_offer = APIC_BY_CPU - page[0].apic_offer;
    for (unsigned i = 0; i < 2; i++)
        assert_true(wrmsr(&cpu[i], MSR_APIC_BASE, cpu[i].base_msr | 0xc00) && wrmsr(&cpu[i], 0x80f, 0x1ff));
    for (unsigned n = 0; n < 200000; n++) {
        step(rnd(12), (uint8_t)(16 + rnd(240)), delivered, ended);
        by_cpu += lapic_by_cpu(&cpu[0]) != lapic_by_cpu(&cpu[1]);
        if (n % 16)
            continue;
        for (uint32_t index = 0x808; index <= 0x827; index += index == 0x808 ? 2 : index == 0x80a ? 6 : 1) {
            assert_true(rdmsr(&cpu[0], index, &a) && rdmsr(&cpu[1], index, &b));
            assert_int_equal(a, b);
        }
    }
    assert_int_equal(delivered[0], delivered[1]);
    assert_int_equal(ended[0], ended[1]);
    assert_true(delivered[0] > 10000 && ended[0] > 1000000 && by_cpu > 100000);
}

static void changes_of_server(void **state)
{
    (void)state;
    struct lapic *l = &cpu[0];
    uint64_t v;
    lapic_firmware_state(l);
    assert_false(lapic_by_cpu(l)); /* an xAPIC is always the model's */
    lapic_post_fixed(l, 0x51, true);
    take(l, 0x51);
    lapic_post_fixed(l, 0x61, false);
    lapic_post_fixed(l, 0x31, false);
    assert_true(wrmsr(l, MSR_APIC_BASE, 0xfee00d00));
    assert_int_equal(lapic_by_cpu(l), offer == APIC_BY_CPU);
    assert_int_equal(page[0].apic_mode, offer);
    assert_int_equal(next_vector(l), 0x61);
    take(l, 0x61);
    assert_true(wrmsr(l, 0x80b, 0));
    assert_int_equal(eois, 0);
    assert_true(wrmsr(l, 0x80b, 0)); /* of the level-triggered one that came before the change */
    assert_int_equal(eois, 1);
    assert_int_equal(eoi_vector, 0x51);
    assert_int_equal(next_vector(l), 0x31);
    take(l, 0x31);
    lapic_post_fixed(l, 0x71, false);
    assert_int_equal(next_vector(l), 0x71);
    enter(l);
    assert_true(wrmsr(l, MSR_APIC_BASE, 0xfee00100)); /* off: all is gone */
    assert_false(lapic_by_cpu(l));
    assert_int_equal(page[0].apic_mode, APIC_BY_MONITOR);
    assert_int_equal(next_vector(l), -1);
    assert_true(wrmsr(l, MSR_APIC_BASE, 0xfee00900));
    assert_int_equal(rd(l, 0x110), 0);
    assert_int_equal(rd(l, 0x230), 0);
    /* software-disabled it keeps what it has, and takes it back */
    assert_true(wrmsr(l, MSR_APIC_BASE, 0xfee00d00) && wrmsr(l, 0x80f, 0x1ff));
    lapic_post_fixed(l, 0x71, false);
    assert_int_equal(next_vector(l), 0x71);
    enter(l);
    assert_true(wrmsr(l, 0x80f, 0xff));
    assert_false(lapic_by_cpu(l));
    assert_int_equal(next_vector(l), 0x71);
    assert_true(wrmsr(l, 0x80f, 0x1ff));
    assert_int_equal(next_vector(l), 0x71);
    take(l, 0x71);
    assert_true(rdmsr(l, 0x80a, &v));
    assert_int_equal(v, 0x70);
    /* an illegal vector to itself */
    assert_true(wrmsr(l, 0x837, 0xfe));
    assert_true(wrmsr(l, 0x83f, 5));
    assert_int_equal(next_vector(l), 0xfe);
    assert_true(wrmsr(l, 0x828, 0) && rdmsr(l, 0x828, &v));
    assert_int_equal(v, 0x20);
}

/* The CPU has never two requests of ours, and gets the next one at the end of the one before. */
static void one_request_at_a_time(void **state)
{
    (void)state;
    struct lapic *l = &cpu[0];
    if (offer != APIC_BY_CPU)
        return;
    all_x2apic();
    enter(l);
    const uint8_t posted[] = {0x41, 0xf1, 0x85, 0x42, 0x81}, order[] = {0xf1, 0x85, 0x81, 0x42, 0x41};
    for (unsigned i = 0; i < 5; i++) {
        lapic_post_fixed(l, posted[i], false);
        (void)next_vector(l);
        enter(l);
    }
    for (unsigned i = 0; i < 5; i++) {
        unsigned requests = 0;
        for (unsigned v = 16; v < 256; v++)
            requests += *at_vector(l, 0x200, (uint8_t)v) >> (v & 31) & 1;
        assert_int_equal(requests, 1);
        assert_int_equal(next_vector(l), order[i]);
        bool last = i == 4;
        assert_int_equal(page[0].apic_eoi_exit[order[i] >> 6] >> (order[i] & 63) & 1, !last);
        take(l, order[i]);
        assert_true(wrmsr(l, 0x80b, 0));
        if (!last) /* the exit's doing */
            assert_int_equal(next_vector(l), order[i + 1]);
    }
    assert_int_equal(eois, 0); /* none of them was level-triggered */
    /* its own timer waits behind another's request, and goes straight where there is none */
    lapic_local_interrupt(l, LVT_TIMER);
    assert_true(wrmsr(l, 0x832, 0xec));
    lapic_local_interrupt(l, LVT_TIMER);
    assert_int_equal(page[0].pending[3], 0);
    assert_int_equal(next_vector(l), 0xec);
    lapic_post_fixed(l, 0xfb, false);
    lapic_local_interrupt(l, LVT_TIMER);
    assert_int_equal(next_vector(l), 0xfb);
    assert_int_equal(page[0].pending[3], 1ull << (0xec & 63));
}

/* What the loop need not look at: a timer that is set, one that has come and stands in the page, the end of a lone
 * interrupt. */
static void short_ways(void **state)
{
    (void)state;
    struct lapic *l = &cpu[0];
    all_x2apic();
    enter(l);
    assert_true(wrmsr(l, 0x832, 0x40061));
    assert_true(lapic_deadline(l, 1000, 5000));
    assert_int_equal(lapic_next_deadline(l), 5000);
    assert_true(lapic_deadline(l, 2000, 0));
    assert_true(lapic_next_deadline(l) == CLOCK_NEVER);
    assert_int_equal(lapic_deadline(l, 3000, 2000), offer == APIC_BY_CPU);
    assert_true(lapic_next_deadline(l) == CLOCK_NEVER);
    assert_int_equal(next_vector(l), 0x61);
    take(l, 0x61);
    /* the one before has come and was not seen yet: it is posted, whatever becomes of the new one */
    assert_true(lapic_deadline(l, 4000, 5000));
    assert_false(lapic_deadline(l, 6000, 9000));
    assert_int_equal(lapic_next_deadline(l), 9000);
    if (lapic_by_cpu(l))
        return; /* it ends its interrupts by itself */
    assert_true(lapic_end_only(l));
    assert_int_equal(highest_at(l, 0x100), 0);
    assert_int_equal(next_vector(l), 0x61);
    take(l, 0x61);
    lapic_post_fixed(l, 0x72, true);
    assert_int_equal(next_vector(l), 0x72);
    take(l, 0x72);
    assert_false(lapic_end_only(l)); /* another one is in service */
    lapic_end_of_interrupt(l);
    assert_true(eois == 1 && lapic_end_only(l));
    lapic_post_fixed(l, 0x72, true);
    assert_int_equal(next_vector(l), 0x72);
    take(l, 0x72);
    assert_false(lapic_end_only(l)); /* the I/O APIC must hear of it */
    assert_int_equal(highest_at(l, 0x100), 0x72);
}

/* One vector for one CPU; everything else takes the long way. */
static void short_message(void **state)
{
    (void)state;
    all_x2apic();
    const uint64_t to_1 = 1ull << 32;
    unsigned before = kicks[1];
    assert_true(lapic_send_x2apic(&cpu[0], to_1 | 0x4085));
    assert_int_equal(page[1].pending[2], 1ull << 5);
    assert_int_equal(kicks[1], before + 1);
    uint64_t icr = 0;
    assert_true(rdmsr(&cpu[0], 0x830, &icr));
    assert_true(icr == (to_1 | 0x4085));
    const uint64_t others[] = {to_1 | 0x5,
                               to_1 | 0x485,
                               to_1 | 0x185,
                               to_1 | 0x885,
                               to_1 | 0xc0085,
                               to_1 | 0x100085,
                               0xffffffffull << 32 | 0x85,
                               0x40ull << 32 | 0x85};
    for (unsigned i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_false(lapic_send_x2apic(&cpu[0], others[i]));
    assert_true(wrmsr(&cpu[1], 0x80f, 0xff)); /* software-disabled: it takes none */
    assert_false(lapic_send_x2apic(&cpu[0], to_1 | 0x86));
    assert_int_equal(kicks[1], before + 1);
    assert_true(rdmsr(&cpu[0], 0x830, &icr) && icr == (to_1 | 0x4085));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(power_on, setup),
        cmocka_unit_test_setup(priorities, setup),
        cmocka_unit_test_setup(level_triggered, setup),
        cmocka_unit_test_setup(base_transitions, setup),
        cmocka_unit_test_setup(x2apic_registers, setup),
        cmocka_unit_test_setup(ipi_xapic, setup),
        cmocka_unit_test_setup(ipi_x2apic, setup),
        cmocka_unit_test_setup(init_sipi_nmi, setup),
        cmocka_unit_test_setup(messages_find_their_cpu_by_number, setup),
        cmocka_unit_test_setup(errors, setup),
        cmocka_unit_test_setup(timer_one_shot, setup),
        cmocka_unit_test_setup(timer_divisor, setup),
        cmocka_unit_test_setup(timer_periodic, setup),
        cmocka_unit_test_setup(timer_deadline, setup),
        cmocka_unit_test_setup(same_either_way, setup),
        cmocka_unit_test_setup(changes_of_server, setup),
        cmocka_unit_test_setup(one_request_at_a_time, setup),
        cmocka_unit_test_setup(short_ways, setup),
        cmocka_unit_test_setup(short_message, setup),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    offer = APIC_BY_CPU;
    return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
