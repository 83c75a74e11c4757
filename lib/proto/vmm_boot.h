/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What root hands to a monitor: fixed handle slots, fixed addresses, and control pages that both can write. Root maps
 * everything before the monitor's first thread starts; a monitor holds no handle with which it could make threads in
 * its domain or take memory.
 *
 * Threads: root creates thread 0 (devices and console input; arg = 0) and one thread per vCPU (arg = 1 + vCPU number),
 * all at the program's ELF entry, each with its own stack. The start code reads arg from rdi.
 */
#ifndef LIB_VMM_BOOT_H
#define LIB_VMM_BOOT_H

#include <stdbool.h>
#include <stdint.h>

/* Slots in the monitor's handle table. */
enum {
    VMM_SLOT_SELF = 1,      /* own domain, RIGHT_MAP */
    VMM_SLOT_EVENT,         /* thread 0 waits here; VMM_EVENT_* bits */
    VMM_SLOT_CONSOLE_EVENT, /* signal, with vmm_boot.console_bits, after writing to the channel or its words */
    VMM_SLOT_ROOT_EVENT,    /* signal, with vmm_boot.root_bits, after changing control->state */
    VMM_SLOT_MEMORY = 8,    /* guest RAM pieces: VMM_SLOT_MEMORY + i */
    VMM_SLOT_REGION = 24, /* shared regions: VMM_SLOT_REGION + i; RIGHT_READ, and RIGHT_WRITE if vmm_region.writable */
    VMM_SLOT_PEER = 32,   /* events of other guests' monitors, RIGHT_SIGNAL: VMM_SLOT_PEER_OF. A peer may set any bit
                           * of one: none does more than make thread 0 look. */
};

/* Bits of the monitor's own event. */
#define VMM_EVENT_INPUT    0x1ull /* the channel has input, or room again */
#define VMM_EVENT_CONTROL  0x2ull /* control->command changed */
#define VMM_EVENT_TIMER    0x4ull
#define VMM_EVENT_INTERNAL 0xff00ull /* for the monitor's own use between its threads */
/* A peer rings: `region` is the number that the region has in the monitor whose event it is. Rings that meet are one.
 */
#define VMM_EVENT_RING(region, vector) (1ull << (32u + (unsigned)(region)*VMM_REGION_VECTORS + (unsigned)(vector)))
#define VMM_EVENT_RINGS                0xffffffff00000000ull

/* Addresses in the monitor's domain. */
#define VMM_IMAGE_VA   0x0000000000400000ull
#define VMM_BOOT_VA    0x0000000010000000ull /* struct vmm_boot, read only */
#define VMM_CONTROL_VA 0x0000000010010000ull /* struct vmm_control, read-write */
#define VMM_CHANNEL_VA 0x0000000010020000ull /* struct guest_channel */
#define VMM_STACKS_VA \
    0x0000000011000000ull /* thread i: stack top at VMM_STACKS_VA + (i + 1) * VMM_STACK_STRIDE, 64 KiB below it mapped \
                           */
#define VMM_STACK_STRIDE 0x20000ull
#define VMM_STACK_BYTES  0x10000ull
#define VMM_STATE_VA     0x0000000012000000ull /* vCPU i's state page at + i * 4096 (made by vcpu_create) */
#define VMM_FPU_VA       0x0000000012100000ull /* likewise its struct fpu_image, where vcpu_fpu was called */
#define VMM_MODULES_VA   0x0000000020000000ull /* kernel and initrd images, read only */
#define VMM_REGIONS_VA \
    0x0000000800000000ull              /* shared region i at + i * VMM_REGION_STRIDE, with the rights of its handle */
#define VMM_REGION_STRIDE (1ull << 30) /* and the largest one */
#define VMM_GUEST_VA      0x0000001000000000ull /* guest-physical address 0 is here, read-write */

#define VMM_PIECES_MAX     16
#define VMM_MODULES_MAX    8
#define VMM_VCPUS_MAX      64
#define VMM_REGIONS_MAX    4
#define VMM_REGION_VECTORS 8u /* doorbells of a region, for each of its guests */
#define VMM_PEERS_MAX      32 /* guests of one region */
/* The event of the guest that has `number` in this guest's region i. */
#define VMM_SLOT_PEER_OF(i, number) (VMM_SLOT_PEER + (i)*VMM_PEERS_MAX + (number))

struct vmm_piece {
    uint64_t gpa, size;
}; /* memory handle VMM_SLOT_MEMORY + i, whole; already mapped at VMM_GUEST_VA + gpa */
struct vmm_module {
    uint64_t va, size;
    char cmdline[256];
};

/* Memory that this guest shares with others. Its number there, and its peers', is the place among the region's guests
 * in the configuration's order; it never changes. */
struct vmm_peer {
    uint16_t slot /* its event; 0: none */;
    uint16_t region /* the region's number there */;
};
struct vmm_region {
    char name[32];
    uint64_t size; /* a power of two, whole pages, at most VMM_REGION_STRIDE */
    uint32_t writable;
    uint32_t number;     /* this guest's own */
    uint32_t peer_count; /* this guest among them */
    uint32_t reserved;
    struct vmm_peer peer[VMM_PEERS_MAX];
};

