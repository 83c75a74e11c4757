// SPDX-License-Identifier: Apache-2.0
/* Checks the PC that a guest sees, with interrupts: one line per check, `ok` or `FAILED`, a sum at the end, exit code 0
 * or 1. */
#include "guest.h"

#define COM1   0x3f8
#define APIC   0xfee00000u
#define IOAPIC 0xfec00000u

static unsigned passed, failed;
static volatile unsigned irq0, irq4, irq8, lapic_ticks, ioapic_ticks;

static void check(const char *what, bool good, unsigned a, unsigned b)
{
    print("devices: %s %s (%u, %u)\n", good ? "ok    " : "FAILED", what, a, b);
    if (good)
        passed++;
    else
        failed++;
}

/* The condition first: it changes what the numbers show. */
#define CHECK(what, condition, a, b) \
    do {                             \
        bool good_ = (condition);    \
        check(what, good_, a, b);    \
    } while (0)

static volatile uint32_t *reg(uint32_t base, uint32_t offset)
{
    return (volatile uint32_t *)(uintptr_t)(base + offset);
}
static void ioapic_write(uint32_t index, uint32_t v)
{
    *reg(IOAPIC, 0) = index;
    *reg(IOAPIC, 0x10) = v;
}
static uint32_t ioapic_read(uint32_t index)
{
    *reg(IOAPIC, 0) = index;
    return *reg(IOAPIC, 0x10);
}
static uint8_t cmos(uint8_t index)
{
    outb(0x70, index);
    return inb(0x71);
}

static void on_irq0(struct frame *f)
{
    (void)f;
    irq0++;
}
static void on_irq4(struct frame *f)
{
    (void)f;
    irq4++;
    (void)inb(COM1 + 2);
}
static void on_irq8(struct frame *f)
{
    (void)f;
    irq8++;
    (void)cmos(0x0c);
}
static void on_lapic(struct frame *f)
{
    (void)f;
    lapic_ticks++;
    *reg(APIC, 0xb0) = 0;
}
static void on_ioapic(struct frame *f)
{
    (void)f;
    ioapic_ticks++;
    *reg(APIC, 0xb0) = 0;
}
static void on_spurious(struct frame *f)
{
    (void)f;
}

/* Waits until *counter has reached n, at most about `ms` by PIT channel 2's gate-less countdown; interrupts on in
 * between. */
static bool reaches(volatile unsigned *counter, unsigned n, unsigned ms)
{
    while (ms-- && *counter < n) {
        outb(0x61, (uint8_t)((inb(0x61) & ~2u) | 1));
        outb(0x43, 0xb0); /* channel 2, mode 0 */
        outb(0x42, (uint8_t)1193);
        outb(0x42, (uint8_t)(1193 >> 8));
        interrupts_on();
        while (!(inb(0x61) & 0x20))
            ;
        interrupts_off();
    }
    return *counter >= n;
}

/* --- the local APIC's priorities, through either face --- */

static bool x2apic;
static volatile unsigned order[8], taken, lines;

static uint32_t apic_read(uint32_t offset)
{
    return x2apic ? (uint32_t)rdmsr(0x800 + (offset >> 4)) : *reg(APIC, offset);
}
static void apic_write(uint32_t offset, uint32_t v)
{
    if (x2apic)
        wrmsr(0x800 + (offset >> 4), v);
    else
        *reg(APIC, offset) = v;
}
static void to_self(uint8_t vector)
{
    if (x2apic)
        apic_write(0x3f0, vector);
    else
        apic_write(0x300, 1u << 18 | vector);
}
static bool bit_at(uint32_t base, uint8_t vector)
{
    return apic_read(base + (vector >> 5) * 16u) >> (vector & 31) & 1;
}
static void note(unsigned what)
{
    if (taken < 8)
        order[taken++] = what;
}
static void on_low(struct frame *f)
{
    note(f->vector);
    apic_write(0xb0, 0);
}
static void on_high(struct frame *f)
{
    note(f->vector);
    apic_write(0xb0, 0);
}
/* Interrupts itself by a higher vector, which comes at once, and by a lower one, which waits for the end of this. */
static void on_middle(struct frame *f)
{
    note(f->vector);
    to_self(0x61);
    to_self(0x31);
    interrupts_on();
    for (volatile unsigned i = 0; i < 100; i++)
        ;
    interrupts_off();
    note(bit_at(0x100, 0x45) && !bit_at(0x100, 0x61) && bit_at(0x200, 0x31) ? apic_read(0xa0) : 0);
    apic_write(0xb0, 0);
}
/* Level-triggered: the line is up until IIR is read, which the first time it is not. */
static void on_line(struct frame *f)
{
    (void)f;
    if (++lines > 1)
        (void)inb(COM1 + 2);
    apic_write(0xb0, 0);
}

