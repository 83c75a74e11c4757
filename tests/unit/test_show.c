// SPDX-License-Identifier: Apache-2.0
/* The console's tables: records in, the lines that a user sees out. */
// sources: services/console/show*.c services/console/top.c lib/proto/records.c lib/proto/channel.c lib/proto/audit_text.c lib/calls.c
// sources: lib/print.c lib/string.c lib/calls.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "lib/proto/audit_boot.h"
#include "lib/proto/audit_text.h"
#include "mullion/abi.h"
#include "mullion/vcpu.h"
#include "services/console/show.h"
#include "services/console/top.h"

static char seen[20000];
static size_t used;

static void take(void *context, const char *text)
{
    (void)context;
    assert_true(used + strlen(text) + 2 < sizeof seen);
    used += strlen(strcpy(seen + used, text));
    seen[used++] = '\n';
    seen[used] = 0;
}

static struct show show;

static int setup(void **unused)
{
    (void)unused;
    used = 0;
    seen[0] = 0;
    show = (struct show){.line = take, .tsc_khz = 1000, .name_width = 7};
    return 0;
}

#define assert_seen(text)                \
    do {                                 \
        assert_string_equal(seen, text); \
        used = 0;                        \
        seen[0] = 0;                     \
    } while (0)

static union record guest(const char *name, enum guest_life life)
{
    union record r;
    record_begin(&r, RECORD_GUEST);
    strcpy(r.guest.name, name);
    r.guest.life = life;
    r.guest.cpu_count = 1;
    r.guest.memory = 16 << 20;
    return r;
}

static void list(void **unused)
{
    (void)unused;
    union record r = guest("web", LIFE_RUNNING);
    r.guest.cpu_count = 6;
    const uint16_t cpus[] = {1, 2, 3, 5, 8, 9};
    memcpy(r.guest.cpu, cpus, sizeof cpus);
    r.guest.ticks = 12345678;
    r.guest.exits = 99;
    r.guest.uptime = 3665000000;
    r.guest.life_ticks = 5500000000;
    r.guest.restarts = 2;
    show_begin(&show, REQUEST_LIST);
    show_record(&show, &r);
    r = guest("mail", LIFE_CRASHED);
    r.guest.percent = 20;
    r.guest.cpu[0] = 1;
    r.guest.memory = 1000;
    strcpy(r.guest.reason, "crashed: triple fault");
    show_record(&show, &r);
    record_begin(&r, RECORD_MACHINE);
    r.machine.guests = 2;
    r.machine.guests_left_out = 1;
    show_record(&show, &r);
    record_begin(&r, RECORD_END);
    show_end(&show, &r.end);
    assert_seen("NAME     STATE       VCPUS  CPUS        MEMORY     UPTIME   CPU TIME   %CPU  RESTARTS\n"
                "web      running         6  1-3,5,8-9      16M    1:01:05      12.3s    150         2\n"
                "mail     crashed         1  20% of 1      1000          -       0.0s      -         0\n"
                "         crashed: triple fault\n"
                "1 guest of the configuration was left out: 'log' tells why\n");
    show_begin(&show, REQUEST_LIST);
    record_begin(&r, RECORD_MACHINE);
    show_record(&show, &r);
    assert_seen("NAME     STATE       VCPUS  CPUS        MEMORY     UPTIME   CPU TIME   %CPU  RESTARTS\n"
                "(no guest is configured)\n");
}

static void stats(void **unused)
{
    (void)unused;
    union record r;
    record_begin(&r, RECORD_STATS);
    r.stats.on = 1;
    r.stats.start_ticks = 5000;
    r.stats.kernel_bytes = 73728;
    r.stats.kernel_bytes_most = 100000;
    r.stats.exits[EXIT_PORT] = 7;
    r.stats.exits[EXIT_WAITING] = 3;
    show_begin(&show, REQUEST_STATS);
    show_record(&show, &r);
    assert_seen("start: ticks            5000  (5 ms)\n"
                "kernel: bytes          73728  (of 100000 that it may use)\n"
                "exits: all                10  (so far)\n"
                "exits: port                7\n"
                "exits: host                3\n");
}

