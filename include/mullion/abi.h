/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ABI between ring 0 and ring 3: system-call numbers, errors, rights, object types.
 *
 * A system call is the software interrupt SYSCALL_VECTOR. The number is in rax, up to six arguments are in rdi, rsi,
 * rdx, rcx, r8, r9. On return rax holds an enum error and rdx the call's value; every other register is kept (but
 * see vcpu_run). The SYSCALL instruction is switched off (EFER.SCE = 0 outside guests): that way a guest's
 * STAR/LSTAR/SFMASK/KERNEL_GS_BASE can stay in the CPU while its monitor runs, and a round trip to the monitor
 * switches no MSR.
 *
 * An unknown number is answered E_NOSYS. The kernel never dereferences an address that comes from ring 3. All
 * arguments are numbers in registers; what is larger lives in a page that the kernel itself owns and has mapped into
 * the caller (struct vcpu_state, struct root_boot).
 */
#ifndef MULLION_ABI_H
#define MULLION_ABI_H

#include <stdint.h>

#define MULLION_ABI_VERSION 2
#define SYSCALL_VECTOR      0x80

#define MAX_CPUS    64   /* physical CPUs the kernel can use */
#define MAX_HANDLES 8192 /* slots in a domain's handle table, which grows by pages; slot 0 is never valid */

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
#define RIGHT_READ    0x01u  /* memory: may be mapped readable (always implied by a mapping) */
#define RIGHT_WRITE   0x02u  /* memory: may be mapped writable */
#define RIGHT_EXEC    0x04u  /* memory: may be mapped executable */
#define RIGHT_GRANT   0x08u  /* the handle may be given on */
#define RIGHT_DESTROY 0x10u  /* the object may be destroyed */
#define RIGHT_SIGNAL  0x20u  /* event: signalled; vcpu: kicked; irq: bound, acknowledged; log: write */
#define RIGHT_WAIT    0x40u  /* event: may be waited for */
#define RIGHT_MAP     0x80u  /* domain, space: mapped into; memory (RAM): carved; ports: opened */
#define RIGHT_MANAGE  0x100u /* domain: threads made, handles put in, queried; space: vCPUs made, fast-path exits set */
#define RIGHTS_ALL    0x1ffu

/*
 * System calls. Each says: its arguments in their order, with the type and the rights that a handle needs; what it
 * does; its value; every error that it can answer. "Handle errors" are, for each argument that is a handle and in
 * this order: E_HANDLE (no such handle), E_TYPE, E_DEAD (the object was destroyed), E_RIGHTS. On an error but
 * E_AGAIN nothing has changed. tools/abi-doc.py makes docs/abi.md from these comments.
 */