static bool in_order(unsigned a, unsigned b, unsigned c, unsigned d)
{
    bool good = taken == (d ? 4u : c ? 3u : 2u) && order[0] == a && order[1] == b && order[2] == c && order[3] == d;
    if (!good)
        print("devices: order %u: %x %x %x %x %x\n", taken, order[0], order[1], order[2], order[3], order[4]);
    taken = order[0] = order[1] = order[2] = order[3] = 0;
    return good;
}

/* The PCI serial port of vmm/test/pciserial.c, which sends back whole lines: by message, and by its line. */
#define BENCH_PORT  0x5d0
#define BENCH_MAGIC 0x4843424du
#define SERIAL_SLOT 5u
#define SERIAL_PIN  17u
static volatile unsigned messages, lines_in;
static uint16_t serial;

static uint32_t config_read(unsigned reg)
{
    outl(0xcf8, 0x80000000u | SERIAL_SLOT << 11 | reg);
    return inl(0xcfc);
}
static void config_write(unsigned reg, uint32_t v)
{
    outl(0xcf8, 0x80000000u | SERIAL_SLOT << 11 | reg);
    outl(0xcfc, v);
}
/* All that has come is read: the port's interrupt falls. */
static void empty_serial(void)
{
    while (inb(serial + 5) & 1)
        (void)inb(serial);
}
static void on_message(struct frame *f)
{
    (void)f;
    messages++;
    empty_serial();
    apic_write(0xb0, 0);
}
static void on_pci_line(struct frame *f)
{
    (void)f;
    if (++lines_in % 2 == 0) /* the first time it stays up */
        empty_serial();
    apic_write(0xb0, 0);
}
static void write_line(void)
{
    outb(serial, 'x');
    outb(serial, '\n');
}

static void message_checks(uint32_t id)
{
    static volatile unsigned never;
    unsigned at = config_read(0x34) & 0xfc;
    while (at != 0 && (config_read(at) & 0xff) != 5)
        at = config_read(at) >> 8 & 0xfc;
    CHECK("the PCI serial port has MSI", config_read(0) == 0x00021b36 && at != 0, config_read(0), at);
    if (at == 0)
        return;
    handle(0x53, on_message);
    handle(0x54, on_pci_line);
    messages = lines_in = 0;
    serial = (uint16_t)(config_read(0x10) & 0xfffc);
    config_write(4, 5); /* ports, master */
    outb(serial + 2, 1);
    outb(serial + 1, 1);
    config_write(at + 4, 0xfee00000u | id << 12);
    config_write(at + 8, 0);
    config_write(at + 12, 0x53);
    config_write(at, 1 << 16);
    write_line();
    CHECK("an interrupt by message", reaches(&messages, 1, 100), messages, 0);
    write_line();
    bool two = reaches(&messages, 2, 100);
    reaches(&never, 1, 5);
    CHECK("and one for each that follows", two && messages == 2, messages, 0);
    config_write(at + 12, 0x54); /* another vector */
    write_line();
    CHECK("by the vector that the device has now", reaches(&lines_in, 1, 100) && messages == 2, messages, lines_in);
    empty_serial();
    lines_in = 0;

    config_write(at, 0);
    ioapic_write(0x10 + 2 * SERIAL_PIN + 1, x2apic ? id << 24 : apic_read(0x20));
    ioapic_write(0x10 + 2 * SERIAL_PIN, 1 << 15 | 0x54);
    write_line();
    two = reaches(&lines_in, 2, 100);
    reaches(&never, 1, 5);
    CHECK("without messages by its line, until it is quiet", two && lines_in == 2, lines_in, messages);
    config_write(4, 1 << 10 | 5);
    write_line();
    reaches(&never, 1, 5);
    CHECK("and not by that when it is switched off", lines_in == 2 && messages == 2, lines_in, messages);
    empty_serial();
    outb(serial + 1, 0);
    ioapic_write(0x10 + 2 * SERIAL_PIN, 1 << 16);
    config_write(4, 0);
}

