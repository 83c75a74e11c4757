// SPDX-License-Identifier: Apache-2.0
/*
 * Whether each guest is complete, and whether the guests fit the machine and each other. See config.h. Guests are
 * checked in the order of the file. If two want the same thing, the first one gets it. The second one is left out, and
 * its message gives the sums.
 */
#include "config/parser.h"
#include "lib/print.h"

/* "initrd (for Linux)". */
static const char *name_and_use(const struct config_key *key, char *out, size_t size)
{
    if (key->use != NULL)
        format(out, size, "%s (%s)", key->name, key->use);
    else
        format(out, size, "%s", key->name);
    return out;
}

static void check_required(struct config_parser *p, unsigned i, const struct config_key *key)
{
    const struct config_guest *g = &p->c->guest[i];
    if (!key->required || config_line_of(p, i, key->name) != 0)
        return;
    if (key->or_else == NULL) {
        config_bad_guest(p, i, g->line, "guest '%s' has no %s; '%s = %s' is needed", g->name, key->name, key->name,
                         key->form);
        return;
    }
    const struct config_key *other = config_key_find(IN_GUEST, span_of(key->or_else));
    bool first = config_key_index(key) < config_key_index(other); /* of the two: it tells for both */
    if (first && config_line_of(p, i, other->name) == 0)
        config_bad_guest(p, i, g->line, "guest '%s' has no %s and no %s; '%s = %s' or '%s = %s' is needed", g->name,
                         key->name, other->name, key->name, key->form, other->name, other->form);
}

static void check_excluded(struct config_parser *p, unsigned i, const struct config_key *key)
{
    char a[64], b[64];
    unsigned line = config_line_of(p, i, key->name);
    if (key->excludes == NULL || line == 0)
        return;
    const struct config_key *other = config_key_find(IN_GUEST, span_of(key->excludes));
    unsigned other_line = config_line_of(p, i, other->name);
    if (other_line == 0 || config_key_index(key) > config_key_index(other))
        return;
    config_bad_guest(p, i, line > other_line ? line : other_line,
                     "guest '%s' has both %s and %s; one of them is allowed", p->c->guest[i].name,
                     name_and_use(key, a, sizeof a), name_and_use(other, b, sizeof b));
}

static void check_needed(struct config_parser *p, unsigned i, const struct config_key *key)
{
    unsigned line = config_line_of(p, i, key->name);
    if (key->needs != NULL && line != 0 && config_line_of(p, i, key->needs) == 0)
        config_bad_guest(p, i, line, "%s: guest '%s' has no %s; %s is allowed only together with %s", key->name,
                         p->c->guest[i].name, key->needs, key->name, key->needs);
}

static void check_keys(struct config_parser *p, unsigned i)
{
    const struct config_key *key;
    for (unsigned k = 0; (key = config_key_at(k)) != NULL; k++) {
        if (key->section != IN_GUEST)
            continue;
        check_required(p, i, key);
        check_needed(p, i, key);
        check_excluded(p, i, key);
    }
}

static uint64_t monitor_bytes(const struct config_guest *g)
{
    return CONFIG_OVERHEAD + CONFIG_OVERHEAD_CPU * g->cpu_count;
}

static void check_memory(struct config_parser *p, unsigned i)
{
    const struct config_guest *g = &p->c->guest[i];
    uint64_t all = p->machine->memory, used = config_region_bytes(p->c), shared = config_new_region_bytes(p->c, i);
    struct config_list list = {.used = 0};
    char size[24], own[24], sharing[64] = "";
    if (used != 0)
        config_list_add(&list, "shared regions have %s", config_size_text(size, sizeof size, used));
    for (unsigned other = 0; other < i; other++) {
        const struct config_guest *o = &p->c->guest[other];
        if (p->draft[other].bad)
            continue;
        used += o->memory + monitor_bytes(o);
        config_list_add(&list, "%s has %s", o->name, config_size_text(size, sizeof size, o->memory));
    }
    uint64_t beside = monitor_bytes(g) + shared;
    if (used + g->memory + beside <= all)
        return;
    if (shared != 0)
        format(sharing, sizeof sharing, ", %s for regions that it shares", config_size_text(size, sizeof size, shared));
    uint64_t left = all > used ? (all - used) >> 20 << 20 : 0;
    config_bad_guest(p, i, config_line_of(p, i, "memory"),
                     "memory: guest '%s' wants %s%s and %lluK for its monitor, but %s of %lluM are left%s%s; "
                     "at most %lluM are possible",
                     g->name, config_size_text(own, sizeof own, g->memory), sharing,
                     (unsigned long long)(monitor_bytes(g) >> 10), config_size_text(size, sizeof size, left),
                     (unsigned long long)(all >> 20), list.used != 0 ? ", " : "", list.text,
                     (unsigned long long)(left > beside ? (left - beside) >> 20 : 0));
}

/* Of ring 0's own memory. */
static uint64_t kernel_bytes(const struct config_guest *g)
{
    return CONFIG_KERNEL + CONFIG_KERNEL_CPU * g->cpu_count + CONFIG_KERNEL_REGION * g->region_count;
}

static void check_kernel_memory(struct config_parser *p, unsigned i)
{
    const struct config_guest *g = &p->c->guest[i];
    uint64_t used = 0, all = p->machine->kernel_memory;
    for (unsigned other = 0; other < i; other++)
        if (!p->draft[other].bad)
            used += kernel_bytes(&p->c->guest[other]);
    if (used + kernel_bytes(g) <= all)
        return;
    uint64_t left = all > used ? all - used : 0;
    config_bad_guest(
        p, i, config_line_of(p, i, "memory"),
        "guest '%s' needs %lluK of the kernel's own memory, but %lluK of %lluK are left; fewer guests or "
        "vCPUs are possible, or a machine with more memory (the kernel takes a part of it: docs/configuration.md)",
        g->name, (unsigned long long)(kernel_bytes(g) >> 10), (unsigned long long)(left >> 10),
        (unsigned long long)(all >> 10));
}

static void check_guest(struct config_parser *p, unsigned i)
{
    static void (*const checks[])(struct config_parser * p, unsigned i) = {
        check_keys, config_check_cpus, config_check_regions, check_memory, check_kernel_memory, config_take_regions,
    };
    bool was_bad = p->draft[i].bad; /* its keys are not checked: one that could not be read is not missing */
    for (unsigned k = 0; k < ARRAY_SIZE(checks) && !p->draft[i].bad; k++)
        checks[k](p, i);
    if (!p->draft[i].bad)
        return;
    struct config *c = p->c;
    c->left_out++;
    if (c->mistakes > CONFIG_REPORTS_MAX)
        return;
    char message[128]; /* not a mistake of its own, so it is not counted as one */
    format(message, sizeof message, "guest '%s' is left out for the mistake%s above", c->guest[i].name,
           was_bad ? "s" : "");
    p->report(p->context, c->guest[i].line, message);
}

void config_finish(struct config_parser *p)
{
    struct config *c = p->c;
    unsigned kept = 0;
    for (unsigned i = 0; i < c->guest_count; i++)
        check_guest(p, i);
    config_note_regions(p);
    for (unsigned i = 0; i < c->guest_count; i++) {
        if (p->draft[i].bad)
            continue;
        if (kept != i)
            c->guest[kept] = c->guest[i];
        kept++;
    }
    c->guest_count = kept;
}
