// SPDX-License-Identifier: Apache-2.0
// sources: services/console/editor.c services/console/command.c lib/print.c lib/string.c
/* The shell: line editing, history, commands in and out of words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "lib/proto/records.h"
#include "services/console/command.h"
#include "services/console/editor.h"

static struct editor e;
static char shown[1 << 20];
static size_t shown_size;

static void show(void *context, const char *text, size_t size)
{
    (void)context;
    if (shown_size + size >= sizeof shown)
        shown_size = 0;
    memcpy(shown + shown_size, text, size);
    shown_size += size;
    shown[shown_size] = 0;
}

static int setup(void **state)
{
    (void)state;
    editor_init(&e, "> ", show, NULL);
    shown_size = 0;
    shown[0] = 0;
    return 0;
}

static enum editor_result keys(const char *text)
{
    enum editor_result r = EDITOR_MORE;
    for (; *text; text++)
        r = editor_key(&e, (uint8_t)*text);
    return r;
}

static void line(const char *text, const char *want)
{
    assert_int_equal(keys(text), EDITOR_LINE);
    assert_string_equal(e.text, want);
    editor_clear(&e);
}

static void test_typing(void **state)
{
    (void)state;
    line("list\r", "list");
    assert_string_equal(shown, "list");
    line("\nlisx\x7ft\r", "list"); /* the LF of a CR LF is nothing */
    line("abc\x15xyz\r", "xyz");
    line("start web\x17vm\r", "start vm");
    line("bc\x01"
         "a\x05"
         "d\r",
         "abcd");
    line("abcd\x1b[D\x1b[D\x7f\r", "acd");
    line("abcd\x1b[D\x1b[D\x1b[3~\r", "abd");
    line("abcd\x1b[H\x0b"
         "x\r",
         "x");
    line("\x7f\x7f\r", "");
    line("a\x1b[99;5Rb\x02\x80\xff\r", "ab");
    assert_int_equal(keys("abc\x03"), EDITOR_CANCEL);
}

static void test_history(void **state)
{
    (void)state;
    line("one\r", "one");
    line("two\r", "two");
    line("two\r", "two");
    line("\x1b[A\r", "two");
    line("\x1b[A\x1b[A\r", "one");
    line("\x1b[A\x1b[A\x1b[A\x1b[B!\r", "two!");
    line("\x1b[B\r", "");
    for (int i = 0; i < 40; i++) {
        char text[16];
        snprintf(text, sizeof text, "l%d\r", i);
        keys(text);
        editor_clear(&e);
    }
    for (int i = 0; i < 100; i++)
        keys("\x1b[A");
    assert_string_equal(e.text, "l24");
}

/* What a terminal answers to a guest that has gone is not typed: strings, mouse reports, control sequences. */
static void test_answers_of_the_terminal(void **state)
{
    (void)state;
    line("a\x1b]10;rgb:ffff/ffff/ffff\x07"
         "b\r",
         "ab");
    line("a\x1b]10;rgb:ffff/ffff/ffff\x1b\\b\r", "ab");
    line("a\x1bP1$r0m\x1b\\\x1bPx\x18\x1b_Gi=1;OK\x1b\\\x1b^x\x1b\\\x1bXpoweroff\x1b\\b\r", "ab");
    line("a\x1b]x\x1b]y\x1b\\b\r", "ab");                        /* an ESC within is no end */
    assert_int_equal(keys("a\x1b]poweroff now\r"), EDITOR_MORE); /* an Enter ends a string, and is none */
    line("b\r", "ab");
    line("a\x1b[M !!b\x1b[<0;10;20Mc\x1b[?62;4c\x1b[5;10Rd\r", "abcd");
}

static const char two[2][32] = {"web", "webmail"};
static const char *word(const char *text, unsigned i)
{
    return command_word(text, i, two, 2);
}

