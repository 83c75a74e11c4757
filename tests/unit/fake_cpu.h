/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Put before every source of a test that runs the kernel's objects on the host (`// libs: -include
 * tests/unit/fake_cpu.h`): the privileged instructions and "the CPU I run on" become functions of fake_machine.c. The
 * kernel's sources need no change for that.
 */
#ifndef FAKE_CPU_H
#define FAKE_CPU_H

/* -DDISTURBED: before each atomic operation another CPU may get in between, now and then for long. */
#ifdef DISTURBED
void disturb(void);
#define __atomic_load_n(...)     (disturb(), __atomic_load_n(__VA_ARGS__))
#define __atomic_store_n(...)    (disturb(), __atomic_store_n(__VA_ARGS__))
#define __atomic_exchange_n(...) (disturb(), __atomic_exchange_n(__VA_ARGS__))
#endif

#ifdef FAKE_CPUID
#define cpuid real_cpuid
#endif
#define rdmsr      real_rdmsr
#define wrmsr      real_wrmsr
#define rdtsc      real_rdtsc
#define read_cr2   real_read_cr2
#define write_cr2  real_write_cr2
#define read_cr3   real_read_cr3
#define write_cr3  real_write_cr3
#define read_dr0   real_read_dr0
#define read_dr1   real_read_dr1
#define read_dr2   real_read_dr2
#define read_dr3   real_read_dr3
#define read_dr6   real_read_dr6
#define write_dr0  real_write_dr0
#define write_dr1  real_write_dr1
#define write_dr2  real_write_dr2
#define write_dr3  real_write_dr3
#define write_dr6  real_write_dr6
#define xgetbv     real_xgetbv
#define xsetbv     real_xsetbv
#define irq_wait   real_irq_wait
#define irq_window real_irq_window
#define cpu_pause  real_cpu_pause
#include "arch/x86_64/instr.h"
#undef cpuid
#undef rdmsr
#undef wrmsr
#undef rdtsc
#undef read_cr2
#undef write_cr2
#undef read_cr3
#undef write_cr3
#undef read_dr0
#undef read_dr1
#undef read_dr2
#undef read_dr3
#undef read_dr6
#undef write_dr0
#undef write_dr1
#undef write_dr2
#undef write_dr3
#undef write_dr6
#undef xgetbv
#undef xsetbv
#undef irq_wait
#undef irq_window
#undef cpu_pause

#define this_cpu      real_this_cpu
#define cpu_by_number real_cpu_by_number
#include "arch/x86_64/cpu.h"
#undef this_cpu
#undef cpu_by_number

struct cpu *this_cpu(void);
struct cpu *cpu_by_number(unsigned number);
uint64_t rdtsc(void);
uint64_t read_cr3(void);
void write_cr3(uint64_t v);
void irq_wait(void);
void cpu_pause(void); /* while another CPU holds a lock: the host has fewer CPUs than the machine */

#ifdef FAKE_CPUID /* -DFAKE_CPUID: the test has these */
struct cpuid_regs cpuid(uint32_t leaf, uint32_t subleaf);
uint64_t rdmsr(uint32_t msr);
#else
static inline uint64_t rdmsr(uint32_t msr)
{
    return msr;
}
#endif
void wrmsr(uint32_t msr, uint64_t v);
uint64_t xgetbv(uint32_t index);
void xsetbv(uint32_t index, uint64_t v);
static inline void irq_window(void)
{
}
#define FAKE_REGISTER(name)                     \
    static inline uint64_t read_##name(void)    \
    {                                           \
        return 0;                               \
    }                                           \
    static inline void write_##name(uint64_t v) \
    {                                           \
        (void)v;                                \
    }
FAKE_REGISTER(cr2)
FAKE_REGISTER(dr0)
FAKE_REGISTER(dr1)
FAKE_REGISTER(dr2)
FAKE_REGISTER(dr3)
FAKE_REGISTER(dr6)

#endif
