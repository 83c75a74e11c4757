/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page that a vCPU shares with its monitor, and the exit record in it. Vendor-neutral: nothing here says VMX or
 * SVM.
 *
 * Protocol. The monitor's thread fills or changes fields, sets the group's bit in `dirty`, and calls vcpu_run. The
 * kernel takes one snapshot of each dirty group (another thread may be writing), checks it, loads it, clears `dirty`,
 * and enters the guest. On an exit that the monitor must settle it writes the exit record, fills the groups that this
 * exit's reason needs, names them in `valid`, and returns. Other groups are stale until vcpu_fetch. GPRs (but for rsp)
 * are always live in the page: the entry path loads them from here and stores them here.
 *
 * A value that the CPU would refuse makes vcpu_run return with EXIT_BAD_STATE: that guest's problem alone.
 */
#ifndef MULLION_VCPU_H
#define MULLION_VCPU_H

#include <stdint.h>

enum { /* order = the encoding in x86 instructions (Intel SDM vol. 2, 2.1.5; rsp's slot is not used here: see rsp) */
       GPR_RAX = 0,
       GPR_RCX,
       GPR_RDX,
       GPR_RBX,
       GPR_RSP,
       GPR_RBP,
       GPR_RSI,
       GPR_RDI,
       GPR_R8,
       GPR_R9,
       GPR_R10,
       GPR_R11,
       GPR_R12,
       GPR_R13,
       GPR_R14,
       GPR_R15,
       GPR_COUNT
};

enum { SEG_ES = 0, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_LDTR, SEG_TR, SEG_COUNT };

/* attr: the layout of VMX access rights: type 3:0, S 4, DPL 6:5, P 7, AVL 12, L 13, D/B 14, G 15, unusable 16
 * (Intel SDM vol. 3, 25.4.1). */
struct segment {
    uint16_t selector;
    uint16_t reserved;
    uint32_t attr;
    uint32_t limit; /* in bytes, scaled */
    uint32_t reserved2;
    uint64_t base;
};
#define SEG_ATTR_UNUSABLE (1u << 16)
#define SEG_ATTR_L        (1u << 13)
#define SEG_ATTR_DB       (1u << 14)

struct table_register {
    uint64_t base;
    uint32_t limit;
    uint32_t reserved;
};

/* State groups. */
#define GROUP_RIP          0x01u /* rip, rsp, rflags, shadow, pending_debug */
#define GROUP_SEG          0x02u /* seg[], gdtr, idtr */
#define GROUP_CR           0x04u /* cr0, cr2, cr3, cr4, efer, xcr0, tpr */
#define GROUP_MSR          0x08u /* star .. spec_ctrl */
#define GROUP_DR           0x10u /* dr0-3, dr6, dr7, event */
#define GROUP_TSC          0x20u /* tsc_offset (never filled by the kernel) */
#define GROUP_APIC         0x40u /* apic_mode, apic_serving, apic_request, apic_eoi_exit (never filled by the kernel) */
#define GROUP_APIC_REQUEST 0x80u /* apic_request alone: what is new in IRR (likewise) */
#define GROUP_FPU          0x100u /* struct fpu_image in the page that vcpu_fpu maps; vcpu_fetch alone fills it */
#define GROUPS_REGISTERS   0x1fu  /* those that the kernel fills in an exit */
#define GROUPS_ALL         0x1ffu

enum exit_reason {
    EXIT_NONE = 0,
    EXIT_KICK,                  /* vcpu_kick, or a signal of its event: kick; nothing else filled */
    EXIT_DEADLINE,              /* host TSC has reached `deadline`; nothing filled */
    EXIT_PORT,                  /* IN/OUT: port; nothing filled. String forms: decode (RIP, SEG, CR filled) */
    EXIT_MEMORY,                /* second-level fault: memory; RIP, CR filled */
    EXIT_RDMSR,                 /* msr; index is in rcx; nothing filled */
    EXIT_WRMSR,                 /* value in rdx:rax; nothing filled */
    EXIT_CPUID,                 /* a leaf with no settled entry; nothing filled */
    EXIT_HLT,                   /* RIP (rip still at the HLT) */
    EXIT_HYPERCALL,             /* VMCALL or VMMCALL: hypercall; nothing filled */
    EXIT_CR_WRITE,              /* cr; RIP, CR */
    EXIT_CR_READ,               /* cr; RIP, CR */
    EXIT_XSETBV,                /* the kernel refused the value; RIP; the monitor injects #GP */
    EXIT_EXCEPTION,             /* exception: it is intercepted; RIP, SEG, CR. Vector 18: the
                                   machine has lost what the guest was doing */
    EXIT_TRIPLE_FAULT,          /* RIP, SEG, CR */
    EXIT_TASK_SWITCH,           /* task; nothing of it is done yet; RIP, SEG, CR */
    EXIT_INVALID_OPCODE_WANTED, /* VMX/SVM instruction or another that this machine does not offer: the monitor injects
                                   #UD; RIP */
    EXIT_APIC,      /* apic_mode is on: the CPU has done a write to its local APIC's page that concerns the monitor; the
                       instruction is over. apic;      nothing filled */
    EXIT_SHUTDOWN,  /* INIT or SHUTDOWN condition */
    EXIT_BAD_STATE, /* the CPU refused the state; detail = raw reason. All groups filled as far as possible */
    EXIT_UNKNOWN,   /* detail = raw reason */
    EXIT_IRET,      /* with SHADOW_NMI and NMI_BY_STEP: the guest is at an IRET; RIP */
    EXIT_WAITING,   /* statistics only: exits that served the host (interrupts, scheduling) */
    EXIT_COUNT
};

