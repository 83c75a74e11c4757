// SPDX-License-Identifier: Apache-2.0
/*
 * See vmm/memory.h. Sums are never formed before it is known that they cannot wrap.
 */
#include "vmm/memory.h"
#include "lib/string.h"

#define LAYOUT_MAX (1ull << 40)

uint32_t guest_layout(uint64_t bytes, struct vmm_piece piece[2])
{
    if (bytes == 0 || bytes % 4096 != 0 || bytes > LAYOUT_MAX)
        return 0;
    piece[0] = (struct vmm_piece){.gpa = 0, .size = bytes < GUEST_LOW_RAM_MAX ? bytes : GUEST_LOW_RAM_MAX};
    if (bytes <= GUEST_LOW_RAM_MAX)
        return 1;
    piece[1] = (struct vmm_piece){.gpa = GUEST_HIGH_RAM, .size = bytes - GUEST_LOW_RAM_MAX};
    return 2;
}

static bool joins(const struct guest_piece *a, const struct guest_piece *b)
{
    return a->gpa + a->size == b->gpa && (uintptr_t)a->hva + a->size == (uintptr_t)b->hva;
}

static void remove_piece(struct guest_memory *m, uint32_t at)
{
    m->count--;
    for (uint32_t i = at; i < m->count; i++)
        m->piece[i] = m->piece[i + 1];
}

enum error guest_memory_add(struct guest_memory *m, uint64_t gpa, uint64_t size, void *hva)
{
    if (size == 0 || hva == NULL || gpa > UINT64_MAX - size || (uintptr_t)hva > UINTPTR_MAX - size)
        return E_ARG;
    uint32_t at = 0;
    while (at < m->count && m->piece[at].gpa < gpa)
        at++;
    if (at > 0 && m->piece[at - 1].gpa + m->piece[at - 1].size > gpa)
        return E_OVERLAP;
    if (at < m->count && gpa + size > m->piece[at].gpa)
        return E_OVERLAP;
    if ((gpa | size) % 4096 != 0)
        return E_ARG;
    struct guest_piece added = {.gpa = gpa, .size = size, .hva = hva};
    if (at > 0 && joins(&m->piece[at - 1], &added)) {
        m->piece[at - 1].size += size;
        at--;
    } else {
        if (m->count == VMM_PIECES_MAX)
            return E_QUOTA;
        for (uint32_t i = m->count; i > at; i--)
            m->piece[i] = m->piece[i - 1];
        m->piece[at] = added;
        m->count++;
    }
    if (at + 1 < m->count && joins(&m->piece[at], &m->piece[at + 1])) {
        m->piece[at].size += m->piece[at + 1].size;
        remove_piece(m, at + 1);
    }
    return OK;
}

const void *guest_page_elsewhere(const struct guest_memory *m, uint64_t gpa)
{
    return guest_ptr(m, gpa, 4096);
}

static bool all_ram(const struct guest_memory *m, uint64_t gpa, uint64_t len)
{
    if (len != 0 && gpa > UINT64_MAX - (len - 1))
        return false;
    while (len > 0) {
        const struct guest_piece *p = guest_piece_of(m, gpa);
        if (p == NULL)
            return false;
        uint64_t here = p->size - (gpa - p->gpa);
        if (here >= len)
            return true;
        gpa += here;
        len -= here;
    }
    return true;
}

static void tell(const struct guest_memory *m, uint64_t gpa, uint64_t len)
{
    if (unlikely(m->written != NULL) && len != 0)
        m->written(m->context, gpa, len);
}

/* Where to write [gpa, gpa + len); NULL: it is not inside one piece. */
static void *place(const struct guest_memory *m, uint64_t gpa, uint64_t len)
{
    const struct guest_piece *p = guest_piece_of(m, gpa);
    return p != NULL && len != 0 && len <= p->size - (gpa - p->gpa) ? (uint8_t *)p->hva + (gpa - p->gpa) : NULL;
}

/* The pointer to gpa and, in *run, how many of `len` bytes lie there. Only after all_ram. */
static uint8_t *run_at(const struct guest_memory *m, uint64_t gpa, uint64_t len, uint64_t *run)
{
    const struct guest_piece *p = guest_piece_of(m, gpa);
    uint64_t here = p->size - (gpa - p->gpa);
    *run = here < len ? here : len;
    return (uint8_t *)p->hva + (gpa - p->gpa);
}