static union record range(enum range_what what, const char *name, uint64_t base, uint64_t bytes)
{
    union record r;
    record_begin(&r, RECORD_RANGE);
    r.range.what = what;
    r.range.base = base;
    r.range.bytes = bytes;
    strcpy(r.range.name, name);
    return r;
}

static void access_of(const char *name, bool writable)
{
    union record r;
    record_begin(&r, RECORD_ACCESS);
    r.access.writable = writable;
    strcpy(r.access.region, "mail");
    strcpy(r.access.guest, name);
    show_record(&show, &r);
}

static void memory(void **unused)
{
    (void)unused;
    union record r;
    show_begin(&show, REQUEST_MEMORY);
    r = range(RANGE_MODULE, "linux", 0x100000, 4096);
    show_record(&show, &r);
    r = range(RANGE_RAM, "web", 0x1000000, 16 << 20);
    show_record(&show, &r);
    r = range(RANGE_REGION, "mail", 0x2000000, 65536);
    show_record(&show, &r);
    access_of("web", true);
    access_of("batch", false);
    r = range(RANGE_REGION, "news", 0x3000000, 4096);
    show_record(&show, &r);
    for (unsigned i = 0; i < 100; i++) /* more than a line holds */
        access_of("a-guest-with-a-long-name", true);
    used -= 1; /* nothing is shown yet of that line */
    assert_memory_equal(seen + used - 8, "batch ro", 8);
    used += 1;
    record_begin(&r, RECORD_MACHINE);
    r.machine.ram_bytes = 256 << 20;
    r.machine.ram_free_bytes = 100 << 20;
    r.machine.kernel_pages = 5;
    r.machine.kernel_pages_most = 9;
    show_record(&show, &r);
    assert_non_null(strstr(seen, "0000000000100000         4K  module, linux\n"
                                 "0000000001000000     16384K  web, its RAM\n"
                                 "0000000002000000        64K  region mail: web rw, batch ro\n"
                                 "0000000003000000         4K  region news: a-guest-with-a-long-name rw, "));
    assert_non_null(strstr(seen, "\nfree: 100M of 256M; the kernel's pool: root uses 5 of 9 pages\n"));
}

static void devices(void **unused)
{
    (void)unused;
    union record r, end;
    record_begin(&end, RECORD_END);
    show_begin(&show, REQUEST_DEVICES);
    record_begin(&r, RECORD_DEVICE);
    r.device.vendor = 0x8086;
    r.device.device = 0x29c0;
    r.device.class = 0x060000;
    show_record(&show, &r);
    r.device.place = 3 << 8 | 5 << 3 | 1;
    r.device.class = 0x010802;
    r.device.pin = 1;
    r.device.messages = DEVICE_MSI | DEVICE_MSIX;
    r.device.interrupt = DEVICE_BY_MESSAGE;
    r.device.number = 49;
    r.device.driven = r.device.master = 1;
    strcpy(r.device.driver, "the disk driver");
    show_record(&show, &r);
    r.device.class = 0xff0000;
    r.device.messages = DEVICE_MSIX;
    r.device.interrupt = DEVICE_BY_LINE;
    r.device.number = 22;
    r.device.driven = r.device.master = 0;
    show_record(&show, &r);
    r.device.interrupt = DEVICE_QUIET;
    r.device.messages = 0;
    show_record(&show, &r);
    show_end(&show, &end.end);
    assert_seen("PLACE    NUMBER     CLASS                 CAN RAISE         INTERRUPT           DRIVER\n"
                "00:00.0  8086:29c0  060000 bridge         -                 -                   -\n"
                "03:05.1  8086:29c0  010802 storage        INTA, MSI, MSI-X  vector 49, CPU 0    "
                "the disk driver, bus master\n"
                "03:05.1  8086:29c0  ff0000 other          INTA, MSI-X       line 22, CPU 0      "
                "the disk driver (it stays away)\n"
                "03:05.1  8086:29c0  ff0000 other          INTA              -                   "
                "the disk driver (it stays away)\n");
    show_begin(&show, REQUEST_DEVICES);
    end.end.status = ANSWER_BUSY;
    show_end(&show, &end.end);
    end.end.status = ANSWER_DONE;
    show_end(&show, &end.end);
    assert_seen("Root is still busy with the request before this one; try again.\n"
                "(root has found no PCI function)\n");
}

