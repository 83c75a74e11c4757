// SPDX-License-Identifier: Apache-2.0
// sources: @config
/* The key `shared-memory` of mullion.conf: what is understood, every mistake, what guests must agree about, and how
 * memory is counted. */
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

static const struct config_module modules[] = {{"tiny.elf", 9000}};
static struct config_machine machine;

static void note(void *context, unsigned line, const char *text)
{
    (void)context;
    size_t n = strlen(told);
    snprintf(told + n, sizeof told - n, "%u: %s\n", line, text);
}

static void parse(const char *text)
{
    char *copy = malloc(strlen(text));
    memcpy(copy, text, strlen(text));
    told[0] = 0;
    config_parse(&c, copy, strlen(text), &machine, note, NULL);
    free(copy);
}

static int setup(void **state)
{
    (void)state;
    machine = (struct config_machine){
        .cpus = 4, .memory = 1000ull << 20, .kernel_memory = 16ull << 20, .module_count = 1, .module = modules};
    return 0;
}

/* Guest number n, four lines and `shared-memory` in the fifth. */
#define G(n, shared) \
    "[guest g" #n "]\nshare = 5% of cpu 1\nmemory = 16M\nkernel = tiny.elf\nshared-memory = " shared "\n"
#define PLAIN(n) "[guest g" #n "]\nshare = 5% of cpu 1\nmemory = 16M\nkernel = tiny.elf\n\n"

static void test_understood(void **state)
{
    (void)state;
    parse(G(0, "mail 4M rw, news 64K ro") G(1, "news 64K rw , \tbig\t1G  ro") PLAIN(2)
              G(3, "big 1048576K rw,mail 4194304 ro"));
    machine.memory = 3000ull << 20;
    parse(G(0, "mail 4M rw, news 64K ro") G(1, "news 64K rw , \tbig\t1G  ro") PLAIN(2)
              G(3, "big 1048576K rw,mail 4194304 ro"));
    assert_string_equal(told, "");
    assert_int_equal(c.guest_count, 4);
    assert_int_equal(c.region_count, 3);
    assert_string_equal(c.region[0].name, "mail");
    assert_int_equal(c.region[0].size, 4 << 20);
    assert_string_equal(c.region[1].name, "news");
    assert_int_equal(c.region[1].size, 64 << 10);
    assert_int_equal(c.region[2].size, 1 << 30);
    assert_int_equal(c.guest[0].region_count, 2);
    assert_int_equal(c.guest[2].region_count, 0);
    assert_true(c.guest[0].region[0].writable && !c.guest[0].region[1].writable);
    assert_int_equal(c.guest[1].region[0].region, 1);
    assert_int_equal(c.guest[3].region[0].region, 2);
    assert_int_equal(c.guest[3].region[1].region, 0);
    assert_true(c.guest[3].region[0].writable && !c.guest[3].region[1].writable);
}

static void bad(const char *value, const char *words)
{
    char text[1024];
    snprintf(text, sizeof text,
             "[guest bad]\nshare = 5%% of cpu 1\nmemory = 16M\nkernel = tiny.elf\nshared-memory = %s\n%s", value,
             PLAIN(1));
    parse(text);
    if (strncmp(told, "5: ", 3) != 0 || strstr(told, words) == NULL ||
        strstr(told, "1: guest 'bad' is left out") == NULL)
        fail_msg("'%s': wanted %s, got:\n%s", value, words, told);
    assert_int_equal(c.mistakes, 1);
    assert_int_equal(c.guest_count, 1);
    assert_int_equal(c.region_count, 0);
}

static void test_mistakes(void **state)
{
    (void)state;
    bad("mail", "'mail' is not understood; NAME SIZE rw or NAME SIZE ro, like 'mail 4M rw', is allowed");
    bad("mail 4M", "'mail 4M' is not understood");
    bad("mail 4M rw,", "'' is not understood");
    bad("mail 4M rw, , a 4K ro", "'' is not understood");
    bad("ma/il 4M rw", "'ma/il' is not a region's name; 1 to 31 letters");
    bad("-mail 4M rw", "'-mail' is not a region's name");
    bad("abcdefghijabcdefghijabcdefghij12 4M rw", "is not a region's name; 1 to 31");
    bad("mail 5M rw", "region 'mail' cannot have the size '5M'; a power of two from 4K to 1G is allowed");
    bad("mail 2K rw", "cannot have the size '2K'");
    bad("mail 0 rw", "cannot have the size '0'");
    bad("mail 2G rw", "cannot have the size '2G'");
    bad("mail -4M rw", "cannot have the size '-4M'");
    bad("mail 4MB rw", "cannot have the size '4MB'");
    bad("mail 99999999999999999999G rw", "cannot have the size");
    bad("mail rw 4M", "cannot have the size 'rw'");
    bad("mail 4M wo", "region 'mail': 'wo' is not known; rw (reading and writing) or ro (reading) is allowed");
    bad("mail 4M rw x", "'rw x' is not known");
    bad("mail 4M rw, mail 4M ro", "region 'mail' is in the list twice; once is allowed");
    bad("a 4K rw, b 4K rw, c 4K rw, d 4K rw, e 4K rw", "there are more than 4 regions; that many are allowed");
}

