/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device that the benchmark guest (tests/bench) measures against: a port and a register that this monitor answers
 * at once, ports whose writes are doorbells, settled by ring 0, and memory whose writes are doorbells: the first of
 * them settled by ring 0 when it knows the instruction (vmm/doorbell.h), the others here. It exists only in a guest
 * whose configuration says `bench-device = yes`. Lock: the VM's.
 *
 *   port 0x5d0           read: BENCH_MAGIC, answered here
 *   port 0x5d4           write: a doorbell that is not waited for
 *   port 0x5d8           write: a doorbell that wakes the monitor's thread
 *   port 0x5dc           write: a doorbell; thread 0, in place of a service, answers it through vCPU 0's event, whose
 *                        own thread sends the interrupt BENCH_VECTOR
 *   port 0x5e0           write: the same, but the vCPU's thread comes here, and then signals thread 0
 *   page + 0x000..0x7ff  write: the doorbell that is not waited for
 *   page + 0x800         read: BENCH_MAGIC, answered here
 *   page + 0x810         write: look for other guests' registers for that many ticks (vmm/test/look.h); read, with
 *                        0x818: what was found
 *   page + 0x808         read: the host's TSC at which the guest's was 0, so that two guests' clocks can be compared
 */
#ifndef VMM_DEVICES_BENCH_H
#define VMM_DEVICES_BENCH_H

#include "mullion/types.h"
#include "vmm/devices/bus.h"
#include "vmm/devices/device.h"

#define BENCH_PORT          0x5d0u
#define BENCH_PORT_DOORBELL 0x5d4u
#define BENCH_PORT_WAKE     0x5d8u
#define BENCH_PORT_ANSWER   0x5dcu
#define BENCH_PORT_TRIP     0x5e0u
#define BENCH_VECTOR        0x41u
#define BENCH_EVENT         0x200ull /* of VMM_EVENT_INTERNAL: a question for the service */
#define BENCH_PAGE          0xfeb00000ull
#define BENCH_PAGE_DOORBELL 0x800u /* bytes from the page's start on */
#define BENCH_MAGIC         0x4843424du

/* boot_tsc is read through the pointer at each access. `event` gets bit 0 when the page's doorbell is written. One in a
 * program. */
must_check enum error bench_init(struct bus *bus, const uint64_t *boot_tsc, uint64_t event);
extern const struct device bench_device; /* with its doorbells, if the configuration wants it */

#endif
