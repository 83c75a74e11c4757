// SPDX-License-Identifier: Apache-2.0
/*
 * Whether the guests are whole, and fit the machine and each other. See config.h. Guests are looked at in the order of
 * the file: who comes first gets what both want, and the later one is left out with the sums that say why.
 */
#include "config/private.h"
#include "lib/print.h"
#include "lib/string.h"

const char *config_size_text(char *out, size_t size, uint64_t bytes)
{
    static const char unit[] = {0, 'K', 'M', 'G'};
    unsigned u = 0;
    while (u < 3 && bytes != 0 && (bytes & 1023) == 0) {
        bytes >>= 10;
        u++;
    }
    if (u == 0)
        format(out, size, "%llu", (unsigned long long)bytes);
    else
        format(out, size, "%llu%c", (unsigned long long)bytes, unit[u]);
    return out;
}

static void bad_guest(struct config_parser *p, unsigned i)
{
    p->draft[i].bad = true;
}

static void check_whole(struct config_parser *p, unsigned i)
{
    struct config_guest *g = &p->c->guest[i];
    struct config_draft *d = &p->draft[i];
    if (d->key_line[KEY_KERNEL] == 0) {
        config_mistake(p, g->line, "guest '%s' has no kernel; 'kernel = MODULE' is needed", g->name);
        bad_guest(p, i);
    }
    if (d->key_line[KEY_MEMORY] == 0) {
        config_mistake(p, g->line, "guest '%s' has no memory; 'memory = SIZE', like 512M, is needed", g->name);
        bad_guest(p, i);
    }
    if (d->key_line[KEY_CPUS] == 0 && d->key_line[KEY_SHARE] == 0) {
        config_mistake(p, g->line, "guest '%s' has no CPU; 'cpus = LIST' or 'share = N%% of cpu N' is needed", g->name);
        bad_guest(p, i);
    }
    if (d->key_line[KEY_BORROW] != 0 && d->key_line[KEY_SHARE] == 0) {
        config_mistake(p, d->key_line[KEY_BORROW],
                       "borrow: guest '%s' has CPUs of its own; this is for guests with a share", g->name);
        bad_guest(p, i);
    }
    if (d->key_line[KEY_CPUS] != 0 && d->key_line[KEY_SHARE] != 0) {
        config_mistake(p, max_u64(d->key_line[KEY_CPUS], d->key_line[KEY_SHARE]) & 0xffffffffu,
                       "guest '%s' has both cpus and share; one of them is allowed", g->name);
        bad_guest(p, i);
    }
    if (d->key_line[KEY_INITRD] != 0 && d->key_line[KEY_MODULES] != 0) {
        config_mistake(p, max_u64(d->key_line[KEY_INITRD], d->key_line[KEY_MODULES]) & 0xffffffffu,
                       "guest '%s' has both initrd (for Linux) and modules (for Multiboot); one of them is allowed",
                       g->name);
        bad_guest(p, i);
    }
    if (g->module_count == 0)
        g->module_count = d->key_line[KEY_INITRD] != 0 ? 2 : 1;
}

static bool uses_cpu(const struct config_guest *g, unsigned cpu)
{
    for (unsigned i = 0; i < g->cpu_count; i++)
        if (g->cpu[i] == cpu)
            return true;
    return false;
}

/* A CPU belongs to one guest, or is shared by guests that all say so. */
static void check_cpus(struct config_parser *p, unsigned i)
{
    struct config_guest *g = &p->c->guest[i];
    unsigned line = p->draft[i].key_line[g->shared ? KEY_SHARE : KEY_CPUS];
    for (unsigned other = 0; other < i; other++) {
        const struct config_guest *o = &p->c->guest[other];
        if (p->draft[other].bad || (g->shared && o->shared))
            continue;
        for (unsigned k = 0; k < g->cpu_count; k++) {
            if (!uses_cpu(o, g->cpu[k]))
                continue;
            const char *how =
                g->shared ? "cannot be shared: it is guest '%s' alone that has it (cpus, line %u); share another CPU"
                : o->shared
                    ? "cannot be this guest's alone: guest '%s' has a share of it (line %u); take another CPU"
                    : "is taken: guest '%s' has it for itself (line %u); take another CPU, or let both have a share";
            char why[160], what[192];
            format(why, sizeof why, how, o->name, p->draft[other].key_line[o->shared ? KEY_SHARE : KEY_CPUS]);
            format(what, sizeof what, "%s: CPU %u %s", g->shared ? "share" : "cpus", g->cpu[k], why);
            config_mistake(p, line, "%s", what);
            bad_guest(p, i);
            return;
        }
    }
    if (!g->shared)
        return;
    unsigned sum = g->percent;
    char parts[200];
    size_t n = 0;
    parts[0] = 0;
    for (unsigned other = 0; other < i; other++) {
        const struct config_guest *o = &p->c->guest[other];
        if (p->draft[other].bad || !o->shared || o->cpu[0] != g->cpu[0])
            continue;
        sum += o->percent;
        if (n < sizeof parts)
            n += (size_t)format(parts + n, sizeof parts - n, "%s %u%%, ", o->name, o->percent);
    }
    if (sum > 100) {
        config_mistake(p, line,
                       "share: CPU %u would be used to %u%% (%s%s %u%%); the shares of a CPU may add up to 100%%",
                       g->cpu[0], sum, parts, g->name, g->percent);
        bad_guest(p, i);
    }
}

