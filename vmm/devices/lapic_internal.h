/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lapic.c (registers), lapic_timer.c and lapic_route.c share; no other file includes it.
 */
#ifndef VMM_DEVICES_LAPIC_INTERNAL_H
#define VMM_DEVICES_LAPIC_INTERNAL_H

#include "vmm/devices/lapic.h"

/* Registers by number: xAPIC offset / 16 = x2APIC MSR - 0x800 (Intel SDM vol. 3, tables 11-1 and 11-6). */
enum {
    REG_ID = 0x02,
    REG_VERSION = 0x03,
    REG_TPR = 0x08,
    REG_APR = 0x09,
    REG_PPR = 0x0a,
    REG_EOI = 0x0b,
    REG_RRD = 0x0c,
    REG_LDR = 0x0d,
    REG_DFR = 0x0e,
    REG_SVR = 0x0f,
    REG_ISR = 0x10,
    REG_TMR = 0x18,
    REG_IRR = 0x20,
    REG_ESR = 0x28,
    REG_ICR_LOW = 0x30,
    REG_ICR_HIGH = 0x31,
    REG_LVT_FIRST = 0x32,
    REG_LVT_LAST = 0x37,
    REG_INITIAL = 0x38,
    REG_CURRENT = 0x39,
    REG_DIVIDE = 0x3e,
    REG_SELF_IPI = 0x3f
};
static inline uint32_t *reg_of(const struct lapic *l, unsigned number)
{
    return &l->page[4 * number];
}
static inline uint32_t *lvt_of(const struct lapic *l, enum lapic_lvt which)
{
    return reg_of(l, REG_LVT_FIRST + which);
}

/* ESR bits (Intel SDM vol. 3, 11.5.3) */
#define LAPIC_ERROR_SEND_VECTOR    0x20u
#define LAPIC_ERROR_RECEIVE_VECTOR 0x40u
#define LAPIC_ERROR_REGISTER       0x80u

#define ICR_WRITABLE  0x000ccfffu /* without delivery status */
#define LVT_MASK      0x10000u
#define LVT_MODE(v)   ((v) >> 8 & 7)
#define TIMER_MODE(v) ((v) >> 17 & 3)
enum { TIMER_ONE_SHOT = 0, TIMER_PERIODIC = 1, TIMER_DEADLINE = 2 };

/* What a write of the ICR asks for; `dest` has 8 bits, or 32 if x2. False: an illegal vector. */
bool lapic_send_icr(struct lapic *l, bool x2, uint32_t icr_low, uint32_t dest);
/* A fixed interrupt to this very APIC. False: an illegal vector. */
bool lapic_send_self(struct lapic *l, uint8_t vector);

/* Its own thread, between two runs of the guest: needs no pending bit if the CPU serves the interrupts. Then true: it
 * is in the page. */
bool lapic_request(struct lapic *l, uint8_t vector);

/* Posts what the LVT entry says, unless it is masked. */
void lapic_local_interrupt(struct lapic *l, enum lapic_lvt which);

void lapic_timer_stop(struct lapic *l);
void lapic_timer_start(struct lapic *l, uint64_t now);
/* A new divisor: the count goes on from where it is. */
void lapic_timer_divide(struct lapic *l, uint64_t now, uint32_t divide);
/* The LVT entry was changed from `old`. */
void lapic_timer_mode(struct lapic *l, uint64_t now, uint32_t old);
uint32_t lapic_timer_count(const struct lapic *l, uint64_t now);

#endif
