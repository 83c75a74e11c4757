/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A set of physical CPUs: one bit for each of MAX_CPUS. Nothing here is atomic; the owner of a set locks it. A `cpu`
 * that is added or removed must be below MAX_CPUS; a question about any other number is answered no.
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

static inline void cpuset_clear(struct cpuset *s, unsigned cpu)
{
    s->word[cpu / 64] &= ~(1ull << cpu % 64);
}

static inline bool cpuset_has(const struct cpuset *s, unsigned cpu)
{
    return cpu < MAX_CPUS && (s->word[cpu / 64] >> cpu % 64 & 1) != 0;
}

static inline bool cpuset_empty(const struct cpuset *s)
{
    uint64_t any = 0;
    for (unsigned i = 0; i < CPUSET_WORDS; i++)
        any |= s->word[i];
    return any == 0;
}

/* The CPUs that are in both. */
static inline struct cpuset cpuset_and(const struct cpuset *a, const struct cpuset *b)
{
    struct cpuset both;
    for (unsigned i = 0; i < CPUSET_WORDS; i++)
        both.word[i] = a->word[i] & b->word[i];
    return both;
}

/* The lowest CPU of the set from `from` on; MAX_CPUS if there is none. So a set is walked by
 * for (cpu = cpuset_next(s, 0); cpu < MAX_CPUS; cpu = cpuset_next(s, cpu + 1)). */
static inline unsigned cpuset_next(const struct cpuset *s, unsigned from)
{
    for (unsigned i = from / 64; i < CPUSET_WORDS; i++) {
        uint64_t word = s->word[i];
        if (i == from / 64)
            word &= ~0ull << from % 64;
        if (word != 0)
            return i * 64 + (unsigned)__builtin_ctzll(word);
    }
    return MAX_CPUS;
}

static inline unsigned cpuset_count(const struct cpuset *s)
{
    unsigned count = 0;
    for (unsigned i = 0; i < CPUSET_WORDS; i++)
        for (uint64_t word = s->word[i]; word != 0; word &= word - 1)
            count++;
    return count;
}

#endif
