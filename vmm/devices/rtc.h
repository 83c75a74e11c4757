/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The MC146818 real-time clock and 128 bytes of CMOS (ports 0x70, 0x71). Time runs with the host's TSC from the moment
 * given. Lock: the VM's.
 *
 * Periodic interrupts that pass while the guest has not read register C are owed to it, as the PIT's are (pit.h): the
 * next comes a RTC_CATCH_UPth of the period after that read. Without `replays` they melt into one, as in the chip.
 */
#ifndef VMM_DEVICES_RTC_H
#define VMM_DEVICES_RTC_H

#include <stdbool.h>
#include <stdint.h>

#include "mullion/types.h"
#include "vmm/devices/bus.h"
#include "vmm/devices/clock.h"
#include "vmm/devices/device.h"
#include "vmm/devices/irq.h"

#define RTC_CATCH_UP 20u
#define RTC_OWED_MAX 100000u

struct rtc {
    uint8_t ram[128];      /* the time's bytes are valid here only while register B's SET bit is up */
    uint8_t firmware[128]; /* what the CMOS starts with */
    uint8_t index, a, b, c;
    bool line;
    int64_t base_seconds; /* since 1970-01-01, at base_tick */
    uint64_t base_tick;
    uint64_t update_seen;   /* whole seconds since base whose update was delivered */
    uint64_t periodic_seen; /* 32768 Hz cycles since base whose periodic interrupts were delivered */
    uint64_t not_before;    /* 32768 Hz cycle since base from which on the next periodic interrupt may come */
    uint32_t owed;          /* periodic interrupts to come: 0 or 1, if none is replayed */
    bool replays;
    struct scale to_32k, from_32k;
    const struct clock *clock;
    struct irq_sink irq;
};

/* What firmware has left in it. */
struct rtc_contents {
    int64_t unix_seconds;           /* the time at clock->now */
    uint64_t low_bytes, high_bytes; /* RAM below LAYOUT_LOW_RAM_END and above 4 GiB, for the memory-size bytes */
};
must_check enum error rtc_init(struct rtc *rtc, struct bus *bus, const struct clock *clock, const struct irq_sink *irq,
                               const struct rtc_contents *contents);
extern const struct device rtc_device;

#endif
