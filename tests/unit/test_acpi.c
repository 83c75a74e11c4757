// SPDX-License-Identifier: Apache-2.0
// sources: arch/x86_64/acpi.c tests/unit/ring0_string.c
/*
 * The host's ACPI tables, sound, damaged and hostile. They lie in low memory as firmware puts them; the table under
 * test ends at a page that cannot be read.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "acpi_tables.h"
#include "arch/x86_64/acpi.h"

static struct acpi_facts f;

static int setup(void **state)
{
    (void)state;
    tables_clear();
    memset(&f, 0x55, sizeof f);
    return 0;
}

static uint64_t rsdp(bool wide, const uint64_t *tables, unsigned count)
{
    uint64_t root = list_of(wide, tables, count), r = next;
    next += 64;
    memcpy(at(r), "RSD PTR ", 8);
    at(r)[15] = wide ? 2 : 0;
    put(at(r) + 16, wide ? 0x12345 : root, 4);
    if (wide)
        put(at(r) + 24, root, 8);
    uint8_t sum = 0;
    for (int i = 0; i < 20; i++)
        sum = (uint8_t)(sum + at(r)[i]);
    at(r)[8] = (uint8_t)(0 - sum);
    return r;
}

static void lapic(uint8_t id, uint32_t flags)
{
    uint8_t *e = madt_entry(0, 8);
    e[3] = id;
    put(e + 4, flags, 4);
}
static void x2apic(uint32_t id, uint32_t flags)
{
    uint8_t *e = madt_entry(9, 16);
    put(e + 4, id, 4);
    put(e + 8, flags, 4);
}
static void ioapic(uint64_t base, uint32_t gsi)
{
    uint8_t *e = madt_entry(1, 12);
    put(e + 4, base, 4);
    put(e + 8, gsi, 4);
}
static void override(uint8_t irq, uint32_t gsi, uint16_t flags)
{
    uint8_t *e = madt_entry(2, 10);
    e[3] = irq;
    put(e + 4, gsi, 4);
    put(e + 8, flags, 2);
}

static void test_madt(void **state)
{
    (void)state;
    for (int wide = 0; wide < 2; wide++) {
        setup(state);
        madt_start();
        lapic(0, 1);
        lapic(2, 1);
        lapic(4, 0); /* there, but disabled */
        lapic(6, 2); /* may be plugged in later: not now */
        x2apic(0x123, 1);
        x2apic(2, 1); /* again */
        ioapic(0xfec00000, 0);
        ioapic(0xfec01000, 24);
        override(0, 2, 0);
        override(9, 9, 0xd);  /* level, high */
        override(4, 20, 0xf); /* level, low */
        override(200, 7, 0);
        madt_entry(77, 6);
        madt_entry(4, 6)[5] = !wide; /* NMIs come to LINT1, or to LINT0 */
        uint64_t tables[] = {table_at_end("APIC", madt, 36 + madt_used)};
        acpi_read(rsdp(wide, tables, 1), &f);
        assert_int_equal(f.cpu_count, 3);
        assert_int_equal(f.cpu_apic_id[1], 2);
        assert_int_equal(f.cpu_apic_id[2], 0x123);
        assert_int_equal(f.ioapic_count, 2);
        assert_int_equal(f.ioapic[1].base, 0xfec01000);
        assert_int_equal(f.ioapic[1].first_gsi, 24);
        assert_int_equal(f.nmi_lint0, wide);
        assert_false(f.by_bochs);
    }
}