enum syscall {
    /* handle_close(handle)
     * Forgets the caller's handle. An object that has no other handle and no other user ends; but a domain ends with
     * its maker at the latest, and memory that was never destroyed stays out of use, for its frames were not zeroed.
     * Value: none.
     * Errors: E_HANDLE. */
    SYS_HANDLE_CLOSE = 0,
    /* handle_grant(domain: domain, RIGHT_MANAGE; handle: any, RIGHT_GRANT; rights; slot)
     * Copies the handle into the domain's table, with those of its rights that `rights` names too, at `slot` (0: the
     * first free one).
     * Value: the slot.
     * Errors: handle errors; E_ARG: slot >= MAX_HANDLES; E_BUSY: the slot is taken; E_QUOTA: no free slot, or the
     * domain cannot pay for its table's next page. */
    SYS_HANDLE_GRANT,
    /* destroy(handle: domain, memory or event, RIGHT_DESTROY)
     * Ends the object for everybody; all handles to it go inert (E_DEAD). Domain: its threads are stopped, the
     * domains it made are destroyed, its handles closed, its tables freed; its quota returns to its maker when the
     * last handle to what it paid for is closed. Memory: unmapped everywhere, every CPU's translations flushed, the
     * frames zeroed, then the range is free again. Event: its waiter gets E_DEAD.
     * Value: none.
     * Errors: E_HANDLE; E_RIGHTS; E_TYPE: this type is not destroyed; E_STATE: the caller's own domain, root, RAM,
     * or memory of the kernel's image; E_AGAIN: a bounded step was made, call again; E_DEAD: it is gone already. */
    SYS_DESTROY,
    /* domain_create(quota_pages; cpu_mask; event: event, RIGHT_SIGNAL, or 0; bits; tag)
     * A new empty domain that may spend `quota_pages` 4 KiB pages of kernel memory, taken from the caller's own
     * quota, and whose threads may run on the CPUs of `cpu_mask`, all of them CPUs of the caller's. The event gets
     * `bits` when the domain stops by a fault or by its last thread's exit. `tag` is a number of the caller's that
     * names the domain in reports (TAG_*). The domain ends with its maker.
     * Value: handle, all rights.
     * Errors: handle errors; E_ARG: a CPU that the caller has not, or more pages than the machine has; E_QUOTA: the
     * caller has not so much left, it is too little for a domain, or no free slot; E_DEAD: the caller is being
     * destroyed. */
    SYS_DOMAIN_CREATE,
    /* thread_create(domain: domain, RIGHT_MANAGE; entry; stack; arg; sched0; sched1)
     * A thread that starts at `entry` with rsp = `stack` and rdi = `arg`. sched0: CPU in bits 7:0, priority
     * (0..SCHED_PRIORITIES-1, higher runs first) in 15:8, SCHED_BORROW, SCHED_BESIDE. sched1: budget in microseconds
     * in bits 31:0, period in microseconds (at least 100) in 63:32; budget 0: not capped. With SCHED_BESIDE: a
     * thread (RIGHT_MANAGE) of the same domain and CPU, on whose budget the new one lives too, and goes first.
     * Value: handle, all rights.
     * Errors: handle errors; E_RIGHTS: the caller has a budget himself, or a lower priority; E_ARG: no such CPU or
     * not in the domain's mask, no such priority, an address at or above USER_VA_MAX, a budget above its period, a
     * thread of another domain or CPU; E_STATE: the domain has stopped; E_QUOTA: the domain cannot pay, or the
     * caller has no free slot. */
    SYS_THREAD_CREATE,
    /* thread_exit()
     * Ends the calling thread; with the last one, its domain.
     * Value: does not return.
     * Errors: none. */
    SYS_THREAD_EXIT,
    /* memory_carve(ram: memory, RIGHT_MAP; offset; size; tag)
     * Makes the memory object [offset, offset+size), in bytes, of a RAM object. `tag` is a number of the caller's
     * that names the owner in reports (TAG_*). A range that somebody had before is zero; one that nobody has had
     * since power-on holds what firmware left there. Does no work proportional to size.
     * Value: handle, all rights.
     * Errors: handle errors; E_TYPE: memory, but not RAM; E_ARG: not whole pages, empty or outside; E_OVERLAP: some
     * of it belongs to somebody; E_QUOTA. */
    SYS_MEMORY_CARVE,
    /* map(target: domain or space, RIGHT_MAP; address; memory: memory, with `rights`; offset; size; rights)
     * The target's [address, +size) shows the memory's [offset, +size) with `rights`: READ, and WRITE or EXEC or, in
     * a space only, both. All 4 KiB aligned; uses the largest pages that alignment allows. Paid by the target domain
     * (a space's payer is the domain that made it).
     * Value: none.
     * Errors: handle errors; E_TYPE: also for RAM, which is only carved from; E_ARG: rights, alignment, empty,
     * outside the memory or outside the target's addresses; E_OVERLAP: some of the target range is mapped; E_QUOTA:
     * the target cannot pay for tables. */
    SYS_MAP,
    /* unmap(target: domain or space, RIGHT_MAP; address)
     * Removes the mapping that was made at `address`, whole. It is out of the tables at once, and out of every CPU
     * when the answer is OK.
     * Value: none.
     * Errors: handle errors; E_ARG: no mapping begins there (also: its memory was destroyed meanwhile); E_AGAIN:
     * call again. */
    SYS_UNMAP,
    /* event_create()
     * An event is a set of 64 bits, all clear.
     * Value: handle, all rights.
     * Errors: E_QUOTA. */
    SYS_EVENT_CREATE,
    /* event_signal(event: event, RIGHT_SIGNAL; bits)
     * Ors bits in and wakes the waiter if its mask meets them.
     * Value: none.
     * Errors: handle errors. */
    SYS_EVENT_SIGNAL,
    /* event_wait(event: event, RIGHT_WAIT; mask; deadline)
     * Waits until any bit of mask is set or the host's TSC reaches `deadline` (0: does not wait, ~0: no deadline).
     * One waiter at a time.
     * Value: those bits of mask that were set; they are clear now.
     * Errors: handle errors; E_TIMEOUT; E_BUSY: somebody else waits, and none of the bits is set; E_DEAD: also when
     * it is destroyed meanwhile. */
    SYS_EVENT_WAIT,
    /* irq_bind(irq: irq, RIGHT_SIGNAL; event: event, RIGHT_SIGNAL; bits)
     * The interrupt signals the event from now on, and no other; it is unmasked. One that is level-triggered is
     * masked at its arrival until irq_ack.
     * Value: none.
     * Errors: handle errors. */
    SYS_IRQ_BIND,
    /* irq_ack(irq: irq, RIGHT_SIGNAL)
     * Unmasks a level-triggered interrupt; nothing for others.
     * Value: none.
     * Errors: handle errors. */
    SYS_IRQ_ACK,
    /* ports_open(domain: domain, RIGHT_MAP; ports: ports, RIGHT_MAP)
     * Opens the range for IN/OUT in that domain. The first domain that opens the kernel's own serial port takes it
     * over: the kernel then writes there in a panic only.
     * Value: none.
     * Errors: handle errors; E_QUOTA: the domain has DOMAIN_PORTS_MAX ranges open. */
    SYS_PORTS_OPEN,
    /* space_create()
     * An empty guest-physical address space, paid by the caller.
     * Value: handle, all rights.
     * Errors: E_UNSUPPORTED: this machine can run no guests; E_QUOTA. */
    SYS_SPACE_CREATE,
    /* vcpu_create(space: space, RIGHT_MANAGE; state_va)
     * A vCPU of that space that belongs to the calling thread: it alone can run it. Its state page (struct
     * vcpu_state) is mapped read-write at `state_va` in the caller's domain. It has no state yet: the monitor brings
     * every group but TSC before the first vcpu_run.
     * Value: handle, all rights.
     * Errors: handle errors; E_STATE: the thread has one; E_ARG: state_va is no page of ring 3's; E_OVERLAP:
     * something is mapped there; E_QUOTA. */
    SYS_VCPU_CREATE,
    /* vcpu_run()
     * Runs the caller's vCPU until an exit that the monitor must handle. See mullion/vcpu.h. Of the caller's
     * registers it keeps rbx, rbp, rsp, r12 to r15; the others that hold no value of the call's come back with older
     * values of the caller's.
     * Value: none; the exit record is in the state page.
     * Errors: E_STATE: the thread has no vCPU. */
    SYS_VCPU_RUN,
    /* vcpu_fetch(groups)
     * Fills the named state groups of the caller's vCPU after an exit, but for those that are marked dirty.
     * Value: none.
     * Errors: E_STATE: the thread has no vCPU. */
    SYS_VCPU_FETCH,
    /* vcpu_kick(vcpu: vcpu, RIGHT_SIGNAL)
     * Makes the running (or the next) vcpu_run return with EXIT_KICK.
     * Value: none.
     * Errors: handle errors. */
    SYS_VCPU_KICK,
    /* fastpath(space: space, RIGHT_MANAGE; kind; a; b; c; d)
     * Puts an entry into one of the tables from which ring 0 handles exits without the monitor; see enum
     * fastpath_kind.
     * Value: none.
     * Errors: handle errors (doorbells: the event's too); E_ARG: no such kind, an empty or wrapping range; E_QUOTA:
     * the table is full. */
    SYS_FASTPATH,
    /* query(handle: by what is asked, RIGHT_MANAGE; what; index)
     * Tells a number; see enum query.
     * Value: the number.
     * Errors: handle errors; E_ARG: nothing of that name or index is to be asked of this object, or the caller has
     * no vCPU. */
    SYS_QUERY,
    /* log(log: log, RIGHT_SIGNAL; count; w0; w1; w2; w3)
     * Takes `count` (1..32) bytes, packed little-endian into the words. They are gathered by domain; a newline, or a
     * full line, sends the line to the kernel's log whole. What is neither printable ASCII nor a newline or tab
     * becomes a question mark.
     * Value: none.
     * Errors: handle errors; E_ARG: count. */
    SYS_LOG,
    SYS_COUNT
};

