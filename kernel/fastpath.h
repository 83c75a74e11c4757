/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers the exits that guests cause most, CPUID and doorbells' ports, from the tables that the monitor has filled.
 * Inline: it stands in both backends' innermost loops.
 */
#ifndef KERNEL_FASTPATH_H
#define KERNEL_FASTPATH_H

#include "kernel/backend.h"
#include "kernel/event.h"

/* CPUID's OSXSAVE follows the guest's CR4 (kernel/vcpu.c). */
void fastpath_osxsave(struct vcpu *v, uint64_t *gpr);

/* Puts the answer into the guest's registers (`gpr`: the shared page's) and counts the exit, if the leaf is settled;
 * then the instruction is still to be skipped. */
static inline bool fastpath_cpuid(struct vcpu *v, uint64_t *gpr)
{
    const struct fastpath_cpuids *t = v->space->cpuid;
    uint32_t leaf = (uint32_t)gpr[GPR_RAX], slot;
    for (uint32_t at = cpuid_index(leaf); (slot = t->index[at]) != 0; at = (at + 1) % CPUID_INDEX_SIZE) {
        const struct fastpath_cpuid_entry *x = &t->entry[slot];
        if (x->leaf != leaf || (x->subleaf != ~0u && x->subleaf != (uint32_t)gpr[GPR_RCX]))
            continue;
        gpr[GPR_RAX] = x->eax;
        gpr[GPR_RBX] = x->ebx;
        gpr[GPR_RCX] = x->ecx;
        gpr[GPR_RDX] = x->edx;
        v->exits[EXIT_CPUID]++;
        if (unlikely(x->live & CPUID_LIVE_OSXSAVE))
            fastpath_osxsave(v, gpr);
        return true;
    }
    return false;
}

/* Signals the event (kernel/vcpu.c). */
void fastpath_signal(struct event *e, uint64_t bits);

/*
 * A write to a doorbell, as struct fastpath_doorbell_entry has it; `mask`: the bits of the key that are known. Signals
 * its event and counts the exit; then the instruction is still to be skipped (its length, a store's: FASTPATH_LENGTH of
 * what is returned; 0: there is no such doorbell), and, with FASTPATH_SIGNALLED, cpu->work to be looked at. Where all
 * the bits are set already there is nothing to do: no thread waits for them, or they would have been taken; the one
 * that takes them sees what the guest wrote before, for the exit has put it in order.
 */
#define FASTPATH_LENGTH(x) ((uint32_t)(x)&0xfu)
#define FASTPATH_SETTLED   0x10u
#define FASTPATH_SIGNALLED 0x20u
static inline __attribute__((always_inline)) uint32_t fastpath_doorbell(struct vcpu *v, uint64_t at, uint64_t key,
                                                                        uint64_t mask, uint32_t reason)
{
    const struct fastpath_doorbells *t = __atomic_load_n(&v->space->doorbell, __ATOMIC_ACQUIRE);
    if (!t)
        return 0;
    const struct fastpath_doorbell_entry *x;
    for (uint8_t i = (uint8_t)doorbell_piece(at); (x = __atomic_load_n(&t->index[i], __ATOMIC_ACQUIRE)) != NULL; i++) {
        uint64_t known = read_once(x->key), which = (at - x->at) >> x->shift;
        if (unlikely(which >= x->count || (unlikely(known) && ((known ^ key) & mask))))
            continue;
        uint64_t bits = x->bits << which;
        v->exits[reason]++;
        if (likely((read_once(x->event->bits) & bits) == bits))
            return FASTPATH_SETTLED | FASTPATH_LENGTH(known);
        fastpath_signal(x->event, bits);
        return FASTPATH_SETTLED | FASTPATH_SIGNALLED | FASTPATH_LENGTH(known);
    }
    return 0;
}

#endif
