// SPDX-License-Identifier: Apache-2.0
// sources: arch/x86_64/speculation.c services/root/speculation.c lib/print.c
// libs: -DFAKE_CPUID -include tests/unit/fake_cpu.h
/* Which CPUs need which barrier between domains, what the log says of them, and what guests may do themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86_64/speculation.h"
#include "mullion/regs.h"
#include "services/root/speculation.h"

/* What the headers want; not used here. */
struct cpu *this_cpu(void)
{
    return NULL;
}

/* A CPU: what CPUID and IA32_ARCH_CAPABILITIES say, and what is written to its MSRs. */
static struct speculation_facts here;
static uint64_t spec_ctrl, efer, de_cfg;
static bool hypervisor;
static unsigned writes, reads;
struct cpuid_regs cpuid(uint32_t leaf, uint32_t subleaf)
{
    struct cpuid_regs r = {0};
    if (leaf == 0) {
        r.eax = 7;
        memcpy(&r.ebx, here.amd ? "Auth" : "Genu", 4);
    } else if (leaf == 1) {
        r.eax = here.signature;
        r.ecx = hypervisor ? 1u << 31 : 0;
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
    return msr == MSR_SPEC_CTRL ? spec_ctrl : msr == MSR_DE_CFG ? de_cfg : efer;
}
void wrmsr(uint32_t msr, uint64_t value)
{
    if (msr == MSR_SPEC_CTRL)
        spec_ctrl = value;
    if (msr == MSR_EFER)
        efer = value;
    if (msr == MSR_DE_CFG)
        de_cfg = value;
    writes++;
}
static uint32_t power_on(struct speculation_facts facts)
{
    here = facts;
    spec_ctrl = efer = de_cfg = 0;
    uint64_t capabilities;
    uint32_t in_force = speculation_init(false, false, &capabilities);
    assert_int_equal(capabilities, facts.capabilities);
    speculation_cpu();
    writes = reads = 0;
    return in_force;
}

#define INTEL(...) speculation_needs(&(struct speculation_facts){__VA_ARGS__})
#define AMD(...)   speculation_needs(&(struct speculation_facts){.amd = true, __VA_ARGS__})
#define MD_CLEAR   (1u << 10)
#define IBPB       (1u << 26)
#define L1D        (1u << 28)

static void what_cannot_be_done_is_not_tried(void **state)
{
    (void)state;
    assert_int_equal(INTEL(), 0); /* an old CPU without new microcode */
    assert_int_equal(AMD(), 0);
}

static void an_old_intel_cpu_with_new_microcode(void **state)
{
    (void)state;
    assert_int_equal(INTEL(.leaf7_edx = MD_CLEAR | IBPB | L1D), BARRIER_PREDICTOR | BARRIER_L1D | BARRIER_BUFFERS);
    assert_int_equal(INTEL(.leaf7_edx = L1D, .capabilities = 1 << 3), 0); /* SKIP_L1DFL_VMENTRY */
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
    /* Register file data: RFDS_CLEAR says that VERW clears */
    assert_int_equal(INTEL(.capabilities = rdcl_no | mds_no | 1 << 28), BARRIER_BUFFERS);
    assert_int_equal(INTEL(.capabilities = rdcl_no | mds_no | 3 << 27), 0);
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

/* Zen 2, but not under a hypervisor, which may refuse the write. */
static void zenbleed(void **state)
{
    (void)state;
    static const struct {
        uint32_t signature;
        bool zen_2;
    } rows[] = {{0x830f10, true},  {0x840f10, true},  {0x860f01, true},  {0x870f10, true},  {0x890f00, true},
                {0x8a0f00, true},  {0x800f11, false}, {0x810f80, false}, {0x820f01, false}, {0x850f00, false},
                {0x880f00, false}, {0xa20f10, false}, {0x600f20, false}, {0, false}};
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct speculation_facts f = {.amd = true, .signature = rows[i].signature};
        assert_int_equal(power_on(f), rows[i].zen_2 ? FIX_ZENBLEED : 0);
        assert_int_equal(de_cfg, rows[i].zen_2 ? 1u << 9 : 0);
        hypervisor = true;
        assert_int_equal(power_on(f), 0);
        assert_int_equal(de_cfg, 0);
        hypervisor = false;
    }
    assert_int_equal(power_on((struct speculation_facts){.signature = 0x830f10}), 0); /* Intel has no such family */
}

static void branch_history(void **state)
{
    (void)state;
    const struct speculation_facts f = {.leaf7_edx = 1u << 26 | 1u << 29, .leaf7_2_edx = 1u << 4, .capabilities = 2};
    struct speculation_facts other = f;
    (void)power_on(f);
    assert_int_equal(spec_ctrl, 0x401);
    uint64_t value;
    assert_false(speculation_guest(1, &value)); /* it stays on for a guest that does not care */
    assert_int_equal(value, 0x401);
    other.capabilities |= 1 << 20; /* BHI_NO */
    (void)power_on(other);
    assert_int_equal(spec_ctrl, 1);
    other = f;
    other.leaf7_2_edx = 0;
    (void)power_on(other);
    assert_int_equal(spec_ctrl, 1);
}

/* The readers' table against ring 0: made-up CPUs, each with one thing in which it differs. */
static enum speculation_state state_of(const char *name, const struct speculation_cpu *c, uint32_t in_force)
{
    enum speculation_state found = SPECULATION_SAFE;
    unsigned rows = 0;
    for (size_t i = 0; i < speculation_row_count; i++) {
        if (strcmp(speculation_rows[i].name, name) != 0 || speculation_rows[i].amd != c->amd)
            continue;
        enum speculation_state here = speculation_state(&speculation_rows[i], c, in_force);
        assert_true(here == SPECULATION_SAFE || found == SPECULATION_SAFE); /* of two rows one is about this CPU */
        found = here != SPECULATION_SAFE ? here : found;
        rows++;
    }
    if (rows == 0)
        fail_msg("no row %s", name);
    return found;
}

static struct speculation_cpu told(void)
{
    uint32_t family = here.signature >> 8 & 15;
    return (struct speculation_cpu){.amd = here.amd,
                                    .family = family == 15 ? family + (here.signature >> 20 & 255) : family,
                                    .model = (here.signature >> 4 & 15) | (here.signature >> 12 & 0xf0),
                                    .stepping = here.signature & 15,
                                    .word = {here.leaf7_ebx, here.leaf7_edx, here.leaf7_2_edx, here.amd8_ebx,
                                             here.amd21_eax, here.amd21_ecx, (uint32_t)here.capabilities,
                                             (uint32_t)(here.capabilities >> 32)}};
}

#define ALL_MICROCODE (1u << 9 | 1u << 10 | 1u << 26 | 1u << 28 | 1u << 29)
static const struct {
    const char *name;
    enum speculation_state state;
    struct speculation_facts facts;
} cpus[] = {
    {"Meltdown", SPECULATION_OPEN, {.signature = 0x306c3}},
    {"Meltdown", SPECULATION_SAFE, {.leaf7_edx = 1u << 29, .capabilities = 1}},
    {"L1TF", SPECULATION_OLD, {.signature = 0x306c3}},
    {"L1TF", SPECULATION_HELD, {.signature = 0x306c3, .leaf7_edx = ALL_MICROCODE}},
    {"L1TF", SPECULATION_SAFE, {.leaf7_edx = ALL_MICROCODE, .capabilities = 8}},
    {"MDS", SPECULATION_OLD, {.signature = 0x306c3, .leaf7_edx = 1u << 28}},
    {"MDS", SPECULATION_HELD, {.signature = 0x306c3, .leaf7_edx = ALL_MICROCODE}},
    {"MDS", SPECULATION_SAFE, {.leaf7_edx = ALL_MICROCODE, .capabilities = 1 << 5}},
    {"TAA", SPECULATION_SAFE, {.leaf7_edx = ALL_MICROCODE, .capabilities = 1 << 5}},
    {"TAA", SPECULATION_HELD, {.leaf7_ebx = 1u << 11, .leaf7_edx = ALL_MICROCODE, .capabilities = 1 << 5}},
    {"stale MMIO data", SPECULATION_SAFE, {.signature = 0x306c3}},
    {"stale MMIO data", SPECULATION_OLD, {.signature = 0x606a6, .leaf7_edx = 1u << 29, .capabilities = 0x2b}},
    {"stale MMIO data", SPECULATION_HELD, {.signature = 0x606a6, .leaf7_edx = ALL_MICROCODE, .capabilities = 0x2002b}},
    {"stale MMIO data",
     SPECULATION_SAFE,
     {.signature = 0x606a6, .leaf7_edx = 1u << 29, .capabilities = 7 << 13 | 1 << 5}},
    {"RFDS", SPECULATION_OLD, {.signature = 0xb06e0, .leaf7_edx = ALL_MICROCODE, .capabilities = 0x2b}},
    {"RFDS", SPECULATION_HELD, {.signature = 0xb06e0, .leaf7_edx = ALL_MICROCODE, .capabilities = 0x1000002b}},
    {"RFDS", SPECULATION_SAFE, {.signature = 0xb06e0, .leaf7_edx = ALL_MICROCODE, .capabilities = 1 << 27}},
    {"RFDS", SPECULATION_SAFE, {.signature = 0x306c3}},
    {"SRBDS", SPECULATION_OLD, {.signature = 0x506e3}},
    {"SRBDS", SPECULATION_HELD, {.signature = 0x506e3, .leaf7_edx = ALL_MICROCODE}},
    {"SRBDS", SPECULATION_SAFE, {.signature = 0x50654}},
    {"GDS", SPECULATION_OLD, {.signature = 0x50654}},
    {"GDS", SPECULATION_HELD, {.signature = 0x50654, .leaf7_edx = 1u << 29, .capabilities = 1 << 25}},
    {"GDS", SPECULATION_SAFE, {.signature = 0x306c3}},
    {"BHI", SPECULATION_OLD, {.signature = 0x50657, .leaf7_edx = 1u << 29, .capabilities = 2}},
    {"BHI", SPECULATION_HELD, {.signature = 0x90672, .leaf7_edx = 1u << 29, .leaf7_2_edx = 16, .capabilities = 2}},
    {"BHI", SPECULATION_SAFE, {.leaf7_edx = 1u << 29, .leaf7_2_edx = 16, .capabilities = 0x100002}},
    {"ITS", SPECULATION_SAFE, {.signature = 0x50654, .leaf7_edx = 1u << 29, .capabilities = 2}}, /* Skylake */
    {"ITS", SPECULATION_OPEN, {.signature = 0x50657, .leaf7_edx = 1u << 29, .capabilities = 2}},
    {"ITS", SPECULATION_SAFE, {.signature = 0x50657, .leaf7_edx = 1u << 29, .capabilities = 1ull << 62 | 2}},
    {"Retbleed", SPECULATION_OPEN, {.signature = 0x506e3}},
    {"Retbleed", SPECULATION_SAFE, {.signature = 0x50657, .leaf7_edx = 1u << 29, .capabilities = 2}},
    {"branch targets", SPECULATION_OLD, {.signature = 0x306c3}},
    {"branch targets", SPECULATION_HELD, {.leaf7_edx = 1u << 26}},
    {"branch targets", SPECULATION_OLD, {.amd = true}},
    {"branch targets", SPECULATION_HELD, {.amd = true, .amd8_ebx = 1u << 12}},
    {"Retbleed", SPECULATION_OPEN, {.amd = true, .signature = 0x830f10}},
    {"Retbleed", SPECULATION_SAFE, {.amd = true, .signature = 0xa20f10}},
    {"Retbleed", SPECULATION_SAFE, {.amd = true, .signature = 0x830f10, .amd8_ebx = 1u << 29}},
    {"SRSO", SPECULATION_OLD, {.amd = true, .signature = 0xa20f10}},
    {"SRSO", SPECULATION_OPEN, {.amd = true, .signature = 0xa20f10, .amd21_eax = 1u << 28}},
    {"SRSO", SPECULATION_SAFE, {.amd = true, .signature = 0xa20f10, .amd21_eax = 1u << 29}},
    {"Zenbleed", SPECULATION_HELD, {.amd = true, .signature = 0x830f10}},
    {"Zenbleed", SPECULATION_SAFE, {.amd = true, .signature = 0x800f11}},
    {"TSA", SPECULATION_OLD, {.amd = true, .signature = 0xa20f10}},
    {"TSA", SPECULATION_HELD, {.amd = true, .signature = 0xa20f10, .amd21_eax = 1u << 5}},
    {"TSA", SPECULATION_SAFE, {.amd = true, .signature = 0xa20f10, .amd21_eax = 1u << 5, .amd21_ecx = 6}},
    {"VMScape", SPECULATION_HELD, {.amd = true, .signature = 0xb20f40, .amd8_ebx = 1u << 12}},
};

static void the_table_says_what_ring_0_does(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof cpus / sizeof cpus[0]; i++) {
        uint32_t in_force = power_on(cpus[i].facts), held = 0;
        struct speculation_cpu c = told();
        if (state_of(cpus[i].name, &c, in_force) != cpus[i].state)
            fail_msg("CPU %u: %s is not in state %d", i, cpus[i].name, cpus[i].state);
        for (size_t k = 0; k < speculation_row_count; k++) {
            enum speculation_state s = speculation_state(&speculation_rows[k], &c, in_force);
            if (s == SPECULATION_OFF)
                fail_msg("CPU %u: %s needs what is not in force", i, speculation_rows[k].name);
            held |= s == SPECULATION_HELD ? speculation_rows[k].barrier : 0;
        }
        /* and no barrier without a reason */
        assert_int_equal(in_force & ~held & (BARRIER_L1D | BARRIER_BUFFERS | FIX_ZENBLEED), 0);
    }
}

