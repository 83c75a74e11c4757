// SPDX-License-Identifier: Apache-2.0
/*
 * The guests' lives: start, what their monitors say, what the configuration wants done then, and the end. See root.h.
 *
 * Destroying takes time proportional to the guest's memory, since that is zeroed. It is done in steps between other
 * work, so that neither the shell nor another guest on this CPU waits for it. Guests that wait for their start get it
 * one after the other for the same reason.
 */
#include <stdatomic.h>
#include "lib/print.h"
#include "lib/string.h"
#include "lib/syscall.h"
#include "services/root/guest.h"
#include "services/root/regions.h"
#include "services/root/service.h"
#include "tests.h" /* made by the build */

#define WORK_SLICE_US 500 /* of destroying, before others get as long */

struct guest guests[CONFIG_GUESTS_MAX];
unsigned guests_end;
static bool reshaped;        /* guests have come or gone */
static bool told_all = true; /* no guest has `changed` */
static bool closing;         /* the machine is about to end: no guest is started */

/* The shell is to be told of it, or that it is gone. */
static void tell(struct guest *g)
{
    g->changed = true;
    told_all = false;
}

unsigned guest_add(const struct config_guest *section)
{
    unsigned n = 0;
    while (n < CONFIG_GUESTS_MAX && guests[n].config != NULL)
        n++;
    if (n == CONFIG_GUESTS_MAX) {
        root_log(LOG_ERROR, "guest %s: there are %u guests already", section->name, n);
        return n;
    }
    struct guest *g = &guests[n];
    g->config = section;
    guests_end = (unsigned)max_u64(guests_end, n + 1);
    if (!guest_place(n)) {
        g->shown = GUEST_FAILED;
        format(g->reason, sizeof g->reason, "there is no memory for it");
    }
    tell(g);
    console_take_guest(n);
    return n;
}

static bool lives(const struct guest *g)
{
    return g->phase == PHASE_ON || g->phase == PHASE_STOPPING;
}

static void note(unsigned n, enum guest_state state, const char *text)
{
    struct guest *g = &guests[n];
    g->shown = state;
    string_copy(g->reason, text, sizeof g->reason);
    tell(g);
}

bool guest_change(unsigned *n)
{
    for (*n = 0; *n < CONFIG_GUESTS_MAX && !told_all; ++*n)
        if (guests[*n].changed) {
            guests[*n].changed = false;
            return true;
        }
    told_all = true;
    return false;
}

void guests_tell_all(void)
{
    for (unsigned n = 0; n < guests_end; n++)
        tell(&guests[n]);
}

/* Its monitor stops now; the rest follows in steps. */
static void end(unsigned n, enum guest_state shown, const char *reason)
{
    struct guest *g = &guests[n];
    g->ticks += guest_ticks(g);
    for (unsigned r = 0; r < EXIT_COUNT; r++) {
        g->last_exits[r] = guest_exits_for(n, r);
        g->exits += g->last_exits[r];
    }
    g->reset_wanted = false;
    g->phase = PHASE_ENDING;
    g->end_began = tsc_now();
    g->zeroed = 0;
    note(n, shown, reason);
}

static void start(unsigned n)
{
    struct guest *g = &guests[n];
    char why[128];
    g->start_wanted = g->reset_wanted = false;
    g->start_at = 0;
    g->made = g->started = tsc_now();
    g->start_ticks = 0;
    g->phase = PHASE_ON;
    if (guest_make(n, why, sizeof why)) {
        root_log(LOG_INFO, "guest %s: its monitor starts, %u vCPU%s from CPU %u on, %lluM in %u piece%s%s",
                 g->config->name, g->config->cpu_count, g->config->cpu_count == 1 ? "" : "s", g->config->cpu[0],
                 (unsigned long long)(g->config->memory >> 20), g->ram.count, g->ram.count == 1 ? "" : "s",
                 g->restarts ? " (again)" : "");
        if (g->restarts == 0)
            services_log_sharing(g->config);
        note(n, GUEST_STARTING, "");
        return;
    }
    root_log(LOG_ERROR, "guest %s: cannot be started: %s", g->config->name, why);
    end(n, GUEST_FAILED, why);
}

