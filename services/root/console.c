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
#include "services/root/root.h"

#define CONSOLE_SHARED_VA (ROOT_SHARED_VA + CONFIG_GUESTS_MAX * ROOT_SHARED_STRIDE)
#define SHARED_BOOT       0ull
#define SHARED_CHANNEL    PAGE_SIZE
#define SHARED_BYTES      (PAGE_SIZE + CHANNEL_BYTES)
#define LOG_RING_VA       (CONSOLE_SHARED_VA + ROOT_SHARED_STRIDE)
#define OUTBOX_LINES      128
#define RESTARTS_MAX      3
/* At most half of CPU 0, in short pieces: a guest that floods its console cannot use the console to keep that CPU from
 * others. */
#define CONSOLE_BUDGET_US 1000
#define CONSOLE_PERIOD_US 2000
_Static_assert(CONFIG_GUESTS_MAX <= CONSOLE_GUESTS_MAX, "the console knows all guests");

uint64_t console_event;

static uint64_t domain, thread, memory, shared, private_hpa, private_bytes;
static unsigned starts;
static bool drained, alive, log_ring;
static bool in_pieces; /* an answer is not whole yet: it goes on when the console has read */
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
    return (struct console_boot *)(CONSOLE_SHARED_VA + SHARED_BOOT);
}
static struct channel *channel(void)
{
    return (struct channel *)(CONSOLE_SHARED_VA + SHARED_CHANNEL);
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
        (void)sys_event_signal(console_event, CONSOLE_EVENT_CONTROL);
}

