// SPDX-License-Identifier: Apache-2.0
/*
 * Moves between memory and the MMX, SSE, AVX and AVX-512 registers (Intel SDM vol. 2), but those that a mask register
 * cuts. What computes is not known. See vmm/insn/run.h.
 */
#include "lib/string.h"
#include "vmm/insn/fpu.h"

/* Bytes of a register. */
#define XMM 16u
#define YMM 32u
#define ZMM 64u

static bool is_legacy(const struct run *r)
{
    return r->d.insn.encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY;
}

static bool is_evex(const struct run *r)
{
    return r->d.insn.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX;
}

/* XMM, YMM or ZMM: 0 to 31 by EVEX, else 0 to 15. */
static bool vector_number(const ZydisDecodedOperand *o, unsigned *number)
{
    ZydisRegister reg = o->reg.value;
    if (o->type != ZYDIS_OPERAND_TYPE_REGISTER)
        return false;
    if (reg >= ZYDIS_REGISTER_XMM0 && reg <= ZYDIS_REGISTER_XMM31)
        *number = (unsigned)(reg - ZYDIS_REGISTER_XMM0);
    else if (reg >= ZYDIS_REGISTER_YMM0 && reg <= ZYDIS_REGISTER_YMM31)
        *number = (unsigned)(reg - ZYDIS_REGISTER_YMM0);
    else if (reg >= ZYDIS_REGISTER_ZMM0 && reg <= ZYDIS_REGISTER_ZMM31)
        *number = (unsigned)(reg - ZYDIS_REGISTER_ZMM0);
    else
        return false;
    return true;
}

static bool mmx_number(const ZydisDecodedOperand *o, unsigned *number)
{
    ZydisRegister reg = o->reg.value;
    if (o->type != ZYDIS_OPERAND_TYPE_REGISTER || reg < ZYDIS_REGISTER_MM0 || reg > ZYDIS_REGISTER_MM7)
        return false;
    *number = (unsigned)(reg - ZYDIS_REGISTER_MM0);
    return true;
}

static uint8_t *xmm(struct fpu_image *image, unsigned number)
{
    return image->legacy + FPU_XMM + (size_t)16 * number;
}

/* All 64 bytes, as far as there are. False: the CPU has no such register. */
static bool vector_get(struct run *r, struct fpu_image *image, unsigned number, uint8_t bytes[ZMM])
{
    memset(bytes, 0, ZMM);
    if (number >= 16) {
        const uint8_t *whole = fpu_zmm_whole(r, image, number);
        if (whole != NULL)
            memcpy(bytes, whole, ZMM);
        return whole != NULL;
    }
    memcpy(bytes, xmm(image, number), XMM);
    if (is_legacy(r))
        return true;
    const uint8_t *high = fpu_ymm_high(r, image, number), *rest = fpu_zmm_high(r, image, number);
    if (high != NULL)
        memcpy(bytes + XMM, high, XMM);
    if (rest != NULL)
        memcpy(bytes + YMM, rest, YMM);
    return high != NULL && (rest != NULL || !is_evex(r));
}

/* A legacy instruction changes 16 bytes; by VEX and EVEX all bytes from `size` on become zero. vector_get was true. */
static void vector_set(struct run *r, struct fpu_image *image, unsigned number, uint8_t bytes[ZMM], unsigned size)
{
    fpu_changed(r);
    memset(bytes + size, 0, ZMM - size);
    if (number >= 16) {
        memcpy(fpu_zmm_whole(r, image, number), bytes, ZMM);
        return;
    }
    memcpy(xmm(image, number), bytes, XMM);
    if (is_legacy(r))
        return;
    uint8_t *rest = fpu_zmm_high(r, image, number);
    memcpy(fpu_ymm_high(r, image, number), bytes + XMM, XMM);
    if (rest != NULL)
        memcpy(rest, bytes + YMM, YMM);
}

static bool is_aligned(ZydisMnemonic m)
{
    static const ZydisMnemonic those[] = {
        ZYDIS_MNEMONIC_MOVAPS,   ZYDIS_MNEMONIC_MOVAPD,    ZYDIS_MNEMONIC_MOVDQA,    ZYDIS_MNEMONIC_MOVNTPS,
        ZYDIS_MNEMONIC_MOVNTPD,  ZYDIS_MNEMONIC_MOVNTDQ,   ZYDIS_MNEMONIC_MOVNTDQA,  ZYDIS_MNEMONIC_VMOVAPS,
        ZYDIS_MNEMONIC_VMOVAPD,  ZYDIS_MNEMONIC_VMOVDQA,   ZYDIS_MNEMONIC_VMOVNTPS,  ZYDIS_MNEMONIC_VMOVNTPD,
        ZYDIS_MNEMONIC_VMOVNTDQ, ZYDIS_MNEMONIC_VMOVNTDQA, ZYDIS_MNEMONIC_VMOVDQA32, ZYDIS_MNEMONIC_VMOVDQA64};
    for (unsigned i = 0; i < sizeof those / sizeof those[0]; i++)
        if (those[i] == m)
            return true;
    return false;
}

