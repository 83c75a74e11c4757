// SPDX-License-Identifier: Apache-2.0
/* Sources: 8254 data sheet (PIT channel 2, mode 0, gate at port 0x61); Intel SDM vol. 3, 11.5.4 (APIC timer). */
#include "arch/x86_64/time.h"

#include "arch/x86_64/apic.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/instr.h"
#include "kernel/log.h"

#define PIT_HZ       1193182u
#define MEASURE_MS   10u
#define CHECK_MS     2u
#define MEASUREMENTS 5u
#define TOLERANCE    128u   /* a part of it */
#define KHZ_MIN      10000u /* slower than any CPU; without a PIT the measurement ends at once */

uint64_t tsc_khz;
static uint64_t apic_per_tsc; /* ticks of the APIC timer in one of the TSC, times 2^32 */

/* One measurement: how far TSC and APIC timer get while the PIT counts so long. */
static uint64_t measure(uint32_t ms, uint32_t *apic_ticks)
{
    uint16_t count = (uint16_t)(PIT_HZ * ms / 1000);
    uint8_t gate = in8(0x61) & 0xfc;
    out8(0x61, gate); /* gate low: counting stops, speaker off */
    out8(0x43, 0xb0); /* channel 2, low then high byte, mode 0 */
    out8(0x42, (uint8_t)count);
    out8(0x42, (uint8_t)(count >> 8));
    apic_timer(~0u);
    uint64_t start = rdtsc();
    out8(0x61, gate | 1); /* gate high: off it goes */
    while (!(in8(0x61) & 0x20))
        if (rdtsc() - start > 1ull << 36)
            panic("the PIT (ports 0x42, 0x43, 0x61) does not count; Mullion needs it to measure the CPU's clock");
    uint64_t ticks = rdtsc() - start;
    *apic_ticks = ~0u - apic_timer_left();
    out8(0x61, gate);
    apic_timer(0);
    return ticks;
}

/* One, and a short one that must agree: firmware or, under an emulator, its host may steal time from any of them, but
 * cannot give any. Where they do not agree the shortest of several is taken. */
void time_init(void)
{
    uint64_t best = NEVER;
    uint32_t apic_best = 0, apic;
    bool agree = false;
    for (unsigned i = 0; i < MEASUREMENTS && !agree; i++) {
        uint64_t ticks = measure(MEASURE_MS, &apic);
        if (ticks < best) {
            best = ticks;
            apic_best = apic;
        }
        uint64_t scaled = measure(CHECK_MS, &apic) * (MEASURE_MS / CHECK_MS);
        agree = max_u64(best, scaled) - min_u64(best, scaled) < best / TOLERANCE;
    }
    tsc_khz = best / MEASURE_MS;
    if (tsc_khz < KHZ_MIN || (!apic_has_deadline && apic_best == 0))
        panic("the CPU's clocks stand still: TSC %lu kHz, local APIC timer %u ticks in %u ms", tsc_khz, apic_best,
              MEASURE_MS);
    apic_per_tsc = ((uint64_t)apic_best << 32) / best;
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
