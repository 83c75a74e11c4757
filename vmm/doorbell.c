// SPDX-License-Identifier: Apache-2.0
/* See doorbell.h. */
#include "vmm/doorbell.h"

#include <stddef.h>

static struct doorbell *find(struct doorbells *d, uint64_t gpa)
{
    for (uint32_t i = 0; i < d->count; i++)
        if (d->bell[i].gpa == gpa)
            return &d->bell[i];
    return NULL;
}

enum error doorbell_add(struct doorbells *d, uint64_t gpa, uint64_t event, uint64_t bits)
{
    if (find(d, gpa) != NULL)
        return E_OVERLAP;
    if (d->count == DOORBELLS_MAX)
        return E_QUOTA;
    d->bell[d->count++] = (struct doorbell){.gpa = gpa, .event = event, .bits = bits};
    return OK;
}

void doorbell_forget(struct doorbells *d)
{
    for (uint32_t i = 0; i < d->count; i++)
        d->bell[i].last = d->bell[i].told = 0;
}

/* Two places in a guest that ring in turns do not take the kernel's only entry from each other each time. One that was
 * told of and still comes is not told again: the CPU does not say how long it is. */
const struct doorbell *doorbell_rung(struct doorbells *d, uint64_t gpa, uint64_t rip)
{
    struct doorbell *b = find(d, gpa);
    if (b == NULL || rip == b->told)
        return NULL;
    if (rip != b->last) {
        b->last = rip;
        return NULL;
    }
    b->told = rip;
    return b;
}
