// SPDX-License-Identifier: Apache-2.0
/*
 * `devices`: the machine's PCI functions. See show.h.
 */
#include "lib/print.h"
#include "services/console/show.h"

/* PCI Code and ID Assignment Specification 1.11, 1 */
static const char *class_name(uint32_t class)
{
    static const char *const name[] = {"other",     "storage", "network",       "display",    "multimedia",
                                       "memory",    "bridge",  "communication", "system",     "input",
                                       "docking",   "CPU",     "serial bus",    "wireless",   "intelligent I/O",
                                       "satellite", "crypto",  "signal",        "accelerator"};
    uint32_t base = class >> 16;
    return base < ARRAY_SIZE(name) ? name[base] : "other";
}

static void can_raise(char *out, size_t size, const struct device_record *r)
{
    static const char *const pin[] = {"", "INTA", "INTB", "INTC", "INTD"};
    bool msi = r->messages & DEVICE_MSI, msix = r->messages & DEVICE_MSIX;
    if (r->pin == 0 && r->messages == 0)
        format(out, size, "-");
    else
        format(out, size, "%s%s%s%s%s", pin[r->pin], r->pin != 0 && r->messages != 0 ? ", " : "", msi ? "MSI" : "",
               msi && msix ? ", " : "", msix ? "MSI-X" : "");
}

static void uses(char *out, size_t size, const struct device_record *r)
{
    if (r->interrupt == DEVICE_QUIET)
        format(out, size, "-");
    else
        format(out, size, "%s %u, CPU %u", r->interrupt == DEVICE_BY_LINE ? "line" : "vector", r->number, r->cpu);
}

static void device_head(struct show *s)
{
    if (!s->head)
        show_line(s, "%-7s  %-9s  %-20s  %-16s  %-18s  %s", "PLACE", "NUMBER", "CLASS", "CAN RAISE", "INTERRUPT",
                  "DRIVER");
    s->head = true;
}

void show_device(struct show *s, const struct device_record *r)
{
    char place[16], number[16], class[32], can[24], interrupt[32];
    device_head(s);
    format(place, sizeof place, "%02x:%02x.%u", r->place >> 8, r->place >> 3 & 31, r->place & 7);
    format(number, sizeof number, "%04x:%04x", r->vendor, r->device);
    format(class, sizeof class, "%06x %s", r->class, class_name(r->class));
    can_raise(can, sizeof can, r);
    uses(interrupt, sizeof interrupt, r);
    show_line(s, "%-7s  %-9s  %-20s  %-16s  %-18s  %s%s%s", place, number, class, can, interrupt,
              r->driver[0] != 0 ? r->driver : "-", r->driver[0] != 0 && !r->driven ? " (it stays away)" : "",
              r->master ? ", bus master" : "");
}

void show_no_device(struct show *s)
{
    if (!s->head)
        show_line(s, "(root has found no PCI function)");
}
