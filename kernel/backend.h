/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interface of the two backends (VT-x + EPT, AMD-V + NPT), and the part of a vCPU that they share with the kernel.
 *
 * All functions but probe run on the vCPU's home CPU with interrupts off. A vCPU never changes its CPU, so a VMCS never
 * migrates. What the backend does not touch, because the kernel's common code does it when another vCPU becomes current
 * on a CPU: FPU and XCR0, DR0-3, TSC_AUX. While a vCPU is current its values of these, and of STAR, LSTAR, CSTAR,
 * SFMASK and KERNEL_GS_BASE on VT-x, stay in the CPU even while its monitor runs in ring 3. Other domains' ring 3 sees
 * none of them: it uses no FPU (CR0.TS is set, CR4.OSXSAVE clear), no SYSCALL on VT-x (EFER.SCE is clear) and no
 * SWAPGS, and vcpu_pay puts TSC_AUX and XCR0 out of its sight. docs/cpu-state.md has every register.
 */
#ifndef KERNEL_BACKEND_H
#define KERNEL_BACKEND_H

#include "arch/x86_64/speculation.h"
#include "kernel/object.h"
#include "mm/pagetable.h"
#include "mullion/boot.h"
#include "mullion/types.h"
#include "mullion/vcpu.h"

struct cpu;
struct thread;

#define FASTPATH_CPUID_MAX    96
#define FASTPATH_DOORBELL_MAX 32

struct fastpath_cpuid_entry {
    uint32_t leaf, subleaf, live, eax, ebx, ecx, edx, reserved;
};
/* One pool page: the entries from 1 on, and where a leaf's are: open addressing, 0 ends a search. */
#define CPUID_INDEX_SIZE 256u
struct fastpath_cpuids {
    uint32_t count;
    struct fastpath_cpuid_entry entry[FASTPATH_CPUID_MAX + 1];
    uint8_t index[CPUID_INDEX_SIZE];
};
static inline uint32_t cpuid_index(uint32_t leaf)
{
    return leaf % CPUID_INDEX_SIZE;
}
/* A row of doorbells, each 1 << shift ports or bytes: the n-th signals bits << n. */
struct fastpath_doorbell_entry {
    struct event *event;
    uint64_t bits;
    uint64_t at;  /* the first's: a port, or a guest-physical address with DOORBELL_STORE */
    uint64_t key; /* atomic. A port's: size of the access, bytes; 0: any. A store's: the instruction, DOORBELL_KEY */
    uint8_t count, shift;
};
#define DOORBELL_STORE            (1ull << 63)
#define DOORBELL_KEY(rip, length) ((rip) << 4 | (length))
/* One pool page: the entries, and where those of a place are: open addressing, NULL ends a search. An entry is found by
 * each piece of 64 ports or 4 KiB that it touches. */
#define DOORBELL_INDEX_SIZE 256u /* a byte counts round it */
struct fastpath_doorbells {
    struct fastpath_doorbell_entry *index[DOORBELL_INDEX_SIZE]; /* atomic */
    struct fastpath_doorbell_entry entry[FASTPATH_DOORBELL_MAX];
    uint32_t count, indexed;
};
static inline uint64_t doorbell_piece(uint64_t at)
{
    return at >> (at & DOORBELL_STORE ? 12 : 6);
}

/* A guest-physical address space. */
struct space {
    struct object object;
    struct domain *payer;
    struct pagetable tables; /* EPT or NPT */
    struct mapping *mappings;
    struct fastpath_cpuids *cpuid;       /* one pool page */
    struct fastpath_doorbells *doorbell; /* likewise, made at first use; atomic */
};

