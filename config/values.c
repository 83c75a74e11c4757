// SPDX-License-Identifier: Apache-2.0
/*
 * What each key's value may be. See config.h. A value that cannot be read is reported with what would be allowed, and
 * the guest is bad.
 */
#include "config/private.h"
#include "lib/print.h"
#include "lib/string.h"

/* Takes a decimal number off the front. False: there is none, or it is beyond 2^53 (nothing here needs more). */
bool take_number(struct span *s, uint64_t *value)
{
    uint64_t n = 0;
    size_t i = 0;
    for (; i < s->size && s->at[i] >= '0' && s->at[i] <= '9'; i++) {
        n = n * 10 + (uint64_t)(s->at[i] - '0');
        if (n > 1ull << 53)
            return false;
    }
    if (i == 0)
        return false;
    s->at += i;
    s->size -= i;
    *value = n;
    return true;
}

void skip_blanks(struct span *s)
{
    while (s->size > 0 && (s->at[0] == ' ' || s->at[0] == '\t'))
        s->at++, s->size--;
}

bool take_word(struct span *s, const char *word)
{
    size_t n = strlen(word);
    if (s->size < n || memcmp(s->at, word, n) != 0)
        return false;
    s->at += n;
    s->size -= n;
    return true;
}

/* Cuts the next item off a comma-separated list. False: the list is at its end. */
bool take_item(struct span *list, struct span *item)
{
    if (list->at == NULL)
        return false;
    size_t i = 0;
    while (i < list->size && list->at[i] != ',')
        i++;
    *item = span_trim((struct span){list->at, i});
    *list = i < list->size ? (struct span){list->at + i + 1, list->size - i - 1} : (struct span){NULL, 0};
    return true;
}

static void cpu_missing(struct config_parser *p, const char *key, uint64_t cpu)
{
    unsigned last = p->machine->cpus - 1;
    if (last == 0)
        config_bad(p, "%s: CPU %llu does not exist; this machine has CPU 0 only", key, (unsigned long long)cpu);
    else
        config_bad(p, "%s: CPU %llu does not exist; this machine has CPUs 0-%u", key, (unsigned long long)cpu, last);
}

static void cpus_value(struct config_parser *p, struct config_guest *g, struct span value)
{
    struct span list = value, item;
    uint64_t seen = 0;
    while (take_item(&list, &item)) {
        struct span rest = item;
        uint64_t first, last;
        bool good = take_number(&rest, &first);
        last = first;
        skip_blanks(&rest);
        if (good && take_word(&rest, "-")) {
            skip_blanks(&rest);
            good = take_number(&rest, &last);
        }
        if (!good || rest.size != 0) {
            config_bad(p, "cpus: '%s' is not a CPU number or range; a list like 1-2,4 is allowed",
                       config_quote(item).text);
            return;
        }
        if (first > last) {
            config_bad(p, "cpus: the range %s runs backwards; the smaller number comes first", config_quote(item).text);
            return;
        }
        if (last >= p->machine->cpus || last >= MAX_CPUS) {
            cpu_missing(p, "cpus", first >= p->machine->cpus ? first : last);
            return;
        }
        for (uint64_t cpu = first; cpu <= last; cpu++) {
            if (seen & 1ull << cpu) {
                config_bad(p, "cpus: CPU %llu is in the list twice; once is allowed", (unsigned long long)cpu);
                return;
            }
            seen |= 1ull << cpu;
            g->cpu[g->cpu_count++] = (uint8_t)cpu;
        }
    }
}

#define SHARE_ALLOWED "like '25%% of cpu 3, every 10ms' is allowed"

static void share_value(struct config_parser *p, struct config_guest *g, struct span value)
{
    struct span s = value;
    uint64_t percent = 0;
    uint64_t cpu = 0;
    uint64_t period = 10000;
    if (s.at[0] == '-') {
        config_bad(p, "share: '%s' is negative; 1%% to 100%%, " SHARE_ALLOWED, config_quote(value).text);
        return;
    }
    bool good = take_number(&s, &percent);
    skip_blanks(&s);
    good = good && take_word(&s, "%");
    skip_blanks(&s);
    good = good && take_word(&s, "of");
    skip_blanks(&s);
    good = good && (take_word(&s, "cpu") || take_word(&s, "CPU"));
    skip_blanks(&s);
    good = good && take_number(&s, &cpu);
    skip_blanks(&s);
    if (good && take_word(&s, ",")) {
        skip_blanks(&s);
        good = take_word(&s, "every");
        skip_blanks(&s);
        good = good && take_number(&s, &period);
        skip_blanks(&s);
        if (good && take_word(&s, "ms"))
            period = period > 1ull << 40 ? period : period * 1000; /* absurd either way: no overflow */
        else
            good = good && take_word(&s, "us");
    }
    if (!good || s.size != 0) {
        config_bad(p, "share: '%s' is not understood; something " SHARE_ALLOWED, config_quote(value).text);
        return;
    }
    if (percent < 1 || percent > 100) {
        config_bad(p, "share: %llu%% is not a share of one CPU; 1%% to 100%% is allowed", (unsigned long long)percent);
        return;
    }
    if (cpu >= p->machine->cpus || cpu >= MAX_CPUS) {
        cpu_missing(p, "share", cpu);
        return;
    }
    if (period < 1000 || period > 1000000) {
        config_bad(p, "share: a period of %llu us is out of bounds; 1ms to 1000ms is allowed",
                   (unsigned long long)period);
        return;
    }
    if (percent * period / 100 < 100) {
        config_bad(
            p, "share: that is %llu us of CPU time at a time; at least 100 us is needed: take more, or a longer period",
            (unsigned long long)(percent * period / 100));
        return;
    }
    g->shared = true;
    g->percent = (unsigned)percent;
    g->period_us = (uint32_t)period;
    g->cpu_count = 1;
    g->cpu[0] = (uint8_t)cpu;
}

