// SPDX-License-Identifier: Apache-2.0
/*
 * The console: owns the serial port and the screen, shows every guest's lines with its name in front, and runs the
 * shell, which asks root for what it may not do itself. One thread. Guests can garble their own lines and nothing else:
 * see lines.h.
 *
 * The terminal is in one of two modes. Shell: lines of all sources, and below them the prompt, drawn again when nothing
 * has come for a moment. Attached: one guest's bytes as they are, both ways; the others' lines are kept for `log`
 * meanwhile.
 */
#include <stdatomic.h>
#include "drivers/screen.h"
#include "lib/log.h"
#include "lib/print.h"
#include "lib/proto/channel.h"
#include "lib/proto/console_boot.h"
#include "lib/proto/records.h"
#include "lib/proto/vmm_boot.h"
#include "lib/string.h"
#include "lib/syscall.h"
#include "mullion/boot.h"
#include "services/console/command.h"
#include "services/console/editor.h"
#include "services/console/lines.h"
#include "services/console/scrollback.h"
#include "services/console/show.h"
#include "services/console/top.h"
#include "services/console/uart.h"

#define BOOT           ((const struct console_boot *)CONSOLE_BOOT_VA)
#define CONTROL        ((struct channel *)CONSOLE_CONTROL_VA)
#define KLOG           ((const struct klog_ring *)CONSOLE_LOG_RING_VA)
#define PROMPT         "mullion> "
#define ESCAPE_KEY     0x1d /* Ctrl-] */
#define NO_GUEST       (~0u)
#define FEED_BYTES     64u   /* read from a source at a time... */
#define BACKLOG_MAX    2048u /* ...while no more than this waits for the wire: so typing is answered at once */
#define IDLE_MS        200   /* an unfinished line is shown after */
#define PROMPT_MS      120   /* the prompt is drawn again when nothing has come for */
#define PROMPT_MOST_MS 600   /* and at the latest after */
#define POLL_MS        50    /* the kernel's log has no bell */
#define POLL_BARE_MS   4     /* a serial port without an interrupt */
#define TOP_MS         1000  /* between two tables of `top` */
#define ANSWER_MS      5000  /* root is given to answer a command */
_Static_assert(CONSOLE_GUESTS_MAX + 1 <= SOURCES_MAX, "all guests and the host");

void thread_main(uint64_t argument);

static struct lines lines;
static struct editor editor;
static struct scrollback kept[SOURCES_MAX];
static struct record_reader reader;
static struct show answer;         /* root's answer */
static uint32_t request;           /* number of the last one */
static unsigned guest_count, host; /* host: the kernel log's source number */
static bool have_irq, have_port;
static uint64_t klog_tail;
static unsigned attached = NO_GUEST, last_attached = NO_GUEST;
static bool just_left;             /* the key before was Ctrl-], which left a guest: the next one sends it */
static bool prompt_shown, waiting; /* waiting: for root's answer */
static uint64_t waiting_until, hidden_since, last_output;
static bool draining;
static bool topping;            /* `top` has the terminal; no other lines are shown */
static unsigned top_left;       /* tables; 0: until a key comes */
static uint64_t top_next;       /* TSC of the next one */
static unsigned missed;         /* lines of the host's log that came while a guest was attached */
static char pending_input[256]; /* typed for the attached guest, and its channel is full */
static unsigned pending_count;
static bool screen_changed;

static uint64_t ms(uint64_t n)
{
    return n * BOOT->tsc_khz;
}

static struct channel *guest_channel(unsigned n)
{
    return (struct channel *)(CONSOLE_CHANNELS_VA + n * CONSOLE_CHANNEL_STRIDE);
}

/* Everything that goes to the terminal passes here. */
static void show(void *context, const char *text, size_t size)
{
    (void)context;
    uart_write(text, size);
}

static void hide_prompt(void)
{
    if (prompt_shown) {
        editor_hide(&editor);
        prompt_shown = false;
        hidden_since = tsc_now();
    }
}

