// SPDX-License-Identifier: Apache-2.0
/*
 * See vmm/cpu/cpuid.h. Leaf and bit numbers: Intel SDM vol. 2, CPUID; AMD APM vol. 3, appendix E; Linux
 * Documentation/virt/kvm/x86/cpuid.rst for 0x400000xx. A bit not named in a mask here is hidden, whatever the host has.
 */
#include "vmm/cpu/cpuid.h"
#include "lib/proto/vmm_boot.h"
#include "lib/string.h"
#include "mullion/regs.h"
#include "vmm/cpu/speculation.h"

#define BIT(n) (1u << (n))

/* Leaf 1. Not: MONITOR 3 (would idle the host's CPU), VMX 5, SMX 6, EST 7, TM2 8, PDCM 15, DS-related ones. x2APIC 21,
 * deadline timer 24 and hypervisor 31 are the machine's, not the host's. */
#define L1_ECX                                                                                                  \
    (BIT(0) | BIT(1) | BIT(9) | BIT(12) | BIT(13) | BIT(17) | BIT(19) | BIT(20) | BIT(22) | BIT(23) | BIT(25) | \
     BIT(26) | BIT(28) | BIT(29) | BIT(30))
#define L1_ECX_X2APIC     BIT(21)
#define L1_ECX_DEADLINE   BIT(24)
#define L1_ECX_XSAVE      BIT(26)
#define L1_ECX_OSXSAVE    BIT(27)
#define L1_ECX_AVX_KIN    (BIT(12) | BIT(28) | BIT(29)) /* FMA, AVX, F16C: only with AVX state */
#define L1_ECX_HYPERVISOR BIT(31)
/* Not: serial number 18, debug store 21, thermal 22 and 29, PBE 31; HTT 28 by the number of CPUs. */
#define L1_EDX                                                                                                     \
    (0x03ffu | BIT(11) | BIT(12) | BIT(13) | BIT(14) | BIT(15) | BIT(16) | BIT(17) | BIT(19) | BIT(23) | BIT(24) | \
     BIT(25) | BIT(26) | BIT(27))
#define L1_EDX_APIC BIT(9)
#define L1_EDX_HTT  BIT(28)

/* Leaf 7.0. EBX not: SGX 2, HLE 4 and RTM 11 (transactions abort anyway at exits and are a side channel), RDT 12 and
 * 15, MPX 14, PT 25. */
#define L7_EBX_AVX512 (BIT(16) | BIT(17) | BIT(21) | BIT(28) | BIT(30) | BIT(31))
#define L7_EBX_AVX2   BIT(5)
#define L7_EBX                                                                                                       \
    (BIT(0) | BIT(1) | BIT(3) | BIT(5) | BIT(6) | BIT(7) | BIT(8) | BIT(9) | BIT(10) | BIT(13) | BIT(18) | BIT(19) | \
     BIT(20) | BIT(23) | BIT(24) | BIT(29) | L7_EBX_AVX512)
/* ECX: UMIP 2, AVX512 VBMI 1, VBMI2 6, GFNI 8, VAES 9, VPCLMULQDQ 10, VNNI 11, BITALG 12, VPOPCNTDQ 14, RDPID 22,
 * CLDEMOTE 25, MOVDIRI 27, MOVDIR64B 28. Not: PKU 3 and OSPKE 4, WAITPKG 5, CET 7 and EDX 20, LA57 16, SGX_LC 30, PKS
 * 31: each is state or a control that is not switched. */
#define L7_ECX_AVX512 (BIT(1) | BIT(6) | BIT(11) | BIT(12) | BIT(14))
#define L7_ECX_AVX    (BIT(9) | BIT(10))
#define L7_ECX        (BIT(2) | BIT(8) | BIT(22) | BIT(25) | BIT(27) | BIT(28) | L7_ECX_AVX | L7_ECX_AVX512)
/* EDX: fast short REP MOV 4, SERIALIZE 14. Not: AMX 22, 24, 25. Speculation is in vmm/cpu/speculation.h. */
#define L7_EDX (BIT(4) | BIT(14) | SPECULATION_7_EDX)
/* What of that AMD's CPUs tell elsewhere. */
#define L7_EDX_INTEL (SPECULATION_7_EDX & ~BIT(10))

