// SPDX-License-Identifier: Apache-2.0
// sources: vmm/firmware/bios.c vmm/firmware/mptable.c vmm/firmware/smbios.c vmm/firmware/e820.c vmm/memory.c
// sources: lib/string.c
/*
 * What a PC's firmware leaves in memory besides the ACPI tables.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "vmm/firmware/bios.h"
#include "vmm/firmware/e820.h"
#include "vmm/firmware/mptable.h"
#include "vmm/firmware/smbios.h"

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

static void sums_to_zero(uint64_t at, uint64_t count)
{
    uint8_t sum = 0;
    for (uint64_t i = 0; i < count; i++)
        sum = (uint8_t)(sum + ram[at + i]);
    assert_int_equal(sum, 0);
}

/* Every CPU, both buses, the I/O APIC, and a route for each interrupt: the same as MADT and _PRT say. */
static void mp_table(void **state)
{
    (void)state;
    for (uint32_t vcpus = 1; vcpus <= 64; vcpus += 21) {
        const struct mptable_machine machine = {vcpus, 0x50654, 0x0f8bfbff, 0x14};
        assert_int_equal(mptable_install(&m, &machine), OK);
        assert_memory_equal(ram + MPTABLE_AREA, "_MP_", 4);
        assert_int_equal(ram[MPTABLE_AREA + 8] * 16, 16);
        sums_to_zero(MPTABLE_AREA, 16);
        uint64_t table = get(MPTABLE_AREA + 4, 4), length = get(table + 4, 2), entries = get(table + 34, 2);
        assert_memory_equal(ram + table, "PCMP", 4);
        sums_to_zero(table, length);
        assert_true(table + length <= MPTABLE_AREA + MPTABLE_AREA_SIZE);
        assert_int_equal(get(table + 36, 4), 0xfee00000);
        static uint8_t pin_of[2][256];
        memset(pin_of, 0xee, sizeof(pin_of));
        uint64_t at = table + 44, cpus = 0, ioapics = 0, seen = 0;
        for (; seen < entries; seen++) {
            uint8_t type = ram[at];
            assert_true(type <= 4);
            if (type == 0) {
                assert_int_equal(ram[at + 1], cpus);
                assert_int_equal(ram[at + 3], cpus == 0 ? 3 : 1);
                cpus++;
            } else if (type == 2) {
                assert_int_equal(get(at + 4, 4), 0xfec00000);
                ioapics++;
            } else if (type == 3) {
                assert_true(ram[at + 4] < 2 && ram[at + 7] < 24);
                pin_of[ram[at + 4]][ram[at + 5]] = ram[at + 7];
            }
            at += type == 0 ? 20 : 8;
        }
        assert_int_equal(at, table + length);
        assert_int_equal(cpus, vcpus);
        assert_int_equal(ioapics, 1);
        assert_int_equal(pin_of[1][0], 2);
        assert_int_equal(pin_of[1][4], 4);
        assert_int_equal(pin_of[1][2], 0xee);
        for (unsigned slot = 1; slot < 32; slot++)
            for (unsigned pin = 0; pin < 4; pin++)
                assert_int_equal(pin_of[0][slot * 4 + pin], 16 + (slot + pin) % 4);
    }
    const struct mptable_machine none = {.vcpus = 0}, many = {.vcpus = 65};
    assert_int_equal(mptable_install(&m, &none), E_ARG);
    assert_int_equal(mptable_install(&m, &many), E_ARG);
}

