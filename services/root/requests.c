// SPDX-License-Identifier: Apache-2.0
/*
 * See requests.h. Today the console is the only client.
 */
#include "services/root/requests.h"
#include "lib/proto/console_boot.h"
#include "lib/proto/records.h"
#include "lib/string.h"
#include "lib/syscall.h"
#include "services/root/answers.h"
#include "services/root/audit.h"
#include "services/root/ending.h"
#include "services/root/guest.h"
#include "services/root/service.h"

enum wait { WAIT_NOTHING = 0, WAIT_AUDIT, WAIT_POWER };

static struct client {
    unsigned life; /* of the client: service.starts */
    struct record_reader reader;
    /* the request that is being answered */
    bool busy;
    uint32_t number;
    enum wait wait; /* what must happen before its answer is known */
    bool (*next)(struct cursor *at, union record *out);
    struct cursor at;
    bool noted; /* the note is still to be sent */
    union record note;
    enum answer_status status;
    /* the next record on its way: `full`, it waits for room */
    bool full;
    union record out;
} client;

/* ---- what can be asked */

typedef bool (*act_function)(unsigned guest, uint64_t argument, struct note_record *answer);

static bool act_start(unsigned guest, uint64_t argument, struct note_record *answer)
{
    (void)argument;
    return guest_start(guest, answer);
}

static bool act_stop(unsigned guest, uint64_t argument, struct note_record *answer)
{
    return guest_stop(guest, argument, answer);
}

static bool act_restart(unsigned guest, uint64_t argument, struct note_record *answer)
{
    (void)argument;
    return guest_restart(guest, answer);
}

static bool act_fault(unsigned guest, uint64_t argument, struct note_record *answer)
{
    return guest_fault(guest, argument, answer);
}

static bool act_nmi(unsigned guest, uint64_t argument, struct note_record *answer)
{
    (void)argument;
    return guest_nmi(guest, answer);
}

static bool act_break(unsigned guest, uint64_t argument, struct note_record *answer)
{
    return guest_break(guest, argument, answer);
}

static bool act_audit(unsigned guest, uint64_t argument, struct note_record *answer)
{
    (void)guest;
    (void)argument;
    return audit_command(answer);
}

static bool act_audit_break(unsigned guest, uint64_t argument, struct note_record *answer)
{
    (void)argument;
    return audit_break(guest, answer);
}

static bool act_poweroff(unsigned guest, uint64_t argument, struct note_record *answer)
{
    (void)guest;
    return ending_begin(POWER_OFF, 0, argument, answer);
}

static bool act_reboot(unsigned guest, uint64_t argument, struct note_record *answer)
{
    (void)guest;
    return ending_begin(POWER_RESET, 0, argument, answer);
}

static bool act_stay(unsigned guest, uint64_t argument, struct note_record *answer)
{
    (void)guest;
    (void)argument;
    return ending_cancel(answer);
}

static bool act_exit(unsigned guest, uint64_t argument, struct note_record *answer)
{
    (void)guest;
    if (power_can_exit())
        return ending_begin(POWER_EXIT, (uint8_t)argument, 0, answer);
    record_note(answer, NOTE_ERROR,
                "There is no emulator's exit port (it is used with debug-exit on the kernel's command line).");
    return false;
}

static const struct row {
    bool guest;                                         /* it names a guest */
    bool (*next)(struct cursor *at, union record *out); /* NULL: the answer is a note */
    act_function act;                                   /* NULL: there is nothing to do first */
    enum wait wait;
} rows[REQUEST_KIND_COUNT] = {
    [REQUEST_LIST] = {.next = list_next},
    [REQUEST_STATS] = {.guest = true, .next = stats_next},
    [REQUEST_MEMORY] = {.next = memory_next},
    [REQUEST_ACCOUNTS] = {.next = accounts_next},
    [REQUEST_PATHS] = {.next = paths_next},
    [REQUEST_ERRORS] = {.next = errors_next},
    [REQUEST_DEVICES] = {.next = devices_next},
    [REQUEST_AUDIT] = {.next = audit_next, .act = act_audit, .wait = WAIT_AUDIT},
    [REQUEST_START] = {.guest = true, .act = act_start},
    [REQUEST_STOP] = {.guest = true, .act = act_stop},
    [REQUEST_RESTART] = {.guest = true, .act = act_restart},
    [REQUEST_NMI] = {.guest = true, .act = act_nmi},
    [REQUEST_BREAK] = {.guest = true, .act = act_break},
    [REQUEST_CRASH] = {.guest = true, .next = crash_next},
    [REQUEST_FAULT] = {.guest = true, .act = act_fault},
    [REQUEST_AUDIT_BREAK] = {.guest = true, .next = audit_next, .act = act_audit_break, .wait = WAIT_AUDIT},
    [REQUEST_POWEROFF] = {.act = act_poweroff, .wait = WAIT_POWER},
    [REQUEST_REBOOT] = {.act = act_reboot, .wait = WAIT_POWER},
    [REQUEST_STAY] = {.act = act_stay},
    [REQUEST_EXIT] = {.act = act_exit, .wait = WAIT_POWER},
};

