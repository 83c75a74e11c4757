// SPDX-License-Identifier: Apache-2.0
// sources: services/console/lines.c services/console/character.c services/console/scrollback.c lib/print.c lib/string.c
/* The multiplexer: whole lines behind their names, no trick of a guest's comes through, unfinished lines are shown in
 * time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "services/console/character.h"
#include "services/console/lines.h"
#include "services/console/scrollback.h"

static struct lines l;
static char shown[65536], kept[65536];
static size_t shown_size;

static void show(void *context, const char *text, size_t size)
{
    (void)context;
    assert_true(shown_size + size < sizeof shown);
    memcpy(shown + shown_size, text, size);
    shown_size += size;
    shown[shown_size] = 0;
}

static void keep(void *context, unsigned source, const char *text, size_t size)
{
    (void)context;
    size_t n = strlen(kept);
    snprintf(kept + n, sizeof kept - n, "%u:%.*s\n", source, (int)size, text);
}

static int setup(void **state)
{
    (void)state;
    lines_init(&l, show, keep, NULL);
    lines_name(&l, 0, "a");
    lines_name(&l, 1, "bob");
    lines_name(&l, 2, "mullion");
    lines_name(&l, 4, "bob's monitor"); /* 3: no source has this number */
    shown_size = 0;
    shown[0] = kept[0] = 0;
    return 0;
}

static void feed(unsigned source, const char *text)
{
    lines_feed(&l, source, text, strlen(text), 100);
}

static void expect(const char *text)
{
    assert_string_equal(shown, text);
    shown_size = 0;
    shown[0] = 0;
}

static void test_lines(void **state)
{
    (void)state;
    feed(0, "hel");
    feed(1, "one\r\ntwo\ntail");
    expect("[bob] one\r\n[bob] two\r\n");
    feed(0, "lo\n\n");
    expect("[a] hello\r\n[a] \r\n");
    assert_string_equal(kept, "1:one\n1:two\n0:hello\n0:\n");
}

static void test_unfinished(void **state)
{
    (void)state;
    feed(0, "login: ");
    assert_int_equal(lines_waiting(&l), 100);
    lines_idle(&l, 99);
    expect("");
    lines_idle(&l, 100);
    expect("[a] login: ");
    assert_int_equal(lines_waiting(&l), NEVER);
    feed(0, "root\n"); /* goes on where it stood */
    expect("root\r\n");
    feed(0, "# ");
    lines_more(&l, 0, 150); /* the rest is on its way, but the wire is busy */
    assert_int_equal(lines_waiting(&l), 150);
    lines_idle(&l, 149);
    expect("");
    lines_idle(&l, 150);
    feed(1, "x\n"); /* another writes: on a line of its own */
    expect("[a] # \r\n[bob] x\r\n");
    feed(0, "ls\n");
    expect("[a] ls\r\n");
    assert_string_equal(kept, "0:login: root\n1:x\n0:# ls\n");
    feed(0, "# ");
    lines_idle(&l, 100);
    lines_close(&l);
    expect("[a] # \r\n");
    lines_close(&l);
    expect("");
}

static void test_controls(void **state)
{
    (void)state;
    feed(0, "\x1b[2J\x1b[1;1Hclear\x1b[31m red\x1b(B\x1b]0;title\x07\x1bP1q\x1b\\ x\x1b\x37\x07\x0e\x7f end\n");
    expect("[a] clear red x end\r\n");
    feed(0, "abc\b\bd\n");
    expect("[a] ad\r\n");
    feed(0, "10%\r20%\r\r\n");
    expect("[a] 10%\r\n[a] 20%\r\n");
    feed(0, "~ # \r\x1b[K~ # ls\n"); /* a shell that redraws its line */
    expect("[a] ~ # \r\n[a] ~ # ls\r\n");
    feed(0, "\x1b]never ends\nnext\n"); /* a string without end hides that line only */
    expect("[a] \r\n[a] next\r\n");
    feed(0, "tab\there\n");
    expect("[a] tab\there\r\n");
}

