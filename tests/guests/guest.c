// SPDX-License-Identifier: Apache-2.0
/* What the small test guests share. See guest.h. */
#include <stdarg.h>

#include "guest.h"

#define COM1 0x3f8

void *memset(void *p, int c, size_t n);
void *memcpy(void *d, const void *s, size_t n);
void *memset(void *p, int c, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ((volatile uint8_t *)p)[i] = (uint8_t)c;
    return p;
}
void *memcpy(void *d, const void *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ((volatile uint8_t *)d)[i] = ((const uint8_t *)s)[i];
    return d;
}

void serial_init(void)
{
    outb(COM1 + 1, 0);
    outb(COM1 + 3, 0x80); /* divisor latch */
    outb(COM1 + 0, 1);
    outb(COM1 + 1, 0);
    outb(COM1 + 3, 3);    /* 8N1 */
    outb(COM1 + 2, 7);    /* FIFOs on and empty */
    outb(COM1 + 4, 0x0b); /* DTR, RTS, OUT2: interrupt gate */
}

void put(char c)
{
    if (c == '\n')
        put('\r');
    while (!(inb(COM1 + 5) & 0x20))
        ;
    outb(COM1, (uint8_t)c);
}

static void number(uint64_t v, unsigned base, unsigned width, char pad)
{
    char digits[24];
    unsigned n = 0;

    do {
        unsigned d;
        if (base == 16) {
            d = (unsigned)(v & 15);
            v >>= 4;
        } else { /* no 64-bit division: there is no libgcc in the 32-bit guests */
            uint64_t q = 0, r = 0;
            for (int i = 63; i >= 0; i--) {
                r = r << 1 | (v >> i & 1);
                if (r >= 10) {
                    r -= 10;
                    q |= 1ull << i;
                }
            }
            d = (unsigned)r;
            v = q;
        }
        digits[n++] = "0123456789abcdef"[d];
    } while (v);
    while (width > n) {
        put(pad);
        width--;
    }
    while (n)
        put(digits[--n]);
}

void print(const char *f, ...)
{
    va_list a;
    va_start(a, f);
    for (; *f; f++) {
        if (*f != '%') {
            put(*f);
            continue;
        }
        char pad = ' ';
        unsigned width = 0, longs = 0;
        if (*++f == '0')
            pad = *f++;
        while (*f >= '0' && *f <= '9')
            width = width * 10 + (unsigned)(*f++ - '0');
        while (*f == 'l') {
            longs++;
            f++;
        }
        if (*f == 's') {
            for (const char *s = va_arg(a, const char *); *s; s++)
                put(*s);
        } else if (*f == 'c') {
            put((char)va_arg(a, int));
        } else if (*f == '%') {
            put('%');
        } else {
            uint64_t v;
            if (longs > 1)
                v = va_arg(a, unsigned long long);
            else if (longs == 1)
                v = va_arg(a, unsigned long);
            else
                v = va_arg(a, unsigned);
            if (*f == 'd' && (int)v < 0 && !longs) {
                put('-');
                v = (uint64_t) - (int64_t)(int)v;
            }
            number(v, *f == 'x' ? 16 : 10, width, pad);
        }
    }
    va_end(a);
}

void guest_exit(uint8_t code)
{
    while ((inb(COM1 + 5) & 0x60) != 0x60)
        ;
    outb(DEBUG_EXIT_PORT, code);
    guest_poweroff();
}

/* Descriptor tables and interrupts. */

extern uint8_t guest_stubs[];
static handler_t handlers[256];

struct descriptor_pointer {
    uint16_t limit;
    uintptr_t base;
} __attribute__((packed));

#ifdef __x86_64__
struct gate {
    uint16_t low, selector;
    uint8_t ist, type;
    uint16_t middle;
    uint32_t high, reserved;
};
static uint64_t gdt[7] = {0, 0x00af9a000000ffff, 0x00cf92000000ffff, 0x00affa000000ffff, 0x00cff2000000ffff, 0, 0};
static struct {
    uint32_t r;
    uint64_t sp[3];
    uint64_t r1, ist[7], r2;
    uint16_t r3, iomap;
} __attribute__((packed)) tss;
#else
struct gate {
    uint16_t low, selector;
    uint8_t ist, type;
    uint16_t middle;
};
static uint64_t gdt[6] = {0, 0x00cf9a000000ffff, 0x00cf92000000ffff, 0x00cffa000000ffff, 0x00cff2000000ffff, 0};
static struct {
    uint32_t link, sp0, ss0, rest[22];
    uint16_t trap, iomap;
} tss;
#endif
static struct gate idt[256];
static uint8_t ring0_stack[4096] __attribute__((aligned(16)));

