/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Against reading others' leftovers by speculation: what this machine's CPUs need where a CPU goes from one domain (a
 * monitor with its guest counts as one) to another; kernel/domain.c says from which to which. Sources: Intel SDM vol.
 * 2 (CPUID leaf 7), vol. 4, table 2-2 (IA32_ARCH_CAPABILITIES, IA32_PRED_CMD, IA32_FLUSH_CMD), vol. 3, 29.5; AMD APM
 * vol. 2, 3.2.9, and vol. 3, appendix E (leaves 8000_0008h, 8000_0021h).
 */
#ifndef ARCH_SPECULATION_H
#define ARCH_SPECULATION_H

#include "mullion/boot.h" /* BARRIER_* and its kin */
#include "mullion/types.h"

struct speculation_facts {
    bool amd;
    uint32_t signature; /* CPUID leaf 1 EAX; 0: under a hypervisor, whose business the work-arounds are */
    uint32_t leaf7_ebx, leaf7_edx, leaf7_2_edx, amd8_ebx, amd21_eax, amd21_ecx;
    uint64_t capabilities;
};
/* Pure. */
uint32_t speculation_needs(const struct speculation_facts *f);
/* The bits of IA32_SPEC_CTRL that CPUID tells of. Pure. */
uint64_t speculation_controls(const struct speculation_facts *f);

/* Boot CPU: finds out. `off`: none; `force`: every barrier, needed or not (to measure them). Answers what is in force.
 * Which attacks that is against, and which are open, ring 3 knows (services/root/speculation.c). */
uint16_t speculation_init(bool off, bool force, uint64_t *capabilities);
/* Each CPU. */
void speculation_cpu(void);
/* On the way into a domain, after the last touch of another's state. */
extern uint32_t speculation_barriers, /* BARRIER_*: those that this machine gets */
    speculation_msrs;                 /* GUEST_* */
void speculation_barriers_now(uint32_t which);

/*
 * IA32_SPEC_CTRL of a guest. Its writes exit, so the value is known, and the MSR is written only where the guest's
 * differs from the host's. A CPU without enhanced IBRS is another matter: there a guest may write it at each of its
 * system calls. So behind the first write a guest has the MSR to itself (GUEST_SPEC_CTRL), and each exit reads it.
 */
#define GUEST_PRED_CMD  1u /* guests reach IA32_PRED_CMD, of which the CPU takes nothing but commands */
#define GUEST_SPEC_CTRL 2u /* and, once it was another than the host's, IA32_SPEC_CTRL */
/* What it holds while a guest runs that wants `wanted`. True: that is another value than the host's. */
bool speculation_guest(uint64_t wanted, uint64_t *value);
/* Right before an entry and right behind an exit, of a guest for which that was ever true. */
void speculation_to_guest(uint64_t value);
void speculation_to_host(uint64_t *value);

#endif
