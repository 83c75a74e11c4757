// SPDX-License-Identifier: Apache-2.0
/* The tiny guest of the default configuration: says what the loader gave it, then answers on COM1, driven by interrupts
 * only. */
#include "guest.h"

static volatile unsigned ticks;

static void on_tick(struct frame *f)
{
    (void)f;
    ticks++;
}

static bool same(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

static void run(const char *line)
{
    if (same(line, "help"))
        print("help  uptime  cpuid  crash  wild  spin  reboot  poweroff; anything else comes back\n");
    else if (same(line, "uptime"))
        print("%u.%02u s\n", ticks / 100, ticks % 100);
    else if (same(line, "cpuid")) {
        uint32_t r[4];
        char vendor[13] = {0};
        for (uint32_t leaf = 0; leaf <= 0x40000000; leaf += 0x40000000) {
            cpuid(leaf, r);
            uint32_t order[3] = {r[1], leaf ? r[2] : r[3], leaf ? r[3] : r[2]};
            for (unsigned i = 0; i < 12; i++)
                vendor[i] = (char)(order[i / 4] >> 8 * (i % 4));
            print("leaf 0x%08x: max 0x%x '%s'\n", leaf, r[0], vendor);
        }
    } else if (same(line, "crash")) {
        struct {
            uint16_t limit;
            uintptr_t base;
        } __attribute__((packed)) none = {0, 0};
        print("triple fault now\n");
        __asm__ volatile("lidt %0; int3" : : "m"(none));
    } else if (same(line, "wild")) {
        print("jumping into nothing\n");
        ((void (*)(void))(uintptr_t)0xdead0000u)();
    } else if (same(line, "spin")) {
        print("spinning with interrupts off\n");
        interrupts_off();
        for (;;)
            ;
    } else if (same(line, "reboot")) {
        guest_reboot();
    } else if (same(line, "poweroff")) {
        guest_poweroff();
    } else if (*line) {
        print("you typed: %s\n", line);
    }
}

int guest_main(uint32_t magic, const struct multiboot *info)
{
    serial_init();
    print("\ntiny: a Multiboot guest, magic 0x%08x %s\n", magic, magic == MULTIBOOT_MAGIC ? "(right)" : "(WRONG)");
    if (info->flags & 1)
        print("memory: %u KiB low, %u KiB above 1 MiB\n", info->mem_lower, info->mem_upper);
    if (info->flags & 4)
        print("command line: %s\n", (const char *)(uintptr_t)info->cmdline);
    if (info->flags & 8) {
        const struct multiboot_module *m = (const void *)(uintptr_t)info->mods_addr;
        for (unsigned i = 0; i < info->mods_count; i++) {
            uint32_t sum = 0;
            for (uint32_t a = m[i].start; a < m[i].end; a++)
                sum = sum * 31 + *(const uint8_t *)(uintptr_t)a;
            print("module %u: 0x%x-0x%x, %u bytes, sum 0x%08x, '%s'\n", i, m[i].start, m[i].end, m[i].end - m[i].start,
                  sum, m[i].string ? (const char *)(uintptr_t)m[i].string : "");
        }
    }
    if (info->flags & 64) {
        for (uint32_t a = info->mmap_addr; a < info->mmap_addr + info->mmap_length;) {
            const struct multiboot_mmap *e = (const void *)(uintptr_t)a;
            print("map: 0x%09llx + 0x%09llx type %u\n", (unsigned long long)e->base, (unsigned long long)e->length,
                  e->type);
            a += e->size + 4;
        }
    }
    tables_init();
    pic_init();
    handle(0x20, on_tick);
    pit_init(100);
    pic_unmask(0);
    print("tiny ready\n");
    serial_shell("tiny> ", run);
}
