// SPDX-License-Identifier: Apache-2.0
/* See acpi.h. */
#include "services/root/acpi.h"

#include "lib/string.h"

#define HEADER      36u
#define TABLE_MAX   0x400000u /* no table that is read is larger */
#define ENTRIES_MAX 64u
#define FADT_DSDT   40
#define FADT_PM1A   64
#define FADT_X_DSDT 140

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

bool acpi_find_power(uint64_t list, struct acpi_power *out)
{
    static uint64_t entries[ENTRIES_MAX];
    uint32_t size, count = 0;
    bool found = false;
    const uint8_t *p = table(list, &size);
    uint32_t entry = p != NULL && memcmp(p, "XSDT", 4) == 0 ? 8 : 4;
    for (uint32_t at = HEADER; p != NULL && at + entry <= size && count < ENTRIES_MAX; at += entry)
        entries[count++] = read_le(p + at, entry);
    for (uint32_t i = 0; i < count && !found; i++) {
        p = table(entries[i], &size);
        found = p != NULL && memcmp(p, "FACP", 4) == 0 && read_fadt(p, size, out);
    }
    (void)acpi_show(0, 0);
    return found;
}
