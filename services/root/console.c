// SPDX-License-Identifier: Apache-2.0
/*
 * The console's domain, and the conversation with it. See root.h and lib/proto/console_boot.h.
 *
 * If the console crashes it is started again, with its channels as they are: the guests do not notice.
 */
#include "lib/print.h"
#include "lib/proto/console_boot.h"
#include "lib/string.h"
#include "lib/syscall.h"
#include "services/root/accounts.h"
#include "services/root/audit.h"
#include "services/root/service.h"

#define SHARED_BOOT    0ull
#define SHARED_CHANNEL PAGE_SIZE
#define SHARED_BYTES   (PAGE_SIZE + CHANNEL_BYTES)
#define OUTBOX_LINES   128
#define DRAIN_MS       3000
_Static_assert(CONFIG_GUESTS_MAX <= CONSOLE_GUESTS_MAX, "the console knows all guests");

struct service console_service;

static bool drained, log_ring;
static uint64_t log_seen; /* bytes of the kernel's log that were there when the last console died */
static bool in_pieces;    /* an answer is not whole yet: it goes on when the console has read */
static struct control_reader reader;

/* What waits for room in the channel. */
static struct {
    enum control_kind kind;
    uint32_t guest, value;
    char text[CONTROL_TEXT_MAX + 1];
} outbox[OUTBOX_LINES];
static unsigned outbox_first, outbox_count;

static struct console_boot *boot_page(void)
{
    return (struct console_boot *)(console_service.page + SHARED_BOOT);
}
static struct channel *channel(void)
{
    return (struct channel *)(console_service.page + SHARED_CHANNEL);
}

static void flush(void)
{
    bool sent = false;
    while (outbox_count > 0) {
        unsigned i = outbox_first % OUTBOX_LINES;
        if (!control_send(&channel()->to_guest, outbox[i].kind, outbox[i].guest, outbox[i].value, outbox[i].text))
            break;
        outbox_first++;
        outbox_count--;
        sent = true;
    }
    if (sent)
        (void)sys_event_signal(console_service.event, CONSOLE_EVENT_CONTROL);
}

static void queue(enum control_kind kind, uint32_t guest, uint32_t value, const char *text)
{
    if (!console_service.alive)
        return;
    if (outbox_count == OUTBOX_LINES)
        flush();
    if (outbox_count == OUTBOX_LINES) /* a console that does not read: the newest is dropped */
        return;
    unsigned i = (outbox_first + outbox_count++) % OUTBOX_LINES;
    outbox[i].kind = kind;
    outbox[i].guest = guest;
    outbox[i].value = value;
    string_copy(outbox[i].text, text, sizeof outbox[i].text);
}

void console_answer(const char *text, ...)
{
    char line[CONTROL_TEXT_MAX + 1];
    va_list arguments;
    va_start(arguments, text);
    format_list(line, sizeof line, text, arguments);
    va_end(arguments);
    queue(CONTROL_TEXT, 0, 0, line);
}

unsigned console_room(void)
{
    return OUTBOX_LINES - outbox_count;
}

void console_done(void)
{
    queue(CONTROL_DONE, 0, 0, "");
    flush();
}

void console_note(unsigned guest, enum guest_state state, const char *text)
{
    queue(CONTROL_NOTE, guest, state, text);
    flush();
}

void console_guest_off(unsigned guest, const char *text)
{
    queue(CONTROL_OFF, guest, 0, text);
    flush();
}

static uint64_t log_head(void)
{
    return __atomic_load_n(&((const struct klog_ring *)ROOT_LOG_RING_VA)->head, __ATOMIC_ACQUIRE);
}

static void fill(struct service *s)
{
    const struct root_boot *b = ROOT_BOOT;
    struct console_boot *c = boot_page();
    c->magic = CONSOLE_BOOT_MAGIC;
    c->tsc_khz = b->tsc_khz;
    c->root_bits = ROOT_EVENT_SERVICES;
    c->serial_port = root_config.console_serial ? b->serial_port : 0;
    c->serial_irq = b->serial_irq;
    c->guest_count = root_config.guest_count;
    c->mirror = root_config.console_screen || c->serial_port == 0;
    memcpy(c->backend, b->backend, sizeof c->backend - 1);
    for (unsigned n = 0; n < root_config.guest_count; n++)
        string_copy(c->guest[n], root_config.guest[n].name, sizeof c->guest[n]);
    c->screen = b->screen;
    c->log_start = log_seen;
    c->restarted = s->starts > 1;
    reader.have = 0;
    outbox_count = 0;
    in_pieces = false;
}

