/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The time of day, from the machine's battery clock, read once; from then on the TSC counts. UTC is assumed, as servers
 * keep it.
 */
#ifndef ROOT_CLOCK_H
#define ROOT_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/* The clock's registers as they read. */
struct cmos_time {
    uint8_t second, minute, hour, day, month, year, century, status_b;
};

/* Seconds since 1970; false if the registers tell no date between 2000 and 2199. `century` other than 20 or 21: 20 is
 * meant. Pure. */
bool cmos_seconds(const struct cmos_time *t, uint64_t *seconds);

void clock_init(void);
uint64_t clock_seconds(void); /* 0: not known */

#endif
