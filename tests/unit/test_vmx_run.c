// SPDX-License-Identifier: Apache-2.0
// sources: vmx/vmx_run.c vmx/vmx_exit.c vmx/vmx_state.c vmx/vmx_registers.c tests/unit/ring0_string.c
// libs: -include tests/unit/fake_vmx.h
/* VT-x: what goes into an entry and what comes out of an exit, on a made-up VMCS and a made-up CPU. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/fpu.h"
#include "arch/x86_64/mce.h"
#include "kernel/event.h"
#include "mullion/regs.h"
#include "tests/unit/fake_vmcs.h"
#include "vmx/vmx.h"

static bool ends, outside;
bool mce_look(enum mce_when when)
{
    outside = when == MCE_OUTSIDE;
    return ends;
}
static unsigned rung;
void fastpath_signal(struct event *e, uint64_t bits)
{
    (void)e;
    rung += bits == 4;
}
void fastpath_osxsave(struct vcpu *v, uint64_t *gpr)
{
    (void)v;
    (void)gpr;
}

struct cpu *this_cpu(void)
{
    return NULL;
}
uint64_t rdtsc(void)
{
    return 1000;
}
void wrmsr(uint32_t msr, uint64_t v)
{
    (void)msr, (void)v;
}
void *vmx_msr_page[MSR_BITMAPS] = {(void *)0x10000, (void *)0x20000, (void *)0x30000, (void *)0x40000};
hpa_t pool_hpa(const void *p)
{
    return (hpa_t){(uint64_t)p};
}

/* IA32_SPEC_CTRL: the host's is 1. */
uint32_t speculation_msrs;
static uint64_t spec_ctrl = 1, entered_spec_ctrl;
void speculation_to_guest(uint64_t value)
{
    spec_ctrl = value;
}
void speculation_to_host(uint64_t *value)
{
    *value = spec_ctrl;
    spec_ctrl = 1;
}

enum emulator emulator;
static struct cpu here;
static unsigned tr_loads;
void cpu_reload_tr(struct cpu *c)
{
    assert_ptr_equal(c, &here);
    tr_loads++;
}
static struct vcpu v;
static struct vcpu_state page;
static struct vmx_vcpu hw;
static struct fastpath_cpuids leaves;
static struct space space = {.cpuid = &leaves};
static struct vmx_cpu cpu;

/* What the made-up CPU does at the next entry. */
static struct made_up {
    bool refuse;
    uint32_t reason, idt, event, error, length;
    uint64_t qualification;
} next;
static uint32_t entered_event, entered_proc;
static unsigned entries;
static uint32_t reason; /* of the last exit */

bool vmx_enter(struct vmx_vcpu *h, uint64_t *gpr)
{
    assert_ptr_equal(gpr, page.gpr);
    assert_ptr_equal(h, &hw);
    entries++;
    entered_spec_ctrl = spec_ctrl;
    entered_event = (uint32_t)FIELD(ENTRY_EVENT);
    entered_proc = (uint32_t)FIELD(CONTROL_PROC);
    if (next.refuse)
        return true;
    FIELD(ENTRY_EVENT) &= ~(uint64_t)EVENT_VALID;
    FIELD(EXIT_REASON) = next.reason;
    FIELD(IDT_VECTORING) = next.idt;
    FIELD(IDT_VECTORING_ERROR) = next.error;
    FIELD(EXIT_EVENT) = next.event;
    FIELD(EXIT_EVENT_ERROR) = next.error;
    FIELD(EXIT_INSTRUCTION_LENGTH) = next.length;
    FIELD(EXIT_QUALIFICATION) = next.qualification;
    return false;
}

bool fpu_xcr0_valid(uint64_t x)
{
    return x & 1 && x < 8;
}

static unsigned dr_loads;
void vcpu_load_dr(struct vcpu *x)
{
    assert_ptr_equal(x, &v);
    dr_loads++;
    x->dr_here = true;
    vmx_watch_dr(x, false);
}

static int fresh(void **state)
{
    (void)state;
    fake_clear();
    memset(&v, 0, sizeof v);
    memset(&page, 0, sizeof page);
    memset(&hw, 0, sizeof hw);
    memset(&next, 0, sizeof next);
    entries = 0;
    vmx = (struct vmx_machine){.launched = 1,
                               .proc = BIT(PROC_HLT) | BIT(PROC_TPR_SHADOW),
                               .cr0_fixed0 = 0x80000021,
                               .cr0_fixed1 = 0xffffffff,
                               .cr4_fixed0 = CR4_VMXE,
                               .cr4_fixed1 = 0x3767ff,
                               .entry = 0x11ff};
    vmx_turn[false] = 1000000;
    vmx_turn[true] = 64000000;
    vmx_reach_by_timer = false;
    emulator = EMULATOR_BOCHS;
    v.state = &page;
    v.space = &space;
    v.hw = &hw;
    v.cpu = &here;
    here = (struct cpu){0};
    tr_loads = 0;
    hw.cpu = &cpu;
    hw.proc = hw.proc_base = vmx.proc;
    next.reason = REASON_TIMER;
    FIELD(CONTROL_PROC) = vmx.proc;
    FIELD(GUEST_CR0) = CR0_PE;
    FIELD(GUEST_RFLAGS) = RFLAGS_FIXED | RFLAGS_IF;
    FIELD(GUEST_RIP) = 0x1000;
    return 0;
}

static void common_path_writes_only_the_timer(void **state)
{
    (void)state;
    next.reason = REASON_CPUID;
    next.length = 2;
    reason = vmx_run(&v, NEVER);
    unsigned writes = 0;
    for (unsigned i = 0; i < 0x8000; i++)
        writes += fake_writes[i];
    assert_int_equal(writes, 1);
    assert_int_equal(fake_writes[GUEST_PREEMPTION_TIMER.code], 1);
    assert_int_equal(reason, EXIT_CPUID);
    assert_int_equal(page.exit.insn_len, 2);
    vmx_skip(&v, 2);
    assert_int_equal(FIELD(GUEST_RIP), 0x1002);
    assert_true(hw.launched);
}

/* Each VMREAD takes a CPU some 25 cycles and the benchmark one tick: docs/performance.md has the counts of whole
 * operations, these are the backend's part. */
