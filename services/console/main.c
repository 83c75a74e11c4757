// SPDX-License-Identifier: Apache-2.0
/*
 * The console: owns the serial port and the screen, shows every guest's lines with its name in front, and runs the
 * shell, which asks root for what it may not do itself. One thread. Guests can garble their own lines and nothing else:
 * see lines.h.
 */
#include "lib/log.h"
#include "lib/print.h"
#include "lib/syscall.h"
#include "mullion/boot.h"
#include "mullion/version.h"
#include "services/console/console.h"
#include "services/console/screen.h"
#include "services/console/uart.h"

#define POLL_BARE_MS 4      /* a serial port without an interrupt */
#define KEPT_HOST    16384u /* bytes of the host's last lines */

void thread_main(uint64_t argument);

struct console console; /* zero at first, so that the image does not hold it */
static bool have_irq, have_port;

/* On the screen, always: there is no keyboard for it, so where is the shell? */
static void say_where(void)
{
    char text[80];
    const char *name = BOOT->serial_port == 0x3f8 ? "COM1" : "COM2";
    if (!have_port)
        format(text, sizeof text, "Mullion %s   no shell: there is no serial port", MULLION_VERSION);
    else
        format(text, sizeof text, "Mullion %s   shell: serial port %s (0x%x), 115200 8N1", MULLION_VERSION, name,
               BOOT->serial_port);
    screen_status(text);
}

static void start(void)
{
    static char host_text[KEPT_HOST];
    const struct console_boot *b = BOOT;
    console.attached = console.last_attached = NO_GUEST;
    terminal_init();
    lines_name(&console.lines, HOST_SOURCE, "mullion");
    scrollback_init(&console.kept_host, host_text, sizeof host_text);
    guests_begin();

    if (b->serial_port != 0 && sys_ports_open(CONSOLE_SLOT_SELF, CONSOLE_SLOT_PORTS) == OK)
        have_port = uart_init(b->serial_port, b->tsc_khz);
    if (b->screen.width != 0 && screen_plan(&b->screen) != 0) {
        say_where();
        screen_show(&b->screen, (void *)(CONSOLE_SCREEN_VA + b->screen.address % CONSOLE_SCREEN_ALIGN));
    }
    /* The log from power-on is kept for `log`, and drawn; what is on the wire already does not go there again. */
    uint64_t head = __atomic_load_n(&KLOG->head, __ATOMIC_ACQUIRE),
             shown = min_u64(b->restarted ? b->log_start : KLOG->shown, head);
    log_begin(shown);
    ask_init();
    have_irq = have_port && sys_irq_bind(CONSOLE_SLOT_IRQ, CONSOLE_SLOT_EVENT, CONSOLE_EVENT_IRQ) == OK;
    if (b->restarted) /* what is typed may be for a guest that was attached */
        gate_close();
    say("%s", "");
    say("Mullion's shell, version " MULLION_VERSION
        ". %u guest%s; 'help' lists the commands, 'attach NAME' talks to a guest, Ctrl-] comes back.",
        console.guest_count, console.guest_count == 1 ? "" : "s");
}

static uint64_t next_deadline(uint64_t now)
{
    uint64_t next = min_u64(min_u64(terminal_due(now), root_due(now)), min_u64(sources_due(now), keys_due(now)));
    if (have_port && !have_irq)
        next = min_u64(next, now + ms(POLL_BARE_MS));
    if (console.draining || uart_backlog() != 0)
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
        read_keys();
        keys_work(now);
        /* The second reader may find the wire busy, so they take turns: neither keeps the other from it. */
        if (log_first)
            read_log(now);
        read_guests(now);
        if (!log_first)
            read_log(now);
        log_first = !log_first;
        terminal_work(now);
        drain();
        if (have_irq)
            (void)sys_irq_ack(CONSOLE_SLOT_IRQ);
        struct syscall_result r = sys_event_wait(CONSOLE_SLOT_EVENT, ~0ull, next_deadline(now));
        guests_rang(r.error == OK ? r.value : 0);
    }
}
