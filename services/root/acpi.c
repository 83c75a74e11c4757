// SPDX-License-Identifier: Apache-2.0
/* See acpi.h. */
#include "services/root/acpi.h"

#include "lib/string.h"
#include "mullion/abi.h"

#define HEADER      36u
#define TABLE_MAX   0x400000u /* no table that is read is larger */
#define ENTRIES_MAX 64u
#define FADT_DSDT   40
#define FADT_PM1A   64
#define FADT_X_DSDT 140
#define MADT_FIRST  44u
#define MADT_ISA    2 /* an interrupt source override */
#define MADT_CPU    0 /* a local APIC */
#define MADT_IOAPIC 1
#define MADT_X2APIC 9

static uint64_t read_le(const uint8_t *p, unsigned bytes)
{
    uint64_t v = 0;
    while (bytes-- > 0)
        v = v << 8 | p[bytes];
    return v;
}

static bool sums_to_zero(const uint8_t *p, uint64_t n)
{
    uint8_t sum = 0;
    while (n-- > 0)
        sum = (uint8_t)(sum + *p++);
    return sum == 0;
}

/* A table with a sound header, its length in *size, until the next one is shown. NULL: there is none. */
static const uint8_t *table(uint64_t at, uint32_t *size)
{
    const uint8_t *p = at != 0 ? acpi_show(at, HEADER) : NULL;
    if (p == NULL)
        return NULL;
    *size = (uint32_t)read_le(p + 4, 4);
    if (*size < HEADER || *size > TABLE_MAX)
        return NULL;
    p = acpi_show(at, *size);
    return p != NULL && sums_to_zero(p, *size) ? p : NULL;
}

/* Name(_S5_, Package { type, ... }): the only AML that is read; the type is a byte constant, ZeroOp or OneOp. */
static bool sleep_type(const uint8_t *p, uint32_t size, uint8_t *type)
{
    for (uint32_t at = HEADER; at + 7 < size; at++) {
        if (memcmp(p + at, "_S5_\x12", 5) != 0)
            continue;
        uint32_t value = at + 5 + 1 + (p[at + 5] >> 6) + 1; /* over PkgLength and the element count */
        if (value + 1 >= size)
            return false;
        if (p[value] == 0x0a)
            *type = p[value + 1];
        else
            *type = p[value] <= 1 ? p[value] : 0xff;
        return *type <= 7;
    }
    return false;
}

static bool read_fadt(const uint8_t *p, uint32_t size, struct acpi_power *out)
{
    uint32_t dsdt_size;
    if (size < FADT_PM1A + 4)
        return false;
    uint64_t port = read_le(p + FADT_PM1A, 4), dsdt_at = read_le(p + FADT_DSDT, 4);
    uint64_t wide = size >= FADT_X_DSDT + 8 ? read_le(p + FADT_X_DSDT, 8) : 0;
    if (port == 0 || port >= 0xffff)
        return false;
    const uint8_t *dsdt = table(dsdt_at, &dsdt_size);
    if (dsdt == NULL)
        dsdt = table(wide, &dsdt_size);
    out->port = (uint16_t)port;
    return dsdt != NULL && sleep_type(dsdt, dsdt_size, &out->type);
}

static void read_madt(const uint8_t *p, uint32_t size, struct isa_line *out)
{
    for (uint32_t at = MADT_FIRST; at + 2 <= size && p[at + 1] >= 2 && at + p[at + 1] <= size; at += p[at + 1]) {
        const uint8_t *e = p + at;
        if (e[0] != MADT_ISA || e[1] < 10 || e[3] >= ISA_LINES)
            continue;
        bool low = (e[8] & 3) == 3, level = (e[8] >> 2 & 3) == 3;
        out[e[3]].gsi = (uint32_t)read_le(e + 4, 4);
        out[e[3]].how = (low ? LINE_LOW : 0) | (level ? LINE_LEVEL : 0);
    }
}

/* Goes through the list from *next on. NULL: there is no further table of that name. */
static const uint8_t *find(uint64_t list, const char *name, uint32_t *next, uint32_t *size)
{
    for (; *next < ENTRIES_MAX; ++*next) {
        const uint8_t *p = table(list, size);
        uint32_t entry = p != NULL && memcmp(p, "XSDT", 4) == 0 ? 8 : 4, at = HEADER + *next * entry;
        if (p == NULL || at + entry > *size)
            return NULL;
        p = table(read_le(p + at, entry), size);
        if (p != NULL && memcmp(p, name, 4) == 0) {
            ++*next;
            return p;
        }
    }
    return NULL;
}

bool acpi_find_power(uint64_t list, struct acpi_power *out)
{
    uint32_t next = 0, size;
    bool found = false;
    for (const uint8_t *p; !found && (p = find(list, "FACP", &next, &size)) != NULL;)
        found = read_fadt(p, size, out);
    (void)acpi_show(0, 0);
    return found;
}

void acpi_find_isa(uint64_t list, struct isa_line out[ISA_LINES])
{
    uint32_t next = 0, size;
    for (uint32_t i = 0; i < ISA_LINES; i++)
        out[i] = (struct isa_line){.gsi = i};
    const uint8_t *p = find(list, "APIC", &next, &size);
    if (p != NULL)
        read_madt(p, size, out);
    (void)acpi_show(0, 0);
}

/* A CPU that runs: once, whatever entries of both kinds name it. */
static void count_cpu(uint64_t id, uint64_t flags, struct acpi_count *out)
{
    if (!(flags & 1) || (id < ACPI_COUNT_IDS && out->seen[id]))
        return;
    if (id < ACPI_COUNT_IDS)
        out->seen[id] = true;
    out->cpus++;
}

static void count_madt(const uint8_t *p, uint32_t size, struct acpi_count *out)
{
    for (uint32_t at = MADT_FIRST; at + 2 <= size && p[at + 1] >= 2 && at + p[at + 1] <= size; at += p[at + 1]) {
        const uint8_t *e = p + at;
        if (e[0] == MADT_CPU && e[1] >= 8)
            count_cpu(e[3], read_le(e + 4, 4), out);
        else if (e[0] == MADT_X2APIC && e[1] >= 16)
            count_cpu(read_le(e + 4, 4), read_le(e + 8, 4), out);
        else if (e[0] == MADT_IOAPIC && e[1] >= 12)
            out->ioapics++;
    }
}

void acpi_count(uint64_t list, struct acpi_count *out)
{
    uint32_t next = 0, size;
    memset(out, 0, sizeof *out);
    for (const uint8_t *p; (p = find(list, "APIC", &next, &size)) != NULL;)
        if (out->madts++ == 0)
            count_madt(p, size, out);
    next = 0;
    while (find(list, "FACP", &next, &size) != NULL)
        out->fadts++;
    (void)acpi_show(0, 0);
}
