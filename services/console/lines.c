// SPDX-License-Identifier: Apache-2.0
/*
 * See lines.h. Escape sequences: ECMA-48 (5th edition) 5.4 (CSI: parameters 0x30-0x3f, intermediates 0x20-0x2f, final
 * 0x40-0x7e), 5.6 (strings).
 */
#include "services/console/lines.h"
#include "lib/string.h"
#include "services/console/character.h"

enum { TEXT = 0, ESCAPE, SEQUENCE, STRING, STRING_ESCAPE };

void lines_init(struct lines *l, void (*show)(void *, const char *, size_t),
                void (*keep)(void *, unsigned, const char *, size_t), void *context)
{
    memset(l, 0, sizeof *l);
    l->show = show;
    l->keep = keep;
    l->context = context;
    l->open = -1;
}

void lines_name(struct lines *l, unsigned source, const char *name)
{
    struct line_source *s = &l->source[source];
    memset(s, 0, sizeof *s);
    string_copy(s->name, name, sizeof s->name);
    s->marks = MARKS_MAX;
    if (l->count <= source)
        l->count = source + 1;
}

static void put(struct lines *l, const char *text, size_t size)
{
    if (size != 0)
        l->show(l->context, text, size);
}

void lines_close(struct lines *l)
{
    if (l->open >= 0)
        put(l, "\r\n", 2);
    l->open = -1;
}

/* Shows what the terminal has not got of the source's line. */
static void show_rest(struct lines *l, unsigned i)
{
    struct line_source *s = &l->source[i];
    if (l->open != (int)i) {
        lines_close(l);
        put(l, "[", 1);
        put(l, s->name, strlen(s->name));
        put(l, "] ", 2);
        l->open = (int)i;
    }
    put(l, s->text + s->shown, s->length - s->shown);
    s->shown = s->length;
}

static void finish(struct lines *l, unsigned i)
{
    struct line_source *s = &l->source[i];
    if (!l->silent && !s->muted) {
        show_rest(l, i);
        lines_close(l);
    }
    l->keep(l->context, i, s->text, s->length);
    s->length = s->shown = 0;
    s->marks = MARKS_MAX; /* there is nothing that a mark could stand over */
}

static bool ends_with(const char *text, unsigned length, const char *tail)
{
    size_t n = strlen(tail);
    return length >= n && memcmp(text + length - n, tail, n) == 0;
}

/* Would ']' now complete another source's prefix? */
static bool forges(const struct lines *l, unsigned i)
{
    const struct line_source *s = &l->source[i];
    for (unsigned other = 0; other < l->count; other++) {
        size_t n = strlen(l->source[other].name);
        if (other != i && n != 0 && ends_with(s->text, s->length, l->source[other].name) && s->length > n &&
            s->text[s->length - n - 1] == '[')
            return true;
    }
    return false;
}

static void add(struct lines *l, unsigned i, const char *bytes, unsigned size)
{
    struct line_source *s = &l->source[i];
    if (s->length + size > LINE_BYTES)
        finish(l, i);
    memcpy(s->text + s->length, bytes, size);
    s->length += size;
    s->marks = 0;
}

/* A combining mark: not so many that they cover other lines, and none over our own prefix. */
static void add_mark(struct lines *l, unsigned i, const char *bytes, unsigned size)
{
    unsigned marks = l->source[i].marks;
    bool more = marks < MARKS_MAX && l->source[i].length + size <= LINE_BYTES;
    add(l, i, more ? bytes : "?", more ? size : 1);
    l->source[i].marks = more ? (uint8_t)(marks + 1) : MARKS_MAX;
}

/* A whole character of two to four bytes. */
static void add_wide(struct lines *l, unsigned i, const uint8_t *c, unsigned size)
{
    static const uint32_t least[] = {[2] = 0x80, [3] = 0x800, [4] = 0x10000}; /* less has a shorter form */
    uint32_t code = c[0] & (0x7fu >> size);
    for (unsigned k = 1; k < size; k++)
        code = code << 6 | (c[k] & 0x3fu);
    bool overlong = code < least[size];
    bool surrogate = code >= 0xd800 && code <= 0xdfff;
    enum character_kind kind = character_kind(code);
    if (overlong || surrogate || kind == CHARACTER_HIDDEN || code > 0x10ffff)
        add(l, i, "?", 1);
    else if (kind == CHARACTER_MARK)
        add_mark(l, i, (const char *)c, size);
    else
        add(l, i, (const char *)c, size);
}

