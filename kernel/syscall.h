/* SPDX-License-Identifier: Apache-2.0 */
/* The singletons behind root's fixed handles that are no objects of a table. */
#ifndef KERNEL_SYSCALL_H
#define KERNEL_SYSCALL_H

#include "kernel/object.h"

struct ports {
    struct object object;
    uint16_t first, last;
};

extern struct object log_object;

#endif
