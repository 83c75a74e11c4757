// SPDX-License-Identifier: Apache-2.0
// sources: @config
/* mullion.conf: what is understood, and for every kind of mistake: where it is told, what is told, and that the other
 * guests stand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "config/config.h"

static struct config c;
static char told[65536];
static unsigned reports;

static const struct config_module modules[] = {
    {"vmlinuz", 7000000}, {"initrd.gz", 1000000}, {"tiny.elf", 9000}, {"empty", 0}};
static const struct config_machine machine = {
    .cpus = 4, .memory = 1000ull << 20, .kernel_memory = 16ull << 20, .module_count = 4, .module = modules};

static void note(void *context, unsigned line, const char *text)
{
    (void)context;
    for (const char *s = text; *s; s++)
        assert_true(*s >= 0x20 && *s < 0x7f);
    size_t n = strlen(told);
    snprintf(told + n, sizeof told - n, "%u: %s\n", line, text);
    reports++;
}

static void parse_bytes(const char *text, size_t size)
{
    /* An exact-sized copy: reading past the end is seen by the address sanitizer. */
    char *copy = malloc(size ? size : 1);
    memcpy(copy, text, size);
    told[0] = 0;
    reports = 0;
    config_parse(&c, copy, size, &machine, note, NULL);
    free(copy);
}

static void parse(const char *text)
{
    parse_bytes(text, strlen(text));
}

#define GOOD "[guest good]\ncpus = 1\nmemory = 64M\nkernel = vmlinuz\n"

/* `section` has one bad guest (or line); `words` are told at `line`, and the guest "good" after it is whole. */
static void mistake(const char *section, unsigned line, const char *words)
{
    char text[16384], where[16];
    snprintf(text, sizeof text, "%s\n" GOOD, section);
    parse(text);
    snprintf(where, sizeof where, "%u: ", line);
    const char *at = told;
    bool found = false;
    while (at != NULL && *at) {
        const char *end = strchr(at, '\n');
        char one[600];
        snprintf(one, sizeof one, "%.*s", (int)(end - at), at);
        if (strncmp(one, where, strlen(where)) == 0 && strstr(one, words) != NULL)
            found = true;
        at = end + 1;
    }
    if (!found)
        fail_msg("wanted %u: ...%s..., got:\n%s", line, words, told);
    assert_true(c.mistakes >= 1);
    assert_true(c.guest_count >= 1);
    assert_string_equal(c.guest[c.guest_count - 1].name, "good");
    assert_int_equal(c.guest[c.guest_count - 1].memory, 64 << 20);
}

/* One bad line in an otherwise good guest: that guest is left out. */
static void bad_line(const char *line, const char *words)
{
    char text[8192];
    snprintf(text, sizeof text, "[guest bad]\n%s\n", line);
    if (strncmp(line, "kernel", 6) != 0)
        strcat(text, "kernel = tiny.elf\n");
    if (strncmp(line, "memory", 6) != 0)
        strcat(text, "memory = 32M\n");
    if (strncmp(line, "cpus", 4) != 0 && strncmp(line, "share", 5) != 0)
        strcat(text, "cpus = 2\n");
    mistake(text, 2, words);
    assert_int_equal(c.guest_count, 1);
    assert_int_equal(c.left_out, 1);
    assert_int_equal(c.mistakes, 1);
    assert_non_null(strstr(told, "1: guest 'bad' is left out"));
}

