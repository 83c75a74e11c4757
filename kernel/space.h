/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest-physical address spaces and the tables from which ring 0 settles exits. Kernel lock held. struct space is in
 * kernel/backend.h.
 */
#ifndef KERNEL_SPACE_H
#define KERNEL_SPACE_H

#include "kernel/backend.h"
#include "kernel/domain.h"

struct space *space_new(struct domain *payer) must_check;
/* A bounded part of it; true: it is freed. Reached only when no vCPU of the space is left, after a flush of its CPUs
 * (their domain's destruction) or before the first entry. */
bool space_free_step(struct space *s); /* from object_reap */
/* As the call fastpath_cpuid has them. */
enum error space_fastpath_cpuid(struct space *s, uint64_t leaf, uint64_t eax_ebx, uint64_t ecx_edx,
                                uint64_t live) must_check;
/* Takes a reference to the event; one that is there, by `at`, keeps its own and gets the new key. E_QUOTA also if it is
 * spread over too many places. */
enum error space_fastpath_doorbell(struct space *s, const struct fastpath_doorbell_entry *x) must_check;

#endif
