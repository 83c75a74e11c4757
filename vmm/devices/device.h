/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a device is to its machine, and what it may use of it. A device is one file: its registers, its state in one
 * struct, and one `const struct device` by which the machine makes, resets, saves and loads it. The list of them is
 * vmm/devices/table.c; nothing else names a device that no other part needs by name.
 */
#ifndef VMM_DEVICES_DEVICE_H
#define VMM_DEVICES_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/proto/vmm_boot.h"
#include "mullion/abi.h"
#include "mullion/types.h"
#include "vmm/devices/bus.h"
#include "vmm/devices/clock.h"
#include "vmm/devices/irq.h"
#include "vmm/devices/power.h"
#include "vmm/lock.h"
#include "vmm/memory.h"
#include "vmm/stream.h"

struct device;
struct pci;
struct doorbells;

/* The machine as its devices see it. It stays where it is as long as they live. */
struct platform {
    const struct vmm_boot *boot;
    const struct guest_memory *memory;
    const struct clock *clock;
    struct bus *bus;
    struct pci *pci;
    struct doorbells *doorbells;
    struct irq_sink irq;     /* lines */
    struct power_sink power; /* off, reset */
    uint64_t space;          /* handle of the guest's memory */
    const uint64_t *boot_tsc;
    uint64_t window, window_bytes; /* for large BARs, above RAM; 0 bytes: there is none */
    int64_t unix_seconds;          /* the time of day at which the machine started */
    /* The hooks below get this. */
    void *context;
    void (*message)(void *context, const struct interrupt_message *message); /* MSI, I/O APIC; needs no lock */
    void (*extint)(void *context, bool level);                               /* the PICs' output has changed */
    /* The guest's console: output takes as many as it can, input gives as many as there are. */
    size_t (*output)(void *context, const uint8_t *bytes, size_t count);
    size_t (*input)(void *context, uint8_t *bytes, size_t count);
    /* For `completed`: the handle of a vCPU's event, and the device's bit in all of them. */
    uint64_t (*vcpu_event)(void *context, unsigned vcpu);
    uint64_t (*completion)(void *context, const struct device *device, unsigned number);
    /* Locks: the VM's is given back and taken again; another is taken and given back. NULL, as in tests: one thread. */
    void (*leave_vm)(void *context);
    void (*enter_vm)(void *context);
    void (*take)(struct vm_lock *lock);
    void (*release)(struct vm_lock *lock);
    const struct vm_lock *events; /* for vm_lock.events */
};

/*
 * A lock of a device's own, for one that does work which others must not wait for (a queue, a system call), or that has
 * a thread of its own. Order: the VM's lock, then a device's; under a device's lock nothing takes the VM's. So there
 * no line is moved (irq_set, pci_intx), and no range comes or goes; messages may be sent. A handler of the bus is
 * called with the VM's lock held: it calls device_enter first and device_leave last.
 */
struct device_lock {
    struct vm_lock lock;
    const struct platform *platform;
};

static inline void device_lock_init(struct device_lock *l, const struct platform *p)
{
    l->platform = p;
    l->lock.events = p->events;
}
/* Any thread; with or without the VM's lock. */
static inline void device_take(struct device_lock *l)
{
    if (l->platform != NULL && l->platform->take != NULL)
        l->platform->take(&l->lock);
}
static inline void device_release(struct device_lock *l)
{
    if (l->platform != NULL && l->platform->release != NULL)
        l->platform->release(&l->lock);
}
/* In a handler: out of the VM's lock, and back into it. */
static inline void device_leave_vm(const struct device_lock *l)
{
    if (l->platform != NULL && l->platform->leave_vm != NULL)
        l->platform->leave_vm(l->platform->context);
}
static inline void device_enter_vm(const struct device_lock *l)
{
    if (l->platform != NULL && l->platform->enter_vm != NULL)
        l->platform->enter_vm(l->platform->context);
}
static inline void device_enter(struct device_lock *l)
{
    device_leave_vm(l);
    device_take(l);
}
static inline void device_leave(struct device_lock *l)
{
    device_release(l);
    device_enter_vm(l);
}

/*
 * All functions get the device's state. NULL: there is nothing to do. Lock: the VM's, unless said otherwise.
 */
