/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's PCI functions. Their configuration space is root's alone: a driver asks root (services/root/driver.h).
 * At the start no function may master the bus or raise an interrupt, whatever firmware left on; bridges stay as they
 * are. Sources: PCI Local Bus Specification 3.0, chapter 6; PCI Express Base Specification 4.0, 7.5 and 7.7.
 */
#ifndef ROOT_PCI_H
#define ROOT_PCI_H

#include "mullion/types.h"

#define PCI_FUNCTIONS_MAX 64
#define PCI_BARS          6

struct pci_bar {
    uint64_t base, size; /* bytes; size 0: there is none, or firmware gave it no address */
    bool ports;          /* I/O ports; else memory */
    bool combining;      /* memory whose writes may be gathered: "prefetchable" */
};

struct pci_function {
    uint16_t place; /* bus << 8 | device << 3 | function */
    uint16_t vendor, device;
    uint32_t class;                 /* class << 16 | subclass << 8 | interface */
    uint8_t pin;                    /* 1..4: INTA to INTD; 0: it raises no line */
    uint8_t line;                   /* ISA interrupt that firmware has routed the pin to */
    uint8_t msi, msix, express;     /* where its capabilities are; 0: it has not got that */
    bool has_reset;                 /* function-level reset */
    uint8_t table_bar;              /* of MSI-X: its table is in that BAR... */
    uint32_t table_at, table_bytes; /* ...there */
    struct pci_bar bar[PCI_BARS];
    const char *owner; /* the service that drives it, in words; NULL: none */
};

/* pci_ports.c: a 32-bit register of the configuration space; `reg` is a multiple of four. */
uint32_t pci_read(uint16_t place, unsigned reg);
void pci_write(uint16_t place, unsigned reg, uint32_t value);
/* Opens the ports for that; the reset control register, 0xcf9, is among them. False: root cannot have them. */
bool pci_ports_open(void);

/* Finds all functions and quiets them. */
void pci_init(void);
unsigned pci_count(void);
struct pci_function *pci_function(unsigned n);
/* The n-th (from 0) with these numbers that has no owner yet. NULL: there is none. */
struct pci_function *pci_find(uint16_t vendor, uint16_t device, unsigned n);

/* What a driver may ask for. */
void pci_master(struct pci_function *f, bool on);
void pci_use_line(struct pci_function *f);
/* False: it cannot raise interrupts by message. `message`: as QUERY_IRQ_MESSAGE tells it. */
bool pci_use_message(struct pci_function *f, uint64_t message);
/* What stands in its registers now. */
bool pci_is_master(const struct pci_function *f);
bool pci_uses_message(const struct pci_function *f);
/* No interrupt, no bus mastering. */
void pci_silence(struct pci_function *f);
/* Begins a function-level reset: the function may not be touched for PCI_RESET_MS. Then pci_restore. False: it has
 * none. */
#define PCI_RESET_MS 100
bool pci_reset(struct pci_function *f);
void pci_restore(struct pci_function *f);

#endif
