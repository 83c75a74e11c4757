// SPDX-License-Identifier: Apache-2.0
/* See vmm/cpu/nmi.h. */
#include "vmm/cpu/nmi.h"

#include "mullion/regs.h"
#include "vmm/cpu/exits.h"
#include "vmm/insn/access.h"

static bool in_inject(const struct vm_vcpu *v)
{
    uint32_t mask = INJECT_VALID | INJECT_TYPE_MASK;
    return (v->state->inject & mask) == (INJECT_VALID | INJECT_TYPE_NMI);
}

static void set_waiting(struct vm_vcpu *v, unsigned count)
{
    v->pending &= ~(PENDING_NMI | PENDING_NMI_AGAIN);
    v->pending |= (count > 0 ? PENDING_NMI : 0) | (count > 1 ? PENDING_NMI_AGAIN : 0);
}

static unsigned waiting(const struct vm_vcpu *v)
{
    if (!(v->pending & PENDING_NMI))
        return 0;
    return v->pending & PENDING_NMI_AGAIN ? 2 : 1;
}

void nmi_arrive(struct vm_vcpu *v, unsigned count)
{
    if (!exits_need(v, GROUP_RIP))
        return;
    nmi_withdraw(v);
    unsigned most = v->state->shadow & SHADOW_NMI ? 1 : 2, all = waiting(v) + count;
    set_waiting(v, all < most ? all : most);
}

void nmi_offer(struct vm_vcpu *v, uint64_t now)
{
    struct vcpu_state *s = v->state;
    if (!exits_need(v, GROUP_RIP))
        return;
    if ((v->pending & PENDING_HALTED) && (s->shadow & SHADOW_NMI)) /* only an interrupt can wake it */
        return;
    bool shadow = s->nmi_offer == NMI_BY_STEP && (s->shadow & (SHADOW_STI | SHADOW_MOV_SS));
    if (!(s->inject & INJECT_VALID) && !shadow) {
        s->inject = INJECT_VALID | INJECT_TYPE_NMI | 2;
        set_waiting(v, waiting(v) - 1);
    }
    /* Behind another event, or a shadow, which the host's timer waits for as well: the guest is left right there. */
    if (v->pending & PENDING_NMI)
        s->deadline = now;
}

void nmi_withdraw(struct vm_vcpu *v)
{
    if (!in_inject(v))
        return;
    v->state->inject = 0;
    set_waiting(v, waiting(v) + 1);
    v->recheck = true;
}

/* The hits of data breakpoints by the IRET are told from older ones by clearing those meanwhile. */
void nmi_iret_exit(struct vm_vcpu *v)
{
    struct vcpu_state *s = v->state;
    if (!exits_need(v, GROUP_RIP | GROUP_DR))
        return;
    v->step = (struct nmi_step){.on = true, .tf = s->rflags & RFLAGS_TF, .dr6 = s->dr6};
    s->dr6 &= ~(uint64_t)DR6_PENDING;
    s->rflags |= RFLAGS_TF;
    s->shadow |= SHADOW_STEP;
    s->dirty |= GROUP_RIP | GROUP_DR;
    v->recheck = true; /* an interrupt that was offered waits for the end of the step */
}

/* An IRET that has faulted has ended the blocking too. One that is done has loaded TF; it was set for it at its start
 * if it was set for the guest. */
bool nmi_stepped(struct vm_vcpu *v)
{
    struct vcpu_state *s = v->state;
    if (!exits_need(v, GROUP_RIP | GROUP_DR))
        return false;
    uint64_t seen = s->dr6 & DR6_PENDING;
    bool debug = s->exit.exception.vector == VECTOR_DB;
    if (!debug || !(seen & DR6_BS))
        s->rflags = (s->rflags & ~RFLAGS_TF) | (v->step.tf ? RFLAGS_TF : 0);
    if (!v->step.tf)
        seen &= ~(uint64_t)DR6_BS;
    s->dr6 = v->step.dr6 | seen;
    s->shadow &= ~(SHADOW_NMI | SHADOW_STEP);
    s->dirty |= GROUP_RIP | GROUP_DR;
    v->step.on = false;
    v->recheck = true;
    return !debug || seen != 0;
}
