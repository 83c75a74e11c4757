// SPDX-License-Identifier: Apache-2.0
// sources: services/root/guests.c services/root/guest_make.c services/root/guest_report.c services/root/lacks.c
// sources: services/root/modules.c services/root/regions.c
// sources: services/root/ram.c services/root/placement.c lib/proto/records.c lib/proto/channel.c lib/print.c
// sources: lib/string.c config/check.c config/config.c config/cpus.c config/keys.c config/modules.c config/regions.c
// sources: config/report.c config/span.c config/values.c
/*
 * Guests in root, with a kernel that this test plays: 256 at once, whose bells root tells apart; guests that come and
 * go at any time, and what is left when they have gone: nothing but the pages of their numbers.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>
#include "lib/proto/console_boot.h"
#include "lib/syscall.h"
#include "services/root/answers.h"
#include "services/root/clock.h"
#include "services/root/guest.h"
#include "services/root/regions.h"
#include "services/root/service.h"
#include "tests/unit/root_boot_here.h"

#define OBJECTS_MAX 8192
#define RAM_SLOT    20
#define RAM_BASE    0x100000000ull
#define RAM_BYTES   (1ull << 30)
#define FIRST_SLOT  100

uint64_t root_event = 90;
struct config root_config;
struct service console_service = {.event = 91, .alive = true};

/* ---- the kernel */

static struct {
    enum object_type type;
    bool open, dead;
    enum domain_state state;
} object[OBJECTS_MAX];
static unsigned peers; /* grants of other guests' events, into VMM_SLOT_PEER.. */
static uint64_t last_peer;
static unsigned told_control; /* signals to the first guest's monitor */

static struct syscall_result made(enum object_type type)
{
    uint64_t h = FIRST_SLOT;
    while (object[h].open)
        h++;
    assert_in_range(h, FIRST_SLOT, OBJECTS_MAX - 1);
    memset(&object[h], 0, sizeof object[h]);
    object[h].type = type;
    object[h].open = true;
    object[h].state = DOMAIN_RUNNING;
    return (struct syscall_result){OK, h};
}

static unsigned open_of(enum object_type type)
{
    unsigned n = 0;
    for (unsigned h = FIRST_SLOT; h < OBJECTS_MAX; h++)
        n += object[h].open && object[h].type == type;
    return n;
}

static struct syscall_result query(uint64_t handle, uint64_t what, uint64_t index)
{
    static const uint64_t fault[] = {13 | 0x18ull << 32, 0x401234, 0xdead000};
    if (what == QUERY_DOMAIN_FAULT)
        return (struct syscall_result){OK, fault[index]};
    if (what == QUERY_DOMAIN_KMEM_USED || what == QUERY_DOMAIN_KMEM_QUOTA)
        return (struct syscall_result){OK, what == QUERY_DOMAIN_KMEM_USED ? 7 : 9};
    if (what == QUERY_THREAD_EXITS)
        return (struct syscall_result){OK, index == EXIT_PORT ? 5 : 0};
    if (what == QUERY_DOMAIN_STATE)
        return (struct syscall_result){OK, object[handle].state};
    return (struct syscall_result){OK, 0};
}

/* What makes a guest, call by call; and the one that fails. */
struct call {
    uint64_t number, argument[6];
};
static struct call calls[64];
static unsigned call_count, fails_at = ~0u;

