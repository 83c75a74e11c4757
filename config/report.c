// SPDX-License-Identifier: Apache-2.0
/* How mistakes are told. See parser.h. */
#include "config/parser.h"
#include "lib/print.h"
#include "lib/string.h"

static void report_list(struct config_parser *p, unsigned line, const char *text, va_list arguments)
{
    char message[CONFIG_MESSAGE_MAX];
    p->c->mistakes++;
    if (p->c->mistakes > CONFIG_REPORTS_MAX)
        return;
    format_list(message, sizeof message, text, arguments);
    p->report(p->context, line, message);
}

void config_mistake(struct config_parser *p, unsigned line, const char *text, ...)
{
    va_list arguments;
    va_start(arguments, text);
    report_list(p, line, text, arguments);
    va_end(arguments);
}

void config_bad(struct config_parser *p, const char *text, ...)
{
    va_list arguments;
    va_start(arguments, text);
    report_list(p, p->line, text, arguments);
    va_end(arguments);
    if (p->section == IN_GUEST)
        p->draft[p->guest].bad = true;
}

void config_bad_guest(struct config_parser *p, unsigned i, unsigned line, const char *text, ...)
{
    va_list arguments;
    va_start(arguments, text);
    report_list(p, line, text, arguments);
    va_end(arguments);
    p->draft[i].bad = true;
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

void config_list_add(struct config_list *list, const char *text, ...)
{
    char item[96];
    va_list arguments;
    va_start(arguments, text);
    size_t size = (size_t)format_list(item, sizeof item, text, arguments);
    va_end(arguments);
    if (list->full)
        return;
    list->full = size >= sizeof item || list->used + 2 + size + sizeof ", ..." > sizeof list->text; /* 2: ", " */
    if (list->full)
        string_copy(item, "...", sizeof item);
    list->used += (size_t)format(list->text + list->used, sizeof list->text - list->used, "%s%s",
                                 list->used != 0 ? ", " : "", item);
}

const char *config_keep_text(struct config_parser *p, const char *key, struct span value)
{
    struct config *c = p->c;
    if (value.size >= sizeof c->text - c->text_used) {
        config_bad(p, "%s: the texts of all guests together have more than %uK; that much is allowed", key,
                   (unsigned)(sizeof c->text >> 10));
        return NULL;
    }
    char *kept = c->text + c->text_used;
    memcpy(kept, value.at, value.size);
    kept[value.size] = 0;
    c->text_used += (unsigned)value.size + 1;
    return kept;
}

const char *config_size_text(char *out, size_t size, uint64_t bytes)
{
    return format_size(out, size, bytes);
}
