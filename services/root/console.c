// SPDX-License-Identifier: Apache-2.0
/*
 * The console's row and what it is told. See root.h and lib/proto/console_boot.h; the conversation with it: requests.h.
 *
 * If the console crashes it is started again, with its channels as they are: the guests do not notice.
 */
#include "lib/print.h"
#include "lib/proto/console_boot.h"
#include "lib/string.h"
#include "lib/syscall.h"
#include "services/root/guest.h"
#include "services/root/hardware.h"
#include "services/root/service.h"

#define SHARED_BOOT    0ull
#define SHARED_CHANNEL CONSOLE_BOOT_BYTES
#define SHARED_BYTES   (CONSOLE_BOOT_BYTES + CHANNEL_BYTES)
_Static_assert(CONFIG_GUESTS_MAX <= CONSOLE_GUESTS_MAX, "the console knows all guests");

struct service console_service;

static bool log_ring;
static uint64_t log_seen; /* bytes of the kernel's log that were there when the last console died */

static struct console_boot *boot_page(void)
{
    return (struct console_boot *)(console_service.page + SHARED_BOOT);
}

struct channel *console_channel(void)
{
    return (struct channel *)(console_service.page + SHARED_CHANNEL);
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
    c->entry_tsc = b->entry_tsc;
    c->root_bits = ROOT_EVENT_SERVICES;
    c->serial_port = b->serial_port; /* the shell is there in any case */
    c->quiet = !root_config.console_serial;
    c->guest_count = guests_end;
    c->mirror = root_config.console_screen || c->serial_port == 0;
    memcpy(c->backend, b->backend, sizeof c->backend - 1);
    for (unsigned n = 0; n < guests_end; n++)
        string_copy(c->guest[n], guest_name(n), sizeof c->guest[n]);
    c->screen = b->screen;
    if (b->screen_bytes == 0)
        c->screen.width = 0;
    c->log_start = log_seen;
    c->restarted = s->starts > 1;
}

static uint64_t screen_bytes(void)
{
    return ROOT_BOOT->screen_bytes ? sys_query(ROOT_SLOT_SCREEN, QUERY_MEMORY_SIZE, 0).value : 0;
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
    enum error e = bytes != 0 ? service_map(s, at, ROOT_SLOT_SCREEN, 0, bytes, RIGHT_READ | RIGHT_WRITE | MAP_COMBINING)
                              : OK;
    if (e != OK) {
        f->width = 0;
        root_log(LOG_WARN, "the console cannot have the screen: %s", error_text(e));
    }
}

static enum error give_guest(struct service *s, unsigned n)
{
    if (guest_name(n)[0] == 0 || guests[n].event == 0 || guests[n].shared == 0)
        return OK;
    service_step(s, "the event of guest %s cannot be given", guest_name(n));
    enum error e = service_grant(s, guests[n].event, RIGHT_SIGNAL, CONSOLE_SLOT_GUEST_EVENT + n);
    if (e != OK)
        return e;
    service_step(s, "the channel of guest %s cannot be mapped", guest_name(n));
    e = service_map(s, CONSOLE_CHANNELS_VA + n * CONSOLE_CHANNEL_STRIDE, guests[n].shared, GUEST_SHARED_CHANNEL,
                    GUEST_CHANNEL_BYTES, RIGHT_READ | RIGHT_WRITE);
    if (e == E_OVERLAP) /* the guest that had this number before had the same pages */
        e = OK;
    guests[n].served = e == OK;
    return e;
}

void console_take_guest(unsigned n)
{
    struct service *s = &console_service;
    if (!s->alive)
        return;
    enum error e = give_guest(s, n);
    if (e != OK)
        root_log(LOG_ERROR, "the console cannot serve guest %s: %s: %s", guest_name(n), s->step, error_text(e));
}

/* The guests' channels, and the screen. */
static enum error give(struct service *s)
{
    for (unsigned n = 0; n < guests_end; n++) {
        enum error e = give_guest(s, n);
        if (e != OK)
            return e;
    }
    map_screen(s);
    if (boot_page()->serial_port != 0 || boot_page()->screen.width != 0)
        (void)sys_log_take(ROOT_SLOT_LOG);
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
    for (unsigned n = 0; n < guests_end; n++)
        if (guests[n].event != 0)
            (void)sys_event_signal(guests[n].event, VMM_EVENT_INPUT);
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
    {CONSOLE_BOOT_VA, SERVICE_SHARED, RIGHT_READ, SHARED_BOOT, CONSOLE_BOOT_BYTES},
    {CONSOLE_CONTROL_VA, SERVICE_SHARED, RIGHT_READ | RIGHT_WRITE, SHARED_CHANNEL, CHANNEL_BYTES},
    {CONSOLE_LOG_RING_VA, ROOT_SLOT_LOG_RING, RIGHT_READ, 0, sizeof(struct klog_ring)},
};

static const struct service_row row = {
    .name = "console",
    .title = "the console",
    .tag = TAG_CONSOLE,
    .start = SERVICE_AT_BOOT,
    .priority = PRIORITY_SERVICE,
    /* At most half of its CPU, in short pieces: a guest that floods its console cannot use the console to keep that CPU
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
    e = sys_irq_bind(ROOT_SLOT_LOG_BELL, console_service.event, CONSOLE_EVENT_LOG);
    if (e != OK)
        root_log(LOG_WARN, "the kernel's log has no bell, so its lines come late: %s", error_text(e));
}
