/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The physical serial port: a 16550, 115200 8N1, by interrupt, with a queue each way. Nothing here waits: a port that
 * does not answer costs the output, never time.
 */
#ifndef CONSOLE_UART_H
#define CONSOLE_UART_H

#include "mullion/types.h"

/* Takes the port over. False: there is none that answers. */
bool uart_init(uint16_t port, uint64_t tsc_khz);
/* Moves what can be moved, both ways. Called on each interrupt and from time to time. */
void uart_service(uint64_t now);
/* Queues bytes; what finds no room is dropped. */
void uart_write(const char *bytes, size_t size);
size_t uart_backlog(void); /* queued bytes */
bool uart_idle(void);      /* nothing queued, and the last bit is on the wire */
bool uart_read(uint8_t *byte);
bool uart_has_input(void); /* uart_read finds a byte */

#endif
