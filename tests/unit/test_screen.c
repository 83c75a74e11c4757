// SPDX-License-Identifier: Apache-2.0
// sources: services/console/screen.c services/console/framebuffer.c
/* The kernel's screen on pixels: what stands where, in four kinds of pixel; what a loader may tell and must not be
 * believed. Video memory is exactly as large as told, so the sanitizer sees every step outside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "services/console/framebuffer.h"
#include "services/console/screen.h"

#define PADDING 0x5a /* between the lines: never drawn */

/* A font whose characters can be told apart: all 16 lines hold the code, but the space's are empty. */
uint8_t screen_font[128][GLYPH_HEIGHT];
static uint8_t *video;

static const struct screen_facts xrgb = {0xe0000000, 400 * 4 + 12,  400, 200,
                                         32,         SCREEN_PIXELS, 0,   {{16, 8}, {8, 8}, {0, 8}}};
static const struct screen_facts bgr = {0xe0000000, 400 * 3 + 5,   400, 200,
                                        24,         SCREEN_PIXELS, 0,   {{0, 8}, {8, 8}, {16, 8}}};
static const struct screen_facts rgb565 = {0xe0000000, 400 * 2,       400, 200,
                                           16,         SCREEN_PIXELS, 0,   {{11, 5}, {5, 6}, {0, 5}}};
static const struct screen_facts deep = {0xe0000000, 400 * 4,       400, 200,
                                         32,         SCREEN_PIXELS, 0,   {{20, 10}, {10, 10}, {0, 10}}};

static const char *told; /* for screen_status; NULL: it is not called */

static void show(const struct screen_facts *f)
{
    for (unsigned c = 0; c < 128; c++)
        memset(screen_font[c], c == ' ' ? 0 : (int)c, GLYPH_HEIGHT);
    uint64_t size = screen_plan(f);
    if (told != NULL)
        screen_status(told);
    assert_int_equal(size, (uint64_t)f->pitch * f->height);
    video = malloc(size);
    assert_non_null(video);
    memset(video, PADDING, size);
    screen_show(f, video);
}

static void write_text(const char *s)
{
    while (*s)
        screen_write(*s++);
}

static uint32_t pixel(const struct screen_facts *f, unsigned x, unsigned y)
{
    uint32_t v = 0;
    memcpy(&v, video + (size_t)y * f->pitch + (size_t)x * (f->bits / 8), f->bits / 8);
    return v;
}

/* The code of the character that stands there; all its pixels have the ink's colour or none. */
static unsigned character(const struct screen_facts *f, unsigned column, unsigned row, uint32_t ink)
{
    unsigned code = 0;
    screen_flush();
    for (unsigned y = 0; y < 16; y++) {
        unsigned line = 0;
        for (unsigned x = 0; x < 8; x++) {
            uint32_t v = pixel(f, column * 8 + x, row * 16 + y);
            assert_true(v == 0 || v == ink);
            line = line << 1 | (v != 0);
        }
        assert_true(y == 0 || line == code);
        code = line;
    }
    return code ? code : ' ';
}

static void finish(const struct screen_facts *f)
{
    for (size_t y = 0; y < f->height; y++)
        for (size_t at = f->width * (f->bits / 8u); at < f->pitch; at++)
            assert_int_equal(video[y * f->pitch + at], PADDING);
    free(video);
}

static void depths(void **state)
{
    (void)state;
    static const struct {
        const struct screen_facts *facts;
        uint32_t ink;
    } all[] = {{&xrgb, 0xc0c0c0},
               {&bgr, 0xc0c0c0},
               {&rgb565, 24u << 11 | 48 << 5 | 24},
               {&deep, 768u << 20 | 768 << 10 | 768}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        const struct screen_facts *f = all[i].facts;
        show(f);
        write_text("Ab\n\tc");
        assert_int_equal(character(f, 0, 0, all[i].ink), 'A');
        assert_int_equal(character(f, 1, 0, all[i].ink), 'b');
        assert_int_equal(character(f, 2, 0, all[i].ink), ' ');
        assert_int_equal(character(f, 8, 1, all[i].ink), 'c');
        assert_int_equal(pixel(f, 399, 199), 0); /* below the last whole row too */
        finish(f);
    }
}

static void scrolls_and_wraps(void **state)
{
    (void)state;
    show(&xrgb); /* 50 columns, 12 rows */
    for (unsigned i = 0; i < 30; i++) {
        screen_write((char)('A' + i % 26));
        screen_write('\n');
    }
    for (unsigned r = 0; r < 11; r++)
        assert_int_equal(character(&xrgb, 0, r, 0xc0c0c0), 'A' + (19 + r) % 26);
    assert_int_equal(character(&xrgb, 0, 11, 0xc0c0c0), ' ');
    for (unsigned i = 0; i < 50; i++) /* a full line is not followed by an empty one */
        screen_write('x');
    assert_int_equal(character(&xrgb, 49, 11, 0xc0c0c0), 'x');
    write_text("\ny");
    assert_int_equal(character(&xrgb, 0, 10, 0xc0c0c0), 'x');
    assert_int_equal(character(&xrgb, 0, 11, 0xc0c0c0), 'y');
    for (unsigned i = 0; i < 49; i++)
        screen_write('z');
    screen_write('w');
    assert_int_equal(character(&xrgb, 0, 11, 0xc0c0c0), 'w');
    finish(&xrgb);
}

