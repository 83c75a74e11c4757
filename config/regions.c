// SPDX-License-Identifier: Apache-2.0
/*
 * Memory that guests share: the key `shared-memory`, and whether the guests agree about each region. See config.h. A
 * region exists as soon as one valid guest names it. A guest that names it later must name the same size.
 */
#include "config/parser.h"
#include "lib/print.h"
#include "lib/string.h"

#define SIZE_ALLOWED "a power of two from 4K to 1G is allowed"

/* 0: no size that is allowed. */
static uint64_t region_size(struct span text)
{
    uint64_t bytes;
    if (!take_size(&text, &bytes) || text.size != 0)
        return 0;
    bool power_of_two = (bytes & (bytes - 1)) == 0;
    return bytes >= CONFIG_REGION_MIN && bytes <= CONFIG_REGION_MAX && power_of_two ? bytes : 0;
}

static bool one_region(struct config_parser *p, struct config_guest *g, struct span item)
{
    struct span rest = item, name = take_until_blank(&rest), size = take_until_blank(&rest);
    bool read_only = span_is(rest, "ro");
    if (size.size == 0 || rest.size == 0) {
        config_bad(p,
                   "shared-memory: '%s' is not understood; NAME SIZE rw or NAME SIZE ro, like 'mail 4M rw', is allowed",
                   config_quote(item).text);
        return false;
    }
    if (!span_is_name(name, CONFIG_NAME_MAX)) {
        config_bad(p, "shared-memory: '%s' is not a region's name; " CONFIG_NAME_ALLOWED, config_quote(name).text,
                   CONFIG_NAME_MAX - 1);
        return false;
    }
    uint64_t bytes = region_size(size);
    if (bytes == 0) {
        config_bad(p, "shared-memory: region '%s' cannot have the size '%s'; " SIZE_ALLOWED, config_quote(name).text,
                   config_quote(size).text);
        return false;
    }
    if (!read_only && !span_is(rest, "rw")) {
        config_bad(p,
                   "shared-memory: region '%s': '%s' is not known; rw (reading and writing) or ro (reading) is allowed",
                   config_quote(name).text, config_quote(rest).text);
        return false;
    }
    for (unsigned i = 0; i < g->region_count; i++)
        if (span_is(name, g->region[i].name)) {
            config_bad(p, "shared-memory: region '%s' is in the list twice; once is allowed", g->region[i].name);
            return false;
        }
    struct config_region_use *r = &g->region[g->region_count++];
    memset(r, 0, sizeof *r);
    memcpy(r->name, name.at, name.size);
    r->size = bytes;
    r->writable = !read_only;
    return true;
}

void config_regions_value(struct config_parser *p, struct config_guest *g, struct span value)
{
    struct span list = value, item;
    while (take_item(&list, &item)) {
        if (g->region_count == VMM_REGIONS_MAX) {
            config_bad(p, "shared-memory: there are more than %d regions; that many are allowed", VMM_REGIONS_MAX);
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

/* Region `at` is there already: does guest i fit to it? What does not is reported. */
static bool joins(struct config_parser *p, unsigned i, const struct config_region_use *s, unsigned at)
{
    const struct config_region *r = &p->c->region[at];
    unsigned line = config_line_of(p, i, "shared-memory");
    char mine[24], theirs[24];
    if (r->size != s->size) {
        config_size_text(mine, sizeof mine, s->size);
        config_size_text(theirs, sizeof theirs, r->size);
        config_bad_guest(
            p, i, line,
            "shared-memory: region '%s' has %s here, but guest '%s' gives it %s (line %u); the same size in both "
            "is allowed",
            s->name, mine, r->by, theirs, r->line);
        return false;
    }
    if (r->users == VMM_PEERS_MAX) {
        config_bad_guest(p, i, line, "shared-memory: region '%s' has %d guests already; that many are allowed", s->name,
                         VMM_PEERS_MAX);
        return false;
    }
    return true;
}

void config_check_regions(struct config_parser *p, unsigned i)
{
    const struct config_guest *g = &p->c->guest[i];
    unsigned count = p->c->region_count;
    for (unsigned k = 0; k < g->region_count; k++) {
        const struct config_region_use *s = &g->region[k];
        unsigned at = find_region(p->c, s->name);
        if (at < p->c->region_count) {
            if (!joins(p, i, s, at))
                return;
            continue;
        }
        if (++count > CONFIG_REGIONS_MAX) {
            config_bad_guest(p, i, config_line_of(p, i, "shared-memory"),
                             "shared-memory: region '%s' is one too many; at most %d are allowed", s->name,
                             CONFIG_REGIONS_MAX);
            return;
        }
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
        struct config_region_use *s = &g->region[k];
        s->region = find_region(c, s->name);
        struct config_region *r = &c->region[s->region];
        if (s->region == c->region_count) {
            c->region_count++;
            r->users = 0;
            r->size = s->size;
            r->line = config_line_of(p, i, "shared-memory");
            memcpy(r->name, s->name, sizeof r->name);
            memcpy(r->by, g->name, sizeof r->by);
        }
        r->users++;
    }
}

/* Does a guest that has no mistake write into region r? */
static bool has_writer(const struct config_parser *p, unsigned r)
{
    for (unsigned i = 0; i < p->c->guest_count; i++) {
        const struct config_guest *g = &p->c->guest[i];
        for (unsigned k = 0; k < g->region_count && !p->draft[i].bad; k++)
            if (g->region[k].region == r && g->region[k].writable)
                return true;
    }
    return false;
}

void config_note_regions(struct config_parser *p)
{
    const struct config *c = p->c;
    for (unsigned i = 0; i < c->region_count && c->mistakes <= CONFIG_REPORTS_MAX; i++) {
        const struct config_region *r = &c->region[i];
        char message[192] = "";
        if (r->users == 1)
            format(message, sizeof message,
                   "note: guest '%s' alone has region '%s'; it is shared when another guest names it too", r->by,
                   r->name);
        else if (!has_writer(p, i))
            format(message, sizeof message,
                   "note: region '%s' is ro in all guests, so it stays empty; rw in one of them lets it be filled",
                   r->name);
        if (message[0] != 0)
            p->report(p->context, r->line, message);
    }
}
