/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the log that only the kernel's own start and system calls use. */
#ifndef KERNEL_KLOG_RING_H
#define KERNEL_KLOG_RING_H

#include "kernel/log.h"
#include "mullion/boot.h"

extern struct klog_ring klog_ring; /* whole pages of the image; mapped read-only into the console */
/* Begins the screen anew with the end of the log. */
void log_redraw(void);
void log_append(const char *text, size_t count);
/* Ring 3 owns the serial port, the screen or both from then on, and shows the ring's text itself. */
extern bool log_taken;

#endif
