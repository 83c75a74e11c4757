// SPDX-License-Identifier: Apache-2.0
/*
 * Lines, sections and keys of mullion.conf. See config.h. What a key's value may be: config_values.c. Whether it all
 * fits: config_check.c.
 *
 * A line that cannot be read (too long, NUL, not UTF-8) counts against the guest in whose section it stands. If it may
 * have been a section's head, everything up to the next head is refused: better to leave a guest out than to give it
 * another's lines.
 */
#include "config/config.h"
#include "config/private.h"
#include "lib/print.h"
#include "lib/string.h"

static const char *const guest_key_name[GUEST_KEYS] = {
    [KEY_CPUS] = "cpus",
    [KEY_SHARE] = "share",
    [KEY_BORROW] = "borrow",
    [KEY_MEMORY] = "memory",
    [KEY_KERNEL] = "kernel",
    [KEY_INITRD] = "initrd",
    [KEY_MODULES] = "modules",
    [KEY_CMDLINE] = "cmdline",
    [KEY_ON_CRASH] = "on-crash",
    [KEY_ON_REBOOT] = "on-reboot",
    [KEY_AUTOSTART] = "autostart",
    [KEY_DEBUG_EXIT] = "debug-exit",
    [KEY_BENCH_DEVICE] = "bench-device",
    [KEY_SHARED] = "shared",
};
static const char *const host_key_name[HOST_KEYS] = {[KEY_CONSOLE] = "console", [KEY_LOG] = "log"};
#define GUEST_KEYS_TEXT \
    "cpus, share, borrow, memory, kernel, initrd, modules, cmdline, on-crash, on-reboot, autostart, debug-exit, bench-device, shared"
#define HOST_KEYS_TEXT "console, log"

static void report(struct config_parser *p, unsigned line, const char *text, va_list arguments)
{
    p->c->mistakes++;
    if (p->c->mistakes > CONFIG_REPORTS_MAX)
        return;
    char message[512];
    format_list(message, sizeof message, text, arguments);
    p->report(p->context, line, message);
}

void config_mistake(struct config_parser *p, unsigned line, const char *text, ...)
{
    va_list arguments;
    va_start(arguments, text);
    report(p, line, text, arguments);
    va_end(arguments);
}

void config_bad(struct config_parser *p, const char *text, ...)
{
    va_list arguments;
    va_start(arguments, text);
    report(p, p->line, text, arguments);
    va_end(arguments);
    if (p->section == IN_GUEST)
        p->draft[p->guest].bad = true;
}

struct quoted config_quote(struct span s)
{
    struct quoted q;
    size_t n = 0;
    for (size_t i = 0; i < s.size && n < sizeof q.text - 4; i++)
        q.text[n++] = s.at[i] >= 0x20 && s.at[i] < 0x7f ? s.at[i] : '?';
    if (n < s.size) {
        memcpy(q.text + n, "...", 3);
        n += 3;
    }
    q.text[n] = 0;
    return q;
}

bool span_is(struct span s, const char *word)
{
    return s.size == strlen(word) && memcmp(s.at, word, s.size) == 0;
}

static bool span_has(struct span s, char c)
{
    for (size_t i = 0; i < s.size; i++)
        if (s.at[i] == c)
            return true;
    return false;
}

static bool blank(char c)
{
    return c == ' ' || c == '\t';
}

struct span span_trim(struct span s)
{
    while (s.size > 0 && blank(s.at[0]))
        s.at++, s.size--;
    while (s.size > 0 && blank(s.at[s.size - 1]))
        s.size--;
    return s;
}

/* The length of the UTF-8 character at `at`; 0 if it is not one (RFC 3629: no overlong forms, no surrogates, at most
 * U+10FFFF). */
static size_t utf8_length(const unsigned char *at, size_t size)
{
    unsigned char c = at[0];
    if (c < 0x80)
        return 1;
    size_t length = c >= 0xc2 && c <= 0xdf ? 2 : (c & 0xf0) == 0xe0 ? 3 : c >= 0xf0 && c <= 0xf4 ? 4 : 0;
    if (length == 0 || length > size)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    if ((c == 0xe0 && at[1] < 0xa0) || (c == 0xed && at[1] > 0x9f) || (c == 0xf0 && at[1] < 0x90) ||
        (c == 0xf4 && at[1] > 0x8f))
        return 0;
    return length;
}

