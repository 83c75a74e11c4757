// SPDX-License-Identifier: Apache-2.0
/*
 * What is shown comes from here: the kernel's log, and the guests' channels, one of which may have the terminal. See
 * console.h.
 */
#include "lib/proto/vmm_boot.h"
#include "lib/string.h"
#include "lib/syscall.h"
#include "mullion/boot.h"
#include "services/console/console.h"
#include "services/console/uart.h"

#define FEED_BYTES 64u  /* read from a source at a time */
#define LOG_MS     25   /* a line of the log waits for others, so that a program at work is held up by few of them */
#define DEAF_MS    2000 /* a guest that has taken no key for so long does not keep the operator's keys waiting */
#define ALL_GUESTS (~0ull >> (64 - CONSOLE_EVENT_GROUPS))

static uint64_t klog_tail;
static uint64_t log_since;         /* TSC since which a line of the log waits; 0: none does */
static uint64_t rung = ALL_GUESTS; /* CONSOLE_EVENT_GUEST bits of the guests whose channels may hold something */
static char pending_input[256];    /* typed for the attached guest, and its channel is full */
static unsigned pending_count;
static uint64_t full_since; /* TSC since which there is no room; 0: there is */

static struct guest_channel *guest_channel(unsigned n)
{
    return (struct guest_channel *)(CONSOLE_CHANNELS_VA + n * CONSOLE_CHANNEL_STRIDE);
}

/* ---- the kernel's log ---- */

static uint64_t log_head(void)
{
    return __atomic_load_n(&KLOG->head, __ATOMIC_ACQUIRE);
}

bool log_is_read(void)
{
    return klog_tail == log_head();
}

/* Text from klog_tail on; true: all up to `head`. */
static bool feed_log(uint64_t head, uint64_t now, bool all)
{
    while (klog_tail != head && (all || uart_backlog() < BACKLOG_MAX)) {
        size_t at = klog_tail % KLOG_TEXT_BYTES,
               n = min_u64(min_u64(head - klog_tail, FEED_BYTES), KLOG_TEXT_BYTES - at);
        lines_feed(&console.lines, HOST_SOURCE, KLOG->text + at, n, now);
        klog_tail += n;
    }
    return klog_tail == head;
}

/* It is time to show what is new in the log. */
static bool log_is_due(uint64_t now)
{
    if (log_is_read())
        log_since = 0;
    else if (log_since == 0)
        log_since = now;
    bool many = log_head() - klog_tail >= KLOG_TEXT_BYTES / 2;
    return log_since != 0 && (many || console.draining || now >= log_since + ms(LOG_MS));
}

void read_log(uint64_t now)
{
    if (!log_is_due(now))
        return;
    uint64_t head = log_head();
    if (head - klog_tail > KLOG_TEXT_BYTES) {
        static const char lost[] = "\n(some lines of the log came too fast and are lost)\n";
        lines_feed(&console.lines, HOST_SOURCE, lost, sizeof lost - 1, now);
        klog_tail = head - KLOG_TEXT_BYTES / 2;
    }
    if (!feed_log(head, now, false))
        lines_more(&console.lines, HOST_SOURCE, now);
}

void log_begin(uint64_t shown)
{
    klog_tail = shown > KLOG_TEXT_BYTES / 2 ? shown - KLOG_TEXT_BYTES / 2 : 0;
    console.lines.silent = console.no_time = true;
    feed_log(shown, 0, true);
    console.no_time = false;
    console.lines.silent = BOOT->quiet != 0;
}

/* What was left because the wire was busy rings no bell again. */
uint64_t sources_due(uint64_t now)
{
    if (uart_backlog() >= BACKLOG_MAX)
        return NEVER; /* it is looked at again when the wire is free */
    if (rung != 0)
        return now;
    if (log_is_read())
        return NEVER;
    return log_since == 0 ? now : max_u64(now, log_since + ms(LOG_MS));
}

/* ---- guests ---- */

void input_key(uint8_t key)
{
    if (pending_count < sizeof pending_input)
        pending_input[pending_count++] = (char)key;
    else
        uart_write("\a", 1);
}

bool input_has_room(void)
{
    if (pending_count < sizeof pending_input)
        full_since = 0;
    else if (full_since == 0)
        full_since = tsc_now();
    return full_since == 0 || tsc_now() >= full_since + ms(DEAF_MS);
}

uint64_t input_due(void)
{
    return full_since != 0 ? full_since + ms(DEAF_MS) : NEVER;
}

void send_input(void)
{
    if (console.attached == NO_GUEST || pending_count == 0)
        return;
    size_t sent = channel_write(&guest_channel(console.attached)->terminal.to_guest, pending_input, pending_count);
    memmove(pending_input, pending_input + sent, pending_count - sent);
    pending_count -= (unsigned)sent;
    if (sent != 0)
        (void)sys_event_signal(CONSOLE_SLOT_GUEST_EVENT + console.attached, VMM_EVENT_INPUT);
}

void guests_rang(uint64_t bits)
{
    rung |= bits & ALL_GUESTS;
}

