// SPDX-License-Identifier: Apache-2.0
/*
 * A guest that shares memory with others: finds its ivshmem functions, takes their doorbells by MSI-X, and does what is
 * typed.
 *
 *   put REGION OFFSET VALUE   get REGION OFFSET   ring REGION PEER VECTOR   bells   check   crash
 *
 * Numbers are hexadecimal. `check` tries what one guest can see of the device alone, and says what is not as it should
 * be.
 */
#include "guest.h"

#define APIC        0xfee00000u
#define FIRST       0x40 /* IDT vector of region 0's doorbell 0; then 8 for each region */
#define VECTORS     8u
#define REGIONS_MAX 4u
#define ELSEWHERE   0xd8000000u /* nothing is there */

struct region {
    unsigned slot, capability;
    volatile uint32_t *registers, *table, *pending;
    volatile uint32_t *memory;
    uint32_t bytes, number;
};
static struct region regions[REGIONS_MAX];
static unsigned count, failures;
static volatile unsigned bells[REGIONS_MAX][VECTORS];

static volatile uint32_t *at(uint32_t address)
{
    __asm__("" : "+r"(address)); /* the compiler must not reason about it */
    return (volatile uint32_t *)(uintptr_t)address;
}

static uint32_t config(unsigned slot, unsigned offset)
{
    outl(0xcf8, 0x80000000u | slot << 11 | offset);
    return inl(0xcfc);
}

static void set_config(unsigned slot, unsigned offset, uint32_t value)
{
    outl(0xcf8, 0x80000000u | slot << 11 | offset);
    outl(0xcfc, value);
}

static void on_bell(struct frame *f)
{
    unsigned n = (unsigned)f->vector - FIRST;
    bells[n / VECTORS][n % VECTORS]++;
    at(APIC + 0xb0)[0] = 0; /* end of interrupt */
}

/* Both halves of a 64-bit BAR, with decoding off meanwhile, as drivers do. */
static uint32_t memory_size(unsigned slot)
{
    uint32_t command = config(slot, 4), low = config(slot, 0x18), high = config(slot, 0x1c);
    set_config(slot, 4, command & ~2u);
    set_config(slot, 0x18, 0xffffffff);
    set_config(slot, 0x1c, 0xffffffff);
    uint32_t size = ~(config(slot, 0x18) & ~0xfu) + 1;
    set_config(slot, 0x18, low);
    set_config(slot, 0x1c, high);
    set_config(slot, 4, command);
    return size;
}

static void take(unsigned slot)
{
    struct region *r = &regions[count];
    r->slot = slot;
    r->bytes = memory_size(slot);
    r->registers = at(config(slot, 0x10) & ~0xfu);
    r->table = at(config(slot, 0x14) & ~0xfu);
    r->memory = at(config(slot, 0x18) & ~0xfu);
    for (r->capability = config(slot, 0x34) & 0xff; r->capability && (config(slot, r->capability) & 0xff) != 0x11;)
        r->capability = config(slot, r->capability) >> 8 & 0xff;
    r->pending = r->table + (config(slot, r->capability + 8) & ~7u) / 4;
    set_config(slot, 4, config(slot, 4) | 6);
    for (unsigned v = 0; v < VECTORS; v++) {
        r->table[4 * v] = APIC; /* CPU 0 */
        r->table[4 * v + 1] = 0;
        r->table[4 * v + 2] = FIRST + VECTORS * count + v;
        r->table[4 * v + 3] = 0;
        handle((uint8_t)(FIRST + VECTORS * count + v), on_bell);
    }
    set_config(slot, r->capability, config(slot, r->capability) | 0x80000000u);
    r->number = r->registers[2];
    print("region %u: class 0x%06x revision %u, %u KiB at 0x%08x%s, this is number %u, %u vectors\n", count,
          config(slot, 8) >> 8, config(slot, 8) & 0xff, r->bytes >> 10, (unsigned)(uintptr_t)r->memory,
          config(slot, 0x1c) ? " ABOVE 4 GIB" : "", r->number, (config(slot, r->capability) >> 16 & 0x7ff) + 1);
    count++;
}

static void is(unsigned line, uint32_t value, uint32_t wanted)
{
    if (value == wanted)
        return;
    failures++;
    print("line %u: 0x%x, not 0x%x\n", line, value, wanted);
}
#define IS(value, wanted) is(__LINE__, (uint32_t)(value), (uint32_t)(wanted))

static void pause(void)
{
    interrupts_on();
    for (volatile unsigned i = 0; i < 1000; i++)
        ;
    interrupts_off();
}

static unsigned all_bells(void)
{
    unsigned sum = 0;
    for (unsigned r = 0; r < REGIONS_MAX; r++)
        for (unsigned v = 0; v < VECTORS; v++)
            sum += bells[r][v];
    return sum;
}