struct vcpu {
    struct object object;
    struct vcpu_state *state; /* the shared page, by its kernel address. Anything read from it may change at any time */
    struct space *space;
    struct thread *thread;
    struct cpu *cpu; /* home */
    struct domain *payer;
    void *hw;        /* the backend's own structure */
    uint32_t vector; /* after run() == EXIT_WAITING: the interrupt to be dispatched; VECTOR_PENDING: the CPU still has
                        it; 0: there is none */
    uint32_t kicked; /* atomic; set by anybody, cleared when it is reported */
    bool in_guest_mode; /* the thread's mode: inside vcpu_run */
    bool halted;        /* atomic; inside vcpu_run, asleep by ACTIVITY_HALT or about to be */
    bool dedicated;     /* no other is to have the CPU, busy or not: its guest waits in HLT itself, and no time slice
                       ends its turn */
    /* switched by common code, see above */
    struct fpu_image *fpu;       /* XSAVE area, one page */
    struct fpu_image *fpu_shown; /* the page of GROUP_FPU; NULL: the monitor has not asked for it. As `state` */
    struct event *event;         /* bound to it: see event_bind; NULL: none */
    uint64_t xcr0, cr2, dr[4], tsc_aux;
    uint64_t spec_ctrl; /* by the backend, around each entry, if spec_switched: it was ever another than the host's */
    bool spec_switched;
    bool dr_wanted; /* put away with breakpoints enabled in DR7: back they go when it is current again */
    bool dr_here;   /* DR0-3 are in the CPU. Else accesses to debug registers exit, and DR7 enables none */
    uint64_t exits[EXIT_COUNT];
    /* Where the thread's time goes: from an exit until the next entry it is the exit's, the rest is the guest's own. */
    uint64_t exit_ticks[EXIT_COUNT];
    uint64_t exit_at;     /* TSC at the last exit, moved on by what the thread has not run since */
    uint32_t exit_reason; /* that exit's; EXIT_NONE: it has not been entered yet */
};

/* The guest is entered now. */
static inline void vcpu_goes_on(struct vcpu *v, uint64_t now)
{
    v->exit_ticks[v->exit_reason] += now - v->exit_at;
}

/* What a guest may have in CR4. Not offered: VMX, SMX, and whatever needs state that is not switched (PKE, CET, PKS) or
 * was not thought of. Beyond what it wants MCE is always set in the register: with it clear, a machine check while the
 * guest runs would shut the CPU down instead of reaching the host. */
#define CR4_OFFERED                                                                                        \
    (CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE | CR4_PCE | CR4_OSFXSR | \
     CR4_OSXMMEXCPT | CR4_UMIP | CR4_FSGSBASE | CR4_PCIDE | CR4_OSXSAVE | CR4_SMEP | CR4_SMAP)

#define INSTRUCTION_MAX 15u /* bytes (Intel SDM vol. 2, 2.3.11) */

/* By how much rip is to move on because the monitor has done the exit's instruction. Taken once; a backend does so
 * before it enters. */
static inline uint32_t vcpu_take_advance(struct vcpu_state *s)
{
    uint32_t length = read_once(s->advance);
    if (likely(length))
        s->advance = 0;
    return likely(length <= INSTRUCTION_MAX) ? length : 0;
}

#define RUN_DECODE     0x100u
#define VECTOR_PENDING 0x100u /* no vector */

struct backend {
    const char *name;       /* "VT-x", "AMD-V" */
    enum call_way call_way; /* whose MSRs this extension switches anyway */
    const struct pt_format *format;
    void *const *msr_bitmap; /* VT-x: where the MSR_BITMAPS pages are, once a CPU has started; NULL: each vCPU's
                                VMCB says it */

    /* Can this CPU do it, with everything that we need? If not, what is missing first. Also called when the CPU has
     * neither: then it must say so, not crash. */
    struct lack (*probe)(void) must_check;
    /* Turns the extension on, on the calling CPU (page for VMXON or host save area from the pool, kept in per-CPU
     * arrays of the backend). */
    enum error (*cpu_start)(unsigned cpu) must_check;

    /* Makes / frees v->hw and everything behind it; pays from v->payer's quota. On an error vcpu_destroy frees what is
     * there, if v->hw is not NULL. A new vCPU has no state yet: what comes of an entry before every group but TSC has
     * been put is the monitor's own affair. */
    enum error (*vcpu_create)(struct vcpu *v) must_check;
    void (*vcpu_destroy)(struct vcpu *v); /* current nowhere */

