// SPDX-License-Identifier: Apache-2.0
/*
 * Root: the first ring-3 program. Reads the configuration, starts the console and the guests, and then waits for what
 * they have to say.
 */
#include "lib/log.h"
#include "lib/print.h"
#include "lib/string.h"
#include "lib/syscall.h"
#include "services/root/answers.h"
#include "services/root/audit.h"
#include "services/root/clock.h"
#include "services/root/driver.h"
#include "services/root/hardware.h"
#include "services/root/regions.h"
#include "services/root/requests.h"
#include "services/root/service.h"

#define CONFIG_NAME "mullion.conf"
#define VAIN_REST   20 /* times as long a rest as the time spent on looking in vain: at most 5% of CPU 0... */
#define VAIN_MS     50 /* ...but no longer: where CPUs can be taken away from us, the time was not all spent on that */

struct config root_config;
uint64_t root_event;
static uint64_t rest_event; /* no other program has a handle to it */

void thread_main(uint64_t argument);
/* In test images only: tests/programs. */
void test_services_add(void) __attribute__((weak));

void root_log(enum log_level level, const char *text, ...)
{
    static const char *const before[] = {
        [LOG_ERROR] = "error: ", [LOG_WARN] = "warning: ", [LOG_INFO] = "", [LOG_DEBUG] = ""};
    if (level > root_config.log_level)
        return;
    char line[400];
    va_list arguments;
    va_start(arguments, text);
    format_list(line, sizeof line, text, arguments);
    va_end(arguments);
    log_printf(ROOT_SLOT_LOG, "%s%s\n", before[level], line);
}

const char *error_text(enum error e)
{
    static const char *const text[E_COUNT] = {
        [OK] = "no error",
        [E_ARG] = "an argument is out of range",
        [E_HANDLE] = "no such handle",
        [E_TYPE] = "the handle is of another type",
        [E_RIGHTS] = "the handle lacks the right",
        [E_DEAD] = "the object was destroyed",
        [E_QUOTA] = "kernel memory is used up",
        [E_OVERLAP] = "the range overlaps another",
        [E_STATE] = "not in this state",
        [E_BUSY] = "it is taken",
        [E_AGAIN] = "not finished yet",
        [E_TIMEOUT] = "the time is over",
        [E_UNSUPPORTED] = "this machine cannot do it",
        [E_NOSYS] = "the kernel does not know that call",
    };
    return (unsigned)e < E_COUNT && text[e] != NULL ? text[e] : "unknown error";
}

uint64_t ticks_of_ms(uint64_t ms)
{
    return ROOT_BOOT->tsc_khz * ms;
}

void root_rest(uint64_t ticks)
{
    (void)sys_event_wait(rest_event, 1, tsc_now() + ticks);
}

static void print_mistake(void *context, unsigned line, const char *text)
{
    (void)context;
    log_printf(ROOT_SLOT_LOG, CONFIG_NAME ":%u: %s\n", line, text);
}

static const struct boot_module *find_config(void)
{
    const struct root_boot *b = ROOT_BOOT;
    for (unsigned i = 0; i < b->module_count && i < BOOT_MODULES_MAX; i++)
        if (strcmp(module_name(i), CONFIG_NAME) == 0)
            return &b->module[i];
    return NULL;
}

static void read_config(void)
{
    static struct config_module modules[BOOT_MODULES_MAX];
    const struct root_boot *b = ROOT_BOOT;
    uint64_t reserve = 4ull << 20; /* the console and root's own shared pages */
    uint64_t memory = ram_free_bytes();
    uint64_t spent = sys_query(ROOT_SLOT_SELF, QUERY_DOMAIN_KMEM_USED, 0).value * PAGE_SIZE + CONFIG_KERNEL_HOST;
    uint64_t kernel = sys_query(ROOT_SLOT_SELF, QUERY_DOMAIN_KMEM_QUOTA, 0).value * PAGE_SIZE;
    struct config_machine machine = {.cpus = b->cpu_count,
                                     .memory = memory > reserve ? memory - reserve : 0,
                                     .kernel_memory = kernel > spent ? kernel - spent : 0,
                                     .module = modules};
    for (unsigned i = 0; i < b->module_count && i < BOOT_MODULES_MAX; i++)
        modules[machine.module_count++] = (struct config_module){module_name(i), b->module[i].size};

    config_defaults(&root_config);
    const struct boot_module *m = find_config();
    if (m == NULL) {
        root_log(LOG_WARN, "no module is called '" CONFIG_NAME "', so no guest is configured; only the shell runs");
        return;
    }
    uint64_t skew = m->base & PAGE_MASK;
    enum error e = m->size == 0
                       ? OK
                       : sys_map(ROOT_SLOT_SELF, ROOT_CONFIG_VA, m->slot, 0, page_up(skew + m->size), RIGHT_READ);
    if (e != OK) {
        root_log(LOG_ERROR, "'" CONFIG_NAME "' cannot be read: %s", error_text(e));
        return;
    }
    config_parse(&root_config, (const char *)ROOT_CONFIG_VA + skew, m->size, &machine, print_mistake, NULL);
    if (root_config.mistakes != 0)
        root_log(LOG_WARN, "%s has %u mistake%s; %u guest%s left out, %u stand%s", CONFIG_NAME, root_config.mistakes,
                 root_config.mistakes == 1 ? "" : "s", root_config.left_out,
                 root_config.left_out == 1 ? " is" : "s are", root_config.guest_count,
                 root_config.guest_count == 1 ? "s" : "");
    else if (root_config.guest_count == 0)
        root_log(LOG_WARN, CONFIG_NAME " describes no guest; only the shell runs");
}

