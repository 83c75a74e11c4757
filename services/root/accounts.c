// SPDX-License-Identifier: Apache-2.0
/*
 * See ledger.h. A reading takes one CPU after the other, and the exits' shares last: what is read of one CPU lies a few
 * thousand ticks apart at most, and that is the gap between its TSC and the sum of its accounts.
 */
#include "services/root/accounts.h"
#include "lib/print.h"
#include "lib/string.h"
#include "lib/syscall.h"
#include "services/root/guest.h"
#include "services/root/service.h"

#define SERVICES_MAX 8 /* with an account */
#define THREADS_MAX            \
    (SERVICES_MAX + MAX_CPUS + \
     2 * CONFIG_GUESTS_MAX) /* a guest has its devices', and one on each CPU of its own or one with a share */
#define PATHS_SHOWN  10u
#define REASONS_TOLD 3u

struct books {
    uint64_t tsc, idle, kernel, gone;
};

struct account {
    uint64_t ticks, exits[EXIT_COUNT];
    uint8_t cpu;
    uint8_t guest;  /* NO_GUEST: a service */
    uint8_t thread; /* 0: a guest's devices; 1 + vCPU */
    const char *service;
};
#define NO_GUEST 0xffu

struct reading {
    struct books cpu[MAX_CPUS];
    unsigned count;
    struct account account[THREADS_MAX];
};

static struct reading now, before;
static struct {
    bool active;
    unsigned cpu, line;
} cursor;

static const char *const path_name[PATH_COUNT] = {
    [SYS_HANDLE_CLOSE] = "handle_close",
    [SYS_HANDLE_GRANT] = "handle_grant",
    [SYS_DESTROY] = "destroy",
    [SYS_DOMAIN_CREATE] = "domain_create",
    [SYS_THREAD_CREATE] = "thread_create",
    [SYS_THREAD_EXIT] = "thread_exit",
    [SYS_MEMORY_CARVE] = "memory_carve",
    [SYS_MAP] = "map",
    [SYS_UNMAP] = "unmap",
    [SYS_EVENT_CREATE] = "event_create",
    [SYS_EVENT_SIGNAL] = "event_signal",
    [SYS_EVENT_WAIT] = "event_wait",
    [SYS_IRQ_BIND] = "irq_bind",
    [SYS_IRQ_ACK] = "irq_ack",
    [SYS_PORTS_OPEN] = "ports_open",
    [SYS_SPACE_CREATE] = "space_create",
    [SYS_VCPU_CREATE] = "vcpu_create",
    [SYS_VCPU_RUN] = "vcpu_run",
    [SYS_VCPU_FETCH] = "vcpu_fetch",
    [SYS_VCPU_KICK] = "vcpu_kick",
    [SYS_FASTPATH] = "fastpath",
    [SYS_QUERY] = "query",
    [SYS_LOG] = "log",
    [PATH_RING3] = "interrupt-in-ring-3",
    [PATH_GUEST] = "host-exit",
    [PATH_IDLE] = "interrupt-in-idle",
};

static uint64_t ask(uint64_t handle, enum query what, uint64_t index)
{
    struct syscall_result r = sys_query(handle, what, index);
    return r.error == OK ? r.value : 0;
}

/* A thread that does not live is no account: what it ran is among the `gone`. Handle 0: root's own. */
static void add(struct reading *r, uint64_t handle, struct account who)
{
    struct syscall_result ticks = sys_query(handle, QUERY_THREAD_TICKS, 0);
    if (ticks.error != OK || r->count == THREADS_MAX)
        return;
    who.ticks = ticks.value;
    r->account[r->count++] = who;
}

static void add_services(struct reading *r)
{
    add(r, 0, (struct account){.guest = NO_GUEST, .service = "root"});
    for (const struct service *s = service_first(); s != NULL; s = s->next)
        if (s->thread != 0)
            add(r, s->thread, (struct account){.guest = NO_GUEST, .service = s->row->name});
}

