// SPDX-License-Identifier: Apache-2.0
// sources: boot/multiboot.c boot/ranges.c tests/unit/ring0_string.c
/* What a boot loader hands over, in both forms, whole and broken. The information lies below 4 GiB, as a loader's does,
 * and ends at a page that cannot be touched. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "boot/multiboot.h"

#define MAGIC1 0x2badb002u
#define MAGIC2 0x36d76289u
#define ROOM   (64u * 1024)

static uint8_t *room; /* ROOM bytes, then nothing */
static uint8_t text[ROOM];
static unsigned length;
static struct boot_facts facts;
static struct root_boot root;

static int make_room(void **state)
{
    (void)state;
    room = mmap(NULL, ROOM + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    return room == MAP_FAILED || mprotect(room + ROOM, 4096, PROT_NONE);
}

static void put(uint64_t v, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        text[length++] = i < 8 ? (uint8_t)(v >> (8 * i)) : 0;
}

static void begin(void)
{
    length = 0;
    put(0, 8);
}

static unsigned tag(uint32_t type)
{
    unsigned at = length;
    put(type, 4);
    put(0, 4);
    return at;
}

static void end_tag(unsigned at)
{
    uint32_t size = length - at;
    memcpy(text + at + 4, &size, 4);
    while (length % 8)
        put(0, 1);
}

/* Puts the information at the very end of the room. */
static enum error read_all(void)
{
    end_tag(tag(0));
    memcpy(text, &length, 4);
    uint8_t *at = room + ROOM - length;
    memcpy(at, text, length);
    memset(&root, 0, sizeof root);
    return multiboot_read(MAGIC2, (uintptr_t)at, &facts, &root);
}

static void entry(uint64_t base, uint64_t size, uint32_t type)
{
    put(base, 8);
    put(size, 8);
    put(type, 4);
    put(0, 4);
}

static unsigned map(void)
{
    unsigned at = tag(6);
    put(24, 4);
    put(0, 4);
    return at;
}

static void string(const char *s)
{
    memcpy(text + length, s, strlen(s) + 1);
    length += (unsigned)strlen(s) + 1;
}

static void all_there(void **state)
{
    (void)state;
    begin();
    unsigned at = tag(1);
    string("log=debug serial=0x2f8");
    end_tag(at);
    at = tag(3);
    put(0x200000, 4);
    put(0x234567, 4);
    string("/boot/modules/vmlinuz and more");
    end_tag(at);
    at = map();
    entry(0, 0x9fc00, 1);
    entry(0x9fc00, 0x400, 2);
    entry(0x100000, 0x7f00000, 1);
    entry(0x100000000, 0x80000000, 1);
    entry(0x4000000, 0x800, 4); /* in the middle of what is called usable */
    end_tag(at);
    at = tag(14);
    put(0x1111, 20);
    end_tag(at);
    at = tag(15);
    put(0x2222, 36);
    unsigned rsdp_to_end = length - at - 8;
    end_tag(at);
    unsigned rsdp_at = at + 8;
    at = tag(8);
    put(0x8000000000, 8);
    put(4096, 4);
    put(1024, 4);
    put(768, 4);
    put(32, 1);
    put(SCREEN_PIXELS, 1);
    put(0, 2);
    for (unsigned i = 0; i < 3; i++) {
        put(16 - 8 * i, 1);
        put(8, 1);
    }
    end_tag(at);
    assert_int_equal(read_all(), OK);
    assert_int_equal(rsdp_to_end, 36);
    assert_string_equal(root.cmdline, "log=debug serial=0x2f8");
    assert_int_equal(root.module_count, 1);
    assert_string_equal(root.module[0].name, "/boot/modules/vmlinuz and more");
    assert_int_equal(root.module[0].size, 0x34567);
    assert_int_equal(facts.rsdp, (uintptr_t)(room + ROOM - length + rsdp_at));
    assert_int_equal(facts.ram_count, 4);
    assert_int_equal(facts.ram[0].size, 0x9f000);
    assert_int_equal(facts.ram[1].base + facts.ram[1].size, 0x4000000);
    assert_int_equal(facts.ram[2].base, 0x4001000);
    assert_int_equal(facts.ram[3].size, 0x80000000);
    assert_int_equal(root.screen.address, 0x8000000000);
    assert_int_equal(root.screen.pitch, 4096);
    assert_int_equal(root.screen.width, 1024);
    assert_int_equal(root.screen.height, 768);
    assert_int_equal(root.screen.type, SCREEN_PIXELS);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(root.screen.field[i].position, 16 - 8 * i);
        assert_int_equal(root.screen.field[i].size, 8);
    }
}