static void test_tab(void **state)
{
    (void)state;
    e.complete = word;
    line("att\t\r", "attach ");
    line("li\t\r", "list ");
    line("attach w\t\r", "attach web"); /* as far as it is the same */
    assert_int_equal(keys("attach web\t"), EDITOR_CHOICES);
    line("m\t\r", "attach webmail ");
    line("help tim\t\x15help to\t\r", "help top ");
    line("zz\t\r", "zz");
    assert_non_null(strstr(shown, "\a"));
    line("list w\t\r", "list w"); /* it takes no guest */
    e.complete = NULL;
    line("li\t\r", "li");
}

static void test_search(void **state)
{
    (void)state;
    line("attach web\r", "attach web");
    line("list\r", "list");
    line("attach mail\r", "attach mail");
    line("\x12"
         "att\r",
         "attach mail");
    line("\x12"
         "att\x12\r",
         "attach web");
    line("\x12"
         "webx\x7f now\r",
         "attach web"); /* what no line has rings, and leaves the line that was found */
    line("\x12"
         "lis\x05t\r",
         "listt");
    assert_int_equal(keys("\x12"
                          "li\x03"),
                     EDITOR_CANCEL);
    editor_clear(&e);
    line("x\x0c"
         "y\r",
         "xy");
    assert_non_null(strstr(shown, "\x1b[H\x1b[2J"));
    line("abc\x01\x04\r", "bc");
    line("\x04\r", "");
}

/* The answer to a question is no command. */
static void test_an_answer_is_not_kept(void **state)
{
    (void)state;
    line("one\r", "one");
    e.plain = true;
    line("yes\r", "yes");
    e.plain = false;
    line("\x1b[A\r", "one");
}

static void test_too_long(void **state)
{
    (void)state;
    for (int i = 0; i < 500; i++)
        keys("x");
    assert_int_equal(e.length, EDITOR_BYTES - 1);
    assert_int_equal(strlen(e.text), EDITOR_BYTES - 1);
    assert_non_null(strchr(shown, '\a'));
}

static void test_noise(void **state)
{
    (void)state;
    srand(5);
    for (int i = 0; i < 100000; i++) {
        uint8_t key = (uint8_t)(rand() % 3 ? rand() : "\x1b[ABCDHF~3\r"[rand() % 11]);
        if (editor_key(&e, key) != EDITOR_MORE)
            editor_clear(&e);
        assert_true(e.cursor <= e.length && e.length < EDITOR_BYTES && strlen(e.text) == e.length);
    }
}

static const char guests[2][32] = {"web", "batch"};
static struct command c;
static char why[300];

static bool parse(const char *text)
{
    why[0] = 0;
    return command_parse(text, guests, 2, &c, why, sizeof why);
}

