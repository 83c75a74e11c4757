// SPDX-License-Identifier: Apache-2.0
// sources: svm/svm_exit.c svm/svm_bitmaps.c svm/svm_probe.c
/* AMD-V's pure decisions: exits in the common form, interrupted events, bitmaps, what a CPU lacks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "mullion/regs.h"
#include "svm/svm.h"

static struct vmcb block;
static struct vcpu_exit out;

static struct vmcb *exit_with(uint64_t code, uint64_t info1, uint64_t info2)
{
    memset(&block, 0, sizeof block);
    memset(&out, 0xa5, sizeof out);
    block.control.exit_code = code;
    block.control.exit_info1 = info1;
    block.control.exit_info2 = info2;
    block.save.rip = 0x1000;
    return &block;
}

/* AMD APM vol. 2, 15.14.1 */
static void task_switches(void **state)
{
    (void)state;
    static const struct {
        uint64_t info2, event;
        uint32_t by;
    } rows[] = {
        {0, 0, TASK_BY_CALL},
        {1ull << 36, 0, TASK_BY_IRET},
        {1ull << 38, 0, TASK_BY_JUMP},
        {0, EVENT_VALID | 0x340, TASK_BY_GATE},
        {1ull << 44 | 0x10, EVENT_VALID | 0x30d, TASK_BY_GATE},
        {0, 0x340, TASK_BY_CALL}, /* stale */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct vmcb *b = exit_with(SVM_EXIT_TASK_SWITCH, 0xffff0028, rows[i].info2);
        b->control.exit_event = rows[i].event;
        assert_int_equal(svm_translate(b, 0, 0, &out), EXIT_TASK_SWITCH);
        assert_int_equal(out.task.info, 0x28 | rows[i].by << 30);
        assert_int_equal(out.insn_len, 0);
    }
}

