// SPDX-License-Identifier: Apache-2.0
/* See check-images.h. */
#define _DEFAULT_SOURCE
#include "tools/check-images.h"
#include <stdio.h>
#include <sys/mman.h>
#include "lib/print.h"
#include "vmm/devices/layout.h"
#include "vmm/loader/loader.h"

/* Where the monitor puts its ACPI tables; the loaders pass it on and look at nothing there. */
#define RSDP 0xe0000u

/* Addresses alone; pages come with the first byte that is written to them. */
static bool reserve(struct guest_memory *m, uint64_t gpa, uint64_t size)
{
    if (size == 0)
        return true;
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return at != MAP_FAILED && guest_memory_add(m, gpa, size, at) == OK;
}

static void release(const struct guest_memory *m)
{
    for (uint32_t i = 0; i < m->count; i++)
        munmap(m->piece[i].hva, m->piece[i].size);
}

static void make_request(struct load_request *r, const struct config_guest *g, const struct check_file *files)
{
    const struct check_file *kernel = &files[g->module[0]];
    *r = (struct load_request){.kernel = kernel->bytes,
                               .kernel_size = kernel->size,
                               .cmdline = g->cmdline,
                               .module_count = g->module_count - 1,
                               .rsdp = RSDP};
    for (unsigned i = 1; i < g->module_count; i++) {
        const struct check_file *file = &files[g->module[i]];
        r->module[i - 1] = (struct load_module){file->bytes, file->size, g->module_args[i]};
    }
}

static enum error load(const struct config_guest *g, struct guest_memory *m, const struct check_file *files,
                       struct load_result *result, char *why, size_t why_size)
{
    static const struct e820_range reserved[] = {
        {LAYOUT_ECAM_BASE, LAYOUT_ECAM_BYTES}, {LAYOUT_IOAPIC_BASE, 4096}, {LAYOUT_LAPIC_BASE, 4096}};
    static struct e820_map map;
    struct load_request request;
    enum error error = e820_build(&map, m, reserved, ARRAY_SIZE(reserved));
    if (error != OK) {
        format(why, why_size, "its memory map cannot be made");
        return error;
    }
    make_request(&request, g, files);
    request.e820 = &map;
    return load_guest(m, &request, result, why, why_size);
}

/* Files that the guest gets, or does not get, in another way than its keys suggest. */
static void note_modules(const struct config_guest *g, enum guest_format format_found, config_report *report,
                         void *context)
{
    char text[CONFIG_MESSAGE_MAX];
    if (g->module_count < 2)
        return;
    if (format_found == FORMAT_SECTOR)
        format(text, sizeof text, "note: guest '%s' starts a boot sector, which gets neither initrd nor modules",
               g->name);
    else if (format_found == FORMAT_MULTIBOOT && g->initrd)
        format(
            text, sizeof text,
            "note: guest '%s' starts a Multiboot kernel, which gets its initrd as the first of its modules; 'modules' "
            "is the key for that",
            g->name);
    else
        return;
    report(context, g->line, text);
}

unsigned check_images(const struct config *c, const struct check_file *files, config_report *report, void *context)
{
    unsigned bad = 0;
    for (unsigned i = 0; i < c->guest_count; i++) {
        const struct config_guest *g = &c->guest[i];
        struct guest_memory m = {.count = 0};
        uint64_t low = min_u64(g->memory, GUEST_LOW_RAM_MAX);
        struct load_result result;
        char why[256], text[CONFIG_MESSAGE_MAX];
        if (!reserve(&m, 0, low) || !reserve(&m, GUEST_HIGH_RAM, g->memory - low)) {
            release(&m);
            continue;
        }
        enum error error = load(g, &m, files, &result, why, sizeof why);
        release(&m);
        if (error == OK) {
            note_modules(g, result.format, report, context);
            continue;
        }
        bad++;
        format(text, sizeof text, "guest '%s' cannot start: %s%s", g->name, why,
               error == E_QUOTA ? " (its 'memory' is too small)" : "");
        report(context, g->line, text);
    }
    return bad;
}
