// SPDX-License-Identifier: Apache-2.0
// sources: lib/print.c lib/string.c
/*
 * mullion.conf for the largest machine, 1,024 CPUs, with the most guests, 256. The files of config/ are compiled here
 * once more, so that a test can look into the table of keys.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "config/check.c"
#include "config/config.c"
#include "config/cpus.c"
#include "config/keys.c"
#include "config/modules.c"
#include "config/regions.c"
#include "config/report.c"
#include "config/span.c"
#include "config/values.c"

static struct config c;
static char told[65536], text[262144];
static size_t used;

static const struct config_module kernel[] = {{"tiny.elf", 9000}};
static const struct config_machine large = {
    .cpus = 1024, .memory = 1ull << 40, .kernel_memory = 1ull << 32, .module_count = 1, .module = kernel};

static void note(void *context, unsigned line, const char *words)
{
    (void)context;
    assert_true(strlen(words) < CONFIG_MESSAGE_MAX);
    size_t n = strlen(told);
    snprintf(told + n, sizeof told - n, "%u: %s\n", line, words);
}

static void begin_text(void)
{
    used = 0;
    text[0] = told[0] = 0;
}

/* Guest n: five lines, of which `more` is the fifth. */
static void add_guest(unsigned n, const char *cpus, const char *more)
{
    used += (size_t)snprintf(text + used, sizeof text - used, "[guest g%u]\n%s\nmemory = 16M\nkernel = tiny.elf\n%s\n",
                             n, cpus, more);
}

static void parse_all(void)
{
    told[0] = 0;
    config_parse(&c, text, used, &large, note, NULL);
}

static void test_guests(void **state)
{
    (void)state;
    char cpus[32];
    begin_text();
    for (unsigned i = 0; i < 256; i++) {
        snprintf(cpus, sizeof cpus, "cpus = %u-%u", 4 * i, 4 * i + 3);
        add_guest(i, cpus, "");
    }
    parse_all();
    assert_string_equal(told, "");
    assert_int_equal(c.guest_count, 256);
    for (unsigned i = 0; i < 256; i++) {
        assert_int_equal(c.guest[i].cpu_count, 4);
        assert_int_equal(c.guest[i].cpu[3], 4 * i + 3);
        for (unsigned cpu = 0; cpu <= MAX_CPUS; cpu++)
            assert_int_equal(cpuset_has(&c.guest[i].cpus, cpu), cpu / 4 == i);
    }
    add_guest(256, "share = 1% of cpu 0", "");
    parse_all();
    assert_string_equal(told, "1281: guest 'g256' is one too many; at most 256 are allowed\n");
    assert_int_equal(c.guest_count, 256);
}

static void test_cpus(void **state)
{
    (void)state;
    begin_text();
    add_guest(0, "cpus = 1023,64,1000-1001", "");
    add_guest(1, "cpus = 900-1000", "");
    add_guest(2, "cpus = 960-1000", "");
    add_guest(3, "share = 5% of cpu 1024", "");
    add_guest(4, "cpus = 0-1023", "");
    add_guest(5, "cpus = 65-128", "");
    add_guest(6, "cpus = 1,4096", "");
    parse_all();
    assert_non_null(strstr(told, "7: cpus: there are more than 64 CPUs in the list; that many are allowed\n"));
    assert_non_null(
        strstr(told, "12: cpus: CPU 1000 is dedicated to guest 'g0' (line 2); choose another CPU, or give"));
    assert_non_null(strstr(told, "17: share: CPU 1024 does not exist; this machine has CPUs 0-1023\n"));
    assert_non_null(strstr(told, "22: cpus: there are more than 64 CPUs in the list; that many are allowed\n"));
    assert_non_null(strstr(told, "32: cpus: CPU 4096 does not exist; this machine has CPUs 0-1023\n"));
    assert_int_equal(c.mistakes, 5);
    assert_int_equal(c.guest_count, 2);
    static const unsigned order[] = {1023, 64, 1000, 1001}; /* vCPU i runs on the CPU that was named as number i */
    for (unsigned i = 0; i < ARRAY_SIZE(order); i++)
        assert_int_equal(c.guest[0].cpu[i], order[i]);
    assert_int_equal(c.guest[1].cpu_count, 64);
}

/* A hundred guests share a CPU; the message for one too many names some of them, and ends. */
static void test_shares(void **state)
{
    (void)state;
    begin_text();
    for (unsigned i = 0; i < 101; i++)
        add_guest(i, "share = 1% of cpu 700", "");
    parse_all();
    assert_int_equal(c.guest_count, 100);
    const char *at = strstr(told, "502: share: the shares of CPU 700 add up to 101% (g0 1%, g1 1%, ");
    assert_non_null(at);
    assert_non_null(strstr(at, ", ..., g100 1%); at most 100% is allowed\n"));
}

