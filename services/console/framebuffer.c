// SPDX-License-Identifier: Apache-2.0
#include "services/console/framebuffer.h"

#include "lib/string.h"

#define GREY 0xc0u /* of 0xff, in each colour */

extern const uint8_t screen_font[128][GLYPH_HEIGHT]; /* Makefile; the highest bit is the leftmost pixel */

static uint8_t *base;
static uint64_t pitch;
static unsigned pixel_bytes;
static uint8_t line[256][GLYPH_WIDTH * 4]; /* the pixels of each possible line of a character */

bool framebuffer_usable(const struct screen_facts *f)
{
    unsigned bytes = (f->bits + 7u) / 8;
    for (unsigned i = 0; i < 3; i++)
        if (f->field[i].size == 0 || f->field[i].position + f->field[i].size > f->bits)
            return false;
    return bytes >= 2 && bytes <= 4 && f->pitch / bytes >= f->width;
}

void framebuffer_init(const struct screen_facts *f, void *where)
{
    uint32_t ink = 0;
    for (unsigned i = 0; i < 3; i++) /* the highest 8 bits of a field; more do not matter */
        ink |= (f->field[i].size > 8 ? GREY << (f->field[i].size - 8) : GREY >> (8 - f->field[i].size))
               << f->field[i].position;
    base = where;
    pitch = f->pitch;
    pixel_bytes = (f->bits + 7u) / 8;
    memset(line, 0, sizeof line);
    for (unsigned bits = 0; bits < 256; bits++)
        for (unsigned x = 0; x < GLYPH_WIDTH; x++)
            if (bits & 0x80u >> x)
                memcpy(&line[bits][x * pixel_bytes], &ink, pixel_bytes);
    for (uint32_t y = 0; y < f->height; y++)
        memset(base + y * pitch, 0, (uint64_t)f->width * pixel_bytes);
}

void framebuffer_draw(unsigned column, unsigned row, uint8_t c)
{
    uint8_t *at = base + row * GLYPH_HEIGHT * pitch + column * GLYPH_WIDTH * pixel_bytes;
    for (unsigned y = 0; y < GLYPH_HEIGHT; y++, at += pitch)
        for (unsigned i = 0; i < pixel_bytes;
             i++) /* GLYPH_WIDTH pixels: as many words of 8 bytes as a pixel has bytes */
            __builtin_memcpy(at + 8 * i, &line[screen_font[c][y]][8 * i], 8);
}
