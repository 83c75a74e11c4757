/* SPDX-License-Identifier: Apache-2.0 */
/* Where the machine's fixed parts are. The ACPI tables, the loaders and the devices all take it from here. Numbers
 * only: vmm/firmware/dsdt.asl includes it too. */
#ifndef VMM_DEVICES_LAYOUT_H
#define VMM_DEVICES_LAYOUT_H

#define LAYOUT_LOW_RAM_END    0xc0000000ull /* RAM below 4 GiB ends here at the latest; the rest goes above 4 GiB */
#define LAYOUT_PCI_MMIO_BASE  0xc0000000ull /* window for BARs */
#define LAYOUT_PCI_MMIO_LAST  0xdfffffffull
#define LAYOUT_PCI_MMIO_BYTES 0x20000000ull
/* In that window: 1 MiB for the small BARs of each slot, and from LAYOUT_PCI_LARGE on the large ones. */
#define LAYOUT_PCI_SLOT_BYTES 0x100000ull
#define LAYOUT_PCI_LARGE      0xc4000000ull
#define LAYOUT_ECAM_BASE      0xe0000000ull /* bus 0 only */
#define LAYOUT_ECAM_BYTES     0x00100000ull
#define LAYOUT_IOAPIC_BASE    0xfec00000ull
#define LAYOUT_LAPIC_BASE     0xfee00000ull

#define LAYOUT_PCI_IO_BASE  0xc000u /* window for I/O BARs */
#define LAYOUT_PCI_IO_LAST  0xefffu
#define LAYOUT_PCI_IO_BYTES 0x3000u
#define LAYOUT_PCI_IO_SLOT  0x100u /* of it for each slot */

/* Where functions stand on the bus: a device's slot follows from its kind and number, so adding one moves no other.
 * Number n of a kind is at slot FIRST + n % SLOTS, function n / SLOTS. Slots 29 and 30 stay free for hot-plug. */
#define LAYOUT_SLOT_SHARED   1u /* shared memory regions */
#define LAYOUT_SLOTS_SHARED  4u
#define LAYOUT_SLOT_OTHER    5u
#define LAYOUT_SLOTS_OTHER   3u
#define LAYOUT_SLOT_DISK     8u
#define LAYOUT_SLOTS_DISK    8u
#define LAYOUT_SLOT_NETWORK  16u
#define LAYOUT_SLOTS_NETWORK 8u
#define LAYOUT_SLOT_PASSED   24u /* the machine's own devices, given to a guest */
#define LAYOUT_SLOTS_PASSED  5u
#define LAYOUT_SLOT_ISA      31u

#define LAYOUT_PM_BASE \
    0x600u /* PM1a event block (4), control block (2) at +4, PM timer (4) at +8, GPE0 (4) at +0x20 \
                               */
#define LAYOUT_PM_BYTES    0x24u
#define LAYOUT_PM1A_EVT    (LAYOUT_PM_BASE + 0x00u)
#define LAYOUT_PM1A_CNT    (LAYOUT_PM_BASE + 0x04u)
#define LAYOUT_PM_TMR      (LAYOUT_PM_BASE + 0x08u)
#define LAYOUT_GPE0        (LAYOUT_PM_BASE + 0x20u)
#define LAYOUT_GPE0_BYTES  4u
#define LAYOUT_SLP_TYP_S5  5u
#define LAYOUT_RESET_PORT  0xcf9u /* FADT reset register; value: */
#define LAYOUT_RESET_VALUE 0x06u

#define LAYOUT_IRQ_PIT   0u
#define LAYOUT_IRQ_COM1  4u
#define LAYOUT_IRQ_RTC   8u
#define LAYOUT_IRQ_SCI   9u /* level, active high (MADT override) */
#define LAYOUT_PORT_COM1 0x3f8u
#define LAYOUT_IOAPIC_ID 0u
#define LAYOUT_PIT_PIN   2u /* ISA 0 -> GSI 2 (MADT override) */

/* The local APIC timer's input clock. Also the core crystal clock of CPUID 0x15: eax = 25000, ebx = tsc_khz, ecx =
 * 25000000; and of KVM's leaf 0x40000010: ebx = 25000. */
#define LAYOUT_LAPIC_TIMER_HZ 25000000u

#endif
