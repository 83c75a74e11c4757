/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCI bus 0: configuration mechanism 1 (0xcf8/0xcfc), the ECAM window, a host bridge at 00:00.0 and an ISA bridge at
 * 00:1f.0 (PCI Local Bus 3.0, chapter 6; PCI Express base, 7.2.2). Lock: the VM's.
 *
 * A function is a 256-byte configuration space with masks that say which bits the guest may write, up to six BARs whose
 * handlers are put on the bus while the command register decodes them, and a hook that hears of every write. Writes
 * never reach past the space.
 */
#ifndef VMM_DEVICES_PCI_H
#define VMM_DEVICES_PCI_H

#include <stdbool.h>
#include <stdint.h>

#include "mullion/types.h"
#include "vmm/devices/bus.h"
#include "vmm/devices/device.h"
#include "vmm/devices/irq.h"

#define PCI_CONFIG_BYTES         256u
#define PCI_FUNCTIONS_MAX        64u
#define PCI_ALLOCATE             UINT64_MAX /* instead of a BAR's address */
#define PCI_BARS                 7u
#define PCI_ROM                  6u                   /* the option ROM among the BARs */
#define PCI_INTX_GSI(pin_number) (16u + (pin_number)) /* INTA (0) .. INTD of slot 0; slot s, pin p: (s + p) % 4 */

enum pci_bar_kind {
    PCI_BAR_NONE = 0,
    PCI_BAR_IO,
    PCI_BAR_MEM32,
    PCI_BAR_MEM64,
    PCI_BAR_UPPER /* high half of the one before */
};

struct pci_bar {
    uint8_t kind;
    bool prefetchable, mapped, allocate;
    uint64_t size, base;       /* base: where it is mapped now */
    bus_port_handler port;     /* called with the absolute port; subtract bar->base */
    bus_memory_handler memory; /* called with the offset */
    void *device;
    /* For a memory BAR behind which there is memory, which the guest uses without exits; else NULL. It is where the
     * guest has put it from `appear` on, which may refuse the place, until `disappear`. */
    enum error (*appear)(void *device, uint64_t base);
    void (*disappear)(void *device, uint64_t base);
};

struct pci;
struct pci_function {
    uint8_t config[PCI_CONFIG_BYTES];
    uint8_t writable[PCI_CONFIG_BYTES]; /* bits the guest may write */
    uint8_t clear[PCI_CONFIG_BYTES];    /* bits that a written 1 clears */
    uint8_t power_on[PCI_CONFIG_BYTES]; /* what pci_add found in config */
    struct pci_bar bar[PCI_BARS];
    const uint8_t *rom;
    struct pci *pci;
    uint8_t devfn, capability_end; /* first free byte for capabilities */
    uint8_t to_map;                /* bit i: BAR i was on the bus when this state was saved */
    bool intx;
    void (*written)(void *context, unsigned offset, unsigned size); /* after the write; NULL: not wanted */
    void (*reading)(void *context, unsigned offset, unsigned size); /* before a read, to refresh bytes */
    void *context;
};

struct pci {
    struct bus *bus;
    struct irq_sink irq;
    uint32_t address; /* 0xcf8 */
    uint8_t count;
    struct pci_function *function[PCI_FUNCTIONS_MAX];
    uint64_t intx_lines[4]; /* bit i: function i asserts */
    /* What pci_add has allocated. */
    uint32_t slot_used[32]; /* bytes of each slot's part of the window below 4 GiB */
    uint16_t io_used[32];
    uint64_t large_next, high_next, high_end;
    struct pci_function host, isa;
};

must_check enum error pci_init(struct pci *pci, struct bus *bus, const struct irq_sink *irq);
/* The window for large BARs above RAM, before any device is added; size 0 (as at first): there is none. */
void pci_window(struct pci *pci, uint64_t base, uint64_t size);

/* Where the number-th device of a kind is: devfn. E_QUOTA: there are no more places for that kind. */
enum pci_kind { PCI_KIND_SHARED, PCI_KIND_OTHER, PCI_KIND_DISK, PCI_KIND_NETWORK, PCI_KIND_PASSED, PCI_KINDS };
must_check enum error pci_place(enum pci_kind kind, unsigned number, uint8_t *devfn);
/* What a function says that it is. */
struct pci_identity {
    uint16_t vendor, device, subsystem_vendor, subsystem;
    uint32_t class_code; /* 24 bits */
    uint8_t revision;
};
/* Fills ids and class, makes the command register writable. */
void pci_function_init(struct pci_function *f, const struct pci_identity *id);
/* Before pci_add. Of `bar`: kind, prefetchable, size, port or memory, device, and perhaps appear and disappear. size: a
 * power of two; memory >= 16, I/O 4..256. MEM64 takes index and index + 1. address: first value (0: unassigned), or
 * PCI_ALLOCATE: pci_add finds one, by the slot if the BAR is small (I/O; 32 bits wide and at most 64 KiB), else in the
 * order of adding, below 4 GiB or, if it is larger than 64 MiB, above RAM. Where there is no room it stays unassigned.
 */
must_check enum error pci_bar_init(struct pci_function *f, unsigned index, uint64_t address, const struct pci_bar *bar);
/* Before pci_add: an option ROM. size: a power of two from 2 KiB to 64 KiB; rom[0..size) must stay. It answers once the
 * guest has switched it on. */
must_check enum error pci_rom_init(struct pci_function *f, const uint8_t *rom, uint64_t size);
/* Adds a capability of `bytes` (its id and next pointer included; `body` is what follows those two). Returns its
 * offset, 0: no room. */
unsigned pci_capability(struct pci_function *f, uint8_t id, const uint8_t *body, const uint8_t *writable_body,
                        unsigned bytes);
/* Puts the function at devfn (device << 3 | function) of bus 0. interrupt_pin: 0 none, 1 INTA... The function must stay
 * where it is. */
must_check enum error pci_add(struct pci *pci, struct pci_function *f, uint8_t devfn, unsigned interrupt_pin);
void pci_intx(struct pci_function *f, bool level); /* level-triggered, shared */

/* For fields and loaded of the device that a function belongs to (vmm/devices/device.h). The host bridge, which comes
 * first, resets the configuration space of all functions, and takes all BARs off the buses when a state is loaded. */
void pci_function_fields(struct pci_function *f, struct stream *s);
void pci_function_loaded(struct pci_function *f);

extern const struct device pci_device;

static inline uint16_t pci_config16(const struct pci_function *f, unsigned offset)
{
    return offset + 1 < PCI_CONFIG_BYTES ? (uint16_t)(f->config[offset] | f->config[offset + 1] << 8)
                                         : (uint16_t)0xffff;
}

#endif
