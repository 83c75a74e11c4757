/* SPDX-License-Identifier: Apache-2.0 */
/*
 * With `// sanitizer: accesses` the compiler calls a function before each access to memory, by the names of the thread
 * sanitizer, which is not there: a test's own functions are, made here. They call seen.
 */
#ifndef TSAN_CALLS_H
#define TSAN_CALLS_H

#include <stddef.h>
#include <stdint.h>

#define UNSEEN __attribute__((no_sanitize("thread")))
static void seen(const volatile void *at, size_t size, int write, const void *from);
#define FROM __builtin_return_address(0) /* the code that makes the access */

#define PLAIN(n)                                   \
    void __tsan_read##n(void *a);                  \
    UNSEEN void __tsan_read##n(void *a)            \
    {                                              \
        seen(a, n, 0, FROM);                       \
    }                                              \
    void __tsan_write##n(void *a);                 \
    UNSEEN void __tsan_write##n(void *a)           \
    {                                              \
        seen(a, n, 1, FROM);                       \
    }                                              \
    void __tsan_unaligned_read##n(void *a);        \
    UNSEEN void __tsan_unaligned_read##n(void *a)  \
    {                                              \
        seen(a, n, 0, FROM);                       \
    }                                              \
    void __tsan_unaligned_write##n(void *a);       \
    UNSEEN void __tsan_unaligned_write##n(void *a) \
    {                                              \
        seen(a, n, 1, FROM);                       \
    }
PLAIN(1)
PLAIN(2)
PLAIN(4)
PLAIN(8)
PLAIN(16)

void __tsan_read_range(void *a, size_t n);
UNSEEN void __tsan_read_range(void *a, size_t n)
{
    seen(a, n, 0, FROM);
}
void __tsan_write_range(void *a, size_t n);
UNSEEN void __tsan_write_range(void *a, size_t n)
{
    seen(a, n, 1, FROM);
}
void __tsan_init(void);
void __tsan_init(void)
{
}
void __tsan_func_entry(void *caller);
UNSEEN void __tsan_func_entry(void *caller)
{
    (void)caller;
}
void __tsan_func_exit(void);
UNSEEN void __tsan_func_exit(void)
{
}

#define CHANGE(bits, type, name, builtin)                                         \
    type __tsan_atomic##bits##_##name(volatile type *a, type v, int order);       \
    UNSEEN type __tsan_atomic##bits##_##name(volatile type *a, type v, int order) \
    {                                                                             \
        (void)order;                                                              \
        seen(a, sizeof *a, 1, FROM);                                              \
        return builtin(a, v, __ATOMIC_SEQ_CST);                                   \
    }
#define COMPARE(bits, type, name)                                                                                      \
    int __tsan_atomic##bits##_compare_exchange_##name(volatile type *a, type *c, type v, int order, int failed);       \
    UNSEEN int __tsan_atomic##bits##_compare_exchange_##name(volatile type *a, type *c, type v, int order, int failed) \
    {                                                                                                                  \
        (void)order, (void)failed;                                                                                     \
        seen(a, sizeof *a, 1, FROM);                                                                                   \
        return __atomic_compare_exchange_n(a, c, v, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                            \
    }
#define COMPARE_VAL(bits, type) /* clang's */                                                                       \
    type __tsan_atomic##bits##_compare_exchange_val(volatile type *a, type c, type v, int order, int failed);       \
    UNSEEN type __tsan_atomic##bits##_compare_exchange_val(volatile type *a, type c, type v, int order, int failed) \
    {                                                                                                               \
        (void)order, (void)failed;                                                                                  \
        seen(a, sizeof *a, 1, FROM);                                                                                \
        (void)__atomic_compare_exchange_n(a, &c, v, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                         \
        return c;                                                                                                   \
    }
#define ATOMIC(bits, type)                                                       \
    type __tsan_atomic##bits##_load(const volatile type *a, int order);          \
    UNSEEN type __tsan_atomic##bits##_load(const volatile type *a, int order)    \
    {                                                                            \
        (void)order;                                                             \
        seen(a, sizeof *a, 0, FROM);                                             \
        return __atomic_load_n(a, __ATOMIC_SEQ_CST);                             \
    }                                                                            \
    void __tsan_atomic##bits##_store(volatile type *a, type v, int order);       \
    UNSEEN void __tsan_atomic##bits##_store(volatile type *a, type v, int order) \
    {                                                                            \
        (void)order;                                                             \
        seen(a, sizeof *a, 1, FROM);                                             \
        __atomic_store_n(a, v, __ATOMIC_SEQ_CST);                                \
    }                                                                            \
    CHANGE(bits, type, exchange, __atomic_exchange_n)                            \
    CHANGE(bits, type, fetch_add, __atomic_fetch_add)                            \
    CHANGE(bits, type, fetch_sub, __atomic_fetch_sub)                            \
    CHANGE(bits, type, fetch_or, __atomic_fetch_or)                              \
    CHANGE(bits, type, fetch_and, __atomic_fetch_and)                            \
    COMPARE(bits, type, strong)                                                  \
    COMPARE_VAL(bits, type)                                                      \
    COMPARE(bits, type, weak)
ATOMIC(8, uint8_t)
ATOMIC(16, uint16_t)
ATOMIC(32, uint32_t)
ATOMIC(64, uint64_t)

#endif
