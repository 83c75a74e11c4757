// SPDX-License-Identifier: Apache-2.0
/*
 * `accounts` and `paths`: one figure a line, for programs to read. See show.h.
 */
#include "lib/print.h"
#include "mullion/abi.h"
#include "mullion/vcpu.h"
#include "services/console/show.h"

typedef unsigned long long ull;

uint64_t account_exits(const struct account_record *a)
{
    uint64_t sum = 0;
    for (unsigned reason = 0; reason < EXIT_COUNT; reason++)
        sum += a->exit_ticks[reason];
    return min_u64(sum, a->ticks);
}

static void figure(struct show *s, unsigned cpu, const char *what, uint64_t ticks)
{
    show_line(s, "accounts: cpu %u %s %llu", cpu, what, (ull)ticks);
}

void show_cpu(struct show *s, const struct cpu_record *r)
{
    figure(s, r->cpu, "tsc", r->tsc);
    figure(s, r->cpu, "idle", r->idle);
    figure(s, r->cpu, "kernel", r->kernel);
    figure(s, r->cpu, "gone", r->gone);
}

void show_account(struct show *s, const struct account_record *r)
{
    char what[96];
    if (r->kind == ACCOUNT_SERVICE) {
        format(what, sizeof what, "service %s", r->name);
        figure(s, r->cpu, what, r->ticks);
        return;
    }
    if (r->kind == ACCOUNT_DEVICES) {
        format(what, sizeof what, "guest %s devices", r->name);
        figure(s, r->cpu, what, r->ticks);
        return;
    }
    format(what, sizeof what, "guest %s vcpu %u", r->name, r->vcpu);
    figure(s, r->cpu, what, r->ticks);
    format(what, sizeof what, "guest %s vcpu %u guest", r->name, r->vcpu);
    figure(s, r->cpu, what, r->ticks - account_exits(r));
    for (unsigned reason = 0; reason < EXIT_COUNT; reason++)
        if (r->exit_ticks[reason] != 0) {
            format(what, sizeof what, "guest %s vcpu %u exit %s", r->name, r->vcpu, exit_name(reason));
            figure(s, r->cpu, what, r->exit_ticks[reason]);
        }
}

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

void show_path(struct show *s, const struct path_record *r)
{
    const char *name = r->path < PATH_COUNT && path_name[r->path] != NULL ? path_name[r->path] : "?";
    show_line(s, "paths: %s %llu on cpu %u", name, (ull)r->ticks, r->cpu);
}
