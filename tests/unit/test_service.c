// SPDX-License-Identifier: Apache-2.0
// sources: services/root/service.c lib/print.c lib/string.c
/*
 * Root's services, with a kernel that this test plays: what a row promises is given, in the service's own domain; a
 * call that fails leaves nothing behind and the log names the step; a service that dies is started again by its row,
 * its clients are told, and one that dies too often stays away. Services are placed on their CPUs in turn.
 */
#define _DEFAULT_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>
#include "lib/print.h"
#include "lib/syscall.h"
#include "services/root/service.h"

#define CALLS_MAX  256
#define FIRST_MADE 1000
#define PORTS      7 /* some fixed slots of root's */
#define RING       8
#define RING_BYTES 0x10000

uint64_t root_event = 900;
struct config root_config;

static struct {
    enum syscall number;
    uint64_t a[6];
} call[CALLS_MAX];
static unsigned calls, fail_at;     /* fail_at: the number of the call that fails, counted from 1; 0: none */
static uint64_t next_handle, alive; /* alive: domains and memory that were made and not destroyed */
static enum domain_state domain_state;
static uint64_t window_ticks; /* of "ms": the clock is the host's TSC, so time is bent by this */
static char said[2048];
static unsigned filled, died_count, began_count;
static bool ports_wanted, damaged;

struct syscall_result syscall6(enum syscall number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
                               uint64_t f)
{
    struct syscall_result ok = {OK, 0};
    assert_in_range(calls, 0, CALLS_MAX - 1);
    call[calls].number = number;
    memcpy(call[calls].a, (uint64_t[]){a, b, c, d, e, f}, sizeof call->a);
    if (++calls == fail_at && number != SYS_DESTROY && number != SYS_HANDLE_CLOSE)
        return (struct syscall_result){E_QUOTA, 0};
    switch (number) {
    case SYS_DOMAIN_CREATE:
        alive++;
        domain_state = DOMAIN_RUNNING;
        return (struct syscall_result){OK, next_handle++};
    case SYS_EVENT_CREATE:
    case SYS_THREAD_CREATE: return (struct syscall_result){OK, next_handle++};
    case SYS_DESTROY: alive--; return ok;
    case SYS_QUERY:
        if (b == QUERY_DOMAIN_STATE)
            return (struct syscall_result){OK, domain_state};
        return (struct syscall_result){OK, b == QUERY_MEMORY_SIZE ? RING_BYTES : 0x401234};
    default: return ok;
    }
}

/* ---- the rest of root */

