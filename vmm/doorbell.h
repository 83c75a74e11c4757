/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Doorbells in device memory: registers whose writes only signal an event, whatever is written. A monitor rings them
 * like any device; but once the same instruction has rung one twice in a row, ring 0 can be told what it is
 * (FASTPATH_DOORBELL_STORE), and the next such write does not come here any more. Pure. Lock: the VM's.
 */
#ifndef VMM_DOORBELL_H
#define VMM_DOORBELL_H

#include <stdint.h>

#include "mullion/abi.h"
#include "mullion/types.h"

#define DOORBELLS_MAX 8u

struct doorbell {
    uint64_t gpa;
    uint64_t event; /* handle */
    uint64_t bits;
    uint64_t last, told; /* the instructions that rang it last, and that ring 0 was told of, by rip; 0: none */
};
struct doorbells {
    uint32_t count;
    struct doorbell bell[DOORBELLS_MAX];
};

/* E_OVERLAP: there is one; E_QUOTA: the table is full. */
enum error doorbell_add(struct doorbells *d, uint64_t gpa, uint64_t event, uint64_t bits) must_check;
/* Nothing is known any more of the instructions that ring them. */
void doorbell_forget(struct doorbells *d);
/* The instruction at rip, which only stores, has written to gpa. The doorbell, if ring 0 is to be told of it now; else
 * NULL. */
const struct doorbell *doorbell_rung(struct doorbells *d, uint64_t gpa, uint64_t rip);

#endif