static void read_cpu(struct reading *r, unsigned cpu)
{
    struct books *b = &r->cpu[cpu];
    b->idle = ask(ROOT_SLOT_SELF, QUERY_CPU_IDLE, cpu);
    b->kernel = ask(ROOT_SLOT_SELF, QUERY_CPU_KERNEL, cpu);
    b->gone = ask(ROOT_SLOT_SELF, QUERY_CPU_GONE, cpu);
    b->tsc = tsc_now();
    if (cpu == 0)
        add_services(r);
    for (unsigned n = 0; n < root_config.guest_count; n++) {
        const struct guest *g = &guests[n];
        for (unsigned i = 0; i <= g->config->cpu_count; i++)
            if (g->thread[i] != 0 && g->config->cpu[i == 0 ? 0 : i - 1] == cpu)
                add(r, g->thread[i], (struct account){.cpu = (uint8_t)cpu, .guest = (uint8_t)n, .thread = (uint8_t)i});
    }
}

static void read_all(struct reading *r)
{
    r->count = 0;
    for (unsigned cpu = 0; cpu < ROOT_BOOT->cpu_count; cpu++)
        read_cpu(r, cpu);
    for (unsigned i = 0; i < r->count; i++) {
        struct account *a = &r->account[i];
        for (unsigned reason = 0; a->guest != NO_GUEST && a->thread != 0 && reason < EXIT_COUNT; reason++)
            a->exits[reason] = ask(guests[a->guest].thread[a->thread], QUERY_THREAD_EXIT_TICKS, reason);
    }
}

static uint64_t in_exits(const struct account *a)
{
    uint64_t sum = 0;
    for (unsigned reason = 0; reason < EXIT_COUNT; reason++)
        sum += a->exits[reason];
    return min_u64(sum, a->ticks);
}

static void answer_row(unsigned cpu, const char *what, uint64_t ticks)
{
    console_answer("ledger: cpu %u %s %llu", cpu, what, (unsigned long long)ticks);
}

static void tell_account(const struct account *a)
{
    char what[64];
    if (a->guest == NO_GUEST) {
        format(what, sizeof what, "service %s", a->service);
        answer_row(a->cpu, what, a->ticks);
        return;
    }
    const char *name = root_config.guest[a->guest].name;
    if (a->thread == 0) {
        format(what, sizeof what, "guest %s devices", name);
        answer_row(a->cpu, what, a->ticks);
        return;
    }
    format(what, sizeof what, "guest %s vcpu %u", name, a->thread - 1u);
    answer_row(a->cpu, what, a->ticks);
    format(what, sizeof what, "guest %s vcpu %u guest", name, a->thread - 1u);
    answer_row(a->cpu, what, a->ticks - in_exits(a));
    for (unsigned reason = 0; reason < EXIT_COUNT; reason++)
        if (a->exits[reason] != 0) {
            format(what, sizeof what, "guest %s vcpu %u exit %s", name, a->thread - 1u, guest_exit_name(reason));
            answer_row(a->cpu, what, a->exits[reason]);
        }
}

void ledger_command(void)
{
    read_all(&now);
    cursor.active = true;
    cursor.cpu = cursor.line = 0;
}

/* One account at a time, while the console has room for what that may need. */
bool ledger_more(void)
{
    while (cursor.active && console_room() > EXIT_COUNT + 4) {
        const struct books *b = &now.cpu[cursor.cpu];
        if (cursor.line == 0) {
            answer_row(cursor.cpu, "tsc", b->tsc);
            answer_row(cursor.cpu, "idle", b->idle);
            answer_row(cursor.cpu, "kernel", b->kernel);
            answer_row(cursor.cpu, "gone", b->gone);
        } else if (now.account[cursor.line - 1].cpu == cursor.cpu) {
            tell_account(&now.account[cursor.line - 1]);
        }
        if (cursor.line++ == now.count) {
            cursor.line = 0;
            cursor.active = ++cursor.cpu < ROOT_BOOT->cpu_count;
        }
    }
    return cursor.active;
}

/* ---- top */

/* "12.3%" of the CPU's ticks. */
static const char *percent(char *out, size_t size, uint64_t ticks, uint64_t of)
{
    uint64_t tenths = of != 0 ? (ticks * 1000 + of / 2) / of : 0;
    format(out, size, "%llu.%llu%%", (unsigned long long)(tenths / 10), (unsigned long long)(tenths % 10));
    return out;
}