/* Leaf 0xd.1: XSAVEOPT, XGETBV(1). Not: XSAVES 3, XFD 4; nor XSAVEC 1, for Bochs' (2.7) saves nothing: a Linux that
 * uses it loses all vector registers with every change of its tasks, and XSAVEOPT does as well. */
#define LD1_EAX 5u

/* 0x80000001. ECX: LAHF, (CMP_LEGACY 1 by number of CPUs), CR8 4, LZCNT 5, SSE4A 6, misaligned SSE 7, prefetch 8, XOP
 * 11, FMA4 16, TBM 21. Not: SVM 2, extended APIC space 3, OSVW 9, IBS 10, SKINIT 12, WDT 13, LWP 15, TCE 17, NODEID 19,
 * performance counters 23, 24, 28, MONITORX 29. Topology extensions 22 where the host has them. */
#define E1_ECX_AVX        (BIT(11) | BIT(16))
#define E1_ECX            (BIT(0) | BIT(4) | BIT(5) | BIT(6) | BIT(7) | BIT(8) | BIT(21) | BIT(22) | E1_ECX_AVX)
#define E1_ECX_CMP_LEGACY BIT(1)
#define E1_ECX_TOPOLOGY   BIT(22)
/* EDX: SYSCALL 11, NX 20, MMXEXT 22, 1 GiB pages 26, RDTSCP 27, long mode 29, 3DNow 30, 31. AMD repeats leaf 1's low
 * bits. Not: fast FXSAVE 25, whose EFER bit is not offered. */
#define E1_EDX           (BIT(11) | BIT(20) | BIT(22) | BIT(26) | BIT(27) | BIT(29) | BIT(30) | BIT(31))
#define E1_EDX_AMD_COPY  0x0183f3ffu
#define E1_EDX_LONG_MODE BIT(29)

#define E7_EDX_INVARIANT_TSC BIT(8)
/* 0x80000008 EBX (AMD): CLZERO 0, XSAVE error pointers 2, WBNOINVD 9. */
#define E8_EBX (BIT(0) | BIT(2) | BIT(9) | SPECULATION_E8_EBX)

#define L6_EAX_ARAT BIT(2) /* the APIC timer never stops */

#define HYPERVISOR 0x40000000u
#define EXTENDED   0x80000000u
/* KVM: clock source (old and new MSRs) 0 and 3, no delay after port I/O 1, poll control 12 (a Linux that is told
 * KVM_HINTS_REALTIME complains without it), stable clock 24. */
#define KVM_FEATURES (BIT(0) | BIT(1) | BIT(3) | BIT(12) | BIT(24))
/* In EDX: no vCPU waits for a CPU for long. A Linux then takes its spin locks in turn, as on a machine of its own. */
#define KVM_HINTS_REALTIME BIT(0)

#define XCR0_BASE (XCR0_X87 | XCR0_SSE)

struct builder {
    struct cpuid_table *t;
    cpuid_reader *read;
    void *context;
    const struct cpuid_request *request;
    uint32_t shift; /* bits of APIC id that the CPUs take */
    bool overflow;
};

static struct cpuid_regs host(const struct builder *b, uint32_t leaf, uint32_t subleaf)
{
    struct cpuid_regs r = {0};
    b->read(b->context, leaf, subleaf, &r);
    return r;
}

static void add(struct builder *b, uint32_t leaf, uint32_t subleaf, struct cpuid_regs regs, uint32_t live)
{
    if (b->t->count == CPUID_MAX) {
        b->overflow = true;
        return;
    }
    b->t->entry[b->t->count++] = (struct cpuid_entry){.leaf = leaf, .subleaf = subleaf, .regs = regs, .live = live};
}

static void add_any(struct builder *b, uint32_t leaf, struct cpuid_regs regs)
{
    add(b, leaf, CPUID_ANY, regs, 0);
}

