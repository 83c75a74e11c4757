/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What exits.c and exits_device.c share; no other file includes it.
 */
#ifndef VMM_EXITS_INTERNAL_H
#define VMM_EXITS_INTERNAL_H

#include "mullion/types.h"
#include "vmm/cpu/exits.h"
#include "vmm/insn/emulate.h"

/* Ends the guest. `what` goes before where it happened. */
void exits_crash(struct vm_vcpu *v, const char *what);
/* Its part: registers, code and stack go into control->report, once. RIP, SEG and CR valid. report.c. */
void exits_report(struct vm_vcpu *v, const char *what);
/* The guest gets this fault. */
void exits_inject(struct vm_vcpu *v, const struct guest_fault *f);
/* A verdict but for DONE and AGAIN, on which nothing is left to do. What the emulator could not do is an invalid opcode
 * for the guest's ring 3, whose programs must not end it; from elsewhere it ends the guest, with everything that is
 * needed to add it. RIP, SEG and CR valid. */
void exits_finish(struct vm_vcpu *v, enum verdict verdict, const struct guest_fault *fault,
                  const struct instruction_bytes *seen, const char *what);

/* guest_cpu.device: the device at gpa, or none. */
void exits_device_access(void *vcpu, uint64_t gpa, unsigned size, bool write, uint64_t *value);
void exits_port(struct vm_vcpu *v);
void exits_memory(struct vm_vcpu *v);

static inline struct guest_cpu exits_cpu(struct vm_vcpu *v)
{
    return (struct guest_cpu){.state = v->state, .memory = &v->vm->memory, .device = exits_device_access, .context = v};
}

/* Past the instruction that made this exit, by changing rip in the page. length 0: it is decoded. False: not possible,
 * the guest has been ended. */
bool exits_skip_here(struct vm_vcpu *v, unsigned length);
/* Can the kernel do it? Then s->advance says how far. s: the vCPU's. */
static inline bool exits_skips_there(const struct vcpu_state *s)
{
    return likely(s->exit.insn_len != 0 && !((s->valid | s->dirty) & GROUP_RIP));
}
/* The same, for any exit: where it can, the kernel does it. */
static inline bool exits_skip(struct vm_vcpu *v, struct vcpu_state *s)
{
    if (!exits_skips_there(s))
        return exits_skip_here(v, s->exit.insn_len);
    s->advance = s->exit.insn_len;
    return true;
}

#endif
