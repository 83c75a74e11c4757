// SPDX-License-Identifier: Apache-2.0
/*
 * See editor.h. Typing at the end echoes one byte, and rubbing out there three, so that a transcript stays readable;
 * all else draws the line anew.
 *
 * A terminal answers what a guest has asked it, maybe when the guest has gone: by control sequences, by mouse reports,
 * and by strings (ECMA-48, 5.6; a BEL ends them too). No part of those is typed.
 */
#include "services/console/editor.h"
#include "lib/print.h"
#include "lib/string.h"

enum { KEY_PLAIN = 0, KEY_ESCAPE, KEY_SEQUENCE, KEY_STRING, KEY_STRING_ESCAPE, KEY_MOUSE };
#define CTRL(c) ((c)&0x1f)

void editor_init(struct editor *e, const char *prompt, void (*show)(void *, const char *, size_t), void *context)
{
    memset(e, 0, sizeof *e);
    e->prompt = prompt;
    e->show = show;
    e->context = context;
}

static void put(struct editor *e, const char *text)
{
    e->show(e->context, text, strlen(text));
}

void editor_hide(struct editor *e)
{
    put(e, "\r\x1b[K");
}

static void search_draw(struct editor *e);

void editor_draw(struct editor *e)
{
    if (e->searching) {
        search_draw(e);
        return;
    }
    editor_hide(e);
    put(e, e->prompt);
    put(e, e->text);
    if (e->cursor < e->length) {
        char back[16];
        format(back, sizeof back, "\x1b[%uD", e->length - e->cursor);
        put(e, back);
    }
}

void editor_clear(struct editor *e)
{
    e->length = e->cursor = e->history_at = 0;
    e->searching = false;
    e->text[0] = 0;
}

static void insert(struct editor *e, char c)
{
    if (e->length + 1 >= EDITOR_BYTES) {
        put(e, "\a");
        return;
    }
    memmove(e->text + e->cursor + 1, e->text + e->cursor, e->length - e->cursor + 1);
    e->text[e->cursor++] = c;
    e->length++;
    if (e->cursor == e->length)
        e->show(e->context, &c, 1);
    else
        editor_draw(e);
}

static void remove_at(struct editor *e, unsigned at, unsigned count)
{
    memmove(e->text + at, e->text + at + count, e->length - at - count + 1);
    e->length -= count;
    e->cursor = at;
}

static void rub_out(struct editor *e)
{
    if (e->cursor == 0)
        return;
    bool at_end = e->cursor == e->length;
    remove_at(e, e->cursor - 1, 1);
    if (at_end)
        put(e, "\b \b");
    else
        editor_draw(e);
}

static void rub_word(struct editor *e)
{
    unsigned at = e->cursor;
    while (at > 0 && e->text[at - 1] == ' ')
        at--;
    while (at > 0 && e->text[at - 1] != ' ')
        at--;
    remove_at(e, at, e->cursor - at);
    editor_draw(e);
}

static void move(struct editor *e, unsigned to)
{
    if (to <= e->length && to != e->cursor) {
        e->cursor = to;
        editor_draw(e);
    }
}

static void recall(struct editor *e, int step)
{
    unsigned have = e->history_count < EDITOR_HISTORY ? e->history_count : EDITOR_HISTORY;
    if ((step > 0 && e->history_at == have) || (step < 0 && e->history_at == 0))
        return;
    e->history_at = step > 0 ? e->history_at + 1 : e->history_at - 1;
    const char *line = e->history_at == 0 ? "" : e->history[(e->history_count - e->history_at) % EDITOR_HISTORY];
    e->length = e->cursor = (unsigned)string_copy(e->text, line, sizeof e->text);
    editor_draw(e);
}

static void keep(struct editor *e)
{
    if (e->length == 0 || e->plain ||
        (e->history_count != 0 && strcmp(e->history[(e->history_count - 1) % EDITOR_HISTORY], e->text) == 0))
        return;
    string_copy(e->history[e->history_count++ % EDITOR_HISTORY], e->text, EDITOR_BYTES);
}

