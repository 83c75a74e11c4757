/* SPDX-License-Identifier: Apache-2.0 */
/* What the device tests share: cmocka, a recorder of interrupt lines, and short words for port accesses. */
#ifndef TESTS_UNIT_DEV_TEST_H
#define TESTS_UNIT_DEV_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/devices/bus.h"
#include "vmm/devices/clock.h"
#include "vmm/devices/irq.h"

struct lines {
    bool level[GSI_COUNT];
    unsigned rises[GSI_COUNT];
};

static inline void lines_gsi(void *context, unsigned gsi, bool level)
{
    struct lines *l = context;
    assert_true(gsi < GSI_COUNT);
    if (level && !l->level[gsi])
        l->rises[gsi]++;
    l->level[gsi] = level;
}

static inline void out_n(struct bus *bus, uint16_t port, unsigned size, uint32_t value)
{
    assert_true(bus_port(bus, port, size, true, &value));
}

static inline uint32_t in_n(struct bus *bus, uint16_t port, unsigned size)
{
    uint32_t value = 0xdeadbeef;
    assert_true(bus_port(bus, port, size, false, &value));
    return value;
}

static inline void outb(struct bus *bus, uint16_t port, uint32_t value)
{
    out_n(bus, port, 1, value);
}
static inline void outw(struct bus *bus, uint16_t port, uint32_t value)
{
    out_n(bus, port, 2, value);
}
static inline void outl(struct bus *bus, uint16_t port, uint32_t value)
{
    out_n(bus, port, 4, value);
}
static inline uint8_t inb(struct bus *bus, uint16_t port)
{
    return (uint8_t)in_n(bus, port, 1);
}
static inline uint16_t inw(struct bus *bus, uint16_t port)
{
    return (uint16_t)in_n(bus, port, 2);
}
static inline uint32_t inl(struct bus *bus, uint16_t port)
{
    return in_n(bus, port, 4);
}

#endif
