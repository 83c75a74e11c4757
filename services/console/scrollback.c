// SPDX-License-Identifier: Apache-2.0
/*
 * See scrollback.h.
 */
#include "services/console/scrollback.h"
#include "lib/string.h"

void scrollback_init(struct scrollback *s, char *text, uint32_t bytes)
{
    *s = (struct scrollback){.text = text, .bytes = bytes};
}

static char at(const struct scrollback *s, uint64_t i)
{
    return s->text[i % s->bytes];
}

void scrollback_move(struct scrollback *s, char *text, uint32_t bytes, char *spare)
{
    uint32_t count = s->head < bytes ? (uint32_t)s->head : bytes;
    for (uint32_t i = 0; i < count; i++)
        spare[i] = at(s, s->head - count + i);
    bool cut = s->head > bytes; /* then the first line may be a piece: it counts as lost */
    *s = (struct scrollback){.text = text, .bytes = bytes, .head = cut ? bytes + count : count};
    memcpy(text, spare, count);
}

void scrollback_keep(struct scrollback *s, const char *line, size_t size)
{
    for (size_t i = 0; i < size; i++)
        s->text[s->head++ % s->bytes] = line[i];
    s->text[s->head++ % s->bytes] = '\n';
}

void scrollback_show(const struct scrollback *s, unsigned lines, void (*show)(void *, const char *, size_t),
                     void *context)
{
    uint64_t first = s->head > s->bytes ? s->head - s->bytes : 0;
    uint64_t from = s->head;
    for (unsigned n = 0; n < lines && from > first; n++) {
        uint64_t end = from - 1; /* this line's '\n' */
        uint64_t start = end;
        while (start > first && at(s, start - 1) != '\n')
            start--;
        if (start == first && first != 0) /* its beginning is lost */
            break;
        from = start;
    }
    for (uint64_t i = from; i < s->head; i++) {
        char c = at(s, i);
        if (c == '\n')
            show(context, "\r\n", 2);
        else
            show(context, &c, 1);
    }
}