static void reads_of_an_exit(void **state)
{
    (void)state;
    static const struct {
        uint32_t reason, reads;
        uint64_t qualification;
    } row[] = {
        {REASON_CPUID, 3, 0}, {REASON_IO, 3, 0x5d0ull << 16 | 8}, {REASON_RDMSR, 3, 0}, {REASON_VMCALL, 5, 0},
        {REASON_TIMER, 2, 0},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(row); i++) {
        next = (struct made_up){.reason = row[i].reason, .length = 2, .qualification = row[i].qualification};
        reason = vmx_run(&v, NEVER);
        fake_reads = 0;
        reason = vmx_run(&v, NEVER);
        if (fake_reads != row[i].reads)
            print_message("exit %u: %u reads\n", row[i].reason, fake_reads);
        assert_int_equal(fake_reads, row[i].reads);
    }
}

/* A vCPU whose first exit of all is answered in the loop was launched: another VMLAUNCH would be refused. */
static void launched_by_an_exit_that_is_answered_here(void **state)
{
    (void)state;
    leaves.count = 1;
    leaves.entry[1] = (struct fastpath_cpuid_entry){.leaf = 5, .subleaf = ~0u, .eax = 77};
    leaves.index[cpuid_index(5)] = 1;
    page.gpr[GPR_RAX] = 5;
    next.reason = REASON_CPUID;
    next.length = 2;
    reason = vmx_run(&v, NEVER);
    memset(&leaves, 0, sizeof leaves);
    assert_int_equal(reason, EXIT_WAITING);
    assert_int_equal(page.gpr[GPR_RAX], 77);
    assert_int_equal(FIELD(GUEST_RIP), 0x1002);
    assert_true(hw.launched);
}

static void interrupt_now_or_by_window(void **state)
{
    (void)state;
    page.irq = IRQ_VALID | 0x31;
    FIELD(GUEST_RFLAGS) = RFLAGS_FIXED;
    reason = vmx_run(&v, NEVER);
    assert_int_equal(entered_event & EVENT_VALID, 0);
    assert_true(entered_proc & BIT(PROC_INTERRUPT_WINDOW));
    assert_true(entered_proc & BIT(PROC_CR8_LOAD)); /* until then a raised TPR may hold it back */
    assert_int_equal(page.irq, IRQ_VALID | 0x31);
    next.reason = REASON_INTERRUPT_WINDOW;
    FIELD(GUEST_RFLAGS) |= RFLAGS_IF;
    reason = vmx_run(&v, NEVER);
    assert_int_equal(reason, EXIT_WAITING);
    assert_int_equal(entered_event, EVENT_VALID | 0x31);
    assert_false(entered_proc & BIT(PROC_INTERRUPT_WINDOW));
    assert_false(entered_proc & BIT(PROC_CR8_LOAD));
    assert_int_equal(page.irq, IRQ_DELIVERED | 0x31);
    reason = vmx_run(&v, NEVER);
    assert_int_equal(entered_event & EVENT_VALID, 0);
    /* an STI shadow holds it back too */
    page.irq = IRQ_VALID | 0x32;
    FIELD(GUEST_INTERRUPTIBILITY) = BLOCKED_BY_STI;
    reason = vmx_run(&v, NEVER);
    assert_int_equal(entered_event & EVENT_VALID, 0);
    assert_true(entered_proc & BIT(PROC_INTERRUPT_WINDOW));
}

/* Around each entry, also one that is refused; and not at all until the guest has asked for it. */
static void speculation_control(void **state)
{
    (void)state;
    v.spec_ctrl = 5;
    reason = vmx_run(&v, NEVER);
    assert_int_equal(entered_spec_ctrl, 1);
    v.spec_switched = true;
    reason = vmx_run(&v, NEVER);
    assert_int_equal(entered_spec_ctrl, 5);
    assert_int_equal(spec_ctrl, 1);
    assert_int_equal(v.spec_ctrl, 5);
    next.refuse = true;
    reason = vmx_run(&v, NEVER);
    assert_int_equal(entered_spec_ctrl, 5);
    assert_int_equal(spec_ctrl, 1);
}

/* The guest has the MSR for itself on some CPUs, from its first write on, whatever serves its local APIC. */
static void bitmap_of_speculation(void **state)
{
    (void)state;
    vmx.apic = BIT(PROC2_VIRTUAL_X2APIC);
    for (unsigned i = 0; i < 16; i++) {
        bool by_cpu = i & 1, open = i & 2, switched = i & 4, last = i & 8;
        page.apic_mode = by_cpu ? APIC_BY_CPU : APIC_BY_MONITOR;
        speculation_msrs = open ? GUEST_SPEC_CTRL | GUEST_PRED_CMD : GUEST_PRED_CMD;
        v.spec_switched = switched && last;
        vmx_put(&v, GROUP_MSR | GROUP_APIC);
        v.spec_switched = switched;
        vmx_put(&v, last ? GROUP_APIC : GROUP_MSR);
        assert_int_equal(FIELD(CONTROL_MSR_BITMAP), 0x10000 + 0x10000 * by_cpu + (open && switched ? 0x20000 : 0));
    }
    speculation_msrs = 0;
}

static void order_of_events(void **state)
{
    (void)state;
    /* an EPT violation while a software interrupt is delivered */
    next.reason = REASON_EPT_VIOLATION;
    next.idt = EVENT_VALID | EVENT_SOFT_INTERRUPT << 8 | 0x80 | 1u << 12;
    next.length = 2;
    reason = vmx_run(&v, NEVER);
    assert_int_equal(reason, EXIT_MEMORY);
    assert_int_equal(page.exit.insn_len, 0);
    page.inject = INJECT_VALID | INJECT_TYPE_EXCEPTION | INJECT_ERROR_CODE | 13;
    page.inject_error = 0x12340010;
    page.irq = IRQ_VALID | 0x40;
    memset(&next, 0, sizeof next);
    next.reason = REASON_TIMER;
    reason = vmx_run(&v, NEVER);
    assert_int_equal(entered_event, EVENT_VALID | EVENT_SOFT_INTERRUPT << 8 | 0x80);
    assert_int_equal(FIELD(ENTRY_EVENT_LENGTH), 2);
    assert_true(entered_proc & BIT(PROC_INTERRUPT_WINDOW));
    assert_true(page.inject & INJECT_VALID);
    reason = vmx_run(&v, NEVER);
    assert_int_equal(entered_event, EVENT_VALID | INJECT_TYPE_EXCEPTION | EVENT_ERROR | 13);
    assert_int_equal(FIELD(ENTRY_EVENT_ERROR), 0x10);
    assert_int_equal(page.inject, 0);
    reason = vmx_run(&v, NEVER);
    assert_int_equal(entered_event, EVENT_VALID | 0x40);
}

