// SPDX-License-Identifier: Apache-2.0
/*
 * See audit.h. Root believes the checker's verdict, but not its lengths.
 */
#include "services/root/audit.h"

#include "lib/string.h"
#include "lib/syscall.h"
#include "services/root/guest.h"
#include "services/root/regions.h"
#include "services/root/service.h"

#define SHARED_BYTES  (AUDIT_BOOT_BYTES + AUDIT_ANSWER_BYTES) /* struct audit_boot, then struct audit_answer */
#define BREAK_VA      (VMM_GUEST_VA - SIZE_2M)                /* nothing is there in a monitor */
#define WAIT_MS       3000                                    /* for an answer */
#define AUDIT_LATE_MS 1000
#define AUDIT_REST_MS 100
#define NOT_BROKEN    (~0u)
_Static_assert(CONFIG_GUESTS_MAX <= AUDIT_GUESTS_MAX, "the checker knows all guests");

static struct service checker;
static bool looks, for_shell, due;
static uint64_t request, looks_until, due_since, not_before, ticks_before;
static unsigned broken = NOT_BROKEN; /* the guest whose monitor has a page too many just now */
static uint32_t other_guest;
static struct audit_found found_for_shell, found; /* apart: the shell's is still being read when the next look ends */

static struct audit_boot *boot_page(void)
{
    return (struct audit_boot *)checker.page;
}
static const struct audit_answer *answer_page(void)
{
    return (const struct audit_answer *)(checker.page + AUDIT_BOOT_BYTES);
}
static uint64_t ticks(void)
{
    return sys_query(checker.thread, QUERY_THREAD_TICKS, 0).value;
}

static struct audit_range range_of(uint64_t handle)
{
    return (struct audit_range){sys_query(handle, QUERY_MEMORY_BASE, 0).value,
                                sys_query(handle, QUERY_MEMORY_SIZE, 0).value};
}

static void fill(struct service *s)
{
    (void)s;
    const struct root_boot *b = ROOT_BOOT;
    struct audit_boot *a = boot_page();
    a->magic = AUDIT_BOOT_MAGIC;
    a->root_bits = ROOT_EVENT_SERVICES;
    a->tsc_khz = b->tsc_khz;
    a->ram_total = b->ram_total;
    a->pool = range_of(ROOT_SLOT_POOL);
    a->shown = range_of(ROOT_SLOT_SHOWN);
    a->amd = strcmp(b->backend, "AMD-V") == 0;
    for (unsigned i = 0; i < b->ram_count && i < BOOT_RAM_MAX; i++)
        a->ram[a->ram_count++] = (struct audit_range){b->ram[i].base, b->ram[i].size};
    for (const struct service *other = service_first(); other != NULL; other = other->next)
        if (a->service_count < AUDIT_SERVICES_MAX) {
            a->service[a->service_count] = other->row->may;
            a->service[a->service_count++].tag = other->row->tag;
        }
    regions_for_audit(a);
}

static const struct service_grant grants[] = {
    {SERVICE_EVENT, RIGHT_WAIT, AUDIT_SLOT_EVENT, NULL, NULL},
    {SERVICE_ROOT_EVENT, RIGHT_SIGNAL, AUDIT_SLOT_ROOT_EVENT, NULL, NULL},
};

static const struct service_mapping mappings[] = {
    {AUDIT_BOOT_VA, SERVICE_SHARED, RIGHT_READ, 0, AUDIT_BOOT_BYTES},
    {AUDIT_ANSWER_VA, SERVICE_SHARED, RIGHT_READ | RIGHT_WRITE, AUDIT_BOOT_BYTES, AUDIT_ANSWER_BYTES},
    {AUDIT_SHOWN_VA, ROOT_SLOT_SHOWN, RIGHT_READ, 0, 0},
    {AUDIT_POOL_VA, ROOT_SLOT_POOL, RIGHT_READ, 0, 0},
};

static void died(struct service *s);

static const struct service_row row = {
    .name = "audit",
    .title = "the checker",
    .tag = TAG_AUDIT,
    .start = SERVICE_ON_DEMAND,
    .priority = PRIORITY_AUDIT,
    .stack_top = AUDIT_STACK_TOP,
    .stack_bytes = AUDIT_STACK_BYTES,
    .shared_bytes = SHARED_BYTES,
    .quota_pages = 48,
    .grants = grants,
    .grant_count = ARRAY_SIZE(grants),
    .mappings = mappings,
    .mapping_count = ARRAY_SIZE(mappings),
    .may = {.reach = {{TAG_KERNEL, RIGHT_READ}}},
    .fill = fill,
    .died = died,
};

void audit_init(void)
{
    service_add(&checker, &row);
}

