// SPDX-License-Identifier: Apache-2.0
/*
 * `memory`: the owner of each range. See show.h.
 */
#include "lib/print.h"
#include "services/console/show.h"

typedef unsigned long long ull;

static void range_head(struct show *s)
{
    if (!s->head)
        show_line(s, "%-16s  %9s  %s", "ADDRESS", "SIZE", "OWNER");
    s->head = true;
}

void show_range(struct show *s, const struct range_record *r)
{
    static const char *const what[RANGE_WHAT_COUNT] = {
        [RANGE_RAM] = "its RAM", [RANGE_KEPT] = "kept for it", [RANGE_MONITOR] = "its monitor"};
    range_head(s);
    if (r->what == RANGE_REGION) {
        s->region_used = (size_t)format(s->region, sizeof s->region, "%016llx  %8lluK  region %s:", (ull)r->base,
                                        (ull)(r->bytes >> 10), r->name);
        return;
    }
    bool module = r->what == RANGE_MODULE;
    const char *second = module ? r->name : what[r->what];
    show_line(s, "%016llx  %8lluK  %s%s%s", (ull)r->base, (ull)(r->bytes >> 10), module ? "module" : r->name,
              second[0] ? ", " : "", second);
}

/* Added to its region's line: "region mail: web rw, batch ro". */
void show_access(struct show *s, const struct access_record *r)
{
    if (s->region_used == 0 || s->region_used >= sizeof s->region)
        return;
    bool first = s->region[s->region_used - 1] == ':';
    s->region_used += (size_t)format(s->region + s->region_used, sizeof s->region - s->region_used, "%s %s %s",
                                     first ? "" : ",", r->guest, r->writable ? "rw" : "ro");
}

void show_region_end(struct show *s)
{
    if (s->region_used != 0)
        show_line(s, "%s", s->region);
    s->region_used = 0;
}

/* The end of `memory`. */
void show_free(struct show *s, const struct machine_record *r)
{
    range_head(s);
    show_line(s, "free: %lluM of %lluM; the kernel's pool: root uses %llu of %llu pages",
              (ull)(r->ram_free_bytes >> 20), (ull)(r->ram_bytes >> 20), (ull)r->kernel_pages,
              (ull)r->kernel_pages_most);
}