enum error guest_read(const struct guest_memory *m, uint64_t gpa, void *to, uint64_t len)
{
    if (!all_ram(m, gpa, len))
        return E_ARG;
    uint8_t *out = to;
    for (uint64_t run; len > 0; gpa += run, out += run, len -= run) {
        const uint8_t *from = run_at(m, gpa, len, &run);
        memcpy(out, from, run);
    }
    return OK;
}

enum error guest_write(const struct guest_memory *m, uint64_t gpa, const void *from, uint64_t len)
{
    if (!all_ram(m, gpa, len))
        return E_ARG;
    const uint8_t *in = from;
    for (uint64_t run; len > 0; gpa += run, in += run, len -= run) {
        uint8_t *to = run_at(m, gpa, len, &run);
        memcpy(to, in, run);
        tell(m, gpa, run);
    }
    return OK;
}

enum error guest_fill(const struct guest_memory *m, uint64_t gpa, uint8_t byte, uint64_t len)
{
    if (!all_ram(m, gpa, len))
        return E_ARG;
    for (uint64_t run; len > 0; gpa += run, len -= run) {
        uint8_t *to = run_at(m, gpa, len, &run);
        memset(to, byte, run);
        tell(m, gpa, run);
    }
    return OK;
}

bool guest_store(const struct guest_memory *m, uint64_t gpa, unsigned size, uint64_t value)
{
    void *to = size <= 8 ? place(m, gpa, size) : NULL;
    if (to == NULL)
        return false;
    if (((uintptr_t)to & (size - 1)) != 0 || (size & (size - 1)) != 0) {
        memcpy(to, &value, size);
    } else {
        switch (size) {
        case 1: __atomic_store_n((uint8_t *)to, (uint8_t)value, __ATOMIC_RELEASE); break;
        case 2: __atomic_store_n((uint16_t *)to, (uint16_t)value, __ATOMIC_RELEASE); break;
        case 4: __atomic_store_n((uint32_t *)to, (uint32_t)value, __ATOMIC_RELEASE); break;
        default: __atomic_store_n((uint64_t *)to, value, __ATOMIC_RELEASE); break;
        }
    }
    tell(m, gpa, size);
    return true;
}

bool guest_replace(const struct guest_memory *m, uint64_t gpa, unsigned size, uint64_t seen, uint64_t value)
{
    void *at = place(m, gpa, size);
    if (at == NULL)
        return false;
    uint32_t seen32 = (uint32_t)seen;
    bool done = size == 8 ? __atomic_compare_exchange_n((uint64_t *)at, &seen, value, false, __ATOMIC_ACQ_REL,
                                                        __ATOMIC_RELAXED)
                          : __atomic_compare_exchange_n((uint32_t *)at, &seen32, (uint32_t)value, false,
                                                        __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
    if (done)
        tell(m, gpa, size);
    return done;
}

void guest_written(const struct guest_memory *m, uint64_t gpa, uint64_t len)
{
    if (len == 0)
        return;
    uint64_t last = len - 1 > UINT64_MAX - gpa ? UINT64_MAX : gpa + (len - 1);
    for (uint32_t i = 0; i < m->count; i++) {
        uint64_t first = m->piece[i].gpa, end = first + (m->piece[i].size - 1);
        first = gpa > first ? gpa : first;
        end = last < end ? last : end;
        if (first <= end)
            tell(m, first, end - first + 1);
    }
}

void guest_clear(const struct guest_memory *m)
{
    for (uint32_t i = 0; i < m->count; i++) {
        memset(m->piece[i].hva, 0, m->piece[i].size);
        tell(m, m->piece[i].gpa, m->piece[i].size);
    }
}

uint64_t guest_low_end(const struct guest_memory *m)
{
    uint64_t end = 0;
    for (uint32_t i = 0; i < m->count && m->piece[i].gpa == end; i++)
        end += m->piece[i].size;
    return end;
}

uint64_t guest_total(const struct guest_memory *m)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < m->count; i++)
        sum += m->piece[i].size;
    return sum;
}
