/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtual machine control block and its encodings: layout and bits only. Source: AMD APM vol. 2 (24593), appendix B
 * (layout), appendix C (exit codes), 15.5 to 15.25 (meaning).
 */
#ifndef SVM_VMCB_H
#define SVM_VMCB_H

#include "mullion/types.h"

struct vmcb_segment {
    uint16_t selector;
    uint16_t attributes; /* descriptor bits 55:52 and 47:40, packed into 12 bits (15.5.1) */
    uint32_t limit;
    uint64_t base;
};

struct vmcb_control { /* table B-1 */
    uint32_t intercept_cr, intercept_dr, intercept_exceptions;
    uint32_t intercepts[3];           /* their exit codes: from SVM_EXIT_INTR on, in order */
    uint8_t reserved_18[0x40 - 0x18]; /* and the filter of PAUSE, which is not used */
    uint64_t iopm, msrpm, tsc_offset;
    uint32_t asid;
    uint8_t tlb_control;
    uint8_t reserved_5d[3];
    uint64_t interrupt; /* V_*; the vector of V_IRQ in 39:32 */
    uint64_t shadow;    /* bit 0: interrupt shadow */
    uint64_t exit_code, exit_info1, exit_info2;
    uint64_t exit_event; /* EXITINTINFO, layout EVENT_* */
    uint64_t nested;     /* bit 0: nested paging */
    uint8_t reserved_98[0xa8 - 0x98];
    uint64_t event; /* EVENTINJ, layout EVENT_* */
    uint64_t nested_cr3;
    uint64_t lbr_control;
    uint32_t clean, reserved_c4;
    uint64_t next_rip; /* only with NRIPS; 0: not known */
    uint8_t reserved_d0[0x400 - 0xd0];
};

struct vmcb_save { /* table B-2; + marks what VMLOAD and VMSAVE move, VMRUN and #VMEXIT the rest */
    struct vmcb_segment es, cs, ss, ds, fs /* + */, gs /* + */, gdtr, ldtr /* + */, idtr, tr /* + */;
    uint8_t reserved_a0[0xcb - 0xa0];
    uint8_t cpl;
    uint32_t reserved_cc;
    uint64_t efer;
    uint8_t reserved_d8[0x148 - 0xd8];
    uint64_t cr4, cr3, cr0, dr7, dr6, rflags, rip;
    uint8_t reserved_180[0x1d8 - 0x180];
    uint64_t rsp;
    uint8_t reserved_1e0[0x1f8 - 0x1e0];
    uint64_t rax;
    uint64_t star, lstar, cstar, sfmask, kernel_gs_base, sysenter_cs, sysenter_esp, sysenter_eip; /* + */
    uint64_t cr2;
    uint8_t reserved_248[0x268 - 0x248];
    uint64_t pat, debugctl;
    uint8_t reserved_278[0x2e0 - 0x278];
    uint64_t spec_ctrl; /* only with SPEC_CTRL: VMRUN and #VMEXIT switch it */
    uint8_t reserved_2e8[0xc00 - 0x2e8];
};

struct vmcb {
    struct vmcb_control control;
    struct vmcb_save save;
};

_Static_assert(sizeof(struct vmcb) == 4096, "APM vol. 2, 15.5.1");

/* The exit codes of the three intercept words are 0x60, 0x80 and 0xa0 plus the bit's number (appendix C), so one name
 * serves for both. */
enum svm_exit_code {
    SVM_EXIT_READ_CR0 = 0x00,
    SVM_EXIT_WRITE_CR0 = 0x10,
    SVM_EXIT_READ_DR0 = 0x20,
    SVM_EXIT_WRITE_DR0 = 0x30, /* + number */
    SVM_EXIT_EXCEPTION = 0x40, /* + vector */
    SVM_EXIT_INTR = 0x60,
    SVM_EXIT_NMI,
    SVM_EXIT_SMI,
    SVM_EXIT_INIT,
    SVM_EXIT_VINTR,
    SVM_EXIT_CR0_SELECTIVE, /* a write of more than TS and MP */
    SVM_EXIT_RDPMC = 0x6f,
    SVM_EXIT_CPUID = 0x72,
    SVM_EXIT_IRET = 0x74,
    SVM_EXIT_INVD = 0x76,
    SVM_EXIT_HLT = 0x78,
    SVM_EXIT_INVLPGA = 0x7a,
    SVM_EXIT_IOIO,
    SVM_EXIT_MSR,
    SVM_EXIT_TASK_SWITCH,
    SVM_EXIT_FERR_FREEZE,
    SVM_EXIT_SHUTDOWN,
    SVM_EXIT_VMRUN = 0x80,
    SVM_EXIT_VMMCALL,
    SVM_EXIT_VMLOAD,
    SVM_EXIT_VMSAVE,
    SVM_EXIT_STGI,
    SVM_EXIT_CLGI,
    SVM_EXIT_SKINIT,
    SVM_EXIT_WBINVD = 0x89,
    SVM_EXIT_MONITOR,
    SVM_EXIT_MWAIT,
    SVM_EXIT_MWAIT_ARMED,
    SVM_EXIT_XSETBV,
    SVM_EXIT_RDPRU,
    SVM_EXIT_INVLPGB = 0xa0,
    SVM_EXIT_MCOMMIT = 0xa3,
    SVM_EXIT_TLBSYNC,
    SVM_EXIT_NPF = 0x400,
};
#define SVM_EXIT_INVALID 0xffffffffu /* VMEXIT_INVALID is -1; QEMU writes the low half only */
#define INTERCEPT(code)  (1u << ((code)&0x1fu))

