// SPDX-License-Identifier: Apache-2.0
// sources: boot/ranges.c boot/multiboot.c kernel/options.c tests/unit/ring0_string.c
/*
 * What the boot loader tells: lists of ranges against a map of pages, the command line, and Multiboot information of
 * both versions, sound, cut short and hostile. The information lies in low memory, as the loader puts it, and ends at a
 * page that cannot be read.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>

#include "boot/multiboot.h"
#include "kernel/options.h"

/* ---- ranges */

enum { PAGES = 300, LIST = 12 };
static bool page[PAGES];

static void list_is_sound(const struct boot_range *list, unsigned count, bool exact)
{
    bool seen[PAGES] = {false};
    for (unsigned i = 0; i < count; i++) {
        assert_true(list[i].size > 0);
        assert_true(i == 0 || list[i - 1].base + list[i - 1].size <= list[i].base);
        for (uint64_t p = list[i].base; p < list[i].base + list[i].size; p++)
            seen[p] = true;
    }
    for (int p = 0; p < PAGES; p++)
        assert_true(exact ? seen[p] == page[p] : !seen[p] || page[p]); /* what does not fit is lost, never invented */
}

static void test_ranges_against_pages(void **state)
{
    (void)state;
    srand(7);
    unsigned full = 0;
    for (int round = 0; round < 3000; round++) {
        struct boot_range list[LIST];
        unsigned count = 0;
        memset(page, 0, sizeof page);
        for (int step = 0; step < 60; step++) {
            struct boot_range r = {(uint64_t)(rand() % PAGES), 1 + (uint64_t)(rand() % (rand() % 4 ? 12 : 120))};
            if (r.base + r.size > PAGES)
                continue;
            bool add = rand() % 2;
            struct boot_range before[LIST];
            unsigned count_before = count;
            memcpy(before, list, sizeof list);
            enum error e = add ? ranges_add(list, &count, LIST, r) : ranges_remove(list, &count, LIST, r);
            assert_true(count <= LIST && (e == OK || e == E_QUOTA));
            if (e == OK || !add)
                for (uint64_t p = r.base; p < r.base + r.size; p++)
                    page[p] = add;
            list_is_sound(list, count, e == OK);
            if (e != OK) {
                full++;
                assert_int_equal(count_before, LIST);
                if (add)
                    assert_memory_equal(before, list, sizeof list);
                memset(page, 0, sizeof page); /* from what is left */
                for (unsigned i = 0; i < count; i++)
                    for (uint64_t p = list[i].base; p < list[i].base + list[i].size; p++)
                        page[p] = true;
            }
        }
    }
    assert_true(full > 100);
}

static void test_ranges_at_the_ends(void **state)
{
    (void)state;
    struct boot_range list[2];
    unsigned count = 0;
    assert_int_equal(ranges_remove(list, &count, 2, (struct boot_range){0, 100}), OK);
    assert_int_equal(ranges_add(list, &count, 2, (struct boot_range){0x1000, 0x1000}), OK);
    assert_int_equal(ranges_add(list, &count, 2, (struct boot_range){0x2000, 0x1000}), OK); /* touching is merged */
    assert_int_equal(count, 1);
    assert_int_equal(ranges_remove(list, &count, 2, (struct boot_range){0x1000, 0x800}), OK);
    assert_int_equal(ranges_remove(list, &count, 2, (struct boot_range){0x2800, 0x1000}), OK);
    assert_int_equal(list[0].base, 0x1800);
    assert_int_equal(list[0].size, 0x1000);
    assert_int_equal(ranges_remove(list, &count, 2, (struct boot_range){0, 1ull << 60}), OK);
    assert_int_equal(count, 0);
}

/* ---- the command line */

