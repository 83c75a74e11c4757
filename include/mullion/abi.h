/*
 * The ABI between ring 0 and ring 3: system-call numbers, errors, rights, object types.
 *
 * A system call is the software interrupt SYSCALL_VECTOR. The number is in rax, up to six arguments are in rdi, rsi, rdx,
 * rcx, r8, r9. On return rax holds an enum error and rdx the call's value; every other register is kept. The SYSCALL
 * instruction is switched off (EFER.SCE = 0 outside guests): that way a guest's STAR/LSTAR/SFMASK/KERNEL_GS_BASE can stay
 * in the CPU while its monitor runs, and a round trip to the monitor switches no MSR.
 *
 * The kernel never dereferences an address that comes from ring 3. All arguments are numbers in registers; what is larger
 * lives in a page that the kernel itself owns and has mapped into the caller (struct vcpu_state, struct root_boot).
 */
#ifndef MULLION_ABI_H
#define MULLION_ABI_H

#include <stdint.h>

#define MULLION_ABI_VERSION 1
#define SYSCALL_VECTOR      0x80

#define MAX_CPUS            64   /* physical CPUs the kernel can use */
#define MAX_HANDLES         1024 /* slots in a domain's handle table; slot 0 is never valid */

/* Ring-3 addresses that may be mapped: [USER_VA_MIN, USER_VA_MAX). */
#define USER_VA_MIN         0x0000000000010000ull
#define USER_VA_MAX         0x00007ffffffff000ull

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
    E_BUSY,        /* taken by somebody else */
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
    OBJ_COUNT
};

/* Rights. A grant can only narrow them. Their meaning by type stands beside each system call. */
#define RIGHT_READ    0x01u /* memory: may be mapped readable (always implied by a mapping) */
#define RIGHT_WRITE   0x02u /* memory: may be mapped writable */
#define RIGHT_EXEC    0x04u /* memory: may be mapped executable */
#define RIGHT_GRANT   0x08u /* the handle may be given on */
#define RIGHT_DESTROY 0x10u /* the object may be destroyed */
#define RIGHT_SIGNAL  0x20u /* event: may be signalled; vcpu: may be kicked; irq: may be bound and acknowledged; log: write */
#define RIGHT_WAIT    0x40u /* event: may be waited for */
#define RIGHT_MAP     0x80u /* domain, space: mappings may be made in it; memory (RAM): may be carved; ports: may be opened */
#define RIGHT_MANAGE  0x100u /* domain: threads made, handles put in, queried; space: vCPUs made, exits settled */
#define RIGHTS_ALL    0x1ffu

enum syscall {
    /* handle_close(h): forgets the caller's handle. The last handle's going ends an object that has no other user. */
    SYS_HANDLE_CLOSE = 0,
    /* handle_grant(domain, h, rights, slot): copies h, narrowed to rights, into `domain` (RIGHT_MANAGE) at `slot` (0: the
     * kernel picks one). h needs RIGHT_GRANT. Value: the slot. E_BUSY: the slot is taken. */
    SYS_HANDLE_GRANT,
    /* destroy(h) (RIGHT_DESTROY): ends the object for everybody; all handles to it go inert (E_DEAD). Domain: its threads
     * are stopped, its handles closed, its tables freed. Memory: unmapped everywhere, every CPU's translations flushed, the
     * frames zeroed, then the range is free again. Works in bounded steps: E_AGAIN means call again. */
    SYS_DESTROY,
    /* domain_create(quota_pages, cpu_mask, event, bits): a new empty domain that may spend `quota_pages` 4 KiB pages of
     * kernel memory, taken from the caller's own quota. `event` (RIGHT_SIGNAL; 0: none) gets `bits` when the domain stops
     * by a fault or by its last thread's exit. Value: handle with all rights. */
    SYS_DOMAIN_CREATE,
    /* thread_create(domain (RIGHT_MANAGE), entry, stack, arg, sched0, sched1): a thread that starts at `entry` with rsp =
     * `stack` and rdi = `arg`. sched0: cpu in bits 7:0, priority (0..SCHED_PRIORITIES-1, higher runs first) in 15:8.
     * sched1: budget in microseconds in bits 31:0, period in microseconds in 63:32; 0 = no budget (not capped).
     * Value: handle. */
    SYS_THREAD_CREATE,
    /* thread_exit(): ends the calling thread. */
    SYS_THREAD_EXIT,
    /* memory_carve(ram (RIGHT_MAP), offset_bytes, size_bytes, tag): makes the memory object [offset, offset+size) of a RAM
     * object; E_OVERLAP if any of it belongs to somebody. `tag` is a number of the caller's that names the owner in
     * reports (TAG_*). Value: handle, all rights. A range that somebody had before is zero; one that nobody has had since power-on
     * holds what firmware left there. The carve itself does no work proportional to size. */
    SYS_MEMORY_CARVE,
    /* map(target (domain or space, RIGHT_MAP), address, memory, offset, size, rights): target's [address, +size) shows
     * memory's [offset, +size) with rights (subset of READ|WRITE|EXEC that the memory handle carries). All 4 KiB aligned;
     * uses the largest pages that alignment allows. E_OVERLAP if any of the target range is mapped. Paid by the target
     * domain (a space's payer is the domain that made it). */
    SYS_MAP,
    /* unmap(target, address): removes the mapping that starts at `address`. Bounded steps: E_AGAIN. */
    SYS_UNMAP,
    /* event_create(): value: handle. An event is a set of 64 bits. */
    SYS_EVENT_CREATE,
    /* event_signal(event (RIGHT_SIGNAL), bits): ors bits in and wakes the waiter whose mask they meet. */
    SYS_EVENT_SIGNAL,
    /* event_wait(event (RIGHT_WAIT), mask, deadline_tsc): waits until any bit of mask is set or the host TSC reaches
     * deadline (0: do not wait, ~0: no deadline). Value: the bits that were set and are now cleared. E_TIMEOUT. One
     * waiter at a time (E_BUSY). */
    SYS_EVENT_WAIT,
    /* irq_bind(irq (RIGHT_SIGNAL), event (RIGHT_SIGNAL), bits): the interrupt signals the event from now on; it starts
     * masked by none. A level-triggered interrupt stays masked from its arrival until irq_ack. */
    SYS_IRQ_BIND,
    /* irq_ack(irq) */
    SYS_IRQ_ACK,
    /* ports_open(domain (RIGHT_MAP), ports (RIGHT_MAP)): opens the range for IN/OUT in that domain. The first domain that
     * opens the kernel's own serial port takes it over: the kernel then writes there in a panic only. */
    SYS_PORTS_OPEN,
    /* space_create(): an empty guest-physical address space, paid by the caller. Value: handle. */
    SYS_SPACE_CREATE,
    /* vcpu_create(space (RIGHT_MANAGE), state_va): a vCPU of that space that belongs to the calling thread: it alone can run
     * it. Its state page (struct vcpu_state) is mapped read-write at state_va in the caller's domain. One per thread
     * (E_STATE). Value: handle. */
    SYS_VCPU_CREATE,
    /* vcpu_run(): runs the caller's vCPU until an exit that is the monitor's to settle. See mullion/vcpu.h. */
    SYS_VCPU_RUN,
    /* vcpu_fetch(groups): fills the named state groups of the caller's vCPU after an exit. */
    SYS_VCPU_FETCH,
    /* vcpu_kick(vcpu (RIGHT_SIGNAL)): makes the running (or the next) vcpu_run return with EXIT_KICK. */
    SYS_VCPU_KICK,
    /* settle(space (RIGHT_MANAGE), kind, a, b, c, d): puts an entry into one of the tables from which ring 0 settles exits
     * without the monitor; see enum settle_kind. */
    SYS_SETTLE,
    /* query(handle, what, index): value: a number; see enum query. */
    SYS_QUERY,
    /* log(log (RIGHT_SIGNAL), count, w0, w1, w2, w3): appends `count` (1..32) bytes, packed little-endian into the words,
     * to the kernel's log. A line appears when it is whole (newline, or 128 bytes), so lines of several domains do not mix. */
    SYS_LOG,
    SYS_COUNT
};