/* Seconds that it waits before it is started again, by itself; that is counted. */
static unsigned pause_before(struct guest *g)
{
    uint64_t now = tsc_now();
    g->quick_ends = now - g->started < ticks_of_ms(QUICK_END_MS) ? g->quick_ends + 1 : 0;
    unsigned doubled = g->quick_ends > QUICK_FREE ? g->quick_ends - QUICK_FREE - 1 : 0;
    unsigned seconds = g->quick_ends > QUICK_FREE ? PAUSE_MAX_S : 0;
    if (doubled < 6 && seconds > 1u << doubled)
        seconds = 1u << doubled;
    g->start_at = now + ticks_of_ms(seconds * 1000ull);
    return seconds;
}

/* " in 4 s", for what is said of it. */
static const char *pause_text(char *out, size_t size, unsigned seconds)
{
    out[0] = 0;
    if (seconds != 0)
        format(out, size, " in %u s", seconds);
    return out;
}

/* The guest has ended by itself; `policy` says what its configuration wants then. */
static void ended(unsigned n, enum guest_state shown, enum config_policy policy, const char *key, const char *words)
{
    struct guest *g = &guests[n];
    enum log_level level = shown == GUEST_POWEROFF || shown == GUEST_RESET ? LOG_INFO : LOG_WARN;
    g->start_wanted = false;
    if (g->phase == PHASE_STOPPING || policy == POLICY_STOP || closing) {
        root_log(level, "guest %s: %s", g->config->name, words);
    } else {
        char when[16];
        g->restarts++;
        root_log(level, "guest %s: %s; it is started again%s (%s = restart)", g->config->name, words,
                 pause_text(when, sizeof when, pause_before(g)), key);
        g->start_wanted = true;
    }
    end(n, shown, words);
}

/* A text of the monitor's; `lines`: it may have more than one. */
static size_t copy_text(const volatile char *from, size_t from_size, char *out, size_t size, bool lines)
{
    size_t i = 0;
    for (; i + 1 < size && i < from_size; i++) {
        char c = from[i]; /* one read: the monitor may be writing */
        if (c == 0)
            break;
        out[i] = (c >= 0x20 && c < 0x7f) || (lines && c == '\n') ? c : '?';
    }
    out[i] = 0;
    return i;
}

/* What the monitor says of the end. False: nothing. */
static bool copy_reason(unsigned n, char *out, size_t size)
{
    return copy_text(guest_control(n)->reason, sizeof guest_control(n)->reason, out, size, false) != 0;
}

static void copy_report(unsigned n)
{
    (void)copy_text(guest_control(n)->report, VMM_REPORT_BYTES, guest_crash_text(n), VMM_REPORT_BYTES, true);
}

/* Its monitor, which waits, may start it anew. */
static void let_reset(unsigned n)
{
    struct guest *g = &guests[n];
    g->reset_wanted = false;
    g->started = tsc_now();
    g->start_ticks = 0;
    note(n, GUEST_STARTING, "");
    atomic_store(&guest_control(n)->command, COMMAND_RESET);
    (void)sys_event_signal(g->event, VMM_EVENT_CONTROL);
}

/* The guest has asked for a reset, or a triple fault was one. If its configuration wants it back, its monitor stays
 * and, in time, starts the guest anew in the memory that it has. */