static union record cpu(uint64_t tsc, uint64_t idle, uint64_t kernel, uint64_t gone)
{
    union record r;
    record_begin(&r, RECORD_CPU);
    r.cpu.cpu = 1;
    r.cpu.tsc = tsc;
    r.cpu.idle = idle;
    r.cpu.kernel = kernel;
    r.cpu.gone = gone;
    return r;
}

static union record account(enum account_kind kind, const char *name, uint64_t ticks)
{
    union record r;
    record_begin(&r, RECORD_ACCOUNT);
    r.account.cpu = 1;
    r.account.kind = kind;
    r.account.vcpu_count = kind == ACCOUNT_VCPU;
    r.account.ticks = ticks;
    strcpy(r.account.name, name);
    return r;
}

static void accounts(void **unused)
{
    (void)unused;
    union record r = cpu(1000, 100, 10, 1);
    show_begin(&show, REQUEST_ACCOUNTS);
    show_record(&show, &r);
    r = account(ACCOUNT_SERVICE, "root", 50);
    show_record(&show, &r);
    r = account(ACCOUNT_DEVICES, "web", 9);
    show_record(&show, &r);
    r = account(ACCOUNT_VCPU, "web", 700);
    r.account.exit_ticks[EXIT_NONE] = 40;
    r.account.exit_ticks[EXIT_PORT] = 60;
    show_record(&show, &r);
    record_begin(&r, RECORD_PATH);
    r.path.path = SYS_DESTROY;
    r.path.ticks = 131255;
    show_record(&show, &r);
    assert_seen("accounts: cpu 1 tsc 1000\naccounts: cpu 1 idle 100\naccounts: cpu 1 kernel 10\n"
                "accounts: cpu 1 gone 1\naccounts: cpu 1 service root 50\naccounts: cpu 1 guest web devices 9\n"
                "accounts: cpu 1 guest web vcpu 0 700\naccounts: cpu 1 guest web vcpu 0 guest 600\n"
                "accounts: cpu 1 guest web vcpu 0 exit start 40\n"
                "accounts: cpu 1 guest web vcpu 0 exit port 60\npaths: destroy 131255 on cpu 0\n");
}

static void top_reading(uint64_t scale)
{
    union record r = cpu(1000 * scale, 98 * scale, 12 * scale, scale);
    top_again();
    top_take(&r);
    r = account(ACCOUNT_SERVICE, "root", 50 * scale);
    top_take(&r);
    r = account(ACCOUNT_VCPU, "web", 700 * scale);
    r.account.exit_ticks[EXIT_PORT] = 60 * scale;
    r.account.exit_ticks[EXIT_CPUID] = 80 * scale;
    top_take(&r);
}

static void top(void **unused)
{
    (void)unused;
    top_reset();
    top_reading(1000);
    assert_false(top_ready());
    assert_false(top_table(&show));
    assert_seen("");
    assert_true(top_ready());
    top_reading(5000); /* given up half way: the next one begins anew */
    top_reading(2000);
    assert_true(top_table(&show));
    assert_seen("CPU  WHO                          ALL   GUEST   EXITS  MOST COSTLY EXITS\n"
                "  1  (idle)                      9.8%\n"
                "  1  (kernel)                    1.2%\n"
                "  1  (gone)                      0.1%\n"
                "  1  (root)                      5.0%\n"
                "  1  web                        70.0%   56.0%   14.0%  cpuid 8.0%, port 6.0%\n");
    /* A guest that was started again has fewer ticks than before: all of them are new. */
    union record r = cpu(3000000, 0, 0, 2000);
    top_again();
    top_take(&r);
    r = account(ACCOUNT_VCPU, "web", 250000);
    top_take(&r);
    assert_true(top_table(&show));
    assert_non_null(strstr(seen, "  1  web                        25.0%   25.0%    0.0% \n"));
    used = 0;
    /* More accounts than there is room for. */
    top_again();
    for (unsigned i = 0; i < 5000; i++)
        top_take(&r);
    (void)top_table(&show);
}