/* What the configuration says to the monitor alone. Root copies it whole and reads none of it. A new key of this kind
 * is a field here and a row in config/keys.c. */
enum { TRIPLE_FAULT_RESETS = 0, TRIPLE_FAULT_CRASHES };
enum { LOST_TICKS_REPLAYED = 0, LOST_TICKS_DROPPED };
struct vmm_options {
    uint32_t debug_exit_port; /* 0: none. A guest's OUT there ends it; the byte is its exit code */
    uint8_t uuid[16];         /* as it is written; all 0: it follows from the guest's name */
    unsigned on_triple_fault; /* TRIPLE_FAULT_* */
    unsigned lost_ticks;      /* LOST_TICKS_* */
    bool bench_device;        /* the device that the benchmark measures is there (vmm/test/bench.h) */
};

#define VMM_CONSOLE_NONE 0
struct vmm_boot {
    uint64_t magic; /* VMM_BOOT_MAGIC */
    char name[32];
    uint32_t index; /* guest number */
    uint32_t vcpus;
    bool dedicated; /* each vCPU has a CPU for itself; else there is one, with a share */
    uint64_t memory_bytes;
    uint64_t tsc_khz;
    uint64_t arch_capabilities; /* as in struct root_boot */
    uint64_t root_bits, console_bits;
    char vendor[16]; /* backend name: "VT-x" or "AMD-V" */
    uint32_t piece_count, module_count;
    struct vmm_piece piece[VMM_PIECES_MAX];
    struct vmm_module module[VMM_MODULES_MAX]; /* 0 = kernel; Linux: 1 = initrd if present; Multiboot: 1.. = modules */
    char kernel_name[128];                     /* module 0's, as the configuration has it */
    char cmdline[2048];
    struct vmm_options options;
    uint32_t restart_count;
    uint64_t unix_seconds; /* the time of day when the monitor was started; 0: not known */
    uint32_t region_count;
    struct vmm_region region[VMM_REGIONS_MAX];
};
#define VMM_BOOT_MAGIC 0x544f4f424d4d5631ull

enum guest_state {
    GUEST_OFF = 0,  /* not started, or stopped by the user */
    GUEST_STARTING, /* the monitor loads it */
    GUEST_RUNNING,
    GUEST_POWEROFF, /* it asked for power off; exit_code holds debug-exit's byte or 0 */
    GUEST_RESET,    /* it asked for a reset */
    GUEST_CRASHED,  /* triple fault, bad state, unsupported: reason says it in words */
    GUEST_FAILED,   /* it could not be started: reason says why */
    GUEST_STATE_COUNT
};
enum guest_command {
    COMMAND_NONE = 0,
    COMMAND_STOP,   /* power button, then nothing */
    COMMAND_CRASH,  /* the monitor dereferences null: a test */
    COMMAND_RESET,  /* after GUEST_RESET: the guest may start anew in the monitor that it has */
    COMMAND_FUZZ,   /* the monitor turns hostile, for good: a test, vmm/test/fuzz.c */
    COMMAND_NMI,    /* the NMI button */
    COMMAND_BREAK,  /* a break on its serial line, and behind it the character `argument`, if that is not 0 */
    COMMAND_RELOAD, /* the monitor saves its guest, forgets it and loads it back: a test, vmm/test/reload.c */
    COMMAND_SPIN,   /* the monitor's thread 0 computes for ever: a test */
};

#define VMM_REPORT_BYTES 3072
struct vmm_control {
    _Atomic uint32_t state;   /* enum guest_state, written by the monitor */
    _Atomic uint32_t command; /* enum guest_command, written by root */
    uint32_t exit_code;
    _Atomic uint32_t resets;   /* how often the guest has asked for one: each GUEST_RESET is a new number */
    uint64_t first_entry_tsc;  /* host TSC just before the first guest instruction */
    char reason[256];          /* NUL-terminated, printable; the reader does not trust it */
    _Atomic uint32_t argument; /* of the command, written by root before it */
    uint32_t reserved;
    char report[VMM_REPORT_BYTES]; /* GUEST_CRASHED: registers, code and stack, in lines; like the reason */
};
#define VMM_CONTROL_BYTES 0x1000ull /* whole pages */
_Static_assert(sizeof(struct vmm_boot) <= 65536 && sizeof(struct vmm_control) <= VMM_CONTROL_BYTES &&
                   VMM_CONTROL_VA + VMM_CONTROL_BYTES <= VMM_CHANNEL_VA,
               "fit");
_Static_assert(VMM_REGIONS_MAX *VMM_REGION_VECTORS <= 32 && VMM_SLOT_MEMORY + VMM_PIECES_MAX <= VMM_SLOT_REGION &&
                   VMM_SLOT_REGION + VMM_REGIONS_MAX <= VMM_SLOT_PEER &&
                   VMM_REGIONS_VA + VMM_REGIONS_MAX * VMM_REGION_STRIDE <= VMM_GUEST_VA,
               "fit");

#endif
