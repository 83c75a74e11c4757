/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sorted, disjoint lists of physical ranges. Pure.
 */
#ifndef BOOT_RANGES_H
#define BOOT_RANGES_H

#include "mullion/abi.h"
#include "mullion/types.h"

struct boot_range {
    uint64_t base, size;
};

/* Takes `gone` out of an ascending list. E_QUOTA: splitting would need more than `max` entries; the upper part is
 * dropped then. */
enum error ranges_remove(struct boot_range *list, unsigned *count, unsigned max, struct boot_range gone) must_check;
/* Puts a range in, merged with what it touches. E_QUOTA: the list is full; it is unchanged. */
enum error ranges_add(struct boot_range *list, unsigned *count, unsigned max, struct boot_range more) must_check;

#endif