static void test_utf8(void **state)
{
    (void)state;
    feed(0, "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\n");
    expect("[a] caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\r\n");
    feed(0, "\xff \x9b"
            "31m \xc3( \xc0\x80 \xed\xa0\x80 \xf4\x90\x80\x80\n"); /* not UTF-8; 0x9b is CSI on an 8-bit terminal */
    expect("[a] ? ?31m ?( ?? ? ?\r\n");
    feed(0, "\xc2\x9b"
            "31m \xe2\x80\xae"
            "evil\n"); /* the same, encoded; and right-to-left override */
    expect("[a] ?31m ?evil\r\n");
    feed(0, "\xe2\x82\n");
    expect("[a] ?\r\n");
}

/* Characters that show nothing would hide another's prefix from the filter, or a text from the reader. */
static void test_invisible(void **state)
{
    static const char *const hidden[] = {
        "\xc2\xad",         "\xcd\x8f",         "\xd8\x9c",     "\xe1\x85\x9f", "\xe1\x85\xa0",     "\xe1\x9e\xb4",
        "\xe1\xa0\x8b",     "\xe1\xa0\x8e",     "\xe2\x80\x8b", "\xe2\x80\x8d", "\xe2\x80\x8f",     "\xe2\x80\xa8",
        "\xe2\x80\xae",     "\xe2\x81\xa0",     "\xe2\x81\xaf", "\xe3\x85\xa4", "\xef\xb8\x80",     "\xef\xb8\x8f",
        "\xef\xbb\xbf",     "\xef\xbe\xa0",     "\xef\xbf\xb9", "\xef\xbf\xbb", "\xf0\x9d\x85\xb3", "\xf3\xa0\x80\x81",
        "\xf3\xa0\x81\xa1", "\xf3\xa0\x87\xaf", "\xc2\x85",     "\xef\xbf\xbe", "\xf3\xa0\xbf\xbf"};
    (void)state;
    for (unsigned i = 0; i < sizeof hidden / sizeof hidden[0]; i++) {
        feed(0, "[bo");
        feed(0, hidden[i]);
        feed(0, "b]\n");
        expect("[a] [bo?b]\r\n");
    }
    for (uint32_t code = 0xe0000; code < 0xe1000; code++) {
        char text[] = {(char)0xf3,
                       (char)(0xa0 | (code >> 12 & 15)),
                       (char)(0x80 | (code >> 6 & 63)),
                       (char)(0x80 | (code & 63)),
                       '\n',
                       0};
        feed(0, text);
        expect("[a] ?\r\n");
    }
}

/* Three marks over a character, none over our prefix. */
static void test_marks(void **state)
{
    (void)state;
    feed(0, "e\xcc\x81 \xd7\xa9\xd6\xb8\xd7\x81 x\n");
    expect("[a] e\xcc\x81 \xd7\xa9\xd6\xb8\xd7\x81 x\r\n");
    feed(0, "\xcc\x81"
            "a\n");
    expect("[a] ?a\r\n");
    feed(0, "b\xcc\x81");
    lines_idle(&l, 100); /* also where they come by pieces, and with those that enclose */
    feed(0, "\xe2\x83\x9d\xcc\x81");
    feed(0, "\xcc\x81\xcc\x81"
            "c\xcc\x81\n");
    expect("[a] b\xcc\x81\xe2\x83\x9d\xcc\x81??c\xcc\x81\r\n");
    char text[1024];
    memset(text, 'x', LINE_BYTES); /* a mark where the line is broken */
    strcpy(text + LINE_BYTES, "\xcc\x81y\n");
    feed(0, text);
    assert_non_null(strstr(shown, "\r\n[a] ?y\r\n"));
}