static void backspace(struct line_source *s)
{
    if (s->length <= s->shown)
        return;
    do
        s->length--;
    while (s->length > s->shown && ((uint8_t)s->text[s->length] & 0xc0) == 0x80);
    s->marks = MARKS_MAX; /* what it ends with now is not known */
}

/* Bytes of a character that begins with c, from 0x80 on; 0: none does. */
static uint8_t wide_size(uint8_t c)
{
    if (c < 0xc2 || c > 0xf4)
        return 0;
    if (c >= 0xf0)
        return 4;
    return c >= 0xe0 ? 3 : 2;
}

static void text_byte(struct lines *l, unsigned i, uint8_t c)
{
    struct line_source *s = &l->source[i];
    if (s->partial_need != 0) {
        if ((c & 0xc0) == 0x80) {
            s->partial[s->partial_have++] = c;
            if (s->partial_have == s->partial_need) {
                s->partial_need = 0;
                add_wide(l, i, s->partial, s->partial_have);
            }
            return;
        }
        s->partial_need = 0;
        add(l, i, "?", 1);
    }
    if (c >= 0x80) {
        uint8_t need = wide_size(c);
        if (need == 0) {
            add(l, i, "?", 1);
            return;
        }
        s->partial[0] = c;
        s->partial_have = 1;
        s->partial_need = need;
    } else if (c == '\n') {
        finish(l, i);
    } else if (c == '\b') {
        backspace(s);
    } else if (c == 0x1b) {
        s->escape = ESCAPE;
    } else if (c == ']' && forges(l, i)) {
        add(l, i, ")", 1);
    } else if ((c >= 0x20 && c < 0x7f) || c == '\t') {
        char text = (char)c;
        add(l, i, &text, 1);
    }
}

/* What an ESC begins, by the byte behind it. */
static uint8_t behind_escape(uint8_t c)
{
    switch (c) {
    case '[': return SEQUENCE;
    case ']':
    case 'P':
    case 'X':
    case '^':
    case '_': return STRING;
    default: return c >= 0x20 && c <= 0x2f ? ESCAPE : TEXT;
    }
}

static void escape_byte(struct line_source *s, uint8_t c)
{
    if (c == 0x1b) {
        s->escape = s->escape == STRING ? STRING_ESCAPE : ESCAPE;
        return;
    }
    switch (s->escape) {
    case ESCAPE: s->escape = behind_escape(c); break;
    case SEQUENCE:
        if (c < 0x20 || c > 0x3f)
            s->escape = TEXT;
        break;
    case STRING:
        if (c == 0x07)
            s->escape = TEXT;
        break;
    default: /* STRING_ESCAPE: the string's terminator is ESC \ */ s->escape = c == '\\' ? TEXT : STRING; break;
    }
}

static void feed_byte(struct lines *l, unsigned i, uint8_t c)
{
    struct line_source *s = &l->source[i];
    /* A carriage return that no line feed follows starts the line anew: what stands there is a line of its own for us.
     * More than one in a row is the same as one; before an escape sequence (shells redraw their line like that) it is
     * kept in mind. */
    if (c == '\r') {
        s->carriage_return = true;
        return;
    }
    if (c == '\n') { /* also ends whatever was unfinished */
        s->escape = TEXT;
        s->carriage_return = false;
        text_byte(l, i, c);
        return;
    }
    if (s->escape != TEXT) {
        escape_byte(s, c);
        return;
    }
    if (s->carriage_return && c >= 0x20) {
        s->carriage_return = false;
        if (s->length != 0)
            finish(l, i);
    }
    text_byte(l, i, c);
}

void lines_feed(struct lines *l, unsigned source, const void *bytes, size_t size, uint64_t now)
{
    const uint8_t *b = bytes;
    for (size_t k = 0; k < size; k++)
        feed_byte(l, source, b[k]);
    if (size != 0)
        l->source[source].touched = now;
}

void lines_more(struct lines *l, unsigned source, uint64_t now)
{
    l->source[source].touched = now;
}

void lines_idle(struct lines *l, uint64_t since)
{
    for (unsigned i = 0; i < l->count && !l->silent; i++) {
        struct line_source *s = &l->source[i];
        if (s->length > s->shown && s->touched <= since && !s->muted)
            show_rest(l, i);
    }
}

uint64_t lines_waiting(const struct lines *l)
{
    uint64_t oldest = NEVER;
    for (unsigned i = 0; i < l->count && !l->silent; i++)
        if (l->source[i].length > l->source[i].shown && !l->source[i].muted)
            oldest = min_u64(oldest, l->source[i].touched);
    return oldest;
}
