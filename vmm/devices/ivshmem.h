/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A region of memory that this guest shares with others, as a PCI function of the kind "ivshmem-doorbell", which guests
 * have drivers for (QEMU, docs/specs/ivshmem-spec, revision 1). Lock: its own for what is rung, so that no other device
 * waits for a bell.
 *
 *   BAR 0, 256 bytes   0 interrupt mask, 4 interrupt status, 8 this guest's number, 12 doorbell (write: peer << 16 |
 * vector) BAR 1, one page    MSI-X: VMM_REGION_VECTORS vectors BAR 2, 64 bits     the memory itself: mapped into the
 * guest while the BAR decodes, so using it makes no exit
 *
 * There is no INTx. While MSI-X is off a doorbell sets bit 0 of the interrupt status, which reading clears: a guest can
 * poll.
 *
 * A region that this guest may only read: its writes do nothing, as with a ROM. Each makes an exit, which is told of
 * once.
 */
#ifndef VMM_DEVICES_IVSHMEM_H
#define VMM_DEVICES_IVSHMEM_H

#include "lib/proto/vmm_boot.h"
#include "mullion/types.h"
#include "vmm/devices/msix.h"

#define IVSHMEM_REGISTERS_BYTES 256u
enum { IVSHMEM_MASK = 0, IVSHMEM_STATUS = 4, IVSHMEM_NUMBER = 8, IVSHMEM_DOORBELL = 12 };

struct ivshmem;
struct ivshmem_hooks {
    /* The region appears at that address of the guest's, or goes. Any error: it cannot be there. */
    enum error (*map)(void *context, const struct ivshmem *s, uint64_t gpa);
    void (*unmap)(void *context, const struct ivshmem *s, uint64_t gpa);
    /* Another guest's bell; peer and vector are in range. Called under no lock. */
    void (*ring)(void *context, const struct vmm_peer *peer, unsigned vector);
    void (*wrote)(void *context, const struct ivshmem *s,
                  uint64_t offset); /* to memory that it may only read; the first time */
};

struct ivshmem {
    struct device_lock lock; /* guards mask, status, stopped, waiting and MSI-X */
    struct pci_function function;
    struct msix msix;
    const struct vmm_region *region;
    unsigned index;  /* among this guest's regions */
    uint8_t *memory; /* where the monitor has it */
    const struct ivshmem_hooks *hooks;
    void *context;
    uint32_t mask, status;
    bool told;
    bool stopped;     /* rings from outside are kept */
    uint32_t waiting; /* by vector */
};

/* What one is made of. All that is pointed to must stay. */
struct ivshmem_parts {
    const struct vmm_region *region;
    void *memory; /* where the monitor has it */
    const struct ivshmem_hooks *hooks;
    msix_deliver *deliver;
    void *context; /* of hooks and deliver */
};

/* Puts it on the bus as the index-th of its kind. Errors: as of pci_place, pci_add,
 * pci_bar_init. */
must_check enum error ivshmem_init(struct ivshmem *s, struct pci *pci, unsigned index,
                                   const struct ivshmem_parts *parts);
/* From now on it has a lock of its own; without it, the VM's lock guards all. */
void ivshmem_own_lock(struct ivshmem *s, const struct platform *platform);
/* A peer has rung. */
void ivshmem_rung(struct ivshmem *s, unsigned vector);
/* Until ivshmem_resume a ring from outside is kept, and the guest sees nothing of it. */
void ivshmem_quiet(struct ivshmem *s);
void ivshmem_resume(struct ivshmem *s);
/* For struct device. */
void ivshmem_reset(struct ivshmem *s);
void ivshmem_fields(struct ivshmem *s, struct stream *stream);
void ivshmem_loaded(struct ivshmem *s);
/* Its memory is at that address just now. */
bool ivshmem_at(const struct ivshmem *s, uint64_t gpa);

#endif
