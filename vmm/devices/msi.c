// SPDX-License-Identifier: Apache-2.0
/* See msi.h. The guest writes whatever it likes into the capability; it is read when a message goes out. */
#include "vmm/devices/msi.h"

#define CAPABILITY_ID    0x05u
#define CAPABILITY_BYTES 14u
#define CONTROL          2u /* of the capability: message control, address, its upper half, data */
#define ADDRESS          4u
#define DATA             12u
#define CONTROL_ON       0x01u
#define CONTROL_64       0x80u

enum error msi_init(struct msi *m, struct pci_function *f)
{
    static const uint8_t body[CAPABILITY_BYTES - 2] = {CONTROL_64};
    static const uint8_t writable[CAPABILITY_BYTES - 2] = {CONTROL_ON, 0,    0xfc, 0xff, 0xff, 0xff,
                                                           0xff,       0xff, 0xff, 0xff, 0xff, 0xff};
    m->function = f;
    m->capability = pci_capability(f, CAPABILITY_ID, body, writable, CAPABILITY_BYTES);
    return m->capability != 0 ? OK : E_QUOTA;
}

bool msi_on(const struct msi *m)
{
    return (pci_config16(m->function, m->capability + CONTROL) & CONTROL_ON) != 0;
}

bool msi_message(const struct msi *m, struct interrupt_message *out)
{
    uint64_t address = 0;
    for (unsigned i = 0; i < 4; i++)
        address |= (uint64_t)pci_config16(m->function, m->capability + ADDRESS + 2 * i) << (16 * i);
    return msi_on(m) && interrupt_message_of_msi(address, pci_config16(m->function, m->capability + DATA), out);
}