static void simple_exits(void **state)
{
    (void)state;
    static const struct {
        uint64_t code, info1;
        uint32_t reason, length;
    } rows[] = {
        {SVM_EXIT_CPUID, 0, EXIT_CPUID, 2},
        {SVM_EXIT_HLT, 0, EXIT_HLT, 1},
        {SVM_EXIT_READ_CR0 + 8, 0, EXIT_UNKNOWN, 0}, /* not asked for: the CPU has CR8 */
        {SVM_EXIT_WRITE_CR0 + 8, 0, EXIT_CR_WRITE, 0},
        {SVM_EXIT_READ_CR0 + 4, 0, EXIT_CR_READ, 0},
        {SVM_EXIT_WRITE_CR0 + 4, 0, EXIT_CR_WRITE, 0},
        {SVM_EXIT_WRITE_CR0 + 3, 0, EXIT_UNKNOWN, 0},
        {SVM_EXIT_READ_CR0, 0, EXIT_CR_READ, 0},
        {SVM_EXIT_WRITE_CR0, 0, EXIT_CR_WRITE, 0},
        {SVM_EXIT_CR0_SELECTIVE, 0, EXIT_CR_WRITE, 0},
        {SVM_EXIT_MSR, 0, EXIT_RDMSR, 2},
        {SVM_EXIT_MSR, 1, EXIT_WRMSR, 2},
        {SVM_EXIT_VMMCALL, 0, EXIT_HYPERCALL, 3},
        {SVM_EXIT_XSETBV, 0, EXIT_XSETBV, 3},
        {SVM_EXIT_INVD, 0, EXIT_NONE, 2},
        {SVM_EXIT_VINTR, 0, EXIT_WAITING, 0},
        {SVM_EXIT_INTR, 0, EXIT_WAITING, 0},
        {SVM_EXIT_NMI, 0, EXIT_WAITING, 0},
        {SVM_EXIT_SHUTDOWN, 0, EXIT_TRIPLE_FAULT, 0},
        {SVM_EXIT_INIT, 0, EXIT_SHUTDOWN, 0},
        {SVM_EXIT_TASK_SWITCH, 0, EXIT_TASK_SWITCH, 0},
        {SVM_EXIT_VMRUN, 0, EXIT_INVALID_OPCODE_WANTED, 0},
        {SVM_EXIT_RDPMC, 0, EXIT_INVALID_OPCODE_WANTED, 0},
        {SVM_EXIT_MWAIT_ARMED, 0, EXIT_INVALID_OPCODE_WANTED, 0},
        {SVM_EXIT_EXCEPTION + VECTOR_DB, 0, EXIT_NONE, 0},
        {SVM_EXIT_EXCEPTION + VECTOR_MC, 0, EXIT_NONE, 0}, /* own_exit looks at the banks */
        {SVM_EXIT_FERR_FREEZE, 0, EXIT_UNKNOWN, 0},
        {0x7777, 0, EXIT_UNKNOWN, 0},
        {0xffffffff, 0, EXIT_BAD_STATE, 0},         /* QEMU */
        {0xffffffffffffffff, 0, EXIT_BAD_STATE, 0}, /* hardware */
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        out.reason = svm_translate(exit_with(rows[i].code, rows[i].info1, 0), 0, 0x1c0000080, &out);
        assert_int_equal(out.reason, rows[i].reason);
        if (out.reason == EXIT_WAITING || out.reason == EXIT_NONE)
            continue; /* there is no record */
        assert_int_equal(out.insn_len, rows[i].length);
        assert_int_equal(out.detail, rows[i].code);
    }
    out.reason = svm_translate(exit_with(SVM_EXIT_WRITE_CR0 + 8, 0, 0), 0, ~0ull, &out);
    assert_int_equal(out.cr.known, 0); /* the monitor decodes it, whatever the guest had in rcx */
    struct vmcb *decoded = exit_with(SVM_EXIT_WRITE_CR0 + 8, CR_DECODED | 9, 0);
    decoded->control.next_rip = 0x1004;
    assert_int_equal(svm_translate(decoded, SVM_FEATURE_NRIPS, 0, &out), EXIT_CR_WRITE);
    assert_int_equal(out.cr.known, 0); /* without decode assists the field means nothing */
    assert_int_equal(svm_translate(decoded, SVM_FEATURE_NRIPS | SVM_FEATURE_DECODES, 0, &out), EXIT_CR_WRITE);
    assert_int_equal(out.cr.known, 1);
    assert_int_equal(out.cr.number, 8);
    assert_int_equal(out.cr.gpr, GPR_R9);
    decoded->control.exit_code = SVM_EXIT_READ_CR0 + 4;
    assert_int_equal(svm_translate(decoded, SVM_FEATURE_NRIPS | SVM_FEATURE_DECODES, 0, &out), EXIT_CR_READ);
    assert_int_equal(out.cr.known, 1);
    assert_int_equal(out.cr.number, 4);
    assert_int_equal(out.insn_len, 4);
    static const uint64_t of_cr0[] = {SVM_EXIT_READ_CR0, SVM_EXIT_WRITE_CR0, SVM_EXIT_CR0_SELECTIVE};
    for (size_t i = 0; i < ARRAY_SIZE(of_cr0); i++) { /* the record has no value for the monitor: it decodes */
        decoded->control.exit_code = of_cr0[i];
        (void)svm_translate(decoded, SVM_FEATURE_NRIPS | SVM_FEATURE_DECODES, 0, &out);
        assert_int_equal(out.cr.known, 0);
    }
    out.reason = svm_translate(exit_with(SVM_EXIT_MSR, 1, 0), 0, 0x1c0000080, &out);
    assert_int_equal(out.msr.index, 0xc0000080); /* ecx alone counts */
}

static void next_rip_gives_the_length(void **state)
{
    (void)state;
    struct vmcb *b = exit_with(SVM_EXIT_CPUID, 0, 0);
    b->control.next_rip = 0x1003; /* a prefix */
    out.reason = svm_translate(b, SVM_FEATURE_NRIPS, 0, &out);
    assert_int_equal(out.insn_len, 3);
    out.reason = svm_translate(b, 0, 0, &out); /* stale field on a CPU without it */
    assert_int_equal(out.insn_len, 2);
    b->control.next_rip = 0x2000; /* nonsense stays "not known" */
    out.reason = svm_translate(b, SVM_FEATURE_NRIPS, 0, &out);
    assert_int_equal(out.insn_len, 0);
}

