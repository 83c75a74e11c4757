// SPDX-License-Identifier: Apache-2.0
/*
 * See speculation.h. Which models are affected: Intel, "Affected Processors: Transient Execution Attacks & Related
 * Security Issues by CPU"; AMD, the bulletins named in the rows. Bits: Intel SDM vol. 2, CPUID leaf 7, vol. 4, table
 * 2-2 (IA32_ARCH_CAPABILITIES); AMD APM vol. 3, appendix E.
 */
#include "services/root/speculation.h"
#include "lib/print.h"
#include "mullion/boot.h"

#define BIT(n) (1u << (n))

/* By the name of the first of their kind; steppings where a later one differs. */
static const struct speculation_models sampling[] = {
    {6, 0x3a, 0x3a, 0}, {6, 0x3c, 0x3d, 0}, {6, 0x45, 0x47, 0}, {6, 0x4e, 0x4e, 0},
    {6, 0x5e, 0x5e, 0}, {6, 0x8e, 0x8e, 0}, {6, 0x9e, 0x9e, 0}, {0}};
static const struct speculation_models stale_mmio[] = {
    {6, 0x3f, 0x3f, 0}, {6, 0x4e, 0x4f, 0}, {6, 0x55, 0x56, 0}, {6, 0x5e, 0x5e, 0}, {6, 0x6a, 0x6a, 0},
    {6, 0x6c, 0x6c, 0}, {6, 0x7e, 0x7e, 0}, {6, 0x86, 0x86, 0}, {6, 0x8a, 0x8a, 0}, {6, 0x8e, 0x8e, 0},
    {6, 0x96, 0x96, 0}, {6, 0x9c, 0x9c, 0}, {6, 0x9e, 0x9e, 0}, {6, 0xa5, 0xa7, 0}, {0}};
static const struct speculation_models gather[] = {
    {6, 0x4e, 0x4e, 0}, {6, 0x55, 0x55, 0}, {6, 0x5e, 0x5e, 0}, {6, 0x6a, 0x6a, 0}, {6, 0x6c, 0x6c, 0},
    {6, 0x7e, 0x7e, 0}, {6, 0x8c, 0x8e, 0}, {6, 0x9e, 0x9e, 0}, {6, 0xa5, 0xa7, 0}, {0}};
static const struct speculation_models selection[] = {{6, 0x55, 0x55, 6},  {6, 0x6a, 0x6a, 0}, {6, 0x6c, 0x6c, 0},
                                                      {6, 0x7e, 0x7e, 0},  {6, 0x8c, 0x8d, 0}, {6, 0x8e, 0x8e, 12},
                                                      {6, 0x9e, 0x9e, 13}, {6, 0xa5, 0xa7, 0}, {0}};
static const struct speculation_models skylake[] = {
    {6, 0x4e, 0x4e, 0}, {6, 0x55, 0x55, 0}, {6, 0x5e, 0x5e, 0}, {6, 0x66, 0x66, 0},
    {6, 0x8e, 0x8e, 0}, {6, 0x9e, 0x9e, 0}, {6, 0xa5, 0xa6, 0}, {0}};
static const struct speculation_models register_file[] = {{6, 0x5c, 0x5c, 0},
                                                          {6, 0x5f, 0x5f, 0},
                                                          {6, 0x7a, 0x7a, 0},
                                                          {6, 0x86, 0x86, 0},
                                                          {6, 0x96, 0x97, 0},
                                                          {6, 0x9a, 0x9a, 0},
                                                          {6, 0x9c, 0x9c, 0},
                                                          {6, 0xb7, 0xb7, 0},
                                                          {6, 0xba, 0xba, 0},
                                                          {6, 0xbe, 0xbf, 0},
                                                          {0}};
static const struct speculation_models zen_2[] = {
    {0x17, 0x30, 0x4f, 0}, {0x17, 0x60, 0x7f, 0}, {0x17, 0x90, 0x91, 0}, {0x17, 0xa0, 0xaf, 0}, {0}};
static const struct speculation_models before_zen_3[] = {
    {0x15, 0, 0xff, 0}, {0x16, 0, 0xff, 0}, {0x17, 0, 0xff, 0}, {0x18, 0, 0xff, 0}, {0}};
static const struct speculation_models zen_3_and_4[] = {{0x19, 0, 0xff, 0}, {0}};
static const struct speculation_models zen[] = {
    {0x17, 0, 0xff, 0}, {0x18, 0, 0xff, 0}, {0x19, 0, 0xff, 0}, {0x1a, 0, 0xff, 0}, {0}};

