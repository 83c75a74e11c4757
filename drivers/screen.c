#include "drivers/screen.h"

#include "arch/x86_64/instr.h"
#include "drivers/framebuffer.h"

#define WHITE_ON_BLACK 0x0700u
#define COLUMNS_MAX    256u
#define ROWS_MAX       128u
#define COLUMNS_MIN    40u
#define ROWS_MIN       10u
#define BYTES_MAX      (64ull << 20) /* of the device region; 5120 x 2880 in 32 bits */

static uint8_t cells[COLUMNS_MAX * ROWS_MAX]; /* what stands where: video memory is slow to read, and is never read */
static unsigned columns, rows, column, row;
static volatile uint16_t *text; /* VGA text, or NULL */
static bool pixels;

uint64_t screen_plan(const struct screen_facts *f)
{
    uint64_t bytes = 0;
    unsigned wide = 0, high = 0;
    columns = rows = column = row = 0;
    text = NULL;
    pixels = false;
    if (f->type == SCREEN_TEXT && f->width <= COLUMNS_MAX) {
        bytes = 2ull * f->width * f->height;
        wide = f->width;
        high = f->height;
    } else if (f->type == SCREEN_PIXELS && framebuffer_usable(f)) {
        bytes = (uint64_t)f->pitch * f->height;
        wide = f->width / GLYPH_WIDTH;
        high = f->height / GLYPH_HEIGHT;
    }
    if (wide < COLUMNS_MIN || high < ROWS_MIN || bytes > BYTES_MAX || f->address > ~0ull - bytes)
        return 0;
    columns = wide < COLUMNS_MAX ? wide : COLUMNS_MAX;
    rows = high < ROWS_MAX ? high : ROWS_MAX;
    for (unsigned i = 0; i < columns * rows; i++)
        cells[i] = ' ';
    return bytes;
}

static inline void draw(unsigned at)
{
    if (text)
        text[at] = (uint16_t)(WHITE_ON_BLACK | cells[at]);
    else if (pixels)
        framebuffer_draw(at % columns, at / columns, cells[at]);
}

/* What is there already is not drawn again: most of a line is blank, so a screen scrolls several times faster. A panic may come in
 * the middle of another CPU's line: every place is checked. */
static void put(unsigned at, uint8_t c)
{
    if (at >= columns * rows || cells[at] == c)
        return;
    cells[at] = c;
    draw(at);
}

void screen_show(const struct screen_facts *f, void *where)
{
    text = f->type == SCREEN_TEXT ? where : NULL;
    pixels = f->type == SCREEN_PIXELS;
    if (pixels)
        framebuffer_init(f, where);
    for (unsigned i = 0; i < columns * rows; i++)
        draw(i);
    if (text) /* no cursor: CRT controller register 10, bit 5 */
        out8(0x3d4, 10), out8(0x3d5, 0x20);
}

static void new_line(void)
{
    column = 0;
    if (row + 1 < rows) {
        row++;
        return;
    }
    unsigned kept = columns * (rows - 1);
    for (unsigned i = 0; i < kept; i++)
        if (i % 8 == 0 && kept - i >= 8 && !__builtin_memcmp(&cells[i], &cells[i + columns], 8)) /* one comparison */
            i += 7;
        else if (cells[i] != cells[i + columns])
            cells[i] = cells[i + columns], draw(i);
    for (unsigned i = 0; i < columns; i++)
        put(kept + i, ' ');
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
        put(row * columns + column++, c < 0x7f ? c : '?');
    }
}
