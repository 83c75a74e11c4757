/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a write to a control register does, as the CPU would do it: checks, faults, and the long-mode bit (Intel SDM
 * vol. 3, 2.5 and 4.1; AMD APM vol. 2, 3.1). Pure.
 */
#ifndef VMM_CR_H
#define VMM_CR_H

#include <stdbool.h>
#include <stdint.h>
#include "mullion/vcpu.h"

/* CR4 bits that the guest may set, from the CPUID it sees: leaf 1's ecx and edx, leaf 7's ebx and ecx. */
uint64_t cr4_allowed(uint32_t leaf1_ecx, uint32_t leaf1_edx, uint32_t leaf7_ebx, uint32_t leaf7_ecx);

/* CR and SEG valid. True: the state has the new value (CR marked dirty). False: #GP(0), nothing changed. CR8 is not
 * here: it is the APIC's. */
bool cr_write(struct vcpu_state *s, unsigned number, uint64_t value, uint64_t allowed_cr4, unsigned physical_bits);

#endif
