/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A physical address is a type of its own: passing it for another number, or the reverse, does not compile.
 */
#ifndef MULLION_TYPES_H
#define MULLION_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t v;
} hpa_t; /* host-physical */

static inline hpa_t hpa(uint64_t v)
{
    return (hpa_t){v};
}

#define PAGE_SHIFT 12u
#define PAGE_SIZE  4096ull
#define PAGE_MASK  (PAGE_SIZE - 1)
#define SIZE_2M    (1ull << 21)
#define SIZE_1G    (1ull << 30)
#define NEVER      (~0ull) /* a deadline that does not come */

static inline uint64_t page_up(uint64_t v)
{
    return (v + PAGE_MASK) & ~PAGE_MASK;
}
static inline uint64_t page_down(uint64_t v)
{
    return v & ~PAGE_MASK;
}
static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}
static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
/* One relaxed load or store of a field that another CPU, or ring 3, may be writing. */
#define read_once(field)         __atomic_load_n(&(field), __ATOMIC_RELAXED)
#define write_once(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)
#define must_check               __attribute__((warn_unused_result))
#define noreturn                 _Noreturn /* no attribute: a system header may use that word in one, behind this */
#define print_like(f, a)         __attribute__((format(printf, f, a)))
#define ARRAY_SIZE(a)            (sizeof(a) / sizeof((a)[0]))

#endif
