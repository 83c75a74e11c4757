// SPDX-License-Identifier: Apache-2.0
/*
 * What the shell's `list`, `memory` and `stats` show. See root.h.
 */
#include "lib/print.h"
#include "lib/string.h"
#include "lib/syscall.h"
#include "mullion/vcpu.h"
#include "services/root/guest.h"
#include "services/root/regions.h"

static const char *state_word(const struct guest *g)
{
    switch (g->phase) {
    case PHASE_ON: return g->shown == GUEST_RUNNING ? "running" : "starting";
    case PHASE_STOPPING: return "stopping";
    case PHASE_ENDING: return g->restart_wanted ? "restarting" : "clearing";
    case PHASE_OFF: break;
    }
    return g->shown == GUEST_CRASHED ? "crashed" : g->shown == GUEST_FAILED ? "failed" : "off";
}

static void cpu_text(char *out, size_t size, const struct config_guest *c)
{
    if (c->shared) {
        format(out, size, "%u%% of %u", c->percent, c->cpu[0]);
        return;
    }
    size_t n = 0;
    for (unsigned i = 0; i < c->cpu_count && n < size; i++) {
        unsigned last = i;
        while (last + 1 < c->cpu_count && c->cpu[last + 1] == c->cpu[last] + 1)
            last++;
        n += (size_t)(last > i ? format(out + n, size - n, "%s%u-%u", n ? "," : "", c->cpu[i], c->cpu[last])
                               : format(out + n, size - n, "%s%u", n ? "," : "", c->cpu[i]));
        i = last;
    }
}

uint64_t guest_exits_for(unsigned n, unsigned reason)
{
    const struct guest *g = &guests[n];
    uint64_t sum = 0;
    if (g->phase == PHASE_OFF || g->phase == PHASE_ENDING)
        return g->last_exits[reason];
    for (unsigned i = 1; i <= g->config->cpu_count; i++) {
        struct syscall_result r = sys_query(g->thread[i], QUERY_THREAD_EXITS, reason);
        sum += g->thread[i] != 0 && r.error == OK ? r.value : 0;
    }
    return sum;
}

uint64_t guest_exits(unsigned n)
{
    uint64_t sum = 0;
    for (unsigned r = 0; r < EXIT_COUNT; r++)
        sum += guest_exits_for(n, r);
    return sum;
}

void guests_list(void)
{
    unsigned width = 5;
    for (unsigned n = 0; n < root_config.guest_count; n++)
        width = (unsigned)max_u64(width, strlen(root_config.guest[n].name));
    console_answer("%-*s  %-10s  %5s  %-10s  %8s  %10s  %10s  %8s", (int)width, "NAME", "STATE", "VCPUS", "CPUS",
                   "MEMORY", "CPU TIME", "EXITS", "RESTARTS");
    for (unsigned n = 0; n < root_config.guest_count; n++) {
        const struct guest *g = &guests[n];
        bool on = g->phase == PHASE_ON || g->phase == PHASE_STOPPING;
        uint64_t ticks = g->ticks + (on ? guest_ticks(g) : 0);
        uint64_t exits = g->exits + (on ? guest_exits(n) : 0);
        uint64_t tenths = ROOT_BOOT->tsc_khz ? ticks / ROOT_BOOT->tsc_khz / 100 : 0;
        char cpus[24], memory[24], time[24];
        cpu_text(cpus, sizeof cpus, g->config);
        config_size_text(memory, sizeof memory, g->config->memory);
        format(time, sizeof time, "%llu.%llus", (unsigned long long)(tenths / 10), (unsigned long long)(tenths % 10));
        console_answer("%-*s  %-10s  %5u  %-10s  %8s  %10s  %10llu  %8u", (int)width, g->config->name, state_word(g),
                       g->config->cpu_count, cpus, memory, time, (unsigned long long)exits, g->restarts);
        if (!on && g->reason[0] != 0)
            console_answer("%-*s  %s", (int)width, "", g->reason);
    }
    if (root_config.guest_count == 0)
        console_answer("(no guest is configured)");
    if (root_config.left_out != 0)
        console_answer("%u guest%s of the configuration %s left out: 'log' tells why", root_config.left_out,
                       root_config.left_out == 1 ? "" : "s", root_config.left_out == 1 ? "was" : "were");
}

static void owner(const char *who, const char *what, uint64_t hpa, uint64_t size)
{
    console_answer("%016llx  %8lluK  %s%s%s", (unsigned long long)hpa, (unsigned long long)(size >> 10), who,
                   what[0] ? ", " : "", what);
}

void guests_memory(void)
{
    const struct root_boot *b = ROOT_BOOT;
    uint64_t kernel = sys_query(ROOT_SLOT_SELF, QUERY_DOMAIN_KMEM_USED, 0).value;
    uint64_t quota = sys_query(ROOT_SLOT_SELF, QUERY_DOMAIN_KMEM_QUOTA, 0).value;
    console_answer("%-16s  %9s  %s", "ADDRESS", "SIZE", "OWNER");
    for (unsigned i = 0; i < b->module_count && i < BOOT_MODULES_MAX; i++)
        owner("module", b->module[i].name, b->module[i].base, page_up(b->module[i].size));
    for (unsigned n = 0; n < root_config.guest_count; n++) {
        const struct guest *g = &guests[n];
        for (unsigned i = 0; i < g->ram.count; i++)
            owner(g->config->name, g->memory[i] != 0 ? "its RAM" : "kept for it", g->ram.piece[i].hpa,
                  g->ram.piece[i].size);
        if (g->placed)
            owner(g->config->name, "its monitor", g->private_hpa, g->private_bytes);
    }
    regions_list();
    console_answer("free: %lluM of %lluM; the kernel's pool: root uses %llu of %llu pages",
                   (unsigned long long)(ram_free_bytes() >> 20), (unsigned long long)(b->ram_total >> 20),
                   (unsigned long long)kernel, (unsigned long long)quota);
}

const char *guest_exit_name(unsigned reason)
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
        [EXIT_WAITING] = "host",
    };
    return reason < EXIT_COUNT && name[reason] != NULL ? name[reason] : "?";
}

void guest_stats(unsigned n)
{
    const struct guest *g = &guests[n];
    bool on = g->phase == PHASE_ON || g->phase == PHASE_STOPPING;
    console_answer("%-16s  %10llu", "start: ticks", (unsigned long long)g->start_ticks);
    if (on)
        console_answer("%-16s  %10llu  (of %llu that it may use)", "kernel: bytes",
                       (unsigned long long)sys_query(g->domain, QUERY_DOMAIN_KMEM_USED, 0).value * PAGE_SIZE,
                       (unsigned long long)sys_query(g->domain, QUERY_DOMAIN_KMEM_QUOTA, 0).value * PAGE_SIZE);
    console_answer("%-16s  %10llu  (%s)", "exits: all", (unsigned long long)guest_exits(n),
                   on ? "so far" : "in its last life");
    for (unsigned r = 0; r < EXIT_COUNT; r++)
        if (guest_exits_for(n, r) != 0)
            console_answer("exits: %-9s  %10llu", guest_exit_name(r), (unsigned long long)guest_exits_for(n, r));
}