#define SCHED_PRIORITIES 8
#define SCHED_BORROW     0x10000u /* with the budget used up it runs on while the CPU would be idle */
#define SCHED_BESIDE     0x20000u

enum fastpath_kind {
    /* a = leaf | subleaf << 32 (subleaf 0xffffffff: whatever), b = eax | ebx << 32, c = ecx | edx << 32. A leaf with
     * no entry exits to the monitor. d: CPUID_LIVE_*: bits that mirror the guest's CR4. */
    FASTPATH_CPUID = 0,
    /* a = port, b = size in bytes (0: any), c = event handle, d = bits: OUT signals the event and the guest goes on.
     * Again for the same port: the size is the new one. */
    FASTPATH_DOORBELL_PORT,
    /* a = guest-physical address | length << 56, b = rip, c and d as above: a store to that address by the
     * instruction there, which is so many bytes (1 to 15) long, signals the event and the guest goes on behind it.
     * Ring 0 decodes nothing: the monitor has seen an instruction that only stores, whatever the value. On VT-x
     * another one in its place is noticed by its length, if that differs; on AMD-V it would be taken for the old
     * one, at the cost of the guest that has changed it. Again for the same address: the new instruction takes the
     * old one's place. */
    FASTPATH_DOORBELL_STORE,
};
/* FASTPATH_CPUID's d: at leaf 1, ECX.OSXSAVE follows CR4.OSXSAVE; at leaf 7, ECX.OSPKE stays clear. */
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
    QUERY_CPU_PATH,   /* index: CPU | path << 8: the longest stay in ring 0, with interrupts off; ticks */
};

/* What makes ring 0 run, for QUERY_CPU_PATH: a system call's number (but vcpu_run's, which keeps no time), or: */
enum ring0_path {
    PATH_RING3 = SYS_COUNT, /* an interrupt or fault in ring 3; a call that there is not */
    PATH_GUEST,             /* an exit for the host itself, or the guest falls asleep; until a guest goes on */
    PATH_IDLE,              /* an interrupt in idle */
    PATH_COUNT
};

enum domain_state { DOMAIN_EMPTY = 0, DOMAIN_RUNNING, DOMAIN_EXITED, DOMAIN_FAULTED, DOMAIN_DYING };

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
#define TAG_SHARED(tag)      (0x1000u | (tag)) /* what root shares with the program whose own memory has that tag */

#endif