static void ports(void **state)
{
    (void)state;
    out.reason = svm_translate(exit_with(SVM_EXIT_IOIO, 0x03f8u << 16 | 1u << 4 | IO_IN, 0x1002), 0, 0, &out);
    assert_int_equal(out.reason, EXIT_PORT);
    assert_int_equal(out.port.port, 0x3f8);
    assert_int_equal(out.port.size, 1);
    assert_int_equal(out.port.in, 1);
    assert_int_equal(out.port.string, 0);
    assert_int_equal(out.insn_len, 2);
    out.reason = svm_translate(exit_with(SVM_EXIT_IOIO, 0xcfcu << 16 | 4u << 4 | IO_STRING | IO_REP, 0x1003), 0, 0,
                               &out);
    assert_int_equal(out.reason, EXIT_PORT | RUN_DECODE);
    assert_int_equal(out.port.size, 4);
    assert_int_equal(out.port.in, 0);
    assert_int_equal(out.port.string, 1);
    assert_int_equal(out.port.rep, 1);
    assert_int_equal(out.insn_len, 3);
}

static void nested_page_faults(void **state)
{
    (void)state;
    out.reason = svm_translate(exit_with(SVM_EXIT_NPF, 1ull << 32 | 4, 0xfee00300), SVM_FEATURE_NRIPS, 0, &out);
    assert_int_equal(out.reason, EXIT_MEMORY);
    assert_int_equal(out.memory.gpa, 0xfee00300);
    assert_int_equal(out.memory.read, 1);
    assert_int_equal(out.memory.write, 0);
    assert_int_equal(out.memory.fetch, 0);
    assert_int_equal(out.memory.in_walk, 0);
    assert_int_equal(out.memory.gva_valid, 0);
    assert_int_equal(out.insn_len, 0);
    out.reason = svm_translate(exit_with(SVM_EXIT_NPF, NPF_IN_WALK | NPF_WRITE, 0x5000), SVM_FEATURE_NRIPS, 0, &out);
    assert_int_equal(out.memory.write, 1);
    assert_int_equal(out.memory.read, 0);
    assert_int_equal(out.memory.in_walk, 1);
    out.reason = svm_translate(exit_with(SVM_EXIT_NPF, NPF_FETCH, 0x5000), SVM_FEATURE_NRIPS, 0, &out);
    assert_int_equal(out.memory.fetch, 1);
    assert_int_equal(out.memory.read, 0);
}

static void interrupted_events(void **state)
{
    (void)state;
    assert_int_equal(svm_interrupted_event(0x5500000330), 0); /* stale: no valid bit */
    uint64_t interrupt = EVENT_VALID | EVENT_INTERRUPT | 0x41;
    assert_int_equal(svm_interrupted_event(interrupt), interrupt);
    assert_int_equal(svm_interrupted_event(EVENT_VALID | EVENT_NMI | 2), EVENT_VALID | EVENT_NMI | 2);
    uint64_t fault = 6ull << 32 | EVENT_VALID | EVENT_EXCEPTION | EVENT_ERROR_CODE | 14;
    assert_int_equal(svm_interrupted_event(fault), fault);
    assert_int_equal(svm_interrupted_event(6ull << 32 | EVENT_VALID | EVENT_EXCEPTION | 6),
                     EVENT_VALID | EVENT_EXCEPTION | 6);
    assert_int_equal(svm_interrupted_event(EVENT_VALID | EVENT_SOFTWARE | 0x80), 0); /* done again by the guest */
    assert_int_equal(svm_interrupted_event(EVENT_VALID | EVENT_EXCEPTION | VECTOR_BP), 0);
}

