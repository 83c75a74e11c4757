/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the console's files share: terminal.c (what is shown), sources.c (the kernel's log and the guests' channels),
 * ask.c (the conversation with root), guests.c (what root has said of each guest), shell.c (keys and commands), main.c
 * (the loop).
 *
 * The terminal is in one of two modes. Shell: lines of all sources, and below them the prompt, drawn again when nothing
 * has come for a moment. Attached: one guest's bytes as they are, both ways; the others' lines are kept for `log`
 * meanwhile. When that guest goes off, the terminal is the shell's again, but keys are dropped until the operator asks
 * for it: gate.h.
 */
#ifndef CONSOLE_CONSOLE_H
#define CONSOLE_CONSOLE_H

#include "lib/proto/channel.h"
#include "lib/proto/console_boot.h"
#include "lib/proto/records.h"
#include "services/console/editor.h"
#include "services/console/gate.h"
#include "services/console/lines.h"
#include "services/console/scrollback.h"

#define BOOT    ((const struct console_boot *)CONSOLE_BOOT_VA)
#define CONTROL ((struct channel *)CONSOLE_CONTROL_VA)
#define KLOG    ((const struct klog_ring *)CONSOLE_LOG_RING_VA)

#define NO_GUEST (~0u)
#define BACKLOG_MAX \
    2048u           /* a source is read while no more than this waits for the wire: so typing is answered at once */
#define IDLE_MS 200 /* an unfinished line is shown after */

/* Sources of lines, struct lines. */
#define HOST_SOURCE       0u /* the kernel's log: what the kernel and root say */
#define GUEST_SOURCE(n)   (1u + 2u * (n))
#define MONITOR_SOURCE(n) (2u + 2u * (n)) /* what that guest's monitor has to say */
_Static_assert(MONITOR_SOURCE(CONSOLE_GUESTS_MAX - 1) < SOURCES_MAX, "all sources");

/* By guest number: what is known of a guest, from the boot page first, then by root's records. */
struct known_guest {
    bool served; /* its channel is mapped */
    enum guest_life life;
    bool wrote;             /* something, since it was started */
    char reason[256];       /* guest_record.reason */
    struct scrollback kept; /* its last lines, and its monitor's */
};

struct console {
    struct lines lines;
    struct editor editor;
    struct gate gate;
    unsigned guest_count;                             /* no guest has this number or a higher one */
    char name[CONSOLE_GUESTS_MAX][RECORD_NAME_BYTES]; /* empty: no guest has this number */
    struct known_guest guest[CONSOLE_GUESTS_MAX];
    struct scrollback kept_host;
    unsigned attached, last_attached; /* guests; NO_GUEST */
    unsigned missed;                  /* lines of the host's log that came while a guest was attached */
    bool prompt_shown;
    bool no_time;  /* lines that come now are older than this console */
    bool waiting;  /* for root's answer */
    bool top;      /* `top` has the terminal; no other lines are shown */
    bool draining; /* root waits until all that was said is on the wire */
};
extern struct console console;

static inline uint64_t ms(uint64_t n)
{
    return n * BOOT->tsc_khz;
}

/* terminal.c */
void terminal_init(void);
/* Bytes as they are. Everything that goes to the terminal passes here. */
void terminal_show(void *context, const char *text, size_t size);
/* A line of the console's own. */
void say(const char *text, ...) print_like(1, 2);
void hide_prompt(void);
/* Draws it, if the terminal is the shell's and nothing is awaited. */
void show_prompt(void);
/* What it is from now on; NULL: the shell's own. While the gate is shut, it says how to open that. */
void set_prompt(const char *prompt);
/* ms since Mullion's start, for the lines that are kept; SCROLLBACK_NO_TIME. */
uint64_t line_time(void);
/* Unfinished lines and the prompt, when their time has come; the screen. */
void terminal_work(uint64_t now);
/* When that is due: a TSC value, NEVER. */
uint64_t terminal_due(uint64_t now);

/* sources.c */
/* What the log holds from power-on is kept and drawn; up to `shown` it is on the wire already. */
void log_begin(uint64_t shown);
bool log_is_read(void);
void read_log(uint64_t now);
/* These CONSOLE_EVENT_GUEST bits are set: those guests' channels may hold something. */
void guests_rang(uint64_t bits);
/* Reads the channels that may hold something. */
void read_guests(uint64_t now);
/* When there is more to read: a TSC value, NEVER. */
uint64_t sources_due(uint64_t now);
void attach(unsigned guest);
/* To the guest that was left last. */
void attach_again(void);
/* Back to the shell; `why`: it was not asked for, so the gate is shut, and this line says what has happened. NULL: the
 * operator has asked for it. */
void detach(const char *why);
/* A key for the attached guest. With no room: it is lost, and the bell rings. */
void input_key(uint8_t key);
void send_input(void);
/* There is room for a key; or the guest has taken none for so long that keys are rather lost than kept: one of them may
 * be Ctrl-]. */
bool input_has_room(void);
/* When that becomes so by time alone. */
uint64_t input_due(void);

/* ask.c */
void ask_init(void);
/* `guest`: the one that the request is about, or NO_GUEST. */
void ask(enum request_kind what, unsigned guest, uint64_t argument);
/* `top`: `tables` of them, 0: until top_end. */
void top_begin(unsigned tables);
void top_end(void);
/* Reads what root has said. */
void root_work(uint64_t now);
uint64_t root_due(uint64_t now);
/* If root waits for it, and all is on the wire, it is told. */
void drain(void);

/* guests.c */
/* Those of the boot page. */
void guests_begin(void);
/* Root has said so. A guest may be new, or gone, or another one. */
void guest_told(const struct guest_record *r);
/* A finished line of a guest, or of its monitor. */
void guest_keep(unsigned source, const char *text, size_t size);
bool guest_is_on(unsigned n);
/* Its lines, and its monitor's, are not shown from now on, or are again. */
void guest_mute(unsigned n, bool mute);
/* Says which are muted, if any. */
void guests_say_muted(void);
/* How many are on, and their names, cut to fit: "web, batch". */
unsigned guests_on(char *names, size_t size);

/* shell.c */
/* struct editor.complete */
const char *shell_word(const char *line, unsigned i);
void gate_close(void);
/* What time alone does. */
void keys_work(uint64_t now);
void read_keys(void);
uint64_t keys_due(uint64_t now);

#endif