void root_log(enum log_level level, const char *text, ...)
{
    (void)level;
    size_t used = strlen(said);
    va_list arguments;
    va_start(arguments, text);
    format_list(said + used, sizeof said - used, text, arguments);
    va_end(arguments);
}
const char *error_text(enum error e)
{
    return e == E_QUOTA ? "quota" : "other";
}
uint64_t ticks_of_ms(uint64_t ms)
{
    return ms * window_ticks;
}
uint64_t ram_place_private(uint64_t bytes)
{
    return bytes != 0 ? 0x1000000 : 0;
}
uint64_t ram_carve(uint64_t hpa, uint64_t size, uint32_t tag)
{
    (void)hpa, (void)size, (void)tag;
    alive++;
    return next_handle++;
}
uint64_t ram_shared(uint64_t va, uint64_t size, uint32_t tag)
{
    assert_int_equal(tag, TAG_SHARED(77));
    assert_ptr_equal(mmap((void *)va, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
                     (void *)va);
    return next_handle++;
}
bool program_find(const char *name, struct program *out)
{
    assert_string_equal(name, "tried");
    *out = (struct program){.entry = 0x400100, .private_bytes = 0x3000, .tables = 5};
    return true;
}
enum error program_load(const struct program *p, uint64_t domain, uint64_t memory, uint64_t offset)
{
    (void)p, (void)domain, (void)memory, (void)offset;
    return damaged ? E_ARG : OK;
}

/* ---- a service */

static bool want_ports(void)
{
    return ports_wanted;
}
static void fill(struct service *s)
{
    assert_int_equal(s->page[0], 0); /* nothing of the one before */
    s->page[0] = 1;
    filled++;
}
static enum error give(struct service *s)
{
    service_step(s, "its %s cannot be given", "extra");
    return service_grant(s, 555, RIGHT_SIGNAL, 30);
}
static void died(struct service *s)
{
    assert_false(s->alive);
    died_count++;
}
static void began(struct service *s)
{
    assert_true(s->alive);
    began_count++;
}

static const struct service_grant grants[] = {
    {SERVICE_SELF, RIGHT_MAP, 1, NULL, NULL},
    {SERVICE_EVENT, RIGHT_WAIT, 2, NULL, NULL},
    {SERVICE_ROOT_EVENT, RIGHT_SIGNAL, 3, NULL, NULL},
    {PORTS, RIGHT_MAP, 4, want_ports, "it has no ports"},
};
static const struct service_mapping mappings[] = {
    {0x10000000, SERVICE_SHARED, RIGHT_READ, 0x1000, 0x1000},
    {0x20000000, RING, RIGHT_READ, 0x2000, 0},
};
static struct service_row row;
static struct service *tried;

static int setup(void **state)
{
    (void)state;
    static struct service all[32];
    static unsigned used;
    row = (struct service_row){.name = "tried",
                               .title = "the tried one",
                               .tag = 77,
                               .start = SERVICE_AT_BOOT,
                               .priority = 5,
                               .budget_us = 100,
                               .period_us = 200,
                               .stack_top = 0x11000000,
                               .stack_bytes = 0x4000,
                               .shared_bytes = 0x2000,
                               .quota_pages = 40,
                               .grants = grants,
                               .grant_count = ARRAY_SIZE(grants),
                               .mappings = mappings,
                               .mapping_count = ARRAY_SIZE(mappings),
                               .fill = fill,
                               .give = give,
                               .died = died,
                               .began = began};
    memset(&root_config, 0, sizeof root_config);
    cpuset_set(&root_config.service_cpus, 0);
    calls = fail_at = filled = died_count = began_count = 0;
    alive = 0;
    next_handle = FIRST_MADE;
    window_ticks = 1ull << 30; /* a window is an age */
    ports_wanted = damaged = false;
    said[0] = 0;
    for (struct service *s = service_first(); s != NULL; s = s->next)
        s->alive = false; /* those of the tests before */
    tried = &all[used++];
    service_add(tried, &row);
    return 0;
}

static unsigned count_of(enum syscall number, unsigned argument, uint64_t value)
{
    unsigned n = 0;
    for (unsigned i = 0; i < calls; i++)
        n += call[i].number == number && call[i].a[argument] == value;
    return n;
}

static bool granted(uint64_t handle, uint64_t rights, uint64_t slot)
{
    for (unsigned i = 0; i < calls; i++)
        if (call[i].number == SYS_HANDLE_GRANT && call[i].a[0] == tried->domain && call[i].a[1] == handle &&
            call[i].a[2] == rights && call[i].a[3] == slot)
            return true;
    return false;
}

static bool mapped(uint64_t address, uint64_t memory, uint64_t offset, uint64_t size)
{
    for (unsigned i = 0; i < calls; i++)
        if (call[i].number == SYS_MAP && call[i].a[0] == tried->domain && call[i].a[1] == address &&
            call[i].a[2] == memory && call[i].a[3] == offset && call[i].a[4] == size)
            return true;
    return false;
}

static void test_what_it_is_given(void **state)
{
    (void)state;
    assert_true(service_start(tried));
    assert_true(tried->alive && filled == 1 && said[0] == 0);
    assert_true(granted(tried->domain, RIGHT_MAP, 1) && granted(tried->event, RIGHT_WAIT, 2));
    assert_true(granted(root_event, RIGHT_SIGNAL, 3) && granted(555, RIGHT_SIGNAL, 30));
    assert_false(granted(PORTS, RIGHT_MAP, 4)); /* not wanted */
    assert_int_equal(count_of(SYS_HANDLE_GRANT, 0, tried->domain), 4);
    assert_true(mapped(0x10000000, tried->shared, 0x1000, 0x1000));
    assert_true(mapped(0x20000000, RING, 0x2000, RING_BYTES - 0x2000));
    assert_true(mapped(0x11000000 - 0x4000, tried->memory, 0x3000, 0x4000));
    assert_int_equal(count_of(SYS_MAP, 0, tried->domain), 3);
    assert_int_equal(count_of(SYS_DOMAIN_CREATE, 0, 45), 1);
    assert_int_equal(count_of(SYS_DOMAIN_CREATE, 3, 77 | DOMAIN_OWN_CODE), 1);
    assert_int_equal(count_of(SYS_DOMAIN_CPU, 0, tried->domain), 1);
    assert_int_equal(count_of(SYS_DOMAIN_CPU, 1, 0), 1);
    assert_int_equal(count_of(SYS_THREAD_CREATE, 1, 0x400100), 1);
    unsigned before = calls;
    assert_true(service_start(tried)); /* it runs */
    assert_int_equal(calls, before);
}

static void test_each_failure(void **state)
{
    unsigned whole = 0;
    for (unsigned n = 1;; n++) {
        setup(state);
        calls = 0;
        fail_at = n;
        bool runs = service_start(tried);
        if (runs && calls < n)
            break; /* there was no n-th call */
        whole++;
        assert_false(runs);
        assert_int_equal(alive, 0);
        assert_true(tried->domain == 0 && tried->memory == 0 && tried->thread == 0);
        assert_non_null(strstr(said, "the tried one cannot be started: "));
        assert_non_null(strstr(said, ": quota"));
    }
    assert_in_range(whole, 9, 12);
}

static void test_the_step_is_named(void **state)
{
    (void)state;
    damaged = true;
    assert_false(service_start(tried));
    assert_non_null(strstr(said, "its program cannot be loaded: other"));
    assert_int_equal(alive, 0);
}

static void test_what_is_optional(void **state)
{
    (void)state;
    ports_wanted = true;
    assert_true(service_start(tried));
    assert_true(granted(PORTS, RIGHT_MAP, 4));
    unsigned at = 0;
    while (!(call[at].number == SYS_HANDLE_GRANT && call[at].a[1] == PORTS))
        at++;
    setup(state);
    ports_wanted = true;
    fail_at = at + 1;
    assert_true(service_start(tried));
    assert_string_equal(said, "it has no ports");
}

static void test_it_dies(void **state)
{
    (void)state;
    assert_true(service_start(tried));
    services_watch();
    assert_int_equal(died_count, 0);
    for (unsigned n = 1; n <= 3; n++) {
        said[0] = 0;
        domain_state = DOMAIN_FAULTED;
        services_watch();
        assert_true(tried->alive);
        assert_true(died_count == n && began_count == n && filled == n + 1);
        assert_string_equal(
            said, "the tried one has crashed (exception 52, error 0x0) at 0x401234, address 0x401234; it is started "
                  "again");
        assert_int_equal(alive, 2); /* one domain, its memory */
    }
    said[0] = 0;
    domain_state = DOMAIN_EXITED;
    services_watch();
    assert_false(tried->alive);
    assert_int_equal(alive, 0);
    assert_true(died_count == 4 && began_count == 3);
    assert_non_null(strstr(said, "too often; it stays away"));
    assert_false(service_start(tried));
    window_ticks = 0; /* that was long ago */
    assert_true(service_start(tried));
}

static void test_on_demand(void **state)
{
    (void)state;
    row.start = SERVICE_ON_DEMAND;
    assert_true(service_start(tried));
    service_failed(tried, "does not answer");
    assert_string_equal(said, "the tried one does not answer");
    assert_true(!tried->alive && died_count == 1 && began_count == 0 && alive == 0);
    assert_true(service_start(tried)); /* by the next that wants it */
}

/* In turn on the CPUs of the key; and there again after a death. Guests that share a CPU with services are named. */
static void test_its_cpu(void **state)
{
    static struct service more[5];
    static const unsigned wanted[] = {2, 3, 700, 2, 3};
    (void)state;
    assert_int_equal(tried->cpu, 0);
    root_config.service_cpus = (struct cpuset){{0}};
    cpuset_set(&root_config.service_cpus, 2);
    cpuset_set(&root_config.service_cpus, 3);
    cpuset_set(&root_config.service_cpus, 700);
    for (unsigned i = 0; i < ARRAY_SIZE(more); i++) {
        service_add(&more[i], &row);
        assert_int_equal(more[i].cpu, wanted[i]);
    }
    tried = &more[2];
    for (unsigned lives = 1; lives <= 2; lives++) {
        assert_true(service_start(tried));
        assert_int_equal(count_of(SYS_DOMAIN_CPU, 1, 700), lives);
        assert_int_equal(count_of(SYS_THREAD_CREATE, 4, SCHED_PLACE(700, 5)), lives); /* its CPU, its row's priority */
        domain_state = DOMAIN_FAULTED;
        if (lives == 1)
            services_watch();
    }
    root_config.guest_count = 2;
    strcpy(root_config.guest[0].name, "web");
    cpuset_set(&root_config.guest[0].cpus, 1); /* its own */
    cpuset_set(&root_config.guest[0].cpus, 3);
    strcpy(root_config.guest[1].name, "batch");
    cpuset_set(&root_config.guest[1].cpus, 700);
    said[0] = 0;
    services_log_sharing(&root_config.guest[0]);
    services_log_sharing(&root_config.guest[1]);
    assert_string_equal(said, "guest web shares CPU 3 with services, which come first there: tried, tried"
                              "guest batch shares CPU 700 with services, which come first there: tried");
    cpuset_set(&root_config.guest[1].cpus, 0);
    services_log_sharing(&root_config.guest[1]);
    assert_non_null(strstr(said, "guest batch shares CPU 0 with services, which come first there: root, tried"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_what_it_is_given, setup),  cmocka_unit_test(test_each_failure),
        cmocka_unit_test_setup(test_the_step_is_named, setup), cmocka_unit_test_setup(test_what_is_optional, setup),
        cmocka_unit_test_setup(test_it_dies, setup),           cmocka_unit_test_setup(test_on_demand, setup),
        cmocka_unit_test_setup(test_its_cpu, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
