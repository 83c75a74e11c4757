// SPDX-License-Identifier: Apache-2.0
/* Root's dispatcher: each request is answered once, by its number, however little the asking side reads. */
// sources: services/root/requests.c services/root/ending.c lib/proto/records.c lib/proto/channel.c lib/print.c lib/string.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "lib/syscall.h"
#include "services/root/answers.h"
#include "services/root/audit.h"
#include "services/root/guest.h"
#include "services/root/requests.h"
#include "services/root/service.h"

/* ---- the rest of root, as far as the dispatcher knows it */

struct service console_service = {.alive = true, .starts = 1};
static struct channel channel;
static unsigned list_length = 3, changed;
static bool audit_ready, audit_refused, can_exit, power_failed;
static unsigned stopped;
static uint64_t stop_argument;
static enum power_action acted;
static unsigned running, closed, opened, told_all; /* guests that are on; calls */
static char last_log[400];
static uint64_t tick_ms = 1000000000;
static jmp_buf machine_off;

static const char names[2][8] = {"web", "batch"};

struct syscall_result syscall6(enum syscall number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
                               uint64_t f)
{
    (void)number, (void)a, (void)b, (void)c, (void)d, (void)e, (void)f;
    return (struct syscall_result){0};
}
void root_log(enum log_level level, const char *text, ...)
{
    (void)level;
    va_list arguments;
    va_start(arguments, text);
    vsnprintf(last_log, sizeof last_log, text, arguments);
    va_end(arguments);
}
uint64_t ticks_of_ms(uint64_t ms)
{
    return ms * tick_ms;
}
unsigned guests_close(uint64_t deadline)
{
    (void)deadline;
    closed++;
    return running;
}
void guests_open(void)
{
    opened++;
}
unsigned guests_left(char *text, size_t size)
{
    snprintf(text, size, "%s", running == 2 ? "web, batch" : "web");
    return running;
}
void guests_tell_all(void)
{
    told_all++;
}
struct channel *console_channel(void)
{
    return &channel;
}
bool guest_find(const char *name, unsigned *n)
{
    for (*n = 0; *n < 2; ++*n)
        if (strcmp(names[*n], name) == 0)
            return true;
    return false;
}
bool guest_change(unsigned *n)
{
    *n = 1;
    return changed != 0 && changed--;
}
void guest_report(unsigned n, union record *out)
{
    record_begin(out, RECORD_GUEST);
    strcpy(out->guest.name, names[n]);
}
bool list_next(struct cursor *at, union record *out)
{
    if (at->index == list_length)
        return false;
    record_begin(out, RECORD_GUEST);
    out->guest.restarts = at->index++;
    return true;
}
bool stats_next(struct cursor *at, union record *out)
{
    if (at->index++ != 0)
        return false;
    record_begin(out, RECORD_STATS);
    strcpy(out->stats.name, names[at->guest]);
    return true;
}
bool memory_next(struct cursor *at, union record *out)
{
    (void)at, (void)out;
    return false;
}
bool accounts_next(struct cursor *at, union record *out)
{
    return memory_next(at, out);
}
bool paths_next(struct cursor *at, union record *out)
{
    return memory_next(at, out);
}
bool errors_next(struct cursor *at, union record *out)
{
    return memory_next(at, out);
}
bool devices_next(struct cursor *at, union record *out)
{
    record_begin(out, RECORD_DEVICE);
    out->device.place = at->index;
    return at->index++ < 2;
}
bool audit_next(struct cursor *at, union record *out)
{
    record_begin(out, RECORD_AUDIT);
    return at->index++ == 0;
}
bool guest_start(unsigned n, struct note_record *answer)
{
    record_note(answer, NOTE_INFO, "Guest %s starts.", names[n]);
    return true;
}
bool guest_stop(unsigned n, uint64_t seconds, struct note_record *answer)
{
    stopped = n;
    stop_argument = seconds;
    record_note(answer, NOTE_ERROR, "Guest %s is off already.", names[n]);
    return false;
}
bool guest_restart(unsigned n, struct note_record *answer)
{
    return guest_start(n, answer);
}
bool guest_fault(unsigned n, uint64_t kind, struct note_record *answer)
{
    (void)kind;
    return guest_start(n, answer);
}
static uint64_t broken;
bool guest_nmi(unsigned n, struct note_record *answer)
{
    return guest_start(n, answer);
}
bool guest_break(unsigned n, uint64_t behind, struct note_record *answer)
{
    broken = behind;
    return guest_start(n, answer);
}
bool crash_next(struct cursor *at, union record *out)
{
    record_begin(out, RECORD_NOTE);
    record_note(&out->note, NOTE_INFO, "line %u of %s", at->index, names[at->guest]);
    return at->index++ < 2;
}
bool audit_command(struct note_record *why)
{
    record_note(why, NOTE_ERROR, "not now");
    return !audit_refused;
}
bool audit_break(unsigned n, struct note_record *why)
{
    (void)n;
    return audit_command(why);
}
const struct audit_found *audit_found(void)
{
    static const struct audit_found found;
    return audit_ready ? &found : NULL;
}
bool power_can_exit(void)
{
    return can_exit;
}
void power_do(enum power_action action, uint8_t code, struct note_record *why)
{
    (void)code;
    acted = action;
    if (!power_failed)
        longjmp(machine_off, 1);
    record_note(why, NOTE_ERROR, "it cannot");
}

