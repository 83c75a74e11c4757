/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One-line wrappers of single instructions. No policy here.
 */
#ifndef ARCH_INSTR_H
#define ARCH_INSTR_H

#include "mullion/types.h"

static inline uint64_t rdmsr(uint32_t msr)
{
    uint32_t low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
    return (uint64_t)high << 32 | low;
}

static inline void wrmsr(uint32_t msr, uint64_t value)
{
    __asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

struct cpuid_regs {
    uint32_t eax, ebx, ecx, edx;
};

static inline struct cpuid_regs cpuid(uint32_t leaf, uint32_t subleaf)
{
    struct cpuid_regs r;
    __asm__ volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "a"(leaf), "c"(subleaf));
    return r;
}

static inline uint64_t rdtsc(void)
{
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

#define DEFINE_CR(n)                                                   \
    static inline uint64_t read_cr##n(void)                            \
    {                                                                  \
        uint64_t v;                                                    \
        __asm__ volatile("mov %%cr" #n ", %0" : "=r"(v) : : "memory"); \
        return v;                                                      \
    }                                                                  \
    static inline void write_cr##n(uint64_t v)                         \
    {                                                                  \
        __asm__ volatile("mov %0, %%cr" #n : : "r"(v) : "memory");     \
    }
DEFINE_CR(0)
DEFINE_CR(2)
DEFINE_CR(3)
DEFINE_CR(4)

#define DEFINE_DR(n)                                      \
    static inline uint64_t read_dr##n(void)               \
    {                                                     \
        uint64_t v;                                       \
        __asm__ volatile("mov %%db" #n ", %0" : "=r"(v)); \
        return v;                                         \
    }                                                     \
    static inline void write_dr##n(uint64_t v)            \
    {                                                     \
        __asm__ volatile("mov %0, %%db" #n : : "r"(v));   \
    }
DEFINE_DR(0)
DEFINE_DR(1)
DEFINE_DR(2)
DEFINE_DR(3)
DEFINE_DR(6)
DEFINE_DR(7)

static inline void out8(uint16_t port, uint8_t v)
{
    __asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}
static inline uint32_t in32(uint16_t port)
{
    uint32_t v;
    __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}
static inline uint8_t in8(uint16_t port)
{
    uint8_t v;
    __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}

static inline uint64_t xgetbv(uint32_t index)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(index));
    return (uint64_t)high << 32 | low;
}

static inline void xsetbv(uint32_t index, uint64_t v)
{
    __asm__ volatile("xsetbv" : : "c"(index), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)) : "memory");
}

/* Eight bytes at a time, then the rest; upwards. */
static inline void rep_movs(void *to, const void *from, size_t size)
{
    size_t words = size / 8, rest = size % 8;
    __asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(words) : : "memory");
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(rest) : : "memory");
}

static inline void rep_stos(void *to, uint8_t byte, size_t size)
{
    size_t words = size / 8, rest = size % 8;
    __asm__ volatile("rep stosq" : "+D"(to), "+c"(words) : "a"(byte * 0x0101010101010101ull) : "memory");
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(rest) : "a"(byte) : "memory");
}

static inline void invlpg(uint64_t va)
{
    __asm__ volatile("invlpg (%0)" : : "r"(va) : "memory");
}
static inline void cpu_pause(void)
{
    __asm__ volatile("pause" : : : "memory");
}
static inline void irq_disable(void)
{
    __asm__ volatile("cli" : : : "memory");
}
/* All but RBP and RSP. Where it is clobbered, nothing need be saved: by irq_common in entry.asm, by the ways into a
 * guest. */
#define ALL_REGISTERS \
    "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc"
/* Lets pending interrupts in for exactly one instruction's length, then shuts them out again. */
static inline void irq_window(void)
{
    __asm__ volatile("sti; nop; cli" : : : ALL_REGISTERS);
}
/* Sleeps until an interrupt; STI's shadow covers HLT, so none is lost between. */
static inline void irq_wait(void)
{
    __asm__ volatile("sti; hlt; cli" : : : ALL_REGISTERS);
}
/* For good: only NMI, INIT and a machine check reach this CPU any more. */
static inline noreturn void cpu_halt(void)
{
    for (;;)
        __asm__ volatile("cli; hlt" : : : "memory");
}
static inline void clear_ts(void)
{
    __asm__ volatile("clts" : : : "memory");
}
/* An index that was checked to be below `count`, for the CPU that has run ahead of that check: 0 if it is not. */
static inline uint64_t checked_index(uint64_t index, uint64_t count)
{
    uint64_t mask;
    __asm__("cmp %2, %1; sbb %0, %0" : "=r"(mask) : "r"(index), "r"(count) : "cc");
    return index & mask;
}
static inline void barrier(void)
{
    __asm__ volatile("" : : : "memory");
}

#endif