struct vcpu_exit {
    uint32_t reason;   /* enum exit_reason */
    uint32_t insn_len; /* bytes; 0: not known, decode */
    uint64_t detail;   /* raw hardware reason, for reports only */
    union {
        struct {
            uint64_t events; /* the bits of the event that vcpu_bind has bound, taken; 0: none */
        } kick;
        struct {
            uint16_t port;
            uint8_t size;   /* 1, 2, 4 */
            uint8_t in;     /* 1: IN */
            uint8_t string; /* INS/OUTS */
            uint8_t rep;
        } port;
        struct {
            uint64_t gpa;
            uint64_t gva; /* valid if gva_valid */
            uint8_t read, write, fetch, gva_valid;
            uint8_t in_walk; /* the access was the CPU's own walk of the guest's page tables */
            uint8_t code64;  /* 64-bit code runs: no segment matters but FS and GS, whose bases are in gpa already */
        } memory;
        struct {
            uint32_t index;
        } msr;
        struct {
            uint8_t number; /* 0, 3, 4, 8 */
            uint8_t gpr;    /* GPR_*, valid if insn_len != 0 */
            uint8_t known;  /* 1: number/gpr/value below are valid; 0: decode the instruction */
            uint64_t value; /* CR_WRITE: the value the guest wants in the register; not for CR8: it is in the GPR */
        } cr;
        struct {
            uint8_t cpl;
            uint8_t code64; /* 64-bit code runs */
        } hypercall;
        struct {
            uint32_t vector;
            uint32_t error_code;
            uint64_t address; /* #PF, with SHADOW_STEP */
        } exception;
        struct {
            uint32_t offset; /* of the register in the page. 0xb0: the end of a vector's service that is marked in
                                apic_eoi_exit */
            uint32_t vector;
        } apic;
        struct {
            uint32_t info; /* 15:0: the selector of the new task's TSS; 31:30: TASK_BY_* */
        } task;
        uint64_t raw[3];
    };
};
/* Why a task is switched to (the layout of VMX, Intel SDM vol. 3, table 28-2). By a gate: what was to be delivered is
 * in `event`, if an instruction has not raised it. */
#define TASK_BY_CALL 0u
#define TASK_BY_IRET 1u
#define TASK_BY_JUMP 2u
#define TASK_BY_GATE 3u

/* inject: an event the monitor wants delivered at the next entry, before any interrupt. Same layout as VMX interruption
 * information (Intel SDM vol. 3, 25.8.3). The kernel clears it when it has taken it. An NMI waits there while NMIs are
 * blocked. With NMI_BY_WINDOW the kernel sees when that ends, whatever blocks them. With NMI_BY_STEP the monitor brings
 * one in no other shadow than SHADOW_NMI; it gets EXIT_IRET, steps over the IRET with SHADOW_STEP and TF set, and ends
 * both shadows at the exception that comes then. */
#define INJECT_VALID          0x80000000u
#define INJECT_ERROR_CODE     0x00000800u
#define INJECT_TYPE_MASK      (7u << 8)
#define INJECT_TYPE_NMI       (2u << 8)
#define INJECT_TYPE_EXCEPTION (3u << 8)
#define INJECT_VECTOR_MASK    0xffu
#define NMI_BY_WINDOW         0u
#define NMI_BY_STEP           1u
/* irq: an external interrupt the monitor wants delivered as soon as the guest can take it; the kernel opens the
 * interrupt window itself. */
#define IRQ_VALID     0x80000000u /* set by the monitor, cleared by the kernel when the interrupt was delivered */
#define IRQ_DELIVERED 0x40000000u /* set by the kernel together with clearing IRQ_VALID; the vector stays readable. */
#define IRQ_HELD \
    0x20000000u /* set by the monitor, alone: TPR holds one back. As long as it or IRQ_VALID is set, a write
                                     of CR8 that may matter makes an exit; else none does. */

enum activity {
    ACTIVITY_RUN = 0,
    ACTIVITY_HALT /* vcpu_run sleeps until kick, deadline, or a deliverable irq/inject is present */
};

#define SHADOW_STI    0x1u
#define SHADOW_MOV_SS 0x2u
#define SHADOW_NMI    0x8u  /* an NMI has been delivered, and no IRET since */
#define SHADOW_STEP   0x10u /* NMI_BY_STEP alone: every exception exits, IRET does not */

