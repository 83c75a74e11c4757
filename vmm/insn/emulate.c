// SPDX-License-Identifier: Apache-2.0
/*
 * See vmm/insn/emulate.h and run.h: operands, the table of instructions, the entry points.
 */
#include "vmm/insn/emulate.h"
#include "lib/string.h"
#include "vmm/insn/flags.h"
#include "vmm/insn/move_cache.h"
#include "vmm/insn/run.h"

enum verdict run_fault_code(struct run *r, unsigned vector, uint32_t code)
{
    *r->fault = (struct guest_fault){.vector = (uint8_t)vector, .has_code = true, .code = code};
    return VERDICT_FAULT;
}

enum verdict run_fault(struct run *r, unsigned vector)
{
    *r->fault = (struct guest_fault){.vector = (uint8_t)vector, .has_code = vector == VECTOR_GP || vector == VECTOR_SS};
    return VERDICT_FAULT;
}

enum verdict run_reach(struct run *r, const ZydisDecodedOperand *o, unsigned size, bool write, uint64_t *linear)
{
    struct logical a = {.size = size, .write = write};
    if ((size != 1 && size != 2 && size != 4 && size != 8) || !operand_place(r->c->state, &r->d, o, 0, &a))
        return VERDICT_UNSUPPORTED;
    return access_address(r->c, &a, linear, r->fault);
}

enum verdict run_load(struct run *r, const ZydisDecodedOperand *o, uint64_t *value)
{
    uint64_t linear;
    unsigned size = o->size / 8u;
    enum verdict v;
    switch (o->type) {
    case ZYDIS_OPERAND_TYPE_REGISTER:
        return register_get(r->c->state, o->reg.value, value) ? VERDICT_DONE : VERDICT_UNSUPPORTED;
    case ZYDIS_OPERAND_TYPE_IMMEDIATE:
        *value = o->imm.value.u; /* sign-extended where the instruction does so */
        return VERDICT_DONE;
    case ZYDIS_OPERAND_TYPE_MEMORY:
        v = run_reach(r, o, size, false, &linear);
        return v == VERDICT_DONE ? access_linear(r->c, linear, size, false, value, r->fault) : v;
    default: return VERDICT_UNSUPPORTED;
    }
}

enum verdict run_store(struct run *r, const ZydisDecodedOperand *o, uint64_t value)
{
    uint64_t linear;
    unsigned size = o->size / 8u;
    if (o->type == ZYDIS_OPERAND_TYPE_REGISTER)
        return register_set(r->c->state, o->reg.value, value) ? VERDICT_DONE : VERDICT_UNSUPPORTED;
    if (o->type != ZYDIS_OPERAND_TYPE_MEMORY)
        return VERDICT_UNSUPPORTED;
    enum verdict v = run_reach(r, o, size, true, &linear);
    return v == VERDICT_DONE ? access_linear(r->c, linear, size, true, &value, r->fault) : v;
}

enum verdict run_reach_wide(struct run *r, const ZydisDecodedOperand *o, struct wide_access *w)
{
    struct logical a = {.size = w->size, .write = w->write};
    if (w->size == 0 || w->size > sizeof w->bytes || !operand_place(r->c->state, &r->d, o, 0, &a))
        return VERDICT_UNSUPPORTED;
    enum verdict v = access_address(r->c, &a, &w->linear, r->fault);
    return v == VERDICT_DONE && w->aligned && (w->linear & (w->size - 1)) != 0 ? run_fault(r, VECTOR_GP) : v;
}

enum verdict run_load_wide(struct run *r, struct wide_access *w)
{
    return access_bytes(r->c, w->linear, w->size, false, w->bytes, r->fault);
}

enum verdict run_store_wide(struct run *r, struct wide_access *w)
{
    return access_bytes(r->c, w->linear, w->size, true, w->bytes, r->fault);
}

void run_set_flags(struct run *r, uint64_t flags)
{
    r->c->state->rflags = flags;
    r->c->state->dirty |= GROUP_RIP;
}

/* --- what there is --- */

#define ROW(mnemonic, kind)             \
    {                                   \
        ZYDIS_MNEMONIC_##mnemonic, kind \
    }
