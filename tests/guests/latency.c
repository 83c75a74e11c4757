// SPDX-License-Identifier: Apache-2.0
/*
 * How late it is woken: arms a deadline at a random distance, sleeps by HLT, and reads the TSC at the interrupt. After
 * each round one line, in ticks from the deadline to its handler (some 40 of them are its own way there):
 *
 *   latency: 1000 wakes, least 861, median 872, 99% 872, worst 1320, 0 early
 *
 * Command line: `count=1000` wakes in a round, 4096 at most; `near=20 far=3000` the distances in us.
 */
#include "measure.h"

#define COUNT_MAX 4096u

static uint64_t late[COUNT_MAX];
static volatile uint64_t woken;

static void on_timer(struct frame *f)
{
    (void)f;
    woken = rdtsc();
    timer_done();
}

static void sift_down(uint64_t *a, unsigned at, unsigned count)
{
    for (unsigned child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && a[child + 1] > a[child])
            child++;
        if (a[at] >= a[child])
            return;
        uint64_t t = a[at];
        a[at] = a[child];
        a[child] = t;
    }
}

static void sort(uint64_t *a, unsigned count)
{
    for (unsigned i = count / 2; i-- > 0;)
        sift_down(a, i, count);
    while (count > 1) {
        uint64_t t = a[--count];
        a[count] = a[0];
        a[0] = t;
        sift_down(a, 0, count);
    }
}

static void one_round(unsigned count, uint64_t near, uint64_t far)
{
    unsigned early = 0;
    for (unsigned i = 0; i < count; i++) {
        uint64_t due = rdtsc() + near + chance() % (far - near + 1);
        woken = 0;
        timer_arm(due);
        while (!woken)
            wait_interrupt();
        early += woken < due;
        late[i] = woken < due ? 0 : woken - due;
    }
    sort(late, count);
    print("latency: %u wakes, least %llu, median %llu, 99%% %llu, worst %llu, %u early\n", count,
          (unsigned long long)late[0], (unsigned long long)late[count / 2],
          (unsigned long long)late[count - 1 - count / 100], (unsigned long long)late[count - 1], early);
}

int guest_main(uint32_t magic, const struct multiboot *info)
{
    measure_init(magic, info, "latency");
    handle(VECTOR_TIMER, on_timer);
    uint64_t count = option_number("count=", 1000);
    uint64_t near = us_to_ticks(option_number("near=", 20)), far = us_to_ticks(option_number("far=", 3000));
    count = count == 0 ? 1 : count > COUNT_MAX ? COUNT_MAX : count;
    for (;;)
        one_round((unsigned)count, near, far < near ? near : far);
}
