/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's own serial port: a polled 16550, output only. */
#ifndef DRIVERS_SERIAL_H
#define DRIVERS_SERIAL_H

#include <stdint.h>

/* 115200 8N1. Once at most. A port with no UART behind it is found out and not used. */
void serial_init(uint16_t port);
extern uint16_t serial_port; /* the one in use; 0: none */
void serial_write(char c);

#endif
