// SPDX-License-Identifier: Apache-2.0
/* Requests and answers as records: order, pieces, a full ring, and damage of every kind. */
// sources: lib/proto/records.c lib/proto/channel.c lib/print.c lib/string.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "lib/proto/audit_boot.h"
#include "lib/proto/records.h"

static struct channel_ring ring;
static struct record_reader reader;

static int setup(void **unused)
{
    (void)unused;
    memset(&ring, 0, sizeof ring);
    memset(&reader, 0, sizeof reader);
    return 0;
}

static union record note(uint32_t number, const char *text)
{
    union record r;
    record_begin(&r, RECORD_NOTE);
    r.head.request = number;
    record_note(&r.note, NOTE_ERROR, "%s", text);
    return r;
}

static void order(void **unused)
{
    (void)unused;
    union record r;
    assert_int_equal(record_receive(&reader, &ring), RECORD_NONE);
    record_begin(&r, RECORD_REQUEST);
    r.head.request = 7;
    r.request.what = REQUEST_STOP;
    r.request.argument = 1;
    strcpy(r.request.name, "web");
    assert_true(record_send(&ring, &r));
    r = note(8, "no");
    record_advice(&r.note, "try %s", "this");
    assert_true(record_send(&ring, &r));
    assert_int_equal(record_receive(&reader, &ring), RECORD_READY);
    assert_int_equal(reader.record.head.kind, RECORD_REQUEST);
    assert_int_equal(reader.record.head.request, 7);
    assert_int_equal(reader.record.request.what, REQUEST_STOP);
    assert_int_equal(reader.record.request.argument, 1);
    assert_string_equal(reader.record.request.name, "web");
    assert_int_equal(record_receive(&reader, &ring), RECORD_READY);
    assert_string_equal(reader.record.note.text, "no");
    assert_string_equal(reader.record.note.advice, "try this");
    assert_int_equal(record_receive(&reader, &ring), RECORD_NONE);
}

static void every_kind(void **unused)
{
    (void)unused;
    for (unsigned kind = 1; kind < RECORD_KIND_COUNT; kind++) {
        union record r;
        record_begin(&r, kind);
        assert_in_range(r.head.bytes, sizeof r.head, sizeof r);
        assert_true(record_send(&ring, &r));
        assert_int_equal(channel_used(&ring), r.head.bytes);
        assert_int_equal(record_receive(&reader, &ring), RECORD_READY);
        assert_int_equal(reader.record.head.kind, kind);
        assert_memory_equal(&reader.record, &r, r.head.bytes);
    }
}

static void in_pieces(void **unused)
{
    (void)unused;
    union record r = note(3, "in pieces");
    for (size_t i = 0; i + 1 < r.head.bytes; i++) {
        channel_write(&ring, (uint8_t *)&r + i, 1);
        assert_int_equal(record_receive(&reader, &ring), RECORD_NONE);
    }
    channel_write(&ring, (uint8_t *)&r + r.head.bytes - 1, 1);
    assert_int_equal(record_receive(&reader, &ring), RECORD_READY);
    assert_string_equal(reader.record.note.text, "in pieces");
}

static void full(void **unused)
{
    (void)unused;
    union record r = note(0, "x");
    unsigned sent = 0;
    for (;; sent++) {
        r.head.request = sent;
        if (!record_send(&ring, &r))
            break;
    }
    assert_int_equal(sent, CHANNEL_RING_BYTES / sizeof(struct note_record));
    for (unsigned i = 0; i < sent; i++) {
        assert_int_equal(record_receive(&reader, &ring), RECORD_READY);
        assert_int_equal(reader.record.head.request, i);
    }
    assert_int_equal(record_receive(&reader, &ring), RECORD_NONE);
}

