// SPDX-License-Identifier: Apache-2.0
/*
 * Keys: a command line for the shell, or bytes for the guest that has the terminal. See console.h.
 */
#include "lib/string.h"
#include "services/console/command.h"
#include "services/console/console.h"
#include "services/console/uart.h"

#define ESCAPE_KEY 0x1d /* Ctrl-] */

static bool just_left; /* the key before was Ctrl-], which left a guest: the next one sends it */

static void run(const char *line)
{
    struct command c;
    char why[300];
    if (!command_parse(line, BOOT->guest, console.guest_count, &c, why, sizeof why)) {
        say("%s", why);
        return;
    }
    switch (c.kind) {
    case SHELL_NOTHING: break;
    case SHELL_HELP:
        for (unsigned i = 0; command_help(i) != NULL; i++)
            say("  %s", command_help(i));
        say("Keys: Ctrl-U empties the line, Ctrl-C drops it, up and down recall earlier ones; "
            "Ctrl-] leaves a guest, twice sends it one.");
        break;
    case SHELL_ATTACH: attach(c.guest); break;
    case SHELL_LOG: {
        unsigned source = c.guest == COMMAND_NO_GUEST ? console.host : c.guest;
        scrollback_show(&console.kept[source], c.value, terminal_show, NULL);
        if (console.lines.source[source].length != 0)
            say("%.*s", (int)min_u64(console.lines.source[source].length, 390), console.lines.source[source].text);
        break;
    }
    case SHELL_LIST: ask(REQUEST_LIST, NO_GUEST, 0); break;
    case SHELL_START: ask(REQUEST_START, c.guest, 0); break;
    case SHELL_STOP: ask(REQUEST_STOP, c.guest, c.value); break;
    case SHELL_RESTART: ask(REQUEST_RESTART, c.guest, 0); break;
    case SHELL_FAULT: ask(REQUEST_FAULT, c.guest, c.value); break;
    case SHELL_STATS: ask(REQUEST_STATS, c.guest, 0); break;
    case SHELL_MEMORY: ask(REQUEST_MEMORY, NO_GUEST, 0); break;
    case SHELL_TOP: top_begin(c.value); break;
    case SHELL_ACCOUNTS: ask(REQUEST_ACCOUNTS, NO_GUEST, 0); break;
    case SHELL_PATHS: ask(REQUEST_PATHS, NO_GUEST, 0); break;
    case SHELL_DEVICES: ask(REQUEST_DEVICES, NO_GUEST, 0); break;
    case SHELL_AUDIT: ask(REQUEST_AUDIT, NO_GUEST, 0); break;
    case SHELL_AUDIT_BREAK: ask(REQUEST_AUDIT_BREAK, c.guest, 0); break;
    case SHELL_POWEROFF: ask(REQUEST_POWEROFF, NO_GUEST, 0); break;
    case SHELL_REBOOT: ask(REQUEST_REBOOT, NO_GUEST, 0); break;
    case SHELL_EXIT: ask(REQUEST_EXIT, NO_GUEST, c.value); break;
    }
}

static void shell_key(uint8_t key)
{
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
    if (r == EDITOR_MORE)
        return;
    console.prompt_shown = false; /* the line stays as it stands */
    uart_write(r == EDITOR_CANCEL ? "^C\r\n" : "\r\n", r == EDITOR_CANCEL ? 4 : 2);
    char line[EDITOR_BYTES];
    string_copy(line, console.editor.text, sizeof line);
    editor_clear(&console.editor);
    if (r == EDITOR_LINE)
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

/* Keys wait for root's answer, and while much waits for the wire. */
static bool may_read(void)
{
    return !console.waiting && uart_backlog() < 2 * BACKLOG_MAX;
}

uint64_t keys_due(uint64_t now)
{
    return may_read() && uart_has_input() ? now : NEVER;
}

void read_keys(void)
{
    uint8_t key;
    while (may_read() && uart_read(&key)) {
        if (console.top)
            top_end();
        else if (console.attached == NO_GUEST)
            shell_key(key);
        else
            guest_key(key);
    }
    send_input();
}
