// SPDX-License-Identifier: Apache-2.0
/*
 * See lib/proto/records.h. One row for each kind says how long it is, where its strings are, and which of its numbers
 * have a limit.
 */
#include "lib/proto/records.h"
#include "lib/print.h"
#include "lib/proto/audit_boot.h"
#include "lib/proto/console_boot.h"
#include "lib/string.h"

struct text {
    uint16_t at, bytes;
};
struct limit {
    uint16_t at;
    uint16_t below; /* a uint32_t there is less than this; 0: no limit */
};
struct shape {
    uint16_t bytes;
    struct text text[2];
    struct limit limit[5];
};

#define TEXT(type, field)                                             \
    {                                                                 \
        offsetof(struct type, field), sizeof((struct type *)0)->field \
    }
#define LIMIT(type, field, below)           \
    {                                       \
        offsetof(struct type, field), below \
    }

static const struct shape shapes[RECORD_KIND_COUNT] = {
    [RECORD_REQUEST] = {sizeof(struct request_record), {TEXT(request_record, name)}, {{0}}},
    [RECORD_GUEST] = {sizeof(struct guest_record),
                      {TEXT(guest_record, name), TEXT(guest_record, reason)},
                      {LIMIT(guest_record, life, LIFE_COUNT), LIMIT(guest_record, number, CONSOLE_GUESTS_MAX),
                       LIMIT(guest_record, served, 2), LIMIT(guest_record, percent, 101),
                       LIMIT(guest_record, cpu_count, RECORD_CPUS + 1)}},
    [RECORD_STATS] = {sizeof(struct stats_record), {TEXT(stats_record, name)}, {LIMIT(stats_record, on, 2)}},
    [RECORD_MACHINE] = {sizeof(struct machine_record), {{0}}, {{0}}},
    [RECORD_RANGE] = {sizeof(struct range_record),
                      {TEXT(range_record, name)},
                      {LIMIT(range_record, what, RANGE_WHAT_COUNT)}},
    [RECORD_ACCESS] = {sizeof(struct access_record),
                       {TEXT(access_record, region), TEXT(access_record, guest)},
                       {LIMIT(access_record, writable, 2)}},
    [RECORD_CPU] = {sizeof(struct cpu_record), {{0}}, {{0}}},
    [RECORD_ACCOUNT] = {sizeof(struct account_record),
                        {TEXT(account_record, name)},
                        {LIMIT(account_record, kind, ACCOUNT_KIND_COUNT)}},
    [RECORD_PATH] = {sizeof(struct path_record), {{0}}, {{0}}},
    [RECORD_DEVICE] = {sizeof(struct device_record),
                       {TEXT(device_record, driver)},
                       {LIMIT(device_record, pin, 5), LIMIT(device_record, messages, 4),
                        LIMIT(device_record, master, 2), LIMIT(device_record, interrupt, DEVICE_INTERRUPT_COUNT),
                        LIMIT(device_record, driven, 2)}},
    [RECORD_OWNED] = {sizeof(struct owned_record),
                      {TEXT(owned_record, owner.name)},
                      {LIMIT(owned_record, owner.kind, OWNER_KIND_COUNT), LIMIT(owned_record, owner.shared, 2)}},
    [RECORD_VIOLATION] = {sizeof(struct violation_record),
                          {TEXT(violation_record, who.name), TEXT(violation_record, other.name)},
                          {LIMIT(violation_record, who.kind, OWNER_KIND_COUNT),
                           LIMIT(violation_record, other.kind, OWNER_KIND_COUNT),
                           LIMIT(violation_record, who.shared, 2), LIMIT(violation_record, other.shared, 2)}},
    [RECORD_AUDIT] = {sizeof(struct audit_record),
                      {{0}},
                      {LIMIT(audit_record, verdict, AUDIT_VERDICT_COUNT), LIMIT(audit_record, broken, BROKEN_COUNT)}},
    [RECORD_NOTE] = {sizeof(struct note_record),
                     {TEXT(note_record, text), TEXT(note_record, advice)},
                     {LIMIT(note_record, severity, NOTE_SEVERITY_COUNT)}},
    [RECORD_DRAIN] = {sizeof(struct record_head), {{0}}, {{0}}},
    [RECORD_END] = {sizeof(struct end_record), {{0}}, {LIMIT(end_record, status, ANSWER_STATUS_COUNT)}},
};

