/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MSI for any PCI function (PCI Local Bus 3.0, 6.8.1): the capability with one message and a 64-bit address, without
 * masking. For a device with one interrupt; one with several uses vmm/devices/msix.h. Lock: the VM's.
 */
#ifndef VMM_DEVICES_MSI_H
#define VMM_DEVICES_MSI_H

#include "mullion/types.h"
#include "vmm/devices/pci.h"

struct msi {
    struct pci_function *function;
    unsigned capability;
};

/* Before pci_add, behind pci_function_init. E_QUOTA: no room for the capability. The state is all in the function's
 * configuration space. */
must_check enum error msi_init(struct msi *m, struct pci_function *f);
bool msi_on(const struct msi *m);
/* The message that the guest has asked for. False: MSI is off, or what it asked for is no interrupt. */
bool msi_message(const struct msi *m, struct interrupt_message *out);

#endif
