/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's screen: VGA text, or pixels where the firmware has no text mode (UEFI). The console's own while it
 * runs; before that, and in a panic, the kernel draws there (drivers/screen.c). What is written before there is a
 * screen shows up when there is one; where there is none, nothing happens.
 */
#ifndef CONSOLE_SCREEN_H
#define CONSOLE_SCREEN_H

#include "mullion/boot.h"

/* Chooses rows and columns. The bytes to be mapped at the address; 0: this is no screen that can be used. */
uint64_t screen_plan(const struct screen_facts *facts);
/* The last row says this from now on, and the text has one row less. Right after screen_plan, before anything is
 * written. Printable ASCII. */
void screen_status(const char *text);
/* From now on the planned screen is at `where`: draws it whole. */
void screen_show(const struct screen_facts *facts, void *where);
/* Shows up at the next flush, whose cost is a look at the whole screen and what has changed on it. */
void screen_write(char c);
void screen_flush(void);
/* Blank, whatever was drawn there before; the next flush draws everything. */
void screen_clear(void);

#endif
