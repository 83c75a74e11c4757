/*
 * Answers the exit that guests cause most, CPUID, from the table that the monitor has filled. Inline: it stands in both backends' innermost loops.
 */
#ifndef KERNEL_SETTLE_H
#define KERNEL_SETTLE_H

#include "kernel/backend.h"

/* CPUID's OSXSAVE follows the guest's CR4 (kernel/vcpu.c). */
void settle_osxsave(struct vcpu *v, uint64_t *gpr);

/* Puts the answer into the guest's registers (`gpr`: the shared page's) and counts the exit, if the leaf is settled; then the instruction is still to be
 * skipped. */
static inline bool settle_cpuid(struct vcpu *v, uint64_t *gpr)
{
    const struct settled_cpuids *t = v->space->cpuid;
    uint32_t leaf = (uint32_t)gpr[GPR_RAX], slot;
    for (uint32_t at = cpuid_index(leaf); (slot = t->index[at]) != 0; at = (at + 1) % CPUID_INDEX_SIZE) {
        const struct settled_cpuid *x = &t->entry[slot];
        if (x->leaf != leaf || (x->subleaf != ~0u && x->subleaf != (uint32_t)gpr[GPR_RCX]))
            continue;
        gpr[GPR_RAX] = x->eax;
        gpr[GPR_RBX] = x->ebx;
        gpr[GPR_RCX] = x->ecx;
        gpr[GPR_RDX] = x->edx;
        v->exits[EXIT_CPUID]++;
        if (__builtin_expect(x->live & CPUID_LIVE_OSXSAVE, 0))
            settle_osxsave(v, gpr);
        return true;
    }
    return false;
}

#endif
