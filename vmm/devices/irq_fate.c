// SPDX-License-Identifier: Apache-2.0
/* What has become of an ISA line's last rise; see irq.h. */
#include "vmm/devices/ioapic.h"
#include "vmm/devices/lapic.h"
#include "vmm/devices/layout.h"
#include "vmm/devices/pic.h"

enum irq_fate irq_router_fate(const void *router, unsigned gsi)
{
    const struct irq_router *r = router;
    enum irq_fate first = r->pic && gsi < 16 ? pic_fate(r->pic, gsi) : IRQ_MASKED;
    uint8_t vector;
    if (first == IRQ_WAITS || !r->ioapic ||
        !ioapic_vector(r->ioapic, gsi == LAYOUT_IRQ_PIT ? LAYOUT_PIT_PIN : gsi, &vector))
        return first;
    return r->apics != NULL && apic_set_asks(r->apics, vector) ? IRQ_WAITS : IRQ_TAKEN;
}
