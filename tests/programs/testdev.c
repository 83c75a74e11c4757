// SPDX-License-Identifier: Apache-2.0
/*
 * A driver service for QEMU's "edu" device, for tests: it computes, raises interrupts and copies memory as it is told.
 * Says in the log what works; then tries what nothing of ring 3 may do. Registers: QEMU's docs/specs/edu.
 */
#include "lib/log.h"
#include "lib/proto/driver_boot.h"
#include "lib/string.h"
#include "lib/syscall.h"

#define BOOT    ((const struct driver_boot *)DRIVER_BOOT_VA)
#define CONTROL ((struct driver_control *)DRIVER_CONTROL_VA)
#define SECOND  (BOOT->tsc_khz * 1000)

enum {
    REG_ID = 0x00,
    REG_INVERSE = 0x04,
    REG_FACTORIAL = 0x08,
    REG_STATUS = 0x20,
    REG_PENDING = 0x24,
    REG_RAISE = 0x60,
    REG_ACKNOWLEDGE = 0x64,
    REG_DMA_FROM = 0x80,
    REG_DMA_TO = 0x88,
    REG_DMA_COUNT = 0x90,
    REG_DMA_COMMAND = 0x98
};
#define ID              0x010000edu
#define STATUS_COMPUTES 1u
#define STATUS_TELL     0x80u /* raise an interrupt when it is computed */
#define DEVICE_BUFFER   0x40000u
#define DMA_START       1u
#define DMA_TO_MEMORY   2u
#define EVENT_MESSAGE   1ull
#define ROLE_SILENT     1u
#define COPY_BYTES      256u

void thread_main(uint64_t argument);

static volatile uint32_t *reg(unsigned offset)
{
    return (volatile uint32_t *)(DRIVER_BAR_VA(0) + offset);
}

static void say(const char *what, bool good)
{
    log_printf(DRIVER_SLOT_LOG, "testdev%u: %s: %s\n", BOOT->role, what, good ? "yes" : "NO");
}

static enum error ask(uint32_t request, uint32_t value)
{
    struct driver_control *c = CONTROL;
    c->request = request;
    c->value = value;
    uint32_t number = c->asked + 1;
    __atomic_store_n(&c->asked, number, __ATOMIC_RELEASE);
    (void)sys_event_signal(DRIVER_SLOT_ROOT_EVENT, BOOT->root_bits);
    uint64_t end = tsc_now() + 5 * SECOND;
    while (__atomic_load_n(&c->answered, __ATOMIC_ACQUIRE) != number)
        if (sys_event_wait(DRIVER_SLOT_EVENT, DRIVER_EVENT_ANSWER, end).error != OK)
            return E_TIMEOUT;
    return (enum error)c->result;
}

static void answer_line(void)
{
    __atomic_store_n(&CONTROL->line_answered, __atomic_load_n(&CONTROL->line_asked, __ATOMIC_ACQUIRE),
                     __ATOMIC_RELEASE);
    (void)sys_event_signal(DRIVER_SLOT_ROOT_EVENT, BOOT->root_bits);
}

/* Computes n! and waits for the interrupt that tells of it. */
static bool factorial(uint32_t n, uint32_t result, uint64_t event)
{
    *reg(REG_STATUS) = STATUS_TELL;
    *reg(REG_FACTORIAL) = n;
    uint64_t end = tsc_now() + 5 * SECOND;
    do { /* on a shared line it may be another's */
        if (sys_event_wait(DRIVER_SLOT_EVENT, event, end).error != OK)
            return false;
        uint32_t pending = *reg(REG_PENDING);
        *reg(REG_ACKNOWLEDGE) = pending;
        if (event == DRIVER_EVENT_LINE)
            answer_line();
        if (pending != 0)
            return *reg(REG_FACTORIAL) == result && !(*reg(REG_STATUS) & STATUS_COMPUTES);
    } while (tsc_now() < end);
    return false;
}

static void try_lines(void)
{
    say("it is the device", *reg(REG_ID) == ID);
    *reg(REG_INVERSE) = 0x12345678;
    say("registers", *reg(REG_INVERSE) == ~0x12345678u);
    say("line", ask(DRIVER_USE_LINE, 0) == OK);
    say("5! by line", factorial(5, 120, DRIVER_EVENT_LINE));
    say("7! by line", factorial(7, 5040, DRIVER_EVENT_LINE));
}

/* The device raises them as a bus master. */
static void try_messages(void)
{
    say("bound", sys_irq_bind(DRIVER_SLOT_MESSAGE, DRIVER_SLOT_EVENT, EVENT_MESSAGE) == OK);
    say("message", ask(DRIVER_USE_MESSAGE, 0) == OK);
    say("6! by message", factorial(6, 720, EVENT_MESSAGE));
    say("8! by message", factorial(8, 40320, EVENT_MESSAGE));
}

static bool copy(uint64_t from, uint64_t to, uint32_t command)
{
    *(volatile uint64_t *)reg(REG_DMA_FROM) = from;
    *(volatile uint64_t *)reg(REG_DMA_TO) = to;
    *(volatile uint64_t *)reg(REG_DMA_COUNT) = COPY_BYTES;
    *(volatile uint64_t *)reg(REG_DMA_COMMAND) = command | DMA_START;
    for (uint64_t end = tsc_now() + 5 * SECOND; tsc_now() < end;)
        if (!(*reg(REG_DMA_COMMAND) & DMA_START))
            return true;
    return false;
}

