// SPDX-License-Identifier: Apache-2.0
// sources: vmm/loader/load.c vmm/loader/start.c vmm/loader/elf.c vmm/loader/linux.c vmm/loader/multiboot.c
// sources: vmm/loader/pvh.c vmm/loader/sector.c vmm/memory.c vmm/firmware/e820.c lib/elf.c lib/print.c lib/string.c
/*
 * Guest loaders, on images made here: what a good one starts with, that every truncation and thousands of mutations are
 * survived and that a refusal always has its sentence. Real kernels are tried if the build has fetched any.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "vmm/loader/loader.h"

#define RAM (8u << 20)

struct rig {
    uint8_t *ram;
    struct guest_memory m;
    struct e820_map map;
    struct load_request r;
    struct load_result out;
    char why[256];
};

static void rig_start(struct rig *g, uint64_t ram)
{
    memset(g, 0, sizeof(*g));
    g->ram = calloc(1, ram);
    assert_non_null(g->ram);
    assert_int_equal(guest_memory_add(&g->m, 0, ram, g->ram), OK);
    struct e820_range apic = {0xfee00000, 0x1000};
    assert_int_equal(e820_build(&g->map, &g->m, &apic, 1), OK);
    g->r.e820 = &g->map;
    g->r.rsdp = 0xe0000;
}

static void rig_end(struct rig *g)
{
    free(g->ram);
}

/* The image is handed over in a heap block of exactly its size, so that the sanitizer sees a read beyond it. */
static enum error load(struct rig *g, const uint8_t *bytes, uint64_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    memcpy(copy, bytes, size);
    g->r.kernel = copy;
    g->r.kernel_size = size;
    enum error e = load_guest(&g->m, &g->r, &g->out, g->why, sizeof(g->why));
    free(copy);
    if (e != OK)
        assert_true(strlen(g->why) > 10);
    return e;
}

static void put(uint8_t *image, uint64_t at, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        image[at + i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get(const uint8_t *ram, uint64_t at, unsigned bytes)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < bytes; i++)
        v |= (uint64_t)ram[at + i] << (8 * i);
    return v;
}

/* ---- images ---- */

#define LINUX_SIZE 4096u
static void make_linux(uint8_t *image)
{
    memset(image, 0, LINUX_SIZE);
    image[0x1f1] = 1; /* one setup sector: the kernel starts at 1024 */
    put(image, 0x1fe, 0xaa55, 2);
    put(image, 0x200, 0x6eeb, 2); /* the header ends at 0x270 */
    put(image, 0x202, 0x53726448, 4);
    put(image, 0x206, 0x20f, 2);
    image[0x211] = 1;
    put(image, 0x22c, 0x7fffffff, 4);
    put(image, 0x230, 0x200000, 4);
    image[0x234] = 1;
    put(image, 0x236, 0x7f, 2);
    put(image, 0x238, 255, 4);
    put(image, 0x258, 0x200000, 8);
    put(image, 0x260, 0x10000, 4);
    memset(image + 1024, 0xcc, LINUX_SIZE - 1024);
}

/* One segment with 0x100 bytes in the file and 0x180 in memory, at physical 0x100000, virtual + 0xc0000000; a note
 * segment. */
#define ELF_SIZE 1024u
static void make_elf(uint8_t *image, bool class64)
{
    memset(image, 0, ELF_SIZE);
    memcpy(image, "\177ELF", 4);
    image[4] = class64 ? 2 : 1;
    image[5] = image[6] = 1;
    put(image, 16, 2, 2);
    put(image, 18, class64 ? 62 : 3, 2);
    if (class64) {
        put(image, 24, 0xffffffffc0100010ull, 8);
        put(image, 32, 64, 8);
        put(image, 54, 56, 2);
        put(image, 56, 2, 2);
        put(image, 64, 1, 4);
        put(image, 64 + 8, 512, 8);
        put(image, 64 + 16, 0xffffffffc0100000ull, 8);
        put(image, 64 + 24, 0x100000, 8);
        put(image, 64 + 32, 0x100, 8);
        put(image, 64 + 40, 0x180, 8);
        put(image, 120, 4, 4);
        put(image, 120 + 8, 768, 8);
        put(image, 120 + 32, 64, 8);
        put(image, 120 + 48, 4, 8);
    } else {
        put(image, 24, 0xc0100010, 4);
        put(image, 28, 52, 4);
        put(image, 42, 32, 2);
        put(image, 44, 2, 2);
        put(image, 52, 1, 4);
        put(image, 52 + 4, 512, 4);
        put(image, 52 + 8, 0xc0100000, 4);
        put(image, 52 + 12, 0x100000, 4);
        put(image, 52 + 16, 0x100, 4);
        put(image, 52 + 20, 0x180, 4);
        put(image, 84, 4, 4);
        put(image, 84 + 4, 768, 4);
        put(image, 84 + 16, 64, 4);
        put(image, 84 + 28, 4, 4);
    }
    memset(image + 512, 0x90, 0x100);
}

