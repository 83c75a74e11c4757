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
void space_free(struct space *s);
/* As the call fastpath_cpuid has them. */
enum error space_fastpath_cpuid(struct space *s, uint64_t leaf, uint64_t eax_ebx, uint64_t ecx_edx,
                                uint64_t live) must_check;
/* at, key: as struct fastpath_doorbells has them. Takes a reference to the event; one that is there keeps its own and
 * gets the new key. */
enum error space_fastpath_doorbell(struct space *s, uint64_t at, uint64_t key, struct event *e,
                                   uint64_t bits) must_check;

#endif