void guest_interrupt(struct frame *f);
void guest_interrupt(struct frame *f)
{
    handler_t h = handlers[f->vector & 255];
    if (h) {
        h(f);
    } else if (f->vector < 32) {
        print("unexpected exception %u, error 0x%x, at 0x%llx\n", (unsigned)f->vector, (unsigned)f->error,
              (unsigned long long)f->ip);
        guest_exit(0x7f);
    }
    if (f->vector >= 0x20 && f->vector < 0x30) {
        if (f->vector >= 0x28)
            outb(0xa0, 0x20);
        outb(0x20, 0x20);
    }
}

void handle(uint8_t vector, handler_t h)
{
    handlers[vector] = h;
}

void tables_init(void)
{
    uintptr_t t = (uintptr_t)&tss;
    gdt[5] = (sizeof(tss) - 1) | (uint64_t)(t & 0xffffff) << 16 | 0x89ull << 40 | (uint64_t)(t >> 24 & 0xff) << 56;
#ifdef __x86_64__
    gdt[6] = t >> 32;
    tss.sp[0] = (uintptr_t)ring0_stack + sizeof(ring0_stack);
#else
    tss.sp0 = (uintptr_t)ring0_stack + sizeof(ring0_stack);
    tss.ss0 = 0x10;
#endif
    tss.iomap = sizeof(tss);
    for (unsigned i = 0; i < 256; i++) {
        uintptr_t a = (uintptr_t)guest_stubs + 16 * i;
        idt[i].low = (uint16_t)a;
        idt[i].selector = 8;
        idt[i].type = 0x8e;
        idt[i].middle = (uint16_t)(a >> 16);
#ifdef __x86_64__
        idt[i].high = (uint32_t)(a >> 32);
#endif
    }
    idt[0x80].type = 0xee; /* ring 3 may call vector 0x80 */
    struct descriptor_pointer g = {sizeof(gdt) - 1, (uintptr_t)gdt}, d = {sizeof(idt) - 1, (uintptr_t)idt};
#ifdef __x86_64__
    __asm__ volatile("lgdt %0; lidt %1; push $8; lea 1f(%%rip), %%rax; push %%rax; lretq; 1: "
                     "mov %2, %%ds; mov %2, %%es; mov %2, %%ss; ltr %w3"
                     :
                     : "m"(g), "m"(d), "r"(0x10), "r"(0x28)
                     : "rax", "memory");
#else
    __asm__ volatile("lgdt %0; lidt %1; ljmp $8, $1f; 1: "
                     "mov %2, %%ds; mov %2, %%es; mov %2, %%ss; mov %2, %%fs; mov %2, %%gs; ltr %w3"
                     :
                     : "m"(g), "m"(d), "r"(0x10), "r"(0x28)
                     : "memory");
#endif
}

void pic_init(void)
{
    static const uint8_t sequence[][2] = {{0x20, 0x11}, {0x21, 0x20}, {0x21, 4}, {0x21, 1}, {0x21, 0xff},
                                          {0xa0, 0x11}, {0xa1, 0x28}, {0xa1, 2}, {0xa1, 1}, {0xa1, 0xff}};
    for (unsigned i = 0; i < sizeof(sequence) / sizeof(sequence[0]); i++)
        outb(sequence[i][0], sequence[i][1]);
}

void pic_unmask(unsigned irq)
{
    uint16_t port = irq < 8 ? 0x21 : 0xa1;
    outb(port, (uint8_t)(inb(port) & ~(1u << (irq & 7))));
    if (irq >= 8)
        pic_unmask(2);
}

void pit_init(unsigned hz)
{
    unsigned divisor = 1193182 / hz;
    outb(0x43, 0x34);
    outb(0x40, (uint8_t)divisor);
    outb(0x40, (uint8_t)(divisor >> 8));
}

/* ACPI 6.4: 5.2.5.3 RSDP, 5.2.6 table header, 5.2.9 FADT, 4.8.3.2 PM1 control. */

static uint32_t rd32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static bool sums_to_zero(const uint8_t *p, uint32_t n)
{
    uint8_t sum = 0;
    while (n--)
        sum = (uint8_t)(sum + *p++);
    return sum == 0;
}