static void nmi(void **state)
{
    (void)state;
    page.inject = INJECT_VALID | INJECT_TYPE_NMI | 0x77;
    FIELD(GUEST_INTERRUPTIBILITY) = BLOCKED_BY_NMI;
    reason = vmx_run(&v, NEVER);
    assert_int_equal(entered_event & EVENT_VALID, 0);
    assert_true(entered_proc & BIT(PROC_NMI_WINDOW));
    FIELD(GUEST_INTERRUPTIBILITY) = 0;
    /* it is interrupted in its delivery: blocking began, and must end before it goes again */
    next.reason = REASON_EPT_VIOLATION;
    next.idt = EVENT_VALID | EVENT_NMI << 8 | 2;
    reason = vmx_run(&v, NEVER);
    assert_int_equal(entered_event, EVENT_VALID | EVENT_NMI << 8 | 2);
    FIELD(GUEST_INTERRUPTIBILITY) = BLOCKED_BY_NMI;
    reason = vmx_exit(&v, REASON_EPT_VIOLATION, (uint32_t)FIELD(IDT_VECTORING));
    assert_int_equal(FIELD(GUEST_INTERRUPTIBILITY), 0);
    next.idt = 0;
    next.qualification = 1u << 12 | 2; /* an IRET's fault: blocking goes on */
    reason = vmx_run(&v, NEVER);
    assert_int_equal(entered_event, EVENT_VALID | EVENT_NMI << 8 | 2);
    assert_int_equal(FIELD(GUEST_INTERRUPTIBILITY), BLOCKED_BY_NMI);
    /* the host's NMI */
    next = (struct made_up){.reason = REASON_EXCEPTION, .event = EVENT_VALID | EVENT_NMI << 8 | 2};
    reason = vmx_run(&v, NEVER);
    assert_int_equal(reason, EXIT_WAITING);
    assert_int_equal(page.exit.detail, 0);
}

static void machine_checks(void **state)
{
    (void)state;
    next = (struct made_up){.reason = REASON_EXCEPTION, .event = EVENT_VALID | EVENT_EXCEPTION << 8 | 18};
    ends = true;
    outside = false;
    reason = vmx_run(&v, NEVER);
    assert_int_equal(reason, EXIT_EXCEPTION);
    assert_int_equal(page.exit.exception.vector, 18);
    assert_true(outside);
    ends = false; /* another CPU's: the guest goes on, and gets no vector 18 of its own */
    reason = vmx_run(&v, NEVER);
    assert_int_equal(reason, EXIT_WAITING);
    next = (struct made_up){.reason = REASON_TIMER};
    reason = vmx_run(&v, NEVER);
    assert_int_equal(entered_event & EVENT_VALID, 0);
    /* at the entry: the guest ends in any case */
    outside = false;
    next = (struct made_up){.reason = REASON_ENTRY_FAILED | REASON_BAD_MC};
    reason = vmx_run(&v, NEVER);
    assert_int_equal(reason, EXIT_BAD_STATE);
    assert_int_equal(page.exit.detail, 0x80000029); /* the monitor has words for it */
    assert_true(outside);
    outside = false;
    next = (struct made_up){.reason = REASON_ENTRY_FAILED | REASON_BAD_GUEST};
    reason = vmx_run(&v, NEVER);
    assert_int_equal(reason, EXIT_BAD_STATE);
    assert_false(outside);
}

/* The window that is opened for it is one that the CPU keeps shut as long as the NMI cannot come. */
static void windows_for_an_nmi(void **state)
{
    (void)state;
    static const struct {
        uint64_t blocked, pending;
        uint32_t idt, window;
    } row[] = {
        {BLOCKED_BY_NMI, 0, 0, BIT(PROC_NMI_WINDOW)},
        {BLOCKED_BY_MOV_SS, 0, 0, BIT(PROC_NMI_WINDOW)},
        {BLOCKED_BY_STI, 0, 0, BIT(PROC_INTERRUPT_WINDOW)},
        {0, DR6_BS, 0, BIT(PROC_NMI_WINDOW)}, /* the single step comes first */
        {0, 0, EVENT_VALID | EVENT_EXCEPTION << 8 | 6, BIT(PROC_NMI_WINDOW)},
    };
    next.reason = REASON_TIMER;
    for (unsigned i = 0; i < ARRAY_SIZE(row); i++) {
        page.inject = INJECT_VALID | INJECT_TYPE_NMI | 2;
        FIELD(GUEST_INTERRUPTIBILITY) = row[i].blocked;
        FIELD(GUEST_PENDING_DEBUG) = row[i].pending;
        hw.event = row[i].idt;
        reason = vmx_run(&v, NEVER);
        assert_int_equal(entered_event, row[i].idt);
        assert_int_equal(entered_proc & (BIT(PROC_NMI_WINDOW) | BIT(PROC_INTERRUPT_WINDOW)), row[i].window);
        assert_true(page.inject & INJECT_VALID);
        FIELD(GUEST_INTERRUPTIBILITY) = FIELD(GUEST_PENDING_DEBUG) = 0;
        reason = vmx_run(&v, NEVER);
        assert_int_equal(entered_event, EVENT_VALID | EVENT_NMI << 8 | 2);
        assert_int_equal(entered_proc & (BIT(PROC_NMI_WINDOW) | BIT(PROC_INTERRUPT_WINDOW)), 0);
        FIELD(ENTRY_EVENT) = 0;
    }
}

/* An instruction that Mullion carries out: RF is over with it, and if TF was set, a single step is pending, beside what
 * a MOV SS has left there; and before it no interrupt, whose delivery would lose it. */
