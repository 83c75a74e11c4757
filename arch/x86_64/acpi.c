// SPDX-License-Identifier: Apache-2.0
/* Source: ACPI Specification 6.4, 5.2.5 (RSDP), 5.2.7/8 (RSDT, XSDT), 5.2.9 (FADT), 5.2.12 (MADT). */
#include "arch/x86_64/acpi.h"

#include "kernel/log.h"
#include "kernel/string.h"

#define REACH     0x100000000ull /* what the boot's one-to-one map shows */
#define TABLE_MAX 0x400000u      /* no table we read is larger */

/* The compiler must not reason about objects at fixed addresses. */
static const uint8_t *physical(uint64_t at)
{
    __asm__("" : "+r"(at));
    return (const uint8_t *)at;
}

static bool sums_to_zero(const uint8_t *p, uint64_t n)
{
    uint8_t sum = 0;
    while (n--)
        sum = (uint8_t)(sum + *p++);
    return sum == 0;
}

/* A table with a sound header, its length in *size; NULL otherwise. */
static const uint8_t *table(uint64_t at, uint32_t *size)
{
    if (at == 0 || at > REACH - 36)
        return NULL;
    const uint8_t *p = physical(at);
    *size = (uint32_t)read_le(p + 4, 4);
    if (*size < 36 || *size > TABLE_MAX || *size > REACH - at || !sums_to_zero(p, *size)) {
        klog(LOG_WARN, "the ACPI table at 0x%lx is damaged; ignored", at);
        return NULL;
    }
    return p;
}

static uint64_t find_rsdp(uint64_t from, uint64_t to)
{
    for (uint64_t at = from; at < to; at += 16)
        if (!memcmp(physical(at), "RSD PTR ", 8) && sums_to_zero(physical(at), 20))
            return at;
    return 0;
}

static void add_cpu(struct acpi_facts *f, uint64_t id, uint64_t flags)
{
    if (!(flags & 1))
        return;
    for (uint32_t i = 0; i < f->cpu_count; i++)
        if (f->cpu_apic_id[i] == (uint32_t)id)
            return; /* named twice, as some firmware does: it must not be started twice */
    if (f->cpu_count < MAX_CPUS)
        f->cpu_apic_id[f->cpu_count++] = (uint32_t)id;
}

static void read_madt(const uint8_t *p, uint32_t size, struct acpi_facts *f)
{
    for (uint32_t at = 44; at + 2 <= size && p[at + 1] >= 2 && at + p[at + 1] <= size; at += p[at + 1]) {
        const uint8_t *e = p + at;
        if (e[0] == 0 && e[1] >= 8) {
            add_cpu(f, e[3], read_le(e + 4, 4));
        } else if (e[0] == 9 && e[1] >= 16) {
            add_cpu(f, read_le(e + 4, 4), read_le(e + 8, 4));
        } else if (e[0] == 1 && e[1] >= 12 && f->ioapic_count < ARRAY_SIZE(f->ioapic)) {
            f->ioapic[f->ioapic_count].base = read_le(e + 4, 4);
            f->ioapic[f->ioapic_count++].first_gsi = (uint32_t)read_le(e + 8, 4);
        } else if (e[0] == 4 && e[1] >= 6) {
            f->nmi_lint0 = e[5] == 0;
        }
    }
}

void acpi_read(uint64_t rsdp, struct acpi_facts *f)
{
    memset(f, 0, sizeof *f);
    if (rsdp == 0)
        rsdp = find_rsdp(0xe0000, 0x100000);
    uint64_t ebda = rsdp ? 0 : read_le(physical(0x40e), 2) << 4; /* the BIOS keeps a segment there */
    if (rsdp == 0 && ebda >= 0x400)
        rsdp = find_rsdp(ebda, min_u64(ebda + 1024, 0xa0000));
    if (rsdp == 0 || rsdp > REACH - 36) {
        klog(LOG_WARN, "no ACPI tables found: only the boot CPU is used, and power off is not possible");
        return;
    }
    const uint8_t *r = physical(rsdp);
    f->by_bochs = !memcmp(r + 9, "BOCHS ", 6);
    bool wide = r[15] >= 2 && read_le(r + 24, 8) != 0;
    uint32_t size = 0, entry = wide ? 8 : 4;
    f->list = wide ? read_le(r + 24, 8) : read_le(r + 16, 4);
    const uint8_t *list = table(f->list, &size);
    for (uint32_t at = 36; list && at + entry <= size; at += entry) {
        uint32_t n;
        const uint8_t *t = table(read_le(list + at, entry), &n);
        if (t && !memcmp(t, "APIC", 4) && f->madts++ == 0)
            read_madt(t, n, f);
        if (t && !memcmp(t, "FACP", 4) && f->pm_port == 0 && n >= 92 && t[91] == 4 &&
            read_le(t + 76, 4) <= 0xffff) /* PM_TMR_LEN: there is one, at a port that there is */
            f->pm_port = (uint16_t)read_le(t + 76, 4);
    }
}