static void add_multiboot(uint8_t *image, uint64_t at, uint32_t flags)
{
    put(image, at, 0x1badb002, 4);
    put(image, at + 4, flags, 4);
    put(image, at + 8, 0u - 0x1badb002u - flags, 4);
}

static void add_pvh(uint8_t *image)
{
    /* Another note first. */
    put(image, 768, 4, 4);
    put(image, 772, 5, 4);
    put(image, 776, 1, 4);
    memcpy(image + 780, "GNU", 4);
    put(image, 792, 4, 4);
    put(image, 796, 4, 4);
    put(image, 800, 18, 4);
    memcpy(image + 804, "Xen", 4);
    put(image, 808, 0x100020, 4);
}

/* ---- what a good image starts with ---- */

static void linux_starts_in_long_mode(void **state)
{
    (void)state;
    struct rig g;
    uint8_t image[LINUX_SIZE], initrd[5000];
    rig_start(&g, RAM);
    make_linux(image);
    memset(initrd, 0x77, sizeof(initrd));
    g.r.cmdline = "console=ttyS0";
    g.r.module_count = 1;
    g.r.module[0] = (struct load_module){.bytes = initrd, .size = sizeof(initrd)};
    assert_int_equal(load(&g, image, sizeof(image)), OK);
    assert_int_equal(g.out.format, FORMAT_LINUX);
    assert_int_equal(g.out.rip, 0x200200);
    assert_int_equal(g.ram[0x200000], 0xcc);
    assert_int_equal(g.out.efer, 0x500);
    assert_int_equal(g.out.cr0, 0x80000011);
    assert_int_equal(g.out.cr4, 0x20);
    assert_int_equal(g.out.rflags, 2);
    assert_int_equal(g.out.seg[SEG_CS].selector, 0x10);
    assert_true(g.out.seg[SEG_CS].attr & SEG_ATTR_L);
    assert_false(g.out.seg[SEG_CS].attr & SEG_ATTR_DB);
    assert_int_equal(g.out.seg[SEG_DS].selector, 0x18);

    uint64_t zp = g.out.gpr[GPR_RSI];
    assert_int_equal(zp % 4096, 0);
    assert_int_equal(get(g.ram, zp + 0x202, 4), 0x53726448);
    assert_int_equal(g.ram[zp + 0x210], 0xff);
    assert_int_equal(get(g.ram, zp + 0x70, 8), 0xe0000);
    assert_int_equal(g.ram[zp + 0x1e8], g.map.count);
    assert_memory_equal(g.ram + zp + 0x2d0, g.map.entry, g.map.count * 20);
    assert_string_equal((char *)g.ram + get(g.ram, zp + 0x228, 4), "console=ttyS0");
    uint64_t rd = get(g.ram, zp + 0x218, 4);
    assert_int_equal(get(g.ram, zp + 0x21c, 4), sizeof(initrd));
    assert_int_equal(rd, RAM - 8192);
    assert_memory_equal(g.ram + rd, initrd, sizeof(initrd));

    /* The descriptor table says what the segment registers hold; the page tables map 4 GiB one to one. */
    uint64_t code = get(g.ram, g.out.gdtr.base + 0x10, 8), data = get(g.ram, g.out.gdtr.base + 0x18, 8);
    assert_int_equal(code, 0x00af9b000000ffffull);
    assert_int_equal(data, 0x00cf93000000ffffull);
    for (uint64_t va = 0; va < 4ull << 30; va += 2u << 20) {
        uint64_t e4 = get(g.ram, g.out.cr3 + 8 * (va >> 39), 8);
        uint64_t e3 = get(g.ram, (e4 & ~0xfffull) + 8 * (va >> 30 & 511), 8);
        uint64_t e2 = get(g.ram, (e3 & ~0xfffull) + 8 * (va >> 21 & 511), 8);
        assert_int_equal(e2, va | 0x83);
    }

    struct vcpu_state *s = calloc(1, sizeof(*s));
    s->inject = 1;
    s->tsc_offset = 99;
    apply_initial_state(s, &g.out);
    assert_int_equal(s->rip, 0x200200);
    assert_int_equal(s->gpr[GPR_RSI], zp);
    assert_int_equal(s->dirty, GROUPS_REGISTERS);
    assert_int_equal(s->tsc_offset, 99);
    assert_int_equal(s->inject, 0);
    assert_int_equal(s->pat, 0x0007040600070406ull);
    apply_sipi_state(s, 0x9a);
    assert_int_equal(s->seg[SEG_CS].base, 0x9a000);
    assert_int_equal(s->seg[SEG_CS].selector, 0x9a00);
    assert_int_equal(s->rip, 0);
    assert_int_equal(s->efer, 0);
    assert_int_equal(s->cr0, 0x60000010);
    free(s);
    rig_end(&g);
}

