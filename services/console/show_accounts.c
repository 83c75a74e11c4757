// SPDX-License-Identifier: Apache-2.0
/*
 * `accounts` and `paths`: one figure a line, for programs to read. See show.h.
 */
#include "lib/calls.h"
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

static const char *path_name(unsigned path)
{
    switch (path) {
    case PATH_RING3: return "interrupt-in-ring-3";
    case PATH_GUEST: return "host-exit";
    case PATH_IDLE: return "interrupt-in-idle";
    default: return path < SYS_COUNT ? call_shapes[path].name : "?";
    }
}

void show_path(struct show *s, const struct path_record *r)
{
    const char *name = path_name(r->path);
    show_line(s, "paths: %s %llu on cpu %u", name, (ull)r->ticks, r->cpu);
}
