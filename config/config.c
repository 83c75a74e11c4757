// SPDX-License-Identifier: Apache-2.0
/*
 * Lines, sections and keys of mullion.conf. See config.h.
 *
 * A line that cannot be read (too long, NUL, not UTF-8) is a mistake of the guest in whose section it stands. If it may
 * be a section's head, everything up to the next head is refused: it is better to leave a guest out than to give its
 * lines to the guest before it.
 */
#include "config/config.h"
#include "config/parser.h"
#include "lib/print.h"
#include "lib/string.h"

/* Is the line short enough, and all of it text? What is not is reported. */
static bool readable(struct config_parser *p, struct span line)
{
    if (line.size > CONFIG_LINE_MAX) {
        config_bad(p, "the line has %llu bytes; at most %u are allowed", (unsigned long long)line.size,
                   CONFIG_LINE_MAX);
        return false;
    }
    for (size_t i = 0; i < line.size;) {
        unsigned char c = (unsigned char)line.at[i];
        size_t length = span_utf8_length((struct span){line.at + i, line.size - i});
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
        if (!quoted && (s.at[i] == ';' || s.at[i] == '#') && (i == 0 || is_blank(s.at[i - 1])))
            return (struct span){s.at, i};
    }
    return s;
}

/* Each key of the section gets the value that holds without it. */
static void set_defaults(struct config_parser *p, enum config_section section)
{
    const struct config_key *key;
    for (unsigned k = 0; (key = config_key_at(k)) != NULL; k++)
        if (key->section == section && key->initial != NULL)
            config_value(p, key, span_of(key->initial));
}

/* May a guest have that name? If not, that is reported. */
static bool check_name(struct config_parser *p, struct span name)
{
    static const char *const reserved[] = {"kernel", "root", "console", "host", "mullion"};
    struct config *c = p->c;
    if (!span_is_name(name, CONFIG_NAME_MAX)) {
        config_bad(p, "'%s' is not a guest's name; " CONFIG_NAME_ALLOWED, config_quote(name).text, CONFIG_NAME_MAX - 1);
        return false;
    }
    for (size_t i = 0; i < ARRAY_SIZE(reserved); i++)
        if (span_is(name, reserved[i])) {
            config_bad(p, "the name '%s' is the host's own; choose another for the guest", reserved[i]);
            return false;
        }
    for (unsigned i = 0; i < c->guest_count; i++)
        if (span_is(name, c->guest[i].name)) {
            config_bad(p,
                       "guest '%s' is there already, in line %u; each guest needs its own name. This second one is "
                       "left out",
                       c->guest[i].name, c->guest[i].line);
            c->left_out++;
            return false;
        }
    if (c->guest_count == CONFIG_GUESTS_MAX) {
        config_bad(p, "guest '%s' is one too many; at most %d are allowed", config_quote(name).text, CONFIG_GUESTS_MAX);
        c->left_out++;
        return false;
    }
    return true;
}

static void guest_section(struct config_parser *p, struct span name)
{
    if (!check_name(p, name))
        return;
    p->section = IN_GUEST;
    p->guest = p->c->guest_count++;
    struct config_guest *g = &p->c->guest[p->guest];
    memset(g, 0, sizeof *g);
    memcpy(g->name, name.at, name.size);
    g->line = p->line;
    set_defaults(p, IN_GUEST);
}

static void section_head(struct config_parser *p, struct span s)
{
    p->section = IN_REFUSED;
    if (s.at[s.size - 1] != ']') {
        config_bad(p, "'%s' lacks the closing ']'; [host] or [guest NAME] is allowed", config_quote(s).text);
        return;
    }
    struct span inner = span_trim((struct span){s.at + 1, s.size - 2});
    struct span rest = inner;
    if (span_is(inner, "host")) {
        p->section = IN_HOST;
        return;
    }
    if (span_is(take_until_blank(&rest), "guest")) {
        guest_section(p, rest);
        return;
    }
    config_bad(p, "unknown section '%s', its lines are skipped; [host] or [guest NAME] is allowed",
               config_quote(s).text);
}

static void unknown_key(struct config_parser *p, struct span name)
{
    char names[320];
    const struct config_key *key;
    for (unsigned k = 0; (key = config_key_at(k)) != NULL; k++)
        if (key->section == p->section && key->was != NULL && span_is(name, key->was)) {
            config_bad(p, "the key '%s' is called '%s' now; '%s = %s' is allowed", key->was, key->name, key->name,
                       key->form);
            return;
        }
    config_key_names(p->section, names, sizeof names);
    config_bad(p, "unknown key '%s'; in %s these are allowed: %s", config_quote(name).text,
               p->section == IN_HOST ? "[host]" : "[guest ...]", names);
}

/* Takes the double quotes off, if there are any. False: they do not match. */
static bool unquote(struct span *value)
{
    if (value->size == 0 || value->at[0] != '"')
        return true;
    struct span inner = {value->at + 1, value->size - 1};
    if (inner.size == 0 || inner.at[inner.size - 1] != '"')
        return false;
    inner.size--;
    *value = inner;
    return !span_has(inner, '"');
}

static void key_line(struct config_parser *p, struct span name, struct span value)
{
    const struct config_key *key = config_key_find(p->section, name);
    if (key == NULL) {
        unknown_key(p, name);
        return;
    }
    unsigned *lines = p->section == IN_HOST ? p->host_line : p->draft[p->guest].key_line;
    unsigned *seen = &lines[config_key_index(key)];
    if (*seen != 0) {
        config_bad(p, "the key '%s' is there already, in line %u; once is allowed", key->name, *seen);
        return;
    }
    *seen = p->line;
    if (!unquote(&value))
        config_bad(p, "the value's quotes do not match; \"text\" with no quote inside is allowed");
    else if (value.size == 0 && !key->may_be_empty)
        config_bad(p, "the key '%s' has no value", key->name);
    else
        config_value(p, key, value);
}

static void one_line(struct config_parser *p, struct span line)
{
    struct span start = span_trim((struct span){line.at, min_u64(line.size, CONFIG_LINE_MAX)});
    bool head = span_starts(start, "[");
    if (span_starts(start, ";") || span_starts(start, "#")) { /* a comment is no guest's mistake, whatever is in it */
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

/* Static: it is large, and root has one thread and a small stack. */
static struct config_parser parser;

static struct config_parser *begin(struct config *c)
{
    struct config_parser *p = &parser;
    memset(p, 0, sizeof *p);
    p->c = c;
    c->guest_count = c->region_count = c->text_used = c->mistakes = c->left_out = 0;
    set_defaults(p, IN_HOST);
    return p;
}

void config_defaults(struct config *c)
{
    (void)begin(c);
}

void config_parse(struct config *c, const char *text, size_t size, const struct config_machine *machine,
                  config_report *report, void *context)
{
    struct config_parser *p = begin(c);
    p->machine = machine;
    p->report = report;
    p->context = context;
    if (span_starts((struct span){text, size}, "\xef\xbb\xbf")) { /* a byte order mark, as some editors write it */
        text += 3;
        size -= 3;
    }
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
        report(context, p->line, message);
    }
}