static void cut(void **unused)
{
    (void)unused;
    char text[1000];
    union record r;
    memset(text, 't', sizeof text);
    text[999] = 0;
    r = note(1, text);
    record_advice(&r.note, "%s", text);
    assert_int_equal(strlen(r.note.text), sizeof r.note.text - 1);
    assert_int_equal(strlen(r.note.advice), sizeof r.note.advice - 1);
    /* A sender that does not terminate, and has control characters. */
    memset(r.note.text, '\x1b', sizeof r.note.text);
    assert_true(record_send(&ring, &r));
    assert_int_equal(record_receive(&reader, &ring), RECORD_READY);
    assert_int_equal(strlen(reader.record.note.text), sizeof r.note.text - 1);
    assert_int_equal(strspn(reader.record.note.text, "?"), sizeof r.note.text - 1);
}

/* A record of another version, kind or size is skipped, and says whose it was; the next one is read. */
static void foreign(void **unused)
{
    (void)unused;
    for (unsigned i = 0; i < 4; i++) {
        union record r = note(5, "bad"), good = note(6, "good");
        size_t bytes = r.head.bytes;
        if (i == 0)
            r.head.version++;
        else if (i == 1)
            r.head.kind = RECORD_KIND_COUNT;
        else if (i == 2)
            r.head.kind = 0;
        else
            r.head.bytes = (uint32_t)(bytes -= 8);
        channel_write(&ring, &r, bytes - 100);
        assert_int_equal(record_receive(&reader, &ring), RECORD_BAD);
        assert_int_equal(reader.record.head.request, 5);
        assert_int_equal(record_receive(&reader, &ring), RECORD_NONE);
        channel_write(&ring, (uint8_t *)&r + bytes - 100, 100);
        assert_true(record_send(&ring, &good));
        assert_int_equal(record_receive(&reader, &ring), RECORD_READY);
        assert_string_equal(reader.record.note.text, "good");
    }
}

static void senseless_length(void **unused)
{
    (void)unused;
    static const uint32_t lengths[] = {0, 1, sizeof(struct record_head) - 1, RECORD_BYTES_MAX + 1, 0x80000000u, ~0u};
    for (unsigned i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        union record r = note(5, "bad"), good = note(6, "good");
        size_t bytes = r.head.bytes;
        r.head.bytes = lengths[i];
        channel_write(&ring, &r, bytes);
        assert_true(record_send(&ring, &good));
        assert_int_equal(record_receive(&reader, &ring), RECORD_BAD);
        assert_int_equal(reader.record.head.request, 0);
        assert_int_equal(channel_used(&ring), 0);
        assert_true(record_send(&ring, &good));
        assert_int_equal(record_receive(&reader, &ring), RECORD_READY);
    }
}

static void limits(void **unused)
{
    (void)unused;
    union record r[6];
    record_begin(&r[0], RECORD_GUEST);
    r[0].guest.life = LIFE_COUNT;
    record_begin(&r[1], RECORD_GUEST);
    r[1].guest.cpu_count = RECORD_CPUS + 1;
    record_begin(&r[2], RECORD_VIOLATION);
    r[2].violation.other.kind = OWNER_KIND_COUNT;
    record_begin(&r[3], RECORD_AUDIT);
    r[3].audit.verdict = AUDIT_VERDICT_COUNT;
    record_begin(&r[4], RECORD_END);
    r[4].end.status = ANSWER_STATUS_COUNT;
    record_begin(&r[5], RECORD_RANGE);
    r[5].range.what = ~0u;
    for (unsigned i = 0; i < 6; i++) {
        r[i].head.request = 1 + i;
        assert_true(record_send(&ring, &r[i]));
        assert_int_equal(record_receive(&reader, &ring), RECORD_BAD);
        assert_int_equal(reader.record.head.request, 1 + i);
    }
}

static bool terminated(const char *s, size_t bytes)
{
    return memchr(s, 0, bytes) != NULL;
}

