/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Model-specific registers that are the monitor's: those the kernel does not let through. Unknown means #GP, as on
 * hardware, and a log line.
 *
 * Per vCPU there is one struct msr_cpu, touched only by that vCPU's thread. Use:
 *     fetch msr_groups(index) into the state page if they are not valid; then msr_read or msr_write; then, if true,
 * skip the instruction, else inject #GP(0). What changes in the state page is marked dirty there.
 */
#ifndef VMM_MSR_H
#define VMM_MSR_H

#include <stdbool.h>
#include <stdint.h>
#include "mullion/types.h"
#include "mullion/vcpu.h"
#include "vmm/cpu/msr_table.h"
#include "vmm/stream.h"

#define MTRR_VARIABLE 8

/* What the MSRs reach outside of themselves. `context` is handed back in every call. None may be NULL, but for log. */
struct msr_ops {
    uint64_t (*host_tsc)(void *context);
    /* IA32_APIC_BASE (0x1b) and the x2APIC registers 0x800..0x8ff, and IA32_TSC_DEADLINE (0x6e0). False: #GP. */
    bool (*apic_read)(void *context, uint32_t vcpu, uint32_t index, uint64_t *value);
    bool (*apic_write)(void *context, uint32_t vcpu, uint32_t index, uint64_t value);
    /* The guest's TSC was set: guest TSC = host TSC + offset from now on (the deadline must be recomputed, the clock
     * page refilled). */
    void (*tsc_changed)(void *context, uint32_t vcpu);
    /* KVM clock: system-time page of this vCPU (address with the enable bit cleared; enabled = false: off), wall clock
     * structure. False: #GP. */
    bool (*clock_set)(void *context, uint32_t vcpu, uint64_t gpa, bool enabled);
    bool (*wall_clock)(void *context, uint64_t gpa);
    /* An unknown MSR was touched; called at most MSR_LOG_MAX times per vCPU. */
    void (*log)(void *context, uint32_t vcpu, uint32_t index, bool write, uint64_t value);
};
#define MSR_LOG_MAX 16

struct msr_cpu {
    const struct msr_ops *ops;
    void *context;
    struct vcpu_state *state;
    uint32_t vcpu;
    struct msr_kind kind;
    bool nx; /* the guest has EFER.NXE; msr_init says yes */
    uint32_t logged;
    uint64_t tsc_adjust, misc_enable;
    uint64_t mtrr_def, mtrr_fixed[11], mtrr_base[MTRR_VARIABLE], mtrr_mask[MTRR_VARIABLE];
    uint64_t system_time, wall_clock_gpa, poll_control; /* as written */
    uint64_t hwcr, syscfg, bios_sign;
};

/* Power-on values. `state` is that vCPU's page. */
void msr_init(struct msr_cpu *c, const struct msr_ops *ops, void *context, struct vcpu_state *state, uint32_t vcpu,
              struct msr_kind kind);

/* Saves or loads what the guest can tell of them beyond the state page. */
void msr_fields(struct msr_cpu *c, struct stream *s);

/* Which state groups (GROUP_*) must be valid in the page before this register is read or written. */
uint32_t msr_groups(uint32_t index);

/* False: the guest gets #GP(0) and nothing was changed. */
bool msr_read(struct msr_cpu *c, uint32_t index, uint64_t *value) must_check;
bool msr_write(struct msr_cpu *c, uint32_t index, uint64_t value) must_check;

#endif
