/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the measuring guests (burner, latency, workload) share: numbers from the command line, the clock's rate, chance,
 * and a timer by TSC deadline. They need an x2APIC, a TSC-deadline timer, and a hypervisor that tells the TSC's rate.
 */
#ifndef TESTS_GUESTS_MEASURE_H
#define TESTS_GUESTS_MEASURE_H

#include "guest.h"

#define VECTOR_TIMER 0x41

/* COM1, tables, PICs masked, x2APIC on, the timer by deadline; reads the command line. Without one of these: says so,
 * and ends. */
void measure_init(uint32_t magic, const struct multiboot *info, const char *name);

/* `key=123` on the command line, or `otherwise`; a word by itself. */
uint64_t option_number(const char *key, uint64_t otherwise);
bool option_word(const char *word);

extern uint64_t tsc_khz;
static inline uint64_t us_to_ticks(uint64_t us)
{
    return us * tsc_khz / 1000;
}

/* The same numbers in each run (xorshift64*). */
uint64_t chance(void);

/* Interrupts at `vector`, at once if the deadline has passed; 0: none. */
static inline void timer_arm(uint64_t deadline)
{
    wrmsr(0x6e0, deadline);
} /* Intel SDM vol. 3, 11.5.4.1 */
static inline void timer_done(void)
{
    wrmsr(0x80b, 0);
} /* end of interrupt, 11.12.1.2 */

#endif