/* Without a 64-bit entry: flat protected mode at the start of the kernel, ESI at the parameters, EBP, EDI, EBX 0. */
static void linux_starts_in_protected_mode(void **state)
{
    (void)state;
    static const struct {
        uint32_t version;
        uint64_t base;
    } row[] = {{0x20f, 0x200000}, {0x20b, 0x200000}, {0x207, 0x100000}, {0x202, 0x100000}};
    for (unsigned i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        struct rig g;
        uint8_t image[LINUX_SIZE], initrd[100] = {7};
        rig_start(&g, RAM);
        make_linux(image);
        put(image, 0x206, row[i].version, 2);
        if (row[i].version >= 0x20c)
            put(image, 0x236, 0x7e, 2);
        else
            memset(image + 0x236, 0xff, 2); /* not a field yet */
        if (row[i].version < 0x206)
            memset(image + 0x234, 0xff, 0x40);
        if (row[i].version < 0x203)
            memset(image + 0x22c, 0, 4);
        g.r.cmdline = "console=ttyS0";
        g.r.module_count = 1;
        g.r.module[0] = (struct load_module){.bytes = initrd, .size = sizeof(initrd)};
        assert_int_equal(load(&g, image, sizeof(image)), OK);
        assert_int_equal(g.out.format, FORMAT_LINUX);
        assert_int_equal(g.out.rip, row[i].base);
        assert_int_equal(g.ram[row[i].base], 0xcc);
        assert_int_equal(g.out.cr0, 0x11);
        assert_int_equal(g.out.efer, 0);
        assert_int_equal(g.out.rflags, 2);
        assert_int_equal(g.out.seg[SEG_CS].selector, 0x10);
        assert_true(g.out.seg[SEG_CS].attr & SEG_ATTR_DB);
        assert_int_equal(g.out.seg[SEG_DS].selector, 0x18);
        assert_int_equal(g.out.gpr[GPR_RBX] | g.out.gpr[GPR_RBP] | g.out.gpr[GPR_RDI], 0);
        uint64_t zp = g.out.gpr[GPR_RSI];
        assert_int_equal(get(g.ram, zp + 0x214, 4), row[i].base);
        assert_int_equal(get(g.ram, zp + 0x002, 2), RAM / 1024 - 1024);
        assert_int_equal(get(g.ram, zp + 0x1e0, 4), RAM / 1024 - 1024);
        assert_string_equal((char *)g.ram + get(g.ram, zp + 0x228, 4), "console=ttyS0");
        assert_memory_equal(g.ram + get(g.ram, zp + 0x218, 4), initrd, sizeof(initrd));
        rig_end(&g);
    }
    /* An old one says nothing of the memory that it needs: three times its size. */
    struct rig g;
    uint64_t size = 3u << 20;
    uint8_t *image = malloc(size);
    rig_start(&g, RAM);
    make_linux(image);
    put(image, 0x206, 0x207, 2);
    assert_int_equal(load(&g, image, size), E_QUOTA);
    assert_int_equal(load(&g, image, 2u << 20), OK);
    free(image);
    rig_end(&g);
}

static void linux_refusals(void **state)
{
    (void)state;
    struct rig g;
    uint8_t image[LINUX_SIZE];
    rig_start(&g, RAM);
    make_linux(image);
    put(image, 0x206, 0x201, 2);
    assert_int_equal(load(&g, image, sizeof(image)), E_UNSUPPORTED);
    assert_non_null(strstr(g.why, "2.01"));
    make_linux(image);
    image[0x211] = 0;
    assert_int_equal(load(&g, image, sizeof(image)), E_UNSUPPORTED);
    make_linux(image);
    put(image, 0x230, 0x201000, 4);
    assert_int_equal(load(&g, image, sizeof(image)), E_ARG);
    make_linux(image);
    put(image, 0x260, 0xffffffff, 4);
    assert_int_equal(load(&g, image, sizeof(image)), E_QUOTA);
    make_linux(image);
    put(image, 0x258, 0xfffffffffffff000ull, 8);
    assert_int_equal(load(&g, image, sizeof(image)), E_QUOTA);
    make_linux(image);
    put(image, 0x258, 0x90000, 8);
    image[0x234] = 0;
    put(image, 0x260, 0x20000, 4);
    assert_int_equal(load(&g, image, sizeof(image)), E_ARG); /* into the hole */
    make_linux(image);
    put(image, 0x238, 4, 4);
    g.r.cmdline = "12345";
    assert_int_equal(load(&g, image, sizeof(image)), E_ARG);
    assert_non_null(strstr(g.why, "at most 4"));
    g.r.cmdline = NULL;
    make_linux(image);
    g.r.module_count = 1;
    g.r.module[0] = (struct load_module){.bytes = image, .size = 7u << 20};
    put(image, 0x22c, 0x3fffff, 4);
    uint8_t *big = calloc(1, 7u << 20);
    g.r.module[0].bytes = big;
    assert_int_equal(load(&g, image, sizeof(image)), E_QUOTA);
    assert_non_null(strstr(g.why, "initrd"));
    g.r.module[0].size = 0x100000;
    assert_int_equal(load(&g, image, sizeof(image)), OK);
    assert_true(get(g.ram, g.out.gpr[GPR_RSI] + 0x218, 4) + 0x100000 <= 0x400000);
    g.r.module_count = 2;
    assert_int_equal(load(&g, image, sizeof(image)), E_ARG);
    free(big);
    rig_end(&g);
}