static void show_told(const struct screen_facts *f)
{
    told = "shell: there";
    show(f);
    told = NULL;
}

/* The last row stays, whatever comes above it. */
static void status_row(void **state)
{
    (void)state;
    show_told(&xrgb); /* 11 rows of text and this one */
    for (unsigned i = 0; i < 30; i++) {
        screen_write((char)('A' + i % 26));
        screen_write('\n');
    }
    for (unsigned r = 0; r < 10; r++)
        assert_int_equal(character(&xrgb, 0, r, 0xc0c0c0), 'A' + (20 + r) % 26);
    assert_int_equal(character(&xrgb, 0, 10, 0xc0c0c0), ' ');
    for (unsigned i = 0; "shell: there"[i]; i++)
        assert_int_equal(character(&xrgb, i, 11, 0xc0c0c0), "shell: there"[i]);
    assert_int_equal(character(&xrgb, 12, 11, 0xc0c0c0), ' ');
    finish(&xrgb);
    show(&xrgb); /* planned anew, it is text again */
    for (unsigned i = 0; i < 12; i++)
        write_text(i < 11 ? "x\n" : "y");
    assert_int_equal(character(&xrgb, 0, 11, 0xc0c0c0), 'y');
    finish(&xrgb);
}

static void odd_characters(void **state)
{
    (void)state;
    show(&xrgb);
    write_text("\r\a\x1b\x01"
               "a\xc3\xa9"
               "b\x7f"
               "c");
    const char *want = "a?b?c ";
    for (unsigned i = 0; want[i]; i++)
        assert_int_equal(character(&xrgb, i, 0, 0xc0c0c0), want[i]);
    for (unsigned c = 0; c < 256 * 40; c++)
        screen_write((char)c);
    finish(&xrgb);
}

/* What was written before the screen was there stands on it. */
static void shown_late(void **state)
{
    (void)state;
    show(&xrgb);
    free(video);
    assert_true(screen_plan(&xrgb) != 0);
    write_text("early");
    video = malloc((size_t)xrgb.pitch * xrgb.height);
    assert_non_null(video);
    memset(video, PADDING, (size_t)xrgb.pitch * xrgb.height);
    screen_show(&xrgb, video);
    assert_int_equal(character(&xrgb, 4, 0, 0xc0c0c0), 'y');
    finish(&xrgb);
}

static void large_ones(void **state)
{
    (void)state;
    struct screen_facts f = {0xe0000000, 3840 * 4, 3840, 2160, 32, SCREEN_PIXELS, 0, {{16, 8}, {8, 8}, {0, 8}}};
    show(&f); /* 256 of its 480 columns, 128 of its 135 rows */
    for (unsigned i = 0; i < 200; i++)
        write_text("line\n");
    assert_int_equal(character(&f, 3, 126, 0xc0c0c0), 'e');
    assert_int_equal(character(&f, 3, 127, 0xc0c0c0), ' ');
    finish(&f);
}

static void refused(void **state)
{
    (void)state;
    struct screen_facts f;
#define REFUSE(change)                        \
    do {                                      \
        f = xrgb;                             \
        change;                               \
        assert_int_equal(screen_plan(&f), 0); \
        write_text("nowhere\n");              \
    } while (0)
    REFUSE(f.type = SCREEN_NONE);
    REFUSE(f.type = 0); /* a palette */
    REFUSE(f.bits = 8);
    REFUSE(f.bits = 0);
    REFUSE(f.bits = 255);
    REFUSE(f.pitch = 400 * 4 - 1);
    REFUSE(f.pitch = 0);
    REFUSE(f.pitch = ~0u);
    REFUSE(f.width = ~0u);
    REFUSE(f.height = ~0u);
    REFUSE((f.width = ~0u, f.height = ~0u, f.pitch = ~0u));
    REFUSE(f.width = 0);
    REFUSE(f.height = 0);
    REFUSE(f.height = 159);
    REFUSE(f.address = ~0ull - 100);
    REFUSE(f.field[0].size = 0);
    REFUSE(f.field[1].position = 25);
    REFUSE((f.field[2].position = 255, f.field[2].size = 255));
    f = (struct screen_facts){.address = 0xb8000, .width = 80, .height = 25, .type = SCREEN_TEXT};
    assert_int_equal(screen_plan(&f), 80 * 25 * 2);
    REFUSE((f.type = SCREEN_TEXT, f.width = 0x80000000));
    REFUSE((f.type = SCREEN_TEXT, f.width = 80, f.height = ~0u));
    REFUSE((f.type = SCREEN_TEXT, f.width = 1, f.height = 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(depths),     cmocka_unit_test(scrolls_and_wraps),
                                       cmocka_unit_test(status_row), cmocka_unit_test(odd_characters),
                                       cmocka_unit_test(shown_late), cmocka_unit_test(large_ones),
                                       cmocka_unit_test(refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
