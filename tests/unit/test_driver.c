// SPDX-License-Identifier: Apache-2.0
// sources: services/root/driver.c services/root/device_report.c lib/proto/records.c lib/proto/channel.c lib/print.c
// sources: lib/string.c
/*
 * What root does for drivers: which pages of a BAR a driver gets, above all not those of an MSI-X table; what it may
 * ask for; interrupt lines that several of them share; the order of things when one dies. This test plays the kernel,
 * the services and the bus.
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
#include "services/root/answers.h"
#include "services/root/driver.h"
#include "services/root/hardware.h"
#include "tests/unit/root_boot_here.h"

#define BASE      0xfe000000ull
#define TAG       TAG_DEVICE(3)
#define DMA       0x8000u
#define DMA_HPA   0x7000000u
#define FUNCTIONS 4
#define DRIVERS   64
#define VECTOR    0x51
#define CPU       2 /* where its service runs */

uint64_t root_event = 900;
struct isa_line isa_lines[ISA_LINES];

/* Each test has its own: drivers are never taken back. */
static struct pci_function all[FUNCTIONS * DRIVERS], *functions = all;
static unsigned function_count;
static struct driver drivers[DRIVERS];
static unsigned driver_count;
static struct driver_row row;
static struct driver *tried;

/* What was done, a word each. */
static char did[2048];
static void note(const char *text, ...)
{
    size_t used = strlen(did);
    va_list arguments;
    va_start(arguments, text);
    format_list(did + used, sizeof did - used, text, arguments);
    va_end(arguments);
}
#define assert_did(text)                \
    do {                                \
        assert_string_equal(did, text); \
        did[0] = 0;                     \
    } while (0)

/* ---- the kernel */

static uint64_t next_handle = 1000, window_ticks;
static struct {
    uint64_t base, size, handle;
} memory[8];
static unsigned memory_count;
static bool refuse_memory;

struct syscall_result syscall6(enum syscall number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
                               uint64_t f)
{
    (void)c, (void)d, (void)e, (void)f;
    switch (number) {
    case SYS_QUERY:
        assert_int_equal(b, QUERY_IRQ_MESSAGE);
        return (struct syscall_result){OK, 0xfee0000000000000ull | VECTOR};
    case SYS_IRQ_ACK: note("unmask "); break;
    case SYS_IRQ_BIND: note("bind "); break;
    case SYS_DESTROY: note("destroy "); break;
    case SYS_EVENT_SIGNAL:
        note("%s ", b == DRIVER_EVENT_LINE ? "tell" : b == DRIVER_EVENT_ANSWER ? "answer" : "?");
        break;
    case SYS_PORTS_OPEN: note("ports%llu ", (unsigned long long)b); break;
    case SYS_HANDLE_CLOSE: break;
    default: fail_msg("call %d of 0x%llx", (int)number, (unsigned long long)a);
    }
    return (struct syscall_result){OK, 0};
}
uint64_t hardware_memory(uint64_t base, uint64_t size, uint32_t tag)
{
    assert_int_equal(tag, TAG);
    assert_true(size != 0 && base % PAGE_SIZE == 0 && size % PAGE_SIZE == 0);
    if (refuse_memory)
        return 0;
    assert_true(memory_count < 8);
    memory[memory_count].base = base;
    memory[memory_count].size = size;
    return memory[memory_count++].handle = next_handle++;
}
uint64_t hardware_ports(uint16_t first, uint16_t last)
{
    note("%x-%x ", first, last);
    return 33;
}
uint64_t hardware_line(uint32_t gsi, uint32_t how, unsigned cpu)
{
    assert_int_equal(cpu, 0);
    note("line%u:%u ", gsi, how);
    return next_handle++;
}
uint64_t hardware_message(unsigned cpu)
{
    assert_int_equal(cpu, CPU);
    return 44;
}

/* ---- the rest of root */

