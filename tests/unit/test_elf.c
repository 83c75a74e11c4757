// SPDX-License-Identifier: Apache-2.0
// sources: lib/elf.c lib/print.c lib/string.c
/*
 * The ELF reader: good files of both classes, each refusal with its sentence, and damage of every kind: a file ends
 * at each byte (in memory of its exact size), and thousands with bytes changed, are read without leaving the file.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "lib/elf.h"

static uint8_t file[512];
static char why[160];
static struct elf elf;

static void put(unsigned at, uint64_t value, unsigned bytes)
{
    memcpy(file + at, &value, bytes);
}

static void make_header(unsigned class, unsigned machine)
{
    memset(file, 0, sizeof file);
    memcpy(file, "\177ELF", 4);
    file[4] = (uint8_t) class;
    file[5] = 1;
    put(16, 2, 2);
    put(18, machine, 2);
}

static void make_64(void)
{
    make_header(2, ELF_MACHINE_X86_64);
    put(24, 0x401000, 8);
    put(32, 64, 8);
    put(54, 56, 2);
    put(56, 2, 2);
    for (unsigned i = 0; i < 2; i++) {
        unsigned at = 64 + i * 56;
        put(at, ELF_LOAD, 4);
        put(at + 4, i == 0 ? 5 : 6, 4);
        put(at + 8, 256 + i * 64, 8);
        put(at + 16, 0x400000 + i * 0x1000, 8);
        put(at + 24, 0x100000 + i * 0x1000, 8);
        put(at + 32, 64, 8);
        put(at + 40, 128, 8);
        put(at + 48, 4096, 8);
    }
}

static void make_32(void)
{
    make_header(1, ELF_MACHINE_386);
    put(24, 0x100020, 4);
    put(28, 52, 4);
    put(42, 32, 2);
    put(44, 1, 2);
    put(52, ELF_LOAD, 4);
    put(56, 128, 4);
    put(60, 0xc0100000, 4);
    put(64, 0x100000, 4);
    put(68, 16, 4);
    put(72, 48, 4);
    put(76, 7, 4);
    put(80, 32, 4);
}

static void test_both_classes(void **state)
{
    (void)state;
    make_64();
    assert_int_equal(elf_read(&elf, file, sizeof file, why, sizeof why), OK);
    assert_true(elf.class64 && elf.entry == 0x401000 && elf.ph_count == 2 && elf.machine == ELF_MACHINE_X86_64);
    struct elf_segment s = elf_segment(&elf, 1);
    assert_true(s.type == ELF_LOAD && s.flags == 6 && s.offset == 320 && s.vaddr == 0x401000 && s.paddr == 0x101000);
    assert_true(s.file_size == 64 && s.mem_size == 128 && s.align == 4096);
    assert_int_equal(elf_check(&elf, &s, 1, why, sizeof why), OK);
    make_32();
    assert_int_equal(elf_read(&elf, file, sizeof file, why, sizeof why), OK);
    assert_true(!elf.class64 && elf.entry == 0x100020 && elf.ph_count == 1);
    s = elf_segment(&elf, 0);
    assert_true(s.flags == 7 && s.offset == 128 && s.vaddr == 0xc0100000 && s.paddr == 0x100000);
    assert_true(s.file_size == 16 && s.mem_size == 48 && s.align == 32);
}

static void refused(enum error error, const char *words)
{
    why[0] = 0;
    assert_int_equal(elf_read(&elf, file, sizeof file, why, sizeof why), error);
    assert_non_null(strstr(why, words));
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        unsigned at, bytes;
        uint64_t value;
        enum error error;
        const char *words;
    } bad[] = {
        {0, 1, 0, E_ARG, "cut short"},
        {4, 1, 3, E_UNSUPPORTED, "class 3"},
        {5, 1, 2, E_UNSUPPORTED, "byte order 2"},
        {18, 2, 40, E_UNSUPPORTED, "machine 40"},
        {16, 2, 1, E_UNSUPPORTED, "type 1"},
        {56, 2, 0, E_ARG, "no program headers"},
        {54, 2, 55, E_ARG, "55 bytes each"},
        {56, 2, 9, E_ARG, "reach beyond"},
        {32, 8, ~0ull, E_ARG, "reach beyond"},
        {32, 8, sizeof file + 1, E_ARG, "reach beyond"},
    };
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        make_64();
        put(bad[i].at, bad[i].value, bad[i].bytes);
        refused(bad[i].error, bad[i].words);
    }
}

static void test_segments(void **state)
{
    (void)state;
    make_64();
    assert_int_equal(elf_read(&elf, file, sizeof file, why, sizeof why), OK);
    struct elf_segment s = elf_segment(&elf, 0);
    s.file_size = s.mem_size + 1;
    assert_int_equal(elf_check(&elf, &s, 0, why, sizeof why), E_ARG);
    assert_non_null(strstr(why, "more bytes in the file"));
    s = elf_segment(&elf, 0);
    s.offset = sizeof file - s.file_size + 1;
    assert_int_equal(elf_check(&elf, &s, 0, why, sizeof why), E_ARG);
    assert_non_null(strstr(why, "reaches beyond"));
    s.offset = ~0ull; /* the sum would wrap */
    assert_int_equal(elf_check(&elf, &s, 0, why, sizeof why), E_ARG);
    s.offset = sizeof file - s.file_size;
    assert_int_equal(elf_check(&elf, &s, 0, why, sizeof why), OK);
}

/* A copy of its exact size: a byte read behind it is an error of the address sanitizer's. */
static void look_at(unsigned size)
{
    uint8_t *copy = malloc(size ? size : 1);
    memcpy(copy, file, size);
    if (elf_read(&elf, copy, size, why, sizeof why) == OK)
        for (uint32_t i = 0; i < elf.ph_count; i++) {
            struct elf_segment s = elf_segment(&elf, i);
            if (elf_check(&elf, &s, i, why, sizeof why) == OK)
                for (uint64_t k = 0; k < s.file_size; k += s.file_size / 4 + 1)
                    assert_true(s.offset + k < size);
        }
    free(copy);
}

static void test_damage(void **state)
{
    (void)state;
    void (*const make[])(void) = {make_64, make_32};
    srand(1);
    for (unsigned kind = 0; kind < 2; kind++) {
        make[kind]();
        for (unsigned size = 0; size <= sizeof file; size++)
            look_at(size);
        for (unsigned n = 0; n < 20000; n++) {
            make[kind]();
            for (unsigned k = 0; k < 1 + n % 4; k++)
                file[4 + (unsigned)rand() % 180] = (uint8_t)rand();
            look_at(64 + (unsigned)rand() % (sizeof file - 63));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_classes),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_segments),
        cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
