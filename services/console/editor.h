/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shell's input line: typing, cursor, history. Pure: keys in, terminal bytes out through `show`.
 */
#ifndef CONSOLE_EDITOR_H
#define CONSOLE_EDITOR_H

#include "mullion/types.h"

#define EDITOR_BYTES   200 /* with the NUL */
#define EDITOR_HISTORY 16

enum editor_result {
    EDITOR_MORE = 0,
    EDITOR_LINE,   /* Enter: editor.text is the line */
    EDITOR_CANCEL, /* Ctrl-C */
    EDITOR_CHOICES /* Tab, and more than one word fits: the caller shows them (editor.complete), and the line again */
};

struct editor {
    void (*show)(void *context, const char *text, size_t size);
    void *context;
    const char *prompt;
    /* What Tab may put for the last word of `line`: the i-th whole word; NULL: there are no more. NULL: no Tab. */
    const char *(*complete)(const char *line, unsigned i);
    char text[EDITOR_BYTES];
    unsigned length, cursor;
    uint8_t escape;    /* private */
    uint8_t parameter; /* of an escape sequence; bytes of a mouse report that are still to come */
    bool has_parameter;
    bool searching; /* Ctrl-R: `text` is the last line of the history that has `wanted` in it */
    char wanted[32];
    bool plain;        /* the line is an answer, no command: it is not kept */
    bool after_return; /* the last key was Enter's CR: an LF right after it belongs to it */
    char history[EDITOR_HISTORY][EDITOR_BYTES];
    unsigned history_count; /* lines ever kept */
    unsigned history_at;    /* how many back the line shown is; 0: the one being typed */
};

void editor_init(struct editor *e, const char *prompt, void (*show)(void *, const char *, size_t), void *context);
enum editor_result editor_key(struct editor *e, uint8_t key);
/* Prompt and text, from the left edge; the rest of the terminal's line is cleared. */
void editor_draw(struct editor *e);
/* Clears the terminal's line; the text stays. */
void editor_hide(struct editor *e);
/* Empties the text; after EDITOR_LINE and EDITOR_CANCEL the caller does this. */
void editor_clear(struct editor *e);

#endif
