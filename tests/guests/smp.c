// SPDX-License-Identifier: Apache-2.0
/*
 * A guest with many CPUs: starts them by INIT and start-up IPIs, and checks on all of them what an operating system
 * relies on: every way to send an interrupt, in xAPIC and in x2APIC mode, timers, topology, memory that all see alike,
 * a TLB shootdown. One line per check, a sum, exit code 0 or 1. Command line: `crash`: instead, when all run, the last
 * one triple-faults. `quick`: fewer checks, for very many CPUs on an emulator of few.
 *
 * Intel SDM vol. 3, chapter 11: 11.4 (registers), 11.6 (messages), 11.12 (x2APIC); vol. 2, CPUID.
 */
#include "smp.h"

#define SMP_AT 0x8000ul

extern uint8_t smp_code[], smp_code_end[], smp_cr3[], smp_gdtr[], smp_idtr[];
void smp_other(uint32_t number);

#define STACK 4096
uint8_t smp_stacks[(CPUS_MAX + 1) * STACK] __attribute__((aligned(4096))); /* + 1: number 0 has another */

volatile struct smp_cpu cpu[CPUS_MAX] __attribute__((aligned(64)));
unsigned cpus;
volatile bool x2, enough;
static unsigned passed, failed;
static bool quick;

/* Its number, which is its APIC ID: from its stack. */
static unsigned self(void)
{
    uintptr_t at = (uintptr_t)__builtin_frame_address(0) - (uintptr_t)smp_stacks;
    return at < sizeof smp_stacks ? (unsigned)(at / STACK) : 0;
}

void check(const char *what, bool good, unsigned a, unsigned b)
{
    print("smp: %s %s %s (%u, %u)\n", good ? "ok    " : "FAILED", x2 ? "x2APIC" : "xAPIC", what, a, b);
    if (good)
        passed++;
    else
        failed++;
}

uint32_t apic_read(uint32_t offset)
{
    return x2 ? (uint32_t)rdmsr(0x800 + offset / 16) : *(volatile uint32_t *)(uintptr_t)(APIC + offset);
}

void apic_write(uint32_t offset, uint32_t v)
{
    if (x2)
        wrmsr(0x800 + offset / 16, v);
    else
        *(volatile uint32_t *)(uintptr_t)(APIC + offset) = v;
}

void send(uint32_t what, uint32_t to)
{
    if (x2) {
        wrmsr(0x830, (uint64_t)to << 32 | what);
        return;
    }
    apic_write(0x310, to << 24);
    apic_write(0x300, what);
    while (apic_read(0x300) & 1 << 12)
        ;
}

static void apic_on(void)
{
    apic_write(0xf0, 0x100 | V_SPURIOUS);
    apic_write(0x80, 0);
}

/* ---- waiting */

void sleep_ms(unsigned ms)
{
    while (ms--) {
        outb(0x61, (uint8_t)((inb(0x61) & ~2u) | 1));
        outb(0x43, 0xb0); /* PIT channel 2, mode 0 */
        outb(0x42, (uint8_t)1193);
        outb(0x42, (uint8_t)(1193 >> 8));
        while (!(inb(0x61) & 0x20))
            __asm__ volatile("pause");
    }
}

unsigned total(uint8_t vector)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < cpus; i++)
        sum += cpu[i].count[vector];
    return sum;
}

static unsigned nmis(void)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < cpus; i++)
        sum += cpu[i].nmis;
    return sum;
}

static unsigned starts(void)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < cpus; i++)
        sum += cpu[i].starts;
    return sum;
}

static unsigned working(void)
{
    unsigned n = 0;
    for (unsigned i = 0; i < cpus; i++)
        n += cpu[i].job != NULL;
    return n;
}

void settle(void)
{
    interrupts_on();
    sleep_ms(3);
    interrupts_off();
}

void forget(void)
{
    for (unsigned i = 0; i < cpus; i++) {
        for (unsigned v = 0; v < 256; v++)
            cpu[i].count[v] = 0;
        cpu[i].nmis = 0;
    }
}

/* ---- interrupts */

static volatile uint64_t *watched;

void on_vector(struct frame *f)
{
    cpu[self()].count[f->vector & 255]++;
    apic_write(0xb0, 0);
}

