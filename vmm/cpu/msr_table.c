// SPDX-License-Identifier: Apache-2.0
/*
 * See vmm/cpu/msr_table.h. Sources, by the letters in the rows: I is Intel SDM vol. 4, chapter 2 (tables 2-2, 2-3, 2-20
 * and 2-39); A is AMD APM vol. 2, appendix A, or AMD's Processor Programming Reference for family 17h, 2.1.13 (BKDG for
 * family 10h, 3.13, for the oldest); K: no processor of this kind has it any more, and the value is what KVM answers
 * (Linux arch/x86/kvm/x86.c, kvm_get_msr_common), because systems read it unasked.
 *
 * Windows, the BSDs, macOS and Linux's drivers read these without asking CPUID, and some have no way to take #GP there.
 */
#include "vmm/cpu/msr_table.h"
#include <stddef.h>

enum vendors { INTEL = 1, AMD = 2, BOTH = 3 };

/* Where a value comes from. */
enum from { CONSTANT, FROM_RATIO, FROM_CORES, FROM_FEATURES, FROM_EXTENDED };

struct row {
    uint32_t first, last;
    uint8_t vendors, from, write;
    uint64_t value;
};

#define READ_AS_RATIO 100000ull /* kHz: the bus clock that Intel's ratios count in */
#define LOCKED        1ull      /* IA32_FEATURE_CONTROL: locked, with everything off */
#define LFENCE        2ull      /* DE_CFG: LFENCE serialises */
#define SVM_OFF       0x18ull   /* VM_CR: SVM disabled, and that locked */
#define SMM_BASE      0x30000ull
#define FSB_100_MHZ   3ull
#define EBC_100_MHZ   (1ull << 24)
/* L2 on, 256 KiB, latency 1, for 64 GiB. */
#define L2_CONTROL 0xbe702111ull

