// SPDX-License-Identifier: Apache-2.0
/*
 * Starts the Linux among the modules by its 64-bit entry (Linux Documentation/arch/x86/boot.rst, zero-page.rst): under
 * a hypervisor and on the bare machine it is the same code, so that the boots can be compared. The first module with a
 * Linux header is the kernel, the next one its initrd. Linux' command line is what follows " -- ", and BENCHTSC=TICKS,
 * the TSC at the jump, which Linux hands to its init as an environment variable.
 */
#include "tests/bench/guest/bench.h"

#define INITRD_AT  (192ul << 20)
#define PARAMS_AT  0x90000ul
#define CMDLINE_AT 0x91000ul

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void put32(uint8_t *p, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

static void copy(uint8_t *to, const uint8_t *from, uint64_t n)
{
    if (to <= from)
        __asm__ volatile("cld; rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
    else {
        to += n - 1;
        from += n - 1;
        __asm__ volatile("std; rep movsb; cld" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
    }
}

static unsigned put_map(uint8_t *table, const struct multiboot *info)
{
    unsigned count = 0;
    if (!(info->flags & 64))
        return 0;
    for (uint32_t a = info->mmap_addr; a < info->mmap_addr + info->mmap_length && count < 128; count++) {
        const struct multiboot_mmap *e = (const void *)(uintptr_t)a;
        copy(table + 20 * count, (const uint8_t *)&e->base, 20); /* the same fields in the same order */
        a += e->size + 4;
    }
    return count;
}

static uint64_t gdt[4] __attribute__((aligned(8))) = {0, 0, 0x00af9a000000ffff, 0x00cf92000000ffff};

void bench_linux(const struct multiboot *info, const char *text)
{
    const struct multiboot_module *m = (const void *)(uintptr_t)info->mods_addr;
    unsigned k = 0, count = info->flags & 8 ? info->mods_count : 0;
    while (k < count &&
           (m[k].end - m[k].start < 0x1000 || get32((const uint8_t *)(uintptr_t)m[k].start + 0x202) != 0x53726448))
        k++;
    if (k + 1 >= count) {
        print("bench: no Linux and initrd among %u modules\n", count);
        return;
    }
    const uint8_t *image = (const uint8_t *)(uintptr_t)m[k].start;
    uint64_t setup = (image[0x1f1] ? image[0x1f1] + 1u : 5u) * 512, size = m[k].end - m[k].start - setup;
    uint8_t *kernel = (uint8_t *)(uintptr_t)get32(image + 0x258);
    uint8_t *params = (uint8_t *)PARAMS_AT, *cmdline = (uint8_t *)CMDLINE_AT;
    uint32_t initrd_size = m[k + 1].end - m[k + 1].start;

    for (unsigned i = 0; i < 4096; i++)
        ((volatile uint8_t *)params)[i] = 0;
    unsigned maps = put_map(params + 0x2d0, info); /* first: what it reads may be overwritten below */
    params[0x1e8] = (uint8_t)maps;
    copy(params + 0x1f1, image + 0x1f1, 0x202u + image[0x201] - 0x1f1);
    while (*text && !(text[0] == ' ' && text[1] == '-' && text[2] == '-' && text[3] == ' '))
        text++;
    unsigned n = 0;
    for (text += *text ? 4 : 0; *text && n < 1900; text++)
        cmdline[n++] = (uint8_t)*text;
    copy(cmdline + n, (const uint8_t *)" BENCHTSC=0000000000000000", 27);
    copy((uint8_t *)INITRD_AT, (const uint8_t *)(uintptr_t)m[k + 1].start, initrd_size);
    copy(kernel, image + setup, size);
    params[0x210] = 0xff;
    put32(params + 0x218, (uint32_t)INITRD_AT);
    put32(params + 0x21c, initrd_size);
    put32(params + 0x228, (uint32_t)CMDLINE_AT);
    print("bench linux at %llx, %llu bytes, initrd %u bytes, %u ranges, '%s'\n", (unsigned long long)(uintptr_t)kernel,
          (unsigned long long)size, initrd_size, maps, (const char *)cmdline);
    while ((inb(0x3fd) & 0x60) != 0x60) /* the serial port has sent everything */
        ;
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) pointer = {sizeof(gdt) - 1, (uint64_t)gdt};
    __asm__ volatile("cli; lgdt %0; mov %1, %%ds; mov %1, %%es; mov %1, %%ss" : : "m"(pointer), "r"(0x18) : "memory");
    uint64_t now = rdtsc();
    for (unsigned i = 0; i < 16; i++)
        cmdline[n + 10 + i] = (uint8_t) "0123456789abcdef"[now >> (60 - 4 * i) & 15];
    __asm__ volatile("pushq $0x10; push %0; lretq" : : "r"(kernel + 0x200), "S"(params) : "memory");
    __builtin_unreachable();
}
