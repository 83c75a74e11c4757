/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Executes one guest instruction in place of the CPU: those that touch device memory, string port I/O, and the moves to
 * and from control registers that a CPU without decode assists reports without details. Decoding is Zydis'. Pure but
 * for the hooks. docs/limits.md says which instructions it knows.
 *
 * Promises: on DONE the instruction has retired (rip moved, registers and flags changed, groups marked dirty); on FAULT
 * and UNSUPPORTED nothing but device reads has happened, except that a repeated string instruction keeps the rounds
 * that were done.
 */
#ifndef VMM_EMULATE_H
#define VMM_EMULATE_H

#include "vmm/insn/access.h"

#define EMULATE_ROUNDS  512u /* of a repeated string instruction, per exit: then interrupts get their turn; 1 with TF */
#define INSTRUCTION_MAX 15u

struct instruction_bytes {
    uint8_t bytes[INSTRUCTION_MAX];
    unsigned count;   /* that could be fetched */
    const char *name; /* NULL: they mean nothing */
};

/* An instruction whose memory operand is a device's. */
enum verdict emulate_memory(const struct guest_cpu *c, struct instruction_bytes *seen, struct guest_fault *fault);

/* INS and OUTS. `io` moves one element. */
typedef void emulate_port(void *context, uint16_t port, unsigned size, bool write, uint32_t *value);
enum verdict emulate_string_io(const struct guest_cpu *c, uint16_t port, unsigned size, emulate_port *io,
                               struct instruction_bytes *seen, struct guest_fault *fault);

/* What an instruction that touches a control register wants. */
struct cr_access {
    uint8_t number;
    bool write;
    unsigned gpr;   /* of a read */
    uint64_t value; /* of a write: LMSW and CLTS are already merged with the old CR0 */
    unsigned length;
};
enum verdict decode_cr(const struct guest_cpu *c, struct cr_access *out, struct instruction_bytes *seen,
                       struct guest_fault *fault);

/* Length of the instruction at rip; 0: cannot be fetched or decoded. */
unsigned decode_length(const struct guest_cpu *c, struct instruction_bytes *seen);

/*
 * The end of an instruction that was carried out for the guest: rip behind it, the interrupt shadow over, RF clear, and
 * a single step due if TF is set; no instruction that is carried out here changes TF. RIP valid. Every such instruction
 * ends here or, where the kernel moves rip (vcpu_state.advance), in its backend.
 */
void emulate_end(struct vcpu_state *s, uint64_t rip);
/* The same, `length` bytes on. SEG valid too. */
void emulate_skip(struct vcpu_state *s, unsigned length);

/* A guest's register by its number in the encoding (rsp stands apart in the page). */
uint64_t gpr_get(const struct vcpu_state *s, unsigned number);
void gpr_set(struct vcpu_state *s, unsigned number, uint64_t value);

#endif
