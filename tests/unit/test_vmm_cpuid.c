// SPDX-License-Identifier: Apache-2.0
// sources: vmm/cpu/cpuid.c vmm/cpu/speculation.c
/* The guest's CPUID: what must never show, what must agree with what, and the table's use. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/cpu/cpuid.h"
#include "vmm/cpu/speculation.h"

/* A CPU that has everything. */
static void everything(void *context, uint32_t leaf, uint32_t subleaf, struct cpuid_regs *out)
{
    bool intel = *(bool *)context;
    *out = (struct cpuid_regs){0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff};
    if (leaf == 0) {
        out->eax = 0x20;
        memcpy(&out->ebx, intel ? "Genu" : "Auth", 4);
        memcpy(&out->edx, intel ? "ineI" : "enti", 4);
        memcpy(&out->ecx, intel ? "ntel" : "cAMD", 4);
    } else if (leaf == 0x80000000) {
        out->eax = 0x80000028;
    } else if ((leaf == 4 || leaf == 0x8000001d) && subleaf < 4) {
        const uint32_t type[4] = {0x21, 0x22, 0x43, 0x63};
        out->eax = 0xffffc000u | type[subleaf];
    } else if (leaf == 4 || leaf == 0x8000001d) {
        out->eax = 0;
    } else if (leaf == 0xd && subleaf >= 2) {
        const struct cpuid_regs r[8] = {[2] = {256, 576, 0, 0}, [3] = {64, 960, 0, 0},   [4] = {64, 1024, 0, 0},
                                        [5] = {64, 1088, 0, 0}, [6] = {512, 1152, 0, 0}, [7] = {1024, 1664, 0, 0}};
        *out = subleaf < 8 ? r[subleaf] : (struct cpuid_regs){8, 2688, 0, 0};
    }
}

/* The plainest 64-bit CPU. */
static void plain(void *context, uint32_t leaf, uint32_t subleaf, struct cpuid_regs *out)
{
    (void)context;
    (void)subleaf;
    *out = (struct cpuid_regs){0};
    if (leaf == 0)
        *out = (struct cpuid_regs){1, 0x756e6547, 0x6c65746e, 0x49656e69};
    if (leaf == 1)
        *out = (struct cpuid_regs){0x600, 0x800, 1u << 28, 0x078bfbff};
    if (leaf == 0x80000000)
        out->eax = 0x80000001;
    if (leaf == 0x80000001)
        out->edx = 1u << 29;
}

/* A 32-bit CPU; and one that is AMD's under another name. */
static void short_mode(void *context, uint32_t leaf, uint32_t subleaf, struct cpuid_regs *out)
{
    plain(context, leaf, subleaf, out);
    if (leaf == 0x80000001)
        out->edx = ~(1u << 29);
}
static void hygon(void *context, uint32_t leaf, uint32_t subleaf, struct cpuid_regs *out)
{
    plain(context, leaf, subleaf, out);
    if (leaf == 0)
        memcpy(&out->ebx, "Hygo", 4);
}

static void the_host(void *context, uint32_t leaf, uint32_t subleaf, struct cpuid_regs *out)
{
    (void)context;
    __asm__ volatile("cpuid"
                     : "=a"(out->eax), "=b"(out->ebx), "=c"(out->ecx), "=d"(out->edx)
                     : "a"(leaf), "c"(subleaf));
}

static struct cpuid_regs ask(const struct cpuid_table *t, uint32_t vcpu, uint32_t leaf, uint32_t subleaf)
{
    struct cpuid_regs r;
    r = cpuid_lookup(t, vcpu, leaf, subleaf, 0, 1);
    return r;
}

static struct cpuid_request request(uint32_t vcpus)
{
    return (struct cpuid_request){
        .vcpus = vcpus, .tsc_khz = 2000000, .apic_khz = 25000, .tsc_deadline = true, .x2apic = true};
}

static bool bit(uint32_t word, unsigned n)
{
    return word >> n & 1;
}

