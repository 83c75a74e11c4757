// SPDX-License-Identifier: Apache-2.0
// sources: svm/svm_run.c svm/svm_exit.c svm/svm_state.c
/* One entry of AMD-V, with a CPU made of C: `svm_run` looks at what the entry was given and plays the exit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/mce.h"
#include "mullion/regs.h"
#include "svm/svm.h"

static struct vmcb block, entered;
static struct asid_pool asids;
static struct cpu home;
static struct svm_vcpu hw;
static struct vcpu_state page;
static struct space space;
static struct vcpu cpu;
uint64_t tsc_khz = 1000000;
enum emulator emulator;
static uint64_t exit_code, exit_event, exit_info1, exit_info2, armed;
static bool xcr0_valid;
static bool takes; /* what V_IRQ offers, if VINTR is not intercepted */

const char svm_vmrun[1];

uint32_t svm_run(struct vcpu *v, uint64_t deadline_tsc)
{
    assert_ptr_equal(svm_prepare(v, deadline_tsc), &hw);
    entered = block;
    block.control.exit_code = exit_code;
    block.control.exit_event = exit_event;
    if (takes && !(block.control.intercepts[0] & INTERCEPT(SVM_EXIT_VINTR)))
        block.control.interrupt &= ~V_IRQ;
    block.control.exit_info1 = exit_info1;
    block.control.exit_info2 = exit_info2;
    block.save.rax++;
    return svm_finish(v, &hw);
}

void timer_arm(struct cpu *c, uint64_t deadline)
{
    assert_ptr_equal(c, &home);
    armed = deadline;
}
static unsigned dr_loads;
void vcpu_load_dr(struct vcpu *v)
{
    assert_ptr_equal(v, &cpu);
    dr_loads++;
}
bool fpu_xcr0_valid(uint64_t xcr0)
{
    return (void)xcr0, xcr0_valid;
}

static bool ends, outside;
bool mce_look(enum mce_when when)
{
    outside = when == MCE_OUTSIDE;
    return ends;
}
void apic_recheck(void)
{
}

static int fresh(void **state)
{
    (void)state;
    emulator = EMULATOR_QEMU;
    memset(&block, 0, sizeof block);
    block.control.intercept_cr = INTERCEPT_CR4; /* svm_vcpu.c */
    memset(&page, 0, sizeof page);
    asids = (struct asid_pool){.generation = 1, .next = 1, .count = 16, .flush_all = true};
    home.timer_armed = NEVER;
    hw = (struct svm_vcpu){.gpr = page.gpr, .vmcb = &block, .asids = &asids, .clean = 0x1b7};
    space = (struct space){0};
    cpu = (struct vcpu){.state = &page, .hw = &hw, .space = &space, .cpu = &home};
    block.save.cr0 = CR0_PE;
    block.save.rflags = RFLAGS_FIXED | RFLAGS_IF;
    block.control.interrupt = V_CONSTANT;
    exit_code = SVM_EXIT_INTR;
    exit_event = exit_info1 = exit_info2 = 0;
    takes = false;
    return 0;
}

static uint32_t reason;
static void run(void)
{
    reason = svm_run(&cpu, 1234);
}

static void registers_and_flushes(void **state)
{
    (void)state;
    page.gpr[GPR_RAX] = 41;
    run();
    assert_int_equal(armed, 1234);
    assert_int_equal(entered.save.rax, 41);
    assert_int_equal(page.gpr[GPR_RAX], 42);
    assert_int_equal(entered.control.asid, 1);
    assert_int_equal(entered.control.tlb_control, TLB_FLUSH_ALL);
    assert_int_equal(entered.control.clean, 0);
    assert_int_equal(reason, EXIT_WAITING);
    run();
    assert_int_equal(entered.control.tlb_control, TLB_KEEP);
    assert_int_equal(entered.control.clean, 0x1b7);
    svm_asid_forget(&asids);
    run();
    assert_int_equal(entered.control.tlb_control, TLB_FLUSH_ALL);
}