/* Some of what guest n's monitor says, or its guest writes; `r` is the ring, `source` which of the two. */
static bool read_ring(unsigned n, unsigned source, struct channel_ring *r, uint64_t now)
{
    uint8_t bytes[FEED_BYTES];
    size_t before = channel_used(r);
    bool raw = console.attached == n && source == GUEST_SOURCE(n);
    if (uart_backlog() >= BACKLOG_MAX && (console.attached == NO_GUEST || raw)) {
        if (before != 0)
            lines_more(&console.lines, source, now);
        rung |= before != 0 ? CONSOLE_EVENT_GUEST(n) : 0;
        return false;
    }
    size_t count = channel_read(r, bytes, sizeof bytes);
    if (count == 0)
        return false;
    if (before >= CHANNEL_RING_BYTES / 2) /* it may wait for room */
        (void)sys_event_signal(CONSOLE_SLOT_GUEST_EVENT + n, VMM_EVENT_INPUT);
    if (source == GUEST_SOURCE(n))
        console.guest[n].wrote = true;
    if (raw)
        uart_write((const char *)bytes, count);
    lines_feed(&console.lines, source, bytes, count, now);
    if (raw)
        console.lines.source[source].shown = console.lines.source[source].length;
    return channel_used(r) != 0;
}

void read_guests(uint64_t now)
{
    static unsigned turn;
    bool more = true;
    /* Some from each in turn, until all are empty or the wire is busy; then the first was served best, so it is another
     * each time. */
    unsigned first = turn++;
    uint64_t look = rung;
    rung = 0;
    for (unsigned round = 0; more && round < CHANNEL_RING_BYTES / FEED_BYTES; round++) {
        more = false;
        for (unsigned i = 0; i < console.guest_count; i++) {
            unsigned n = (first + i) % console.guest_count;
            if ((look & CONSOLE_EVENT_GUEST(n)) == 0 || !console.guest[n].served)
                continue;
            struct guest_channel *c = guest_channel(n);
            more = read_ring(n, GUEST_SOURCE(n), &c->terminal.from_guest, now) || more;
            more = read_ring(n, MONITOR_SOURCE(n), &c->words, now) || more;
        }
        uart_service(now);
    }
    rung |= more ? look : 0;
}

void attach(unsigned n)
{
    struct line_source *s = &console.lines.source[GUEST_SOURCE(n)];
    const struct known_guest *g = &console.guest[n];
    if (!guest_is_on(n)) {
        say("Guest %s is off%s%s. 'start %s' starts it, 'log %s' shows its last lines.", console.name[n],
            g->reason[0] ? ": " : "", g->reason, console.name[n], console.name[n]);
        return;
    }
    if (g->life == LIFE_RUNNING && !g->wrote)
        say("It has written nothing to its serial port so far (Linux: console=ttyS0 in its cmdline).");
    say("Attached to %s; Ctrl-] comes back to the shell.", console.name[n]);
    /* The line it stands in, as far as it is known: its prompt, most often. */
    uart_write(s->text, s->length);
    s->shown = s->length;
    console.attached = console.last_attached = n;
    pending_count = console.missed = 0;
    console.lines.silent = true;
}

/* As it was when it was left. */
void attach_again(void)
{
    unsigned n = console.last_attached;
    struct line_source *s = &console.lines.source[GUEST_SOURCE(n)];
    hide_prompt();
    console.attached = n;
    console.lines.silent = true;
    lines_close(&console.lines);
    uart_write(s->text, s->length);
    s->shown = s->length;
    pending_count = 0;
}

/* The terminal as the shell wants it, whatever the guest has made of it, in the middle of a sequence or not. ECMA-48,
 * DEC's VT510 manual, xterm's control sequences. The left margin and the cursor's line stay. */
static void reset_terminal(void)
{
    static const char reset[] =
        "\x18\x1b\\" /* CAN, ST: what was begun is over */
        "\x1b"
        "7\x1b[?1049l" /* no alternate screen; the cursor stays */
        "\x1b[!p"      /* DECSTR: attributes, margins, origin, insert mode, keypad */
        "\x1b"
        "7\x1b[r\x1b"
        "8"                                                       /* margins, where DECSTR is not known */
        "\x1b[?1l\x1b[?5l\x1b[?7h"                                /* plain arrows, not reverse, wraps */
        "\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1004l\x1b[?1006l" /* no reports of mouse, focus */
        "\x1b[?2004l\x1b[?25h"                                    /* no bracketed paste; the cursor is shown */
        "\x1b>\x1b[4l\x1b[0m\x1b(B\x0f";                          /* keypad, insert mode, attributes, ASCII in G0 */
    uart_write(reset, sizeof reset - 1);
}

void detach(const char *why)
{
    send_input(); /* what was typed just before */
    reset_terminal();
    uart_write("\r\n", 2);
    console.attached = NO_GUEST;
    console.lines.silent = BOOT->quiet != 0;
    console.lines.open = -1;
    if (why != NULL) {
        gate_close();
        say("%s", why);
    }
    if (console.missed != 0)
        say("(%u line%s in Mullion's own log meanwhile: 'log' shows them)", console.missed,
            console.missed == 1 ? "" : "s");
    show_prompt();
}