/* Its own number as the peer: what a doorbell does is seen without anybody else. */
static void check_bells(struct region *r, unsigned n)
{
    unsigned before = all_bells(), seventh = bells[n][7];
    uint32_t own = r->number << 16, control = config(r->slot, r->capability);
    r->registers[3] = own | 7;
    pause();
    IS(bells[n][7], seventh + 1);
    IS(all_bells(), before + 1);
    r->registers[3] = own | VECTORS; /* no such vector; then no peer of that number */
    r->registers[3] = 0xffff0000;
    r->registers[3] = 0x00200000;
    r->registers[3] = 0xffffffff;
    pause();
    IS(all_bells(), before + 1);
    r->table[4 * 3 + 3] = 1; /* one masked: several rings become one */
    r->registers[3] = own | 3;
    r->registers[3] = own | 3;
    pause();
    IS(all_bells(), before + 1);
    IS(r->pending[0], 8);
    r->pending[0] = 0; /* not for writing */
    IS(r->pending[0], 8);
    r->table[4 * 3 + 3] = 0;
    pause();
    IS(all_bells(), before + 2);
    IS(r->pending[0], 0);
    set_config(r->slot, r->capability, control | 0x40000000u); /* the whole function masked */
    r->registers[3] = own | 5;
    pause();
    IS(all_bells(), before + 2);
    IS(r->pending[0], 0x20);
    set_config(r->slot, r->capability, control);
    pause();
    IS(all_bells(), before + 3);
    set_config(r->slot, r->capability, control & ~0x80000000u); /* MSI-X off: a status that can be polled */
    r->registers[3] = own | 1;
    pause();
    IS(all_bells(), before + 3);
    IS(r->registers[1], 1);
    IS(r->registers[1], 0);
    set_config(r->slot, r->capability, control);
}

/* The last word of the region is for this. */
static void check_memory(struct region *r, bool writable)
{
    uint32_t last = r->bytes / 4 - 1, command = config(r->slot, 4), low = config(r->slot, 0x18), old = r->memory[last];
    r->memory[last] = old + 1;
    uint32_t now = r->memory[last];
    IS(now, writable ? old + 1 : old);
    __asm__ volatile("lock incl %0" : "+m"(*(uint32_t *)(uintptr_t)&r->memory[last]));
    IS(r->memory[last], writable ? old + 2 : old);
    now = r->memory[last];
    set_config(r->slot, 4, command & ~2u); /* not decoding */
    IS(r->memory[last], 0xffffffff);
    r->memory[last] = 77;
    set_config(r->slot, 4, command);
    IS(r->memory[last], now);
    set_config(r->slot, 0x18, ELSEWHERE); /* moves, while decoding */
    IS(r->memory[last], 0xffffffff);
    IS(at(ELSEWHERE)[last], now);
    set_config(r->slot, 0x18, 0); /* on top of RAM: refused, and RAM is still RAM */
    IS(at(0x100000)[0], at(0x100000)[0]);
    set_config(r->slot, 0x18, 0x00100000 & ~(r->bytes - 1));
    IS(at(ELSEWHERE)[last], 0xffffffff);
    set_config(r->slot, 0x18, low);
    IS(r->memory[last], now);
    r->memory[last] = old;
}

static void check(void)
{
    failures = 0;
    for (unsigned i = 0; i < count; i++) {
        uint32_t word = regions[i].memory[0];
        regions[i].memory[0] = ~word;
        bool writable = regions[i].memory[0] == ~word;
        regions[i].memory[0] = word;
        check_bells(&regions[i], i);
        check_memory(&regions[i], writable);
        print("region %u is %s\n", i, writable ? "rw" : "ro");
    }
    print("check: %u failure(s)\n", failures);
}

/* The next hexadecimal number of a line; ~0: there is none. */
static uint32_t number(const char **line)
{
    const char *s = *line;
    uint32_t v = 0;
    while (*s == ' ')
        s++;
    if (!*s)
        return ~0u;
    for (; *s && *s != ' '; s++)
        v = v << 4 | (uint32_t)(*s <= '9' ? *s - '0' : (*s | 0x20) - 'a' + 10);
    *line = s;
    return v;
}

static bool begins(const char **line, const char *word)
{
    const char *s = *line;
    while (*word && *s == *word) {
        s++;
        word++;
    }
    if (*word)
        return false;
    *line = s;
    return true;
}

static void run(const char *line)
{
    if (begins(&line, "put")) {
        uint32_t r = number(&line), offset = number(&line), value = number(&line);
        if (r < count && offset < regions[r].bytes)
            regions[r].memory[offset / 4] = value;
        print("put\n");
    } else if (begins(&line, "get")) {
        uint32_t r = number(&line), offset = number(&line);
        print("got 0x%x\n", r < count && offset < regions[r].bytes ? regions[r].memory[offset / 4] : 0xffffffffu);
    } else if (begins(&line, "ring")) {
        uint32_t r = number(&line), peer = number(&line), vector = number(&line);
        if (r < count)
            regions[r].registers[3] = peer << 16 | vector;
        print("rung\n");
    } else if (begins(&line, "bells")) {
        for (unsigned r = 0; r < count; r++)
            for (unsigned v = 0; v < VECTORS; v++)
                if (bells[r][v])
                    print("region %u vector %u: %u bell(s)\n", r, v, bells[r][v]);
        print("%u bell(s) in all\n", all_bells());
    } else if (begins(&line, "check")) {
        check();
    } else if (begins(&line, "crash")) {
        struct {
            uint16_t limit;
            uintptr_t base;
        } __attribute__((packed)) none = {0, 0};
        print("triple fault now\n");
        __asm__ volatile("lidt %0; int3" : : "m"(none));
    } else if (*line) {
        print("what is '%s'?\n", line);
    }
}

int guest_main(uint32_t magic, const struct multiboot *info)
{
    (void)magic, (void)info;
    serial_init();
    tables_init();
    pic_init();
    at(APIC + 0xf0)[0] = 0x1ff; /* software-enabled, spurious vector 0xff */
    for (unsigned slot = 0; slot < 32 && count < REGIONS_MAX; slot++)
        if (config(slot, 0) == 0x11101af4)
            take(slot);
    print("shared: %u region(s)\nshared ready\n", count);
    serial_shell("> ", run);
}