static void the_end_of_an_instruction(void **state)
{
    (void)state;
    static const struct {
        uint64_t flags, after, before, pending;
    } row[] = {
        {RFLAGS_FIXED | RFLAGS_IF, RFLAGS_FIXED | RFLAGS_IF, 0, 0},
        {RFLAGS_FIXED | RFLAGS_RF, RFLAGS_FIXED, 0, 0},
        {RFLAGS_FIXED | RFLAGS_RF | RFLAGS_TF | RFLAGS_IF, RFLAGS_FIXED | RFLAGS_TF | RFLAGS_IF, 0x1001, 0x5001},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(row); i++)
        for (unsigned by_kernel = 0; by_kernel < 2; by_kernel++) {
            FIELD(GUEST_RIP) = 0x1000;
            FIELD(GUEST_RFLAGS) = row[i].flags;
            FIELD(GUEST_INTERRUPTIBILITY) = BLOCKED_BY_MOV_SS | BLOCKED_BY_NMI;
            FIELD(GUEST_PENDING_DEBUG) = row[i].before;
            page.advance = by_kernel ? 0 : 2;
            page.irq = row[i].pending && !by_kernel ? IRQ_VALID | 0x31 : 0;
            next = (struct made_up){.reason = by_kernel ? REASON_WBINVD : REASON_TIMER, .length = 2};
            reason = vmx_run(&v, NEVER);
            assert_int_equal(FIELD(GUEST_RIP), 0x1002);
            assert_int_equal(FIELD(GUEST_RFLAGS), row[i].after);
            assert_int_equal(FIELD(GUEST_INTERRUPTIBILITY), BLOCKED_BY_NMI);
            assert_int_equal(FIELD(GUEST_PENDING_DEBUG), row[i].pending);
            assert_int_equal(entered_event, 0);
            assert_int_equal(!!(entered_proc & BIT(PROC_INTERRUPT_WINDOW)), page.irq != 0);
        }
}

/* A save finds the interrupted event and brings it back; one whose instruction is done again is none. */
static void the_interrupted_event_is_of_the_group(void **state)
{
    (void)state;
    const uint64_t fault = EVENT_VALID | EVENT_ERROR | EVENT_EXCEPTION << 8 | 14;
    hw.event = 6ull << 32 | fault;
    vmx_get(&v, GROUP_DR);
    assert_int_equal(page.event, 6ull << 32 | fault);
    hw.event = 0;
    vmx_put(&v, GROUP_DR);
    next.reason = REASON_TIMER;
    reason = vmx_run(&v, NEVER);
    assert_int_equal(entered_event, fault);
    assert_int_equal(FIELD(ENTRY_EVENT_ERROR), 6);
    hw.event = EVENT_VALID | EVENT_SOFT_INTERRUPT << 8 | 0x80;
    vmx_get(&v, GROUP_DR);
    assert_int_equal(page.event, 0);
}

/* Bochs says of an instruction that the guest will do again that its single step is due. */
static void no_step_before_an_instruction(void **state)
{
    (void)state;
    static const uint32_t reasons[] = {REASON_DR, REASON_EPT_VIOLATION};
    for (unsigned i = 0; i < ARRAY_SIZE(reasons); i++)
        for (unsigned shadow = 0; shadow < 2; shadow++) {
            v.dr_here = false;
            next.reason = reasons[i];
            FIELD(GUEST_PENDING_DEBUG) = DR6_BS;
            FIELD(GUEST_INTERRUPTIBILITY) = shadow ? BLOCKED_BY_MOV_SS : 0;
            reason = vmx_run(&v, NEVER);
            assert_int_equal(FIELD(GUEST_PENDING_DEBUG), shadow ? DR6_BS : 0);
        }
}

static void real_mode_has_no_error_code(void **state)
{
    (void)state;
    FIELD(GUEST_CR0) = 0;
    vmx_of(&v)->event = EVENT_VALID | EVENT_ERROR | EVENT_EXCEPTION << 8 | 13; /* interrupted in its delivery */
    reason = vmx_run(&v, NEVER);
    assert_int_equal(entered_event, EVENT_VALID | EVENT_EXCEPTION << 8 | 13);
}

static void alignment_check_goes_back(void **state)
{
    (void)state;
    next = (struct made_up){.reason = REASON_EXCEPTION, .event = EVENT_VALID | EVENT_ERROR | EVENT_EXCEPTION << 8 | 17};
    reason = vmx_run(&v, NEVER);
    assert_int_equal(reason, EXIT_WAITING);
    reason = vmx_run(&v, NEVER);
    assert_int_equal(entered_event, EVENT_VALID | EVENT_ERROR | EVENT_EXCEPTION << 8 | 17);
}

static void refusals(void **state)
{
    (void)state;
    next.refuse = true;
    FIELD(INSTRUCTION_ERROR) = 7;
    page.inject = INJECT_VALID | INJECT_TYPE_EXCEPTION | 6;
    reason = vmx_run(&v, NEVER);
    assert_int_equal(reason, EXIT_BAD_STATE);
    assert_int_equal(page.exit.detail, 7);
    assert_int_equal(FIELD(ENTRY_EVENT), 0);
    assert_false(hw.launched);
    next.refuse = false;
    next.reason = REASON_ENTRY_FAILED | REASON_BAD_GUEST;
    reason = vmx_run(&v, NEVER);
    assert_int_equal(reason, EXIT_BAD_STATE);
    assert_int_equal(page.exit.detail, REASON_ENTRY_FAILED | REASON_BAD_GUEST);
    assert_false(hw.launched);
    /* put() refuses by itself: no entry until the group is replaced */
    unsigned before = entries;
    page.cr4 = CR4_VMXE;
    vmx_put(&v, GROUP_CR);
    reason = vmx_run(&v, NEVER);
    assert_int_equal(reason, EXIT_BAD_STATE);
    assert_int_equal(entries, before);
    page.cr4 = CR4_PAE;
    vmx_put(&v, GROUP_CR);
    next.reason = REASON_HLT;
    next.length = 1;
    reason = vmx_run(&v, NEVER);
    assert_int_equal(reason, EXIT_HLT);
    assert_int_equal(page.exit.insn_len, 1);
}