static void show_prompt(void)
{
    if (attached == NO_GUEST && !waiting && !prompt_shown && !topping) {
        lines_close(&lines);
        editor_draw(&editor);
        prompt_shown = true;
    }
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
    if (source != host) {
        screen_write('[');
        for (const char *name = lines.source[source].name; *name; name++)
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
    scrollback_keep(&kept[source], text, size);
    if (attached != NO_GUEST && source == host)
        missed++;
    if (source == host || BOOT->mirror)
        draw_line(source, text, size);
}

static void say(const char *text, ...) print_like(1, 2);
static void say(const char *text, ...)
{
    char line[400];
    va_list arguments;
    va_start(arguments, text);
    format_list(line, sizeof line, text, arguments);
    va_end(arguments);
    hide_prompt();
    lines_close(&lines);
    uart_write(line, strlen(line));
    uart_write("\r\n", 2);
}

static void say_line(void *context, const char *text)
{
    (void)context;
    say("%s", text);
}

/* ---- the kernel's log ---- */

/* Text from klog_tail on; true: all up to `head`. */
static bool feed_log(uint64_t head, uint64_t now, bool all)
{
    while (klog_tail != head && (all || uart_backlog() < BACKLOG_MAX)) {
        size_t at = klog_tail % KLOG_TEXT_BYTES,
               n = min_u64(min_u64(head - klog_tail, FEED_BYTES), KLOG_TEXT_BYTES - at);
        lines_feed(&lines, host, KLOG->text + at, n, now);
        klog_tail += n;
    }
    return klog_tail == head;
}

static void read_log(uint64_t now)
{
    uint64_t head = __atomic_load_n(&KLOG->head, __ATOMIC_ACQUIRE);
    if (head - klog_tail > KLOG_TEXT_BYTES) {
        static const char lost[] = "\n(some lines of the log came too fast and are lost)\n";
        lines_feed(&lines, host, lost, sizeof lost - 1, now);
        klog_tail = head - KLOG_TEXT_BYTES / 2;
    }
    if (!feed_log(head, now, false))
        lines_more(&lines, host, now);
}

/* ---- guests ---- */

static void send_input(void)
{
    if (attached == NO_GUEST || pending_count == 0)
        return;
    size_t sent = channel_write(&guest_channel(attached)->to_guest, pending_input, pending_count);
    memmove(pending_input, pending_input + sent, pending_count - sent);
    pending_count -= (unsigned)sent;
    if (sent != 0)
        (void)sys_event_signal(CONSOLE_SLOT_GUEST_EVENT + attached, VMM_EVENT_INPUT);
}

static void read_guests(uint64_t now)
{
    static unsigned turn;
    bool more = true;
    /* Some from each in turn, until all are empty or the wire is busy; then the first was served best, so it is another
     * each time. */
    unsigned first = turn++;
    for (unsigned round = 0; more && round < CHANNEL_RING_BYTES / FEED_BYTES; round++) {
        more = false;
        for (unsigned i = 0; i < guest_count; i++) {
            unsigned n = (first + i) % guest_count;
            uint8_t bytes[FEED_BYTES];
            struct channel_ring *r = &guest_channel(n)->from_guest;
            size_t before = channel_used(r);
            if (uart_backlog() >= BACKLOG_MAX && (attached == NO_GUEST || attached == n)) {
                if (before != 0)
                    lines_more(&lines, n, now);
                continue;
            }
            size_t count = channel_read(r, bytes, sizeof bytes);
            if (count == 0)
                continue;
            if (before >= CHANNEL_RING_BYTES / 2) /* it may wait for room */
                (void)sys_event_signal(CONSOLE_SLOT_GUEST_EVENT + n, VMM_EVENT_INPUT);
            if (attached == n) {
                uart_write((const char *)bytes, count);
                lines_feed(&lines, n, bytes, count, now);
                lines.source[n].shown = lines.source[n].length;
            } else {
                lines_feed(&lines, n, bytes, count, now);
            }
            more = more || channel_used(r) != 0;
        }
        uart_service(now);
    }
}

static void attach(unsigned n)
{
    struct line_source *s = &lines.source[n];
    say("Attached to %s; Ctrl-] comes back to the shell.", BOOT->guest[n]);
    /* The line it stands in, as far as it is known: its prompt, most often. */
    uart_write(s->text, s->length);
    s->shown = s->length;
    attached = last_attached = n;
    pending_count = missed = 0;
    lines.silent = true;
}

static void detach(const char *why)
{
    uart_write("\r\n", 2);
    attached = NO_GUEST;
    lines.silent = false;
    lines.open = -1;
    if (why != NULL)
        say("%s", why);
    if (missed != 0)
        say("(%u line%s in Mullion's own log meanwhile: 'log' shows them)", missed, missed == 1 ? "" : "s");
    show_prompt();
}

/* ---- the shell ---- */

/* `guest`: the one that the request is about, or COMMAND_NO_GUEST. False: root takes nothing at this moment. */
static bool send(enum request_kind what, unsigned guest, uint64_t argument)
{
    union record r;
    record_begin(&r, RECORD_REQUEST);
    r.head.request = ++request;
    r.request.what = what;
    r.request.argument = argument;
    if (guest < guest_count)
        string_copy(r.request.name, BOOT->guest[guest], sizeof r.request.name);
    if (!record_send(&CONTROL->from_guest, &r))
        return false;
    (void)sys_event_signal(CONSOLE_SLOT_ROOT_EVENT, BOOT->root_bits);
    return true;
}

static void ask(enum request_kind what, unsigned guest, uint64_t argument)
{
    if (!send(what, guest, argument)) {
        say("Root does not answer.");
        return;
    }
    show_begin(&answer, what);
    waiting = true;
    waiting_until = tsc_now() + ms(ANSWER_MS);
}

/* ---- top */

static void top_ask(void)
{
    top_again();
    top_next = tsc_now() + ms(TOP_MS);
    ask(REQUEST_ACCOUNTS, COMMAND_NO_GUEST, 0);
}

static void top_begin(unsigned times)
{
    topping = true;
    lines.silent = true;
    top_left = times;
    missed = 0;
    top_reset();
    top_ask();
}

static void top_end(void)
{
    topping = false;
    lines.silent = false;
    lines.open = -1;
    show_prompt();
}

/* A reading is whole: the first one only begins to count. */
static void top_answered(void)
{
    if (top_left == 0 && top_ready())
        uart_write("\x1b[H\x1b[J", 6); /* for eyes: always in the same place */
    if (top_table(&answer) && top_left != 0 && --top_left == 0)
        top_end();
}

static void top_work(uint64_t now)
{
    if (topping && !waiting && now >= top_next)
        top_ask();
}

static void run(const char *line)
{
    struct command c;
    char why[300];
    if (!command_parse(line, BOOT->guest, guest_count, &c, why, sizeof why)) {
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
        unsigned source = c.guest == COMMAND_NO_GUEST ? host : c.guest;
        scrollback_show(&kept[source], c.value, show, NULL);
        if (lines.source[source].length != 0)
            say("%.*s", (int)min_u64(lines.source[source].length, 390), lines.source[source].text);
        break;
    }
    case SHELL_LIST: ask(REQUEST_LIST, COMMAND_NO_GUEST, 0); break;
    case SHELL_START: ask(REQUEST_START, c.guest, 0); break;
    case SHELL_STOP: ask(REQUEST_STOP, c.guest, c.value); break;
    case SHELL_RESTART: ask(REQUEST_RESTART, c.guest, 0); break;
    case SHELL_FAULT: ask(REQUEST_FAULT, c.guest, c.value); break;
    case SHELL_STATS: ask(REQUEST_STATS, c.guest, 0); break;
    case SHELL_MEMORY: ask(REQUEST_MEMORY, COMMAND_NO_GUEST, 0); break;
    case SHELL_TOP: top_begin(c.value); break;
    case SHELL_ACCOUNTS: ask(REQUEST_ACCOUNTS, COMMAND_NO_GUEST, 0); break;
    case SHELL_PATHS: ask(REQUEST_PATHS, COMMAND_NO_GUEST, 0); break;
    case SHELL_AUDIT: ask(REQUEST_AUDIT, COMMAND_NO_GUEST, 0); break;
    case SHELL_AUDIT_BREAK: ask(REQUEST_AUDIT_BREAK, c.guest, 0); break;
    case SHELL_POWEROFF: ask(REQUEST_POWEROFF, COMMAND_NO_GUEST, 0); break;
    case SHELL_REBOOT: ask(REQUEST_REBOOT, COMMAND_NO_GUEST, 0); break;
    case SHELL_EXIT: ask(REQUEST_EXIT, COMMAND_NO_GUEST, c.value); break;
    }
}