static const struct account *same(const struct reading *r, const struct account *a)
{
    for (unsigned i = 0; i < r->count; i++)
        if (r->account[i].cpu == a->cpu && r->account[i].guest == a->guest && r->account[i].thread == a->thread &&
            r->account[i].service == a->service && r->account[i].ticks <= a->ticks) /* else it is of an earlier life */
            return &r->account[i];
    return NULL;
}

static void row(unsigned cpu, const char *who, uint64_t ticks, uint64_t of, const char *more)
{
    char share[16];
    console_answer("%3u  %-24s %7s%s", cpu, who, percent(share, sizeof share, ticks, of), more);
}

static void account_row(const struct account *a, uint64_t of)
{
    const struct account *old = same(&before, a);
    struct account d = *a;
    char who[48], more[160] = "", share[2][16];
    for (unsigned reason = 0; old != NULL && reason < EXIT_COUNT; reason++)
        d.exits[reason] -= min_u64(old->exits[reason], a->exits[reason]);
    d.ticks -= old != NULL ? old->ticks : 0;
    if (a->guest == NO_GUEST) {
        format(who, sizeof who, "(%s)", a->service);
    } else if (a->thread == 0) {
        format(who, sizeof who, "%.24s devices", root_config.guest[a->guest].name);
    } else {
        format(who, sizeof who, root_config.guest[a->guest].cpu_count > 1 ? "%.24s vCPU %u" : "%.24s",
               root_config.guest[a->guest].name, a->thread - 1u);
        uint64_t exits = in_exits(&d);
        size_t n = (size_t)format(more, sizeof more, " %7s %7s ",
                                  percent(share[0], sizeof share[0], d.ticks - exits, of),
                                  percent(share[1], sizeof share[1], exits, of));
        for (unsigned told = 0; told < REASONS_TOLD && n < sizeof more; told++) {
            unsigned most = 0;
            for (unsigned reason = 0; reason < EXIT_COUNT; reason++)
                if (d.exits[reason] > d.exits[most])
                    most = reason;
            if (d.exits[most] * 1000 < of) /* less than 0.1% */
                break;
            n += (size_t)format(more + n, sizeof more - n, "%s %s %s", told ? "," : "", guest_exit_name(most),
                                percent(share[0], sizeof share[0], d.exits[most], of));
            d.exits[most] = 0;
        }
    }
    row(a->cpu, who, d.ticks, of, more);
}

void ledger_top(bool again)
{
    memcpy(&before, &now, sizeof before);
    read_all(&now);
    if (!again)
        return;
    console_answer("CPU  %-24s %7s %7s %7s  %s", "WHO", "ALL", "GUEST", "EXITS", "MOST COSTLY EXITS");
    for (unsigned cpu = 0; cpu < ROOT_BOOT->cpu_count; cpu++) {
        const struct books *b = &now.cpu[cpu], *old = &before.cpu[cpu];
        uint64_t of = b->tsc - old->tsc;
        row(cpu, "(idle)", b->idle - min_u64(old->idle, b->idle), of, "");
        row(cpu, "(kernel)", b->kernel - old->kernel, of, "");
        if (b->gone != old->gone)
            row(cpu, "(gone)", b->gone - old->gone, of, "");
        for (unsigned i = 0; i < now.count; i++)
            if (now.account[i].cpu == cpu)
                account_row(&now.account[i], of);
    }
}

/* ---- paths */

void ledger_paths(void)
{
    uint64_t longest[PATH_COUNT] = {0};
    unsigned where[PATH_COUNT] = {0};
    for (unsigned cpu = 0; cpu < ROOT_BOOT->cpu_count; cpu++)
        for (unsigned path = 0; path < PATH_COUNT; path++) {
            uint64_t ticks = ask(ROOT_SLOT_SELF, QUERY_CPU_PATH, cpu | (uint64_t)path << 8);
            if (ticks > longest[path]) {
                longest[path] = ticks;
                where[path] = cpu;
            }
        }
    for (unsigned told = 0; told < PATHS_SHOWN; told++) {
        unsigned most = 0;
        for (unsigned path = 1; path < PATH_COUNT; path++)
            if (longest[path] > longest[most])
                most = path;
        if (longest[most] == 0)
            break;
        console_answer("paths: %s %llu on cpu %u", path_name[most], (unsigned long long)longest[most], where[most]);
        longest[most] = 0;
    }
}