static void the_log_names_them(void **state)
{
    (void)state;
    char names[320], cut[9];
    (void)power_on((struct speculation_facts){.signature = 0x506e3, .leaf7_edx = 1u << 10 | 1u << 26 | 1u << 28});
    struct speculation_cpu c = told();
    speculation_names(&c, 7, SPECULATION_HELD, names, sizeof names);
    assert_string_equal(names, "branch targets, L1TF, MDS, stale MMIO data");
    speculation_names(&c, 7, SPECULATION_OLD, names, sizeof names);
    assert_string_equal(names, "SRBDS, GDS");
    speculation_names(&c, 0, SPECULATION_OFF, names, sizeof names);
    assert_string_equal(names, "branch targets, L1TF, MDS, stale MMIO data");
    speculation_names(&c, 7, SPECULATION_OFF, names, sizeof names);
    assert_string_equal(names, "");
    speculation_names(&c, 7, SPECULATION_HELD, cut, sizeof cut);
    assert_string_equal(cut, "branch t");
    for (size_t i = 0; i < speculation_row_count; i++) {
        const struct speculation_row *r = &speculation_rows[i];
        assert_true(r->cve != NULL && r->cpus != NULL && r->what != NULL && r->price != NULL && r->source != NULL);
        assert_null(strchr(r->what, '|'));
    }
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
    (void)power_on((struct speculation_facts){.leaf7_edx = 7u << 26 | 1u << 29 | 1u << 31, .capabilities = 3});
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
    (void)power_on((struct speculation_facts){.leaf7_edx = 7u << 26 | 1u << 31});
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
    (void)power_on((struct speculation_facts){.leaf7_edx = 1u << 10});
    uint64_t value;
    assert_int_equal(speculation_msrs & GUEST_PRED_CMD, 0);
    assert_false(speculation_guest(~0ull, &value));
    (void)power_on((struct speculation_facts){.amd = true});
    assert_int_equal(speculation_msrs, 0);
    assert_false(speculation_guest(~0ull, &value));
}

static void a_guest_on_amd(void **state)
{
    (void)state;
    (void)power_on((struct speculation_facts){
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
        cmocka_unit_test(zenbleed),
        cmocka_unit_test(branch_history),
        cmocka_unit_test(the_table_says_what_ring_0_does),
        cmocka_unit_test(the_log_names_them),
        cmocka_unit_test(what_a_guest_may_set),
        cmocka_unit_test(a_guest_on_a_new_intel_cpu),
        cmocka_unit_test(a_guest_on_an_old_intel_cpu),
        cmocka_unit_test(a_guest_where_there_is_nothing),
        cmocka_unit_test(a_guest_on_amd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