static void check_multiboot_info(struct rig *g, uint64_t entry)
{
    assert_int_equal(g->out.format, FORMAT_MULTIBOOT);
    assert_int_equal(g->out.rip, entry);
    assert_int_equal(g->out.gpr[GPR_RAX], 0x2badb002);
    assert_int_equal(g->out.cr0, 0x11);
    assert_int_equal(g->out.efer, 0);
    assert_true(g->out.seg[SEG_CS].attr & SEG_ATTR_DB);
    uint64_t info = g->out.gpr[GPR_RBX];
    assert_int_equal(get(g->ram, info, 4), 0x24d);
    assert_int_equal(get(g->ram, info + 4, 4), 639);
    assert_int_equal(get(g->ram, info + 8, 4), RAM / 1024 - 1024);
    assert_string_equal((char *)g->ram + get(g->ram, info + 16, 4), "tiny.elf a b");
    assert_string_equal((char *)g->ram + get(g->ram, info + 64, 4), "Mullion");
    assert_int_equal(get(g->ram, info + 20, 4), 1);
    uint64_t list = get(g->ram, info + 24, 4), start = get(g->ram, list, 4);
    assert_int_equal(start % 4096, 0);
    assert_true(start >= 0x100180);
    assert_int_equal(get(g->ram, list + 4, 4), start + 3);
    assert_memory_equal(g->ram + start, "abc", 3);
    assert_string_equal((char *)g->ram + get(g->ram, list + 8, 4), "mod x");
    uint64_t map = get(g->ram, info + 48, 4), length = get(g->ram, info + 44, 4);
    assert_int_equal(length, 24 * g->map.count);
    assert_int_equal(get(g->ram, map, 4), 20);
    assert_memory_equal(g->ram + map + 4, &g->map.entry[0], 20);
}

static void multiboot_request(struct rig *g)
{
    g->r.cmdline = "a b";
    g->r.kernel_name = "tiny.elf";
    g->r.module_count = 1;
    g->r.module[0] = (struct load_module){.bytes = "abc", .size = 3, .cmdline = "mod x"};
}

static void multiboot_elf(void **state)
{
    (void)state;
    for (int class64 = 0; class64 < 2; class64++) {
        struct rig g;
        uint8_t image[ELF_SIZE];
        rig_start(&g, RAM);
        multiboot_request(&g);
        make_elf(image, class64);
        add_multiboot(image, 520, 3);
        memset(g.ram + 0x100100, 0xee, 0x100);
        assert_int_equal(load(&g, image, sizeof(image)), OK);
        check_multiboot_info(&g, 0x100010);
        assert_int_equal(g.ram[0x100000], 0x90);
        assert_int_equal(g.ram[0x10017f], 0); /* bss is zeroed */
        assert_int_equal(g.ram[0x100180], 0xee);
        /* An entry given as a physical address. */
        put(image, 24, 0x100020, class64 ? 8 : 4);
        assert_int_equal(load(&g, image, sizeof(image)), OK);
        assert_int_equal(g.out.rip, 0x100020);
        put(image, 24, 0x100180, class64 ? 8 : 4);
        assert_int_equal(load(&g, image, sizeof(image)), E_ARG);
        rig_end(&g);
    }
}