static void queue(enum control_kind kind, uint32_t guest, uint32_t value, const char *text)
{
    if (!alive)
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

uint64_t console_thread(void)
{
    return thread;
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

void console_drain(void)
{
    drained = false;
    queue(CONTROL_DRAIN, 0, 0, "");
    flush();
}

bool console_drained(void)
{
    return drained || !alive;
}

void console_init(void)
{
    struct syscall_result event = sys_event_create();
    const struct program *p = program_find("console");
    if (event.error != OK || p == NULL)
        return;
    console_event = event.value;
    shared = ram_shared(CONSOLE_SHARED_VA, SHARED_BYTES, TAG_SHARED(TAG_CONSOLE));
    private_bytes = program_private_bytes(p) + CONSOLE_STACK_BYTES;
    private_hpa = ram_place_private(private_bytes);
    if (private_hpa == 0)
        root_log(LOG_ERROR, "no memory for the console (%lluK)", (unsigned long long)(private_bytes >> 10));
    log_ring = sys_map(ROOT_SLOT_SELF, LOG_RING_VA, ROOT_SLOT_LOG_RING, 0, sizeof(struct klog_ring), RIGHT_READ) == OK;
    if (!log_ring)
        root_log(LOG_WARN, "the kernel's log cannot be read");
}

static uint64_t log_head(void)
{
    return __atomic_load_n(&((const struct klog_ring *)LOG_RING_VA)->head, __ATOMIC_ACQUIRE);
}

static void fill_boot(uint64_t log_seen)
{
    const struct root_boot *b = ROOT_BOOT;
    struct console_boot *c = boot_page();
    memset(c, 0, sizeof *c);
    c->magic = CONSOLE_BOOT_MAGIC;
    c->tsc_khz = b->tsc_khz;
    c->root_bits = ROOT_EVENT_CONSOLE;
    c->serial_port = root_config.console_serial ? b->serial_port : 0;
    c->serial_irq = b->serial_irq;
    c->guest_count = root_config.guest_count;
    c->mirror = root_config.console_screen || c->serial_port == 0;
    memcpy(c->backend, b->backend, sizeof c->backend - 1);
    for (unsigned n = 0; n < root_config.guest_count; n++)
        string_copy(c->guest[n], root_config.guest[n].name, sizeof c->guest[n]);
    c->screen = b->screen;
    c->log_start = log_seen;
    c->restarted = starts > 1;
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
static void map_screen(void)
{
    struct screen_facts *f = &boot_page()->screen;
    uint64_t bytes = screen_bytes(), at = CONSOLE_SCREEN_VA + page_down(f->address) % CONSOLE_SCREEN_ALIGN;
    enum error e = bytes ? sys_map(domain, at, ROOT_SLOT_SCREEN, 0, bytes, RIGHT_READ | RIGHT_WRITE) : OK;
    if (e != OK) {
        f->width = 0;
        root_log(LOG_WARN, "the console cannot have the screen: %s", error_text(e));
    }
}

static enum error make(const struct program *p)
{
    if ((memory = ram_carve(private_hpa, private_bytes, TAG_CONSOLE)) == 0)
        return E_QUOTA;
    uint64_t image = program_private_bytes(p);
    struct syscall_result r = sys_domain_create(64 + program_table_pages(p) + CONFIG_GUESTS_MAX + screen_table_pages(),
                                                1, root_event, ROOT_EVENT_CONSOLE_DEATH);
    if (r.error != OK)
        return r.error;
    domain = r.value;
    enum error e;
    if ((e = sys_handle_grant(domain, domain, RIGHT_MAP, CONSOLE_SLOT_SELF).error) != OK ||
        (e = sys_handle_grant(domain, ROOT_SLOT_LOG, RIGHT_SIGNAL, CONSOLE_SLOT_LOG).error) != OK ||
        (e = sys_handle_grant(domain, console_event, RIGHT_WAIT | RIGHT_SIGNAL, CONSOLE_SLOT_EVENT).error) != OK ||
        (e = sys_handle_grant(domain, root_event, RIGHT_SIGNAL, CONSOLE_SLOT_ROOT_EVENT).error) != OK)
        return e;
    if (boot_page()->serial_port != 0) {
        if ((e = sys_handle_grant(domain, ROOT_SLOT_SERIAL_PORTS, RIGHT_MAP, CONSOLE_SLOT_PORTS).error) != OK)
            return e;
        if (sys_handle_grant(domain, ROOT_SLOT_SERIAL_IRQ, RIGHT_SIGNAL, CONSOLE_SLOT_IRQ).error != OK)
            root_log(LOG_WARN, "the serial port has no interrupt; it is polled");
    }
    for (unsigned n = 0; n < root_config.guest_count; n++) {
        if (guest_event(n) == 0 || guest_shared(n) == 0)
            continue;
        if ((e = sys_handle_grant(domain, guest_event(n), RIGHT_SIGNAL, CONSOLE_SLOT_GUEST_EVENT + n).error) != OK ||
            (e = sys_map(domain, CONSOLE_CHANNELS_VA + n * CONSOLE_CHANNEL_STRIDE, guest_shared(n),
                         GUEST_SHARED_CHANNEL, CHANNEL_BYTES, RIGHT_READ | RIGHT_WRITE)) != OK)
            return e;
    }
    if ((e = program_load(p, domain, memory, 0)) != OK ||
        (e = sys_map(domain, CONSOLE_BOOT_VA, shared, SHARED_BOOT, PAGE_SIZE, RIGHT_READ)) != OK ||
        (e = sys_map(domain, CONSOLE_CONTROL_VA, shared, SHARED_CHANNEL, CHANNEL_BYTES, RIGHT_READ | RIGHT_WRITE)) !=
            OK ||
        (e = sys_map(domain, CONSOLE_LOG_RING_VA, ROOT_SLOT_LOG_RING, 0, sizeof(struct klog_ring), RIGHT_READ)) != OK ||
        (e = sys_map(domain, CONSOLE_STACK_TOP - CONSOLE_STACK_BYTES, memory, image, CONSOLE_STACK_BYTES,
                     RIGHT_READ | RIGHT_WRITE)) != OK)
        return e;
    map_screen();
    r = sys_thread_create(domain, program_entry(p), CONSOLE_STACK_TOP, 0, 0, PRIORITY_SERVICE, CONSOLE_BUDGET_US,
                          CONSOLE_PERIOD_US, 0);
    thread = r.error == OK ? r.value : 0;
    return r.error;
}

static void unmake(void)
{
    alive = false;
    program_unload(&domain, &memory);
    if (thread != 0)
        (void)sys_handle_close(thread);
    thread = 0;
}

static void start(uint64_t log_seen)
{
    const struct program *p = program_find("console");
    if (p == NULL || private_hpa == 0 || shared == 0)
        return;
    starts++;
    fill_boot(log_seen);
    struct channel *c = channel();
    memset(c, 0, sizeof *c); /* nobody else has it now */
    reader.have = 0;
    outbox_count = 0;
    in_pieces = false;
    enum error e = make(p);
    alive = e == OK;
    if (!alive) {
        root_log(LOG_ERROR, "the console cannot be started: %s", error_text(e));
        unmake();
    }
}

void console_start(void)
{
    start(0);
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

void console_work(uint64_t bits)
{
    if ((bits & ROOT_EVENT_CONSOLE_DEATH) != 0 && domain != 0 &&
        sys_query(domain, QUERY_DOMAIN_STATE, 0).value != DOMAIN_RUNNING) {
        uint64_t log_seen = log_ring ? log_head() : 0;
        root_log(LOG_ERROR, "the console has crashed at 0x%llx%s",
                 (unsigned long long)sys_query(domain, QUERY_DOMAIN_FAULT, 1).value,
                 starts <= RESTARTS_MAX ? "; it is started again" : " too often; it stays away, the guests run on");
        unmake();
        if (starts <= RESTARTS_MAX)
            start(log_seen);
    }
    if (!alive)
        return;
    flush();
    if (in_pieces && !(in_pieces = ledger_more()))
        console_done();
    for (unsigned i = 0; i < 16 && control_receive(&reader, &channel()->from_guest); i++)
        request(&reader.message);
    flush();
}
