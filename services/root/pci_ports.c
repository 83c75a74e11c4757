// SPDX-License-Identifier: Apache-2.0
/* Configuration mechanism 1: an address register and a data register. See pci.h. */
#include "lib/syscall.h"
#include "services/root/hardware.h"
#include "services/root/pci.h"

#define PORT_ADDRESS 0xcf8
#define PORT_DATA    0xcfc
#define PORT_LAST    0xcff
#define ENABLE       (1u << 31)

uint32_t pci_read(uint16_t place, unsigned reg)
{
    port_out32(PORT_ADDRESS, ENABLE | (uint32_t)place << 8 | reg);
    return port_in32(PORT_DATA);
}

void pci_write(uint16_t place, unsigned reg, uint32_t value)
{
    port_out32(PORT_ADDRESS, ENABLE | (uint32_t)place << 8 | reg);
    port_out32(PORT_DATA, value);
}

bool pci_ports_open(void)
{
    static bool open;
    open = open || hardware_open(PORT_ADDRESS, PORT_LAST);
    return open;
}
