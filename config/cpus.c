// SPDX-License-Identifier: Apache-2.0
/*
 * Lists of CPUs and the key `share`, and whether the guests agree about CPUs: a CPU is dedicated to one guest, or
 * shared by guests whose shares add up to 100% at most. See config.h.
 */
#include "config/parser.h"
#include "lib/string.h"

#define SHARE_ALLOWED "like '25%% of cpu 3, every 10ms' is allowed"
#define PERIOD_US     10000u /* without "every" */
#define PERIOD_MIN_US 1000u
#define PERIOD_MAX_US 1000000u
#define BUDGET_MIN_US 100u /* of CPU time in a period: less is spent on the switches */

/* A list of CPUs as it was read: in the order of the text, and as a set. */
struct cpu_list {
    struct cpuset set;
    unsigned count;
    uint16_t cpu[MAX_CPUS];
};

/* Is there such a CPU? If not, that is reported. */
static bool check_cpu(struct config_parser *p, const char *key, uint64_t cpu)
{
    if (cpu == 0) /* each machine has it; and defaults are read before the machine is known */
        return true;
    unsigned count = (unsigned)min_u64(p->machine->cpus, MAX_CPUS);
    if (cpu < count)
        return true;
    if (count == 1)
        config_bad(p, "%s: CPU %llu does not exist; this machine has CPU 0 only", key, (unsigned long long)cpu);
    else
        config_bad(p, "%s: CPU %llu does not exist; this machine has CPUs 0-%u", key, (unsigned long long)cpu,
                   count - 1);
    return false;
}

/* One item of the list: a number or a range. False: it is reported. */
static bool add_cpus(struct config_parser *p, const char *key, struct cpu_list *list, struct span item)
{
    struct span rest = item;
    uint64_t first, last;
    bool good = take_number(&rest, &first);
    last = first;
    skip_blanks(&rest);
    if (good && take_word(&rest, "-")) {
        skip_blanks(&rest);
        good = take_number(&rest, &last);
    }
    if (!good || rest.size != 0 || first == NUMBER_MAX || last == NUMBER_MAX) {
        config_bad(p, "%s: '%s' is not a CPU number or range; a list like 1-2,4 is allowed", key,
                   config_quote(item).text);
        return false;
    }
    if (first > last) {
        config_bad(p, "%s: the range %s runs backwards; the smaller number comes first", key, config_quote(item).text);
        return false;
    }
    if (!check_cpu(p, key, first) || !check_cpu(p, key, last))
        return false;
    for (unsigned cpu = (unsigned)first; cpu <= last; cpu++) {
        if (cpuset_has(&list->set, cpu)) {
            config_bad(p, "%s: CPU %u is in the list twice; once is allowed", key, cpu);
            return false;
        }
        cpuset_set(&list->set, cpu);
        list->cpu[list->count++] = (uint16_t)cpu;
    }
    return true;
}

/* False: it is reported. A list that is read has one CPU at least. */
static bool read_list(struct config_parser *p, const char *key, struct cpu_list *list, struct span value)
{
    struct span items = value, item;
    *list = (struct cpu_list){.count = 0};
    while (take_item(&items, &item))
        if (!add_cpus(p, key, list, item))
            return false;
    return true;
}

void config_cpus_value(struct config_parser *p, struct config_guest *g, struct span value)
{
    struct cpu_list list;
    if (!read_list(p, "cpus", &list, value))
        return;
    if (list.count > VMM_VCPUS_MAX) {
        config_bad(p, "cpus: there are more than %d CPUs in the list; that many are allowed", VMM_VCPUS_MAX);
        return;
    }
    g->cpus = list.set;
    g->cpu_count = list.count;
    memcpy(g->cpu, list.cpu, list.count * sizeof list.cpu[0]);
}

void config_cpuset_value(struct config_parser *p, const struct config_key *key, struct cpuset *field, struct span value)
{
    struct cpu_list list;
    if (read_list(p, key->name, &list, value))
        *field = list.set;
}

/* The parts of "25% of cpu 3, every 10ms". */
struct share {
    uint64_t percent, cpu, period_us;
};

static bool take_share(struct span s, struct share *share)
{
    *share = (struct share){.period_us = PERIOD_US};
    bool good = take_number(&s, &share->percent);
    skip_blanks(&s);
    good = good && take_word(&s, "%");
    skip_blanks(&s);
    good = good && take_word(&s, "of");
    skip_blanks(&s);
    good = good && (take_word(&s, "cpu") || take_word(&s, "CPU"));
    skip_blanks(&s);
    good = good && take_number(&s, &share->cpu);
    skip_blanks(&s);
    if (good && take_word(&s, ",")) {
        skip_blanks(&s);
        good = take_word(&s, "every");
        skip_blanks(&s);
        good = good && take_microseconds(&s, &share->period_us);
    }
    return good && s.size == 0;
}