/*
 * apic_mode: what serves the guest's local APIC. It is the monitor's; its registers lie at the state page's begin, each
 * at its xAPIC offset, as the CPU expects them where it can help (Intel SDM vol. 3, 30.1). The kernel looks at none of
 * them but TPR. With APIC_BY_CPU, which apic_offer must have, the guest's RDMSR of the x2APIC's registers (but for ICR
 * and current count) and its writes of TPR, EOI and SELF IPI go to the page without an exit, and the CPU delivers what
 * stands in the page's IRR by itself, highest first, when TPR, ISR and RFLAGS.IF allow it; `irq` is then for interrupts
 * from elsewhere. While the guest runs these registers are the CPU's: only the vCPU's own thread touches them, between
 * two runs. Whatever a monitor writes there decides which interrupts its own guest gets, and no more.
 */
#define APIC_BY_MONITOR 0u
#define APIC_BY_CPU     1u /* the guest's APIC is in x2APIC mode */
#define APIC_BYTES      1024u

struct vcpu_state {
    uint32_t apic[APIC_BYTES / 4]; /* see apic_mode */

    uint64_t gpr[GPR_COUNT];

    /* control, written by the monitor */
    uint32_t dirty;
    uint32_t activity;
    uint64_t deadline; /* host TSC; ~0: none */
    uint32_t inject;   /* INJECT_* */
    uint32_t inject_error;
    uint32_t irq; /* IRQ_* | vector */
    /* written by the kernel */
    uint32_t valid;
    struct vcpu_exit exit;

    /* GROUP_RIP */
    uint64_t rip, rsp, rflags;
    uint32_t shadow; /* SHADOW_* */
    /* The debug exceptions that come before the next instruction, in the layout of VMX (Intel SDM vol. 3, 25.4.2). On
     * AMD-V the kernel makes #DB and DR6 of them when it takes the group, and gives 0. */
    uint32_t pending_debug;
    /* Control, written by the monitor: so many bytes of the exit's instruction are done (0..15). At the next vcpu_run
     * or vcpu_fetch rip moves on by them, the shadow ends, RF is cleared, a single step becomes due if TF is set, and
     * the kernel clears this. Cheaper than GROUP_RIP; ignored when that is dirty. */
    uint32_t advance;
    /* GROUP_CR */
    uint64_t cr0, cr2, cr3, cr4, efer, xcr0, tpr; /* tpr: CR8's four bits */
    /* GROUP_SEG */
    struct segment seg[SEG_COUNT];
    struct table_register gdtr, idtr;
    /* GROUP_MSR */
    uint64_t star, lstar, cstar, fmask, kernel_gs_base;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip, pat, tsc_aux;
    uint64_t spec_ctrl; /* IA32_SPEC_CTRL. Bits that the CPU's CPUID does not tell of are left out. Those that Mullion
                           itself has set stay set while the guest runs, and show only if the guest has set them too */
    /* GROUP_DR */
    uint64_t dr[4], dr6, dr7;
    uint64_t event; /* whose delivery an exit has interrupted: the layout of inject, its error code in 63:32; 0: none.
                       It comes before `inject` */
    /* GROUP_TSC: guest TSC = host TSC + offset */
    uint64_t tsc_offset;

    /* Interrupts on their way into the local APIC's IRR. Any thread of the monitor sets bits atomically, then kicks.
     * The kernel does not read it. */
    uint64_t pending[4];

    /* GROUP_APIC */
    uint32_t apic_mode;   /* APIC_BY_* */
    uint32_t apic_offer;  /* set by the kernel when the vCPU is made: APIC_BY_CPU if apic_mode may be that */
    uint32_t nmi_offer;   /* likewise: NMI_BY_*, see inject */
    uint8_t apic_serving; /* the highest vector in ISR, 0: none */
    uint8_t apic_request; /* GROUP_APIC: the highest vector in IRR, 0: none. GROUP_APIC_REQUEST: the highest of those
                             that are new there */
    uint64_t apic_eoi_exit[4]; /* the vectors whose end of service makes EXIT_APIC */
};
_Static_assert(sizeof(struct vcpu_state) <= 4096, "the state is one page");

/*
 * GROUP_FPU: x87, SSE, AVX and AVX-512 registers in the standard format of XSAVE (Intel SDM vol. 1, 13.4), whatever
 * XCR0 the guest has. The kernel takes an image only if XRSTOR does: in xstate_bv nothing but the components that this
 * machine switches (those of the image that vcpu_fetch gave), xcomp_bv and what is reserved behind it zero, no bit of
 * MXCSR that the CPU lacks. Else the guest's FPU is as after reset, and vcpu_run returns with EXIT_BAD_STATE, detail
 * BAD_STATE_FPU. On a CPU without XSAVE legacy alone counts, in FXSAVE's format.
 */
struct fpu_image {
    uint8_t legacy[512]; /* FXSAVE's layout: FCW at 0, MXCSR at 24, MXCSR_MASK at 28 */
    uint64_t xstate_bv;
    uint64_t xcomp_bv; /* 0: standard format */
    uint64_t reserved[6];
    uint8_t extended[3520]; /* each component at the offset that CPUID leaf 0xd gives */
};
_Static_assert(sizeof(struct fpu_image) == 4096, "it is one page");
#define BAD_STATE_FPU (1ull << 33)

#endif
