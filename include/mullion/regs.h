/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control-register, RFLAGS and MSR numbers and bits. Source: Intel SDM vol. 3, 2.5 (control registers), vol. 1, 3.4.3
 * (RFLAGS), vol. 4 (MSRs); AMD APM vol. 2, 3.1 and appendix A.
 */
#ifndef ARCH_REGS_H
#define ARCH_REGS_H

#define CR0_PE (1ull << 0)
#define CR0_MP (1ull << 1)
#define CR0_EM (1ull << 2)
#define CR0_TS (1ull << 3)
#define CR0_ET (1ull << 4)
#define CR0_NE (1ull << 5)
#define CR0_WP (1ull << 16)
#define CR0_AM (1ull << 18)
#define CR0_NW (1ull << 29)
#define CR0_CD (1ull << 30)
#define CR0_PG (1ull << 31)
/* The host's, but while it moves FPU state. */
#define CR0_HOST (CR0_PE | CR0_MP | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_PG)

#define DR6_RESET   0xffff0ff0ull
#define DR6_BS      (1u << 14)
#define DR6_BT      (1u << 15)
#define DR6_PENDING (DR6_BS | 0xfu) /* what of pending debug exceptions is shown there */

#define CR4_VME        (1ull << 0)
#define CR4_PVI        (1ull << 1)
#define CR4_TSD        (1ull << 2)
#define CR4_DE         (1ull << 3)
#define CR4_PSE        (1ull << 4)
#define CR4_PAE        (1ull << 5)
#define CR4_MCE        (1ull << 6)
#define CR4_PGE        (1ull << 7)
#define CR4_PCE        (1ull << 8)
#define CR4_OSFXSR     (1ull << 9)
#define CR4_OSXMMEXCPT (1ull << 10)
#define CR4_UMIP       (1ull << 11)
#define CR4_VMXE       (1ull << 13)
#define CR4_FSGSBASE   (1ull << 16)
#define CR4_PCIDE      (1ull << 17)
#define CR4_OSXSAVE    (1ull << 18)
#define CR4_SMEP       (1ull << 20)
#define CR4_SMAP       (1ull << 21)
#define CR4_PKE        (1ull << 22)

#define RFLAGS_FIXED (1ull << 1)
#define RFLAGS_TF    (1ull << 8)
#define RFLAGS_IF    (1ull << 9)
#define RFLAGS_NT    (1ull << 14)
#define RFLAGS_RF    (1ull << 16)
#define RFLAGS_VM    (1ull << 17)
#define RFLAGS_AC    (1ull << 18)

#define EFER_SCE  (1ull << 0)
#define EFER_LME  (1ull << 8)
#define EFER_LMA  (1ull << 10)
#define EFER_NXE  (1ull << 11)
#define EFER_SVME (1ull << 12)

#define MSR_TSC               0x10
#define MSR_APIC_BASE         0x1b
#define MSR_FEATURE_CONTROL   0x3a
#define MSR_SPEC_CTRL         0x48
#define MSR_PRED_CMD          0x49
#define MSR_ARCH_CAPABILITIES 0x10a
#define MSR_FLUSH_CMD         0x10b
#define MSR_SYSENTER_CS       0x174
#define MSR_SYSENTER_ESP      0x175
#define MSR_SYSENTER_EIP      0x176
#define MSR_MCG_CAP           0x179
#define MSR_MCG_STATUS        0x17a
#define MSR_MCG_CTL           0x17b
#define MSR_XFD               0x1c4
#define MSR_DEBUGCTL          0x1d9
#define MSR_PAT               0x277
#define MSR_PERF_GLOBAL_CTRL  0x38f
#define MSR_MC0_CTL           0x400 /* four MSRs a bank */
#define MSR_MC0_STATUS        0x401
#define MSR_MC0_ADDR          0x402
#define MSR_MC0_MISC          0x403
#define MSR_RTIT_CTL          0x570
#define MSR_TSC_DEADLINE      0x6e0
#define MSR_X2APIC_BASE       0x800
#define MSR_XSS               0xda0
#define MSR_LBR_CTL           0x14ce
#define MSR_EFER              0xc0000080
#define MSR_STAR              0xc0000081
#define MSR_LSTAR             0xc0000082
#define MSR_CSTAR             0xc0000083
#define MSR_FMASK             0xc0000084
#define MSR_FS_BASE           0xc0000100
#define MSR_GS_BASE           0xc0000101
#define MSR_KERNEL_GS_BASE    0xc0000102
#define MSR_TSC_AUX           0xc0000103
#define MSR_VM_CR             0xc0010114
#define MSR_VM_HSAVE_PA       0xc0010117
#define MSR_DE_CFG            0xc0011029

#define PAT_HOST 0x0007040600070106ull /* entry 1 is WC instead of WT (Intel SDM vol. 3, 12.12.4) */

/* XCR0 (Intel SDM vol. 1, 13.3). */
#define XCR0_X87    1ull
#define XCR0_SSE    2ull
#define XCR0_AVX    4ull
#define XCR0_AVX512 0xe0ull

#endif
