/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole machine but its memory as a stream (vmm/stream.h): the machine's clocks, each device, each vCPU with its
 * local APIC and MSRs. What is read back goes on as what was saved would have, at whatever time that is. Left out is an
 * event whose delivery to the guest an exit has interrupted, which the kernel keeps for the next entry: that takes a
 * delivery that reads or writes what is no memory of the guest's.
 *
 * All while no vCPU thread is in the machine. Before machine_save each vCPU's own thread has called vcpu_fetch_all.
 */
#ifndef VMM_SAVE_H
#define VMM_SAVE_H

#include "mullion/types.h"
#include "vmm/machine.h"
#include "vmm/stream.h"

/* A vCPU's own thread: the whole state is in its pages then. False: the kernel refused. */
bool vcpu_fetch_all(struct vm_vcpu *v) must_check;

/* The length; 0: it does not fit into `size` bytes. */
size_t machine_save(struct vm *vm, void *bytes, size_t size);

/* Into a machine of the same shape (vCPUs, memory, devices, kind of CPU, clock rate). E_ARG: not a stream, damaged, or
 * it makes no sense; E_UNSUPPORTED: of a machine of another shape, or with a section that is not known. Then nothing
 * has changed. The guest's memory must be there already: the clock page in it is written. A vCPU takes a saved FPU if
 * its thread has called machine_fpu. */
enum error machine_restore(struct vm *vm, const void *bytes, size_t size) must_check;

#endif
