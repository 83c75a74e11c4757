// SPDX-License-Identifier: Apache-2.0
/*
 * A guest's state and counters, as records. See answers.h.
 */
#include "lib/print.h"
#include "lib/string.h"
#include "lib/syscall.h"
#include "mullion/vcpu.h"
#include "services/root/answers.h"
#include "services/root/guest.h"

_Static_assert(EXIT_COUNT <= RECORD_REASONS && VMM_VCPUS_MAX <= RECORD_CPUS && CONFIG_NAME_MAX <= RECORD_NAME_BYTES,
               "a record has room");

static bool is_on(const struct guest *g)
{
    return g->phase == PHASE_ON || g->phase == PHASE_STOPPING;
}

static enum guest_life life(const struct guest *g)
{
    switch (g->phase) {
    case PHASE_ON:
        if (g->reset_wanted)
            return LIFE_RESTARTING;
        return g->shown == GUEST_RUNNING ? LIFE_RUNNING : LIFE_STARTING;
    case PHASE_STOPPING: return LIFE_STOPPING;
    case PHASE_ENDING: return g->start_wanted ? LIFE_RESTARTING : LIFE_CLEARING;
    case PHASE_OFF: break;
    }
    if (g->start_wanted)
        return g->start_at > tsc_now() ? LIFE_RESTARTING : LIFE_STARTING;
    if (g->shown == GUEST_CRASHED)
        return LIFE_CRASHED;
    return g->shown == GUEST_FAILED ? LIFE_FAILED : LIFE_OFF;
}

uint64_t guest_exits_for(unsigned n, unsigned reason)
{
    const struct guest *g = &guests[n];
    uint64_t sum = 0;
    if (!is_on(g))
        return g->last_exits[reason];
    for (unsigned i = 1; i <= g->config->cpu_count; i++) {
        struct syscall_result r = sys_query(g->thread[i], QUERY_THREAD_EXITS, reason);
        sum += g->thread[i] != 0 && r.error == OK ? r.value : 0;
    }
    return sum;
}

bool guest_find(const char *name, unsigned *n)
{
    for (*n = 0; *n < guests_end; ++*n)
        if (name[0] != 0 && strcmp(guest_name(*n), name) == 0)
            return true;
    return false;
}

const char *guest_left_text(const struct guest *g, char *out, size_t size)
{
    uint64_t now = tsc_now(), left = g->deadline > now ? (g->deadline - now) / ticks_of_ms(1000) + 1 : 0;
    format(out, size, "it has %llu s to switch itself off, then it is stopped", (unsigned long long)left);
    return out;
}

void guest_report(unsigned n, union record *out)
{
    const struct guest *g = &guests[n];
    const struct config_guest *c = g->config;
    struct guest_record *r = &out->guest;
    record_begin(out, RECORD_GUEST);
    r->number = n;
    r->life = LIFE_GONE;
    if (c == NULL)
        return;
    string_copy(r->name, c->name, sizeof r->name);
    r->served = g->served;
    r->life = life(g);
    r->restarts = g->restarts;
    r->percent = c->has_share ? c->percent : 0;
    r->cpu_count = c->cpu_count;
    for (unsigned i = 0; i < c->cpu_count; i++)
        r->cpu[i] = c->cpu[i];
    r->memory = c->memory;
    r->ticks = g->ticks;
    r->exits = g->exits;
    if (g->phase == PHASE_STOPPING)
        (void)guest_left_text(g, r->reason, sizeof r->reason);
    uint64_t now = tsc_now();
    if ((g->start_wanted || g->reset_wanted) && g->start_at > now) {
        format(r->reason, sizeof r->reason, "%s; it is started again in %llu s", g->reason[0] ? g->reason : "reset",
               (unsigned long long)((g->start_at - now) / ticks_of_ms(1000) + 1));
        if (!is_on(g))
            return;
    }
    if (!is_on(g)) {
        string_copy(r->reason, g->reason, sizeof r->reason);
        return;
    }
    r->life_ticks = guest_ticks(g);
    r->uptime = now - g->made;
    r->ticks += r->life_ticks;
    for (unsigned reason = 0; reason < EXIT_COUNT; reason++)
        r->exits += guest_exits_for(n, reason);
}

bool list_next(struct cursor *at, union record *out)
{
    while (at->index < guests_end && guests[at->index].config == NULL)
        at->index++;
    if (at->index > guests_end)
        return false;
    if (at->index == guests_end)
        machine_report(out);
    else
        guest_report(at->index, out);
    at->index++;
    return true;
}

bool stats_next(struct cursor *at, union record *out)
{
    const struct guest *g = &guests[at->guest];
    struct stats_record *r = &out->stats;
    if (at->index++ != 0 || g->config == NULL)
        return false;
    record_begin(out, RECORD_STATS);
    string_copy(r->name, g->config->name, sizeof r->name);
    r->on = is_on(g);
    r->start_ticks = g->start_ticks;
    if (r->on) {
        r->kernel_bytes = sys_query(g->domain, QUERY_DOMAIN_KMEM_USED, 0).value * PAGE_SIZE;
        r->kernel_bytes_most = sys_query(g->domain, QUERY_DOMAIN_KMEM_QUOTA, 0).value * PAGE_SIZE;
    }
    for (unsigned reason = 0; reason < EXIT_COUNT; reason++)
        r->exits[reason] = guest_exits_for(at->guest, reason);
    return true;
}

/* at->index: where its next line begins. */
bool crash_next(struct cursor *at, union record *out)
{
    const char *text = guest_crash_text(at->guest) + at->index;
    record_begin(out, RECORD_NOTE);
    if (at->part != 0)
        return false;
    if (guests[at->guest].shared == 0 || *text == 0) {
        at->part = 1;
        if (at->index == 0)
            record_note(&out->note, NOTE_INFO,
                        "Nothing was written down: guest %s has not crashed, or its monitor has.",
                        guest_name(at->guest));
        return at->index == 0;
    }
    unsigned size = 0;
    while (text[size] != 0 && text[size] != '\n')
        size++;
    record_note(&out->note, NOTE_INFO, "%.*s", (int)size, text);
    at->index += size + (text[size] == '\n');
    return true;
}