static void multiboot_refusals(void **state)
{
    (void)state;
    struct rig g;
    uint8_t image[ELF_SIZE];
    rig_start(&g, RAM);
    make_elf(image, true);
    add_multiboot(image, 520, 0x13);
    assert_int_equal(load(&g, image, sizeof(image)), E_UNSUPPORTED); /* an unknown requirement */
    make_elf(image, true);
    add_multiboot(image, 520, 3);
    put(image, 64 + 32, 0x181, 8); /* more in the file than in memory */
    assert_int_equal(load(&g, image, sizeof(image)), E_ARG);
    put(image, 64 + 32, 0x100, 8);
    put(image, 64 + 8, UINT64_MAX - 0x7f, 8); /* offset + size wraps */
    assert_int_equal(load(&g, image, sizeof(image)), E_ARG);
    put(image, 64 + 8, 512, 8);
    put(image, 64 + 24, UINT64_MAX - 0x17f, 8); /* address + size wraps */
    assert_int_equal(load(&g, image, sizeof(image)), E_QUOTA);
    put(image, 64 + 24, RAM - 0x17f, 8);
    assert_int_equal(load(&g, image, sizeof(image)), E_QUOTA);
    put(image, 64 + 24, RAM - 0x180, 8);
    assert_int_equal(load(&g, image, sizeof(image)), OK);
    put(image, 64 + 24, 0xe0000, 8);
    assert_int_equal(load(&g, image, sizeof(image)), E_ARG);
    put(image, 64 + 24, 0x9ff00, 8);
    assert_int_equal(load(&g, image, sizeof(image)), E_ARG);
    put(image, 64 + 24, 0x100000, 8);
    put(image, 56, 65535, 2); /* more program headers than the file has */
    assert_int_equal(load(&g, image, sizeof(image)), E_ARG);
    put(image, 56, 2, 2);
    put(image, 120, 1, 4); /* the second overlaps the first */
    put(image, 120 + 24, 0x10017f, 8);
    put(image, 120 + 40, 64, 8);
    assert_int_equal(load(&g, image, sizeof(image)), E_ARG);
    assert_non_null(strstr(g.why, "overlaps"));
    make_elf(image, true);
    assert_int_equal(load(&g, image, sizeof(image)), E_UNSUPPORTED); /* neither header nor note */
    add_multiboot(image, 522, 3);                                    /* not aligned */
    assert_int_equal(load(&g, image, sizeof(image)), E_UNSUPPORTED);
    rig_end(&g);
}

static void make_flat(uint8_t *image)
{
    memset(image, 0x90, 1024);
    add_multiboot(image, 16, 0x10003);
    put(image, 28, 0x100010, 4); /* header_addr: file offset 0 is at 0x100000 */
    put(image, 32, 0x100000, 4);
    put(image, 36, 0x100300, 4);
    put(image, 40, 0x100500, 4);
    put(image, 44, 0x100040, 4);
}

static void multiboot_addresses(void **state)
{
    (void)state;
    struct rig g;
    uint8_t image[1024];
    rig_start(&g, RAM);
    multiboot_request(&g);
    make_flat(image);
    memset(g.ram + 0x100000, 0xee, 0x1000);
    assert_int_equal(load(&g, image, sizeof(image)), OK);
    check_multiboot_info(&g, 0x100040);
    assert_int_equal(g.ram[0x1002ff], 0x90);
    assert_int_equal(g.ram[0x100300], 0);
    assert_int_equal(g.ram[0x1004ff], 0);
    put(image, 36, 0, 4); /* load_end 0: the whole file */
    assert_int_equal(load(&g, image, sizeof(image)), OK);
    assert_int_equal(g.ram[0x1003ff], 0x90);
    put(image, 36, 0x100401, 4);
    assert_int_equal(load(&g, image, sizeof(image)), E_ARG);
    put(image, 36, 0xfffff, 4);
    assert_int_equal(load(&g, image, sizeof(image)), E_ARG);
    make_flat(image);
    put(image, 32, 0x100011, 4); /* load_addr above header_addr */
    assert_int_equal(load(&g, image, sizeof(image)), E_ARG);
    put(image, 32, 0, 4); /* far below it */
    assert_int_equal(load(&g, image, sizeof(image)), E_ARG);
    make_flat(image);
    put(image, 40, 0xffffffff, 4);
    assert_int_equal(load(&g, image, sizeof(image)), E_QUOTA);
    make_flat(image);
    put(image, 44, 0x100300, 4);
    assert_int_equal(load(&g, image, sizeof(image)), E_ARG);
    rig_end(&g);
}

