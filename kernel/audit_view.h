/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the checker (services/audit) begins. It is on pages that hold nothing else but the AMD-V bitmaps: root may show
 * these pages, and the pool, to the checker, read only.
 */
#ifndef KERNEL_AUDIT_VIEW_H
#define KERNEL_AUDIT_VIEW_H

#include "mm/ledger.h"

struct domain;

struct audit_view {
    struct ledger ledger;
    uint64_t generation; /* odd while a system call may be changing tables, the ledger or which objects there are;
                            raised before and after */
    struct domain *root;
    const uint64_t *kernel_table; /* top level; its last entry is in every address space */
    const void *msr_bitmap[2];    /* VT-x: in the pool, by apic_mode. AMD-V: NULL, a VMCB says where */
};
extern struct audit_view shown;

#endif