static uint64_t screen_bytes(void)
{
    return ROOT_BOOT->screen.width ? sys_query(ROOT_SLOT_SCREEN, QUERY_MEMORY_SIZE, 0).value : 0;
}
static uint64_t screen_table_pages(void)
{
    return screen_bytes() / CONSOLE_SCREEN_ALIGN + 4;
} /* at worst all of it by small pages */

/* Without it there is the serial port. */
static void map_screen(struct service *s)
{
    struct screen_facts *f = &boot_page()->screen;
    uint64_t bytes = screen_bytes(), at = CONSOLE_SCREEN_VA + page_down(f->address) % CONSOLE_SCREEN_ALIGN;
    enum error e = bytes != 0 ? service_map(s, at, ROOT_SLOT_SCREEN, 0, bytes, RIGHT_READ | RIGHT_WRITE) : OK;
    if (e != OK) {
        f->width = 0;
        root_log(LOG_WARN, "the console cannot have the screen: %s", error_text(e));
    }
}

/* The guests' channels, and the screen. */
static enum error give(struct service *s)
{
    for (unsigned n = 0; n < root_config.guest_count; n++) {
        if (guest_event(n) == 0 || guest_shared(n) == 0)
            continue;
        service_step(s, "the event of guest %s cannot be given", root_config.guest[n].name);
        enum error e = service_grant(s, guest_event(n), RIGHT_SIGNAL, CONSOLE_SLOT_GUEST_EVENT + n);
        if (e != OK)
            return e;
        service_step(s, "the channel of guest %s cannot be mapped", root_config.guest[n].name);
        e = service_map(s, CONSOLE_CHANNELS_VA + n * CONSOLE_CHANNEL_STRIDE, guest_shared(n), GUEST_SHARED_CHANNEL,
                        CHANNEL_BYTES, RIGHT_READ | RIGHT_WRITE);
        if (e != OK)
            return e;
    }
    map_screen(s);
    return OK;
}

static bool has_port(void)
{
    return boot_page()->serial_port != 0;
}

static void died(struct service *s)
{
    (void)s;
    log_seen = log_ring ? log_head() : 0;
}

/* Its clients: a monitor may wait for room in its channel, and the console that made it has lost the bell. */
static void began(struct service *s)
{
    (void)s;
    for (unsigned n = 0; n < root_config.guest_count; n++)
        if (guest_event(n) != 0)
            (void)sys_event_signal(guest_event(n), VMM_EVENT_INPUT);
}

static const struct service_grant grants[] = {
    {SERVICE_SELF, RIGHT_MAP, CONSOLE_SLOT_SELF, NULL, NULL},
    {ROOT_SLOT_LOG, RIGHT_SIGNAL, CONSOLE_SLOT_LOG, NULL, NULL},
    {SERVICE_EVENT, RIGHT_WAIT | RIGHT_SIGNAL, CONSOLE_SLOT_EVENT, NULL, NULL},
    {SERVICE_ROOT_EVENT, RIGHT_SIGNAL, CONSOLE_SLOT_ROOT_EVENT, NULL, NULL},
    {ROOT_SLOT_SERIAL_PORTS, RIGHT_MAP, CONSOLE_SLOT_PORTS, has_port, NULL},
    {ROOT_SLOT_SERIAL_IRQ, RIGHT_SIGNAL, CONSOLE_SLOT_IRQ, has_port, "the serial port has no interrupt; it is polled"},
};

static const struct service_mapping mappings[] = {
    {CONSOLE_BOOT_VA, SERVICE_SHARED, RIGHT_READ, SHARED_BOOT, PAGE_SIZE},
    {CONSOLE_CONTROL_VA, SERVICE_SHARED, RIGHT_READ | RIGHT_WRITE, SHARED_CHANNEL, CHANNEL_BYTES},
    {CONSOLE_LOG_RING_VA, ROOT_SLOT_LOG_RING, RIGHT_READ, 0, sizeof(struct klog_ring)},
};

