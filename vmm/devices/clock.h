/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time as devices see it: host TSC ticks. One struct clock per VM; a thread that takes the VM's lock to call into
 * devices sets `now` (from RDTSC) first. Devices never read the hardware's clock themselves, so a test can tell them
 * any time.
 *
 * Conversions multiply by a fixed-point ratio: no 128-bit division, which would need a compiler library.
 */
#ifndef VMM_DEVICES_CLOCK_H
#define VMM_DEVICES_CLOCK_H

#include <stdint.h>

#define CLOCK_NEVER UINT64_MAX

struct clock {
    uint64_t now; /* host TSC */
    uint64_t khz; /* host TSC ticks in a millisecond */
};

/* Ticks from `tick` until `now`; 0 if it has not come yet. A state that was loaded may have begun before the host did:
 * points in time are compared by their difference, modulo 2^64. */
static inline uint64_t clock_since(uint64_t now, uint64_t tick)
{
    return (int64_t)(now - tick) > 0 ? now - tick : 0;
}

/* x -> x * numerator / denominator, rounded down; exact to about 1 in 2^63. mul has its top bit set. */
struct scale {
    uint64_t mul;
    uint32_t shift; /* 0..127; result = x * mul >> shift */
};

/* numerator and denominator: 1 .. 2^62. */
struct scale scale_make(uint64_t numerator, uint64_t denominator);
/* Saturates at UINT64_MAX. */
uint64_t scale_apply(struct scale s, uint64_t x);

/* Ticks -> cycles of a `hz` clock, and back (back: rounded up, so that converting forward again reaches at least the
 * cycle). */
struct scale clock_to_cycles(uint64_t khz, uint64_t hz);
struct scale clock_to_ticks(uint64_t khz, uint64_t hz);
/* The first tick at which scale_apply(to_cycles, tick) >= cycles, given both scales. */
uint64_t clock_tick_of(struct scale to_cycles, struct scale to_ticks, uint64_t cycles);

#endif