/* clang-format off */
static const struct row rows[] = {
    /* first, last, vendors, from, write, value */
    {0x00000000, 0x00000001, BOTH,  CONSTANT, WRITE_IGNORED, 0}, /* P5_MC_ADDR, P5_MC_TYPE: I, A (MCA) */
    {0x00000017, 0x00000017, INTEL, CONSTANT, WRITE_FAULTS, 0}, /* IA32_PLATFORM_ID: I */
    {0x0000002a, 0x0000002a, INTEL, CONSTANT, WRITE_FAULTS, 0}, /* EBL_CR_POWERON: K */
    {0x0000002c, 0x0000002c, INTEL, CONSTANT, WRITE_FAULTS, EBC_100_MHZ}, /* EBC_FREQUENCY_ID: K */
    {0x00000034, 0x00000034, INTEL, CONSTANT, WRITE_FAULTS, 0}, /* SMI_COUNT: I */
    {0x00000035, 0x00000035, INTEL, FROM_CORES, WRITE_FAULTS, 0}, /* CORE_THREAD_COUNT: I */
    {0x0000003a, 0x0000003a, INTEL, CONSTANT, WRITE_FAULTS, LOCKED}, /* IA32_FEATURE_CONTROL: I */
    {0x00000079, 0x00000079, INTEL, CONSTANT, WRITE_IGNORED, 0}, /* IA32_BIOS_UPDT_TRIG: I; microcode is the host's */
    {0x000000cd, 0x000000cd, INTEL, CONSTANT, WRITE_FAULTS, FSB_100_MHZ}, /* FSB_FREQ: K */
    {0x000000ce, 0x000000ce, INTEL, CONSTANT, WRITE_FAULTS, 0}, /* PLATFORM_INFO: I; no faulting CPUID, no ratios */
    {0x0000011e, 0x0000011e, INTEL, CONSTANT, WRITE_IGNORED, L2_CONTROL}, /* BBL_CR_CTL3: K */
    {0x00000140, 0x00000140, INTEL, CONSTANT, WRITE_SAME, 0}, /* MISC_FEATURES_ENABLES: I */
    {0x00000179, 0x00000179, BOTH,  CONSTANT, WRITE_FAULTS, 0}, /* IA32_MCG_CAP: I, A; no banks */
    {0x0000017a, 0x0000017a, BOTH,  CONSTANT, WRITE_SAME, 0}, /* IA32_MCG_STATUS: I, A */
    {0x00000198, 0x00000198, INTEL, FROM_RATIO, WRITE_FAULTS, 0}, /* IA32_PERF_STATUS: I */
    {0x00000199, 0x00000199, INTEL, FROM_RATIO, WRITE_IGNORED, 0}, /* IA32_PERF_CTL: I; the host governs */
    {0x0000019a, 0x0000019a, INTEL, CONSTANT, WRITE_IGNORED, 0}, /* IA32_CLOCK_MODULATION: I */
    {0x0000019b, 0x0000019b, INTEL, CONSTANT, WRITE_IGNORED, 0}, /* IA32_THERM_INTERRUPT: I; no heat comes */
    {0x0000019c, 0x0000019c, INTEL, CONSTANT, WRITE_IGNORED, 0}, /* IA32_THERM_STATUS: I */
    {0x000001db, 0x000001de, BOTH,  CONSTANT, WRITE_FAULTS, 0}, /* LASTBRANCH and LASTINT FROM, TO IP: A, K */
    {0x000001fc, 0x000001fc, INTEL, CONSTANT, WRITE_IGNORED, 0}, /* POWER_CTL: I */
    {0x00000606, 0x00000606, INTEL, CONSTANT, WRITE_FAULTS, 0}, /* RAPL_POWER_UNIT: I; a counter of 0 is none */
    {0x00000611, 0x00000611, INTEL, CONSTANT, WRITE_FAULTS, 0}, /* PKG_ENERGY_STATUS: I */
    {0x00000619, 0x00000619, INTEL, CONSTANT, WRITE_FAULTS, 0}, /* DRAM_ENERGY_STATUS: I */
    {0x00000639, 0x00000639, INTEL, CONSTANT, WRITE_FAULTS, 0}, /* PP0_ENERGY_STATUS: I */
    {0x00000641, 0x00000641, INTEL, CONSTANT, WRITE_FAULTS, 0}, /* PP1_ENERGY_STATUS: I */
    {0xc0010000, 0xc0010007, AMD,   CONSTANT, WRITE_IGNORED, 0}, /* PerfEvtSel, PerfCtr: A; so there are none */
    {0xc0010016, 0xc001001a, AMD,   CONSTANT, WRITE_FAULTS, 0}, /* IORRs, TOP_MEM: A */
    {0xc001001d, 0xc001001d, AMD,   CONSTANT, WRITE_FAULTS, 0}, /* TOP_MEM2: A */
    {0xc001001f, 0xc001001f, AMD,   CONSTANT, WRITE_IGNORED, 0}, /* NB_CFG: A; extended space is by memory */
    {0xc0010020, 0xc0010020, AMD,   CONSTANT, WRITE_IGNORED, 0}, /* PATCH_LOADER: A; microcode is the host's */
    {0xc0010055, 0xc0010055, AMD,   CONSTANT, WRITE_IGNORED, 0}, /* INT_PENDING: A */
    {0xc0010058, 0xc0010058, AMD,   CONSTANT, WRITE_IGNORED, 0}, /* MMIO_CFG_BASE: A; MCFG says where it is */
    {0xc0010061, 0xc001006b, AMD,   CONSTANT, WRITE_FAULTS, 0}, /* P-states: A */
    {0xc0010111, 0xc0010111, AMD,   CONSTANT, WRITE_FAULTS, SMM_BASE}, /* SMM_BASE, locked: A */
    {0xc0010112, 0xc0010113, AMD,   CONSTANT, WRITE_FAULTS, 0}, /* SMM_ADDR, SMM_MASK, locked: A */
    {0xc0010114, 0xc0010114, AMD,   CONSTANT, WRITE_FAULTS, SVM_OFF}, /* VM_CR: A */
    {0xc0010117, 0xc0010117, AMD,   CONSTANT, WRITE_IGNORED, 0}, /* VM_HSAVE_PA: A */
    {0xc0010140, 0xc0010141, AMD,   CONSTANT, WRITE_IGNORED, 0}, /* OSVW_ID_LENGTH, OSVW_STATUS: A; nothing known */
    {0xc0011004, 0xc0011004, AMD,   FROM_FEATURES, WRITE_IGNORED, 0}, /* CPUID_FEATURES: A */
    {0xc0011005, 0xc0011005, AMD,   FROM_EXTENDED, WRITE_IGNORED, 0}, /* CPUID_EXT_FEATURES: A */
    {0xc001100c, 0xc001100c, AMD,   CONSTANT, WRITE_FAULTS, 0}, /* NODE_ID: A; node 0 of 1 */
    {0xc0011020, 0xc0011023, AMD,   CONSTANT, WRITE_IGNORED, 0}, /* LS_CFG, IC_CFG, DC_CFG, BU_CFG: A */
    {0xc0011029, 0xc0011029, AMD,   CONSTANT, WRITE_IGNORED, LFENCE}, /* DE_CFG: A; work-arounds are the host's */
    {0xc001102a, 0xc001102a, AMD,   CONSTANT, WRITE_IGNORED, 0}, /* BU_CFG2: A */
};
/* clang-format on */

static uint64_t value_of(const struct row *r, const struct msr_kind *k)
{
    switch (r->from) {
    case FROM_RATIO: return k->tsc_khz / READ_AS_RATIO % 256 << 8;
    case FROM_CORES: return (uint64_t)k->vcpus << 16 | k->vcpus; /* every core has one thread */
    case FROM_FEATURES: return k->features;
    case FROM_EXTENDED: return k->extended;
    default: return r->value;
    }
}

bool msr_row(const struct msr_kind *kind, uint32_t index, uint64_t *value, enum msr_write *write)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *r = &rows[i];
        if (index < r->first || index > r->last || (r->vendors & (kind->intel ? INTEL : AMD)) == 0)
            continue;
        *value = value_of(r, kind);
        *write = (enum msr_write)r->write;
        return true;
    }
    return false;
}
