/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACPI tables for the tests that read them: put into low memory as firmware puts them, with right checksums. The last
 * page before an unreadable one is where a table under test ends. To be included after cmocka.h.
 */
#ifndef ACPI_TABLES_H
#define ACPI_TABLES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "mullion/abi.h"

enum { LOW = 16 << 20 };
static uint8_t *low;  /* LOW bytes, readable, below 2 GiB; then a page that is not */
static uint64_t next; /* where the next table goes */

static uint64_t address(const void *p)
{
    return (uint64_t)(uintptr_t)p;
}
static uint8_t *at(uint64_t a)
{
    return (uint8_t *)(uintptr_t)a;
}
static void put(uint8_t *p, uint64_t v, unsigned bytes)
{
    memcpy(p, &v, bytes);
}

/* None is there. */
static void tables_clear(void)
{
    if (!low) {
        low = mmap(NULL, LOW + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
        assert_ptr_not_equal(low, MAP_FAILED);
        assert_int_equal(mprotect(low + LOW, 4096, PROT_NONE), 0);
    }
    memset(low, 0, 1 << 20);
    memset(low + LOW - (1 << 20), 0, 1 << 20);
    next = address(low) + 0x1000;
}

/* Makes its checksum right. */
static void seal(uint64_t table)
{
    uint32_t size;
    memcpy(&size, at(table) + 4, 4);
    uint8_t sum = 0;
    at(table)[9] = 0;
    for (uint32_t i = 0; i < size; i++)
        sum = (uint8_t)(sum + at(table)[i]);
    at(table)[9] = (uint8_t)(0 - sum);
}

/* A table of `size` bytes with this body behind its header. */
static uint64_t table(const char *signature, const void *body, uint32_t size)
{
    uint64_t t = next;
    next += (size + 63u) & ~63u;
    memcpy(at(t), signature, 4);
    put(at(t) + 4, size, 4);
    if (body)
        memcpy(at(t) + 36, body, size - 36);
    seal(t);
    return t;
}

/* The same, its last byte at the end of what can be read. */
static uint64_t table_at_end(const char *signature, const void *body, uint32_t size)
{
    uint64_t keep = next;
    next = address(low) + LOW - size;
    uint64_t t = table(signature, body, size);
    next = keep;
    return t;
}

/* The table of tables: XSDT (wide) or RSDT. */
static uint64_t list_of(bool wide, const uint64_t *tables, unsigned count)
{
    uint8_t list[40 * 8];
    for (unsigned i = 0; i < count; i++)
        put(list + i * (wide ? 8 : 4), tables[i], wide ? 8 : 4);
    return table(wide ? "XSDT" : "RSDT", list, 36 + count * (wide ? 8 : 4));
}

/* A MADT's body: the local APIC's address and flags, then entries. */
static uint8_t madt[64 + 16 * (MAX_CPUS + 10) + 12 * 12];
static uint32_t madt_used;
static void madt_start(void)
{
    memset(madt, 0, sizeof madt);
    put(madt, 0xfee00000, 4);
    madt_used = 8;
}
static uint8_t *madt_entry(uint8_t type, uint8_t size)
{
    uint8_t *e = madt + madt_used;
    e[0] = type;
    e[1] = size;
    madt_used += size;
    return e;
}

#endif
