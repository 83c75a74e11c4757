// SPDX-License-Identifier: Apache-2.0
/*
 * A fixed piece of work, again and again: a walk through 4 MiB, arithmetic, exits (CPUID, which the kernel settles, and
 * a port, which the monitor serves), and a timer that interrupts it a thousand times a second. After each round one
 * line:
 *
 *   workload: round 3: 20123456 ticks, result 0x0123456789abcdef
 *
 * The result is the same in each round. Command line: `work=10`: how much a round does. `vectors`: meanwhile a part of
 * it lies in registers of the FPU, SSE and x87 alone.
 */
#include "measure.h"

#define WORDS         (4u << 20 >> 3)
#define PIT_COUNTER_2 0x42 /* it was never set going: every read is served, and changes nothing */

static uint64_t *const memory = (uint64_t *)(6ul << 20); /* free: this guest is small, lies at 1 MiB and has 16 MiB */
static uint64_t tick;
static bool vectors;

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

/* What the compiler does not use: it is told to keep to the general registers. */
#define MXCSR  0x7f80u /* rounding towards zero: not what a reset leaves */
#define X87_CW 0x0f7fu /* likewise */

static void vectors_init(void)
{
    __asm__ volatile("mov %%cr0, %%rax; and $~0xc, %%rax; or $2, %%rax; mov %%rax, %%cr0;" /* not EM, not TS, but MP */
                     "mov %%cr4, %%rax; or $0x600, %%rax; mov %%rax, %%cr4; fninit"        /* OSFXSR, OSXMMEXCPT */
                     :
                     :
                     : "rax", "memory");
}

static void vectors_put(uint64_t h)
{
    uint32_t mxcsr = MXCSR;
    uint16_t cw = X87_CW;
    __asm__ volatile("movq %0, %%xmm9; ldmxcsr %1; fldcw %2" : : "r"(h), "m"(mxcsr), "m"(cw));
}

static uint64_t vectors_get(void)
{
    uint64_t h;
    uint32_t mxcsr;
    uint16_t cw;
    __asm__ volatile("movq %%xmm9, %0; stmxcsr %1; fnstcw %2" : "=r"(h), "=m"(mxcsr), "=m"(cw));
    return mxcsr == MXCSR && cw == X87_CW ? h : 0;
}

static uint64_t one_piece(uint64_t h)
{
    if (vectors)
        vectors_put(h);
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
    return vectors ? mix(h, vectors_get()) : h;
}

int guest_main(uint32_t magic, const struct multiboot *info)
{
    measure_init(magic, info, "workload");
    handle(VECTOR_TIMER, on_timer);
    uint64_t work = option_number("work=", 10);
    tick = us_to_ticks(1000);
    vectors = option_word("vectors");
    if (vectors)
        vectors_init();
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
