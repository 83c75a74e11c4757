/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the checker (services/audit) begins. It is on pages that hold nothing else but the AMD-V bitmaps: root may show
 * these pages, and the pool, to the checker, read only.
 */
#ifndef KERNEL_AUDIT_VIEW_H
#define KERNEL_AUDIT_VIEW_H

#include "mm/ledger.h"

struct domain;

/* VT-x's MSR bitmaps, by apic_mode, and with IA32_SPEC_CTRL open behind those without. */
#define MSR_BITMAPS      4u
#define BITMAP_SPEC_CTRL 2u

struct audit_view {
    struct ledger ledger;
    uint64_t generation; /* odd while a system call may be changing tables, the ledger or which objects there are;
                            raised before and after */
    struct domain *root;
    const uint64_t *kernel_table;        /* top level; its last entry is in every address space */
    const void *msr_bitmap[MSR_BITMAPS]; /* VT-x: in the pool. AMD-V: NULL, a VMCB says where */
};
extern struct audit_view shown;

#endif
