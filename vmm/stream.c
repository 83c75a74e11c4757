// SPDX-License-Identifier: Apache-2.0
/* See vmm/stream.h. Numbers are little-endian, as the machine's own. */
#include "vmm/stream.h"

#include "lib/string.h"

#define STREAM_MAGIC   0x455641534c4c554dull /* "MULLSAVE" */
#define STREAM_VERSION 1u

struct header {
    uint64_t magic;
    uint32_t version, sections;
    uint64_t length; /* of all, with this header */
    uint64_t checksum;
};
struct section_header {
    struct stream_section section;
    uint64_t checksum; /* of the fields before it and of the contents */
};
_Static_assert(sizeof(struct header) == 32 && sizeof(struct section_header) == 32, "they are in saved streams");

/* FNV-1a, 64 bits: against accidents, not against forgers. */
static uint64_t checksum(uint64_t sum, const void *bytes, size_t count)
{
    const uint8_t *b = bytes;
    for (size_t i = 0; i < count; i++)
        sum = (sum ^ b[i]) * 0x100000001b3ull;
    return sum;
}

static uint64_t section_checksum(const struct section_header *h, const uint8_t *contents)
{
    uint64_t sum = checksum(0xcbf29ce484222325ull, &h->section, sizeof h->section);
    return checksum(sum, contents, h->section.length);
}

static uint64_t header_checksum(const struct header *h)
{
    return checksum(0xcbf29ce484222325ull, h, offsetof(struct header, checksum));
}

void stream_save(struct stream *s, void *bytes, size_t size)
{
    *s = (struct stream){.bytes = bytes, .size = size, .at = sizeof(struct header)};
    s->failed = size < s->at;
}

static bool room(struct stream *s, size_t count)
{
    size_t limit = s->loading ? s->end : s->size;
    if (s->failed || count > limit - s->at)
        s->failed = true;
    return !s->failed;
}

void stream_begin(struct stream *s, const char *name, uint16_t number, uint16_t version)
{
    struct section_header h = {.section = {.number = number, .version = version}};
    size_t length = strlen(name);
    if (length >= STREAM_NAME_BYTES)
        s->failed = true;
    if (!room(s, sizeof h))
        return;
    memcpy(h.section.name, name, length);
    memcpy(s->bytes + s->at, &h, sizeof h);
    s->section = s->at;
    s->at += sizeof h;
    s->version = version;
}

void stream_end(struct stream *s)
{
    struct section_header h;
    if (s->failed)
        return;
    memcpy(&h, s->bytes + s->section, sizeof h);
    h.section.length = (uint32_t)(s->at - s->section - sizeof h);
    h.checksum = section_checksum(&h, s->bytes + s->section + sizeof h);
    memcpy(s->bytes + s->section, &h, sizeof h);
    s->sections++;
}

size_t stream_saved(struct stream *s)
{
    struct header h = {.magic = STREAM_MAGIC, .version = STREAM_VERSION, .sections = s->sections, .length = s->at};
    if (s->failed)
        return 0;
    h.checksum = header_checksum(&h);
    memcpy(s->bytes, &h, sizeof h);
    return s->at;
}

/* The section at `at` into *h. False: there is none, or not a whole one. */
static bool section_at(const uint8_t *bytes, size_t size, size_t at, struct section_header *h)
{
    if (sizeof *h > size - at)
        return false;
    memcpy(h, bytes + at, sizeof *h);
    return h->section.length <= size - at - sizeof *h && h->section.name[STREAM_NAME_BYTES - 1] == 0 &&
           h->checksum == section_checksum(h, bytes + at + sizeof *h);
}

enum error stream_open(struct stream *s, const void *bytes, size_t size)
{
    struct header h;
    *s = (struct stream){.bytes = (uint8_t *)(uintptr_t)bytes, .size = size, .loading = true, .failed = true};
    if (size < sizeof h)
        return E_ARG;
    memcpy(&h, bytes, sizeof h);
    if (h.magic != STREAM_MAGIC || h.version != STREAM_VERSION || h.length != size || h.checksum != header_checksum(&h))
        return E_ARG;
    size_t at = sizeof h;
    for (uint32_t i = 0; i < h.sections; i++) {
        struct section_header section;
        if (!section_at(s->bytes, size, at, &section))
            return E_ARG;
        at += sizeof section + section.section.length;
    }
    if (at != size)
        return E_ARG;
    s->sections = h.sections;
    s->end = sizeof h; /* where the first section begins */
    s->failed = false;
    return OK;
}

bool stream_next(struct stream *s, struct stream_section *section)
{
    struct section_header h;
    if (s->sections == 0 || !section_at(s->bytes, s->size, s->end, &h))
        return false;
    s->sections--;
    s->section = s->end;
    s->at = s->section + sizeof h;
    s->end = s->at + h.section.length;
    s->version = h.section.version;
    s->failed = false;
    *section = h.section;
    return true;
}

bool stream_read_whole(const struct stream *s)
{
    return !s->failed && s->at == s->end;
}

void stream_bytes(struct stream *s, void *field, size_t count)
{
    bool fits = room(s, count);
    if (!s->loading) {
        if (fits)
            memcpy(s->bytes + s->at, field, count);
    } else if (fits) {
        memcpy(field, s->bytes + s->at, count);
    } else {
        memset(field, 0, count);
    }
    if (fits)
        s->at += count;
}

void stream_bool(struct stream *s, bool *field)
{
    uint8_t byte = *field;
    stream_bytes(s, &byte, 1);
    if (byte > 1)
        s->failed = true;
    *field = byte == 1;
}

void stream_time(struct stream *s, uint64_t now, uint64_t *tick)
{
    bool never = *tick == UINT64_MAX;
    uint64_t ago = now - *tick;
    stream_bool(s, &never);
    stream_bytes(s, &ago, sizeof ago);
    if (s->loading)
        *tick = never ? UINT64_MAX : now - ago;
}
