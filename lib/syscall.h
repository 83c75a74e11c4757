/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System calls for ring-3 programs: one inline stub sys_NAME for each call of include/mullion/calls.toml, from which
 * call_stubs.h is made. A stub never interprets an error, but that the stubs of calls which work in bounded steps
 * (destroy, unmap) repeat them while the kernel says E_AGAIN.
 */
#ifndef LIB_SYSCALL_H
#define LIB_SYSCALL_H

#include "mullion/abi.h"
#include "mullion/types.h"

/* The machine's way into ring 0, as start.asm has learned it from the kernel. It needs ring 3 to have no red zone. */
extern void (*call_way)(void);
void call_by_interrupt(void);
void call_by_sysenter(void);
void call_by_syscall(void);

struct syscall_result {
    enum error error;
    uint64_t value;
};

#ifdef UNIT_TEST
/* On the host a test plays the kernel. */
struct syscall_result syscall6(enum syscall number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
                               uint64_t f);
#else
static inline struct syscall_result syscall6(enum syscall number, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                                             uint64_t e, uint64_t f)
{
    register uint64_t r8 __asm__("r8");
    register uint64_t r9 __asm__("r9");
    register uint64_t r10 __asm__("r10");
    r8 = e;
    r9 = f;
    r10 = d;
    uint64_t error = number, value = c;
    /* "memory": shared pages change under the call. */
    __asm__ volatile("call *call_way(%%rip)"
                     : "+a"(error), "+d"(value)
                     : "D"(a), "S"(b), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory", "cc");
    return (struct syscall_result){(enum error)error, value};
}
#endif

#include "call_stubs.h"

static inline noreturn void sys_thread_exit(void)
{
    for (;;)
        syscall6(SYS_THREAD_EXIT, 0, 0, 0, 0, 0, 0);
}

static inline enum error sys_vcpu_run(void)
{
#ifdef UNIT_TEST
    return syscall6(SYS_VCPU_RUN, 0, 0, 0, 0, 0, 0).error;
#else
    uint64_t error = SYS_VCPU_RUN, value; /* no arguments: nothing to clear, this is the hottest call of all */
    __asm__ volatile("call *call_way(%%rip)"
                     : "+a"(error), "=d"(value)
                     :
                     : "rcx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", "cc");
    (void)value;
    return (enum error)error;
#endif
}

/* A thread to be made, by name. */
struct thread_start {
    uint64_t entry, stack, arg;
    unsigned cpu, priority;
    uint32_t budget_us, period_us; /* budget 0: not capped */
    uint32_t flags;                /* SCHED_BORROW */
    uint64_t beside;               /* a thread on whose budget it lives, and goes first there; 0: none */
};

static inline struct syscall_result thread_start(uint64_t domain, const struct thread_start *s)
{
    uint64_t place = SCHED_PLACE(s->cpu, s->priority) | s->flags;
    if (s->beside != 0)
        return sys_thread_create(domain, s->entry, s->stack, s->arg, place | SCHED_BESIDE, s->beside);
    return sys_thread_create(domain, s->entry, s->stack, s->arg, place, s->budget_us | (uint64_t)s->period_us << 32);
}

/* Other rights for all of a range: protect, in as many steps as it takes. On an error some of it may have changed. */
static inline enum error protect_range(uint64_t target, uint64_t address, uint64_t size, uint64_t rights)
{
    while (size != 0) {
        struct syscall_result r = sys_protect(target, address, size, rights);
        if (r.error != OK && r.error != E_AGAIN)
            return r.error;
        address += r.value;
        size -= r.value;
    }
    return OK;
}

/* Ring 3 shows the log from now on. */
static inline enum error sys_log_take(uint64_t log)
{
    return sys_log(log, 0, 0, 0, 0, 0);
}

/* The host's TSC; ring 3 may read it. */
static inline uint64_t tsc_now(void)
{
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

/* One byte to a port that ports_open has opened for this domain; elsewhere it faults. */
static inline void port_out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline void port_out16(uint16_t port, uint16_t value)
{
    __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline uint8_t port_in8(uint16_t port)
{
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

static inline uint16_t port_in16(uint16_t port)
{
    uint16_t value;
    __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

static inline void port_out32(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline uint32_t port_in32(uint16_t port)
{
    uint32_t value;
    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

#endif
