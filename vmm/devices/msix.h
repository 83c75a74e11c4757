/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MSI-X for any PCI function (PCI Local Bus 3.0, 6.8.2 and 6.8.3): the capability, the table and the pending bits,
 * which fill one page of a memory BAR. Lock: the device's own, if it has set one, else the VM's.
 *
 * A vector that is raised while it, or the whole function, is masked stays pending and is sent when the mask goes.
 * While MSI-X is off nothing is sent and nothing becomes pending. Bus mastering is not asked for: drivers forget it,
 * and it does no harm.
 */
#ifndef VMM_DEVICES_MSIX_H
#define VMM_DEVICES_MSIX_H

#include <stdatomic.h>

#include "mullion/types.h"
#include "vmm/devices/pci.h"

#define MSIX_VECTORS_MAX 64u
#define MSIX_BAR_BYTES   0x1000u
#define MSIX_PBA         0x800u /* of that page; the table is at its start */

enum {
    MSIX_ADDRESS = 0,
    MSIX_ADDRESS_HIGH,
    MSIX_DATA,
    MSIX_CONTROL,
    MSIX_WORDS
}; /* of an entry; MSIX_CONTROL's bit 0: masked */

typedef void msix_deliver(void *context, const struct interrupt_message *message);

struct msix {
    struct pci_function *function;
    struct device_lock *lock; /* the device's own, if it raises under that; NULL: the VM's */
    _Atomic uint16_t control; /* of the capability: another thread may be writing to the configuration space */
    unsigned capability, count;
    uint32_t table[MSIX_VECTORS_MAX][MSIX_WORDS];
    uint64_t pending;
    msix_deliver *deliver;
    void *context;
};

/* Before pci_add, behind pci_function_init: adds the capability, and BAR `bar` (32 bits wide) for the page, at
 * an address that pci_add finds. E_ARG: no such count or BAR; E_QUOTA: no room for the capability. */
must_check enum error msix_init(struct msix *m, struct pci_function *f, unsigned bar, unsigned count,
                                msix_deliver *deliver, void *context);
bool msix_on(const struct msix *m);
/* An interrupt for that vector. One that the function has not is ignored. */
void msix_raise(struct msix *m, unsigned vector);
/* From the function's `written`: masks may have gone. */
void msix_config_written(struct msix *m, unsigned offset, unsigned size);
/* For the device's reset, fields and loaded; the function's come first. */
void msix_reset(struct msix *m);
void msix_fields(struct msix *m, struct stream *s);
void msix_loaded(struct msix *m);

#endif
