/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's hardware by class. Root has one handle, to `hardware_object`; from it are made I/O ports and device
 * memory, each of which has one owner at a time, and interrupts (kernel/irq.h). The kernel keeps what would let its
 * owner write to memory that is not its own, or raise any vector. Kernel lock held.
 */
#ifndef KERNEL_HARDWARE_H
#define KERNEL_HARDWARE_H

#include "boot/ranges.h"
#include "kernel/object.h"

struct ports {
    struct object object;
    struct domain *payer;
    uint16_t first, last;
    struct ports *next; /* of all that there are */
};

extern struct object hardware_object;
extern struct ports *ports_list; /* all that there are, the kernel's own last */

/* No device memory is made of this range. Boot only. */
void hardware_keep(uint64_t base, uint64_t size);
/* NULL: E_ARG: last < first or > 0xffff; E_OVERLAP: a port has an owner, or is the kernel's; E_QUOTA. */
struct ports *ports_new(struct domain *payer, uint64_t first, uint64_t last, enum error *e);
void ports_free(struct ports *p); /* from object_put */
/* OK if [base, +size) is neither RAM nor kept, else E_ARG (wraps, or no CPU has such an address) or E_RIGHTS. */
enum error hardware_is_device(uint64_t base, uint64_t size) must_check;

#endif