static void shell_key(uint8_t key)
{
    if (key == ESCAPE_KEY) {
        if (just_left && last_attached != NO_GUEST) { /* Ctrl-] twice: the guest gets it */
            unsigned n = last_attached;
            hide_prompt();
            attached = n;
            lines.silent = true;
            lines_close(&lines);
            uart_write(lines.source[n].text, lines.source[n].length);
            lines.source[n].shown = lines.source[n].length;
            pending_input[0] = ESCAPE_KEY;
            pending_count = 1;
            send_input();
        }
        just_left = false;
        return;
    }
    just_left = false;
    show_prompt(); /* it may be hidden by output: what is typed must be seen */
    enum editor_result r = editor_key(&editor, key);
    if (r == EDITOR_MORE)
        return;
    prompt_shown = false; /* the line stays as it stands */
    uart_write(r == EDITOR_CANCEL ? "^C\r\n" : "\r\n", r == EDITOR_CANCEL ? 4 : 2);
    char line[EDITOR_BYTES];
    string_copy(line, editor.text, sizeof line);
    editor_clear(&editor);
    if (r == EDITOR_LINE)
        run(line);
    show_prompt();
}

static void guest_key(uint8_t key)
{
    if (key == ESCAPE_KEY) {
        just_left = true;
        detach(NULL);
    } else if (pending_count < sizeof pending_input) {
        pending_input[pending_count++] = (char)key;
    } else {
        uart_write("\a", 1);
    }
}