static uint64_t needed(const struct config_guest *g)
{
    return g->memory + CONFIG_OVERHEAD + CONFIG_OVERHEAD_CPU * g->cpu_count;
}

static void check_memory(struct config_parser *p, unsigned i)
{
    struct config_guest *g = &p->c->guest[i];
    uint64_t used = config_region_bytes(p->c), shared = config_new_region_bytes(p->c, i);
    char parts[200], size[3][24], sharing[64] = "";
    size_t n = 0;
    parts[0] = 0;
    if (used != 0)
        n += (size_t)format(parts, sizeof parts, ", shared regions have %s",
                            config_size_text(size[0], sizeof size[0], used));
    for (unsigned other = 0; other < i; other++) {
        const struct config_guest *o = &p->c->guest[other];
        if (p->draft[other].bad)
            continue;
        used += needed(o);
        if (n < sizeof parts)
            n += (size_t)format(parts + n, sizeof parts - n, ", %s has %s", o->name,
                                config_size_text(size[0], sizeof size[0], o->memory));
    }
    if (used + needed(g) + shared <= p->machine->memory)
        return;
    if (shared != 0)
        format(sharing, sizeof sharing, ", %s for regions that it shares",
               config_size_text(size[2], sizeof size[2], shared));
    uint64_t left = p->machine->memory > used ? (p->machine->memory - used) >> 20 << 20 : 0;
    uint64_t monitor = CONFIG_OVERHEAD + CONFIG_OVERHEAD_CPU * g->cpu_count, overhead = monitor + shared;
    config_mistake(
        p, p->draft[i].key_line[KEY_MEMORY],
        "memory: guest '%s' wants %s%s and %lluK for its monitor, but %s of %lluM are left%s; at most %lluM are possible",
        g->name, config_size_text(size[0], sizeof size[0], g->memory), sharing, (unsigned long long)(monitor >> 10),
        config_size_text(size[1], sizeof size[1], left), (unsigned long long)(p->machine->memory >> 20), parts,
        (unsigned long long)(left > overhead ? (left - overhead) >> 20 : 0));
    bad_guest(p, i);
}

static uint64_t needed_in_ring0(const struct config_guest *g)
{
    return CONFIG_KERNEL + CONFIG_KERNEL_CPU * g->cpu_count + CONFIG_KERNEL_REGION * g->region_count;
}

static void check_kernel_memory(struct config_parser *p, unsigned i)
{
    const struct config_guest *g = &p->c->guest[i];
    uint64_t used = 0, all = p->machine->kernel_memory;
    for (unsigned other = 0; other < i; other++)
        if (!p->draft[other].bad)
            used += needed_in_ring0(&p->c->guest[other]);
    if (used + needed_in_ring0(g) <= all)
        return;
    config_mistake(
        p, p->draft[i].key_line[KEY_MEMORY],
        "guest '%s' needs %lluK of the kernel's own memory, but %lluK of %lluK are left; fewer guests or vCPUs are possible, or a "
        "machine with more memory (the kernel takes 1/32 of it, 4M to 64M)",
        g->name, (unsigned long long)(needed_in_ring0(g) >> 10),
        (unsigned long long)((all > used ? all - used : 0) >> 10), (unsigned long long)(all >> 10));
    bad_guest(p, i);
}

void config_finish(struct config_parser *p)
{
    struct config *c = p->c;
    unsigned kept = 0;
    for (unsigned i = 0; i < c->guest_count; i++) {
        bool was_bad = p->draft[i].bad;
        if (!was_bad) /* a key that could not be read is not a missing one */
            check_whole(p, i);
        if (!p->draft[i].bad)
            check_cpus(p, i);
        if (!p->draft[i].bad)
            config_check_regions(p, i);
        if (!p->draft[i].bad)
            check_memory(p, i);
        if (!p->draft[i].bad)
            check_kernel_memory(p, i);
        if (!p->draft[i].bad)
            config_take_regions(p, i);
        if (p->draft[i].bad) {
            c->left_out++;
            /* Not a mistake of its own, so it is not counted as one. */
            if (c->mistakes <= CONFIG_REPORTS_MAX) {
                char message[128];
                format(message, sizeof message, "guest '%s' is left out for the mistake%s above", c->guest[i].name,
                       was_bad ? "s" : "");
                p->report(p->context, c->guest[i].line, message);
            }
        }
    }
    config_note_regions(p);
    for (unsigned i = 0; i < c->guest_count; i++)
        if (!p->draft[i].bad) {
            if (kept != i)
                c->guest[kept] = c->guest[i];
            kept++;
        }
    c->guest_count = kept;
}
