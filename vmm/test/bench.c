// SPDX-License-Identifier: Apache-2.0
/* See bench.h. What it does is nothing, as fast as any device here could. */
#include "vmm/test/bench.h"
#include <stddef.h>
#include "lib/syscall.h"
#include "vmm/doorbell.h"
#include "vmm/test/look.h"

static uint64_t doorbell, answer_event, answer_bit;
static const struct platform *platform;

static void ports(void *device, uint16_t port, unsigned size, bool is_write, uint32_t *value)
{
    (void)device;
    (void)size;
    if (!is_write)
        *value = BENCH_MAGIC;
    else if (port == BENCH_PORT_TRIP)
        (void)sys_event_signal(VMM_SLOT_EVENT, BENCH_EVENT);
}

static void page(void *device, uint64_t offset, unsigned size, bool is_write, uint64_t *value)
{
    const uint64_t *boot_tsc = device;
    static struct look found;
    (void)size;
    if (is_write && offset == 0x810)
        found = look_around(*value);
    if (is_write && offset < BENCH_PAGE_DOORBELL)
        (void)sys_event_signal(doorbell, 1);
    if (is_write)
        return;
    switch (offset) {
    case 0x808: *value = *boot_tsc; break;
    case 0x80c: *value = *boot_tsc >> 32; break;
    case 0x810: *value = found.tsc_aux | (uint64_t)found.xcr0_bytes << 32; break;
    case 0x818: *value = found.xgetbv | (uint64_t)found.turns << 32; break;
    default: *value = BENCH_MAGIC; break;
    }
}

enum error bench_init(struct bus *bus, const uint64_t *boot_tsc, uint64_t event)
{
    doorbell = event;
    enum error error = bus_add_ports(bus, BENCH_PORT, BENCH_PORT_TRIP + 3, 4, ports, NULL);
    return error != OK ? error
                       : bus_add_memory(bus, BENCH_PAGE, BENCH_PAGE + 0xfff, 8, page, (void *)(uintptr_t)boot_tsc);
}

static unsigned count(const struct vmm_boot *boot)
{
    return boot->options.bench_device != 0;
}

static enum error init(void *state, const struct platform *p, unsigned number)
{
    (void)state;
    platform = p;
    answer_event = p->vcpu_event(p->context, 0);
    answer_bit = p->completion(p->context, &bench_device, number);
    struct syscall_result event = sys_event_create();
    enum error error = event.error != OK ? event.error : bench_init(p->bus, p->boot_tsc, event.value);
    if (error == OK)
        error = sys_fastpath_doorbell(p->space, FASTPATH_DOORBELL_PORT, BENCH_PORT_DOORBELL, 0, event.value, 1);
    if (error == OK)
        error = sys_fastpath_doorbell(p->space, FASTPATH_DOORBELL_PORT, BENCH_PORT_WAKE, 0, VMM_SLOT_EVENT,
                                      VMM_EVENT_INPUT);
    if (error == OK)
        error = sys_fastpath_doorbell(p->space, FASTPATH_DOORBELL_PORT, BENCH_PORT_ANSWER, 0, VMM_SLOT_EVENT,
                                      BENCH_EVENT);
    if (error == OK)
        error = doorbell_add(p->doorbells, BENCH_PAGE, event.value, 1);
    return error;
}

static void serve(void *state, uint64_t bits)
{
    (void)state;
    (void)bits;
    (void)sys_event_signal(answer_event, answer_bit);
}

static void completed(void *state, unsigned vcpu)
{
    static const struct interrupt_message message = {.vector = BENCH_VECTOR};
    (void)state;
    (void)vcpu;
    platform->message(platform->context, &message);
}

const struct device bench_device = {.name = "benchmark",
                                    .version = 1,
                                    .wakes = BENCH_EVENT,
                                    .own_lock = true,
                                    .count = count,
                                    .init = init,
                                    .polled = serve,
                                    .completed = completed};
