/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What root's files share. Root is the first ring-3 program: it reads the configuration, gives every other program
 * exactly what it may have, and watches over them. One thread, no allocation: everything here is static and bounded.
 *
 * Root never trusts what a monitor or the console writes: it copies, bounds, then uses.
 */
#ifndef ROOT_ROOT_H
#define ROOT_ROOT_H

#include "config/config.h"
#include "lib/elf.h"
#include "lib/proto/channel.h"
#include "lib/proto/records.h"
#include "lib/proto/vmm_boot.h"
#include "mullion/boot.h"
#include "mullion/types.h"
#include "services/root/placement.h"

#define ROOT_BOOT ((const struct root_boot *)ROOT_BOOT_VA)

/* Where root maps things into itself. */
#define ROOT_CONFIG_VA     0x0000000020000000ull
#define ROOT_PROGRAMS_VA   0x0000000030000000ull /* ROOT_SLOT_PROGRAMS: the table, and the files behind it */
#define ROOT_LOG_RING_VA   0x000000006ff00000ull /* struct klog_ring */
#define ROOT_SERVICES_VA   0x0000000070000000ull /* service i's shared pages at + i * ROOT_SHARED_STRIDE */
#define ROOT_SHARED_VA     0x0000000040000000ull /* guest n's shared pages at + n * ROOT_SHARED_STRIDE */
#define ROOT_SHARED_STRIDE 0x100000ull
#define ROOT_ACPI_VA       0x00000000c0000000ull /* an ACPI table while it is read */
#define ROOT_SCRATCH_VA    0x00000000a0000000ull /* for filling a new program's data */

/* Priorities: services before monitors before guests (mullion/abi.h: higher runs first). */
enum { PRIORITY_GUEST = 3, PRIORITY_MONITOR = 4, PRIORITY_AUDIT = 5, PRIORITY_SERVICE = 6 };

/* Bits of root's event: guest n's monitor has something to say, or its domain has stopped; and the same of a service.
 * Several guests share a bit: it is a hint where to look, and what there is to say stands in the guest's own control
 * page and in its domain's state. Every monitor may set all bits: that makes root look in vain, and nothing else. None
 * can take a bit away, so none can hide another's bell. */
#define ROOT_EVENT_GROUPS   32u
#define ROOT_EVENT_GUEST(n) (1ull << (n) % ROOT_EVENT_GROUPS)
#define ROOT_EVENT_SERVICES (1ull << 32)
#define ROOT_EVENT_LINE(n)  (1ull << (56 + (n))) /* the n-th interrupt line that drivers use, of 8 */

extern struct config root_config;
extern uint64_t root_event; /* handle */

/* main.c */
enum log_level { LOG_ERROR = 0, LOG_WARN, LOG_INFO, LOG_DEBUG };
void root_log(enum log_level level, const char *text, ...) print_like(2, 3);
const char *error_text(enum error e);
uint64_t ticks_of_ms(uint64_t ms);
/* Lets time pass, whatever bells are rung meanwhile. */
void root_rest(uint64_t ticks);

/* modules.c: what boot module i is called. The first word of what the loader told, its folders cut off, and what is too
 * long. */
#define MODULE_NAME_MAX 128 /* with its NUL */
const char *module_name(unsigned i);
void module_name_of(const char *told, char *out /* MODULE_NAME_MAX bytes */);

/* boot_report.c: a warning for each thing that the loader or the firmware told of and that is not used, or in part. */
void boot_report(void);

/* speculation_report.c: what this CPU needs against attacks by speculation, and gets; a line for each state. */
void speculation_report(void);

/* lacks.c: why this machine cannot run guests; one sentence. */
#define LACK_TEXT_BYTES 160
void lack_text(const struct lack lacks[2], char *out, size_t size);

/* ram.c: the machine's RAM. Handles returned are root's; 0: it failed (and was logged). */
void ram_init(void);
uint64_t ram_free_bytes(void);
bool ram_place_guest(uint64_t bytes, struct guest_memory *out);
uint64_t ram_place_private(uint64_t bytes);
uint64_t ram_place_region(uint64_t bytes);
/* The place is free again. Its memory object is destroyed, so it is zero. */
void ram_give(uint64_t hpa, uint64_t bytes);
/* The memory object [hpa, +size). */
uint64_t ram_carve(uint64_t hpa, uint64_t size, uint32_t tag);
/* A private run that root keeps for good, mapped at `va` in root and zeroed. */
uint64_t ram_shared(uint64_t va, uint64_t size, uint32_t tag);