uint32_t speculation_msrs;
static bool open_to(uint32_t bit, unsigned rights)
{
    return ((unsigned)svm_msrpm[bit / 8] >> bit % 8 & 3) == (3 & ~rights);
}

static void bitmaps_deny_by_default(void **state)
{
    (void)state;
    svm_bitmaps_init(SVM_FEATURE_NPT | SVM_FEATURE_NRIPS);
    for (size_t i = 0; i < IOPM_BYTES; i++)
        assert_int_equal(svm_iopm[i], 0xff);
    assert_true(open_to(0x174 * 2, MSR_READ | MSR_WRITE));          /* SYSENTER_CS */
    assert_true(open_to(0x4000 + 0x82 * 2, MSR_READ | MSR_WRITE));  /* LSTAR */
    assert_true(open_to(0x4000 + 0x102 * 2, MSR_READ | MSR_WRITE)); /* KERNEL_GS_BASE */
    assert_true(open_to(0x4000 + 0x80 * 2, 0));                     /* EFER */
    assert_true(open_to(0x1b * 2, 0));                              /* APIC_BASE */
    assert_true(open_to(0x48 * 2, 0));                              /* SPEC_CTRL */
    assert_true(open_to(0x1d9 * 2, 0));                             /* DEBUGCTL */
    assert_true(open_to(0x277 * 2, 0));                             /* PAT */
    assert_true(open_to(0x8000 + 0x117 * 2, 0));                    /* VM_HSAVE_PA */
    unsigned closed = 0;
    for (uint32_t bit = 0; bit < MSRPM_BYTES * 8; bit += 2)
        closed += open_to(bit, 0);
    assert_int_equal(closed, MSRPM_BYTES * 4 - 11);
    speculation_msrs = GUEST_PRED_CMD;
    svm_bitmaps_init(~SVM_FEATURE_SPEC_CTRL);
    assert_true(open_to(0x48 * 2, 0) && open_to(0x49 * 2, MSR_WRITE));
    speculation_msrs = 0;
    svm_bitmaps_init(SVM_FEATURE_SPEC_CTRL);
    assert_true(open_to(0x48 * 2, MSR_READ | MSR_WRITE) && open_to(0x49 * 2, 0));
    static uint8_t map[MSRPM_BYTES];
    memset(map, 0xff, sizeof map);
    svm_msr_allow(map, 0xc0010117, MSR_WRITE);
    assert_int_equal(map[0x1000 + 0x117 / 4], 0x7f);
    svm_msr_allow(map, 0x1fff, MSR_READ);
    assert_int_equal(map[0x7ff], 0xbf);
}

static void what_is_lacking(void **state)
{
    (void)state;
    struct svm_abilities a = {.svm = true, .features = SVM_FEATURE_NPT, .asids = 16};
    assert_int_equal(svm_lacks(&a), LACK_NOTHING);
    a.vm_cr = VM_CR_SVMDIS; /* off, but we may turn it on */
    assert_int_equal(svm_lacks(&a), LACK_NOTHING);
    a.vm_cr |= VM_CR_LOCK;
    assert_int_equal(svm_lacks(&a), LACK_SVM_UNLOCKED);
    a.vm_cr = VM_CR_LOCK;
    a.features = SVM_FEATURE_NRIPS;
    assert_int_equal(svm_lacks(&a), LACK_SVM_NPT);
    a.features = SVM_FEATURE_NPT;
    a.asids = 1;
    assert_int_equal(svm_lacks(&a), LACK_SVM_ASIDS);
    a.asids = 16;
    a.svm = false;
    assert_int_equal(svm_lacks(&a), LACK_SVM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(simple_exits),
        cmocka_unit_test(task_switches),
        cmocka_unit_test(next_rip_gives_the_length),
        cmocka_unit_test(ports),
        cmocka_unit_test(nested_page_faults),
        cmocka_unit_test(interrupted_events),
        cmocka_unit_test(bitmaps_deny_by_default),
        cmocka_unit_test(what_is_lacking),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
