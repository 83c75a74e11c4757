/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's CPUID: the host's answers seen through an allow-list, plus this machine's own topology and the
 * paravirtual leaves.
 *
 * Promises: a feature bit reaches the guest only if it is on the list here AND the host has it; a leaf that is not on
 * the list reads as zero. What the kernel may settle by itself and what the monitor must answer per vCPU is told by
 * cpuid_fastpath_able.
 */
#ifndef VMM_CPUID_H
#define VMM_CPUID_H

#include <stdbool.h>
#include <stdint.h>
#include "mullion/abi.h"
#include "mullion/types.h"

struct cpuid_regs {
    uint32_t eax, ebx, ecx, edx;
};

/* Executes CPUID (or, in tests, plays a CPU). */
typedef void cpuid_reader(void *context, uint32_t leaf, uint32_t subleaf, struct cpuid_regs *out);

#define CPUID_ANY 0xffffffffu /* subleaf: whatever */
#define CPUID_MAX 96

struct cpuid_entry {
    uint32_t leaf, subleaf;
    struct cpuid_regs regs;
    uint32_t live; /* CPUID_LIVE_*, FASTPATH_CPUID's d */
};

struct cpuid_table {
    uint32_t count;
    uint32_t vcpus;
    uint32_t max_basic, max_hypervisor, max_extended;
    bool intel;
    uint64_t xcr0_allowed;                   /* the bits that the guest may set in XCR0 */
    uint32_t xsave_offset[8], xsave_size[8]; /* by state component, of those allowed */
    struct cpuid_entry entry[CPUID_MAX];
};

struct cpuid_request {
    uint32_t vcpus;    /* 1..VMM_VCPUS_MAX */
    uint64_t tsc_khz;  /* the guest's */
    uint32_t apic_khz; /* tick rate of the local APIC model's timer before its divider */
    bool tsc_deadline; /* the model offers the TSC-deadline timer */
    bool x2apic;
    bool dedicated; /* each vCPU has a CPU for itself */
};

/* E_ARG: request out of range; E_UNSUPPORTED: the host's CPUID makes no sense (no long mode). */
enum error cpuid_build(struct cpuid_table *t, cpuid_reader *read, void *context,
                       const struct cpuid_request *request) must_check;

/* May entries of this leaf be put into the kernel's table (which is one per space)? False where the answer differs
 * between vCPUs, or follows state that the kernel's table cannot follow (leaf 0xd: XCR0). */
bool cpuid_fastpath_able(uint32_t leaf, uint32_t vcpus);

/* What a vCPU sees whose local APIC is off by IA32_APIC_BASE (Intel SDM vol. 3, 11.4.3). */
void cpuid_hide_apic(uint32_t leaf, struct cpuid_regs *regs);

/* Does cpuid_lookup need the current CR4 and XCR0 (GROUP_CR) for this leaf? Otherwise pass 0. */
bool cpuid_needs_state(uint32_t leaf);

/* The monitor's own answer for any leaf, with the out-of-range rule of the vendor (Intel SDM vol. 2, CPUID: data of the
 * highest basic leaf; AMD: zeros). */
struct cpuid_regs cpuid_lookup(const struct cpuid_table *t, uint32_t vcpu, uint32_t leaf, uint32_t subleaf,
                               uint64_t cr4, uint64_t xcr0);

#endif
