// SPDX-License-Identifier: Apache-2.0
/* Where interrupt lines go, and what an MSI means; see irq.h. */
#include "vmm/devices/irq.h"

#include "vmm/devices/ioapic.h"
#include "vmm/devices/layout.h"
#include "vmm/devices/pic.h"

bool interrupt_message_of_msi(uint64_t address, uint32_t data, struct interrupt_message *out)
{
    if ((address & ~0xfffffull) != LAYOUT_LAPIC_BASE)
        return false;
    bool level_triggered = (data >> 15 & 1) != 0, assert = (data >> 14 & 1) != 0;
    *out = (struct interrupt_message){
        .dest = (uint32_t)(address >> 12) & 0xff,
        .dest_logical = (address >> 2 & 1) != 0,
        .delivery_mode = (uint8_t)(data >> 8 & 7),
        .vector = (uint8_t)data,
        .level_triggered = level_triggered,
        .level = assert || !level_triggered,
    };
    return true;
}

void irq_router_gsi(void *router, unsigned gsi, bool level)
{
    struct irq_router *r = router;
    if (gsi >= GSI_COUNT || gsi == 2)
        return;
    if (gsi < 16 && r->pic)
        pic_set(r->pic, gsi, level);
    if (r->ioapic)
        ioapic_set(r->ioapic, gsi == LAYOUT_IRQ_PIT ? LAYOUT_PIT_PIN : gsi, level);
}
