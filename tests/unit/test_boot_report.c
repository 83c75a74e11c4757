// SPDX-License-Identifier: Apache-2.0
// sources: services/root/boot_report.c services/root/modules.c services/root/acpi.c lib/print.c
/* Each thing that the loader or the firmware told of and that is not used has its warning, and nothing else has one. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "acpi_tables.h"
#include "lib/print.h"
#include "root_boot_here.h"
#include "services/root/acpi.h"
#include "services/root/root.h"

static char said[8192];

void root_log(enum log_level level, const char *text, ...)
{
    va_list arguments;
    assert_int_equal(level, LOG_WARN);
    va_start(arguments, text);
    size_t n = strlen(said);
    format_list(said + n, sizeof said - n, text, arguments);
    va_end(arguments);
    strcat(said, "\n");
}

const uint8_t *acpi_show(uint64_t where, uint64_t size)
{
    uint64_t offset = where - address(low);
    return size != 0 && offset < LOW && size <= LOW - offset ? at(where) : NULL;
}

static struct root_boot *b;

static struct root_boot *fresh(void)
{
    (void)map_root_boot();
    memset((void *)ROOT_BOOT_VA, 0, sizeof *b);
    return (struct root_boot *)ROOT_BOOT_VA;
}

static void module(const char *name, uint64_t size)
{
    struct boot_module *m = &b->module[b->module_count++];
    m->size = size;
    snprintf(m->name, sizeof m->name, "%s", name);
}

static void machine(unsigned madts, unsigned fadts, unsigned cpus, unsigned ioapics)
{
    uint64_t tables[8];
    unsigned n = 0;
    tables_clear();
    madt_start();
    for (unsigned i = 0; i < cpus; i++) {
        uint8_t *e = madt_entry(9, 16);
        put(e + 4, i, 4);
        put(e + 8, 1, 4);
    }
    for (unsigned i = 0; i < ioapics; i++)
        madt_entry(1, 12);
    for (unsigned i = 0; i < madts; i++)
        tables[n++] = i == 0 ? table_at_end("APIC", madt, 36 + madt_used) : table("APIC", madt, 36 + madt_used);
    for (unsigned i = 0; i < fadts; i++)
        tables[n++] = table("FACP", NULL, 276);
    b->acpi_list = list_of(true, tables, n);
}

static void test_nothing_to_say(void **state)
{
    (void)state;
    b = fresh();
    b->cpu_count = 1;
    boot_report(); /* no tables at all: the boot CPU is alone */
    machine(1, 1, 4, IOAPICS_MAX);
    b->cpu_count = 4;
    module("/boot/vmlinuz with words", 1);
    boot_report();
    assert_string_equal(said, "");
}

static void test_each_in_words(void **state)
{
    (void)state;
    static char deep[BOOT_NAME_MAX], named[MODULE_NAME_MAX + 10];
    b = fresh();
    memset(deep, 'd', sizeof deep - 1);
    memset(named, 'n', sizeof named - 1);
    named[0] = '/';
    memset(b->cmdline, 'c', BOOT_CMDLINE_MAX - 1);
    b->ranges_left_out = 3;
    b->modules_left_out = 2;
    b->cpu_count = 3;
    module("a/vmlinuz x", 5);
    module("vmlinuz", 6);
    module("b/empty", 0);
    module(deep, 7);
    module(named, 8);
    machine(2, 3, 5, IOAPICS_MAX + 2);
    boot_report();
    static const char *const expected[] = {
        "the kernel's command line fills all 1023 bytes that are kept, and is cut if it is longer\n",
        "the firmware's map of memory has too many pieces: 3 or more stay unused, at most 256 are kept\n",
        "boot modules 0 and 1 are both called 'vmlinuz'; the first one is used\n",
        "boot module 2, 'empty', is empty\n",
        "boot module 3: the loader's string fills all 1023 bytes that are kept, and is cut if it is longer; "
        "it begins with 'dddddddddddddddddddddddddddddddddddddddd'\n",
        "boot module 4: its name may be cut, at most 127 bytes are kept: 'nnn",
        "2 boot modules are left out: at most 64 are kept\n",
        "the firmware has 2 tables of CPUs and interrupts (MADT); the first one is used\n",
        "the firmware has 3 tables of fixed hardware (FADT); the first that tells it is used\n",
        "2 of the machine's 5 CPUs are not used; the lines above say why\n",
        "2 of the machine's 10 I/O APICs are not used: at most 8 are\n",
    };
    for (unsigned i = 0; i < ARRAY_SIZE(expected); i++)
        if (strstr(said, expected[i]) == NULL)
            fail_msg("not said: %s in\n%s", expected[i], said);
    unsigned lines = 0;
    for (const char *p = said; (p = strchr(p, '\n')) != NULL; p++)
        lines++;
    assert_int_equal(lines, ARRAY_SIZE(expected));
    said[0] = 0;
    b = fresh();
    machine(1, 1, MAX_CPUS + 6, 1);
    b->cpu_count = MAX_CPUS;
    boot_report();
    assert_string_equal(said, "6 of the machine's 1030 CPUs are not used: there are more than Mullion can have\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_nothing_to_say), cmocka_unit_test(test_each_in_words)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