static void test_forged(void **state)
{
    (void)state;
    feed(0, "          [bob] I am bob [mullion] halt [a] me [bobby] x\n");
    expect("[a]           [bob) I am bob [mullion) halt [a] me [bobby] x\r\n");
    feed(0, "[bo");
    lines_idle(&l, 100);
    feed(0, "b] split\n");
    expect("[a] [bob) split\r\n");
    feed(1, "[bob's monitor] [] x\n"); /* a guest is not its monitor; a monitor is neither guest nor Mullion */
    expect("[bob] [bob's monitor) [] x\r\n");
    feed(4, "[bob] [mullion] x\n");
    expect("[bob's monitor] [bob) [mullion) x\r\n");
    feed(0, "half");
    lines_name(&l, 0, "new"); /* another guest has the number now */
    feed(1, "[new] [a] x\n");
    feed(0, "x\n");
    expect("[bob] [new) [a] x\r\n[new] x\r\n");
}

static void test_long(void **state)
{
    (void)state;
    char line[1300];
    memset(line, 'x', sizeof line);
    line[1299] = 0;
    feed(0, line);
    feed(0, "\n");
    unsigned ends = 0;
    for (char *s = shown; (s = strstr(s, "\r\n")) != NULL; s++)
        ends++;
    assert_int_equal(ends, 3);
    shown_size = 0;
    /* a wide character is not cut in two at the edge */
    memset(line, 'y', 511);
    strcpy(line + 511, "\xe2\x82\xac\n");
    feed(0, line);
    assert_non_null(strstr(shown, "y\r\n[a] \xe2\x82\xac\r\n"));
}

static void test_silent(void **state)
{
    (void)state;
    l.silent = true;
    feed(0, "one\ntwo");
    lines_idle(&l, 100);
    assert_int_equal(lines_waiting(&l), NEVER);
    expect("");
    l.silent = false;
    lines_idle(&l, 100);
    expect("[a] two");
    assert_string_equal(kept, "0:one\n");
}

static void test_muted(void **state)
{
    (void)state;
    feed(0, "be");
    l.source[0].muted = true;
    feed(0, "fore\nlater");
    lines_idle(&l, 100);
    assert_int_equal(lines_waiting(&l), NEVER);
    feed(1, "other\n");
    expect("[bob] other\r\n");
    l.source[0].muted = false;
    feed(0, "!\n");
    expect("[a] later!\r\n");
    assert_string_equal(kept, "0:before\n1:other\n0:later!\n");
}

/* Whatever three guests write: only printable text, tabs and our own line ends come out, and each line starts with a
 * name. */
static void test_noise(void **state)
{
    (void)state;
    srand(3);
    for (int round = 0; round < 3000; round++) {
        char bytes[64];
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (char)(rand() % 4 ? rand() : "\x1b[]\r\n\b bob"[rand() % 10]);
        lines_feed(&l, (unsigned)rand() % 3, bytes, (size_t)rand() % 65, 5);
        if (rand() % 3 == 0)
            lines_idle(&l, 5);
        kept[0] = 0;
        if (shown_size > 30000) {
            shown_size = 0;
            shown[0] = 0;
            lines_close(&l);
        }
        if (round % 500 != 499)
            continue;
        lines_close(&l);
        char *start = strchr(shown, '[');
        while (start != NULL && *start) {
            char *end = strstr(start, "\r\n");
            assert_non_null(end);
            assert_true(strncmp(start, "[a] ", 4) == 0 || strncmp(start, "[bob] ", 6) == 0 ||
                        strncmp(start, "[mullion] ", 10) == 0);
            for (char *s = start; s < end; s++)
                assert_true((uint8_t)*s >= 0x20 || *s == '\t');
            start = end + 2;
        }
        shown_size = 0;
        shown[0] = 0;
    }
}