static void audit(void **unused)
{
    (void)unused;
    union record r;
    show_begin(&show, REQUEST_AUDIT);
    record_begin(&r, RECORD_OWNED);
    r.owned.owner.kind = OWNER_GUEST;
    strcpy(r.owned.owner.name, "web");
    r.owned.bytes = 16 << 20;
    show_record(&show, &r);
    r.owned.owner.kind = OWNER_REGION;
    strcpy(r.owned.owner.name, "mail");
    show_record(&show, &r);
    record_begin(&r, RECORD_OWNED);
    r.owned.owner.kind = OWNER_FREE;
    r.owned.bytes = 142479360;
    show_record(&show, &r);
    record_begin(&r, RECORD_VIOLATION);
    r.violation.kind = AUDIT_OWNER;
    r.violation.who.kind = OWNER_MONITOR;
    strcpy(r.violation.who.name, "web");
    r.violation.other.kind = OWNER_GUEST;
    strcpy(r.violation.other.name, "batch");
    r.violation.where = 0x1200000;
    r.violation.size = 4096;
    r.violation.at = 0xfffe00000;
    show_record(&show, &r);
    r.violation.other.kind = OWNER_SERVICE;
    r.violation.other.shared = 1;
    strcpy(r.violation.other.name, "console");
    r.violation.size = 4 << 20;
    show_record(&show, &r);
    record_begin(&r, RECORD_AUDIT);
    r.audit.verdict = AUDIT_FAILED;
    r.audit.violations = 30;
    r.audit.listed = 2;
    r.audit.tables = 62;
    r.audit.vcpus = 2;
    r.audit.digest = 0xdd34;
    r.audit.broken = BROKEN_FOUND;
    show_record(&show, &r);
    assert_seen("OWNER                        BYTES\n"
                "web                       16777216\n"
                "region:mail               16777216\n"
                "(free)                   142479360\n"
                "audit: monitor of web: 0x1200000 (4 KiB) belongs to guest batch (seen at 0xfffe00000)\n"
                "audit: monitor of web: 0x1200000 (4 MiB) belongs to root and service console (seen at 0xfffe00000)\n"
                "audit: 62 tables, 0 leaves, 0 ranges, 0 domains, 0 spaces, 2 vCPUs; 0 ticks; digest 000000000000dd34\n"
                "audit: FAILED, 30 violations; the first ones are listed\n"
                "audit break: the broken mapping was found, and is undone\n");
}

static void notes(void **unused)
{
    (void)unused;
    union record r;
    record_begin(&r, RECORD_NOTE);
    record_note(&r.note, NOTE_ERROR, "Guest %s has been asked already.", "web");
    show_record(&show, &r);
    record_advice(&r.note, "'stop %s now' does not ask.", "web");
    show_record(&show, &r);
    record_begin(&r, RECORD_END);
    r.end.status = ANSWER_NO_GUEST;
    show_end(&show, &r.end);
    r.end.status = ANSWER_REFUSED;
    show_end(&show, &r.end);
    assert_seen("Guest web has been asked already.\n"
                "Guest web has been asked already. 'stop web now' does not ask.\n"
                "There is no such guest.\n");
}

/* Any records in any order, as a reader has let them pass: no line is ever too long for its place. */
static void noise(void **unused)
{
    (void)unused;
    static struct channel_ring ring;
    static struct record_reader reader;
    srand(3);
    for (unsigned i = 0; i < 20000; i++) {
        union record r;
        record_begin(&r, 1 + (unsigned)rand() % (RECORD_KIND_COUNT - 1));
        for (size_t k = sizeof r.head; k < r.head.bytes; k++)
            ((uint8_t *)&r)[k] = (uint8_t)(rand() % 8 ? 0 : rand() % 4 ? rand() % 5 : rand());
        if (rand() % 50 == 0)
            memset((uint8_t *)&r + sizeof r.head, 'x', r.head.bytes - sizeof r.head);
        if (!record_send(&ring, &r) || record_receive(&reader, &ring) != RECORD_READY)
            continue;
        used = 0;
        if (rand() % 20 == 0)
            show_begin(&show, (unsigned)rand() % REQUEST_KIND_COUNT);
        show_record(&show, &reader.record);
        top_take(&reader.record);
        if (reader.record.head.kind == RECORD_END)
            show_end(&show, &reader.record.end);
        if (rand() % 100 == 0) {
            used = 0;
            (void)top_table(&show);
            top_again();
        }
    }
}

