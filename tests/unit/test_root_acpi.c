// SPDX-License-Identifier: Apache-2.0
// sources: services/root/acpi.c
/*
 * How root finds out how the machine is switched off and where the ISA interrupts are: tables that are sound, damaged
 * and hostile. The table under test
 * ends at a page that cannot be read.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "acpi_tables.h"
#include "mullion/abi.h"
#include "services/root/acpi.h"

static struct acpi_power f;

static int setup(void **state)
{
    (void)state;
    tables_clear();
    memset(&f, 0x55, sizeof f);
    return 0;
}

/* What root can show: this memory, and no more. */
const uint8_t *acpi_show(uint64_t where, uint64_t size)
{
    uint64_t offset = where - address(low);
    return size != 0 && offset < LOW && size <= LOW - offset ? at(where) : NULL;
}

/* FADT with these registers; the DSDT's body follows. */
static void read_power(uint64_t port, uint32_t fadt_size, bool by_x, const void *dsdt_body, uint32_t dsdt_size,
                       bool damage)
{
    static bool wide;
    wide = !wide; /* both kinds of list */
    setup(NULL);
    uint8_t fadt[300] = {0};
    uint64_t dsdt = table_at_end("DSDT", dsdt_body, 36 + dsdt_size);
    if (damage)
        at(dsdt)[36 + dsdt_size - 1] ^= 0x80;
    put(fadt + 64 - 36, port, 4);
    put(fadt + (by_x ? 140 : 40) - 36, dsdt, by_x ? 8 : 4);
    uint64_t tables[] = {table("FACP", fadt, fadt_size)};
    f = (struct acpi_power){0, 0};
    if (!acpi_find_power(list_of(wide, tables, 1), &f))
        f = (struct acpi_power){0, 0};
}

static void test_power_off(void **state)
{
    (void)state;
    static const struct {
        const char *aml;
        uint32_t size;
        int type;
    } rows[] = {
        {"\x08_S5_\x12\x06\x04\x0a\x05\x0a\x05", 11, 5},          /* as iasl writes it */
        {"\x08\\_S5_\x12\x06\x04\x0a\x07\x0a\x07", 12, 7},        /* from the root */
        {"\x08_S5_\x12\x08\x04\x00\x00\x00\x00", 11, 0},          /* ZeroOp: QEMU's PIIX4 */
        {"\x08_S5_\x12\x08\x04\x01\x01\x00\x00", 11, 1},          /* OneOp */
        {"\x08_S5_\x12\x47\x00\x04\x0a\x06\x0a\x06", 12, 6},      /* a length of two bytes */
        {"\x08_S5_\x12\x88\x00\x00\x04\x0a\x06\x0a\x06", 13, 6},  /* of three */
        {"noise_S5_\x08_S5_\x12\x06\x04\x0a\x05\x0a\x05", 20, 5}, /* the name alone is not the object */
        {"\x08_S5_\x12\x06\x04\x0a\x08\x0a\x08", 11, -1},         /* three bits only */
        {"\x08_S5_\x12\x06\x04\x0b\x05\x00\x00", 11, -1},         /* not a byte */
        {"\x08_S5_\x12\x06\x04"
         "ABCD",
         11, -1}, /* a name */
        {"\x08_S5_\x12\x06\x04\xff\xff\x00\x00", 11, -1},
        {"\x08_S4_\x12\x06\x04\x0a\x05\x0a\x05", 11, -1},
        {"", 0, -1},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        read_power(0x604, 276, i % 2, rows[i].aml, rows[i].size, false);
        assert_int_equal(f.port, rows[i].type < 0 ? 0 : 0x604);
        assert_int_equal(f.type, rows[i].type < 0 ? 0 : rows[i].type);
        for (uint32_t cut = 0; cut < rows[i].size;
             cut++) { /* ends early: no way to power off, and nothing read behind it */
            read_power(0x604, 276, i % 2, rows[i].aml, cut, false);
            assert_true(f.port == 0 || (rows[i].type >= 0 && f.type == rows[i].type));
        }
    }
    const char *sound = rows[0].aml;
    read_power(0x604, 276, false, sound, 11, true); /* a wrong sum */
    assert_int_equal(f.port, 0);
    read_power(0x604, 67, false, sound, 11, false); /* too short for the register */
    assert_int_equal(f.port, 0);
    read_power(0x604, 116, false, sound, 11, false); /* ACPI 1.0 */
    assert_int_equal(f.port, 0x604);
    read_power(0x604, 147, true, sound, 11, false); /* too short for the wide pointer */
    assert_int_equal(f.port, 0);
    read_power(0x10604, 276, false, sound, 11, false); /* not a port */
    assert_int_equal(f.port, 0);
    read_power(0xffff, 276, false, sound, 11, false);
    assert_int_equal(f.port, 0);
    read_power(0, 276, false, sound, 11, false); /* a machine without these registers */
    assert_int_equal(f.port, 0);
}

