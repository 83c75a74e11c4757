/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One guest's machine: its memory, its devices, its vCPUs, and what ties them together. There is one per monitor
 * process.
 */
#ifndef VMM_MACHINE_H
#define VMM_MACHINE_H

#include "lib/proto/channel.h"
#include "lib/proto/vmm_boot.h"
#include "lib/syscall.h"
#include "mullion/types.h"
#include "mullion/vcpu.h"
#include "vmm/cpu/cpuid.h"
#include "vmm/cpu/msr.h"
#include "vmm/devices/bus.h"
#include "vmm/devices/clock.h"
#include "vmm/devices/device.h"
#include "vmm/devices/ioapic.h"
#include "vmm/devices/ivshmem.h"
#include "vmm/devices/lapic.h"
#include "vmm/devices/pci.h"
#include "vmm/devices/pic.h"
#include "vmm/devices/pm.h"
#include "vmm/doorbell.h"
#include "vmm/insn/move_cache.h"
#include "vmm/lock.h"
#include "vmm/memory.h"
#include "vmm/shared.h"

#define VMM_EVENT_END 0x100ull /* own bit of VMM_EVENT_INTERNAL: the guest has ended */

/* Where a guest's clock starts if the machine's own tells no time of day: 2026-01-01 00:00 UTC. */
#define GUEST_EPOCH 1767225600ll

struct vm;

/* Why vCPUs leave their guest, for good or until thread 0 lets them go on. The first reason counts, but a pause gives
 * way to any other. */
enum vm_ending { VM_GOES_ON = 0, VM_ENDS, VM_RESETS, VM_PAUSES };

#define PENDING_WAIT_SIPI 0x1u
#define PENDING_HALTED    0x2u
#define PENDING_NMI       0x4u  /* one waits to be injected */
#define PENDING_EXTINT    0x8u  /* an ExtINT message came: the PIC is asked */
#define PENDING_NMI_AGAIN 0x10u /* with PENDING_NMI: and another behind it */

/* A step over an IRET: vmm/cpu/nmi.h. What the guest has, and the CPU has otherwise meanwhile: */
struct nmi_step {
    bool on, tf;
    uint64_t dr6;
};

/* Only its own thread touches it, but for what the other threads reach through lapic_post_* and the atomics. */
struct vm_vcpu {
    struct vm *vm;
    unsigned index;
    uint64_t handle;
    uint64_t event; /* handle: what the devices' services signal; its bits come with EXIT_KICK */
    struct vcpu_state *state;
    struct fpu_image *fpu; /* GROUP_FPU's page; NULL: not asked for yet (machine_fpu) */
    struct lapic lapic;
    struct msr_cpu msr;
    bool recheck;     /* something was posted or may have changed: the loop looks at everything before the next entry */
    uint32_t pending; /* PENDING_* */
    bool halted_if;   /* RFLAGS.IF at the HLT */
    bool irq_from_pic;
    struct nmi_step step;
    uint64_t clock_gpa; /* KVM clock page; 0: off */
    uint64_t retry_gpa;
    unsigned retries; /* second-level faults in a row on memory that is there */
    struct cached_move move[MOVE_CACHE_SIZE];
};

struct vm {
    const struct vmm_boot *boot;
    struct vmm_control *control;
    struct channel *channel;
    _Atomic bool reported;      /* control->report is written: by the first vCPU that crashed */
    struct channel_ring *words; /* vm_say; NULL: they are not wanted */
    struct guest_memory memory;
    uint64_t space;    /* handle */
    uint64_t boot_tsc; /* host TSC at which the guest's clocks start */
    uint64_t boot_ns;  /* the time of day then, since 1970 */
    struct cpuid_table cpuid;
    uint64_t cr4_allowed;
    unsigned physical_bits;
    unsigned vcpus;
    struct vm_vcpu vcpu[VMM_VCPUS_MAX];
    struct apic_set apics;
    _Atomic uint32_t ending;     /* enum vm_ending */
    _Atomic uint32_t parked;     /* vCPU threads that have left their guest for a reset in place or a pause */
    _Atomic bool hostile;        /* a test: see vmm/test/fuzz.h */
    _Atomic bool extint;         /* the PICs have an interrupt */
    _Atomic uint64_t next_event; /* host TSC at which a platform timer is due; vCPU 0 serves it */