static void control_registers_there_and_back(void **state)
{
    (void)state;
    page.cr0 = 0xe0050033; /* CD, NW as the guest sees them */
    page.cr3 = 0x5000;
    page.cr4 = CR4_PAE | CR4_PGE;
    page.efer = EFER_LME | EFER_SCE;
    page.tpr = 5;
    vmx_put(&v, GROUP_CR);
    assert_int_equal(FIELD(GUEST_CR0), 0x80050033);
    assert_int_equal(FIELD(GUEST_CR4), CR4_PAE | CR4_PGE | CR4_VMXE | CR4_MCE);
    assert_int_equal(FIELD(GUEST_EFER), EFER_LME | EFER_LMA | EFER_SCE);
    assert_int_equal(FIELD(CONTROL_ENTRY), vmx.entry | BIT(ENTRYC_GUEST_64));
    assert_int_equal(page.apic[0x80 / 4], 0x50);
    assert_int_equal(fake_flushes[1], 1);
    vmx_put(&v, GROUP_CR);
    assert_int_equal(fake_flushes[1], 1); /* nothing changed */
    FIELD(GUEST_CR0) |= CR0_TS;           /* the guest's own */
    memset(&page, 0, sizeof page);
    page.apic[0x80 / 4] = 0x50;
    vmx_get(&v, GROUP_CR);
    assert_int_equal(page.cr0, 0xe005003b);
    assert_int_equal(page.cr3, 0x5000);
    assert_int_equal(page.cr4, CR4_PAE | CR4_PGE);
    assert_int_equal(page.efer, EFER_LME | EFER_LMA | EFER_SCE);
    assert_int_equal(page.tpr, 5);
    assert_int_equal(vmx_cr4(&v), CR4_PAE | CR4_PGE);
    page.cr0 = 0x10;
    vmx_put(&v, GROUP_CR); /* back to real mode */
    assert_int_equal(FIELD(GUEST_EFER), EFER_LME | EFER_SCE);
    assert_int_equal(FIELD(CONTROL_ENTRY), vmx.entry);
}

static void control_register_exits(void **state)
{
    (void)state;
    /* MOV CR0, RBX with NE new: settled by the shadow, the guest tries again */
    FIELD(CONTROL_CR0_SHADOW) = 0x60000010;
    page.gpr[GPR_RBX] = 0x80000031;
    next = (struct made_up){.reason = REASON_CR, .length = 3, .qualification = GPR_RBX << 8};
    reason = vmx_run(&v, NEVER);
    assert_int_equal(reason, EXIT_WAITING);
    assert_int_equal(FIELD(CONTROL_CR0_SHADOW) & (CR0_NE | CR0_CD | CR0_NW), CR0_NE);
    assert_int_equal(FIELD(GUEST_RIP), 0x1000);
    /* MOV CR4, RSP with VMXE */
    FIELD(GUEST_RSP) = CR4_VMXE;
    next.qualification = GPR_RSP << 8 | 4;
    reason = vmx_run(&v, NEVER);
    assert_int_equal(reason, EXIT_CR_WRITE);
    assert_int_equal(page.exit.cr.number, 4);
    assert_int_equal(page.exit.cr.known, 1);
    assert_int_equal(page.exit.cr.value, CR4_VMXE);
    /* LMSW cannot clear PE */
    FIELD(GUEST_CR0) = CR0_PE | CR0_TS;
    FIELD(CONTROL_CR0_SHADOW) = CR0_NE;
    next.qualification = 0xfff4ull << 16 | 3 << 4;
    reason = vmx_run(&v, NEVER);
    assert_int_equal(reason, EXIT_CR_WRITE);
    assert_int_equal(page.exit.cr.value, CR0_PE | CR0_EM | CR0_NE);
}

static void tpr(void **state)
{
    (void)state;
    page.apic[0x80 / 4] = 0x70;
    reason = vmx_run(&v, NEVER);
    assert_int_equal(FIELD(CONTROL_TPR_THRESHOLD), 7);
    assert_int_equal(page.tpr, 7);
    page.apic[0x80 / 4] = 0x20; /* the guest lowered it */
    next.reason = REASON_TPR_THRESHOLD;
    reason = vmx_run(&v, NEVER);
    assert_int_equal(reason, EXIT_KICK);
    assert_int_equal(page.tpr, 2);
    assert_int_equal(FIELD(CONTROL_TPR_THRESHOLD), 2);
}

#define APIC_CONTROLS (BIT(PROC2_VIRTUAL_X2APIC) | BIT(PROC2_APIC_REGISTERS) | BIT(PROC2_VIRTUAL_INTERRUPTS))

/* Controls and MSR bitmap: never the one without the other. */
static void apic_modes(void **state)
{
    (void)state;
    vmx.proc2 = BIT(PROC2_EPT);
    page.apic_mode = APIC_BY_CPU;
    page.apic_serving = 0x51;
    page.apic_request = 0x31;
    vmx_put(&v, GROUP_APIC |
                    GROUP_APIC_REQUEST); /* a CPU that cannot: nothing is written, what it has not it would refuse */
    assert_int_equal(fake_writes[CONTROL_PROC2.code] + fake_writes[CONTROL_MSR_BITMAP.code] +
                         fake_writes[GUEST_INTERRUPT_STATUS.code] + fake_writes[CONTROL_EOI_EXIT(0).code],
                     0);
    vmx.apic = APIC_CONTROLS;
    page.apic_eoi_exit[1] = 1ull << 33;
    page.apic_eoi_exit[3] = 5;
    vmx_put(&v, GROUP_APIC);
    assert_int_equal(FIELD(CONTROL_PROC2), BIT(PROC2_EPT) | APIC_CONTROLS);
    assert_int_equal(FIELD(CONTROL_MSR_BITMAP), 0x20000);
    assert_int_equal(FIELD(GUEST_INTERRUPT_STATUS), 0x5131);
    assert_int_equal(FIELD(CONTROL_EOI_EXIT(1)), 1ull << 33);
    assert_int_equal(FIELD(CONTROL_EOI_EXIT(3)), 5);
    const uint32_t others[] = {APIC_BY_MONITOR, 2, 0xffffffff}; /* a monitor may write what it likes */
    for (unsigned i = 0; i < ARRAY_SIZE(others); i++) {
        page.apic_mode = others[i];
        vmx_put(&v, GROUP_APIC);
        assert_int_equal(FIELD(CONTROL_PROC2), BIT(PROC2_EPT));
        assert_int_equal(FIELD(CONTROL_MSR_BITMAP), 0x10000);
    }
}

