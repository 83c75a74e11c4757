// SPDX-License-Identifier: Apache-2.0
// sources: arch/x86_64/speculation.c
// libs: -DFAKE_CPUID -include tests/unit/fake_cpu.h
/* Which CPUs need which barrier between domains, and what guests may do about speculation themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86_64/speculation.h"
#include "mullion/regs.h"

/* What the rest of the file calls; not used here. */
struct cpu *this_cpu(void)
{
    return NULL;
}
void klog(int level, const char *format, ...)
{
    (void)level, (void)format;
}

/* A CPU: what CPUID and IA32_ARCH_CAPABILITIES say, and what is written to its MSRs. */
static struct speculation_facts here;
static uint64_t spec_ctrl, efer;
static unsigned writes, reads;
struct cpuid_regs cpuid(uint32_t leaf, uint32_t subleaf)
{
    struct cpuid_regs r = {0};
    if (leaf == 0) {
        r.eax = 7;
        memcpy(&r.ebx, here.amd ? "Auth" : "Genu", 4);
    } else if (leaf == 7) {
        r.eax = 2;
        r.ebx = subleaf == 0 ? here.leaf7_ebx : 0;
        r.edx = subleaf == 0 ? here.leaf7_edx : subleaf == 2 ? here.leaf7_2_edx : 0;
    } else if (leaf == 0x80000000) {
        r.eax = 0x80000021;
    } else if (leaf == 0x80000008) {
        r.ebx = here.amd8_ebx;
    } else if (leaf == 0x80000021) {
        r.eax = here.amd21_eax;
        r.ecx = here.amd21_ecx;
    }
    return r;
}
uint64_t rdmsr(uint32_t msr)
{
    reads += msr == MSR_SPEC_CTRL;
    if (msr == MSR_ARCH_CAPABILITIES)
        return here.capabilities;
    return msr == MSR_SPEC_CTRL ? spec_ctrl : efer;
}
void wrmsr(uint32_t msr, uint64_t value)
{
    if (msr == MSR_SPEC_CTRL)
        spec_ctrl = value;
    if (msr == MSR_EFER)
        efer = value;
    writes++;
}
static void power_on(struct speculation_facts facts)
{
    here = facts;
    spec_ctrl = efer = 0;
    assert_int_equal(speculation_init(false, false), facts.capabilities);
    speculation_cpu();
    writes = reads = 0;
}

#define INTEL(...) speculation_needs(&(struct speculation_facts){__VA_ARGS__})
#define AMD(...)   speculation_needs(&(struct speculation_facts){.amd = true, __VA_ARGS__})
#define MD_CLEAR   (1u << 10)
#define IBPB       (1u << 26)
#define L1D        (1u << 28)

static void what_cannot_be_done_is_not_tried(void **state)
{
    (void)state;
    assert_int_equal(INTEL(), OPEN_TO_MELTDOWN); /* an old CPU without new microcode */
    assert_int_equal(AMD(), 0);
}

static void an_old_intel_cpu_with_new_microcode(void **state)
{
    (void)state;
    assert_int_equal(INTEL(.leaf7_edx = MD_CLEAR | IBPB | L1D),
                     BARRIER_PREDICTOR | BARRIER_L1D | BARRIER_BUFFERS | OPEN_TO_MELTDOWN);
    assert_int_equal(INTEL(.leaf7_edx = L1D, .capabilities = 1 << 3), OPEN_TO_MELTDOWN); /* SKIP_L1DFL_VMENTRY */
}

