// SPDX-License-Identifier: Apache-2.0
/*
 * What a guest reaches without an exit besides its memory, and which tables its vCPUs really run with. The list below
 * is what ought to be open, written down a second time on purpose. AMD-V: each vCPU's VMCB says which tables and
 * bitmaps the CPU uses. VT-x: that stands in the VMCS, whose layout is the CPU's secret; its four bitmaps (with the
 * local APIC served by the monitor, by the CPU; without IA32_SPEC_CTRL and with it) are looked at where the kernel says
 * they are.
 */
#include "services/audit/check_private.h"

#include "kernel/hardware.h"
#include "mullion/regs.h"
#include "svm/svm.h"

enum { READ = 1, WRITE = 2 };

/* BY_CPU: only while the CPU serves the guest's x2APIC; SPECULATION: only in the bitmaps for that, or where the
 * CPU switches it. */
enum { NO, YES, BY_CPU, SPECULATION };

static const struct open_msr {
    uint32_t first, last;
    uint8_t rights, amd, intel;
} open_msrs[] = {
    {MSR_TSC, MSR_TSC, READ, NO, YES},
    {MSR_SPEC_CTRL, MSR_SPEC_CTRL, READ | WRITE, SPECULATION, SPECULATION},
    {MSR_PRED_CMD, MSR_PRED_CMD, WRITE, YES, YES},
    {MSR_SYSENTER_CS, MSR_SYSENTER_EIP, READ | WRITE, YES, YES},
    {MSR_PAT, MSR_PAT, READ | WRITE, YES, YES},
    {0x802, 0x803, READ, NO, BY_CPU},         /* ID, version */
    {0x808, 0x808, READ | WRITE, NO, BY_CPU}, /* TPR */
    {0x80a, 0x80a, READ, NO, BY_CPU},         /* PPR */
    {0x80b, 0x80b, WRITE, NO, BY_CPU},        /* EOI */
    {0x80d, 0x80d, READ, NO, BY_CPU},         /* LDR */
    {0x80f, 0x828, READ, NO, BY_CPU},         /* SVR, ISR, TMR, IRR, ESR */
    {0x832, 0x838, READ, NO, BY_CPU},         /* LVT, the timer's initial count */
    {0x83e, 0x83e, READ, NO, BY_CPU},         /* the timer's divisor */
    {0x83f, 0x83f, WRITE, NO, BY_CPU},        /* SELF IPI */
    {MSR_EFER, MSR_EFER, READ | WRITE, NO, YES},
    {MSR_STAR, MSR_FMASK, READ, NO, YES},
    {MSR_STAR, MSR_FMASK, READ | WRITE, YES, NO},
    {MSR_FS_BASE, MSR_KERNEL_GS_BASE, READ | WRITE, YES, YES},
    {MSR_TSC_AUX, MSR_TSC_AUX, READ, YES, YES},
};

static void open_bit(struct check *c, uint32_t msr, unsigned right)
{
    for (unsigned i = 0; i < ARRAY_SIZE(open_msrs); i++) {
        const struct open_msr *m = &open_msrs[i];
        unsigned when = c->boot->amd ? m->amd : m->intel;
        if (msr >= m->first && msr <= m->last && (m->rights & right) &&
            (when == YES || (when == BY_CPU && c->apic_by_cpu) || (when == SPECULATION && c->spec_ctrl_open)))
            return;
    }
    violation(c, (struct audit_violation){.kind = AUDIT_MSR, .where = msr, .at = right});
}

/* Calls `open` for each clear bit of a bitmap. */
static void clear_bits(struct check *c, const void *map, size_t bytes, void (*open)(struct check *c, uint32_t bit))
{
    const uint64_t *words = map;
    for (uint32_t i = 0; i < bytes / 8; i++)
        for (uint64_t clear = ~LOOK(words[i]); clear != 0; clear &= clear - 1)
            open(c, i * 64 + (uint32_t)__builtin_ctzll(clear));
}

/* Intel SDM vol. 3, 25.6.9: 8192 low MSRs to read, 8192 high ones, then the same to write. */
static void intel_msr(struct check *c, uint32_t bit)
{
    open_bit(c, (bit / 8192 & 1 ? 0xc0000000 : 0) + bit % 8192, bit / 16384 ? WRITE : READ);
}

/* AMD APM vol. 2, 15.11: two bits an MSR, in three runs of 8192 MSRs; what follows means nothing, and nothing is open
 * there. */
static void amd_msr(struct check *c, uint32_t bit)
{
    static const uint32_t base[4] = {0, 0xc0000000, 0xc0010000, 0xffff0000};
    open_bit(c, base[bit / 16384] + bit % 16384 / 2, bit & 1 ? WRITE : READ);
}

static void amd_port(struct check *c, uint32_t bit)
{
    violation(c, (struct audit_violation){.kind = AUDIT_PORT, .where = bit});
}

#define IOIO_AND_MSR (1u << 27 | 1u << 28) /* AMD APM vol. 2, table B-1: offset 0xc */
#define NP_ENABLE    1u                    /* offset 0x90 */

