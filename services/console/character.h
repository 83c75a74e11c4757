/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a terminal makes of a Unicode character. Pure.
 */
#ifndef CONSOLE_CHARACTER_H
#define CONSOLE_CHARACTER_H

#include "mullion/types.h"

enum character_kind {
    CHARACTER_SHOWN = 0,
    CHARACTER_MARK,   /* drawn over the one before it */
    CHARACTER_HIDDEN, /* shows nothing, or changes how others are shown: controls, directions, fillers, tags */
};

/* `code`: from 0x80 on. */
enum character_kind character_kind(uint32_t code);

#endif