static void asids_are_never_shared(void **state)
{
    (void)state;
    struct asid_tag tags[40] = {{0}};
    asids.count = 8;
    uint64_t flushed_in = 0;
    for (unsigned round = 0; round < 3; round++)
        for (unsigned i = 0; i < 40; i++) {
            uint64_t old = asids.generation;
            uint8_t how = svm_asid_prepare(&asids, &tags[i]);
            assert_in_range(tags[i].asid, 1, 7);
            assert_int_equal(tags[i].generation, asids.generation);
            if (asids.generation != old || flushed_in == 0) {
                assert_int_equal(how, TLB_FLUSH_ALL);
                flushed_in = asids.generation;
            } else {
                assert_int_equal(how, TLB_KEEP);
            }
            for (unsigned j = 0; j < 40; j++)
                if (j != i && tags[j].generation == tags[i].generation)
                    assert_int_not_equal(tags[j].asid, tags[i].asid);
        }
}

static int fresh_cpu(void **state)
{
    (void)fresh(state);
    emulator = EMULATOR_NONE;
    block.control.intercepts[0] = INTERCEPT(SVM_EXIT_VINTR);
    return 0;
}

static void injection(void **state)
{
    (void)state;
    page.inject = INJECT_VALID | INJECT_ERROR_CODE | INJECT_TYPE_EXCEPTION | 14;
    page.inject_error = 6;
    page.irq = IRQ_VALID | 0x41;
    run();
    assert_int_equal(entered.control.event, 6ull << 32 | EVENT_VALID | EVENT_ERROR_CODE | EVENT_EXCEPTION | 14);
    assert_int_equal(page.inject, 0);
    assert_int_equal(page.irq, IRQ_VALID | 0x41); /* waits for the window */
    assert_true(entered.control.interrupt & V_IRQ);
    exit_code = SVM_EXIT_VINTR;
    run();
    assert_int_equal(reason, EXIT_WAITING);
    assert_int_equal(page.irq, IRQ_DELIVERED | 0x41);
    assert_int_equal(entered.control.event, EVENT_VALID | 0x41);
    assert_false(entered.control.interrupt & V_IRQ);
    run();
    assert_int_equal(entered.control.event, 0); /* once */
}

static void interrupts_wait_for_the_window(void **state)
{
    (void)state;
    page.irq = IRQ_VALID | 0x30;
    block.save.rflags = RFLAGS_FIXED;
    run();
    assert_int_equal(entered.control.event, 0);
    assert_true(entered.control.interrupt & V_IRQ);
    block.save.rflags |= RFLAGS_IF;
    run();
    assert_int_equal(entered.control.event, EVENT_VALID | 0x30);
    assert_false(entered.control.interrupt & V_IRQ);
    assert_int_equal(page.irq, IRQ_DELIVERED | 0x30);
}

/* QEMU may deliver what is in EVENTINJ twice: so an interrupt never goes there. The CPU takes it when it can. */
#define GIVEN(vector) (V_CONSTANT | V_IRQ | (uint64_t)(vector) << V_VECTOR_SHIFT)
static void qemu_takes_interrupts_by_itself(void **state)
{
    (void)state;
    page.irq = IRQ_VALID | 0x30;
    run(); /* the guest could take it, but something else came first */
    assert_int_equal(entered.control.event, 0);
    assert_int_equal(entered.control.interrupt, GIVEN(0x30));
    assert_int_equal(page.irq, IRQ_VALID | 0x30);
    page.irq = IRQ_VALID | 0x41; /* the monitor has a better one */
    block.save.rflags = RFLAGS_FIXED;
    exit_code = SVM_EXIT_HLT;
    takes = true;
    run();
    assert_int_equal(entered.control.interrupt, GIVEN(0x41));
    assert_int_equal(page.irq, IRQ_DELIVERED | 0x41);
    assert_int_equal(block.control.intercept_cr, INTERCEPT_CR4);
    page.irq = 0;
    run();
    assert_int_equal(entered.control.interrupt & V_IRQ, 0);
    assert_int_equal(page.irq, 0); /* taken once */
    page.irq = IRQ_VALID | 0x42;
    takes = false;
    run();
    page.irq = 0; /* withdrawn */
    run();
    assert_int_equal(entered.control.interrupt, V_CONSTANT);
    assert_int_equal(page.irq, 0);
}