static void reset(unsigned n)
{
    struct guest *g = &guests[n];
    char reason[240], words[sizeof g->reason] = "it has asked for a reset";
    if (copy_reason(n, reason, sizeof reason)) {
        copy_report(n);
        format(words, sizeof words, "it has reset itself: %s", reason);
    }
    if (g->phase != PHASE_ON || g->config->on_reboot != POLICY_RESTART || closing) {
        ended(n, GUEST_RESET, g->config->on_reboot, "on-reboot", words);
        return;
    }
    char when[16];
    unsigned seconds = pause_before(g);
    g->restarts++;
    root_log(LOG_INFO, "guest %s: %s; it is started again%s (on-reboot = restart)", g->config->name, words,
             pause_text(when, sizeof when, seconds));
    g->ran = false;
    g->reset_wanted = true;
    note(n, GUEST_RESET, "");
    if (seconds == 0)
        let_reset(n);
}

static const char *exception_name(uint64_t vector)
{
    static const char *const name[] = {"divide error",
                                       "debug",
                                       "NMI",
                                       "breakpoint",
                                       "overflow",
                                       "bound",
                                       "invalid opcode",
                                       "no FPU",
                                       "double fault",
                                       "",
                                       "invalid TSS",
                                       "segment not present",
                                       "stack fault",
                                       "general protection",
                                       "page fault",
                                       "",
                                       "x87",
                                       "alignment check",
                                       "machine check"};
    return vector < ARRAY_SIZE(name) ? name[vector] : "exception";
}

/* Its domain has stopped without a word. */
static void monitor_died(unsigned n, uint64_t domain_state)
{
    struct guest *g = &guests[n];
    char words[160];
    guest_crash_text(n)[0] = 0;
    if (domain_state == DOMAIN_FAULTED) {
        uint64_t f[3] = {0};
        for (unsigned i = 0; i < 3; i++)
            f[i] = sys_query(g->domain, QUERY_DOMAIN_FAULT, i).value;
        format(words, sizeof words, "its monitor crashed: %s (exception %u, error 0x%x) at 0x%llx, address 0x%llx",
               exception_name(f[0] & 0xff), (unsigned)(f[0] & 0xff), (unsigned)(f[0] >> 32), (unsigned long long)f[1],
               (unsigned long long)f[2]);
    } else {
        format(words, sizeof words, "its monitor ended by itself");
    }
    ended(n, GUEST_CRASHED, g->config->on_crash, "on-crash", words);
}

/* False: it had nothing to say. */
static bool look(unsigned n)
{
    struct guest *g = &guests[n];
    const struct root_boot *b = ROOT_BOOT;
    char reason[240], words[sizeof g->reason];
    struct syscall_result domain = sys_query(g->domain, QUERY_DOMAIN_STATE, 0);
    uint32_t state = atomic_load(&guest_control(n)->state), resets = atomic_load(&guest_control(n)->resets);
    bool said = state != g->seen_state || (state == GUEST_RESET && resets != g->seen_resets);
    if (said) {
        g->seen_state = state;
        g->seen_resets = resets;
        switch (state) {
        case GUEST_RUNNING: {
            if (g->ran)
                break;
            g->ran = true;
            uint64_t entry = guest_control(n)->first_entry_tsc, ticks = entry - b->entry_tsc;
            g->start_ticks = entry - g->started;
            root_log(LOG_INFO, "guest %s: runs; first instruction %llu ms after the kernel's entry (%llu ticks)",
                     g->config->name, (unsigned long long)(b->tsc_khz ? ticks / b->tsc_khz : 0),
                     (unsigned long long)ticks);
            if (g->phase == PHASE_ON)
                note(n, GUEST_RUNNING, "");
            reshaped = true;
            break;
        }
        case GUEST_POWEROFF: {
            uint32_t code = guest_control(n)->exit_code;
            format(words, sizeof words, "it has switched itself off");
            if (code != 0)
                format(words, sizeof words, "it has switched itself off, with exit code %u", code);
            ended(n, GUEST_POWEROFF, POLICY_STOP, "", words);
            return true;
        }
        case GUEST_RESET: reset(n); return true;
        case GUEST_CRASHED:
            if (!copy_reason(n, reason, sizeof reason))
                string_copy(reason, "no reason given", sizeof reason);
            copy_report(n);
            format(words, sizeof words, "crashed: %s", reason);
            ended(n, GUEST_CRASHED, g->config->on_crash, "on-crash", words);
            return true;
        case GUEST_FAILED:
            if (!copy_reason(n, reason, sizeof reason))
                string_copy(reason, "no reason given", sizeof reason);
            format(words, sizeof words, "could not be started: %s", reason);
            ended(n, GUEST_FAILED, POLICY_STOP, "", words);
            return true;
        default: break;
        }
    }
    if (domain.error != OK || (domain.value != DOMAIN_RUNNING && domain.value != DOMAIN_EMPTY)) {
        monitor_died(n, domain.value);
        return true;
    }
    return said;
}