static void test_options(void **state)
{
    (void)state;
    const struct {
        const char *line, *word;
        bool there;
    } rows[] = {
        {"", "log=debug", false},
        {"log=debug", "log=debug", true},
        {"  log=debug  ", "log=debug", true},
        {"log=debug", "log=", false},
        {"log= serial=none", "log=debug", false},
        {"log= serial=none", "serial=none", true},
        {"xlog=debug", "log=debug", false},
        {"x=log=debug", "log=debug", false},
        {"log=debug2", "log=debug", false},
        {"log=debu", "log=debug", false},
        {"log=log=debug log=debug", "log=debug", true},
        {"/boot/mullion serial=0x2f8 debug-exit", "serial=0x2f8", true},
        {"serial=0x2f8 debug-exit", "debug", false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(option(rows[i].line, rows[i].word), rows[i].there);
}

/* ---- Multiboot */

enum { LOW = 1 << 20 };
static uint8_t *low; /* LOW bytes below 2 GiB; what follows cannot be read */
static struct boot_facts f;
static struct root_boot root;
static uint8_t image[LOW]; /* built here, copied to the end of `low` */
static size_t used;

static int setup(void **state)
{
    (void)state;
    if (!low) {
        low = mmap(NULL, LOW + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
        assert_ptr_not_equal(low, MAP_FAILED);
        assert_int_equal(mprotect(low + LOW, 4096, PROT_NONE), 0);
    }
    memset(low, 0, LOW);
    memset(image, 0, sizeof image);
    memset(&f, 0x55, sizeof f);
    memset(&root, 0, sizeof root);
    used = 8;
    return 0;
}

static void put(uint64_t v, unsigned bytes)
{
    memcpy(image + used, &v, bytes); /* little endian, as this machine is */
    used += bytes;
}

static size_t tag(uint32_t type, uint32_t size)
{
    size_t at = used = (used + 7) & ~7ul;
    put(type, 4);
    put(size, 4);
    return at;
}

static void text_tag(uint32_t type, const char *text)
{
    tag(type, 8 + (uint32_t)strlen(text) + 1);
    memcpy(image + used, text, strlen(text) + 1);
    used += strlen(text) + 1;
}

static void module_tag(uint32_t start, uint32_t end, const char *text)
{
    tag(3, 16 + (uint32_t)strlen(text) + 1);
    put(start, 4);
    put(end, 4);
    memcpy(image + used, text, strlen(text) + 1);
    used += strlen(text) + 1;
}

static size_t map_at;
static void map_tag(unsigned entries, uint32_t entry_size)
{
    map_at = tag(6, 16 + entries * entry_size);
    put(entry_size, 4);
    put(0, 4);
}
static void map_entry(uint64_t base, uint64_t size, uint32_t type, uint32_t entry_size)
{
    size_t at = used;
    put(base, 8);
    put(size, 8);
    put(type, 4);
    used = at + entry_size;
}

/* Places what was built so that it ends where reading ends. */
static uint64_t place2(bool end_tag)
{
    if (end_tag)
        tag(0, 8);
    uint32_t total = (uint32_t)used;
    memcpy(image, &total, 4);
    uint64_t at = ((uint64_t)(uintptr_t)low + LOW - used) & ~7ull;
    memcpy((void *)(uintptr_t)at, image, used);
    return at;
}

#define MAGIC1 0x2badb002u
#define MAGIC2 0x36d76289u

static enum error read_info(uint32_t magic, uint64_t info)
{
    memset(&root, 0, sizeof root);
    return multiboot_read(magic, info, &f, &root);
}

static void range_is(unsigned i, uint64_t base, uint64_t size)
{
    assert_true(i < f.ram_count);
    assert_int_equal(f.ram[i].base, base);
    assert_int_equal(f.ram[i].size, size);
}

static void test_version2(void **state)
{
    (void)state;
    text_tag(1, "log=debug serial=none");
    module_tag(0x200000, 0x200123, "/boot/guests/vmlinuz console=ttyS0 a/b");
    module_tag(0x300000, 0x300000, "empty");
    module_tag(0x400000, 0x3fffff, "backwards");
    module_tag(0x500000, 0x600000, "");
    map_tag(5, 32); /* entries may grow: 24 bytes are known */
    map_entry(0x100000, 0x7ef0800, 1, 32);
    map_entry(0x7000000, 0x1800, 3, 32); /* a hole for ACPI, in the middle of what another entry calls usable */
    map_entry(0, 0x9fc00, 1, 32);
    map_entry(0x9fc00, 0x400, 2, 32);
    map_entry(0x100000000, 0x40000000, 1, 32);
    tag(14, 8 + 20);
    size_t old = used;
    used += 20;
    tag(15, 8 + 36);
    size_t new = used;
    used += 36;
    tag(8, 32);
    put(0xb8000, 8);
    put(160, 4);
    put(80, 4);
    put(25, 4);
    put(16, 1);
    put(2, 1);
    put(0, 2);
    uint64_t at = place2(true);
    assert_int_equal(read_info(MAGIC2, at), OK);
    assert_string_equal(root.cmdline, "log=debug serial=none");
    assert_int_equal(root.module_count, 4);
    assert_string_equal(root.module[0].name, "/boot/guests/vmlinuz console=ttyS0 a/b");
    assert_int_equal(root.module[0].base, 0x200000);
    assert_int_equal(root.module[0].size, 0x123);
    assert_string_equal(root.module[1].name, "empty");
    assert_string_equal(root.module[2].name, "backwards");
    assert_int_equal(root.module[1].size + root.module[2].size, 0);
    assert_string_equal(root.module[3].name, "");
    assert_int_equal(root.module[3].size, 0x100000);
    assert_int_equal(f.ram_count, 4);
    range_is(0, 0, 0x9f000);
    range_is(1, 0x100000, 0x6f00000);
    range_is(2, 0x7002000, 0x7ff0000 - 0x7002000);
    range_is(3, 0x100000000, 0x40000000);
    assert_int_equal(root.ram_total, 0x7ef0800 + 0x9fc00 + 0x40000000);
    assert_int_equal(f.rsdp, at + new); /* ACPI 2.0's pointer, not the old one */
    assert_int_not_equal(f.rsdp, at + old);
    assert_int_equal(root.screen.address, 0xb8000);
    assert_int_equal(root.screen.width, 80);
    assert_int_equal(root.screen.height, 25);
    assert_int_equal(root.screen.type, 2);
    assert_int_equal(root.ranges_left_out + root.modules_left_out, 0);
}

static void test_version1(void **state)
{
    (void)state;
    uint64_t info = (uint64_t)(uintptr_t)low + 0x1000, end = (uint64_t)(uintptr_t)low + LOW;
    uint32_t *w = (uint32_t *)(uintptr_t)info;
    char *line = (char *)low + 0x2000;
    strcpy(line, "/boot/mullion log=warn");
    uint32_t *module = (uint32_t *)(low + 0x3000);
    strcpy((char *)low + 0x4000, "(cd)/boot/tiny.elf x");
    module[0] = 0x800000, module[1] = 0x900000, module[2] = (uint32_t)(uintptr_t)low + 0x4000;
    module[4] = 0xa00000, module[5] = 0xa00001, module[6] = 0; /* no string at all */
    w[0] = 1 | 1 << 2 | 1 << 3 | 1 << 6;
    w[1] = 639, w[2] = 100000;
    w[4] = (uint32_t)(uintptr_t)line;
    w[5] = 2, w[6] = (uint32_t)(uintptr_t)module;
    const struct {
        uint32_t size;
        uint64_t base, length;
        uint32_t type;
    } __attribute__((packed)) map[] = {{20, 0, 0x9f000, 1}, {20, 0x100000, 0x1000000, 1}, {20, 0x180000, 0x1000, 2}};
    uint8_t *at = (uint8_t *)(uintptr_t)(end - sizeof map);
    memcpy(at, map, sizeof map);
    w[11] = sizeof map, w[12] = (uint32_t)(uintptr_t)at;
    assert_int_equal(read_info(MAGIC1, info), OK);
    assert_string_equal(root.cmdline, "/boot/mullion log=warn");
    assert_int_equal(root.module_count, 2);
    assert_string_equal(root.module[0].name, "(cd)/boot/tiny.elf x");
    assert_string_equal(root.module[1].name, "");
    assert_int_equal(f.ram_count, 3);
    range_is(0, 0, 0x9f000);
    range_is(1, 0x100000, 0x80000);
    range_is(2, 0x181000, 0xf7f000);
    assert_int_equal(f.rsdp, 0);
    assert_int_equal(root.screen.type, 0xff);

    /* The two old numbers are no map: they do not tell of holes. */
    w[0] = 1;
    assert_int_equal(read_info(MAGIC1, info), OK);
    assert_int_equal(f.ram_count, 0);
    assert_string_equal(root.cmdline, "");
    assert_int_equal(root.module_count, 0);

    /* A map that is cut in an entry, has entries that lead nowhere, or wraps. */
    w[0] = 1 << 6;
    w[11] = sizeof map - 1;
    assert_int_equal(read_info(MAGIC1, info), OK);
    assert_int_equal(f.ram_count, 2);
    w[11] = sizeof map;
    memset(at + 24, 0, 4); /* an entry of no size */
    assert_int_equal(read_info(MAGIC1, info), OK);
    assert_int_equal(f.ram_count, 1);
    w[12] = 0xfffffff0;
    assert_int_equal(read_info(MAGIC1, info), OK);
    assert_int_equal(f.ram_count, 0);
}

static void test_not_multiboot(void **state)
{
    (void)state;
    assert_int_equal(read_info(0, (uint64_t)(uintptr_t)low), E_ARG);
    assert_int_equal(read_info(MAGIC1, 0), E_ARG);
    assert_int_equal(read_info(MAGIC2, 1ull << 32), E_ARG);
    assert_int_equal(read_info(MAGIC2, 0xffffffff), E_ARG);
    assert_int_equal(f.ram_count + root.module_count, 0);
}

static void test_addresses_that_wrap(void **state)
{
    (void)state;
    const struct {
        uint64_t base, size;
        uint32_t type;
    } rows[] = {
        {0xfffffffffffff800, 0x100, 1},
        {0xfffffffffffff800, 0x800, 1},
        {0xfffffffffffff000, 0x1000, 1},
        {~0ull, 1, 1},
        {0x1000, ~0ull, 1},
        {1ull << 52, 0x1000, 1},
        {(1ull << 52) - 0x1000, 0x2000, 1},
        {0, ~0ull, 1},
        {0, 0, 1},
        {0x1800, 0x700, 1},
    };
    map_tag(ARRAY_SIZE(rows), 24);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        map_entry(rows[i].base, rows[i].size, rows[i].type, 24);
    assert_int_equal(read_info(MAGIC2, place2(true)), OK);
    assert_int_equal(f.ram_count, 0);

    setup(NULL); /* what is unusable up to the end of everything is so, wrapping or not */
    map_tag(3, 24);
    map_entry(0x100000, 0x100000, 1, 24);
    map_entry(0x200000000, 0x100000, 1, 24);
    map_entry(0x180000, ~0ull, 2, 24);
    assert_int_equal(read_info(MAGIC2, place2(true)), OK);
    assert_int_equal(f.ram_count, 1);
    range_is(0, 0x100000, 0x80000);
}

static void test_more_than_fits(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < BOOT_MODULES_MAX + 6; i++)
        module_tag(0x1000000 + i * 0x1000, 0x1000100 + i * 0x1000, "m");
    map_tag(BOOT_RAM_MAX + 9, 24);
    for (uint64_t i = 0; i < BOOT_RAM_MAX + 9; i++)
        map_entry(0x10000000 + i * 0x20000, 0x10000, 1, 24);
    char long_name[400];
    memset(long_name, 'n', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = 0;
    text_tag(1, long_name);
    assert_int_equal(read_info(MAGIC2, place2(true)), OK);
    assert_int_equal(root.module_count, BOOT_MODULES_MAX);
    assert_int_equal(root.modules_left_out, 6);
    assert_int_equal(f.ram_count, BOOT_RAM_MAX);
    assert_int_equal(root.ranges_left_out, 9);
    assert_int_equal(strlen(root.cmdline), 399);

    setup(NULL);
    module_tag(0x1000, 0x2000, long_name); /* a deep folder's name is whole */
    char *line = calloc(1, 5000);
    memset(line, 'c', 4999);
    text_tag(1, line);
    module_tag(0x3000, 0x4000, line);
    free(line);
    assert_int_equal(read_info(MAGIC2, place2(true)), OK);
    assert_string_equal(root.module[0].name, long_name);
    assert_int_equal(strlen(root.module[1].name), BOOT_NAME_MAX - 1);
    assert_int_equal(strlen(root.cmdline), BOOT_CMDLINE_MAX - 1);

    setup(NULL); /* a hole in a full list: half of the range is lost, nothing is invented */
    map_tag(BOOT_RAM_MAX + 1, 24);
    for (uint64_t i = 0; i < BOOT_RAM_MAX; i++)
        map_entry(0x10000000 + i * 0x20000, 0x10000, 1, 24);
    map_entry(0x10004000, 0x1000, 2, 24);
    assert_int_equal(read_info(MAGIC2, place2(true)), OK);
    assert_int_equal(f.ram_count, BOOT_RAM_MAX);
    assert_int_equal(root.ranges_left_out, 1);
    range_is(0, 0x10000000, 0x4000);
    range_is(1, 0x10020000, 0x10000);
}

/* Tags that lie about their length, an end that never comes, strings without one: nothing is read beyond the
 * information. */
static void test_lying_lengths(void **state)
{
    (void)state;
    size_t at = tag(1, 8 + 16); /* a command line that fills its tag */
    memset(image + used, 'z', 16);
    used += 16;
    uint64_t info = place2(false);
    assert_int_equal(read_info(MAGIC2, info), OK);
    assert_int_equal(strlen(root.cmdline), 16);
    const uint32_t sizes[] = {0, 1, 7, 8, 9, 25, 100, 0x7fffffff, 0xfffffff8, 0xffffffff};
    const uint32_t types[] = {1, 3, 6, 8, 14, 15, 99};
    for (size_t t = 0; t < ARRAY_SIZE(types); t++)
        for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
            memcpy((uint8_t *)(uintptr_t)info + at, &types[t], 4);
            memcpy((uint8_t *)(uintptr_t)info + at + 4, &sizes[i], 4);
            assert_int_equal(read_info(MAGIC2, info), OK);
        }
    for (uint32_t total = 0; total < 40;
         total++) { /* shorter and longer than what is there: longer ends at the first tag of type 0 */
        if (total > used)
            break;
        memcpy((uint8_t *)(uintptr_t)info, &total, 4);
        assert_int_equal(read_info(MAGIC2, info), OK);
    }
    setup(NULL);
    map_tag(2, 24);
    const uint32_t entry_sizes[] = {0, 1, 8, 23, 0xffffffff, 0x80000000};
    map_entry(0x100000, 0x100000, 1, 24);
    map_entry(0x300000, 0x100000, 1, 24);
    info = place2(true);
    for (size_t i = 0; i < ARRAY_SIZE(entry_sizes); i++) {
        memcpy((uint8_t *)(uintptr_t)info + map_at + 8, &entry_sizes[i], 4);
        assert_int_equal(read_info(MAGIC2, info), OK);
        assert_int_equal(f.ram_count, 0);
    }
}

static void facts_are_sound(void)
{
    assert_true(f.ram_count <= BOOT_RAM_MAX && root.module_count <= BOOT_MODULES_MAX);
    for (unsigned i = 0; i < f.ram_count; i++) {
        assert_true(f.ram[i].size > 0 && ((f.ram[i].base | f.ram[i].size) & PAGE_MASK) == 0);
        assert_true(f.ram[i].base + f.ram[i].size <= 1ull << 52);
        assert_true(i == 0 || f.ram[i - 1].base + f.ram[i - 1].size <= f.ram[i].base);
    }
    for (unsigned i = 0; i < root.module_count; i++) {
        assert_true(root.module[i].base + root.module[i].size <= 1ull << 32);
        assert_non_null(memchr(root.module[i].name, 0, BOOT_NAME_MAX));
    }
    assert_non_null(memchr(root.cmdline, 0, BOOT_CMDLINE_MAX));
}

static void test_noise(void **state)
{
    srand(17);
    for (int round = 0; round < 20000; round++) {
        setup(state);
        for (int tags = rand() % 8; tags > 0; tags--)
            switch (rand() % 4) {
            case 0: text_tag(rand() % 2 ? 1 : 2, "a b=c"); break;
            case 1: module_tag((uint32_t)rand() * 2u, (uint32_t)rand() * 2u, "x/y z"); break;
            case 2:
                tag((uint32_t)rand() % 20, 8 + (uint32_t)rand() % 40);
                used += (size_t)(rand() % 40);
                break;
            default:
                map_tag(4, 24);
                for (int i = 0; i < 4; i++)
                    map_entry((uint64_t)rand() << (rand() % 33), (uint64_t)rand() << (rand() % 33),
                              (uint32_t)rand() % 4, 24);
            }
        for (int flips = rand() % 5; flips > 0; flips--)
            image[8 + (size_t)rand() % used] ^= (uint8_t)(1 << rand() % 8);
        uint64_t info = place2(rand() % 4);
        assert_int_equal(read_info(MAGIC2, info), OK);
        facts_are_sound();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges_against_pages),
        cmocka_unit_test(test_ranges_at_the_ends),
        cmocka_unit_test(test_options),
        cmocka_unit_test_setup(test_version2, setup),
        cmocka_unit_test_setup(test_version1, setup),
        cmocka_unit_test_setup(test_not_multiboot, setup),
        cmocka_unit_test_setup(test_addresses_that_wrap, setup),
        cmocka_unit_test_setup(test_more_than_fits, setup),
        cmocka_unit_test_setup(test_lying_lengths, setup),
        cmocka_unit_test_setup(test_noise, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
