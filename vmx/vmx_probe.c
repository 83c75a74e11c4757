// SPDX-License-Identifier: Apache-2.0
/*
 * Can this CPU do it, and if not, what exactly is missing; and turning VMX operation on, on each CPU. The tables are in
 * vmx_controls.c; here are only the questions to the hardware.
 */
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/instr.h"
#include "arch/x86_64/time.h"
#include "kernel/log.h"
#include "kernel/string.h"
#include "mullion/regs.h"
#include "vmx/quirks.h"
#include "vmx/vmx.h"
#include "vmx/vmx_instr.h"

#define CPUID1_ECX_VMX (1u << 5)

bool vmx_without_apicv;
#define FASTPATH_MAX 128u

static struct vmx_cpu cpus[MAX_CPUS];
/* Pays for the VMXON pages and the MSR bitmaps: one page per CPU, and a few. */
static struct quota own_pages = {.limit_bytes = (MAX_CPUS + MSR_BITMAPS) * PAGE_SIZE};

struct vmx_cpu *vmx_this_cpu(void)
{
    return &cpus[this_cpu()->number];
}

void vmx_field_refused(const char *what, uint32_t field)
{
    panic("VT-x: %s was refused, field or type 0x%x", what, field);
}

/* Asks the calling CPU. */
static struct lack read_machine(struct vmx_machine *m)
{
    memset(m, 0, sizeof *m);
    if (!(cpuid(1, 0).ecx & CPUID1_ECX_VMX))
        return (struct lack){.what = LACK_VTX};
    if ((rdmsr(MSR_FEATURE_CONTROL) & (FEATURE_LOCKED | FEATURE_VMX_NO_SMX)) == FEATURE_LOCKED)
        return (struct lack){.what = LACK_VTX_UNLOCKED};
    uint64_t basic = rdmsr(MSR_VMX_BASIC);
    unsigned bit = vmx_basic_lacking(basic);
    if (bit)
        return (struct lack){LACK_VMX_BASIC, (uint8_t)bit};
    uint32_t *values[SET_COUNT] = {&m->pin, &m->proc, &m->proc2, &m->exit, &m->entry};
    for (unsigned i = 0; i < SET_COUNT; i++) { /* in this order: without secondary controls their MSR does not exist */
        uint32_t missing = vmx_resolve(&vmx_control_sets[i], rdmsr(vmx_control_sets[i].msr), values[i]);
        if (missing)
            return (struct lack){(uint8_t)(LACK_VMX_PIN + i), (uint8_t)__builtin_ctz(missing)};
    }
    m->ept_vpid = rdmsr(MSR_VMX_EPT_VPID);
    if (EPT_VPID_NEEDED & ~m->ept_vpid)
        return (struct lack){LACK_VMX_EPT, (uint8_t)__builtin_ctzll(EPT_VPID_NEEDED & ~m->ept_vpid)};
    m->apic = vmx_apic_controls(m->proc, &m->proc2);
    if (vmx_without_apicv)
        m->apic = 0;
    if (!(m->proc & BIT(PROC_TPR_SHADOW))) /* then the monitor hears of each access to CR8 */
        m->proc |= BIT(PROC_CR8_LOAD) | BIT(PROC_CR8_STORE);
    m->launched = m->exit & BIT(EXITC_SAVE_TIMER) ? FASTPATH_MAX
                                                  : 1; /* without it the timer would start anew at each */
    m->revision = (uint32_t)basic & 0x7fffffff;
    m->timer_shift = rdmsr(MSR_VMX_MISC) & 0x1f;
    m->cr0_fixed0 = rdmsr(MSR_VMX_CR0_FIXED0);
    m->cr0_fixed1 = rdmsr(MSR_VMX_CR0_FIXED1);
    m->cr4_fixed0 = rdmsr(MSR_VMX_CR4_FIXED0);
    m->cr4_fixed1 = rdmsr(MSR_VMX_CR4_FIXED1);
    return (struct lack){.what = LACK_NOTHING};
}

struct lack vmx_probe(void)
{
    struct lack lack = read_machine(&vmx);
    unsigned largest = vmx.ept_vpid >> 17 & 1 ? 3 : 1 + (vmx.ept_vpid >> 16 & 1);
    if (lack.what == LACK_NOTHING && pt_ept.max_leaf_level > largest)
        pt_ept.max_leaf_level = largest;
    return lack;
}

enum error vmx_cpu_start(unsigned cpu)
{
    struct vmx_machine here;
    struct lack lack = read_machine(&here);
    if (lack.what != LACK_NOTHING || memcmp(&here, &vmx, sizeof here) != 0) {
        klog(LOG_ERROR, "CPU %u: VT-x: its capabilities differ from the first CPU's (lack %u, bit %u)", cpu, lack.what,
             lack.bit);
        return E_UNSUPPORTED;
    }
    struct vmx_cpu *c = &cpus[cpu];
    if (!c->vmxon)
        c->vmxon = pool_page(&own_pages);
    for (uint32_t i = 0; i < MSR_BITMAPS; i++)
        if (!vmx_msr_page[i] && (vmx_msr_page[i] = pool_page(&own_pages)))
            vmx_msr_bitmap(vmx_msr_page[i], i);
    if (!c->vmxon || !vmx_msr_page[MSR_BITMAPS - 1])
        return E_QUOTA;
    for (unsigned dedicated = 0; dedicated < 2; dedicated++)
        vmx_turn[dedicated] = quirk_turn(dedicated, tsc_khz, VMX_TIMER_STEPS << vmx.timer_shift);

    cpu_calls_by(CALL_BY_SYSENTER);
    uint64_t feature = rdmsr(MSR_FEATURE_CONTROL);
    if (!(feature & FEATURE_LOCKED))
        wrmsr(MSR_FEATURE_CONTROL, feature | FEATURE_LOCKED | FEATURE_VMX_NO_SMX);
    write_cr4(read_cr4() | CR4_VMXE);
    memcpy(c->vmxon, &vmx.revision, sizeof vmx.revision);
    hpa_t region = pool_hpa(c->vmxon);
    if (!vmxon(&region)) {
        klog(LOG_ERROR, "CPU %u: VMXON was refused (CR0 0x%lx, CR4 0x%lx)", cpu, (unsigned long)read_cr0(),
             (unsigned long)read_cr4());
        write_cr4(read_cr4() & ~CR4_VMXE);
        return E_UNSUPPORTED;
    }
    for (uint32_t i = 0; i < ARRAY_SIZE(c->syscall); i++)
        wrmsr(MSR_STAR + i, c->syscall[i]);
    invept(INVALIDATE_ALL, 0);
    invvpid(INVALIDATE_ALL, 0);
    c->vpid_generation = 1;
    c->vpid_next = 1;
    return OK;
}
