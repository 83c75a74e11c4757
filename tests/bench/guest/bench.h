/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The benchmark guest: one Multiboot ELF that measures what leaving a guest costs, seen from inside, in ticks of its
 * own TSC. The first word of its command line says what to do: mode=ops, mode=ipi (two vCPUs), mode=switch (two guests
 * on one CPU), mode=linux (start the Linux among the modules), mode=cpuid (that row only), mode=loop=OP. It runs the
 * same under Mullion, under another hypervisor, and on the bare machine (then rows that need a hypervisor's device are
 * left out).
 *
 * Results are lines "bench KEY MEDIAN LEAST P90"; "bench end" is the last.
 */
#ifndef TESTS_BENCH_GUEST_BENCH_H
#define TESTS_BENCH_GUEST_BENCH_H

#include "tests/guests/guest.h"

/* Vectors of the stubs in measure.asm. */
#define VECTOR_STAMP 0x41

extern volatile uint64_t stamp;     /* TSC at the handler's begin */
extern volatile uint32_t eoi_ticks; /* how long its end-of-interrupt took, with 5 ticks for the measuring */
extern volatile uint32_t stamps;    /* how many there were */
extern uint8_t isr_stamp[];

extern uint8_t ap_code[], ap_code_end[];
extern volatile uint32_t ap_here;

void loop_begin(void);
void loop_mark(void);

void gate_set(uint8_t vector, const void *code);
bool has_x2apic(void);
void apic_on(void);

/* "bench key median least p90"; sorts the samples. `base` is taken off each. */
void report(const char *key, uint32_t *samples, unsigned count, uint32_t base);
uint32_t median(uint32_t *samples, unsigned count);

void bench_ipi(void);
void bench_switch(void);
void bench_linux(const struct multiboot *info, const char *cmdline);

#define SAMPLES 201
extern uint32_t samples[SAMPLES];

/* Mullion's device for this, vmm/test/bench.h. */
#define BENCH_PORT          0x5d0
#define BENCH_PORT_DOORBELL 0x5d4
#define BENCH_PORT_WAKE     0x5d8
#define BENCH_PAGE          0xfeb00000ul
#define BENCH_MAGIC         0x4843424du

#endif