static void apic_requests(void **state)
{
    (void)state;
    page.apic_request = 0x40;
    vmx_put(&v, GROUP_APIC_REQUEST); /* without the means: nothing */
    assert_int_equal(fake_writes[GUEST_INTERRUPT_STATUS.code], 0);
    vmx.apic = APIC_CONTROLS;
    FIELD(GUEST_INTERRUPT_STATUS) = 0x6050;
    vmx_put(&v, GROUP_APIC_REQUEST); /* a higher one waits already */
    assert_int_equal(FIELD(GUEST_INTERRUPT_STATUS), 0x6050);
    page.apic_request = 0xf1;
    page.apic_serving = 0x10;
    vmx_put(&v, GROUP_APIC_REQUEST); /* what is in service is the CPU's own knowledge */
    assert_int_equal(FIELD(GUEST_INTERRUPT_STATUS), 0x60f1);
    vmx_put(&v, GROUP_APIC | GROUP_APIC_REQUEST);
    assert_int_equal(FIELD(GUEST_INTERRUPT_STATUS), 0x10f1);
}

static void apic_exits(void **state)
{
    (void)state;
    next = (struct made_up){.reason = REASON_EOI, .qualification = 0x61, .length = 2};
    reason = vmx_run(&v, NEVER);
    assert_int_equal(reason, EXIT_APIC);
    assert_int_equal(page.exit.insn_len, 0); /* the instruction is over */
    assert_int_equal(page.exit.apic.offset, 0xb0);
    assert_int_equal(page.exit.apic.vector, 0x61);
    next = (struct made_up){.reason = REASON_APIC_WRITE, .qualification = 0x3f0};
    reason = vmx_run(&v, NEVER);
    assert_int_equal(reason, EXIT_APIC);
    assert_int_equal(page.exit.apic.offset, 0x3f0);
    assert_int_equal(FIELD(GUEST_RIP), 0x1000);
}

/* The lower half of TPR is the guest's, and CR8 does not know it. */
static void tpr_has_eight_bits(void **state)
{
    (void)state;
    page.apic[0x80 / 4] = 0x37;
    page.tpr = 3;
    vmx_put(&v, GROUP_CR);
    assert_int_equal(page.apic[0x80 / 4], 0x37);
    page.tpr = 0xfffffff4;
    vmx_put(&v, GROUP_CR);
    assert_int_equal(page.apic[0x80 / 4], 0x40);
    page.apic[0x80 / 4] = 0xffffff90; /* not the guest's doing */
    reason = vmx_run(&v, NEVER);
    assert_int_equal(FIELD(CONTROL_TPR_THRESHOLD), 9);
    assert_int_equal(page.tpr, 9);
}

/* A vCPU alone on its CPU: its guest waits in HLT by itself, but where it would sleep through what is there already. */
static void alone_it_waits_in_hlt(void **state)
{
    (void)state;
    v.dedicated = true;
    hw.proc_base = vmx.proc & ~BIT(PROC_HLT);
    vmx.apic = 1;
    reason = vmx_run(&v, NEVER);
    assert_false(entered_proc & BIT(PROC_HLT));

    /* in HLT, and an interrupt comes that it can take now: it may not be asleep at the entry */
    FIELD(GUEST_ACTIVITY) = ACTIVITY_HALT;
    page.apic_request = 0x50;
    vmx_put(&v, GROUP_APIC_REQUEST);
    assert_int_equal(FIELD(GUEST_ACTIVITY), 0);
    reason = vmx_run(&v, NEVER);
    assert_false(entered_proc & BIT(PROC_HLT));
    FIELD(GUEST_ACTIVITY) = ACTIVITY_HALT;
    page.irq = IRQ_VALID | 0x31;
    reason = vmx_run(&v, NEVER);
    assert_int_equal(entered_event, EVENT_VALID | 0x31);
    assert_int_equal(FIELD(GUEST_ACTIVITY), 0);

    /* nothing of that kind: it sleeps on */
    FIELD(GUEST_ACTIVITY) = ACTIVITY_HALT;
    reason = vmx_run(&v, NEVER);
    assert_int_equal(FIELD(GUEST_ACTIVITY), ACTIVITY_HALT);

    /* with IF=0 what comes waits: no entry wakes it, and the next HLT is told to the monitor, once */
    FIELD(GUEST_RFLAGS) = RFLAGS_FIXED;
    vmx_put(&v, GROUP_APIC_REQUEST);
    assert_int_equal(FIELD(GUEST_ACTIVITY), ACTIVITY_HALT);
    next.reason = REASON_HLT;
    next.length = 1;
    reason = vmx_run(&v, NEVER);
    assert_true(entered_proc & BIT(PROC_HLT));
    assert_int_equal(reason, EXIT_HLT);
    next.reason = REASON_TIMER;
    reason = vmx_run(&v, NEVER);
    assert_false(entered_proc & BIT(PROC_HLT));
    /* nor may it come while IF is clear: not before the window has opened, however many exits there are till then */
    assert_true(entered_proc & BIT(PROC_INTERRUPT_WINDOW));
    next.reason = REASON_INTERRUPT_WINDOW;
    reason = vmx_run(&v, NEVER);
    assert_true(entered_proc & BIT(PROC_INTERRUPT_WINDOW));
    next.reason = REASON_TIMER;
    reason = vmx_run(&v, NEVER);
    assert_false(entered_proc & BIT(PROC_INTERRUPT_WINDOW));
    /* the same in the shadow of an STI */
    FIELD(GUEST_RFLAGS) = RFLAGS_FIXED | RFLAGS_IF;
    FIELD(GUEST_INTERRUPTIBILITY) = BLOCKED_BY_STI;
    vmx_put(&v, GROUP_APIC_REQUEST);
    assert_int_equal(FIELD(GUEST_ACTIVITY), ACTIVITY_HALT);
    next.reason = REASON_INTERRUPT_WINDOW;
    reason = vmx_run(&v, NEVER);
    assert_true((entered_proc & BIT(PROC_HLT)) && (entered_proc & BIT(PROC_INTERRUPT_WINDOW)));
    FIELD(GUEST_INTERRUPTIBILITY) = 0;
    FIELD(GUEST_RFLAGS) = RFLAGS_FIXED;
    next.reason = REASON_HLT;
    reason = vmx_run(&v, NEVER);
    next.reason = REASON_TIMER;
    page.irq = IRQ_VALID | 0x32;
    reason = vmx_run(&v, NEVER);
    assert_true((entered_proc & BIT(PROC_HLT)) && (entered_proc & BIT(PROC_INTERRUPT_WINDOW)));

    /* a new start is awake */
    FIELD(GUEST_ACTIVITY) = ACTIVITY_HALT;
    vmx_put(&v, GROUP_RIP);
    assert_int_equal(FIELD(GUEST_ACTIVITY), 0);

    /* not alone: each HLT is the monitor's */
    v.dedicated = false;
    hw.proc_base |= BIT(PROC_HLT);
    next.reason = REASON_HLT;
    reason = vmx_run(&v, NEVER);
    reason = vmx_run(&v, NEVER);
    assert_true(entered_proc & BIT(PROC_HLT));
}

