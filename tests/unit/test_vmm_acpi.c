// SPDX-License-Identifier: Apache-2.0
// sources: vmm/firmware/acpi.c vmm/memory.c
/*
 * The guest's ACPI tables: checksums, links, sizes; and, where the ACPI compiler is installed, that it takes every
 * table apart and compiles the result again without an error or a warning.
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

#include "vmm/firmware/acpi.h"

static uint8_t area[ACPI_AREA_SIZE];

static uint64_t get(uint64_t gpa, unsigned bytes)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < bytes; i++)
        v |= (uint64_t)area[gpa - ACPI_AREA + i] << (8 * i);
    return v;
}

static void check_sum(uint64_t gpa, uint64_t length)
{
    uint8_t sum = 0;
    for (uint64_t i = 0; i < length; i++)
        sum = (uint8_t)(sum + area[gpa - ACPI_AREA + i]);
    assert_int_equal(sum, 0);
}

static uint64_t check_table(uint64_t gpa, const char *signature)
{
    assert_true(gpa >= ACPI_AREA && gpa < ACPI_AREA + ACPI_AREA_SIZE);
    assert_memory_equal(area + gpa - ACPI_AREA, signature, 4);
    check_sum(gpa, get(gpa + 4, 4));
    return gpa;
}

static void links_and_sums(void **state)
{
    (void)state;
    for (uint32_t vcpus = 1; vcpus <= 64; vcpus += 21) {
        struct acpi_machine m;
        uint64_t rsdp;
        acpi_standard(&m, vcpus);
        memset(area, 0xee, sizeof(area));
        size_t used = acpi_write(area, sizeof(area), ACPI_AREA, &m, &rsdp);
        assert_true(used > 500 && used < sizeof(area));
        assert_int_equal(area[used], 0xee);
        assert_int_equal(rsdp, ACPI_AREA);
        assert_memory_equal(area, "RSD PTR ", 8);
        check_sum(rsdp, 20);
        check_sum(rsdp, 36);
        uint64_t xsdt = check_table(get(rsdp + 24, 8), "XSDT"), rsdt = check_table(get(rsdp + 16, 4), "RSDT");
        uint64_t fadt = check_table(get(xsdt + 36, 8), "FACP"), madt = check_table(get(xsdt + 44, 8), "APIC");
        check_table(get(xsdt + 52, 8), "MCFG");
        /* ACPI 6.3: FADT 6.3 and MADT 5 belong together. */
        assert_int_equal(get(fadt + 8, 1), 6);
        assert_int_equal(get(fadt + 131, 1), 3);
        assert_int_equal(get(madt + 8, 1), 5);
        assert_int_equal(get(rsdt + 36, 4), fadt);
        assert_int_equal(get(rsdt + 40, 4), madt);
        check_table(get(fadt + 40, 4), "DSDT");
        assert_int_equal(get(fadt + 140, 8), get(fadt + 40, 4));
        assert_int_equal(get(fadt + 36, 4) % 64, 0);
        assert_int_equal(get(fadt + 56, 4), m.pm1a_event);
        assert_int_equal(get(fadt + 116, 1), 1);
        assert_int_equal(get(fadt + 120, 8), 0xcf9);
        assert_int_equal(get(fadt + 128, 1), 6);
        /* As many enabled CPUs as asked for, numbered. */
        uint64_t at = madt + 44, end = madt + get(madt + 4, 4), cpus = 0;
        while (at < end) {
            if (get(at, 1) == 0) {
                assert_int_equal(get(at + 3, 1), cpus);
                assert_int_equal(get(at + 4, 4), 1);
                cpus++;
            }
            assert_true(get(at + 1, 1) >= 6);
            at += get(at + 1, 1);
        }
        assert_int_equal(at, end);
        assert_int_equal(cpus, vcpus);
    }
}

static void every_size_is_refused_or_kept(void **state)
{
    (void)state;
    struct acpi_machine m;
    uint64_t rsdp;
    acpi_standard(&m, 4);
    size_t need = acpi_write(area, sizeof(area), ACPI_AREA, &m, &rsdp);
    for (size_t size = 0; size < need; size++) {
        uint8_t *exact = malloc(size ? size : 1);
        assert_int_equal(acpi_write(exact, size, ACPI_AREA, &m, &rsdp), 0);
        free(exact);
    }
    assert_int_equal(acpi_write(area, need, ACPI_AREA, &m, &rsdp), need);
    acpi_standard(&m, 0);
    assert_int_equal(acpi_write(area, sizeof(area), ACPI_AREA, &m, &rsdp), 0);
    acpi_standard(&m, 65);
    assert_int_equal(acpi_write(area, sizeof(area), ACPI_AREA, &m, &rsdp), 0);
    acpi_standard(&m, 1);
    assert_int_equal(acpi_write(area, sizeof(area), ACPI_AREA + 1, &m, &rsdp), 0);
    m.ecam_base = 1ull << 32;
    assert_int_equal(acpi_write(area, sizeof(area), ACPI_AREA, &m, &rsdp), 0);
    acpi_standard(&m, 1);
    m.mmio64_base = UINT64_MAX;
    m.mmio64_size = 2;
    assert_int_equal(acpi_write(area, sizeof(area), ACPI_AREA, &m, &rsdp), 0);
}