static void apic_checks(const char *face)
{
    static volatile unsigned never;
    print("devices: local APIC as %s\n", face);
    handle(0x31, on_low);
    handle(0x45, on_middle);
    handle(0x61, on_high);
    handle(0x52, on_line);
    apic_write(0xf0, 0x1ff);
    apic_write(0x80, 0);
    taken = lines = 0;

    to_self(0x31);
    to_self(0x61);
    CHECK("requests wait while interrupts are off", taken == 0 && bit_at(0x200, 0x31) && bit_at(0x200, 0x61), taken, 0);
    reaches(&never, 1, 1);
    CHECK("the highest first", in_order(0x61, 0x31, 0, 0), 0, 0);
    to_self(0x45);
    reaches(&never, 1, 1);
    CHECK("a higher one comes in between, a lower one afterwards", in_order(0x45, 0x61, 0x40, 0x31), 0, 0);

    apic_write(0x80, 0x6f);
    to_self(0x61);
    reaches(&never, 1, 2);
    CHECK("TPR holds its class back",
          taken == 0 && bit_at(0x200, 0x61) && apic_read(0x80) == 0x6f && apic_read(0xa0) == 0x6f, taken,
          apic_read(0xa0));
    interrupts_on();
    apic_write(0x80, 0x50);
    __asm__ volatile("nop; nop");
    bool came = taken == 1;
    interrupts_off();
    CHECK("and lets it go when it is lowered", came, taken, order[0]);
    apic_write(0x80, 0);
    taken = 0;

    to_self(0x31);
    wait_interrupt();
    CHECK("HLT does not sleep over a request", taken == 1, taken, 0);
    CHECK("nothing is left in service", !bit_at(0x100, 0x31) && !bit_at(0x100, 0x45) && !bit_at(0x100, 0x61),
          apic_read(0xa0), 0);

    /* COM1 at pin 4; level-triggered */
    uint32_t id = apic_read(0x20);
    ioapic_write(0x10 + 2 * 4 + 1, x2apic ? id << 24 : id);
    ioapic_write(0x10 + 2 * 4, 1 << 15 | 0x52);
    outb(COM1 + 1, 2); /* transmitter empty */
    bool two = reaches(&lines, 2, 100);
    reaches(&never, 1, 5);
    CHECK("a level-triggered line comes again while it is up", two && lines == 2, lines, 0);
    outb(COM1 + 1, 0);
    outb(COM1 + 1, 2);
    CHECK("and anew afterwards", reaches(&lines, 3, 100), lines, 0);
    reaches(&never, 1, 5);
    CHECK("TMR tells of it, remote IRR does not stay", bit_at(0x180, 0x52) && !(ioapic_read(0x10 + 2 * 4) & 1 << 14),
          ioapic_read(0x10 + 2 * 4), 0);
    outb(COM1 + 1, 0);
    ioapic_write(0x10 + 2 * 4, 1 << 16);
    if (inl(BENCH_PORT) == BENCH_MAGIC)
        message_checks(x2apic ? id : id >> 24);
}

