// SPDX-License-Identifier: Apache-2.0
/*
 * The groups of a vCPU's state between the shared page and the VMCB. Each field of the page is read once: another
 * thread of the monitor may be writing. What VMRUN itself refuses is left to it (EXIT_BAD_STATE); here is only what
 * could otherwise reach the host or break our own hold: SVME in EFER, and canonical addresses in the MSRs that VMLOAD
 * loads. CR2 is the kernel's to pass through v->cr2, but VMRUN switches it: while a vCPU is loaded, the VMCB has the
 * true one.
 */
#include "mullion/regs.h"
#include "svm/quirks.h"
#include "svm/svm.h"

#define ATTR_PRESENT (1u << 7)
#define ATTR_G       (1u << 15)

void svm_reset(struct vmcb_save *s)
{
    *s = (struct vmcb_save){.efer = EFER_SVME, .cr4 = CR4_MCE, .pat = PAT_GUEST};
}

uint16_t svm_attributes(uint32_t attr)
{
    if (attr & SEG_ATTR_UNUSABLE)
        attr &= ~ATTR_PRESENT; /* that is how the VMCB says it; DPL and the rest stay */
    return (uint16_t)((attr & 0xff) | (attr >> 4 & 0xf00));
}

struct segment svm_segment(const struct vmcb_segment *s, unsigned number, uint8_t cpl)
{
    struct segment g = {.selector = s->selector, .limit = s->limit, .base = s->base};
    uint32_t attr = (s->attributes & 0xffu) | (s->attributes & 0xf00u) << 4;
    /* Where CPUs differ in what they keep of a descriptor, give what VMX would: CPL in SS, a busy task, G as the limit
     * needs. */
    if (number == SEG_SS)
        attr = (attr & ~0x60u) | (uint32_t)(cpl & 3) << 5;
    if (number == SEG_TR)
        attr |= 2;
    if (number == SEG_CS && s->limit > 0xfffff)
        attr |= ATTR_G;
    if (!(attr & ATTR_PRESENT))
        attr |= SEG_ATTR_UNUSABLE;
    g.attr = attr;
    return g;
}

static struct vmcb_segment *segment_of(struct vmcb_save *s, unsigned number)
{
    struct vmcb_segment *const table[SEG_COUNT] = {&s->es, &s->cs, &s->ss, &s->ds, &s->fs, &s->gs, &s->ldtr, &s->tr};
    return table[number];
}

static uint64_t canonical(uint64_t address)
{
    return (uint64_t)((int64_t)(address << 16) >> 16);
}

/* NMIs have no blocked state in the VMCB: the guest's IRET is watched instead. */
void svm_hold(struct svm_vcpu *s, uint32_t shadow)
{
    struct vmcb_control *c = &s->vmcb->control;
    s->held = shadow & (SHADOW_NMI | SHADOW_STEP);
    c->intercepts[0] = (c->intercepts[0] & ~INTERCEPT(SVM_EXIT_IRET)) |
                       (s->held == SHADOW_NMI ? INTERCEPT(SVM_EXIT_IRET) : 0);
    c->intercept_exceptions = s->held & SHADOW_STEP ? ~0u : SVM_EXCEPTIONS;
    c->clean = 0;
}

void svm_inject_db(struct vmcb *b, uint32_t dr6)
{
    b->control.event = EVENT_VALID | EVENT_EXCEPTION | VECTOR_DB;
    b->save.dr6 |= dr6;
}

static void put_rip(const struct vcpu_state *page, struct svm_vcpu *s)
{
    struct vmcb_save *save = &s->vmcb->save;
    uint32_t shadow = read_once(page->shadow), debug = read_once(page->pending_debug) & DR6_PENDING;
    save->rip = read_once(page->rip);
    save->rsp = read_once(page->rsp);
    save->rflags = read_once(page->rflags) | RFLAGS_FIXED;
    s->vmcb->control.shadow = (shadow & (SHADOW_STI | SHADOW_MOV_SS)) != 0;
    if ((shadow & (SHADOW_NMI | SHADOW_STEP)) != s->held)
        svm_hold(s, shadow);
    if (debug && !(shadow & SHADOW_MOV_SS)) /* the step over MOV SS is one over the next instruction too */
        svm_inject_db(s->vmcb, debug);
}

static void put_segments(const struct vcpu_state *page, struct vmcb_save *save)
{
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        const struct segment *from = &page->seg[i];
        *segment_of(save, i) = (struct vmcb_segment){.selector = read_once(from->selector),
                                                     .attributes = svm_attributes(read_once(from->attr)) &
                                                                   quirk_attributes(i),
                                                     .limit = read_once(from->limit),
                                                     .base = read_once(from->base)};
    }
    save->cpl = save->ss.attributes >> 5 & 3;
    save->gdtr.base = read_once(page->gdtr.base);
    save->gdtr.limit = read_once(page->gdtr.limit) & 0xffff;
    save->idtr.base = read_once(page->idtr.base);
    save->idtr.limit = read_once(page->idtr.limit) & 0xffff;
}

