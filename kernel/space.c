#include "kernel/space.h"

#include "kernel/event.h"
#include "kernel/memory.h"
#include "kernel/vcpu.h"

_Static_assert(sizeof(struct settled_cpuid) * SETTLE_CPUID_MAX <= PAGE_SIZE, "one page");
_Static_assert(sizeof(struct settled_doorbell) * SETTLE_DOORBELL_MAX <= PAGE_SIZE, "one page");

static uint32_t spaces_made;

struct space *space_new(struct domain *payer)
{
    struct space *s = object_new(payer, sizeof *s);
    if (!s)
        return NULL;
    object_init(&s->object, OBJ_SPACE);
    s->payer = payer;
    s->tag = ++spaces_made;
    if (pt_create(&s->tables, backend->format, &payer->quota) == OK)
        return s;
    object_free(payer, s, sizeof *s);
    return NULL;
}

/* Reached only when no vCPU of the space is left, after a flush of its CPUs (their domain's destruction) or before the first entry. */
void space_free(struct space *s)
{
    while (s->mappings)
        mapping_free(s->mappings);
    while (!pt_free_step(&s->tables, 512, 512)) {
    }
    for (uint32_t i = 0; i < s->doorbell_count; i++)
        object_put(&s->doorbell[i].event->object);
    if (s->doorbell)
        pool_page_free(&s->payer->quota, s->doorbell);
    if (s->cpuid)
        pool_page_free(&s->payer->quota, s->cpuid);
    object_free(s->payer, s, sizeof *s);
}

enum error space_settle_cpuid(struct space *s, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    if (!s->cpuid && !(s->cpuid = pool_page(&s->payer->quota)))
        return E_QUOTA;
    struct settled_cpuid x = {.leaf = (uint32_t)a, .subleaf = (uint32_t)(a >> 32), .live = (uint32_t)d, .eax = (uint32_t)b,
                              .ebx = (uint32_t)(b >> 32), .ecx = (uint32_t)c, .edx = (uint32_t)(c >> 32)};
    uint32_t i = 0;
    while (i < s->cpuid_count && (s->cpuid[i].leaf != x.leaf || s->cpuid[i].subleaf != x.subleaf))
        i++;
    if (i == SETTLE_CPUID_MAX)
        return E_QUOTA;
    s->cpuid[i] = x;
    if (i == s->cpuid_count)
        __atomic_store_n(&s->cpuid_count, i + 1, __ATOMIC_RELEASE);
    return OK;
}

enum error space_settle_doorbell(struct space *s, bool memory, uint64_t base, uint64_t size, struct event *e, uint64_t bits)
{
    if (size == 0 ? memory : base + size < base)
        return E_ARG;
    if (!s->doorbell && !(s->doorbell = pool_page(&s->payer->quota)))
        return E_QUOTA;
    if (s->doorbell_count == SETTLE_DOORBELL_MAX)
        return E_QUOTA;
    object_get(&e->object);
    s->doorbell[s->doorbell_count] = (struct settled_doorbell){.event = e, .bits = bits, .base = base, .size = size, .memory = memory};
    __atomic_store_n(&s->doorbell_count, s->doorbell_count + 1, __ATOMIC_RELEASE);
    return OK;
}
