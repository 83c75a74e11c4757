// SPDX-License-Identifier: Apache-2.0
/*
 * Keys: a command line for the shell, or bytes for the guest that has the terminal. See console.h.
 */
#include "lib/print.h"
#include "lib/string.h"
#include "lib/syscall.h"
#include "services/console/command.h"
#include "services/console/console.h"
#include "services/console/uart.h"

#define ESCAPE_KEY GATE_KEY

static bool just_left; /* the key before was Ctrl-], which left a guest: the next one sends it */

static enum request_kind question; /* what a "yes" does; 0: none is asked */

/* `poweroff`, `reboot`: their guests go with them, so it asks. */
static void end_machine(enum request_kind what, bool now)
{
    char names[160];
    unsigned count = guests_on(names, sizeof names);
    if (now || count == 0) {
        ask(what, NO_GUEST, now ? 0 : STOP_SECONDS);
        return;
    }
    const char *verb = what == REQUEST_REBOOT ? "started anew" : "switched off";
    say("On: %s. Their power buttons are pressed; the machine is %s when all are off, in %u s at the latest.", names,
        verb, STOP_SECONDS);
    question = what;
    console.editor.plain = true;
    set_prompt("Go on? [y/N] ");
}

static void answered(const char *line)
{
    bool yes = strcmp(line, "y") == 0 || strcmp(line, "yes") == 0 || strcmp(line, "Y") == 0;
    enum request_kind what = question;
    question = 0;
    console.editor.plain = false;
    set_prompt(NULL);
    if (yes)
        ask(what, NO_GUEST, STOP_SECONDS);
    else
        say("Nothing is done. '%s now' does it at once.", what == REQUEST_REBOOT ? "reboot" : "poweroff");
}

static void help(unsigned which)
{
    if (which != COMMAND_ALL) {
        say("  %s", command_help(which));
        if (command_more(which) != NULL)
            say("  %s", command_more(which));
        return;
    }
    for (unsigned i = 0; command_help(i) != NULL; i++)
        say("  %s", command_help(i));
    say("Keys: Tab completes, Ctrl-R searches earlier lines, up and down recall them, Ctrl-U empties the line, Ctrl-C "
        "drops it, Ctrl-L clears the screen; Ctrl-] leaves a guest, twice sends it one.");
}

const char *shell_word(const char *line, unsigned i)
{
    return command_word(line, i, console.name, console.guest_count);
}

/* What fits the last word, on a line of its own. */
static void show_choices(void)
{
    char line[390];
    const char *text = console.editor.text, *w;
    size_t used = 0, typed = 0;
    while (typed < console.editor.length && text[console.editor.length - typed - 1] != ' ')
        typed++;
    line[0] = 0;
    for (unsigned i = 0; (w = shell_word(text, i)) != NULL && used < sizeof line; i++)
        if (strncmp(w, text + console.editor.length - typed, typed) == 0)
            used += (size_t)format(line + used, sizeof line - used, "%s%s", used != 0 ? "  " : "", w);
    say("%s", line);
}