static void x2apic_checks(void)
{
    uint32_t r[4];
    cpuid(1, r);
    if (!(r[2] & 1 << 21))
        return;
    to_self(0x61); /* taken along */
    wrmsr(0x1b, rdmsr(0x1b) | 0xc00);
    x2apic = true;
    taken = 0;
    interrupts_on();
    interrupts_off();
    __asm__ volatile("sti; nop; nop; cli");
    CHECK("a request lives through the change to x2APIC", taken == 1, taken, 0);
    apic_checks("x2APIC");
    apic_write(0xf0, 0xff);
    CHECK("software-disabled it still reads", apic_read(0xf0) == 0xff && apic_read(0x30) != 0, apic_read(0xf0), 0);
    apic_write(0xf0, 0x1ff);
    taken = 0;
    to_self(0x31);
    reaches(&lapic_ticks, lapic_ticks + 1, 1);
    CHECK("and enabled again it interrupts", taken == 1, taken, 0);
    wrmsr(0x1b, rdmsr(0x1b) & ~0xc00ull);
    wrmsr(0x1b, rdmsr(0x1b) | 0x800);
    x2apic = false;
    CHECK("off and on again it is an xAPIC after reset", apic_read(0xf0) == 0xff && !bit_at(0x200, 0x31),
          apic_read(0xf0), 0);
}

/* Doorbells in memory (vmm/test/bench.h): each store goes on right behind itself, the first by way of the monitor,
 * the others by ring 0's. */
#define DOORBELL 0xfeb00000u
#define ROUNDS   50u

/* edi: the doorbell; ebx counts what comes behind. A mistake in length would run into an operand. */
#define STORES(name, store)                                                                                 \
    static __attribute__((noinline)) uint32_t name(void)                                                    \
    {                                                                                                       \
        uint32_t count = 0;                                                                                 \
        for (unsigned i = 0; i < ROUNDS; i++)                                                               \
            __asm__ volatile(store "\n\tinc %0" : "+b"(count) : "D"(DOORBELL), "a"(0x43434343) : "memory"); \
        return count;                                                                                       \
    }
STORES(short_stores, "mov %%eax, (%%edi)")
STORES(long_stores, ".byte 0xc7, 0x87, 0, 0, 0, 0, 0x43, 0x43, 0x43, 0x43") /* MOV [EDI+0], imm32 */

static uint32_t run_code(const uint8_t *code)
{
    uint32_t count = 0;
    __asm__ volatile("call *%1" : "+b"(count) : "r"(code), "D"(DOORBELL), "a"(0) : "memory");
    return count;
}

static void doorbell_checks(void)
{
    static volatile uint8_t code[16] = {0x89, 0x07, 0x43, 0xc3}; /* MOV [EDI], EAX; INC EBX; RET */
    static const uint8_t longer[] = {0xc7, 0x07, 0x43, 0x43,
                                     0x43, 0x43, 0x43, 0xc3}; /* MOV [EDI], imm32; INC EBX; RET */
    uint32_t r[4], n = short_stores(), m = long_stores(), again = short_stores(), count = 0;
    CHECK("stores to a doorbell, from two places", n == ROUNDS && m == ROUNDS && again == ROUNDS, n + again, m);
    for (unsigned i = 0; i < ROUNDS; i++)
        count += run_code((const uint8_t *)code);
    CHECK("stores to a doorbell, from code that is data", count == ROUNDS, count, 0);
    cpuid(0, r);
    if (r[2] != 0x6c65746e) /* "ntel": elsewhere a CPU does not say how long the instruction was, and the old one would
                               be believed */
        return;
    for (unsigned i = 0; i < sizeof longer; i++)
        code[i] = longer[i];
    count = run_code((const uint8_t *)code);
    CHECK("another store in the old one's place", count == 1, count, 0);
}

/* PIT, PM timer and TSC count the same time, at the rates that they say. Each count is read between two looks at the
 * TSC, so it lies between two bounds however long an access takes; a pair of readings so far apart that the PIT may
 * have wrapped is taken again. */
static uint16_t pit_count(void)
{
    outb(0x43, 0x80); /* latch channel 2 */
    uint8_t low = inb(0x42);
    return (uint16_t)(low | inb(0x42) << 8);
}

