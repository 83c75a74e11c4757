/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One guest as root knows it. Shared by guests.c (its life), guest_make.c (what it is given) and guest_report.c (what
 * the shell shows).
 */
#ifndef ROOT_GUEST_H
#define ROOT_GUEST_H

#include "mullion/vcpu.h"
#include "services/root/root.h"

/* A guest that does not live so long each time waits before it is started again: not at all the first two times, then a
 * second, and twice as long each time. */
#define QUICK_END_MS 60000
#define QUICK_FREE   2
#define PAUSE_MAX_S  60

enum guest_phase {
    PHASE_OFF = 0,  /* it holds nothing but its place in RAM */
    PHASE_ON,       /* its monitor lives */
    PHASE_STOPPING, /* the same, and the power button was pressed */
    PHASE_ENDING,   /* its monitor and memory are being destroyed, step by step */
};

struct guest {
    const struct config_guest *config; /* NULL: no guest has this number */
    enum guest_phase phase;
    bool removed; /* it is being taken away whole */
    /* as long as it is there */
    bool placed;
    struct guest_memory ram;
    uint64_t private_hpa, private_bytes; /* the monitor's data and stacks */
    uint64_t event;                      /* handle: the monitor's event */
    uint64_t shared; /* handle: boot, control and channel pages. The next guest of this number gets them, too */
    /* while its monitor lives: handles, 0 = none */
    uint64_t domain, private_memory, memory[VMM_PIECES_MAX];
    uint64_t thread[1 + VMM_VCPUS_MAX];
    uint64_t deadline;             /* PHASE_STOPPING: TSC at which it is stopped */
    uint64_t end_began, zeroed;    /* PHASE_ENDING: TSC, and bytes that have been zeroed and returned */
    uint64_t made;                 /* TSC when its monitor was started */
    uint64_t started, start_ticks; /* TSC when its making began; how long until its first instruction */
    uint32_t seen_state;           /* the last of control->state that was acted upon */
    uint32_t seen_resets;          /* and of control->resets */
    bool ran;                      /* its monitor has said so: once is enough */
    /* what the shell shows */
    enum guest_state shown;
    bool changed; /* the shell has not been told yet */
    bool served;  /* the console that runs has its channel and its event */
    char reason[256];
    uint64_t ticks, exits;           /* of monitors that are gone */
    uint64_t last_exits[EXIT_COUNT]; /* of the last of them, by reason */
    bool start_wanted;               /* it is started as soon as it is off and its turn and time come: guests_work */
    uint64_t start_at;               /* not before this TSC */
    bool reset_wanted;               /* its monitor waits for COMMAND_RESET, not before start_at */
    uint32_t quick_ends;             /* in a row, before which it did not live for QUICK_END_MS */
    uint32_t restarts;
};

extern struct guest guests[CONFIG_GUESTS_MAX]; /* by number */
extern unsigned guests_end;                    /* no guest has this number or a higher one */

/* Empty: no guest has this number. */
static inline const char *guest_name(unsigned n)
{
    return n < guests_end && guests[n].config != NULL ? guests[n].config->name : "";
}

static inline struct vmm_control *guest_control(unsigned n)
{
    return (struct vmm_control *)(ROOT_SHARED_VA + n * ROOT_SHARED_STRIDE + GUEST_SHARED_CONTROL);
}

/* What its monitor wrote down at its last crash, lines ended by '\n'; empty: nothing. */
static inline char *guest_crash_text(unsigned n)
{
    return (char *)(ROOT_SHARED_VA + n * ROOT_SHARED_STRIDE + GUEST_SHARED_REPORT);
}

/* "it has 97 s to go off, then it is stopped": of a guest whose power button was pressed. guest_report.c. */
const char *guest_left_text(const struct guest *g, char *out, size_t size);

/* guest_make.c. Finds a place in RAM, and makes what is there as long as the guest is; false (and logged): there is
 * none. What was made so far is left in g. */
bool guest_place(unsigned n);
/* Gives all that back. It is off. */
void guest_unplace(unsigned n);
/* Gives it memory and a monitor, and starts that. On failure `why` is filled, and what was made so far is left in g for
 * the destroyer. */
bool guest_make(unsigned n, char *why, size_t why_size);
/* Ticks that its threads have run, while it lives. */
uint64_t guest_ticks(const struct guest *g);
/* Exits of all its vCPUs for one enum exit_reason, in its present or last life. guest_report.c. */
uint64_t guest_exits_for(unsigned n, unsigned reason);

#endif
