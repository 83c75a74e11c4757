// SPDX-License-Identifier: Apache-2.0
/*
 * What a guest's operating system learns of the machine beyond the fixed tables (ACPI 6.4, chapters 5, 6 and 19). The
 * build runs it through the C preprocessor, so the addresses come from vmm/devices/layout.h, and compiles it with iasl.
 * The monitor sets the numbers whose names begin with MUL (vmm/firmware/acpi.c) before the guest starts.
 */
#include "vmm/devices/layout.h"

/* One slot's interrupt pins. No link devices: the last number is the interrupt itself. INTA..INTD of slot s are
 * (s + 0) % 4 .. (s + 3) % 4 after LAYOUT_PCI_GSI: vmm/devices/pci.c does the same. */
#define PINS(slot, a, b, c, d)                                                               \
    Package () { 0x##slot##FFFF, 0, Zero, a }, Package () { 0x##slot##FFFF, 1, Zero, b },    \
    Package () { 0x##slot##FFFF, 2, Zero, c }, Package () { 0x##slot##FFFF, 3, Zero, d }
#define PINS0(slot) PINS (slot, 16, 17, 18, 19)
#define PINS1(slot) PINS (slot, 17, 18, 19, 16)
#define PINS2(slot) PINS (slot, 18, 19, 16, 17)
#define PINS3(slot) PINS (slot, 19, 16, 17, 18)

/* A CPU: there if its number, which is its _UID and its processor id in MADT, is below MULC (8.4, ACPI0007). */
#define CPU(n)                                             \
    Device (CP##n)                                         \
    {                                                      \
        Name (_HID, "ACPI0007")                            \
        Name (_UID, 0x##n)                                 \
        Method (_STA, 0, NotSerialized)                    \
        {                                                  \
            If (LLess (0x##n, MULC)) { Return (0x0F) }     \
            Return (Zero)                                  \
        }                                                  \
    }
#define CPUS(n) CPU (n##0) CPU (n##1) CPU (n##2) CPU (n##3) CPU (n##4) CPU (n##5) CPU (n##6) CPU (n##7) \
    CPU (n##8) CPU (n##9) CPU (n##A) CPU (n##B) CPU (n##C) CPU (n##D) CPU (n##E) CPU (n##F)

DefinitionBlock ("dsdt.aml", "DSDT", 2, "MULLIO", "MULLION ", 1)
{
    Name (MULB, 0x1111111111111111) /* the PCI window above RAM: base */
    Name (MULS, 0x2222222222222222) /* and size; 0: there is none */
    Name (MULC, 0x3333333333333333) /* how many CPUs there are */

    Scope (\_SB)
    {
        Device (PCI0)
        {
            Name (_HID, EisaId ("PNP0A08"))
            Name (_CID, EisaId ("PNP0A03"))
            Name (_UID, Zero)
            Name (_SEG, Zero)
            Name (_BBN, Zero)
            Name (CRSL, ResourceTemplate ()
            {
                WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode, 0, 0, 0, 0, 1)
                IO (Decode16, 0xCF8, 0xCF8, 1, 8)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
                    0, LAYOUT_PCI_IO_BASE, LAYOUT_PCI_IO_LAST, 0, LAYOUT_PCI_IO_BYTES)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
                    0, LAYOUT_PCI_MMIO_BASE, LAYOUT_PCI_MMIO_LAST, 0, LAYOUT_PCI_MMIO_BYTES)
            })
            Name (CRSH, ResourceTemplate ()
            {
                QWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
                    0, 0x100000000, 0x1FFFFFFFF, 0, 0x100000000) /* set below */
            })
            Method (_CRS, 0, Serialized)
            {
                If (LEqual (MULS, Zero))
                {
                    Return (CRSL)
                }
                /* Bytes of the descriptor: minimum, maximum, length (6.4.3.5.1). */
                CreateQWordField (CRSH, 14, FRST)
                CreateQWordField (CRSH, 22, LAST)
                CreateQWordField (CRSH, 38, SIZE)
                Store (MULB, FRST)
                Store (MULS, SIZE)
                Store (Subtract (Add (MULB, MULS), One), LAST)
                Return (ConcatenateResTemplate (CRSL, CRSH))
            }
            /* Firmware uses none of what an operating system may ask for (PCI Firmware 3.2, 4.5.1): it gets all that
             * this machine's revision of the list names. */
            Method (_OSC, 4, Serialized)
            {
                CreateDWordField (Arg3, 0, STAT)
                If (LNotEqual (Arg0, ToUUID ("33DB4D5B-1FF7-401C-9657-7441C03DD766")))
                {
                    Or (STAT, 0x04, STAT) /* not this UUID */
                    Return (Arg3)
                }
                If (LOr (LNotEqual (Arg1, One), LLess (Arg2, 3)))
                {
                    Or (STAT, 0x08, STAT) /* not this revision */
                    Return (Arg3)
                }
                CreateDWordField (Arg3, 8, CTRL)
                And (CTRL, 0x3F, Local0)
                If (LNotEqual (CTRL, Local0))
                {
                    Or (STAT, 0x10, STAT) /* some bits are not granted */
                }
                Store (Local0, CTRL)
                Return (Arg3)
            }
            Name (_PRT, Package ()
            {
                PINS1 (01), PINS2 (02), PINS3 (03), PINS0 (04), PINS1 (05), PINS2 (06), PINS3 (07),
                PINS0 (08), PINS1 (09), PINS2 (0A), PINS3 (0B), PINS0 (0C), PINS1 (0D), PINS2 (0E), PINS3 (0F),
                PINS0 (10), PINS1 (11), PINS2 (12), PINS3 (13), PINS0 (14), PINS1 (15), PINS2 (16), PINS3 (17),
                PINS0 (18), PINS1 (19), PINS2 (1A), PINS3 (1B), PINS0 (1C), PINS1 (1D), PINS2 (1E), PINS3 (1F)
            })
        }

        /* Operating systems believe MCFG only if the window is claimed here (PCI Firmware 3.2, 4.1.2). The ports of
         * ACPI's own registers; the reset register is among the host bridge's. */
        Device (MBRD)
        {
            Name (_HID, EisaId ("PNP0C02"))
            Name (_UID, Zero)
            Name (_CRS, ResourceTemplate ()
            {
                Memory32Fixed (ReadWrite, LAYOUT_ECAM_BASE, LAYOUT_ECAM_BYTES)
                IO (Decode16, LAYOUT_PM_BASE, LAYOUT_PM_BASE, 1, LAYOUT_PM_BYTES)
            })
        }

        CPUS (0)
        CPUS (1)
        CPUS (2)
        CPUS (3)

        Device (COM1)
        {
            Name (_HID, EisaId ("PNP0501"))
            Name (_UID, One)
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, LAYOUT_PORT_COM1, LAYOUT_PORT_COM1, 1, 8)
                IRQNoFlags () { LAYOUT_IRQ_COM1 }
            })
        }

        Device (RTC)
        {
            Name (_HID, EisaId ("PNP0B00"))
            Name (_UID, Zero)
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x70, 0x70, 1, 2)
                IRQNoFlags () { LAYOUT_IRQ_RTC }
            })
        }
    }

    Name (\_S5, Package () { LAYOUT_SLP_TYP_S5, LAYOUT_SLP_TYP_S5, Zero, Zero })
}