static void nothing_forbidden_shows(void **state)
{
    (void)state;
    for (int intel = 0; intel < 2; intel++) {
        bool is_intel = intel;
        struct cpuid_table t;
        struct cpuid_request q = request(4);
        assert_int_equal(cpuid_build(&t, everything, &is_intel, &q), OK);
        assert_int_equal(t.intel, intel);
        struct cpuid_regs r = ask(&t, 0, 1, 0);
        const unsigned hidden_1c[] = {2, 3, 4, 5, 6, 7, 8, 10, 11, 14, 15, 16, 18, 27};
        for (unsigned i = 0; i < sizeof(hidden_1c) / sizeof(unsigned); i++)
            assert_false(bit(r.ecx, hidden_1c[i]));
        const unsigned hidden_1d[] = {10, 18, 20, 21, 22, 29, 30, 31};
        for (unsigned i = 0; i < sizeof(hidden_1d) / sizeof(unsigned); i++)
            assert_false(bit(r.edx, hidden_1d[i]));
        assert_true(bit(r.ecx, 31) && bit(r.ecx, 21) && bit(r.ecx, 24) && bit(r.ecx, 26) && bit(r.ecx, 28));
        r = ask(&t, 0, 7, 0);
        assert_int_equal(r.eax, intel ? 2 : 0);
        const unsigned hidden_7b[] = {2, 4, 11, 12, 14, 15, 22, 25};
        for (unsigned i = 0; i < sizeof(hidden_7b) / sizeof(unsigned); i++)
            assert_false(bit(r.ebx, hidden_7b[i]));
        const unsigned hidden_7c[] = {3, 4, 5, 7, 13, 16, 23, 24, 26, 29, 30, 31};
        for (unsigned i = 0; i < sizeof(hidden_7c) / sizeof(unsigned); i++)
            assert_false(bit(r.ecx, hidden_7c[i]));
        const unsigned hidden_7d[] = {5, 9, 11, 13, 20, 22, 24, 25, 28, 30};
        for (unsigned i = 0; i < sizeof(hidden_7d) / sizeof(unsigned); i++)
            assert_false(bit(r.edx, hidden_7d[i]));
        const unsigned speculation_7d[] = {26, 27, 29, 31};
        for (unsigned i = 0; i < sizeof(speculation_7d) / sizeof(unsigned); i++)
            assert_int_equal(bit(r.edx, speculation_7d[i]), intel);
        assert_int_equal(ask(&t, 0, 7, 2).edx, intel ? 0x3f : 0);
        assert_int_equal(ask(&t, 0, 7, 1).eax | ask(&t, 0, 7, 1).edx | ask(&t, 0, 7, 2).eax, 0);
        assert_int_equal(speculation_controls(&t), intel ? 0x5ff : 0x87);
        assert_true(bit(r.ebx, 5) && bit(r.ebx, 16) && bit(r.ebx, 7) && bit(r.ebx, 20));
        const uint32_t zero[] = {3, 5, 9, 0xa, 0xc, 0xf, 0x10, 0x12, 0x14, 0x8000000a, 0x8000001b, 0x8000001c};
        for (unsigned i = 0; i < sizeof(zero) / sizeof(uint32_t); i++) {
            r = ask(&t, 0, zero[i], 0);
            if (zero[i] >= 0x80000000 && intel)
                continue; /* out of range there */
            if (!intel && zero[i] < 0x80000000 && zero[i] > t.max_basic)
                continue;
            assert_int_equal(r.eax | r.ebx | r.ecx | r.edx, 0);
        }
        r = ask(&t, 0, 6, 0);
        assert_int_equal(r.eax, 4);
        assert_int_equal(r.ebx | r.ecx | r.edx, 0);
        r = ask(&t, 0, 0xd, 1);
        assert_int_equal(r.eax, 5);
        assert_int_equal(r.ecx | r.edx, 0);
        for (uint32_t i = 8; i < 64; i++)
            assert_int_equal(ask(&t, 0, 0xd, i).eax, 0);
        r = ask(&t, 0, 0x80000001, 0);
        assert_false(bit(r.ecx, 2) || bit(r.ecx, 3) || bit(r.ecx, 10) || bit(r.ecx, 12) || bit(r.ecx, 29) ||
                     bit(r.edx, 25));
        assert_true(bit(r.edx, 29) && bit(r.edx, 20) && bit(r.edx, 11));
        r = ask(&t, 0, 0x80000008, 0);
        assert_int_equal(r.eax >> 8 & 0xff, 48);
        assert_int_equal(r.ebx, intel ? 0 : 0x205 | 0x750fd000);
        assert_int_equal(bit(r.ebx, 25), false); /* VIRT_SPEC_CTRL */
        if (!intel) {
            assert_int_equal(ask(&t, 0, 0x80000021, 0).eax, 0x70000064);
            assert_int_equal(ask(&t, 0, 0x80000021, 0).ecx, 6);
            assert_int_equal(ask(&t, 0, 0x80000021, 0).ebx | ask(&t, 0, 0x80000021, 0).edx, 0);
            assert_int_equal(ask(&t, 0, 0x8000001f, 0).eax | ask(&t, 0, 0x80000020, 0).eax, 0);
        }
        assert_int_equal(ask(&t, 0, 0x80000007, 0).edx, 0x100);
        assert_int_equal(ask(&t, 0, 0x80000007, 0).eax, 0);
        assert_true(t.count <= CPUID_MAX);
    }
}