    struct vm_lock lock; /* guards everything below */
    struct clock clock;
    struct bus bus;
    struct irq_router router;
    struct platform platform;
    struct device_set devices;
    struct pic *pic; /* these are in `devices` */
    struct ioapic *ioapic;
    struct pm *pm;
    struct ivshmem *shared[VMM_REGIONS_MAX]; /* boot->region_count of them */
    struct doorbells doorbells;
    unsigned unclaimed; /* accesses that no device took */
};

/* Before and after every call into the devices. */
static inline void vm_lock(struct vm *vm)
{
    lock_take(&vm->lock);
    vm->clock.now = tsc_now();
}

static inline void vm_unlock(struct vm *vm)
{
    lock_release(&vm->lock);
}

/* Instead of vm_unlock, after what may have changed a platform timer: settles when the next one is due. */
void vm_unlock_timers(struct vm *vm);

/* Builds the devices (boot, control, channel and memory are set). What is wrong goes into `why`. */
enum error machine_init(struct vm *vm, char *why, size_t why_size) must_check;
/* Writes the ACPI tables and loads the guest's image; vCPU 0's state is set. */
enum error machine_load(struct vm *vm, char *why, size_t why_size) must_check;
/* Ring 0 answers what is the same on every vCPU; a leaf that does not fit there exits to the monitor, which is only
 * slower. Again when vCPU 0 has switched its local APIC on or off: a guest of one vCPU sees that there. */
void machine_settle_cpuid(struct vm *vm);
/* A vCPU's local APIC and MSRs, once its state page is there. */
void machine_vcpu_init(struct vm *vm, unsigned index);

/* All of it as machine_init and machine_load have left it, with the guest's memory zeroed first; but the time of day
 * goes on. Thread 0, while no vCPU thread is in the machine. */
enum error machine_reset(struct vm *vm, char *why, size_t why_size) must_check;

/* All but the guest's memory is as machine_init and machine_vcpu_init have left it; the clocks start anew. As
 * machine_reset. */
void machine_forget(struct vm *vm);

/* Thread 0, main.c: no vCPU thread is in the machine any more, and each has called vcpu_fetch_all (vmm/save.h). False:
 * the guest ends or resets instead. Then vm_go_on: they go on with what is in the machine then. */
bool vm_pause(struct vm *vm);
void vm_go_on(struct vm *vm);

/* A vCPU's TSC offset, or the time at which the clocks started, has changed: its APIC's timer and its clock page
 * follow. Thread of that vCPU, or as machine_reset. */
void machine_tsc_changed(struct vm *vm, unsigned index);

/* A vCPU's own thread: asks for its GROUP_FPU's page, which a save and a reset need. Where there is none, they leave
 * the FPU as it is. */
void machine_fpu(struct vm_vcpu *v);

/* vCPU 0, when next_event has come. */
void machine_timers(struct vm *vm);
/* Thread 0, when these bits of its event came: devices look at what waits outside. */
void machine_polled(struct vm *vm, uint64_t bits);
/* The guest is asked to switch itself off. */
void machine_power_button(struct vm *vm);

/* The NMI button: to each vCPU whose LINT1 is wired for it. */
void machine_nmi(struct vm *vm);
/* A break on the first serial line, and the character `behind` after it, if that is not 0. */
void machine_break(struct vm *vm, uint8_t behind);

/* Makes a vCPU look at its interrupts, mail and timers. Any thread. */
void vm_kick(void *vm, unsigned vcpu);

/* A line of the monitor's own, for the console; without its end. Any thread, under the lock or not. */
void vm_say(const struct vm *vm, const char *text, ...) print_like(2, 3);
/* The guest has come to an end: the first call decides. Any thread, under the lock or not; returns. `reason` NULL:
 * none. */
void vm_end(struct vm *vm, enum guest_state state, uint32_t exit_code, const char *reason, ...)
    __attribute__((format(printf, 4, 5)));

/* The hooks of vmm/cpu/msr.h. */
extern const struct msr_ops machine_msr_ops;

/* A vCPU's thread, from its first to its last guest instruction. */
void vcpu_loop(struct vm_vcpu *v);

#endif
