/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guests' FPU state. Ring 0 and ring 3 never use the FPU, so it is switched only when another vCPU becomes current
 * on a CPU: eagerly, whole, never by trapping. Outside guests CR0.TS is set, and CR4.OSXSAVE is clear: with it set,
 * XGETBV would show ring 3 a guest's XCR0 and which registers are in use, whatever TS is.
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
/* From here on the instructions of this file, XGETBV and XSETBV work in ring 0. Closed the first time before any guest
 * has run on the CPU. */
void fpu_open(void);
void fpu_close(void);
/* Set by a backend whose guests set XCR0 without an exit: then the CPU is asked what it holds, and XGETBV always
 * works. */
extern bool fpu_xcr0_by_guest;
/* Fills an area with the reset state. */
void fpu_reset(void *area);
/* The area is FPU_AREA_SIZE bytes, 64-byte aligned. XCR0 is cpu_xcr0_mask, and the FPU open. */
void fpu_save(void *area);
void fpu_restore(const void *area);
/* Where no exception is pending, CPUs of AMD without CPUID 8000_0008h EBX bit 2 leave the last instruction's address,
 * opcode and operand out of what they restore: they would be another guest's (APM vol. 5, FXRSTOR; CVE-2006-1056). So
 * they are those of the FILD here. Before it no exception is pending, and no register in use. */
static inline void fpu_forget_pointers(void)
{
    static const uint32_t zero;
    __asm__ volatile("fnclex; emms; fildl %0" : : "m"(zero));
}
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
