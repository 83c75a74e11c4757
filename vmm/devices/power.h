/* SPDX-License-Identifier: Apache-2.0 */
/* How a device tells the machine that the guest wants it off or reset. Called at most a few times, under the VM's lock;
 * must return. */
#ifndef VMM_DEVICES_POWER_H
#define VMM_DEVICES_POWER_H

#include <stdint.h>

struct power_sink {
    void *context;
    void (*poweroff)(void *context);
    void (*reset)(void *context);
    void (*debug_exit)(void *context, uint32_t code);
};

#endif