static void override(uint8_t size, uint8_t irq, uint32_t gsi, uint16_t flags)
{
    uint8_t *e = madt_entry(2, size);
    e[3] = irq;
    put(e + 4, gsi, 4);
    put(e + 8, flags, 2);
}

static void test_isa(void **state)
{
    struct isa_line line[ISA_LINES];
    for (int wide = 0; wide < 2; wide++) {
        setup(state);
        madt_start();
        madt_entry(0, 8);
        override(10, 0, 2, 0);
        override(10, 9, 9, 0xd);  /* level, high */
        override(10, 4, 20, 0xf); /* level, low */
        override(10, 200, 7, 0);
        override(9, 5, 55, 0); /* too short; its second byte of flags is the next one's type */
        madt[madt_used - 1] = 0;
        uint64_t tables[] = {table("HPET", madt, 60), table_at_end("APIC", madt, 36 + madt_used)};
        acpi_find_isa(list_of(wide, tables, 2), line);
        assert_int_equal(line[0].gsi, 2);
        assert_int_equal(line[3].gsi, 3);
        assert_true(line[9].how == LINE_LEVEL && line[9].gsi == 9);
        assert_true(line[4].how == (LINE_LEVEL | LINE_LOW) && line[4].gsi == 20);
        assert_int_equal(line[1].how, 0);
        assert_int_equal(line[5].gsi, 5);
        for (uint32_t cut = 0; cut < madt_used; cut++) { /* nothing behind the end is read */
            tables[1] = table_at_end("APIC", madt, 36 + cut);
            acpi_find_isa(list_of(wide, tables, 2), line);
            assert_true(line[4].gsi == 4 || line[4].gsi == 20);
        }
    }
    acpi_find_isa(0, line); /* no tables */
    for (unsigned i = 0; i < ISA_LINES; i++)
        assert_true(line[i].gsi == i && line[i].how == 0);
}

static void cpu(uint8_t kind, uint32_t id, uint32_t flags)
{
    uint8_t *e = madt_entry(kind, kind == 0 ? 8 : 16);
    if (kind == 0)
        e[3] = (uint8_t)id;
    put(e + 4, kind == 0 ? flags : id, 4);
    if (kind != 0)
        put(e + 8, flags, 4);
}

