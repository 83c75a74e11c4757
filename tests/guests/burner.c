// SPDX-License-Identifier: Apache-2.0
/*
 * Burns all the time that it gets, and watches its own cap: it reads the TSC without end, so a gap between two readings
 * is time that it did not get. After each record one line, in ticks:
 *
 *   burner: ran 500123456 of 2000123456 ticks in 200 runs, at worst 1875012 over its share of 25%, 2000120 in any
 * window, slice 2500000
 *
 * The first of the two counts windows that begin with a period of its own (windows.h). It knows where those begin: when
 * it has slept for longer than a period, a new one begins at the deadline that wakes it, and another every period from
 * then on, for it never sleeps again.
 *
 * Command line: `share=25 period=10000` (percent, us) is what it was given; `for=2000` (ms) is the length of a record;
 * `open`: it burns with interrupts on, not off. `bursty` makes it sleep until somewhere in its period, in 63 steps, and
 * only then burn, to get the budgets of two periods back to back. Then a window of the first kind begins at the moment
 * to which it slept.
 */
#include "measure.h"
#include "windows.h"

#define GAP_TICKS \
    2000u /* more than any exit that the kernel settles takes, less than a switch to another guest and back */
#define PHASES 64u

static uint64_t period, next_period; /* next_period: of one that never sleeps */
static uint64_t run_from, last;

/* One reading. True: there was a gap as long as a budget's end leaves, so a new one has just begun. */
static inline bool look(struct windows *w)
{
    uint64_t now = rdtsc(), gap = now - last;
    bool long_gap = false;
    if (gap > GAP_TICKS) {
        windows_add(w, run_from, last);
        run_from = now;
        long_gap = gap > period / 8;
    }
    last = now;
    return long_gap;
}

static void on_timer(struct frame *f)
{
    (void)f;
    timer_done();
}

static void sleep_until(uint64_t deadline)
{
    timer_arm(deadline);
    while (rdtsc() < deadline)
        wait_interrupt();
    timer_arm(0);
}

static void record(uint64_t length, uint64_t percent, bool bursty)
{
    struct windows w = {.percent = percent, .period = bursty ? 0 : period};
    unsigned phase = 0;
    uint64_t begin = rdtsc();
    run_from = last = begin;
    while (next_period < begin)
        next_period += period;
    w.claim = next_period;
    while (last - begin < length)
        if (look(&w) && bursty) {
            uint64_t due = last + period * (1 + phase++ % (PHASES - 1)) / PHASES;
            sleep_until(due);
            (void)look(&w); /* this gap was its own wish */
            windows_claim(&w, due);
        }
    windows_add(&w, run_from, last);
    next_period = w.claim;
    print(
        "burner: ran %llu of %llu ticks in %llu runs, at worst %llu over its share of %llu%%, %llu in any window, slice %llu\n",
        (unsigned long long)w.ran, (unsigned long long)(w.last - w.first), (unsigned long long)w.runs,
        (unsigned long long)windows_worst_claimed(&w), (unsigned long long)percent,
        (unsigned long long)windows_worst(&w), (unsigned long long)(period * percent / 100));
}

int guest_main(uint32_t magic, const struct multiboot *info)
{
    measure_init(magic, info, "burner");
    handle(VECTOR_TIMER, on_timer);
    period = us_to_ticks(option_number("period=", 10000));
    uint64_t percent = option_number("share=", 100), length = tsc_khz * option_number("for=", 2000);
    bool bursty = option_word("bursty"), open = option_word("open");
    next_period = rdtsc() + 3 * period;
    sleep_until(next_period);
    for (;;) {
        if (open)
            interrupts_on();
        record(length, percent, bursty);
        interrupts_off();
    }
}