void root_log(enum log_level level, const char *text, ...)
{
    (void)text;
    assert_int_equal(level, LOG_WARN);
    note("warning ");
}
uint64_t ticks_of_ms(uint64_t ms)
{
    return ms * window_ticks;
}
void root_rest(uint64_t ticks)
{
    assert_int_equal(ticks, ticks_of_ms(PCI_RESET_MS));
    note("rest ");
}
uint64_t ram_place_private(uint64_t bytes)
{
    assert_int_equal(bytes, DMA);
    return DMA_HPA;
}
uint64_t ram_carve(uint64_t hpa, uint64_t size, uint32_t tag)
{
    assert_true(hpa == DMA_HPA && size == DMA && tag == 77);
    return 55;
}
void service_add(struct service *s, const struct service_row *r)
{
    s->row = r;
    s->event = 60;
    s->cpu = CPU;
    s->page = mmap(NULL, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(s->page, MAP_FAILED);
}
void service_step(struct service *s, const char *text, ...)
{
    (void)s, (void)text;
}
enum error service_grant(struct service *s, uint64_t handle, uint64_t rights, uint64_t slot)
{
    (void)s;
    assert_true(handle == 44 && rights == RIGHT_SIGNAL && slot == DRIVER_SLOT_MESSAGE);
    note("message ");
    return OK;
}
/* The kernel would refuse what is not within the object. */
enum error service_map(struct service *s, uint64_t address, uint64_t handle, uint64_t offset, uint64_t size,
                       uint64_t rights)
{
    (void)s;
    assert_int_equal(offset, 0);
    if (handle == 55) {
        assert_true(address == DRIVER_DMA_VA && size == DMA && rights == (RIGHT_READ | RIGHT_WRITE));
        return OK;
    }
    assert_true(rights == (RIGHT_READ | RIGHT_WRITE | MAP_UNCACHED) ||
                rights == (RIGHT_READ | RIGHT_WRITE | MAP_COMBINING));
    for (unsigned i = 0; i < memory_count; i++)
        if (memory[i].handle == handle) {
            assert_int_equal(size, memory[i].size);
            note("%llx+%llx@%llx ", (unsigned long long)memory[i].base, (unsigned long long)size,
                 (unsigned long long)(address - DRIVER_BAR_VA(0)));
            return OK;
        }
    return E_HANDLE;
}
void service_failed(struct service *s, const char *how)
{
    assert_non_null(strstr(how, "has not answered"));
    s->alive = false;
    note("failed ");
    s->row->died(s);
}

/* ---- the bus */

unsigned pci_count(void)
{
    return function_count;
}
struct pci_function *pci_function(unsigned n)
{
    return n < function_count ? &functions[n] : NULL;
}
struct pci_function *pci_find(uint16_t vendor, uint16_t device, unsigned n)
{
    assert_int_equal(n, 0);
    for (unsigned i = 0; i < function_count; i++)
        if (functions[i].vendor == vendor && functions[i].device == device && functions[i].owner == NULL)
            return &functions[i];
    return NULL;
}
static bool master, by_message;
void pci_master(struct pci_function *f, bool on)
{
    (void)f;
    master = on;
}
void pci_use_line(struct pci_function *f)
{
    (void)f;
    by_message = false;
}
bool pci_use_message(struct pci_function *f, uint64_t message)
{
    assert_int_equal(message & 0xff, VECTOR);
    by_message = f->msi != 0;
    return by_message;
}
bool pci_is_master(const struct pci_function *f)
{
    (void)f;
    return master;
}
bool pci_uses_message(const struct pci_function *f)
{
    (void)f;
    return by_message;
}
void pci_silence(struct pci_function *f)
{
    (void)f;
    by_message = master = false;
    note("silence ");
}
bool pci_reset(struct pci_function *f)
{
    if (f->has_reset)
        note("reset ");
    return f->has_reset;
}
void pci_restore(struct pci_function *f)
{
    (void)f;
    note("restore ");
}

/* ---- a function and its driver */

static int setup(void **state)
{
    (void)state;
    struct root_boot *b = (struct root_boot *)ROOT_BOOT_VA;
    (void)map_root_boot();
    b->tsc_khz = 1000;
    for (unsigned i = 0; i < 16; i++) {
        isa_lines[i].gsi = i + 100;
        isa_lines[i].how = i == 9 ? LINE_LEVEL : 0;
    }
    for (unsigned i = 0; i < driver_count; i++)
        drivers[i].service.alive = false; /* those of the tests before */
    row = (struct driver_row){.service = {DRIVER_SERVICE, .give = driver_give, .title = "the tried driver", .tag = 77},
                              .vendor = 0x1234,
                              .device = 0x5678,
                              .role = 1,
                              .device_tag = TAG,
                              .dma_bytes = DMA};
    functions += FUNCTIONS;
    assert_true(functions < &all[FUNCTIONS * DRIVERS]);
    functions[0] = (struct pci_function){.vendor = 0x1234, .device = 0x5678, .class = 0x010802, .place = 5 << 3};
    functions[0].bar[0] = (struct pci_bar){.base = BASE, .size = 0x4000};
    function_count = 1;
    memory_count = 0;
    refuse_memory = master = by_message = false;
    window_ticks = 1ull << 40; /* a millisecond is an age */
    did[0] = 0;
    return 0;
}

static struct driver_boot *boot(void)
{
    return (struct driver_boot *)(void *)tried->service.page;
}
static struct driver_control *control(const struct driver *d)
{
    return (struct driver_control *)(void *)(d->service.page + PAGE_SIZE);
}

static void begin(void)
{
    assert_true(driver_count < DRIVERS);
    tried = &drivers[driver_count++];
    assert_true(driver_add(tried, &row));
    driver_fill(&tried->service);
    assert_int_equal(driver_give(&tried->service), OK);
    tried->service.alive = true;
}

static void assert_hole(uint64_t at, uint64_t bytes)
{
    assert_int_equal(boot()->bar[0].hole_at, at);
    assert_int_equal(boot()->bar[0].hole_bytes, bytes);
}

/* ---- what it gets of a BAR */

static void table(uint32_t at, uint32_t bytes)
{
    functions[0].msix = 0x50;
    functions[0].table_at = at;
    functions[0].table_bytes = bytes;
}

static void all_of_it(void **state)
{
    (void)state;
    functions[0].bar[2] = (struct pci_bar){.base = 0x800000000, .size = 0x100000, .combining = true};
    functions[0].bar[4] = (struct pci_bar){.base = 0xc000, .size = 0x40, .ports = true};
    functions[0].msi = 0x40;
    begin();
    assert_did("c000-c03f fe000000+4000@0 800000000+100000@2000000000 ports33 message ");
    assert_hole(0, 0);
    assert_true(boot()->magic == DRIVER_BOOT_MAGIC && boot()->role == 1 && boot()->message == 1 && boot()->line == 0);
    assert_true(boot()->dma_hpa == DMA_HPA && boot()->dma_bytes == DMA);
    assert_true(boot()->bar[4].ports && boot()->bar[4].base == 0xc000 && boot()->bar[4].size == 0x40);
    assert_int_equal(boot()->bar[1].size, 0);
    assert_string_equal(functions[0].owner, "the tried driver");
    struct driver other;
    assert_false(driver_add(&other, &row)); /* there is one such function only */
}

static void a_table_in_the_middle(void **state)
{
    (void)state;
    table(0x1000, 0x1000);
    begin();
    assert_did("fe000000+1000@0 fe002000+2000@2000 ");
    assert_hole(0x1000, 0x1000);
    assert_int_equal(boot()->bar[0].size, 0x4000);
}

/* Registers that share a page with the table are lost, and the log says so. */
static void a_table_among_registers(void **state)
{
    (void)state;
    table(0x2ff0, 0x20);
    begin();
    assert_did("warning warning fe000000+2000@0 ");
    assert_hole(0x2000, 0x2000);
}

static void a_table_at_the_beginning(void **state)
{
    (void)state;
    table(0, 0x2000);
    begin();
    assert_did("fe002000+2000@2000 ");
    assert_hole(0, 0x2000);
}

static void a_table_and_nothing_else(void **state)
{
    (void)state;
    table(0, 0x4000);
    begin();
    assert_did("");
    assert_int_equal(boot()->bar[0].size, 0);
}

/* A BAR that is no whole page, with the table in it: nothing of that page. */
static void a_small_bar(void **state)
{
    (void)state;
    functions[0].bar[0] = (struct pci_bar){.base = BASE + 0x100, .size = 0x100};
    table(0x80, 0x40);
    begin();
    assert_did("warning warning ");
    assert_hole(0, 0x1000);
    assert_int_equal(boot()->bar[0].size, 0);
}

/* Its last page is the device's as well: the address is a page's part. */
static void a_small_bar_without_table(void **state)
{
    (void)state;
    functions[0].bar[0] = (struct pci_bar){.base = BASE + 0x100, .size = 0x100};
    functions[0].table_bar = 2;
    table(0x80, 0x40); /* in another BAR, which there is not */
    begin();
    assert_did("fe000000+1000@0 ");
    assert_hole(0, 0);
}

/* The device says where its table is, and may lie. */
static void a_table_out_of_place(void **state)
{
    static const struct {
        uint32_t at, bytes;
        const char *did;
    } cases[] = {
        {0x4000, 0x1000, "fe000000+4000@0 "},     /* right behind */
        {0xfffffff8, 0x8000, "fe000000+4000@0 "}, /* far behind */
        {0x3000, 0x8000, "fe000000+3000@0 "},     /* beyond the end */
        {0x7ffffff8, 0x10, "fe000000+4000@0 "},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        setup(state);
        table(cases[i].at, cases[i].bytes);
        begin();
        assert_did(cases[i].did);
        assert_true(boot()->bar[0].hole_at + boot()->bar[0].hole_bytes <= 0x4000);
    }
}

/* Small BARs of two functions on one page, and the other one's table is there. */
static void another_functions_table(void **state)
{
    (void)state;
    functions[0].bar[0] = (struct pci_bar){.base = BASE + 0x100, .size = 0x100};
    functions[1] = (struct pci_function){.vendor = 1, .device = 2, .msix = 0x50, .table_bar = 1, .table_bytes = 0x40};
    functions[1].bar[1] = (struct pci_bar){.base = BASE + 0x800, .size = 0x100};
    function_count = 2;
    begin();
    assert_did("warning ");
    assert_int_equal(boot()->bar[0].size, 0);
    setup(state);
    functions[1] = (struct pci_function){.vendor = 1, .device = 2, .msix = 0x50, .table_bar = 1, .table_bytes = 0x40};
    functions[1].bar[1] = (struct pci_bar){.base = BASE + 0x4000, .size = 0x100};
    function_count = 2;
    begin();
    assert_did("fe000000+4000@0 ");
    setup(state);
    functions[1] = (struct pci_function){.vendor = 1, .device = 2, .msix = 0x50, .table_bar = 7, .table_bytes = 0x40};
    function_count = 2;
    begin();
    assert_did("fe000000+4000@0 ");
}

static void memory_of_another(void **state)
{
    (void)state;
    refuse_memory = true; /* the pages are another object's */
    begin();
    assert_int_equal(boot()->bar[0].size, 0);
    assert_did("");
}

/* ---- what it may ask for */

static enum error ask(uint32_t request, uint32_t value)
{
    struct driver_control *c = control(tried);
    uint32_t number = c->asked + 1;
    c->request = request;
    c->value = value;
    c->asked = number;
    c->result = 999;
    (void)drivers_work(0);
    if (c->answered == number)
        return (enum error)c->result;
    assert_int_equal(c->result, 999);
    return E_AGAIN;
}

static void requests(void **state)
{
    (void)state;
    begin();
    did[0] = 0;
    assert_int_equal(ask(DRIVER_MASTER, 1), OK);
    assert_true(master);
    assert_int_equal(ask(DRIVER_MASTER, 0), OK);
    assert_false(master);
    assert_int_equal(ask(DRIVER_USE_MESSAGE, 0), E_UNSUPPORTED); /* it has no MSI */
    assert_int_equal(ask(DRIVER_USE_LINE, 0), E_UNSUPPORTED);    /* and no pin */
    assert_int_equal(ask(DRIVER_RESET, 0), E_UNSUPPORTED);
    assert_int_equal(ask(DRIVER_NOTHING, 0), E_ARG);
    assert_int_equal(ask(~0u, ~0u), E_ARG);
    assert_did("answer answer answer answer answer answer answer ");
    (void)drivers_work(0); /* nothing new is asked */
    tried->service.alive = false;
    control(tried)->asked++;
    (void)drivers_work(0);
    assert_did("");
}

static void a_reset_takes_its_time(void **state)
{
    (void)state;
    functions[0].has_reset = true;
    begin();
    did[0] = 0;
    assert_int_equal(ask(DRIVER_RESET, 0), E_AGAIN);
    uint64_t due = drivers_work(0);
    assert_true(due != NEVER && due == tried->reset_until);
    assert_did("reset ");
    tried->reset_until = 1; /* it is over */
    assert_int_equal(drivers_work(0), NEVER);
    assert_did("restore answer ");
    assert_int_equal(control(tried)->result, OK);
}

static struct device_record report(void)
{
    union record r;
    struct cursor at = {0};
    assert_true(devices_next(&at, &r));
    union record more;
    for (unsigned i = 1; i < function_count; i++)
        assert_true(devices_next(&at, &more));
    assert_false(devices_next(&at, &more));
    assert_int_equal(r.head.kind, RECORD_DEVICE);
    return r.device;
}

static void what_the_shell_shows(void **state)
{
    (void)state;
    functions[0].msi = 0x40;
    functions[0].pin = 2;
    functions[0].line = 3;
    struct device_record d = report();
    assert_true(d.place == 5 << 3 && d.vendor == 0x1234 && d.device == 0x5678 && d.class == 0x010802 && d.pin == 2);
    assert_true(d.messages == DEVICE_MSI && d.driver[0] == 0 && !d.driven && d.interrupt == DEVICE_QUIET);
    begin();
    d = report();
    assert_string_equal(d.driver, "the tried driver");
    assert_true(d.driven && !d.master && d.interrupt == DEVICE_QUIET);
    assert_int_equal(ask(DRIVER_USE_LINE, 0), OK);
    d = report();
    assert_true(d.interrupt == DEVICE_BY_LINE && d.number == 103 && d.cpu == 0);
    assert_int_equal(ask(DRIVER_USE_MESSAGE, 0) + ask(DRIVER_MASTER, 1), OK);
    d = report();
    assert_true(d.interrupt == DEVICE_BY_MESSAGE && d.number == VECTOR && d.cpu == CPU && d.master);
    tried->service.alive = false;
    driver_died(&tried->service);
    d = report();
    assert_true(d.interrupt == DEVICE_QUIET && !d.driven && !d.master);
    functions[0].pin = 9; /* what a device may say */
    functions[0].msix = 0x60;
    d = report();
    assert_true(d.pin == 0 && d.messages == (DEVICE_MSI | DEVICE_MSIX));
}

/* ---- lines */

static struct driver *on_line(uint8_t line)
{
    struct pci_function *f = &functions[function_count - 1];
    f->pin = 1;
    f->line = line;
    begin();
    did[0] = 0;
    assert_int_equal(ask(DRIVER_USE_LINE, 0), OK);
    return tried;
}

static struct driver *beside(uint8_t line)
{
    functions[function_count] = (struct pci_function){.vendor = 0x1234, .device = 0x5678};
    function_count++;
    return on_line(line);
}

static void answers(const struct driver *d)
{
    control(d)->line_answered = control(d)->line_asked;
}

/* Lines are numbered as they are asked for: those of the tests before stay. */
static unsigned line_number = 1;

static void a_line_of_two(void **state)
{
    (void)state;
    struct driver *a = on_line(5);
    assert_did("line105:3 bind answer "); /* as PCI's are: level, low */
    struct driver *b = beside(5);
    assert_did("answer "); /* the same line */
    uint64_t bit = ROOT_EVENT_LINE(line_number);
    line_number++;
    uint64_t due = drivers_work(bit);
    assert_did("tell tell ");
    assert_true(due != NEVER);
    answers(a);
    assert_int_equal(drivers_work(0), due);
    assert_did("");
    (void)drivers_work(bit); /* while it is asked nothing is asked anew */
    assert_did("");
    answers(b);
    assert_int_equal(drivers_work(0), NEVER);
    assert_did("unmask ");
    /* The second time one of them is gone meanwhile. */
    (void)drivers_work(bit);
    answers(b);
    a->service.alive = false;
    driver_died(&a->service);
    did[0] = 0;
    assert_int_equal(drivers_work(0), NEVER);
    assert_did("unmask ");
    /* A driver that answers what was not asked gains nothing. */
    control(b)->line_answered += 5;
    (void)drivers_work(bit);
    assert_did("tell ");
    answers(b);
    (void)drivers_work(0);
    assert_did("unmask ");
}

static void one_is_silent(void **state)
{
    (void)state;
    struct driver *a = on_line(9);
    assert_did("line109:1 bind answer "); /* as firmware says */
    struct driver *b = beside(9);
    did[0] = 0;
    window_ticks = 0; /* at once it is late */
    uint64_t bit = ROOT_EVENT_LINE(line_number);
    line_number++;
    control(a)->line_answered = 1; /* it is quick */
    (void)drivers_work(bit);
    assert_did("tell tell failed silence destroy unmask ");
    assert_true(a->service.alive && !b->service.alive && b->line == 0 && b->dma == 0);
}

static void lines_that_cannot_be_had(void **state)
{
    (void)state;
    functions[0].pin = 1;
    functions[0].line = 16; /* firmware has routed it nowhere */
    begin();
    assert_int_equal(ask(DRIVER_USE_LINE, 0), E_UNSUPPORTED);
    functions[0].line = 0xff;
    assert_int_equal(ask(DRIVER_USE_LINE, 0), E_UNSUPPORTED);
    unsigned had = 0;
    for (uint8_t line = 0; line < 16; line++) {
        functions[0].line = line;
        had += ask(DRIVER_USE_LINE, 0) == OK;
    }
    assert_int_equal(had, 8); /* so many bits root's event has for them */
    functions[0].line = 5;    /* one that is there already */
    assert_int_equal(ask(DRIVER_USE_LINE, 0), OK);
}

/* ---- its end */

static void death(void **state)
{
    (void)state;
    functions[0].has_reset = true;
    begin();
    did[0] = 0;
    tried->service.alive = false;
    driver_died(&tried->service);
    assert_did("silence reset rest restore destroy "); /* nothing may write its memory when that is given up */
    assert_true(tried->dma == 0 && tried->line == 0);
    driver_fill(&tried->service); /* and again, with the same */
    assert_int_equal(driver_give(&tried->service), OK);
    assert_did("fe000000+4000@0 ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(all_of_it, setup),
        cmocka_unit_test_setup(a_table_in_the_middle, setup),
        cmocka_unit_test_setup(a_table_among_registers, setup),
        cmocka_unit_test_setup(a_table_at_the_beginning, setup),
        cmocka_unit_test_setup(a_table_and_nothing_else, setup),
        cmocka_unit_test_setup(a_small_bar, setup),
        cmocka_unit_test_setup(a_small_bar_without_table, setup),
        cmocka_unit_test(a_table_out_of_place),
        cmocka_unit_test_setup(another_functions_table, setup),
        cmocka_unit_test_setup(memory_of_another, setup),
        cmocka_unit_test_setup(requests, setup),
        cmocka_unit_test_setup(a_reset_takes_its_time, setup),
        cmocka_unit_test_setup(what_the_shell_shows, setup),
        cmocka_unit_test_setup(a_line_of_two, setup),
        cmocka_unit_test_setup(one_is_silent, setup),
        cmocka_unit_test_setup(lines_that_cannot_be_had, setup),
        cmocka_unit_test_setup(death, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