/* Memory through the device and back, into the second page. */
static bool round_trip(void)
{
    uint8_t *memory = (uint8_t *)DRIVER_DMA_VA;
    for (unsigned i = 0; i < COPY_BYTES; i++)
        memory[i] = (uint8_t)(i * 7 + 1);
    memset(memory + PAGE_SIZE, 0, COPY_BYTES);
    return copy(BOOT->dma_hpa, DEVICE_BUFFER, 0) && copy(DEVICE_BUFFER, BOOT->dma_hpa + PAGE_SIZE, DMA_TO_MEMORY) &&
           memcmp(memory, memory + PAGE_SIZE, COPY_BYTES) == 0;
}

static void try_dma(void)
{
    say("no DMA before it is allowed", !round_trip());
    say("master", ask(DRIVER_MASTER, 1) == OK);
    say("DMA", round_trip());
    say("no reset, as it has none", ask(DRIVER_RESET, 0) == E_UNSUPPORTED);
    say("an unknown request", ask(1000, 0) == E_ARG);
}

static enum error hardware(enum hardware_class class, uint64_t a, uint64_t b, uint64_t c)
{
    struct syscall_result r = sys_hardware(DRIVER_SLOT_TEST, class, a, b, c);
    if (r.error == OK)
        (void)sys_handle_close(r.value);
    return r.error;
}

/* With the authority over all hardware in its hand. */
static void try_the_forbidden(void)
{
    say("no RAM", hardware(HARDWARE_MEMORY, BOOT->dma_hpa, PAGE_SIZE, 0) == E_RIGHTS);
    say("no kernel", hardware(HARDWARE_MEMORY, 0x100000, PAGE_SIZE, 0) == E_RIGHTS);
    say("not all memory", hardware(HARDWARE_MEMORY, 0, 1ull << 32, 0) == E_RIGHTS);
    say("no local APIC", hardware(HARDWARE_MEMORY, 0xfee00000, PAGE_SIZE, 0) == E_RIGHTS);
    say("no other interrupt address", hardware(HARDWARE_MEMORY, 0xfeeff000, PAGE_SIZE, 0) == E_RIGHTS);
    say("no I/O APIC", hardware(HARDWARE_MEMORY, 0xfec00000, PAGE_SIZE, 0) == E_RIGHTS);
    say("no HPET", hardware(HARDWARE_MEMORY, 0xfed00000, PAGE_SIZE, 0) == E_RIGHTS);
    say("no memory of another", hardware(HARDWARE_MEMORY, BOOT->bar[0].base, PAGE_SIZE, 0) == E_OVERLAP);
    say("no 8259", hardware(HARDWARE_PORTS, 0x20, 0x21, 0) == E_OVERLAP);
    say("no port of root's", hardware(HARDWARE_PORTS, 0xcf8, 0xcff, 0) == E_OVERLAP);
    say("not all ports", hardware(HARDWARE_PORTS, 0, 0xffff, 0) == E_OVERLAP);
    say("no line that is none", hardware(HARDWARE_LINE, 1000, 0, 0) == E_UNSUPPORTED);
    say("no CPU that is none", hardware(HARDWARE_MESSAGE, 0, 1000, 0) == E_ARG);
    struct syscall_result r = sys_hardware(DRIVER_SLOT_TEST, HARDWARE_MESSAGE, 0, 0, 0);
    uint64_t vector = r.error == OK ? sys_query(r.value, QUERY_IRQ_MESSAGE, 0).value & 0xff : 0;
    say("no vector of ring 0's", vector >= 0x30 && vector < SYSCALL_VECTOR);
    say("no second log", sys_log_take(DRIVER_SLOT_LOG) == E_RIGHTS);
}

/* Raises its line for ever, and answers never. */
static noreturn void be_silent(void)
{
    say("line", ask(DRIVER_USE_LINE, 0) == OK);
    *reg(REG_RAISE) = 1;
    for (;;)
        (void)sys_event_wait(DRIVER_SLOT_EVENT, EVENT_MESSAGE, NEVER);
}

void thread_main(uint64_t argument)
{
    (void)argument;
    if (BOOT->magic != DRIVER_BOOT_MAGIC)
        return;
    if (BOOT->role == ROLE_SILENT)
        be_silent();
    try_lines();
    try_dma();
    try_messages();
    say("master off", ask(DRIVER_MASTER, 0) == OK && !round_trip());
    try_the_forbidden();
    log_printf(DRIVER_SLOT_LOG, "testdev0: done\n");
    /* The neighbour on the line falls silent: this one goes on. */
    (void)ask(DRIVER_USE_LINE, 0);
    for (uint64_t n = 0;; n++) {
        if (sys_event_wait(DRIVER_SLOT_EVENT, DRIVER_EVENT_LINE, tsc_now() + SECOND).error == OK)
            answer_line();
        bool good = factorial(5, 120, DRIVER_EVENT_LINE);
        if (n < 20)
            say("goes on", good);
    }
}
