/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's x87, MMX, SSE and AVX registers in its XSAVE image (Intel SDM vol. 1, 13.4 and table 10-2), got when an
 * instruction needs them. Integer code only: the monitor itself has no such registers.
 */
#ifndef VMM_FPU_H
#define VMM_FPU_H

#include "vmm/insn/run.h"

#define FPU_CONTROL    0u  /* 16 bits */
#define FPU_STATUS     2u  /* 16 bits */
#define FPU_TAGS       4u  /* 8 bits: one for each register that is in use, by its own number */
#define FPU_MXCSR      24u /* 32 bits */
#define FPU_MXCSR_MASK 28u
#define FPU_STACK      32u  /* ST(0) to ST(7), 16 bytes each, of which 10 count */
#define FPU_XMM        160u /* 16 bytes each */
#define FPU_TOP_SHIFT  11   /* in the status */

/* VERDICT_DONE: *image can be read and changed; call fpu_changed after a change. FAULT: the guest has switched these
 * registers off, or has not enabled them. */
enum verdict fpu_x87(struct run *r, struct fpu_image **image);
enum verdict fpu_mmx(struct run *r, struct fpu_image **image);
enum verdict fpu_vector(struct run *r, struct fpu_image **image); /* SSE, AVX or AVX-512, by the encoding */
void fpu_changed(struct run *r);

/* Where parts of vector registers are. NULL: the CPU has no such parts. */
uint8_t *fpu_ymm_high(const struct run *r, struct fpu_image *image, unsigned number);  /* bytes 16 to 31 of 0 to 15 */
uint8_t *fpu_zmm_high(const struct run *r, struct fpu_image *image, unsigned number);  /* bytes 32 to 63 of 0 to 15 */
uint8_t *fpu_zmm_whole(const struct run *r, struct fpu_image *image, unsigned number); /* all 64 of 16 to 31 */

#endif