static void test_commands(void **state)
{
    (void)state;
    assert_true(parse("") && c.kind == SHELL_NOTHING);
    assert_true(parse("  \t ") && c.kind == SHELL_NOTHING);
    assert_true(parse("help") && c.kind == SHELL_HELP && c.value == COMMAND_ALL);
    assert_true(parse("help stop") && c.kind == SHELL_HELP);
    assert_non_null(strstr(command_help(c.value), "stop NAME"));
    assert_non_null(strstr(command_more(c.value), "stop web now"));
    assert_true(parse(" list ") && c.kind == SHELL_LIST);
    assert_true(parse("attach batch") && c.kind == SHELL_ATTACH && c.guest == 1);
    assert_true(parse("stop web") && c.kind == SHELL_STOP && c.guest == 0 && c.value == STOP_SECONDS);
    assert_true(parse("stop web now") && c.value == 0);
    assert_true(parse("stop web 3600") && c.value == 3600);
    assert_true(parse("poweroff") && c.kind == SHELL_POWEROFF && c.value == 0);
    assert_true(parse("poweroff now") && c.kind == SHELL_POWEROFF && c.value == 1);
    assert_true(parse("reboot now") && c.kind == SHELL_REBOOT && c.value == 1);
    assert_true(parse("poweroff cancel") && c.kind == SHELL_STAY);
    assert_true(parse("reboot cancel") && c.kind == SHELL_STAY);
    assert_true(parse("fault web") && c.kind == SHELL_FAULT && c.guest == 0 && c.value == 0);
    assert_true(parse("fault batch fuzz") && c.kind == SHELL_FAULT && c.guest == 1 && c.value == 1);
    assert_true(parse("fault batch reload") && c.kind == SHELL_FAULT && c.guest == 1 && c.value == 2);
    assert_true(parse("fault batch spin") && c.kind == SHELL_FAULT && c.guest == 1 && c.value == FAULT_SPIN);
    assert_true(parse("errors") && c.kind == SHELL_ERRORS);
    assert_false(parse("fault batch now") || parse("stop batch reload"));
    assert_true(parse("log") && c.kind == SHELL_LOG && c.guest == COMMAND_NO_GUEST && c.value == 20);
    assert_true(parse("log 7") && c.guest == COMMAND_NO_GUEST && c.value == 7);
    assert_true(parse("log web 5") && c.guest == 0 && c.value == 5);
    assert_true(parse("log mullion") && c.guest == COMMAND_NO_GUEST);
    assert_true(parse("nmi web") && c.kind == SHELL_NMI && c.guest == 0);
    assert_true(parse("break batch") && c.kind == SHELL_BREAK && c.guest == 1 && c.value == 0);
    assert_true(parse("break batch h") && c.kind == SHELL_BREAK && c.guest == 1 && c.value == 'h');
    assert_false(parse("break batch help") || parse("nmi") || parse("mute") || parse("crash"));
    assert_true(parse("mute web") && c.kind == SHELL_MUTE && parse("unmute web") && c.kind == SHELL_UNMUTE);
    assert_true(parse("crash web") && c.kind == SHELL_CRASH && c.guest == 0);
    assert_true(parse("accounts") && c.kind == SHELL_ACCOUNTS);
    assert_true(parse("ledger") && c.kind == SHELL_ACCOUNTS);
    assert_true(parse("audit") && c.kind == SHELL_AUDIT);
    assert_true(parse("audit break batch") && c.kind == SHELL_AUDIT_BREAK && c.guest == 1);
    assert_true(parse("exit 3") && c.kind == SHELL_EXIT && c.value == 3);
    assert_true(parse("exit") && c.value == 0);
    for (unsigned i = 0; command_help(i) != NULL; i++)
        assert_true(strlen(command_help(i)) < 90);
}

static void test_mistakes(void **state)
{
    (void)state;
    assert_false(parse("lsit"));
    assert_string_equal(why, "Unknown command 'lsit'; did you mean 'list'? 'help' lists what there is.");
    assert_false(parse("powerof") || parse("atach web"));
    assert_non_null(strstr(why, "did you mean 'attach'?"));
    assert_false(parse("help lits"));
    assert_non_null(strstr(why, "did you mean 'list'?"));
    assert_false(parse("xyzzy"));
    assert_string_equal(why, "Unknown command 'xyzzy'; 'help' lists what there is.");
    assert_false(parse("attach"));
    assert_non_null(strstr(why, "Usage: attach NAME"));
    assert_false(parse("attach bob"));
    assert_string_equal(why, "No guest is called 'bob'; there are: web, batch");
    assert_false(parse("attach web batch"));
    assert_false(parse("stop web later"));
    assert_false(parse("stop web 3601"));
    assert_false(parse("poweroff later"));
    assert_false(parse("poweroff now now"));
    assert_false(parse("poweroff cancel now"));
    assert_false(parse("list all"));
    assert_false(parse("exit 256"));
    assert_false(parse("exit 99999999999999"));
    assert_false(parse("exit -1"));
    assert_false(parse("log web x"));
    assert_false(parse("audit web"));
    assert_false(parse("audit break"));
    assert_false(parse("audit break bob"));
    assert_false(parse("audit break web now"));
    assert_false(parse("log web 5 6"));
    char text[300];
    memset(text, 'z', sizeof text);
    text[299] = 0;
    assert_false(parse(text));
    assert_false(command_parse("start x", guests, 0, &c, why, sizeof why));
    assert_string_equal(why, "No guest is called 'x'; there is none");
    char small[10];
    assert_false(command_parse("start absent", guests, 2, &c, small, sizeof small));
    assert_int_equal(strlen(small), 9);
}

