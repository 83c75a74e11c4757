// SPDX-License-Identifier: Apache-2.0
/*
 * The owner of each range of memory, as records: modules, guests and their monitors, regions. See answers.h.
 */
#include "lib/string.h"
#include "lib/syscall.h"
#include "services/root/answers.h"
#include "services/root/guest.h"

_Static_assert(MODULE_NAME_MAX <= sizeof((struct range_record *)0)->name, "a record has room");

enum part { PART_MODULES = 0, PART_GUESTS, PART_REGIONS, PART_MACHINE, PART_END };

static void range(union record *out, enum range_what what, const char *name, uint64_t base, uint64_t bytes)
{
    record_begin(out, RECORD_RANGE);
    out->range.what = what;
    out->range.base = base;
    out->range.bytes = bytes;
    string_copy(out->range.name, name, sizeof out->range.name);
}

void machine_report(union record *out)
{
    struct machine_record *m = &out->machine;
    record_begin(out, RECORD_MACHINE);
    for (unsigned n = 0; n < guests_end; n++)
        m->guests += guests[n].config != NULL;
    m->guests_left_out = root_config.left_out;
    m->ram_bytes = ROOT_BOOT->ram_total;
    m->ram_free_bytes = ram_free_bytes();
    m->kernel_pages = sys_query(ROOT_SLOT_SELF, QUERY_DOMAIN_KMEM_USED, 0).value;
    m->kernel_pages_most = sys_query(ROOT_SLOT_SELF, QUERY_DOMAIN_KMEM_QUOTA, 0).value;
}

static bool module_next(struct cursor *at, union record *out)
{
    const struct root_boot *b = ROOT_BOOT;
    while (at->index < BOOT_MODULES_MAX && b->module[at->index].size == 0)
        at->index++;
    if (at->index >= min_u64(b->module_count, BOOT_MODULES_MAX))
        return false;
    unsigned i = at->index++;
    const struct boot_module *m = &b->module[i];
    range(out, RANGE_MODULE, module_name(i), m->base, page_up(m->size));
    return true;
}

/* Of guest at->index its pieces of RAM, then its monitor's memory. */
static bool guest_next(struct cursor *at, union record *out)
{
    for (; at->index < guests_end; at->index++, at->inner = 0) {
        const struct guest *g = &guests[at->index];
        const char *name = guest_name(at->index);
        unsigned i = at->inner++;
        if (i < g->ram.count) {
            range(out, g->memory[i] != 0 ? RANGE_RAM : RANGE_KEPT, name, g->ram.piece[i].hpa, g->ram.piece[i].size);
            return true;
        }
        if (i == g->ram.count && g->placed) {
            range(out, RANGE_MONITOR, name, g->private_hpa, g->private_bytes);
            return true;
        }
    }
    return false;
}

static bool machine_next(struct cursor *at, union record *out)
{
    if (at->index++ != 0)
        return false;
    machine_report(out);
    return true;
}

bool memory_next(struct cursor *at, union record *out)
{
    static bool (*const next[PART_END])(struct cursor *, union record *) = {
        [PART_MODULES] = module_next,
        [PART_GUESTS] = guest_next,
        [PART_REGIONS] = region_next,
        [PART_MACHINE] = machine_next,
    };
    for (; at->part < PART_END; at->part++, at->index = at->inner = 0)
        if (next[at->part](at, out))
            return true;
    return false;
}