static void test_full(void **state)
{
    (void)state;
    parse(
        "\xef\xbb\xbf; a comment\r\n[host]\r\nconsole = serial, screen ; both\r\nlog = debug\r\n\r\n"
        "[guest web]\r\ncpus    = 1-2   ; two\nmemory  = 512M # half\nkernel  = vmlinuz\ninitrd  = initrd.gz\n"
        "cmdline = console=ttyS0 a=b;c x#y\n"
        "  [guest batch]\nshare = 25% of cpu 3, every 20ms\nmemory = 131072K\nkernel = tiny.elf\nmodules = vmlinuz one two, "
        "initrd.gz\n"
        "cmdline = \" a ; b # c\"\non-crash = restart\non-reboot=stop\nautostart = no\ndebug-exit = 0x501\n"
        "uuid = 01234567-89ab-CDEF-0123-456789abcdef");
    assert_string_equal(told, "");
    assert_int_equal(c.mistakes, 0);
    assert_int_equal(c.guest_count, 2);
    assert_true(c.console_serial && c.console_screen);
    assert_int_equal(c.log_level, 3);
    const struct config_guest *g = &c.guest[0];
    assert_string_equal(g->name, "web");
    assert_int_equal(g->cpu_count, 2);
    assert_int_equal(g->cpu[0], 1);
    assert_int_equal(g->cpu[1], 2);
    assert_int_equal(g->memory, 512ull << 20);
    assert_int_equal(g->module_count, 2);
    assert_int_equal(g->module[0], 0);
    assert_int_equal(g->module[1], 1);
    assert_string_equal(g->cmdline, "console=ttyS0 a=b;c x#y");
    assert_true(g->autostart && g->on_crash == POLICY_STOP && g->on_reboot == POLICY_RESTART && !g->has_share);
    g = &c.guest[1];
    assert_true(g->has_share);
    assert_int_equal(g->percent, 25);
    assert_int_equal(g->period_us, 20000);
    assert_int_equal(g->cpu[0], 3);
    assert_int_equal(g->memory, 128ull << 20);
    assert_int_equal(g->module_count, 3);
    assert_string_equal(g->module_args[1], "vmlinuz one two");
    assert_string_equal(g->cmdline, " a ; b # c");
    assert_true(!g->autostart && g->on_crash == POLICY_RESTART && g->on_reboot == POLICY_STOP);
    assert_int_equal(g->options.debug_exit_port, 0x501);
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(g->options.uuid[i], (i % 8) * 0x22 + 1);
}

static void test_empty(void **state)
{
    (void)state;
    parse("");
    assert_int_equal(c.guest_count, 0);
    assert_int_equal(c.mistakes, 0);
    assert_true(c.console_serial && !c.console_screen);
    parse("\n\n; nothing\n");
    assert_int_equal(c.mistakes, 0);
}

static void test_lines(void **state)
{
    (void)state;
    mistake("colour = red", 1, "before any section");
    mistake("[gues web]\nmemory = 1M", 1, "unknown section '[gues web]'");
    assert_int_equal(c.mistakes, 1);
    mistake("[host\n", 1, "lacks the closing ']'");
    mistake("[]", 1, "unknown section");
    mistake("[host]\nspeed = 3", 2, "unknown key 'speed'; in [host] these are allowed: console, log, service-cpus");
    mistake("[host]\nlog = loud", 2, "log: 'loud' is not known; error, warn, info or debug is allowed");
    mistake("[host]\nconsole = tape", 2,
            "console: 'tape' is not known; serial, screen or both (with a comma between them) is allowed");
    mistake("[host]\nconsole = screen, screen", 2,
            "console: 'screen' is there twice; serial, screen or both (with a comma between them) is allowed");
    mistake("[host]\nlog = info\nlog = info", 3, "already, in line 2");
    bad_line("colour = red",
             "unknown key 'colour'; in [guest ...] these are allowed: kernel, memory, cpus, share, borrow, ");
    bad_line("shared = mail 4K rw", "the key 'shared' is called 'shared-memory' now; 'shared-memory = NAME SIZE rw, ");
    bad_line("nonsense", "'nonsense' is not understood");
    bad_line("cmdline = \"abc", "quotes do not match");
    bad_line("autostart =", "has no value");
    bad_line("autostart = perhaps", "autostart: 'perhaps' is not known; yes or no is allowed");
    bad_line("on-crash = explode", "on-crash: 'explode' is not known; stop or restart is allowed");
    bad_line("on-reboot = explode", "on-reboot: 'explode' is not known; stop or restart is allowed");
    bad_line("debug-exit = 0", "debug-exit: '0' is not a number in the range; 1 to 65535 or 0x1 to 0xffff is allowed");
    bad_line("debug-exit = 0x10000",
             "debug-exit: '0x10000' is not a number in the range; 1 to 65535 or 0x1 to 0xffff is allowed");
    bad_line("uuid = 00000000-0000-0000-0000-000000000000",
             "uuid: '00000000-0000-0000-0000-000000000000' is not a UUID; 8-4-4-4-12 hexadecimal digits, not all 0 is "
             "allowed");
    bad_line("uuid = 0123456789abcdef0123456789abcdef0123",
             "uuid: '0123456789abcdef0123456789abcdef0123' is not a UUID; 8-4-4-4-12 hexadecimal digits, not all 0 is "
             "allowed");
    bad_line("uuid = 01234567-89ab-cdef-0123-456789abcdeg",
             "uuid: '01234567-89ab-cdef-0123-456789abcdeg' is not a UUID; 8-4-4-4-12 hexadecimal digits, not all 0 is "
             "allowed");
    bad_line("uuid = 0", "uuid: '0' is not a UUID; 8-4-4-4-12 hexadecimal digits, not all 0 is allowed");
    bad_line("debug-exit = 0xzz",
             "debug-exit: '0xzz' is not a number in the range; 1 to 65535 or 0x1 to 0xffff is allowed");
}

