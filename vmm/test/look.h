/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a monitor in ring 3 finds of other guests' registers: for the test guest `registers`, by the benchmark's page.
 * The monitor stays in ring 3 for some of its share's periods, so that other guests of its CPU have their turns between
 * its own, and compares what it can read with what it found first and with what it may find instead.
 */
#ifndef VMM_TEST_LOOK_H
#define VMM_TEST_LOOK_H

#include "mullion/types.h"

struct look {
    uint32_t tsc_aux;    /* one that is neither the own guest's nor 0; 0: never */
    uint32_t xcr0_bytes; /* CPUID leaf 0DH's size, if neither the own guest's nor that of all components; 0: never */
    uint32_t xgetbv;     /* XGETBV worked: XCR0 and, in 31:16, which of its components are in use; 0: it is #UD */
    uint32_t turns;      /* gaps in which others had the CPU */
};

/* For that many ticks. What others run between two reads takes them at least a 64th part of that. */
struct look look_around(uint64_t ticks);

#endif