/* UEFI's maps can have many pieces, in any order. What is beyond the table is left out, and it is told. */
static void many_pieces(void **state)
{
    (void)state;
    for (unsigned order = 0; order < 2; order++) {
        begin();
        unsigned at = map();
        for (unsigned i = 0; i < BOOT_RAM_MAX - 1; i++) {
            unsigned k = order == 1 ? i : BOOT_RAM_MAX - 2 - i;
            entry(0x1000000 + k * 0x100000ull, 0x1000 * (k % 200 + 1), 1);
        }
        entry(0x100000000, 0x200000000, 1);
        for (unsigned i = 0; i < 7; i++)
            entry(0x400000000 + i * 0x100000ull, 0x1000, 1);
        end_tag(at);
        assert_int_equal(read_all(), OK);
        assert_int_equal(facts.ram_count, BOOT_RAM_MAX);
        assert_int_equal(root.ranges_left_out, 7);
        assert_int_equal(facts.ram[BOOT_RAM_MAX - 1].size, 0x200000000);
        for (unsigned i = 0; i < BOOT_RAM_MAX - 1; i++)
            assert_int_equal(facts.ram[i].size, 0x1000 * (i % 200 + 1));
    }
    /* But neighbours are one piece: UEFI tells the same memory in many. */
    begin();
    unsigned at = map();
    for (unsigned i = 0; i < 300; i++)
        entry(0x1000000 + i * 0x1000ull, 0x1000, 1);
    end_tag(at);
    assert_int_equal(read_all(), OK);
    assert_int_equal(facts.ram_count, 1);
    assert_int_equal(root.ranges_left_out, 0);
    assert_int_equal(facts.ram[0].size, 300 * 0x1000);
}

static void broken(void **state)
{
    (void)state;
    assert_int_equal(multiboot_read(0, (uintptr_t)room, &facts, &root), E_ARG);
    assert_int_equal(multiboot_read(MAGIC1, 0, &facts, &root), E_ARG);
    assert_int_equal(multiboot_read(MAGIC2, ~0ull, &facts, &root), E_ARG);
    assert_int_equal(root.screen.type, SCREEN_NONE);
    /* A module that ends before it begins, one of no bytes, a screen's tag that is too short for its colours, a map
     * with entries of no bytes. */
    begin();
    unsigned at = tag(3);
    put(0x300000, 4);
    put(0x200000, 4);
    string("backwards");
    end_tag(at);
    at = tag(3);
    put(0x300000, 4);
    put(0x300000, 4);
    string("empty");
    end_tag(at);
    at = tag(8);
    put(0xe0000000, 8);
    put(4096, 4);
    put(1024, 4);
    put(768, 4);
    put(32, 1);
    put(SCREEN_PIXELS, 1);
    put(0, 2);
    end_tag(at);
    at = tag(6);
    put(0, 4);
    put(0, 4);
    entry(0, 0x1000000, 1);
    end_tag(at);
    assert_int_equal(read_all(), OK);
    assert_int_equal(root.module_count, 2); /* by name, so that root can say what is wrong */
    assert_string_equal(root.module[0].name, "backwards");
    assert_string_equal(root.module[1].name, "empty");
    assert_int_equal(root.module[0].size + root.module[1].size, 0);
    assert_int_equal(facts.ram_count, 0);
    assert_int_equal(root.screen.field[0].size, 0);
    assert_int_equal(root.screen.height, 768);
}

/* Any bytes: whatever comes out is in bounds, the RAM ascending and disjoint. */
static void any_bytes(void **state)
{
    (void)state;
    srand(4);
    for (unsigned round = 0; round < 20000; round++) {
        begin();
        for (unsigned tags = 0; tags < 6; tags++) {
            unsigned at = tag((uint32_t)(rand() % 17));
            for (unsigned n = (unsigned)rand() % 80; n > 0; n--)
                put((uint64_t)(rand() % 3 ? rand() % 4 : rand()), 1);
            end_tag(at);
            if (rand() % 8 == 0)
                text[at + 4 + (unsigned)rand() % 4] = (uint8_t)rand();
        }
        assert_int_equal(read_all(), OK);
        assert_true(facts.ram_count <= BOOT_RAM_MAX && root.module_count <= BOOT_MODULES_MAX);
        assert_true(memchr(root.cmdline, 0, sizeof root.cmdline) != NULL);
        for (unsigned i = 0; i < facts.ram_count; i++) {
            assert_true(facts.ram[i].size != 0 && (facts.ram[i].base | facts.ram[i].size) % 4096 == 0);
            assert_true(i == 0 || facts.ram[i - 1].base + facts.ram[i - 1].size < facts.ram[i].base);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_there), cmocka_unit_test(many_pieces),
                                       cmocka_unit_test(broken), cmocka_unit_test(any_bytes)};
    return cmocka_run_group_tests(tests, make_room, NULL);
}