static void on_flush(struct frame *f)
{
    __asm__ volatile("invlpg (%0)" : : "r"(watched) : "memory");
    on_vector(f);
}

static void on_nmi(struct frame *f)
{
    (void)f;
    cpu[self()].nmis++;
}

static void on_spurious(struct frame *f)
{
    (void)f;
}

/* ---- jobs for the other CPUs: they sleep until they are woken */

void smp_other(uint32_t number)
{
    unsigned me = number;
    apic_on();
    cpu[me].starts++;
    for (;;) {
        job_t job = cpu[me].job;
        if (job) {
            interrupts_on();
            job(me);
            interrupts_off();
            cpu[me].job = NULL;
        } else {
            wait_interrupt();
        }
    }
}

static void all_do(job_t job)
{
    for (unsigned i = 1; i < cpus; i++)
        cpu[i].job = job;
    send(ASSERT | OTHERS | V_WAKE, 0);
    interrupts_on();
    job(0);
    interrupts_off();
}

bool all_done(void)
{
    WAIT(working() == 0);
    return working() == 0;
}

/* ---- topology */

static unsigned madt_cpus(void)
{
    const uint8_t *t = acpi_table("APIC");
    if (!t)
        return 0;
    uint32_t length = t[4] | (uint32_t)t[5] << 8, n = 0;
    for (uint32_t at = 44; at + 2 <= length && t[at + 1]; at += t[at + 1])
        if (t[at] == 0 && t[at + 4] & 1) {
            if (t[at + 3] != n) /* numbers and IDs run from 0 */
                return 0;
            n++;
        }
    return n;
}

static void cpuid_of(uint32_t leaf, uint32_t subleaf, uint32_t r[4])
{
    __asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(subleaf));
}

/* Each CPU by itself; value: 1 if all that it is told agrees. */
static void look_at_topology(unsigned me)
{
    uint32_t r[4], most, most_extended, bits = 0;
    while (1u << bits < cpus)
        bits++;
    bool good = apic_read(0x20) >> (x2 ? 0 : 24) == me;
    cpuid_of(0, 0, r);
    most = r[0];
    bool amd = r[1] == 0x68747541;
    cpuid_of(0x80000000, 0, r);
    most_extended = r[0];
    cpuid_of(1, 0, r);
    good = good && r[1] >> 24 == me && (r[1] >> 16 & 0xff) == 1u << bits && (r[3] >> 28 & 1) == (cpus > 1);
    if (most >= 4 && !amd) {
        cpuid_of(4, 0, r);
        good = good && r[0] >> 26 == (1u << bits) - 1 &&
               (r[0] >> 14 & 0xfff) == 0; /* cores of the package; its own first level */
    }
    if (most >= 0xb) {
        cpuid_of(0xb, 0, r);
        good = good && r[3] == me && r[0] == 0 && r[1] == 1 && r[2] >> 8 == 1; /* a core has one thread */
        cpuid_of(0xb, 1, r);
        good = good && r[3] == me && r[0] == bits && r[1] == cpus && r[2] >> 8 == 2;
    }
    if (amd && most_extended >= 0x80000008) {
        cpuid_of(0x80000008, 0, r);
        good = good && (r[2] & 0xff) == cpus - 1 && (r[2] >> 12 & 15) == bits;
        cpuid_of(0x80000001, 0, r);
        if (most_extended >= 0x8000001e && r[2] >> 22 & 1) {
            cpuid_of(0x8000001e, 0, r);
            good = good && r[0] == me && (r[1] & 0xff) == me && (r[1] >> 8 & 0xff) == 0;
        }
    }
    cpu[me].value = good;
}

static unsigned values(void)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < cpus; i++)
        sum += (unsigned)cpu[i].value;
    return sum;
}

/* ---- messages */

static bool each_got(uint8_t vector, unsigned each, unsigned me)
{
    for (unsigned i = 0; i < cpus; i++)
        if (cpu[i].count[vector] != (i == 0 ? me : each))
            return false;
    return true;
}