/* What is wrong with the line's bytes, reported; false if anything is. */
static bool readable(struct config_parser *p, struct span line)
{
    if (line.size > CONFIG_LINE_MAX) {
        config_bad(p, "the line has %llu bytes; at most %u are allowed", (unsigned long long)line.size,
                   CONFIG_LINE_MAX);
        return false;
    }
    for (size_t i = 0; i < line.size;) {
        unsigned char c = (unsigned char)line.at[i];
        size_t length = utf8_length((const unsigned char *)line.at + i, line.size - i);
        if (length == 0) {
            config_bad(p, "byte %u of the line (0x%02x) is not UTF-8; plain ASCII or UTF-8 is allowed", (unsigned)i + 1,
                       c);
            return false;
        }
        if (c == 0) {
            config_bad(p, "byte %u of the line is NUL; only text is allowed", (unsigned)i + 1);
            return false;
        }
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            config_bad(p, "byte %u of the line is the control character 0x%02x; only text and tabs are allowed",
                       (unsigned)i + 1, c);
            return false;
        }
        i += length;
    }
    return true;
}

/* Cuts the comment off: ';' or '#' at the start or after a blank, outside double quotes. */
static struct span without_comment(struct span s)
{
    bool quoted = false;
    for (size_t i = 0; i < s.size; i++) {
        if (s.at[i] == '"')
            quoted = !quoted;
        if (!quoted && (s.at[i] == ';' || s.at[i] == '#') && (i == 0 || blank(s.at[i - 1])))
            return (struct span){s.at, i};
    }
    return s;
}

bool span_is_name(struct span name)
{
    if (name.size == 0 || name.size >= CONFIG_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.size; i++) {
        char c = name.at[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && (i == 0 || (c != '-' && c != '_' && c != '.')))
            return false;
    }
    return true;
}

static void guest_section(struct config_parser *p, struct span name)
{
    static const char *const reserved[] = {"kernel", "root", "console", "host", "mullion"};
    struct config *c = p->c;
    if (!span_is_name(name)) {
        config_bad(
            p,
            "'%s' is not a guest's name; 1 to %d letters, digits, '-', '_' or '.', starting with a letter or digit, are allowed",
            config_quote(name).text, CONFIG_NAME_MAX - 1);
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(reserved); i++)
        if (span_is(name, reserved[i])) {
            config_bad(p, "the name '%s' is the host's own; choose another for the guest", reserved[i]);
            return;
        }
    for (unsigned i = 0; i < c->guest_count; i++)
        if (span_is(name, c->guest[i].name)) {
            config_bad(
                p,
                "guest '%s' is there already, in line %u; each guest needs its own name. This second one is left out",
                c->guest[i].name, c->guest[i].line);
            c->left_out++;
            return;
        }
    if (c->guest_count == CONFIG_GUESTS_MAX) {
        config_bad(p, "guest '%s' is one too many; at most %d are allowed", config_quote(name).text, CONFIG_GUESTS_MAX);
        c->left_out++;
        return;
    }
    struct config_guest *g = &c->guest[c->guest_count];
    memset(g, 0, sizeof *g);
    memcpy(g->name, name.at, name.size);
    g->line = p->line;
    g->on_crash = POLICY_STOP;
    g->on_reboot = POLICY_RESTART;
    g->autostart = true;
    p->draft[c->guest_count] = (struct config_draft){0};
    p->section = IN_GUEST;
    p->guest = c->guest_count++;
}

static void section_head(struct config_parser *p, struct span s)
{
    p->section = IN_REFUSED;
    if (s.at[s.size - 1] != ']') {
        config_bad(p, "'%s' lacks the closing ']'; [host] or [guest NAME] is allowed", config_quote(s).text);
        return;
    }
    struct span inner = span_trim((struct span){s.at + 1, s.size - 2});
    if (span_is(inner, "host")) {
        p->section = IN_HOST;
        return;
    }
    if (inner.size >= 5 && memcmp(inner.at, "guest", 5) == 0 && (inner.size == 5 || blank(inner.at[5]))) {
        guest_section(p, span_trim((struct span){inner.at + 5, inner.size - 5}));
        return;
    }
    config_bad(p, "unknown section '%s', its lines are skipped; [host] or [guest NAME] is allowed",
               config_quote(s).text);
}