/* Every reason for an exit has its name, and is counted under it. */
static void exit_names(void **unused)
{
    (void)unused;
    static const char *const name[] = {
        [EXIT_NONE] = "start",
        [EXIT_KICK] = "kick",
        [EXIT_DEADLINE] = "deadline",
        [EXIT_PORT] = "port",
        [EXIT_MEMORY] = "memory",
        [EXIT_RDMSR] = "rdmsr",
        [EXIT_WRMSR] = "wrmsr",
        [EXIT_CPUID] = "cpuid",
        [EXIT_HLT] = "hlt",
        [EXIT_HYPERCALL] = "hypercall",
        [EXIT_CR_WRITE] = "cr-write",
        [EXIT_CR_READ] = "cr-read",
        [EXIT_XSETBV] = "xsetbv",
        [EXIT_EXCEPTION] = "exception",
        [EXIT_TRIPLE_FAULT] = "triple-fault",
        [EXIT_TASK_SWITCH] = "task-switch",
        [EXIT_INVALID_OPCODE_WANTED] = "invalid-opcode",
        [EXIT_APIC] = "apic",
        [EXIT_SHUTDOWN] = "shutdown",
        [EXIT_BAD_STATE] = "bad-state",
        [EXIT_UNKNOWN] = "unknown",
        [EXIT_IRET] = "iret",
        [EXIT_WAITING] = "host",
    };
    assert_int_equal(sizeof name / sizeof name[0], EXIT_COUNT);
    for (unsigned i = 0; i < EXIT_COUNT; i++) {
        char text[80];
        union record r;
        assert_string_equal(exit_name(i), name[i]);
        record_begin(&r, RECORD_STATS);
        r.stats.exits[i] = 1000 + i;
        show_begin(&show, REQUEST_STATS);
        show_record(&show, &r);
        snprintf(text, sizeof text, "exits: all              %u  (in its last life)\nexits: %-9s        %u\n", 1000 + i,
                 name[i], 1000 + i);
        assert_non_null(strstr(seen, text));
        used = 0;
    }
    assert_string_equal(exit_name(EXIT_COUNT), "?");
    assert_string_equal(exit_name(~0u), "?");
}

/* How long it has been on: three forms, and none for a guest that is off. */
static void uptimes(void **unused)
{
    (void)unused;
    static const struct {
        uint64_t seconds;
        const char *text;
    } row[] = {{0, "        -"},
               {1, "     0:01"},
               {59, "     0:59"},
               {60, "     1:00"},
               {3599, "    59:59"},
               {3600, "  1:00:00"},
               {86399, " 23:59:59"},
               {86400, " 1d 00:00"},
               {86400 + 3660, " 1d 01:01"},
               {10 * 86400 - 60, " 9d 23:59"}};
    for (unsigned i = 0; i < sizeof row / sizeof row[0]; i++) {
        char text[120];
        union record r = guest("web", LIFE_RUNNING);
        r.guest.uptime = row[i].seconds * 1000000; /* ticks, at 1000 kHz */
        show_begin(&show, REQUEST_LIST);
        show.head = true;
        show_record(&show, &r);
        snprintf(text, sizeof text, "web      running         1  0              16M  %s       0.0s  %5s         0\n",
                 row[i].text, row[i].seconds ? "0" : "-");
        assert_seen(text);
    }
    static const char *const lives[] = {
        [LIFE_OFF] = "off       ",      [LIFE_CRASHED] = "crashed   ",    [LIFE_FAILED] = "failed    ",
        [LIFE_CLEARING] = "clearing  ", [LIFE_RESTARTING] = "restarting", [LIFE_STARTING] = "starting  ",
        [LIFE_RUNNING] = "running   ",  [LIFE_STOPPING] = "stopping  "};
    for (unsigned i = 0; i < sizeof lives / sizeof lives[0]; i++) {
        if (lives[i] == NULL)
            continue;
        union record r = guest("web", i);
        show_record(&show, &r);
        assert_memory_equal(seen, "web      ", 9);
        assert_memory_equal(seen + 9, lives[i], 10);
        used = 0;
    }
}