/* One step of destroying *handle. True: it is gone. */
static bool destroy_step(uint64_t *handle)
{
    if (*handle == 0)
        return true;
    enum error e = syscall6(SYS_DESTROY, *handle, 0, 0, 0, 0, 0).error;
    if (e == E_AGAIN)
        return false;
    if (e != OK && e != E_DEAD)
        root_log(LOG_ERROR, "something cannot be destroyed: %s", error_text(e));
    (void)sys_handle_close(*handle);
    *handle = 0;
    return true;
}

static bool return_step(struct guest *g, uint64_t *memory, uint64_t bytes)
{
    bool had = *memory != 0, done = destroy_step(memory);
    g->zeroed += had && done ? bytes : 0;
    return done;
}

/* True: the guest is gone altogether. */
static bool end_step(struct guest *g)
{
    if (!destroy_step(&g->domain))
        return false;
    for (unsigned i = 0; i <= g->config->cpu_count; i++)
        if (g->thread[i] != 0) {
            (void)sys_handle_close(g->thread[i]);
            g->thread[i] = 0;
        }
    for (unsigned i = 0; i < g->ram.count; i++)
        if (!return_step(g, &g->memory[i], g->ram.piece[i].size))
            return false;
    return return_step(g, &g->private_memory, g->private_bytes);
}

/* The receipt: what is free again holds nothing of this guest any more. */
static void receipt(const struct guest *g)
{
    uint64_t ticks = tsc_now() - g->end_began;
    uint64_t mhz = ROOT_BOOT->tsc_khz / 1000;
    root_log(LOG_INFO,
             "guest %s: %llu bytes of its memory and its monitor's zeroed and returned in %llu us (%llu ticks)",
             g->config->name, (unsigned long long)g->zeroed, (unsigned long long)(mhz != 0 ? ticks / mhz : 0),
             (unsigned long long)ticks);
}

unsigned guests_look(uint64_t bits)
{
    unsigned in_vain = 0;
    for (unsigned group = 0; group < ROOT_EVENT_GROUPS; group++)
        for (unsigned n = group; (bits & ROOT_EVENT_GUEST(group)) != 0 && n < guests_end; n += ROOT_EVENT_GROUPS)
            if (lives(&guests[n]) && !look(n))
                in_vain++;
    return in_vain;
}

void guest_remove(unsigned n)
{
    struct guest *g = &guests[n];
    g->removed = true;
    g->start_wanted = false;
    if (lives(g))
        end(n, GUEST_OFF, "taken away");
}

/* Nothing of it is left, and its number is free. */
static void forget(unsigned n)
{
    root_log(LOG_INFO, "guest %s: taken away", guests[n].config->name);
    guest_unplace(n);
    tell(&guests[n]);
    while (guests_end > 0 && guests[guests_end - 1].config == NULL)
        guests_end--;
    reshaped = true;
}

/* Its power button was pressed, and it has not gone. */
static void stop_late(unsigned n)
{
    root_log(LOG_INFO, "guest %s: did not switch itself off in time and is stopped", guests[n].config->name);
    end(n, GUEST_OFF, "stopped by the user, after it had not switched itself off in time");
}

