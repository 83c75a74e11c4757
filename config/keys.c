// SPDX-License-Identifier: Apache-2.0
/* The table of all keys. See keys.h; how to add one: CONTRIBUTING.md. */
#include "config/keys.h"
#include <stddef.h>
#include "config/config.h"
#include "lib/print.h"
#include "lib/string.h"

static const char *const consoles[] = {"serial", "screen", NULL};
static const char *const log_levels[] = {"error", "warn", "info", "debug", NULL};
static const char *const policies[] = {[POLICY_STOP] = "stop", [POLICY_RESTART] = "restart", NULL};
static const char *const triple_faults[] = {[TRIPLE_FAULT_RESETS] = "reset", [TRIPLE_FAULT_CRASHES] = "crash", NULL};
static const char *const lost_ticks[] = {[LOST_TICKS_REPLAYED] = "replay", [LOST_TICKS_DROPPED] = "drop", NULL};

#define FIELD(type, field) .offset = offsetof(struct type, field), .size = sizeof(((struct type *)0)->field)
#define HOST(field)        .section = IN_HOST, FIELD(config, field)
#define GUEST(field)       .section = IN_GUEST, FIELD(config_guest, field)

/* clang-format off */
static const struct config_key keys[] = {
    {.name = "console", HOST(console_serial), .type = TYPE_FLAGS, .choice = consoles, .initial = "serial",
     .help = "Where the guests' lines are shown."},
    {.name = "log", HOST(log_level), .type = TYPE_CHOICE, .choice = log_levels, .initial = "info",
     .help = "How much root says. The kernel's own level is on its command line."},
    {.name = "service-cpus", HOST(service_cpus), .type = TYPE_CPUSET, .form = "LIST", .initial = "0",
     .help = "The CPUs on which console, audit and the drivers run, in turn. They come first there; guests may share them."},

    {.name = "kernel", GUEST(module), .type = TYPE_MODULE, .slot = 0, .form = "MODULE", .required = true,
     .help = "The boot module to start: a Linux bzImage, a Multiboot 1 kernel or a PVH ELF."},
    {.name = "memory", GUEST(memory), .type = TYPE_SIZE, .form = "SIZE", .required = true,
     .least = CONFIG_MEMORY_MIN, .most = CONFIG_MEMORY_MAX, .multiple = PAGE_SIZE,
     .help = "The guest's RAM. A number without a unit is bytes."},
    {.name = "cpus", GUEST(cpus), .type = TYPE_CPUS, .form = "LIST", .required = true, .or_else = "share",
     .excludes = "share",
     .help = "Physical CPUs, like 1-2,4. The guest has one vCPU on each, and no other guest runs there."},
    {.name = "share", GUEST(percent), .type = TYPE_SHARE, .form = "N% of cpu N", .required = true, .or_else = "cpus",
     .excludes = "cpus",
     .help = "One vCPU with this part of a CPU's time. Add \", every Nms\" for another period than 10 ms."},
    {.name = "borrow", GUEST(borrow), .type = TYPE_BOOL, .initial = "no", .needs = "share",
     .help = "The guest goes on beyond its share while the CPU would be idle."},
    {.name = "cmdline", GUEST(cmdline), .type = TYPE_TEXT, .most = CONFIG_CMDLINE_MAX - 1, .may_be_empty = true,
     .initial = "",
     .help = "The kernel's command line."},
    {.name = "initrd", GUEST(module), .type = TYPE_MODULE, .slot = 1, .form = "MODULE", .excludes = "modules",
     .use = "for Linux",
     .help = "The boot module that Linux gets as its initial RAM disk."},
    {.name = "modules", GUEST(module), .type = TYPE_MODULES, .slot = 1, .form = "MODULE, MODULE ARGUMENTS, ...",
     .excludes = "initrd", .use = "for Multiboot",
     .help = "At most 7 boot modules for a Multiboot kernel. Each may have arguments behind its name."},
    {.name = "on-crash", GUEST(on_crash), .type = TYPE_CHOICE, .choice = policies, .initial = "stop",
     .help = "What follows a state that the CPU refuses, a crash of the monitor, or a triple fault that is a crash."},
    {.name = "on-reboot", GUEST(on_reboot), .type = TYPE_CHOICE, .choice = policies, .initial = "restart",
     .help = "What follows when the guest resets itself."},
    {.name = "on-triple-fault", GUEST(options.on_triple_fault), .type = TYPE_CHOICE, .choice = triple_faults,
     .initial = "reset",
     .help = "What a triple fault is: the guest resets itself, as a PC does, or a crash that leaves it as it was."},
    {.name = "lost-ticks", GUEST(options.lost_ticks), .type = TYPE_CHOICE, .choice = lost_ticks, .initial = "replay",
     .help = "Whether PIT and RTC ticks that came while the guest had no CPU are given later or not at all."},
    {.name = "autostart", GUEST(autostart), .type = TYPE_BOOL, .initial = "yes",
     .help = "The guest is started when the machine starts."},
    {.name = "shared-memory", .was = "shared", GUEST(region), .type = TYPE_REGIONS, .form = "NAME SIZE rw, NAME SIZE ro, ...",
     .help = "At most 4 regions of memory shared with other guests. SIZE is a power of two from 4K to 1G."},
    {.name = "uuid", GUEST(options.uuid), .type = TYPE_UUID, .form = "8-4-4-4-12 hexadecimal digits, not all 0",
     .help = "The machine's UUID in the guest's SMBIOS tables. Without the key it follows from the guest's name."},
    {.name = "bench-device", GUEST(options.bench_device), .type = TYPE_BOOL, .initial = "no",
     .help = "A device for measurements that does nothing, at port 0x5d0 and address 0xfeb00000."},
    {.name = "debug-exit", GUEST(options.debug_exit_port), .type = TYPE_NUMBER, .least = 1, .most = 0xffff,
     .help = "A port for tests. A byte written there ends the guest, with that byte as its exit code."},
};
/* clang-format on */
_Static_assert(ARRAY_SIZE(keys) <= CONFIG_KEYS_MAX, "CONFIG_KEYS_MAX is too small");
_Static_assert(offsetof(struct config, console_screen) == offsetof(struct config, console_serial) + sizeof(bool),
               "the bools of TYPE_FLAGS follow each other");
