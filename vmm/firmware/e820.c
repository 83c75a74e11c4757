// SPDX-License-Identifier: Apache-2.0
/*
 * See vmm/firmware/e820.h.
 */
#include "vmm/firmware/e820.h"

static enum error put(struct e820_map *map, uint64_t base, uint64_t end, uint32_t type)
{
    if (base >= end)
        return OK;
    uint64_t size = end - base;
    uint32_t at = 0;
    while (at < map->count && map->entry[at].base < base)
        at++;
    if (at > 0 && map->entry[at - 1].base + map->entry[at - 1].size > base)
        return E_OVERLAP;
    if (at < map->count && end > map->entry[at].base)
        return E_OVERLAP;
    /* RAM pieces that touch become one entry. */
    if (at > 0 && map->entry[at - 1].type == type && map->entry[at - 1].base + map->entry[at - 1].size == base) {
        map->entry[at - 1].size += size;
        return OK;
    }
    if (map->count == E820_MAX)
        return E_QUOTA;
    for (uint32_t i = map->count; i > at; i--)
        map->entry[i] = map->entry[i - 1];
    map->entry[at] = (struct e820_entry){.base = base, .size = size, .type = type};
    map->count++;
    return OK;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

enum error e820_build(struct e820_map *map, const struct guest_memory *m, const struct e820_range *reserved,
                      uint32_t reserved_count)
{
    map->count = 0;
    enum error e = put(map, GUEST_HOLE_START, GUEST_HOLE_END, E820_RESERVED);
    for (uint32_t i = 0; e == OK && i < m->count; i++) {
        uint64_t base = m->piece[i].gpa, end = base + m->piece[i].size;
        e = put(map, base, smaller(end, GUEST_HOLE_START), E820_RAM);
        if (e == OK)
            e = put(map, larger(base, GUEST_HOLE_END), end, E820_RAM);
    }
    for (uint32_t i = 0; e == OK && i < reserved_count; i++) {
        if (reserved[i].size == 0 || reserved[i].base > UINT64_MAX - reserved[i].size)
            return E_ARG;
        e = put(map, reserved[i].base, reserved[i].base + reserved[i].size, E820_RESERVED);
    }
    return e;
}
