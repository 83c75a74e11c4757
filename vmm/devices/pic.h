/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pair of 8259A interrupt controllers (Intel 8259A data sheet; ELCR as in the 82371 PIIX data sheet, 4.2.2).
 *
 * The one that asks for an interrupt looks at pic_peek (no change), hands the vector to the CPU, and calls pic_accept
 * when the CPU has taken it: that is the INTA cycle. Lock: the VM's, except for `output`, which any thread may read.
 */
#ifndef VMM_DEVICES_PIC_H
#define VMM_DEVICES_PIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "mullion/types.h"
#include "vmm/devices/bus.h"
#include "vmm/devices/device.h"
#include "vmm/devices/irq.h"

struct pic_chip {
    uint8_t irr; /* requests; edge: latched until accepted, level: follows the line */
    uint8_t imr, isr;
    uint8_t lines;    /* input levels */
    uint8_t elcr;     /* 1: level-triggered */
    uint8_t base;     /* vector of input 0 */
    uint8_t icw_step; /* 0: ready; else the ICW expected at the odd port */
    uint8_t lowest;   /* input with the lowest priority (rotation) */
    bool icw4_needed, single, auto_eoi, rotate_on_aeoi, special_mask, special_nested, read_isr, poll;
};

struct pic {
    struct pic_chip chip[2];                 /* 0: master */
    _Atomic bool output;                     /* INTR */
    void (*intr)(void *context, bool level); /* called when `output` changes */
    void *context;
};

/* Registers 0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1. */
must_check enum error pic_init(struct pic *pic, struct bus *bus, void (*intr)(void *context, bool level),
                               void *context);
void pic_set(struct pic *pic, unsigned irq, bool level); /* irq 0..15 */
enum irq_fate pic_fate(const struct pic *pic, unsigned irq);
int pic_peek(struct pic *pic);                    /* the vector that an INTA would get now; -1: INTR is low */
void pic_accept(struct pic *pic, uint8_t vector); /* the CPU took this vector */
/* A whole INTA cycle at once: the vector, accepted; with no request left, the spurious input 7 (whose ISR bit stays
 * clear). */
uint8_t pic_inta(struct pic *pic);
extern const struct device pic_device;

#endif