static void memory_value(struct config_parser *p, struct config_guest *g, struct span value)
{
    struct span s = value;
    uint64_t n;
    if (s.at[0] == '-') {
        config_bad(p, "memory: '%s' is negative; a size like 512M is allowed, from 1M on", config_quote(value).text);
        return;
    }
    bool digits = s.at[0] >= '0' && s.at[0] <= '9';
    bool good = take_number(&s, &n);
    if (!good && digits) {
        config_bad(p, "memory: '%s' is absurd; 1M to 4096G is allowed", config_quote(value).text);
        return;
    }
    skip_blanks(&s);
    unsigned shift = 0;
    if (good && s.size > 0) {
        shift = take_word(&s, "K") || take_word(&s, "k")   ? 10
                : take_word(&s, "M") || take_word(&s, "m") ? 20
                : take_word(&s, "G") || take_word(&s, "g") ? 30
                                                           : 0;
        good = shift != 0;
    }
    if (!good || s.size != 0) {
        config_bad(p, "memory: '%s' is not a size; a number with K, M or G, like 512M, is allowed",
                   config_quote(value).text);
        return;
    }
    if (n == 0) {
        config_bad(p, "memory: a guest cannot run in nothing; at least 1M is needed");
        return;
    }
    if (n > CONFIG_MEMORY_MAX >> shift) {
        config_bad(p, "memory: '%s' is absurd; 1M to 4096G is allowed", config_quote(value).text);
        return;
    }
    n <<= shift;
    if (n < CONFIG_MEMORY_MIN) {
        config_bad(p, "memory: '%s' is too little; at least 1M is needed", config_quote(value).text);
        return;
    }
    if ((n & PAGE_MASK) != 0) {
        config_bad(p, "memory: '%s' is not made of whole pages; multiples of 4K are allowed", config_quote(value).text);
        return;
    }
    g->memory = n;
}

/* The module named by the first word of `item`; reported if there is none. */
static bool find_module(struct config_parser *p, const char *key, struct span item, unsigned *index)
{
    struct span name = {item.at, 0};
    while (name.size < item.size && name.at[name.size] != ' ' && name.at[name.size] != '\t')
        name.size++;
    for (unsigned i = 0; i < p->machine->module_count; i++)
        if (span_is(name, p->machine->module[i].name)) {
            if (p->machine->module[i].size == 0) {
                config_bad(p, "%s: the module '%s' is empty", key, config_quote(name).text);
                return false;
            }
            *index = i;
            return true;
        }
    char have[160];
    size_t n = 0;
    have[0] = 0;
    for (unsigned i = 0; i < p->machine->module_count && n < sizeof have - 1; i++) {
        const char *m = p->machine->module[i].name;
        if (n + strlen(m) + 6 > sizeof have) {
            n += (size_t)format(have + n, sizeof have - n, ", ...");
            break;
        }
        struct quoted q = config_quote((struct span){m, strlen(m)});
        n += (size_t)format(have + n, sizeof have - n, "%s%s", n ? ", " : "", q.text);
    }
    config_bad(p, "%s: no module is called '%s'; loaded are: %s", key, config_quote(name).text, n ? have : "none");
    return false;
}

static void module_value(struct config_parser *p, struct config_guest *g, const char *key, unsigned slot,
                         struct span item)
{
    unsigned index;
    if (item.size >= CONFIG_ARGS_MAX) {
        config_bad(p, "%s: '%s' has %u bytes; at most %d are allowed", key, config_quote(item).text,
                   (unsigned)item.size, CONFIG_ARGS_MAX - 1);
        return;
    }
    if (!find_module(p, key, item, &index))
        return;
    g->module[slot] = index;
    memcpy(g->module_args[slot], item.at, item.size);
    g->module_args[slot][item.size] = 0;
}

static void modules_value(struct config_parser *p, struct config_guest *g, struct span value)
{
    struct span list = value, item;
    unsigned slot = 1;
    while (take_item(&list, &item)) {
        if (item.size == 0) {
            config_bad(p, "modules: an item of the list is empty; names with a comma between them are allowed");
            return;
        }
        if (slot == VMM_MODULES_MAX) {
            config_bad(p, "modules: there are more than %d; that many are allowed", VMM_MODULES_MAX - 1);
            return;
        }
        module_value(p, g, "modules", slot++, item);
    }
    g->module_count = slot;
}

