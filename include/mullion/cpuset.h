/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A set of physical CPUs: one bit for each of MAX_CPUS. Nothing here is atomic; the owner of a set locks it. A CPU that
 * is added must be below MAX_CPUS; a question about any other number is answered no, and indexes no word outside the
 * set, not even speculatively.
 */
#ifndef MULLION_CPUSET_H
#define MULLION_CPUSET_H

#include <stdbool.h>
#include <stdint.h>
#include "mullion/abi.h"

#define CPUSET_WORDS ((MAX_CPUS + 63) / 64)

struct cpuset {
    uint64_t word[CPUSET_WORDS];
};

static inline void cpuset_set(struct cpuset *s, unsigned cpu)
{
    s->word[cpu / 64] |= 1ull << cpu % 64;
}

static inline bool cpuset_has(const struct cpuset *s, uint64_t cpu)
{
    return cpu < MAX_CPUS && (s->word[cpu / 64 % CPUSET_WORDS] >> cpu % 64 & 1) != 0;
}

/* Adds all CPUs of `more`. */
static inline void cpuset_add(struct cpuset *s, const struct cpuset *more)
{
    for (unsigned i = 0; i < CPUSET_WORDS; i++)
        s->word[i] |= more->word[i];
}

/* The lowest CPU of the set from `from` on; `end`, at most MAX_CPUS, or more if none is below that. A step looks at 64
 * CPUs. A set is walked by for (cpu = cpuset_next(s, 0, n); cpu < n; cpu = cpuset_next(s, cpu + 1, n)). */
static inline unsigned cpuset_next(const struct cpuset *s, unsigned from, unsigned end)
{
    for (; from < end; from = (from | 63) + 1) {
        uint64_t word = s->word[from / 64] >> from % 64;
        if (word != 0)
            return from + (unsigned)__builtin_ctzll(word);
    }
    return end;
}

#endif