/* ---- the asking side */

static struct record_reader reader;
static union record got;

static int setup(void **unused)
{
    (void)unused;
    memset(&channel, 0, sizeof channel);
    memset(&reader, 0, sizeof reader);
    console_service.starts++; /* the dispatcher forgets what it knew */
    list_length = 3;
    changed = 0;
    console_service.alive = true;
    audit_ready = audit_refused = can_exit = power_failed = false;
    acted = POWER_NOTHING;
    running = closed = opened = told_all = 0;
    tick_ms = 1000000000;
    return 0;
}

static uint64_t work(void)
{
    requests_take();
    return requests_answer();
}

static void ask(uint32_t number, uint32_t what, const char *name, uint64_t argument)
{
    union record r;
    record_begin(&r, RECORD_REQUEST);
    r.head.request = number;
    r.request.what = what;
    r.request.argument = argument;
    strcpy(r.request.name, name);
    assert_true(record_send(&channel.from_guest, &r));
}

static bool hear(void)
{
    enum record_result result = record_receive(&reader, &channel.to_guest);
    assert_int_not_equal(result, RECORD_BAD);
    got = reader.record;
    return result == RECORD_READY;
}

static void assert_end(uint32_t number, enum answer_status status)
{
    assert_true(hear());
    assert_int_equal(got.head.kind, RECORD_END);
    assert_int_equal(got.head.request, number);
    assert_int_equal(got.end.status, status);
}

static void assert_note(uint32_t number, const char *text)
{
    assert_true(hear());
    assert_int_equal(got.head.kind, RECORD_NOTE);
    assert_int_equal(got.head.request, number);
    assert_string_equal(got.note.text, text);
}

static void answers(void **unused)
{
    (void)unused;
    ask(1, REQUEST_LIST, "", 0);
    assert_int_equal(work(), NEVER);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(hear());
        assert_int_equal(got.head.request, 1);
        assert_int_equal(got.guest.restarts, i);
    }
    assert_end(1, ANSWER_DONE);
    ask(2, REQUEST_STATS, "batch", 0);
    work();
    assert_true(hear());
    assert_string_equal(got.stats.name, "batch");
    assert_end(2, ANSWER_DONE);
    ask(3, REQUEST_STOP, "batch", 1);
    work();
    assert_true(stopped == 1 && stop_argument == 1);
    assert_int_equal(told_all, 1); /* once for each asking side */
    assert_note(3, "Guest batch is off already.");
    assert_end(3, ANSWER_REFUSED);
    ask(4, REQUEST_START, "web", 0);
    work();
    assert_note(4, "Guest web starts.");
    assert_end(4, ANSWER_DONE);
    ask(6, REQUEST_BREAK, "web", 'h');
    work();
    assert_int_equal(broken, 'h');
    assert_note(6, "Guest web starts.");
    assert_end(6, ANSWER_DONE);
    ask(7, REQUEST_CRASH, "batch", 0);
    work();
    assert_note(7, "line 0 of batch");
    assert_note(7, "line 1 of batch");
    assert_end(7, ANSWER_DONE);
    ask(5, REQUEST_DEVICES, "", 0);
    work();
    for (unsigned i = 0; i < 2; i++)
        assert_true(hear() && got.head.kind == RECORD_DEVICE && got.device.place == i);
    assert_end(5, ANSWER_DONE);
    assert_false(hear());
}