static unsigned find_key(struct span name, const char *const *names, unsigned count)
{
    unsigned i = 0;
    while (i < count && !span_is(name, names[i]))
        i++;
    return i;
}

static void key_line(struct config_parser *p, struct span name, struct span value)
{
    bool host = p->section == IN_HOST;
    unsigned count = host ? HOST_KEYS : GUEST_KEYS;
    unsigned key = find_key(name, host ? host_key_name : guest_key_name, count);
    if (key == count) {
        config_bad(p, "unknown key '%s'; in %s these are allowed: %s", config_quote(name).text,
                   host ? "[host]" : "[guest ...]", host ? HOST_KEYS_TEXT : GUEST_KEYS_TEXT);
        return;
    }
    unsigned *seen = host ? &p->host_line[key] : &p->draft[p->guest].key_line[key];
    if (*seen != 0) {
        config_bad(p, "the key '%s' is there already, in line %u; once is allowed", config_quote(name).text, *seen);
        return;
    }
    *seen = p->line;
    if (value.size >= 1 && value.at[0] == '"') {
        if (value.size < 2 || value.at[value.size - 1] != '"' ||
            span_has((struct span){value.at + 1, value.size - 2}, '"')) {
            config_bad(p, "the value's quotes do not match; \"text\" with no quote inside is allowed");
            return;
        }
        value.at++;
        value.size -= 2;
    }
    if (value.size == 0 && (host || key != KEY_CMDLINE)) {
        config_bad(p, "the key '%s' has no value", config_quote(name).text);
        return;
    }
    if (host)
        config_host_value(p, (enum config_key)key, value);
    else
        config_guest_value(p, (enum config_key)key, value);
}

static void one_line(struct config_parser *p, struct span line)
{
    struct span start = span_trim((struct span){line.at, line.size > CONFIG_LINE_MAX ? CONFIG_LINE_MAX : line.size});
    bool head = start.size > 0 && start.at[0] == '[';
    bool comment = start.size > 0 && (start.at[0] == ';' || start.at[0] == '#');
    if (comment) { /* nothing in a comment can hurt, but say what cannot be read */
        enum config_section section = p->section;
        p->section = IN_NOTHING;
        (void)!readable(p, line);
        p->section = section;
        return;
    }
    if (head) /* whatever is wrong with it, the guest above has ended */
        p->section = IN_REFUSED;
    if (!readable(p, line))
        return;
    struct span s = span_trim(without_comment(span_trim(line)));
    if (s.size == 0)
        return;
    if (head) {
        section_head(p, s);
        return;
    }
    if (p->section == IN_REFUSED)
        return;
    size_t equals = 0;
    while (equals < s.size && s.at[equals] != '=')
        equals++;
    if (equals == s.size) {
        config_bad(p, "'%s' is not understood; [section], key = value, or a comment after ; or # is allowed",
                   config_quote(s).text);
        return;
    }
    if (p->section == IN_NOTHING) {
        config_bad(p, "'%s' stands before any section; start with [host] or [guest NAME]", config_quote(s).text);
        return;
    }
    key_line(p, span_trim((struct span){s.at, equals}),
             span_trim((struct span){s.at + equals + 1, s.size - equals - 1}));
}

void config_parse(struct config *c, const char *text, size_t size, const struct config_machine *machine,
                  config_report *report_to, void *context)
{
    /* Static: it is large, and root has one thread and a small stack. */
    static struct config_parser parser;
    struct config_parser *p = &parser;
    memset(p, 0, sizeof *p);
    p->c = c;
    p->machine = machine;
    p->report = report_to;
    p->context = context;
    c->console_serial = true;
    c->console_screen = false;
    c->log_level = 2;
    c->guest_count = c->region_count = c->mistakes = c->left_out = 0;

    if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) /* a byte order mark, as some editors leave it */
        text += 3, size -= 3;
    for (size_t at = 0; at < size;) {
        size_t end = at;
        while (end < size && text[end] != '\n')
            end++;
        p->line++;
        struct span line = {text + at, end - at};
        if (line.size > 0 && line.at[line.size - 1] == '\r')
            line.size--;
        one_line(p, line);
        at = end + 1;
    }
    config_finish(p);
    if (c->mistakes > CONFIG_REPORTS_MAX) {
        char message[64];
        format(message, sizeof message, "%u more mistakes", c->mistakes - CONFIG_REPORTS_MAX);
        report_to(context, p->line, message);
    }
}