/* Each statement is as true of the guest as of the CPU, and each MSR that one tells of is there. */
static void what_the_capabilities_say(void **state)
{
    (void)state;
    const unsigned kept[] = {0, 1, 2, 3, 4, 5, 6, 8, 13, 14, 15, 17, 19, 20, 24, 26, 27, 28, 62};
    uint64_t expected = 0;
    for (unsigned i = 0; i < sizeof(kept) / sizeof(unsigned); i++)
        expected |= 1ull << kept[i];
    assert_int_equal(speculation_capabilities(~0ull), expected);
    assert_int_equal(speculation_capabilities(0), 0);
    struct cpuid_table t;
    struct cpuid_request q = request(1);
    assert_int_equal(cpuid_build(&t, plain, NULL, &q), OK);
    assert_int_equal(speculation_controls(&t), 0);
    assert_int_equal(ask(&t, 0, 7, 0).eax | ask(&t, 0, 7, 0).edx, 0);
}

/* Of a CPU that has everything, each bit that reaches the guest (SDM vol. 2, CPUID; APM vol. 3, appendix E). */
static void all_that_shows(void **state)
{
    (void)state;
    for (int intel = 0; intel < 2; intel++) {
        bool is_intel = intel;
        struct cpuid_table t;
        struct cpuid_request q = request(4);
        assert_int_equal(cpuid_build(&t, everything, &is_intel, &q), OK);
        struct cpuid_regs r = ask(&t, 0, 1, 0);
        /* SSE3 PCLMULQDQ SSSE3 FMA CX16 PCID SSE4.1 SSE4.2 X2APIC MOVBE POPCNT DEADLINE AES XSAVE AVX F16C RDRAND and
         * the hypervisor's bit. */
        assert_int_equal(r.ecx, 0xf7fa3203);
        /* FPU VME DE PSE TSC MSR PAE MCE CX8 APIC, SEP MTRR PGE MCA CMOV PAT PSE36, CLFSH, MMX FXSR SSE SSE2 SS HTT. */
        assert_int_equal(r.edx, 0x1f8bfbff);
        assert_int_equal(r.eax, 0xffffffff);
        assert_int_equal(r.ebx, 0x0004ffff);
        r = ask(&t, 0, 7, 0);
        /* FSGSBASE TSC_ADJUST BMI1 AVX2 (6: x87's data pointer) SMEP BMI2 ERMS INVPCID (13: no CS and DS) AVX512F DQ
         * RDSEED ADX SMAP IFMA CLFLUSHOPT CLWB CD SHA BW VL. */
        assert_int_equal(r.ebx, 0xf1bf27eb);
        /* VBMI UMIP VBMI2 GFNI VAES VPCLMULQDQ VNNI BITALG VPOPCNTDQ RDPID CLDEMOTE MOVDIRI MOVDIR64B. */
        assert_int_equal(r.ecx, 0x1a405f46);
        /* FSRM MD_CLEAR SERIALIZE; Intel: IBRS STIBP the capabilities and SSBD. */
        assert_int_equal(r.edx, intel ? 0xac004410 : 0x4410);
        r = ask(&t, 0, 0x80000001, 0);
        /* LAHF CR8 LZCNT SSE4A misaligned-SSE PREFETCHW XOP FMA4 TBM; AMD: CMP_LEGACY and topology extensions too. */
        assert_int_equal(r.ecx, intel ? 0x002109f1 : 0x006109f3);
        /* SYSCALL NX MMXEXT 1-GiB-pages RDTSCP LM 3DNOWEXT 3DNOW; AMD: a copy of leaf 1's low bits too. */
        assert_int_equal(r.edx, intel ? 0xec500800 : 0xedd3fbff);
        assert_int_equal(ask(&t, 0, 0x80000000, 0).eax, intel ? 0x80000008 : 0x80000021);
        assert_int_equal(ask(&t, 0, 0, 0).eax, intel ? 0x16 : 0xd);
        r = ask(&t, 0, 0x80000008, 0);
        assert_int_equal(r.eax, 0x30ff); /* more than 48 linear bits would be 5-level paging */
        assert_int_equal(r.edx, 0);
    }
    bool intel = true;
    struct cpuid_table t;
    struct cpuid_request q = request(1);
    q.x2apic = q.tsc_deadline = false;
    assert_int_equal(cpuid_build(&t, everything, &intel, &q), OK);
    assert_int_equal(ask(&t, 0, 1, 0).ecx, 0xf7fa3203 & ~(1u << 21 | 1u << 24));
    assert_int_equal(ask(&t, 0, 1, 0).edx, 0x0f8bfbff); /* one CPU: no HTT */
    intel = false;
    assert_int_equal(cpuid_build(&t, everything, &intel, &q), OK);
    assert_int_equal(ask(&t, 0, 0x80000001, 0).ecx, 0x006109f1); /* nor CMP_LEGACY */
}

