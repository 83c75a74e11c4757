// SPDX-License-Identifier: Apache-2.0
/*
 * The accounts of CPU time, read from the kernel's books, as records: on each CPU every tick is a guest's (its own, or
 * an exit's by reason), a service's, the kernel's, or idle. See answers.h.
 *
 * A CPU is read at once, and its exits' shares last: what is read lies a few thousand ticks apart at most, and that is
 * the gap between its TSC and the sum of its accounts. Then its records go out as the reader takes them.
 */
#include "lib/string.h"
#include "lib/syscall.h"
#include "services/root/answers.h"
#include "services/root/guest.h"
#include "services/root/service.h"

#define SERVICES_MAX 16 /* with an account */
#define THREADS_MAX \
    (SERVICES_MAX + 2 * CONFIG_GUESTS_MAX) /* on one CPU a guest has its devices' and one vCPU's at most */
#define PATHS_SHOWN 10u
#define NO_GUEST    0xffffu

struct account {
    uint64_t ticks, handle;
    uint16_t guest;  /* NO_GUEST: a service */
    uint16_t thread; /* 0: a guest's devices; 1 + vCPU */
    const char *service;
};

static struct {
    uint64_t tsc, idle, kernel, gone;
    unsigned count;
    struct account account[THREADS_MAX];
    uint64_t exit_ticks[THREADS_MAX][EXIT_COUNT];
} now;

static uint64_t ask(uint64_t handle, enum query what, uint64_t index)
{
    struct syscall_result r = sys_query(handle, what, index);
    return r.error == OK ? r.value : 0;
}

/* A thread that does not live is no account: what it ran is among the `gone`. Handle 0: root's own. */
static void add(uint64_t handle, struct account who)
{
    struct syscall_result ticks = sys_query(handle, QUERY_THREAD_TICKS, 0);
    if (ticks.error != OK || now.count == THREADS_MAX)
        return;
    who.handle = handle;
    who.ticks = ticks.value;
    now.account[now.count++] = who;
}

static void add_services(unsigned cpu)
{
    if (cpu == 0)
        add(0, (struct account){.guest = NO_GUEST, .service = "root"});
    for (const struct service *s = service_first(); s != NULL; s = s->next)
        if (s->thread != 0 && s->cpu == cpu)
            add(s->thread, (struct account){.guest = NO_GUEST, .service = s->row->name});
}

static bool has_exits(const struct account *a)
{
    return a->guest != NO_GUEST && a->thread != 0;
}

static void read_cpu(unsigned cpu)
{
    now.count = 0;
    now.idle = ask(ROOT_SLOT_SELF, QUERY_CPU_IDLE, cpu);
    now.kernel = ask(ROOT_SLOT_SELF, QUERY_CPU_KERNEL, cpu);
    now.gone = ask(ROOT_SLOT_SELF, QUERY_CPU_GONE, cpu);
    now.tsc = tsc_now();
    add_services(cpu);
    for (unsigned n = 0; n < guests_end; n++) {
        const struct guest *g = &guests[n];
        for (unsigned i = 0; g->config != NULL && i <= g->config->cpu_count; i++)
            if (g->thread[i] != 0 && g->config->cpu[i == 0 ? 0 : i - 1] == cpu)
                add(g->thread[i], (struct account){.guest = (uint16_t)n, .thread = (uint16_t)i});
    }
    for (unsigned i = 0; i < now.count; i++)
        for (unsigned reason = 0; has_exits(&now.account[i]) && reason < EXIT_COUNT; reason++)
            now.exit_ticks[i][reason] = ask(now.account[i].handle, QUERY_THREAD_EXIT_TICKS, reason);
}

static void cpu_report(unsigned cpu, union record *out)
{
    struct cpu_record *r = &out->cpu;
    record_begin(out, RECORD_CPU);
    r->cpu = cpu;
    r->tsc = now.tsc;
    r->idle = now.idle;
    r->kernel = now.kernel;
    r->gone = now.gone;
}

static void account_report(unsigned cpu, unsigned i, union record *out)
{
    const struct account *a = &now.account[i];
    struct account_record *r = &out->account;
    record_begin(out, RECORD_ACCOUNT);
    r->cpu = cpu;
    r->ticks = a->ticks;
    if (a->guest == NO_GUEST) {
        r->kind = ACCOUNT_SERVICE;
        string_copy(r->name, a->service, sizeof r->name);
        return;
    }
    r->kind = a->thread == 0 ? ACCOUNT_DEVICES : ACCOUNT_VCPU;
    string_copy(r->name, guest_name(a->guest), sizeof r->name);
    if (!has_exits(a))
        return;
    r->vcpu = a->thread - 1u;
    r->vcpu_count = guests[a->guest].config != NULL ? guests[a->guest].config->cpu_count : 0;
    for (unsigned reason = 0; reason < EXIT_COUNT; reason++)
        r->exit_ticks[reason] = now.exit_ticks[i][reason];
}

/* at->index: the CPU; at->inner: 0 the CPU itself, 1 + account */
bool accounts_next(struct cursor *at, union record *out)
{
    if (at->inner > now.count) {
        at->inner = 0;
        at->index++;
    }
    if (at->index >= ROOT_BOOT->cpu_count)
        return false;
    if (at->inner == 0) {
        read_cpu(at->index);
        cpu_report(at->index, out);
    } else {
        account_report(at->index, at->inner - 1, out);
    }
    at->inner++;
    return true;
}

static uint64_t longest_of(unsigned path, unsigned *where)
{
    uint64_t longest = 0;
    for (unsigned cpu = 0; cpu < ROOT_BOOT->cpu_count; cpu++) {
        uint64_t ticks = ask(ROOT_SLOT_SELF, QUERY_CPU_PATH, cpu | (uint64_t)path << 16);
        if (ticks > longest) {
            longest = ticks;
            *where = cpu;
        }
    }
    return longest;
}

bool paths_next(struct cursor *at, union record *out)
{
    static uint64_t longest[PATH_COUNT];
    static unsigned where[PATH_COUNT];
    if (at->index == 0)
        for (unsigned path = 0; path < PATH_COUNT; path++)
            longest[path] = longest_of(path, &where[path]);
    unsigned most = 0;
    for (unsigned path = 1; path < PATH_COUNT; path++)
        if (longest[path] > longest[most])
            most = path;
    if (at->index++ == PATHS_SHOWN || longest[most] == 0)
        return false;
    record_begin(out, RECORD_PATH);
    out->path.path = most;
    out->path.cpu = where[most];
    out->path.ticks = longest[most];
    longest[most] = 0;
    return true;
}