/* What boot_report.c compares: of two MADTs the first is counted, and its overrides count. */
static void test_counts(void **state)
{
    static struct acpi_count n;
    (void)state;
    madt_start();
    cpu(0, 0, 1);
    cpu(0, 1, 1);
    cpu(0, 2, 0); /* not there */
    cpu(9, 1, 1); /* named before */
    cpu(9, 70000, 1);
    cpu(9, 70001, 2);
    madt_entry(1, 12);
    override(10, 4, 20, 0);
    uint64_t first = table("APIC", madt, 36 + madt_used);
    madt_start();
    cpu(0, 5, 1);
    override(10, 4, 30, 0);
    uint64_t tables[] = {first, table("FACP", NULL, 276), table("APIC", madt, 36 + madt_used)};
    uint64_t list = list_of(true, tables, 3);
    acpi_count(list, &n);
    assert_int_equal(n.madts, 2);
    assert_int_equal(n.fadts, 1);
    assert_int_equal(n.cpus, 3);
    assert_int_equal(n.ioapics, 1);
    struct isa_line line[ISA_LINES];
    acpi_find_isa(list, line);
    assert_int_equal(line[4].gsi, 20);
    acpi_count(0, &n);
    assert_int_equal(n.madts + n.fadts + n.cpus + n.ioapics, 0);
    static const uint8_t none[][2] = {{0, 7}, {9, 15}, {1, 11}, {3, 16}, {8, 16}}; /* cut short; of other kinds */
    madt_start();
    for (size_t i = 0; i < ARRAY_SIZE(none); i++) {
        uint8_t *e = madt_entry(none[i][0], none[i][1]);
        e[3] = e[4] = (uint8_t)(2 * i + 1); /* its flags: there, if it were a CPU */
        if (none[i][1] > 8)
            e[8] = 1;
    }
    tables[0] = table("APIC", madt, 36 + madt_used);
    acpi_count(list_of(true, tables, 1), &n);
    assert_int_equal(n.madts, 1);
    assert_int_equal(n.cpus + n.ioapics, 0);
    madt_start();
    for (uint32_t i = 0; i < MAX_CPUS + 9; i++)
        cpu(9, i, 1);
    tables[0] = table("APIC", madt, 36 + madt_used);
    acpi_count(list_of(false, tables, 1), &n);
    assert_int_equal(n.cpus, MAX_CPUS + 9);
}

/* Lists and pointers that lead nowhere, and one that leads to itself. */
static void test_damaged_lists(void **state)
{
    const uint64_t wild[] = {0, 1, 0xffffffff, 1ull << 40, ~0ull, ~0ull - 40};
    for (size_t i = 0; i < ARRAY_SIZE(wild); i++) {
        setup(state);
        assert_false(acpi_find_power(wild[i], &f));
        uint64_t tables[] = {wild[i], wild[i]};
        assert_false(acpi_find_power(list_of(true, tables, 2), &f));
    }
    uint64_t many[39] = {0}, list = list_of(true, many, 39);
    for (size_t i = 0; i < ARRAY_SIZE(many); i++)
        put(at(list) + 36 + 8 * i, list, 8);
    seal(list);
    assert_false(acpi_find_power(list, &f));
    put(at(list) + 4, 35, 4);
    assert_false(acpi_find_power(list, &f));
    put(at(list) + 4, 0xffffffff, 4);
    assert_false(acpi_find_power(list, &f));
}

static void test_noise(void **state)
{
    srand(11);
    for (unsigned n = 0; n < 20000; n++) {
        setup(state);
        uint8_t fadt[240] = {0}, aml[64];
        for (size_t i = 0; i < sizeof aml; i++)
            aml[i] = (uint8_t)rand();
        memcpy(aml + rand() % 58, "_S5_\x12", 5);
        put(fadt + 28, 0x600, 4);
        put(fadt + 4, table_at_end("DSDT", aml, 36 + sizeof aml), 4);
        uint64_t tables[] = {table("FACP", fadt, 276)};
        if (acpi_find_power(list_of(rand() % 2, tables, 1), &f))
            assert_true(f.port == 0x600 && f.type <= 7);
        struct isa_line line[ISA_LINES];
        tables[0] = table_at_end("APIC", aml, 36 + sizeof aml);
        acpi_find_isa(list_of(rand() % 2, tables, 1), line);
        for (unsigned i = 0; i < ISA_LINES; i++)
            assert_int_equal(line[i].how & ~(LINE_LEVEL | LINE_LOW), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_power_off, setup), cmocka_unit_test_setup(test_isa, setup),
        cmocka_unit_test_setup(test_counts, setup),    cmocka_unit_test_setup(test_damaged_lists, setup),
        cmocka_unit_test_setup(test_noise, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
