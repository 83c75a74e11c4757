// SPDX-License-Identifier: Apache-2.0
#include "arch/x86_64/ioapic.h"

#include "arch/x86_64/acpi.h"
#include "kernel/lock.h"
#include "mm/hostmap.h"

#define REG_VERSION 1u
#define REG_TABLE   0x10u
#define MASKED      (1u << 16)
#define LEVEL       (1u << 15)
#define ACTIVE_LOW  (1u << 13)
#define VECTOR      0xffu

static struct ioapic {
    volatile uint32_t *registers;
    uint32_t first, count;
} ioapics[IOAPICS_MAX];
static unsigned ioapic_count;
static struct lock registers_lock; /* a register is chosen, then used: of all of them */

static uint32_t read(struct ioapic *a, uint32_t reg)
{
    a->registers[0] = reg;
    return a->registers[4];
}

static void write(struct ioapic *a, uint32_t reg, uint32_t v)
{
    a->registers[0] = reg;
    a->registers[4] = v;
}

static struct ioapic *find(uint64_t gsi)
{
    for (unsigned i = 0; i < ioapic_count; i++)
        if (gsi >= ioapics[i].first && gsi - ioapics[i].first < ioapics[i].count)
            return &ioapics[i];
    return NULL;
}

void ioapic_add(hpa_t base, uint32_t first_gsi)
{
    struct ioapic *a = &ioapics[ioapic_count++];
    a->registers = hostmap_device(base, PAGE_SIZE);
    a->first = first_gsi;
    a->count = (read(a, REG_VERSION) >> 16 & 0xff) + 1;
    for (uint32_t i = 0; i < a->count; i++)
        write(a, REG_TABLE + 2 * i, MASKED);
}

enum error ioapic_route(uint64_t gsi, uint8_t vector, uint32_t apic_id, bool level, bool low)
{
    struct ioapic *a = find(gsi);
    if (!a)
        return E_UNSUPPORTED;
    uint32_t reg = REG_TABLE + 2 * ((uint32_t)gsi - a->first);
    lock(&registers_lock);
    bool used = read(a, reg) & VECTOR;
    if (!used) {
        write(a, reg + 1, apic_id << 24);
        write(a, reg, MASKED | vector | (level ? LEVEL : 0) | (low ? ACTIVE_LOW : 0));
    }
    unlock(&registers_lock);
    return used ? E_OVERLAP : OK;
}

void ioapic_mask(uint64_t gsi, bool masked)
{
    struct ioapic *a = find(gsi);
    uint32_t reg = REG_TABLE + 2 * ((uint32_t)gsi - a->first);
    lock(&registers_lock);
    write(a, reg, masked ? read(a, reg) | MASKED : read(a, reg) & ~MASKED);
    unlock(&registers_lock);
}

void ioapic_free(uint64_t gsi)
{
    struct ioapic *a = find(gsi);
    lock(&registers_lock);
    write(a, REG_TABLE + 2 * ((uint32_t)gsi - a->first), MASKED);
    unlock(&registers_lock);
}