static bool ask(bool shell)
{
    due = false;
    if (!service_start(&checker))
        return false;
    looks = true;
    for_shell = shell;
    looks_until = tsc_now() + ticks_of_ms(WAIT_MS);
    ticks_before = ticks();
    regions_for_audit(boot_page()); /* guests may have come or gone */
    __atomic_store_n(&boot_page()->request, ++request, __ATOMIC_RELEASE);
    (void)sys_event_signal(checker.event, 1);
    return true;
}

static struct audit_found *result(void)
{
    return for_shell ? &found_for_shell : &found;
}

void audit_due(void)
{
    if (!due)
        due_since = tsc_now();
    due = true;
}

bool audit_looks(void)
{
    return looks;
}

/* Takes the page back. True: the checker has named it. */
static bool ledger_corrected(const struct audit_answer *a)
{
    bool named = false;
    for (unsigned i = 0; i < a->listed && i < AUDIT_VIOLATIONS_MAX; i++) {
        const struct audit_violation *v = &a->violation[i];
        named = named || (v->kind == AUDIT_OWNER && v->who == TAG_MONITOR(broken) &&
                          v->other == TAG_GUEST(other_guest) && v->at == BREAK_VA);
    }
    enum error e = sys_unmap(guests[broken].domain, BREAK_VA);
    if (e != OK && e != E_DEAD && e != E_HANDLE)
        root_log(LOG_ERROR, "the mapping that 'audit break' made cannot be undone: %s", error_text(e));
    broken = NOT_BROKEN;
    return named;
}

static void finish(struct audit_found *f)
{
    looks = false;
    not_before = tsc_now() + ticks_of_ms(AUDIT_REST_MS);
    f->broken = BROKEN_NOTHING;
    if (broken != NOT_BROKEN)
        f->broken = ledger_corrected(&f->answer) ? BROKEN_FOUND : BROKEN_MISSED;
    if (!for_shell && f->answer.verdict == AUDIT_RESTLESS)
        audit_due();
    else if (!for_shell)
        audit_log(f);
}

/* The program that asked it hears that nothing is known. */
static void died(struct service *s)
{
    (void)s;
    if (!looks)
        return;
    struct audit_found *f = result();
    memset(f, 0, sizeof *f);
    finish(f);
}

uint64_t audit_work(bool settled)
{
    uint64_t now = tsc_now();
    if (looks && __atomic_load_n(&answer_page()->answered, __ATOMIC_ACQUIRE) == request) {
        struct audit_found *f = result();
        f->answer = *answer_page();
        f->ticks = ticks() - ticks_before;
        finish(f);
    } else if (looks && now >= looks_until) {
        service_failed(&checker, "does not answer");
    }
    if (looks)
        return looks_until;
    if (!due)
        return NEVER;
    uint64_t at = settled ? not_before : max_u64(not_before, due_since + ticks_of_ms(AUDIT_LATE_MS));
    if (now >= at && !ask(false))
        return NEVER;
    return looks ? looks_until : at;
}

const struct audit_found *audit_found(void)
{
    return looks && for_shell ? NULL : &found_for_shell;
}

/* False: it cannot look now, and that has been said. */
static bool ready(struct note_record *why)
{
    if (!looks)
        return true;
    record_note(why, NOTE_ERROR, "The checker is looking at this moment; try again.");
    return false;
}

bool audit_command(struct note_record *why)
{
    if (!ready(why))
        return false;
    if (ask(true))
        return true;
    record_note(why, NOTE_ERROR, "audit: nothing is known: there is no checker ('log' tells why)");
    return false;
}

bool audit_break(unsigned n, struct note_record *why)
{
    if (!ready(why))
        return false;
    if (!power_can_exit()) {
        record_note(why, NOTE_ERROR, "'audit break' needs debug-exit on the kernel's command line.");
        return false;
    }
    unsigned other = 0;
    while (other < guests_end && (other == n || guests[other].memory[0] == 0))
        other++;
    if (other == guests_end || guests[n].domain == 0) {
        record_note(why, NOTE_ERROR, "'audit break' needs two guests that are on.");
        return false;
    }
    enum error e = sys_map(guests[n].domain, BREAK_VA, guests[other].memory[0], 0, PAGE_SIZE, RIGHT_READ);
    if (e != OK) {
        record_note(why, NOTE_ERROR, "The mapping cannot be broken: %s", error_text(e));
        return false;
    }
    broken = n;
    other_guest = other;
    if (ask(true))
        return true;
    static const struct audit_answer nothing;
    (void)ledger_corrected(&nothing);
    record_note(why, NOTE_ERROR, "There is no checker ('log' tells why).");
    return false;
}
