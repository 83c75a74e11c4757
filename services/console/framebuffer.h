/* SPDX-License-Identifier: Apache-2.0 */
/* Characters on a screen of pixels with direct colours, 16, 24 or 32 bits each. Never reads video memory; keeps no
 * lock. */
#ifndef CONSOLE_FRAMEBUFFER_H
#define CONSOLE_FRAMEBUFFER_H

#include <stdbool.h>

#include "services/console/screen.h"

#define GLYPH_WIDTH  8u
#define GLYPH_HEIGHT 16u

bool framebuffer_usable(const struct screen_facts *facts);
/* `where`: the mapping of pitch * height bytes; made black. */
void framebuffer_init(const struct screen_facts *facts, void *where);
/* Inside the screen: the caller's promise. c < 0x80. */
void framebuffer_draw(unsigned column, unsigned row, uint8_t c);

#endif
