/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ABI between ring 0 and ring 3: system-call numbers, errors, rights, object types.
 *
 * A system call is made by the machine's way, which a thread finds in rsi when it starts (enum call_way). The number is
 * in rax, up to six arguments are in rdi, rsi, rdx, r10, r8, r9. On return rax holds an enum error and rdx the call's
 * value; rcx, r11 and the flags are lost, every other register is kept (but see vcpu_run). The software interrupt
 * SYSCALL_VECTOR works on every machine, and keeps rcx, r11 and the flags too. SYSCALL (where guests run by AMD-V) is
 * as the CPU has it. For SYSENTER (VT-x) rcx holds the address to return to and r11 the stack pointer to return with,
 * both below 4 GiB: of larger ones the low half is taken; the value comes in r11. A VM exit of VT-x loads the MSRs
 * behind SYSENTER anyway, and leaving AMD-V's guests those behind SYSCALL, so a round trip to the monitor switches no
 * MSR; the other instruction of the two is off.
 *
 * An unknown number is answered E_NOSYS. The kernel never dereferences an address that comes from ring 3. All
 * arguments are numbers in registers; what is larger lives in a page that the kernel itself owns and has mapped into
 * the caller (struct vcpu_state, struct root_boot).
 */
#ifndef MULLION_ABI_H
#define MULLION_ABI_H

#include <stdint.h>

#include "mullion/calls.h"

#define MULLION_ABI_VERSION 4
#define SYSCALL_VECTOR      0x80
enum call_way { CALL_BY_INTERRUPT, CALL_BY_SYSENTER, CALL_BY_SYSCALL };

#define MAX_CPUS    1024 /* physical CPUs the kernel can use */
#define MAX_HANDLES 8192 /* slots in a domain's handle table, which grows by pages; slot 0 is never valid */

#define DOMAIN_PORTS_MAX   8   /* ranges of I/O ports that a domain may have open */
#define DOMAIN_THREADS_MAX 512 /* threads that a domain may ever make: it ends in steps that look at all of them */

/* Ring-3 addresses that may be mapped: [USER_VA_MIN, USER_VA_MAX). */
#define USER_VA_MIN 0x0000000000010000ull
#define USER_VA_MAX 0x00007ffffffff000ull

enum error {
    OK = 0,
    E_ARG,         /* an argument is malformed or outside its range */
    E_HANDLE,      /* no such handle */
    E_TYPE,        /* the handle names another type of object */
    E_RIGHTS,      /* the handle does not carry the right */
    E_DEAD,        /* the object was destroyed */
    E_QUOTA,       /* the domain's quota of kernel memory is used up */
    E_OVERLAP,     /* the range overlaps one that exists */
    E_STATE,       /* the object is not in a state in which this can be done */
    E_BUSY,        /* taken by another */
    E_AGAIN,       /* a bounded step was made; call again with the same arguments until the answer differs */
    E_TIMEOUT,     /* the deadline passed */
    E_UNSUPPORTED, /* this machine cannot do it */
    E_NOSYS,       /* no such system call */
    E_COUNT
};

enum object_type {
    OBJ_NONE = 0,
    OBJ_DOMAIN,
    OBJ_THREAD,
    OBJ_SPACE,
    OBJ_VCPU,
    OBJ_MEMORY,
    OBJ_EVENT,
    OBJ_IRQ,
    OBJ_PORTS,
    OBJ_LOG,
    OBJ_HARDWARE,
    OBJ_COUNT
};
#define OBJECTS_ANY ((1u << OBJ_COUNT) - 1) /* a set of types: a bit for each */

/* Rights. A grant can only narrow them. Their meaning by type stands beside each system call. */
#define RIGHT_READ    0x01u /* memory: may be mapped readable (always implied by a mapping) */
#define RIGHT_WRITE   0x02u /* memory: may be mapped writable */
#define RIGHT_EXEC    0x04u /* memory: may be mapped executable */
#define RIGHT_GRANT   0x08u /* the handle may be given on */
#define RIGHT_DESTROY 0x10u /* the object may be destroyed */
#define RIGHT_SIGNAL  0x20u /* event: signalled; vcpu: kicked; irq: bound, acknowledged; log: write */
#define RIGHT_WAIT    0x40u /* event: may be waited for */
#define RIGHT_MAP     0x80u /* domain, space: mapped into; memory (RAM): carved; ports: opened */
#define RIGHT_MANAGE \
    0x100u /* domain: threads made, handles put in, queried; space: vCPUs made, fast-path exits set;
                               log: taken; hardware: made into objects */
#define RIGHTS_ALL 0x1ffu

/* How device memory is cached, beside the rights with which it is mapped: one of the two. RAM is always write-back. */
#define MAP_UNCACHED  0x4000u
#define MAP_COMBINING 0x8000u /* writes may be gathered: video memory */

/* Classes of hardware, and what the arguments a, b, c of `hardware` are. */
enum hardware_class {
    /* I/O ports a to b. Each port has one owner at most; ring 0 keeps those of both 8259s. */
    HARDWARE_PORTS = 0,
    /* Device memory [a, +b), in bytes, c: its tag (TAG_*). Never RAM, nor an interrupt controller's registers. */
    HARDWARE_MEMORY,
    /* The interrupt of GSI a, at CPU b; c: LINE_*. It is masked until irq_bind. */
    HARDWARE_LINE,
    /* An interrupt by message (MSI, MSI-X) at CPU b. QUERY_IRQ_MESSAGE tells what the device must write. */
    HARDWARE_MESSAGE,
};
#define LINE_LEVEL 1u /* level-triggered; else edge */
#define LINE_LOW   2u /* active low; else high */

