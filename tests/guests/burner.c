/*
 * Burns all the time that it gets, and watches its own cap: it reads the TSC without end, so a gap between two readings is time
 * that it did not get. After each record one line, in ticks:
 *
 *   burner: ran 500123456 of 2000123456 ticks in 200 runs, at worst 1875012 over its share of 25%, slice 2500000
 *
 * Command line: `share=25 period=10000` (percent, us) is what it was given; `for=2000` (ms) is the length of a record;
 * `bursty` makes it sleep until somewhere in its period, in 64 steps, and only then burn, to get the budgets of two periods back to back.
 */
#include "measure.h"
#include "windows.h"

#define GAP_TICKS 2000u /* more than any exit that the kernel settles takes, less than a switch to another guest and back */
#define PHASES    64u

static uint64_t period;
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
    struct windows w = {.percent = percent};
    unsigned phase = 0;
    uint64_t begin = rdtsc();
    run_from = last = begin;
    while (last - begin < length)
        if (look(&w) && bursty) {
            sleep_until(last + period * (phase++ % PHASES) / PHASES);
            (void)look(&w); /* this gap was its own wish */
        }
    windows_add(&w, run_from, last);
    print("burner: ran %llu of %llu ticks in %llu runs, at worst %llu over its share of %llu%%, slice %llu\n",
          (unsigned long long)w.ran, (unsigned long long)(w.last - w.first), (unsigned long long)w.runs,
          (unsigned long long)windows_worst(&w), (unsigned long long)percent, (unsigned long long)(period * percent / 100));
}

int guest_main(uint32_t magic, const struct multiboot *info)
{
    measure_init(magic, info, "burner");
    handle(VECTOR_TIMER, on_timer);
    period = us_to_ticks(option_number("period=", 10000));
    uint64_t percent = option_number("share=", 100), length = tsc_khz * option_number("for=", 2000);
    bool bursty = option_word("bursty");
    for (;;)
        record(length, percent, bursty);
}
