/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running a guest: what both backends share. struct vcpu is in kernel/backend.h. Everything here runs on the vCPU's
 * home CPU, without a lock, unless said otherwise.
 */
#ifndef KERNEL_VCPU_H
#define KERNEL_VCPU_H

#include "arch/x86_64/cpu.h"
#include "kernel/backend.h"

struct thread;

/* The one chosen at boot; NULL: this machine can run no guests. */
extern const struct backend *backend;

/* Kernel lock held. The page appears at state_va in the thread's domain. */
enum error vcpu_new(struct thread *t, struct space *s, uint64_t state_va, struct vcpu **out) must_check;
void vcpu_free(struct vcpu *v); /* from object_reap */
/* Kernel lock held. Its thread is parked for good: after the next grace period no kick, and no signal of its event,
 * reaches it. */
void vcpu_end(struct vcpu *v);
/* Kernel lock held. The page of GROUP_FPU appears at `va` in the vCPU's monitor. */
enum error vcpu_show_fpu(struct vcpu *v, uint64_t va) must_check;

/* Makes v (NULL: none) the one whose state is in this CPU. */
void vcpu_make_current(struct cpu *c, struct vcpu *v);
/* Before ring 3 or a guest goes on: what `owed` says. Of the registers that ring 3 reads, and that stay a vCPU's while
 * it is current, the domain that is loaded then finds its own vCPU's, or what is the same for all
 * (docs/cpu-state.md). */
void vcpu_pay(struct cpu *c);
static inline void cpu_pay(struct cpu *c)
{
    if (unlikely(c->owed))
        vcpu_pay(c);
}
/* The system call vcpu_run, by SYSCALL_VECTOR. */
noreturn void vcpu_run_call(struct thread *t);
/* vcpu_fetch's work; the vCPU's thread calls. */
void vcpu_fetch(struct cpu *c, struct vcpu *v, uint32_t groups);
/* Any CPU, in a section or with the kernel lock. */
void vcpu_kick(struct vcpu *v);
/* Drops this CPU's second-level translations. */
static inline void vcpu_flush_cpu(void)
{
    if (backend)
        backend->flush();
}

#endif