static void test_scrollback(void **state)
{
    (void)state;
    static struct scrollback s;
    static char text[16384];
    scrollback_init(&s, text, sizeof text);
    scrollback_show(&s, 10, show, NULL);
    expect("");
    for (int i = 0; i < 5000; i++) {
        char line[32];
        int n = snprintf(line, sizeof line, "line %d", i);
        scrollback_keep(&s, line, (size_t)n, (uint64_t)i * 1001);
    }
    scrollback_show(&s, 2, show, NULL);
    expect("  5002.998 line 4998\r\n  5003.999 line 4999\r\n");
    scrollback_show(&s, 0, show, NULL);
    expect("");
    scrollback_show(&s, 100000, show, NULL); /* as far as it is whole */
    assert_non_null(strstr(shown, " line "));
    assert_true(strncmp(shown + 10, " line ", 6) == 0);
    assert_true(shown_size <= 2 * sizeof text);
    shown_size = 0;
    /* To half the room, at a place that overlaps: the last lines go along, and it goes on. */
    static char spare[sizeof text / 2];
    scrollback_move(&s, text + 100, sizeof spare, spare);
    scrollback_show(&s, 2, show, NULL);
    expect("  5002.998 line 4998\r\n  5003.999 line 4999\r\n");
    scrollback_show(&s, 100000, show, NULL);
    assert_true(strncmp(shown + 10, " line 45", 8) == 0);
    shown_size = 0;
    scrollback_keep(&s, "next", 4, 40ull * 86400 * 1000 + 1);
    scrollback_show(&s, 2, show, NULL);
    expect("  5003.999 line 4999\r\n3456000.001 next\r\n");
    struct scrollback few;
    scrollback_init(&few, text, sizeof text);
    scrollback_keep(&few, "one", 3, SCROLLBACK_NO_TIME);
    scrollback_move(&few, text + 1, sizeof spare, spare);
    scrollback_show(&few, 5, show, NULL);
    expect("         - one\r\n");
}

/* Of two to four bytes, whatever they are: a character of UTF-8 that shows something passes, and nothing else does. */
static void test_all_bytes(void **state)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    (void)state;
    for (unsigned first = 0xc2; first <= 0xf4; first++) {
        unsigned size = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
        for (unsigned second = 0x80; second < 0xc0; second++)
            for (unsigned tail = 0x80; tail < 0xc0; tail += 0x15) {
                const char c[5] = {(char)first, (char)second, size > 2 ? (char)tail : 0, size > 3 ? (char)tail : 0, 0};
                char want[32];
                uint32_t code = first & (0x7fu >> size);
                for (unsigned k = 1; k < size; k++)
                    code = code << 6 | ((uint8_t)c[k] & 0x3fu);
                bool good = code >= least[size] && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff) &&
                            character_kind(code) != CHARACTER_HIDDEN;
                feed(0, "x");
                feed(0, c);
                feed(0, "\n");
                snprintf(want, sizeof want, "[a] x%s\r\n", good ? c : "?");
                expect(want);
            }
    }
    for (unsigned c = 0x80; c < 0x100; c++) { /* none begins with these */
        if (c >= 0xc2 && c <= 0xf4)
            continue;
        const char text[] = {(char)c, '\n', 0};
        feed(0, text);
        expect("[a] ?\r\n");
    }
    for (unsigned c = 1; c < 0x80; c++) { /* plain characters: what is printed, a tab, and no control character */
        if (c == '\n' || c == 0x1b || c == '\r')
            continue;
        const char text[] = {'x', (char)c, 'y', '\n', 0};
        char want[32];
        feed(0, text);
        if (c == '\b')
            strcpy(want, "[a] y\r\n");
        else if (c == '\t' || (c >= 0x20 && c != 0x7f))
            snprintf(want, sizeof want, "[a] x%cy\r\n", (char)c);
        else
            strcpy(want, "[a] xy\r\n");
        expect(want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_lines, setup),     cmocka_unit_test_setup(test_unfinished, setup),
        cmocka_unit_test_setup(test_controls, setup),  cmocka_unit_test_setup(test_utf8, setup),
        cmocka_unit_test_setup(test_all_bytes, setup), cmocka_unit_test_setup(test_forged, setup),
        cmocka_unit_test_setup(test_long, setup),      cmocka_unit_test_setup(test_silent, setup),
        cmocka_unit_test_setup(test_noise, setup),     cmocka_unit_test_setup(test_scrollback, setup),
        cmocka_unit_test_setup(test_invisible, setup), cmocka_unit_test_setup(test_marks, setup),
        cmocka_unit_test_setup(test_muted, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