/* Each key that edits, in all its forms. `|` in the wanted text is the cursor. */
static void test_keys(void **state)
{
    static const struct {
        const char *typed, *want;
    } row[] = {
        {"abc\x02", "abc|"}, /* Ctrl-B is no key */
        {"abc\x01", "|abc"},
        {"abc\x01\x05", "abc|"},
        {"abc\x1b[D", "ab|c"},
        {"abc\x1bOD", "ab|c"},
        {"abc\x1b[D\x1b[D\x1b[C", "ab|c"},
        {"abc\x1b[C", "abc|"},
        {"a\x1b[D\x1b[D", "|a"},
        {"abc\x1b[H", "|abc"},
        {"abc\x1b[1~", "|abc"},
        {"abc\x1b[7~", "|abc"},
        {"abc\x1b[2~", "abc|"},
        {"abc\x1b[5~", "abc|"},
        {"abc\x1b[6~", "abc|"},
        {"abc\x1b[1~\x1b[F", "abc|"},
        {"abc\x1b[1~\x1b[4~", "abc|"},
        {"abc\x1b[1~\x1b[8~", "abc|"},
        {"abc\x1b[1~\x1b[3~", "|bc"},
        {"abc\x1b[3~", "abc|"},
        {"abc\x01\x04", "|bc"}, /* Ctrl-D deletes */
        {"abc\x1b[D\x7f", "a|c"},
        {"abc\x1b[D\b", "a|c"},
        {"abc\x01\x7f", "|abc"},
        {"abc\x1b[D\x0b", "ab|"},
        {"abc\x1b[D\x15", "|c"},
        {"ab cd  \x17", "ab |"},
        {"ab cd\x1b[D\x17", "ab |d"},
        {"\x17", "|"},
        {"a\x0c", "a|"}, /* Ctrl-L */
        {"one\r\x10", "one|"},
        {"one\rtwo\r\x10\x10", "one|"},
        {"one\rtwo\r\x10\x10\x0e", "two|"}, /* Ctrl-P, Ctrl-N */
        {"one\rtwo\r\x10\x0e", "|"},
        {"one\r\x0f", "|"},   /* Ctrl-O is no key */
        {"a\x1b[\x01", "|a"}, /* a sequence that is broken off */
        {"a\x1f~\x80", "a~|"},
    };
    (void)state;
    for (unsigned i = 0; i < sizeof row / sizeof row[0]; i++) {
        char text[EDITOR_BYTES + 1];
        setup(NULL);
        for (const char *k = row[i].typed; *k; k++)
            if (editor_key(&e, (uint8_t)*k) == EDITOR_LINE)
                editor_clear(&e);
        assert_int_equal(strlen(e.text), e.length);
        snprintf(text, sizeof text, "%.*s|%s", (int)e.cursor, e.text, e.text + e.cursor);
        assert_string_equal(text, row[i].want);
    }
    setup(NULL);
    keys("ab\x7f"); /* at the end one character is rubbed out; within the line it is drawn anew */
    assert_string_equal(shown, "ab\b \b");
    setup(NULL);
    keys("abc\x1b[D\x7f");
    assert_null(strstr(shown, "\b \b"));
    setup(NULL);
    keys("ab\x0c");
    assert_non_null(strstr(shown, "\x1b[H\x1b[2J")); /* the screen is cleared, and the line is there again */
    assert_int_equal(keys("\x15\x04"), EDITOR_MORE);
}

