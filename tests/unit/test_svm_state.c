// SPDX-License-Identifier: Apache-2.0
// sources: svm/svm_state.c
/* A vCPU's state between the shared page and the VMCB. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "mullion/regs.h"
#include "svm/svm.h"

/* The VMCB's layout is the CPU's. */
#define VMCB_AT(member, offset) _Static_assert(offsetof(struct vmcb, member) == (offset), "APM vol. 2, appendix B")
VMCB_AT(control.iopm, 0x40);
VMCB_AT(control.asid, 0x58);
VMCB_AT(control.interrupt, 0x60);
VMCB_AT(control.exit_code, 0x70);
VMCB_AT(control.nested, 0x90);
VMCB_AT(control.event, 0xa8);
VMCB_AT(control.clean, 0xc0);
VMCB_AT(control.next_rip, 0xc8);
VMCB_AT(save.es, 0x400);
VMCB_AT(save.tr, 0x490);
VMCB_AT(save.cpl, 0x4cb);
VMCB_AT(save.efer, 0x4d0);
VMCB_AT(save.cr4, 0x548);
VMCB_AT(save.rip, 0x578);
VMCB_AT(save.rsp, 0x5d8);
VMCB_AT(save.rax, 0x5f8);
VMCB_AT(save.sysenter_eip, 0x638);
VMCB_AT(save.cr2, 0x640);
VMCB_AT(save.pat, 0x668);
VMCB_AT(save.spec_ctrl, 0x6e0);

enum emulator emulator;
static struct vmcb block;
static struct svm_vcpu hw;
static struct vcpu_state page;
static struct vcpu cpu;

static int fresh(void **state)
{
    (void)state;
    memset(&block, 0, sizeof block);
    memset(&page, 0, sizeof page);
    hw = (struct svm_vcpu){.vmcb = &block};
    cpu = (struct vcpu){.state = &page, .hw = &hw};
    return 0;
}

static void attributes(void **state)
{
    (void)state;
    assert_int_equal(svm_attributes(0xa09b), 0xa9b); /* 64-bit code */
    assert_int_equal(svm_attributes(0xc0f3), 0xcf3); /* data, DPL 3 */
    assert_int_equal(svm_attributes(0xc093 | SEG_ATTR_UNUSABLE), 0xc13);
    assert_int_equal(svm_attributes(0xffffffffu & ~SEG_ATTR_UNUSABLE), 0xfff);
    for (uint32_t attr = 0; attr < 0x1000; attr++) {
        struct vmcb_segment s = {.attributes = (uint16_t)attr};
        struct segment g = svm_segment(&s, SEG_DS, 0);
        assert_int_equal(!(g.attr & SEG_ATTR_UNUSABLE), (attr & 0x80) != 0);
        assert_int_equal(svm_attributes(g.attr), attr);
    }
    struct vmcb_segment s = {.attributes = 0xc93};
    assert_int_equal(svm_segment(&s, SEG_SS, 3).attr, 0xc0f3); /* CPL, not what the descriptor said */
    s.attributes = 0x089;
    assert_int_equal(svm_segment(&s, SEG_TR, 0).attr, 0x8b);
    s = (struct vmcb_segment){.attributes = 0x29b, .limit = 0xffffffff};
    assert_int_equal(svm_segment(&s, SEG_CS, 0).attr, 0xa09b);
}

