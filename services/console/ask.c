// SPDX-License-Identifier: Apache-2.0
/*
 * The conversation with root, lib/proto/records.h: requests of the shell, their answers, and what root says unasked.
 * See console.h.
 */
#include "lib/print.h"
#include "lib/string.h"
#include "lib/syscall.h"
#include "services/console/console.h"
#include "services/console/show.h"
#include "services/console/top.h"
#include "services/console/uart.h"

#define TOP_MS    1000  /* between two tables of `top` */
#define ANSWER_MS 20000 /* root is given to go on with an answer: on an emulated machine whose host is busy, too */

static struct record_reader reader;
static struct show answer;
static uint32_t request; /* number of the last one */
static uint64_t waiting_until;
static unsigned top_left; /* tables; 0: until a key comes */
static uint64_t top_next; /* TSC of the next one */

/* False: root takes nothing at this moment. */
static bool send(uint32_t number, enum request_kind what, unsigned guest, uint64_t argument)
{
    union record r;
    record_begin(&r, RECORD_REQUEST);
    r.head.request = number;
    r.request.what = what;
    r.request.argument = argument;
    if (guest < console.guest_count)
        string_copy(r.request.name, console.name[guest], sizeof r.request.name);
    if (!record_send(&CONTROL->from_guest, &r))
        return false;
    (void)sys_event_signal(CONSOLE_SLOT_ROOT_EVENT, BOOT->root_bits);
    return true;
}

void ask(enum request_kind what, unsigned guest, uint64_t argument)
{
    if (!send(++request, what, guest, argument)) {
        say("Root does not answer.");
        return;
    }
    show_begin(&answer, what);
    console.waiting = true;
    waiting_until = tsc_now() + ms(ANSWER_MS);
}

/* ---- top */

static void top_ask(void)
{
    top_again();
    top_next = tsc_now() + ms(TOP_MS);
    ask(REQUEST_ACCOUNTS, NO_GUEST, 0);
}

void top_begin(unsigned tables)
{
    console.top = true;
    console.lines.silent = true;
    top_left = tables;
    console.missed = 0;
    top_reset();
    top_ask();
}

void top_end(void)
{
    console.top = false;
    console.lines.silent = BOOT->quiet != 0;
    console.lines.open = -1;
    show_prompt();
}

/* A reading is whole: the first one only begins to count. */
static void top_answered(void)
{
    if (top_left == 0 && top_ready())
        uart_write("\x1b[H\x1b[J", 6); /* for eyes: always in the same place */
    if (top_table(&answer) && top_left != 0 && --top_left == 0)
        top_end();
}

static void top_work(uint64_t now)
{
    if (console.top && !console.waiting && now >= top_next)
        top_ask();
}

/* Of the tables of guests. */
static void name_width(void)
{
    answer.name_width = 5;
    for (unsigned n = 0; n < console.guest_count; n++)
        answer.name_width = (unsigned)max_u64(answer.name_width, strlen(console.name[n]));
}

/* What root says without having been asked. */
static void root_news(const union record *r)
{
    if (r->head.kind == RECORD_DRAIN)
        console.draining = true;
    if (r->head.kind != RECORD_GUEST)
        return;
    guest_told(&r->guest);
    name_width();
    if (console.attached == NO_GUEST || r->guest.number != console.attached)
        return; /* root's log says the same in words */
    enum guest_life life = r->guest.life;
    if (life == LIFE_OFF || life == LIFE_CRASHED || life == LIFE_FAILED) {
        char why[300];
        guests_rang(CONSOLE_EVENT_GUEST(console.attached));
        read_guests(tsc_now()); /* its last words */
        format(why, sizeof why, "Guest %s is off: %s.", r->guest.name, r->guest.reason);
        detach(why);
    }
}

static void root_record(const union record *r)
{
    uint64_t now = tsc_now();
    if (r->head.request == 0)
        root_news(r);
    if (!console.waiting || r->head.request != request) /* of an answer that was given up */
        return;
    waiting_until = now + ms(ANSWER_MS);
    if (r->head.kind == RECORD_END) {
        console.waiting = false;
        show_end(&answer, &r->end);
        if (answer.what == REQUEST_LIST)
            guests_say_muted();
        if (console.top && r->end.status == ANSWER_DONE)
            top_answered();
        top_next = now + ms(TOP_MS);
        show_prompt();
    } else if (console.top) {
        top_take(r);
    } else {
        show_record(&answer, r);
    }
}

void root_work(uint64_t now)
{
    enum record_result result = RECORD_READY;
    bool full = channel_used(&CONTROL->to_guest) >= CHANNEL_RING_BYTES / 2;
    unsigned read = 0;
    for (; result != RECORD_NONE && read < 32 && uart_backlog() < 4 * BACKLOG_MAX; read++) {
        result = record_receive(&reader, &CONTROL->to_guest);
        if (result == RECORD_READY)
            root_record(&reader.record);
        else if (result == RECORD_BAD)
            say("Root has said something that makes no sense.");
    }
    if (full) /* a long answer goes on where there is room again */
        (void)sys_event_signal(CONSOLE_SLOT_ROOT_EVENT, BOOT->root_bits);
    if (console.waiting && now > waiting_until) {
        console.waiting = false;
        say("Root has not answered in %d s.", ANSWER_MS / 1000);
    }
    top_work(now);
}

void drain(void)
{
    if (console.draining && log_is_read() && uart_idle())
        console.draining = !send(0, REQUEST_DRAINED, NO_GUEST, 0);
}

uint64_t root_due(uint64_t now)
{
    if (channel_used(&CONTROL->to_guest) != 0 && uart_backlog() < 4 * BACKLOG_MAX)
        return now + ms(1); /* the rest of a long answer */
    if (console.waiting)
        return waiting_until + ms(1);
    return console.top ? top_next : NEVER;
}

static void say_line(void *context, const char *text)
{
    (void)context;
    say("%s", text);
}

void ask_init(void)
{
    answer = (struct show){.line = say_line, .tsc_khz = BOOT->tsc_khz};
    name_width();
}
