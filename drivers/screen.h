/* The kernel's own screen: VGA text mode, scrolling. Does nothing where the firmware has left another mode. */
#ifndef DRIVERS_SCREEN_H
#define DRIVERS_SCREEN_H

#include <stdint.h>

/* `cells` is the mapped text buffer, or NULL for no screen. */
void screen_init(volatile uint16_t *cells, unsigned columns, unsigned rows);
void screen_write(char c);

#endif