static unsigned count_of(const struct cpuset *s)
{
    unsigned count = 0;
    for (unsigned cpu = 0; cpu < MAX_CPUS; cpu++)
        count += cpuset_has(s, cpu);
    return count;
}

/* "0,2" as a set; without the key, and after a mistake in it, services are on CPU 0. */
static void service_cpus(const char *value, unsigned count, unsigned lowest, const char *words)
{
    char text[512];
    snprintf(text, sizeof text, "[host]\nservice-cpus = %s\n" GOOD, value);
    parse(text);
    if (words[0] != 0 && strstr(told, words) == NULL)
        fail_msg("wanted ...%s..., got:\n%s", words, told);
    assert_int_equal(c.mistakes, words[0] != 0);
    assert_int_equal(count_of(&c.service_cpus), count);
    assert_int_equal(cpuset_next(&c.service_cpus, 0, MAX_CPUS), lowest);
    assert_int_equal(c.guest_count, 1);
}

static void test_service_cpus(void **state)
{
    (void)state;
    memset(&c, 0xff, sizeof c);
    config_defaults(&c);
    assert_true(count_of(&c.service_cpus) == 1 && cpuset_has(&c.service_cpus, 0));
    service_cpus("0,2", 2, 0, "");
    assert_true(cpuset_has(&c.service_cpus, 2));
    service_cpus("1-3", 3, 1, ""); /* 1 is the guest's too: that is no mistake */
    service_cpus("3", 1, 3, "");
    service_cpus("1,4", 1, 0, "2: service-cpus: CPU 4 does not exist; this machine has CPUs 0-3\n");
    service_cpus("1,1", 1, 0, "2: service-cpus: CPU 1 is in the list twice; once is allowed\n");
    service_cpus("3-1", 1, 0, "2: service-cpus: the range 3-1 runs backwards; the smaller number comes first\n");
    service_cpus("", 1, 0, "2: the key 'service-cpus' has no value\n");
    service_cpus("\"\"", 1, 0, "2: the key 'service-cpus' has no value\n");
    service_cpus(",", 1, 0, "2: service-cpus: '' is not a CPU number or range; a list like 1-2,4 is allowed\n");
    service_cpus("all", 1, 0, "2: service-cpus: 'all' is not a CPU number or range; a list like 1-2,4 is allowed\n");
}

