/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One instruction that is being executed in the CPU's place: what the emulator's files share. Each kind of instruction
 * is: read the sources, compute, write the destination, and only then change registers and flags, so that a fault
 * half-way leaves the guest as it was.
 *
 * Another CPU may have changed the instruction since the exit. So what executes here may be one that the CPU has not
 * checked: privileges, rights and reserved things are checked here too.
 */
#ifndef VMM_RUN_H
#define VMM_RUN_H

#include "vmm/insn/decode.h"

struct run {
    const struct guest_cpu *c;
    struct guest_fault *fault;
    struct decoded d;
    bool jumps;  /* then rip becomes target */
    bool blocks; /* interrupts, for one instruction: MOV SS and POP SS */
    uint64_t target;
};

/* The linear address of a memory operand of `size` bytes: checked against its segment, not yet against the tables. */
enum verdict run_reach(struct run *r, const ZydisDecodedOperand *o, unsigned size, bool write, uint64_t *linear);
/* An operand of 1, 2, 4 or 8 bytes: register, immediate, memory. */
enum verdict run_load(struct run *r, const ZydisDecodedOperand *o, uint64_t *value);
enum verdict run_store(struct run *r, const ZydisDecodedOperand *o, uint64_t value);
/* An operand of any size up to 64 bytes. */
struct wide_access {
    uint64_t linear;
    unsigned size;
    bool write, aligned; /* aligned: to its size, or #GP */
    uint8_t bytes[64];
};
/* Fills in w->linear; then the two others can be called. */
enum verdict run_reach_wide(struct run *r, const ZydisDecodedOperand *o, struct wide_access *w);
enum verdict run_load_wide(struct run *r, struct wide_access *w);
enum verdict run_store_wide(struct run *r, struct wide_access *w);
void run_set_flags(struct run *r, uint64_t flags);
/* Always VERDICT_FAULT. */
enum verdict run_fault(struct run *r, unsigned vector);
enum verdict run_fault_code(struct run *r, unsigned vector, uint32_t code);

static inline uint64_t sign_extend(uint64_t value, unsigned size)
{
    unsigned shift = 64 - 8 * size;
    return (uint64_t)((int64_t)(value << shift) >> shift);
}

/* Kinds of instructions; each is for those mnemonics that emulate.c's table gives to it. */
typedef enum verdict run_kind(struct run *r);

/* integer.c */
run_kind run_move, run_move_signed, run_two, run_one, run_bit, run_exchange, run_compare_pair, run_swapped_move;
run_kind run_conditional_move, run_set, run_translate, run_move_64_bytes, run_nothing;
/* arithmetic.c */
run_kind run_shift, run_double_shift, run_multiply, run_divide, run_scan, run_crc, run_add_carry;
run_kind run_bmi_lowest, run_bmi_three, run_bmi_multiply, run_bmi_shift;
/* stack.c */
run_kind run_push, run_pop, run_call, run_jump, run_return, run_leave;
/* system.c */
run_kind run_store_system, run_store_table, run_load_far;
/* vector.c */
run_kind run_vector_move, run_vector_half, run_broadcast, run_mxcsr;
/* x87.c */
run_kind run_x87_load, run_x87_store, run_x87_control;

/* string.c. INS and OUTS have `io`; the others NULL. size: of one element. */
enum verdict run_string(struct run *r, unsigned size, emulate_port *io, uint16_t port);

/* system.c: loads a segment register, with all of the CPU's checks. */
enum verdict run_segment(struct run *r, unsigned seg, uint16_t selector);

#endif
