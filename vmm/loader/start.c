// SPDX-License-Identifier: Apache-2.0
/*
 * The states in which a guest's CPUs begin, and the descriptor and page tables that some of them need.
 */
#include "lib/string.h"
#include "vmm/loader/internal.h"

/* Segment attributes (Intel SDM vol. 3, 25.4.1). */
#define ATTR_CODE64 0xa09bu /* execute/read, accessed, present, L, G */
#define ATTR_CODE32 0xc09bu
#define ATTR_DATA32 0xc093u
#define ATTR_TSS    0x008bu /* 32/64-bit TSS, busy: VM entry wants it so (26.3.1.2) */
#define ATTR_CODE16 0x009bu
#define ATTR_DATA16 0x0093u
#define ATTR_LDT    0x0082u

#define CR0_PE     0x00000001ull
#define CR0_ET     0x00000010ull
#define CR0_PG     0x80000000ull
#define CR0_RESET  0x60000010ull /* CD, NW, ET (SDM vol. 3, 9.1.1) */
#define CR4_PAE    0x20ull
#define EFER_LME   0x100ull
#define EFER_LMA   0x400ull
#define RFLAGS_ONE 0x2ull
#define PAT_RESET  0x0007040600070406ull
#define DR6_RESET  0xffff0ff0ull
#define DR7_RESET  0x400ull

#define PTE_PRESENT_WRITE 0x3ull
#define PTE_LARGE         0x80ull

static struct segment segment(uint16_t selector, uint64_t base, uint32_t limit, uint32_t attr)
{
    return (struct segment){.selector = selector, .attr = attr, .limit = limit, .base = base};
}

/* A descriptor (SDM vol. 3, 3.4.5) of base 0 from the attributes above; limit as in its field. */
static uint64_t descriptor(uint32_t limit, uint32_t attr)
{
    return (limit & 0xffffu) | (uint64_t)(attr & 0xffu) << 40 | (uint64_t)(limit >> 16 & 0xfu) << 48 |
           (uint64_t)(attr >> 12 & 0xfu) << 52;
}

static enum error start_flat(struct loading *l, uint32_t code_attr)
{
    /* The task descriptor takes two slots in long mode; the second holds the upper half of a base that is 0. */
    const uint64_t gdt[6] = {
        0, 0, descriptor(0xfffff, code_attr), descriptor(0xfffff, ATTR_DATA32), descriptor(0x67, ATTR_TSS), 0};
    struct load_result *out = l->out;
    uint64_t base;
    enum error e = put_bytes(l, gdt, sizeof(gdt), 16, "the descriptor table", &base);
    if (e != OK)
        return e;
    out->gdtr = (struct table_register){.base = base, .limit = sizeof(gdt) - 1};
    for (int i = 0; i < SEG_COUNT; i++)
        out->seg[i] = segment(GDT_DATA, 0, 0xffffffffu, ATTR_DATA32);
    out->seg[SEG_CS] = segment(GDT_CODE, 0, 0xffffffffu, code_attr);
    out->seg[SEG_TR] = segment(GDT_TASK, 0, 0x67, ATTR_TSS);
    out->seg[SEG_LDTR] = segment(0, 0, 0, SEG_ATTR_UNUSABLE);
    out->rflags = RFLAGS_ONE;
    return OK;
}

enum error start_protected(struct loading *l, uint64_t entry)
{
    enum error e = start_flat(l, ATTR_CODE32);
    l->out->rip = entry;
    l->out->cr0 = CR0_PE | CR0_ET;
    return e;
}

enum error start_long(struct loading *l, uint64_t entry)
{
    enum error e = start_flat(l, ATTR_CODE64);
    if (e != OK)
        return e;
    /* PML4, one PDPT, four directories of 2 MiB pages: the first 4 GiB as they are. */
    uint64_t base;
    e = take_low(l, 6 * PAGE, PAGE, PAGE, "the first page tables", &base);
    if (e != OK)
        return e;
    static uint64_t table[6 * PAGE / 8]; /* one guest is loaded at a time */
    memset(table, 0, sizeof(table));
    table[0] = (base + PAGE) | PTE_PRESENT_WRITE;
    for (uint64_t i = 0; i < 4; i++)
        table[512 + i] = (base + (2 + i) * PAGE) | PTE_PRESENT_WRITE;
    for (uint64_t i = 0; i < 2048; i++)
        table[1024 + i] = (i * 2 * MIB) | PTE_LARGE | PTE_PRESENT_WRITE;
    e = guest_write(l->m, base, table, sizeof(table));
    if (e != OK)
        return refuse(l, e, "the first page tables do not fit into the guest's memory");
    l->out->rip = entry;
    l->out->cr0 = CR0_PE | CR0_ET | CR0_PG;
    l->out->cr3 = base;
    l->out->cr4 = CR4_PAE;
    l->out->efer = EFER_LME | EFER_LMA;
    return OK;
}

void start_real(struct load_result *out, uint16_t cs, uint16_t ip)
{
    for (int i = 0; i < SEG_COUNT; i++)
        out->seg[i] = segment(0, 0, 0xffff, ATTR_DATA16);
    out->seg[SEG_CS] = segment(cs, (uint64_t)cs << 4, 0xffff, ATTR_CODE16);
    out->seg[SEG_TR] = segment(0, 0, 0xffff, ATTR_TSS);
    out->seg[SEG_LDTR] = segment(0, 0, 0xffff, ATTR_LDT);
    out->gdtr.limit = 0xffff;
    out->idtr.limit = 0x3ff;
    out->rip = ip;
    out->rflags = RFLAGS_ONE;
    out->cr0 = CR0_ET;
}

void apply_initial_state(struct vcpu_state *s, const struct load_result *r)
{
    for (int i = 0; i < GPR_COUNT; i++)
        s->gpr[i] = r->gpr[i];
    s->rip = r->rip;
    s->rsp = r->gpr[GPR_RSP];
    s->rflags = r->rflags;
    s->shadow = s->pending_debug = 0;
    s->cr0 = r->cr0;
    s->cr2 = 0;
    s->cr3 = r->cr3;
    s->cr4 = r->cr4;
    s->efer = r->efer;
    s->xcr0 = 1;
    s->tpr = 0;
    for (int i = 0; i < SEG_COUNT; i++)
        s->seg[i] = r->seg[i];
    s->gdtr = r->gdtr;
    s->idtr = r->idtr;
    s->star = s->lstar = s->cstar = s->fmask = s->kernel_gs_base = 0;
    s->sysenter_cs = s->sysenter_esp = s->sysenter_eip = s->tsc_aux = s->spec_ctrl = 0;
    s->pat = PAT_RESET;
    for (int i = 0; i < 4; i++)
        s->dr[i] = 0;
    s->dr6 = DR6_RESET;
    s->dr7 = DR7_RESET;
    s->event = 0;
    s->inject = s->inject_error = s->irq = 0;
    s->activity = ACTIVITY_RUN;
    s->dirty |= GROUP_RIP | GROUP_SEG | GROUP_CR | GROUP_MSR | GROUP_DR;
}

void apply_sipi_state(struct vcpu_state *s, uint8_t vector)
{
    /* After INIT (SDM vol. 3, table 9-1); the start-up IPI's vector is bits 19:12 of the address (8.4.3). */
    struct load_result r;
    memset(&r, 0, sizeof(r));
    start_real(&r, (uint16_t)(vector << 8), 0);
    r.cr0 = CR0_RESET;
    r.idtr.limit = 0xffff;
    r.gpr[GPR_RDX] = 0x600; /* a family; software asks CPUID instead */
    apply_initial_state(s, &r);
}