/* Steps until it is gone, or the slice is over (false). */
static bool end_guest(unsigned n, uint64_t slice_end)
{
    struct guest *g = &guests[n];
    while (!end_step(g))
        if (tsc_now() >= slice_end)
            return false;
    g->phase = PHASE_OFF;
    reshaped = true;
    receipt(g);
    tell(g);
    return true;
}

/* A reset that had to wait; when it is due, or NEVER. */
static uint64_t reset_when_due(unsigned n)
{
    if (tsc_now() < guests[n].start_at)
        return guests[n].start_at;
    let_reset(n);
    return NEVER;
}

uint64_t guests_work(bool rest)
{
    uint64_t again = NEVER;
    bool started = false;
    uint64_t slice_end = tsc_now() + ROOT_BOOT->tsc_khz * WORK_SLICE_US / 1000;
    for (unsigned n = 0; n < guests_end; n++) {
        struct guest *g = &guests[n];
        if (g->config == NULL)
            continue;
        if (g->phase == PHASE_STOPPING && tsc_now() >= g->deadline)
            stop_late(n);
        bool waits = g->phase == PHASE_ENDING || g->removed || g->start_wanted;
        if (rest && waits)
            again = min_u64(again, tsc_now() + ticks_of_ms(1));
        else if (g->phase == PHASE_ENDING && !end_guest(n, slice_end))
            again = 0;
        if (g->phase == PHASE_ON && g->reset_wanted)
            again = min_u64(again, reset_when_due(n));
        if (g->phase == PHASE_OFF && g->start_wanted && !rest && tsc_now() < g->start_at) {
            again = min_u64(again, g->start_at);
        } else if (g->phase == PHASE_OFF && g->start_wanted && !rest) {
            if (!started)
                start(n);
            started = true;
            again = 0;
        }
        if (g->phase == PHASE_STOPPING)
            again = min_u64(again, g->deadline);
        if (g->phase == PHASE_OFF && g->removed && !rest)
            forget(n);
    }
    return again;
}

bool guests_reshaped(void)
{
    bool was = reshaped;
    reshaped = false;
    return was;
}

bool guests_idle(void)
{
    uint64_t now = tsc_now();
    for (unsigned n = 0; n < guests_end; n++)
        if (guests[n].phase == PHASE_ENDING || (guests[n].start_wanted && guests[n].start_at <= now) ||
            (guests[n].phase == PHASE_ON && guests[n].shown == GUEST_STARTING))
            return false;
    return true;
}

void guests_autostart(void)
{
    for (unsigned n = 0; n < guests_end; n++)
        guests[n].start_wanted = guests[n].config->autostart && guests[n].placed && ROOT_BOOT->backend[0] != 0;
}

/* The user starts it: what it did before does not count. */
static void forgive(struct guest *g)
{
    g->quick_ends = 0;
    g->start_at = 0;
}

bool guest_start(unsigned n, struct note_record *answer)
{
    struct guest *g = &guests[n];
    const char *name = g->config->name;
    if (ROOT_BOOT->backend[0] == 0) {
        char why[LACK_TEXT_BYTES];
        lack_text(ROOT_BOOT->lacks, why, sizeof why);
        record_note(answer, NOTE_ERROR, "This machine cannot run guests: %s", why);
        return false;
    }
    if (closing) {
        record_note(answer, NOTE_ERROR, "The machine is about to end, so no guest is started.");
        record_advice(answer, "'poweroff cancel' calls that off.");
        return false;
    }
    if (!g->placed) {
        record_note(answer, NOTE_ERROR, "Guest %s found no memory when the machine started.", name);
        return false;
    }
    if (g->phase == PHASE_ENDING) {
        forgive(g);
        g->start_wanted = true;
        record_note(answer, NOTE_INFO, "Guest %s is being cleared away; it starts right after.", name);
        return true;
    }
    if (g->phase != PHASE_OFF) {
        record_note(answer, NOTE_ERROR, "Guest %s is on already.", name);
        return false;
    }
    forgive(g);
    start(n);
    if (g->phase != PHASE_ON) {
        record_note(answer, NOTE_ERROR, "Guest %s cannot be started: %s", name, g->reason);
        return false;
    }
    record_note(answer, NOTE_INFO, "Guest %s starts.", name);
    return true;
}

