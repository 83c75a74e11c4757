// SPDX-License-Identifier: Apache-2.0
/* A port by which a test guest ends itself with an exit code; see legacy.h. */
#include "vmm/devices/legacy.h"

static void exit_port(void *device, uint16_t port, unsigned size, bool is_write, uint32_t *value)
{
    struct debug_exit *d = device;
    (void)port;
    (void)size;
    if (!is_write)
        *value = 0;
    else if (d->power.debug_exit)
        d->power.debug_exit(d->power.context, *value);
}

enum error debug_exit_init(struct debug_exit *d, struct bus *bus, uint16_t port, const struct power_sink *power)
{
    if (port > 0xfffc)
        return E_ARG;
    d->power = *power;
    return bus_add_ports(bus, port, (uint16_t)(port + 3), 4, exit_port, d);
}

static unsigned count(const struct vmm_boot *boot)
{
    return boot->options.debug_exit_port != 0;
}

static enum error init(void *state, const struct platform *p, unsigned number)
{
    (void)number;
    return debug_exit_init(state, p->bus, (uint16_t)p->boot->options.debug_exit_port, &p->power);
}

const struct device debug_exit_device = {
    .name = "debug-exit port", .version = 1, .bytes = sizeof(struct debug_exit), .count = count, .init = init};
