// SPDX-License-Identifier: Apache-2.0
/*
 * What is known of each guest, and the lines that are kept of it. See console.h.
 */
#include "lib/print.h"
#include "lib/string.h"
#include "services/console/console.h"

#define KEPT_MAX   16384u     /* bytes of a guest's last lines... */
#define KEPT_BYTES (1u << 20) /* ...and of all guests' together */

static char kept[KEPT_BYTES];
static uint32_t kept_each = KEPT_MAX; /* guest n's are at n * kept_each */

/* Room for one more number. When there are more than fit, each gets half as much; its older lines go. */
static void kept_make(unsigned n)
{
    static char text[KEPT_MAX / 2];
    while ((n + 1) * kept_each > KEPT_BYTES) {
        kept_each /= 2;
        for (unsigned i = 0; i < console.guest_count; i++)
            scrollback_move(&console.guest[i].kept, kept + i * kept_each, kept_each, text);
    }
    scrollback_init(&console.guest[n].kept, kept + n * kept_each, kept_each);
}

static bool is_on(enum guest_life life)
{
    return life == LIFE_STARTING || life == LIFE_RUNNING || life == LIFE_STOPPING;
}

/* Another guest has this number now, or none. */
static void name_guest(unsigned n, const char *name)
{
    char monitor[RECORD_NAME_BYTES + 12] = "";
    string_copy(console.name[n], name, sizeof console.name[n]);
    if (name[0] != 0)
        format(monitor, sizeof monitor, "%s's monitor", name);
    lines_close(&console.lines);
    lines_name(&console.lines, GUEST_SOURCE(n), name);
    lines_name(&console.lines, MONITOR_SOURCE(n), monitor);
    kept_make(n);
    memset(console.guest[n].reason, 0, sizeof console.guest[n].reason);
    console.guest[n].wrote = false;
    console.guest_count = (unsigned)max_u64(console.guest_count, n + 1);
}

void guests_begin(void)
{
    unsigned count = BOOT->guest_count <= CONSOLE_GUESTS_MAX ? BOOT->guest_count : CONSOLE_GUESTS_MAX;
    for (unsigned n = 0; n < count; n++) {
        name_guest(n, BOOT->guest[n]);
        console.guest[n].served = BOOT->guest[n][0] != 0;
    }
}

void guest_told(const struct guest_record *r)
{
    unsigned n = r->number;
    if (strcmp(console.name[n], r->name) != 0) {
        if (console.attached == n)
            detach("That guest is taken away.");
        if (console.last_attached == n)
            console.last_attached = NO_GUEST;
        name_guest(n, r->name);
        show_prompt();
    }
    struct known_guest *g = &console.guest[n];
    if (is_on(r->life) && !is_on(g->life))
        g->wrote = false;
    g->life = r->life;
    string_copy(g->reason, r->reason, sizeof g->reason);
    console.guest[n].served = r->served != 0;
    if (r->served != 0)
        guests_rang(CONSOLE_EVENT_GUEST(n));
}

void guest_keep(unsigned source, const char *text, size_t size)
{
    unsigned n = (source - 1) / 2;
    char line[LINE_BYTES + sizeof console.lines.source[0].name + 4];
    if (source == GUEST_SOURCE(n)) {
        scrollback_keep(&console.guest[n].kept, text, size, line_time());
        return;
    }
    size_t used = (size_t)format(line, sizeof line, "[%s] ", console.lines.source[source].name);
    memcpy(line + used, text, size);
    scrollback_keep(&console.guest[n].kept, line, used + size, line_time());
}

bool guest_is_on(unsigned n)
{
    return is_on(console.guest[n].life) || console.guest[n].life == LIFE_RESTARTING;
}

void guest_mute(unsigned n, bool mute)
{
    lines_close(&console.lines);
    console.lines.source[GUEST_SOURCE(n)].muted = console.lines.source[MONITOR_SOURCE(n)].muted = mute;
    if (mute)
        say("Lines of guest %s are kept for 'log %s', and not shown; 'unmute %s' shows them again.", console.name[n],
            console.name[n], console.name[n]);
    else
        say("Lines of guest %s are shown.", console.name[n]);
}

void guests_say_muted(void)
{
    for (unsigned n = 0; n < console.guest_count; n++)
        if (console.lines.source[GUEST_SOURCE(n)].muted)
            say("%s is muted: 'unmute %s' shows its lines", console.name[n], console.name[n]);
}

unsigned guests_on(char *names, size_t size)
{
    unsigned count = 0;
    size_t used = 0;
    names[0] = 0;
    for (unsigned n = 0; n < console.guest_count; n++) {
        if (!is_on(console.guest[n].life))
            continue;
        if (used < size)
            used += (size_t)format(names + used, size - used, "%s%s", count != 0 ? ", " : "", console.name[n]);
        count++;
    }
    return count;
}
