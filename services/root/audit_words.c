// SPDX-License-Identifier: Apache-2.0
/*
 * What the checker found, in words. See lib/proto/audit_boot.h for what each kind means.
 */
#include "lib/print.h"
#include "services/root/audit.h"
#include "services/root/service.h"

typedef unsigned long long ull;

static void name_of(uint32_t tag, char *out, size_t size)
{
    static const char *const fixed[] = {
        [0] = "nobody",          [TAG_ROOT] = "root",   [TAG_MODULE] = "a module",
        [TAG_KERNEL] = "ring 0", [TAG_LOG] = "the log", [TAG_SCREEN] = "the screen",
    };
    char whose[64];
    for (const struct service *s = service_first(); s != NULL; s = s->next)
        if (s->row->tag == tag) {
            format(out, size, "%s", s->row->title);
            return;
        }
    if (tag >= TAG_SHARED(0)) {
        name_of(tag - TAG_SHARED(0) < TAG_SHARED(0) ? tag - TAG_SHARED(0) : 0, whose, sizeof whose);
        format(out, size, "root and %s", whose);
    } else if (tag >= TAG_SHARED_REGION(0) && tag - TAG_SHARED_REGION(0) < root_config.region_count) {
        format(out, size, "region %s", root_config.region[tag - TAG_SHARED_REGION(0)].name);
    } else if (tag >= TAG_MONITOR(0) && tag - TAG_MONITOR(0) < root_config.guest_count) {
        format(out, size, "monitor of %s", root_config.guest[tag - TAG_MONITOR(0)].name);
    } else if (tag >= TAG_GUEST(0) && tag - TAG_GUEST(0) < root_config.guest_count) {
        format(out, size, "guest %s", root_config.guest[tag - TAG_GUEST(0)].name);
    } else if (tag < ARRAY_SIZE(fixed) && fixed[tag] != NULL) {
        format(out, size, "%s", fixed[tag]);
    } else {
        format(out, size, "owner 0x%x", tag);
    }
}

static void size_of(uint64_t bytes, char *out, size_t size)
{
    static const char *const unit[] = {"KiB", "MiB", "GiB"};
    unsigned u = 0;
    for (bytes >>= 10; u < 2 && bytes != 0 && (bytes & 1023) == 0; u++)
        bytes >>= 10;
    format(out, size, "%llu %s", (ull)bytes, unit[u]);
}

void audit_words(const struct audit_violation *v, char *out, size_t size)
{
    char who[80], other[80], bytes[24];
    ull where = v->where, at = v->at;
    name_of(v->who, who, sizeof who);
    name_of(v->other, other, sizeof other);
    size_of(v->size, bytes, sizeof bytes);
    switch (v->kind) {
    case AUDIT_OWNER:
        format(out, size, "%s: 0x%llx (%s) belongs to %s (seen at 0x%llx)", who, where, bytes, other, at);
        break;
    case AUDIT_RIGHTS:
        format(out, size, "%s: 0x%llx (%s) of %s is there with more rights than it should be (seen at 0x%llx)", who,
               where, bytes, other, at);
        break;
    case AUDIT_TWO_GUESTS: format(out, size, "%s: 0x%llx (%s) is reached by %s too", who, where, bytes, other); break;
    case AUDIT_WX: format(out, size, "%s: 0x%llx (%s) is both writable and executable", who, at, bytes); break;
    case AUDIT_RING0_REACHES:
        format(out, size, "ring 0: 0x%llx (%s), which belongs to %s, is mapped at 0x%llx", where, bytes, other, at);
        break;
    case AUDIT_PRIVILEGE:
        format(out, size, "%s: what is mapped at 0x%llx (%s) is for the wrong ring", who, at, bytes);
        break;
    case AUDIT_HALF:
        format(out, size, "%s: entry %llu of its table at 0x%llx is not the one that all must have", who, at, where);
        break;
    case AUDIT_TABLE:
        format(out, size, "%s: the table at 0x%llx is not in the kernel's pool, or part of another table too", who,
               where);
        break;
    case AUDIT_ENTRY:
        format(out, size, "%s: the table at 0x%llx has an entry that means nothing: 0x%llx", who, where, at);
        break;
    case AUDIT_TWO_OWNERS:
        format(out, size, "the ledger: 0x%llx (%s) has two owners, or its ranges are out of order", where, bytes);
        break;
    case AUDIT_OBJECT: format(out, size, "the kernel's objects: there can be none at 0x%llx", where); break;
    case AUDIT_MSR:
        format(out, size, "guests can %s MSR 0x%llx by themselves", at == 1 ? "read" : "write", where);
        break;
    case AUDIT_PORT: format(out, size, "guests can use port 0x%llx by themselves", where); break;
    case AUDIT_PROGRAM_PORTS: format(out, size, "%s: it has the I/O ports 0x%llx to 0x%llx", who, where, at); break;
    case AUDIT_CONTROLS:
        format(out, size, "%s: a vCPU runs with other tables or bitmaps than it should (VMCB at 0x%llx)", who, where);
        break;
    default: format(out, size, "something unknown (%u)", v->kind); break;
    }
}