static void pvh_starts(void **state)
{
    (void)state;
    for (int class64 = 0; class64 < 2; class64++) {
        struct rig g;
        uint8_t image[ELF_SIZE];
        rig_start(&g, RAM);
        multiboot_request(&g);
        make_elf(image, class64);
        add_pvh(image);
        assert_int_equal(load(&g, image, sizeof(image)), OK);
        assert_int_equal(g.out.format, FORMAT_PVH);
        assert_int_equal(g.out.rip, 0x100020);
        assert_int_equal(g.out.cr0, 0x11);
        uint64_t info = g.out.gpr[GPR_RBX];
        assert_int_equal(get(g.ram, info, 4), 0x336ec578);
        assert_int_equal(get(g.ram, info + 4, 4), 1);
        assert_int_equal(get(g.ram, info + 12, 4), 1);
        uint64_t list = get(g.ram, info + 16, 8);
        assert_memory_equal(g.ram + get(g.ram, list, 8), "abc", 3);
        assert_int_equal(get(g.ram, list + 8, 8), 3);
        assert_string_equal((char *)g.ram + get(g.ram, list + 16, 8), "mod x");
        assert_string_equal((char *)g.ram + get(g.ram, info + 24, 8), "a b");
        assert_int_equal(get(g.ram, info + 32, 8), 0xe0000);
        uint64_t map = get(g.ram, info + 40, 8);
        assert_int_equal(get(g.ram, info + 48, 4), g.map.count);
        assert_int_equal(get(g.ram, map + 24, 8), 0x9fc00);
        assert_int_equal(get(g.ram, map + 24 + 16, 4), E820_RESERVED);
        put(image, 808, 0x200000, 4);
        assert_int_equal(load(&g, image, sizeof(image)), E_ARG); /* entry outside */
        put(image, 808, 0xff000, 4);
        assert_int_equal(load(&g, image, sizeof(image)), E_ARG); /* below all that is loaded, where nothing is */
        put(image, 808, 0x100100, 4);
        assert_int_equal(load(&g, image, sizeof(image)), E_ARG); /* in the segment, behind what the file has of it */
        put(image, 808, 0x1000ff, 4);
        assert_int_equal(load(&g, image, sizeof(image)), OK);
        put(image, 796, 0xfffffffc, 4);
        assert_int_equal(load(&g, image, sizeof(image)), E_UNSUPPORTED); /* the note is broken, so it is no PVH */
        rig_end(&g);
    }
}

/* Where the segment of notes is aligned to 8, each part of a note is so, from the note's start on; the entry may have 8
 * bytes. */
static void notes_aligned_to_8(void **state)
{
    (void)state;
    struct rig g;
    uint8_t image[ELF_SIZE];
    rig_start(&g, RAM);
    make_elf(image, true);
    add_pvh(image);
    put(image, 120 + 48, 8, 8);
    put(image, 796, 8, 4);
    assert_int_equal(load(&g, image, sizeof image), OK);
    assert_true(g.out.format == FORMAT_PVH && g.out.rip == 0x100020);
    put(image, 768, 5, 4); /* a longer name: 12 + 5 bytes, then the next 8 */
    memcpy(image + 780, "GNU2", 5);
    put(image, 772, 9, 4);
    memset(image + 792, 0, 40);
    put(image, 808, 4, 4);
    put(image, 812, 4, 4);
    put(image, 816, 18, 4);
    memcpy(image + 820, "Xen", 4);
    put(image, 824, 0x100030, 4);
    assert_int_equal(load(&g, image, sizeof image), OK);
    assert_int_equal(g.out.rip, 0x100030);
    put(image, 816, 17, 4); /* another note */
    assert_int_equal(load(&g, image, sizeof image), E_UNSUPPORTED);
    put(image, 816, 18, 4);
    memcpy(image + 820, "Xem", 4); /* of another */
    assert_int_equal(load(&g, image, sizeof image), E_UNSUPPORTED);
    memcpy(image + 820, "Xen", 4);
    put(image, 812, 2, 4); /* neither 4 nor 8 bytes */
    assert_int_equal(load(&g, image, sizeof image), E_UNSUPPORTED);
    rig_end(&g);
}

static void what_is_needed_is_told_in_kib(void **state)
{
    (void)state;
    static const struct {
        uint32_t bytes;
        const char *told;
    } sizes[] = {{0x800, " 2 KiB;"}, {0x801, " 3 KiB;"}, {0x100, " 1 KiB;"}};
    for (unsigned i = 0; i < 3; i++) {
        struct rig g;
        uint8_t image[ELF_SIZE];
        rig_start(&g, RAM);
        make_elf(image, false);
        add_pvh(image);
        put(image, 52 + 12, RAM, 4);
        put(image, 52 + 20, sizes[i].bytes, 4);
        assert_int_equal(load(&g, image, sizeof(image)), E_QUOTA);
        assert_non_null(strstr(g.why, sizes[i].told));
        rig_end(&g);
    }
}