/* Of two tables of one kind the first counts. */
static void test_two_of_a_kind(void **state)
{
    (void)state;
    uint8_t fadt[276 - 36] = {0};
    fadt[91 - 36] = 4;
    uint64_t tables[6];
    for (uint32_t i = 0; i < 2; i++) {
        madt_start();
        for (uint8_t cpu = 0; cpu < 2 + i; cpu++)
            lapic((uint8_t)(cpu + 10 * i), 1);
        ioapic(0xfec00000 + i * 0x1000, 0);
        tables[i] = table("APIC", madt, 36 + madt_used);
        put(fadt + 76 - 36, 0x608 + i, 4);
        tables[3 + i] = table("FACP", fadt, 276);
    }
    tables[2] = table("FACP", NULL, 276); /* without a PM timer */
    acpi_read(rsdp(true, tables, 5), &f);
    assert_int_equal(f.cpu_count, 2);
    assert_int_equal(f.cpu_apic_id[1], 1);
    assert_int_equal(f.ioapic_count, 1);
    assert_int_equal(f.ioapic[0].base, 0xfec00000);
    assert_int_equal(f.pm_port, 0x608);
}

static void test_more_cpus_and_ioapics_than_fit(void **state)
{
    (void)state;
    madt_start();
    for (uint32_t i = 0; i < MAX_CPUS + 10; i++)
        x2apic(1000 + i, 1);
    for (uint32_t i = 0; i < 12; i++)
        ioapic(0xfec00000 + i * 0x1000, i * 24);
    uint64_t tables[] = {table_at_end("APIC", madt, 36 + madt_used)};
    acpi_read(rsdp(true, tables, 1), &f);
    assert_int_equal(f.cpu_count, MAX_CPUS);
    assert_int_equal(f.ioapic_count, ARRAY_SIZE(f.ioapic));
}

static void test_madt_entries_that_lie(void **state)
{
    for (unsigned length = 0; length < 256; length++) {
        setup(state);
        madt_start();
        lapic(0, 1);
        uint8_t *liar = madt_entry(length % 10, 8);
        liar[1] = (uint8_t)length;
        lapic(1, 1);
        uint64_t tables[] = {table_at_end("APIC", madt, 36 + madt_used)};
        acpi_read(rsdp(true, tables, 1), &f);
        assert_in_range(f.cpu_count, 1, 3);
        assert_int_equal(f.cpu_apic_id[0], 0);
    }
    for (uint32_t size = 36; size < 60; size++) { /* cut anywhere */
        setup(state);
        madt_start();
        lapic(0, 1);
        lapic(1, 1);
        uint64_t tables[] = {table_at_end("APIC", madt, size)};
        acpi_read(rsdp(true, tables, 1), &f);
        assert_int_equal(f.cpu_count, size < 52 ? 0 : 1);
    }
}

static void test_damaged_roots(void **state)
{
    madt_start();
    lapic(0, 1);
    lapic(1, 1);
    const uint64_t wild[] = {0, 0xfffffff0, 0xffffffff, 0x100000000, ~0ull, ~0ull - 40};
    for (size_t i = 0; i < ARRAY_SIZE(wild); i++) { /* pointers that lead nowhere, among sound ones */
        setup(state);
        uint64_t tables[] = {wild[i], table("APIC", madt, 36 + madt_used), wild[i]};
        acpi_read(rsdp(true, tables, 3), &f);
        assert_int_equal(f.cpu_count, 2);
        put(at(next - 64) + 24, wild[i], 8); /* a root pointer that does; 0: the old one, which is wild here too */
        if (wild[i]) {
            acpi_read(next - 64, &f);
            assert_int_equal(f.cpu_count, 0);
        }
        if (wild[i] > 0xffffffdb) {
            acpi_read(wild[i], &f);
            assert_int_equal(f.cpu_count, 0);
        }
    }
    const uint32_t sizes[] = {0, 1, 35, 0x400001, 0x80000000, 0xffffffff};
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        setup(state);
        uint64_t t = table("APIC", madt, 36 + madt_used);
        put(at(t) + 4, sizes[i], 4);
        acpi_read(rsdp(true, &t, 1), &f);
        assert_int_equal(f.cpu_count, 0);
    }
    setup(state);
    uint64_t t = table("APIC", madt, 36 + madt_used), r = rsdp(true, &t, 1);
    at(t)[40] ^= 1;
    acpi_read(r, &f);
    assert_int_equal(f.cpu_count, 0);
}