/* It records an interrupted delivery as an exception's, with V_IRQ as it was: not taken, and nothing to repeat. */
static void qemu_begins_an_interrupted_interrupt_again(void **state)
{
    (void)state;
    const uint8_t vectors[] = {0x41, 0x0c}; /* the second: the 8259's in real mode */
    for (unsigned i = 0; i < 2; i++) {
        page.irq = IRQ_VALID | vectors[i];
        exit_code = SVM_EXIT_NPF;
        exit_event = EVENT_VALID | EVENT_EXCEPTION | vectors[i];
        run();
        assert_int_equal(page.irq, IRQ_VALID | vectors[i]);
        exit_event = EVENT_VALID | EVENT_EXCEPTION | 14;
        run();
        assert_int_equal(entered.control.event, 0);
        assert_int_equal(entered.control.interrupt, GIVEN(vectors[i]));
        exit_event = 0;
        takes = true;
        run(); /* another's delivery was interrupted: that is repeated */
        assert_int_equal(entered.control.event, EVENT_VALID | EVENT_EXCEPTION | 14);
        assert_int_equal(page.irq, IRQ_DELIVERED | vectors[i]);
        page.irq = 0;
        takes = false;
    }
}

/* The guest's, or no affair of its own; it also comes first where the monitor steps its guest. */
static void machine_checks(void **state)
{
    (void)state;
    exit_code = SVM_EXIT_EXCEPTION + VECTOR_MC;
    for (unsigned stepped = 0; stepped < 2; stepped++) {
        hw.held = stepped ? SHADOW_STEP : 0;
        exit_info1 = 0x1234;
        ends = true;
        outside = false;
        run();
        assert_int_equal(reason, EXIT_EXCEPTION);
        assert_int_equal(page.exit.exception.vector, VECTOR_MC);
        assert_int_equal(page.exit.exception.error_code, 0);
        assert_true(outside);
        ends = false;
        run();
        assert_int_equal(reason, EXIT_WAITING);
        assert_int_equal(block.control.event, 0); /* never the guest's own vector 18 */
    }
}

/* Exceptions and NMIs are delivered once: they stay in EVENTINJ. */
static void qemu_gets_its_exceptions_injected(void **state)
{
    (void)state;
    page.inject = INJECT_VALID | INJECT_TYPE_EXCEPTION | 6;
    page.irq = IRQ_VALID | 0x41;
    takes = true; /* behind the exception, whose gate may leave interrupts on */
    run();
    assert_int_equal(entered.control.event, EVENT_VALID | EVENT_EXCEPTION | 6);
    assert_int_equal(entered.control.interrupt, GIVEN(0x41));
    assert_int_equal(page.inject, 0);
    assert_int_equal(page.irq, IRQ_DELIVERED | 0x41);
}

/* It would take one before the HLT that may stand in the shadow. */
static void qemu_is_given_none_in_a_shadow(void **state)
{
    (void)state;
    page.irq = IRQ_VALID | 0x30;
    block.control.shadow = 1;
    armed = NEVER;
    run();
    assert_int_equal(entered.control.event, 0);
    assert_int_equal(entered.control.interrupt & V_IRQ, 0);
    assert_true(armed < NEVER);
    assert_int_equal(entered.control.intercept_cr, INTERCEPT_CR4 | INTERCEPT_CR8_WRITE);
    block.control.shadow = 0;
    block.save.rip++;
    takes = true;
    run();
    assert_int_equal(entered.control.interrupt, GIVEN(0x30));
    assert_int_equal(page.irq, IRQ_DELIVERED | 0x30);
}

/* The guest's CR8 is V_TPR. Only while an interrupt waits does a write of it concern the monitor. */
static void cr8(void **state)
{
    (void)state;
    block.control.interrupt |= 9;
    run();
    assert_int_equal(entered.control.intercept_cr, INTERCEPT_CR4);
    assert_int_equal(page.tpr, 9);
    page.irq = IRQ_HELD;
    run();
    assert_int_equal(entered.control.intercept_cr, INTERCEPT_CR4 | INTERCEPT_CR8_WRITE);
    assert_int_equal(entered.control.clean & CLEAN_INTERCEPTS, 0);
    assert_int_equal(entered.control.interrupt, V_CONSTANT | 9); /* no window */
    run();
    assert_int_equal(entered.control.intercept_cr, INTERCEPT_CR4 | INTERCEPT_CR8_WRITE);
    page.irq = 0;
    run();
    assert_int_equal(entered.control.intercept_cr, INTERCEPT_CR4);
    page.irq = IRQ_VALID | 0xa1; /* waits for its window: a new TPR may hold it back */
    block.save.rflags = RFLAGS_FIXED;
    run();
    assert_int_equal(entered.control.intercept_cr, INTERCEPT_CR4 | INTERCEPT_CR8_WRITE);
    block.save.rflags |= RFLAGS_IF;
    run();
    assert_int_equal(entered.control.event, EVENT_VALID | 0xa1);
    assert_int_equal(entered.control.intercept_cr, INTERCEPT_CR4);
    assert_int_equal(entered.control.interrupt, V_CONSTANT | 9);
}

