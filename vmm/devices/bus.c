// SPDX-License-Identifier: Apache-2.0
/* Finds the device that an access is for; see bus.h. Ranges are kept sorted, so finding one is a binary search. */
#include "vmm/devices/bus.h"

#include <stddef.h>
#include "lib/string.h"

void bus_init(struct bus *bus)
{
    memset(bus, 0, sizeof *bus);
}

#define BUS_SIZES (1u << 1 | 1u << 2 | 1u << 4 | 1u << 8)

static bool width_ok(unsigned width, unsigned most)
{
    return width != 0 && width <= most && (width & (width - 1)) == 0;
}

static bool flags_ok(unsigned flags, unsigned most)
{
    return width_ok(flags & BUS_WIDTH, most) && (flags & ~(BUS_WIDTH | BUS_TIMERS)) == 0;
}

static void forget_hits(struct bus *bus)
{
    memset(bus->port_hit, 0, sizeof bus->port_hit);
    bus->memory_hit.sizes = 0;
}

/* Index of the first range that ends at or after the address. */
static uint32_t find_port(const struct bus *bus, uint32_t port)
{
    uint32_t low = 0, high = bus->ports;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (bus->port[middle].last < port)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static uint32_t find_memory(const struct bus *bus, uint64_t gpa)
{
    uint32_t low = 0, high = bus->memories;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (bus->memory[middle].last < gpa)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

enum error bus_add_ports(struct bus *bus, uint16_t first, uint16_t last, unsigned widest, bus_port_handler handler,
                         void *device)
{
    if (first > last || !flags_ok(widest, 4) || !handler)
        return E_ARG;
    uint32_t at = find_port(bus, first);
    if (at < bus->ports && bus->port[at].first <= last)
        return E_OVERLAP;
    if (bus->ports == BUS_PORT_RANGES)
        return E_QUOTA;
    forget_hits(bus);
    memmove(&bus->port[at + 1], &bus->port[at], (bus->ports - at) * sizeof bus->port[0]);
    bus->port[at] = (struct bus_port_range){
        .first = first, .last = last, .flags = (uint16_t)widest, .handler = handler, .device = device};
    bus->ports++;
    return OK;
}

enum error bus_add_memory(struct bus *bus, uint64_t first, uint64_t last, unsigned widest, bus_memory_handler handler,
                          void *device)
{
    if (first > last || !flags_ok(widest, 8) || !handler)
        return E_ARG;
    uint32_t at = find_memory(bus, first);
    if (at < bus->memories && bus->memory[at].first <= last)
        return E_OVERLAP;
    if (bus->memories == BUS_MEMORY_RANGES)
        return E_QUOTA;
    forget_hits(bus);
    memmove(&bus->memory[at + 1], &bus->memory[at], (bus->memories - at) * sizeof bus->memory[0]);
    bus->memory[at] = (struct bus_memory_range){
        .first = first, .last = last, .flags = (uint16_t)widest, .handler = handler, .device = device};
    bus->memories++;
    return OK;
}

enum error bus_add_byte_port(struct bus *bus, uint16_t port, bus_port_handler handler, void *device)
{
    if (!handler)
        return E_ARG;
    for (uint32_t i = 0; i < bus->bytes; i++)
        if (bus->byte[i].first == port)
            return E_OVERLAP;
    if (bus->bytes == BUS_BYTE_PORTS)
        return E_QUOTA;
    forget_hits(bus);
    bus->byte[bus->bytes++] = (struct bus_port_range){
        .first = port, .last = port, .flags = 1, .handler = handler, .device = device};
    return OK;
}

void bus_remove_ports(struct bus *bus, uint16_t first, const void *device)
{
    uint32_t at = find_port(bus, first);
    if (at >= bus->ports || bus->port[at].first != first || bus->port[at].device != device)
        return;
    forget_hits(bus);
    bus->ports--;
    memmove(&bus->port[at], &bus->port[at + 1], (bus->ports - at) * sizeof bus->port[0]);
}

void bus_remove_memory(struct bus *bus, uint64_t first, const void *device)
{
    uint32_t at = find_memory(bus, first);
    if (at >= bus->memories || bus->memory[at].first != first || bus->memory[at].device != device)
        return;
    forget_hits(bus);
    bus->memories--;
    memmove(&bus->memory[at], &bus->memory[at + 1], (bus->memories - at) * sizeof bus->memory[0]);
}

bool bus_memory_claimed(const struct bus *bus, uint64_t first, uint64_t last)
{
    uint32_t at = find_memory(bus, first);
    return at < bus->memories && bus->memory[at].first <= last;
}

static unsigned answer_of(unsigned flags)
{
    return BUS_CLAIMED | (flags & ~BUS_WIDTH);
}

/* One access that the device gets as it is. The range is not looked at after the call: the handler may change the
 * table. */
static inline void port_piece(const struct bus_port_range *range, uint32_t port, unsigned size, bool is_write,
                              uint32_t *value)
{
    uint32_t v = is_write ? *value & (uint32_t)bus_ones(size) : (uint32_t)bus_ones(size);
    range->handler(range->device, (uint16_t)port, size, is_write, &v);
    if (!is_write)
        *value = v & (uint32_t)bus_ones(size);
}

static const struct bus_port_range *port_range_of(const struct bus *bus, uint32_t port, unsigned size)
{
    if (size == 1)
        for (uint32_t i = 0; i < bus->bytes; i++)
            if (bus->byte[i].first == port)
                return &bus->byte[i];
    uint32_t at = find_port(bus, port);
    if (at >= bus->ports || bus->port[at].first > port || port + size - 1 > bus->port[at].last)
        return NULL;
    return &bus->port[at];
}

unsigned bus_search_port(struct bus *bus, uint16_t port, unsigned size, bool is_write, uint32_t *value)
{
    if (!width_ok(size, 4)) {
        if (!is_write)
            *value = UINT32_MAX;
        return 0;
    }
    const struct bus_port_range *range = port_range_of(bus, port, size);
    if (range != NULL && size <= (range->flags & BUS_WIDTH)) {
        unsigned answer = answer_of(range->flags);
        bus->port_hit[bus_port_slot(port)] = (struct bus_port_hit){.key = bus_port_key(port, size),
                                                                   .ones = (uint32_t)bus_ones(size),
                                                                   .handler = range->handler,
                                                                   .device = range->device,
                                                                   .answer = answer};
        port_piece(range, port, size, is_write, value);
        return answer;
    }
    unsigned answer = 0, step = range != NULL ? range->flags & BUS_WIDTH : 1;
    uint32_t result = 0;
    for (unsigned i = 0; i < size; i += step) {
        uint32_t piece = is_write ? *value >> (8 * i) & (uint32_t)bus_ones(step) : (uint32_t)bus_ones(step);
        /* A port number past 0xffff does not wrap: no device is there. */
        range = (uint32_t)port + i <= 0xffff ? port_range_of(bus, (uint32_t)port + i, step) : NULL;
        if (range != NULL) {
            answer |= answer_of(range->flags);
            port_piece(range, (uint32_t)port + i, step, is_write, &piece);
        }
        result |= piece << (8 * i);
    }
    if (!is_write)
        *value = result;
    return answer;
}

/* A copy: the handler may change the table. */
static bool memory_range_of(const struct bus *bus, uint64_t gpa, unsigned size, struct bus_memory_range *out)
{
    uint32_t at = find_memory(bus, gpa);
    if (at >= bus->memories || bus->memory[at].first > gpa || bus->memory[at].last - gpa < size - 1)
        return false;
    *out = bus->memory[at];
    return true;
}

static void memory_piece(const struct bus_memory_range *r, uint64_t gpa, unsigned size, bool is_write, uint64_t *value)
{
    uint64_t v = is_write ? *value & bus_ones(size) : bus_ones(size);
    r->handler(r->device, gpa - r->first, size, is_write, &v);
    if (!is_write)
        *value = v & bus_ones(size);
}

unsigned bus_search_memory(struct bus *bus, uint64_t gpa, unsigned size, bool is_write, uint64_t *value)
{
    struct bus_memory_range range;
    if (!width_ok(size, 8)) {
        if (!is_write)
            *value = UINT64_MAX;
        return 0;
    }
    bool whole = memory_range_of(bus, gpa, size, &range);
    if (whole && size <= (range.flags & BUS_WIDTH)) {
        bus->memory_hit = (struct bus_memory_hit){.first = range.first,
                                                  .reach = range.last - range.first,
                                                  .sizes = BUS_SIZES & ((2u << (range.flags & BUS_WIDTH)) - 1),
                                                  .answer = answer_of(range.flags),
                                                  .handler = range.handler,
                                                  .device = range.device};
        memory_piece(&range, gpa, size, is_write, value);
        return answer_of(range.flags);
    }
    unsigned answer = 0, step = whole ? range.flags & BUS_WIDTH : 1;
    uint64_t result = 0;
    for (unsigned i = 0; i < size; i += step) {
        uint64_t piece = is_write ? *value >> (8 * i) & bus_ones(step) : bus_ones(step);
        if (gpa <= UINT64_MAX - i && memory_range_of(bus, gpa + i, step, &range)) {
            memory_piece(&range, gpa + i, step, is_write, &piece);
            answer |= answer_of(range.flags);
        }
        result |= piece << (8 * i);
    }
    if (!is_write)
        *value = result;
    return answer;
}