/* A CPU that says of each register where it is from. */
static struct {
    uint32_t basic, extended, no_ecx_1, no_ecx_e1, xcr0;
} limits;
static void numbered(void *context, uint32_t leaf, uint32_t subleaf, struct cpuid_regs *out)
{
    everything(context, leaf, subleaf, out);
    if (leaf == 0)
        out->eax = limits.basic;
    else if (leaf == 1)
        out->ecx &= ~limits.no_ecx_1;
    else if (leaf == 0x80000000)
        out->eax = limits.extended;
    else if (leaf == 0x80000001)
        out->ecx &= ~limits.no_ecx_e1;
    else if (leaf == 0xd && subleaf == 0)
        out->eax = limits.xcr0;
    else if (leaf == 2 || (leaf > 0x80000001 && leaf != 0x80000008 && leaf != 0x8000001d))
        *out = (struct cpuid_regs){leaf << 8 | 0xa, leaf << 8 | 0xb, leaf << 8 | 0xc, leaf << 8 | 0xd};
}

static bool is_own(const struct cpuid_table *t, uint32_t leaf)
{
    struct cpuid_regs r = ask(t, 0, leaf, 0);
    return r.eax == (leaf << 8 | 0xa) && r.ebx == (leaf << 8 | 0xb) && r.ecx == (leaf << 8 | 0xc) &&
           r.edx == (leaf << 8 | 0xd);
}

static bool is_zero(const struct cpuid_table *t, uint32_t leaf)
{
    struct cpuid_regs r = ask(t, 0, leaf, 0);
    return (r.eax | r.ebx | r.ecx | r.edx) == 0;
}

