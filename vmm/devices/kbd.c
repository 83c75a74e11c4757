// SPDX-License-Identifier: Apache-2.0
/*
 * The i8042 with nothing attached, system control port A, and ports that are only remembered; see legacy.h.
 *
 * 0x64 read: status: output full 0, system flag 2, command was last 3, keyboard not locked 4. Write: command. 0x60:
 * data. Every command that has an answer gets one at once, so that no guest waits for a timeout; both interface tests
 * report a stuck clock, which is how a controller says that no device is there. What is sent to a device is lost.
 */
#include "lib/string.h"
#include "vmm/devices/legacy.h"

#define STATUS_FULL     0x01u
#define STATUS_SYSTEM   0x04u
#define STATUS_COMMAND  0x08u
#define STATUS_UNLOCKED 0x10u

static void answer(struct kbd *k, uint8_t byte)
{
    k->output = byte;
    k->output_full = 1;
}

static void write_command(struct kbd *k, uint8_t command)
{
    k->command = 0;
    switch (command) {
    case 0x20: answer(k, k->configuration); break;
    case 0xaa: answer(k, 0x55); break; /* self-test: passed */
    case 0xab:
    case 0xa9: answer(k, 0x01); break; /* interface test: clock stuck low */
    case 0xad: k->configuration |= 0x10; break;
    case 0xae: k->configuration &= (uint8_t)~0x10u; break;
    case 0xa7: k->configuration |= 0x20; break;
    case 0xa8: k->configuration &= (uint8_t)~0x20u; break;
    case 0xc0: answer(k, 0x80); break; /* input port: keyboard not inhibited */
    case 0xd0: answer(k, 0x03); break; /* output port: A20 open, no reset */
    case 0x60:
    case 0xd1:
    case 0xd2:
    case 0xd3:
    case 0xd4:
        k->command = command; /* a byte follows at 0x60 */
        break;
    default:
        /* 0xf0..0xff pulse output lines low; line 0 is the CPU's reset. */
        if (command >= 0xf0 && !(command & 1) && k->power.reset)
            k->power.reset(k->power.context);
        break;
    }
}

static void write_data(struct kbd *k, uint8_t byte)
{
    uint8_t command = k->command;
    k->command = 0;
    switch (command) {
    case 0x60: k->configuration = byte; break;
    case 0xd1: /* output port: bit 0 low resets, A20 cannot be closed */
        if (!(byte & 1) && k->power.reset)
            k->power.reset(k->power.context);
        break;
    case 0xd2:
    case 0xd3: answer(k, byte); break; /* as if a device had sent it; never flagged as a mouse's */
    default: break;
    }
}

static void kbd_port(void *device, uint16_t port, unsigned size, bool is_write, uint32_t *value)
{
    struct kbd *k = device;
    (void)size;
    if (port == 0x64) {
        if (is_write)
            write_command(k, (uint8_t)*value);
        else
            *value = STATUS_SYSTEM | STATUS_UNLOCKED | (k->command ? STATUS_COMMAND : 0) |
                     (k->output_full ? STATUS_FULL : 0);
    } else if (is_write) {
        write_data(k, (uint8_t)*value);
    } else {
        *value = k->output;
        k->output_full = 0;
    }
}

static void port_a(void *device, uint16_t port, unsigned size, bool is_write, uint32_t *value)
{
    struct kbd *k = device;
    (void)port;
    (void)size;
    if (!is_write) {
        *value = k->port_a | 2u; /* A20 is always open */
        return;
    }
    k->port_a = (uint8_t)*value & 0xfeu;
    if ((*value & 1) && k->power.reset)
        k->power.reset(k->power.context);
}

static void kbd_reset(void *state)
{
    struct kbd *kbd = state;
    kbd->command = kbd->output = kbd->output_full = kbd->port_a = 0;
    kbd->configuration = 0x34; /* system flag; both interfaces disabled */
}

enum error kbd_init(struct kbd *kbd, struct bus *bus, const struct power_sink *power)
{
    memset(kbd, 0, sizeof *kbd);
    kbd->power = *power;
    kbd_reset(kbd);
    enum error e = bus_add_ports(bus, 0x60, 0x60, 1, kbd_port, kbd);
    if (e == OK)
        e = bus_add_ports(bus, 0x64, 0x64, 1, kbd_port, kbd);
    if (e == OK)
        e = bus_add_ports(bus, 0x92, 0x92, 1, port_a, kbd);
    return e;
}

static void ignored_port(void *device, uint16_t port, unsigned size, bool is_write, uint32_t *value)
{
    struct ignored_ports *d = device;
    (void)size;
    if (is_write)
        d->page[port & 15] = (uint8_t)*value;
    else
        *value = d->page[port & 15];
}

enum error ignored_ports_init(struct ignored_ports *d, struct bus *bus)
{
    memset(d, 0, sizeof *d);
    return bus_add_ports(bus, 0x80, 0x8f, 1, ignored_port, d);
}

static enum error kbd_make(void *state, const struct platform *p, unsigned number)
{
    (void)number;
    return kbd_init(state, p->bus, &p->power);
}

static void kbd_fields(void *state, struct stream *s)
{
    struct kbd *kbd = state;
    STREAM_FIELD(s, kbd->command);
    STREAM_FIELD(s, kbd->configuration);
    STREAM_FIELD(s, kbd->output);
    STREAM_FIELD(s, kbd->output_full);
    STREAM_FIELD(s, kbd->port_a);
}

const struct device kbd_device = {.name = "keyboard",
                                  .version = 1,
                                  .bytes = sizeof(struct kbd),
                                  .init = kbd_make,
                                  .reset = kbd_reset,
                                  .fields = kbd_fields};

static enum error ignored_make(void *state, const struct platform *p, unsigned number)
{
    (void)number;
    return ignored_ports_init(state, p->bus);
}

static void ignored_reset(void *state)
{
    struct ignored_ports *d = state;
    memset(d->page, 0, sizeof d->page);
}

static void ignored_fields(void *state, struct stream *s)
{
    struct ignored_ports *d = state;
    STREAM_FIELD(s, d->page);
}

const struct device ignored_ports_device = {.name = "legacy ports",
                                            .version = 1,
                                            .bytes = sizeof(struct ignored_ports),
                                            .init = ignored_make,
                                            .reset = ignored_reset,
                                            .fields = ignored_fields};
