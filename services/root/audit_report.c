// SPDX-License-Identifier: Apache-2.0
/*
 * What the checker found, as records (answers.h) and as lines of the log.
 */
#include "lib/proto/audit_text.h"
#include "lib/string.h"
#include "services/root/answers.h"
#include "services/root/audit.h"
#include "services/root/guest.h"
#include "services/root/service.h"

enum part { PART_GUESTS = 0, PART_REGIONS, PART_SUMS, PART_VIOLATIONS, PART_AUDIT, PART_END };

static struct record_owner owner(enum owner_kind kind, const char *name)
{
    struct record_owner o = {.kind = kind};
    string_copy(o.name, name, sizeof o.name);
    return o;
}

/* The owner that a tag stands for: mullion/abi.h, TAG_*. */
static struct record_owner owner_of(uint32_t tag)
{
    static const uint8_t fixed[] = {
        [0] = OWNER_NONE,      [TAG_ROOT] = OWNER_ROOT,     [TAG_MODULE] = OWNER_MODULE, [TAG_KERNEL] = OWNER_KERNEL,
        [TAG_LOG] = OWNER_LOG, [TAG_SCREEN] = OWNER_SCREEN,
    };
    struct record_owner o = {.kind = OWNER_UNKNOWN};
    bool shared = tag >= TAG_SHARED(0) && tag - TAG_SHARED(0) < TAG_SHARED(0);
    uint32_t of = shared ? tag - TAG_SHARED(0) : tag;
    if (of < ARRAY_SIZE(fixed) && (of == 0 || fixed[of] != OWNER_NONE))
        o.kind = fixed[of];
    else if (of >= TAG_SHARED_REGION(0) && of - TAG_SHARED_REGION(0) < root_config.region_count)
        o = owner(OWNER_REGION, root_config.region[of - TAG_SHARED_REGION(0)].name);
    else if (of >= TAG_MONITOR(0) && of - TAG_MONITOR(0) < guests_end)
        o = owner(OWNER_MONITOR, guest_name(of - TAG_MONITOR(0)));
    else if (of >= TAG_GUEST(0) && of - TAG_GUEST(0) < guests_end)
        o = owner(OWNER_GUEST, guest_name(of - TAG_GUEST(0)));
    for (const struct service *s = service_first(); s != NULL; s = s->next)
        if (s->row->tag == of)
            o = owner(OWNER_SERVICE, s->row->name);
    o.shared = shared;
    o.tag = tag;
    return o;
}

static void owned(union record *out, struct record_owner o, uint64_t bytes)
{
    record_begin(out, RECORD_OWNED);
    out->owned.owner = o;
    out->owned.bytes = bytes;
}

static void sum(union record *out, const struct audit_answer *a, unsigned i)
{
    const struct {
        enum owner_kind kind;
        uint64_t bytes;
    } sums[] = {
        {OWNER_MONITORS, a->monitor_bytes}, {OWNER_SHARED, a->shared_bytes},  {OWNER_ROOT, a->root_bytes},
        {OWNER_SERVICES, a->service_bytes}, {OWNER_MODULES, a->module_bytes}, {OWNER_KERNEL, a->kernel_bytes},
        {OWNER_FREE, a->free_bytes},
    };
    owned(out, owner(sums[i].kind, ""), sums[i].bytes);
}
#define SUMS 7

static void violation(union record *out, const struct audit_violation *v)
{
    struct violation_record *r = &out->violation;
    record_begin(out, RECORD_VIOLATION);
    r->kind = v->kind;
    r->who = owner_of(v->who);
    r->other = owner_of(v->other);
    r->where = v->where;
    r->size = v->size;
    r->at = v->at;
}

static unsigned listed(const struct audit_answer *a)
{
    return a->verdict == AUDIT_FAILED ? (unsigned)min_u64(a->listed, AUDIT_VIOLATIONS_MAX) : 0;
}

static void verdict(union record *out, const struct audit_found *f)
{
    const struct audit_answer *a = &f->answer;
    struct audit_record *r = &out->audit;
    record_begin(out, RECORD_AUDIT);
    r->verdict = a->verdict < AUDIT_VERDICT_COUNT ? a->verdict : AUDIT_NONE;
    r->tries = a->tries;
    r->tables = a->tables;
    r->leaves = a->leaves;
    r->ranges = a->ranges;
    r->domains = a->domains;
    r->spaces = a->spaces;
    r->vcpus = a->vcpus;
    r->violations = a->violation_count;
    r->listed = listed(a);
    r->broken = f->broken;
    r->ticks = f->ticks;
    r->digest = a->digest;
}

static unsigned part_size(enum part part, const struct audit_answer *a)
{
    switch (part) {
    case PART_GUESTS: return guests_end;
    case PART_REGIONS: return root_config.region_count;
    case PART_SUMS: return SUMS;
    case PART_VIOLATIONS: return listed(a);
    case PART_AUDIT: return 1;
    case PART_END: break;
    }
    return 0;
}

bool audit_next(struct cursor *at, union record *out)
{
    const struct audit_found *f = audit_found();
    if (f == NULL)
        return false;
    const struct audit_answer *a = &f->answer;
    while (at->part < PART_END && at->index == part_size(at->part, a)) {
        at->part++;
        at->index = 0;
    }
    unsigned i = at->index++;
    switch ((enum part)at->part) {
    case PART_GUESTS: owned(out, owner(OWNER_GUEST, guest_name(i)), a->guest_bytes[i]); return true;
    case PART_REGIONS: owned(out, owner(OWNER_REGION, root_config.region[i].name), a->region_bytes[i]); return true;
    case PART_SUMS: sum(out, a, i); return true;
    case PART_VIOLATIONS: violation(out, &a->violation[i]); return true;
    case PART_AUDIT: verdict(out, f); return true;
    case PART_END: break;
    }
    return false;
}

void audit_log(const struct audit_found *f)
{
    char text[AUDIT_TEXT_BYTES];
    union record r;
    for (unsigned i = 0; i < listed(&f->answer); i++) {
        violation(&r, &f->answer.violation[i]);
        audit_violation_text(&r.violation, text, sizeof text);
        root_log(LOG_ERROR, "audit: %s", text);
    }
    verdict(&r, f);
    if (r.audit.verdict == AUDIT_PASSED) {
        audit_counts_text(&r.audit, text, sizeof text);
        root_log(LOG_DEBUG, "audit: %s; passed", text);
    } else {
        audit_verdict_text(&r.audit, text, sizeof text);
        root_log(LOG_ERROR, "audit: %s", text);
    }
}
