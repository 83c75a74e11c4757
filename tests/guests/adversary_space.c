// SPDX-License-Identifier: Apache-2.0
/* The adversary's attacks on what has an address: memory that is not there, ports, PCI, interrupt controllers, devices.
 */
#include "adversary.h"

#define PAGE 4096u

/* ---- memory */

static bool device_range(uint64_t a)
{
    return (a >= 0xc0000000u && a < 0xe0100000u) || (a >= 0xfec00000u && a < 0xfec01000u) ||
           (a >= 0xfee00000u && a < 0xfee01000u);
}

/* Where nothing is: reads are all ones, and what is written is not kept; or the access faults. */
static void touch_page(uint64_t gpa)
{
    volatile uint64_t *p = (volatile uint64_t *)physical(gpa & ~7ull);
    uint64_t before = *p, pattern = 0xa5e15ca9e0000000ull | gpa >> 12;
    if (before != ~0ull)
        escaped("memory that is not ours reads", gpa, before);
    *p = pattern;
    uint64_t after = *p;
    if (after != ~0ull)
        escaped("memory that is not ours keeps what was written", gpa, after);
}

static void cross_end(uint64_t end)
{
    /* Half in memory, half behind it. */
    volatile uint64_t *p = (volatile uint64_t *)physical(end - 4);
    if ((end & 0x1fffff) == 0) /* the window ends there too: through the one-to-one map of the first 4 GiB */
        p = (volatile uint64_t *)(uintptr_t)(end - 4);
    uint64_t keep = *p;
    *p = 0x1122334455667788ull;
    if (*p >> 32 != 0xffffffffu)
        escaped("the page behind our memory keeps", end, *p);
    *p = keep;
}

static void own_page(uint64_t a)
{
    volatile uint64_t *p = (volatile uint64_t *)(uintptr_t)a;
    __asm__ volatile("lock addq $0, %0" : "+m"(*p));
}

void attack_memory(void)
{
    for (uint64_t a = 0; a < ram_end; a += PAGE)
        attempt(own_page, a);
    attempt(cross_end, ram_end);
    uint64_t near = ram_end + (4ull << 20), top = 0x100000000ull;
    for (uint64_t a = ram_end; a < (thorough ? top : near); a += PAGE)
        if (!device_range(a))
            attempt(touch_page, a + (below(512) << 3));
    for (uint64_t a = near & ~0x1fffffull; a < top; a += 8ull << 20) {
        uint64_t at = a + (below(1u << 20) << 3);
        if (at >= ram_end && !device_range(at))
            attempt(touch_page, at);
    }
    /* Above 4 GiB: around every power of two, and anywhere, up to and beyond what addresses can be. */
    for (unsigned bit = 32; bit < 52; bit++)
        for (int i = -1; i < 3; i++)
            attempt(touch_page, (1ull << bit) + (uint64_t)(int64_t)i * PAGE);
    for (unsigned i = 0; i < 400; i++)
        attempt(touch_page, 0x100000000ull + below(1ull << (20 + below(physical_bits - 19))));
}

/* ---- ports */

/* What a write would end this guest with, or garble its words. */
static bool fatal_port(uint32_t port)
{
    return (port >= 0x3f8 - 3 && port <= 0x3ff) || (port >= 0xcf9 - 3 && port <= 0xcf9) ||
           (port >= 0x604 - 3 && port <= 0x605) || (port >= 0x60 - 3 && port <= 0x64) ||
           (port >= 0x92 - 3 && port <= 0x92) || (port >= 0xf4 - 3 && port <= 0xf7);
}

