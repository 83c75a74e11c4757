/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What belongs to one CPU: its area in the kernel's address space, its descriptor tables, its scheduler and its
 * mailbox.
 *
 * The area is CPU_AREA_SIZE bytes, aligned to that: struct cpu in the first page, TSS and I/O bitmap, one stack each
 * for #DF, NMI and #MC, an unmapped guard page, the kernel stack. So this_cpu() is the stack pointer with its low bits
 * cleared: ring 0 uses no segment base, and the guest's GS and KERNEL_GS_BASE can stay in the CPU.
 */
#ifndef ARCH_CPU_H
#define ARCH_CPU_H

#include "kernel/sched.h"
#include "mullion/abi.h"
#include "mullion/types.h"

/* The kernel's part of every address space: the last 2 GiB, and the windows at the beginning of the last 512 GiB. */
#define WINDOWS_VA   0xffffff8000000000ull /* one 2 MiB window per CPU, for scrubbing */
#define KERNEL_BASE  0xffffffff80000000ull /* the image, at + its physical address */
#define CPU_AREAS_VA 0xffffffffa0000000ull
#define GDTS_VA      0xffffffffa8000000ull /* one GDT per CPU, with nothing mapped behind it: see cpu_area_create */
#define DEVICES_VA   0xffffffffb0000000ull /* registers of host devices, uncached */
#define POOL_VA      0xffffffffc0000000ull /* kernel memory */

#define GDT_STRIDE     0x10000ull
#define CPU_AREA_SIZE  0x10000ull
#define AREA_TSS       0x1000ull
#define AREA_STACK_DF  0x5000ull /* each stack: one page, the value is its end */
#define AREA_STACK_NMI 0x6000ull
#define AREA_STACK_MC  0x7000ull
#define AREA_GUARD     0x7000ull /* behind it, to the area's end: the kernel stack */

#define SEL_KERNEL_CODE 0x08
#define SEL_KERNEL_DATA 0x10
#define SEL_USER_DATA   0x23 /* the order of these is that of SYSRET and SYSEXIT: see cpu_calls_by */
#define SEL_USER_CODE   0x2b
#define SEL_USER_STACK  0x33
#define SEL_TSS         0x38

#define VECTOR_IRQ_BASE  0x30 /* irq objects, on each CPU its own; below SYSCALL_VECTOR */
#define VECTOR_IRQ_COUNT 80
#define VECTOR_TIMER     0xf0
#define VECTOR_IPI       0xf1
#define VECTOR_SPURIOUS  0xff
_Static_assert(VECTOR_IRQ_BASE + VECTOR_IRQ_COUNT <= SYSCALL_VECTOR, "no interrupt is a system call");

/* Work that others leave for a CPU; it is looked at before ring 3 or a guest is entered. */
#define WORK_WAKE   1u  /* threads in the wake list */
#define WORK_FLUSH  2u  /* translations are stale: see kernel/memory.c */
#define WORK_LOG    4u  /* a line for the kernel's log: see kernel/log.c */
#define WORK_STOP   8u  /* panic elsewhere */
#define WORK_ERRORS 16u /* look at the machine-check banks: see arch/x86_64/mce.h */

/* Beside BARRIER_*, which are few: registers that ring 3 reads may be another's guest's. */
#define OWED_REGISTERS (1u << 31)

struct thread;
struct vcpu;
struct domain;
struct irq;

