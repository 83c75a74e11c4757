/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory as a guest's instruction names it: segment and offset, checked as the CPU does, then a linear address, cut at
 * page borders, translated by the guest's tables, and served by its RAM or by the device that lies there. Pure, but for
 * the device hook.
 */
#ifndef VMM_ACCESS_H
#define VMM_ACCESS_H

#include "vmm/insn/walk.h"

struct guest_cpu {
    struct vcpu_state *state; /* RIP, SEG, CR valid */
    const struct guest_memory *memory;
    /* Not RAM: the device that lies at gpa. size: 1..8. On a read *value is filled. */
    void (*device)(void *context, uint64_t gpa, unsigned size, bool write, uint64_t *value);
    /* Whether a device claims any byte of [gpa, gpa + size), which lies in one page. NULL: all is claimed. */
    bool (*claimed)(void *context, uint64_t gpa, unsigned size);
    /* The vCPU's XSAVE image, GROUP_FPU valid. NULL: it cannot be had. */
    struct fpu_image *(*fpu)(void *context);
    const uint32_t *xsave_offset; /* of components 0 to 7 in it (CPUID leaf 0xd), 0: not there. NULL: no XSAVE */
    void *context;
    struct cached_move *move; /* where a simple move is to be kept; NULL: nowhere */
    bool as_system;           /* with ring 0's rights, whatever ring runs: descriptor tables */
    bool no_tzcnt, no_lzcnt;  /* the CPU lacks BMI1, LZCNT: it runs BSF and BSR instead */
};

/* What an access or an instruction came to. */
enum verdict {
    VERDICT_DONE = 0,
    VERDICT_AGAIN,       /* string instruction: a bounded part is done, the guest re-executes the rest */
    VERDICT_FAULT,       /* the guest gets struct guest_fault */
    VERDICT_UNSUPPORTED, /* the monitor cannot do it: the guest stops; or its program, if that runs in ring 3 */
};

struct guest_fault {
    uint8_t vector;
    bool has_code, is_page_fault;
    uint32_t code;
    uint64_t address; /* cr2, for a page fault */
};

#define VECTOR_DE 0u
#define VECTOR_DB 1u
#define VECTOR_UD 6u
#define VECTOR_DF 8u
#define VECTOR_TS 10u
#define VECTOR_NP 11u
#define VECTOR_SS 12u
#define VECTOR_GP 13u
#define VECTOR_PF 14u
#define VECTOR_MC 18u

/* An operand in memory, before segmentation. */
struct logical {
    uint64_t offset; /* already cut to the address size */
    unsigned seg;    /* SEG_* */
    unsigned size;
    bool write;
};

/* Its linear address. FAULT: the segment has no such bytes, or does not let them be read or written (SDM vol. 3, 5.3 to
 * 5.5), or the address is not canonical. RIP, SEG, CR valid. */
enum verdict access_address(const struct guest_cpu *c, const struct logical *a, uint64_t *linear,
                            struct guest_fault *fault);

/* Moves size (1, 2, 4, 8) bytes between *value and linear. */
enum verdict access_linear(const struct guest_cpu *c, uint64_t linear, unsigned size, bool write, uint64_t *value,
                           struct guest_fault *fault);

/* The same for 1 to 64 bytes, in parts of at most 8. On a fault nothing was moved. */
enum verdict access_bytes(const struct guest_cpu *c, uint64_t linear, unsigned size, bool write, uint8_t *bytes,
                          struct guest_fault *fault);

/* Whether such an access would go through; moves nothing. */
enum verdict access_probe(const struct guest_cpu *c, uint64_t linear, unsigned size, bool write,
                          struct guest_fault *fault);

/* The instruction's bytes at CS:RIP: how many of `most` could be had without crossing into memory that is not there. 0:
 * none. */
unsigned access_fetch(const struct guest_cpu *c, uint8_t *bytes, unsigned most);

/* 16, 32 or 64: the width of the code that runs. */
unsigned access_code_width(const struct vcpu_state *s);
/* Segment base + offset, as the mode has it. seg: SEG_*. offset is already cut to the address size. */
uint64_t access_to_linear(const struct vcpu_state *s, unsigned seg, uint64_t offset);
unsigned access_cpl(const struct vcpu_state *s);

#endif
