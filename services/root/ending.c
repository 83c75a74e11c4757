// SPDX-License-Identifier: Apache-2.0
/*
 * See ending.h.
 */
#include "services/root/ending.h"
#include "lib/string.h"
#include "lib/syscall.h"
#include "services/root/service.h"

#define DRAIN_MS 3000 /* for the console's last lines */

enum stage { STAGE_NONE = 0, STAGE_GUESTS, STAGE_DRAIN };

static struct {
    enum stage stage;
    enum power_action action;
    uint8_t code;
    uint64_t until;      /* TSC: the stage's end, at the latest */
    uint64_t tell;       /* TSC: STAGE_GUESTS, when the log says again how long that is */
    unsigned told;       /* guests that were left when it was said last */
    bool drain, drained; /* the console is to be asked; it has answered */
} ending;

/* In the log: "the machine is switched off ...". */
static const char *verb(void)
{
    return ending.action == POWER_RESET ? "started anew" : "switched off";
}

static uint64_t seconds_left(uint64_t now)
{
    return ending.until > now ? (ending.until - now + ticks_of_ms(1000) - 1) / ticks_of_ms(1000) : 0;
}

/* The countdown is told at 60, 30, 20, 10, and 5 seconds. */
static uint64_t tell_next(uint64_t now)
{
    static const uint8_t at[] = {60, 30, 20, 10, 5};
    for (unsigned i = 0; i < ARRAY_SIZE(at); i++)
        if (now + ticks_of_ms(at[i] * 1000ull) < ending.until)
            return ending.until - ticks_of_ms(at[i] * 1000ull);
    return ending.until;
}

static void tell(uint64_t now, unsigned left, const char *names)
{
    root_log(LOG_INFO, "the machine is %s when all guests are off, in %llu s at the latest; still on: %s", verb(),
             (unsigned long long)seconds_left(now), names);
    ending.told = left;
    ending.tell = tell_next(now);
}

static void drain(void)
{
    if (ending.action != POWER_EXIT)
        root_log(LOG_INFO, ending.action == POWER_RESET ? "starting the machine anew" : "switching the machine off");
    ending.stage = STAGE_DRAIN;
    ending.drain = true;
    ending.drained = false;
    ending.until = tsc_now() + ticks_of_ms(DRAIN_MS);
}

bool ending_begin(enum power_action action, uint8_t code, uint64_t seconds, struct note_record *answer)
{
    char names[160];
    uint64_t now = tsc_now();
    if (seconds != 0 && ending.stage != STAGE_NONE) {
        record_note(answer, NOTE_ERROR, "The machine is about to be %s: it waits %llu s more for its guests.", verb(),
                    (unsigned long long)seconds_left(now));
        record_advice(answer, "'poweroff now' does not wait, 'poweroff cancel' calls it off.");
        return false;
    }
    ending.action = action;
    ending.code = code;
    unsigned left = guests_left(names, sizeof names);
    if (seconds == 0 || left == 0) {
        drain();
        return true;
    }
    ending.stage = STAGE_GUESTS;
    ending.until = now + ticks_of_ms(min_u64(seconds, STOP_SECONDS_MAX) * 1000);
    (void)guests_close(ending.until);
    record_note(answer, NOTE_INFO,
                "The power buttons of %u guest%s are pressed; the machine is %s when all are off, in %llu s at the "
                "latest.",
                left, left == 1 ? "" : "s", verb(), (unsigned long long)seconds_left(now));
    record_advice(answer, "'%s now' does not wait, 'poweroff cancel' calls it off.",
                  action == POWER_RESET ? "reboot" : "poweroff");
    ending.told = left;
    ending.tell = tell_next(now);
    return true;
}

bool ending_cancel(struct note_record *answer)
{
    if (ending.stage != STAGE_GUESTS) {
        record_note(answer, NOTE_ERROR, "The machine is not about to end: there is nothing to call off.");
        return false;
    }
    ending.stage = STAGE_NONE;
    guests_open();
    root_log(LOG_INFO, "the machine stays on");
    record_note(answer, NOTE_INFO, "The machine stays on. Guests that heed their power buttons still go off.");
    return true;
}

bool ending_asks_drain(void)
{
    bool asks = ending.drain;
    ending.drain = false;
    return asks;
}

void ending_drained(void)
{
    ending.drained = true;
}

static void guests_stage(uint64_t now)
{
    char names[160];
    unsigned left = guests_left(names, sizeof names);
    if (left == 0 || now >= ending.until) {
        if (left != 0)
            root_log(LOG_WARN, "the machine does not wait longer; still on: %s", names);
        drain();
    } else if (left != ending.told || now >= ending.tell) {
        tell(now, left, names);
    }
}

bool ending_work(struct note_record *why)
{
    if (ending.stage == STAGE_GUESTS)
        guests_stage(tsc_now());
    if (ending.stage != STAGE_DRAIN || (console_service.alive && !ending.drained && tsc_now() < ending.until))
        return false;
    ending.stage = STAGE_NONE;
    ending.drain = false;
    power_do(ending.action, ending.code, why);
    guests_open();
    return true;
}

uint64_t ending_due(void)
{
    switch (ending.stage) {
    case STAGE_GUESTS: return min_u64(ending.until, ending.tell);
    case STAGE_DRAIN: return ending.until;
    default: return NEVER;
    }
}
