/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What root hands to the console: fixed handle slots, fixed addresses, and a read-only run of pages.
 */
#ifndef LIB_CONSOLE_BOOT_H
#define LIB_CONSOLE_BOOT_H

#include <stdint.h>
#include "mullion/boot.h"

#define CONSOLE_GUESTS_MAX 256

/* Slots in the console's handle table. */
enum {
    CONSOLE_SLOT_SELF = 1,         /* own domain, RIGHT_MAP */
    CONSOLE_SLOT_LOG,              /* RIGHT_SIGNAL */
    CONSOLE_SLOT_EVENT,            /* RIGHT_WAIT | RIGHT_SIGNAL */
    CONSOLE_SLOT_ROOT_EVENT,       /* signal, with console_boot.root_bits, after a request */
    CONSOLE_SLOT_PORTS,            /* the serial port, if there is one */
    CONSOLE_SLOT_IRQ,              /* its interrupt, if there is one */
    CONSOLE_SLOT_GUEST_EVENT = 16, /* + guest: that monitor's event; signal VMM_EVENT_INPUT */
};

/* Bits of the console's event: guest n has written (or has room again); several guests share a bit, so it is a hint
 * where to look. And: */
#define CONSOLE_EVENT_GROUPS   32u
#define CONSOLE_EVENT_GUEST(n) (1ull << (n) % CONSOLE_EVENT_GROUPS)
#define CONSOLE_EVENT_LOG      (1ull << 60) /* the kernel's log has a new line: root has bound its bell to this */
#define CONSOLE_EVENT_CONTROL  (1ull << 61)
#define CONSOLE_EVENT_IRQ      (1ull << 62)

/* Addresses in the console's domain. */
#define CONSOLE_BOOT_VA        0x0000000010000000ull /* struct console_boot, read only */
#define CONSOLE_CONTROL_VA     0x0000000010010000ull /* struct channel to root; the console is its "guest" side */
#define CONSOLE_LOG_RING_VA    0x0000000010100000ull /* struct klog_ring, read only */
#define CONSOLE_CHANNELS_VA    0x0000000020000000ull /* guest n's struct guest_channel at + n * stride */
#define CONSOLE_CHANNEL_STRIDE 0x10000ull
#define CONSOLE_SCREEN_VA \
    0x0000000040000000ull /* video memory; + the lower bits of its address, so that large pages fit */
#define CONSOLE_SCREEN_ALIGN 0x200000ull
#define CONSOLE_STACK_TOP    0x0000000011000000ull
#define CONSOLE_STACK_BYTES  0x10000ull

#define CONSOLE_BOOT_MAGIC 0x454c4f534e4f4331ull
struct console_boot {
    uint64_t magic;
    uint64_t tsc_khz;
    uint64_t entry_tsc; /* at the kernel's entry: times count from there */
    uint64_t root_bits;
    uint64_t log_start;   /* of a crashed console's successor: the log up to here is older than it (of the first,
                             klog_ring.shown tells) */
    uint16_t serial_port; /* 0: none */
    uint16_t quiet;       /* 1: the shell alone is there, no lines of guests and the log */
    uint32_t guest_count;
    uint32_t mirror;    /* 1: guests' lines go to the screen too; the kernel's log always does */
    uint32_t restarted; /* 1: this console is the successor of one that crashed */
    char backend[16];
    char guest[CONSOLE_GUESTS_MAX][32];
    struct screen_facts screen; /* width 0: there is none */
};
#define CONSOLE_BOOT_BYTES 0x4000ull
_Static_assert(sizeof(struct console_boot) <= CONSOLE_BOOT_BYTES, "fits");

#endif