static const struct {
    ZydisMnemonic mnemonic;
    run_kind *kind;
} rows[] = {
    ROW(MOV, run_move),
    ROW(MOVZX, run_move),
    ROW(MOVNTI, run_move),
    ROW(MOVDIRI, run_move),
    ROW(MOVDIR64B, run_move_64_bytes),
    ROW(MOVSX, run_move_signed),
    ROW(MOVSXD, run_move_signed),
    ROW(MOVBE, run_swapped_move),
    ROW(AND, run_two),
    ROW(OR, run_two),
    ROW(XOR, run_two),
    ROW(TEST, run_two),
    ROW(ADD, run_two),
    ROW(ADC, run_two),
    ROW(SUB, run_two),
    ROW(SBB, run_two),
    ROW(CMP, run_two),
    ROW(INC, run_one),
    ROW(DEC, run_one),
    ROW(NEG, run_one),
    ROW(NOT, run_one),
    ROW(BT, run_bit),
    ROW(BTS, run_bit),
    ROW(BTR, run_bit),
    ROW(BTC, run_bit),
    ROW(XCHG, run_exchange),
    ROW(XADD, run_exchange),
    ROW(CMPXCHG, run_exchange),
    ROW(CMPXCHG8B, run_compare_pair),
    ROW(CMPXCHG16B, run_compare_pair),
    ROW(XLAT, run_translate),
    ROW(ROL, run_shift),
    ROW(ROR, run_shift),
    ROW(RCL, run_shift),
    ROW(RCR, run_shift),
    ROW(SHL, run_shift),
    ROW(SHR, run_shift),
    ROW(SAR, run_shift),
    ROW(SHLD, run_double_shift),
    ROW(SHRD, run_double_shift),
    ROW(MUL, run_multiply),
    ROW(IMUL, run_multiply),
    ROW(DIV, run_divide),
    ROW(IDIV, run_divide),
    ROW(BSF, run_scan),
    ROW(BSR, run_scan),
    ROW(TZCNT, run_scan),
    ROW(LZCNT, run_scan),
    ROW(POPCNT, run_scan),
    ROW(CRC32, run_crc),
    ROW(ADCX, run_add_carry),
    ROW(ADOX, run_add_carry),
    ROW(BLSI, run_bmi_lowest),
    ROW(BLSMSK, run_bmi_lowest),
    ROW(BLSR, run_bmi_lowest),
    ROW(ANDN, run_bmi_three),
    ROW(BEXTR, run_bmi_three),
    ROW(BZHI, run_bmi_three),
    ROW(PDEP, run_bmi_three),
    ROW(PEXT, run_bmi_three),
    ROW(MULX, run_bmi_multiply),
    ROW(RORX, run_bmi_shift),
    ROW(SARX, run_bmi_shift),
    ROW(SHLX, run_bmi_shift),
    ROW(SHRX, run_bmi_shift),
    ROW(PUSH, run_push),
    ROW(POP, run_pop),
    ROW(CALL, run_call),
    ROW(JMP, run_jump),
    ROW(RET, run_return),
    ROW(LEAVE, run_leave),
    ROW(LDS, run_load_far),
    ROW(LES, run_load_far),
    ROW(LFS, run_load_far),
    ROW(LGS, run_load_far),
    ROW(LSS, run_load_far),
    ROW(SMSW, run_store_system),
    ROW(SLDT, run_store_system),
    ROW(STR, run_store_system),
    ROW(SGDT, run_store_table),
    ROW(SIDT, run_store_table),
    ROW(MOVD, run_vector_move),
    ROW(MOVQ, run_vector_move),
    ROW(MOVSS, run_vector_move),
    ROW(MOVSD, run_vector_move),
    ROW(MOVUPS, run_vector_move),
    ROW(MOVUPD, run_vector_move),
    ROW(MOVAPS, run_vector_move),
    ROW(MOVAPD, run_vector_move),
    ROW(MOVDQU, run_vector_move),
    ROW(MOVDQA, run_vector_move),
    ROW(MOVNTPS, run_vector_move),
    ROW(MOVNTPD, run_vector_move),
    ROW(MOVNTDQ, run_vector_move),
    ROW(MOVNTQ, run_vector_move),
    ROW(MOVNTSS, run_vector_move),
    ROW(MOVNTSD, run_vector_move),
    ROW(MOVNTDQA, run_vector_move),
    ROW(LDDQU, run_vector_move),
    ROW(VMOVD, run_vector_move),
    ROW(VMOVQ, run_vector_move),
    ROW(VMOVSS, run_vector_move),
    ROW(VMOVSD, run_vector_move),
    ROW(VMOVUPS, run_vector_move),
    ROW(VMOVUPD, run_vector_move),
    ROW(VMOVAPS, run_vector_move),
    ROW(VMOVAPD, run_vector_move),
    ROW(VMOVDQU, run_vector_move),
    ROW(VMOVDQA, run_vector_move),
    ROW(VMOVNTPS, run_vector_move),
    ROW(VMOVNTPD, run_vector_move),
    ROW(VMOVNTDQ, run_vector_move),
    ROW(VMOVNTDQA, run_vector_move),
    ROW(VLDDQU, run_vector_move),
    ROW(VMOVDQU8, run_vector_move),
    ROW(VMOVDQU16, run_vector_move),
    ROW(VMOVDQU32, run_vector_move),
    ROW(VMOVDQU64, run_vector_move),
    ROW(VMOVDQA32, run_vector_move),
    ROW(VMOVDQA64, run_vector_move),
    ROW(MOVLPS, run_vector_half),
    ROW(MOVLPD, run_vector_half),
    ROW(MOVHPS, run_vector_half),
    ROW(MOVHPD, run_vector_half),
    ROW(VMOVLPS, run_vector_half),
    ROW(VMOVLPD, run_vector_half),
    ROW(VMOVHPS, run_vector_half),
    ROW(VMOVHPD, run_vector_half),
    ROW(VBROADCASTSS, run_broadcast),
    ROW(VBROADCASTSD, run_broadcast),
    ROW(VBROADCASTF128, run_broadcast),
    ROW(VBROADCASTI128, run_broadcast),
    ROW(VPBROADCASTB, run_broadcast),
    ROW(VPBROADCASTW, run_broadcast),
    ROW(VPBROADCASTD, run_broadcast),
    ROW(VPBROADCASTQ, run_broadcast),
    ROW(MOVDDUP, run_broadcast),
    ROW(VMOVDDUP, run_broadcast),
    ROW(LDMXCSR, run_mxcsr),
    ROW(STMXCSR, run_mxcsr),
    ROW(VLDMXCSR, run_mxcsr),
    ROW(VSTMXCSR, run_mxcsr),
    ROW(FLD, run_x87_load),
    ROW(FILD, run_x87_load),
    ROW(FST, run_x87_store),
    ROW(FSTP, run_x87_store),
    ROW(FIST, run_x87_store),
    ROW(FISTP, run_x87_store),
    ROW(FISTTP, run_x87_store),
    ROW(FLDCW, run_x87_control),
    ROW(FNSTCW, run_x87_control),
    ROW(FNSTSW, run_x87_control),
    ROW(CLFLUSH, run_nothing),
    ROW(CLFLUSHOPT, run_nothing),
    ROW(CLWB, run_nothing),
    ROW(CLDEMOTE, run_nothing),
};