static void everything_round_trips(void **state)
{
    (void)state;
    page.rip = 0xffffffff81000000;
    page.rsp = 0xffffc90000003f58;
    page.rflags = 0x246;
    page.shadow = SHADOW_STI;
    page.cr0 = CR0_PE | CR0_PG;
    page.cr3 = 0x1234000;
    page.cr4 = CR4_PAE;
    page.efer = EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE;
    page.tpr = 9;
    for (unsigned i = 0; i < SEG_COUNT; i++)
        page.seg[i] = (struct segment){
            .selector = (uint16_t)(8 * i), .attr = 0xc093, .limit = 0xfffff000 + i, .base = i << 20};
    page.seg[SEG_SS].attr = 0xc0f3;
    page.seg[SEG_TR].attr = 0x8b;
    page.gdtr = (struct table_register){0xfffffe0000001000, 0x7f, 0};
    page.idtr = (struct table_register){0xfffffe0000000000, 0xfff, 0};
    uint64_t *msr = &page.star;
    for (unsigned i = 0; i < 9; i++)
        msr[i] = 0x100 + i;
    page.dr7 = 0x455;
    page.dr6 = 0xffff0ff1;
    cpu.cr2 = 0xdead000;                /* goes through the kernel's field */
    page.spec_ctrl = cpu.spec_ctrl = 5; /* likewise */
    page.tsc_offset = 0x987654321;
    struct vcpu_state before = page;

    svm_put(&cpu, GROUPS_ALL);
    assert_true(block.save.efer & EFER_SVME);
    assert_int_equal(block.save.cpl, 3);
    assert_int_equal(block.control.tsc_offset, 0x987654321);
    assert_int_equal(block.control.interrupt, 9);
    assert_int_equal(block.save.cr2, 0xdead000);
    assert_int_equal(block.save.dr6, 0xffff0ff1);
    cpu.cr2 = 0;
    memset(&page.rip, 0, sizeof page - offsetof(struct vcpu_state, rip));
    svm_get(&cpu, GROUPS_ALL);
    assert_int_equal(cpu.cr2, 0xdead000);
    before.tsc_offset = 0; /* never filled by the kernel */
    assert_memory_equal(&page, &before, sizeof page);
}

/* The kernel switches it, but where the VMCB does. */
static void speculation_control(void **state)
{
    (void)state;
    for (uint32_t helps = 0; helps <= SVM_FEATURE_SPEC_CTRL; helps += SVM_FEATURE_SPEC_CTRL) {
        hw.helps = helps;
        cpu.spec_ctrl = 4;
        cpu.spec_switched = true;
        svm_put(&cpu, GROUPS_ALL & ~GROUP_MSR);
        assert_int_equal(block.save.spec_ctrl, 0);
        svm_put(&cpu, GROUP_MSR);
        assert_int_equal(block.save.spec_ctrl, 4);
        assert_int_equal(cpu.spec_switched, !helps);
        if (helps)
            block.save.spec_ctrl = 6; /* by the guest, without an exit */
        svm_get(&cpu, GROUP_MSR);
        assert_int_equal(page.spec_ctrl, helps ? 6 : 4);
        block.save.spec_ctrl = 0;
    }
}

static void only_the_named_groups(void **state)
{
    (void)state;
    page.rip = 0x1000;
    page.cr3 = 0x2000;
    page.dr7 = 0x400;
    block.control.clean = 0x1ff;
    svm_put(&cpu, GROUP_RIP);
    assert_int_equal(block.save.rip, 0x1000);
    assert_int_equal(block.save.cr3, 0);
    assert_int_equal(block.control.clean, 0x1ff); /* RIP is never cached */
    svm_put(&cpu, GROUP_CR);
    assert_int_equal(block.save.cr3, 0x2000);
    assert_int_equal(block.control.clean, 0);
    page.cr3 = 7;
    svm_get(&cpu, GROUP_RIP);
    assert_int_equal(page.cr3, 7);
}

/* QEMU ends at a busy task; the monitor sees one all the same, as on every CPU. */
static void task_in_qemu(void **state)
{
    (void)state;
    page.seg[SEG_TR].attr = 0x8b;
    page.seg[SEG_DS].attr = 0xc093;
    svm_put(&cpu, GROUP_SEG);
    assert_int_equal(block.save.tr.attributes, 0x8b);
    emulator = EMULATOR_QEMU;
    svm_put(&cpu, GROUP_SEG);
    emulator = EMULATOR_NONE;
    assert_int_equal(block.save.tr.attributes, 0x89);
    assert_int_equal(block.save.ds.attributes, 0xc93);
    page.seg[SEG_TR].attr = 0;
    svm_get(&cpu, GROUP_SEG);
    assert_int_equal(page.seg[SEG_TR].attr, 0x8b);
}