static void sector_starts_in_real_mode(void **state)
{
    (void)state;
    struct rig g;
    uint8_t image[1536];
    rig_start(&g, RAM);
    memset(image, 0x90, sizeof(image));
    put(image, 510, 0xaa55, 2);
    assert_int_equal(load(&g, image, sizeof(image)), OK);
    assert_int_equal(g.out.format, FORMAT_SECTOR);
    assert_int_equal(g.out.rip, 0x7c00);
    assert_int_equal(g.out.cr0 & 1, 0);
    assert_int_equal(g.out.gpr[GPR_RDX], 0x80);
    assert_int_equal(g.out.seg[SEG_CS].base, 0);
    assert_int_equal(g.out.seg[SEG_CS].limit, 0xffff);
    assert_memory_equal(g.ram + 0x7c00, image, sizeof(image));
    assert_int_equal(load(&g, image, 511), E_UNSUPPORTED);
    uint8_t *big = calloc(1, 1 << 20);
    put(big, 510, 0xaa55, 2);
    assert_int_equal(load(&g, big, 1 << 20), E_QUOTA);
    free(big);
    rig_end(&g);
}

static void no_format(void **state)
{
    (void)state;
    struct rig g;
    rig_start(&g, RAM);
    assert_int_equal(load(&g, (const uint8_t *)"", 0), E_ARG);
    const uint8_t gz[16] = {0x1f, 0x8b};
    assert_int_equal(load(&g, gz, sizeof(gz)), E_UNSUPPORTED);
    assert_non_null(strstr(g.why, "gzip"));
    const uint8_t text[16] = "#!/bin/sh\n";
    assert_int_equal(load(&g, text, sizeof(text)), E_UNSUPPORTED);
    g.r.module_count = 9;
    assert_int_equal(load(&g, text, sizeof(text)), E_ARG);
    g.r.module_count = 1;
    assert_int_equal(load(&g, text, sizeof(text)), E_UNSUPPORTED);
    g.r.module[0].size = 5;
    assert_int_equal(load(&g, text, sizeof(text)), E_ARG);
    rig_end(&g);
}

/* ---- hostile images ---- */

