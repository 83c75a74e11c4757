// SPDX-License-Identifier: Apache-2.0
// sources: vmm/firmware/bios.c vmm/firmware/e820.c vmm/memory.c lib/string.c
/*
 * What a PC's firmware leaves in memory besides the ACPI tables.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/firmware/bios.h"
#include "vmm/firmware/e820.h"

#define RAM (4u << 20)

static uint8_t *ram;
static struct guest_memory m;

static int setup(void **state)
{
    (void)state;
    memset(&m, 0, sizeof(m));
    ram = calloc(1, RAM);
    return ram == NULL || guest_memory_add(&m, 0, RAM, ram) != OK;
}

static int teardown(void **state)
{
    (void)state;
    free(ram);
    return 0;
}

static uint64_t get(uint64_t at, unsigned bytes)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < bytes; i++)
        v |= (uint64_t)ram[at + i] << (8 * i);
    return v;
}

/* The two words by which kernels without a memory map find the end of base memory agree with that map. */
static void data_area(void **state)
{
    (void)state;
    struct e820_map map;
    assert_int_equal(bios_install(&m), OK);
    assert_int_equal(get(0x400, 2), 0x3f8);
    assert_int_equal(get(0x402, 6), 0);
    assert_int_equal(get(0x408, 6), 0);
    assert_int_equal(get(0x410, 2), 0x0202); /* one serial port, an FPU */
    assert_int_equal(get(0x41a, 2), get(0x41c, 2));
    assert_int_equal(get(0x480, 2), 0x1e);
    assert_int_equal(get(0x482, 2), 0x3e);
    assert_int_equal(e820_build(&map, &m, NULL, 0), OK);
    assert_int_equal(map.entry[0].base, 0);
    assert_int_equal(map.entry[0].type, E820_RAM);
    assert_int_equal(get(0x413, 2) * 1024, map.entry[0].size);
    assert_int_equal(get(0x40e, 2) * 16, map.entry[0].size);
    assert_int_equal(map.entry[1].type, E820_RESERVED);
    assert_int_equal(map.entry[1].base, map.entry[0].size);
    uint64_t ebda_kib = get(get(0x40e, 2) * 16, 1);
    assert_int_equal(get(0x40e, 2) * 16 + ebda_kib * 1024, 0xa0000);
    for (uint64_t at = 0; at < 0x400; at++)
        assert_int_equal(ram[at], 0); /* the vectors stay as they are */
    for (uint64_t at = 0x500; at < 0x9fc00; at++)
        assert_int_equal(ram[at], 0);
}

/* F000:FFF0 jumps to code that writes 6 to port 0xcf9. */
static void reset_entry(void **state)
{
    (void)state;
    static const uint8_t code[] = {0xfa, 0xba, 0xf9, 0x0c, 0xb0, 0x06, 0xee, 0xf4, 0xeb, 0xfd};
    assert_int_equal(bios_install(&m), OK);
    assert_int_equal(ram[0xffff0], 0xea);
    uint64_t target = get(0xffff3, 2) * 16 + get(0xffff1, 2);
    assert_memory_equal(ram + target, code, sizeof(code));
    assert_int_equal(ram[0xffffe], 0xfc); /* the model: an AT */
}

static void without_memory(void **state)
{
    (void)state;
    struct guest_memory none = {0};
    assert_int_equal(bios_install(&none), E_ARG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(data_area, setup, teardown),
        cmocka_unit_test_setup_teardown(reset_entry, setup, teardown),
        cmocka_unit_test(without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
