/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory that this guest shares with others, and the bells between them: what ties vmm/devices/ivshmem.h to the
 * kernel.
 */
#ifndef VMM_SHARED_H
#define VMM_SHARED_H

#include <stdbool.h>
#include <stdint.h>
#include "mullion/abi.h"
#include "mullion/types.h"

struct vm;
struct device;

/* One function on the PCI bus for each region of vm->boot. */
extern const struct device shared_device;
/* The window above RAM in which regions are that are too large for the one below 4 GiB; size 0: none. */
void shared_window(const struct vm *vm, uint64_t *base, uint64_t *size);
/* Thread 0, each time that it was woken. Peers may wake it as often as they can, at no cost to themselves: from a guest
 * that shares something at most some ten thousand wakings a second are served, so that its own CPU stays its own. Waits
 * when that is used up. */
void shared_pay_wake(struct vm *vm);

enum shared_access {
    SHARED_NONE,
    SHARED_AGAIN /* it is there: let the guest try again */,
    SHARED_REFUSED /* it may only be read */
};
/* What the guest's access to that address was, if it cannot be emulated. Not under the lock. */
enum shared_access shared_access(struct vm *vm, uint64_t gpa, bool write);

#endif
