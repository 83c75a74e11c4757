/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the VT-x backend share. No file outside vmx/ includes this: the rest of the kernel sees
 * kernel/backend.h only.
 */
#ifndef VMX_VMX_H
#define VMX_VMX_H

#include "kernel/audit_view.h"
#include "kernel/backend.h"
#include "mullion/types.h"
#include "vmx/vmcs.h"

/* What this machine's CPUs can do, and the control values that follow from it. Filled by probe; every CPU that starts
 * must agree. */
struct vmx_machine {
    uint32_t revision;
    uint32_t pin, proc, proc2, exit, entry; /* proc: without windows */
    uint32_t launched;                      /* what a vCPU's `launched` becomes */
    uint32_t timer_shift;                   /* the preemption timer counts TSC >> this */
    uint32_t apic;                          /* what APIC_BY_CPU adds to proc2; 0: not to be had */
    uint64_t cr0_fixed0, cr0_fixed1, cr4_fixed0, cr4_fixed1;
    uint64_t ept_vpid; /* IA32_VMX_EPT_VPID_CAP */
};
extern struct vmx_machine vmx;
extern uint64_t
    vmx_turn[2]; /* TSC ticks after which a guest is left in any case; [true]: one that has its CPU to itself */

/* What belongs to one CPU. */
struct vmx_cpu {
    void *vmxon;
    uint64_t vpid_generation;
    uint32_t vpid_next;
    uint64_t syscall[4]; /* STAR, LSTAR, CSTAR, FMASK, as loaded */
};
struct vmx_cpu *vmx_this_cpu(void);

/* A vCPU's VT-x half. `launched` is known to vmx_entry.asm. */
struct vmx_vcpu {
    uint64_t host_rsp; /* what HOST_RSP holds */
    uint8_t
        launched;  /* 0: VMLAUNCH. Else VMRESUME, and so many exits are settled in a row without a look at the clock */
    uint32_t proc; /* CONTROL_PROC as last written */
    uint32_t proc_base;     /* without windows */
    uint32_t tpr_threshold; /* as last written */
    uint64_t event;         /* to be delivered first at the next entry: as vcpu_state's; 0: nothing */
    uint32_t event_length;
    uint32_t
        refused; /* groups that put() found to be impossible, or that never came; no entry until they are replaced */
    uint32_t vpid, apic_mode;
    uint64_t vpid_generation;
    struct vmx_cpu *cpu; /* NULL: has not been on it yet, the VMCS is empty */
    void *vmcs;
    hpa_t vmcs_hpa;
    uint64_t syscall[4];     /* STAR, LSTAR, CSTAR, FMASK: written through the monitor alone, so always known */
    uint64_t kernel_gs_base; /* while not loaded */
    uint64_t dr6;            /* while v->dr_here is false */
};
#define VMX_LAUNCHED_OFFSET 8
_Static_assert(offsetof(struct vmx_vcpu, launched) == VMX_LAUNCHED_OFFSET, "vmx_entry.asm has this offset");
_Static_assert(offsetof(struct vcpu_state, apic) == 0, "the state page is the virtual-APIC page");

/* In the detail of an EXIT_BAD_STATE: not the CPU refused but put(); the low bits are the groups. */
#define REFUSED_BY_PUT (1ull << 32)

/* The guest's TPR lies in the page that ring 3 may write (SDM vol. 3, 30.1.1). */
static inline uint32_t virtual_tpr(const struct vcpu_state *s)
{
    return __atomic_load_n((const uint8_t *)&s->apic[0x80 / 4], __ATOMIC_RELAXED) >> 4;
}
static inline struct vmx_vcpu *vmx_of(struct vcpu *v)
{
    return v->hw;
}

/* vmx_controls.c: pure. */
struct control_set {
    uint32_t msr;
    uint32_t required, wanted;    /* on; wanted: if the CPU can */
    uint32_t switched, forbidden; /* off; switched: but can be turned on */
};
enum { SET_PIN, SET_PROC, SET_PROC2, SET_EXIT, SET_ENTRY, SET_COUNT };
extern const struct control_set vmx_control_sets[SET_COUNT];
/* Resolves a set against its capability MSR (low half: must be 1; high half: may be 1). The bits that cannot be had as
 * they must be; 0: none. */
