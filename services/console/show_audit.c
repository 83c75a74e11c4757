// SPDX-License-Identifier: Apache-2.0
/*
 * `audit`: how much each owner has, what is wrong, and the verdict. See show.h.
 */
#include "lib/print.h"
#include "lib/proto/audit_boot.h"
#include "lib/proto/audit_text.h"
#include "services/console/show.h"

typedef unsigned long long ull;

void show_owned(struct show *s, const struct owned_record *r)
{
    static const char *const sums[OWNER_KIND_COUNT] = {
        [OWNER_MONITORS] = "(monitors)", [OWNER_SHARED] = "(shared)",   [OWNER_ROOT] = "(root)",
        [OWNER_SERVICES] = "(services)", [OWNER_MODULES] = "(modules)", [OWNER_KERNEL] = "(kernel)",
        [OWNER_FREE] = "(free)",
    };
    char name[RECORD_NAME_BYTES + 8];
    if (!s->head)
        show_line(s, "%-16s  %16s", "OWNER", "BYTES");
    s->head = true;
    if (sums[r->owner.kind] != NULL)
        format(name, sizeof name, "%s", sums[r->owner.kind]);
    else
        format(name, sizeof name, "%s%s", r->owner.kind == OWNER_REGION ? "region:" : "", r->owner.name);
    show_line(s, "%-16s  %16llu", name, (ull)r->bytes);
}

void show_violation(struct show *s, const struct violation_record *r)
{
    char text[AUDIT_TEXT_BYTES];
    audit_violation_text(r, text, sizeof text);
    show_line(s, "audit: %s", text);
}

void show_audit(struct show *s, const struct audit_record *r)
{
    char text[AUDIT_TEXT_BYTES];
    audit_counts_text(r, text, sizeof text);
    show_line(s, "audit: %s", text);
    audit_verdict_text(r, text, sizeof text);
    show_line(s, "audit: %s", text);
    if (r->broken != BROKEN_NOTHING)
        show_line(s, "audit break: the broken mapping was %s, and is undone",
                  r->broken == BROKEN_FOUND ? "found" : "NOT FOUND");
}
