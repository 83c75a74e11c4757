// SPDX-License-Identifier: Apache-2.0
/*
 * A device for tests: a serial port on the PCI bus (QEMU, docs/specs/pci-serial; operating systems have drivers for it)
 * with a plug that sends back what is written, one line at a time. It has what other devices of this machine have not:
 * INTx, MSI, an I/O BAR, an option ROM. It is in a guest whose configuration says `bench-device = yes`.
 *
 * The line rises with the port's interrupt. With MSI on, each rise is a message instead.
 */
#include "lib/string.h"
#include "vmm/devices/device.h"
#include "vmm/devices/msi.h"
#include "vmm/devices/uart.h"

#define VENDOR     0x1b36u
#define DEVICE     0x0002u
#define CLASS      0x070002u /* serial, like a 16550 */
#define SUBVENDOR  0x1af4u
#define SUBSYSTEM  0x1100u
#define PORT_BYTES 8u
#define ROM_BYTES  2048u
#define PAGE_BYTES 4096u
#define PAGE_MAGIC 0x4c4c554du
#define LOOP_BYTES 64u
#define PIN_INTA   1u

struct pci_serial {
    struct pci_function function;
    struct msi msi;
    struct uart uart;
    void (*message)(void *context, const struct interrupt_message *message);
    void *context;
    uint8_t loop[LOOP_BYTES]; /* written, and not read yet; a ring */
    uint32_t loop_first, loop_count;
    uint8_t rom[ROM_BYTES];
};

static void on_line(void *device, unsigned gsi, bool level)
{
    struct pci_serial *s = device;
    struct interrupt_message message;
    (void)gsi;
    if (!msi_on(&s->msi))
        pci_intx(&s->function, level);
    else if (level && msi_message(&s->msi, &message))
        s->message(s->context, &message);
}

static size_t on_write(void *device, const uint8_t *bytes, size_t count)
{
    struct pci_serial *s = device;
    size_t n = 0;
    for (; n < count && s->loop_count < LOOP_BYTES; n++, s->loop_count++)
        s->loop[(s->loop_first + s->loop_count) % LOOP_BYTES] = bytes[n];
    return n;
}

/* Whole lines come back, so that a terminal's echo of half a line does not chase its own tail. */
static size_t on_read(void *device, uint8_t *bytes, size_t count)
{
    struct pci_serial *s = device;
    uint32_t line = 0;
    for (uint32_t i = 0; i < s->loop_count; i++)
        if (s->loop[(s->loop_first + i) % LOOP_BYTES] == '\n' || i + 1 == LOOP_BYTES)
            line = i + 1;
    size_t n = 0;
    for (; n < count && n < line; n++, s->loop_count--)
        bytes[n] = s->loop[s->loop_first++ % LOOP_BYTES];
    s->loop_first %= LOOP_BYTES;
    return n;
}

static void port(void *device, uint16_t at, unsigned size, bool is_write, uint32_t *value)
{
    struct pci_serial *s = device;
    uart_access(&s->uart, (unsigned)(at - s->function.bar[0].base), size, is_write, value);
    uart_take_input(&s->uart);
}

/* A page of memory: operating systems switch a ROM's address decoder on only with that of a memory BAR. */
static void page(void *device, uint64_t offset, unsigned size, bool is_write, uint64_t *value)
{
    (void)device;
    (void)size;
    if (!is_write)
        *value = offset == 0 ? PAGE_MAGIC : 0;
}

/* As option ROMs are: a signature, the length, and a description of the device (PCI Firmware 3.2, 5.1). */
static void fill_rom(uint8_t *rom)
{
    static const uint8_t start[] = {0x55, 0xaa, ROM_BYTES / 512};
    static const uint8_t data[] = {'P',
                                   'C',
                                   'I',
                                   'R',
                                   VENDOR & 0xff,
                                   VENDOR >> 8,
                                   DEVICE & 0xff,
                                   DEVICE >> 8,
                                   0,
                                   0,
                                   24,
                                   0,
                                   0,
                                   2,
                                   0,
                                   7,
                                   4,
                                   0,
                                   0,
                                   0,
                                   0,
                                   0x80,
                                   0,
                                   0};
    memset(rom, 0, ROM_BYTES);
    memcpy(rom, start, sizeof start);
    rom[0x18] = 0x1c; /* where the description is */
    memcpy(rom + 0x1c, data, sizeof data);
    memcpy(rom + 0x40, "Mullion test ROM", 16);
}

static unsigned count(const struct vmm_boot *boot)
{
    return boot->options.bench_device != 0;
}

static enum error init(void *state, const struct platform *p, unsigned number)
{
    struct pci_serial *s = state;
    const struct irq_sink irq = {.gsi = on_line, .context = s};
    uint8_t devfn;
    s->message = p->message;
    s->context = p->context;
    pci_function_init(&s->function, &(struct pci_identity){.vendor = VENDOR,
                                                           .device = DEVICE,
                                                           .class_code = CLASS,
                                                           .revision = 1,
                                                           .subsystem_vendor = SUBVENDOR,
                                                           .subsystem = SUBSYSTEM});
    uart_make(&s->uart, &irq, on_write, s);
    s->uart.read = on_read;
    fill_rom(s->rom);
    enum error error = pci_bar_init(
        &s->function, 0, PCI_ALLOCATE,
        &(struct pci_bar){.kind = PCI_BAR_IO, .size = PORT_BYTES, .port = port, .device = s});
    if (error == OK)
        error = pci_bar_init(&s->function, 1, PCI_ALLOCATE,
                             &(struct pci_bar){.kind = PCI_BAR_MEM32, .size = PAGE_BYTES, .memory = page, .device = s});
    if (error == OK)
        error = pci_rom_init(&s->function, s->rom, ROM_BYTES);
    if (error == OK)
        error = msi_init(&s->msi, &s->function);
    if (error == OK)
        error = pci_place(PCI_KIND_OTHER, number, &devfn);
    return error == OK ? pci_add(p->pci, &s->function, devfn, PIN_INTA) : error;
}

static void reset(void *state)
{
    struct pci_serial *s = state;
    uart_reset(&s->uart);
    s->loop_first = s->loop_count = 0;
}

static void fields(void *state, struct stream *stream)
{
    struct pci_serial *s = state;
    pci_function_fields(&s->function, stream);
    uart_fields(&s->uart, stream);
    STREAM_FIELD(stream, s->loop);
    STREAM_FIELD(stream, s->loop_first);
    STREAM_FIELD(stream, s->loop_count);
}

static bool valid(const void *state)
{
    const struct pci_serial *s = state;
    return uart_valid(&s->uart) && s->loop_first < LOOP_BYTES && s->loop_count <= LOOP_BYTES;
}

static void loaded(void *state)
{
    struct pci_serial *s = state;
    pci_function_loaded(&s->function);
}

const struct device pci_serial_device = {.name = "PCI serial port",
                                         .version = 1,
                                         .bytes = sizeof(struct pci_serial),
                                         .count = count,
                                         .init = init,
                                         .reset = reset,
                                         .fields = fields,
                                         .valid = valid,
                                         .loaded = loaded};
