// SPDX-License-Identifier: Apache-2.0
/* See vmm/shared.h. */
#include "vmm/shared.h"
#include "vmm/devices/layout.h"
#include "vmm/machine.h"

#define WINDOW_ALIGN  VMM_REGION_STRIDE
#define WINDOW_BYTES  0x200000000ull /* all regions at their largest, and room to move them */
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
    *size = vm->boot->region_count != 0 ? min_u64(left, WINDOW_BYTES) : 0;
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
        vm_say(vm, "shared region %s cannot be at 0x%lx (error %d)", s->region->name, gpa, (int)error);
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
    vm_say(vm, "writes to shared region %s (at 0x%lx first), which it may only read: they do nothing", s->region->name,
           offset);
}

static const struct ivshmem_hooks hooks = {on_map, on_unmap, on_ring, on_wrote};

static unsigned count(const struct vmm_boot *boot)
{
    return boot->region_count < VMM_REGIONS_MAX ? boot->region_count : VMM_REGIONS_MAX;
}

static enum error init(void *state, const struct platform *p, unsigned number)
{
    struct vm *vm = p->context;
    vm->shared[number] = state;
    enum error error = ivshmem_init(
        state, p->pci, number,
        &(struct ivshmem_parts){.region = &p->boot->region[number],
                                .memory = (void *)(VMM_REGIONS_VA + number * VMM_REGION_STRIDE),
                                .hooks = &hooks,
                                .deliver = p->message,
                                .context = vm});
    if (error == OK)
        ivshmem_own_lock(state, p);
    return error;
}

static void reset(void *state)
{
    ivshmem_reset(state);
}

static bool quiet(void *state)
{
    ivshmem_quiet(state);
    return true;
}

static void resume(void *state)
{
    ivshmem_resume(state);
}

static void polled(void *state, uint64_t bits)
{
    struct ivshmem *s = state;
    for (unsigned vector = 0; vector < VMM_REGION_VECTORS; vector++)
        if (bits & VMM_EVENT_RING(s->index, vector))
            ivshmem_rung(s, vector);
}

static void fields(void *state, struct stream *s)
{
    ivshmem_fields(state, s);
}

static void loaded(void *state)
{
    ivshmem_loaded(state);
}

const struct device shared_device = {.name = "shared memory",
                                     .version = 1,
                                     .bytes = sizeof(struct ivshmem),
                                     .wakes = VMM_EVENT_RINGS,
                                     .own_lock = true,
                                     .count = count,
                                     .init = init,
                                     .reset = reset,
                                     .quiet = quiet,
                                     .resume = resume,
                                     .polled = polled,
                                     .fields = fields,
                                     .loaded = loaded};

void shared_pay_wake(struct vm *vm)
{
    static uint64_t paid; /* until then; thread 0's alone */
    if (vm->boot->region_count == 0)
        return;
    uint64_t now = tsc_now(), each = vm->boot->tsc_khz / WAKES_PER_MS;
    paid = (paid > now ? paid : now) + each;
    if (paid - now > WAKES_AT_ONCE * each) /* this event is not signalled any more: it is a pause */
        (void)sys_event_wait(atomic_load(&vm->lock.thread[0].event), THREAD_EVENT_GO, paid - WAKES_AT_ONCE * each);
}

enum shared_access shared_access(struct vm *vm, uint64_t gpa, bool write)
{
    enum shared_access result = SHARED_NONE;
    vm_lock(vm);
    for (unsigned i = 0; i < vm->boot->region_count && i < VMM_REGIONS_MAX; i++)
        if (ivshmem_at(vm->shared[i], gpa))
            result = write && !vm->boot->region[i].writable ? SHARED_REFUSED : SHARED_AGAIN;
    vm_unlock(vm);
    return result;
}
