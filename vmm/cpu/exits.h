/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settles one exit of a vCPU. Unknown means that the guest stops with a reason, or gets the fault that hardware would
 * give.
 */
#ifndef VMM_EXITS_H
#define VMM_EXITS_H

#include "mullion/types.h"
#include "vmm/machine.h"

/* By reason; none is NULL. */
extern void (*const exit_handler[EXIT_COUNT])(struct vm_vcpu *v);

static inline void exits_handle(struct vm_vcpu *v)
{
    uint32_t reason = v->state->exit.reason;
    if (unlikely(reason >= EXIT_COUNT))
        reason = EXIT_UNKNOWN;
    exit_handler[reason](v);
}

/* When a timer needs this vCPU next, host TSC. */
static inline uint64_t exits_next_deadline(const struct vm_vcpu *v)
{
    uint64_t own = lapic_next_deadline(&v->lapic);
    uint64_t all = v->index == 0 ? atomic_load_explicit(&v->vm->next_event, memory_order_relaxed) : NEVER;
    return own < all ? own : all;
}

/* Makes these state groups good in the page. False: the kernel refused, and the guest has been ended. */
bool exits_fetch(struct vm_vcpu *v, uint32_t groups);
static inline bool exits_need(struct vm_vcpu *v, uint32_t groups)
{
    /* Groups that are still dirty were not taken yet: what the page holds is newer than what the kernel has. */
    uint32_t missing = groups & ~(v->state->valid | v->state->dirty);
    return missing == 0 || exits_fetch(v, missing);
}

#endif
