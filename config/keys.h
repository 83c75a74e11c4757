/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of all keys. Each key is one row: where it may stand, what its value may be, what else it needs, where the
 * value goes, and what it is for. The reader, its error texts and the tables of docs/configuration.md come from it.
 */
#ifndef CONFIG_KEYS_H
#define CONFIG_KEYS_H

#include "config/span.h"

#define CONFIG_KEYS_MAX 48 /* rows */

enum config_section { IN_NOTHING, IN_HOST, IN_GUEST, IN_REFUSED };

/* What a value may be, and the type of the field that it goes to. */
enum config_type {
    TYPE_BOOL,    /* yes or no -> bool */
    TYPE_CHOICE,  /* one of choices -> its index, unsigned or an enum */
    TYPE_FLAGS,   /* some of choices, with commas between them -> one bool for each, in the same order */
    TYPE_NUMBER,  /* least to most -> an unsigned integer of any size */
    TYPE_SIZE,    /* bytes, least to most, a multiple of `multiple` -> uint64_t */
    TYPE_TEXT,    /* at most `most` bytes -> const char *, never NULL if the row has an initial value */
    TYPE_MODULE,  /* one boot module -> module[slot] of the guest */
    TYPE_MODULES, /* boot modules with arguments -> module[slot...] */
    TYPE_CPUS,    /* a list of CPUs -> the guest's cpus, one vCPU on each */
    TYPE_CPUSET,  /* a list of CPUs, one at least -> struct cpuset */
    TYPE_SHARE,   /* a share of one CPU -> the guest's share */
    TYPE_UUID,    /* 32 hexadecimal digits -> uint8_t[16] in the order of the text */
    TYPE_REGIONS, /* memory shared with other guests -> the guest's regions */
};

struct config_key {
    const char *name;
    const char *was;             /* its name before, which is refused with the new one; NULL: it had none */
    enum config_section section; /* IN_HOST or IN_GUEST */
    enum config_type type;
    size_t offset, size; /* of the field, in struct config or struct config_guest */

    const char *const *choice; /* NULL behind the last */
    uint64_t least, most, multiple;
    unsigned slot;
    bool may_be_empty;
    const char *form; /* how a value is written, for the types whose text does not follow from the rest of the row */

    const char *initial;  /* the value without the key; NULL: the field is zero */
    bool required;        /* the guest cannot do without it, or... */
    const char *or_else;  /* ...without this other key */
    const char *needs;    /* another key that must be there as well */
    const char *excludes; /* another key that must not be there */
    const char *use;      /* with `excludes`: what this key is for, in a message */

    const char *help; /* for docs/configuration.md, at most 25 words; what takes more is prose there */
};

/* Row n of the table; NULL behind the last. */
const struct config_key *config_key_at(unsigned n);
/* The row of the key of that name in a section, or NULL. */
const struct config_key *config_key_find(enum config_section section, struct span name);
/* The row's number: below CONFIG_KEYS_MAX. */
unsigned config_key_index(const struct config_key *key);

/* The names of all keys of a section, with commas between them. */
void config_key_names(enum config_section section, char *out, size_t size);
/* What values are allowed, like "yes or no". */
void config_key_allowed(const struct config_key *key, char *out, size_t size);

#endif
