// SPDX-License-Identifier: Apache-2.0
/*
 * The IDT and the C side of every entry through it. A fault in ring 3 ends that domain alone; a fault in ring 0
 * is a panic with its place and registers.
 */
#include "arch/x86_64/traps.h"

#include "arch/x86_64/apic.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/instr.h"
#include "arch/x86_64/mce.h"
#include "arch/x86_64/time.h"
#include "kernel/domain.h"
#include "kernel/irq.h"
#include "kernel/log.h"
#include "kernel/nmi.h"
#include "kernel/thread.h"
#include "mullion/regs.h"

struct gate {
    uint64_t low, high;
};
static struct gate idt[256] __attribute__((aligned(16)));

extern char trap_stubs[], syscall_stub[], sysexit_point[];
void trap_from_user(struct thread *t);
void trap_from_kernel(struct frame *f);

#define STUB_BYTES 16
enum { TRAP_DB = 1, TRAP_NMI = 2, TRAP_DF = 8, TRAP_PF = 14, TRAP_MC = 18 };

uint64_t idt_base(void)
{
    return (uint64_t)idt;
}

/* 64-bit interrupt gate (Intel SDM vol. 3, 6.14.1). */
static void set_gate(unsigned vector, const char *handler, unsigned ist, unsigned dpl)
{
    uint64_t a = (uint64_t)handler;
    idt[vector].low = (a & 0xffff) | (uint64_t)SEL_KERNEL_CODE << 16 | (uint64_t)ist << 32 | 0x8e00ull << 32 |
                      (uint64_t)dpl << 45 | (a >> 16 & 0xffff) << 48;
    idt[vector].high = a >> 32;
}

void traps_init(void)
{
    for (unsigned v = 0; v < 256; v++) /* these three have a stack each: IST 1 to 3 */
        set_gate(v, trap_stubs + v * STUB_BYTES, (v == TRAP_DF) + 2u * (v == TRAP_NMI) + 3u * (v == TRAP_MC), 0);
    set_gate(SYSCALL_VECTOR, syscall_stub, 0, 3);
}

void irq_dispatch(unsigned vector)
{
    struct cpu *c = this_cpu();
    if (vector == VECTOR_TIMER) {
        c->timer_armed = NEVER; /* what it interrupts looks at the clock */
        apic_eoi();
    } else if (vector == VECTOR_IPI) {
        apic_eoi(); /* its sender left word in c->work, or in a vCPU's `kicked` */
    } else if (vector >= VECTOR_IRQ_BASE && vector < VECTOR_IRQ_BASE + VECTOR_IRQ_COUNT) {
        irq_arrived(vector);
        apic_eoi();
    } else {
        /* A spurious interrupt has no bit in service and gets no EOI (Intel SDM vol. 3, 11.9); one that firmware has
         * left pending has, and without an EOI would hold back all vectors of lower priority for ever. */
        if (apic_in_service((uint8_t)vector))
            apic_eoi();
    }
}

void trap_from_user(struct thread *t)
{
    path_begin(t->cpu, PATH_RING3, rdtsc());
    if (t->frame.vector >= 32)
        irq_dispatch((unsigned)t->frame.vector);
    else
        domain_fault(t, t->frame.vector == TRAP_PF ? read_cr2() : 0);
    cpu_run();
}

static const char *const names[32] = {"divide error",
                                      "debug",
                                      "NMI",
                                      "breakpoint",
                                      "overflow",
                                      "bound",
                                      "invalid opcode",
                                      "device not available",
                                      "double fault",
                                      "9",
                                      "invalid TSS",
                                      "segment not present",
                                      "stack fault",
                                      "general protection",
                                      "page fault",
                                      "15",
                                      "x87",
                                      "alignment check",
                                      "machine check",
                                      "SIMD",
                                      "virtualization",
                                      "control protection"};

/* A trap from ring 3 that has a stack of its own goes on as the others do: with its frame in the thread, on the CPU's
 * stack. */
static void go_on_from_user(struct frame *f)
{
    struct thread *t = this_cpu()->current;
    t->frame = *f;
    *f = (struct frame){.rdi = (uint64_t)t,
                        .rip = (uint64_t)trap_from_user,
                        .cs = SEL_KERNEL_CODE,
                        .rflags = RFLAGS_FIXED,
                        .rsp = t->kernel_stack - sizeof(uint64_t), /* as a call leaves it */
                        .ss = SEL_KERNEL_DATA};
}

void trap_from_kernel(struct frame *f)
{
    if (f->vector == TRAP_NMI) {
        if (read_once(this_cpu()->work) & WORK_STOP)
            cpu_halt();
        nmi_arrived(f);
        f->rip -= f->rip == (uint64_t)sysexit_point; /* back to its STI, whose shadow the NMI has ended */
        return;
    }
    if (f->vector == TRAP_MC) {
        bool program = (f->cs & 3) && this_cpu()->current->domain->parent; /* not root */
        if (mce_look(program ? MCE_OUTSIDE : MCE_IN_RING_0))
            go_on_from_user(f);
        return;
    }
    if (f->vector == TRAP_DB && f->rip == (uint64_t)sysenter_entry) { /* ring 3 had TF set, and SYSENTER keeps it */
        f->rflags &= ~RFLAGS_TF;
        return;
    }
    const char *name = names[f->vector] ? names[f->vector] : "exception";
    panic("%s (vector %lu, error 0x%lx) in ring %lu at 0x%lx\n"
          "  cr2 0x%lx  rsp 0x%lx  rflags 0x%lx\n"
          "  rax 0x%lx  rbx 0x%lx  rcx 0x%lx  rdx 0x%lx\n"
          "  rsi 0x%lx  rdi 0x%lx  rbp 0x%lx  r8 0x%lx\n"
          "  r9 0x%lx  r10 0x%lx  r11 0x%lx  r12 0x%lx",
          name, f->vector, f->error, f->cs & 3, f->rip, read_cr2(), f->rsp, f->rflags, f->rax, f->rbx, f->rcx, f->rdx,
          f->rsi, f->rdi, f->rbp, f->r8, f->r9, f->r10, f->r11, f->r12);
}
