/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's I/O: which device answers at which port and at which guest-physical address.
 *
 * Ranges are inclusive [first, last], never empty, never wrap, and never overlap (an overlapping one is refused). An
 * access that lies in one range goes to the device as it is, or, if it is wider than the range's `widest`, in pieces of
 * that width; one that leaves a range is cut into bytes. What no device claims reads as all ones and swallows writes.
 *
 * Lock: the VM's lock is held around every call. A handler may add and remove ranges (that is how PCI BARs move).
 */
#ifndef VMM_DEVICES_BUS_H
#define VMM_DEVICES_BUS_H

#include <stdbool.h>
#include <stdint.h>

#include "mullion/abi.h"
#include "mullion/types.h"

#define BUS_PORT_RANGES   64u
#define BUS_MEMORY_RANGES 64u
#define BUS_PORT_HITS     64u
#define BUS_BYTE_PORTS    4u
#define BUS_PORT_KEY      0x80000000u

/* Flags of a range, added to its `widest`; and what an access says of the ranges that it met. */
#define BUS_WIDTH   0x00fu
#define BUS_TIMERS  0x100u /* an access may change when a device's next event is due */
#define BUS_CLAIMED 0x800u /* an answer only: a device took at least one byte of it */

/* Both get the absolute port / the offset from the range's first address. size: 1, 2, 4 (memory: 8 too). For a read,
 * *value comes in as all ones of that size and what the handler leaves above the size is cut off. */
typedef void (*bus_port_handler)(void *device, uint16_t port, unsigned size, bool is_write, uint32_t *value);
typedef void (*bus_memory_handler)(void *device, uint64_t offset, unsigned size, bool is_write, uint64_t *value);

struct bus_port_range {
    uint16_t first, last;
    uint16_t flags; /* with `widest` in BUS_WIDTH */
    bus_port_handler handler;
    void *device;
};

struct bus_memory_range {
    uint64_t first, last;
    uint16_t flags;
    bus_memory_handler handler;
    void *device;
};

/* Accesses that went to one range whole, so that the next of their kind need no search. All are forgotten when a range
 * comes or goes. */
struct bus_port_hit {
    uint32_t key;  /* bus_port_key(); 0: empty */
    uint32_t ones; /* bus_ones() of that size */
    bus_port_handler handler;
    void *device;
    uint64_t answer; /* BUS_CLAIMED and the range's flags */
};
struct bus_memory_hit {
    uint64_t first, reach; /* the range is [first, first + reach] */
    uint32_t sizes;        /* bit n: accesses of n bytes go to the device as they are; 0: empty */
    uint32_t answer;       /* BUS_CLAIMED and the range's flags */
    bus_memory_handler handler;
    void *device;
};

/* Sorted by `first`. */
struct bus {
    struct bus_port_hit port_hit[BUS_PORT_HITS]; /* by bus_port_slot() */
    struct bus_memory_hit memory_hit;            /* the last one */
    uint32_t ports, memories, bytes;
    struct bus_port_range port[BUS_PORT_RANGES];
    struct bus_memory_range memory[BUS_MEMORY_RANGES];
    struct bus_port_range byte[BUS_BYTE_PORTS];
};

void bus_init(struct bus *bus);

/* widest: 1, 2, 4 (memory: 8 too), with flags. E_ARG: empty or wrapping range, bad width; E_OVERLAP; E_QUOTA: the table
 * is full. */
must_check enum error bus_add_ports(struct bus *bus, uint16_t first, uint16_t last, unsigned widest,
                                    bus_port_handler handler, void *device);
must_check enum error bus_add_memory(struct bus *bus, uint64_t first, uint64_t last, unsigned widest,
                                     bus_memory_handler handler, void *device);
/* A register that only single-byte accesses reach, though a wider register lies over it: 0xcf9 inside PCI's
 * 0xcf8..0xcfb. */
must_check enum error bus_add_byte_port(struct bus *bus, uint16_t port, bus_port_handler handler, void *device);
/* Remove the range that starts at `first` and belongs to `device`; nothing happens if there is none. */
void bus_remove_ports(struct bus *bus, uint16_t first, const void *device);
void bus_remove_memory(struct bus *bus, uint64_t first, const void *device);

/* Whether any device claims a byte of [first, last]. */
bool bus_memory_claimed(const struct bus *bus, uint64_t first, uint64_t last);

static inline uint32_t bus_port_key(uint32_t port, unsigned size)
{
    return BUS_PORT_KEY | size << 16 | port;
}

/* ISA devices differ in the middle bits, registers of one device in the low ones. */
static inline uint32_t bus_port_slot(uint32_t port)
{
    return (port ^ port >> 4) & (BUS_PORT_HITS - 1);
}

static inline uint64_t bus_ones(unsigned size)
{
    return UINT64_MAX >> ((64 - 8 * size) & 63);
}

/* bus_port and bus_memory for what is not in the tables of hits. */
unsigned bus_search_port(struct bus *bus, uint16_t port, unsigned size, bool is_write, uint32_t *value);
unsigned bus_search_memory(struct bus *bus, uint64_t gpa, unsigned size, bool is_write, uint64_t *value);

/* BUS_CLAIMED if a device claimed at least one byte of it, and the flags of the ranges it met; 0: no device is there.
 * On a read *value is always set (all ones where unclaimed, zero above size). A size other than 1, 2, 4 (8) is refused:
 * 0, *value all ones. */
static inline unsigned bus_port(struct bus *bus, uint16_t port, unsigned size, bool is_write, uint32_t *value)
{
    const struct bus_port_hit *hit = &bus->port_hit[bus_port_slot(port)];
    if (unlikely(hit->key != bus_port_key(port, size)))
        return bus_search_port(bus, port, size, is_write, value);
    uint32_t ones = hit->ones, v = is_write ? *value & ones : ones;
    unsigned answer = (unsigned)hit->answer;
    hit->handler(hit->device, port, size, is_write, &v); /* which may change the tables */
    if (!is_write)
        *value = v & ones;
    return answer;
}

static inline unsigned bus_memory(struct bus *bus, uint64_t gpa, unsigned size, bool is_write, uint64_t *value)
{
    const struct bus_memory_hit *hit = &bus->memory_hit;
    uint64_t offset = gpa - hit->first;
    if (unlikely(offset > hit->reach || size - 1 > hit->reach - offset || !(hit->sizes >> (size & 31) & 1)))
        return bus_search_memory(bus, gpa, size, is_write, value);
    uint64_t ones = bus_ones(size), v = is_write ? *value & ones : ones;
    unsigned answer = hit->answer;
    hit->handler(hit->device, offset, size, is_write, &v);
    if (!is_write)
        *value = v & ones;
    return answer;
}

#endif
