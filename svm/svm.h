/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of svm/ share. No file outside includes this: the kernel sees svm_backend alone.
 */
#ifndef SVM_SVM_H
#define SVM_SVM_H

#include "kernel/backend.h"
#include "mullion/regs.h"
#include "svm/vmcb.h"

/* One read, of a page that ring 3 may be writing: what was checked is what is used. */

/* ASIDs of one CPU. They are handed out in order; when they run out, a new generation starts with one flush of
 * everything. */
struct asid_pool {
    uint64_t generation;  /* from 1 */
    uint32_t next, count; /* count: ASIDs are 1..count-1; 0 is the host's */
    bool flush_all;       /* the next entry must flush everything */
};
struct asid_tag {
    uint64_t generation;
    uint32_t asid;
};

struct svm_vcpu {
    uint64_t *gpr; /* of the shared page */
    uint64_t vmcb_hpa;
    uint64_t host_vmcb; /* physical; what VMLOAD brings back after an exit */
    struct vmcb *vmcb;
    struct asid_pool *asids; /* the CPU's */
    struct asid_tag tag;
    uint32_t clean;   /* what an entry may declare unchanged; 0 without the feature */
    uint32_t helps;   /* SVM_FEATURE_*: the CPU's */
    uint32_t offered; /* of the page's irq, what the CPU was last told: IRQ_VALID: V_IRQ is set; anything: CR8's writes
                         exit */
    uint32_t held;    /* SHADOW_NMI, SHADOW_STEP: the VMCB has no place for them */
    uint64_t cr4;     /* as the guest reads it; the VMCB has what it may have of that, and MCE */
    uint64_t cr0_off; /* CD and NW as the guest reads them; they are clear in the VMCB */
    uint64_t pat;     /* as the guest reads it; the VMCB has PAT_GUEST */
    uint64_t shadow_rip;   /* of the last exit in a shadow */
    uint32_t shadow_tries; /* how often it may still be taken for being there */
};

_Static_assert(offsetof(struct svm_vcpu, gpr) == 0, "svm_entry.asm knows these");

/* What this CPU lacks: LACK_*. Pure. */
struct svm_abilities {
    bool svm;
    uint64_t vm_cr;
    uint32_t features, asids;
};
uint8_t svm_lacks(const struct svm_abilities *a);
/* Of the calling CPU. */
struct svm_abilities svm_abilities(void);

/* Builds both bitmaps; before the first vCPU. `features`: SVM_FEATURE_*. Their physical addresses are for the VMCB. */
void svm_bitmaps_init(uint32_t features);
/* 15.10, 15.11: contiguous; shared by all vCPUs, never written after svm_bitmaps_init. */
#define MSRPM_BYTES 0x2000u
#define IOPM_BYTES  0x3000u
extern uint8_t svm_msrpm[MSRPM_BYTES], svm_iopm[IOPM_BYTES];
/* The VMCB's three words. */
extern const uint32_t svm_intercepts[3];
#define MSR_READ  1u
#define MSR_WRITE 2u
/* Opens an MSR in a bitmap; the MSR must lie in one of its three ranges (asserted). Pure. */
void svm_msr_allow(uint8_t map[MSRPM_BYTES], uint32_t msr, uint8_t rights);

/*
 * The caches are everybody's. With nested paging a guest's PAT and CR0.CD have their say in the type of its memory (AMD
 * APM vol. 2, 15.25.8): it could have its RAM uncached, which the monitor and the kernel have write-back, and then read
 * what lay there before they cleared it. So its PAT is write-back throughout, as EPT's "ignore PAT" has it on VT-x;
 * the monitor keeps what it has written. CD and NW stay clear, and a guest that has set one reads and writes CR0 with
 * exits.
 */
#define PAT_GUEST 0x0606060606060606ull
/* What intercept_cr is to be. */
static inline uint32_t svm_cr_intercepts(const struct svm_vcpu *s)
{
    return INTERCEPT_CR4 | (s->cr0_off ? INTERCEPT_CR0 : 0) |
           (s->offered & (IRQ_VALID | IRQ_HELD) ? INTERCEPT_CR8_WRITE : 0);
}
/* Nothing of anybody's: the guest's state is the monitor's to bring. Pure. */
void svm_reset(struct vmcb_save *s);
/* Segment attributes between the VMCB's 12 bits and the ABI's VMX layout. Pure. */
uint16_t svm_attributes(uint32_t attr);
struct segment svm_segment(const struct vmcb_segment *s, unsigned number, uint8_t cpl);
void svm_put(struct vcpu *v, uint32_t groups);
void svm_get(struct vcpu *v, uint32_t groups);
/* shadow: SHADOW_NMI and SHADOW_STEP count, and what they intercept follows. */
void svm_hold(struct svm_vcpu *s, uint32_t shadow);
/* What is always intercepted of the exceptions: #DB and #AC against endless delivery (CVE-2015-8104, CVE-2015-5307);
 * #MC is about the machine, not the guest. */
#define SVM_EXCEPTIONS (1u << VECTOR_DB | 1u << VECTOR_AC | 1u << VECTOR_MC)

/* Turns the VMCB's exit into the common form: what backend->run answers, the record's other fields in *out. EXIT_NONE:
 * the backend settles it itself (svm_run.c). Pure. */
uint32_t svm_translate(const struct vmcb *b, uint32_t helps, uint64_t rcx, struct vcpu_exit *out);
/* Of the instruction that made the exit; 0: not known. Pure. */
uint32_t svm_length(const struct vmcb *b, uint32_t helps);
/* What to inject at the next entry because an exit interrupted its delivery; 0: nothing. Pure. */
uint64_t svm_interrupted_event(uint64_t exit_event);

/* What an entry delivers; and what it leaves to be offered to the CPU: irq, if that is not taken. Pure. */
struct svm_plan {
    uint64_t event;
    uint32_t offer;
    bool take_inject;
};
struct svm_plan svm_plan(uint64_t interrupted, uint64_t inject, uint32_t irq, bool irq_open);
/* Sees that the tag is valid on its CPU; the answer is the entry's TLB_*. Pure. */
uint8_t svm_asid_prepare(struct asid_pool *p, struct asid_tag *t);
/* Every tag of this CPU goes invalid. Pure. */
void svm_asid_forget(struct asid_pool *p);

void svm_inject_gp(struct vmcb *b);
/* #DB, with these bits set in DR6. */
void svm_inject_db(struct vmcb *b, uint32_t dr6);
/* The guest's instruction is done: behind it, with all that its end brings. Every instruction that the CPU has not done
 * ends here or, in the monitor, in emulate_skip. */
static inline void svm_skip_to(struct vmcb *b, uint64_t rip)
{
    b->save.rip = rip;
    b->control.shadow = 0;
    if (unlikely(b->save.rflags & RFLAGS_TF))
        svm_inject_db(b, DR6_BS);
    b->save.rflags &= ~RFLAGS_RF;
}

/* What svm_run does before and after the guest runs; for its unit test. */
extern const char svm_vmrun[]; /* its VMRUN */
struct svm_vcpu *svm_prepare(struct vcpu *v, uint64_t deadline_tsc);
uint32_t svm_finish(struct vcpu *v, struct svm_vcpu *s);

#endif
