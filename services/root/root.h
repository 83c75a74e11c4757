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
#include "lib/proto/channel.h"
#include "lib/proto/control.h"
#include "lib/proto/vmm_boot.h"
#include "mullion/boot.h"
#include "mullion/types.h"
#include "services/root/placement.h"

#define ROOT_BOOT ((const struct root_boot *)ROOT_BOOT_VA)

/* Where root maps things into itself. */
#define ROOT_CONFIG_VA      0x0000000020000000ull
#define ROOT_PROGRAMS_VA    0x0000000030000000ull /* program i's file at + i * 256 MiB */
#define ROOT_PROGRAM_STRIDE 0x10000000ull
#define ROOT_SHARED_VA \
    0x0000000080000000ull /* guest n's shared pages at + n * 1 MiB; then the console's, the log, the checker's */
#define ROOT_SHARED_STRIDE 0x100000ull
#define ROOT_AUDIT_VA      (ROOT_SHARED_VA + (CONFIG_GUESTS_MAX + 2) * ROOT_SHARED_STRIDE)
#define ROOT_SCRATCH_VA    0x00000000a0000000ull /* for filling a new program's data */

/* Priorities: services before monitors before guests (mullion/abi.h: higher runs first). */
enum { PRIORITY_GUEST = 3, PRIORITY_MONITOR = 4, PRIORITY_AUDIT = 5, PRIORITY_SERVICE = 6 };

/* Bits of root's event: n: guest n's monitor has something to say, or its domain has stopped; and those below. Every
 * monitor may set them all: they are hints where to look, and prove nothing. */
#define ROOT_EVENT_CONSOLE       (1ull << 48)
#define ROOT_EVENT_CONSOLE_DEATH (1ull << 49)
#define ROOT_EVENT_AUDIT         (1ull << 50) /* the checker has answered */
#define ROOT_EVENT_AUDIT_DEATH   (1ull << 51)
_Static_assert(CONFIG_GUESTS_MAX <= 48, "the bits do not meet");

extern struct config root_config;
extern uint64_t root_event; /* handle */

/* main.c */
enum log_level { LOG_ERROR = 0, LOG_WARN, LOG_INFO, LOG_DEBUG };
void root_log(enum log_level level, const char *text, ...) print_like(2, 3);
const char *error_text(enum error e);
uint64_t ticks_of_ms(uint64_t ms);
/* Lets time pass, whatever bells are rung meanwhile. */
void root_rest(uint64_t ms);

/* ram.c: the machine's RAM. Handles returned are root's; 0: it failed (and was logged). */
void ram_init(void);
uint64_t ram_free_bytes(void);
bool ram_place_guest(uint64_t bytes, struct guest_memory *out);
uint64_t ram_place_private(uint64_t bytes);
uint64_t ram_place_region(uint64_t bytes);
/* The memory object [hpa, +size). */
uint64_t ram_carve(uint64_t hpa, uint64_t size, uint32_t tag);
/* A private run that root keeps for good, mapped at `va` in root and zeroed. */
uint64_t ram_shared(uint64_t va, uint64_t size, uint32_t tag);

/* program.c: ELF files into new domains. */
struct program;
const struct program *program_find(const char *name);
uint64_t program_entry(const struct program *p);
uint64_t program_private_bytes(const struct program *p); /* writable memory its image needs */
uint64_t program_table_pages(const struct program *p);
/* Maps the image into `domain`: read-only parts straight from the file, the rest from `memory` [offset,
 * +private_bytes). */
enum error program_load(const struct program *p, uint64_t domain, uint64_t memory, uint64_t offset) must_check;
/* Ends a service, whatever of it was made: both handles, of which either may be 0, become 0. A service has few pages:
 * destroying it is not worth steps. */
void program_unload(uint64_t *domain, uint64_t *memory);

/* guests.c */
void guests_init(void);
void guests_autostart(void);
/* Looks at the guests whose bits are set, and at deadlines; does a bounded step of what is due. Returns when it wants
 * to be called again: a TSC value (0: at once after others had a chance), NEVER. */
uint64_t guests_work(uint64_t bits);
/* None is starting or ending. */
bool guests_idle(void);
/* The shell's commands; what to answer goes through console_answer. */
void guest_start(unsigned n);
void guest_stop(unsigned n, bool at_once);
void guest_restart(unsigned n);
void guest_fault(unsigned n, bool hostile);
void guest_stats(unsigned n);
void guests_list(void);
void guests_memory(void);
/* For console.c: what a guest shares with the console. */
uint64_t guest_event(unsigned n);  /* handle */
uint64_t guest_shared(unsigned n); /* memory handle */
#define GUEST_SHARED_BOOT    0x0ull
#define GUEST_SHARED_CONTROL 0x10000ull
#define GUEST_SHARED_CHANNEL (GUEST_SHARED_CONTROL + VMM_CONTROL_BYTES)
#define GUEST_SHARED_BYTES   0x18000ull
_Static_assert(GUEST_SHARED_CHANNEL + CHANNEL_BYTES <= GUEST_SHARED_BYTES, "fits");

/* console.c */
extern uint64_t console_event; /* handle */
void console_init(void);
void console_start(void);
void console_work(uint64_t bits);
/* One line of the answer to the command being carried out; cut at CONTROL_TEXT_MAX. */
void console_answer(const char *text, ...) print_like(1, 2);
unsigned console_room(void);   /* how many lines can be answered now: more are lost */
uint64_t console_thread(void); /* handle; 0: it does not run */
void console_done(void);       /* the end of an answer that was not ready at once */
void console_note(unsigned guest, enum guest_state state, const char *text);
void console_guest_off(unsigned guest, const char *text);
void console_drain(void); /* asks it to print what it has; console_drained tells */
bool console_drained(void);

/* power.c: both return only if the machine cannot do it. */
void power_init(void);
void power_off(void);
void power_reset(void);
void power_exit(uint8_t code);
bool power_can_exit(void); /* the kernel was booted with debug-exit */

#endif