static void single_module(struct config_parser *p, struct config_guest *g, const char *key, unsigned slot,
                          struct span value)
{
    for (size_t i = 0; i < value.size; i++)
        if (value.at[i] == ' ' || value.at[i] == '\t' || value.at[i] == ',') {
            config_bad(p, "%s: '%s' is more than a module's name; one name is allowed%s", key, config_quote(value).text,
                       slot == 0 ? " (the kernel's command line goes into cmdline)" : "");
            return;
        }
    module_value(p, g, key, slot, value);
}

static void policy_value(struct config_parser *p, const char *key, enum config_policy *to, struct span value)
{
    if (span_is(value, "restart"))
        *to = POLICY_RESTART;
    else if (span_is(value, "stop"))
        *to = POLICY_STOP;
    else
        config_bad(p, "%s: '%s' is not known; stop or restart is allowed", key, config_quote(value).text);
}

static void debug_exit_value(struct config_parser *p, struct config_guest *g, struct span value)
{
    struct span s = value;
    uint64_t port = 0;
    bool good;
    if (take_word(&s, "0x")) {
        good = s.size >= 1 && s.size <= 4;
        for (size_t i = 0; good && i < s.size; i++) {
            char c = s.at[i];
            unsigned digit = c >= '0' && c <= '9'                     ? (unsigned)(c - '0')
                             : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (unsigned)((c | 0x20) - 'a' + 10)
                                                                      : 99;
            good = digit < 16;
            port = port * 16 + digit;
        }
    } else {
        good = take_number(&s, &port) && s.size == 0;
    }
    if (!good || port == 0 || port > 0xffff)
        config_bad(p, "debug-exit: '%s' is not a port; 1 to 65535 or 0x1 to 0xffff is allowed, for example 0x501",
                   config_quote(value).text);
    else
        g->debug_exit = (uint16_t)port;
}

static void yes_no_value(struct config_parser *p, const char *key, bool *to, struct span value)
{
    if (!span_is(value, "yes") && !span_is(value, "no"))
        config_bad(p, "%s: '%s' is not known; yes or no is allowed", key, config_quote(value).text);
    *to = span_is(value, "yes");
}

void config_guest_value(struct config_parser *p, enum config_key key, struct span value)
{
    struct config_guest *g = &p->c->guest[p->guest];
    switch (key) {
    case KEY_CPUS: cpus_value(p, g, value); break;
    case KEY_SHARE: share_value(p, g, value); break;
    case KEY_MEMORY: memory_value(p, g, value); break;
    case KEY_KERNEL: single_module(p, g, "kernel", 0, value); break;
    case KEY_INITRD: single_module(p, g, "initrd", 1, value); break;
    case KEY_MODULES: modules_value(p, g, value); break;
    case KEY_ON_CRASH: policy_value(p, "on-crash", &g->on_crash, value); break;
    case KEY_ON_REBOOT: policy_value(p, "on-reboot", &g->on_reboot, value); break;
    case KEY_DEBUG_EXIT: debug_exit_value(p, g, value); break;
    case KEY_CMDLINE:
        if (value.size >= CONFIG_CMDLINE_MAX) {
            config_bad(p, "cmdline: it has %u bytes; at most %d are allowed", (unsigned)value.size,
                       CONFIG_CMDLINE_MAX - 1);
            break;
        }
        memcpy(g->cmdline, value.at, value.size);
        g->cmdline[value.size] = 0;
        break;
    case KEY_BORROW: yes_no_value(p, "borrow", &g->borrow, value); break;
    case KEY_AUTOSTART: yes_no_value(p, "autostart", &g->autostart, value); break;
    case KEY_SHARED: config_shared_value(p, g, value); break;
    case KEY_BENCH_DEVICE: yes_no_value(p, "bench-device", &g->bench_device, value); break;
    default: break;
    }
}

void config_host_value(struct config_parser *p, enum config_key key, struct span value)
{
    static const char *const level[] = {"error", "warn", "info", "debug"};
    struct span list = value, item;
    if (key == KEY_LOG) {
        unsigned i = 0;
        while (i < ARRAY_SIZE(level) && !span_is(value, level[i]))
            i++;
        if (i == ARRAY_SIZE(level))
            config_bad(p, "log: '%s' is not known; error, warn, info or debug is allowed", config_quote(value).text);
        else
            p->c->log_level = i;
        return;
    }
    bool serial = false, screen = false;
    while (take_item(&list, &item)) {
        bool *which = span_is(item, "serial") ? &serial : span_is(item, "screen") ? &screen : NULL;
        if (which == NULL || *which) {
            config_bad(p, "console: '%s' is %s; serial, screen or both, with a comma between them, is allowed",
                       config_quote(item).text, which == NULL ? "not known" : "there twice");
            return;
        }
        *which = true;
    }
    p->c->console_serial = serial;
    p->c->console_screen = screen;
}