static void leaf_1(struct builder *b)
{
    struct cpuid_regs r = host(b, 1, 0);
    uint32_t ecx = r.ecx & L1_ECX;
    if ((b->t->xcr0_allowed & XCR0_AVX) == 0)
        ecx &= ~L1_ECX_AVX_KIN;
    if (b->t->xcr0_allowed == 0)
        ecx &= ~L1_ECX_XSAVE;
    r.ecx = ecx | L1_ECX_HYPERVISOR | (b->request->x2apic ? L1_ECX_X2APIC : 0) |
            (b->request->tsc_deadline ? L1_ECX_DEADLINE : 0);
    r.edx = (r.edx & L1_EDX) | (b->t->vcpus > 1 ? L1_EDX_HTT : 0);
    /* APIC id 0 here; cpuid_lookup puts in the vCPU's. The count is of addressable ids. */
    r.ebx = (r.ebx & 0xffffu) | BIT(b->shift) << 16;
    add(b, 1, CPUID_ANY, r, CPUID_LIVE_OSXSAVE);
}

/* Intel's leaf 4 and AMD's 0x8000001d: one vCPU has its own level 1 and 2, all share level 3. */
static void caches(struct builder *b, uint32_t leaf)
{
    uint32_t all = BIT(b->shift) - 1;
    for (uint32_t i = 0; i < 8; i++) {
        struct cpuid_regs r = host(b, leaf, i);
        if ((r.eax & 0x1fu) == 0)
            break;
        uint32_t sharing = (r.eax >> 5 & 7u) >= 3 ? all : 0;
        uint32_t cores = b->t->intel ? (uint32_t)min_u64(all, 63) : 0; /* AMD has no such field */
        r.eax = (r.eax & 0x3fffu) | sharing << 14 | cores << 26;
        add(b, leaf, i, r, 0);
    }
}

static void leaf_7(struct builder *b)
{
    struct cpuid_regs r = host(b, 7, 0);
    uint32_t controls = b->t->intel && r.eax >= 2 ? host(b, 7, 2).edx & SPECULATION_7_2_EDX : 0;
    r.eax = controls != 0 ? 2 : 0; /* the last subleaf */
    r.ebx &= L7_EBX;
    r.ecx &= L7_ECX;
    r.edx &= L7_EDX & ~(b->t->intel ? 0 : L7_EDX_INTEL);
    if (controls != 0)
        add(b, 7, 2, (struct cpuid_regs){.edx = controls}, 0);
    if ((b->t->xcr0_allowed & XCR0_AVX512) == 0) {
        r.ebx &= ~L7_EBX_AVX512;
        r.ecx &= ~L7_ECX_AVX512;
    }
    if ((b->t->xcr0_allowed & XCR0_AVX) == 0) {
        r.ebx &= ~L7_EBX_AVX2;
        r.ecx &= ~L7_ECX_AVX;
    }
    add(b, 7, 0, r, 0);
}

/* Leaf 0xb: every vCPU a core with one thread, all in one package. EDX, the x2APIC id, by cpuid_lookup. */
static void topology(struct builder *b)
{
    add(b, 0xb, 0, (struct cpuid_regs){.eax = 0, .ebx = 1, .ecx = 1 << 8}, 0);
    add(b, 0xb, 1, (struct cpuid_regs){.eax = b->shift, .ebx = b->t->vcpus, .ecx = 2 << 8 | 1}, 0);
}

/* Which state components the guest may switch on, and where the host's XSAVE puts them. */
static void read_xsave(struct builder *b, uint32_t host_max)
{
    struct cpuid_table *t = b->t;
    if (host_max < 0xd || (host(b, 1, 0).ecx & L1_ECX_XSAVE) == 0)
        return;
    uint64_t have = host(b, 0xd, 0).eax;
    if ((have & XCR0_BASE) != XCR0_BASE)
        return;
    t->xcr0_allowed = XCR0_BASE | (have & XCR0_AVX);
    if ((have & (XCR0_AVX | XCR0_AVX512)) == (XCR0_AVX | XCR0_AVX512))
        t->xcr0_allowed |= XCR0_AVX512;
    for (uint32_t i = 2; i < 8; i++) {
        if ((t->xcr0_allowed >> i & 1) == 0)
            continue;
        struct cpuid_regs r = host(b, 0xd, i);
        t->xsave_size[i] = r.eax;
        t->xsave_offset[i] = r.ebx;
    }
}

