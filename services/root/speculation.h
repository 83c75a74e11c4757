/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The attacks by speculation that are known, as a table: which CPUs, what Mullion does at which boundary, what that
 * costs, and the source. Ring 0 knows the barriers alone (arch/x86_64/speculation.h). From here come the lines of the
 * log that say what this CPU needs and gets, and the table in docs/memory.md (`make docs`).
 *
 * To add one: a row, and in ring 0 its barrier if it needs a new one. tests/unit/test_speculation.c compares the
 * two.
 */
#ifndef ROOT_SPECULATION_H
#define ROOT_SPECULATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Words of CPUID, and the two halves of IA32_ARCH_CAPABILITIES. */
enum {
    WORD_7_EBX,
    WORD_7_EDX,
    WORD_7_2_EDX,
    WORD_AMD_8_EBX,  /* leaf 8000_0008h */
    WORD_AMD_21_EAX, /* leaf 8000_0021h */
    WORD_AMD_21_ECX,
    WORD_CAPABILITIES,
    WORD_CAPABILITIES_HIGH,
    WORD_COUNT
};
struct speculation_cpu {
    bool amd;
    uint32_t family, model, stepping;
    uint32_t word[WORD_COUNT];
};

/* All of these bits are set. No bits: always true where it is a condition. */
struct speculation_fact {
    uint8_t word;
    uint32_t bits;
};
/* Models of one family, and steppings from one on. The family 0 ends a list. */
struct speculation_models {
    uint8_t family, first, last, stepping;
};

struct speculation_row {
    const char *name, *cve;
    bool amd;
    const struct speculation_models *models;     /* NULL: all of the vendor's */
    struct speculation_fact where, safe, spared; /* affected are those with the first, without the others */
    struct speculation_fact remedy; /* tells that the CPU, by its microcode, has what it takes; no bits: nothing is
                                                needed */
    uint32_t barrier;               /* what of BARRIER_* and its kin ring 0 must have in force; 0: nothing */
    bool open;                      /* Mullion does not, or not wholly, keep it off */
    const char *cpus, *what, *price, *source; /* for readers */
};
extern const struct speculation_row speculation_rows[];
extern const size_t speculation_row_count;

enum speculation_state {
    SPECULATION_SAFE, /* the CPU says so, or is none of those */
    SPECULATION_HELD, /* what the row says is done */
    SPECULATION_OLD,  /* its microcode lacks what it takes */
    SPECULATION_OFF,  /* by the option mitigations=off */
    SPECULATION_OPEN,
    SPECULATION_STATES
};
/* in_force: as in struct root_boot. Pure. */
enum speculation_state speculation_state(const struct speculation_row *r, const struct speculation_cpu *c,
                                         uint32_t in_force);
/* The names of the rows in that state, with commas; "" if there is none. Pure. */
void speculation_names(const struct speculation_cpu *c, uint32_t in_force, enum speculation_state state, char *out,
                       size_t size);

#endif