static void read_keys(void)
{
    uint8_t key;
    while (!waiting && uart_backlog() < 2 * BACKLOG_MAX && uart_read(&key)) {
        if (topping)
            top_end();
        else if (attached == NO_GUEST)
            shell_key(key);
        else
            guest_key(key);
    }
    send_input();
}

/* ---- root ---- */

/* What root says without having been asked. */
static void root_news(const union record *r)
{
    if (r->head.kind == RECORD_DRAIN)
        draining = true;
    if (r->head.kind != RECORD_GUEST || attached == NO_GUEST || strcmp(r->guest.name, BOOT->guest[attached]) != 0)
        return; /* root's log says the same in words */
    enum guest_life life = r->guest.life;
    if (life == LIFE_OFF || life == LIFE_CRASHED || life == LIFE_FAILED) {
        char why[300];
        read_guests(tsc_now()); /* its last words */
        format(why, sizeof why, "Guest %s is off: %s.", r->guest.name, r->guest.reason);
        detach(why);
    }
}

static void root_record(const union record *r)
{
    uint64_t now = tsc_now();
    if (r->head.request == 0)
        root_news(r);
    if (!waiting || r->head.request != request) /* of an answer that was given up */
        return;
    waiting_until = now + ms(ANSWER_MS);
    if (r->head.kind == RECORD_END) {
        waiting = false;
        show_end(&answer, &r->end);
        if (topping && r->end.status == ANSWER_DONE)
            top_answered();
        top_next = now + ms(TOP_MS);
        show_prompt();
    } else if (topping) {
        top_take(r);
    } else {
        show_record(&answer, r);
    }
}

static void root_work(uint64_t now)
{
    enum record_result result = RECORD_READY;
    bool full = channel_used(&CONTROL->to_guest) >= CHANNEL_RING_BYTES / 2;
    unsigned read = 0;
    for (; result != RECORD_NONE && read < 32 && uart_backlog() < 4 * BACKLOG_MAX; read++) {
        result = record_receive(&reader, &CONTROL->to_guest);
        if (result == RECORD_READY)
            root_record(&reader.record);
        else if (result == RECORD_BAD)
            say("Root has said something that makes no sense.");
    }
    if (full) /* a long answer goes on where there is room again */
        (void)sys_event_signal(CONSOLE_SLOT_ROOT_EVENT, BOOT->root_bits);
    if (waiting && now > waiting_until) {
        waiting = false;
        say("Root has not answered in %d s.", ANSWER_MS / 1000);
    }
}

/* Root waits with power-off until all that was said is on the wire. */
static void drain(void)
{
    if (draining && klog_tail == __atomic_load_n(&KLOG->head, __ATOMIC_ACQUIRE) && uart_idle()) {
        draining = !send(REQUEST_DRAINED, COMMAND_NO_GUEST, 0);
    }
}