/* A line is as long as it may be, and no longer: a bell. */
static void test_longest_line(void **state)
{
    (void)state;
    for (unsigned i = 0; i < EDITOR_BYTES - 1; i++)
        keys("x");
    assert_int_equal(strlen(e.text), EDITOR_BYTES - 1);
    assert_null(strchr(shown, '\a'));
    keys("y");
    assert_int_equal(strlen(e.text), EDITOR_BYTES - 1);
    assert_int_equal(shown[shown_size - 1], '\a');
    assert_int_equal(e.text[EDITOR_BYTES - 2], 'x');
    keys("\x7fz");
    assert_int_equal(e.text[EDITOR_BYTES - 2], 'z');
}

/* Each command by its name, with as much behind it as it needs; what is too much or too little is refused. */
static void test_every_command(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum command_kind kind;
        const char *least, *wrong;
    } row[] = {
        {"help", SHELL_HELP, "", "list x"},
        {"list", SHELL_LIST, "", "web"},
        {"attach", SHELL_ATTACH, "web", ""},
        {"start", SHELL_START, "web", ""},
        {"stop", SHELL_STOP, "web", ""},
        {"restart", SHELL_RESTART, "web", "web now"},
        {"log", SHELL_LOG, "", "web 5 6"},
        {"crash", SHELL_CRASH, "web", ""},
        {"mute", SHELL_MUTE, "web", "web web"},
        {"unmute", SHELL_UNMUTE, "web", ""},
        {"nmi", SHELL_NMI, "web", "none"},
        {"break", SHELL_BREAK, "web", "web h h"},
        {"memory", SHELL_MEMORY, "", "web"},
        {"stats", SHELL_STATS, "web", ""},
        {"top", SHELL_TOP, "", "0"},
        {"accounts", SHELL_ACCOUNTS, "", "now"},
        {"ledger", SHELL_ACCOUNTS, "", "now"},
        {"paths", SHELL_PATHS, "", "5"},
        {"errors", SHELL_ERRORS, "", "now"},
        {"devices", SHELL_DEVICES, "", "now"},
        {"audit", SHELL_AUDIT, "", "now"},
        {"fault", SHELL_FAULT, "web", "web slow"},
        {"reboot", SHELL_REBOOT, "", "later"},
        {"poweroff", SHELL_POWEROFF, "", "5"},
        {"exit", SHELL_EXIT, "", "256"},
    };
    unsigned i = 0;
    for (; i < sizeof row / sizeof row[0]; i++) {
        char text[80];
        snprintf(text, sizeof text, "%s %s", row[i].name, row[i].least);
        assert_true(parse(text));
        assert_int_equal(c.kind, row[i].kind);
        snprintf(text, sizeof text, "%s %s", row[i].name, row[i].wrong);
        assert_false(parse(text));
        size_t n = strlen(row[i].name);
        assert_memory_equal(command_help(i), row[i].name, n);
        assert_int_equal(command_help(i)[n], ' ');
        assert_true(command_help(i)[20] == ' ' && command_help(i)[21] != ' '); /* one column of explanations */
    }
    assert_null(command_help(i));
    assert_true(parse("top 1000") && c.value == 1000);
    assert_false(parse("top 1001"));
    assert_true(parse("exit 255") && c.value == 255);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_typing, setup),
        cmocka_unit_test_setup(test_history, setup),
        cmocka_unit_test_setup(test_keys, setup),
        cmocka_unit_test_setup(test_longest_line, setup),
        cmocka_unit_test_setup(test_answers_of_the_terminal, setup),
        cmocka_unit_test_setup(test_tab, setup),
        cmocka_unit_test_setup(test_search, setup),
        cmocka_unit_test_setup(test_an_answer_is_not_kept, setup),
        cmocka_unit_test_setup(test_too_long, setup),
        cmocka_unit_test_setup(test_noise, setup),
        cmocka_unit_test(test_commands),
        cmocka_unit_test(test_every_command),
        cmocka_unit_test(test_mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
