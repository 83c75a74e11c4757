// SPDX-License-Identifier: Apache-2.0
/*
 * A fixed piece of work, again and again: a walk through 4 MiB, arithmetic, exits (CPUID, which the kernel settles, and
 * a port, which the monitor serves), and a timer that interrupts it a thousand times a second. After each round one
 * line:
 *
 *   workload: round 3: 20123456 ticks, result 0x0123456789abcdef
 *
 * The result is the same in each round. Command line: `work=10`: how much a round does.
 */
#include "measure.h"

#define WORDS         (4u << 20 >> 3)
#define PIT_COUNTER_2 0x42 /* it was never set going: every read is served, and changes nothing */

static uint64_t *const memory = (uint64_t *)(6ul << 20); /* free: this guest is small, lies at 1 MiB and has 16 MiB */
static uint64_t tick;

static void on_timer(struct frame *f)
{
    (void)f;
    timer_arm(rdtsc() + tick);
    timer_done();
}

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9e3779b97f4a7c15ull;
    return h ^ h >> 29;
}

static uint64_t one_piece(uint64_t h)
{
    uint32_t r[4];
    for (unsigned i = 0; i < 40000; i++) { /* each step depends on the last */
        uint64_t at = h % WORDS;
        h = mix(h, memory[at]);
        memory[at] = h;
    }
    for (unsigned i = 0; i < 60000; i++)
        h = mix(h, i);
    for (unsigned i = 0; i < 200; i++) {
        cpuid(0, r);
        h = mix(h, r[1]);
        (void)inb(PIT_COUNTER_2);
    }
    return h;
}

int guest_main(uint32_t magic, const struct multiboot *info)
{
    measure_init(magic, info, "workload");
    handle(VECTOR_TIMER, on_timer);
    uint64_t work = option_number("work=", 10);
    tick = us_to_ticks(1000);
    for (unsigned round = 1;; round++) {
        for (uint64_t i = 0; i < WORDS; i++)
            memory[i] = i;
        uint64_t h = 1, begin = rdtsc();
        timer_arm(begin + tick);
        interrupts_on();
        for (uint64_t i = 0; i < work; i++)
            h = one_piece(h);
        interrupts_off();
        uint64_t ticks = rdtsc() - begin;
        timer_arm(0);
        print("workload: round %u: %llu ticks, result 0x%016llx\n", round, (unsigned long long)ticks,
              (unsigned long long)h);
    }
}