/* ---- Tab */

/* The last word's first place in the text up to the cursor. */
static unsigned word_start(const struct editor *e)
{
    unsigned at = e->cursor;
    while (at > 0 && e->text[at - 1] != ' ')
        at--;
    return at;
}

/* All words that begin as the one before the cursor: how many, and how far they are the same. */
static unsigned candidates(struct editor *e, const char *word, size_t typed, const char **first, size_t *common)
{
    unsigned fit = 0;
    const char *w;
    for (unsigned i = 0; (w = e->complete(e->text, i)) != NULL; i++) {
        if (strncmp(w, word, typed) != 0)
            continue;
        if (fit++ == 0) {
            *first = w;
            *common = strlen(w);
        }
        size_t same = 0;
        while (same < *common && w[same] == (*first)[same])
            same++;
        *common = same;
    }
    return fit;
}

static enum editor_result tab(struct editor *e)
{
    unsigned start = word_start(e);
    size_t typed = e->cursor - start, common = 0;
    const char *first = NULL;
    char word[EDITOR_BYTES];
    if (e->complete == NULL || e->plain || e->cursor != e->length)
        return EDITOR_MORE;
    string_copy(word, e->text + start, sizeof word);
    unsigned fit = candidates(e, word, typed, &first, &common);
    if (fit == 0) {
        put(e, "\a");
        return EDITOR_MORE;
    }
    if (fit > 1 && common == typed)
        return EDITOR_CHOICES;
    for (size_t i = typed; i < common; i++)
        insert(e, first[i]);
    if (fit == 1)
        insert(e, ' ');
    return EDITOR_MORE;
}

/* ---- Ctrl-R */

static bool contains(const char *line, const char *part)
{
    size_t n = strlen(part);
    for (; *line; line++)
        if (strncmp(line, part, n) == 0)
            return true;
    return n == 0;
}

static void search_draw(struct editor *e)
{
    editor_hide(e);
    put(e, "(search) ");
    put(e, e->wanted);
    put(e, ": ");
    put(e, e->text);
}

/* The next older line that has it, from `from` lines back on. False: none, and the line stays. */
static bool search(struct editor *e, unsigned from)
{
    unsigned have = e->history_count < EDITOR_HISTORY ? e->history_count : EDITOR_HISTORY;
    for (unsigned back = from; back <= have; back++) {
        const char *line = e->history[(e->history_count - back) % EDITOR_HISTORY];
        if (!contains(line, e->wanted))
            continue;
        e->history_at = back;
        e->length = e->cursor = (unsigned)string_copy(e->text, line, sizeof e->text);
        return true;
    }
    return false;
}

static void search_begin(struct editor *e)
{
    e->searching = true;
    e->wanted[0] = 0;
    search_draw(e);
}

/* True: the key was the search's. Others end it, and count for the line that was found. */
static bool search_key(struct editor *e, uint8_t key)
{
    size_t n = strlen(e->wanted);
    bool found = true;
    if (key == CTRL('r')) {
        found = search(e, e->history_at + 1);
    } else if ((key == 0x7f || key == '\b') && n > 0) {
        e->wanted[n - 1] = 0;
        found = search(e, 1);
    } else if (key >= 0x20 && key < 0x7f && n + 1 < sizeof e->wanted) {
        e->wanted[n] = (char)key;
        e->wanted[n + 1] = 0;
        found = search(e, e->history_at != 0 ? e->history_at : 1);
    } else {
        e->searching = false;
        editor_draw(e);
        return false;
    }
    search_draw(e);
    if (!found)
        put(e, "\a");
    return true;
}

