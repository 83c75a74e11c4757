// SPDX-License-Identifier: Apache-2.0
/*
 * The KVM paravirtual calls that our CPUID can announce; everything else is -ENOSYS, as KVM answers. See
 * vmm/cpu/exits.h.
 */
#include "vmm/cpu/exits.h"

#define KVM_ENOSYS            1000u
#define KVM_HC_VAPIC_POLL_IRQ 1u
#define KVM_HC_KICK_CPU       5u
#define KVM_HC_SEND_IPI       10u

/* rbx, rcx: a bitmap of 128 APIC ids from rdx on; rsi: the ICR's low half. Returns how many CPUs were reached. */
static uint64_t send_ipi(struct vm_vcpu *v, const uint64_t a[4])
{
    struct vm *vm = v->vm;
    struct interrupt_message m = {.wide = true, .delivery_mode = (uint8_t)(a[3] >> 8 & 7), .vector = (uint8_t)a[3]};
    if (m.delivery_mode != DELIVER_FIXED && m.delivery_mode != DELIVER_NMI)
        return 0 - (uint64_t)22; /* EINVAL */
    uint64_t sent = 0;
    for (uint64_t i = 0; i < 128; i++) {
        if (!(a[i / 64] >> (i % 64) & 1))
            continue;
        uint64_t id = a[2] + i;
        if (id < i || id >= vm->vcpus)
            continue;
        m.dest = (uint32_t)id;
        apic_set_deliver(&vm->apics, &m);
        sent++;
    }
    return sent;
}

uint64_t hypercall(struct vm_vcpu *v, uint64_t number, const uint64_t argument[4])
{
    switch (number) {
    case KVM_HC_VAPIC_POLL_IRQ: /* "have a look": the way back does */ return 0;
    case KVM_HC_KICK_CPU:
        if (argument[1] < v->vm->vcpus) {
            atomic_store(&v->vm->vcpu[argument[1]].unhalt, true);
            vm_kick(v->vm, (unsigned)argument[1]);
        }
        return 0;
    case KVM_HC_SEND_IPI: return send_ipi(v, argument);
    default: return 0 - (uint64_t)KVM_ENOSYS;
    }
}
