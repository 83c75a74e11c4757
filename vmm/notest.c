// SPDX-License-Identifier: Apache-2.0
/* See vmm/test.h: an image without test code. */
#include <stddef.h>
#include "vmm/test.h"

const struct device *const test_device_table[] = {NULL};
const uint32_t test_device_count = 0;

void test_command(struct vm *vm, uint32_t command)
{
    (void)command;
    vm_say(vm, "this image has no test code");
}

void test_thread_ends(struct vm *vm, unsigned thread, struct vcpu_state *state)
{
    (void)vm;
    (void)thread;
    (void)state;
}
