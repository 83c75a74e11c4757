/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System calls for ring-3 programs: one inline stub per call of mullion/abi.h, and nothing else. A stub never
 * interprets an error; the two exceptions are destroy and unmap, which work in bounded steps: their stubs repeat while
 * the kernel says E_AGAIN.
 */
#ifndef LIB_SYSCALL_H
#define LIB_SYSCALL_H

#include "mullion/abi.h"
#include "mullion/types.h"

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
    r8 = e;
    r9 = f;
    uint64_t error = number, value = c;
    /* Everything but rax and rdx is kept, except by vcpu_run. "memory": shared pages change under the call. */
    __asm__ volatile("int %[vector]"
                     : "+a"(error), "+d"(value)
                     : [vector] "i"(SYSCALL_VECTOR), "D"(a), "S"(b), "c"(d), "r"(r8), "r"(r9)
                     : "memory", "cc");
    return (struct syscall_result){(enum error)error, value};
}
#endif

static inline enum error sys_handle_close(uint64_t handle)
{
    return syscall6(SYS_HANDLE_CLOSE, handle, 0, 0, 0, 0, 0).error;
}

static inline struct syscall_result sys_handle_grant(uint64_t domain, uint64_t handle, uint64_t rights, uint64_t slot)
{
    return syscall6(SYS_HANDLE_GRANT, domain, handle, rights, slot, 0, 0);
}

static inline enum error sys_destroy(uint64_t handle)
{
    enum error error;
    do
        error = syscall6(SYS_DESTROY, handle, 0, 0, 0, 0, 0).error;
    while (error == E_AGAIN);
    return error;
}

static inline struct syscall_result sys_domain_create(uint64_t quota_pages, uint64_t cpu_mask, uint64_t event,
                                                      uint64_t bits, uint32_t tag)
{
    return syscall6(SYS_DOMAIN_CREATE, quota_pages, cpu_mask, event, bits, tag, 0);
}

/* budget_us and period_us 0: not capped. flags: SCHED_BORROW. */
static inline struct syscall_result sys_thread_create(uint64_t domain, uint64_t entry, uint64_t stack, uint64_t arg,
                                                      unsigned cpu, unsigned priority, uint32_t budget_us,
                                                      uint32_t period_us, uint32_t flags)
{
    return syscall6(SYS_THREAD_CREATE, domain, entry, stack, arg,
                    (uint64_t)(cpu & 0xff) | (uint64_t)(priority & 0xff) << 8 | flags,
                    (uint64_t)budget_us | (uint64_t)period_us << 32);
}

/* The same for one that lives on the budget of `thread`, and goes first there. */
static inline struct syscall_result sys_thread_create_beside(uint64_t domain, uint64_t entry, uint64_t stack,
                                                             uint64_t arg, unsigned cpu, unsigned priority,
                                                             uint64_t thread)
{
    return syscall6(SYS_THREAD_CREATE, domain, entry, stack, arg,
                    (uint64_t)(cpu & 0xff) | (uint64_t)(priority & 0xff) << 8 | SCHED_BESIDE, thread);
}

static inline noreturn void sys_thread_exit(void)
{
    for (;;)
        syscall6(SYS_THREAD_EXIT, 0, 0, 0, 0, 0, 0);
}

static inline struct syscall_result sys_memory_carve(uint64_t ram, uint64_t offset, uint64_t size, uint32_t tag)
{
    return syscall6(SYS_MEMORY_CARVE, ram, offset, size, tag, 0, 0);
}

static inline enum error sys_map(uint64_t target, uint64_t address, uint64_t memory, uint64_t offset, uint64_t size,
                                 uint64_t rights)
{
    return syscall6(SYS_MAP, target, address, memory, offset, size, rights).error;
}

static inline enum error sys_unmap(uint64_t target, uint64_t address)
{
    enum error error;
    do
        error = syscall6(SYS_UNMAP, target, address, 0, 0, 0, 0).error;
    while (error == E_AGAIN);
    return error;
}

static inline struct syscall_result sys_event_create(void)
{
    return syscall6(SYS_EVENT_CREATE, 0, 0, 0, 0, 0, 0);
}

static inline enum error sys_event_signal(uint64_t event, uint64_t bits)
{
    return syscall6(SYS_EVENT_SIGNAL, event, bits, 0, 0, 0, 0).error;
}

/* deadline_tsc: 0 = do not wait, NEVER = no deadline. Value: the bits taken. */
static inline struct syscall_result sys_event_wait(uint64_t event, uint64_t mask, uint64_t deadline_tsc)
{
    return syscall6(SYS_EVENT_WAIT, event, mask, deadline_tsc, 0, 0, 0);
}

static inline enum error sys_irq_bind(uint64_t irq, uint64_t event, uint64_t bits)
{
    return syscall6(SYS_IRQ_BIND, irq, event, bits, 0, 0, 0).error;
}

static inline enum error sys_irq_ack(uint64_t irq)
{
    return syscall6(SYS_IRQ_ACK, irq, 0, 0, 0, 0, 0).error;
}

static inline enum error sys_ports_open(uint64_t domain, uint64_t ports)
{
    return syscall6(SYS_PORTS_OPEN, domain, ports, 0, 0, 0, 0).error;
}

static inline struct syscall_result sys_space_create(void)
{
    return syscall6(SYS_SPACE_CREATE, 0, 0, 0, 0, 0, 0);
}

static inline struct syscall_result sys_vcpu_create(uint64_t space, uint64_t state_va)
{
    return syscall6(SYS_VCPU_CREATE, space, state_va, 0, 0, 0, 0);
}

static inline enum error sys_vcpu_run(void)
{
#ifdef UNIT_TEST
    return syscall6(SYS_VCPU_RUN, 0, 0, 0, 0, 0, 0).error;
#else
    uint64_t error = SYS_VCPU_RUN, value; /* no arguments: nothing to clear, this is the hottest call of all */
    __asm__ volatile("int %[vector]"
                     : "+a"(error), "=d"(value)
                     : [vector] "i"(SYSCALL_VECTOR)
                     : "rcx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", "cc");
    (void)value;
    return (enum error)error;
#endif
}

static inline enum error sys_vcpu_fetch(uint64_t groups)
{
    return syscall6(SYS_VCPU_FETCH, groups, 0, 0, 0, 0, 0).error;
}

static inline enum error sys_vcpu_kick(uint64_t vcpu)
{
    return syscall6(SYS_VCPU_KICK, vcpu, 0, 0, 0, 0, 0).error;
}

static inline enum error sys_fastpath(uint64_t space, enum fastpath_kind kind, uint64_t a, uint64_t b, uint64_t c,
                                      uint64_t d)
{
    return syscall6(SYS_FASTPATH, space, kind, a, b, c, d).error;
}

static inline struct syscall_result sys_query(uint64_t handle, enum query what, uint64_t index)
{
    return syscall6(SYS_QUERY, handle, what, index, 0, 0, 0);
}

static inline enum error sys_log(uint64_t log, uint64_t count, const uint64_t words[4])
{
    return syscall6(SYS_LOG, log, count, words[0], words[1], words[2], words[3]).error;
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

#endif