static void physical_checks(void)
{
    forget();
    for (unsigned i = 0; i < cpus; i++)
        send(ASSERT | V_FIXED, i);
    WAIT(total(V_FIXED) >= cpus);
    settle();
    check("fixed, physical: each CPU once", each_got(V_FIXED, 1, 1), total(V_FIXED), cpus);
    if (cpus < 64) { /* no CPU has that ID */
        send(ASSERT | V_FIXED, 63);
        settle();
        check("to an ID that no CPU has: nothing", total(V_FIXED) == cpus, total(V_FIXED), cpus);
    }
    send(ASSERT | V_MANY, x2 ? UINT32_MAX : 0xff);
    WAIT(total(V_MANY) >= cpus);
    settle();
    check("broadcast: each CPU once", each_got(V_MANY, 1, 1), total(V_MANY), cpus);
    for (unsigned i = 1; i < cpus; i++)
        send(ASSERT | NMI, i);
    WAIT(nmis() >= cpus - 1);
    settle();
    check("NMI, physical: each other CPU once", nmis() == cpus - 1 && cpu[0].nmis == 0, nmis(), cpus - 1);
}

static void shorthand_checks(void)
{
    forget();
    send(ASSERT | SELF | V_MANY, 0);
    WAIT(total(V_MANY) >= 1);
    settle();
    check("self", each_got(V_MANY, 0, 1), total(V_MANY), 1);
    send(ASSERT | ALL | V_MANY, 0);
    WAIT(total(V_MANY) >= cpus + 1);
    settle();
    check("all", each_got(V_MANY, 1, 2), total(V_MANY), cpus + 1);
    send(ASSERT | OTHERS | V_MANY, 0);
    WAIT(total(V_MANY) >= 2 * cpus);
    settle();
    check("all but self", each_got(V_MANY, 2, 2), total(V_MANY), 2 * cpus);
    send(ASSERT | OTHERS | NMI, 0);
    WAIT(nmis() >= cpus - 1);
    settle();
    check("NMI to all but self", nmis() == cpus - 1 && cpu[0].nmis == 0, nmis(), cpus - 1);
}

/* Where a CPU listens in logical mode: xAPIC flat (8 CPUs), xAPIC cluster (4 bits of each of 15 clusters), x2APIC (16
 * bits, set by the hardware). 0: nowhere. */
static bool flat;
static uint32_t logical_of(unsigned i)
{
    if (x2)
        return (i >> 4) << 16 | 1u << (i & 15);
    if (i >= (flat ? 8u : 60u))
        return 0;
    return flat ? 1u << i : (i / 4) << 4 | 1u << (i % 4);
}

static void set_logical(unsigned me)
{
    if (!x2) {
        apic_write(0xe0, flat ? 0xffffffffu : 0x0fffffffu);
        apic_write(0xd0, logical_of(me) << 24);
    }
    cpu[me].value = apic_read(0xd0) == logical_of(me) << (x2 ? 0 : 24);
}

static void logical_checks(const char *model, unsigned most)
{
    unsigned n = cpus < most ? cpus : most, group = x2 ? 16 : flat ? 7 : 4; /* flat: all 8 bits are a broadcast */
    print("smp: logical destinations, %s\n", model);
    all_do(set_logical);
    bool done = all_done();
    check("each CPU has its logical ID", done && values() == cpus, values(), cpus);
    forget();
    for (unsigned i = 0; i < n; i++)
        send(ASSERT | LOGICAL | V_FIXED, logical_of(i));
    WAIT(total(V_FIXED) >= n);
    settle();
    bool good = true;
    for (unsigned i = 0; i < n; i++)
        good = good && cpu[i].count[V_FIXED] == 1;
    check("fixed, logical: each CPU once", good, total(V_FIXED), n);
    unsigned first = n > group ? group : n; /* the first cluster */
    uint32_t all_of_it = 0;
    for (unsigned i = 0; i < first; i++)
        all_of_it |= logical_of(i);
    send(ASSERT | LOGICAL | V_MANY, all_of_it);
    WAIT(total(V_MANY) >= first);
    settle();
    good = true;
    for (unsigned i = 0; i < n; i++)
        good = good && cpu[i].count[V_MANY] == (i < first);
    check("a logical group: its CPUs once, no other", good, total(V_MANY), first);
    for (unsigned i = 0; i < 20; i++) {
        send(ASSERT | LOGICAL | LOWEST | V_LOWEST, all_of_it);
        WAIT(total(V_LOWEST) >= i + 1);
    }
    settle();
    good = total(V_LOWEST) == 20;
    for (unsigned i = first; i < cpus; i++)
        good = good && cpu[i].count[V_LOWEST] == 0;
    check("lowest priority: one of the group each time", good, total(V_LOWEST), 20);
}