static void what_the_monitor_cannot_do(void **state)
{
    (void)state;
    page.efer = EFER_LMA; /* LMA follows LME and PG */
    page.lstar = 0x0001800000000000;
    page.kernel_gs_base = 0x8000000000000000;
    page.tpr = 0xffff;
    block.control.interrupt = V_INTR_MASKING;
    svm_put(&cpu, GROUPS_ALL);
    assert_int_equal(block.save.efer, EFER_SVME);
    assert_int_equal(block.save.rflags, RFLAGS_FIXED);
    assert_int_equal(block.save.lstar, 0xffff800000000000);
    assert_int_equal(block.save.kernel_gs_base, 0);
    assert_int_equal(block.control.interrupt, V_INTR_MASKING | 0xf);
    svm_get(&cpu, GROUP_CR);
    assert_int_equal(page.efer, 0);
}

/* A guest has in CR4 what it may have, and MCE; it reads what it has written. What it has changed in CR0, CR3 or CR4
 * without the CPU's doing so needs another ASID: VMRUN keeps its translations. */
static void cr4(void **state)
{
    (void)state;
    svm_reset(&block.save);
    assert_int_equal(block.save.cr4, CR4_MCE);
    page.cr4 = CR4_PAE | CR4_PGE | CR4_PKE | CR4_VMXE | 1ull << 23 /* CET */ | 1ull << 12 /* LA57 */;
    hw.tag.generation = 5;
    svm_put(&cpu, GROUP_CR);
    assert_int_equal(block.save.cr4, CR4_PAE | CR4_PGE | CR4_MCE);
    assert_int_equal(hw.tag.generation, 0);
    uint64_t wanted = page.cr4;
    page.cr4 = 0;
    svm_get(&cpu, GROUP_CR);
    assert_int_equal(page.cr4, wanted);
    hw.tag.generation = 6;
    svm_put(&cpu, GROUP_CR); /* nothing has changed */
    assert_int_equal(hw.tag.generation, 6);
    page.cr3 = 0x5000;
    svm_put(&cpu, GROUP_CR);
    assert_int_equal(hw.tag.generation, 0);
    hw.tag.generation = 7;
    page.cr0 = CR0_PE;
    svm_put(&cpu, GROUP_CR);
    assert_int_equal(hw.tag.generation, 0);
}

/* The caches are everybody's: whatever a guest wants, its memory is write-back, and it reads what it has written. */
static void caching(void **state)
{
    (void)state;
    svm_reset(&block.save);
    assert_int_equal(block.save.pat, PAT_GUEST);
    hw.offered = IRQ_VALID;
    page.pat = 0x0007040600070406;
    page.cr0 = CR0_PE | CR0_CD | CR0_NW;
    svm_put(&cpu, GROUP_CR | GROUP_MSR);
    assert_int_equal(block.save.pat, PAT_GUEST);
    assert_int_equal(block.save.cr0, CR0_PE);
    assert_int_equal(block.control.intercept_cr, INTERCEPT_CR4 | INTERCEPT_CR0 | INTERCEPT_CR8_WRITE);
    page.pat = page.cr0 = 0;
    svm_get(&cpu, GROUP_CR | GROUP_MSR);
    assert_int_equal(page.pat, 0x0007040600070406);
    assert_int_equal(page.cr0, CR0_PE | CR0_CD | CR0_NW);
    page.cr0 = CR0_PE | CR0_TS;
    hw.offered = 0;
    svm_put(&cpu, GROUP_CR);
    assert_int_equal(block.save.cr0, CR0_PE | CR0_TS);
    assert_int_equal(block.control.intercept_cr, INTERCEPT_CR4); /* reads need no exit any more */
}

