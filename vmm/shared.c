// SPDX-License-Identifier: Apache-2.0
/*
 * See vmm/shared.h. Where regions are first: below 4 GiB, so that guests without 64-bit addresses reach them too,
 * unless they are large; those stand above RAM, as far as the guest's CPU has addresses there.
 */
#include "vmm/shared.h"
#include "lib/log.h"
#include "vmm/devices/layout.h"
#include "vmm/machine.h"

#define LOW_REGISTERS LAYOUT_PCI_MMIO_BASE
#define LOW_MSIX      (LAYOUT_PCI_MMIO_BASE + 0x10000)
#define LOW_MEMORY    (LAYOUT_PCI_MMIO_BASE + 0x4000000)
#define LOW_MAX       0x4000000ull /* the largest region there */
#define WINDOW_ALIGN  VMM_REGION_STRIDE
#define WINDOW_BYTES  0x200000000ull /* all regions at their largest, and room to move them */
_Static_assert(LOW_MEMORY + VMM_REGIONS_MAX * LOW_MAX - 1 <= LAYOUT_PCI_MMIO_LAST,
               "they fit, each at a multiple of its size");

#define REFUSAL_LOGS  8u
#define WAKES_PER_MS  10u
#define WAKES_AT_ONCE 64u

void shared_window(const struct vm *vm, uint64_t *base, uint64_t *size)
{
    uint64_t end = GUEST_HIGH_RAM, limit = 1ull << vm->physical_bits;
    for (uint32_t i = 0; i < vm->memory.count; i++)
        if (vm->memory.piece[i].gpa + vm->memory.piece[i].size > end)
            end = vm->memory.piece[i].gpa + vm->memory.piece[i].size;
    *base = (end + WINDOW_ALIGN - 1) & ~(WINDOW_ALIGN - 1);
    uint64_t left = *base < limit ? limit - *base : 0;
    *size = vm->boot->region_count == 0 ? 0 : left < WINDOW_BYTES ? left : WINDOW_BYTES;
}

static enum error on_map(void *context, const struct ivshmem *s, uint64_t gpa)
{
    static unsigned refusals; /* under the lock */
    const struct vm *vm = context;
    if (gpa <= LAYOUT_LAPIC_BASE &&
        LAYOUT_LAPIC_BASE - gpa < s->region->size) /* what each vCPU sees there is not on the bus */
        return E_OVERLAP;
    enum error error = sys_map(vm->space, gpa, VMM_SLOT_REGION + s->index, 0, s->region->size,
                               RIGHT_READ | (s->region->writable ? RIGHT_WRITE : 0));
    if (error != OK && refusals++ < REFUSAL_LOGS)
        log_printf(VMM_SLOT_LOG, "guest %s: shared region %s cannot be at 0x%lx (error %d)\n", vm->boot->name,
                   s->region->name, gpa, (int)error);
    return error;
}

static void on_unmap(void *context, const struct ivshmem *s, uint64_t gpa)
{
    const struct vm *vm = context;
    (void)s;
    (void)sys_unmap(vm->space, gpa); /* it was mapped there, and nothing else makes it go */
}

static void on_ring(void *context, const struct vmm_peer *peer, unsigned vector)
{
    (void)context;
    if (peer->region < VMM_REGIONS_MAX)
        (void)sys_event_signal(peer->slot, VMM_EVENT_RING(peer->region, vector));
}

static void on_wrote(void *context, const struct ivshmem *s, uint64_t offset)
{
    const struct vm *vm = context;
    log_printf(VMM_SLOT_LOG,
               "guest %s: writes to shared region %s (at 0x%lx first), which it may only read: they do nothing\n",
               vm->boot->name, s->region->name, offset);
}

static const struct ivshmem_hooks hooks = {on_map, on_unmap, on_ring, on_wrote};

static void on_message(void *context, const struct interrupt_message *message)
{
    struct vm *vm = context;
    apic_set_deliver(&vm->apics, message);
}

enum error shared_init(struct vm *vm)
{
    const struct vmm_boot *b = vm->boot;
    uint64_t low = LOW_MEMORY, high, left;
    shared_window(vm, &high, &left);
    left += high; /* the window's end */
    for (unsigned i = 0; i < b->region_count && i < VMM_REGIONS_MAX; i++) {
        uint64_t size = b->region[i].size, *at = size <= LOW_MAX ? &low : &high;
        struct ivshmem_place place = {LOW_REGISTERS + i * PAGE_SIZE, LOW_MSIX + i * PAGE_SIZE,
                                      (*at + size - 1) & ~(size - 1)};
        if (size > LOW_MAX && (place.memory >= left || size > left - place.memory))
            place.memory = 0;
        else
            *at = place.memory + size;
        enum error error = ivshmem_init(&vm->shared[i], &vm->pci, i, &b->region[i],
                                        (void *)(VMM_REGIONS_VA + i * VMM_REGION_STRIDE), &place, &hooks, on_message,
                                        vm);
        if (error != OK)
            return error;
    }
    return OK;
}

void shared_rung(struct vm *vm, uint64_t bits)
{
    vm_lock(vm);
    for (uint64_t left = (bits & VMM_EVENT_RINGS) >> 32; left != 0; left &= left - 1) {
        unsigned n = (unsigned)__builtin_ctzll(left), region = n / VMM_REGION_VECTORS;
        if (region < vm->boot->region_count)
            ivshmem_rung(&vm->shared[region], n % VMM_REGION_VECTORS);
    }
    vm_unlock(vm);
}

void shared_pay_wake(struct vm *vm)
{
    static uint64_t paid; /* until then; thread 0's alone */
    if (vm->boot->region_count == 0)
        return;
    uint64_t now = tsc_now(), each = vm->boot->tsc_khz / WAKES_PER_MS;
    paid = (paid > now ? paid : now) + each;
    if (paid - now > WAKES_AT_ONCE * each) /* nobody signals this event any more: it is a pause */
        (void)sys_event_wait(atomic_load(&vm->lock.thread[0].event), THREAD_EVENT_GO, paid - WAKES_AT_ONCE * each);
}

enum shared_access shared_access(struct vm *vm, uint64_t gpa, bool write)
{
    enum shared_access result = SHARED_NONE;
    vm_lock(vm);
    for (unsigned i = 0; i < vm->boot->region_count && i < VMM_REGIONS_MAX; i++)
        if (ivshmem_at(&vm->shared[i], gpa))
            result = write && !vm->boot->region[i].writable ? SHARED_REFUSED : SHARED_AGAIN;
    vm_unlock(vm);
    return result;
}
