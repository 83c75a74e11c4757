// SPDX-License-Identifier: Apache-2.0
/*
 * Memory that guests share: the key `shared`, and whether the guests agree about each region. See config.h. A region is
 * there when a guest that stands has named it; who names it later must name the same size.
 */
#include "config/private.h"
#include "lib/print.h"
#include "lib/string.h"

#define SIZE_ALLOWED "a power of two from 4K to 1G is allowed"

static struct span cut_word(struct span *s)
{
    struct span word = {s->at, 0};
    while (word.size < s->size && s->at[word.size] != ' ' && s->at[word.size] != '\t')
        word.size++;
    s->at += word.size;
    s->size -= word.size;
    skip_blanks(s);
    return word;
}

/* 0: it is none that is allowed. */
static uint64_t region_size(struct span text)
{
    uint64_t n;
    if (!take_number(&text, &n))
        return 0;
    unsigned shift = take_word(&text, "K") || take_word(&text, "k")   ? 10
                     : take_word(&text, "M") || take_word(&text, "m") ? 20
                     : take_word(&text, "G") || take_word(&text, "g") ? 30
                                                                      : 0;
    if (text.size != 0 || n > CONFIG_REGION_MAX >> shift)
        return 0;
    n <<= shift;
    return n >= CONFIG_REGION_MIN && (n & (n - 1)) == 0 ? n : 0;
}

static bool one_region(struct config_parser *p, struct config_guest *g, struct span item)
{
    struct span rest = item, name = cut_word(&rest), size = cut_word(&rest);
    bool read_only = span_is(rest, "ro");
    if (size.size == 0 || rest.size == 0) {
        config_bad(p, "shared: '%s' is not understood; NAME SIZE rw or NAME SIZE ro, like 'mail 4M rw', is allowed",
                   config_quote(item).text);
        return false;
    }
    if (!span_is_name(name)) {
        config_bad(
            p,
            "shared: '%s' is not a region's name; 1 to %d letters, digits, '-', '_' or '.', starting with a letter or digit, are allowed",
            config_quote(name).text, CONFIG_NAME_MAX - 1);
        return false;
    }
    uint64_t bytes = region_size(size);
    if (bytes == 0) {
        config_bad(p, "shared: region '%s' cannot have the size '%s'; " SIZE_ALLOWED, config_quote(name).text,
                   config_quote(size).text);
        return false;
    }
    if (!read_only && !span_is(rest, "rw")) {
        config_bad(p, "shared: region '%s': '%s' is not known; rw (reading and writing) or ro (reading) is allowed",
                   config_quote(name).text, config_quote(rest).text);
        return false;
    }
    for (unsigned i = 0; i < g->region_count; i++)
        if (span_is(name, g->region[i].name)) {
            config_bad(p, "shared: region '%s' is in the list twice; once is allowed", g->region[i].name);
            return false;
        }
    struct config_shared *r = &g->region[g->region_count++];
    memset(r, 0, sizeof *r);
    memcpy(r->name, name.at, name.size);
    r->size = bytes;
    r->writable = !read_only;
    return true;
}

void config_shared_value(struct config_parser *p, struct config_guest *g, struct span value)
{
    struct span list = value, item;
    while (take_item(&list, &item)) {
        if (g->region_count == VMM_REGIONS_MAX) {
            config_bad(p, "shared: there are more than %d regions; that many are allowed", VMM_REGIONS_MAX);
            return;
        }
        if (!one_region(p, g, item))
            return;
    }
}

/* The region of that name; region_count: there is none yet. */
static unsigned find_region(const struct config *c, const char *name)
{
    unsigned i = 0;
    while (i < c->region_count && strcmp(c->region[i].name, name) != 0)
        i++;
    return i;
}

void config_check_regions(struct config_parser *p, unsigned i)
{
    const struct config_guest *g = &p->c->guest[i];
    unsigned line = p->draft[i].key_line[KEY_SHARED], count = p->c->region_count;
    char size[2][24];
    for (unsigned k = 0; k < g->region_count; k++) {
        const struct config_shared *s = &g->region[k];
        unsigned at = find_region(p->c, s->name);
        if (at == p->c->region_count) {
            if (++count <= CONFIG_REGIONS_MAX)
                continue;
            config_mistake(p, line, "shared: region '%s' is one too many; at most %d are allowed", s->name,
                           CONFIG_REGIONS_MAX);
            p->draft[i].bad = true;
            return;
        }
        const struct config_region *r = &p->c->region[at];
        if (r->size == s->size)
            continue;
        config_mistake(
            p, line,
            "shared: region '%s' has %s here, but guest '%s' gives it %s (line %u); the same size in both is allowed",
            s->name, config_size_text(size[0], sizeof size[0], s->size), r->by,
            config_size_text(size[1], sizeof size[1], r->size), r->line);
        p->draft[i].bad = true;
        return;
    }
}

uint64_t config_region_bytes(const struct config *c)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < c->region_count; i++)
        sum += c->region[i].size;
    return sum;
}

uint64_t config_new_region_bytes(const struct config *c, unsigned i)
{
    const struct config_guest *g = &c->guest[i];
    uint64_t sum = 0;
    for (unsigned k = 0; k < g->region_count; k++)
        if (find_region(c, g->region[k].name) == c->region_count)
            sum += g->region[k].size;
    return sum;
}

void config_take_regions(struct config_parser *p, unsigned i)
{
    struct config *c = p->c;
    struct config_guest *g = &c->guest[i];
    for (unsigned k = 0; k < g->region_count; k++) {
        struct config_shared *s = &g->region[k];
        s->region = find_region(c, s->name);
        if (s->region == c->region_count) {
            struct config_region *r = &c->region[c->region_count++];
            r->size = s->size;
            r->line = p->draft[i].key_line[KEY_SHARED];
            memcpy(r->name, s->name, sizeof r->name);
            memcpy(r->by, g->name, sizeof r->by);
        }
    }
}

void config_note_regions(struct config_parser *p)
{
    const struct config *c = p->c;
    for (unsigned r = 0; r < c->region_count && c->mistakes <= CONFIG_REPORTS_MAX; r++) {
        unsigned users = 0, writers = 0;
        for (unsigned i = 0; i < c->guest_count; i++)
            for (unsigned k = 0; k < c->guest[i].region_count && !p->draft[i].bad; k++)
                if (c->guest[i].region[k].region == r) {
                    users++;
                    writers += c->guest[i].region[k].writable;
                }
        char message[192] = "";
        if (users == 1)
            format(message, sizeof message,
                   "note: guest '%s' alone has region '%s'; it is shared when another guest names it too",
                   c->region[r].by, c->region[r].name);
        else if (writers == 0)
            format(message, sizeof message,
                   "note: region '%s' is ro in all guests, so it stays empty; rw in one of them lets it be filled",
                   c->region[r].name);
        if (message[0] != 0)
            p->report(p->context, c->region[r].line, message);
    }
}
