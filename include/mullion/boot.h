/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel tells the first ring-3 program, root: a read-only run of pages at ROOT_BOOT_VA, and the handles named
 * in it.
 */
#ifndef MULLION_BOOT_H
#define MULLION_BOOT_H

#include <stdint.h>
#include "mullion/abi.h"

#define ROOT_BOOT_MAGIC 0x4e4f494c4c554d31ull
#define ROOT_BOOT_VA    0x0000000000100000ull /* root itself is linked at ROOT_IMAGE_VA */
#define ROOT_IMAGE_VA   0x0000000000400000ull

/* Root's image begins with this (lib/ring3.ld): addresses from ROOT_IMAGE_VA on, whole pages. Code ends at `rodata`,
 * what is only read at `data`. */
struct root_image {
    uint64_t entry, rodata, data, end;
};

#define IOAPICS_MAX      8   /* further ones are not used */
#define BOOT_RAM_MAX     256 /* more than firmware tells of, by far: what comes behind that is left out */
#define BOOT_MODULES_MAX 64
#define BOOT_NAME_MAX    1024 /* a module's string, with its NUL; longer ones are cut, and root says so */
#define BOOT_CMDLINE_MAX 1024 /* the same of the command line */

/* Root's fixed slots. */
enum {
    ROOT_SLOT_SELF = 1, /* root's domain */
    ROOT_SLOT_HARDWARE, /* OBJ_HARDWARE */
    ROOT_SLOT_LOG,      /* OBJ_LOG */
    ROOT_SLOT_LOG_RING, /* OBJ_MEMORY, read only: struct klog_ring */
    ROOT_SLOT_POOL,     /* OBJ_MEMORY, read only: the kernel's objects and tables */
    ROOT_SLOT_SHOWN,    /* OBJ_MEMORY, read only: struct audit_view of kernel/audit_view.h, and the AMD-V bitmaps */
    ROOT_SLOT_PROGRAMS, /* OBJ_MEMORY, read and executed: a table of struct program_entry, and the files behind it */
    ROOT_SLOT_LOG_BELL, /* OBJ_IRQ: raised when the kernel's log has a new line */
    ROOT_SLOT_FIRST_FREE = 9, /* RAM and modules follow; their slots stand in the tables below */
};

/* The programs in the kernel's image: a run of whole pages that begins with a table of these; size 0 ends it. Each file
 * begins on a page of its own. The first is root, flat (struct root_image); the others are ELF files. Made by
 * tools/pack-programs.py from the list PROGRAMS in ring3.mk. */
#define PROGRAM_NAME_MAX 24
struct program_entry {
    uint32_t offset, size; /* bytes, from the table's start */
    char name[PROGRAM_NAME_MAX];
};

struct boot_ram {
    uint64_t base, size;
    uint32_t slot;
    uint32_t reserved;
};
struct boot_module {
    uint64_t base; /* host-physical */
    uint64_t size; /* bytes; the memory object covers the whole pages; 0: empty, or out of reach */
    uint32_t slot; /* 0: it has no memory object */
    uint32_t reserved;
    char name[BOOT_NAME_MAX]; /* the module's string as the loader told it: a path, and perhaps words behind it */
};

enum screen_type { SCREEN_PIXELS = 1, SCREEN_TEXT = 2, SCREEN_NONE = 0xff }; /* Multiboot2 Specification 2.0, 3.6.12 */

/* The screen, as the boot loader tells of it, byte by byte: nothing is believed unchecked. */
struct screen_facts {
    uint64_t address;              /* physical */
    uint32_t pitch, width, height; /* bytes a line; pixels, or characters */
    uint8_t bits, type;            /* a pixel's; enum screen_type */
    uint16_t reserved;
    struct {
        uint8_t position, size;
    } field[3]; /* of red, green and blue in a pixel */
};

/* What a CPU lacks so that an extension of it cannot run guests. Root has the words (services/root/lacks.c). */
enum {
    LACK_NOTHING,
    LACK_VTX,
    LACK_VTX_UNLOCKED, /* the firmware has switched it off */
    LACK_VMX_BASIC,    /* and the lowest bit of that field of the MSR IA32_VMX_BASIC */
    LACK_VMX_PIN,      /* and a control's bit: pin-based, ... */
    LACK_VMX_PROC,
    LACK_VMX_PROC2,
    LACK_VMX_EXIT,
    LACK_VMX_ENTRY,
    LACK_VMX_EPT, /* and a bit of IA32_VMX_EPT_VPID_CAP */
    LACK_SVM,
    LACK_SVM_UNLOCKED,
    LACK_SVM_NPT,
    LACK_SVM_ASIDS,
};
struct lack {
    uint8_t what, bit; /* LACK_* */
};

/* What the kernel has in force against speculation: docs/memory.md. */
#define BARRIER_PREDICTOR 1u /* forget where branches went: IBPB */
#define BARRIER_L1D       2u /* empty the L1 data cache (L1TF) */
#define BARRIER_BUFFERS \
    4u /* clear the fill, store and load buffers: VERW (MDS, TAA, MMIO stale data, RFDS; AMD: TSA) */
#define KEEP_PREDICTIONS \
    8u /* once per CPU: predictions of guests and ring 3 do not steer ring 0 (enhanced or automatic IBRS) */
#define FIX_ZENBLEED 16u /* once per CPU: a bit of AMD's DE_CFG */

/* Whole pages. */
struct root_boot {
    uint64_t magic;
    uint32_t abi_version;
    uint32_t cpu_count; /* CPUs that started; numbered 0.. */
    uint64_t tsc_khz;
    uint64_t entry_tsc;         /* TSC at the kernel's entry */
    uint64_t arch_capabilities; /* IA32_ARCH_CAPABILITIES as read; 0: the CPU does not have it */
    uint64_t ram_total;         /* bytes of usable RAM in the firmware's map */
    char backend[16];           /* "VT-x" or "AMD-V"; empty if this machine can do neither */
    struct lack lacks[2];       /* then: what is lacking for VT-x, and for AMD-V */
    char cmdline[BOOT_CMDLINE_MAX];
    uint16_t serial_port, barriers; /* of the kernel's log; 0: there is none. BARRIER_* and its kin */
    uint32_t ram_count, module_count;
    uint32_t ranges_left_out, modules_left_out; /* beyond the tables below */
    struct screen_facts screen;                 /* as told, usable or not */
    uint64_t acpi_list;                         /* physical address of the RSDT or XSDT; 0: there are no tables */
    uint64_t screen_bytes;                      /* at its address; 0: there is no screen that can be used */
    struct boot_ram ram[BOOT_RAM_MAX];
    struct boot_module module[BOOT_MODULES_MAX];
} __attribute__((aligned(4096)));

/* The kernel's log: text in a ring; `head` counts all bytes ever written. Up to `shown` the kernel itself has put them
 * on the serial port and the screen; what comes behind that, once ring 3 has taken either of them, is ring 3's to show.
 * Written by ring 0 only. */
#define KLOG_TEXT_BYTES (64 * 1024 - 64)
struct klog_ring {
    uint64_t head, shown;
    uint64_t reserved[6];
    char text[KLOG_TEXT_BYTES];
};

#endif
