/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exceptions, interrupts and system calls: what the entry stubs push, and where it goes.
 */
#ifndef ARCH_TRAPS_H
#define ARCH_TRAPS_H

#include "mullion/types.h"

/* As pushed by arch/x86_64/entry.asm and the CPU. For an entry from ring 3 it is the head of struct thread itself: RSP0
 * points at its end. */
struct frame {
    uint64_t r15, r14, r13, r12, r11, rbp, rdi, rsi, rdx, r10, r8, r9, rcx, rbx, rax;
    uint64_t vector, error;
    uint64_t rip, cs, rflags, rsp, ss;
};
_Static_assert(
    sizeof(struct frame) == 176 && offsetof(struct frame, r9) - offsetof(struct frame, rdi) == 40,
    "entry.asm pushes 22 words, a call's arguments together; 16-byte alignment of its end is the CPU's rule");

/* The six arguments of a system call. */
static inline const uint64_t *frame_arguments(const struct frame *f)
{
    return (const uint64_t *)f + offsetof(struct frame, rdi) / sizeof(uint64_t);
}

#define IDT_LIMIT (256 * 16 - 1)
uint64_t idt_base(void);
/* Builds the IDT; once, before the first cpu_init. */
void traps_init(void);

/* An interrupt vector that belongs to the host has arrived (from ring 3, from the idle loop, or as the reason of a
 * guest's exit). Acknowledges it at the local APIC and leaves the consequences in this_cpu()->work. */
void irq_dispatch(unsigned vector);

/* entry.asm: continues ring 3 from the frame at the head of a thread. */
noreturn void user_resume(const struct frame *frame);
/* entry.asm: the same behind vcpu_run by SYSENTER, by SYSCALL: the answer is OK, and only what C keeps is loaded. */
noreturn void sysexit_from_run(const struct frame *frame);
noreturn void sysret_from_run(const struct frame *frame);

#endif