/* ---- */

static void start(void)
{
    const struct console_boot *b = BOOT;
    guest_count = b->guest_count <= CONSOLE_GUESTS_MAX ? b->guest_count : CONSOLE_GUESTS_MAX;
    lines_init(&lines, put_line, keep_line, NULL);
    editor_init(&editor, PROMPT, show, NULL);
    for (unsigned n = 0; n < guest_count; n++)
        lines_add(&lines, b->guest[n]);
    host = lines_add(&lines, "mullion");

    if (b->serial_port != 0 && sys_ports_open(CONSOLE_SLOT_SELF, CONSOLE_SLOT_PORTS) == OK)
        have_port = uart_init(b->serial_port, b->tsc_khz);
    if (b->screen.width != 0 && screen_plan(&b->screen) != 0)
        screen_show(&b->screen, (void *)(CONSOLE_SCREEN_VA + b->screen.address % CONSOLE_SCREEN_ALIGN));
    /* The log from power-on is kept for `log`, and drawn; what is on the wire already does not go there again. */
    uint64_t head = __atomic_load_n(&KLOG->head, __ATOMIC_ACQUIRE),
             shown = min_u64(b->restarted ? b->log_start : KLOG->shown, head);
    klog_tail = shown > KLOG_TEXT_BYTES / 2 ? shown - KLOG_TEXT_BYTES / 2 : 0;
    lines.silent = true;
    feed_log(shown, 0, true);
    lines.silent = false;
    answer = (struct show){.line = say_line, .tsc_khz = b->tsc_khz, .name_width = 5};
    for (unsigned n = 0; n < guest_count; n++)
        answer.name_width = (unsigned)max_u64(answer.name_width, strnlen(b->guest[n], sizeof b->guest[n]));
    have_irq = have_port && sys_irq_bind(CONSOLE_SLOT_IRQ, CONSOLE_SLOT_EVENT, CONSOLE_EVENT_IRQ) == OK;
    last_output = hidden_since = tsc_now();
    say("%s", "");
    say("Mullion's shell. %u guest%s; 'help' lists the commands, 'attach NAME' talks to a guest, Ctrl-] comes back.",
        guest_count, guest_count == 1 ? "" : "s");
}

static uint64_t next_deadline(uint64_t now)
{
    uint64_t next = now + ms(have_port && !have_irq ? POLL_BARE_MS : POLL_MS);
    uint64_t idle = lines_waiting(&lines);
    if (idle != NEVER)
        next = min_u64(next, idle + ms(IDLE_MS));
    if (!prompt_shown && attached == NO_GUEST && !waiting && !topping)
        next = min_u64(next,
                       max_u64(now + ms(1), min_u64(last_output + ms(PROMPT_MS), hidden_since + ms(PROMPT_MOST_MS))));
    if (topping && !waiting)
        next = min_u64(next, top_next);
    if (draining || uart_backlog() != 0)
        next = min_u64(next, now + ms(10));
    return next;
}

void thread_main(uint64_t argument)
{
    (void)argument;
    if (BOOT->magic != CONSOLE_BOOT_MAGIC) {
        log_printf(CONSOLE_SLOT_LOG, "console: root's page is of another version\n");
        return;
    }
    start();
    for (bool log_first = true;;) {
        uint64_t now = tsc_now();
        uart_service(now);
        root_work(now);
        top_work(now);
        read_keys();
        /* The second reader may find the wire busy, so they take turns: neither keeps the other from it. */
        if (log_first)
            read_log(now);
        read_guests(now);
        if (!log_first)
            read_log(now);
        log_first = !log_first;
        if (now > ms(IDLE_MS))
            lines_idle(&lines, now - ms(IDLE_MS));
        if (!prompt_shown && (now >= last_output + ms(PROMPT_MS) || now >= hidden_since + ms(PROMPT_MOST_MS)))
            show_prompt();
        uart_service(tsc_now());
        if (screen_changed)
            screen_flush();
        screen_changed = false;
        drain();
        if (have_irq)
            (void)sys_irq_ack(CONSOLE_SLOT_IRQ);
        (void)sys_event_wait(CONSOLE_SLOT_EVENT, ~0ull, next_deadline(now));
    }
}