struct cpu {
    uint32_t number;
    uint32_t apic_id;
    uint32_t work;                    /* atomic; WORK_* */
    uint32_t online;                  /* atomic */
    struct thread *current;           /* atomic; runs in ring 3 or in its guest */
    struct domain *domain;            /* whose page tables and ports are loaded; NULL: the kernel's own */
    struct vcpu *vcpu;                /* whose state is in the CPU */
    uint32_t owed;                    /* BARRIER_*, OWED_REGISTERS: before ring 3 or a guest goes on */
    uint32_t steered_by;              /* the domain whose foreign input ran since the last predictor barrier */
    uint32_t data_of;                 /* the domain whose data the buffers and the L1 cache may hold; tags, 0: none */
    struct thread *wake_list;         /* atomic; pushed by anybody, taken by this CPU */
    struct thread *timeouts;          /* blocked with a deadline; this CPU's own */
    uint64_t next_deadline;           /* the earliest thing the host wants this CPU for; valid while a thread runs */
    uint64_t timer_armed;             /* TSC at which the local APIC's timer fires; NEVER: not armed */
    uint64_t flush_seen;              /* atomic; the newest flush generation this CPU has carried out */
    uint64_t section;                 /* atomic; odd while a section is open: see kernel/grace.h */
    uint32_t errors;                  /* of the hardware, so far */
    uint32_t answered;                /* atomic; the newest NMI that it knows of, by its number: see kernel/nmi.h */
    uint64_t seen_rip, seen_domain;   /* where it was then, and whose thread ran: TAG_*, 0: none */
    bool locks;                       /* it has the kernel lock */
    uint64_t tsc_aux, xcr0;           /* IA32_TSC_AUX and XCR0, as last loaded: see vcpu_pay */
    uint64_t ended_ticks;             /* of threads that are no more; kernel lock */
    uint64_t entered;                 /* TSC when ring 0 was last entered... */
    uint32_t path;                    /* ...and why: a system call, or enum ring0_path */
    uint64_t longest[PATH_COUNT + 1]; /* ticks from there until it was left: see path_end; the last one is the boot's */
    struct sched sched;
    uint32_t open_ports; /* ranges of `domain` that the I/O bitmap opens; 0: the bitmap is out of reach */
    /* What the bitmap holds: it stays there while domains without ports run. */
    uint32_t ports_owner, ports_held; /* a domain's tag, and how many of its ranges */
    struct {
        uint16_t first, last;
    } ports[DOMAIN_PORTS_MAX];
    struct irq *irq[VECTOR_IRQ_COUNT]; /* by vector; atomic, set with the kernel lock */
};
_Static_assert(sizeof(struct cpu) <= 3072, "one page, with room at its end for a #DB: see cpu_call_stack");

_Static_assert(CPU_AREAS_VA + MAX_CPUS * CPU_AREA_SIZE <= GDTS_VA && GDTS_VA + MAX_CPUS * GDT_STRIDE <= DEVICES_VA,
               "there is room for all CPUs");

static inline struct cpu *this_cpu(void)
{
    uintptr_t rsp; /* __builtin_frame_address would keep RBP for itself in all that this is inlined into */
    __asm__("mov %%rsp, %0" : "=r"(rsp));
    return (struct cpu *)(rsp & ~(uintptr_t)(CPU_AREA_SIZE - 1));
}

static inline struct cpu *cpu_by_number(unsigned number)
{
    return (struct cpu *)(CPU_AREAS_VA + number * CPU_AREA_SIZE);
}

extern unsigned cpu_count;     /* CPUs online, numbered 0.. */
extern uint64_t cpu_xcr0_mask; /* XCR0 bits that guests may use; 0: no XSAVE */
extern bool cpu_has_tsc_aux;

/* Allocates and maps the area of CPU `number`; its apic_id is the caller's to set. Boot CPU only. */
enum error cpu_area_create(unsigned number) must_check;
static inline uint64_t *cpu_gdt(const struct cpu *c)
{
    return (uint64_t *)(GDTS_VA + c->number * GDT_STRIDE);
}
/* Loads descriptor tables and control registers; on the CPU itself, on its own kernel stack. */
void cpu_init(void);
/* Lets ring 3 of the calling CPU make system calls by this way too. */
void cpu_calls_by(enum call_way way);
/* RSP behind SYSENTER: the word there is the end of the current thread's frame (RSP0). A #DB, which may come before
 * RSP is loaded, finds its stack below. */
static inline uint64_t cpu_call_stack(const struct cpu *c)
{
    return (uint64_t)c + AREA_TSS + 4;
}
extern char sysenter_entry[], syscall_entries[];
/* Loads TR anew: a VM exit of VT-x leaves it without the I/O bitmap (Intel SDM vol. 3, 28.5.2), so that no port is open
 * in ring 3. */
void cpu_reload_tr(struct cpu *c);
/* Hangs `thread_frame_end` into the TSS: where an interrupt from ring 3 pushes. */
void cpu_set_rsp0(struct cpu *c, uint64_t thread_frame_end);
/* Opens or closes ports [first, last] in the CPU's I/O bitmap. */
void cpu_ports(struct cpu *c, uint32_t first, uint32_t last, bool open);
/* Puts the bitmap where IN and OUT find it, or out of their reach: then every port is closed. */
void cpu_ports_reach(struct cpu *c, bool reach);

/* Leaves work for a CPU and makes it look: an IPI if it is not the caller's. Any context. */
void cpu_post(struct cpu *c, uint32_t work);

#endif
