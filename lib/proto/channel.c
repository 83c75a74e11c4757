// SPDX-License-Identifier: Apache-2.0
/*
 * See lib/proto/channel.h. Each side reads the other's index once, and clamps it: what the other side writes there can
 * only garble bytes.
 */
#include "lib/proto/channel.h"
#include <stdatomic.h>
#include "lib/string.h"

#define MASK (CHANNEL_RING_BYTES - 1)
_Static_assert((CHANNEL_RING_BYTES & MASK) == 0, "indices wrap at 2^32, so the size divides it");

/* Own index first, then the other's. One side finds the ring empty (full) and goes to sleep; the other looks at the
 * indices to see whether it sleeps. They must not both see the old state. */
static void fence(void)
{
    atomic_thread_fence(memory_order_seq_cst);
}

static uint32_t used(const struct channel_ring *r)
{
    uint32_t head = atomic_load_explicit(&r->head, memory_order_acquire);
    uint32_t n = head - atomic_load_explicit(&r->tail, memory_order_acquire);
    return n <= CHANNEL_RING_BYTES ? n : CHANNEL_RING_BYTES;
}

size_t channel_used(const struct channel_ring *r)
{
    return used(r);
}

size_t channel_space(const struct channel_ring *r)
{
    return CHANNEL_RING_BYTES - used(r);
}

/* A run of `count` bytes that starts at `index` is at most two pieces: up to the ring's end, and from its start. */
static size_t first_piece(uint32_t index, size_t count)
{
    size_t to_end = CHANNEL_RING_BYTES - (index & MASK);
    return count < to_end ? count : to_end;
}

size_t channel_write(struct channel_ring *r, const void *bytes, size_t count)
{
    size_t space = channel_space(r);
    if (count > space)
        count = space;
    uint32_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    size_t first = first_piece(head, count);
    memcpy(r->data + (head & MASK), bytes, first);
    memcpy(r->data, (const uint8_t *)bytes + first, count - first);
    atomic_store_explicit(&r->head, head + (uint32_t)count, memory_order_release);
    fence();
    return count;
}

size_t channel_read(struct channel_ring *r, void *bytes, size_t count)
{
    size_t ready = used(r);
    if (count > ready)
        count = ready;
    if (count == 0) { /* most often, when a monitor has looked at its channel */
        fence();
        return 0;
    }
    uint32_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    size_t first = first_piece(tail, count);
    memcpy(bytes, r->data + (tail & MASK), first);
    memcpy((uint8_t *)bytes + first, r->data, count - first);
    atomic_store_explicit(&r->tail, tail + (uint32_t)count, memory_order_release);
    fence();
    return count;
}