static run_kind *kind_of(const struct decoded *d)
{
    if (d->insn.meta.category == ZYDIS_CATEGORY_CMOV)
        return run_conditional_move;
    if (d->insn.meta.category == ZYDIS_CATEGORY_SETCC)
        return run_set;
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].mnemonic == d->insn.mnemonic)
            return rows[i].kind;
    return NULL;
}

/* The one operand that an instruction writes, if that is memory, which it does not read. */
static const ZydisDecodedOperand *stored_only(const struct decoded *d)
{
    const ZydisDecodedOperand *to = NULL;
    for (unsigned i = 0; i < d->insn.operand_count; i++) {
        const ZydisDecodedOperand *o = &d->operand[i];
        if (!(o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
            continue;
        if (to != NULL || o->type != ZYDIS_OPERAND_TYPE_MEMORY || (o->actions & ZYDIS_OPERAND_ACTION_MASK_READ))
            return NULL;
        to = o;
    }
    return d->insn.meta.isa_ext == ZYDIS_ISA_EXT_X87 ? NULL : to;
}

/* What stores something that is not known here to where no device is: as on a PC it goes nowhere. */
static enum verdict drop_store(struct run *r)
{
    const ZydisDecodedOperand *to = stored_only(&r->d);
    struct logical a = {.write = true};
    uint64_t linear;
    if (to == NULL || r->c->claimed == NULL || to->size == 0 || !operand_place(r->c->state, &r->d, to, 0, &a))
        return VERDICT_UNSUPPORTED;
    a.size = to->size / 8u;
    enum verdict v = access_address(r->c, &a, &linear, r->fault);
    if (v != VERDICT_DONE)
        return v;
    struct walk_result w = walk(r->c->memory, r->c->state, linear, ACCESS_PEEK);
    bool there = w.outcome != WALK_OK || a.size > w.left || guest_piece_of(r->c->memory, w.gpa) != NULL ||
                 r->c->claimed(r->c->context, w.gpa, a.size);
    return there ? VERDICT_UNSUPPORTED : VERDICT_DONE;
}

static enum verdict execute(struct run *r)
{
    if (r->d.insn.meta.category == ZYDIS_CATEGORY_STRINGOP)
        return run_string(r, r->d.insn.opcode & 1 ? r->d.insn.operand_width / 8u : 1, NULL, 0);
    run_kind *kind = kind_of(&r->d);
    return kind != NULL ? kind(r) : drop_store(r);
}

/* --- entry points --- */

enum verdict emulate_memory(const struct guest_cpu *c, struct instruction_bytes *seen, struct guest_fault *fault)
{
    struct run r = {.c = c, .fault = fault};
    if (!decode(c, &r.d, seen))
        return VERDICT_UNSUPPORTED;
    if (c->move != NULL)
        move_cache_add(c->move, c, &r.d, seen->bytes);
    enum verdict v = execute(&r);
    if (v != VERDICT_DONE)
        return v;
    emulate_skip(c->state, r.d.insn.length);
    if (r.jumps)
        c->state->rip = r.target;
    if (r.blocks)
        c->state->shadow |= SHADOW_MOV_SS;
    return v;
}

enum verdict emulate_string_io(const struct guest_cpu *c, uint16_t port, unsigned size, emulate_port *io,
                               struct instruction_bytes *seen, struct guest_fault *fault)
{
    struct run r = {.c = c, .fault = fault};
    if (!decode(c, &r.d, seen) || (r.d.insn.opcode & 0xfc) != 0x6c || r.d.insn.opcode_map != ZYDIS_OPCODE_MAP_DEFAULT)
        return VERDICT_UNSUPPORTED;
    enum verdict v = run_string(&r, size, io, port);
    if (v == VERDICT_DONE)
        emulate_skip(c->state, r.d.insn.length);
    return v;
}