/* A CPU wakes a guest from HLT as the manual says: its activity stays, and no HLT exits. */
static void a_cpu_wakes_its_guest_itself(void **state)
{
    (void)state;
    emulator = EMULATOR_NONE;
    v.dedicated = true;
    hw.proc_base = vmx.proc & ~BIT(PROC_HLT);
    FIELD(GUEST_ACTIVITY) = 1;
    vmx_put(&v, GROUP_APIC_REQUEST);
    assert_int_equal(FIELD(GUEST_ACTIVITY), 1);
    FIELD(GUEST_RFLAGS) = RFLAGS_FIXED;
    vmx_put(&v, GROUP_APIC_REQUEST);
    page.irq = IRQ_VALID | 0x31;
    reason = vmx_run(&v, NEVER);
    assert_true(entered_proc & BIT(PROC_INTERRUPT_WINDOW));
    assert_false(entered_proc & BIT(PROC_HLT));
}

/* A turn's end stops a vCPU that shares its CPU, and with reach=timer one that could keep the host's interrupts out;
 * the guest's own deadline stops any. */
static void alone_no_slice_ends_its_turn(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        bool off = i & 1, alone = i & 2;
        vmx_reach_by_timer = i & 4;
        v.dedicated = alone;
        FIELD(GUEST_RFLAGS) = RFLAGS_FIXED | (off ? 0 : RFLAGS_IF);
        reason = vmx_run(&v, NEVER);
        assert_int_equal(FIELD(GUEST_PREEMPTION_TIMER), vmx_turn[alone && !(vmx_reach_by_timer && off)] + 1);
        reason = vmx_run(&v, 1000 + 5000);
        assert_in_range(FIELD(GUEST_PREEMPTION_TIMER), 5000, 5001);
    }
}

/* A store to a doorbell in memory is settled in the loop, if it is that instruction's own, and only a store; then comes
 * the next exit. */
static void stores_to_doorbells(void **state)
{
    (void)state;
    const struct {
        uint64_t q;
        uint32_t idt, length;
        uint64_t rip, gpa;
        bool settled;
    } tries[] = {
        {0x182, 0, 7, 0x1000, 0xfeb00000, true},
        {0x18a, 0, 7, 0x1000, 0xfeb00000, true},  /* what the tables allow does not matter */
        {0x183, 0, 7, 0x1000, 0xfeb00000, false}, /* it reads too */
        {0x181, 0, 7, 0x1000, 0xfeb00000, false},
        {0x184, 0, 7, 0x1000, 0xfeb00000, false},
        {0x082, 0, 7, 0x1000, 0xfeb00000, false}, /* the page walk's */
        {0x002, 0, 7, 0x1000, 0xfeb00000, false},
        {0x182, EVENT_VALID | 0x20, 7, 0x1000, 0xfeb00000, false}, /* an interrupt's frame */
        {0x182, 0, 6, 0x1000, 0xfeb00000, false},
        {0x182, 0, 0, 0x1000, 0xfeb00000, false}, /* this CPU does not say */
        {0x182, 0, 7, 0x1001, 0xfeb00000, false},
        {0x182, 0, 7, 0x1000, 0xfeb00004, false},
    };
    struct event event = {.bits = 0};
    const uint64_t at = 0xfeb00000 | DOORBELL_STORE;
    struct fastpath_doorbells bells = {
        .count = 1,
        .entry[0] = {&event, 4, at, DOORBELL_KEY(0x1000ull, 7), 1, 0},
    };
    bells.index[doorbell_piece(at) % DOORBELL_INDEX_SIZE] = &bells.entry[0];
    here.work = WORK_WAKE; /* a thread was woken: the loop ends behind the doorbell */
    space.doorbell = &bells;
    for (unsigned i = 0; i < ARRAY_SIZE(tries); i++) {
        next = (struct made_up){.reason = REASON_EPT_VIOLATION,
                                .qualification = tries[i].q,
                                .idt = tries[i].idt,
                                .length = tries[i].length};
        FIELD(GUEST_RIP) = tries[i].rip;
        FIELD(EXIT_GUEST_PHYSICAL) = tries[i].gpa;
        rung = 0;
        uint64_t counted = v.exits[EXIT_MEMORY];
        reason = vmx_run(&v, NEVER);
        assert_int_equal(reason, tries[i].settled ? EXIT_WAITING : EXIT_MEMORY);
        assert_int_equal(rung, tries[i].settled);
        assert_int_equal(v.exits[EXIT_MEMORY] - counted, tries[i].settled);
        assert_int_equal(FIELD(GUEST_RIP), tries[i].rip + (tries[i].settled ? 7 : 0));
    }
    event.bits = 4; /* it has not been taken yet: nothing to do */
    next = (struct made_up){.reason = REASON_EPT_VIOLATION, .qualification = 0x182, .length = 7};
    FIELD(GUEST_RIP) = 0x1000;
    FIELD(EXIT_GUEST_PHYSICAL) = 0xfeb00000;
    rung = 0;
    reason = vmx_run(&v, NEVER);
    assert_int_equal(reason, EXIT_WAITING);
    assert_int_equal(rung, 0);
    space.doorbell = NULL;
}

/* An exit leaves TR without the I/O bitmap: a domain with ports gets it back, no other pays for it. */
static void ports_outlive_an_exit(void **state)
{
    (void)state;
    reason = vmx_run(&v, NEVER);
    assert_int_equal(tr_loads, 0);
    here.open_ports = 1;
    reason = vmx_run(&v, NEVER);
    assert_int_equal(tr_loads, 1);
}

