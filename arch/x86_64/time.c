// SPDX-License-Identifier: Apache-2.0
/* Source: Intel SDM vol. 3, 11.5.4 (APIC timer). */
#include "arch/x86_64/time.h"

#include "arch/x86_64/apic.h"
#include "arch/x86_64/clock.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/instr.h"
#include "kernel/log.h"

uint64_t tsc_khz;
static uint64_t apic_per_tsc; /* see clock_measure */

void time_init(uint16_t acpi_pm_port)
{
    tsc_khz = clock_measure(acpi_pm_port, &apic_per_tsc);
    if (!apic_has_deadline && apic_per_tsc == 0)
        panic("the local APIC's timer stands still");
}

static void set(struct cpu *c, uint64_t deadline)
{
    c->timer_armed = deadline;
    if (apic_has_deadline) {
        apic_timer_deadline(deadline == NEVER ? 0 : max_u64(deadline, 1));
        return;
    }
    if (deadline == NEVER) {
        apic_timer(0);
        return;
    }
    uint64_t now = rdtsc(), left = deadline > now ? min_u64(deadline - now, tsc_khz * 1000)
                                                  : 0; /* a far one is armed again when this has fired */
    apic_timer((uint32_t)min_u64((uint64_t)((unsigned __int128)left * apic_per_tsc >> 32) + 1, ~0u));
}

void timer_arm(struct cpu *c, uint64_t deadline)
{
    if (deadline < c->timer_armed)
        set(c, deadline);
}

void timer_set(struct cpu *c, uint64_t deadline)
{
    if (deadline != c->timer_armed)
        set(c, deadline);
}

void delay_us(uint64_t us)
{
    for (uint64_t end = rdtsc() + us_to_ticks(us); rdtsc() < end;)
        cpu_pause();
}