/* A guest must agree with those before it in the file; a guest that is left out does not count. */
static void test_agreement(void **state)
{
    (void)state;
    parse(G(0, "mail 4M rw") G(1, "mail 8M rw") G(2, "mail 4M ro"));
    assert_non_null(strstr(
        told,
        "10: shared-memory: region 'mail' has 8M here, but guest 'g0' gives it 4M (line 5); the same size in both is allowed\n"));
    assert_int_equal(c.mistakes, 1);
    assert_int_equal(c.guest_count, 2);
    assert_int_equal(c.region_count, 1);
    assert_string_equal(c.guest[1].name, "g2");
    parse("[guest bad]\nshared-memory = mail 8M rw\n" G(0, "mail 4M rw") G(1, "mail 4M rw"));
    assert_int_equal(c.guest_count, 2);
    assert_int_equal(c.region[0].size, 4 << 20);
    assert_string_equal(c.region[0].by, "g0");
}

static void test_notes(void **state)
{
    (void)state;
    parse(G(0, "mail 4M rw") PLAIN(1));
    assert_string_equal(told,
                        "5: note: guest 'g0' alone has region 'mail'; it is shared when another guest names it too\n");
    assert_int_equal(c.mistakes, 0);
    assert_int_equal(c.guest_count, 2);
    parse(G(0, "mail 4M ro") G(1, "mail 4M ro"));
    assert_string_equal(
        told, "5: note: region 'mail' is ro in all guests, so it stays empty; rw in one of them lets it be filled\n");
    assert_int_equal(c.guest_count, 2);
    /* The second one is left out: the first is alone. */
    parse(G(0, "mail 4M rw") "[guest bad]\nmemory = 2M\nshared-memory = mail 4M rw\n");
    assert_non_null(strstr(told, "note: guest 'g0' alone"));
}

static void test_memory_is_counted_once(void **state)
{
    (void)state;
    machine.memory = (32ull << 20) + 2 * (CONFIG_OVERHEAD + CONFIG_OVERHEAD_CPU) + (64ull << 20);
    parse(G(0, "mail 64M rw") G(1, "mail 64M rw"));
    assert_string_equal(told, "");
    parse(G(0, "mail 64M rw") G(1, "mail 64M rw, news 4K rw"));
    assert_non_null(strstr(
        told,
        "8: memory: guest 'g1' wants 16M, 4K for regions that it shares and 1152K for its monitor, but 17M of 98M are "
        "left, shared regions have 64M, g0 has 16M; at most 15M are possible\n"));
    assert_int_equal(c.guest_count, 1);
    assert_int_equal(c.region_count, 1);
    machine.memory -= PAGE_SIZE;
    parse(G(0, "mail 64M rw") G(1, "mail 64M rw"));
    assert_int_equal(c.guest_count, 1);
}

static void test_kernel_memory(void **state)
{
    (void)state;
    machine.kernel_memory = 2 * (CONFIG_KERNEL + CONFIG_KERNEL_CPU) + CONFIG_KERNEL_REGION;
    parse(G(0, "mail 4M rw") PLAIN(1));
    assert_int_equal(c.guest_count, 2);
    parse(G(0, "mail 4M rw") G(1, "mail 4M rw"));
    assert_int_equal(c.guest_count, 1);
    assert_non_null(strstr(told, "guest 'g1' needs 576K of the kernel's own memory"));
}

static void test_too_many(void **state)
{
    (void)state;
    char text[4096] = "";
    for (unsigned i = 0; i < 9; i++)
        snprintf(
            text + strlen(text), sizeof text - strlen(text),
            "[guest g%u]\nshare = 5%% of cpu 1\nmemory = 16M\nkernel = tiny.elf\nshared-memory = a%u 4K rw, b%u 4K rw, c%u 4K rw, d%u 4K rw\n",
            i, i, i, i, i);
    parse(text);
    assert_int_equal(c.guest_count, 8);
    assert_int_equal(c.region_count, 32);
    assert_non_null(strstr(told, "45: shared-memory: region 'a8' is one too many; at most 32 are allowed\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_understood, setup),
        cmocka_unit_test_setup(test_mistakes, setup),
        cmocka_unit_test_setup(test_agreement, setup),
        cmocka_unit_test_setup(test_notes, setup),
        cmocka_unit_test_setup(test_memory_is_counted_once, setup),
        cmocka_unit_test_setup(test_kernel_memory, setup),
        cmocka_unit_test_setup(test_too_many, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