static void test_names(void **state)
{
    (void)state;
    mistake("[guest]\n", 1, "is not a guest's name");
    mistake("[guest a b]\n", 1, "is not a guest's name");
    mistake("[guest -x]\n", 1, "is not a guest's name");
    mistake("[guest aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]\n", 1, "1 to 31");
    mistake("[guest kernel]\n", 1, "the host's own");
    parse(GOOD "[guest good]\ncpus = 2\nmemory = 32M\nkernel = tiny.elf\n");
    assert_non_null(strstr(told, "5: guest 'good' is there already, in line 1"));
    assert_int_equal(c.guest_count, 1);
    assert_int_equal(c.guest[0].memory, 64 << 20);
    assert_int_equal(c.guest[0].cpu[0], 1);
    mistake("[guest bad]\ncpus = 2\ncpus = 3\nmemory = 32M\nkernel = tiny.elf", 3, "already, in line 2");
    assert_int_equal(c.guest_count, 1);
}

#define SIZES "2M to 4096G in steps of 4K is allowed"

static void test_memory(void **state)
{
    (void)state;
    bad_line("memory = 0", "memory: '0' is too small; " SIZES);
    bad_line("memory = -5M", "memory: '-5M' is negative; " SIZES);
    bad_line("memory = 99999999999999999999999G", "memory: '99999999999999999999999G' is too large; " SIZES);
    bad_line("memory = 5000G", "memory: '5000G' is too large; " SIZES);
    bad_line("memory = 4097G", "too large; " SIZES);
    bad_line("memory = -lots", "not a size");
    bad_line("memory = 512X", "memory: '512X' is not a size; a number with K, M or G, like 512M, is allowed");
    bad_line("memory = 512 MB", "not a size");
    bad_line("memory = lots", "not a size");
    bad_line("memory = 4K", "memory: '4K' is too small; " SIZES);
    bad_line("memory = 2097153", "memory: '2097153' is not a multiple of the step; " SIZES);
    bad_line("memory =", "has no value");
}

static void test_overcommit(void **state)
{
    (void)state;
    parse(
        "[guest a]\ncpus = 1\nmemory = 512M\nkernel = tiny.elf\n[guest b]\ncpus = 2\nmemory = 480M\nkernel = tiny.elf\n"
        "[guest c]\ncpus = 3\nmemory = 64M\nkernel = tiny.elf\n[guest d]\ncpus = 0\nmemory = 2M\nkernel = tiny.elf\n");
    assert_non_null(strstr(
        told,
        "11: memory: guest 'c' wants 64M and 1152K for its monitor, but 5M of 1000M are left, a has 512M, b has 480M; "
        "at most 3M are possible\n"));
    assert_non_null(strstr(told, "9: guest 'c' is left out"));
    assert_int_equal(c.guest_count, 3);
    assert_string_equal(c.guest[2].name, "d");
}

static void test_cpus(void **state)
{
    (void)state;
    bad_line("cpus = 4", "CPU 4 does not exist; this machine has CPUs 0-3");
    bad_line("cpus = 1-9", "CPU 9 does not exist");
    bad_line("cpus = -1", "not a CPU number or range");
    bad_line("cpus = 2,2", "twice");
    bad_line("cpus = 3-2", "backwards");
    bad_line("cpus = 2,", "not a CPU number or range");
    bad_line("cpus = two", "not a CPU number or range");
    bad_line("cpus = 99999999999999999999", "not a CPU number or range");
    mistake(
        "[guest a]\ncpus = 2\nmemory = 32M\nkernel = tiny.elf\n[guest b]\ncpus = 2-3\nmemory = 32M\nkernel = tiny.elf",
        6, "cpus: CPU 2 is dedicated to guest 'a' (line 2); choose another CPU, or give both a share");
    assert_int_equal(c.guest_count, 2);
    mistake(
        "[guest a]\ncpus = 2\nmemory = 32M\nkernel = tiny.elf\n[guest b]\nshare = 10% of cpu 2\nmemory = 32M\nkernel = tiny.elf",
        6, "share: CPU 2 is dedicated to guest 'a' (cpus, line 2); choose another CPU");
    mistake(
        "[guest a]\nshare = 5% of cpu 2\nmemory = 32M\nkernel = tiny.elf\n[guest b]\ncpus = 2\nmemory = 32M\nkernel = tiny.elf",
        6, "cpus: CPU 2 cannot be dedicated: guest 'a' has a share of it (line 2); choose another CPU");
    mistake("[guest a]\nshare = 5% of cpu 2\ncpus = 3\nmemory = 32M\nkernel = tiny.elf", 3,
            "guest 'a' has both cpus and share; one of them is allowed");
}