/* Size of the standard-format area for these components: the legacy region and the header, then each at its place. */
static uint32_t standard_size(const struct cpuid_table *t, uint64_t components)
{
    uint32_t size = 512 + 64;
    for (uint32_t i = 2; i < 8; i++)
        if ((components >> i & 1) != 0 && t->xsave_offset[i] + t->xsave_size[i] > size)
            size = t->xsave_offset[i] + t->xsave_size[i];
    return size;
}

static void leaf_d(struct builder *b)
{
    struct cpuid_table *t = b->t;
    if (t->xcr0_allowed == 0)
        return;
    /* EBX of the first follows XCR0: cpuid_lookup. */
    add(b, 0xd, 0,
        (struct cpuid_regs){.eax = (uint32_t)t->xcr0_allowed,
                            .ebx = standard_size(t, XCR0_BASE),
                            .ecx = standard_size(t, t->xcr0_allowed)},
        0);
    add(b, 0xd, 1, (struct cpuid_regs){.eax = host(b, 0xd, 1).eax & LD1_EAX}, 0); /* EBX is of the compacted format */
    for (uint32_t i = 2; i < 8; i++)
        if (t->xsave_size[i] != 0)
            add(b, 0xd, i, (struct cpuid_regs){.eax = t->xsave_size[i], .ebx = t->xsave_offset[i]}, 0);
}

/* num / den close to tsc / crystal, by continued fractions, with num * crystal still in 32 bits: Linux multiplies in
 * that order and width (native_calibrate_tsc). Exact whenever the ratio allows it. */
static void tsc_ratio(uint64_t tsc_khz, uint64_t crystal_khz, uint32_t *num, uint32_t *den)
{
    uint64_t limit = UINT32_MAX / crystal_khz, a = tsc_khz, c = crystal_khz;
    uint64_t n0 = 0, d0 = 1, n1 = 1, d1 = 0;
    while (c != 0) {
        uint64_t q = a / c, n2 = q * n1 + n0, d2 = q * d1 + d0, rest = a % c;
        if (n2 > limit || d2 > UINT32_MAX)
            break;
        n0 = n1;
        d0 = d1;
        n1 = n2;
        d1 = d2;
        a = c;
        c = rest;
    }
    *num = d1 != 0 ? (uint32_t)n1 : 0;
    *den = (uint32_t)d1;
}

static void frequencies(struct builder *b)
{
    uint64_t khz = b->request->tsc_khz;
    uint32_t num = 0, den = 0;
    tsc_ratio(khz, b->request->apic_khz, &num, &den);
    if (num != 0 && b->request->apic_khz <= UINT32_MAX / 1000)
        add_any(b, 0x15, (struct cpuid_regs){.eax = den, .ebx = num, .ecx = b->request->apic_khz * 1000});
    uint32_t mhz = (uint32_t)((khz + 500) / 1000);
    mhz = mhz > 0xffff ? 0xffff : mhz;
    add_any(b, 0x16, (struct cpuid_regs){.eax = mhz, .ebx = mhz, .ecx = 100});
}

static void basic(struct builder *b, struct cpuid_regs zero, uint32_t host_max)
{
    struct cpuid_table *t = b->t;
    t->max_basic = t->intel ? 0x16 : 0xd;
    zero.eax = t->max_basic;
    add_any(b, 0, zero);
    leaf_1(b);
    if (t->intel && host_max >= 2)
        add_any(b, 2, host(b, 2, 0));
    if (t->intel && host_max >= 4)
        caches(b, 4);
    add_any(b, 6, (struct cpuid_regs){.eax = L6_EAX_ARAT});
    if (host_max >= 7)
        leaf_7(b);
    add_any(b, 0xa, (struct cpuid_regs){0}); /* no performance counters */
    topology(b);
    leaf_d(b);
    if (t->intel)
        frequencies(b);
}

