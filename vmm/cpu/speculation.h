/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest is told about speculation, and the controls that it has over it. The controls are the CPU's own: the
 * kernel switches IA32_SPEC_CTRL with the vCPU. Sources: Intel SDM vol. 2 (CPUID leaf 7), vol. 4, table 2-2; Intel's
 * "CPUID Enumeration and Architectural MSRs"; AMD APM vol. 2, 3.2.9, and vol. 3, appendix E.
 */
#ifndef VMM_SPECULATION_H
#define VMM_SPECULATION_H

#include <stdint.h>
#include "vmm/cpu/cpuid.h"

/* CPUID leaf 7, subleaf 0, EDX: MD_CLEAR 10 (VERW does it, no MSR), IBRS and IBPB 26, STIBP 27, the capabilities' MSR
 * 29, SSBD 31. Not: the flush of the L1 cache 28, which would reach what others have there; SRBDS_CTRL 9,
 * RTM_ALWAYS_ABORT 11 and TSX_FORCE_ABORT 13, whose MSRs are the host's. */
#define SPECULATION_7_EDX (1u << 10 | 1u << 26 | 1u << 27 | 1u << 29 | 1u << 31)
#define CAPABILITIES_7    (1u << 29)
/* Subleaf 2, EDX: PSFD 0, IPRED_CTRL 1, RRSBA_CTRL 2, DDPD_U 3, BHI_CTRL 4 (all in IA32_SPEC_CTRL), MCDT_NO 5. */
#define SPECULATION_7_2_EDX 0x3fu
/* AMD, leaf 8000_0008h EBX: IBPB 12, IBRS 14, STIBP 15, IBRS and STIBP always on 16 and 17, IBRS preferred 18, IBRS
 * protects in the same mode 19, SSBD 24, SSB_NO 26, PSFD 28, BTC_NO 29, IBPB clears return addresses too 30. Not:
 * VIRT_SPEC_CTRL 25, which is for CPUs whose SSBD is a bit of their own. */
#define SPECULATION_E8_EBX 0x750fd000u
/* AMD, leaf 8000_0021h EAX: LFENCE serializes 2, VERW clears 5, a null selector clears its base 6, IBPB forgets branch
 * types 28, SRSO_NO 29, SRSO_USER_KERNEL_NO 30. Not: automatic IBRS 8, for EFER is not offered with it; SBPB 27. */
#define SPECULATION_E21_EAX 0x70000064u
/* ECX: TSA_SQ_NO 1, TSA_L1_NO 2. */
#define SPECULATION_E21_ECX 6u

/* The guest's IA32_ARCH_CAPABILITIES, out of the machine's: each statement that is as true of the guest, and no bit
 * that stands for an MSR which the guest does not have. Pure. */
uint64_t speculation_capabilities(uint64_t machine);
/* The bits that the guest may set in IA32_SPEC_CTRL, by what its own CPUID offers; 0: it does not have that MSR.
 * Pure. */
uint64_t speculation_controls(const struct cpuid_table *t);

#endif