/* The list of system calls is include/mullion/calls.toml; enum syscall is made from it. */

/* thread_create's `place`: CPU in bits 15:0, priority in 23:16, flags above. */
#define SCHED_PLACE(cpu, priority)  ((uint64_t)(cpu) | (uint64_t)(priority) << 16)
#define SCHED_PLACE_CPU(place)      ((place)&0xffff)
#define SCHED_PLACE_PRIORITY(place) ((place) >> 16 & 0xff)
#define SCHED_PRIORITIES            8
#define SCHED_BORROW                0x1000000u /* with the budget used up it runs on while the CPU would be idle */
#define SCHED_BESIDE                0x2000000u

/* What fastpath_doorbell registers: a row of doorbells, kind | DOORBELL_ROW(count, shift). There are 1 to 64, each
 * 1 << shift (0 to 12) ports or bytes; the n-th from 0 on signals bits << n. Without DOORBELL_ROW it is one, of one
 * port or byte. */
#define DOORBELL_ROW(count, shift) (((uint64_t)(count)-1) << 8 | (uint64_t)(shift) << 16)
enum doorbell_kind {
    /* at = port, key = size in bytes (0: any): OUT signals the event and the guest goes on. */
    FASTPATH_DOORBELL_PORT = 0,
    /* at = guest-physical address | length << 56, key = rip: a store to that address by the instruction there, which
     * is so many bytes (1 to 15) long, signals the event and the guest goes on behind it.
     * Ring 0 decodes nothing: the monitor has seen an instruction that only stores, whatever the value. On VT-x
     * another one in its place is noticed by its length, if that differs; on AMD-V it would be taken for the old
     * one, at the cost of the guest that has changed it. */
    FASTPATH_DOORBELL_STORE,
};
/* fastpath_cpuid's `live`: at leaf 1, ECX.OSXSAVE follows CR4.OSXSAVE; at leaf 7, ECX.OSPKE stays clear. */
#define CPUID_LIVE_OSXSAVE 1u

enum query {
    QUERY_DOMAIN_STATE = 0, /* enum domain_state */
    QUERY_DOMAIN_FAULT,     /* index 0: vector | error code << 32, 1: rip, 2: cr2, 3: rsp */
    QUERY_DOMAIN_KMEM_USED, /* pages */
    QUERY_DOMAIN_KMEM_QUOTA,
    /* Of a thread; handle 0: the caller. Those of its vCPU (E_ARG, if it has none) by index: enum exit_reason. */
    QUERY_THREAD_TICKS,      /* TSC ticks it (and its vCPU) has run */
    QUERY_THREAD_EXITS,      /* how many exits there were */
    QUERY_THREAD_EXIT_TICKS, /* ticks from such an exit until the guest went on; EXIT_NONE: before the first entry */
    QUERY_MEMORY_BASE,       /* host-physical address (RIGHT_MANAGE) */
    QUERY_MEMORY_SIZE,
    /* Of a domain; index: one of its CPUs. With what its threads have run they add up to that CPU's TSC. */
    QUERY_CPU_IDLE,   /* ticks with nothing to do */
    QUERY_CPU_KERNEL, /* ticks between two threads, or before the first */
    QUERY_CPU_GONE,   /* ticks of threads that are no more */
    QUERY_CPU_ERRORS, /* hardware errors of that CPU, and NMIs of the machine << 32. It looks for more, later */
    QUERY_CPU_PATH,   /* index: CPU | path << 16: the longest stay in ring 0, with interrupts off; ticks */
    /* Of an irq by message: the address that the device must write to << 32 | the value (PCI Local Bus 3.0, 6.8.1). */
    QUERY_IRQ_MESSAGE,
};

/* What makes ring 0 run, for QUERY_CPU_PATH: a system call's number (but vcpu_run's, which keeps no time), or: */
enum ring0_path {
    PATH_RING3 = SYS_COUNT, /* an interrupt or fault in ring 3; a call that there is not */
    PATH_GUEST,             /* an exit for the host itself, or the guest falls asleep; until a guest goes on */
    PATH_IDLE,              /* an interrupt in idle */
    PATH_COUNT
};

enum domain_state { DOMAIN_EMPTY = 0, DOMAIN_RUNNING, DOMAIN_EXITED, DOMAIN_FAULTED, DOMAIN_DYING };

/* With domain_create's `tag`. Without them a domain gets every barrier against speculation that this machine needs. */
#define DOMAIN_OWN_CODE \
    (1ull << 32) /* nothing that others have chosen runs in it, no guest above all; it may make domains */
#define DOMAIN_NO_DATA (1ull << 33) /* it holds nothing that others must not know */

/* Owner tags in the ledger. */
#define TAG_ROOT             1u
#define TAG_CONSOLE          2u
#define TAG_MODULE           4u /* boot modules, and the programs in the kernel's image: never writable */
#define TAG_KERNEL           5u /* the pool, and the pages that services/audit begins with */
#define TAG_AUDIT            6u
#define TAG_LOG              7u                       /* struct klog_ring */
#define TAG_SCREEN           8u                       /* video memory */
#define TAG_GUEST(n)         (0x100u + (uint32_t)(n)) /* guest RAM of the n-th guest */
#define TAG_MONITOR(n)       (0x200u + (uint32_t)(n)) /* the monitor's private memory of the n-th guest */
#define TAG_SHARED_REGION(n) (0x300u + (uint32_t)(n)) /* the n-th region that guests share, of the configuration's */
#define TAG_DEVICE(n)        (0x400u + (uint32_t)(n)) /* device memory of the n-th PCI function */
#define TAG_SHARED(tag)      (0x1000u | (tag)) /* what root shares with the program whose own memory has that tag */

#endif