static void exits_by_reason(void **state)
{
    (void)state;
    static const struct {
        uint32_t raw, reason;
    } table[] = {
        {REASON_TRIPLE_FAULT, EXIT_TRIPLE_FAULT},
        {REASON_INIT, EXIT_SHUTDOWN},
        {REASON_TASK_SWITCH, EXIT_TASK_SWITCH},
        {REASON_VMCALL, EXIT_HYPERCALL},
        {REASON_VMXON, EXIT_INVALID_OPCODE_WANTED},
        {21, EXIT_INVALID_OPCODE_WANTED},
        {REASON_GETSEC, EXIT_INVALID_OPCODE_WANTED},
        {REASON_MWAIT, EXIT_INVALID_OPCODE_WANTED},
        {REASON_RDPMC, EXIT_INVALID_OPCODE_WANTED},
        {REASON_EPT_MISCONFIG, EXIT_UNKNOWN},
        {37, EXIT_UNKNOWN},
        {62, EXIT_UNKNOWN},
        {1000, EXIT_UNKNOWN},
        {REASON_WBINVD, EXIT_WAITING},
        {REASON_INVD, EXIT_WAITING},
        {REASON_RDMSR, EXIT_RDMSR},
        {REASON_WRMSR, EXIT_WRMSR},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(table); i++) {
        next = (struct made_up){.reason = table[i].raw, .length = 2};
        reason = vmx_run(&v, NEVER);
        assert_int_equal(reason, table[i].reason);
        if (reason != EXIT_WAITING)
            assert_int_equal(page.exit.detail, table[i].raw);
    }
    assert_int_equal(FIELD(GUEST_RIP), 0x1004); /* WBINVD and INVD were skipped */
    next = (struct made_up){.reason = REASON_INTERRUPT, .event = EVENT_VALID | 0xf1};
    reason = vmx_run(&v, NEVER);
    assert_int_equal(reason, EXIT_WAITING);
    assert_int_equal(v.vector, 0xf1);
    next = (struct made_up){.reason = REASON_IO, .length = 2, .qualification = 0x3f8ull << 16 | 8};
    reason = vmx_run(&v, NEVER);
    assert_int_equal(reason, EXIT_PORT);
    next = (struct made_up){.reason = REASON_XSETBV, .length = 3};
    reason = vmx_run(&v, NEVER);
    assert_int_equal(reason, EXIT_XSETBV);
    next = (struct made_up){.reason = REASON_TASK_SWITCH, .length = 7, .qualification = 0x80000028};
    reason = vmx_run(&v, NEVER);
    assert_int_equal(page.exit.task.info, 0x28u | TASK_BY_JUMP << 30); /* SDM vol. 3, table 28-2 */
    assert_int_equal(page.exit.insn_len, 7);
}

static void groups(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SEG_COUNT; i++)
        page.seg[i] = (struct segment){
            .selector = (uint16_t)(8 * i), .attr = 0x93 + i, .limit = 0xffff + i, .base = 0x1000 * i};
    page.rip = 0x7c00;
    page.rsp = 0x7000;
    page.rflags = RFLAGS_TF;
    page.shadow = SHADOW_MOV_SS;
    page.dr7 = 0x401;
    page.tsc_offset = 77;
    page.pending_debug = DR6_BS;
    hw.event = EVENT_VALID | 0x30;
    struct vcpu_state was = page;
    vmx_put(&v, GROUP_RIP | GROUP_SEG | GROUP_TSC);
    assert_true(hw.event);
    vmx_put(&v, GROUP_DR);
    assert_false(hw.event);
    assert_int_equal(FIELD(GUEST_PENDING_DEBUG), DR6_BS);
    assert_int_equal(FIELD(CONTROL_TSC_OFFSET), 77);
    assert_int_equal(FIELD(GUEST_SELECTOR(SEG_TR)), 56);
    memset(&page, 0, sizeof page);
    vmx_get(&v, GROUP_RIP | GROUP_SEG | GROUP_DR);
    assert_memory_equal(page.seg, was.seg, sizeof page.seg);
    assert_int_equal(page.rflags, RFLAGS_TF | RFLAGS_FIXED);
    assert_int_equal(page.shadow, SHADOW_MOV_SS);
    assert_int_equal(page.pending_debug, DR6_BS);
    assert_int_equal(page.dr7, 0x401);
}

#define T(f) cmocka_unit_test_setup(f, fresh)
/* The first touch brings them in and ends the exits; another vCPU's turn starts them again. */
static void debug_registers_come_when_they_are_touched(void **state)
{
    (void)state;
    dr_loads = 0;
    hw.proc_base |= BIT(PROC_MOV_DR);
    next.reason = REASON_DR;
    reason = vmx_run(&v, NEVER);
    assert_true(entered_proc & BIT(PROC_MOV_DR));
    assert_int_equal(reason, EXIT_WAITING);
    assert_int_equal(dr_loads, 1);
    assert_int_equal(FIELD(GUEST_RIP), 0x1000); /* it tries again */
    next.reason = REASON_TIMER;
    reason = vmx_run(&v, NEVER);
    assert_false(entered_proc & BIT(PROC_MOV_DR));
    v.dr_here = false;
    vmx_watch_dr(&v, true);
    reason = vmx_run(&v, NEVER);
    assert_true(entered_proc & BIT(PROC_MOV_DR));
    /* A debug exception leaves its mark in DR6, wherever that is. */
    page.dr6 = 0xffff0ff0;
    vmx_put(&v, GROUP_DR);
    next = (struct made_up){
        .reason = REASON_EXCEPTION, .event = EVENT_VALID | EVENT_EXCEPTION << 8 | 1, .qualification = 0x4002};
    reason = vmx_run(&v, NEVER);
    vmx_get(&v, GROUP_DR);
    assert_int_equal(page.dr6, 0xffff4ff2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(common_path_writes_only_the_timer),
        T(reads_of_an_exit),
        T(launched_by_an_exit_that_is_answered_here),
        T(interrupt_now_or_by_window),
        T(speculation_control),
        T(bitmap_of_speculation),
        T(order_of_events),
        T(nmi),
        T(machine_checks),
        T(windows_for_an_nmi),
        T(the_end_of_an_instruction),
        T(the_interrupted_event_is_of_the_group),
        T(no_step_before_an_instruction),
        T(real_mode_has_no_error_code),
        T(alignment_check_goes_back),
        T(refusals),
        T(control_registers_there_and_back),
        T(control_register_exits),
        T(tpr),
        T(alone_it_waits_in_hlt),
        T(a_cpu_wakes_its_guest_itself),
        T(alone_no_slice_ends_its_turn),
        T(stores_to_doorbells),
        T(ports_outlive_an_exit),
        T(exits_by_reason),
        T(debug_registers_come_when_they_are_touched),
        T(groups),
        T(apic_modes),
        T(apic_requests),
        T(apic_exits),
        T(tpr_has_eight_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
