/*
 * A guest's cap, judged from the times in which it ran: over every window of time it may have run its share of the window, and
 * something more. How much more at the worst is found as the runs come, with no record of them.
 *
 * A window that is the worst begins where a run begins and ends where one ends: anywhere else it could be moved to have less
 * time in it and as much running, or more of both. Pure: tested on the host against the search through all windows.
 */
#ifndef TESTS_GUESTS_WINDOWS_H
#define TESTS_GUESTS_WINDOWS_H

#include <stdint.h>

/* All in ticks, or in hundredths of ticks (`_c`), so that a share in percent needs no division. */
struct windows {
    uint64_t percent;
    uint64_t ran, runs;       /* so far */
    uint64_t first, last;     /* the first run's begin, the last one's end */
    int64_t best_begin_c;     /* of all begins of runs: 100 * (share * begin - ran before it), the most */
    int64_t worst_c;          /* 100 * (ran - share * window), the most over all windows */
};

/* The next run: from <= to, from not before the last run's end. */
static inline void windows_add(struct windows *w, uint64_t from, uint64_t to)
{
    if (w->runs == 0)
        w->first = from;
    int64_t begin_c = (int64_t)(w->percent * (from - w->first)) - (int64_t)(100 * w->ran);
    if (w->runs == 0 || begin_c > w->best_begin_c)
        w->best_begin_c = begin_c;
    w->ran += to - from;
    w->runs++;
    w->last = to;
    int64_t excess_c = (int64_t)(100 * w->ran) - (int64_t)(w->percent * (to - w->first)) + w->best_begin_c;
    if (excess_c > w->worst_c)
        w->worst_c = excess_c;
}

static inline uint64_t windows_worst(const struct windows *w)
{
    return w->worst_c > 0 ? (uint64_t)w->worst_c / 100 : 0;
}

#endif