/* Sound tables with bits turned and the sums put right again, so that the parser gets to see them. */
static void test_noise(void **state)
{
    srand(23);
    for (int round = 0; round < 20000; round++) {
        setup(state);
        madt_start();
        for (int i = rand() % 12; i > 0; i--)
            switch (rand() % 4) {
            case 0: lapic((uint8_t)rand(), (uint32_t)rand() % 2); break;
            case 1: x2apic((uint32_t)rand(), (uint32_t)rand() % 2); break;
            case 2: ioapic((uint64_t)rand(), (uint32_t)rand() % 100); break;
            default: override((uint8_t)rand(), (uint32_t)rand() % 100, (uint16_t)rand());
            }
        uint32_t size = 36 + madt_used;
        uint64_t t = table_at_end("APIC", madt, size);
        for (int flips = rand() % 6; flips > 0; flips--)
            at(t)[36 + (uint32_t)rand() % (size - 36)] ^= (uint8_t)(1 << rand() % 8);
        seal(t);
        uint64_t tables[] = {table("FACP", NULL, 276), t};
        acpi_read(rsdp(rand() % 2, tables, 2), &f);
        assert_true(f.cpu_count <= MAX_CPUS && f.ioapic_count <= ARRAY_SIZE(f.ioapic));
        for (uint32_t i = 0; i < f.cpu_count; i++)
            for (uint32_t j = 0; j < i; j++)
                assert_int_not_equal(f.cpu_apic_id[i], f.cpu_apic_id[j]);
    }
}

static void test_the_pm_timer(void **state)
{
    static const struct {
        uint32_t port, size;
        uint8_t length;
        uint16_t found;
    } rows[] = {
        {0x608, 276, 4, 0x608},  {0x608, 116, 4, 0x608}, {0xffff, 92, 4, 0xffff}, {0x608, 91, 4, 0},
        {0x608, 276, 0, 0},      {0x10608, 276, 4, 0}, /* none is cut to a port that it is not */
        {0xffffffff, 276, 4, 0}, {0, 276, 4, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        uint8_t fadt[276 - 36] = {0};
        setup(state);
        put(fadt + 76 - 36, rows[i].port, 4);
        fadt[91 - 36] = rows[i].length;
        uint64_t tables[] = {table_at_end("FACP", fadt, rows[i].size)};
        acpi_read(rsdp(true, tables, 1), &f);
        assert_int_equal(f.pm_port, rows[i].found);
    }
}

static void test_search_in_the_bios_area(void **state)
{
    uint8_t *bios = mmap(at(0xe0000), 0x20000, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (bios == MAP_FAILED)
        skip();
    madt_start();
    lapic(0, 1);
    lapic(1, 1);
    (void)state;
    uint64_t t = table("APIC", madt, 36 + madt_used), r = rsdp(false, &t, 1);
    memcpy(bios + 0x5000, at(r), 36);
    bios[0x5008] ^= 1;                        /* a copy that is damaged, */
    memcpy(bios + 0x5018, at(r), 36);         /* one that is not on 16 bytes, */
    memcpy(bios + 0x1fff0 - 0x20, at(r), 36); /* and the real one */
    acpi_read(0, &f);
    assert_int_equal(f.cpu_count, 2);
    munmap(bios, 0x20000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_madt, setup),
        cmocka_unit_test_setup(test_two_of_a_kind, setup),
        cmocka_unit_test_setup(test_more_cpus_and_ioapics_than_fit, setup),
        cmocka_unit_test_setup(test_madt_entries_that_lie, setup),
        cmocka_unit_test_setup(test_damaged_roots, setup),
        cmocka_unit_test_setup(test_noise, setup),
        cmocka_unit_test_setup(test_the_pm_timer, setup),
        cmocka_unit_test_setup(test_search_in_the_bios_area, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
