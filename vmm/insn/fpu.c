// SPDX-License-Identifier: Apache-2.0
/*
 * See vmm/insn/fpu.h.
 */
#include "vmm/insn/fpu.h"
#include "lib/string.h"
#include "mullion/regs.h"

#define VECTOR_NM 7u

#define COMPONENT_X87 0u
#define COMPONENT_SSE 1u
#define COMPONENT_AVX 2u
#define COMPONENT_ZMM 6u /* upper halves of ZMM0 to 15 */
#define COMPONENT_16  7u /* ZMM16 to 31 */

/* A component that the image has not is in its initial state: write that out, and say that it is there. */
static void make_present(struct fpu_image *image, unsigned component, uint8_t *at, unsigned size)
{
    if (image->xstate_bv >> component & 1)
        return;
    memset(at, 0, size);
    image->xstate_bv |= 1ull << component;
}

static enum verdict get_image(struct run *r, struct fpu_image **image)
{
    static const uint16_t control = 0x37f; /* after FNINIT */
    struct fpu_image *f = r->c->fpu != NULL ? r->c->fpu(r->c->context) : NULL;
    if (f == NULL)
        return VERDICT_UNSUPPORTED;
    if (r->c->xsave_offset != NULL) { /* without XSAVE all of it is always there */
        bool fresh = !(f->xstate_bv >> COMPONENT_X87 & 1);
        make_present(f, COMPONENT_X87, f->legacy + FPU_STACK, 8 * 16);
        if (fresh) {
            memset(f->legacy, 0, FPU_MXCSR);
            memcpy(f->legacy + FPU_CONTROL, &control, sizeof control);
        }
        make_present(f, COMPONENT_SSE, f->legacy + FPU_XMM, 16 * 16);
    }
    *image = f;
    return VERDICT_DONE;
}

enum verdict fpu_x87(struct run *r, struct fpu_image **image)
{
    return r->c->state->cr0 & (CR0_EM | CR0_TS) ? run_fault(r, VECTOR_NM) : get_image(r, image);
}

enum verdict fpu_mmx(struct run *r, struct fpu_image **image)
{
    if (r->c->state->cr0 & CR0_EM)
        return run_fault(r, VECTOR_UD);
    return r->c->state->cr0 & CR0_TS ? run_fault(r, VECTOR_NM) : get_image(r, image);
}

enum verdict fpu_vector(struct run *r, struct fpu_image **image)
{
    const struct vcpu_state *s = r->c->state;
    bool enabled = (s->cr4 & CR4_OSFXSR) && !(s->cr0 & CR0_EM);
    uint64_t components = XCR0_SSE | XCR0_AVX;
    if (r->d.insn.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX)
        components |= XCR0_AVX512;
    if (r->d.insn.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY)
        enabled = (s->cr4 & CR4_OSXSAVE) && (s->xcr0 & components) == components;
    if (!enabled)
        return run_fault(r, VECTOR_UD);
    return s->cr0 & CR0_TS ? run_fault(r, VECTOR_NM) : get_image(r, image);
}

void fpu_changed(struct run *r)
{
    r->c->state->dirty |= GROUP_FPU;
}

static uint8_t *component(const struct run *r, struct fpu_image *image, unsigned number, unsigned size)
{
    uint32_t at = r->c->xsave_offset != NULL ? r->c->xsave_offset[number] : 0;
    if (at < offsetof(struct fpu_image, extended) || at > sizeof *image - 16 * size)
        return NULL;
    uint8_t *bytes = (uint8_t *)image + at;
    make_present(image, number, bytes, 16 * size);
    return bytes;
}

/* Of 16 registers, `size` bytes each. */
static uint8_t *part(const struct run *r, struct fpu_image *image, unsigned c, unsigned number, unsigned size)
{
    uint8_t *at = component(r, image, c, size);
    return at != NULL ? at + (size_t)size * (number & 15) : NULL;
}

uint8_t *fpu_ymm_high(const struct run *r, struct fpu_image *image, unsigned number)
{
    return part(r, image, COMPONENT_AVX, number, 16);
}

uint8_t *fpu_zmm_high(const struct run *r, struct fpu_image *image, unsigned number)
{
    return part(r, image, COMPONENT_ZMM, number, 32);
}

uint8_t *fpu_zmm_whole(const struct run *r, struct fpu_image *image, unsigned number)
{
    return part(r, image, COMPONENT_16, number, 64);
}