#define CAPABILITY(n)             \
    {                             \
        WORD_CAPABILITIES, BIT(n) \
    }
#define LEAF_7_EDX(n)      \
    {                      \
        WORD_7_EDX, BIT(n) \
    }
#define AMD_8_EBX(n)           \
    {                          \
        WORD_AMD_8_EBX, BIT(n) \
    }
#define AMD_21_EAX(n)           \
    {                           \
        WORD_AMD_21_EAX, BIT(n) \
    }
#define STALE_MMIO_NO                                  \
    {                                                  \
        WORD_CAPABILITIES, BIT(13) | BIT(14) | BIT(15) \
    }
#define TSA_NO                           \
    {                                    \
        WORD_AMD_21_ECX, BIT(1) | BIT(2) \
    }

const struct speculation_row speculation_rows[] = {
    {.name = "branch targets",
     .cve = "2017-5715",
     .remedy = LEAF_7_EDX(26),
     .barrier = BARRIER_PREDICTOR,
     .cpus = "Intel, all",
     .what = "IBPB from one guest's domain to another domain that holds data",
     .price = "IBPB: 1,000 to 10,000 cycles",
     .source = "Intel, Branch Target Injection, INTEL-SA-00088"},
    {.name = "branch targets in ring 0",
     .cve = "2017-5715",
     .where = LEAF_7_EDX(26),
     .safe = CAPABILITY(1),
     .open = true,
     .cpus = "Intel without IBRS_ALL",
     .what = "nothing: ring 0's indirect branches can be trained. With IBRS_ALL, IBRS is on",
     .price = "none",
     .source = "Intel, Branch Target Injection"},
    {.name = "Meltdown",
     .cve = "2017-5754",
     .safe = CAPABILITY(0),
     .open = true,
     .cpus = "Intel without RDCL_NO",
     .what = "nothing: a hostile monitor could read the kernel's pool. No guest can: it has other tables",
     .price = "none",
     .source = "Intel, Rogue Data Cache Load, INTEL-SA-00088"},
    {.name = "L1TF",
     .cve = "2018-3646",
     .safe = CAPABILITY(0),
     .spared = CAPABILITY(3),
     .remedy = LEAF_7_EDX(28),
     .barrier = BARRIER_L1D,
     .cpus = "Intel without RDCL_NO and SKIP_L1DFL_VMENTRY",
     .what = "the L1 data cache is flushed from a domain that holds data to another",
     .price = "1,000 to 2,000 cycles, and a cold cache",
     .source = "Intel, L1 Terminal Fault, INTEL-SA-00161"},
    {.name = "MDS",
     .cve = "2018-12126, -12127, -12130, 2019-11091",
     .safe = CAPABILITY(5),
     .remedy = LEAF_7_EDX(10),
     .barrier = BARRIER_BUFFERS,
     .cpus = "Intel without MDS_NO",
     .what = "VERW from a domain that holds data to another",
     .price = "about 500 cycles",
     .source = "Intel, Microarchitectural Data Sampling, INTEL-SA-00233"},
    {.name = "TAA",
     .cve = "2019-11135",
     .where = {WORD_7_EBX, BIT(11)},
     .safe = CAPABILITY(8),
     .remedy = LEAF_7_EDX(10),
     .barrier = BARRIER_BUFFERS,
     .cpus = "Intel with RTM, without TAA_NO",
     .what = "as MDS. Guests are offered no RTM",
     .price = "as MDS",
     .source = "Intel, TSX Asynchronous Abort, INTEL-SA-00270"},
    {.name = "stale MMIO data",
     .cve = "2022-21123, -21125, -21127, -21166",
     .models = stale_mmio,
     .safe = CAPABILITY(5),
     .remedy = {WORD_7_EDX, BIT(10) | BIT(28)},
     .barrier = BARRIER_BUFFERS,
     .cpus = "Intel, Haswell servers to Comet Lake, without MDS_NO",
     .what = "as MDS",
     .price = "as MDS",
     .source = "Intel, Processor MMIO Stale Data Vulnerabilities, INTEL-SA-00615"},
    {.name = "stale MMIO data",
     .cve = "the same",
     .models = stale_mmio,
     .where = CAPABILITY(5),
     .safe = STALE_MMIO_NO,
     .remedy = CAPABILITY(17),
     .barrier = BARRIER_BUFFERS,
     .cpus = "Intel with MDS_NO, Cascade Lake to Rocket Lake, Atom Tremont, without SBDR_SSDP_NO, FBSDP_NO and PSDP_NO",
     .what = "as MDS",
     .price = "as MDS",
     .source = "the same"},
    {.name = "RFDS",
     .cve = "2023-28746",
     .models = register_file,
     .safe = CAPABILITY(27),
     .remedy = CAPABILITY(28),
     .barrier = BARRIER_BUFFERS,
     .cpus = "Intel Atom from Goldmont on, Alder Lake and Raptor Lake, without RFDS_NO",
     .what = "as MDS",
     .price = "as MDS",
     .source = "Intel, Register File Data Sampling, INTEL-SA-00898"},
    {.name = "SRBDS",
     .cve = "2020-0543",
     .models = sampling,
     .remedy = LEAF_7_EDX(9),
     .cpus = "Intel client CPUs, Ivy Bridge to Kaby Lake",
     .what = "the microcode does it in RDRAND, RDSEED and EGETKEY",
     .price = "these instructions are slower",
     .source = "Intel, Special Register Buffer Data Sampling, INTEL-SA-00320"},
    {.name = "GDS",
     .cve = "2022-40982",
     .models = gather,
     .safe = CAPABILITY(26),
     .remedy = CAPABILITY(25),
     .cpus = "Intel, Skylake to Tiger Lake, without GDS_NO",
     .what = "the microcode does it in gather instructions",
     .price = "these instructions are slower",
     .source = "Intel, Gather Data Sampling, INTEL-SA-00828"},
    {.name = "BHI",
     .cve = "2022-0001",
     .where = CAPABILITY(1),
     .safe = CAPABILITY(20),
     .remedy = {WORD_7_2_EDX, BIT(4)},
     .barrier = KEEP_PREDICTIONS,
     .cpus = "Intel with IBRS_ALL, without BHI_NO",
     .what = "BHI_DIS_S is on in ring 0 and, unless the guest has its own way, in guests",
     .price = "indirect branches of supervisors are predicted less well",
     .source = "Intel, Branch History Injection, INTEL-SA-00598"},
    {.name = "ITS",
     .cve = "2024-28956",
     .models = selection,
     .where = CAPABILITY(1),
     .safe = {WORD_CAPABILITIES_HIGH, BIT(30)},
     .open = true,
     .cpus = "Intel with IBRS_ALL, Cascade Lake to Rocket Lake, without ITS_NO",
     .what = "nothing: ring 0's indirect branches can be trained by a guest",
     .price = "none",
     .source = "Intel, Indirect Target Selection, INTEL-SA-01153"},
    {.name = "Retbleed",
     .cve = "2022-29901",
     .models = skylake,
     .safe = CAPABILITY(1),
     .open = true,
     .cpus = "Intel, Skylake to Comet Lake, without IBRS_ALL",
     .what = "nothing in ring 0, whose calls are too shallow to run the return stack dry",
     .price = "none",
     .source = "Intel, Return Stack Buffer Underflow, INTEL-SA-00702"},
    {.name = "returns behind an exit",
     .cve = "2022-26373",
     .where = CAPABILITY(1),
     .safe = CAPABILITY(24),
     .open = true,
     .cpus = "Intel with IBRS_ALL, without PBRSB_NO",
     .what = "nothing",
     .price = "none",
     .source = "Intel, Post-barrier Return Stack Buffer Predictions, INTEL-SA-00706"},
    {.name = "iTLB multihit",
     .cve = "2018-12207",
     .safe = CAPABILITY(6),
     .open = true,
     .cpus = "Intel without PSCHANGE_MC_NO",
     .what = "nothing: a guest's kernel can hang the machine",
     .price = "none",
     .source = "Intel, Machine Check Error Avoidance on Page Size Change, INTEL-SA-00210"},
    {.name = "branch targets",
     .cve = "2017-5715",
     .amd = true,
     .remedy = AMD_8_EBX(12),
     .barrier = BARRIER_PREDICTOR,
     .cpus = "AMD, all",
     .what = "IBPB from one guest's domain to another domain that holds data",
     .price = "IBPB: 1,000 to 10,000 cycles",
     .source = "AMD, Software Techniques for Managing Speculation on AMD Processors"},
    {.name = "branch targets in ring 0",
     .cve = "2017-5715",
     .amd = true,
     .safe = AMD_21_EAX(8),
     .open = true,
     .cpus = "AMD without automatic IBRS",
     .what = "nothing: ring 0's indirect branches can be trained. Automatic IBRS is on where it is",
     .price = "none",
     .source = "as above"},
    {.name = "Retbleed",
     .cve = "2022-29900",
     .amd = true,
     .models = before_zen_3,
     .safe = AMD_8_EBX(29),
     .open = true,
     .cpus = "AMD before Zen 3 without BTC_NO",
     .what = "IBPB between domains. Nothing between a guest and ring 0, where an IBPB at each exit would be needed",
     .price = "such an IBPB: an exit takes several times as long",
     .source = "AMD, Technical Guidance for Mitigating Branch Type Confusion, AMD-SB-1037"},
    {.name = "SRSO",
     .cve = "2023-20569",
     .amd = true,
     .models = zen_3_and_4,
     .safe = AMD_21_EAX(29),
     .remedy = AMD_21_EAX(28),
     .open = true,
     .cpus = "AMD Zen 3 and 4 without SRSO_NO",
     .what = "IBPB between domains. Nothing between a guest and ring 0, as Retbleed",
     .price = "as Retbleed",
     .source = "AMD, Technical Update Regarding Speculative Return Stack Overflow, AMD-SB-7005"},
    {.name = "Zenbleed",
     .cve = "2023-20593",
     .amd = true,
     .models = zen_2,
     .barrier = FIX_ZENBLEED,
     .cpus = "AMD Zen 2",
     .what = "DE_CFG[9] is set on each CPU, whatever the microcode does",
     .price = "some vector moves are slower",
     .source = "AMD, Cross-Process Information Leak, AMD-SB-7008"},
    {.name = "TSA",
     .cve = "2024-36350, -36357",
     .amd = true,
     .models = zen_3_and_4,
     .safe = TSA_NO,
     .remedy = AMD_21_EAX(5),
     .barrier = BARRIER_BUFFERS,
     .cpus = "AMD Zen 3 and 4 without TSA_SQ_NO and TSA_L1_NO",
     .what = "VERW from a domain that holds data to another",
     .price = "about 500 cycles",
     .source = "AMD, Technical Guidance for Mitigating Transient Scheduler Attacks, AMD-SB-7029"},
    {.name = "VMScape",
     .cve = "2025-40300",
     .amd = true,
     .models = zen,
     .remedy = AMD_8_EBX(12),
     .barrier = BARRIER_PREDICTOR,
     .cpus = "AMD Zen 1 to 5; Intel from Skylake on likewise",
     .what =
         "a guest's own monitor holds nothing but the guest's data; before other programs of ring 3 is the IBPB between "
         "domains",
     .price = "none of its own",
     .source = "AMD-SB-7046; Intel, VMScape"},
};
const size_t speculation_row_count = sizeof speculation_rows / sizeof speculation_rows[0];