static void mistakes(void **unused)
{
    (void)unused;
    static const uint32_t unknown[] = {0, REQUEST_KIND_COUNT, ~0u};
    ask(1, REQUEST_STOP, "bob", 0);
    work();
    assert_end(1, ANSWER_NO_GUEST);
    for (unsigned i = 0; i < 3; i++) {
        ask(2, unknown[i], "web", 0);
        work();
        assert_end(2, ANSWER_UNKNOWN);
    }
    union record r;
    record_begin(&r, RECORD_END); /* no request */
    r.head.request = 3;
    assert_true(record_send(&channel.from_guest, &r));
    work();
    assert_end(3, ANSWER_MALFORMED);
    r.head.version++;
    assert_true(record_send(&channel.from_guest, &r));
    work();
    assert_end(3, ANSWER_MALFORMED);
    /* Two at once: both are answered, in their order. */
    ask(4, REQUEST_LIST, "", 0);
    ask(5, REQUEST_START, "web", 0);
    assert_int_equal(work(), 0);
    assert_int_equal(work(), NEVER);
    for (unsigned i = 0; i < 3; i++)
        assert_true(hear() && got.head.request == 4);
    assert_end(4, ANSWER_DONE);
    assert_note(5, "Guest web starts.");
    assert_end(5, ANSWER_DONE);
}

/* An answer far longer than the channel, to a reader that takes its time: whole, in order, and root never waits. */
static void long_answer(void **unused)
{
    (void)unused;
    list_length = 5000;
    ask(1, REQUEST_LIST, "", 0);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(work(), NEVER);
    ask(2, REQUEST_LIST, "", 0); /* while the first is on its way: the channel is full, so it waits there */
    work();
    srand(1);
    unsigned heard = 0;
    for (;;) {
        if (rand() % 3 == 0)
            work();
        if (!hear())
            continue;
        assert_int_equal(got.head.request, 1);
        if (got.head.kind == RECORD_END)
            break;
        assert_int_equal(got.guest.restarts, heard++);
    }
    assert_int_equal(heard, 5000);
    while (!hear() || got.head.kind != RECORD_END)
        work();
    assert_int_equal(got.head.request, 2);
    assert_int_equal(got.end.status, ANSWER_DONE);
}

static void audit_takes_time(void **unused)
{
    (void)unused;
    ask(1, REQUEST_AUDIT, "", 0);
    assert_int_equal(work(), NEVER);
    assert_false(hear());
    ask(2, REQUEST_LIST, "", 0);
    work();
    assert_end(2, ANSWER_BUSY);
    audit_ready = true;
    work();
    assert_true(hear() && got.head.kind == RECORD_AUDIT && got.head.request == 1);
    assert_end(1, ANSWER_DONE);
    audit_refused = true;
    ask(3, REQUEST_AUDIT_BREAK, "web", 0);
    work();
    assert_note(3, "not now");
    assert_end(3, ANSWER_REFUSED);
}

