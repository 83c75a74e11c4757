/*
 * The 8254 interval timer and port 0x61 (Intel 8254 data sheet). Computed from the clock, nothing ticks. Lock: the VM's.
 *
 * Channel 0's rising output is GSI 0: one pulse per pit_advance however many periods have passed (missed ticks are not replayed).
 */
#ifndef VMM_DEVICES_PIT_H
#define VMM_DEVICES_PIT_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/devices/bus.h"
#include "vmm/devices/clock.h"
#include "vmm/devices/irq.h"

#define PIT_HZ 1193182u

struct pit_channel {
    uint64_t start;     /* PIT cycle at which the running count was loaded */
    uint64_t stopped;   /* gate low in modes 2, 3, 0, 4: cycles counted before it fell */
    uint32_t reload;    /* 1..65536 */
    uint16_t latch;
    uint8_t mode, access, status_latch;
    uint8_t write_low, half; /* half: next read or write is the high byte */
    uint8_t latched;    /* bytes of the latch left to read: 0, 1, 2 */
    bool bcd, gate, loaded, status_latched, write_half, latch_high;
};

struct pit {
    struct pit_channel channel[3];
    uint64_t irq_seen;  /* PIT cycle up to which channel 0's edges were delivered */
    bool speaker, line;
    struct scale to_cycles, to_ticks;
    const struct clock *clock;
    struct irq_sink irq;
};

NODISCARD enum error pit_init(struct pit *pit, struct bus *bus, const struct clock *clock, const struct irq_sink *irq);
void pit_advance(struct pit *pit);            /* to clock->now */
uint64_t pit_next_event(const struct pit *pit); /* host TSC; CLOCK_NEVER */

#endif