static void immune_intel_cpus_pay_nothing(void **state)
{
    (void)state;
    const uint64_t rdcl_no = 1, ibrs_all = 2, mds_no = 1 << 5, taa_no = 1 << 8, mmio_no = 7 << 13, fb_clear = 1 << 17;
    const uint32_t all = MD_CLEAR | IBPB | L1D, rtm = 1u << 11;
    assert_int_equal(INTEL(.leaf7_edx = all, .capabilities = rdcl_no | ibrs_all | mds_no | taa_no | mmio_no),
                     BARRIER_PREDICTOR | KEEP_PREDICTIONS);
    assert_int_equal(INTEL(.leaf7_edx = all, .capabilities = rdcl_no | mds_no), BARRIER_PREDICTOR);
    /* Safe from MDS, but not from TSX asynchronous abort, where there is TSX */
    assert_int_equal(INTEL(.leaf7_edx = all, .leaf7_ebx = rtm, .capabilities = rdcl_no | mds_no),
                     BARRIER_PREDICTOR | BARRIER_BUFFERS);
    assert_int_equal(INTEL(.leaf7_edx = all, .leaf7_ebx = rtm, .capabilities = rdcl_no | mds_no | taa_no),
                     BARRIER_PREDICTOR);
    /* Stale data of MMIO: VERW clears if FB_CLEAR says so; one of the three open is enough */
    assert_int_equal(INTEL(.capabilities = rdcl_no | mds_no | fb_clear), BARRIER_BUFFERS);
    assert_int_equal(INTEL(.capabilities = rdcl_no | mds_no | fb_clear | (3 << 13)), BARRIER_BUFFERS);
    assert_int_equal(INTEL(.capabilities = rdcl_no | mds_no | fb_clear | mmio_no), 0);
}

static void amd_cpus(void **state)
{
    (void)state;
    assert_int_equal(AMD(.amd8_ebx = 1u << 12), BARRIER_PREDICTOR);
    assert_int_equal(AMD(.amd21_eax = 1u << 8), KEEP_PREDICTIONS);
    assert_int_equal(AMD(.amd21_eax = 1u << 5), BARRIER_BUFFERS);
    assert_int_equal(AMD(.amd21_eax = 1u << 5, .amd21_ecx = 1u << 1),
                     BARRIER_BUFFERS); /* one of the two TSA kinds is left */
    assert_int_equal(AMD(.amd21_eax = 1u << 5, .amd21_ecx = 3u << 1), 0);
    assert_int_equal(AMD(.leaf7_edx = ~0u), 0); /* Intel's bits say nothing here */
}

static void what_a_guest_may_set(void **state)
{
    (void)state;
    struct speculation_facts f = {0};
    assert_int_equal(speculation_controls(&f), 0);
    static const struct {
        uint32_t leaf7_edx, leaf7_2_edx;
        uint64_t bits;
    } intel[] = {
        {1u << 26, 0, 1}, {1u << 27, 0, 2}, {1u << 31, 0, 4}, {0, 1, 0x80},    {0, 2, 0x18},
        {0, 4, 0x60},     {0, 8, 0x100},    {0, 16, 0x400},   {0, 1u << 5, 0}, {~0u & ~(7u << 26 | 1u << 31), 0, 0}};
    for (unsigned i = 0; i < sizeof intel / sizeof intel[0]; i++) {
        f = (struct speculation_facts){.leaf7_edx = intel[i].leaf7_edx, .leaf7_2_edx = intel[i].leaf7_2_edx};
        assert_int_equal(speculation_controls(&f), intel[i].bits);
    }
    f = (struct speculation_facts){.amd8_ebx = ~0u};
    assert_int_equal(speculation_controls(&f), 0); /* that word is AMD's */
    static const struct {
        uint32_t ebx;
        uint64_t bits;
    } amd[] = {{1u << 14, 1}, {1u << 15, 2}, {1u << 24, 4}, {1u << 28, 0x80}, {~(3u << 14 | 1u << 24 | 1u << 28), 0}};
    for (unsigned i = 0; i < sizeof amd / sizeof amd[0]; i++) {
        f = (struct speculation_facts){.amd = true, .amd8_ebx = amd[i].ebx, .leaf7_edx = ~0u, .leaf7_2_edx = ~0u};
        assert_int_equal(speculation_controls(&f), amd[i].bits);
    }
}

