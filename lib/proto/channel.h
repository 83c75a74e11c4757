/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A byte channel between two ring-3 programs: two one-way rings in one shared page run, single producer and single
 * consumer each. Neither side trusts the other: indices are masked on every use, so a bad one garbles that channel's
 * bytes and nothing else. A writer signals the other side's event (the handle and the bits are agreed outside the
 * channel).
 */
#ifndef LIB_CHANNEL_H
#define LIB_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHANNEL_RING_BYTES 4096u

struct channel_ring {
    _Atomic uint32_t head; /* bytes ever written, modulo 2^32; producer's */
    uint32_t pad0[15];
    _Atomic uint32_t tail; /* bytes ever read; consumer's */
    uint32_t pad1[15];
    uint8_t data[CHANNEL_RING_BYTES];
};

/* Output of a guest is the larger stream: from_guest is written by the monitor, to_guest by the console. */
struct channel {
    struct channel_ring from_guest;
    struct channel_ring to_guest;
};
#define CHANNEL_BYTES 12288u /* page multiple that holds struct channel */
_Static_assert(sizeof(struct channel) <= CHANNEL_BYTES, "fits its pages");

/* What a guest's monitor and the console share. */
struct guest_channel {
    struct channel terminal;   /* the guest's serial port */
    struct channel_ring words; /* what the monitor itself has to say: lines, written by the monitor */
};
#define GUEST_CHANNEL_BYTES 16384u
_Static_assert(sizeof(struct guest_channel) <= GUEST_CHANNEL_BYTES, "fits its pages");

/* Both return how many bytes were moved. */
size_t channel_write(struct channel_ring *r, const void *bytes, size_t count);
size_t channel_read(struct channel_ring *r, void *bytes, size_t count);
size_t channel_space(const struct channel_ring *r);
size_t channel_used(const struct channel_ring *r);

#endif
