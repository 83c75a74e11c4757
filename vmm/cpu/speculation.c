// SPDX-License-Identifier: Apache-2.0
#include "vmm/cpu/speculation.h"

#define BIT(n) (1ull << (n))

/* RDCL_NO 0, IBRS_ALL 1, RSBA 2, SKIP_L1DFL_VMENTRY 3, SSB_NO 4, MDS_NO 5, PSCHANGE_MC_NO 6, TAA_NO 8, SBDR_SSDP_NO 13,
 * FBSDP_NO 14, PSDP_NO 15, FB_CLEAR 17, RRSBA 19, BHI_NO 20, PBRSB_NO 24, GDS_NO 26, RFDS_NO 27, RFDS_CLEAR 28, ITS_NO
 * 62. Two of them say what is open, and stay for that. Not: TSX_CTRL 7, MISC_PACKAGE_CTLS 10, ENERGY_FILTERING_CTL 11,
 * DOITM 12, FB_CLEAR_CTRL 18, XAPIC_DISABLE_STATUS 21, GDS_CTRL 25: the MSR that each tells of is the host's. */
#define TRUE_OF_GUESTS                                                                                               \
    (BIT(0) | BIT(1) | BIT(2) | BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(8) | BIT(13) | BIT(14) | BIT(15) | BIT(17) | \
     BIT(19) | BIT(20) | BIT(24) | BIT(26) | BIT(27) | BIT(28) | BIT(62))

uint64_t speculation_capabilities(uint64_t machine)
{
    return machine & TRUE_OF_GUESTS;
}

/* Which bit of CPUID offers which bits of IA32_SPEC_CTRL. */
struct control {
    uint8_t bit;
    uint16_t controls;
};

static uint64_t offered(uint32_t word, const struct control *c, unsigned count)
{
    uint64_t out = 0;
    for (unsigned i = 0; i < count; i++)
        if ((word >> c[i].bit & 1) != 0)
            out |= c[i].controls;
    return out;
}

uint64_t speculation_controls(const struct cpuid_table *t)
{
    static const struct control seven[] = {{26, BIT(0)}, {27, BIT(1)}, {31, BIT(2)}};
    static const struct control two[] = {
        {0, BIT(7)}, {1, BIT(3) | BIT(4)}, {2, BIT(5) | BIT(6)}, {3, BIT(8)}, {4, BIT(10)}};
    static const struct control amd[] = {{14, BIT(0)}, {15, BIT(1)}, {24, BIT(2)}, {28, BIT(7)}};
    struct cpuid_regs r;
    if (!t->intel) {
        r = cpuid_lookup(t, 0, 0x80000008u, 0, 0, 0);
        return offered(r.ebx, amd, 4);
    }
    r = cpuid_lookup(t, 0, 7, 0, 0, 0);
    uint64_t out = offered(r.edx, seven, 3);
    r = cpuid_lookup(t, 0, 7, 2, 0, 0);
    return out | offered(r.edx, two, 5);
}
