/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages between console and root, over one channel: the console is the channel's "guest" side (from_guest carries
 * its requests, to_guest root's answers). Neither side trusts the other's lengths: a message that makes no sense
 * empties the ring, and the stream starts anew.
 */
#ifndef LIB_CONTROL_H
#define LIB_CONTROL_H

#include "lib/proto/channel.h"
#include "mullion/types.h"

#define CONTROL_TEXT_MAX 240

enum control_kind {
    /* console -> root. Each but DRAINED is answered by any number of TEXT and one DONE. */
    CONTROL_LIST = 1,
    CONTROL_START,   /* guest */
    CONTROL_STOP,    /* guest; value 1: at once, without asking it first */
    CONTROL_RESTART, /* guest */
    CONTROL_FAULT,   /* guest: its monitor is made to crash; value 1: to turn hostile */
    CONTROL_MEMORY,  /* who owns which memory */
    CONTROL_POWEROFF,
    CONTROL_REBOOT,
    CONTROL_EXIT,        /* value: the emulator's exit code */
    CONTROL_STATS,       /* guest: its exits by reason, its start, its kernel memory */
    CONTROL_AUDIT,       /* is memory partitioned as it should be? */
    CONTROL_AUDIT_BREAK, /* guest: the same, with a mapping that should not be; a test */
    CONTROL_LEDGER,      /* every tick's account, for programs to read */
    CONTROL_TOP,         /* where the time went since the last one; value 0: only begins to count */
    CONTROL_PATHS,       /* the longest stays in ring 0 */
    CONTROL_DRAINED,     /* answer to CONTROL_DRAIN: the last byte is on the wire */
    /* root -> console */
    CONTROL_TEXT, /* one line to print */
    CONTROL_DONE,
    CONTROL_NOTE,  /* guest, value = enum guest_state: it has changed; text says why */
    CONTROL_OFF,   /* guest is off and stays off; text says why */
    CONTROL_DRAIN, /* print what you have, then say DRAINED */
    CONTROL_KIND_COUNT
};

struct control_message {
    uint32_t kind;
    uint32_t guest;
    uint32_t value;
    uint32_t length;                 /* of text */
    char text[CONTROL_TEXT_MAX + 1]; /* terminated by the receiver */
};

struct control_reader {
    struct control_message message;
    uint32_t have; /* bytes */
};

/* Whole or not at all. Text longer than CONTROL_TEXT_MAX is cut. False: no room now. */
bool control_send(struct channel_ring *r, enum control_kind kind, uint32_t guest, uint32_t value,
                  const char *text) must_check;
/* True: reader->message is the next message, its text terminated. */
bool control_receive(struct control_reader *reader, struct channel_ring *r) must_check;

#endif
