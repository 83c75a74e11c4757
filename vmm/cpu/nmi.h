/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The NMIs of one vCPU, from their arrival until the guest has them. A CPU serves one, with all others blocked until an
 * IRET, and latches one more meanwhile; what comes beyond that is lost (Intel SDM vol. 3, 6.7.1).
 *
 * The one that is next waits in the state page's `inject`: the kernel delivers it before the first instruction that it
 * may come before. Where the kernel cannot see the end of an IRET (NMI_BY_STEP), the guest is stepped over it from
 * here: TF is set and every exception exits. The guest sees nothing of that.
 *
 * For the vCPU's own thread.
 */
#ifndef VMM_NMI_H
#define VMM_NMI_H

#include "vmm/machine.h"

/* `count` NMIs have come since the last look. */
void nmi_arrive(struct vm_vcpu *v, unsigned count);
/* With PENDING_NMI, before an entry: puts the next one where the kernel takes it, if it may wait there. */
void nmi_offer(struct vm_vcpu *v, uint64_t now);
/* Takes back what waits in `inject`, if it is an NMI: something else goes there, or the guest is not to be woken. */
void nmi_withdraw(struct vm_vcpu *v);

/* EXIT_IRET */
void nmi_iret_exit(struct vm_vcpu *v);
/* EXIT_EXCEPTION while v->step.on: the step is over. True: the guest gets that exception. */
bool nmi_stepped(struct vm_vcpu *v);

#endif
