/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The KVM paravirtual clock (Linux Documentation/virt/kvm/x86/msr.rst): a page that tells the guest how to make
 * nanoseconds from its TSC. Filled once, with the stable flag: the TSC runs at one rate on every CPU, so no later
 * update is needed.
 */
#ifndef VMM_KVMCLOCK_H
#define VMM_KVMCLOCK_H

#include <stdint.h>
#include "mullion/types.h"
#include "vmm/memory.h"

struct pvclock_scale {
    uint32_t mul;
    int8_t shift;
}; /* ns = ((ticks << shift) * mul) >> 32; a negative shift goes right */

/* E_ARG: tsc_khz is 0 or above 2^31. */
enum error pvclock_scale(uint64_t tsc_khz, struct pvclock_scale *out) must_check;
uint64_t pvclock_ns(const struct pvclock_scale *s, uint64_t ticks);

/* Fills the 32-byte structure at gpa: at guest TSC `tsc` the clock shows `ns`. E_ARG: not in RAM, not 4-aligned. */
enum error kvmclock_fill(const struct guest_memory *m, uint64_t gpa, uint64_t tsc_khz, uint64_t tsc,
                         uint64_t ns) must_check;

/* Fills the 12-byte wall clock structure: the time of day (since 1970, UTC) at which the clock showed 0. */
enum error kvmclock_wall(const struct guest_memory *m, uint64_t gpa, uint64_t ns_since_1970) must_check;

#endif