/* What is passed on as it is comes from the leaf of the same number, and only from leaves that the host has. */
static void each_leaf_is_its_own(void **state)
{
    (void)state;
    bool intel = true, amd = false;
    struct cpuid_table t;
    struct cpuid_request q = request(2);
    limits.xcr0 = 0xe7;
    limits.basic = 0x20;
    limits.extended = 0x80000028;
    assert_int_equal(cpuid_build(&t, numbered, &intel, &q), OK);
    assert_true(is_own(&t, 2));
    for (uint32_t leaf = 0x80000002; leaf <= 0x80000006; leaf++)
        assert_true(is_own(&t, leaf));
    assert_int_equal(cpuid_build(&t, numbered, &amd, &q), OK);
    assert_true(is_zero(&t, 2));
    for (uint32_t leaf = 0x80000002; leaf <= 0x80000006; leaf++)
        assert_true(is_own(&t, leaf));
    assert_true(is_own(&t, 0x80000019) && is_own(&t, 0x8000001a));
    const uint32_t hidden[] = {0x80000009, 0x80000010, 0x80000018, 0x8000001b, 0x8000001c};
    for (unsigned i = 0; i < sizeof hidden / sizeof hidden[0]; i++)
        assert_true(is_zero(&t, hidden[i]));

    for (uint32_t last = 0x80000001; last <= 0x8000001e; last++) {
        limits.extended = last;
        assert_int_equal(cpuid_build(&t, numbered, &amd, &q), OK);
        for (uint32_t leaf = 0x80000002; leaf <= 0x80000006; leaf++)
            assert_true(last >= leaf ? is_own(&t, leaf) : is_zero(&t, leaf));
        assert_int_equal(ask(&t, 0, 0x80000000, 0).eax, last < 0x80000008 ? 0x80000008 : last);
        assert_int_equal(ask(&t, 0, 0x80000008, 0).eax, last < 0x80000008 ? 0x3024 : 0x30ff);
        assert_true(last >= 0x80000019 ? is_own(&t, 0x80000019) : is_zero(&t, 0x80000019));
        assert_true(last >= 0x8000001a ? is_own(&t, 0x8000001a) : is_zero(&t, 0x8000001a));
        /* The caches of leaf 1DH and the bit that tells of it come with leaf 1EH. */
        assert_int_equal(bit(ask(&t, 0, 0x80000001, 0).ecx, 22), last >= 0x8000001e);
        assert_int_equal(is_zero(&t, 0x8000001d), last < 0x8000001e);
    }
    limits.no_ecx_e1 = 1u << 22;
    assert_int_equal(cpuid_build(&t, numbered, &amd, &q), OK);
    assert_true(is_zero(&t, 0x8000001d) && ask(&t, 1, 0x8000001e, 0).eax == 0);
    limits.no_ecx_e1 = 0;

    for (uint32_t last = 1; last <= 0xe; last++) {
        limits.basic = last;
        assert_int_equal(cpuid_build(&t, numbered, &intel, &q), OK);
        assert_true(last >= 2 ? is_own(&t, 2) : is_zero(&t, 2));
        assert_int_equal(is_zero(&t, 4), last < 4);
        assert_int_equal(is_zero(&t, 7), last < 7);
        assert_int_equal(is_zero(&t, 0xd), last < 0xd);
        assert_int_equal(t.xcr0_allowed, last < 0xd ? 0 : 0xe7);
        assert_false(is_zero(&t, 6) || is_zero(&t, 0xb) || is_zero(&t, 0x15) || is_zero(&t, 0x16));
    }
}

/* Vector instructions show with the state that they need, and XCR0 allows what is whole (SDM vol. 1, 13.3). */
static void vectors_need_their_state(void **state)
{
    (void)state;
    bool amd = false;
    struct cpuid_table t;
    struct cpuid_request q = request(1);
    static const struct {
        uint32_t host, allowed, avx, avx512;
    } row[] = {{0xe7, 0xe7, 1, 1}, {0x7, 0x7, 1, 0},  {0x3, 0x3, 0, 0},  {0xe3, 0x3, 0, 0}, {0x67, 0x7, 1, 0},
               {0xa7, 0x7, 1, 0},  {0xc7, 0x7, 1, 0}, {0x1f, 0x7, 1, 0}, {0x2, 0, 0, 0},    {0x1, 0, 0, 0}};
    limits.basic = 0x20;
    limits.extended = 0x80000028;
    for (unsigned i = 0; i < sizeof row / sizeof row[0]; i++) {
        limits.xcr0 = row[i].host;
        assert_int_equal(cpuid_build(&t, numbered, &amd, &q), OK);
        assert_int_equal(t.xcr0_allowed, row[i].allowed);
        uint32_t avx = row[i].avx, avx512 = row[i].avx512, xsave = row[i].allowed != 0;
        assert_int_equal(ask(&t, 0, 1, 0).ecx, 0xc3fa2203 | avx << 12 | xsave << 26 | avx << 28 | avx << 29);
        assert_int_equal(ask(&t, 0, 7, 0).ebx, (0x219c27cb | avx << 5) | (avx512 ? 0xd0230000u : 0));
        assert_int_equal(ask(&t, 0, 7, 0).ecx, 0x1a400104 | (avx ? 0x600 : 0) | (avx512 ? 0x5842 : 0));
        assert_int_equal(ask(&t, 0, 0x80000001, 0).ecx, 0x006001f1 | avx << 11 | avx << 16);
    }
    limits.xcr0 = 0xe7;
    limits.no_ecx_1 = 1u << 26; /* no XSAVE */
    assert_int_equal(cpuid_build(&t, numbered, &amd, &q), OK);
    assert_int_equal(t.xcr0_allowed, 0);
    limits.no_ecx_1 = 0;
}

