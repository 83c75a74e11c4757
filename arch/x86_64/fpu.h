/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guests' FPU state. Ring 0 and ring 3 never use the FPU (CR0.TS is set outside guests), so it is switched only
 * when another vCPU becomes current on a CPU: eagerly, whole, never by trapping.
 */
#ifndef ARCH_FPU_H
#define ARCH_FPU_H

#include "mullion/types.h"

#define FPU_AREA_SIZE 4096u

/* Per CPU: finds out what there is and turns it on. Panics if the state would not fit FPU_AREA_SIZE. */
void fpu_init(void);
/* Fills an area with the reset state. */
void fpu_reset(void *area);
/* The area is FPU_AREA_SIZE bytes, 64-byte aligned; xcr0: what it holds, what it is to hold. While no guest's state is
 * in the CPU XCR0 is cpu_xcr0_mask. Both leave the FPU open: fpu_close follows. */
void fpu_save(void *area, uint64_t xcr0);
void fpu_restore(const void *area, uint64_t xcr0);
void fpu_close(void);
/* May a guest set this XCR0? (Intel SDM vol. 1, 13.3) */
bool fpu_xcr0_valid(uint64_t xcr0);

#endif
