// SPDX-License-Identifier: Apache-2.0
/* Fixed-point conversions between TSC ticks and device cycles; see clock.h. */
#include "vmm/devices/clock.h"

__extension__ typedef unsigned __int128 wide;

struct scale scale_make(uint64_t numerator, uint64_t denominator)
{
    if (numerator == 0)
        numerator = 1;
    if (denominator == 0)
        denominator = 1;
    uint64_t quotient = numerator / denominator, rest = numerator % denominator;
    uint32_t shift = 0;
    /* Long division, a bit at a time, until the quotient fills 64 bits. rest < denominator <= 2^62 never overflows. */
    while (!(quotient >> 63)) {
        rest <<= 1;
        quotient <<= 1;
        if (rest >= denominator) {
            rest -= denominator;
            quotient |= 1;
        }
        shift++;
    }
    /* Rounded up, so that whole multiples convert exactly instead of one too low. */
    if (rest != 0 && ++quotient == 0) {
        quotient = 1ull << 63;
        shift--;
    }
    return (struct scale){.mul = quotient, .shift = shift};
}

uint64_t scale_apply(struct scale s, uint64_t x)
{
    wide product = (wide)x * s.mul >> (s.shift & 127);
    return product > UINT64_MAX ? UINT64_MAX : (uint64_t)product;
}

struct scale clock_to_cycles(uint64_t khz, uint64_t hz)
{
    return scale_make(hz, khz * 1000);
}

struct scale clock_to_ticks(uint64_t khz, uint64_t hz)
{
    return scale_make(khz * 1000, hz);
}

uint64_t clock_tick_of(struct scale to_cycles, struct scale to_ticks, uint64_t cycles)
{
    uint64_t tick = scale_apply(to_ticks, cycles);
    if (tick == UINT64_MAX)
        return CLOCK_NEVER;
    /* The two scales' roundings leave us at most a step or two away. */
    for (unsigned i = 0; i < 4 && tick > 0 && scale_apply(to_cycles, tick - 1) >= cycles; i++)
        tick--;
    for (unsigned i = 0; i < 4 && scale_apply(to_cycles, tick) < cycles; i++)
        tick++;
    return tick;
}