static void test_shares(void **state)
{
    (void)state;
    bad_line("share = 0% of cpu 2", "share: '0% of cpu 2' is out of range; 1% to 100% of a CPU is allowed");
    bad_line("share = 101% of cpu 2", "share: '101% of cpu 2' is out of range; 1% to 100% of a CPU is allowed");
    bad_line("share = -5% of cpu 2", "negative");
    bad_line("share = 25% of cpu 7", "CPU 7 does not exist");
    bad_line("share = 25 of cpu 2", "not understood");
    bad_line("share = 25% of cpu 2, every 0ms",
             "share: the period in '25% of cpu 2, every 0ms' is out of range; 1ms to 1000ms is allowed");
    bad_line("share = 25% of cpu 2, every 99999999ms", "is out of range; 1ms to 1000ms");
    bad_line("share = 25% of cpu 2, every 9007199254740991ms", "is out of range; 1ms to 1000ms");
    bad_line(
        "share = 1% of cpu 2, every 1ms",
        "share: 1% of each period is 10 us of CPU time; at least 100 us is needed: a larger share, or a longer period");
    bad_line("share = 25% of cpu 2, sometimes", "not understood");
    bad_line("borrow = maybe", "yes or no is allowed");
    mistake("[guest a]\ncpus = 2\nborrow = yes\nmemory = 32M\nkernel = tiny.elf", 3,
            "borrow: guest 'a' has no share; borrow is allowed only together with share");
    parse("[guest a]\nshare = 25% of cpu 2\nborrow = yes\nmemory = 32M\nkernel = tiny.elf\n" GOOD);
    assert_true(c.guest_count == 2 && c.guest[0].borrow && !c.guest[1].borrow && c.mistakes == 0);
    mistake(
        "[guest a]\nshare=50% of cpu 2\nmemory = 32M\nkernel = tiny.elf\n[guest b]\nshare=40% of cpu 2\nmemory = 32M\nkernel "
        "= tiny.elf\n"
        "[guest c]\nshare = 30% of cpu 2\nmemory = 32M\nkernel = tiny.elf\n",
        10, "share: the shares of CPU 2 add up to 120% (a 50%, b 40%, c 30%); at most 100% is allowed");
    assert_int_equal(c.guest_count, 3);
}

static void test_modules(void **state)
{
    (void)state;
    bad_line("kernel = bzImage", "no module is called 'bzImage'; loaded are: vmlinuz, initrd.gz, tiny.elf, empty");
    bad_line("kernel = empty", "is empty");
    bad_line("kernel = tiny.elf arg", "one name is allowed");
    bad_line("initrd = no", "no module is called 'no'");
    bad_line("modules = vmlinuz,,vmlinuz", "an item of the list is empty");
    bad_line("modules = vmlinuz,vmlinuz,vmlinuz,vmlinuz,vmlinuz,vmlinuz,vmlinuz,vmlinuz", "more than 7");
    mistake("[guest bad]\ncpus = 2\nmemory = 32M", 1, "guest 'bad' has no kernel; 'kernel = MODULE' is needed");
    mistake("[guest bad]\ncpus = 2\nkernel = vmlinuz", 1, "guest 'bad' has no memory; 'memory = SIZE' is needed");
    mistake("[guest bad]\nmemory = 32M\nkernel = vmlinuz", 1,
            "guest 'bad' has no cpus and no share; 'cpus = LIST' or 'share = N% of cpu N' is needed");
    mistake("[guest bad]\ncpus = 2\nmemory = 32M\nkernel = vmlinuz\ninitrd = initrd.gz\nmodules = initrd.gz", 6,
            "guest 'bad' has both initrd (for Linux) and modules (for Multiboot); one of them is allowed");
}

