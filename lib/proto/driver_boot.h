/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What root hands to a driver service: fixed handle slots, fixed addresses, one page to read and one to talk in. The
 * driver touches its device's registers by itself; what concerns the bus it asks root for.
 */
#ifndef LIB_DRIVER_BOOT_H
#define LIB_DRIVER_BOOT_H

#include <stdint.h>
#include "mullion/types.h"

/* Slots in the driver's handle table. */
enum {
    DRIVER_SLOT_LOG = 1,    /* RIGHT_SIGNAL */
    DRIVER_SLOT_EVENT,      /* RIGHT_WAIT | RIGHT_SIGNAL */
    DRIVER_SLOT_ROOT_EVENT, /* RIGHT_SIGNAL: with driver_boot.root_bits, after a request or an answer */
    DRIVER_SLOT_MESSAGE,    /* OBJ_IRQ, RIGHT_SIGNAL: its interrupt by message, if driver_boot.message. The driver binds
                               it to its event, with a bit of its own choice below DRIVER_EVENT_LINE */
    DRIVER_SLOT_TEST,       /* in test images: what a driver must not have */
};

/* Bits of the driver's event. */
#define DRIVER_EVENT_LINE   (1ull << 62) /* the interrupt line, which may be shared: look, quiet it, then answer */
#define DRIVER_EVENT_ANSWER (1ull << 63) /* to the request */
#define DRIVER_LINE_MS      10           /* so long it may take until line_answered: then its device is silenced */

/* Addresses in the driver's domain. */
#define DRIVER_BOOT_VA     0x0000000010000000ull /* struct driver_boot, read only */
#define DRIVER_CONTROL_VA  0x0000000010001000ull /* struct driver_control */
#define DRIVER_STACK_TOP   0x0000000011000000ull
#define DRIVER_STACK_BYTES 0x4000ull
#define DRIVER_DMA_VA      0x0000000020000000ull /* driver_boot.dma_bytes, one run in physical memory too */
#define DRIVER_BAR_VA(n)   (0x0000010000000000ull + (uint64_t)(n)*0x0000001000000000ull) /* + base % PAGE_SIZE */
#define DRIVER_BARS        6

struct driver_bar {
    uint64_t size; /* bytes from DRIVER_BAR_VA + base % PAGE_SIZE on; 0: there is none, or it cannot be had */
    uint64_t base; /* I/O ports: the first; memory: physical */
    uint32_t ports;
    uint32_t hole_at, hole_bytes; /* pages that are left out: the MSI-X table is there, which is root's */
    uint32_t reserved;
};

#define DRIVER_BOOT_MAGIC 0x3152455649524431ull
struct driver_boot {
    uint64_t magic;
    uint64_t tsc_khz, root_bits;
    uint16_t vendor, device;
    uint32_t role;          /* the row's number, when one program drives several devices */
    uint32_t message, line; /* 1: it has an interrupt by message; by line */
    uint64_t dma_hpa, dma_bytes;
    struct driver_bar bar[DRIVER_BARS];
};

enum driver_request {
    DRIVER_NOTHING = 0,
    DRIVER_MASTER,      /* value 1: the device may read and write memory; 0: not */
    DRIVER_USE_LINE,    /* interrupts come by the line: DRIVER_EVENT_LINE */
    DRIVER_USE_MESSAGE, /* interrupts come by message, as DRIVER_SLOT_MESSAGE is bound; the device must be a master */
    DRIVER_RESET,       /* function-level reset: master and interrupts are off afterwards. The answer takes 100 ms */
};

/* The driver writes request and value, raises `asked`, and signals root; root sets `result` (enum error), then
 * `answered`, and signals the driver. */
struct driver_control {
    uint32_t asked, request, value;
    uint32_t answered, result;
    uint32_t line_asked;    /* root raises it when the line has arrived... */
    uint32_t line_answered; /* ...and the driver copies it here when its device raises the line no longer */
};

#endif