static bool among(const struct speculation_models *m, const struct speculation_cpu *c)
{
    if (m == NULL)
        return true;
    for (; m->family != 0; m++)
        if (c->family == m->family && c->model >= m->first && c->model <= m->last && c->stepping >= m->stepping)
            return true;
    return false;
}

static bool all_of(const struct speculation_fact *f, const struct speculation_cpu *c)
{
    return (c->word[f->word] & f->bits) == f->bits;
}

enum speculation_state speculation_state(const struct speculation_row *r, const struct speculation_cpu *c,
                                         uint32_t in_force)
{
    if (r->amd != c->amd || !among(r->models, c) || !all_of(&r->where, c) ||
        (r->safe.bits != 0 && all_of(&r->safe, c)) || (r->spared.bits != 0 && all_of(&r->spared, c)))
        return SPECULATION_SAFE;
    if (!all_of(&r->remedy, c))
        return SPECULATION_OLD;
    if (r->open)
        return SPECULATION_OPEN;
    return (in_force & r->barrier) == r->barrier ? SPECULATION_HELD : SPECULATION_OFF;
}

void speculation_names(const struct speculation_cpu *c, uint32_t in_force, enum speculation_state state, char *out,
                       size_t size)
{
    size_t n = 0;
    out[0] = 0;
    for (size_t i = 0; i < speculation_row_count && n < size; i++)
        if (speculation_state(&speculation_rows[i], c, in_force) == state)
            n += (size_t)format(out + n, size - n, "%s%s", n != 0 ? ", " : "", speculation_rows[i].name);
}