static bool between(uint64_t cycles, uint32_t hz, uint32_t khz, uint64_t inner, uint64_t outer)
{
    const uint64_t ticks = (uint64_t)khz * 1000; /* in a second */
    return (cycles + 2) * ticks >= inner * hz && cycles * ticks <= outer * hz + 2 * ticks;
}

static void clocks_agree(uint32_t khz, uint16_t pm_timer)
{
    for (unsigned tries = 0; tries < 100; tries++) {
        outb(0x61, (uint8_t)((inb(0x61) & ~2u) | 1));
        outb(0x43, 0xb0); /* channel 2, mode 0, from 0xffff */
        outb(0x42, 0xff);
        outb(0x42, 0xff);
        uint64_t a = rdtsc();
        uint16_t pit = pit_count();
        uint64_t b = rdtsc();
        uint32_t pm = inl(pm_timer);
        uint64_t c = rdtsc();
        while (rdtsc() - c < 5 * khz)
            ;
        uint64_t d = rdtsc();
        pit = (uint16_t)(pit - pit_count());
        uint64_t e = rdtsc();
        pm = inl(pm_timer) - pm;
        uint64_t f = rdtsc();
        if (e - a > 50 * (uint64_t)khz)
            continue;
        CHECK("the PIT counts as the TSC says", between(pit, 1193182, khz, d - b, e - a), pit, (unsigned)(e - a));
        CHECK("the PM timer counts as the TSC says", between(pm, 3579545, khz, e - c, f - b), pm, (unsigned)(f - b));
        return;
    }
    CHECK("two readings within 50 ms of each other", false, 0, 0);
}