/* Each kind of violation, each kind of owner, each verdict in words. */
static void audit_texts(void **unused)
{
    (void)unused;
#define W  "monitor of web"
#define X  "0x1200000 (2 MiB)"
#define AT "0xfffe00000"
    static const struct {
        unsigned kind;
        const char *text;
    } row[] = {
        {AUDIT_OWNER, W ": " X " belongs to guest batch (seen at " AT ")"},
        {AUDIT_RIGHTS, W ": " X " of guest batch is there with more rights than it should be (seen at " AT ")"},
        {AUDIT_TWO_GUESTS, W ": " X " is reached by guest batch too"},
        {AUDIT_WX, W ": " AT " (2 MiB) is both writable and executable"},
        {AUDIT_RING0_REACHES, "ring 0: " X ", which belongs to guest batch, is mapped at " AT},
        {AUDIT_PRIVILEGE, W ": what is mapped at " AT " (2 MiB) is for the wrong ring"},
        {AUDIT_HALF, W ": entry 68717379584 of its table at 0x1200000 is not the one that all must have"},
        {AUDIT_TABLE, W ": the table at 0x1200000 is not in the kernel's pool, or part of another table too"},
        {AUDIT_ENTRY, W ": the table at 0x1200000 has an entry that means nothing: " AT},
        {AUDIT_TWO_OWNERS, "the ledger: " X " has two owners, or its ranges are out of order"},
        {AUDIT_OBJECT, "the kernel's objects: there can be none at 0x1200000"},
        {AUDIT_MSR, "guests can write MSR 0x1200000 by themselves"},
        {AUDIT_PORT, "guests can use port 0x1200000 by themselves"},
        {AUDIT_PROGRAM_PORTS, W ": it has the I/O ports 0x1200000 to " AT ", and so has guest batch"},
        {AUDIT_MEMORY_TYPE, W ": " X " of guest batch is cached in the wrong way (seen at " AT ")"},
        {AUDIT_DEVICE_RAM, "the ledger: " X " of guest batch is RAM"},
        {AUDIT_CONTROLS, W ": a vCPU runs with other tables or bitmaps than it should (VMCB at 0x1200000)"},
        {99, "something unknown (99)"},
    };
    struct violation_record v = {.who = {.kind = OWNER_MONITOR, .name = "web"},
                                 .other = {.kind = OWNER_GUEST, .name = "batch"},
                                 .where = 0x1200000,
                                 .size = 2 << 20,
                                 .at = 0xfffe00000};
    char text[AUDIT_TEXT_BYTES];
    for (unsigned i = 0; i < sizeof row / sizeof row[0]; i++) {
        v.kind = row[i].kind;
        audit_violation_text(&v, text, sizeof text);
        assert_string_equal(text, row[i].text);
    }
    v.kind = AUDIT_MSR;
    v.at = 1;
    audit_violation_text(&v, text, sizeof text);
    assert_string_equal(text, "guests can read MSR 0x1200000 by themselves");
    v.kind = AUDIT_PROGRAM_PORTS;
    v.other.kind = OWNER_NONE;
    audit_violation_text(&v, text, sizeof text);
    assert_string_equal(text, W ": it has the I/O ports 0x1200000 to 0x1");

    static const char *const owner[] = {
        [OWNER_NONE] = "no owner",         [OWNER_ROOT] = "root",         [OWNER_MODULE] = "a module",
        [OWNER_KERNEL] = "ring 0",         [OWNER_LOG] = "the log",       [OWNER_SCREEN] = "the screen",
        [OWNER_SERVICE] = "service batch", [OWNER_GUEST] = "guest batch", [OWNER_MONITOR] = "monitor of batch",
        [OWNER_REGION] = "region batch"};
    v.kind = AUDIT_DEVICE_RAM;
    for (unsigned kind = 0; kind <= OWNER_KIND_COUNT; kind++)
        for (unsigned shared = 0; shared < 2; shared++) {
            char want[AUDIT_TEXT_BYTES];
            bool fixed = kind < sizeof owner / sizeof owner[0] && owner[kind] != NULL;
            v.other = (struct record_owner){.kind = kind, .shared = shared, .tag = 0x1234};
            if (fixed && strstr(owner[kind], "batch"))
                strcpy(v.other.name, "batch");
            snprintf(want, sizeof want, "the ledger: " X " of %s%s is RAM", shared ? "root and " : "",
                     fixed ? owner[kind] : "owner 0x1234");
            audit_violation_text(&v, text, sizeof text);
            assert_string_equal(text, want);
        }

    static const struct {
        uint64_t bytes;
        const char *text;
    } size[] = {{4096, "4 KiB"},          {1 << 20, "1 MiB"},       {3 << 19, "1536 KiB"}, {1 << 30, "1 GiB"},
                {1ull << 40, "1024 GiB"}, {2047 << 10, "2047 KiB"}, {0, "0 KiB"},          {5ull << 30, "5 GiB"}};
    v = (struct violation_record){.kind = AUDIT_TWO_OWNERS};
    for (unsigned i = 0; i < sizeof size / sizeof size[0]; i++) {
        char want[AUDIT_TEXT_BYTES];
        v.size = size[i].bytes;
        audit_violation_text(&v, text, sizeof text);
        snprintf(want, sizeof want, "the ledger: 0x0 (%s) has two owners, or its ranges are out of order",
                 size[i].text);
        assert_string_equal(text, want);
    }

    static const struct {
        struct audit_record audit;
        const char *text;
    } verdict[] = {
        {{.verdict = AUDIT_PASSED}, "passed"},
        {{.verdict = AUDIT_FAILED, .violations = 1, .listed = 1}, "FAILED, 1 violation"},
        {{.verdict = AUDIT_FAILED, .violations = 2, .listed = 2}, "FAILED, 2 violations"},
        {{.verdict = AUDIT_FAILED, .violations = 3, .listed = 2}, "FAILED, 3 violations; the first ones are listed"},
        {{.verdict = AUDIT_RESTLESS, .tries = 5},
         "nothing is known: each of 5 times something changed while it looked. Try again."},
        {{.verdict = AUDIT_TOO_MUCH}, "nothing is known: there is more than the checker has room for"},
        {{.verdict = 99}, "nothing is known: the checker gave no verdict"},
    };
    for (unsigned i = 0; i < sizeof verdict / sizeof verdict[0]; i++) {
        audit_verdict_text(&verdict[i].audit, text, sizeof text);
        assert_string_equal(text, verdict[i].text);
    }
    const struct audit_record counts = {
        .tables = 1, .leaves = 2, .ranges = 3, .domains = 4, .spaces = 5, .vcpus = 6, .ticks = 7, .digest = 0xabc};
    audit_counts_text(&counts, text, sizeof text);
    assert_string_equal(text, "1 tables, 2 leaves, 3 ranges, 4 domains, 5 spaces, 6 vCPUs; 7 ticks; digest "
                              "0000000000000abc");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(list, setup),    cmocka_unit_test_setup(stats, setup),
        cmocka_unit_test_setup(memory, setup),  cmocka_unit_test_setup(accounts, setup),
        cmocka_unit_test_setup(top, setup),     cmocka_unit_test_setup(audit, setup),
        cmocka_unit_test_setup(notes, setup),   cmocka_unit_test_setup(noise, setup),
        cmocka_unit_test_setup(devices, setup), cmocka_unit_test_setup(exit_names, setup),
        cmocka_unit_test(audit_texts),          cmocka_unit_test_setup(uptimes, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
