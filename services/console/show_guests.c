// SPDX-License-Identifier: Apache-2.0
/*
 * `list` and `stats`. See show.h.
 */
#include "lib/print.h"
#include "lib/string.h"
#include "mullion/vcpu.h"
#include "services/console/show.h"

typedef unsigned long long ull;

const char *exit_name(unsigned reason)
{
    static const char *const name[EXIT_COUNT] = {
        [EXIT_NONE] = "start",
        [EXIT_KICK] = "kick",
        [EXIT_DEADLINE] = "deadline",
        [EXIT_PORT] = "port",
        [EXIT_MEMORY] = "memory",
        [EXIT_RDMSR] = "rdmsr",
        [EXIT_WRMSR] = "wrmsr",
        [EXIT_CPUID] = "cpuid",
        [EXIT_HLT] = "hlt",
        [EXIT_HYPERCALL] = "hypercall",
        [EXIT_CR_WRITE] = "cr-write",
        [EXIT_CR_READ] = "cr-read",
        [EXIT_XSETBV] = "xsetbv",
        [EXIT_EXCEPTION] = "exception",
        [EXIT_TRIPLE_FAULT] = "triple-fault",
        [EXIT_TASK_SWITCH] = "task-switch",
        [EXIT_INVALID_OPCODE_WANTED] = "invalid-opcode",
        [EXIT_APIC] = "apic",
        [EXIT_SHUTDOWN] = "shutdown",
        [EXIT_BAD_STATE] = "bad-state",
        [EXIT_UNKNOWN] = "unknown",
        [EXIT_IRET] = "iret",
        [EXIT_WAITING] = "host",
    };
    return reason < EXIT_COUNT && name[reason] != NULL ? name[reason] : "?";
}

/* "1-3,5": the vCPUs' CPUs in order; "20% of 1": a share of one. */
static void cpu_text(char *out, size_t size, const struct guest_record *r)
{
    size_t used = 0;
    out[0] = 0;
    if (r->percent != 0) {
        format(out, size, "%u%% of %u", r->percent, r->cpu[0]);
        return;
    }
    for (unsigned i = 0; i < r->cpu_count && used < size; i++) {
        unsigned first = i;
        while (i + 1 < r->cpu_count && r->cpu[i + 1] == r->cpu[i] + 1)
            i++;
        used += (size_t)format(out + used, size - used, "%s%u", first ? "," : "", r->cpu[first]);
        if (i > first && used < size)
            used += (size_t)format(out + used, size - used, "-%u", r->cpu[i]);
    }
}

static void list_head(struct show *s)
{
    if (s->head)
        return;
    s->head = true;
    show_line(s, "%-*s  %-10s  %5s  %-10s  %6s  %9s  %9s  %5s  %8s", (int)s->name_width, "NAME", "STATE", "VCPUS",
              "CPUS", "MEMORY", "UPTIME", "CPU TIME", "%CPU", "RESTARTS");
}

/* "3:07", "5:03:07", "12d 05:03" */
static void uptime_text(char *out, size_t size, uint64_t seconds, bool on)
{
    unsigned minutes = (unsigned)(seconds / 60 % 60), hours = (unsigned)(seconds / 3600 % 24);
    if (!on)
        format(out, size, "-");
    else if (seconds >= 86400)
        format(out, size, "%llud %02u:%02u", (ull)(seconds / 86400), hours, minutes);
    else if (seconds >= 3600)
        format(out, size, "%u:%02u:%02u", hours, minutes, (unsigned)(seconds % 60));
    else
        format(out, size, "%u:%02u", minutes, (unsigned)(seconds % 60));
}

void show_guest(struct show *s, const struct guest_record *r)
{
    static const char *const life[LIFE_COUNT] = {
        [LIFE_OFF] = "off",           [LIFE_CRASHED] = "crashed",       [LIFE_FAILED] = "failed",
        [LIFE_CLEARING] = "clearing", [LIFE_RESTARTING] = "restarting", [LIFE_STARTING] = "starting",
        [LIFE_RUNNING] = "running",   [LIFE_STOPPING] = "stopping",
    };
    uint64_t tenths = s->tsc_khz != 0 ? r->ticks / s->tsc_khz / 100 : 0;
    char cpus[64], memory[24], time[24], up[24], percent[16] = "-";
    list_head(s);
    cpu_text(cpus, sizeof cpus, r);
    format_size(memory, sizeof memory, r->memory);
    format(time, sizeof time, "%llu.%llus", (ull)(tenths / 10), (ull)(tenths % 10));
    uptime_text(up, sizeof up, s->tsc_khz != 0 ? r->uptime / s->tsc_khz / 1000 : 0, r->uptime != 0);
    if (r->uptime >= 1000)
        format(percent, sizeof percent, "%llu", (ull)(r->life_ticks / (r->uptime / 100)));
    show_line(s, "%-*s  %-10s  %5u  %-10s  %6s  %9s  %9s  %5s  %8u", (int)s->name_width, r->name, life[r->life],
              r->cpu_count, cpus, memory, up, time, percent, r->restarts);
    if (r->reason[0] != 0)
        show_line(s, "%-*s  %s", (int)s->name_width, "", r->reason);
}

/* The end of `list`. */
void show_left_out(struct show *s, const struct machine_record *r)
{
    list_head(s);
    if (r->guests == 0)
        show_line(s, "(no guest is configured)");
    if (r->guests_left_out != 0)
        show_line(s, "%u guest%s of the configuration %s left out: 'log' tells why", r->guests_left_out,
                  r->guests_left_out == 1 ? "" : "s", r->guests_left_out == 1 ? "was" : "were");
}

void show_stats(struct show *s, const struct stats_record *r)
{
    uint64_t all = 0;
    for (unsigned reason = 0; reason < EXIT_COUNT; reason++)
        all += r->exits[reason];
    show_line(s, "%-16s  %10llu  (%llu ms)", "start: ticks", (ull)r->start_ticks,
              (ull)(s->tsc_khz != 0 ? r->start_ticks / s->tsc_khz : 0));
    if (r->on)
        show_line(s, "%-16s  %10llu  (of %llu that it may use)", "kernel: bytes", (ull)r->kernel_bytes,
                  (ull)r->kernel_bytes_most);
    show_line(s, "%-16s  %10llu  (%s)", "exits: all", (ull)all, r->on ? "so far" : "in its last life");
    for (unsigned reason = 0; reason < EXIT_COUNT; reason++)
        if (r->exits[reason] != 0)
            show_line(s, "exits: %-9s  %10llu", exit_name(reason), (ull)r->exits[reason]);
}
