/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's hardware, by class. The kernel gives root one handle (ROOT_SLOT_HARDWARE); root makes of it what it and
 * its services may have. What a device is, only ring 3 knows.
 */
#ifndef ROOT_HARDWARE_H
#define ROOT_HARDWARE_H

#include "mullion/boot.h"
#include "mullion/types.h"
#include "services/root/acpi.h"

/* Handles that root's tables name: hardware_init puts them there, as far as the machine has them. From the table's end,
 * where a new handle comes last. */
enum {
    ROOT_SLOT_SERIAL_PORTS = MAX_HANDLES - 8, /* of root_boot.serial_port */
    ROOT_SLOT_SERIAL_IRQ,
    ROOT_SLOT_SCREEN, /* the whole pages of root_boot.screen: to be mapped MAP_COMBINING */
};

void hardware_init(void);

/* Where ISA interrupt n is. */
extern struct isa_line isa_lines[ISA_LINES];

/* Handles, all rights; 0: it failed, and the log says why. */
uint64_t hardware_ports(uint16_t first, uint16_t last);
uint64_t hardware_memory(uint64_t base, uint64_t size, uint32_t tag);
uint64_t hardware_line(uint32_t gsi, uint32_t how, unsigned cpu);
uint64_t hardware_message(unsigned cpu);
/* Makes the ports and opens them in root itself. */
bool hardware_open(uint16_t first, uint16_t last);

#endif
