#include "drivers/screen.h"

#include <stddef.h>

#include "arch/x86_64/instr.h"

#define WHITE_ON_BLACK 0x0700u

static volatile uint16_t *cells;
static unsigned columns, rows, column, row;

void screen_init(volatile uint16_t *where, unsigned width, unsigned height)
{
    cells = where;
    columns = width;
    rows = height;
    column = row = 0;
    if (!cells)
        return;
    for (unsigned i = 0; i < columns * rows; i++)
        cells[i] = WHITE_ON_BLACK | ' ';
}

static void new_line(void)
{
    column = 0;
    if (++row < rows)
        return;
    row = rows - 1;
    for (unsigned i = 0; i < columns * row; i++)
        cells[i] = cells[i + columns];
    for (unsigned i = 0; i < columns; i++)
        cells[columns * row + i] = WHITE_ON_BLACK | ' ';
}

void screen_write(char c)
{
    if (!cells)
        return;
    if (c == '\n') {
        new_line();
    } else if (c != '\r') {
        cells[row * columns + column] = (uint16_t)(WHITE_ON_BLACK | (uint8_t)c);
        if (++column == columns)
            new_line();
    }
    unsigned at = row * columns + column; /* the cursor: CRT controller registers 14 and 15 */
    out8(0x3d4, 14);
    out8(0x3d5, (uint8_t)(at >> 8));
    out8(0x3d4, 15);
    out8(0x3d5, (uint8_t)at);
}