    /* `old` stops being the CPU's current vCPU, v becomes it (NULL: none): VMCLEAR, VMPTRLD; STAR..KERNEL_GS_BASE and
     * what else the hardware does not switch. NULL: there is nothing to do. */
    void (*change)(struct vcpu *old, struct vcpu *v);
    /* On the vCPU's home CPU, for the last time: the CPU forgets it (VMCLEAR). NULL: it knows nothing. */
    void (*retire)(struct vcpu *v);

    /* Copies groups between the shared page and the hardware structure. put: one snapshot, then check (reserved bits,
     * canonical addresses, bits that must be set), then load; it never fails: what the CPU refuses shows as
     * EXIT_BAD_STATE. xcr0, cr2, dr0-3, tsc_aux are done by the kernel, not here; dr6 and dr7 are done here. Only
     * called while v is current. */
    void (*put)(struct vcpu *v, uint32_t groups);
    void (*get)(struct vcpu *v, uint32_t groups);

    /* Enters the guest once. Before: delivers what was interrupted in delivery,
     * else state->inject, else state->irq if the guest can take it now (otherwise opens the interrupt window; at the
     * window's exit it delivers by itself). Arms the CPU's own means (VMX preemption timer; at most 10 ms
     * away, but for a dedicated CPU, with IF set) so that the guest is left when the TSC reaches deadline. Answers the
     * enum exit_reason, EXIT_WAITING for everything that is the host's (external interrupt, NMI, timer expiry, window;
     * then v->vector says more), with RUN_DECODE if the monitor will have to decode the instruction. The rest of the
     * record is in the shared page, in the common form: written there, never read back. Advances nothing but what the
     * monitor says it has done. Calls vcpu_goes_on before it enters and sets v->exit_at after it is back. */
    uint32_t (*run)(struct vcpu *v, uint64_t deadline_tsc);
    /* In kernel/vcpu.c, with this backend's `run` compiled into it: runs the current thread's vCPU. True: an exit for
     * the monitor; the thread continues in ring 3 with its record. False: the host wants the CPU, or the guest
     * sleeps. */
    bool (*enter)(struct cpu *c, struct vcpu *v);

    /* For exits that the kernel settles. skip: rip += len, shadow cleared. */
    void (*skip)(struct vcpu *v, uint32_t len);
    uint64_t (*cr4)(struct vcpu *v);
    uint64_t (*dr7)(struct vcpu *v);
    /* From now on accesses to debug registers make it call vcpu_load_dr, or not; with them go what else the hardware
     * does not switch (DR6). */
    void (*watch_dr)(struct vcpu *v, bool on);

    /* Drops this CPU's cached translations of all second-level tables: thread.c asks each CPU for it when a mapping has
     * gone from a table. */
    void (*flush)(void);
};

extern const struct backend vmx_backend, svm_backend;
uint32_t vmx_run(struct vcpu *v, uint64_t deadline_tsc);
uint32_t svm_run(struct vcpu *v, uint64_t deadline_tsc);
bool vmx_vcpu_enter(struct cpu *c, struct vcpu *v);
bool svm_vcpu_enter(struct cpu *c, struct vcpu *v);
/* The system call vcpu_run, by the backend's way of system calls, of a thread on its own CPU: from entry.asm. */
void vmx_run_call(struct thread *t) __attribute__((__noreturn__));
void svm_run_call(struct thread *t) __attribute__((__noreturn__));

/* The emulator that the kernel has recognised, for vmx/quirks.h and svm/quirks.h alone: no other code asks. */
enum emulator { EMULATOR_NONE, EMULATOR_QEMU /* TCG */, EMULATOR_BOCHS };
extern enum emulator emulator;

/* For backends: the guest has touched a debug register while v->dr_here is false; it tries again with its own. */
void vcpu_load_dr(struct vcpu *v);
extern bool
    vmx_without_apicv; /* the option apicv=off: every local APIC is the monitor's alone, as on a CPU that cannot help */
extern bool vmx_reach_by_timer; /* vmx/quirks.h, and the option reach= */

#endif
