// SPDX-License-Identifier: Apache-2.0
#include "kernel/space.h"

#include "kernel/event.h"
#include "kernel/memory.h"
#include "kernel/vcpu.h"

_Static_assert(sizeof(struct fastpath_cpuids) <= PAGE_SIZE && FASTPATH_CPUID_MAX < 256, "one page");
_Static_assert(sizeof(struct fastpath_doorbells) <= PAGE_SIZE, "one page");

struct space *space_new(struct domain *payer)
{
    struct space *s = object_new(payer, sizeof *s);
    if (!s)
        return NULL;
    object_init(&s->object, OBJ_SPACE);
    s->payer = payer;
    s->cpuid = pool_page(&payer->quota);
    if (s->cpuid && pt_create(&s->tables, backend->format, &payer->quota) == OK)
        return s;
    pool_page_free(&payer->quota, s->cpuid);
    object_free(payer, s, sizeof *s);
    return NULL;
}

bool space_free_step(struct space *s)
{
    for (unsigned n = 0; s->mappings; n++) {
        if (n == MAPPINGS_PER_STEP)
            return false;
        mapping_free(s->mappings);
    }
    if (!pt_free_step(&s->tables, 512, TABLES_PER_STEP))
        return false;
    for (uint32_t i = s->doorbell ? s->doorbell->count : 0; i > 0; i--)
        object_put(&s->doorbell->entry[i - 1].event->object);
    pool_page_free(&s->payer->quota, s->doorbell);
    pool_page_free(&s->payer->quota, s->cpuid);
    s->payer->ending--;
    object_free(s->payer, s, sizeof *s);
    return true;
}

enum error space_fastpath_cpuid(struct space *s, uint64_t leaf, uint64_t eax_ebx, uint64_t ecx_edx, uint64_t live)
{
    struct fastpath_cpuid_entry x = {.leaf = (uint32_t)leaf,
                                     .subleaf = (uint32_t)(leaf >> 32),
                                     .live = (uint32_t)live,
                                     .eax = (uint32_t)eax_ebx,
                                     .ebx = (uint32_t)(eax_ebx >> 32),
                                     .ecx = (uint32_t)ecx_edx,
                                     .edx = (uint32_t)(ecx_edx >> 32)};
    struct fastpath_cpuids *t = s->cpuid;
    uint32_t at = cpuid_index(x.leaf);
    for (; t->index[at]; at = (at + 1) % CPUID_INDEX_SIZE) {
        struct fastpath_cpuid_entry *known = &t->entry[t->index[at]];
        if (known->leaf == x.leaf && known->subleaf == x.subleaf) {
            *known = x;
            return OK;
        }
    }
    if (t->count == FASTPATH_CPUID_MAX)
        return E_QUOTA;
    t->entry[++t->count] = x;
    __atomic_store_n(&t->index[at], (uint8_t)t->count, __ATOMIC_RELEASE); /* last: other vCPUs may be looking */
    return OK;
}

enum error space_fastpath_doorbell(struct space *s, const struct fastpath_doorbell_entry *x)
{
    struct fastpath_doorbells *t = s->doorbell;
    if (!t && !(t = pool_page(&s->payer->quota)))
        return E_QUOTA;
    __atomic_store_n(&s->doorbell, t, __ATOMIC_RELEASE);
    for (uint32_t i = 0; i < t->count; i++)
        if (t->entry[i].at == x->at) {
            write_once(t->entry[i].key, x->key);
            return OK;
        }
    uint64_t piece = doorbell_piece(x->at),
             pieces = doorbell_piece(x->at + ((uint64_t)x->count << x->shift) - 1) - piece + 1;
    if (t->count == FASTPATH_DOORBELL_MAX || pieces >= DOORBELL_INDEX_SIZE - t->indexed)
        return E_QUOTA;
    object_get(&x->event->object);
    t->entry[t->count++] = *x;
    t->indexed += (uint32_t)pieces;
    for (; pieces-- > 0; piece++) {
        uint64_t at = piece;
        while (t->index[at % DOORBELL_INDEX_SIZE])
            at++;
        __atomic_store_n(&t->index[at % DOORBELL_INDEX_SIZE], &t->entry[t->count - 1], __ATOMIC_RELEASE);
    }
    return OK;
}