/* ---- INIT and SIPI */

static void sleep_deaf(unsigned me)
{
    cpu[me].value = 1;
    interrupts_off();
    __asm__ volatile("hlt"); /* nothing but an NMI wakes it */
    cpu[me].value = 2;
}

static void start_checks(void)
{
    unsigned before = starts();
    forget();
    cpu[cpus - 1].value = 0;
    cpu[cpus - 1].job = sleep_deaf;
    send(ASSERT | V_WAKE, cpus - 1);
    WAIT(cpu[cpus - 1].value == 1);
    settle();
    send(ASSERT | V_FIXED, cpus - 1);
    settle();
    bool slept = cpu[cpus - 1].value == 1;
    send(ASSERT | NMI, cpus - 1);
    WAIT(working() == 0);
    check("HLT with interrupts off: an interrupt does not end it, an NMI does",
          slept && cpu[cpus - 1].value == 2 && cpu[cpus - 1].nmis == 1, (unsigned)cpu[cpus - 1].value,
          cpu[cpus - 1].nmis);
    WAIT(cpu[cpus - 1].count[V_FIXED] == 1);
    check("and the interrupt comes later", cpu[cpus - 1].count[V_FIXED] == 1, cpu[cpus - 1].count[V_FIXED], 1);
    send(ASSERT | SIPI | SMP_AT >> 12, cpus - 1);
    settle();
    check("a start-up IPI to a CPU that runs: nothing", starts() == before, starts(), before);
    send(ASSERT | INIT | OTHERS, 0);
    settle();
    forget();
    send(ASSERT | OTHERS | V_MANY, 0);
    settle();
    check("after INIT a CPU takes no interrupt", total(V_MANY) == 0, total(V_MANY), 0);
    send(ASSERT | SIPI | OTHERS | SMP_AT >> 12, 0);
    WAIT(starts() >= before + cpus - 1);
    settle();
    check("INIT and SIPI to all but self: all start anew, once", starts() == before + cpus - 1, starts(),
          before + cpus - 1);
}

/* ---- timers */

static void count_down(unsigned me)
{
    (void)me;
    apic_write(0x3e0, 0xb); /* divide by 1 */
    apic_write(0x320, V_TIMER);
    apic_write(0x380, 100000);
}

static void tick(unsigned me)
{
    (void)me;
    apic_write(0x320, 1 << 17 | V_TIMER); /* periodic */
    apic_write(0x380, 1000000);
}

static void tick_no_more(unsigned me)
{
    apic_write(0x320, 1 << 16);
    apic_write(0x380, 0);
    cpu[me].value = apic_read(0x390) == 0;
}

static void deadline(unsigned me)
{
    (void)me;
    apic_write(0x320, 2 << 17 | V_TIMER);
    __asm__ volatile("mfence" : : : "memory");
    wrmsr(0x6e0, rdtsc() + 100000);
}

static unsigned with_timer(unsigned n)
{
    unsigned c = 0;
    for (unsigned i = 0; i < cpus; i++)
        c += cpu[i].count[V_TIMER] >= n;
    return c;
}

static void timer_checks(void)
{
    uint32_t r[4];
    forget();
    all_do(count_down);
    WAIT(with_timer(1) == cpus && working() == 0);
    settle();
    check("a one-shot timer on each CPU, once", total(V_TIMER) == cpus && with_timer(1) == cpus, total(V_TIMER), cpus);
    forget();
    all_do(tick);
    WAIT(with_timer(3) == cpus && working() == 0);
    check("a periodic timer on each CPU", with_timer(3) == cpus, with_timer(3), cpus);
    all_do(tick_no_more);
    bool done = all_done();
    settle();
    forget();
    settle();
    check("and stopped", done && total(V_TIMER) == 0 && values() == cpus, total(V_TIMER), values());
    cpuid(1, r);
    if (r[2] >> 24 & 1) {
        all_do(deadline);
        WAIT(with_timer(1) == cpus && working() == 0);
        settle();
        check("a TSC deadline on each CPU, once", total(V_TIMER) == cpus && with_timer(1) == cpus, total(V_TIMER),
              cpus);
    }
}