/* The MP table of two CPUs, field by field (MultiProcessor Specification 1.4, chapter 4). */
static void mp_fields(void **state)
{
    (void)state;
    const struct mptable_machine machine = {2, 0x50654, 0x0f8bfbff, 0x14};
    assert_int_equal(mptable_install(&m, &machine), OK);
    assert_int_equal(get(MPTABLE_AREA + 8, 2), 0x0401); /* 16 bytes, version 1.4 */
    assert_int_equal(get(MPTABLE_AREA + 11, 5), 0);     /* there is a table; no IMCR */
    uint64_t at = get(MPTABLE_AREA + 4, 4);
    assert_int_equal(ram[at + 6], 4);
    assert_memory_equal(ram + at + 8, "MULLION GUEST       ", 20);
    assert_int_equal(get(at + 28, 6), 0);
    assert_int_equal(get(at + 34, 2), 2 + 2 + 1 + 15 + 31 * 4 + 2);
    assert_int_equal(get(at + 40, 4), 0);
    at += 44;
    for (unsigned cpu = 0; cpu < 2; cpu++, at += 20) {
        assert_int_equal(get(at, 4), 0x01140000u | cpu << 8 | (cpu == 0 ? 2u << 24 : 0)); /* enabled; the first boots */
        assert_int_equal(get(at + 4, 8), 0x0f8bfbff00050654);
        assert_int_equal(get(at + 12, 8), 0);
    }
    assert_memory_equal(ram + at, "\1\0PCI   \1\1ISA   ", 16);
    assert_int_equal(get(at + 16, 4), 0x01200002); /* I/O APIC 0, version 20H, enabled */
    at += 24;
    for (unsigned irq = 0; irq < 16; irq++) {
        if (irq == 2)
            continue;
        assert_int_equal(get(at, 2), 0x0003);                  /* an interrupt by the I/O APIC */
        assert_int_equal(get(at + 2, 2), irq == 9 ? 0x0d : 0); /* as the bus has it; the SCI: level, active high */
        assert_int_equal(get(at + 4, 4), 0x00000001u | irq << 8 | (irq == 0 ? 2 : irq) << 24);
        at += 8;
    }
    for (unsigned source = 4; source < 128; source++, at += 8) {
        assert_int_equal(get(at, 4), 3);
        assert_int_equal(get(at + 4, 4), source << 8 | (16 + (source / 4 + source % 4) % 4) << 24);
    }
    assert_int_equal(get(at, 8), 0x0000000100000304);     /* ExtINT at the first CPU's LINT0 */
    assert_int_equal(get(at + 8, 8), 0x01ff000100000104); /* NMI at everyone's LINT1 */
}

static const struct smbios_machine small = {.name = "web",
                                            .uuid = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x10, 0x32},
                                            .vcpus = 2,
                                            .signature = 0x50654,
                                            .features = 0x0f8bfbff,
                                            .cpu_vendor = "GenuineIntel",
                                            .mhz = 2600};

/* The n-th string of a structure (6.1.3). */
static const char *string_of(uint64_t at, unsigned n)
{
    const char *s = (const char *)ram + at + ram[at + 1];
    while (--n)
        s += strlen(s) + 1;
    return s;
}

static void smbios(void **state)
{
    (void)state;
    assert_int_equal(smbios_install(&m, &small), OK);
    assert_memory_equal(ram + SMBIOS_AREA, "_SM_", 4);
    assert_int_equal(ram[SMBIOS_AREA + 5], 31);
    assert_memory_equal(ram + SMBIOS_AREA + 16, "_DMI_", 5);
    sums_to_zero(SMBIOS_AREA, 31);
    sums_to_zero(SMBIOS_AREA + 16, 15);
    uint64_t table = get(SMBIOS_AREA + 0x18, 4), end = table + get(SMBIOS_AREA + 0x16, 2), at = table;
    uint64_t count = 0, largest = 0;
    bool seen[128] = {false};
    while (at < end) {
        uint64_t next = at + ram[at + 1];
        while (get(next, 2) != 0)
            next++;
        next += 2;
        assert_true(ram[at] < 128 && ram[at + 1] >= 4);
        seen[ram[at]] = true;
        if (ram[at] == 1) {
            static const uint8_t uuid[16] = {0x67, 0x45, 0x23, 0x01, 0xab, 0x89, 0xef, 0xcd, 0x10, 0x32};
            assert_string_equal(string_of(at, ram[at + 4]), "Mullion");
            assert_string_equal(string_of(at, ram[at + 7]), "web");
            assert_memory_equal(ram + at + 8, uuid, 16);
        } else if (ram[at] == 17) {
            assert_int_equal(get(at + 12, 2), RAM >> 20);
        } else if (ram[at] == 19) {
            assert_int_equal(get(at + 4, 4), 0);
            assert_int_equal(get(at + 8, 4), RAM / 1024 - 1);
        }
        largest = next - at > largest ? next - at : largest;
        count++;
        at = next;
    }
    assert_int_equal(at, end);
    assert_int_equal(count, get(SMBIOS_AREA + 0x1c, 2));
    assert_int_equal(largest, get(SMBIOS_AREA + 8, 2));
    static const uint8_t required[] = {0, 1, 3, 4, 16, 17, 19, 32, 127};
    for (unsigned i = 0; i < sizeof(required); i++)
        assert_true(seen[required[i]]);
    struct smbios_machine large = small;
    char *name = calloc(1, SMBIOS_AREA_SIZE + 1);
    memset(name, 'x', SMBIOS_AREA_SIZE);
    large.name = name;
    assert_int_equal(smbios_install(&m, &large), E_QUOTA);
    free(name);
}

