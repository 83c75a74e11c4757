/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Driver services: a service (services/root/service.h) that has a PCI function. It gets its registers, an interrupt by
 * message where the device can, memory for DMA, and asks root for what concerns the bus (lib/proto/driver_boot.h).
 *
 * An interrupt line goes through root, since several functions may share it: root tells all drivers on it, and unmasks
 * it when all have answered. One that has not answered in time has its device silenced, and is started again; the
 * others go on. A driver that dies has its device silenced before anything else of it is given up.
 */
#ifndef ROOT_DRIVER_H
#define ROOT_DRIVER_H

#include "lib/proto/driver_boot.h"
#include "lib/proto/records.h"
#include "services/root/pci.h"
#include "services/root/service.h"

struct driver_row {
    struct service_row service; /* made by DRIVER_SERVICE */
    uint16_t vendor, device;
    uint32_t role;       /* which of them, from 0, when there are several; and driver_boot.role */
    uint32_t device_tag; /* TAG_DEVICE(n), which `service.may` names */
    uint64_t dma_bytes;  /* whole pages */
};

struct driver {
    struct service service; /* first: service.c knows this alone */
    const struct driver_row *row;
    struct pci_function *function;
    uint64_t message;             /* handle; 0: none */
    uint64_t bar[DRIVER_BARS][2]; /* handles: memory below and above the hole, or ports */
    uint64_t dma_hpa, dma;        /* its place, for good; handle while the driver lives */
    uint32_t answered;            /* requests so far */
    unsigned line;                /* 1 + index of the line it is on; 0: none */
    uint32_t line_asked;
    uint64_t reset_until; /* TSC; 0: no reset goes on */
    struct driver *next;
};

/* The parts of a service_row that all drivers share; its `give` is driver_give, or calls it. */
#define DRIVER_SERVICE                                                                                                \
    .start = SERVICE_AT_BOOT, .priority = PRIORITY_SERVICE, .stack_top = DRIVER_STACK_TOP,                            \
    .stack_bytes = DRIVER_STACK_BYTES, .shared_bytes = 2 * PAGE_SIZE, .quota_pages = 64, .grants = driver_grants,     \
    .grant_count = DRIVER_GRANTS, .mappings = driver_mappings, .mapping_count = DRIVER_MAPPINGS, .fill = driver_fill, \
    .died = driver_died
#define DRIVER_GRANTS   3
#define DRIVER_MAPPINGS 2
extern const struct service_grant driver_grants[DRIVER_GRANTS];
extern const struct service_mapping driver_mappings[DRIVER_MAPPINGS];
void driver_fill(struct service *s);
enum error driver_give(struct service *s);
void driver_died(struct service *s);

/* Adds the service, if the machine has such a function that no driver has yet. False: it has not. */
bool driver_add(struct driver *d, const struct driver_row *row);
/* Requests, lines and deadlines. `bits`: of root's event. The next deadline; NEVER. */
uint64_t drivers_work(uint64_t bits);
/* Of a device_record: whether its driver runs, and which interrupt it uses. */
void driver_report(const struct pci_function *f, struct device_record *out);

#endif