static void poke_port(uint64_t port)
{
    uint16_t p = (uint16_t)port;
    (void)inb(p);
    if (!fatal_port(p))
        outb(p, (uint8_t)chance());
}
static void poke_wide(uint64_t port)
{
    uint16_t p = (uint16_t)port;
    (void)inw(p);
    (void)inl(p);
    if (!fatal_port(p)) {
        outw(p, (uint16_t)chance());
        outl(p, (uint32_t)chance());
    }
}
static uint8_t string_buffer[512];
static void poke_string(uint64_t port)
{
    void *to = string_buffer;
    const void *from = string_buffer;
    uint64_t n = 8;
    __asm__ volatile("rep insb" : "+D"(to), "+c"(n) : "d"((uint16_t)port) : "memory");
    to = (void *)(uintptr_t)string_buffer, n = 8;
    __asm__ volatile("rep insl" : "+D"(to), "+c"(n) : "d"((uint16_t)port) : "memory");
    n = 8;
    if (!fatal_port((uint32_t)port))
        __asm__ volatile("rep outsw" : "+S"(from), "+c"(n) : "d"((uint16_t)port) : "memory");
}
/* A string written to where no memory is: it must not go anywhere. */
static void string_into_nothing(uint64_t gpa)
{
    void *to = (void *)(uintptr_t)physical(gpa);
    uint64_t n = 64;
    __asm__ volatile("rep insb" : "+D"(to), "+c"(n) : "d"((uint16_t)0x80) : "memory");
    touch_page(gpa);
}

void attack_ports(void)
{
    for (uint32_t p = 0; p < 0x10000; p += thorough || p < 0x1000 ? 1 : 1 + (uint32_t)below(8))
        attempt(poke_port, p);
    for (uint32_t p = 0; p < 0x10000; p += thorough || p < 0x700 ? 1 : 1 + (uint32_t)below(64))
        attempt(poke_wide, p);
    for (unsigned i = 0; i < 200; i++)
        attempt(poke_string, below(i < 100 ? 0x1000 : 0x10000));
    attempt(poke_wide, 0xffff);
    attempt(string_into_nothing, ram_end + 0x3000);
    attempt(string_into_nothing, ram_end + 0x3ff0);
    quiet();
    let_in(50);
}

/* ---- PCI */

static uint32_t config_read(uint32_t address)
{
    outl(0xcf8, address);
    return inl(0xcfc);
}
static void config_poke(uint64_t address)
{
    outl(0xcf8, (uint32_t)address);
    (void)inl(0xcfc);
    outl(0xcfc, (uint32_t)chance());
    outb((uint16_t)(0xcfc + below(4)), (uint8_t)chance());
    outw((uint16_t)(0xcfc + below(3)), (uint16_t)chance());
    outw((uint16_t)(0xcf8 + below(4)), (uint16_t)chance()); /* not a dword: a port of its own */
}
static void ecam_poke(uint64_t offset)
{
    volatile uint8_t *p = physical(0xe0000000u + offset);
    (void)*(volatile uint32_t *)p;
    *(volatile uint32_t *)p = (uint32_t)chance();
    *p = (uint8_t)chance();
    *(volatile uint64_t *)p = chance();
}
static void bar_poke(uint64_t gpa)
{
    volatile uint8_t *p = physical(gpa);
    (void)*p;
    (void)*(volatile uint64_t *)p;
    *p = (uint8_t)chance();
    *(volatile uint16_t *)p = (uint16_t)chance();
    *(volatile uint32_t *)p = (uint32_t)chance();
}

/* A device's own registers with garbage in them: virtio queues anywhere, doorbells for queues that are not there. */
static void attack_function(uint32_t at)
{
    uint32_t bar[6];
    for (unsigned i = 0; i < 6; i++)
        bar[i] = config_read(at + 0x10 + 4 * i);
    for (unsigned i = 0; i < 6; i++) {
        if (!(bar[i] & ~15u) || bar[i] == ~0u)
            continue;
        outl(0xcf8, at + 4);
        outl(0xcfc, 7);
        for (unsigned n = 0; n < 600; n++) {
            if (bar[i] & 1)
                attempt(n & 1 ? poke_port : poke_wide, (bar[i] & 0xfffc) + below(64));
            else
                attempt(bar_poke, (bar[i] & ~15u) + below(below(4) ? 0x100 : 0x8000));
        }
    }
}