static void extended(struct builder *b, uint32_t host_max)
{
    struct cpuid_table *t = b->t;
    uint32_t most = t->intel ? EXTENDED + 8 : EXTENDED + 0x21;
    t->max_extended = host_max < most ? host_max : most;
    if (t->max_extended < EXTENDED + 8)
        t->max_extended = EXTENDED + 8;
    struct cpuid_regs r = host(b, EXTENDED, 0);
    r.eax = t->max_extended;
    add_any(b, EXTENDED, r);

    r = host(b, EXTENDED + 1, 0);
    r.ecx &= E1_ECX;
    if ((t->xcr0_allowed & XCR0_AVX) == 0)
        r.ecx &= ~E1_ECX_AVX;
    if (t->max_extended < EXTENDED + 0x1e)
        r.ecx &= ~E1_ECX_TOPOLOGY;
    if (!t->intel && t->vcpus > 1)
        r.ecx |= E1_ECX_CMP_LEGACY;
    r.edx &= E1_EDX | (t->intel ? 0 : E1_EDX_AMD_COPY);
    add_any(b, EXTENDED + 1, r);
    for (uint32_t leaf = EXTENDED + 2; leaf <= EXTENDED + 6; leaf++)
        if (leaf <= host_max)
            add_any(b, leaf, host(b, leaf, 0));
    add_any(b, EXTENDED + 7, (struct cpuid_regs){.edx = E7_EDX_INVARIANT_TSC});

    r = host_max >= EXTENDED + 8 ? host(b, EXTENDED + 8, 0) : (struct cpuid_regs){.eax = 48 << 8 | 36};
    uint32_t linear = r.eax >> 8 & 0xffu;
    r.eax = (r.eax & 0xffu) | (linear > 48 ? 48u : linear) << 8;
    r.ebx = t->intel ? 0 : r.ebx & E8_EBX;
    r.ecx = t->intel ? 0 : b->shift << 12 | (t->vcpus - 1);
    r.edx = 0;
    add_any(b, EXTENDED + 8, r);
    if (t->intel)
        return;
    if (host_max >= EXTENDED + 0x19)
        add_any(b, EXTENDED + 0x19, host(b, EXTENDED + 0x19, 0));
    if (host_max >= EXTENDED + 0x1a)
        add_any(b, EXTENDED + 0x1a, host(b, EXTENDED + 0x1a, 0));
    if (host_max >= EXTENDED + 0x1e && (host(b, EXTENDED + 1, 0).ecx & E1_ECX_TOPOLOGY) != 0) {
        caches(b, EXTENDED + 0x1d);
        add_any(b, EXTENDED + 0x1e, (struct cpuid_regs){0}); /* ids by cpuid_lookup; one thread a core, one node */
    }
    if (host_max >= EXTENDED + 0x21) {
        r = host(b, EXTENDED + 0x21, 0);
        add_any(b, EXTENDED + 0x21,
                (struct cpuid_regs){.eax = r.eax & SPECULATION_E21_EAX, .ecx = r.ecx & SPECULATION_E21_ECX});
    }
}

static void hypervisor(struct builder *b)
{
    b->t->max_hypervisor = HYPERVISOR + 0x10;
    struct cpuid_regs r = {.eax = b->t->max_hypervisor};
    memcpy(&r.ebx, "KVMK", 4);
    memcpy(&r.ecx, "VMKV", 4);
    memcpy(&r.edx, "M\0\0\0", 4);
    add_any(b, HYPERVISOR, r);
    add_any(b, HYPERVISOR + 1,
            (struct cpuid_regs){.eax = KVM_FEATURES, .edx = b->request->dedicated ? KVM_HINTS_REALTIME : 0});
    uint64_t khz = b->request->tsc_khz;
    add_any(b, HYPERVISOR + 0x10,
            (struct cpuid_regs){.eax = khz > UINT32_MAX ? UINT32_MAX : (uint32_t)khz, .ebx = b->request->apic_khz});
}