_Static_assert(VMM_MODULES_MAX == 8 && VMM_REGIONS_MAX == 4, "the help texts name these numbers");

const struct config_key *config_key_at(unsigned n)
{
    return n < ARRAY_SIZE(keys) ? &keys[n] : NULL;
}

const struct config_key *config_key_find(enum config_section section, struct span name)
{
    for (unsigned i = 0; i < ARRAY_SIZE(keys); i++)
        if (keys[i].section == section && span_is(name, keys[i].name))
            return &keys[i];
    return NULL;
}

unsigned config_key_index(const struct config_key *key)
{
    return (unsigned)(key - keys);
}

static void append(char *out, size_t size, const char *text)
{
    size_t used = strlen(out);
    string_copy(out + used, text, size - used);
}

void config_key_names(enum config_section section, char *out, size_t size)
{
    out[0] = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(keys); i++) {
        if (keys[i].section != section)
            continue;
        append(out, size, out[0] != 0 ? ", " : "");
        append(out, size, keys[i].name);
    }
}

/* "a, b or c", or with `last`: "a, b or last". */
static void choices_text(const char *const *choice, const char *last, char *out, size_t size)
{
    out[0] = 0;
    for (unsigned i = 0; choice[i] != NULL; i++) {
        bool ends = choice[i + 1] == NULL && last == NULL;
        if (i != 0)
            append(out, size, ends ? " or " : ", ");
        append(out, size, choice[i]);
    }
    if (last != NULL) {
        append(out, size, " or ");
        append(out, size, last);
    }
}

void config_key_allowed(const struct config_key *key, char *out, size_t size)
{
    char least[24], most[24], step[24];
    switch (key->type) {
    case TYPE_BOOL: format(out, size, "yes or no"); break;
    case TYPE_CHOICE: choices_text(key->choice, NULL, out, size); break;
    case TYPE_FLAGS:
        choices_text(key->choice, key->choice[2] == NULL ? "both" : "several", out, size);
        append(out, size, " (with a comma between them)");
        break;
    case TYPE_NUMBER:
        format(out, size, "%llu to %llu or 0x%llx to 0x%llx", (unsigned long long)key->least,
               (unsigned long long)key->most, (unsigned long long)key->least, (unsigned long long)key->most);
        break;
    case TYPE_SIZE:
        format(out, size, "%s to %s in steps of %s", config_size_text(least, sizeof least, key->least),
               config_size_text(most, sizeof most, key->most), config_size_text(step, sizeof step, key->multiple));
        break;
    case TYPE_TEXT: format(out, size, "at most %u bytes", (unsigned)key->most); break;
    default: format(out, size, "%s", key->form); break;
    }
}