/* The memory operand's size, if it is one that a register has. */
static bool access_of(const struct run *r, const ZydisDecodedOperand *o, bool write, struct wide_access *w)
{
    *w = (struct wide_access){.size = o->size / 8u, .write = write, .aligned = is_aligned(r->d.insn.mnemonic)};
    return o->type == ZYDIS_OPERAND_TYPE_MEMORY && w->size <= ZMM;
}

/* Reads before anything else is changed. */
static enum verdict read_operand(struct run *r, const ZydisDecodedOperand *o, struct wide_access *w)
{
    enum verdict v = run_reach_wide(r, o, w);
    return v == VERDICT_DONE ? run_load_wide(r, w) : v;
}

static enum verdict write_operand(struct run *r, const ZydisDecodedOperand *o, struct wide_access *w)
{
    enum verdict v = run_reach_wide(r, o, w);
    return v == VERDICT_DONE ? run_store_wide(r, w) : v;
}

/* --- MMX --- */

/* Its registers are the x87 ones by their own numbers. After any of its instructions the top is 0 and all are in use
 * (SDM vol. 3, 12.2). */
static void enter_mmx(struct fpu_image *image)
{
    uint8_t turned[8][16], (*stack)[16] = (uint8_t(*)[16])(image->legacy + FPU_STACK);
    unsigned top = image->legacy[FPU_STATUS + 1] >> (FPU_TOP_SHIFT - 8) & 7;
    for (unsigned i = 0; i < 8; i++)
        memcpy(turned[(top + i) & 7], stack[i], 16);
    memcpy(stack, turned, sizeof turned);
    image->legacy[FPU_STATUS + 1] &= (uint8_t) ~(7u << (FPU_TOP_SHIFT - 8));
    image->legacy[FPU_TAGS] = 0xff;
}

static enum verdict mmx_move(struct run *r, unsigned number, bool write, struct wide_access *w)
{
    struct fpu_image *image;
    const ZydisDecodedOperand *o = &r->d.operand[write ? 0 : 1];
    enum verdict v = fpu_mmx(r, &image);
    if (v == VERDICT_DONE)
        v = run_reach_wide(r, o, w);
    if (v == VERDICT_DONE) /* a store must not fail behind enter_mmx */
        v = write ? access_probe(r->c, w->linear, w->size, true, r->fault) : run_load_wide(r, w);
    if (v != VERDICT_DONE)
        return v;
    enter_mmx(image);
    uint8_t *reg = image->legacy + FPU_STACK + (size_t)16 * number;
    if (write) {
        memcpy(w->bytes, reg, w->size);
        v = run_store_wide(r, w);
    } else {
        memcpy(reg, w->bytes, 8); /* a shorter one is followed by zeros */
        memset(reg + 8, 0xff, 2);
    }
    fpu_changed(r);
    return v;
}

/* --- SSE and AVX --- */

static enum verdict load_move(struct run *r, unsigned number, const ZydisDecodedOperand *from, struct wide_access *w)
{
    struct fpu_image *image;
    uint8_t old[ZMM];
    enum verdict v = fpu_vector(r, &image);
    if (v != VERDICT_DONE)
        return v;
    if (!vector_get(r, image, number, old))
        return VERDICT_UNSUPPORTED;
    v = read_operand(r, from, w);
    if (v == VERDICT_DONE)
        vector_set(r, image, number, w->bytes, w->size); /* what is shorter is followed by zeros */
    return v;
}

static enum verdict store_move(struct run *r, unsigned number, struct wide_access *w)
{
    struct fpu_image *image;
    enum verdict v = fpu_vector(r, &image);
    if (v != VERDICT_DONE)
        return v;
    if (!vector_get(r, image, number, w->bytes))
        return VERDICT_UNSUPPORTED;
    return write_operand(r, &r->d.operand[0], w);
}