static bool is(const uint8_t *p, const char *s, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (p[i] != (uint8_t)s[i])
            return false;
    return true;
}

/* The compiler must not know that these are small constants. */
static uint8_t *at(uintptr_t address)
{
    __asm__("" : "+r"(address));
    return (uint8_t *)address;
}

static const uint8_t *find_rsdp(void)
{
    uintptr_t ebda = (uintptr_t)(at(0x40e)[0] | at(0x40e)[1] << 8) << 4;
    if (ebda >= 0x80000 && ebda < 0xa0000)
        for (uintptr_t a = ebda; a < ebda + 1024; a += 16)
            if (is(at(a), "RSD PTR ", 8) && sums_to_zero(at(a), 20))
                return at(a);
    for (uintptr_t a = 0xe0000; a < 0x100000; a += 16)
        if (is(at(a), "RSD PTR ", 8) && sums_to_zero(at(a), 20))
            return at(a);
    return NULL;
}

void *acpi_table(const char signature[4])
{
    const uint8_t *rsdp = find_rsdp();
    if (!rsdp)
        return NULL;
    bool extended = rsdp[15] >= 2 && rd32(rsdp + 24);
    const uint8_t *root = at(extended ? rd32(rsdp + 24) : rd32(rsdp + 16));
    unsigned step = extended ? 8 : 4;
    uint32_t length = rd32(root + 4);
    if (!sums_to_zero(root, length))
        return NULL;
    for (uint32_t i = 36; i + step <= length; i += step) {
        uint8_t *t = at(rd32(root + i));
        if (is(t, signature, 4))
            return sums_to_zero(t, rd32(t + 4)) ? t : NULL;
    }
    return NULL;
}

/* The S5 sleep type: \_S5_ is a package whose first element is a small integer (ACPI 6.4, 7.4.2, 20.2.4). */
static unsigned s5_type(const uint8_t *dsdt)
{
    uint32_t n = rd32(dsdt + 4);
    for (uint32_t i = 36; i + 12 < n; i++) {
        if (!is(dsdt + i, "_S5_", 4) || dsdt[i + 4] != 0x12)
            continue;
        const uint8_t *p = dsdt + i + 5;
        p += 1 + (*p >> 6); /* package length */
        p++;                /* count */
        if (*p == 0x0a)
            return p[1];
        return *p <= 1 ? *p : 0;
    }
    return 0;
}

void guest_poweroff(void)
{
    const uint8_t *fadt = acpi_table("FACP");
    if (fadt) {
        uint16_t pm1a = (uint16_t)rd32(fadt + 64);
        uint16_t smi = (uint16_t)rd32(fadt + 48);
        if (smi && fadt[52] && !(inw(pm1a) & 1)) { /* ask for ACPI mode */
            outb(smi, fadt[52]);
            for (unsigned i = 0; i < 100000 && !(inw(pm1a) & 1); i++)
                ;
        }
        outw(pm1a, (uint16_t)(s5_type(at(rd32(fadt + 40))) << 10 | 1u << 13));
    }
    interrupts_off();
    for (;;)
        __asm__ volatile("hlt");
}

void guest_reboot(void)
{
    outb(0xcf9, 6);
    outb(0x64, 0xfe);
    interrupts_off();
    for (;;)
        __asm__ volatile("hlt");
}

static volatile uint8_t typed[256];
static volatile unsigned typed_in;

static void on_serial(struct frame *f)
{
    (void)f;
    (void)inb(COM1 + 2);
    while (inb(COM1 + 5) & 1)
        typed[typed_in++ & 255] = inb(COM1);
}

void serial_shell(const char *prompt, void (*run)(const char *line))
{
    char line[80];
    unsigned length = 0, out = typed_in;
    handle(0x24, on_serial);
    pic_unmask(4);
    outb(COM1 + 1, 1); /* received data interrupt */
    print("%s", prompt);
    for (;;) {
        while (out == typed_in)
            wait_interrupt();
        char c = (char)typed[out++ & 255];
        if (c == '\r' || c == '\n') {
            put('\n');
            line[length] = 0;
            length = 0;
            run(line);
            print("%s", prompt);
        } else if ((c == 8 || c == 127) && length) {
            length--;
            print("\b \b");
        } else if (c >= ' ' && c < 127 && length < sizeof(line) - 1) {
            line[length++] = c;
            put(c);
        }
    }
}