/* program.c: ELF files into new domains. */
#define PROGRAM_SEGMENTS_MAX 8
struct program {
    const uint8_t *file; /* in root */
    uint64_t offset;     /* of the file in ROOT_SLOT_PROGRAMS */
    uint64_t entry;
    uint64_t private_bytes; /* writable memory that its image needs */
    uint64_t tables;        /* pages of tables that a mapping of its image needs at most */
    unsigned count;
    struct elf_segment segment[PROGRAM_SEGMENTS_MAX];
};
/* Maps what programs there are. False (and logged): none can be found later. */
bool programs_init(void);
/* False (and logged): there is none of that name, or it is damaged. */
bool program_find(const char *name, struct program *out);
/* Maps the image into `domain`: read-only parts straight from the file, the rest from `memory` [offset,
 * +private_bytes). */
enum error program_load(const struct program *p, uint64_t domain, uint64_t memory, uint64_t offset) must_check;

/* guests.c */
/* A guest as `section` describes it, which stays there as long as the guest does. It is off. Returns its number;
 * CONFIG_GUESTS_MAX (and logged): there are too many. One that finds no memory is there, but cannot be started. */
unsigned guest_add(const struct config_guest *section);
/* Ends it if it is on. Then its memory, its pages, its event and its number are free again: guests_work does that, in
 * steps. */
void guest_remove(unsigned n);
/* Those that the configuration wants at boot are to be started: guests_work does that. */
void guests_autostart(void);
/* Looks at the guests whose bits of root's event are set. Returns how many had nothing to say. */
unsigned guests_look(uint64_t bits);
/* Does a bounded step of what is due: destroys for half a millisecond, starts one guest at most; with `rest` neither.
 * Returns when it wants to be called again: a TSC value (0: at once after others had a chance), NEVER. */
uint64_t guests_work(bool rest);
/* Guests have come or gone since it was asked last. */
bool guests_reshaped(void);
/* None is starting or ending. */
bool guests_idle(void);
/* The shell's commands. `answer`: a note in words, which is filled. False: it was refused. */
bool guest_start(unsigned n, struct note_record *answer);
/* `seconds`: how long it has after its power button was pressed; 0: it ends at once. */
bool guest_stop(unsigned n, uint64_t seconds, struct note_record *answer);
bool guest_restart(unsigned n, struct note_record *answer);
bool guest_nmi(unsigned n, struct note_record *answer);
/* `behind`: a character that follows; 0: none. */
bool guest_break(unsigned n, uint64_t behind, struct note_record *answer);
bool guest_fault(unsigned n, uint64_t kind, struct note_record *answer); /* enum fault_kind, if it is one */
/* The machine's end, for ending.c. All power buttons are pressed, none is started any more, and what is not off at that
 * TSC is stopped. Returns how many have to go. */
unsigned guests_close(uint64_t deadline);
/* That is called off: those that still run go on. */
void guests_open(void);
/* How many still run, and their names, cut to fit: "web, batch". */
unsigned guests_left(char *names, size_t size);
/* guest_change tells of all of them again. */
void guests_tell_all(void);
/* A guest whose state has changed since it was last named here; it may be gone. False: there is none. */
bool guest_change(unsigned *n);
/* What a guest's monitor shares with root, and its channel with the console too. */
#define GUEST_SHARED_BOOT    0x0ull
#define GUEST_SHARED_CONTROL 0x10000ull
#define GUEST_SHARED_CHANNEL (GUEST_SHARED_CONTROL + VMM_CONTROL_BYTES)
#define GUEST_SHARED_REPORT  (GUEST_SHARED_CHANNEL + GUEST_CHANNEL_BYTES) /* root's alone: of its last crash, as text */
#define GUEST_SHARED_BYTES   0x18000ull
_Static_assert(GUEST_SHARED_REPORT + VMM_REPORT_BYTES <= GUEST_SHARED_BYTES, "fits");

/* console.c */
struct service;
extern struct service console_service;
void console_init(void);
/* A console that runs gets guest n's channel and event; then guests[n].served. */
void console_take_guest(unsigned n);
struct channel *console_channel(void);

/* power.c */
enum power_action { POWER_NOTHING = 0, POWER_OFF, POWER_RESET, POWER_EXIT };
void power_init(void);
bool power_can_exit(void); /* an emulator, and the kernel was booted with debug-exit */
/* Returns only if the machine cannot do it; then `why` is filled. `code`: POWER_EXIT's. */
void power_do(enum power_action action, uint8_t code, struct note_record *why);

#endif
