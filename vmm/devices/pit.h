/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The 8254 interval timer and port 0x61 (Intel 8254 data sheet). Computed from the clock, nothing ticks. Lock: the
 * VM's.
 *
 * Channel 0's rising output is GSI 0. Ticks that pass while the guest has no CPU, or has not taken the one before, are
 * owed to it and given later, one at a time, at up to PIT_CATCH_UP times their rate; or, if `replays` is off, melt into
 * one. Those that the guest has masked are not owed.
 */
#ifndef VMM_DEVICES_PIT_H
#define VMM_DEVICES_PIT_H

#include <stdbool.h>
#include <stdint.h>

#include "mullion/types.h"
#include "vmm/devices/bus.h"
#include "vmm/devices/clock.h"
#include "vmm/devices/device.h"
#include "vmm/devices/irq.h"

#define PIT_HZ       1193182u
#define PIT_CATCH_UP 20u
#define PIT_OWED_MAX 100000u /* a minute and a half of 1,000 Hz */

struct pit_channel {
    uint64_t start;   /* PIT cycle at which the running count was loaded */
    uint64_t stopped; /* cycles counted when the gate fell; only while the gate is low */
    uint32_t reload;  /* 1..65536 */
    uint16_t latch;
    uint8_t mode;   /* 0..5 */
    uint8_t access; /* 1: low byte, 2: high byte, 3: low, then high */
    uint8_t status_latch, write_low;
    uint8_t latched; /* bytes of the latch left to read: 0, 1, 2 */
    bool bcd, gate, status_latched;
    bool written;               /* a count was written since the control word */
    bool loaded;                /* it counts: written, and in modes 1 and 5 the gate has risen since */
    bool read_high, write_high; /* access 3: the next one is the high byte */
};

struct pit {
    struct pit_channel channel[3];
    uint64_t base_tick;  /* host TSC of PIT cycle 0 */
    uint64_t irq_seen;   /* PIT cycle up to which channel 0's edges were delivered */
    uint64_t not_before; /* host TSC: a guest with a tiny period gets no more than 10,000 interrupts a second */
    uint32_t owed;       /* ticks to give from then on: 0 or 1, if none is replayed */
    bool replays;
    uint8_t port61; /* bits 3:0 as written */
    struct scale to_cycles, to_ticks;
    const struct clock *clock;
    struct irq_sink irq;
};

must_check enum error pit_init(struct pit *pit, struct bus *bus, const struct clock *clock, const struct irq_sink *irq);
extern const struct device pit_device;

#endif
