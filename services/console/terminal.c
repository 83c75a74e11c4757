// SPDX-License-Identifier: Apache-2.0
/*
 * The terminal, and the screen beside it: lines of all sources, and the prompt below them. See console.h.
 */
#include "lib/print.h"
#include "lib/string.h"
#include "lib/syscall.h"
#include "services/console/console.h"
#include "services/console/screen.h"
#include "services/console/uart.h"

#define PROMPT         "mullion> "
#define GATE_PROMPT    "[keys are dropped: Ctrl-], or Enter after a second, for Mullion's shell] "
#define PROMPT_MS      120 /* the prompt is drawn again when nothing has come for */
#define PROMPT_MOST_MS 600 /* and at the latest after */

static uint64_t hidden_since, last_output;
static bool screen_changed;

void terminal_show(void *context, const char *text, size_t size)
{
    (void)context;
    uart_write(text, size);
}

void hide_prompt(void)
{
    if (console.prompt_shown) {
        editor_hide(&console.editor);
        console.prompt_shown = false;
        hidden_since = tsc_now();
    }
}

void show_prompt(void)
{
    if (console.attached == NO_GUEST && !console.waiting && !console.prompt_shown && !console.top) {
        lines_close(&console.lines);
        editor_draw(&console.editor);
        console.prompt_shown = true;
    }
}

uint64_t line_time(void)
{
    return console.no_time ? SCROLLBACK_NO_TIME : (tsc_now() - BOOT->entry_tsc) / BOOT->tsc_khz;
}

/* Lines of guests and the log: the prompt makes room for them. */
static void put_line(void *context, const char *text, size_t size)
{
    (void)context;
    hide_prompt();
    last_output = tsc_now();
    uart_write(text, size);
}

static void draw_line(unsigned source, const char *text, size_t size)
{
    if (source != HOST_SOURCE) {
        screen_write('[');
        for (const char *name = console.lines.source[source].name; *name; name++)
            screen_write(*name);
        screen_write(']');
        screen_write(' ');
    }
    for (size_t i = 0; i < size; i++)
        screen_write(text[i]);
    screen_write('\n');
    screen_changed = true;
}

static void keep_line(void *context, unsigned source, const char *text, size_t size)
{
    (void)context;
    bool guest = source != HOST_SOURCE && source == GUEST_SOURCE((source - 1) / 2);
    if (source != HOST_SOURCE)
        guest_keep(source, text, size);
    else
        scrollback_keep(&console.kept_host, text, size, line_time());
    if (console.attached != NO_GUEST && source == HOST_SOURCE)
        console.missed++;
    if ((!guest || BOOT->mirror) && !console.lines.source[source].muted)
        draw_line(source, text, size);
}

void set_prompt(const char *prompt)
{
    hide_prompt();
    if (console.gate.shut)
        prompt = GATE_PROMPT;
    console.editor.prompt = prompt != NULL ? prompt : PROMPT;
}

void say(const char *text, ...)
{
    char line[400];
    va_list arguments;
    va_start(arguments, text);
    format_list(line, sizeof line, text, arguments);
    va_end(arguments);
    hide_prompt();
    lines_close(&console.lines);
    uart_write(line, strlen(line));
    uart_write("\r\n", 2);
}

void terminal_init(void)
{
    lines_init(&console.lines, put_line, keep_line, NULL);
    editor_init(&console.editor, PROMPT, terminal_show, NULL);
    console.editor.complete = shell_word;
    console.gate.khz = BOOT->tsc_khz;
    last_output = hidden_since = tsc_now();
}

void terminal_work(uint64_t now)
{
    if (now > ms(IDLE_MS))
        lines_idle(&console.lines, now - ms(IDLE_MS));
    if (!console.prompt_shown && (now >= last_output + ms(PROMPT_MS) || now >= hidden_since + ms(PROMPT_MOST_MS)))
        show_prompt();
    uart_service(tsc_now());
    if (screen_changed)
        screen_flush();
    screen_changed = false;
}

uint64_t terminal_due(uint64_t now)
{
    uint64_t due = NEVER, idle = lines_waiting(&console.lines);
    if (idle != NEVER)
        due = idle + ms(IDLE_MS);
    if (console.prompt_shown || console.attached != NO_GUEST || console.waiting || console.top)
        return due;
    uint64_t prompt = min_u64(last_output + ms(PROMPT_MS), hidden_since + ms(PROMPT_MOST_MS));
    return min_u64(due, max_u64(now + ms(1), prompt));
}