/* What a reader accepts can be used as it is. */
static void assert_sane(const union record *r)
{
    assert_int_equal(r->head.version, RECORDS_VERSION);
    assert_in_range(r->head.kind, 1, RECORD_KIND_COUNT - 1);
    switch (r->head.kind) {
    case RECORD_REQUEST: assert_true(terminated(r->request.name, sizeof r->request.name)); break;
    case RECORD_GUEST:
        assert_true(r->guest.life < LIFE_COUNT && r->guest.cpu_count <= RECORD_CPUS);
        assert_true(terminated(r->guest.name, sizeof r->guest.name));
        assert_true(terminated(r->guest.reason, sizeof r->guest.reason));
        break;
    case RECORD_RANGE: assert_true(r->range.what < RANGE_WHAT_COUNT); break;
    case RECORD_ACCOUNT: assert_true(r->account.kind < ACCOUNT_KIND_COUNT); break;
    case RECORD_OWNED: assert_true(r->owned.owner.kind < OWNER_KIND_COUNT); break;
    case RECORD_VIOLATION: assert_true(r->violation.who.kind < OWNER_KIND_COUNT); break;
    case RECORD_NOTE:
        assert_true(terminated(r->note.text, sizeof r->note.text));
        assert_true(terminated(r->note.advice, sizeof r->note.advice));
        break;
    default: break;
    }
}

static void random_record(union record *r)
{
    record_begin(r, 1 + (unsigned)rand() % (RECORD_KIND_COUNT - 1));
    for (size_t i = sizeof r->head; i < r->head.bytes; i++)
        ((uint8_t *)r)[i] = (uint8_t)(rand() % 4 ? 0 : rand());
}

/* Bytes changed, lost, doubled: no record is read that could not be used, and after any damage the stream goes on. */
static void damage(void **unused)
{
    (void)unused;
    srand(9);
    unsigned ready = 0, bad = 0;
    for (int i = 0; i < 40000; i++) {
        union record r;
        random_record(&r);
        size_t bytes = r.head.bytes;
        for (int k = rand() % 3; k > 0; k--)
            ((uint8_t *)&r)[(size_t)rand() % (rand() % 2 ? 16 : bytes)] = (uint8_t)rand();
        if (rand() % 10 == 0)
            bytes -= (size_t)rand() % bytes;
        channel_write(&ring, &r, bytes);
        for (int k = rand() % 4; k > 0; k--) {
            enum record_result result = record_receive(&reader, &ring);
            if (result == RECORD_READY)
                assert_sane(&reader.record);
            ready += result == RECORD_READY;
            bad += result == RECORD_BAD;
        }
    }
    assert_true(ready > 5000 && bad > 5000);
    /* It recovers: a record of zeros has a senseless length and empties the ring. */
    uint8_t zeros[RECORD_BYTES_MAX + sizeof(struct record_head)] = {0};
    while (record_receive(&reader, &ring) != RECORD_NONE)
        ;
    channel_write(&ring, zeros, sizeof zeros);
    while (record_receive(&reader, &ring) != RECORD_NONE)
        ;
    if (reader.have != 0) { /* some zeros completed a record: the rest is a head too short */
        channel_write(&ring, zeros, sizeof(struct record_head));
        while (record_receive(&reader, &ring) != RECORD_NONE)
            ;
    }
    assert_int_equal(reader.have, 0);
    union record good = note(1, "good");
    assert_true(record_send(&ring, &good));
    assert_int_equal(record_receive(&reader, &ring), RECORD_READY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(order, setup),
        cmocka_unit_test_setup(every_kind, setup),
        cmocka_unit_test_setup(in_pieces, setup),
        cmocka_unit_test_setup(full, setup),
        cmocka_unit_test_setup(cut, setup),
        cmocka_unit_test_setup(foreign, setup),
        cmocka_unit_test_setup(senseless_length, setup),
        cmocka_unit_test_setup(limits, setup),
        cmocka_unit_test_setup(damage, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