static void press_power_button(unsigned n, uint64_t deadline)
{
    struct guest *g = &guests[n];
    if (g->phase == PHASE_ON)
        g->deadline = NEVER;
    g->phase = PHASE_STOPPING;
    g->deadline = min_u64(g->deadline, deadline);
    tell(g);
    atomic_store(&guest_control(n)->command, COMMAND_STOP);
    (void)sys_event_signal(g->event, VMM_EVENT_CONTROL);
}

unsigned guests_close(uint64_t deadline)
{
    unsigned left = 0;
    closing = true;
    for (unsigned n = 0; n < guests_end; n++) {
        if (guests[n].start_wanted)
            tell(&guests[n]);
        guests[n].start_wanted = false;
        if (lives(&guests[n]) && guests[n].reset_wanted) { /* nothing of it runs that a button could reach */
            end(n, GUEST_OFF, "stopped by the user");
        } else if (lives(&guests[n])) {
            press_power_button(n, deadline);
            left++;
        }
    }
    return left;
}

void guests_open(void)
{
    closing = false;
    for (unsigned n = 0; n < guests_end; n++)
        if (guests[n].phase == PHASE_STOPPING) {
            guests[n].phase = PHASE_ON;
            tell(&guests[n]);
        }
}

unsigned guests_left(char *names, size_t size)
{
    unsigned left = 0;
    size_t used = 0;
    names[0] = 0;
    for (unsigned n = 0; n < guests_end; n++)
        if (lives(&guests[n])) {
            if (used < size)
                used += (size_t)format(names + used, size - used, "%s%s", left != 0 ? ", " : "", guest_name(n));
            left++;
        }
    return left;
}

bool guest_stop(unsigned n, uint64_t seconds, struct note_record *answer)
{
    struct guest *g = &guests[n];
    const char *name = g->config->name;
    char text[80];
    if (g->phase == PHASE_ENDING) {
        g->start_wanted = false;
        record_note(answer, NOTE_INFO, "Guest %s is being cleared away.", name);
        return true;
    }
    if (g->phase == PHASE_OFF && g->start_wanted) {
        g->start_wanted = false;
        tell(g);
        record_note(answer, NOTE_INFO, "Guest %s is not started.", name);
        return true;
    }
    if (g->phase == PHASE_OFF) {
        record_note(answer, NOTE_ERROR, "Guest %s is off already.", name);
        return false;
    }
    if (seconds == 0 || g->reset_wanted) {
        g->start_wanted = false;
        root_log(LOG_INFO, "guest %s: stopped by the user", name);
        end(n, GUEST_OFF, "stopped by the user");
        record_note(answer, NOTE_INFO, "Guest %s is stopped.", name);
        return true;
    }
    if (g->phase == PHASE_STOPPING) {
        record_note(answer, NOTE_ERROR, "Guest %s's power button was pressed already; %s.", name,
                    guest_left_text(g, text, sizeof text));
        record_advice(answer, "'stop %s now' stops it at once.", name);
        return false;
    }
    press_power_button(n, tsc_now() + ticks_of_ms(min_u64(seconds, STOP_SECONDS_MAX) * 1000));
    root_log(LOG_INFO, "guest %s: its power button is pressed", name);
    record_note(answer, NOTE_INFO, "Guest %s's power button is pressed; %s.", name,
                guest_left_text(g, text, sizeof text));
    record_advice(answer, "'stop %s now' stops it at once.", name);
    return true;
}