/* ---- memory */

static volatile uint64_t unlocked, locked;
static volatile uint32_t the_lock;

static void add_up(unsigned me)
{
    for (unsigned i = 0; i < 1000; i++)
        __asm__ volatile("lock incq %0" : "+m"(locked));
    for (unsigned i = 0; i < 100; i++) {
        while (__atomic_exchange_n(&the_lock, 1, __ATOMIC_ACQUIRE))
            __asm__ volatile("pause");
        unlocked = unlocked + me + 1;
        __atomic_store_n(&the_lock, 0, __ATOMIC_RELEASE);
    }
}

/* The other CPUs read the watched page until they are told to stop; value: what they read last. */
static volatile unsigned readers;
static void read_on(unsigned me)
{
    __atomic_fetch_add(&readers, 1, __ATOMIC_SEQ_CST);
    while (!enough)
        cpu[me].value = *watched;
}

#define FLUSH_ROUNDS 10
#define READERS_MAX  7 /* they spin: in an emulator on few CPUs, more would take minutes */
static uint64_t frame[FLUSH_ROUNDS + 1][512] __attribute__((aligned(4096))), table[512] __attribute__((aligned(4096)));

/* All readers have read after this call began. */
static unsigned fresh_values(unsigned count)
{
    unsigned n = 0;
    for (unsigned twice = 0; twice < 2; twice++) { /* one value may have been on its way */
        for (unsigned i = 1; i <= count; i++)
            cpu[i].value = 0;
        for (unsigned i = 1; i <= count; i++)
            WAIT(cpu[i].value != 0);
    }
    for (unsigned i = 1; i <= count; i++)
        n += cpu[i].value != 0;
    return n;
}

/* A page is moved to another frame; after the others have acknowledged, none may read the old one any more. */
static void shootdown_check(void)
{
    unsigned count = cpus - 1 < READERS_MAX ? cpus - 1 : READERS_MAX;
    uint64_t cr3;
    __asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
    uint64_t *pml4 = (uint64_t *)(uintptr_t)(cr3 & ~0xfffull), *pdpt = (uint64_t *)(uintptr_t)(pml4[0] & ~0xfffull);
    uint64_t *pd = (uint64_t *)(uintptr_t)(pdpt[2] & 0x000ffffffffff000ull); /* 2 GiB: no memory is there */
    for (unsigned i = 0; i <= FLUSH_ROUNDS; i++)
        frame[i][0] = 1000 + i;
    table[0] = (uintptr_t)frame[0] | 3;
    pd[0] = (uintptr_t)table | 3;
    watched = (volatile uint64_t *)0x80000000ul;
    __asm__ volatile("invlpg (%0)" : : "r"(watched) : "memory");
    unsigned stale = 0, wrong = 0;
    forget();
    enough = false;
    readers = 0;
    for (unsigned i = 1; i <= count; i++)
        cpu[i].job = read_on;
    send(ASSERT | OTHERS | V_WAKE, 0);
    WAIT(readers == count);
    for (unsigned round = 1; round <= FLUSH_ROUNDS; round++) {
        *(volatile uint64_t *)table = (uintptr_t)frame[round] | 3;
        __asm__ volatile("invlpg (%0)" : : "r"(watched) : "memory");
        send(ASSERT | OTHERS | V_FLUSH, 0);
        WAIT(total(V_FLUSH) >= round * (cpus - 1));
        wrong += fresh_values(count) != count;
        for (unsigned i = 1; i <= count; i++) {
            stale += cpu[i].value < 1000 + round;
            wrong += cpu[i].value > 1000 + round;
        }
        stale += *watched != 1000 + round;
    }
    enough = true;
    bool done = all_done();
    check("a TLB shootdown: no CPU reads the old frame afterwards",
          done && stale == 0 && wrong == 0 && total(V_FLUSH) == FLUSH_ROUNDS * (cpus - 1), stale, wrong);
}

static void memory_checks(void)
{
    locked = unlocked = 0;
    all_do(add_up);
    bool done = all_done();
    check("all add to one number, by locked instructions and under a lock",
          done && locked == 1000ull * cpus && unlocked == 50ull * cpus * (cpus + 1), (unsigned)locked,
          (unsigned)unlocked);
    shootdown_check();
}