/* Enhanced IBRS: the host's bits stay, the MSR is never read, and written only for a guest that wants more. */
static void a_guest_on_a_new_intel_cpu(void **state)
{
    (void)state;
    power_on((struct speculation_facts){.leaf7_edx = 7u << 26 | 1u << 29 | 1u << 31, .capabilities = 3});
    assert_int_equal(spec_ctrl, 1);
    assert_int_equal(speculation_msrs, GUEST_PRED_CMD);
    uint64_t value;
    assert_false(speculation_guest(0, &value) || speculation_guest(1, &value));
    assert_int_equal(value, 1);
    speculation_to_guest(value);
    speculation_to_host(&value);
    assert_int_equal(writes + reads, 0);
    assert_true(speculation_guest(0xfffffffffffffff4, &value)); /* what the CPU does not have would fault */
    assert_int_equal(value, 5);
    speculation_to_guest(value);
    assert_int_equal(spec_ctrl, 5);
    speculation_to_host(&value);
    assert_int_equal(spec_ctrl, 1);
    assert_int_equal(value, 5);
    assert_int_equal(reads, 0);
}

/* Without it the host has none of the bits, and the guest has the MSR for itself. */
static void a_guest_on_an_old_intel_cpu(void **state)
{
    (void)state;
    power_on((struct speculation_facts){.leaf7_edx = 7u << 26 | 1u << 31});
    assert_int_equal(spec_ctrl, 0);
    assert_int_equal(speculation_msrs, GUEST_PRED_CMD | GUEST_SPEC_CTRL);
    uint64_t value;
    assert_false(speculation_guest(8, &value));
    assert_true(speculation_guest(1, &value));
    speculation_to_guest(value);
    assert_int_equal(spec_ctrl, 1);
    spec_ctrl = 6; /* without an exit */
    speculation_to_host(&value);
    assert_int_equal(spec_ctrl, 0);
    assert_int_equal(value, 6);
    speculation_to_guest(value);
    assert_int_equal(spec_ctrl, 6);
    spec_ctrl = 0;
    writes = 0;
    speculation_to_host(&value);
    speculation_to_guest(value);
    assert_int_equal(writes, 0); /* it is as the host's */
}

static void a_guest_where_there_is_nothing(void **state)
{
    (void)state;
    power_on((struct speculation_facts){.leaf7_edx = 1u << 10});
    uint64_t value;
    assert_int_equal(speculation_msrs & GUEST_PRED_CMD, 0);
    assert_false(speculation_guest(~0ull, &value));
    power_on((struct speculation_facts){.amd = true});
    assert_int_equal(speculation_msrs, 0);
    assert_false(speculation_guest(~0ull, &value));
}

static void a_guest_on_amd(void **state)
{
    (void)state;
    power_on((struct speculation_facts){
        .amd = true, .amd8_ebx = 1u << 12 | 1u << 14 | 1u << 15 | 1u << 24, .amd21_eax = 1u << 8});
    assert_int_equal(efer, 1u << 21); /* automatic IBRS is in EFER, which each entry switches */
    assert_int_equal(spec_ctrl, 0);
    assert_int_equal(speculation_msrs, GUEST_PRED_CMD);
    uint64_t value;
    assert_true(speculation_guest(0xff, &value));
    assert_int_equal(value, 7);
    speculation_to_guest(value);
    assert_int_equal(spec_ctrl, 7);
    speculation_to_host(&value);
    assert_int_equal(spec_ctrl, 0);
    assert_int_equal(reads, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_cannot_be_done_is_not_tried),
        cmocka_unit_test(an_old_intel_cpu_with_new_microcode),
        cmocka_unit_test(immune_intel_cpus_pay_nothing),
        cmocka_unit_test(amd_cpus),
        cmocka_unit_test(what_a_guest_may_set),
        cmocka_unit_test(a_guest_on_a_new_intel_cpu),
        cmocka_unit_test(a_guest_on_an_old_intel_cpu),
        cmocka_unit_test(a_guest_where_there_is_nothing),
        cmocka_unit_test(a_guest_on_amd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
