/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's own screen, for its start and for a panic: VGA text, or pixels where the firmware has no text mode
 * (UEFI). Between the two ring 3's console has it. White on black, from the top; below the last line it goes on at the
 * top, a blank line ahead of the text. Video memory is never read. No lock is kept: callers hold the log's, except a
 * panic.
 */
#ifndef DRIVERS_SCREEN_H
#define DRIVERS_SCREEN_H

#include "mullion/boot.h"

/* The bytes to be mapped at the address; 0: this is no screen that can be used. */
uint64_t screen_plan(const struct screen_facts *facts);
/* From now on the planned screen is at `where`, and blank. NULL: there is none, and what is written is lost. */
void screen_show(void *where);
/* Printable ASCII and newlines; '?' stands for other bytes. */
void screen_write(char c);
/* Blank, whatever was drawn there before; goes on at the top. */
void screen_clear(void);

#endif
