/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guests' FPU state. Ring 0 and ring 3 never use the FPU (CR0.TS is set outside guests), so it is switched only
 * when another vCPU becomes current on a CPU: eagerly, whole, never by trapping.
 */
#ifndef ARCH_FPU_H
#define ARCH_FPU_H

#include "mullion/types.h"
#include "mullion/vcpu.h"

#define FPU_AREA_SIZE      4096u
#define FPU_MXCSR          24u /* offsets in the area */
#define FPU_MXCSR_MASK     28u
#define FPU_MXCSR_MASK_OLD 0xffbfu /* what 0 stands for there (Intel SDM vol. 1, 11.6.6) */

/* Per CPU: finds out what there is and turns it on. Panics if the state would not fit FPU_AREA_SIZE. */
void fpu_init(void);
/* Fills an area with the reset state. */
void fpu_reset(void *area);
/* The area is FPU_AREA_SIZE bytes, 64-byte aligned; xcr0: what it holds, what it is to hold. While no guest's state is
 * in the CPU XCR0 is cpu_xcr0_mask. Both leave the FPU open: fpu_close follows. */
void fpu_save(void *area, uint64_t xcr0);
void fpu_restore(const void *area, uint64_t xcr0);
void fpu_close(void);
/* Would XRSTOR take what lies in the area? components: those that XCR0 may name, 0 without XSAVE; mxcsr_mask: as FXSAVE
 * tells it. Pure. (Intel SDM vol. 1, 13.8.1) */
static inline bool fpu_image_valid(const struct fpu_image *area, uint64_t components, uint32_t mxcsr_mask)
{
    uint32_t mxcsr;
    __builtin_memcpy(&mxcsr, area->legacy + FPU_MXCSR, sizeof mxcsr);
    uint64_t wrong = area->xcomp_bv | (area->xstate_bv & ~components);
    for (size_t i = 0; i < ARRAY_SIZE(area->reserved); i++)
        wrong |= area->reserved[i];
    return (mxcsr & ~mxcsr_mask) == 0 && (!components || !wrong);
}
/* May a guest set this XCR0? (Intel SDM vol. 1, 13.3) */
bool fpu_xcr0_valid(uint64_t xcr0);

#endif
