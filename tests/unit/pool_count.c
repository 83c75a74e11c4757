// SPDX-License-Identifier: Apache-2.0
/* Linked in by -Wl,--wrap=pool_init,--wrap=pool_alloc,--wrap=pool_free,--wrap=pool_page_free. */
#include "pool_count.h"

#include <string.h>

#include "kernel/log.h"

#define PAYERS 2048u

static struct {
    const struct quota *payer;
    uint64_t bytes;
} books[PAYERS];

void __real_pool_init(hpa_t base, uint64_t size, void *virt);
void __wrap_pool_init(hpa_t base, uint64_t size, void *virt);
void *__real_pool_alloc(struct quota *q, size_t size);
void __real_pool_free(struct quota *q, void *object, size_t size);
void *__wrap_pool_alloc(struct quota *q, size_t size);
void __wrap_pool_free(struct quota *q, void *object, size_t size);
void __wrap_pool_page_free(struct quota *q, void *page);

static uint64_t *book_of(const struct quota *q)
{
    unsigned i = 0;
    while (i < PAYERS && books[i].payer && books[i].payer != q)
        i++;
    kassert(i < PAYERS);
    books[i].payer = q;
    return &books[i].bytes;
}

static uint64_t class_of(size_t size)
{
    uint64_t bytes = POOL_UNIT;
    while (bytes < size)
        bytes *= 2;
    return bytes;
}

uint64_t pool_bytes_of(const struct quota *q)
{
    return *book_of(q);
}

void __wrap_pool_init(hpa_t base, uint64_t size, void *virt)
{
    memset(books, 0, sizeof books);
    __real_pool_init(base, size, virt);
}

void *__wrap_pool_alloc(struct quota *q, size_t size)
{
    void *object = __real_pool_alloc(q, size);
    if (object)
        *book_of(q) += class_of(size);
    return object;
}

void __wrap_pool_free(struct quota *q, void *object, size_t size)
{
    if (object)
        *book_of(q) -= class_of(size);
    __real_pool_free(q, object, size);
}

void __wrap_pool_page_free(struct quota *q, void *page)
{
    __wrap_pool_free(q, page, PAGE_SIZE);
}