static const struct service_row row = {
    .name = "console",
    .title = "the console",
    .tag = TAG_CONSOLE,
    .start = SERVICE_AT_BOOT,
    .priority = PRIORITY_SERVICE,
    /* At most half of CPU 0, in short pieces: a guest that floods its console cannot use the console to keep that CPU
     * from others. */
    .budget_us = 1000,
    .period_us = 2000,
    .stack_top = CONSOLE_STACK_TOP,
    .stack_bytes = CONSOLE_STACK_BYTES,
    .shared_bytes = SHARED_BYTES,
    .quota_pages = 64 + CONFIG_GUESTS_MAX,
    .more_pages = screen_table_pages,
    .grants = grants,
    .grant_count = ARRAY_SIZE(grants),
    .mappings = mappings,
    .mapping_count = ARRAY_SIZE(mappings),
    .may = {.ports = 1,
            .reach = {{TAG_LOG, RIGHT_READ},
                      {TAG_SCREEN, RIGHT_READ | RIGHT_WRITE},
                      {AUDIT_CHANNELS, RIGHT_READ | RIGHT_WRITE}}},
    .fill = fill,
    .give = give,
    .died = died,
    .began = began,
};

void console_init(void)
{
    service_add(&console_service, &row);
    enum error e = sys_map(ROOT_SLOT_SELF, ROOT_LOG_RING_VA, ROOT_SLOT_LOG_RING, 0, sizeof(struct klog_ring),
                           RIGHT_READ);
    log_ring = e == OK;
    if (!log_ring)
        root_log(LOG_WARN, "the kernel's log cannot be read: %s", error_text(e));
}

static bool known_guest(uint32_t n)
{
    if (n < root_config.guest_count)
        return true;
    console_answer("There is no such guest.");
    return false;
}

static void request(const struct control_message *m)
{
    switch (m->kind) {
    case CONTROL_LIST: guests_list(); break;
    case CONTROL_MEMORY: guests_memory(); break;
    case CONTROL_START:
        if (known_guest(m->guest))
            guest_start(m->guest);
        break;
    case CONTROL_STOP:
        if (known_guest(m->guest))
            guest_stop(m->guest, m->value != 0);
        break;
    case CONTROL_RESTART:
        if (known_guest(m->guest))
            guest_restart(m->guest);
        break;
    case CONTROL_STATS:
        if (known_guest(m->guest))
            guest_stats(m->guest);
        break;
    case CONTROL_FAULT:
        if (known_guest(m->guest))
            guest_fault(m->guest, m->value != 0);
        break;
    case CONTROL_AUDIT:
        if (audit_command())
            return;
        break;
    case CONTROL_AUDIT_BREAK:
        if (known_guest(m->guest) && audit_break(m->guest))
            return;
        break;
    case CONTROL_LEDGER:
        ledger_command();
        if ((in_pieces = ledger_more()))
            return;
        break;
    case CONTROL_TOP: ledger_top(m->value != 0); break;
    case CONTROL_PATHS: ledger_paths(); break;
    case CONTROL_POWEROFF: power_off(); break;
    case CONTROL_REBOOT: power_reset(); break;
    case CONTROL_EXIT: power_exit((uint8_t)m->value); break;
    case CONTROL_DRAINED: drained = true; return;
    default: console_answer("The console asked for something unknown (%u).", m->kind); break;
    }
    console_done();
}

void console_work(void)
{
    if (!console_service.alive)
        return;
    flush();
    if (in_pieces && !(in_pieces = ledger_more()))
        console_done();
    for (unsigned i = 0; i < 16 && control_receive(&reader, &channel()->from_guest); i++)
        request(&reader.message);
    flush();
}

void console_finish(void)
{
    uint64_t end = tsc_now() + ticks_of_ms(DRAIN_MS);
    drained = false;
    queue(CONTROL_DRAIN, 0, 0, "");
    flush();
    while (!drained && console_service.alive && tsc_now() < end) {
        root_rest(1); /* the console may need this CPU, and any client can ring */
        (void)sys_event_wait(root_event, ROOT_EVENT_SERVICES, end);
        services_watch();
        console_work();
    }
}
