/*
 * Settles one exit of a vCPU. Unknown means that the guest stops with a reason, or gets the fault that hardware would give.
 */
#ifndef VMM_EXITS_H
#define VMM_EXITS_H

#include "vmm/machine.h"

void exits_handle(struct vm_vcpu *v);

/* Makes these state groups good in the page. False: the kernel refused, and the guest has been ended. */
bool exits_need(struct vm_vcpu *v, uint32_t groups);

/* Paravirtual calls (Linux Documentation/virt/kvm/x86/hypercalls.rst): number in rax, arguments in rbx, rcx, rdx, rsi; the
 * result for rax. */
uint64_t hypercall(struct vm_vcpu *v, uint64_t number, const uint64_t argument[4]);

#endif