static void amd_vcpus(struct check *c)
{
    uint64_t iopm = 0, msrpm = 0;
    for (unsigned i = 0; i < c->vcpu_count; i++) {
        const struct found_vcpu *f = &c->vcpu[i];
        const struct svm_vcpu *hw = view_object(c->view, LOOK(f->v->hw), sizeof *hw);
        uint64_t hpa = hw != NULL ? LOOK(hw->vmcb_hpa) : 0;
        const struct vmcb *b = view_in_pool(c->view, hpa) ? view_physical(c->view, hpa, sizeof *b) : NULL;
        if (b == NULL) {
            violation(c,
                      (struct audit_violation){.kind = AUDIT_OBJECT, .who = f->who, .where = hpa, .size = sizeof *b});
            continue;
        }
        uint64_t ports = LOOK(b->control.iopm), msrs = LOOK(b->control.msrpm);
        bool first = iopm == 0;
        if (first) {
            iopm = ports;
            msrpm = msrs;
        }
        if ((LOOK(b->control.intercepts[0]) & IOIO_AND_MSR) != IOIO_AND_MSR || !(LOOK(b->control.nested) & NP_ENABLE) ||
            LOOK(b->control.nested_cr3) != f->table || ports != iopm || msrs != msrpm)
            violation(c, (struct audit_violation){.kind = AUDIT_CONTROLS, .who = f->who, .where = hpa});
        if (!first)
            continue;
        const void *p = view_physical(c->view, iopm, IOPM_BYTES), *m = view_physical(c->view, msrpm, MSRPM_BYTES);
        if (p == NULL || m == NULL) {
            violation(c, (struct audit_violation){.kind = AUDIT_CONTROLS, .who = f->who, .where = hpa});
            continue;
        }
        c->spec_ctrl_open = (LOOK(hw->helps) & SVM_FEATURE_SPEC_CTRL) != 0;
        clear_bits(c, p, IOPM_BYTES, amd_port);
        clear_bits(c, m, MSRPM_BYTES, amd_msr);
    }
}

/* The k-th open range of a domain; false: there is none, or it is no object. */
static bool port_range(struct check *c, unsigned domain, uint32_t k, uint16_t *first, uint16_t *last)
{
    const struct domain *d = c->domain[domain].d;
    const struct ports *ring0 = LOOK(d->ports[k]), *p = view_object(c->view, ring0, sizeof *p);
    if (p == NULL) {
        violation(
            c, (struct audit_violation){.kind = AUDIT_OBJECT, .where = (uint64_t)(uintptr_t)ring0, .size = sizeof *p});
        return false;
    }
    *first = LOOK(p->first);
    *last = LOOK(p->last);
    return true;
}

/* Only some programs may have ports, and each port is one program's. */
static void program_ports(struct check *c, unsigned domain, uint32_t k)
{
    static const uint16_t kept[] = {0x20, 0x21, 0xa0, 0xa1};
    uint32_t who = c->domain[domain].who;
    uint16_t first, last, low, high;
    if (!port_range(c, domain, k, &first, &last))
        return;
    const struct audit_service *s = service_of(c->boot, who);
    if (who != TAG_ROOT && (s == NULL || s->ports == 0))
        violation(c, (struct audit_violation){.kind = AUDIT_PROGRAM_PORTS, .who = who, .where = first, .at = last});
    for (unsigned i = 0; i < ARRAY_SIZE(kept); i++)
        if (kept[i] >= first && kept[i] <= last)
            violation(
                c, (struct audit_violation){
                       .kind = AUDIT_PROGRAM_PORTS, .who = who, .other = TAG_KERNEL, .where = kept[i], .at = kept[i]});
    for (unsigned i = 0; i < domain; i++) {
        uint32_t count = LOOK(c->domain[i].d->port_count);
        for (uint32_t n = 0; n < count && n < DOMAIN_PORTS_MAX; n++)
            if (port_range(c, i, n, &low, &high) && low <= last && first <= high)
                violation(c, (struct audit_violation){.kind = AUDIT_PROGRAM_PORTS,
                                                      .who = who,
                                                      .other = c->domain[i].who,
                                                      .where = low > first ? low : first,
                                                      .at = high < last ? high : last});
    }
}

void check_bitmaps(struct check *c)
{
    for (unsigned i = 0; i < c->domain_count; i++) {
        uint32_t count = LOOK(c->domain[i].d->port_count);
        for (uint32_t k = 0; k < count && k < DOMAIN_PORTS_MAX; k++)
            program_ports(c, i, k);
    }
    if (c->boot->amd) {
        amd_vcpus(c);
        return;
    }
    for (unsigned i = 0; i < MSR_BITMAPS; i++) {
        const void *ring0 = LOOK(c->view->shown->msr_bitmap[i]),
                   *map = ring0 != NULL ? view_object(c->view, ring0, PAGE_SIZE) : NULL;
        c->apic_by_cpu = (i & APIC_BY_CPU) != 0;
        c->spec_ctrl_open = (i & BITMAP_SPEC_CTRL) != 0;
        if (map != NULL)
            clear_bits(c, map, PAGE_SIZE, intel_msr);
        else if (c->vcpu_count != 0)
            violation(c, (struct audit_violation){
                             .kind = AUDIT_OBJECT, .where = (uint64_t)(uintptr_t)ring0, .size = PAGE_SIZE});
    }
}
