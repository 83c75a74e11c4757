/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What only tests need, so that the image that a user gets has none of it: devices for test guests, and a monitor that
 * crashes, turns hostile, or saves and loads its guest when it is asked to. With TESTS=1 the build takes vmm/test/, or
 * else vmm/notest.c, which does nothing and says so.
 */
#ifndef VMM_TEST_H
#define VMM_TEST_H

#include "mullion/types.h"
#include "vmm/machine.h"

/* Devices besides device_table. */
extern const struct device *const test_device_table[];
extern const uint32_t test_device_count;

/* Thread 0: COMMAND_CRASH, COMMAND_FUZZ, COMMAND_SPIN or COMMAND_RELOAD has come. Returns from the last alone, but in
 * an image without tests. */
void test_command(struct vm *vm, uint32_t command);
/* A vCPU's thread has left its guest for good. Does not return if the monitor has turned hostile. */
void test_thread_ends(struct vm *vm, unsigned thread, struct vcpu_state *state);

#endif