void attack_pci(void)
{
    for (uint32_t bdf = 0; bdf < 256; bdf++)
        if (config_read(0x80000000u | bdf << 8) != ~0u)
            attack_function(0x80000000u | bdf << 8);
    for (uint32_t bus = 1; bus < 256; bus++)
        if (config_read(0x80000000u | bus << 16 | (uint32_t)below(256) << 8) != ~0u)
            escaped("a PCI function on a bus that is not there", bus, 0);
    for (unsigned i = 0; i < 3000; i++)
        attempt(config_poke, i < 1000 ? 0x80000000u | below(0x2000) : chance());
    for (unsigned i = 0; i < 2000; i++)
        attempt(ecam_poke, i < 256 ? i << 12 : i < 1000 ? below(0x8000) : below(0x100000 - 8));
    attempt(ecam_poke, 0x100000 - 4);
    for (unsigned i = 0; i < 400; i++) /* BARs have moved; the window for them */
        attempt(bar_poke, 0xc0000000u + below(0x20000000u - 8));
    for (uint32_t bdf = 0; bdf < 256; bdf++) { /* nothing may stay in our way */
        outl(0xcf8, 0x80000004u | bdf << 8);
        outl(0xcfc, 0);
    }
}

/* ---- interrupt controllers */

/* INIT to ourselves starts the machine over, as on a PC: everything but that. */
static uint32_t any_icr(void)
{
    uint32_t icr = (uint32_t)chance() & ~0xf000u;
    if ((icr >> 8 & 7) == 5)
        icr = (icr & ~0x700u) | (uint32_t[]){0, 1, 2, 3, 4, 6, 7}[below(7)] << 8;
    return icr;
}
static void apic_poke(uint64_t offset)
{
    if (offset > 0x2e8 && offset < 0x320) /* nothing may spill into the command register */
        offset &= ~15ull;
    volatile uint32_t *p = (volatile uint32_t *)(0xfee00000ull + offset);
    (void)*p;
    if (offset == 0x300) {
        *p = any_icr();
    } else {
        *p = (uint32_t)chance();
        if (offset & 15)
            *(volatile uint64_t *)p = chance();
        else
            *(volatile uint8_t *)p = (uint8_t)chance();
    }
}
static void ipi(uint64_t icr)
{
    *(volatile uint32_t *)0xfee00310ull = (uint32_t)(icr >> 32);
    *(volatile uint32_t *)0xfee00300ull = (uint32_t)icr;
}
static void x2apic_poke(uint64_t index)
{
    if (index == 0x830)
        wrmsr(0x830, (chance() << 32) | any_icr());
    else if (index == 0x83f)
        wrmsr(0x83f, below(300));
    else
        wrmsr((uint32_t)index, below(3) ? chance() & 0xffffffff : chance());
}
static void apic_base(uint64_t v)
{
    wrmsr(0x1b, v);
}
static void read_msr(uint64_t index)
{
    (void)rdmsr((uint32_t)index);
}

void attack_apic(void)
{
    for (unsigned i = 0; i < 1500; i++) {
        attempt(apic_poke, i < 256 ? i << 4 : below(0x1000 - 8));
        if (i % 16 == 0)
            let_in(2);
    }
    *(volatile uint32_t *)0xfee000f0ull = 0x1ff;
    /* Storms: to ourselves, to all, to those that are not there; start-up and INIT for others. */
    for (unsigned i = 0; i < 4000; i++) {
        uint32_t shorthand = (uint32_t)below(4) << 18, mode = (uint32_t[]){0, 0, 1, 2, 4, 6}[below(6)] << 8;
        attempt(ipi, chance() << 56 | shorthand | mode | 0x4000 | below(256));
        if (i % 8 == 0)
            let_in(1);
    }
    for (unsigned i = 0; i < 100; i++)
        attempt(ipi, (2 + below(200)) << 56 | 0x4500);
    attempt(ipi, 3u << 18 | 0x4500);
    attempt(ipi, 3u << 18 | 0x4608);
    let_in(300);
    /* Modes: garbage, moved, off and on, x2APIC with its registers. The one-way steps come last. */
    for (unsigned i = 0; i < 50; i++)
        attempt(apic_base, chance() | 1ull << physical_bits);
    attempt(apic_base, 0xfee00000ull | 0x400 | 0x100);
    uint64_t base = rdmsr(0x1b);
    if (attempt(apic_base, (base & 0xfff) | 0xfee00000ull | 0xc00)) {
        for (uint32_t i = 0x800; i < 0x900; i++) {
            attempt(read_msr, i);
            for (unsigned n = 0; n < 4; n++)
                attempt(x2apic_poke, i);
            let_in(4);
        }
        for (unsigned i = 0; i < 2000; i++) {
            attempt(x2apic_poke, below(2) ? 0x830 : 0x83f);
            if (i % 16 == 0)
                let_in(2);
        }
        attempt(x2apic_poke, 0x80b);
        attempt(apic_base, 0xfee00000ull | 0x100);         /* off */
        attempt(apic_base, 0xfee00000ull | 0x800 | 0x100); /* and xAPIC again */
    }
    *(volatile uint32_t *)0xfee000f0ull = 0x1ff;
    for (unsigned i = 0; i < 7; i++)
        *(volatile uint32_t *)(0xfee00320ull + 16 * i) = 0x10000;
    *(volatile uint32_t *)0xfee00080ull = 0;
    for (unsigned i = 0; i < 256; i++)
        *(volatile uint32_t *)0xfee000b0ull = 0;
    let_in(300);
}

