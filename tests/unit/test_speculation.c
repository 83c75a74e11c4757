// SPDX-License-Identifier: Apache-2.0
// sources: arch/x86_64/speculation.c
// libs: -include tests/unit/fake_cpu.h
/* Which CPUs need which barrier between domains. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "arch/x86_64/speculation.h"

/* What the rest of the file calls; not used here. */
struct cpu *this_cpu(void)
{
    return NULL;
}
void klog(int level, const char *format, ...)
{
    (void)level, (void)format;
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_cannot_be_done_is_not_tried),
        cmocka_unit_test(an_old_intel_cpu_with_new_microcode),
        cmocka_unit_test(immune_intel_cpus_pay_nothing),
        cmocka_unit_test(amd_cpus),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