static void topology_agrees(void **state)
{
    (void)state;
    const uint32_t counts[] = {1, 2, 3, 4, 5, 8, 33, 64};
    for (unsigned n = 0; n < sizeof(counts) / sizeof(counts[0]); n++) {
        for (int intel = 0; intel < 2; intel++) {
            bool is_intel = intel;
            struct cpuid_table t;
            uint32_t vcpus = counts[n], shift = 0;
            while (1u << shift < vcpus)
                shift++;
            struct cpuid_request q = request(vcpus);
            assert_int_equal(cpuid_build(&t, everything, &is_intel, &q), OK);
            for (uint32_t v = 0; v < vcpus; v++) {
                struct cpuid_regs one = ask(&t, v, 1, 0), core = ask(&t, v, 0xb, 1);
                assert_int_equal(one.ebx >> 24, v);
                assert_int_equal(one.ebx >> 16 & 0xff, 1u << shift);
                assert_int_equal(bit(one.edx, 28), vcpus > 1);
                assert_int_equal(ask(&t, v, 0xb, 0).edx, v);
                assert_int_equal(ask(&t, v, 0xb, 0).ecx, 0x100);
                assert_int_equal(core.eax, shift);
                assert_int_equal(core.ebx, vcpus);
                assert_int_equal(core.ecx, 0x201);
                assert_int_equal(core.edx, v);
                struct cpuid_regs past = ask(&t, v, 0xb, 2);
                assert_int_equal(past.eax | past.ebx, 0);
                assert_int_equal(past.ecx, 2);
                assert_int_equal(past.edx, v);
                if (!intel) {
                    assert_int_equal(ask(&t, v, 0x8000001e, 0).eax, v);
                    assert_int_equal(ask(&t, v, 0x8000001e, 0).ebx, v);
                }
            }
            uint32_t leaf = intel ? 4 : 0x8000001d;
            assert_int_equal(ask(&t, 0, leaf, 0).eax >> 14 & 0xfff, 0);
            assert_int_equal(ask(&t, 0, leaf, 2).eax >> 14 & 0xfff, 0);
            assert_int_equal(ask(&t, 0, leaf, 3).eax >> 14 & 0xfff, (1u << shift) - 1);
            assert_int_equal(ask(&t, 0, leaf, 4).eax & 0x1f, 0);
            if (intel)
                assert_int_equal(ask(&t, 0, 4, 0).eax >> 26, (1u << shift) - 1);
            else
                assert_int_equal(ask(&t, 0, 0x80000008, 0).ecx, shift << 12 | (vcpus - 1));
        }
    }
}

static void xsave_follows_xcr0(void **state)
{
    (void)state;
    bool intel = true;
    struct cpuid_table t;
    struct cpuid_request q = request(1);
    struct cpuid_regs r;
    assert_int_equal(cpuid_build(&t, everything, &intel, &q), OK);
    assert_int_equal(t.xcr0_allowed, 0xe7);
    r = cpuid_lookup(&t, 0, 0xd, 0, 0, 3);
    assert_int_equal(r.eax, 0xe7);
    assert_int_equal(r.ebx, 576);
    assert_int_equal(r.ecx, 2688);
    assert_int_equal(r.edx, 0);
    r = cpuid_lookup(&t, 0, 0xd, 0, 0, 7);
    assert_int_equal(r.ebx, 832);
    r = cpuid_lookup(&t, 0, 0xd, 1, 0, 0xe7);
    assert_int_equal(r.eax & ~5u, 0); /* no XSAVEC, no XSAVES */
    assert_int_equal(r.ebx, 0);
    r = cpuid_lookup(&t, 0, 0xd, 2, 0, 7);
    assert_int_equal(r.eax, 256);
    assert_int_equal(r.ebx, 576);
    assert_int_equal(ask(&t, 0, 0xd, 3).eax, 0); /* MPX */
    r = cpuid_lookup(&t, 0, 1, 0, 1u << 18, 1);
    assert_true(bit(r.ecx, 27));
    r = cpuid_lookup(&t, 0, 1, 0, 0, 1);
    assert_false(bit(r.ecx, 27));

    assert_int_equal(cpuid_build(&t, plain, NULL, &q), OK);
    assert_int_equal(t.xcr0_allowed, 0);
    r = cpuid_lookup(&t, 0, 1, 0, 1u << 18, 1);
    assert_false(bit(r.ecx, 26) || bit(r.ecx, 27) || bit(r.ecx, 28)); /* AVX without XSAVE makes no sense */
    assert_int_equal(ask(&t, 0, 0xd, 0).eax, 0);
    assert_int_equal(ask(&t, 0, 0x80000008, 0).eax, 0x3024);
}