static void test_bytes(void **state)
{
    (void)state;
    bad_line("cmdline = caf\xe9", "byte 14 of the line (0xe9) is not UTF-8");
    bad_line("cmdline = \xc0\x80", "is not UTF-8");
    bad_line("cmdline = \xed\xa0\x80", "is not UTF-8");
    bad_line("cmdline = \xf4\x90\x80\x80", "is not UTF-8");
    bad_line("cmdline = \xe2\x82", "is not UTF-8");
    bad_line("cmdline = a\x1b[2J", "control character 0x1b");
    parse("[guest good]\ncpus = 1\nmemory = 64M\nkernel = vmlinuz\ncmdline = caf\xc3\xa9\n");
    assert_int_equal(c.mistakes, 0);
    /* in a comment it is reported, and no guest is left out */
    parse("; caf\xe9\n" GOOD "# \xff\n");
    assert_int_equal(c.mistakes, 2);
    assert_int_equal(c.guest_count, 1);
    static const char nul[] = "[guest bad]\ncpus = 2\nmemory = 1\0M\nkernel = vmlinuz\n" GOOD;
    parse_bytes(nul, sizeof nul - 1);
    assert_non_null(strstr(told, "3: byte 11 of the line is NUL"));
    assert_int_equal(c.guest_count, 1);
    /* a head that cannot be read: its lines are not given to the guest before it */
    parse(GOOD "[guest b\xff]\ncmdline = not mine\ncpus = 3\n");
    assert_int_equal(c.guest_count, 1);
    assert_string_equal(c.guest[0].cmdline, "");
    assert_int_equal(c.guest[0].cpu[0], 1);
}

static void test_long_line(void **state)
{
    (void)state;
    size_t size = 1 << 20;
    char *text = malloc(size + 4096);
    size_t n = (size_t)sprintf(text, "[guest bad]\ncpus = 2\nmemory = 32M\nkernel = vmlinuz\ncmdline = ");
    memset(text + n, 'x', size);
    memcpy(text + n + size, "\n" GOOD, sizeof "\n" GOOD);
    parse(text);
    free(text);
    assert_non_null(strstr(told, "5: the line has 1048586 bytes; at most 4096 are allowed"));
    assert_int_equal(c.guest_count, 1);
    assert_string_equal(c.guest[0].name, "good");
    char line[4200];
    snprintf(line, sizeof line, "cmdline = %02100d", 0);
    bad_line(line, "at most 2047 are allowed");
}

static void test_flood(void **state)
{
    (void)state;
    static char text[400000];
    size_t n = 0;
    for (int i = 0; i < 10000; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "[guest g%d]\nfoo = 1\n", i);
    snprintf(text + n, sizeof text - n, GOOD);
    parse(text);
    assert_true(c.mistakes > 10000);
    assert_true(reports <= CONFIG_REPORTS_MAX + 2 + CONFIG_GUESTS_MAX);
    assert_non_null(strstr(told, "more mistakes"));
}

static void test_too_many(void **state)
{
    (void)state;
    static char text[32768];
    size_t n = 0;
    struct config_machine large = machine;
    large.kernel_memory = 256ull << 20;
    for (int i = 0; i <= CONFIG_GUESTS_MAX; i++)
        n += (size_t)snprintf(text + n, sizeof text - n,
                              "[guest g%d]\nshare = 1%% of cpu %d\nmemory = 2M\nkernel = tiny.elf\n", i, i % 3);
    told[0] = 0;
    config_parse(&c, text, n, &large, note, NULL);
    assert_non_null(strstr(told, "1025: guest 'g256' is one too many; at most 256"));
    assert_int_equal(c.guest_count, 256);
}