/* QEMU forgets at VMRUN that it is in a shadow: where the guest has not moved since, it is in it still. */
static void a_shadow_outlives_an_entry(void **state)
{
    (void)state;
    exit_code = SVM_EXIT_INTR;
    block.save.rip = 0x100;
    block.control.shadow = 1;
    run();
    block.control.shadow = 0; /* what the next exit says */
    run();
    page.irq = IRQ_VALID | 0x30;
    armed = NEVER;
    run();
    assert_int_equal(entered.control.event, 0);
    assert_false(entered.control.interrupt & V_IRQ);
    assert_true(armed < NEVER);
    block.save.rip = 0x101;
    takes = true;
    run();
    assert_int_equal(page.irq, IRQ_DELIVERED | 0x30);

    /* but it may also be back there, in a loop that waits for just this interrupt */
    block.save.rip = 0x200;
    block.control.shadow = 1;
    run();
    block.control.shadow = 0;
    page.irq = IRQ_VALID | 0x31;
    for (unsigned i = 0; i < 8 && page.irq != (IRQ_DELIVERED | 0x31); i++)
        run();
    assert_int_equal(page.irq, IRQ_DELIVERED | 0x31);
}

/* On a CPU the window tells when the shadow is over, and what an exit says of the shadow is all there is to it. */
static void a_cpu_keeps_the_shadow_itself(void **state)
{
    (void)state;
    block.save.rip = 0x100;
    block.control.shadow = 1;
    page.irq = IRQ_VALID | 0x30;
    armed = NEVER;
    run();
    assert_int_equal(entered.control.event, 0);
    assert_true(entered.control.interrupt & V_IRQ);
    assert_true(armed == 1234); /* the deadline's, and no earlier one */
    block.control.shadow = 0;
    run();
    assert_int_equal(entered.control.event, EVENT_VALID | 0x30);
}

static void an_interrupted_event_goes_first(void **state)
{
    (void)state;
    exit_code = SVM_EXIT_NPF;
    exit_event = EVENT_VALID | EVENT_INTERRUPT | 0x41;
    run();
    assert_int_equal(reason, EXIT_MEMORY);
    page.inject = INJECT_VALID | INJECT_TYPE_EXCEPTION | 6;
    page.irq = IRQ_VALID | 0x50;
    exit_code = SVM_EXIT_INTR;
    exit_event = 0x41; /* stale, not valid */
    run();
    assert_int_equal(entered.control.event, EVENT_VALID | 0x41);
    assert_true(entered.control.interrupt & V_IRQ);
    assert_int_equal(page.inject, INJECT_VALID | INJECT_TYPE_EXCEPTION | 6);
    run();
    assert_int_equal(entered.control.event, EVENT_VALID | EVENT_EXCEPTION | 6);
    run();
    assert_int_equal(entered.control.event, EVENT_VALID | 0x50);
}

static void real_mode_has_no_error_codes(void **state)
{
    (void)state;
    block.save.cr0 = 0;
    page.inject = INJECT_VALID | INJECT_ERROR_CODE | INJECT_TYPE_EXCEPTION | 13;
    run();
    assert_int_equal(entered.control.event, EVENT_VALID | EVENT_EXCEPTION | 13);
}

static void nmi_until_iret(void **state)
{
    (void)state;
    page.inject = INJECT_VALID | INJECT_TYPE_NMI | 2;
    run();
    assert_int_equal(entered.control.event, EVENT_VALID | EVENT_NMI | 2);
    assert_true(entered.control.intercepts[0] & INTERCEPT(SVM_EXIT_IRET));
    page.inject = INJECT_VALID | INJECT_TYPE_NMI | 2; /* the next one waits */
    page.irq = IRQ_VALID | 0x30;
    block.save.rflags = RFLAGS_IF;
    exit_code = SVM_EXIT_IRET;
    run();
    assert_int_equal(entered.control.event, EVENT_VALID | 0x30);
    assert_int_equal(page.inject, INJECT_VALID | INJECT_TYPE_NMI | 2);
    assert_int_equal(reason, EXIT_IRET);
    svm_get(&cpu, GROUP_RIP);
    assert_int_equal(page.shadow, SHADOW_NMI);
    /* The monitor steps over it: any exception exits, with all that is known of it. */
    page.shadow = SHADOW_NMI | SHADOW_STEP;
    svm_put(&cpu, GROUP_RIP);
    exit_code = SVM_EXIT_EXCEPTION + 14;
    exit_info1 = 6;
    exit_info2 = 0xdead000;
    run();
    assert_int_equal(entered.control.event, 0);
    assert_int_equal(reason, EXIT_EXCEPTION);
    assert_int_equal(page.exit.exception.vector, 14);
    assert_int_equal(page.exit.exception.error_code, 6);
    assert_int_equal(page.exit.exception.address, 0xdead000);
    exit_code = SVM_EXIT_EXCEPTION + VECTOR_DB;
    run();
    assert_int_equal(reason, EXIT_EXCEPTION);
    assert_int_equal(page.exit.exception.vector, VECTOR_DB);
    page.shadow = 0;
    svm_put(&cpu, GROUP_RIP);
    run();
    assert_int_equal(entered.control.event, EVENT_VALID | EVENT_NMI | 2);
    assert_int_equal(page.inject, 0);
}

