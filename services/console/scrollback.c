// SPDX-License-Identifier: Apache-2.0
/*
 * See scrollback.h.
 */
#include "services/console/scrollback.h"

static char at(const struct scrollback *s, uint64_t i)
{
    return s->text[i % SCROLLBACK_BYTES];
}

void scrollback_keep(struct scrollback *s, const char *line, size_t size)
{
    for (size_t i = 0; i < size; i++)
        s->text[s->head++ % SCROLLBACK_BYTES] = line[i];
    s->text[s->head++ % SCROLLBACK_BYTES] = '\n';
}

void scrollback_show(const struct scrollback *s, unsigned lines, void (*show)(void *, const char *, size_t),
                     void *context)
{
    uint64_t first = s->head > SCROLLBACK_BYTES ? s->head - SCROLLBACK_BYTES : 0;
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