static void run(const char *line)
{
    struct command c;
    char why[300];
    if (!command_parse(line, console.name, console.guest_count, &c, why, sizeof why)) {
        say("%s", why);
        return;
    }
    switch (c.kind) {
    case SHELL_NOTHING: break;
    case SHELL_HELP: help(c.value); break;
    case SHELL_ATTACH: attach(c.guest); break;
    case SHELL_LOG: {
        unsigned source = c.guest == COMMAND_NO_GUEST ? HOST_SOURCE : GUEST_SOURCE(c.guest);
        const struct scrollback *kept = c.guest == COMMAND_NO_GUEST ? &console.kept_host : &console.guest[c.guest].kept;
        scrollback_show(kept, c.value, terminal_show, NULL);
        if (console.lines.source[source].length != 0)
            say("%.*s", (int)min_u64(console.lines.source[source].length, 390), console.lines.source[source].text);
        break;
    }
    case SHELL_LIST: ask(REQUEST_LIST, NO_GUEST, 0); break;
    case SHELL_START: ask(REQUEST_START, c.guest, 0); break;
    case SHELL_STOP: ask(REQUEST_STOP, c.guest, c.value); break;
    case SHELL_RESTART: ask(REQUEST_RESTART, c.guest, 0); break;
    case SHELL_CRASH: ask(REQUEST_CRASH, c.guest, 0); break;
    case SHELL_MUTE: guest_mute(c.guest, true); break;
    case SHELL_UNMUTE: guest_mute(c.guest, false); break;
    case SHELL_NMI: ask(REQUEST_NMI, c.guest, 0); break;
    case SHELL_BREAK: ask(REQUEST_BREAK, c.guest, c.value); break;
    case SHELL_FAULT: ask(REQUEST_FAULT, c.guest, c.value); break;
    case SHELL_STATS: ask(REQUEST_STATS, c.guest, 0); break;
    case SHELL_MEMORY: ask(REQUEST_MEMORY, NO_GUEST, 0); break;
    case SHELL_TOP: top_begin(c.value); break;
    case SHELL_ACCOUNTS: ask(REQUEST_ACCOUNTS, NO_GUEST, 0); break;
    case SHELL_PATHS: ask(REQUEST_PATHS, NO_GUEST, 0); break;
    case SHELL_ERRORS: ask(REQUEST_ERRORS, NO_GUEST, 0); break;
    case SHELL_DEVICES: ask(REQUEST_DEVICES, NO_GUEST, 0); break;
    case SHELL_AUDIT: ask(REQUEST_AUDIT, NO_GUEST, 0); break;
    case SHELL_AUDIT_BREAK: ask(REQUEST_AUDIT_BREAK, c.guest, 0); break;
    case SHELL_POWEROFF: end_machine(REQUEST_POWEROFF, c.value != 0); break;
    case SHELL_REBOOT: end_machine(REQUEST_REBOOT, c.value != 0); break;
    case SHELL_STAY: ask(REQUEST_STAY, NO_GUEST, 0); break;
    case SHELL_EXIT: ask(REQUEST_EXIT, NO_GUEST, c.value); break;
    }
}

void gate_close(void)
{
    gate_shut(&console.gate, tsc_now());
    just_left = false;
    question = 0;
    console.editor.plain = false;
    editor_clear(&console.editor);
    set_prompt(NULL);
}

static void gate_opened(void)
{
    set_prompt(NULL);
    show_prompt();
}

void keys_work(uint64_t now)
{
    if (gate_work(&console.gate, now))
        gate_opened();
}

static void shell_key(uint8_t key)
{
    if (console.gate.shut) {
        if (gate_key(&console.gate, key, tsc_now()))
            gate_opened();
        return;
    }
    if (key == ESCAPE_KEY) {
        if (just_left && console.last_attached != NO_GUEST) { /* Ctrl-] twice: the guest gets it */
            attach_again();
            input_key(ESCAPE_KEY);
            send_input();
        }
        just_left = false;
        return;
    }
    just_left = false;
    show_prompt(); /* it may be hidden by output: what is typed must be seen */
    enum editor_result r = editor_key(&console.editor, key);
    if (r == EDITOR_CHOICES) {
        show_choices();
        show_prompt();
    }
    if (r == EDITOR_MORE || r == EDITOR_CHOICES)
        return;
    console.prompt_shown = false; /* the line stays as it stands */
    uart_write(r == EDITOR_CANCEL ? "^C\r\n" : "\r\n", r == EDITOR_CANCEL ? 4 : 2);
    char line[EDITOR_BYTES];
    string_copy(line, console.editor.text, sizeof line);
    editor_clear(&console.editor);
    if (question != 0)
        answered(r == EDITOR_LINE ? line : "");
    else if (r == EDITOR_LINE)
        run(line);
    show_prompt();
}

static void guest_key(uint8_t key)
{
    if (key == ESCAPE_KEY) {
        just_left = true;
        detach(NULL);
    } else {
        input_key(key);
    }
}

/* Keys wait for root's answer, while much waits for the wire, and while the guest that they are for is behind. */
static bool may_read(void)
{
    bool behind = console.attached != NO_GUEST && !input_has_room();
    return !console.waiting && uart_backlog() < 2 * BACKLOG_MAX && !behind;
}

uint64_t keys_due(uint64_t now)
{
    if (!uart_has_input())
        return gate_due(&console.gate);
    if (may_read())
        return now;
    return min_u64(input_due() > now ? input_due() : NEVER, gate_due(&console.gate));
}

void read_keys(void)
{
    uint8_t key;
    send_input();
    while (may_read() && uart_read(&key)) {
        if (console.top)
            top_end();
        else if (console.attached == NO_GUEST)
            shell_key(key);
        else
            guest_key(key);
        if (!input_has_room())
            send_input();
    }
    send_input();
}
