/*
 * The kernel's own screen: VGA text, or pixels where the firmware has no text mode (UEFI). What is written before there is a
 * screen shows up when there is one; where there is none, nothing happens. Callers hold the log's lock, except a panic.
 */
#ifndef DRIVERS_SCREEN_H
#define DRIVERS_SCREEN_H

#include <stdint.h>

enum screen_type { SCREEN_PIXELS = 1, SCREEN_TEXT = 2, SCREEN_NONE = 0xff }; /* Multiboot2 Specification 2.0, 3.6.12 */

/* As the boot loader tells it: nothing is believed unchecked. */
struct screen_facts {
    uint64_t address;              /* physical */
    uint32_t pitch, width, height; /* bytes a line; pixels, or characters */
    uint8_t bits, type;            /* a pixel's; enum screen_type */
    struct { uint8_t position, size; } field[3]; /* of red, green and blue in a pixel */
};

/* Chooses rows and columns. The bytes to be mapped at the address; 0: this is no screen that can be used. */
uint64_t screen_plan(const struct screen_facts *facts);
/* From now on the planned screen is at `where`: draws it whole. */
void screen_show(const struct screen_facts *facts, void *where);
void screen_write(char c);

#endif