struct device {
    const char *name; /* in messages and in saved streams: at most 15 characters, unique */
    uint16_t version; /* of its section in a saved stream */
    size_t bytes;     /* of the state, which starts as zeroes */
    uint64_t wakes;   /* bits of the monitor's own event (VMM_EVENT_*) for which `polled` is called */
    unsigned (*count)(const struct vmm_boot *boot); /* how many of them there are; NULL: one */
    /* Once, before the guest runs: puts itself on the buses, with the state of power-on. number: 0..count - 1. */
    enum error (*init)(void *state, const struct platform *platform, unsigned number);
    /* Back to power-on, as if the machine had just been made; on the buses it stays where it is. No line is lowered:
     * their listeners are reset as well. Without a guest running. */
    void (*reset)(void *state);
    /* Takes no more work from now on. True: nothing is in flight. Else it is asked again, until `resume`. */
    bool (*quiet)(void *state);
    void (*resume)(void *state);
    /* Host TSC at which `advance` is needed; CLOCK_NEVER. What changes it in a guest's access lies in a range with
     * BUS_TIMERS. */
    uint64_t (*next_event)(const void *state);
    void (*advance)(void *state); /* to clock->now */
    bool own_lock;                /* it has a struct device_lock: `polled` is called without the VM's lock */
    /* By the monitor's thread 0, when one of `wakes` was signalled: something waits outside. Leaves next_event as it
     * is. */
    void (*polled)(void *state, uint64_t bits);
    /* What the device had asked for outside is done: the device's bit of that vCPU's event was signalled. By the vCPU's
     * own thread, without the VM's lock, just before its guest goes on; so an interrupt to this vCPU costs no wake-up
     * and no kick. May be called when nothing is done. */
    void (*completed)(void *state, unsigned vcpu);
    /* Saves or loads all that the guest can tell (see vmm/stream.h), but no pointer and nothing of the configuration.
     * When it loads, it works on a copy. */
    void (*fields)(void *state, struct stream *s);
    bool (*valid)(const void *state); /* can what was loaded be gone on with? Looked at before it is used */
    void (*loaded)(void *state);      /* it is in use now: whatever depends on it follows */
};

#define DEVICES_MAX        48u /* at most 64: each may have a bit of an event */
#define DEVICE_TIMERS_MAX  8u
#define DEVICE_STATE_BYTES 65536u
#define DEVICE_LARGEST     8192u

struct device_at {
    const struct device *device;
    void *state;
    unsigned number;
};

/* A machine's devices, with their states. */
struct device_set {
    uint32_t count, timers, wakers, completers;
    uint64_t wakes[2]; /* of those without, and with a lock of their own */
    struct device_at at[DEVICES_MAX];
    struct device_at waker[DEVICES_MAX];       /* those with `wakes` */
    struct device_at timer[DEVICE_TIMERS_MAX]; /* those with next_event */
    struct device_at completer[DEVICES_MAX];   /* those with `completed`, each by its bit */
    size_t used;
    _Alignas(64) uint8_t state[DEVICE_STATE_BYTES];
    _Alignas(64) uint8_t copy[DEVICE_LARGEST]; /* while a section is loaded */
};

extern const struct device *const device_table[];
extern const uint32_t device_table_count;

/* Two steps, so that what a device needs of another can be set between them. device_set_place gives each device of the
 * table its state, in a set that is all zeroes at first (several tables, one after the other). device_set_init calls
 * their init. E_QUOTA: too many, too large; errors of init. *failed: the name of the device that cannot be made. */
must_check enum error device_set_place(struct device_set *set, const struct device *const *table, uint32_t count,
                                       const struct vmm_boot *boot, const char **failed);
must_check enum error device_set_init(struct device_set *set, const struct platform *platform, const char **failed);
/* The state of that device; NULL: there is none. */
void *device_set_find(struct device_set *set, const struct device *device, unsigned number);

uint64_t device_set_next_event(const struct device_set *set);
void device_set_advance(struct device_set *set);
/* Those with a lock of their own, or the others. */
void device_set_polled(struct device_set *set, uint64_t bits, bool own_lock);
/* The device's bit; 0: it has no `completed`. */
uint64_t device_set_completion(const struct device_set *set, const struct device *device, unsigned number);
void device_set_completed(struct device_set *set, unsigned vcpu, uint64_t bits);
void device_set_reset(struct device_set *set);
/* True: none has anything in flight. */
bool device_set_quiet(struct device_set *set);
void device_set_resume(struct device_set *set);

/* One section for each device. */
void device_set_save(struct device_set *set, struct stream *s);
/* A section that stream_next gave. commit false: only checks whether it could be loaded. E_UNSUPPORTED: no device of
 * that name and number, or another version; E_ARG: it makes no sense. Nothing is changed then. */
must_check enum error device_set_load(struct device_set *set, struct stream *s, const struct stream_section *section,
                                      bool commit);

#endif