bool guest_restart(unsigned n, struct note_record *answer)
{
    struct guest *g = &guests[n];
    if (g->phase == PHASE_OFF || closing)
        return guest_start(n, answer);
    if (g->phase != PHASE_ENDING)
        end(n, GUEST_OFF, "restarted by the user");
    g->start_wanted = true;
    g->restarts++;
    forgive(g);
    root_log(LOG_INFO, "guest %s: restarted by the user", g->config->name);
    record_note(answer, NOTE_INFO, "Guest %s is restarted.", g->config->name);
    return true;
}

/* The shell's command has a command for the monitor: one at a time. */
static bool command(unsigned n, enum guest_command what, uint32_t argument, struct note_record *answer)
{
    struct guest *g = &guests[n];
    if (!lives(g)) {
        record_note(answer, NOTE_ERROR, "Guest %s is off.", guest_name(n));
        return false;
    }
    if (atomic_load(&guest_control(n)->command) != COMMAND_NONE) {
        record_note(answer, NOTE_ERROR, "Guest %s's monitor has not done what it was told before this.", guest_name(n));
        return false;
    }
    atomic_store(&guest_control(n)->argument, argument);
    atomic_store(&guest_control(n)->command, what);
    (void)sys_event_signal(g->event, VMM_EVENT_CONTROL);
    return true;
}

bool guest_nmi(unsigned n, struct note_record *answer)
{
    if (!command(n, COMMAND_NMI, 0, answer))
        return false;
    record_note(answer, NOTE_INFO, "Guest %s gets an NMI.", guest_name(n));
    return true;
}

bool guest_break(unsigned n, uint64_t behind, struct note_record *answer)
{
    if (!command(n, COMMAND_BREAK, behind >= 0x20 && behind < 0x7f ? (uint32_t)behind : 0, answer))
        return false;
    record_note(answer, NOTE_INFO, "Guest %s gets a break on its serial port.", guest_name(n));
    return true;
}

bool guest_fault(unsigned n, uint64_t kind, struct note_record *answer)
{
    static const uint32_t command[FAULT_KIND_COUNT] = {[FAULT_CRASH] = COMMAND_CRASH,
                                                       [FAULT_HOSTILE] = COMMAND_FUZZ,
                                                       [FAULT_RELOAD] = COMMAND_RELOAD,
                                                       [FAULT_SPIN] = COMMAND_SPIN};
    struct guest *g = &guests[n];
    const char *name = g->config->name;
    if (g->phase != PHASE_ON && g->phase != PHASE_STOPPING) {
        record_note(answer, NOTE_ERROR, "Guest %s is off: it has no monitor that could go wrong.", name);
        return false;
    }
    if (!IMAGE_HAS_TESTS) {
        record_note(answer, NOTE_ERROR, "This image has no test code: no monitor in it can be made to go wrong.");
        return false;
    }
    if (kind >= FAULT_KIND_COUNT) {
        record_note(answer, NOTE_ERROR, "There is no such fault.");
        return false;
    }
    atomic_store(&guest_control(n)->command, command[kind]);
    (void)sys_event_signal(g->event, VMM_EVENT_CONTROL);
    if (kind == FAULT_RELOAD)
        record_note(answer, NOTE_INFO, "Guest %s is saved and loaded back; 'log' tells of it.", name);
    else if (kind == FAULT_HOSTILE)
        record_note(answer, NOTE_INFO, "Guest %s's monitor turns hostile; 'stop %s now' ends that.", name, name);
    else if (kind == FAULT_SPIN)
        record_note(answer, NOTE_INFO, "Guest %s's monitor computes for ever; 'stop %s now' ends that.", name, name);
    else
        record_note(answer, NOTE_INFO, "Guest %s's monitor is made to crash.", name);
    return true;
}
