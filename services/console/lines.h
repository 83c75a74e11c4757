/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several guests' output on one terminal: whole lines, each with its source's name in front. Pure.
 *
 * What a guest writes cannot reach the terminal as anything but text behind its own name: control characters and escape
 * sequences are dropped; bytes that are not UTF-8, and characters that show nothing, become '?'; another source's
 * prefix inside a line ("[other]") is altered, since a line that wraps on a narrow terminal would put it at the left
 * edge.
 *
 * A line is held until its end comes. What has waited long enough (lines_idle) is shown unfinished, and goes on where
 * it stood, as long as no other source has written.
 */
#ifndef CONSOLE_LINES_H
#define CONSOLE_LINES_H

#include "mullion/types.h"

#define LINE_BYTES  512 /* longer lines are broken */
#define MARKS_MAX   3   /* combining marks over one character; more become '?', and so do those over none */
#define SOURCES_MAX 513

struct line_source {
    char name[48];         /* empty: there is no such source now */
    char text[LINE_BYTES]; /* the unfinished line, filtered */
    unsigned length;
    bool muted;                                     /* lines are kept only */
    unsigned shown;                                 /* how much of it the terminal has */
    uint64_t touched;                               /* when its last byte came */
    bool carriage_return;                           /* the last byte was one */
    uint8_t escape;                                 /* enum, private */
    uint8_t marks;                                  /* combining marks at the text's end */
    uint8_t partial[4], partial_have, partial_need; /* an unfinished UTF-8 character */
};

struct lines {
    void (*show)(void *context, const char *text, size_t size); /* to the terminal */
    void (*keep)(void *context, unsigned source, const char *text,
                 size_t size); /* each finished line, without its end */
    void *context;
    unsigned count;
    int open;    /* the source in whose unfinished line the cursor stands; -1: in none */
    bool silent; /* nothing is shown, lines are only kept */
    struct line_source source[SOURCES_MAX];
};

void lines_init(struct lines *l, void (*show)(void *, const char *, size_t),
                void (*keep)(void *, unsigned, const char *, size_t), void *context);
/* This source, below SOURCES_MAX, has this name from now on. Its unfinished line is dropped. */
void lines_name(struct lines *l, unsigned source, const char *name);
/* Bytes from a source, at time `now`. Shows at most (its prefix + 4) * (finished lines + 1) + size bytes. */
void lines_feed(struct lines *l, unsigned source, const void *bytes, size_t size, uint64_t now);
/* More from this source is there, and will be fed: its line is not unfinished for want of bytes. */
void lines_more(struct lines *l, unsigned source, uint64_t now);
/* Shows what has waited since before `since`. */
void lines_idle(struct lines *l, uint64_t since);
/* The oldest time at which something that is not shown came; NEVER: all is shown. */
uint64_t lines_waiting(const struct lines *l);
/* Moves the cursor to the start of a line of its own, if it stands in an unfinished one. */
void lines_close(struct lines *l);

#endif
