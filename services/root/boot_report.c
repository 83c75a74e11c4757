// SPDX-License-Identifier: Apache-2.0
/* What the loader and the firmware told of and Mullion does not use, or uses in part: a warning each. See root.h. */
#include "lib/string.h"
#include "services/root/acpi.h"
#include "services/root/root.h"

static void report_modules(const struct root_boot *b)
{
    for (unsigned i = 0; i < b->module_count && i < BOOT_MODULES_MAX; i++) {
        const char *name = module_name(i);
        if (strlen(b->module[i].name) == BOOT_NAME_MAX - 1)
            root_log(
                LOG_WARN,
                "boot module %u: the loader's string fills all %u bytes that are kept, and is cut if it is longer; "
                "it begins with '%.40s'",
                i, BOOT_NAME_MAX - 1, b->module[i].name);
        else if (strlen(name) == MODULE_NAME_MAX - 1)
            root_log(LOG_WARN, "boot module %u: its name may be cut, at most %u bytes are kept: '%s'", i,
                     MODULE_NAME_MAX - 1, name);
        if (b->module[i].size == 0)
            root_log(LOG_WARN, "boot module %u, '%s', is empty", i, name);
        for (unsigned first = 0; first < i; first++)
            if (strcmp(module_name(first), name) == 0) {
                root_log(LOG_WARN, "boot modules %u and %u are both called '%s'; the first one is used", first, i,
                         name);
                break;
            }
    }
    if (b->modules_left_out != 0)
        root_log(LOG_WARN, "%u boot modules are left out: at most %u are kept", b->modules_left_out, BOOT_MODULES_MAX);
}

static void report_firmware(const struct root_boot *b)
{
    static struct acpi_count n; /* static: it is large */
    acpi_count(b->acpi_list, &n);
    if (n.madts > 1)
        root_log(LOG_WARN, "the firmware has %u tables of CPUs and interrupts (MADT); the first one is used", n.madts);
    if (n.fadts > 1)
        root_log(LOG_WARN, "the firmware has %u tables of fixed hardware (FADT); the first that tells it is used",
                 n.fadts);
    if (n.cpus > b->cpu_count)
        root_log(LOG_WARN, "%u of the machine's %u CPUs are not used%s", n.cpus - b->cpu_count, n.cpus,
                 n.cpus > MAX_CPUS ? ": there are more than Mullion can have" : "; the lines above say why");
    if (n.ioapics > IOAPICS_MAX)
        root_log(LOG_WARN, "%u of the machine's %u I/O APICs are not used: at most %u are", n.ioapics - IOAPICS_MAX,
                 n.ioapics, IOAPICS_MAX);
}

void boot_report(void)
{
    const struct root_boot *b = ROOT_BOOT;
    if (strlen(b->cmdline) == BOOT_CMDLINE_MAX - 1)
        root_log(LOG_WARN, "the kernel's command line fills all %u bytes that are kept, and is cut if it is longer",
                 BOOT_CMDLINE_MAX - 1);
    if (b->ranges_left_out != 0)
        root_log(LOG_WARN,
                 "the firmware's map of memory has too many pieces: %u or more stay unused, at most %u are kept",
                 b->ranges_left_out, BOOT_RAM_MAX);
    report_modules(b);
    report_firmware(b);
}
