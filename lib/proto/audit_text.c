// SPDX-License-Identifier: Apache-2.0
/*
 * See lib/proto/audit_text.h; lib/proto/audit_boot.h says what each kind of violation means.
 */
#include "lib/proto/audit_text.h"
#include "lib/print.h"
#include "lib/proto/audit_boot.h"

typedef unsigned long long ull;

static void owner_text(const struct record_owner *o, char *out, size_t size)
{
    static const char *const fixed[OWNER_KIND_COUNT] = {
        [OWNER_NONE] = "no owner",    [OWNER_ROOT] = "root",    [OWNER_MODULE] = "a module",
        [OWNER_KERNEL] = "ring 0",    [OWNER_LOG] = "the log",  [OWNER_SCREEN] = "the screen",
        [OWNER_SERVICE] = "service ", [OWNER_GUEST] = "guest ", [OWNER_MONITOR] = "monitor of ",
        [OWNER_REGION] = "region ",
    };
    const char *with = o->shared ? "root and " : "";
    if (o->kind >= OWNER_KIND_COUNT || fixed[o->kind] == NULL)
        format(out, size, "%sowner 0x%x", with, o->tag);
    else
        format(out, size, "%s%s%s", with, fixed[o->kind], o->name);
}

static void size_text(uint64_t bytes, char *out, size_t size)
{
    static const char *const unit[] = {"KiB", "MiB", "GiB"};
    unsigned u = 0;
    for (bytes >>= 10; u < 2 && bytes != 0 && (bytes & 1023) == 0; u++)
        bytes >>= 10;
    format(out, size, "%llu %s", (ull)bytes, unit[u]);
}

void audit_violation_text(const struct violation_record *v, char *out, size_t size)
{
    char who[80], other[80], bytes[24];
    ull where = v->where, at = v->at;
    owner_text(&v->who, who, sizeof who);
    owner_text(&v->other, other, sizeof other);
    size_text(v->size, bytes, sizeof bytes);
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
    case AUDIT_PROGRAM_PORTS:
        format(out, size, "%s: it has the I/O ports 0x%llx to 0x%llx%s%s", who, where, at,
               v->other.kind != OWNER_NONE ? ", and so has " : "", v->other.kind != OWNER_NONE ? other : "");
        break;
    case AUDIT_MEMORY_TYPE:
        format(out, size, "%s: 0x%llx (%s) of %s is cached in the wrong way (seen at 0x%llx)", who, where, bytes, other,
               at);
        break;
    case AUDIT_DEVICE_RAM: format(out, size, "the ledger: 0x%llx (%s) of %s is RAM", where, bytes, other); break;
    case AUDIT_CONTROLS:
        format(out, size, "%s: a vCPU runs with other tables or bitmaps than it should (VMCB at 0x%llx)", who, where);
        break;
    default: format(out, size, "something unknown (%u)", v->kind); break;
    }
}

void audit_counts_text(const struct audit_record *a, char *out, size_t size)
{
    int n = format(out, size, "%u tables, %u leaves, %u ranges, %u domains, %u spaces, %u vCPUs; ", a->tables,
                   a->leaves, a->ranges, a->domains, a->spaces, a->vcpus);
    if ((size_t)n < size)
        format(out + n, size - (size_t)n, "%llu ticks; digest %016llx", (ull)a->ticks, (ull)a->digest);
}

void audit_verdict_text(const struct audit_record *a, char *out, size_t size)
{
    switch (a->verdict) {
    case AUDIT_PASSED: format(out, size, "passed"); break;
    case AUDIT_FAILED:
        format(out, size, "FAILED, %u violation%s%s", a->violations, a->violations == 1 ? "" : "s",
               a->violations > a->listed ? "; the first ones are listed" : "");
        break;
    case AUDIT_RESTLESS:
        format(out, size, "nothing is known: each of %u times something changed while it looked. Try again.", a->tries);
        break;
    case AUDIT_TOO_MUCH: format(out, size, "nothing is known: there is more than the checker has room for"); break;
    default: format(out, size, "nothing is known: the checker gave no verdict"); break;
    }
}