static uint64_t seed = 0x9e3779b97f4a7c15ull;
static uint64_t random64(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

struct sample {
    uint8_t bytes[LINUX_SIZE];
    uint64_t size;
};

static unsigned make_samples(struct sample s[7])
{
    make_linux(s[0].bytes);
    s[0].size = LINUX_SIZE;
    make_elf(s[1].bytes, false);
    add_multiboot(s[1].bytes, 520, 3);
    make_elf(s[2].bytes, true);
    add_multiboot(s[2].bytes, 520, 3);
    make_elf(s[3].bytes, false);
    add_pvh(s[3].bytes);
    make_elf(s[4].bytes, true);
    add_pvh(s[4].bytes);
    s[1].size = s[2].size = s[3].size = s[4].size = ELF_SIZE;
    make_flat(s[5].bytes);
    s[5].size = 1024;
    memset(s[6].bytes, 0x90, 1024);
    put(s[6].bytes, 510, 0xaa55, 2);
    s[6].size = 1024;
    return 7;
}

/* Whatever was accepted starts inside what the guest has, and leaves the firmware's place alone. */
static void check_accepted(const struct rig *g)
{
    assert_true(g->out.rip < RAM);
    if (g->out.format != FORMAT_SECTOR)
        assert_true(g->out.gdtr.base < RAM);
    for (uint32_t i = GUEST_HOLE_START; i < GUEST_HOLE_END; i += 8)
        assert_int_equal(get(g->ram, i, 8), 0x5555555555555555ull);
}

static void every_truncation(void **state)
{
    (void)state;
    static struct sample s[7];
    unsigned n = make_samples(s);
    struct rig g;
    rig_start(&g, RAM);
    memset(g.ram + GUEST_HOLE_START, 0x55, GUEST_HOLE_END - GUEST_HOLE_START);
    multiboot_request(&g);
    for (unsigned i = 0; i < n; i++) {
        for (uint64_t size = 0; size < s[i].size; size++)
            if (load(&g, s[i].bytes, size) == OK)
                assert_true(g.out.rip < RAM);
        assert_int_equal(load(&g, s[i].bytes, s[i].size), OK);
    }
    check_accepted(&g);
    rig_end(&g);
}

static void mutations(void **state)
{
    (void)state;
    static struct sample s[7];
    static const uint64_t nasty[] = {0,
                                     1,
                                     0x7f,
                                     0x80,
                                     0xff,
                                     0xffff,
                                     0x9ffff,
                                     0xa0000,
                                     0xfffff,
                                     RAM,
                                     RAM - 1,
                                     0x7fffffff,
                                     0x80000000,
                                     0xffffffff,
                                     0xfffff000,
                                     0x100000000ull,
                                     0x8000000000000000ull,
                                     UINT64_MAX - 0xfff,
                                     UINT64_MAX};
    unsigned n = make_samples(s), accepted = 0;
    struct rig g;
    rig_start(&g, RAM);
    memset(g.ram + GUEST_HOLE_START, 0x55, GUEST_HOLE_END - GUEST_HOLE_START);
    multiboot_request(&g);
    for (unsigned round = 0; round < 40000; round++) {
        uint8_t image[LINUX_SIZE];
        const struct sample *from = &s[round % n];
        memcpy(image, from->bytes, from->size);
        uint64_t size = from->size;
        unsigned changes = 1 + (unsigned)(random64() % 3);
        for (unsigned c = 0; c < changes; c++) {
            /* Headers are where the harm is: all of them lie in these ranges. */
            uint64_t start = size == LINUX_SIZE ? 0x1f0 : 0, span = size == LINUX_SIZE ? 0x90 : size;
            uint64_t at = start + random64() % (span - 8);
            if (random64() % 2)
                at &= ~3ull;
            if (random64() % 4 == 0)
                image[at] = (uint8_t)random64();
            else
                put(image, at, nasty[random64() % (sizeof(nasty) / sizeof(nasty[0]))], 1u << random64() % 4);
        }
        if (random64() % 8 == 0)
            size = random64() % size;
        if (load(&g, image, size) == OK) {
            accepted++;
            if (round % 64 < n)
                check_accepted(&g);
        }
    }
    check_accepted(&g);
    assert_true(accepted > 100);
    rig_end(&g);
}

static void guest_too_small(void **state)
{
    (void)state;
    static struct sample s[7];
    unsigned n = make_samples(s);
    for (uint64_t ram = 4096; ram <= 2u << 20; ram *= 2) {
        struct guest_memory m = {0};
        struct e820_map map;
        struct load_result out;
        char why[200];
        uint8_t *bytes = calloc(1, ram);
        assert_int_equal(guest_memory_add(&m, 0, ram, bytes), OK);
        assert_int_equal(e820_build(&map, &m, NULL, 0), OK);
        for (unsigned i = 0; i < n; i++) {
            struct load_request r = {.kernel = s[i].bytes, .kernel_size = s[i].size, .e820 = &map};
            enum error e = load_guest(&m, &r, &out, why, sizeof(why));
            if (ram < 2u << 20 || i == 0)
                assert_int_equal(e, E_QUOTA);
            else
                assert_int_equal(e, OK);
        }
        free(bytes);
    }
}

/* ---- real images, if there are any: whatever looks startable must load ---- */

static void try_kernel(const char *path)
{
    struct stat what;
    FILE *f = stat(path, &what) == 0 && S_ISREG(what.st_mode) ? fopen(path, "rb") : NULL;
    if (f == NULL)
        return;
    fseek(f, 0, SEEK_END);
    long size = ftell(f);
    rewind(f);
    uint8_t *bytes = size > 0 ? malloc((size_t)size) : NULL;
    bool all = bytes != NULL && fread(bytes, 1, (size_t)size, f) == (size_t)size;
    if (all && load_format(bytes, (uint64_t)size) != FORMAT_UNKNOWN) {
        struct rig g;
        rig_start(&g, 128u << 20);
        g.r.cmdline = "console=ttyS0";
        g.r.kernel = bytes;
        g.r.kernel_size = (uint64_t)size;
        enum error e = load_guest(&g.m, &g.r, &g.out, g.why, sizeof(g.why));
        print_message("%s: %s, starts at 0x%llx %s\n", path, load_format_name(g.out.format),
                      (unsigned long long)g.out.rip, g.why);
        assert_int_equal(e, OK);
        rig_end(&g);
    }
    free(bytes);
    fclose(f);
}

static void real_kernels(void **state)
{
    (void)state;
    const char *extra = getenv("TEST_KERNEL");
    if (extra != NULL)
        try_kernel(extra);
    DIR *d = opendir("build/guests");
    if (d == NULL)
        return;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char path[512];
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "build/guests/%s", e->d_name);
        try_kernel(path);
    }
    closedir(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linux_starts_in_long_mode),
        cmocka_unit_test(linux_starts_in_protected_mode),
        cmocka_unit_test(linux_refusals),
        cmocka_unit_test(multiboot_elf),
        cmocka_unit_test(multiboot_refusals),
        cmocka_unit_test(multiboot_addresses),
        cmocka_unit_test(pvh_starts),
        cmocka_unit_test(notes_aligned_to_8),
        cmocka_unit_test(what_is_needed_is_told_in_kib),
        cmocka_unit_test(sector_starts_in_real_mode),
        cmocka_unit_test(no_format),
        cmocka_unit_test(every_truncation),
        cmocka_unit_test(mutations),
        cmocka_unit_test(guest_too_small),
        cmocka_unit_test(real_kernels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
