/* SPDX-License-Identifier: Apache-2.0 */
/* Put before every source of test_clock_measure.c: the TSC, the ports and CPUID become functions of the test. */
#ifndef FAKE_CLOCK_H
#define FAKE_CLOCK_H

#define rdtsc real_rdtsc
#define in8   real_in8
#define in32  real_in32
#define out8  real_out8
#define cpuid real_cpuid
#include "arch/x86_64/instr.h"
#undef rdtsc
#undef in8
#undef in32
#undef out8
#undef cpuid

uint64_t rdtsc(void);
uint8_t in8(uint16_t port);
uint32_t in32(uint16_t port);
void out8(uint16_t port, uint8_t v);
struct cpuid_regs cpuid(uint32_t leaf, uint32_t subleaf);

#endif