/* ---- all of it */

static void to_x2apic(unsigned me)
{
    (void)me;
    wrmsr(0x1b, rdmsr(0x1b) | 0xc00);
}

static void start_all(void)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) p;
    for (uint8_t *from = smp_code, *to = (uint8_t *)SMP_AT; from < smp_code_end;)
        *(volatile uint8_t *)to++ = *from++;
    uint64_t cr3;
    __asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
    *(volatile uint64_t *)(SMP_AT + (uintptr_t)(smp_cr3 - smp_code)) = cr3;
    __asm__ volatile("sgdt %0" : "=m"(p));
    __builtin_memcpy((void *)(SMP_AT + (uintptr_t)(smp_gdtr - smp_code)), &p, sizeof p);
    __asm__ volatile("sidt %0" : "=m"(p));
    __builtin_memcpy((void *)(SMP_AT + (uintptr_t)(smp_idtr - smp_code)), &p, sizeof p);
    for (unsigned i = 1; i < cpus; i++) {
        send(ASSERT | INIT, i);
        sleep_ms(1);
        send(ASSERT | SIPI | SMP_AT >> 12, i);
    }
    WAIT(starts() == cpus - 1);
}

static void triple_fault(unsigned me)
{
    static const struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) none;
    print("smp: CPU %u: triple fault now\n", me);
    __asm__ volatile("lidt %0; int3" : : "m"(none));
}

static void all_checks(void)
{
    all_do(look_at_topology);
    bool done = all_done();
    check("CPUID and the APIC agree on each CPU", done && values() == cpus, values(), cpus);
    physical_checks();
    shorthand_checks();
    if (x2) {
        logical_checks("x2APIC clusters", CPUS_MAX);
    } else if (!quick) {
        flat = true;
        logical_checks("flat", 8);
        flat = false;
        logical_checks("clusters", 60);
    }
    if (x2 || !quick)
        timer_checks();
    if (!quick) {
        priority_checks();
        once_check();
        start_checks();
    }
}

static bool word(const struct multiboot *info, const char *w)
{
    const char *s = info->flags & 4 ? (const char *)(uintptr_t)info->cmdline : "";
    for (; *s; s++) {
        unsigned i = 0;
        while (w[i] && s[i] == w[i])
            i++;
        if (!w[i])
            return true;
    }
    return false;
}

int guest_main(uint32_t magic, const struct multiboot *info)
{
    uint32_t r[4];
    (void)magic;
    serial_init();
    tables_init();
    pic_init();
    for (unsigned v = V_FIXED; v <= V_WAKE; v++)
        handle((uint8_t)v, v == V_FLUSH ? on_flush : on_vector);
    handle(V_SPURIOUS, on_spurious);
    handle(2, on_nmi);
    cpus = madt_cpus();
    print("smp: the MADT has %u CPUs\n", cpus);
    if (cpus < 2 || cpus > CPUS_MAX)
        guest_exit(1);
    quick = word(info, "quick");
    apic_on();
    start_all();
    check("each other CPU starts, once", starts() == cpus - 1, starts(), cpus - 1);
    if (word(info, "crash")) {
        print("smp: %u CPUs run\n", cpus);
        cpu[cpus - 1].job = triple_fault;
        send(ASSERT | V_WAKE, cpus - 1);
        interrupts_on();
        sleep_ms(2000);
        print("smp: still here: WRONG\n");
        guest_exit(1);
    }
    all_checks();
    if (!quick)
        memory_checks();
    cpuid(1, r);
    if (r[2] >> 21 & 1) {
        for (unsigned i = 1; i < cpus; i++)
            cpu[i].job = to_x2apic;
        send(ASSERT | OTHERS | V_WAKE, 0);
        bool done = all_done();
        to_x2apic(0);
        x2 = true;
        check("all change to x2APIC mode", done && apic_read(0x20) == 0, done, apic_read(0x20));
        all_checks();
        memory_checks();
    }
    print("smp: %u CPUs, %u passed, %u failed\n", cpus, passed, failed);
    guest_exit(failed ? 1 : 0);
}