enum error cpuid_build(struct cpuid_table *t, cpuid_reader *read, void *context, const struct cpuid_request *request)
{
    memset(t, 0, sizeof(*t));
    if (request->vcpus == 0 || request->vcpus > VMM_VCPUS_MAX || request->tsc_khz == 0 ||
        request->tsc_khz > 1ull << 31 || request->apic_khz == 0)
        return E_ARG;
    struct builder b = {.t = t, .read = read, .context = context, .request = request};
    while (BIT(b.shift) < request->vcpus)
        b.shift++;
    struct cpuid_regs zero = host(&b, 0, 0), ext = host(&b, EXTENDED, 0);
    if (zero.eax < 1 || ext.eax < EXTENDED + 1 || ext.eax > EXTENDED + 0xffff ||
        (host(&b, EXTENDED + 1, 0).edx & E1_EDX_LONG_MODE) == 0)
        return E_UNSUPPORTED;
    t->vcpus = request->vcpus;
    /* "AuthenticAMD" and "HygonGenuine" by their first registers; whatever else follows Intel's rules. */
    t->intel = zero.ebx != 0x68747541u && zero.ebx != 0x6f677948u;
    read_xsave(&b, zero.eax);
    basic(&b, zero, zero.eax);
    hypervisor(&b);
    extended(&b, ext.eax);
    return b.overflow ? E_QUOTA : OK;
}

bool cpuid_fastpath_able(uint32_t leaf, uint32_t vcpus)
{
    switch (leaf) {
    case 1:
    case 0xb:
    case 0x1f:
    case EXTENDED + 1: /* AMD's copy of leaf 1's APIC bit */
    case EXTENDED + 0x1e: return vcpus == 1;
    case 0xd: return false;
    default: return true;
    }
}

void cpuid_hide_apic(uint32_t leaf, struct cpuid_regs *regs)
{
    if (leaf == 1 || leaf == EXTENDED + 1)
        regs->edx &= ~L1_EDX_APIC;
}

bool cpuid_needs_state(uint32_t leaf)
{
    return leaf == 1 || leaf == 0xd;
}

static const struct cpuid_entry *find(const struct cpuid_table *t, uint32_t leaf, uint32_t subleaf)
{
    for (uint32_t i = 0; i < t->count; i++)
        if (t->entry[i].leaf == leaf && (t->entry[i].subleaf == CPUID_ANY || t->entry[i].subleaf == subleaf))
            return &t->entry[i];
    return NULL;
}

static bool out_of_range(const struct cpuid_table *t, uint32_t leaf)
{
    if (leaf >= EXTENDED)
        return leaf > t->max_extended;
    if (leaf >= HYPERVISOR)
        return false; /* zeros */
    return leaf > t->max_basic;
}

struct cpuid_regs cpuid_lookup(const struct cpuid_table *t, uint32_t vcpu, uint32_t leaf, uint32_t subleaf,
                               uint64_t cr4, uint64_t xcr0)
{
    struct cpuid_regs out = {0};
    if (out_of_range(t, leaf)) {
        if (!t->intel)
            return out;
        leaf = t->max_basic;
    }
    const struct cpuid_entry *e = find(t, leaf, subleaf);
    if (e != NULL)
        out = e->regs;
    switch (leaf) {
    case 1:
        out.ebx = (out.ebx & 0x00ffffffu) | vcpu << 24;
        if ((out.ecx & L1_ECX_XSAVE) != 0 && (cr4 >> 18 & 1) != 0)
            out.ecx |= L1_ECX_OSXSAVE;
        break;
    case 0xb:
        out.edx = vcpu;
        if (e == NULL)
            out.ecx = subleaf & 0xffu;
        break;
    case 0xd:
        if (e != NULL && subleaf == 0)
            out.ebx = standard_size(t, xcr0 & t->xcr0_allowed);
        break;
    case EXTENDED + 0x1e:
        if (e != NULL) {
            out.eax = vcpu;
            out.ebx = vcpu & 0xffu;
        }
        break;
    default: break;
    }
    return out;
}