/* ---- the old devices */

static void ioapic_poke(uint64_t unused)
{
    volatile uint32_t *p = (volatile uint32_t *)0xfec00000ull;
    (void)unused;
    p[0] = (uint32_t)(below(8) ? below(0x40) : chance());
    (void)p[4];
    uint32_t v = (uint32_t)chance();
    p[4] = (v >> 8 & 7) == 5 ? v & ~0x700u : v; /* no INIT for ourselves */
    if (below(16) == 0)
        *(volatile uint32_t *)(0xfec00000ull + below(0x3fe) * 4) = (uint32_t)chance() & ~0x700u;
    if (below(64) == 0)
        *(volatile uint64_t *)(0xfec00ffcull) = chance(); /* over its page's end */
}
static void serial_poke(uint64_t unused)
{
    (void)unused;
    outb(0x3f8 + 4, 0x10 | (uint8_t)below(16)); /* looped back: our words stay readable */
    outb((uint16_t)(0x3f8 + below(4)), (uint8_t)chance());
    (void)inb((uint16_t)(0x3f8 + below(8)));
    outb(0x3f8 + 7, (uint8_t)chance());
    outw(0x3f8, (uint16_t)chance());
    (void)inl(0x3fc);
}
static void keyboard_poke(uint64_t command)
{
    (void)inb(0x64);
    (void)inb(0x60);
    if ((command & 0xff) < 0xf0 && (command & 0xff) != 0xd1)
        outb(0x64, (uint8_t)command);
    outb(0x60, (uint8_t)(command >> 8));
}
static void power_poke(uint64_t v)
{
    outb(0x600 + (uint16_t)below(4), (uint8_t)v);
    outw(0x600, (uint16_t)v);
    outw(0x602, (uint16_t)(v >> 8));
    outw(0x604, (uint16_t)(v & ~0x2000ull)); /* all but "now" */
    outl(0x608, (uint32_t)v);
    outl(0x620, (uint32_t)v);
    outb(0xcf9, (uint8_t)(v & ~4ull));
    outb(0x92, (uint8_t)(v & ~1ull));
    outb(0xb2, (uint8_t)v);
}

void attack_devices(void)
{
    for (unsigned i = 0; i < 3000; i++) {
        attempt(ioapic_poke, i);
        if (i % 32 == 0)
            let_in(1);
    }
    for (unsigned i = 0; i < 6000; i++) { /* 8259, PIT, RTC, DMA and what else lives below 0x100 */
        static const uint16_t ports[] = {0x20, 0x21, 0xa0, 0xa1, 0x40,  0x41,  0x42,
                                         0x43, 0x61, 0x70, 0x71, 0x4d0, 0x4d1, 0x80};
        outb(ports[below(sizeof ports / sizeof ports[0])], (uint8_t)chance());
        (void)inb(ports[below(sizeof ports / sizeof ports[0])]);
        if (i % 32 == 0)
            let_in(1);
    }
    for (unsigned i = 0; i < 1500; i++)
        attempt(serial_poke, i);
    serial_init();
    for (unsigned i = 0; i < 1000; i++)
        attempt(keyboard_poke, i < 256 ? i : chance());
    for (unsigned i = 0; i < 1000; i++)
        attempt(power_poke, chance());
    outb(0x70, 11);
    outb(0x71, 2);
    quiet();
    pit_init(100);
    let_in(300);
}