void record_begin(union record *out, enum record_kind kind)
{
    memset(out, 0, sizeof *out);
    out->head.version = RECORDS_VERSION;
    out->head.kind = (uint16_t)kind;
    out->head.bytes = shapes[kind].bytes;
}

void record_note(struct note_record *out, enum note_severity severity, const char *text, ...)
{
    va_list arguments;
    out->severity = severity;
    va_start(arguments, text);
    format_list(out->text, sizeof out->text, text, arguments);
    va_end(arguments);
}

void record_advice(struct note_record *out, const char *text, ...)
{
    va_list arguments;
    va_start(arguments, text);
    format_list(out->advice, sizeof out->advice, text, arguments);
    va_end(arguments);
}

bool record_send(struct channel_ring *r, const union record *record)
{
    if (channel_space(r) < record->head.bytes)
        return false;
    channel_write(r, record, record->head.bytes);
    return true;
}

static const struct shape *shape_of(const struct record_head *h)
{
    if (h->version != RECORDS_VERSION || h->kind >= RECORD_KIND_COUNT || shapes[h->kind].bytes != h->bytes ||
        h->bytes == 0)
        return NULL;
    return &shapes[h->kind];
}

static void print_safe(char *s, size_t bytes)
{
    s[bytes - 1] = 0;
    for (; *s != 0; s++)
        if (*s < 0x20 || *s > 0x7e)
            *s = '?';
}

/* The record is whole, and as long as its kind says. */
static bool sensible(union record *record, const struct shape *shape)
{
    uint8_t *bytes = (uint8_t *)record;
    for (unsigned i = 0; i < ARRAY_SIZE(shape->text) && shape->text[i].bytes != 0; i++)
        print_safe((char *)bytes + shape->text[i].at, shape->text[i].bytes);
    for (unsigned i = 0; i < ARRAY_SIZE(shape->limit) && shape->limit[i].below != 0; i++) {
        uint32_t value;
        memcpy(&value, bytes + shape->limit[i].at, sizeof value);
        if (value >= shape->limit[i].below)
            return false;
    }
    return true;
}

static void drop(struct channel_ring *r, uint32_t bytes)
{
    uint8_t junk[256];
    while (bytes != 0) {
        size_t n = channel_read(r, junk, min_u64(bytes, sizeof junk));
        if (n == 0)
            return;
        bytes -= (uint32_t)n;
    }
}

/* More of the record, up to `bytes` of it. */
static bool fill(struct record_reader *reader, struct channel_ring *r, uint32_t bytes)
{
    if (reader->have < bytes)
        reader->have += (uint32_t)channel_read(r, (uint8_t *)&reader->record + reader->have, bytes - reader->have);
    return reader->have >= bytes;
}

/* What is left of a bad record. */
static bool skip(struct record_reader *reader, struct channel_ring *r)
{
    while (reader->skip != 0) {
        uint8_t junk[256];
        size_t n = channel_read(r, junk, min_u64(reader->skip, sizeof junk));
        if (n == 0)
            return false;
        reader->skip -= (uint32_t)n;
    }
    return true;
}

enum record_result record_receive(struct record_reader *reader, struct channel_ring *r)
{
    struct record_head *h = &reader->record.head;
    if (!skip(reader, r) || !fill(reader, r, sizeof *h))
        return RECORD_NONE;
    if (h->bytes < sizeof *h || h->bytes > RECORD_BYTES_MAX) {
        drop(r, CHANNEL_RING_BYTES);
        reader->have = 0;
        h->request = 0;
        return RECORD_BAD;
    }
    const struct shape *shape = shape_of(h);
    if (shape == NULL) {
        reader->skip = h->bytes - (uint32_t)sizeof *h;
        reader->have = 0;
        return RECORD_BAD;
    }
    if (!fill(reader, r, h->bytes))
        return RECORD_NONE;
    reader->have = 0;
    return sensible(&reader->record, shape) ? RECORD_READY : RECORD_BAD;
}