/* What must wait for another event's delivery comes before the first instruction behind it. */
static void an_nmi_behind_a_debug_exception(void **state)
{
    (void)state;
    page.advance = 2;
    page.inject = INJECT_VALID | INJECT_TYPE_NMI | 2;
    block.save.rflags = RFLAGS_FIXED | RFLAGS_TF;
    armed = NEVER;
    run();
    assert_int_equal(entered.control.event, EVENT_VALID | EVENT_EXCEPTION | VECTOR_DB);
    assert_true(armed > 1234 && armed < NEVER); /* the time now */
    run();
    assert_int_equal(entered.control.event, EVENT_VALID | EVENT_NMI | 2);
}

/* An instruction that Mullion carries out: RF is over with it, and if TF was set, #DB comes before the next one. */
static void the_end_of_an_instruction(void **state)
{
    (void)state;
    static const struct {
        uint64_t flags, after, event, dr6;
    } row[] = {
        {RFLAGS_FIXED, RFLAGS_FIXED, 0, 0xffff0ff0},
        {RFLAGS_FIXED | RFLAGS_RF, RFLAGS_FIXED, 0, 0xffff0ff0},
        {RFLAGS_FIXED | RFLAGS_RF | RFLAGS_TF, RFLAGS_FIXED | RFLAGS_TF, EVENT_VALID | EVENT_EXCEPTION | VECTOR_DB,
         0xffff4ff0},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(row); i++)
        for (unsigned by_kernel = 0; by_kernel < 2; by_kernel++) {
            block.save.rip = 0x100;
            block.save.rflags = row[i].flags;
            block.save.dr6 = 0xffff0ff0;
            block.control.event = 0;
            block.control.shadow = 1;
            page.advance = by_kernel ? 0 : 2;
            exit_code = by_kernel ? SVM_EXIT_WBINVD : SVM_EXIT_INTR;
            run();
            assert_int_equal(block.save.rip, 0x102);
            assert_int_equal(by_kernel ? block.control.event : entered.control.event, row[i].event);
            assert_int_equal(block.save.rflags, row[i].after);
            assert_int_equal(block.save.dr6, row[i].dr6);
            assert_int_equal(block.control.shadow, 0);
        }
}

static void own_exits(void **state)
{
    (void)state;
    exit_code = SVM_EXIT_INVD; /* skipped, never done */
    block.save.rip = 0x100;
    block.control.shadow = 1;
    run();
    assert_int_equal(block.save.rip, 0x102);
    assert_int_equal(block.control.shadow, 0);
    assert_int_equal(reason, EXIT_WAITING);

    exit_code = SVM_EXIT_EXCEPTION + VECTOR_AC;
    run();
    assert_int_equal(block.control.event, EVENT_VALID | EVENT_EXCEPTION | EVENT_ERROR_CODE | VECTOR_AC);
    exit_code = SVM_EXIT_EXCEPTION + VECTOR_DB;
    run();
    assert_int_equal(entered.control.event & EVENT_VECTOR, VECTOR_AC);
    assert_int_equal(block.control.event, EVENT_VALID | EVENT_EXCEPTION | VECTOR_DB);
    exit_event = EVENT_VALID | EVENT_EXCEPTION | VECTOR_DB;
    run();
    assert_int_equal(block.control.event, EVENT_VALID | EVENT_EXCEPTION | VECTOR_DB);
}

