/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hardware task switch (Intel SDM vol. 3, 8.3), in place of the CPU, which leaves the guest before it has done any of
 * it. 32-bit and 16-bit tasks, by CALL, JMP, IRET and task gates.
 *
 * Promises: a fault before the switch leaves the guest as it was; one behind it belongs to the new task, as on a CPU,
 * and finds there a state that a CPU takes.
 */
#ifndef VMM_TASK_H
#define VMM_TASK_H

#include "vmm/insn/access.h"

struct task_switch {
    uint16_t selector; /* of the new task's TSS */
    uint8_t by;        /* TASK_BY_* */
    uint64_t next;     /* where the old task goes on */
    bool by_fault;     /* the old task's RFLAGS are stored with RF */
    bool has_code;     /* the new task finds one on its stack */
    uint32_t code;
};

/* RIP, SEG, CR and DR valid. DONE: the new task runs. FAULT: it, or the old one, gets *fault, which may be the debug
 * exception of a TSS with T set. Both: the groups that have changed are marked dirty. */
enum verdict task_switch(const struct guest_cpu *c, const struct task_switch *t, struct guest_fault *fault);

#endif
