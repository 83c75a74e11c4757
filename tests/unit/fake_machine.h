/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine for the kernel's objects to run on: a few CPUs that the test runs one after the other, some memory,
 * translation buffers that remember what they saw until they are flushed, a guest CPU that does what the test says, and
 * a root domain as kernel/root.c makes it.
 */
#ifndef FAKE_MACHINE_H
#define FAKE_MACHINE_H

#include "fake_cpu.h"
#include "kernel/domain.h"
#include "kernel/event.h"
#include "kernel/hardware.h"
#include "kernel/irq.h"
#include "kernel/memory.h"
#include "kernel/space.h"
#include "kernel/syscall.h"
#include "kernel/thread.h"
#include "kernel/vcpu.h"
#include "mm/hostmap.h"
#include "mullion/boot.h"

#ifndef MACHINE_CPUS /* a test's `// libs: -DMACHINE_CPUS=8u` */
#define MACHINE_CPUS 3u
#endif
#define RAM_BASE   0x40000000ull
#define RAM_SIZE   (16ull << 20)
#define RAM_SLOT   ROOT_SLOT_FIRST_FREE
#define PORTS_SLOT (RAM_SLOT + 1) /* 0xcf9 */
#define IRQ_SLOT   (RAM_SLOT + 2) /* GSI 4, level-triggered, at CPU 0 */

extern struct domain *root;
extern struct thread *root_thread; /* on CPU 0 */
extern uint64_t now;               /* the TSC */
extern uint8_t *ram;               /* its bytes */
extern unsigned ipis;              /* interrupts without work, to tell a vCPU in its guest, so far; atomic */
extern bool posted_in_section;     /* was the CPU that left work for one last in a section? */
extern unsigned barriers;          /* those that clear buffers, so far */
extern unsigned predictor_barriers;
/* What ring 3 can read of the CPU that runs, and how often it was written so far. */
uint64_t xcr0_now(void);
uint64_t tsc_aux_now(void);
bool xgetbv_works(void);
extern unsigned xcr0_writes, tsc_aux_writes;
extern bool cpus_at_once;        /* each CPU is a thread of the host: what one must not see now, another may */
struct fpu_image *fpu_now(void); /* what the FPU of the CPU that runs holds */
extern void (*guest_runs)(struct vcpu *v); /* what the next backend->run does */

extern unsigned polls[MACHINE_CPUS]; /* of each CPU's machine-check banks */

/* The inputs of the I/O APICs. vector 0: not routed. */
#define MACHINE_LINES 24
extern struct fake_line {
    uint8_t vector;
    uint32_t apic_id;
    bool level, low, masked;
    bool in_section; /* was the CPU that masked or unmasked it last in a section? */
} lines[MACHINE_LINES];
bool can_use_port(unsigned cpu, uint16_t port); /* ring 3, now */

/* Everything from power-on; root has its fixed handles, and RAM at RAM_SLOT. At the end: all of it given back, or the
 * test fails. */
int machine_start(void **state);
int machine_stop(void **state);
/* Root destroys and closes all but its fixed handles. */
void forget_everything(void);

/* The index-th range of RAM that has an owner, by the ledger; false: there are fewer. */
bool owned(uint64_t index, uint64_t *offset, uint64_t *size);

/* What a thread sees of its system call. blocked: it has not come back (yet). */
struct answer {
    enum error error;
    uint64_t value;
    bool blocked;
};
struct answer call(struct thread *t, enum syscall number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
                   uint64_t f);
#define call0(t, n)             call(t, n, 0, 0, 0, 0, 0, 0)
#define call1(t, n, a)          call(t, n, a, 0, 0, 0, 0, 0)
#define call2(t, n, a, b)       call(t, n, a, b, 0, 0, 0, 0)
#define call3(t, n, a, b, c)    call(t, n, a, b, c, 0, 0, 0)
#define call4(t, n, a, b, c, d) call(t, n, a, b, c, d, 0, 0)

/* The same for a thread that is in ring 3 on its CPU now. Answers the thread that is there afterwards
 * (NULL: the CPU is idle); t may be gone. */
struct thread *make_call(struct thread *t, enum syscall number, const uint64_t a[6]);

/* Runs one CPU until a thread is in ring 3 there (returned) or it is idle (NULL). */
struct thread *run_cpu(unsigned number);
void run_all(void);
/* Repeats a call of bounded steps, the other CPUs running between; fails the test after too many. */
enum error call_steps(struct thread *t, enum syscall number, uint64_t a, uint64_t b);
/* Root destroys a domain or memory and closes its handle, while the other CPUs run by themselves (cpus_at_once). */
void destroy_at_once(uint64_t handle);
uint64_t made(struct answer a); /* its value; fails the test if there was an error */
/* Gives the domain CPUs first to last; makes one that has them. */
void add_cpus(struct thread *t, uint64_t domain, unsigned first, unsigned last);
uint64_t domain_on(struct thread *t, uint64_t pages, unsigned first, unsigned last, uint64_t event, uint64_t bits);
/* The object behind a thread's handle, for looking at it. */
void *object_at(struct thread *t, uint64_t slot);

/* A thread's (a guest's) access: what it finds there, remembered in the CPU's translation buffer. NULL: it faults. */
uint8_t *touch(struct thread *t, uint64_t va);
uint8_t *touch_guest(struct thread *t, struct space *s, uint64_t gpa);
/* Does any CPU still remember a frame of [base, base+size)? */
bool remembered(uint64_t base, uint64_t size);

#endif