static void start_services(void)
{
    for (struct service *s = service_first(); s != NULL; s = s->next)
        if (s->row->start == SERVICE_AT_BOOT)
            (void)service_start(s); /* what fails has been logged; the others run */
}

/* Waits for bells, and for what is due. A round: services first, since what the shell asks for may be work for the
 * guests. Root comes first on CPU 0, and any monitor may ring: so it rests a millisecond after each round, and longer
 * where it has looked for long in vain. Then none can use root to keep the CPU from others. */
static noreturn void serve(void)
{
    uint64_t bits = ~0ull;
    for (;;) {
        services_watch();
        errors_look();
        requests_take();
        uint64_t before = tsc_now();
        uint64_t rest = ticks_of_ms(1);
        if (guests_look(bits) != 0)
            rest = max_u64(rest, min_u64((tsc_now() - before) * VAIN_REST, ticks_of_ms(VAIN_MS)));
        uint64_t again = guests_work(audit_looks());
        if (guests_reshaped())
            audit_due();
        again = min_u64(again, audit_work(guests_idle()));
        again = min_u64(again, requests_answer());
        again = min_u64(again, drivers_work(bits));
        root_rest(rest);
        /* `again` 0: as long a rest as the work took, for the same reason. */
        uint64_t deadline = again == 0 ? tsc_now() + ROOT_BOOT->tsc_khz / 2 : again;
        struct syscall_result r = sys_event_wait(root_event, ~0ull, deadline);
        bits = r.error == OK ? r.value : 0;
    }
}

void thread_main(uint64_t argument)
{
    (void)argument;
    const struct root_boot *b = ROOT_BOOT;
    root_config.log_level = LOG_INFO;
    if (b->magic != ROOT_BOOT_MAGIC || b->abi_version != MULLION_ABI_VERSION) {
        log_printf(ROOT_SLOT_LOG, "error: root and the kernel are of different versions; nothing can be started\n");
        return;
    }
    struct syscall_result event = sys_event_create(), rest = sys_event_create();
    if (event.error != OK || rest.error != OK) {
        root_log(LOG_ERROR, "cannot make an event: %s", error_text(event.error != OK ? event.error : rest.error));
        return;
    }
    root_event = event.value;
    rest_event = rest.value;
    hardware_init();
    power_init();
    clock_init();
    ram_init();
    if (!programs_init())
        return;
    boot_report();
    read_config();
    if (b->backend[0] == 0) {
        char why[LACK_TEXT_BYTES];
        lack_text(b->lacks, why, sizeof why);
        root_log(LOG_ERROR, "this machine cannot run guests: %s", why);
    }
    console_init();
    audit_init();
    regions_init();
    for (unsigned i = 0; i < root_config.guest_count; i++)
        (void)guest_add(&root_config.guest[i]); /* what fails has been logged; the console comes later */
    if (pci_ports_open())
        pci_init();
    if (test_services_add != NULL)
        test_services_add();
    start_services();
    speculation_report(); /* now that the console has the log: ring 0 would send these lines byte by byte */
    guests_autostart();
    root_log(LOG_DEBUG, "root is set up, %llu ms after the kernel's entry",
             (unsigned long long)(b->tsc_khz ? (tsc_now() - b->entry_tsc) / b->tsc_khz : 0));

    serve();
}