static void put_control(const struct vcpu_state *page, struct svm_vcpu *s, uint64_t cr2)
{
    struct vmcb *b = s->vmcb;
    uint64_t efer = read_once(page->efer) & ~EFER_LMA, cr0 = read_once(page->cr0), cr3 = read_once(page->cr3);
    s->cr0_off = cr0 & (CR0_CD | CR0_NW);
    cr0 ^= s->cr0_off;
    b->control.intercept_cr = svm_cr_intercepts(s);
    s->cr4 = read_once(page->cr4);
    uint64_t cr4 = (s->cr4 & CR4_OFFERED) | CR4_MCE;
    if (b->save.cr0 != cr0 || b->save.cr3 != cr3 || b->save.cr4 != cr4)
        s->tag.generation = 0; /* VMRUN keeps the translations of an ASID: it gets another one */
    b->save.cr0 = cr0;
    b->save.cr2 = cr2;
    b->save.cr3 = cr3;
    b->save.cr4 = cr4;
    if ((efer & EFER_LME) && (b->save.cr0 & CR0_PG))
        efer |= EFER_LMA;
    b->save.efer = efer | EFER_SVME;
    b->control.interrupt = (b->control.interrupt & ~V_TPR) | (read_once(page->tpr) & V_TPR);
}

static void put_msrs(const struct vcpu_state *page, struct svm_vcpu *s)
{
    struct vmcb_save *save = &s->vmcb->save;
    save->star = read_once(page->star);
    save->lstar = canonical(read_once(page->lstar));
    save->cstar = canonical(read_once(page->cstar));
    save->sfmask = read_once(page->fmask);
    save->kernel_gs_base = canonical(read_once(page->kernel_gs_base));
    save->sysenter_cs = read_once(page->sysenter_cs);
    save->sysenter_esp = canonical(read_once(page->sysenter_esp));
    save->sysenter_eip = canonical(read_once(page->sysenter_eip));
    s->pat = read_once(page->pat);
}

void svm_put(struct vcpu *v, uint32_t groups)
{
    struct svm_vcpu *s = v->hw;
    struct vmcb *b = s->vmcb;
    if (groups & ~GROUP_RIP)
        b->control.clean = 0;
    if (groups & GROUP_DR) { /* first: a debug exception that is pending adds to both */
        b->save.dr6 = (uint32_t)read_once(v->state->dr6);
        b->save.dr7 = read_once(v->state->dr7);
        b->control.event = read_once(v->state->event);
    }
    if (groups & GROUP_RIP)
        put_rip(v->state, s);
    if (groups & GROUP_SEG)
        put_segments(v->state, &b->save);
    if (groups & GROUP_CR)
        put_control(v->state, s, v->cr2);
    if (groups & GROUP_MSR) {
        put_msrs(v->state, s);
        b->save.spec_ctrl = v->spec_ctrl;
        v->spec_switched &= !(s->helps & SVM_FEATURE_SPEC_CTRL); /* the CPU does it */
    }
    if (groups & GROUP_TSC)
        b->control.tsc_offset = read_once(v->state->tsc_offset);
}

static void get_segments(struct vcpu_state *page, struct vmcb_save *save)
{
    for (unsigned i = 0; i < SEG_COUNT; i++)
        page->seg[i] = svm_segment(segment_of(save, i), i, save->cpl);
    page->gdtr = (struct table_register){save->gdtr.base, save->gdtr.limit, 0};
    page->idtr = (struct table_register){save->idtr.base, save->idtr.limit, 0};
}

/* STAR to SYSENTER_EIP stand in one order in both. */
#define MSRS_IN_A_ROW (8 * sizeof(uint64_t))
_Static_assert(offsetof(struct vcpu_state, sysenter_eip) + 8 - offsetof(struct vcpu_state, star) == MSRS_IN_A_ROW &&
                   offsetof(struct vmcb_save, sysenter_eip) + 8 - offsetof(struct vmcb_save, star) == MSRS_IN_A_ROW,
               "get_msrs relies on it");
static void get_msrs(struct vcpu_state *page, const struct svm_vcpu *s)
{
    __builtin_memcpy((char *)page + offsetof(struct vcpu_state, star),
                     (const char *)&s->vmcb->save + offsetof(struct vmcb_save, star), MSRS_IN_A_ROW);
    page->pat = s->pat;
    page->spec_ctrl = s->vmcb->save.spec_ctrl;
}

void svm_get(struct vcpu *v, uint32_t groups)
{
    const struct svm_vcpu *s = v->hw;
    struct vmcb_save *save = &s->vmcb->save;
    struct vcpu_state *page = v->state;
    if (groups & GROUP_RIP) {
        page->rip = save->rip;
        page->rsp = save->rsp;
        page->rflags = save->rflags;
        page->shadow = (s->vmcb->control.shadow & 1 ? SHADOW_STI : 0) | s->held;
        page->pending_debug = 0;
    }
    if (groups & GROUP_SEG)
        get_segments(page, save);
    if (groups & GROUP_CR) {
        v->cr2 = save->cr2;
        page->cr0 = save->cr0 | s->cr0_off;
        page->cr3 = save->cr3;
        page->cr4 = s->cr4;
        page->efer = save->efer & ~EFER_SVME;
        page->tpr = s->vmcb->control.interrupt & V_TPR;
    }
    if (groups & GROUP_MSR)
        get_msrs(page, s);
    if (groups & GROUP_DR) {
        page->dr6 = save->dr6;
        page->dr7 = save->dr7;
        page->event = s->vmcb->control.event;
    }
}
