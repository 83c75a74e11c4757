// SPDX-License-Identifier: Apache-2.0
/*
 * See vmm/cpu/cr.h.
 */
#include "vmm/cpu/cr.h"
#include "mullion/regs.h"

uint64_t cr4_allowed(uint32_t leaf1_ecx, uint32_t leaf1_edx, uint32_t leaf7_ebx, uint32_t leaf7_ecx)
{
    static const struct {
        uint8_t word, bit;
        uint64_t cr4;
    } rule[] = {
        /* SDM vol. 3, 2.5: each bit and the CPUID feature that offers it */
        {1, 1, CR4_VME | CR4_PVI}, {1, 4, CR4_TSD},      {1, 2, CR4_DE},     {1, 3, CR4_PSE},
        {1, 6, CR4_PAE},           {1, 7, CR4_MCE},      {1, 13, CR4_PGE},   {1, 24, CR4_OSFXSR},
        {1, 25, CR4_OSXMMEXCPT},   {2, 0, CR4_FSGSBASE}, {0, 17, CR4_PCIDE}, {0, 26, CR4_OSXSAVE},
        {2, 7, CR4_SMEP},          {2, 20, CR4_SMAP},    {3, 2, CR4_UMIP},   {3, 3, CR4_PKE},
    };
    const uint32_t words[] = {leaf1_ecx, leaf1_edx, leaf7_ebx, leaf7_ecx};
    uint64_t allowed = CR4_PCE; /* no feature bit; without a PMU it only lets RDPMC fault differently */
    for (unsigned i = 0; i < sizeof rule / sizeof rule[0]; i++)
        if (words[rule[i].word] >> rule[i].bit & 1)
            allowed |= rule[i].cr4;
    return allowed;
}

static bool in_64bit_code(const struct vcpu_state *s)
{
    return (s->efer & EFER_LMA) && (s->seg[SEG_CS].attr & SEG_ATTR_L);
}

static bool write_cr0(struct vcpu_state *s, uint64_t value)
{
    if (value >> 32 != 0)
        return false;
    value |= CR0_ET; /* hard-wired */
    if ((value & CR0_PG) && !(value & CR0_PE))
        return false;
    if ((value & CR0_NW) && !(value & CR0_CD))
        return false;
    bool was = (s->cr0 & CR0_PG) != 0, will = (value & CR0_PG) != 0;
    if (!was && will && (s->efer & EFER_LME)) {
        if (!(s->cr4 & CR4_PAE) || (s->seg[SEG_CS].attr & SEG_ATTR_L))
            return false;
        s->efer |= EFER_LMA;
    } else if (was && !will) {
        if (in_64bit_code(s) || (s->cr4 & CR4_PCIDE))
            return false;
        s->efer &= ~EFER_LMA;
    }
    s->cr0 = (value &
              (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG));
    return true;
}

static bool write_cr4(struct vcpu_state *s, uint64_t value, uint64_t allowed)
{
    if (value & ~allowed)
        return false;
    if ((s->efer & EFER_LMA) && !(value & CR4_PAE))
        return false;
    if ((value & ~s->cr4 & CR4_PCIDE) && (!(s->efer & EFER_LMA) || (s->cr3 & 0xfff)))
        return false;
    s->cr4 = value;
    return true;
}

static bool write_cr3(struct vcpu_state *s, uint64_t value, unsigned physical_bits)
{
    if (s->efer & EFER_LMA) {
        if (s->cr4 & CR4_PCIDE)
            value &= ~(1ull << 63); /* "do not flush": a hint */
        if (value >> physical_bits != 0)
            return false;
    } else {
        value &= 0xffffffffu;
    }
    s->cr3 = value;
    return true;
}

bool cr_write(struct vcpu_state *s, unsigned number, uint64_t value, uint64_t allowed_cr4, unsigned physical_bits)
{
    bool ok;
    switch (number) {
    case 0: ok = write_cr0(s, value); break;
    case 2:
        s->cr2 = value;
        ok = true;
        break;
    case 3: ok = write_cr3(s, value, physical_bits); break;
    case 4: ok = write_cr4(s, value, allowed_cr4); break;
    default: return false;
    }
    if (ok)
        s->dirty |= GROUP_CR;
    return ok;
}