/* All that moves the register's lowest bytes. */
enum verdict run_vector_move(struct run *r)
{
    const ZydisDecodedOperand *to = &r->d.operand[0], *from = &r->d.operand[1];
    struct wide_access w;
    unsigned number;
    if (is_evex(r) && r->d.insn.operand_count_visible == 3) { /* the second is the mask; K0: none */
        if (from->reg.value != ZYDIS_REGISTER_K0)
            return VERDICT_UNSUPPORTED;
        from = &r->d.operand[2];
    }
    if (vector_number(to, &number) && access_of(r, from, false, &w))
        return load_move(r, number, from, &w);
    if (vector_number(from, &number) && access_of(r, to, true, &w))
        return store_move(r, number, &w);
    if (mmx_number(to, &number) && access_of(r, from, false, &w) && w.size <= 8)
        return mmx_move(r, number, false, &w);
    if (mmx_number(from, &number) && access_of(r, to, true, &w) && w.size <= 8)
        return mmx_move(r, number, true, &w);
    return VERDICT_UNSUPPORTED;
}

static bool is_upper(ZydisMnemonic m)
{
    return m == ZYDIS_MNEMONIC_MOVHPS || m == ZYDIS_MNEMONIC_MOVHPD || m == ZYDIS_MNEMONIC_VMOVHPS ||
           m == ZYDIS_MNEMONIC_VMOVHPD;
}

/* MOVLPS, MOVHPS and kin: 8 of 16 bytes. The others stay, or come from a third operand. */
enum verdict run_vector_half(struct run *r)
{
    unsigned number, other, from = r->d.insn.operand_count_visible == 3 ? 2 : 1;
    unsigned at = is_upper(r->d.insn.mnemonic) ? 8 : 0;
    struct fpu_image *image;
    struct wide_access w = {.size = 8, .write = r->d.operand[0].type == ZYDIS_OPERAND_TYPE_MEMORY};
    uint8_t bytes[ZMM];
    if (is_evex(r))
        return VERDICT_UNSUPPORTED;
    if (!vector_number(&r->d.operand[w.write ? 1 : 0], &number))
        return VERDICT_UNSUPPORTED;
    other = number;
    if (from == 2 && !vector_number(&r->d.operand[1], &other))
        return VERDICT_UNSUPPORTED;
    enum verdict v = fpu_vector(r, &image);
    if (v != VERDICT_DONE)
        return v;
    if (!vector_get(r, image, other, bytes))
        return VERDICT_UNSUPPORTED;
    if (w.write) {
        memcpy(w.bytes, bytes + at, 8);
        return write_operand(r, &r->d.operand[0], &w);
    }
    v = read_operand(r, &r->d.operand[from], &w);
    if (v != VERDICT_DONE)
        return v;
    memcpy(bytes + at, w.bytes, 8);
    vector_set(r, image, number, bytes, XMM);
    return VERDICT_DONE;
}

/* One element in all places: VBROADCAST and VPBROADCAST, and MOVDDUP of 16 bytes. */
enum verdict run_broadcast(struct run *r)
{
    unsigned number, bytes = r->d.operand[0].size / 8u;
    struct fpu_image *image;
    struct wide_access w;
    uint8_t all[ZMM];
    if (is_evex(r) || !vector_number(&r->d.operand[0], &number) || !access_of(r, &r->d.operand[1], false, &w) ||
        w.size == 0 || w.size > XMM || bytes > YMM)
        return VERDICT_UNSUPPORTED;
    enum verdict v = fpu_vector(r, &image);
    if (v != VERDICT_DONE)
        return v;
    if (!vector_get(r, image, number, all))
        return VERDICT_UNSUPPORTED;
    v = read_operand(r, &r->d.operand[1], &w);
    if (v != VERDICT_DONE)
        return v;
    for (unsigned i = 0; i < YMM; i++)
        all[i] = w.bytes[i % w.size];
    vector_set(r, image, number, all, bytes);
    return VERDICT_DONE;
}

/* LDMXCSR, STMXCSR. */
enum verdict run_mxcsr(struct run *r)
{
    bool write = r->d.insn.mnemonic == ZYDIS_MNEMONIC_STMXCSR || r->d.insn.mnemonic == ZYDIS_MNEMONIC_VSTMXCSR;
    struct wide_access w = {.size = 4, .write = write};
    struct fpu_image *image;
    uint32_t value, mask;
    enum verdict v = fpu_vector(r, &image);
    if (v != VERDICT_DONE)
        return v;
    if (write) {
        memcpy(w.bytes, image->legacy + FPU_MXCSR, 4);
        return write_operand(r, &r->d.operand[0], &w);
    }
    v = read_operand(r, &r->d.operand[0], &w);
    if (v != VERDICT_DONE)
        return v;
    memcpy(&value, w.bytes, 4);
    memcpy(&mask, image->legacy + FPU_MXCSR_MASK, 4);
    if (value & ~(mask != 0 ? mask : 0xffbfu)) /* SDM vol. 1, 11.6.6 */
        return run_fault(r, VECTOR_GP);
    memcpy(image->legacy + FPU_MXCSR, w.bytes, 4);
    fpu_changed(r);
    return VERDICT_DONE;
}
