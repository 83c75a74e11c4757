// SPDX-License-Identifier: Apache-2.0
/*
 * See top.h.
 */
#include "services/console/top.h"
#include "lib/print.h"
#include "lib/proto/console_boot.h"
#include "lib/string.h"
#include "mullion/abi.h"
#include "mullion/vcpu.h"

#define SERVICES     8
#define ACCOUNTS_MAX (SERVICES + MAX_CPUS + 2 * CONSOLE_GUESTS_MAX)
#define REASONS_TOLD 3u

typedef unsigned long long ull;

struct reading {
    unsigned cpu_count, account_count;
    struct cpu_record cpu[MAX_CPUS];
    struct account_record account[ACCOUNTS_MAX];
};

static struct reading readings[2];
static unsigned turn; /* of the reading that is being made */
static bool have_before;

static struct reading *now(void)
{
    return &readings[turn % 2];
}

static const struct reading *before(void)
{
    return &readings[(turn + 1) % 2];
}

void top_reset(void)
{
    memset(readings, 0, sizeof readings);
    have_before = false;
}

void top_again(void)
{
    now()->cpu_count = now()->account_count = 0;
}

bool top_ready(void)
{
    return have_before;
}

void top_take(const union record *r)
{
    struct reading *n = now();
    if (r->head.kind == RECORD_CPU && n->cpu_count < MAX_CPUS)
        n->cpu[n->cpu_count++] = r->cpu;
    if (r->head.kind == RECORD_ACCOUNT && n->account_count < ACCOUNTS_MAX)
        n->account[n->account_count++] = r->account;
}

/* "12.3%" of the CPU's ticks. */
static const char *percent(char *out, size_t size, uint64_t ticks, uint64_t of)
{
    uint64_t tenths = of != 0 ? (ticks * 1000 + of / 2) / of : 0;
    format(out, size, "%llu.%llu%%", (ull)(tenths / 10), (ull)(tenths % 10));
    return out;
}

static void row(struct show *s, unsigned cpu, const char *who, const char *share, const char *more)
{
    show_line(s, "%3u  %-24s %7s%s", cpu, who, share, more);
}

static void cpu_row(struct show *s, unsigned cpu, const char *who, uint64_t ticks, uint64_t of)
{
    char share[16];
    row(s, cpu, who, percent(share, sizeof share, ticks, of), "");
}

/* The same thread's account in the reading before; NULL: it is new, or of another life. */
static const struct account_record *same(const struct account_record *a)
{
    const struct reading *b = before();
    for (unsigned i = 0; i < b->account_count; i++) {
        const struct account_record *o = &b->account[i];
        if (o->cpu == a->cpu && o->kind == a->kind && o->vcpu == a->vcpu && strcmp(o->name, a->name) == 0 &&
            o->ticks <= a->ticks)
            return o;
    }
    return NULL;
}

/* " port 34.2%, wrmsr 9.2%": the reasons that cost most; those below 0.1% are left out. */
static void costly(char *out, size_t size, struct account_record d, uint64_t of)
{
    size_t used = 0;
    for (unsigned told = 0; told < REASONS_TOLD && used < size; told++) {
        unsigned most = 0;
        char share[16];
        for (unsigned reason = 0; reason < EXIT_COUNT; reason++)
            if (d.exit_ticks[reason] > d.exit_ticks[most])
                most = reason;
        if (d.exit_ticks[most] * 1000 < of || d.exit_ticks[most] == 0)
            return;
        used += (size_t)format(out + used, size - used, "%s %s %s", told ? "," : "", exit_name(most),
                               percent(share, sizeof share, d.exit_ticks[most], of));
        d.exit_ticks[most] = 0;
    }
}

static void account_row(struct show *s, const struct account_record *a, uint64_t of)
{
    const struct account_record *old = same(a);
    struct account_record d = *a;
    char who[64], all[16], in_guest[16], in_exits[16], reasons[120] = "", more[160] = "";
    for (unsigned reason = 0; old != NULL && reason < EXIT_COUNT; reason++)
        d.exit_ticks[reason] -= min_u64(old->exit_ticks[reason], a->exit_ticks[reason]);
    d.ticks -= old != NULL ? old->ticks : 0;
    if (a->kind == ACCOUNT_SERVICE) {
        format(who, sizeof who, "(%s)", a->name);
    } else if (a->kind == ACCOUNT_DEVICES) {
        format(who, sizeof who, "%.24s devices", a->name);
    } else {
        uint64_t exits = account_exits(&d);
        int n = format(who, sizeof who, "%.24s", a->name);
        if (a->vcpu_count > 1)
            format(who + n, sizeof who - (size_t)n, " vCPU %u", a->vcpu);
        costly(reasons, sizeof reasons, d, of);
        format(more, sizeof more, " %7s %7s %s", percent(in_guest, sizeof in_guest, d.ticks - exits, of),
               percent(in_exits, sizeof in_exits, exits, of), reasons);
    }
    row(s, a->cpu, who, percent(all, sizeof all, d.ticks, of), more);
}

static void cpu_table(struct show *s, const struct cpu_record *c, const struct cpu_record *old)
{
    const struct reading *n = now();
    uint64_t of = c->tsc - old->tsc;
    cpu_row(s, c->cpu, "(idle)", c->idle - min_u64(old->idle, c->idle), of);
    cpu_row(s, c->cpu, "(kernel)", c->kernel - min_u64(old->kernel, c->kernel), of);
    if (c->gone != old->gone)
        cpu_row(s, c->cpu, "(gone)", c->gone - old->gone, of);
    for (unsigned i = 0; i < n->account_count; i++)
        if (n->account[i].cpu == c->cpu)
            account_row(s, &n->account[i], of);
}

bool top_table(struct show *s)
{
    const struct reading *n = now(), *b = before();
    bool shown = have_before;
    if (shown)
        show_line(s, "CPU  %-24s %7s %7s %7s  %s", "WHO", "ALL", "GUEST", "EXITS", "MOST COSTLY EXITS");
    for (unsigned i = 0; shown && i < n->cpu_count && i < b->cpu_count; i++)
        if (n->cpu[i].cpu == b->cpu[i].cpu)
            cpu_table(s, &n->cpu[i], &b->cpu[i]);
    have_before = true;
    turn++;
    return shown;
}