static void clock_rates(void **state)
{
    (void)state;
    bool intel = true;
    struct cpuid_table t;
    const uint64_t rates[] = {1000, 50000, 999999, 1000000, 2000000, 2394123, 3999999, 6000000};
    const uint32_t crystals[] = {25000, 24000, 1000000};
    for (unsigned i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        for (unsigned c = 0; c < 3; c++) {
            struct cpuid_request q = request(1);
            q.tsc_khz = rates[i];
            q.apic_khz = crystals[c];
            assert_int_equal(cpuid_build(&t, everything, &intel, &q), OK);
            struct cpuid_regs r = ask(&t, 0, 0x15, 0);
            assert_int_equal(r.ecx, crystals[c] * 1000);
            /* As Linux multiplies it: 32 bits wide. */
            uint64_t product = (uint64_t)crystals[c] * r.ebx;
            assert_true(product <= UINT32_MAX);
            uint64_t khz = product / r.eax;
            uint64_t off = khz > rates[i] ? khz - rates[i] : rates[i] - khz;
            assert_true(off <= 1 + rates[i] / 100000);
            r = ask(&t, 0, 0x40000010, 0);
            assert_int_equal(r.eax, rates[i]);
            assert_int_equal(r.ebx, crystals[c]);
            assert_int_equal(ask(&t, 0, 0x16, 0).eax, (rates[i] + 500) / 1000);
        }
    }
}

static void hypervisor_leaves(void **state)
{
    (void)state;
    bool intel = false;
    struct cpuid_table t;
    struct cpuid_request q = request(2);
    assert_int_equal(cpuid_build(&t, everything, &intel, &q), OK);
    struct cpuid_regs r = ask(&t, 0, 0x40000000, 0);
    assert_int_equal(r.eax, 0x40000010);
    assert_memory_equal(&r.ebx, "KVMKVMKVM\0\0\0", 12);
    assert_int_equal(ask(&t, 0, 0x40000001, 0).eax, 0x0100100b);
    assert_int_equal(ask(&t, 0, 0x40000001, 0).edx, 0);
    q.dedicated = true;
    assert_int_equal(cpuid_build(&t, everything, &intel, &q), OK);
    assert_int_equal(ask(&t, 0, 0x40000001, 0).edx, 1);
    assert_int_equal(ask(&t, 0, 0x40000002, 0).eax, 0);
    assert_int_equal(ask(&t, 0, 0x40000100, 0).eax, 0);
}

static void out_of_range(void **state)
{
    (void)state;
    for (int intel = 0; intel < 2; intel++) {
        bool is_intel = intel;
        struct cpuid_table t;
        struct cpuid_request q = request(2);
        assert_int_equal(cpuid_build(&t, everything, &is_intel, &q), OK);
        struct cpuid_regs highest = ask(&t, 0, t.max_basic, 0), r = ask(&t, 0, 0x1f, 0);
        if (intel) {
            assert_memory_equal(&r, &highest, sizeof(r));
            r = ask(&t, 0, 0x80000009, 0);
            assert_memory_equal(&r, &highest, sizeof(r));
            r = ask(&t, 0, 0xffffffff, 0);
            assert_memory_equal(&r, &highest, sizeof(r));
        } else {
            assert_int_equal(r.eax | r.ebx | r.ecx | r.edx, 0);
            r = ask(&t, 0, 0x8000001f, 0);
            assert_int_equal(r.eax | r.ebx | r.ecx | r.edx, 0);
        }
    }
}

