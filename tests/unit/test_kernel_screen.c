// SPDX-License-Identifier: Apache-2.0
// sources: drivers/screen.c tests/unit/ring0_string.c
/* The kernel's own screen: what stands where, on text and in three kinds of pixel; what a loader may tell and must not
 * be believed. Video memory is exactly as large as told, so the sanitizer sees every step outside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/screen.h"

#define JUNK 0x5a

/* A font whose characters can be told apart: all 16 lines hold the code, but the space's are empty. */
uint8_t screen_font[128][16];
static uint8_t *video;
static const struct screen_facts *facts;

static const struct screen_facts vga = {
    .address = 0xb8000, .pitch = 160, .width = 80, .height = 25, .type = SCREEN_TEXT};
static const struct screen_facts pixels[] = {
    {.address = 0xe0000000, .pitch = 400 * 4 + 12, .width = 400, .height = 200, .bits = 32, .type = SCREEN_PIXELS},
    {.address = 0xe0000000, .pitch = 400 * 3 + 5, .width = 400, .height = 200, .bits = 24, .type = SCREEN_PIXELS},
    {.address = 0xe0000000, .pitch = 400 * 2, .width = 400, .height = 200, .bits = 16, .type = SCREEN_PIXELS},
    {.address = 0xe0000000, .pitch = 3840 * 4, .width = 3840, .height = 2160, .bits = 32, .type = SCREEN_PIXELS},
};

static void show(const struct screen_facts *f)
{
    for (unsigned c = 0; c < 128; c++)
        memset(screen_font[c], c == ' ' ? 0 : (int)c, 16);
    facts = f;
    free(video);
    uint64_t size = screen_plan(f);
    assert_int_equal(size, (uint64_t)f->pitch * f->height);
    video = malloc(size);
    assert_non_null(video);
    memset(video, JUNK, size);
    screen_show(video);
}

static void write_text(const char *s)
{
    while (*s)
        screen_write(*s++);
}

static unsigned row_bytes(void)
{
    return facts->type == SCREEN_TEXT ? facts->pitch : facts->pitch * 16;
}

/* The code of the character that stands there; all bytes of its pixels are 0xff or 0. */
static unsigned character(unsigned column, unsigned row)
{
    const uint8_t *at = video + (size_t)row * row_bytes();
    if (facts->type == SCREEN_TEXT) {
        assert_true(at[2 * column] == 0 || at[2 * column + 1] == 0x07);
        return at[2 * column] != 0 ? at[2 * column] : ' ';
    }
    unsigned code = 0, unit = facts->bits / 8;
    for (unsigned y = 0; y < 16; y++) {
        unsigned line = 0;
        for (unsigned x = 0; x < 8; x++) {
            const uint8_t *p = at + (size_t)y * facts->pitch + (column * 8 + x) * unit;
            for (unsigned i = 0; i < unit; i++)
                assert_true(p[i] == p[0] && (p[i] == 0 || p[i] == 0xff));
            line = line << 1 | (p[0] != 0);
        }
        assert_true(y == 0 || line == code);
        code = line;
    }
    return code ? code : ' ';
}

static void kinds(const struct screen_facts *f)
{
    show(f);
    write_text("Ab\n c");
    assert_int_equal(character(0, 0), 'A');
    assert_int_equal(character(1, 0), 'b');
    assert_int_equal(character(2, 0), ' ');
    assert_int_equal(character(0, 1), ' ');
    assert_int_equal(character(1, 1), 'c');
    for (size_t i = 2 * (size_t)row_bytes(); i < (size_t)f->pitch * f->height; i++)
        assert_int_equal(video[i], 0); /* below the last whole row too */
    screen_clear();
    write_text("d");
    assert_int_equal(character(0, 0), 'd');
    assert_int_equal(character(1, 1), ' ');
}

static void all_kinds(void **state)
{
    (void)state;
    kinds(&vga);
    for (size_t i = 0; i < sizeof pixels / sizeof pixels[0]; i++)
        kinds(&pixels[i]);
}

/* Below the last row it goes on at the top; the row ahead of the text is blank. */
static void round_and_round(void **state)
{
    (void)state;
    const struct screen_facts *each[] = {&vga, &pixels[0]};
    const unsigned columns[] = {80, 50}, rows[] = {25, 12};
    for (unsigned k = 0; k < 2; k++) {
        show(each[k]);
        for (unsigned i = 0; i < rows[k] + 3; i++) {
            screen_write((char)('A' + i));
            screen_write('\n');
        }
        for (unsigned r = 0; r < rows[k]; r++)
            assert_int_equal(character(0, r), r < 3 ? 'A' + rows[k] + r : r < 5 ? ' ' : 'A' + r);
        for (unsigned i = 0; i < columns[k]; i++) /* a full line is not followed by an empty one */
            screen_write('x');
        write_text("\ny");
        assert_int_equal(character(columns[k] - 1, 3), 'x');
        assert_int_equal(character(0, 4), 'y');
        for (unsigned i = 0; i < columns[k]; i++)
            screen_write('z');
        assert_int_equal(character(columns[k] - 1, 4), 'z');
        assert_int_equal(character(0, 5), 'z');
        assert_int_equal(character(0, 6), ' ');
    }
}

static void odd_characters(void **state)
{
    (void)state;
    show(&pixels[0]);
    write_text("a\xc3\xa9"
               "b\x7f\x1b"
               "c");
    const char *want = "a??b??c ";
    for (unsigned i = 0; want[i]; i++)
        assert_int_equal(character(i, 0), want[i]);
    for (unsigned c = 0; c < 256 * 40; c++)
        screen_write((char)c);
}

static void nowhere(void **state)
{
    (void)state;
    screen_show(NULL);
    write_text("lost\n");
    screen_clear();
}

static void refused(void **state)
{
    (void)state;
    struct screen_facts f;
#define REFUSE(from, change)                  \
    do {                                      \
        f = from;                             \
        change;                               \
        assert_int_equal(screen_plan(&f), 0); \
    } while (0)
    REFUSE(pixels[0], f.type = SCREEN_NONE);
    REFUSE(pixels[0], f.type = 0); /* a palette */
    REFUSE(pixels[0], f.bits = 8);
    REFUSE(pixels[0], f.bits = 0);
    REFUSE(pixels[0], f.bits = 255);
    REFUSE(pixels[0], f.pitch = 400 * 4 - 1);
    REFUSE(pixels[0], f.pitch = 0);
    REFUSE(pixels[0], f.pitch = ~0u);
    REFUSE(pixels[0], f.width = ~0u);
    REFUSE(pixels[0], f.height = ~0u);
    REFUSE(pixels[0], (f.width = ~0u, f.height = ~0u, f.pitch = ~0u));
    REFUSE(pixels[0], f.width = 0);
    REFUSE(pixels[0], f.height = 0);
    REFUSE(pixels[0], f.height = 159);
    REFUSE(pixels[0], f.address = ~0ull - 100);
    REFUSE(vga, f.width = 0x80000000);
    REFUSE(vga, f.height = ~0u);
    REFUSE(vga, f.width = 1);
    REFUSE(vga, f.height = 9);
    REFUSE(vga, f.pitch = 159);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nowhere), cmocka_unit_test(all_kinds),
                                       cmocka_unit_test(round_and_round), cmocka_unit_test(odd_characters),
                                       cmocka_unit_test(refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