static void sequence_end(struct editor *e, uint8_t key)
{
    e->escape = KEY_PLAIN;
    if (key == 'M' && !e->has_parameter) { /* xterm's first mouse report: three bytes follow */
        e->escape = KEY_MOUSE;
        e->parameter = 3;
    } else if (key == 'A')
        recall(e, 1);
    else if (key == 'B')
        recall(e, -1);
    else if (key == 'C')
        move(e, e->cursor + 1);
    else if (key == 'D' && e->cursor > 0)
        move(e, e->cursor - 1);
    else if (key == 'H' || (key == '~' && (e->parameter == 1 || e->parameter == 7)))
        move(e, 0);
    else if (key == 'F' || (key == '~' && (e->parameter == 4 || e->parameter == 8)))
        move(e, e->length);
    else if (key == '~' && e->parameter == 3 && e->cursor < e->length) {
        remove_at(e, e->cursor, 1);
        editor_draw(e);
    }
}

/* OSC, DCS, APC, PM, SOS. An Enter ends it too, so that a string without an end does not keep the shell's keys. */
static void string_key(struct editor *e, uint8_t key)
{
    if (key == '\a' || key == '\r' || key == '\n' || key == CTRL('x') || key == CTRL('z') || key == CTRL('c') ||
        (e->escape == KEY_STRING_ESCAPE && key == '\\'))
        e->escape = KEY_PLAIN;
    else
        e->escape = key == 0x1b ? KEY_STRING_ESCAPE : KEY_STRING;
}

static bool escape_key(struct editor *e, uint8_t key)
{
    if (e->escape == KEY_STRING || e->escape == KEY_STRING_ESCAPE) {
        string_key(e, key);
        return true;
    }
    if (e->escape == KEY_MOUSE) {
        if (--e->parameter == 0)
            e->escape = KEY_PLAIN;
        return true;
    }
    if (key == 0x1b) {
        e->escape = KEY_ESCAPE;
        e->parameter = 0;
        e->has_parameter = false;
        return true;
    }
    if (e->escape == KEY_PLAIN)
        return false;
    if (key < 0x20) { /* broken off: the key counts for itself */
        e->escape = KEY_PLAIN;
        return false;
    }
    if (e->escape == KEY_ESCAPE) {
        e->escape = KEY_PLAIN;
        if (key == '[' || key == 'O')
            e->escape = KEY_SEQUENCE;
        else if (key == ']' || key == 'P' || key == '_' || key == '^' || key == 'X')
            e->escape = KEY_STRING;
        return true;
    }
    if (key < 0x40)
        e->has_parameter = true;
    if (key >= '0' && key <= '9')
        e->parameter = (uint8_t)(e->parameter * 10u + (key - (unsigned)'0'));
    else if (key >= 0x40)
        sequence_end(e, key);
    return true;
}

enum editor_result editor_key(struct editor *e, uint8_t key)
{
    bool second_half = key == '\n' && e->after_return;
    e->after_return = key == '\r';
    if (second_half || escape_key(e, key))
        return EDITOR_MORE;
    if (e->searching && search_key(e, key))
        return EDITOR_MORE;
    switch (key) {
    case '\r':
    case '\n':
        keep(e);
        e->history_at = 0;
        return EDITOR_LINE;
    case CTRL('c'): return EDITOR_CANCEL;
    case 0x7f:
    case '\b': rub_out(e); break;
    case CTRL('u'):
        remove_at(e, 0, e->cursor);
        editor_draw(e);
        break;
    case CTRL('k'):
        remove_at(e, e->cursor, e->length - e->cursor);
        editor_draw(e);
        break;
    case CTRL('w'): rub_word(e); break;
    case CTRL('a'): move(e, 0); break;
    case CTRL('e'): move(e, e->length); break;
    case CTRL('p'): recall(e, 1); break;
    case CTRL('n'): recall(e, -1); break;
    case CTRL('l'):
        put(e, "\x1b[H\x1b[2J");
        editor_draw(e);
        break;
    case CTRL('d'): /* deletes; on an empty line there is nothing to leave */
        if (e->cursor < e->length) {
            remove_at(e, e->cursor, 1);
            editor_draw(e);
        } else {
            put(e, "\a");
        }
        break;
    case CTRL('r'): search_begin(e); break;
    case '\t': return tab(e);
    default:
        if (key >= 0x20 && key < 0x7f)
            insert(e, (char)key);
        break;
    }
    return EDITOR_MORE;
}
