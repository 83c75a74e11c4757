/* SPDX-License-Identifier: Apache-2.0 */
/* The singleton behind root's handle to the log. */
#ifndef KERNEL_SYSCALL_H
#define KERNEL_SYSCALL_H

#include "kernel/object.h"

extern struct object log_object;

#endif