uint32_t vmx_resolve(const struct control_set *set, uint64_t capability, uint32_t *value) must_check;
/* Takes the controls of APIC_BY_CPU out of proc2; they are returned if all of them can be had. */
uint32_t vmx_apic_controls(uint32_t proc, uint32_t *proc2);
/* The lowest bit of the field of IA32_VMX_BASIC that will not do; 0: none. */
unsigned vmx_basic_lacking(uint64_t basic);
/* Of IA32_VMX_EPT_VPID_CAP: four levels, write-back; INVEPT, of all contexts; INVVPID, of one context and of all. */
#define EPT_VPID_NEEDED (1ull << 6 | 1ull << 14 | 1ull << 20 | 1ull << 26 | 1ull << 32 | 1ull << 41 | 1ull << 42)

/* vmx_registers.c: pure but for `vmx`. */
uint64_t vmx_cr0_mask(void);
uint64_t vmx_cr4_mask(void);
uint64_t vmx_cr0_real(uint64_t value);
uint64_t vmx_cr4_real(uint64_t value);
bool vmx_cr4_offered(uint64_t value);
/* May a write of `value` be settled by changing the shadow's masked bits, after which the guest's instruction succeeds
 * by itself? */
bool vmx_cr_fastpath(unsigned number, uint64_t value, uint64_t shadow, uint64_t *new_shadow);
bool vmx_canonical(uint64_t address);
/*
 * The timer counts when bit `shift` of the TSC changes (SDM vol. 3, 26.5.1): its first count can be short by nearly a
 * whole step, hence the one more. The guest is left at the deadline or a little after it, so the deadline's owner never
 * comes back early and has to enter once more. `turn` is VMX_TIMER_STEPS at most.
 */
#define VMX_TIMER_STEPS 0xfffffffeull
static inline uint32_t vmx_timer_value(uint64_t now, uint64_t deadline, uint64_t turn, unsigned shift)
{
    uint64_t wait = deadline > now ? min_u64(deadline - now, turn) : 0;
    return (uint32_t)((wait + (2ull << shift) - 1) >> shift);
}
/* The exit qualification of I/O and of EPT violations (SDM vol. 3, tables 28-5, 28-7). */
#define QUALIFICATION_IO_IN     (1u << 3)
#define QUALIFICATION_IO_STRING (1u << 4)
#define QUALIFICATION_LINEAR    (1u << 7) /* there is a linear address */
#define QUALIFICATION_ACCESS    0x187u    /* what the access was, and whether its own: not the page walk's */
#define QUALIFICATION_STORE     0x182u    /* it wrote and did not read */
struct cr_access {
    uint8_t number, write, gpr, lmsw, clts;
    uint16_t source;
};
struct cr_access vmx_cr_access(uint64_t qualification);
bool vmx_port_access(uint64_t qualification, struct vcpu_exit *e); /* is it INS or OUTS? */
void vmx_memory_access(uint64_t qualification, struct vcpu_exit *e);

/* vmx_msr.c: fills a page with an MSR bitmap: `which` is its place in vmx_msr_page. */
void vmx_msr_bitmap(uint8_t *page, uint32_t which);
extern void *vmx_msr_page[MSR_BITMAPS];

/* vmx_state.c */
void vmx_put(struct vcpu *v, uint32_t groups);
void vmx_get(struct vcpu *v, uint32_t groups);
void vmx_skip(struct vcpu *v, uint32_t len);
uint64_t vmx_cr4(struct vcpu *v);
uint64_t vmx_dr7(struct vcpu *v);
uint64_t vmx_dr6(struct vcpu *v);
void vmx_set_dr6(struct vcpu *v, uint64_t value);
void vmx_watch_dr(struct vcpu *v, bool on);
void vmx_save_msrs(struct vmx_vcpu *hw);
void vmx_load_msrs(const struct vmx_vcpu *hw);

/* vmx_exit.c, vmx_probe.c */
uint32_t vmx_exit(struct vcpu *v, uint32_t reason, uint32_t idt_vectoring);
/* A port exit, with its qualification. An instruction's own exit comes in no event's delivery (SDM vol. 3, 28.2.4). */
uint32_t vmx_port(struct vcpu *v, uint64_t qualification);
uint32_t vmx_entry_failed(struct vcpu *v, uint64_t detail);
struct lack vmx_probe(void) must_check;
enum error vmx_cpu_start(unsigned cpu) must_check;

/* vmx_entry.asm: enters; true if the CPU refused before the guest's state was touched (VMfail). No C calling
 * convention: see vmx_run.c. */
bool vmx_enter(struct vmx_vcpu *hw, uint64_t *gpr);
extern char vmx_exit_point[];

#endif
