/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of config/ share; no other folder includes it. Each file calls only files that stand before it here:
 *
 *     span.c     pieces of text
 *     report.c   mistakes
 *     keys.c     the table of keys
 *     cpus.c     lists of CPUs, `share`, and whether the guests agree about CPUs
 *     modules.c  `kernel`, `initrd` and `modules`
 *     regions.c  `shared-memory`, and whether the guests agree about regions
 *     values.c   a value of any type
 *     check.c    whether each guest is whole, and fits the machine
 *     config.c   lines, sections and keys
 */
#ifndef CONFIG_PARSER_H
#define CONFIG_PARSER_H

#include "config/config.h"
#include "config/keys.h"

/* Behind a wrong name in a message; %d is CONFIG_NAME_MAX - 1. */
#define CONFIG_NAME_ALLOWED "1 to %d letters, digits, '-', '_' or '.', starting with a letter or digit, are allowed"

/* What is known of a guest while it is read. */
struct config_draft {
    bool bad;                           /* it has a mistake: it will be left out */
    unsigned key_line[CONFIG_KEYS_MAX]; /* 0: the key has not been seen */
};

struct config_parser {
    struct config *c;
    const struct config_machine *machine;
    config_report *report;
    void *context;
    unsigned line;
    struct config_draft draft[CONFIG_GUESTS_MAX];
    unsigned host_line[CONFIG_KEYS_MAX];
    enum config_section section;
    unsigned guest; /* IN_GUEST */
};

/* The line of a key in guest i; 0: it has none. `key` is a name in the table. */
static inline unsigned config_line_of(const struct config_parser *p, unsigned i, const char *key)
{
    return p->draft[i].key_line[config_key_index(config_key_find(IN_GUEST, span_of(key)))];
}

/* ---- report.c */

/* Reports a mistake at `line`, as far as CONFIG_REPORTS_MAX allows. */
void config_mistake(struct config_parser *p, unsigned line, const char *text, ...) print_like(3, 4);
/* The same at the current line, and the current guest is left out. */
void config_bad(struct config_parser *p, const char *text, ...) print_like(2, 3);
/* The same for guest i, at any line. */
void config_bad_guest(struct config_parser *p, unsigned i, unsigned line, const char *text, ...) print_like(4, 5);

/* Printable rendering of a span for a message, cut to a sane length. */
struct quoted {
    char text[56];
};
struct quoted config_quote(struct span s);

/* A list for a message. What finds no room in it is shown as "...". */
struct config_list {
    char text[200];
    size_t used;
    bool full;
};
void config_list_add(struct config_list *list, const char *text, ...) print_like(2, 3);

/* Keeps a copy of a value, with a NUL, as long as struct config. NULL: there is no room, and that is reported. */
const char *config_keep_text(struct config_parser *p, const char *key, struct span value);

/* ---- values.c and the files for single types. `value` is trimmed. What is wrong with it is reported. */

void config_value(struct config_parser *p, const struct config_key *key, struct span value);
void config_cpus_value(struct config_parser *p, struct config_guest *g, struct span value);
void config_cpuset_value(struct config_parser *p, const struct config_key *key, struct cpuset *field,
                         struct span value);
void config_share_value(struct config_parser *p, struct config_guest *g, struct span value);
void config_module_value(struct config_parser *p, const struct config_key *key, struct config_guest *g,
                         struct span value);
void config_modules_value(struct config_parser *p, const struct config_key *key, struct config_guest *g,
                          struct span value);
void config_regions_value(struct config_parser *p, struct config_guest *g, struct span value);

/* ---- After the last line. Guest i has no mistake so far, and is compared with the good ones among 0..i-1. */

void config_check_cpus(struct config_parser *p, unsigned i);
void config_check_regions(struct config_parser *p, unsigned i);
/* Bytes of all regions so far, and of those that guest i would add. */
uint64_t config_region_bytes(const struct config *c);
uint64_t config_new_region_bytes(const struct config *c, unsigned i);
/* Guest i is good: its regions count. */
void config_take_regions(struct config_parser *p, unsigned i);
/* When all guests are known: notes about regions that are of no use as they are. */
void config_note_regions(struct config_parser *p);

/* check.c. Missing keys, then all of the above; takes the bad guests out. */
void config_finish(struct config_parser *p);

#endif