int guest_main(uint32_t magic, const struct multiboot *info)
{
    static volatile unsigned never;
    (void)magic;
    (void)info;
    serial_init();
    tables_init();
    pic_init();
    handle(0x20, on_irq0);
    handle(0x24, on_irq4);
    handle(0x28, on_irq8);
    handle(0x40, on_lapic);
    handle(0x41, on_ioapic);
    handle(0xff, on_spurious);

    CHECK("16550 scratch register", (outb(COM1 + 7, 0x5a), inb(COM1 + 7) == 0x5a), inb(COM1 + 7), 0);
    CHECK("16550 has FIFOs", (inb(COM1 + 2) & 0xc0) == 0xc0, inb(COM1 + 2), 0);
    CHECK("PIC mask reads back", (outb(0x21, 0xa5), inb(0x21) == 0xa5), inb(0x21), 0);
    outb(0x21, 0xff);

    uint64_t t0 = rdtsc();
    reaches(&never, 1, 10);
    uint64_t t1 = rdtsc();
    CHECK("PIT channel 2 and the TSC run", t1 > t0, (unsigned)((t1 - t0) / 1024), 10);

    pit_init(1000);
    pic_unmask(0);
    CHECK("PIT interrupt through the PIC", reaches(&irq0, 20, 500), irq0, 0);
    outb(0x21, 0xff);

    outb(COM1 + 1, 2); /* transmitter empty */
    pic_unmask(4);
    CHECK("16550 interrupt", reaches(&irq4, 1, 100), irq4, 0);
    outb(COM1 + 1, 0);
    outb(0x21, 0xff);

    outb(0x70, 0x8b);
    uint8_t b = inb(0x71);
    outb(0x70, 0x8b);
    outb(0x71, (uint8_t)(b | 0x40)); /* periodic */
    outb(0x70, 0x8a);
    outb(0x71, 0x26); /* 1024 Hz */
    (void)cmos(0x0c);
    pic_unmask(8);
    CHECK("RTC periodic interrupt", reaches(&irq8, 20, 500), irq8, 0);
    outb(0x70, 0x0b);
    outb(0x71, b);
    outb(0x21, 0xff);
    outb(0xa1, 0xff);
    while (cmos(0x0a) & 0x80)
        ;
    uint8_t year = cmos(9), month = cmos(8);
    CHECK("RTC has a date", year >= 0x16 && month >= 1 && month <= 0x12, year, month);

    wrmsr(0x1b, rdmsr(0x1b) | 0x800);
    uint32_t apic_version = *reg(APIC, 0x30) & 0xff;
    CHECK("local APIC version", apic_version >= 0x10 && apic_version < 0x20, apic_version, 0);
    *reg(APIC, 0xf0) = 0x1ff;
    *reg(APIC, 0x80) = 0;
    *reg(APIC, 0x3e0) = 0xb;  /* divide by 1 */
    *reg(APIC, 0x320) = 0x40; /* one-shot */
    *reg(APIC, 0x380) = 100000;
    bool one = reaches(&lapic_ticks, 1, 200);
    reaches(&never, 1, 5);
    CHECK("local APIC timer, one shot, once", one && lapic_ticks == 1, lapic_ticks, 0);
    *reg(APIC, 0x320) = 0x40 | 1 << 17; /* periodic */
    *reg(APIC, 0x380) = 200000;
    CHECK("local APIC timer, periodic", reaches(&lapic_ticks, 6, 500), lapic_ticks, 0);
    *reg(APIC, 0x320) = 1 << 16;
    *reg(APIC, 0x380) = 0;
    unsigned before = lapic_ticks;
    *reg(APIC, 0x310) = 0;
    *reg(APIC, 0x300) = 0x40 | 1 << 18; /* to itself */
    CHECK("self IPI", reaches(&lapic_ticks, before + 1, 100), lapic_ticks, before);

    uint32_t version = ioapic_read(1);
    CHECK("I/O APIC version and 24 pins", (version >> 16 & 0xff) == 23, version & 0xff, version >> 16 & 0xff);
    ioapic_write(0x10 + 2 * 2 + 1, *reg(APIC, 0x20) & 0xff000000u);
    ioapic_write(0x10 + 2 * 2, 0x41); /* PIT comes in at pin 2, edge, high */
    CHECK("PIT interrupt through the I/O APIC", reaches(&ioapic_ticks, 20, 500), ioapic_ticks, 0);
    ioapic_write(0x10 + 2 * 2, 1 << 16 | 0x41);
    reaches(&never, 1, 2); /* what the local APIC has already taken still comes */
    before = ioapic_ticks;
    reaches(&never, 1, 10);
    CHECK("a masked pin is quiet", ioapic_ticks == before, ioapic_ticks, before);

    apic_checks("xAPIC");
    x2apic_checks();

    outl(0xcf8, 0x80000000u);
    uint32_t id = inl(0xcfc);
    outl(0xcf8, 0x80000008u);
    uint32_t class = inl(0xcfc);
    CHECK("PCI host bridge", id != 0xffffffffu && id != 0 && class >> 16 == 0x0600, id & 0xffff, id >> 16);
    outl(0xcf8, 0x8000f800u);
    outl(0xcf8, 0x80ff0000u);
    CHECK("an empty PCI slot reads ones", inl(0xcfc) == 0xffffffffu, 0, 0);
    outl(0xcf8, 0);
    CHECK("an empty port reads ones", inb(0x2e8 + 7) == 0xff, inb(0x2e8 + 7), 0);

    if (inl(BENCH_PORT) == BENCH_MAGIC)
        doorbell_checks();
    CHECK("ACPI FADT", acpi_table("FACP") != NULL, 0, 0);
    CHECK("ACPI MADT", acpi_table("APIC") != NULL, 0, 0);

    uint32_t r[4];
    cpuid(0x40000000, r);
    if (r[1] == 0x4b4d564b) { /* "KVMK": only where a hypervisor offers it */
        cpuid(0x40000010, r);
        CHECK("TSC frequency leaf", r[0] > 1000, r[0], r[1]);
        const uint8_t *fadt = acpi_table("FACP");
        if (fadt != NULL)
            clocks_agree(r[0], (uint16_t)(fadt[76] | fadt[77] << 8));
    }
    print("devices: %u passed, %u failed\n", passed, failed);
    guest_exit(failed ? 1 : 0);
}