/* What dmidecode makes of it: no complaint. */
static void dmidecode_agrees(void **state)
{
    (void)state;
    if (system("command -v dmidecode >/dev/null 2>&1") != 0)
        skip();
    assert_int_equal(smbios_install(&m, &small), OK);
    /* Its own format of a dump: the entry point at 0, the table at 32. */
    uint8_t dump[32 + SMBIOS_AREA_SIZE] = {0};
    uint64_t bytes = get(SMBIOS_AREA + 0x16, 2);
    memcpy(dump, ram + SMBIOS_AREA, 31);
    dump[0x18] = 32;
    dump[0x19] = dump[0x1a] = dump[0x1b] = 0;
    for (unsigned part = 16; part <= 16; part -= 16) { /* both sums follow the table's new place */
        dump[part == 16 ? 0x15 : 4] = 0;
        uint8_t sum = 0;
        for (unsigned i = part; i < 31; i++)
            sum = (uint8_t)(sum + dump[i]);
        dump[part == 16 ? 0x15 : 4] = (uint8_t)(0 - sum);
    }
    memcpy(dump + 32, ram + get(SMBIOS_AREA + 0x18, 4), bytes);
    char path[] = "/tmp/smbios-XXXXXX", command[300];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, dump, 32 + bytes), 32 + bytes);
    close(fd);
    snprintf(command, sizeof(command),
             "dmidecode --from-dump %s >%s.out 2>&1 && ! grep -iE 'invalid|bad|outside|wrong|truncated' %s.out && "
             "grep -q 'UUID: 01234567-89ab-cdef-1032-000000000000' %s.out && grep -q 'Serial Number: web' %s.out",
             path, path, path, path, path);
    int result = system(command);
    snprintf(command, sizeof(command), "[ %d = 0 ] || cat %s.out; rm %s %s.out", result, path, path, path);
    assert_int_equal(system(command), 0);
    assert_int_equal(result, 0);
}

static void uuid_follows_from_the_name(void **state)
{
    (void)state;
    uint8_t a[16], b[16], c[16];
    smbios_uuid_of("web", a);
    smbios_uuid_of("web", b);
    smbios_uuid_of("wec", c);
    assert_memory_equal(a, b, 16);
    assert_memory_not_equal(a, c, 8);
    assert_memory_not_equal(a + 8, c + 8, 8);
    assert_int_equal(a[6] >> 4, 8);
    assert_int_equal(a[8] >> 6, 2);
}

static void without_memory(void **state)
{
    (void)state;
    struct guest_memory none = {0};
    assert_int_equal(bios_install(&none), E_ARG);
    const struct mptable_machine machine = {.vcpus = 1};
    assert_int_equal(mptable_install(&none, &machine), E_ARG);
    assert_int_equal(smbios_install(&none, &small), E_ARG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(data_area, setup, teardown),
        cmocka_unit_test_setup_teardown(reset_entry, setup, teardown),
        cmocka_unit_test_setup_teardown(mp_table, setup, teardown),
        cmocka_unit_test_setup_teardown(mp_fields, setup, teardown),
        cmocka_unit_test_setup_teardown(smbios, setup, teardown),
        cmocka_unit_test_setup_teardown(dmidecode_agrees, setup, teardown),
        cmocka_unit_test(uuid_follows_from_the_name),
        cmocka_unit_test(without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
