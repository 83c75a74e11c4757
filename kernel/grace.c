// SPDX-License-Identifier: Apache-2.0
#include "kernel/grace.h"

#define CPUS_PER_STEP 64u

/* The period that runs looks at one CPU after the other: it waits for a section that is open there. */
static struct {
    uint64_t ended;
    unsigned cpu;
    uint64_t open; /* that CPU's number when it was first looked at; 0: not yet */
} period;

uint64_t grace_next(void)
{
    bool begun = period.cpu > 0 || period.open;
    return period.ended + 1 + begun;
}

bool grace_over(uint64_t number)
{
    for (unsigned n = 0; n < CPUS_PER_STEP && period.ended < number; n++) {
        uint64_t now = __atomic_load_n(&cpu_by_number(period.cpu)->section, __ATOMIC_SEQ_CST);
        if (now % 2 && (!period.open || period.open == now)) {
            period.open = now;
            break;
        }
        period.open = 0;
        if (++period.cpu == cpu_count) {
            period.cpu = 0;
            period.ended++;
        }
    }
    return period.ended >= number;
}