/* What all guests' texts take is bounded: root keeps it for good. The guests that fit are complete. */
static void test_texts(void **state)
{
    (void)state;
    char cpus[32], cmdline[1100];
    begin_text();
    for (unsigned i = 0; i < 120; i++) {
        snprintf(cpus, sizeof cpus, "cpus = %u", i);
        snprintf(cmdline, sizeof cmdline, "cmdline = %u %01020u", i, 0);
        add_guest(i, cpus, cmdline);
    }
    parse_all();
    assert_string_equal(told, "");
    for (unsigned i = 120; i < 130; i++) {
        snprintf(cpus, sizeof cpus, "cpus = %u", i);
        add_guest(i, cpus, cmdline);
    }
    parse_all();
    assert_in_range(c.guest_count, 124, 128);
    snprintf(cmdline, sizeof cmdline, "%u: cmdline: the texts of all guests together have more than 128K;",
             5 * c.guest_count + 5);
    assert_ptr_equal(strstr(told, cmdline), told);
    for (unsigned i = 0; i < 120; i++) {
        snprintf(cmdline, sizeof cmdline, "%u %01020u", i, 0);
        assert_string_equal(c.guest[i].cmdline, cmdline);
        assert_string_equal(c.guest[i].module_args[0], "tiny.elf");
    }
    assert_true(sizeof c <= 512u << 10); /* it is static in root */
}

/* A region has room for VMM_PEERS_MAX guests, however many guests there are. */
static void test_peers(void **state)
{
    (void)state;
    char cpus[32];
    begin_text();
    for (unsigned i = 0; i <= VMM_PEERS_MAX; i++) {
        snprintf(cpus, sizeof cpus, "cpus = %u", 100 + i);
        add_guest(i, cpus, "shared-memory = mail 4K rw");
    }
    parse_all();
    assert_int_equal(c.guest_count, VMM_PEERS_MAX);
    assert_int_equal(c.region[0].users, VMM_PEERS_MAX);
    assert_non_null(strstr(told, "165: shared-memory: region 'mail' has 32 guests already; that many are allowed\n"));
}

/* Every key has a place, a help text that fits a cell of a table, and a default that its own reader accepts. */
static void test_table(void **state)
{
    (void)state;
    char allowed_text[ALLOWED_MAX], names[320];
    const struct config_key *key;
    char list[320];
    const char *at;
    size_t listed = 0;
    begin_text();
    for (unsigned k = 0; (key = config_key_at(k)) != NULL; k++) {
        assert_ptr_equal(config_key_find(key->section, span_of(key->name)), key);
        if (key->section == IN_GUEST) /* the message about an unknown key names each, in this order */
            listed += (size_t)snprintf(list + listed, sizeof list - listed, "%s%s", listed ? ", " : "", key->name);
        size_t record = key->section == IN_HOST ? sizeof(struct config) : sizeof(struct config_guest);
        assert_true(key->size != 0 && key->offset + key->size <= record);
        unsigned words = 1;
        for (const char *s = key->help; *s; s++)
            words += *s == ' ';
        assert_true(words >= 3 && words <= 25 && key->help[strlen(key->help) - 1] == '.');
        config_key_allowed(key, allowed_text, sizeof allowed_text);
        assert_true(strlen(allowed_text) + 1 < sizeof allowed_text);
        assert_true(key->or_else == NULL || config_key_find(key->section, span_of(key->or_else)) != NULL);
        assert_true(key->needs == NULL || config_key_find(key->section, span_of(key->needs)) != NULL);
        assert_true(!key->required || key->form != NULL);
        if (key->excludes != NULL) { /* both rows say it */
            const struct config_key *other = config_key_find(key->section, span_of(key->excludes));
            assert_string_equal(other->excludes, key->name);
        }
        switch (key->type) {
        case TYPE_BOOL: assert_int_equal(key->size, sizeof(bool)); break;
        case TYPE_CHOICE: assert_int_equal(key->size, sizeof(unsigned)); break;
        case TYPE_FLAGS: assert_int_equal(key->size, sizeof(bool)); break;
        case TYPE_NUMBER: assert_true(key->most > key->least && key->most >> (8 * key->size - 1) <= 1); break;
        case TYPE_SIZE: assert_int_equal(key->size, sizeof(uint64_t)); break;
        case TYPE_TEXT: assert_true(key->size == sizeof(char *) && key->initial != NULL && key->most != 0); break;
        default: assert_true(key->form != NULL); break;
        }
    }
    config_key_names(IN_GUEST, names, sizeof names);
    assert_string_equal(names, list);
    add_guest(0, "colour = red", "");
    parse_all();
    at = strstr(told, "2: unknown key 'colour'; in [guest ...] these are allowed: kernel, ");
    assert_ptr_equal(at, told);
    at = strstr(told, "kernel, ");
    assert_memory_equal(at, list, listed);
    assert_int_equal(at[listed], '\n');
    begin_text();
    add_guest(0, "cpus = 1", "");
    parse_all();
    assert_string_equal(told, "");
    assert_true(c.guest[0].autostart && c.guest[0].on_crash == POLICY_STOP && c.guest[0].on_reboot == POLICY_RESTART);
    memset(&c, 0xff, sizeof c);
    config_defaults(&c);
    assert_true(c.console_serial && !c.console_screen && c.log_level == 2 && c.guest_count == 0 && c.mistakes == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_guests), cmocka_unit_test(test_cpus),  cmocka_unit_test(test_shares),
        cmocka_unit_test(test_texts),  cmocka_unit_test(test_peers), cmocka_unit_test(test_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
