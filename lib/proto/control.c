// SPDX-License-Identifier: Apache-2.0
/*
 * See lib/proto/control.h.
 */
#include "lib/proto/control.h"
#include "lib/string.h"

#define HEAD_BYTES ((uint32_t)offsetof(struct control_message, text))

bool control_send(struct channel_ring *r, enum control_kind kind, uint32_t guest, uint32_t value, const char *text)
{
    struct control_message m = {.kind = kind, .guest = guest, .value = value, .length = 0};
    size_t length = text != NULL ? strlen(text) : 0;
    m.length = (uint32_t)(length < CONTROL_TEXT_MAX ? length : CONTROL_TEXT_MAX);
    if (m.length != 0)
        memcpy(m.text, text, m.length);
    if (channel_space(r) < HEAD_BYTES + m.length)
        return false;
    channel_write(r, &m, HEAD_BYTES + m.length);
    return true;
}

bool control_receive(struct control_reader *reader, struct channel_ring *r)
{
    struct control_message *m = &reader->message;
    if (reader->have < HEAD_BYTES) {
        reader->have += (uint32_t)channel_read(r, (uint8_t *)m + reader->have, HEAD_BYTES - reader->have);
        if (reader->have < HEAD_BYTES)
            return false;
    }
    if (m->length > CONTROL_TEXT_MAX || m->kind == 0 || m->kind >= CONTROL_KIND_COUNT) {
        uint8_t junk[256];
        for (unsigned i = 0; i < CHANNEL_RING_BYTES / sizeof junk && channel_read(r, junk, sizeof junk) != 0; i++)
            ;
        reader->have = 0;
        return false;
    }
    uint32_t whole = HEAD_BYTES + m->length;
    reader->have += (uint32_t)channel_read(r, (uint8_t *)m + reader->have, whole - reader->have);
    if (reader->have < whole)
        return false;
    m->text[m->length] = 0;
    reader->have = 0;
    return true;
}
