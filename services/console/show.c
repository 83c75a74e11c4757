// SPDX-License-Identifier: Apache-2.0
/*
 * See show.h.
 */
#include "services/console/show.h"
#include "lib/print.h"
#include "lib/string.h"

void show_line(struct show *s, const char *text, ...)
{
    char line[400];
    va_list arguments;
    va_start(arguments, text);
    format_list(line, sizeof line, text, arguments);
    va_end(arguments);
    s->line(s->context, line);
}

void show_begin(struct show *s, enum request_kind what)
{
    s->what = what;
    s->head = false;
    s->region_used = 0;
}

void show_record(struct show *s, const union record *r)
{
    if (r->head.kind != RECORD_ACCESS)
        show_region_end(s);
    switch (r->head.kind) {
    case RECORD_GUEST: show_guest(s, &r->guest); break;
    case RECORD_STATS: show_stats(s, &r->stats); break;
    case RECORD_MACHINE:
        if (s->what == REQUEST_MEMORY)
            show_free(s, &r->machine);
        else
            show_left_out(s, &r->machine);
        break;
    case RECORD_RANGE: show_range(s, &r->range); break;
    case RECORD_ACCESS: show_access(s, &r->access); break;
    case RECORD_CPU: show_cpu(s, &r->cpu); break;
    case RECORD_ACCOUNT: show_account(s, &r->account); break;
    case RECORD_PATH: show_path(s, &r->path); break;
    case RECORD_DEVICE: show_device(s, &r->device); break;
    case RECORD_OWNED: show_owned(s, &r->owned); break;
    case RECORD_VIOLATION: show_violation(s, &r->violation); break;
    case RECORD_AUDIT: show_audit(s, &r->audit); break;
    case RECORD_NOTE: show_line(s, "%s%s%s", r->note.text, r->note.advice[0] ? " " : "", r->note.advice); break;
    default: break;
    }
}

void show_end(struct show *s, const struct end_record *r)
{
    static const char *const text[ANSWER_STATUS_COUNT] = {
        [ANSWER_NO_GUEST] = "There is no such guest.",
        [ANSWER_MALFORMED] = "Root could not read the request.",
        [ANSWER_UNKNOWN] = "Root does not know this request.",
        [ANSWER_BUSY] = "Root is still busy with the request before this one; try again.",
    };
    show_region_end(s);
    if (s->what == REQUEST_DEVICES && r->status == ANSWER_DONE)
        show_no_device(s);
    if (r->status < ANSWER_STATUS_COUNT && text[r->status] != NULL)
        show_line(s, "%s", text[r->status]);
}