static void installs_in_guest_memory(void **state)
{
    (void)state;
    uint8_t *ram = calloc(1, 1 << 20);
    struct guest_memory m = {0};
    struct acpi_machine machine;
    uint64_t rsdp = 0;
    acpi_standard(&machine, 1);
    assert_int_equal(acpi_install(&m, &machine, &rsdp), E_ARG);
    assert_int_equal(guest_memory_add(&m, 0, 1 << 20, ram), OK);
    assert_int_equal(acpi_install(&m, &machine, &rsdp), OK);
    assert_memory_equal(ram + rsdp, "RSD PTR ", 8);
    free(ram);
}

static void write_table(const char *folder, const char *name, uint64_t gpa)
{
    char path[200];
    snprintf(path, sizeof(path), "%s/%s.aml", folder, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(area + gpa - ACPI_AREA, 1, get(gpa + 4, 4), f), get(gpa + 4, 4));
    fclose(f);
}

static void compiler_agrees(void **state)
{
    (void)state;
    if (system("command -v iasl >/dev/null 2>&1") != 0)
        skip();
    for (int variant = 0; variant < 2; variant++) {
        struct acpi_machine m;
        uint64_t rsdp;
        acpi_standard(&m, 3);
        if (variant == 1) {
            m.mmio64_base = 0x1000000000ull;
            m.mmio64_size = 0x1000000000ull;
            m.power_button = 0;
        }
        assert_true(acpi_write(area, sizeof(area), ACPI_AREA, &m, &rsdp) != 0);
        char folder[] = "/tmp/acpi-tables-XXXXXX", command[800];
        assert_non_null(mkdtemp(folder));
        uint64_t xsdt = get(rsdp + 24, 8), fadt = get(xsdt + 36, 8);
        write_table(folder, "xsdt", xsdt);
        write_table(folder, "rsdt", get(rsdp + 16, 4));
        write_table(folder, "fadt", fadt);
        write_table(folder, "facs", get(fadt + 36, 4));
        write_table(folder, "madt", get(xsdt + 44, 8));
        write_table(folder, "mcfg", get(xsdt + 52, 8));
        write_table(folder, "dsdt", get(fadt + 40, 4));
        snprintf(command, sizeof(command),
                 "cd %s && for t in *.aml; do iasl -d $t >$t.log 2>&1 || exit 1; "
                 "grep -Ei 'error|warning|invalid' $t.log && exit 2; "
                 "iasl -p again.${t%%.aml} ${t%%.aml}.dsl >$t.log2 2>&1 || { cat $t.log2; exit 3; }; "
                 "grep -q ' 0 Errors, 0 Warnings' $t.log2 || { cat $t.log2; exit 4; }; done",
                 folder);
        int result = system(command);
        if (result != 0)
            print_message("the tables are left in %s\n", folder);
        assert_int_equal(result, 0);
        /* What an operating system's interpreter makes of it: the window above RAM, only if there is one; and a routing
         * of four pins for each slot, that of the last slot's last pin among them. */
        snprintf(command, sizeof(command),
                 "cd %s && acpiexec -b 'evaluate \\_SB.PCI0._CRS' dsdt.aml >crs 2>&1 && grep -q 'Length %s =' crs && "
                 "{ [ %d = 0 ] || grep -q '00 00 00 00 10 00 00 00 FF FF FF FF 1F 00 00 00' crs; } && "
                 "acpiexec -b 'evaluate \\_SB.PCI0._PRT' dsdt.aml >prt 2>&1 && grep -q 'Contains 124 Elements' prt && "
                 "grep -A3 'Integer. = 00000000001FFFFF' prt | grep -q 'Integer. = 0000000000000012'",
                 folder, variant ? "72" : "44", variant);
        assert_int_equal(system(command), 0);
        /* Three CPUs are there, a fourth is not. What _OSC grants: the six bits that it knows. */
        snprintf(command, sizeof(command),
                 "cd %s && acpiexec -b 'evaluate \\_SB.CP02._STA; evaluate \\_SB.CP03._STA' dsdt.aml >sta 2>&1 && "
                 "grep -q 'Integer. = 000000000000000F' sta && grep -q 'Integer. = 0000000000000000' sta && "
                 "acpiexec -b 'evaluate \\_SB.PCI0._OSC (5B4DDB33F71F1C409657"
                 "7441C03DD766) 1 3 (00000000FF0000007F000000)' dsdt.aml >osc 2>&1 && "
                 "grep -q '10 00 00 00 FF 00 00 00 3F 00 00 00' osc && "
                 "acpiexec -b 'evaluate \\_SB.PCI0._OSC (00000000000000000000"
                 "000000000000) 1 3 (00000000FF0000007F000000)' dsdt.aml >osc 2>&1 && "
                 "grep -q '04 00 00 00 FF 00 00 00 7F 00 00 00' osc",
                 folder);
        result = system(command);
        if (result != 0)
            print_message("the answers are left in %s\n", folder);
        assert_int_equal(result, 0);
        snprintf(command, sizeof(command), "rm -r %s", folder);
        assert_int_equal(system(command), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(links_and_sums),
        cmocka_unit_test(every_size_is_refused_or_kept),
        cmocka_unit_test(installs_in_guest_memory),
        cmocka_unit_test(compiler_agrees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
