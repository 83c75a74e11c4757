/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What config.c (lines, sections, keys) and config_check.c (whether the guests fit the machine and each other) share.
 * Nobody else includes it.
 */
#ifndef ROOT_CONFIG_PRIVATE_H
#define ROOT_CONFIG_PRIVATE_H

#include "config/config.h"

enum config_key {
    KEY_CPUS,
    KEY_SHARE,
    KEY_BORROW,
    KEY_MEMORY,
    KEY_KERNEL,
    KEY_INITRD,
    KEY_MODULES,
    KEY_CMDLINE,
    KEY_ON_CRASH,
    KEY_ON_REBOOT,
    KEY_AUTOSTART,
    KEY_DEBUG_EXIT,
    KEY_BENCH_DEVICE,
    KEY_SHARED,
    GUEST_KEYS,
    KEY_CONSOLE = 0,
    KEY_LOG,
    HOST_KEYS
};

/* What is known of a guest while it is read. */
struct config_draft {
    bool bad;
    unsigned key_line[GUEST_KEYS]; /* 0: the key has not been seen */
};

enum config_section { IN_NOTHING, IN_HOST, IN_GUEST, IN_REFUSED };

struct config_parser {
    struct config *c;
    const struct config_machine *machine;
    config_report *report;
    void *context;
    unsigned line;
    struct config_draft draft[CONFIG_GUESTS_MAX];
    unsigned host_line[HOST_KEYS];
    enum config_section section;
    unsigned guest; /* IN_GUEST */
};

/* A piece of the text; not terminated. */
struct span {
    const char *at;
    size_t size;
};

/* Reports a mistake at `line`, as far as CONFIG_REPORTS_MAX allows. */
void config_mistake(struct config_parser *p, unsigned line, const char *text, ...) print_like(3, 4);
/* The same at the current line, and the current guest is left out. */
void config_bad(struct config_parser *p, const char *text, ...) print_like(2, 3);

/* One guest's value, config_values.c. `value` is trimmed and not empty. */
void config_guest_value(struct config_parser *p, enum config_key key, struct span value);
void config_host_value(struct config_parser *p, enum config_key key, struct span value);

/* `shared`, config_regions.c. */
void config_shared_value(struct config_parser *p, struct config_guest *g, struct span value);
/* Guest i is whole so far: do its regions agree with those of the guests before it? If not, it is bad. */
void config_check_regions(struct config_parser *p, unsigned i);
/* Bytes of all regions so far; of those that guest i would add. */
uint64_t config_region_bytes(const struct config *c);
uint64_t config_new_region_bytes(const struct config *c, unsigned i);
/* Guest i stands, and its regions with it. */
void config_take_regions(struct config_parser *p, unsigned i);
/* When all guests are known: what is no mistake, but hardly meant. */
void config_note_regions(struct config_parser *p);

/* After the last line: missing keys, CPUs used twice, sums; takes the bad guests out. config_check.c. */
void config_finish(struct config_parser *p);

/* Printable rendering of a span for a message, cut to a sane length. */
struct quoted {
    char text[56];
};
struct quoted config_quote(struct span s);

bool span_is(struct span s, const char *word);
/* A name for a guest or a region. */
bool span_is_name(struct span name);
/* These cut something off the front. False: it is not there. */
bool take_number(struct span *s, uint64_t *value); /* decimal, at most 2^53 */
bool take_word(struct span *s, const char *word);
bool take_item(struct span *list, struct span *item); /* of a list with commas */
void skip_blanks(struct span *s);
struct span span_trim(struct span s);

#endif