void config_share_value(struct config_parser *p, struct config_guest *g, struct span value)
{
    struct share share;
    if (value.at[0] == '-') {
        config_bad(p, "share: '%s' is negative; 1%% to 100%%, " SHARE_ALLOWED, config_quote(value).text);
        return;
    }
    if (!take_share(value, &share)) {
        config_bad(p, "share: '%s' is not understood; something " SHARE_ALLOWED, config_quote(value).text);
        return;
    }
    if (share.percent < 1 || share.percent > 100) {
        config_bad(p, "share: '%s' is out of range; 1%% to 100%% of a CPU is allowed", config_quote(value).text);
        return;
    }
    if (!check_cpu(p, "share", share.cpu))
        return;
    if (share.period_us < PERIOD_MIN_US || share.period_us > PERIOD_MAX_US) {
        config_bad(p, "share: the period in '%s' is out of range; 1ms to 1000ms is allowed", config_quote(value).text);
        return;
    }
    uint64_t budget_us = share.percent * share.period_us / 100;
    if (budget_us < BUDGET_MIN_US) {
        config_bad(
            p,
            "share: %llu%% of each period is %llu us of CPU time; at least %u us is needed: a larger share, or a "
            "longer period",
            (unsigned long long)share.percent, (unsigned long long)budget_us, BUDGET_MIN_US);
        return;
    }
    g->has_share = true;
    g->percent = (unsigned)share.percent;
    g->period_us = (uint32_t)share.period_us;
    g->cpu_count = 1;
    g->cpu[0] = (uint16_t)share.cpu;
    cpuset_set(&g->cpus, g->cpu[0]);
}

/* A CPU that both guests want, and that they cannot share, is reported. True: there is none. */
static bool check_pair(struct config_parser *p, unsigned i, unsigned other)
{
    const struct config_guest *g = &p->c->guest[i], *o = &p->c->guest[other];
    unsigned cpu = cpuset_next(&g->cpus, 0, MAX_CPUS);
    while (cpu < MAX_CPUS && !cpuset_has(&o->cpus, cpu))
        cpu = cpuset_next(&g->cpus, cpu + 1, MAX_CPUS);
    if (cpu == MAX_CPUS || (g->has_share && o->has_share))
        return true;
    unsigned line = config_line_of(p, i, g->has_share ? "share" : "cpus");
    unsigned other_line = config_line_of(p, other, o->has_share ? "share" : "cpus");
    if (g->has_share)
        config_bad_guest(p, i, line, "share: CPU %u is dedicated to guest '%s' (cpus, line %u); choose another CPU",
                         cpu, o->name, other_line);
    else if (o->has_share)
        config_bad_guest(p, i, line,
                         "cpus: CPU %u cannot be dedicated: guest '%s' has a share of it (line %u); choose another CPU",
                         cpu, o->name, other_line);
    else
        config_bad_guest(p, i, line,
                         "cpus: CPU %u is dedicated to guest '%s' (line %u); choose another CPU, or give both a share",
                         cpu, o->name, other_line);
    return false;
}

static void check_shares(struct config_parser *p, unsigned i)
{
    const struct config_guest *g = &p->c->guest[i];
    unsigned sum = g->percent;
    struct config_list list = {.used = 0};
    for (unsigned other = 0; other < i; other++) {
        const struct config_guest *o = &p->c->guest[other];
        if (p->draft[other].bad || !o->has_share || o->cpu[0] != g->cpu[0])
            continue;
        sum += o->percent;
        config_list_add(&list, "%s %u%%", o->name, o->percent);
    }
    if (sum > 100)
        config_bad_guest(p, i, config_line_of(p, i, "share"),
                         "share: the shares of CPU %u add up to %u%% (%s, %s %u%%); at most 100%% is allowed",
                         g->cpu[0], sum, list.text, g->name, g->percent);
}

void config_check_cpus(struct config_parser *p, unsigned i)
{
    for (unsigned other = 0; other < i; other++)
        if (!p->draft[other].bad && !check_pair(p, i, other))
            return;
    if (p->c->guest[i].has_share)
        check_shares(p, i);
}