/* The kernel's pool is small on a small machine. The first guests in the file get it; the message gives the numbers. */
static void test_kernel_memory(void **state)
{
    (void)state;
    static char text[8192];
    size_t n = 0;
    struct config_machine small = machine;
    small.kernel_memory = 2ull << 20;
    for (int i = 0; i < 6; i++)
        n += (size_t)snprintf(text + n, sizeof text - n,
                              "[guest g%d]\nshare = 3%% of cpu 1\nmemory = 2M\nkernel = tiny.elf\n", i);
    told[0] = 0;
    config_parse(&c, text, n, &small, note, NULL);
    assert_int_equal(c.guest_count, 4); /* 4 * 448K */
    assert_int_equal(c.mistakes, 2);
    assert_non_null(strstr(told, "19: guest 'g4' needs 448K of the kernel's own memory, but 256K of 2048K are left"));
    small.kernel_memory = 6 * 448ull << 10;
    config_parse(&c, text, n, &small, note, NULL);
    assert_int_equal(c.guest_count, 6);
}

/* Random damage to a good text: never a crash, and each guest that is left is whole. */
static void test_damage(void **state)
{
    (void)state;
    static const char text[] =
        "[host]\nconsole = serial\n[guest a]\ncpus = 1-2\nmemory = 64M\nkernel = vmlinuz\ninitrd = initrd.gz\n"
        "cmdline = \"a b\" ; c\n[guest b]\nshare = 25% of cpu 3, every 10ms\nmemory = 32M\nkernel = tiny.elf\n"
        "modules = vmlinuz a, initrd.gz b\ndebug-exit = 0x501\nshared-memory = mail 4M rw, news 64K ro\n";
    uint32_t seed = 1;
    for (int round = 0; round < 20000; round++) {
        char copy[sizeof text];
        memcpy(copy, text, sizeof text);
        for (int k = 0; k < 1 + round % 5; k++) {
            seed = seed * 1664525 + 1013904223;
            uint32_t at = (seed >> 8) % (sizeof text - 1);
            seed = seed * 1664525 + 1013904223;
            copy[at] = (char)(seed >> 24);
        }
        seed = seed * 1664525 + 1013904223;
        size_t size = (seed >> 8) % sizeof text;
        parse_bytes(copy, size);
        for (unsigned i = 0; i < c.guest_count; i++) {
            assert_true(c.guest[i].memory >= CONFIG_MEMORY_MIN && (c.guest[i].memory & 4095) == 0);
            assert_true(c.guest[i].cpu_count >= 1 && c.guest[i].cpu_count <= 4);
            assert_true(c.guest[i].module_count >= 1 && c.guest[i].module_count <= VMM_MODULES_MAX);
            for (unsigned k = 0; k < c.guest[i].region_count; k++)
                assert_true(c.guest[i].region[k].region < c.region_count &&
                            c.guest[i].region[k].size >= CONFIG_REGION_MIN);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full),         cmocka_unit_test(test_empty),         cmocka_unit_test(test_lines),
        cmocka_unit_test(test_names),        cmocka_unit_test(test_memory),        cmocka_unit_test(test_overcommit),
        cmocka_unit_test(test_cpus),         cmocka_unit_test(test_shares),        cmocka_unit_test(test_modules),
        cmocka_unit_test(test_bytes),        cmocka_unit_test(test_long_line),     cmocka_unit_test(test_flood),
        cmocka_unit_test(test_too_many),     cmocka_unit_test(test_kernel_memory), cmocka_unit_test(test_damage),
        cmocka_unit_test(test_service_cpus),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