static void settling(void **state)
{
    (void)state;
    const uint32_t per_vcpu[] = {1, 0xb, 0x1f, 0x80000001, 0x8000001e};
    for (unsigned i = 0; i < 5; i++) {
        assert_true(cpuid_fastpath_able(per_vcpu[i], 1));
        assert_false(cpuid_fastpath_able(per_vcpu[i], 2));
    }
    assert_false(cpuid_fastpath_able(0xd, 1));
    assert_true(cpuid_fastpath_able(0, 64));
    assert_true(cpuid_needs_state(1) && cpuid_needs_state(0xd) && !cpuid_needs_state(7));
    const uint32_t leaves[] = {1, 7, 0x80000001};
    for (unsigned i = 0; i < 3; i++) {
        struct cpuid_regs r = {~0u, ~0u, ~0u, ~0u};
        cpuid_hide_apic(leaves[i], &r);
        assert_true(r.eax == ~0u && r.ebx == ~0u && r.ecx == ~0u && r.edx == (i == 1 ? ~0u : ~(1u << 9)));
    }
    /* What would be settled for one vCPU is what lookup says, with CR4 clear. */
    bool intel = true;
    struct cpuid_table t;
    struct cpuid_request q = request(1);
    assert_int_equal(cpuid_build(&t, everything, &intel, &q), OK);
    for (uint32_t i = 0; i < t.count; i++) {
        if (!cpuid_fastpath_able(t.entry[i].leaf, 1))
            continue;
        struct cpuid_regs r = ask(&t, 0, t.entry[i].leaf, t.entry[i].subleaf == CPUID_ANY ? 0 : t.entry[i].subleaf);
        assert_memory_equal(&r, &t.entry[i].regs, sizeof(r));
        assert_int_equal(t.entry[i].live, t.entry[i].leaf == 1 ? CPUID_LIVE_OSXSAVE : 0);
    }
}

static void refusals_and_the_real_cpu(void **state)
{
    (void)state;
    bool intel = true;
    struct cpuid_table t;
    struct cpuid_request q = request(0);
    assert_int_equal(cpuid_build(&t, everything, &intel, &q), E_ARG);
    q = request(65);
    assert_int_equal(cpuid_build(&t, everything, &intel, &q), E_ARG);
    q = request(1);
    q.tsc_khz = 0;
    assert_int_equal(cpuid_build(&t, everything, &intel, &q), E_ARG);
    q = request(1);
    q.apic_khz = 0;
    assert_int_equal(cpuid_build(&t, everything, &intel, &q), E_ARG);
    q = request(64);
    q.tsc_khz = 1ull << 31;
    assert_int_equal(cpuid_build(&t, everything, &intel, &q), OK);
    assert_int_equal(ask(&t, 0, 0x16, 0).eax, 0xffff); /* 16 bits of MHz */
    assert_int_equal(ask(&t, 0, 0x16, 0).ecx, 100);
    q.tsc_khz++;
    assert_int_equal(cpuid_build(&t, everything, &intel, &q), E_ARG);
    q = request(1);
    limits.basic = 0;
    limits.extended = 0x80000008;
    assert_int_equal(cpuid_build(&t, numbered, &intel, &q), E_UNSUPPORTED); /* no leaf 1 */
    limits.basic = 1;
    limits.extended = 0x80000000;
    assert_int_equal(cpuid_build(&t, numbered, &intel, &q), E_UNSUPPORTED); /* no leaf 80000001H */
    limits.extended = 0x80010000;
    assert_int_equal(cpuid_build(&t, numbered, &intel, &q), E_UNSUPPORTED);
    limits.extended = 0x8000ffff;
    assert_int_equal(cpuid_build(&t, numbered, &intel, &q), OK);
    assert_int_equal(cpuid_build(&t, short_mode, NULL, &q), E_UNSUPPORTED);
    assert_int_equal(cpuid_build(&t, hygon, NULL, &q), OK);
    assert_false(t.intel);
    q = request(4);
    assert_int_equal(cpuid_build(&t, the_host, NULL, &q), OK);
    assert_true(t.count > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_forbidden_shows),
        cmocka_unit_test(what_the_capabilities_say),
        cmocka_unit_test(all_that_shows),
        cmocka_unit_test(each_leaf_is_its_own),
        cmocka_unit_test(vectors_need_their_state),
        cmocka_unit_test(topology_agrees),
        cmocka_unit_test(xsave_follows_xcr0),
        cmocka_unit_test(clock_rates),
        cmocka_unit_test(hypervisor_leaves),
        cmocka_unit_test(out_of_range),
        cmocka_unit_test(settling),
        cmocka_unit_test(refusals_and_the_real_cpu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