/* However much there is to tell unasked, a request is taken at once, and its answer comes soon. */
static void news_hold_up_no_request(void **unused)
{
    (void)unused;
    changed = 1000;
    work();
    ask(1, REQUEST_START, "web", 0);
    work();
    unsigned told = 0;
    while (hear() && got.head.request == 0)
        told++;
    assert_in_range(told, 1, CHANNEL_RING_BYTES / 2 / sizeof(struct guest_record) + 1);
    assert_string_equal(got.note.text, "Guest web starts.");
    assert_end(1, ANSWER_DONE);
    for (told += hear(); told < 1000; told += hear())
        work();
    assert_false(hear());
}

static void news(void **unused)
{
    (void)unused;
    changed = 2;
    work();
    for (unsigned i = 0; i < 2; i++) {
        assert_true(hear());
        assert_int_equal(got.head.kind, RECORD_GUEST);
        assert_int_equal(got.head.request, 0);
        assert_string_equal(got.guest.name, "batch");
    }
    assert_false(hear());
}

/* A console that has crashed in the middle of an answer: its successor has none of it. */
static void successor(void **unused)
{
    (void)unused;
    list_length = 100;
    ask(1, REQUEST_LIST, "", 0);
    work();
    console_service.alive = false;
    changed = 1;
    work();
    memset(&channel, 0, sizeof channel);
    memset(&reader, 0, sizeof reader);
    console_service.alive = true;
    console_service.starts++;
    work();
    assert_true(hear() && got.head.request == 0); /* what has changed meanwhile */
    assert_false(hear());
    ask(1, REQUEST_START, "web", 0);
    work();
    assert_note(1, "Guest web starts.");
    assert_end(1, ANSWER_DONE);
}

static void power(void **unused)
{
    (void)unused;
    ask(1, REQUEST_EXIT, "", 3);
    work();
    assert_true(hear() && got.head.kind == RECORD_NOTE);
    assert_end(1, ANSWER_REFUSED);
    power_failed = true;
    ask(2, REQUEST_REBOOT, "", 0);
    uint64_t until = work();
    assert_true(until > tsc_now() && until != NEVER);
    assert_true(hear() && got.head.kind == RECORD_DRAIN && got.head.request == 0);
    work();
    assert_int_equal(acted, POWER_NOTHING);
    ask(3, REQUEST_DRAINED, "", 0);
    work();
    assert_int_equal(acted, POWER_RESET);
    assert_note(2, "it cannot");
    assert_end(2, ANSWER_REFUSED);
    assert_false(hear());
    /* Without a console there is nothing to wait for. */
    power_failed = false;
    ask(4, REQUEST_POWEROFF, "", 0);
    work();
    console_service.alive = false;
    if (setjmp(machine_off) == 0) {
        work();
        fail();
    }
    assert_int_equal(acted, POWER_OFF);
}

static const char *const last_words = "switching the machine off";

/* Guests get their power buttons and their time. The last one that goes ends the machine. */
static void power_after_the_guests(void **unused)
{
    (void)unused;
    running = 2;
    ask(1, REQUEST_POWEROFF, "", 120);
    uint64_t until = work();
    assert_true(until > tsc_now() && until != NEVER);
    assert_int_equal(closed, 1);
    assert_note(1,
                "The power buttons of 2 guests are pressed; the machine is switched off when all are off, in 120 s at "
                "the latest.");
    assert_string_equal(got.note.advice, "'poweroff now' does not wait, 'poweroff cancel' calls it off.");
    assert_end(1, ANSWER_DONE); /* the shell is free meanwhile */
    ask(2, REQUEST_POWEROFF, "", 120);
    work();
    assert_true(hear() && got.head.kind == RECORD_NOTE);
    assert_end(2, ANSWER_REFUSED);
    running = 1;
    work();
    assert_string_equal(last_log,
                        "the machine is switched off when all guests are off, in 120 s at the latest; still on: web");
    assert_false(hear());
    running = 0;
    work();
    assert_string_equal(last_log, last_words);
    assert_true(hear() && got.head.kind == RECORD_DRAIN);
    ask(0, REQUEST_DRAINED, "", 0);
    if (setjmp(machine_off) == 0) {
        work();
        fail();
    }
    assert_int_equal(acted, POWER_OFF);
}

