// SPDX-License-Identifier: Apache-2.0
/*
 * See scrollback.h.
 */
#include "services/console/scrollback.h"
#include "lib/print.h"
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

/* A line begins with its time, six bits a byte, so that none of them is a line's end. */
#define TIME_BYTES 7u

void scrollback_keep(struct scrollback *s, const char *line, size_t size, uint64_t ms)
{
    for (unsigned i = 0; i < TIME_BYTES; i++)
        s->text[s->head++ % s->bytes] = (char)(0x80u | (ms >> 6 * i & 63));
    for (size_t i = 0; i < size; i++)
        s->text[s->head++ % s->bytes] = line[i];
    s->text[s->head++ % s->bytes] = '\n';
}

static void show_time(const struct scrollback *s, uint64_t from, void (*show)(void *, const char *, size_t),
                      void *context)
{
    const uint64_t none = (1ull << 6 * TIME_BYTES) - 1;
    uint64_t ms = 0;
    char text[24];
    for (unsigned i = 0; i < TIME_BYTES; i++)
        ms |= (uint64_t)(at(s, from + i) & 63) << 6 * i;
    if (ms == none)
        format(text, sizeof text, "%10s ", "-");
    else
        format(text, sizeof text, "%6llu.%03u ", (unsigned long long)(ms / 1000), (unsigned)(ms % 1000));
    show(context, text, strlen(text));
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
    bool begins = true;
    for (uint64_t i = from; i < s->head; i++) {
        if (begins) {
            show_time(s, i, show, context);
            i += TIME_BYTES;
        }
        char c = at(s, i);
        begins = c == '\n';
        if (begins)
            show(context, "\r\n", 2);
        else
            show(context, &c, 1);
    }
}
