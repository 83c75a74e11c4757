/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's cap, judged from the times in which it ran: over every window of time it may have run its share of the
 * window, and something more. How much more at the worst is found as the runs come, with no record of them: for every
 * window, and for those that begin where the guest's claim does (a period of its own, or the moment to which it slept).
 * What it was kept waiting for is part of no such window: a window that begins within the wait sees the late budget and
 * the next period's, back to back.
 *
 * A window that is the worst begins where a run or a claim begins and ends where a run ends: anywhere else it could be
 * moved to have less time in it and as much running, or more of both. Pure: tested on the host against the search
 * through all windows.
 */
#ifndef TESTS_GUESTS_WINDOWS_H
#define TESTS_GUESTS_WINDOWS_H

#include <stdbool.h>
#include <stdint.h>

/* All in ticks, or in hundredths of ticks (`_c`), so that a share in percent needs no division. */
struct windows {
    uint64_t percent;
    uint64_t period,
        claim; /* of claims that begin every period: the next one; period 0: there are only those of windows_claim */
    uint64_t ran, runs;      /* so far */
    uint64_t first, last;    /* the first run's or claim's begin, the last run's end */
    int64_t best_begin_c;    /* of all begins of runs: 100 * (share * begin - ran before it), the most */
    int64_t best_claim_c;    /* of all claims, the same */
    bool parts, claims;      /* there are any */
    int64_t worst_c;         /* 100 * (ran - share * window), the most over all windows */
    int64_t worst_claimed_c; /* and over those that begin with a claim */
};

static inline int64_t windows_behind_c(const struct windows *w, uint64_t at)
{
    return (int64_t)(w->percent * (at - w->first)) - (int64_t)(100 * w->ran);
}

/* The guest's claim begins anew at `at`: not before the last run's end, nor after the next one's begin. */
static inline void windows_claim(struct windows *w, uint64_t at)
{
    if (!w->parts && !w->claims)
        w->first = at;
    int64_t c = windows_behind_c(w, at);
    if (!w->claims || c > w->best_claim_c)
        w->best_claim_c = c;
    w->claims = true;
}

static inline void windows_part(struct windows *w, uint64_t from, uint64_t to)
{
    if (!w->parts && !w->claims)
        w->first = from;
    int64_t begin_c = windows_behind_c(w, from);
    if (!w->parts || begin_c > w->best_begin_c)
        w->best_begin_c = begin_c;
    w->parts = true;
    w->ran += to - from;
    w->last = to;
    int64_t excess_c = w->best_begin_c - windows_behind_c(w, to);
    if (excess_c > w->worst_c)
        w->worst_c = excess_c;
    excess_c = w->best_claim_c - windows_behind_c(w, to);
    if (w->claims && excess_c > w->worst_claimed_c)
        w->worst_claimed_c = excess_c;
}

/* The next run: from <= to, from not before the last run's end. */
static inline void windows_add(struct windows *w, uint64_t from, uint64_t to)
{
    for (; w->period != 0 && w->claim <= to; w->claim += w->period) {
        if (w->claim > from) {
            windows_part(w, from, w->claim);
            from = w->claim;
        }
        windows_claim(w, w->claim);
    }
    windows_part(w, from, to);
    w->runs++;
}

static inline uint64_t windows_worst(const struct windows *w)
{
    return w->worst_c > 0 ? (uint64_t)w->worst_c / 100 : 0;
}

static inline uint64_t windows_worst_claimed(const struct windows *w)
{
    return w->worst_claimed_c > 0 ? (uint64_t)w->worst_claimed_c / 100 : 0;
}

#endif
