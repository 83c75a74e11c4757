/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The model-specific registers that have a value and no life: a row says what a read gives and what a write does.
 */
#ifndef VMM_MSR_TABLE_H
#define VMM_MSR_TABLE_H

#include <stdbool.h>
#include <stdint.h>

/* What the registers of a processor depend on. */
struct msr_kind {
    bool intel; /* else AMD and its kin */
    uint8_t physical_bits;
    uint8_t vcpus;
    uint64_t tsc_khz;
    uint64_t features, extended; /* CPUID.1 and CPUID.80000001h: ECX above EDX */
    uint64_t spec_ctrl;          /* the bits of IA32_SPEC_CTRL that may be set; 0: there is no such register */
    bool tells_capabilities;     /* there is IA32_ARCH_CAPABILITIES */
    uint64_t capabilities;       /* what it says */
};

enum msr_write {
    WRITE_FAULTS,  /* #GP */
    WRITE_IGNORED, /* taken, and a read gives what it gave before */
    WRITE_SAME,    /* only the value that a read gives; else #GP */
};

/* The read's value in *value, and what a write does in *write. False: no row has this register for this vendor. */
bool msr_row(const struct msr_kind *kind, uint32_t index, uint64_t *value, enum msr_write *write);

#endif
