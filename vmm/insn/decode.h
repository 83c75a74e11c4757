/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one place that sets Zydis up: fetches the bytes at rip and decodes them for the mode that the guest is in;
 * registers and addresses of the decoded operands. Included by the emulator's files only.
 */
#ifndef VMM_DECODE_H
#define VMM_DECODE_H

#include <Zydis/Zydis.h>
#include "vmm/insn/emulate.h"

struct decoded {
    ZydisDecodedInstruction insn;
    ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];
};

/* False: the bytes cannot be had, or mean nothing. `seen` gets the bytes in any case. */
bool decode(const struct guest_cpu *c, struct decoded *d, struct instruction_bytes *seen);

/* Which of the 16 registers (GPR_*), how many bytes of it, and at which bit they start (AH..BH: 8). False: another
 * kind. */
bool register_place(ZydisRegister r, unsigned *number, unsigned *size, unsigned *shift);

/* An integer register of any width, segment registers included (write: not those). False: another kind. */
bool register_get(const struct vcpu_state *s, ZydisRegister r, uint64_t *value);
bool register_set(struct vcpu_state *s, ZydisRegister r, uint64_t value);

/* Which segment and offset a memory operand names; `extra` is added to the offset. False: not a plain one. */
bool operand_place(const struct vcpu_state *s, const struct decoded *d, const ZydisDecodedOperand *o, int64_t extra,
                   struct logical *a);

#endif