#define VECTOR_DB 1u
#define VECTOR_BP 3u
#define VECTOR_OF 4u
#define VECTOR_GP 13u
#define VECTOR_AC 17u
#define VECTOR_MC 18u

/* EVENTINJ and EXITINTINFO (15.20, 15.7.2) */
#define EVENT_VECTOR      0xffull
#define EVENT_TYPE        (7ull << 8)
#define EVENT_INTERRUPT   (0ull << 8)
#define EVENT_NMI         (2ull << 8)
#define EVENT_EXCEPTION   (3ull << 8)
#define EVENT_SOFTWARE    (4ull << 8)
#define EVENT_ERROR_CODE  (1ull << 11)
#define EVENT_VALID       (1ull << 31)
#define EVENT_ERROR_SHIFT 32

/* control.interrupt (15.21) */
#define V_TPR          0xfull
#define V_IRQ          (1ull << 8)
#define V_PRIORITY_MAX (0xfull << 16)
#define V_IGNORE_TPR   (1ull << 20)
#define V_INTR_MASKING (1ull << 24)
#define V_CONSTANT     (V_INTR_MASKING | V_IGNORE_TPR | V_PRIORITY_MAX) /* of every vCPU */
#define V_VECTOR_SHIFT 32

/* intercept_cr: low half reads, high half writes */
#define INTERCEPT_CR4       (1u << 4 | 1u << 20) /* both, always: see CR4_OFFERED */
#define INTERCEPT_CR0       (1u << 0 | 1u << 16)
#define INTERCEPT_CR8_WRITE (1u << 24)

/* control.tlb_control (15.16.1) */
#define TLB_KEEP      0u
#define TLB_FLUSH_ALL 1u

/* control.clean (15.15.3): what software left unchanged since the last exit */
#define CLEAN_INTERCEPTS (1u << 0)
#define CLEAN_BITMAPS    (1u << 1)
#define CLEAN_ASID       (1u << 2)
#define CLEAN_NESTED     (1u << 4)
#define CLEAN_CR         (1u << 5)
#define CLEAN_TABLES     (1u << 7)
#define CLEAN_SEGMENTS   (1u << 8)
/* All that is kept apart here: V_TPR and V_IRQ, CR2, debug registers and LBR are read at each entry. */
#define CLEAN_ALL \
    (CLEAN_INTERCEPTS | CLEAN_BITMAPS | CLEAN_ASID | CLEAN_NESTED | CLEAN_CR | CLEAN_TABLES | CLEAN_SEGMENTS)

/* exit_info1 of an I/O exit (15.10.2); the port is in 31:16, the size in bytes in 6:4 */
#define IO_IN     1u
#define IO_STRING 4u
#define IO_REP    8u
#define IO_SIZES  0x70u
/* exit_info1 of a MOV to a control register, only with DECODES (15.33.1); the GPR's number is in 3:0 */
#define CR_DECODED (1ull << 63)
#define CR_GPR     0xfull
/* exit_info1 of a nested page fault (15.25.6) */
#define NPF_WRITE   (1ull << 1)
#define NPF_FETCH   (1ull << 4)
#define NPF_IN_WALK (1ull << 33)

/* EXITINFO2 of a task switch (AMD APM vol. 2, 15.14.1) */
#define TASK_IRET (1ull << 36)
#define TASK_JUMP (1ull << 38)

/* CPUID Fn8000_000A EDX */
#define SVM_FEATURE_NPT       (1u << 0)
#define SVM_FEATURE_NRIPS     (1u << 3)
#define SVM_FEATURE_CLEAN     (1u << 5)
#define SVM_FEATURE_DECODES   (1u << 7)
#define SVM_FEATURE_SPEC_CTRL (1u << 20) /* the VMCB has the guest's IA32_SPEC_CTRL */

/* MSR VM_CR (15.30.1) */
#define VM_CR_LOCK   (1ull << 3)
#define VM_CR_SVMDIS (1ull << 4)

#endif
