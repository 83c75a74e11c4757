// SPDX-License-Identifier: Apache-2.0
/*
 * What the kernel frees is filled at that moment: a stale pointer finds no zeroes, and a thread sanitizer sees the
 * freeing as a write of every byte. Linked in by -Wl,--wrap=pool_free,--wrap=pool_page_free.
 */
#include <string.h>

#include "mm/pool.h"

void __real_pool_free(struct quota *q, void *object, size_t size);
void __real_pool_page_free(struct quota *q, void *page);
void __wrap_pool_free(struct quota *q, void *object, size_t size);
void __wrap_pool_page_free(struct quota *q, void *page);

void __wrap_pool_free(struct quota *q, void *object, size_t size)
{
    if (object)
        memset(object, 0xdd, size);
    __real_pool_free(q, object, size);
}
void __wrap_pool_page_free(struct quota *q, void *page)
{
    if (page)
        memset(page, 0xdd, PAGE_SIZE);
    __real_pool_page_free(q, page);
}
