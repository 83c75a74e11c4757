// SPDX-License-Identifier: Apache-2.0
#include "arch/x86_64/mce.h"

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/instr.h"
#include "kernel/log.h"
#include "mullion/regs.h"

#define BANKS_MAX 32u /* that have MSRs from MSR_MC0_CTL on */

/* MCG_CAP */
#define CAP_BANKS 0xffu
#define CAP_CTL   (1u << 8)
#define CAP_TELLS (1u << 24) /* MCG_SER_P */
/* MCG_STATUS */
#define GLOBAL_RIPV (1ull << 0) /* what was interrupted can go on */
#define GLOBAL_EIPV (1ull << 1) /* it is what met the error */
/* MCi_STATUS */
#define VALID           (1ull << 63)
#define LOST_ANOTHER    (1ull << 62)
#define UNCORRECTED     (1ull << 61)
#define HAS_MISC        (1ull << 59)
#define HAS_ADDRESS     (1ull << 58)
#define CONTEXT_CORRUPT (1ull << 57)
#define SIGNALLED       (1ull << 56) /* this and the next: with CAP_TELLS */
#define ACTION_REQUIRED (1ull << 55)

static uint32_t capabilities(void)
{
    return cpuid(1, 0).edx & 1u << 14 ? (uint32_t)rdmsr(MSR_MCG_CAP) : 0;
}

/* A register of a bank whose status tells that it holds something: else reading it may fault. */
static uint64_t read_if(uint64_t status, uint64_t bit, uint32_t msr)
{
    return status & bit ? rdmsr(msr) : 0;
}

enum mce_verdict mce_judge(uint64_t status, uint64_t global, bool tells)
{
    if ((status & (VALID | UNCORRECTED)) != (VALID | UNCORRECTED) ||
        (tells && !(status & (SIGNALLED | CONTEXT_CORRUPT))))
        return MCE_NOTED;
    if (status & (CONTEXT_CORRUPT | LOST_ANOTHER))
        return MCE_FATAL;
    if (tells && !((status & ACTION_REQUIRED) && (global & GLOBAL_EIPV)))
        return MCE_NOTED;
    return tells && !(status & HAS_ADDRESS) ? MCE_FATAL : MCE_CONTAINED;
}

bool mce_look(enum mce_when when)
{
    struct cpu *c = this_cpu();
    enum mce_verdict worst = MCE_NOTED;
    uint32_t can = capabilities(), worst_at = MSR_MC0_STATUS;
    uint32_t count = (uint32_t)min_u64(can & CAP_BANKS, BANKS_MAX);
    if (count == 0)
        return false;
    uint64_t global = when == MCE_AT_BOOT ? ~0ull : rdmsr(MSR_MCG_STATUS);
    if (when == MCE_AT_BOOT && (can & CAP_CTL))
        wrmsr(MSR_MCG_CTL, ~0ull);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = MSR_MC0_STATUS + 4 * i;
        if (when == MCE_AT_BOOT)
            wrmsr(MSR_MC0_CTL + 4 * i, ~0ull);
        uint64_t status = rdmsr(at);
        enum mce_verdict v = mce_judge(status, global, can & CAP_TELLS);
        if ((status & VALID) && v >= worst)
            worst_at = at;
        worst = v > worst ? v : worst;
        bool theirs = v == MCE_NOTED && (status & UNCORRECTED) && (status & ACTION_REQUIRED) && !(global & GLOBAL_EIPV);
        if (!(status & VALID) || theirs || when == MCE_IN_RING_0 || (when == MCE_OUTSIDE && v == MCE_FATAL))
            continue;
        c->errors++;
        klog(status & UNCORRECTED ? LOG_ERROR : LOG_WARN,
             "CPU %u: hardware error %u, %scorrected%s: bank %u, status 0x%lx, address 0x%lx, misc 0x%lx", c->number,
             c->errors, status & UNCORRECTED ? "un" : "", when == MCE_AT_BOOT ? ", from before this start" : "", i,
             status, read_if(status, HAS_ADDRESS, at + 1), read_if(status, HAS_MISC, at + 2));
        wrmsr(at, 0);
    }
    bool ends = worst == MCE_CONTAINED || !(global & GLOBAL_RIPV), by_mc = when >= MCE_IN_RING_0;
    if (by_mc && (worst == MCE_FATAL || (ends && when == MCE_IN_RING_0) || !(global & (GLOBAL_RIPV | GLOBAL_EIPV))))
        panic("machine check: the hardware has an error that may have damaged more than one guest\n"
              "  bank %u  status 0x%lx  address 0x%lx  misc 0x%lx  MCG_STATUS 0x%lx\n"
              "  Have memory and CPU tested; docs/debugging.md says how these numbers are read.",
              (worst_at - MSR_MC0_STATUS) / 4, rdmsr(worst_at), read_if(rdmsr(worst_at), HAS_ADDRESS, worst_at + 1),
              read_if(rdmsr(worst_at), HAS_MISC, worst_at + 2), global);
    wrmsr(MSR_MCG_STATUS, 0);
    return ends;
}