static void debug_registers_come_when_they_are_touched(void **state)
{
    (void)state;
    dr_loads = 0;
    block.save.rip = 0x100;
    const uint64_t codes[] = {SVM_EXIT_READ_DR0, SVM_EXIT_READ_DR0 + 3, SVM_EXIT_WRITE_DR0, SVM_EXIT_WRITE_DR0 + 7};
    for (unsigned i = 0; i < 4; i++) {
        exit_code = codes[i];
        run();
        assert_int_equal(reason, EXIT_WAITING);
        assert_int_equal(dr_loads, i + 1);
    }
    assert_int_equal(block.save.rip, 0x100); /* and it tries again */
    assert_int_equal(block.control.event, 0);
}

static void what_qemu_lets_through_is_mended(void **state)
{
    (void)state;
    block.save.dr7 = 1ull << 32 | 0x400;
    run();
    assert_int_equal(block.save.dr7, 0x400);
    emulator = EMULATOR_NONE; /* a CPU does not let it through: nothing is looked at */
    block.save.dr7 = 1ull << 32 | 0x400;
    run();
    assert_int_equal(block.save.dr7, 1ull << 32 | 0x400);
}

static void refusals(void **state)
{
    (void)state;
    emulator = EMULATOR_NONE;
    exit_code = 0xffffffffffffffff; /* a CPU's: the state stays */
    block.save.rip = 0x123;
    run();
    assert_int_equal(reason, EXIT_BAD_STATE);
    assert_int_equal(block.save.rip, 0x123);
    emulator = EMULATOR_QEMU;
    exit_code = SVM_EXIT_INVALID; /* QEMU's, while the guest ran: a bad MOV CR3 */
    run();
    assert_int_equal(reason, EXIT_WAITING);
    assert_int_equal(block.control.event, EVENT_VALID | EVENT_EXCEPTION | EVENT_ERROR_CODE | VECTOR_GP);
    exit_event = block.control.event; /* not delivered: so VMRUN refuses */
    run();
    assert_int_equal(reason, EXIT_BAD_STATE);
    assert_int_equal(block.save.rip, 0x123);
    assert_int_equal(block.control.event, 0);
    exit_event = 0;
    block.save.rip = (uint64_t)svm_vmrun; /* refused early: the host's registers, not to be seen, and the host's
                                             interrupts, which the guest must not hold */
    block.control.interrupt = 0;
    run();
    assert_int_equal(reason, EXIT_BAD_STATE);
    assert_int_equal(block.control.interrupt, V_CONSTANT);
    const struct vmcb_save empty = {.efer = EFER_SVME, .cr4 = CR4_MCE, .pat = PAT_GUEST};
    assert_memory_equal(&block.save, &empty, sizeof empty);
    exit_code = SVM_EXIT_INTR;
    run();
    assert_int_equal(entered.control.tlb_control, TLB_FLUSH_ALL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(registers_and_flushes, fresh),
        cmocka_unit_test_setup(asids_are_never_shared, fresh),
        cmocka_unit_test_setup(injection, fresh_cpu),
        cmocka_unit_test_setup(interrupts_wait_for_the_window, fresh_cpu),
        cmocka_unit_test_setup(qemu_takes_interrupts_by_itself, fresh),
        cmocka_unit_test_setup(qemu_begins_an_interrupted_interrupt_again, fresh),
        cmocka_unit_test_setup(qemu_gets_its_exceptions_injected, fresh),
        cmocka_unit_test_setup(qemu_is_given_none_in_a_shadow, fresh),
        cmocka_unit_test_setup(cr8, fresh_cpu),
        cmocka_unit_test_setup(a_shadow_outlives_an_entry, fresh),
        cmocka_unit_test_setup(a_cpu_keeps_the_shadow_itself, fresh_cpu),
        cmocka_unit_test_setup(an_interrupted_event_goes_first, fresh_cpu),
        cmocka_unit_test_setup(real_mode_has_no_error_codes, fresh),
        cmocka_unit_test_setup(machine_checks, fresh),
        cmocka_unit_test_setup(nmi_until_iret, fresh_cpu),
        cmocka_unit_test_setup(an_nmi_behind_a_debug_exception, fresh),
        cmocka_unit_test_setup(the_end_of_an_instruction, fresh),
        cmocka_unit_test_setup(own_exits, fresh),
        cmocka_unit_test_setup(debug_registers_come_when_they_are_touched, fresh),
        cmocka_unit_test_setup(what_qemu_lets_through_is_mended, fresh),
        cmocka_unit_test_setup(refusals, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