static void power_called_off(void **unused)
{
    (void)unused;
    ask(1, REQUEST_STAY, "", 0);
    work();
    assert_note(1, "The machine is not about to end: there is nothing to call off.");
    assert_end(1, ANSWER_REFUSED);
    running = 2;
    ask(2, REQUEST_REBOOT, "", 60);
    work();
    assert_true(hear() && got.head.kind == RECORD_NOTE);
    assert_end(2, ANSWER_DONE);
    ask(3, REQUEST_STAY, "", 0);
    assert_int_equal(work(), NEVER);
    assert_true(hear() && got.head.kind == RECORD_NOTE);
    assert_end(3, ANSWER_DONE);
    assert_int_equal(opened, 1);
    running = 0;
    work();
    assert_int_equal(acted, POWER_NOTHING);
}

/* `now` while guests have time still; and a guest that does not go does not keep the machine. */
static void power_does_not_wait(void **unused)
{
    (void)unused;
    power_failed = true;
    running = 2;
    ask(1, REQUEST_POWEROFF, "", 60);
    work();
    assert_true(hear() && got.head.kind == RECORD_NOTE);
    assert_end(1, ANSWER_DONE);
    ask(2, REQUEST_POWEROFF, "", 0);
    work();
    assert_true(hear() && got.head.kind == RECORD_DRAIN);
    ask(0, REQUEST_DRAINED, "", 0);
    work();
    assert_int_equal(acted, POWER_OFF);
    assert_note(2, "it cannot");
    assert_end(2, ANSWER_REFUSED);
    assert_int_equal(opened, 1); /* the guests that are there run on */
    acted = POWER_NOTHING;
    tick_ms = 0; /* so that all time is over */
    ask(3, REQUEST_POWEROFF, "", 60);
    work();
    assert_true(hear() && got.head.kind == RECORD_NOTE);
    assert_end(3, ANSWER_DONE);
    work();
    assert_int_equal(acted, POWER_OFF);
    assert_string_equal(last_log, "it cannot"); /* the request was answered long ago */
}

/* Whatever bytes come: they are answered or dropped, and the next request is served. */
static void noise(void **unused)
{
    (void)unused;
    srand(5);
    power_failed = true;
    for (unsigned i = 0; i < 20000; i++) {
        uint8_t bytes[300];
        union record r;
        record_begin(&r, RECORD_REQUEST);
        r.request.what = (unsigned)rand() % REQUEST_POWEROFF;
        strcpy(r.request.name, rand() % 2 ? "web" : "bob");
        memcpy(bytes, &r, r.head.bytes);
        for (int k = rand() % 3; k > 0; k--)
            bytes[(size_t)rand() % r.head.bytes] = (uint8_t)rand();
        channel_write(&channel.from_guest, bytes, (size_t)(rand() % 8 ? r.head.bytes : (uint32_t)rand() % 300));
        audit_ready = rand() % 2;
        work();
        for (int k = rand() % 8; k > 0; k--)
            (void)hear();
    }
    audit_ready = true;
    memset(&channel.from_guest, 0, sizeof channel.from_guest);
    for (unsigned i = 0; i < 100; i++) {
        work();
        while (hear())
            ;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(answers, setup),
        cmocka_unit_test_setup(mistakes, setup),
        cmocka_unit_test_setup(long_answer, setup),
        cmocka_unit_test_setup(audit_takes_time, setup),
        cmocka_unit_test_setup(news, setup),
        cmocka_unit_test_setup(news_hold_up_no_request, setup),
        cmocka_unit_test_setup(successor, setup),
        cmocka_unit_test_setup(noise, setup),
        cmocka_unit_test_setup(power, setup),
        cmocka_unit_test_setup(power_after_the_guests, setup),
        cmocka_unit_test_setup(power_called_off, setup),
        cmocka_unit_test_setup(power_does_not_wait, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