struct syscall_result syscall6(enum syscall number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
                               uint64_t f)
{
    struct syscall_result ok = {OK, 0};
    if (number == SYS_DOMAIN_CREATE || number == SYS_DOMAIN_CPU || number == SYS_THREAD_CREATE ||
        number == SYS_MEMORY_CARVE || number == SYS_MAP || number == SYS_HANDLE_GRANT) {
        calls[call_count % 64] = (struct call){number, {a, b, c, d, e, f}};
        if (call_count++ == fails_at)
            return (struct syscall_result){E_QUOTA, 0};
    }
    switch (number) {
    case SYS_EVENT_CREATE: return made(OBJ_EVENT);
    case SYS_DOMAIN_CREATE: return made(OBJ_DOMAIN);
    case SYS_THREAD_CREATE: return made(OBJ_THREAD);
    case SYS_MEMORY_CARVE: assert_int_equal(a, RAM_SLOT); return made(OBJ_MEMORY);
    case SYS_MAP:
        if (a == ROOT_SLOT_SELF)
            assert_ptr_equal(mmap((void *)b, e, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
                             (void *)b);
        return ok;
    case SYS_HANDLE_GRANT:
        assert_true(b < FIRST_SLOT || (object[b].open && !object[b].dead));
        if (d >= VMM_SLOT_PEER && object[b].type == OBJ_EVENT) {
            peers++;
            last_peer = b;
        }
        return ok;
    case SYS_DESTROY:
        assert_true(object[a].open && !object[a].dead);
        object[a].dead = true;
        return ok;
    case SYS_HANDLE_CLOSE:
        assert_true(object[a].open);
        assert_true(object[a].dead || object[a].type == OBJ_THREAD);
        object[a].open = false;
        return ok;
    case SYS_QUERY: return query(a, b, c);
    case SYS_EVENT_SIGNAL: told_control += b == VMM_EVENT_CONTROL && a == guests[0].event; return ok;
    case SYS_EVENT_WAIT: return (struct syscall_result){E_TIMEOUT, 0};
    default: return ok;
    }
}

/* ---- the rest of root */

static struct {
    enum log_level level;
    char text[400];
} logged; /* the last line */
void root_log(enum log_level level, const char *text, ...)
{
    va_list list;
    va_start(list, text);
    vsnprintf(logged.text, sizeof logged.text, text, list);
    va_end(list);
    logged.level = level;
}
const char *error_text(enum error e)
{
    return e == E_QUOTA ? "E_QUOTA" : "";
}

uint64_t ticks_of_ms(uint64_t ms)
{
    return ms << 20;
}
bool program_find(const char *name, struct program *out)
{
    (void)name;
    *out = (struct program){.entry = 0x400000, .private_bytes = 0x20000, .tables = 4};
    return true;
}
enum error program_load(const struct program *p, uint64_t domain, uint64_t memory, uint64_t offset)
{
    (void)p, (void)domain, (void)memory, (void)offset;
    return OK;
}
uint64_t clock_seconds(void)
{
    return 1700000000;
}
static unsigned taken; /* by the console */
void console_take_guest(unsigned n)
{
    taken++;
    guests[n].served = n % 2 == 0; /* as if there were no room for others */
}
void machine_report(union record *out)
{
    record_begin(out, RECORD_MACHINE);
}

/* ---- */

static void note(void *context, unsigned line, const char *text)
{
    (void)context;
    fail_msg("line %u: %s", line, text);
}

static void parse(unsigned count, const char *more)
{
    static char text[65536];
    static const struct config_module modules[] = {{"tiny.elf", 5000}};
    static const struct config_machine machine = {
        .cpus = 4, .memory = 900ull << 20, .kernel_memory = 256ull << 20, .module_count = 1, .module = modules};
    size_t n = 0;
    for (unsigned i = 0; i < count; i++)
        n += (size_t)snprintf(text + n, sizeof text - n,
                              "[guest g%u]\nshare = 1%% of cpu %u\nmemory = 2M\nkernel = tiny.elf\n%s", i, i % 4, more);
    config_parse(&root_config, text, n, &machine, note, NULL);
    assert_int_equal(root_config.guest_count, count);
}

void services_log_sharing(const struct config_guest *guest)
{
    (void)guest;
}

static int setup(void **state)
{
    (void)state;
    struct root_boot *b = (struct root_boot *)ROOT_BOOT_VA;
    if (!map_root_boot())
        return 0;
    b->tsc_khz = 1000000;
    b->ram_count = 1;
    b->ram[0] = (struct boot_ram){RAM_BASE, RAM_BYTES, RAM_SLOT, 0};
    b->module_count = 1;
    b->module[0] = (struct boot_module){.base = RAM_BASE + (512ull << 20), .size = 5000, .slot = 30};
    strcpy(b->module[0].name, "/boot/tiny.elf an argument");
    strcpy(b->backend, "VT-x");
    ram_init();
    return 0;
}

static void remove_all(void)
{
    for (unsigned n = 0; n < CONFIG_GUESTS_MAX; n++)
        if (guests[n].config != NULL)
            guest_remove(n);
    for (unsigned i = 0; guests_end != 0; i++) {
        assert_in_range(i, 0, 1000);
        guests_work(false);
    }
}

static void add_all(void)
{
    for (unsigned i = 0; i < root_config.guest_count; i++)
        assert_int_equal(guest_add(&root_config.guest[i]), i);
}

static void test_256_bells(void **state)
{
    (void)state;
    parse(CONFIG_GUESTS_MAX, "");
    regions_init();
    add_all();
    assert_int_equal(guest_add(&root_config.guest[0]), CONFIG_GUESTS_MAX);
    guests_autostart();
    /* One start at a time: between two of them root serves others. */
    union record list;
    for (unsigned n = 0; n < CONFIG_GUESTS_MAX; n++) {
        assert_int_equal(open_of(OBJ_DOMAIN), n);
        assert_false(guests_idle());
        guest_report(n, &list);
        assert_int_equal(list.guest.life, LIFE_STARTING);
        assert_true(guests_work(true) != 0); /* none while the checker looks */
        assert_int_equal(guests_work(false), 0);
    }
    assert_int_equal(open_of(OBJ_DOMAIN), CONFIG_GUESTS_MAX);
    assert_int_equal(guests_work(false), NEVER);
    assert_false(guests_idle());
    /* Its bell makes it heard, and only those that share the bit are looked at. */
    atomic_store(&guest_control(200)->state, GUEST_RUNNING);
    atomic_store(&guest_control(201)->state, GUEST_RUNNING);
    assert_int_equal(guests_look(ROOT_EVENT_GUEST(200)), CONFIG_GUESTS_MAX / ROOT_EVENT_GROUPS - 1);
    assert_int_equal(guests[200].shown, GUEST_RUNNING);
    assert_int_equal(guests[201].shown, GUEST_STARTING);
    /* A monitor that rings for all makes root look in vain, and hides nothing. */
    assert_int_equal(guests_look(~0ull), CONFIG_GUESTS_MAX - 1);
    assert_int_equal(guests[201].shown, GUEST_RUNNING);
    for (unsigned n = 0; n < CONFIG_GUESTS_MAX; n++)
        atomic_store(&guest_control(n)->state, GUEST_RUNNING);
    assert_int_equal(guests_look(~0ull), 2);
    assert_true(guests_idle());
    /* A domain that stops is known by its own state. */
    object[guests[77].domain].state = DOMAIN_FAULTED;
    guests_look(ROOT_EVENT_GUEST(78));
    assert_int_equal(guests[77].phase, PHASE_ON);
    guests_look(ROOT_EVENT_GUEST(77));
    assert_int_equal(guests[77].phase, PHASE_ENDING);
    assert_true(guests_reshaped() && !guests_reshaped());
    uint64_t destroyed = open_of(OBJ_MEMORY);
    assert_true(guests_work(true) != 0); /* while the checker looks, nothing is destroyed */
    assert_int_equal(open_of(OBJ_MEMORY), destroyed);
    while (guests_work(false) == 0)
        ;
    assert_true(guests_reshaped());
    assert_int_equal(guests[77].phase, PHASE_OFF);
    assert_int_equal(guests[77].shown, GUEST_CRASHED);
    assert_int_equal(open_of(OBJ_DOMAIN), CONFIG_GUESTS_MAX - 1);
    /* All are listed, by their names. */
    struct cursor at = {0};
    union record r;
    for (unsigned n = 0; n < CONFIG_GUESTS_MAX; n++) {
        char name[16];
        snprintf(name, sizeof name, "g%u", n);
        assert_true(list_next(&at, &r));
        assert_string_equal(r.guest.name, name);
    }
    remove_all();
    assert_int_equal(open_of(OBJ_DOMAIN) + open_of(OBJ_THREAD) + open_of(OBJ_EVENT), 0);
    assert_int_equal(open_of(OBJ_MEMORY), CONFIG_GUESTS_MAX); /* each number's shared pages */
}

/* What waits for its start can be stopped, started at once, and taken away. */
static void test_waiting_for_the_start(void **state)
{
    struct note_record note;
    (void)state;
    parse(4, "");
    add_all();
    guests_autostart();
    assert_true(guest_stop(0, false, &note));
    assert_false(guest_stop(0, false, &note)); /* it is off already */
    assert_true(guest_start(2, &note));
    assert_int_equal(guests[2].phase, PHASE_ON);
    guest_remove(3);
    while (guests_work(false) == 0)
        ;
    assert_int_equal(guests[0].phase, PHASE_OFF);
    assert_int_equal(guests[1].phase, PHASE_ON);
    assert_int_equal(guests_end, 3);
    assert_int_equal(open_of(OBJ_DOMAIN), 2);
    remove_all();
}

/* A console is told of each guest that comes or goes, by number, and once of all when it is new. */
static void test_told(void **state)
{
    unsigned n;
    union record r;
    (void)state;
    parse(2, "");
    add_all();
    while (guest_change(&n))
        ;
    taken = 0;
    assert_int_equal(guest_add(&root_config.guest[1]), 2);
    assert_int_equal(taken, 1);
    assert_true(guest_change(&n) && n == 2);
    guest_report(n, &r);
    assert_true(r.guest.number == 2 && r.guest.life == LIFE_OFF && r.guest.served == 1);
    assert_string_equal(r.guest.name, "g1");
    guest_report(1, &r);
    assert_int_equal(r.guest.served, 0);
    assert_false(guest_change(&n));
    guest_remove(2);
    guests_work(false);
    assert_int_equal(guests_end, 2);
    assert_true(guest_change(&n) && n == 2);
    guest_report(n, &r);
    assert_true(r.guest.number == 2 && r.guest.life == LIFE_GONE && r.guest.served == 0);
    assert_string_equal(r.guest.name, "");
    assert_false(guest_change(&n));
    guests_tell_all();
    assert_true(guest_change(&n) && n == 0);
    assert_true(guest_change(&n) && n == 1);
    assert_false(guest_change(&n));
    remove_all();
}

static void all_running(void)
{
    while (guests_work(false) == 0)
        ;
    for (unsigned n = 0; n < guests_end; n++)
        atomic_store(&guest_control(n)->state, GUEST_RUNNING);
    guests_look(~0ull);
}

static void go_off(unsigned n)
{
    atomic_store(&guest_control(n)->state, GUEST_POWEROFF);
    guests_look(~0ull);
}

/* `stop`: how long it has is said, and what has gone off by itself is not started again. */
static void test_stop(void **state)
{
    union record r;
    struct note_record note;
    (void)state;
    parse(2, "on-crash = restart\n");
    add_all();
    guests_autostart();
    all_running();
    assert_true(guest_stop(0, 120, &note));
    assert_string_equal(note.text, "Guest g0's power button is pressed; it has 120 s to switch itself off, then it is "
                                   "stopped.");
    assert_string_equal(note.advice, "'stop g0 now' stops it at once.");
    assert_int_equal(atomic_load(&guest_control(0)->command), COMMAND_STOP);
    guest_report(0, &r);
    assert_int_equal(r.guest.life, LIFE_STOPPING);
    assert_string_equal(r.guest.reason, "it has 120 s to switch itself off, then it is stopped");
    assert_false(guest_stop(0, 120, &note));
    assert_true(guests_work(false) > tsc_now());
    assert_int_equal(guests[0].phase, PHASE_STOPPING);
    atomic_store(&guest_control(0)->state, GUEST_CRASHED); /* as it goes: on-crash does not count */
    guests_look(~0ull);
    assert_false(guests[0].start_wanted);
    guests[1].deadline = 0;
    assert_true(guest_stop(1, 1000000, &note));
    assert_in_range(guests[1].deadline, tsc_now(), tsc_now() + ticks_of_ms(STOP_SECONDS_MAX * 1000ull));
    guests[1].deadline = tsc_now();
    guests_work(false);
    assert_int_equal(guests[1].shown, GUEST_OFF);
    remove_all();
}

/* The machine's end: all get their power buttons, and none is started any more, until that is called off. */
static void test_closing(void **state)
{
    struct note_record note;
    char names[64];
    (void)state;
    parse(4, "on-crash = restart\n");
    add_all();
    guests_autostart();
    all_running();
    assert_true(guest_stop(2, 1000, &note));
    guests_look(~0ull);
    assert_true(guest_stop(3, 0, &note));
    assert_true(guest_start(3, &note)); /* waits until it is cleared away */
    uint64_t deadline = tsc_now() + ticks_of_ms(100000);
    assert_int_equal(guests_close(deadline), 3);
    assert_int_equal(guests_left(names, sizeof names), 3);
    assert_string_equal(names, "g0, g1, g2");
    for (unsigned n = 0; n < 3; n++) {
        assert_int_equal(atomic_load(&guest_control(n)->command), COMMAND_STOP);
        assert_int_equal(guests[n].deadline, deadline);
    }
    while (guests_work(false) == 0)
        ;
    assert_int_equal(guests[3].phase, PHASE_OFF); /* it was not started */
    assert_false(guest_start(3, &note) || guest_restart(0, &note) || guest_restart(3, &note));
    go_off(1);
    assert_int_equal(guests_left(names, sizeof names), 2);
    assert_string_equal(names, "g0, g2");
    assert_int_equal(guests_left(names, 5), 2); /* cut to fit */
    assert_string_equal(names, "g0, ");
    guests_open();
    assert_int_equal(guests[0].phase, PHASE_ON);
    assert_true(guests_work(false) > deadline || guests_work(false) == NEVER);
    assert_true(guest_start(3, &note));
    remove_all();
}

static void crash(unsigned n, const char *reason, const char *report)
{
    strcpy(guest_control(n)->reason, reason);
    strcpy(guest_control(n)->report, report);
    atomic_store(&guest_control(n)->state, GUEST_CRASHED);
    guests_look(~0ull);
}

/* A guest that ends soon after each start waits longer each time; whether it is its monitor that must be made again or
 * not. */
static void test_pauses_grow(void **state)
{
    static const unsigned seconds[] = {0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60};
    union record r;
    (void)state;
    parse(2, "on-crash = restart\non-reboot = restart\n");
    add_all();
    guests_autostart();
    all_running();
    for (unsigned i = 0; i < sizeof seconds / sizeof seconds[0]; i++) {
        uint64_t before = tsc_now();
        crash(0, "again", "");
        atomic_store(&guest_control(1)->state, GUEST_RESET);
        atomic_fetch_add(&guest_control(1)->resets, 1);
        guests_look(~0ull);
        uint64_t after = tsc_now();
        for (unsigned n = 0; n < 2; n++) {
            assert_in_range(guests[n].start_at, before + ticks_of_ms(seconds[i] * 1000),
                            after + ticks_of_ms(seconds[i] * 1000));
            guest_report(n, &r);
            assert_true((r.guest.life == LIFE_RESTARTING) == (n == 0 || seconds[i] != 0));
        }
        assert_int_equal(atomic_load(&guest_control(1)->command), seconds[i] != 0 ? COMMAND_NONE : COMMAND_RESET);
        if (seconds[i] != 0) {
            while (guests_work(false) == 0)
                ;
            assert_int_equal(guests[0].phase, PHASE_OFF);
            assert_in_range(guests_work(false), before, after + ticks_of_ms(seconds[i] * 1000));
            guest_report(0, &r);
            assert_non_null(strstr(r.guest.reason, "crashed: again; it is started again in "));
            guests[0].start_at = guests[1].start_at = tsc_now();
        }
        while (guests_work(false) == 0)
            ;
        assert_int_equal(guests[0].phase, PHASE_ON);
        assert_int_equal(atomic_exchange(&guest_control(1)->command, COMMAND_NONE), COMMAND_RESET);
        atomic_store(&guest_control(1)->state, GUEST_STARTING);
        guests_look(~0ull);
        all_running();
    }
    /* One that has lived long enough begins anew; so does one that the user starts. */
    guests[0].started -= ticks_of_ms(QUICK_END_MS);
    crash(0, "late", "");
    assert_int_equal(guests[0].quick_ends, 0);
    guests[1].quick_ends = 9;
    assert_true(guest_restart(1, &(struct note_record){0}));
    assert_int_equal(guests[1].quick_ends, 0);
    remove_all();
}

/* A guest that waits for its reset has nothing that its power button could reach. */
static void test_stop_while_it_waits(void **state)
{
    (void)state;
    parse(2, "on-reboot = restart\n");
    add_all();
    guests_autostart();
    all_running();
    for (unsigned n = 0; n < 2; n++) {
        guests[n].quick_ends = 5;
        atomic_store(&guest_control(n)->state, GUEST_RESET);
        atomic_fetch_add(&guest_control(n)->resets, 1);
    }
    guests_look(~0ull);
    assert_true(guests[0].reset_wanted && guests[1].reset_wanted);
    assert_true(guest_stop(0, 120, &(struct note_record){0}));
    assert_int_equal(guests[0].phase, PHASE_ENDING);
    assert_int_equal(guests_close(tsc_now() + ticks_of_ms(1000)), 0);
    assert_int_equal(guests[1].phase, PHASE_ENDING);
    guests_open();
    while (guests_work(false) == 0)
        ;
    assert_int_equal(guests[1].phase, PHASE_OFF);
    assert_false(guests[1].start_wanted);
    remove_all();
}

static void test_nmi_and_break(void **state)
{
    struct note_record note;
    (void)state;
    parse(1, "");
    add_all();
    assert_false(guest_nmi(0, &note));
    guests_autostart();
    all_running();
    assert_true(guest_break(0, 'h', &note));
    assert_int_equal(atomic_load(&guest_control(0)->command), COMMAND_BREAK);
    assert_int_equal(atomic_load(&guest_control(0)->argument), 'h');
    assert_false(guest_nmi(0, &note)); /* the monitor has not taken it yet */
    atomic_store(&guest_control(0)->command, COMMAND_NONE);
    assert_true(guest_nmi(0, &note));
    assert_int_equal(atomic_exchange(&guest_control(0)->command, COMMAND_NONE), COMMAND_NMI);
    assert_true(guest_break(0, 7, &note));
    assert_int_equal(atomic_load(&guest_control(0)->argument), 0); /* no control characters */
    remove_all();
}

/* The whole of what the monitor wrote down, line by line; nothing that could not be printed; until it crashes again. */
static void test_crash_report(void **state)
{
    static char reason[256], report[VMM_REPORT_BYTES + 1];
    union record r;
    (void)state;
    parse(2, "");
    add_all();
    guests_autostart();
    all_running();
    memset(reason, 'r', sizeof reason - 20);
    crash(0, reason, "rip 1\nrax 2 \x1b[31m\nlast");
    assert_int_equal(strlen(guests[0].reason), strlen("crashed: ") + strlen(reason));
    struct cursor at = {.guest = 0};
    static const char *const lines[] = {"rip 1", "rax 2 ?[31m", "last"};
    for (unsigned i = 0; i < 3; i++) {
        assert_true(crash_next(&at, &r));
        assert_string_equal(r.note.text, lines[i]);
    }
    assert_false(crash_next(&at, &r));
    while (guests_work(false) == 0)
        ;
    assert_true(guest_start(0, &(struct note_record){0})); /* it stays for `crash` */
    at = (struct cursor){.guest = 0};
    assert_true(crash_next(&at, &r));
    assert_string_equal(r.note.text, "rip 1");
    at = (struct cursor){.guest = 1};
    assert_true(crash_next(&at, &r));
    assert_non_null(strstr(r.note.text, "Nothing was written down"));
    assert_false(crash_next(&at, &r));
    memset(report, 'x', VMM_REPORT_BYTES); /* no end */
    memcpy(guest_control(1)->report, report, VMM_REPORT_BYTES);
    atomic_store(&guest_control(1)->state, GUEST_CRASHED);
    guests_look(~0ull);
    at = (struct cursor){.guest = 1};
    assert_true(crash_next(&at, &r));
    assert_int_equal(strlen(r.note.text), sizeof r.note.text - 1);
    assert_false(crash_next(&at, &r));
    remove_all();
}

static void test_coming_and_going(void **state)
{
    (void)state;
    parse(40, "");
    uint64_t before = ram_free_bytes();
    add_all();
    uint64_t with_all = ram_free_bytes();
    srand(1);
    for (unsigned round = 0; round < 2000; round++) {
        unsigned n = (unsigned)rand() % 40;
        if (guests[n].config == NULL)
            assert_int_equal(guest_add(&root_config.guest[n]) < 40, true);
        else if (rand() % 3 == 0)
            guest_remove(n);
        else if (guests[n].phase == PHASE_OFF && !guests[n].removed)
            assert_true(guest_start(n, &(struct note_record){0}));
        guests_work(false);
    }
    remove_all();
    assert_int_equal(ram_free_bytes(), before);
    add_all();
    assert_int_equal(ram_free_bytes(), with_all); /* it was not cut to pieces */
    remove_all();
    assert_int_equal(open_of(OBJ_DOMAIN) + open_of(OBJ_THREAD) + open_of(OBJ_EVENT), 0);
    assert_int_equal(open_of(OBJ_MEMORY), CONFIG_GUESTS_MAX);
}

/* The next guest of a number sees nothing of the one before. */
static void test_nothing_is_left(void **state)
{
    (void)state;
    parse(2, "");
    add_all();
    struct channel *c = (struct channel *)(ROOT_SHARED_VA + ROOT_SHARED_STRIDE + GUEST_SHARED_CHANNEL);
    assert_int_equal(channel_write(&c->from_guest, "a secret", 8), 8);
    strcpy(guest_control(1)->reason, "a secret");
    uint64_t event = guests[1].event;
    guest_remove(1);
    guests_work(false);
    assert_int_equal(guests_end, 1);
    assert_true(object[event].dead);
    assert_int_equal(guest_add(&root_config.guest[1]), 1);
    assert_null(memmem((void *)(ROOT_SHARED_VA + ROOT_SHARED_STRIDE), GUEST_SHARED_BYTES, "secret", 6));
    assert_int_equal(channel_used(&c->from_guest), 0);
    remove_all();
}

static void test_regions(void **state)
{
    (void)state;
    parse(3, "shared-memory = news 64K rw\n");
    regions_init();
    add_all();
    static struct vmm_boot b;
    regions_describe(2, &b);
    assert_true(b.region_count == 1 && b.region[0].number == 2 && b.region[0].peer_count == 3);
    guest_remove(1);
    guests_work(false);
    memset(&b, 0, sizeof b);
    regions_describe(2, &b);
    assert_true(b.region[0].number == 2 && b.region[0].peer[0].slot == VMM_SLOT_PEER_OF(0, 0));
    assert_int_equal(b.region[0].peer[1].slot, 0); /* none is there */
    assert_int_equal(guest_add(&root_config.guest[1]), 1);
    peers = 0;
    assert_true(guest_start(1, &(struct note_record){0}));
    assert_int_equal(peers, 2);
    assert_int_equal(last_peer, guests[2].event);
    struct cursor at = {0}; /* `memory`: the region, and each guest that reaches it */
    union record r;
    assert_true(region_next(&at, &r));
    assert_true(r.range.what == RANGE_REGION && r.range.bytes == 65536 && r.range.base != 0);
    assert_string_equal(r.range.name, "news");
    for (unsigned n = 0; n < 3; n++) {
        char name[8];
        snprintf(name, sizeof name, "g%u", n);
        assert_true(region_next(&at, &r));
        assert_int_equal(r.head.kind, RECORD_ACCESS);
        assert_string_equal(r.access.region, "news");
        assert_string_equal(r.access.guest, name);
        assert_int_equal(r.access.writable, 1);
    }
    assert_false(region_next(&at, &r));
    static struct audit_boot a;
    regions_for_audit(&a);
    assert_true(a.region[0].user_count == 3 && a.region[0].user[1].guest == 1);
    remove_all();
    regions_for_audit(&a);
    assert_int_equal(a.region[0].user_count, 0);
}

#define ANSWER(call, good, how, words, more)         \
    do {                                             \
        note = (struct note_record){.severity = 99}; \
        assert_int_equal(call, good);                \
        assert_int_equal(note.severity, how);        \
        assert_string_equal(note.text, words);       \
        assert_string_equal(note.advice, more);      \
    } while (0)

static void log_is(enum log_level level, const char *text)
{
    assert_string_equal(logged.text, text);
    assert_int_equal(logged.level, level);
}

/* What the user reads of each command, and what the log keeps. */
static void test_answers(void **state)
{
    struct note_record note;
    (void)state;
    parse(1, "");
    add_all();
    ANSWER(guest_stop(0, 0, &note), false, NOTE_ERROR, "Guest g0 is off already.", "");
    ANSWER(guest_nmi(0, &note), false, NOTE_ERROR, "Guest g0 is off.", "");
    ANSWER(guest_fault(0, FAULT_CRASH, &note), false, NOTE_ERROR,
           "Guest g0 is off: it has no monitor that could go wrong.", "");
    guests_autostart();
    ANSWER(guest_stop(0, 0, &note), true, NOTE_INFO, "Guest g0 is not started.", "");
    ANSWER(guest_start(0, &note), true, NOTE_INFO, "Guest g0 starts.", "");
    log_is(LOG_INFO, "guest g0: its monitor starts, 1 vCPU from CPU 0 on, 2M in 1 piece");
    ANSWER(guest_start(0, &note), false, NOTE_ERROR, "Guest g0 is on already.", "");
    told_control = 0;
    ANSWER(guest_nmi(0, &note), true, NOTE_INFO, "Guest g0 gets an NMI.", "");
    assert_int_equal(told_control, 1);
    ANSWER(guest_break(0, 0, &note), false, NOTE_ERROR, "Guest g0's monitor has not done what it was told before this.",
           "");
    static const struct {
        unsigned kind, command;
        const char *text;
    } faults[] = {{FAULT_CRASH, COMMAND_CRASH, "Guest g0's monitor is made to crash."},
                  {FAULT_HOSTILE, COMMAND_FUZZ, "Guest g0's monitor turns hostile; 'stop g0 now' ends that."},
                  {FAULT_RELOAD, COMMAND_RELOAD, "Guest g0 is saved and loaded back; 'log' tells of it."}};
    for (unsigned i = 0; i < 3; i++) {
        ANSWER(guest_fault(0, faults[i].kind, &note), true, NOTE_INFO, faults[i].text, "");
        assert_int_equal(atomic_exchange(&guest_control(0)->command, COMMAND_NONE), faults[i].command);
    }
    assert_int_equal(told_control, 4);
    ANSWER(guest_fault(0, FAULT_KIND_COUNT, &note), false, NOTE_ERROR, "There is no such fault.", "");
    ANSWER(guest_break(0, 0x20, &note), true, NOTE_INFO, "Guest g0 gets a break on its serial port.", "");
    assert_int_equal(atomic_load(&guest_control(0)->argument), 0x20);
    atomic_store(&guest_control(0)->command, COMMAND_NONE);
    (void)guest_break(0, 0x7f, &note);
    assert_int_equal(atomic_load(&guest_control(0)->argument), 0);
    ANSWER(guest_restart(0, &note), true, NOTE_INFO, "Guest g0 is restarted.", "");
    log_is(LOG_INFO, "guest g0: restarted by the user");
    assert_string_equal(guests[0].reason, "restarted by the user");
    assert_int_equal(guests[0].restarts, 1);
    ANSWER(guest_start(0, &note), true, NOTE_INFO, "Guest g0 is being cleared away; it starts right after.", "");
    ANSWER(guest_stop(0, 0, &note), true, NOTE_INFO, "Guest g0 is being cleared away.", "");
    assert_false(guests[0].start_wanted);
    ANSWER(guest_restart(0, &note), true, NOTE_INFO, "Guest g0 is restarted.", ""); /* as it goes */
    assert_int_equal(guests[0].restarts, 2);
    all_running();
    ANSWER(guest_stop(0, 0, &note), true, NOTE_INFO, "Guest g0 is stopped.", "");
    log_is(LOG_INFO, "guest g0: stopped by the user");
    while (guests_work(false) == 0)
        ;
    assert_memory_equal(logged.text, "guest g0: 2", 11); /* 2 MiB and what its monitor had, in so many ticks */
    assert_non_null(strstr(logged.text, " bytes of its memory and its monitor's zeroed and returned in "));
    assert_true(guest_start(0, &note));
    all_running();
    told_control = 0;
    ANSWER(guest_stop(0, 5, &note), true, NOTE_INFO,
           "Guest g0's power button is pressed; it has 5 s to switch itself off, then it is stopped.",
           "'stop g0 now' stops it at once.");
    log_is(LOG_INFO, "guest g0: its power button is pressed");
    assert_int_equal(told_control, 1);
    ANSWER(guest_stop(0, 5, &note), false, NOTE_ERROR,
           "Guest g0's power button was pressed already; it has 5 s to switch itself off, then it is stopped.",
           "'stop g0 now' stops it at once.");
    guests[0].deadline = tsc_now();
    guests_work(false);
    assert_string_equal(guests[0].reason, "stopped by the user, after it had not switched itself off in time");
    guests_close(NEVER);
    ANSWER(guest_start(0, &note), false, NOTE_ERROR, "The machine is about to end, so no guest is started.",
           "'poweroff cancel' calls that off.");
    guests_open();
    while (guests_work(false) == 0)
        ;
    guests[0].placed = false;
    ANSWER(guest_start(0, &note), false, NOTE_ERROR, "Guest g0 found no memory when the machine started.", "");
    guests_autostart();
    assert_false(guests[0].start_wanted);
    guests[0].placed = true;
    remove_all();
    log_is(LOG_INFO, "guest g0: taken away");
}

/* Each way in which a guest may end by itself: what is shown and logged, and whether it comes back. */
static void test_ends(void **state)
{
    static const struct {
        enum guest_state state;
        const char *reason;
        enum log_level level;
        bool back;
        const char *words, *logged;
    } row[] = {
        {GUEST_POWEROFF, "", LOG_INFO, false, "it has switched itself off", ""},
        {GUEST_CRASHED, "", LOG_WARN, true, "crashed: no reason given", "; it is started again (on-crash = restart)"},
        {GUEST_CRASHED, "why", LOG_WARN, true, "crashed: why", "; it is started again (on-crash = restart)"},
        {GUEST_FAILED, "", LOG_WARN, false, "could not be started: no reason given", ""},
        {GUEST_FAILED, "no room", LOG_WARN, false, "could not be started: no room", ""},
        {GUEST_RESET, "", LOG_INFO, false, "it has asked for a reset", ""},
        {GUEST_RESET, "triple fault", LOG_INFO, false, "it has reset itself: triple fault", ""},
    };
    struct note_record note;
    char text[300];
    (void)state;
    parse(1, "on-crash = restart\non-reboot = stop\n");
    add_all();
    for (unsigned i = 0; i < sizeof row / sizeof row[0]; i++) {
        guests[0].quick_ends = 0;
        assert_true(guest_start(0, &note));
        all_running();
        strcpy(guest_control(0)->reason, row[i].reason);
        atomic_store(&guest_control(0)->state, row[i].state);
        assert_int_equal(guests_look(~0ull), 0);
        assert_string_equal(guests[0].reason, row[i].words);
        assert_int_equal(guests[0].shown, row[i].state);
        assert_int_equal(guests[0].start_wanted, row[i].back);
        snprintf(text, sizeof text, "guest g0: %s%s", row[i].words, row[i].logged);
        log_is(row[i].level, text);
        guests[0].start_wanted = false;
        while (guests_work(false) == 0)
            ;
    }
    assert_int_equal(guests[0].restarts, 2);
    assert_true(guest_start(0, &note));
    all_running();
    guest_control(0)->exit_code = 33;
    atomic_store(&guest_control(0)->state, GUEST_POWEROFF);
    guests_look(~0ull);
    assert_string_equal(guests[0].reason, "it has switched itself off, with exit code 33");
    /* Its monitor alone: by an exception, or without one. */
    for (unsigned i = 0; i < 2; i++) {
        while (guests_work(false) == 0)
            ;
        assert_true(guest_start(0, &note));
        all_running();
        object[guests[0].domain].state = i == 0 ? DOMAIN_FAULTED : DOMAIN_EXITED;
        guests_look(~0ull);
        assert_string_equal(guests[0].reason,
                            i == 0 ? "its monitor crashed: general protection (exception 13, error 0x18) at 0x401234, "
                                     "address 0xdead000"
                                   : "its monitor ended by itself");
        assert_int_equal(guests[0].shown, GUEST_CRASHED);
        guests[0].start_wanted = false;
    }
    remove_all();
}

/* `stats`: of a guest that is on, and of one that was. */
static void test_stats(void **state)
{
    union record r;
    struct cursor at = {.guest = 0};
    (void)state;
    parse(1, "");
    add_all();
    guests_autostart();
    all_running();
    guests[0].start_ticks = 321;
    assert_true(stats_next(&at, &r));
    assert_string_equal(r.stats.name, "g0");
    assert_true(r.stats.on == 1 && r.stats.start_ticks == 321);
    assert_true(r.stats.kernel_bytes == 7 * 4096 && r.stats.kernel_bytes_most == 9 * 4096);
    assert_true(r.stats.exits[EXIT_PORT] == 5 && r.stats.exits[EXIT_MEMORY] == 0);
    assert_false(stats_next(&at, &r));
    assert_true(guest_stop(0, 0, &(struct note_record){0}));
    at = (struct cursor){.guest = 0};
    assert_true(stats_next(&at, &r));
    assert_true(r.stats.on == 0 && r.stats.kernel_bytes == 0 && r.stats.exits[EXIT_PORT] == 5);
    guest_report(0, &r);
    assert_true(r.guest.exits == 5 && r.guest.uptime == 0 && r.guest.memory == 2 << 20 && r.guest.percent == 1);
    assert_int_equal(r.guest.life, LIFE_CLEARING);
    remove_all();
}

static void parse_one(const char *text)
{
    static const struct config_module modules[] = {{"tiny.elf", 5000}};
    static const struct config_machine machine = {
        .cpus = 4, .memory = 900ull << 20, .kernel_memory = 256ull << 20, .module_count = 1, .module = modules};
    config_parse(&root_config, text, strlen(text), &machine, note, NULL);
    assert_int_equal(root_config.guest_count, 1);
    regions_init();
    assert_int_equal(guest_add(&root_config.guest[0]), 0);
}

/* A monitor is made by these calls, with these rights: no more than lib/proto/vmm_boot.h tells. */
static void test_making(void **state)
{
    const uint64_t rw = RIGHT_READ | RIGHT_WRITE, stack = VMM_STACK_BYTES;
    const struct guest *g = &guests[0];
    (void)state;
    parse_one("[guest web]\ncpus = 2-3\nmemory = 2M\nkernel = tiny.elf\ncmdline = console=ttyS0\n");
    call_count = 0;
    assert_true(guest_start(0, &(struct note_record){0}));
    const uint64_t d = g->domain, own = g->private_memory;
    const struct call expected[] = {
        {SYS_MEMORY_CARVE, {RAM_SLOT, g->ram.piece[0].hpa - RAM_BASE, 2 << 20, TAG_GUEST(0)}},
        {SYS_MEMORY_CARVE, {RAM_SLOT, g->private_hpa - RAM_BASE, 0x20000 + 3 * stack, TAG_MONITOR(0)}},
        {SYS_DOMAIN_CREATE, {calls[2].argument[0], root_event, ROOT_EVENT_GUEST(0), TAG_MONITOR(0)}},
        {SYS_DOMAIN_CPU, {d, 2}},
        {SYS_DOMAIN_CPU, {d, 3}},
        {SYS_HANDLE_GRANT, {d, d, RIGHT_MAP, VMM_SLOT_SELF}},
        {SYS_HANDLE_GRANT, {d, g->event, RIGHT_WAIT | RIGHT_SIGNAL, VMM_SLOT_EVENT}},
        {SYS_HANDLE_GRANT, {d, console_service.event, RIGHT_SIGNAL, VMM_SLOT_CONSOLE_EVENT}},
        {SYS_HANDLE_GRANT, {d, root_event, RIGHT_SIGNAL, VMM_SLOT_ROOT_EVENT}},
        {SYS_MAP, {d, VMM_GUEST_VA, g->memory[0], 0, 2 << 20, rw}},
        {SYS_HANDLE_GRANT, {d, g->memory[0], rw | RIGHT_EXEC, VMM_SLOT_MEMORY}},
        {SYS_MAP, {d, VMM_MODULES_VA, 30, 0, 8192, RIGHT_READ}},
        {SYS_MAP, {d, VMM_BOOT_VA, g->shared, GUEST_SHARED_BOOT, page_up(sizeof(struct vmm_boot)), RIGHT_READ}},
        {SYS_MAP, {d, VMM_CONTROL_VA, g->shared, GUEST_SHARED_CONTROL, VMM_CONTROL_BYTES, rw}},
        {SYS_MAP, {d, VMM_CHANNEL_VA, g->shared, GUEST_SHARED_CHANNEL, GUEST_CHANNEL_BYTES, rw}},
        {SYS_MAP, {d, VMM_STACKS_VA + 0x10000, own, 0x20000, stack, rw}},
        {SYS_MAP, {d, VMM_STACKS_VA + 0x30000, own, 0x20000 + stack, stack, rw}},
        {SYS_MAP, {d, VMM_STACKS_VA + 0x50000, own, 0x20000 + 2 * stack, stack, rw}},
        {SYS_THREAD_CREATE, {d, 0x400000, VMM_STACKS_VA + 0x40000, 1, SCHED_PLACE(2, PRIORITY_GUEST), 0}},
        {SYS_THREAD_CREATE, {d, 0x400000, VMM_STACKS_VA + 0x60000, 2, SCHED_PLACE(3, PRIORITY_GUEST), 0}},
        {SYS_THREAD_CREATE, {d, 0x400000, VMM_STACKS_VA + 0x20000, 0, SCHED_PLACE(2, PRIORITY_MONITOR), 0}},
    };
    for (unsigned i = 0; i < call_count && i < sizeof expected / sizeof expected[0]; i++)
        for (unsigned k = 0; k < 6; k++) {
            assert_int_equal(calls[i].number, expected[i].number);
            assert_int_equal(calls[i].argument[k], expected[i].argument[k]);
        }
    assert_int_equal(call_count, sizeof expected / sizeof expected[0]);
    /* 64 pages, 16 a vCPU and 4 for the program; tables of two levels for its RAM,
     * twice, and of three for the module. */
    assert_int_equal(calls[2].argument[0], 64 + 2 * 16 + 4 + 2 * 2 + 3);

    const struct vmm_boot *b = (const struct vmm_boot *)(ROOT_SHARED_VA + GUEST_SHARED_BOOT);
    assert_int_equal(b->magic, VMM_BOOT_MAGIC);
    assert_string_equal(b->name, "web");
    assert_string_equal(b->vendor, "VT-x");
    assert_string_equal(b->kernel_name, "tiny.elf");
    assert_string_equal(b->cmdline, "console=ttyS0");
    assert_true(b->index == 0 && b->vcpus == 2 && b->dedicated && b->memory_bytes == 2 << 20);
    assert_true(b->tsc_khz == 1000000 && b->unix_seconds == 1700000000 && b->restart_count == 0);
    assert_true(b->root_bits == ROOT_EVENT_GUEST(0) && b->console_bits == CONSOLE_EVENT_GUEST(0));
    assert_true(b->piece_count == 1 && b->piece[0].gpa == 0 && b->piece[0].size == 2 << 20);
    assert_true(b->module_count == 1 && b->module[0].va == VMM_MODULES_VA && b->module[0].size == 5000);
    assert_int_equal(b->region_count, 0);
    remove_all();

    /* A share of a CPU: one vCPU with a budget, and the monitor's first thread beside it. */
    parse_one("[guest web]\nshare = 25% of cpu 1, every 8ms\nborrow = yes\nmemory = 2M\nkernel = tiny.elf\n");
    call_count = 0;
    assert_true(guest_restart(0, &(struct note_record){0}));
    const struct call vcpu = {SYS_THREAD_CREATE,
                              {g->domain, 0x400000, VMM_STACKS_VA + 0x40000, 1,
                               SCHED_PLACE(1, PRIORITY_GUEST) | SCHED_BORROW, 2000 | 8000ull << 32}};
    const struct call first = {
        SYS_THREAD_CREATE,
        {g->domain, 0x400000, VMM_STACKS_VA + 0x20000, 0, SCHED_PLACE(1, PRIORITY_GUEST) | SCHED_BESIDE, g->thread[1]}};
    assert_memory_equal(&calls[call_count - 2], &vcpu, sizeof vcpu);
    assert_memory_equal(&calls[call_count - 1], &first, sizeof first);
    assert_false(b->dedicated);
    remove_all();
}

/* Whichever call fails: it is said which, nothing is left of the attempt, and the next one is as good as the first. */
static void test_making_fails(void **state)
{
    static const char *const why[] = {"its memory cannot be taken",
                                      "its monitor's memory cannot be taken",
                                      "its monitor's domain cannot be made (",
                                      "its CPUs cannot be given",
                                      "its CPUs cannot be given",
                                      "its handles cannot be given: E_QUOTA",
                                      "its handles cannot be given: E_QUOTA",
                                      "its handles cannot be given: E_QUOTA",
                                      "its handles cannot be given: E_QUOTA",
                                      "its memory cannot be mapped: E_QUOTA",
                                      "its handles cannot be given: E_QUOTA",
                                      "its modules cannot be mapped: E_QUOTA",
                                      "its memory cannot be mapped: E_QUOTA",
                                      "its memory cannot be mapped: E_QUOTA",
                                      "its memory cannot be mapped: E_QUOTA",
                                      "its stacks cannot be mapped: E_QUOTA",
                                      "its stacks cannot be mapped: E_QUOTA",
                                      "its stacks cannot be mapped: E_QUOTA",
                                      "its threads cannot be made: E_QUOTA",
                                      "its threads cannot be made: E_QUOTA",
                                      "its threads cannot be made: E_QUOTA"};
    struct note_record note;
    char text[200];
    (void)state;
    parse_one("[guest web]\ncpus = 2-3\nmemory = 2M\nkernel = tiny.elf\n");
    unsigned memory = open_of(OBJ_MEMORY);
    for (unsigned i = 0; i < sizeof why / sizeof why[0]; i++) {
        call_count = 0;
        fails_at = i;
        assert_false(guest_start(0, &note));
        fails_at = ~0u;
        assert_int_equal(call_count, i + 1); /* no further call */
        snprintf(text, sizeof text, "Guest web cannot be started: %s", why[i]);
        assert_memory_equal(note.text, text, strlen(text));
        assert_int_equal(note.severity, NOTE_ERROR);
        assert_int_equal(guests[0].shown, GUEST_FAILED);
        while (guests_work(false) == 0)
            ;
        assert_int_equal(guests[0].phase, PHASE_OFF);
        assert_int_equal(open_of(OBJ_DOMAIN) + open_of(OBJ_THREAD), 0);
        assert_int_equal(open_of(OBJ_MEMORY), memory);
        assert_int_equal(open_of(OBJ_EVENT), 1); /* its number's, which stays */
    }
    assert_true(guest_start(0, &note));
    remove_all();
}

/* Two guests with two regions: of each the numbers, sizes and rights are its own. */
static void test_two_regions(void **state)
{
    static struct vmm_boot b;
    union record r;
    struct cursor at = {0};
    unsigned accesses = 0;
    (void)state;
    parse(2, "shared-memory = news 64K rw, mail 4K rw\n");
    regions_init();
    add_all();
    memset(&b, 0, sizeof b);
    regions_describe(1, &b);
    assert_int_equal(b.region_count, 2);
    assert_true(b.region[0].size == 65536 && b.region[0].writable == 1 && b.region[0].number == 1);
    assert_true(b.region[1].size == 4096 && b.region[1].writable == 1 && b.region[1].number == 1);
    while (region_next(&at, &r))
        if (r.head.kind == RECORD_ACCESS) {
            assert_int_equal(r.access.writable, 1);
            accesses++;
        } else {
            assert_int_equal(r.range.bytes, strcmp(r.range.name, "news") == 0 ? 65536 : 4096);
        }
    assert_int_equal(accesses, 4);
    static struct audit_boot a;
    regions_for_audit(&a);
    assert_true(a.region_count == 2 && a.region[0].user_count == 2 && a.region[1].user_count == 2);
    assert_true(a.region[0].user[1].writable == 1 && a.region[1].user[1].writable == 1);
    remove_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_256_bells, setup),
        cmocka_unit_test_setup(test_waiting_for_the_start, setup),
        cmocka_unit_test_setup(test_coming_and_going, setup),
        cmocka_unit_test_setup(test_nothing_is_left, setup),
        cmocka_unit_test_setup(test_regions, setup),
        cmocka_unit_test_setup(test_stop, setup),
        cmocka_unit_test_setup(test_closing, setup),
        cmocka_unit_test_setup(test_told, setup),
        cmocka_unit_test_setup(test_pauses_grow, setup),
        cmocka_unit_test_setup(test_stop_while_it_waits, setup),
        cmocka_unit_test_setup(test_nmi_and_break, setup),
        cmocka_unit_test_setup(test_crash_report, setup),
        cmocka_unit_test_setup(test_two_regions, setup),
        cmocka_unit_test_setup(test_making, setup),
        cmocka_unit_test_setup(test_making_fails, setup),
        cmocka_unit_test_setup(test_answers, setup),
        cmocka_unit_test_setup(test_ends, setup),
        cmocka_unit_test_setup(test_stats, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
