// SPDX-License-Identifier: Apache-2.0
#include "drivers/screen.h"

#include "kernel/string.h"

#define WHITE_ON_BLACK 0x0700u
#define GLYPH_WIDTH    8u
#define GLYPH_HEIGHT   16u
#define COLUMNS_MIN    40u
#define ROWS_MIN       10u
#define BYTES_MAX      (64ull << 20) /* of the device region; 5120 x 2880 in 32 bits */

extern const uint8_t screen_font[128][GLYPH_HEIGHT]; /* Makefile; the highest bit is the leftmost pixel */

static uint8_t *video; /* NULL: nowhere */
static bool text;
static unsigned columns, rows, column, row; /* row: since it was cleared */
static unsigned unit;                       /* bytes of a pixel, or of a text screen's character */
static uint64_t pitch, row_bytes, bytes;

uint64_t screen_plan(const struct screen_facts *f)
{
    text = f->type == SCREEN_TEXT;
    unit = text ? 2 : (f->bits + 7u) / 8;
    columns = text ? f->width : f->width / GLYPH_WIDTH;
    rows = text ? f->height : f->height / GLYPH_HEIGHT;
    pitch = f->pitch;
    row_bytes = text ? pitch : pitch * GLYPH_HEIGHT;
    bytes = pitch * f->height;
    bool usable = (text || f->type == SCREEN_PIXELS) && unit >= 2 && unit <= 4 && pitch / unit >= f->width &&
                  columns >= COLUMNS_MIN && rows >= ROWS_MIN && bytes <= BYTES_MAX && f->address <= ~0ull - bytes;
    return usable ? bytes : 0;
}

void screen_show(void *where)
{
    video = where;
    screen_clear();
}

void screen_clear(void)
{
    column = row = 0;
    if (video)
        memset(video, 0, bytes);
}

static void draw(uint8_t *at, uint8_t c)
{
    for (unsigned y = 0; y < GLYPH_HEIGHT; y++, at += pitch)
        for (unsigned x = 0; x < GLYPH_WIDTH; x++)
            memset(at + x * unit, screen_font[c][y] & 0x80u >> x ? 0xff : 0, unit);
}

void screen_write(char c)
{
    if (!video)
        return;
    if (c == '\n' || column >= columns) {
        column = 0;
        memset(video + (++row + 1) % rows * row_bytes, 0, row_bytes);
    }
    if (c == '\n')
        return;
    uint8_t shown = c >= ' ' && c < 0x7f ? (uint8_t)c : '?';
    /* A panic may come in the middle of another CPU's line: no place is outside. */
    uint8_t *at = video + row % rows * row_bytes;
    unsigned here = column++ % columns;
    if (text)
        *(uint16_t *)(at + here * unit) = (uint16_t)(WHITE_ON_BLACK | shown);
    else
        draw(at + here * GLYPH_WIDTH * unit, shown);
}
