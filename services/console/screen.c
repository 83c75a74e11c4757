// SPDX-License-Identifier: Apache-2.0
#include "services/console/screen.h"

#include "lib/string.h"
#include "services/console/framebuffer.h"

#define WHITE_ON_BLACK 0x0700u
#define BLACK_ON_WHITE 0x7000u
#define COLUMNS_MAX    256u
#define ROWS_MAX       128u
#define COLUMNS_MIN    40u
#define ROWS_MIN       10u
#define BYTES_MAX      (64ull << 20) /* of the device region; 5120 x 2880 in 32 bits */

static uint8_t cells[COLUMNS_MAX * ROWS_MAX]; /* what is to stand where... */
static uint8_t
    drawn[COLUMNS_MAX * ROWS_MAX]; /* ...and what does; 0: not known. Video memory is slow to read, and is never read */
static unsigned columns, rows;     /* of the text... */
static bool status;                /* ...below which there is one more row, which stays: cells[rows * columns] */
static unsigned column, lines;     /* where the next character goes: lines since it was cleared */
static volatile uint16_t *video;   /* VGA text, or `pixels`; NULL: nowhere yet */
static bool pixels;

uint64_t screen_plan(const struct screen_facts *f)
{
    uint64_t bytes = 0;
    unsigned wide = 0, high = 0;
    columns = rows = 0;
    status = false;
    video = NULL;
    pixels = f->type == SCREEN_PIXELS;
    if (f->type == SCREEN_TEXT && f->width <= COLUMNS_MAX) {
        bytes = 2ull * f->width * f->height;
        wide = f->width;
        high = f->height;
    } else if (pixels && framebuffer_usable(f)) {
        bytes = (uint64_t)f->pitch * f->height;
        wide = f->width / GLYPH_WIDTH;
        high = f->height / GLYPH_HEIGHT;
    }
    if (wide < COLUMNS_MIN || high < ROWS_MIN || bytes > BYTES_MAX || f->address > ~0ull - bytes)
        return 0;
    columns = wide < COLUMNS_MAX ? wide : COLUMNS_MAX;
    rows = high < ROWS_MAX ? high : ROWS_MAX;
    screen_clear();
    return bytes;
}

void screen_clear(void)
{
    memset(cells, ' ', sizeof cells);
    memset(drawn, 0, sizeof drawn);
    column = lines = 0;
}

void screen_status(const char *text)
{
    if (rows == 0 || status)
        return;
    status = true;
    rows--;
    for (unsigned c = 0; c < columns && text[c] != 0; c++)
        cells[rows * columns + c] = (uint8_t)text[c];
}

static uint8_t *line(unsigned n)
{
    return &cells[n % rows * columns];
}

static void flush_row(unsigned r, const uint8_t *want, unsigned colour)
{
    for (unsigned c = 0, i = r * columns; c < columns; c++, i++) {
        if (drawn[i] == want[c])
            continue;
        drawn[i] = want[c];
        if (!pixels)
            video[i] = (uint16_t)(colour | drawn[i]);
        else
            framebuffer_draw(c, r, drawn[i]);
    }
}

void screen_flush(void)
{
    unsigned top = lines < rows ? 0 : lines + 1; /* or that less `rows`: the ring does not care */
    for (unsigned r = 0; r < rows && video; r++)
        flush_row(r, line(top + r), WHITE_ON_BLACK);
    if (status && video)
        flush_row(rows, &cells[rows * columns], BLACK_ON_WHITE);
}

void screen_show(const struct screen_facts *f, void *where)
{
    video = where;
    if (pixels)
        framebuffer_init(f, where);
    memset(drawn, 0, sizeof drawn);
    screen_flush();
}

static void new_line(void)
{
    column = 0;
    memset(line(++lines), ' ', columns);
}

void screen_write(char ch)
{
    uint8_t c = (uint8_t)ch;
    if (rows == 0)
        return;
    if (c == '\n') {
        new_line();
    } else if (c == '\t') {
        do
            screen_write(' ');
        while (column % 8);
    } else if (c >= ' ' && (c < 0x80 || c >= 0xc0)) { /* no control characters; of a UTF-8 character the first byte */
        if (column >= columns)
            new_line();
        line(lines)[column++ % columns] = c < 0x7f ? c : '?';
    }
}