#define SCHED_PRIORITIES 8

enum settle_kind {
    /* a = leaf | subleaf << 32 (subleaf 0xffffffff: whatever), b = eax | ebx << 32, c = ecx | edx << 32. A leaf with no
     * entry exits to the monitor. d: CPUID_LIVE_*: bits that mirror the guest's CR4. */
    SETTLE_CPUID = 0,
    /* a = port, b = size in bytes (0: any), c = event handle, d = bits: OUT signals the event and the guest goes on. */
    SETTLE_DOORBELL_PORT,
    /* a = guest-physical address, b = size of the range in bytes, c = event handle, d = bits. Needs no instruction decoding
     * only where the CPU tells the length; elsewhere the exit goes to the monitor. */
    SETTLE_DOORBELL_MEMORY,
};
/* SETTLE_CPUID's d: at leaf 1, ECX.OSXSAVE follows CR4.OSXSAVE; at leaf 7, ECX.OSPKE stays clear. */
#define CPUID_LIVE_OSXSAVE 1u

enum query {
    QUERY_DOMAIN_STATE = 0, /* enum domain_state */
    QUERY_DOMAIN_FAULT,     /* index 0: vector | error code << 32, 1: rip, 2: cr2, 3: rsp */
    QUERY_DOMAIN_KMEM_USED, /* pages */
    QUERY_DOMAIN_KMEM_QUOTA,
    QUERY_THREAD_TICKS,     /* TSC ticks this thread (and its vCPU) has run */
    QUERY_VCPU_EXITS,       /* handle 0: the caller's own vCPU. index: enum exit_reason, or EXIT_COUNT for the total */
    QUERY_MEMORY_BASE,      /* host-physical address (RIGHT_MANAGE) */
    QUERY_MEMORY_SIZE,
    QUERY_MEMORY_RESERVED,  /* RAM object: for index i, the i-th carved range: offset | 1; 0 when there is none */
    QUERY_MEMORY_RESERVED_SIZE, /* its size in bytes */
};

enum domain_state { DOMAIN_EMPTY = 0, DOMAIN_RUNNING, DOMAIN_EXITED, DOMAIN_FAULTED, DOMAIN_DYING };

/* Owner tags in the ledger. */
#define TAG_ROOT       1u
#define TAG_CONSOLE    2u
#define TAG_SHARED     3u   /* rings between two ring-3 programs; never guest memory */
#define TAG_MODULE     4u
#define TAG_GUEST(n)   (0x100u + (uint32_t)(n)) /* guest RAM of the n-th guest */
#define TAG_MONITOR(n) (0x200u + (uint32_t)(n)) /* the monitor's private memory of the n-th guest */

#endif