/* A save finds the interrupted event and brings it back; a reset has none. */
static void the_interrupted_event_is_of_the_group(void **state)
{
    (void)state;
    const uint64_t event = 6ull << 32 | EVENT_VALID | EVENT_ERROR_CODE | EVENT_EXCEPTION | 14;
    block.control.event = event;
    svm_put(&cpu, GROUP_RIP | GROUP_CR | GROUP_SEG);
    assert_int_equal(block.control.event, event);
    svm_get(&cpu, GROUP_DR);
    assert_int_equal(page.event, event);
    block.control.event = 0;
    svm_put(&cpu, GROUP_DR);
    assert_int_equal(block.control.event, event);
    page.event = 0;
    svm_put(&cpu, GROUPS_ALL);
    assert_int_equal(block.control.event, 0);
}

/* There is no place for them in the VMCB: they are an event and DR6, whichever groups come with them. */
static void pending_debug_exceptions(void **state)
{
    (void)state;
    const uint32_t groups[] = {GROUP_RIP, GROUPS_ALL};
    for (unsigned i = 0; i < 2; i++) {
        block.save.dr6 = page.dr6 = 0xffff0ff0;
        page.event = 0;
        page.pending_debug = 1u << 14 | 1u << 12 | 2; /* a single step and DR1's, as VMX has them */
        svm_put(&cpu, groups[i]);
        assert_int_equal(block.control.event, EVENT_VALID | EVENT_EXCEPTION | VECTOR_DB);
        assert_int_equal(block.save.dr6, 0xffff4ff2);
        svm_get(&cpu, GROUP_RIP);
        assert_int_equal(page.pending_debug, 0);
        block.control.event = 0;
        svm_put(&cpu, groups[i] & ~GROUP_DR);
        assert_int_equal(block.control.event, 0);
        page.pending_debug = 1u << 14; /* behind MOV SS: after the next instruction, which TF will trap anyway */
        page.shadow = SHADOW_MOV_SS;
        svm_put(&cpu, groups[i]);
        assert_int_equal(block.control.event, 0);
        page.shadow = 0;
    }
}

static void nmi_blocking(void **state)
{
    (void)state;
    page.shadow = SHADOW_NMI | SHADOW_MOV_SS;
    svm_put(&cpu, GROUP_RIP);
    assert_true(block.control.intercepts[0] & INTERCEPT(SVM_EXIT_IRET));
    assert_int_equal(block.control.shadow, 1);
    svm_get(&cpu, GROUP_RIP);
    assert_int_equal(page.shadow, SHADOW_NMI | SHADOW_STI);
    assert_int_equal(block.control.intercept_exceptions, SVM_EXCEPTIONS);
    /* Over the IRET: it must not exit again, and every exception does. */
    page.shadow |= SHADOW_STEP;
    svm_put(&cpu, GROUP_RIP);
    assert_false(block.control.intercepts[0] & INTERCEPT(SVM_EXIT_IRET));
    assert_int_equal(block.control.intercept_exceptions, ~0u);
    block.control.shadow = 0;
    svm_get(&cpu, GROUP_RIP);
    assert_int_equal(page.shadow, SHADOW_NMI | SHADOW_STEP);
    page.shadow = 0;
    block.control.clean = 0x1ff;
    svm_put(&cpu, GROUP_RIP);
    assert_false(block.control.intercepts[0] & INTERCEPT(SVM_EXIT_IRET));
    assert_int_equal(block.control.intercept_exceptions, SVM_EXCEPTIONS);
    assert_int_equal(block.control.clean, 0);
    svm_get(&cpu, GROUP_RIP);
    assert_int_equal(page.shadow, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(attributes, fresh),
        cmocka_unit_test_setup(everything_round_trips, fresh),
        cmocka_unit_test_setup(speculation_control, fresh),
        cmocka_unit_test_setup(only_the_named_groups, fresh),
        cmocka_unit_test_setup(task_in_qemu, fresh),
        cmocka_unit_test_setup(what_the_monitor_cannot_do, fresh),
        cmocka_unit_test_setup(cr4, fresh),
        cmocka_unit_test_setup(caching, fresh),
        cmocka_unit_test_setup(the_interrupted_event_is_of_the_group, fresh),
        cmocka_unit_test_setup(pending_debug_exceptions, fresh),
        cmocka_unit_test_setup(nmi_blocking, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