/* ---- taking requests */

static void end(struct client *c, uint32_t number, enum answer_status status)
{
    record_begin(&c->out, RECORD_END);
    c->out.head.request = number;
    c->out.end.status = status;
    c->full = true;
}

static void begin(struct client *c, const struct request_record *r)
{
    uint32_t number = r->head.request;
    unsigned guest = 0;
    const struct row *row = r->what < REQUEST_KIND_COUNT ? &rows[r->what] : NULL;
    if (row == NULL || (row->next == NULL && row->act == NULL)) {
        end(c, number, ANSWER_UNKNOWN);
        return;
    }
    if (row->guest && !guest_find(r->name, &guest)) {
        end(c, number, ANSWER_NO_GUEST);
        return;
    }
    c->busy = true;
    c->number = number;
    c->at = (struct cursor){.guest = guest};
    c->next = row->next;
    c->wait = row->wait;
    c->status = ANSWER_DONE;
    c->noted = false;
    record_begin(&c->note, RECORD_NOTE);
    if (row->act == NULL)
        return;
    if (row->act(guest, r->argument, &c->note.note)) {
        if (row->next == NULL && c->note.note.text[0] != 0)
            c->wait = WAIT_NOTHING; /* that is the answer */
        c->noted = row->next == NULL && c->wait == WAIT_NOTHING;
    } else {
        c->next = NULL;
        c->wait = WAIT_NOTHING;
        c->noted = true;
        c->status = ANSWER_REFUSED;
    }
}

static void take(struct client *c)
{
    const struct request_record *r = &c->reader.record.request;
    switch (record_receive(&c->reader, &console_channel()->from_guest)) {
    case RECORD_NONE: return;
    case RECORD_BAD: end(c, r->head.request, ANSWER_MALFORMED); return;
    case RECORD_READY: break;
    }
    if (r->head.kind != RECORD_REQUEST)
        end(c, r->head.request, ANSWER_MALFORMED);
    else if (r->what == REQUEST_DRAINED)
        ending_drained();
    else if (c->busy)
        end(c, r->head.request, ANSWER_BUSY);
    else
        begin(c, r);
}

void requests_take(void)
{
    struct client *c = &client;
    if (c->life != console_service.starts) { /* another one: it knows nothing of what its predecessor asked */
        memset(c, 0, sizeof *c);
        c->life = console_service.starts;
        guests_tell_all();
    }
    if (console_service.alive && !c->full)
        take(c);
}

/* ---- sending answers */

/* The answer's next record. False: there is none yet. */
static bool answer(struct client *c)
{
    if (c->wait == WAIT_AUDIT && audit_found() != NULL)
        c->wait = WAIT_NOTHING;
    if (!c->busy || c->wait != WAIT_NOTHING)
        return false;
    if (c->next != NULL && c->next(&c->at, &c->out)) {
        c->out.head.request = c->number;
        return true;
    }
    c->next = NULL;
    if (c->noted) {
        c->out = c->note;
        c->out.head.request = c->number;
        c->noted = false;
        return true;
    }
    end(c, c->number, c->status);
    c->busy = false;
    return true;
}

/* What the client is told without having asked: in half of the channel, so that it never holds up a request or its
 * answer. The client rings when it has made room. */
static bool news(struct client *c)
{
    unsigned n;
    if (channel_used(&console_channel()->to_guest) >= CHANNEL_RING_BYTES / 2)
        return false;
    if (ending_asks_drain()) {
        record_begin(&c->out, RECORD_DRAIN);
        return true;
    }
    if (!guest_change(&n))
        return false;
    guest_report(n, &c->out);
    return true;
}

static void send(struct client *c)
{
    bool sent = false;
    while (c->full || answer(c) || news(c)) {
        c->full = !record_send(&console_channel()->to_guest, &c->out);
        if (c->full)
            break;
        sent = true;
    }
    if (sent)
        (void)sys_event_signal(console_service.event, CONSOLE_EVENT_CONTROL);
}

/* The machine could not be ended: that is the answer, or a line of the log where the request was answered before. */
static void power_work(struct client *c)
{
    union record why;
    record_begin(&why, RECORD_NOTE);
    if (!ending_work(&why.note))
        return;
    if (c->wait != WAIT_POWER) {
        root_log(LOG_ERROR, "%s", why.note.text);
        return;
    }
    c->note = why;
    c->wait = WAIT_NOTHING;
    c->noted = true;
    c->status = ANSWER_REFUSED;
}

uint64_t requests_answer(void)
{
    struct client *c = &client;
    power_work(c);
    if (console_service.alive)
        send(c);
    bool more = console_service.alive && !c->full && channel_used(&console_channel()->from_guest) != 0;
    return more ? 0 : ending_due();
}
