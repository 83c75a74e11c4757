// SPDX-License-Identifier: Apache-2.0
/* The 8259 pair as PC systems use it. */
// sources: vmm/devices/bus.c vmm/stream.c vmm/memory.c vmm/devices/pic.c
#include "dev_test.h"
#include "vmm/devices/pic.h"

static struct bus bus;
static struct pic pic;
static bool intr;
static unsigned changes;

static void on_intr(void *context, bool level)
{
    (void)context;
    assert_int_not_equal(intr, level);
    intr = level;
    changes++;
}

/* As Linux does it: all masked, ICWs with a read of the mask between, vectors 0x30 and 0x38, then the mask. */
static void linux_init(bool auto_eoi)
{
    outb(&bus, 0x21, 0xff);
    outb(&bus, 0x20, 0x11);
    outb(&bus, 0x21, 0x30);
    outb(&bus, 0x21, 0x04);
    outb(&bus, 0x21, auto_eoi ? 0x03 : 0x01);
    outb(&bus, 0xa0, 0x11);
    outb(&bus, 0xa1, 0x38);
    outb(&bus, 0xa1, 0x02);
    outb(&bus, 0xa1, auto_eoi ? 0x03 : 0x01);
    outb(&bus, 0x21, 0xfb & 0x00);
    outb(&bus, 0xa1, 0x00);
}

static int setup(void **state)
{
    (void)state;
    intr = false;
    changes = 0;
    bus_init(&bus);
    assert_int_equal(pic_init(&pic, &bus, on_intr, NULL), OK);
    return 0;
}

static void probe_and_init(void **state)
{
    (void)state;
    /* Linux probes by writing a mask and reading it back. */
    outb(&bus, 0xa1, 0xff);
    outb(&bus, 0x21, 0xfb);
    assert_int_equal(inb(&bus, 0x21), 0xfb);
    pic_set(&pic, 0, true);
    assert_false(intr);
    linux_init(false);
    pic_set(&pic, 0, false);
    pic_set(&pic, 0, true);
    assert_true(intr);
    assert_int_equal(pic_peek(&pic), 0x30);
    assert_int_equal(pic_peek(&pic), 0x30);
    pic_accept(&pic, 0x30);
    assert_false(intr);
    assert_int_equal(pic_peek(&pic), -1);
    outb(&bus, 0x20, 0x0b);
    assert_int_equal(inb(&bus, 0x20), 0x01);
    outb(&bus, 0x20, 0x60); /* specific EOI */
    assert_int_equal(inb(&bus, 0x20), 0x00);
    assert_false(intr); /* still high, but it is an edge */
}

static void cascade_and_nesting(void **state)
{
    (void)state;
    linux_init(false);
    pic_set(&pic, 4, true);
    pic_accept(&pic, 0x34);
    pic_set(&pic, 5, true);
    assert_false(intr); /* lower priority waits */
    pic_set(&pic, 8, true);
    assert_true(intr); /* slave is input 2: higher */
    assert_int_equal(pic_peek(&pic), 0x38);
    pic_accept(&pic, 0x38);
    pic_set(&pic, 12, true);
    assert_false(intr); /* same slave, lower */
    outb(&bus, 0xa0, 0x60);
    outb(&bus, 0x20, 0x62);
    assert_true(intr);
    assert_int_equal(pic_inta(&pic), 0x3c);
    outb(&bus, 0xa0, 0x20);
    outb(&bus, 0x20, 0x20);
    assert_false(intr);
    outb(&bus, 0x20, 0x64);
    assert_true(intr);
    assert_int_equal(pic_inta(&pic), 0x35);
}

static void masks_and_auto_eoi(void **state)
{
    (void)state;
    linux_init(true);
    outb(&bus, 0x21, 0x10);
    pic_set(&pic, 4, true);
    assert_false(intr);
    outb(&bus, 0x21, 0x00);
    assert_true(intr); /* the edge was kept */
    pic_accept(&pic, 0x34);
    pic_set(&pic, 6, true);
    assert_int_equal(pic_peek(&pic), 0x36); /* nothing is in service */
    outb(&bus, 0x20, 0x0a);
    assert_int_equal(inb(&bus, 0x20), 0x40);
}

static void level_and_elcr(void **state)
{
    (void)state;
    linux_init(false);
    outb(&bus, 0x4d0, 0xff);
    outb(&bus, 0x4d1, 0xff);
    assert_int_equal(inw(&bus, 0x4d0), 0xdef8);
    pic_set(&pic, 9, true);
    pic_accept(&pic, 0x39);
    assert_false(intr);
    outb(&bus, 0xa0, 0x20);
    outb(&bus, 0x20, 0x20);
    assert_true(intr); /* the line is still up */
    pic_set(&pic, 9, false);
    assert_false(intr);
    /* retracted between the offer and the delivery: in service all the same; with INTA: spurious */
    pic_accept(&pic, 0x39);
    outb(&bus, 0xa0, 0x0b);
    assert_int_equal(inb(&bus, 0xa0), 0x02);
    outb(&bus, 0xa0, 0x20);
    outb(&bus, 0x20, 0x20);
    assert_int_equal(pic_inta(&pic), 0x37);
    outb(&bus, 0x20, 0x0b);
    assert_int_equal(inb(&bus, 0x20), 0x00);
}

static void special_modes(void **state)
{
    (void)state;
    linux_init(false);
    /* special mask: a masked input in service does not block lower ones */
    pic_set(&pic, 3, true);
    pic_accept(&pic, 0x33);
    pic_set(&pic, 7, true);
    assert_false(intr);
    outb(&bus, 0x21, 0x08);
    assert_false(intr);
    outb(&bus, 0x20, 0x68);
    assert_true(intr);
    assert_int_equal(pic_peek(&pic), 0x37);
    outb(&bus, 0x20, 0x48);
    assert_false(intr);
    outb(&bus, 0x21, 0x00);
    outb(&bus, 0x20, 0x63);
    pic_accept(&pic, 0x37);
    /* rotation */
    outb(&bus, 0x20, 0xa0);
    pic_set(&pic, 0, true);
    outb(&bus, 0x20, 0xc0); /* 0 is the lowest now */
    pic_set(&pic, 1, true);
    assert_int_equal(pic_peek(&pic), 0x31);
    /* poll */
    outb(&bus, 0x20, 0x0c);
    assert_int_equal(inb(&bus, 0x20), 0x81);
    outb(&bus, 0x20, 0x0b);
    assert_int_equal(inb(&bus, 0x20), 0x02);
    /* out of range */
    pic_set(&pic, 16, true);
    pic_set(&pic, 2, true);
    pic_accept(&pic, 0xff);
}

/* ---- A second 8259 pair, written from the data sheet in another way: inputs in a list, the highest priority first. */

struct chip {
    unsigned order[8], step; /* step: the ICW that comes next at the odd port; 0: none */
    bool irr[8], isr[8], masked[8], line[8], level[8];
    bool single, icw4, auto_eoi, rotate, special_mask, nested, shows_isr, poll;
    uint8_t base;
};
static struct chip chips[2];

static void lowest_is(struct chip *c, unsigned input)
{
    for (unsigned i = 0; i < 8; i++)
        c->order[i] = (input + 1 + i) % 8;
}

static int asks(unsigned n)
{
    const struct chip *c = &chips[n];
    for (unsigned i = 0; i < 8 && c->step == 0; i++) {
        unsigned at = c->order[i];
        bool cascade_open = c->nested && n == 0 && at == 2;
        if (c->isr[at] && !(c->special_mask && c->masked[at]) && !cascade_open)
            return -1;
        if (n == 0 && at == 2 ? asks(1) >= 0 && !c->masked[2] : c->irr[at] && !c->masked[at])
            return (int)at;
    }
    return -1;
}

static void serve(struct chip *c, unsigned input)
{
    if (!c->level[input])
        c->irr[input] = false;
    if (!c->auto_eoi)
        c->isr[input] = true;
    else if (c->rotate)
        lowest_is(c, input);
}

static int first_served(const struct chip *c)
{
    for (unsigned i = 0; i < 8; i++)
        if (c->isr[c->order[i]] && !(c->special_mask && c->masked[c->order[i]]))
            return (int)c->order[i];
    return -1;
}

static void ocw2(struct chip *c, uint8_t value)
{
    bool rotate = value & 0x80, specific = value & 0x40, end = value & 0x20;
    int input = specific ? value & 7 : first_served(c);
    if (!end && specific) {
        if (rotate)
            lowest_is(c, value & 7);
    } else if (!end) {
        c->rotate = rotate;
    } else if (input >= 0) {
        c->isr[input] = false;
        if (rotate)
            lowest_is(c, (unsigned)input);
    }
}

static void model_write(unsigned n, bool odd, uint8_t value)
{
    struct chip *c = &chips[n];
    if (!odd && (value & 0x10)) {
        for (unsigned i = 0; i < 8; i++) {
            c->masked[i] = c->isr[i] = false;
            c->irr[i] = c->level[i] && c->line[i];
        }
        lowest_is(c, 7);
        c->special_mask = c->nested = c->auto_eoi = c->rotate = c->shows_isr = c->poll = false;
        c->single = value & 2;
        c->icw4 = value & 1;
        c->step = 2;
    } else if (!odd && (value & 8)) {
        c->poll |= (value & 4) != 0;
        if (value & 2)
            c->shows_isr = value & 1;
        if (value & 0x40)
            c->special_mask = value & 0x20;
    } else if (!odd) {
        ocw2(c, value);
    } else if (c->step == 2) {
        c->base = value & 0xf8;
        c->step = !c->single ? 3 : c->icw4 ? 4 : 0;
    } else if (c->step == 3) {
        c->step = c->icw4 ? 4 : 0;
    } else if (c->step == 4) {
        c->auto_eoi = value & 2;
        c->nested = value & 0x10;
        c->step = 0;
    } else {
        for (unsigned i = 0; i < 8; i++)
            c->masked[i] = value >> i & 1;
    }
}

static uint8_t model_read(unsigned n, bool odd)
{
    struct chip *c = &chips[n];
    uint8_t value = 0;
    int input = asks(n);
    if (odd) {
        for (unsigned i = 0; i < 8; i++)
            value |= (uint8_t)(c->masked[i] << i);
    } else if (c->poll) {
        c->poll = false;
        if (input < 0)
            return 0;
        serve(c, (unsigned)input);
        return (uint8_t)(0x80 | input);
    } else {
        for (unsigned i = 0; i < 8; i++)
            value |= (uint8_t)((c->shows_isr ? c->isr[i] : n == 0 && i == 2 ? asks(1) >= 0 : c->irr[i]) << i);
    }
    return value;
}

static void model_set(unsigned irq, bool level)
{
    struct chip *c = &chips[irq / 8];
    unsigned i = irq % 8;
    if (irq == 2)
        return;
    if (c->level[i])
        c->irr[i] = level;
    else if (level && !c->line[i])
        c->irr[i] = true;
    c->line[i] = level;
}

static void model_elcr(unsigned n, uint8_t value)
{
    struct chip *c = &chips[n];
    for (unsigned i = 0; i < 8; i++) {
        c->level[i] = ((n ? 0xde : 0xf8) & value) >> i & 1; /* never the timer, keyboard, cascade, RTC, FPU */
        if (c->level[i])
            c->irr[i] = c->line[i];
    }
}

/* The vector of an INTA now; -1: INTR is low. */
static int model_vector(bool take)
{
    int input = asks(0), second = asks(1);
    if (input < 0)
        return -1;
    if (take)
        serve(&chips[0], (unsigned)input);
    if (input != 2)
        return chips[0].base + input;
    if (take)
        serve(&chips[1], (unsigned)second);
    return chips[1].base + second;
}

static uint32_t seed = 8259;
static unsigned any(unsigned below)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
}

static void random_command(unsigned n)
{
    static const uint8_t often[] = {0x20, 0x60, 0xa0, 0xc0, 0xe0, 0x80, 0x00, 0x0a, 0x0b, 0x0c, 0x68, 0x48, 0x40};
    bool odd = any(3) == 0;
    uint8_t value = odd || any(3) == 0 ? (uint8_t)any(256) : (uint8_t)(often[any(13)] | any(8));
    if (!odd && (value & 0x10) && any(40) != 0)
        value &= 0xe7; /* seldom a new beginning */
    if (odd && any(2))
        value &= (uint8_t)any(256);
    outb(&bus, (uint16_t)((n ? 0xa0 : 0x20) + odd), value);
    model_write(n, odd, value);
}

static void against_a_model(void **state)
{
    (void)state;
    unsigned taken_vectors = 0;
    memset(chips, 0, sizeof chips);
    for (unsigned n = 0; n < 2; n++) {
        chips[n].base = n ? 0x70 : 0x08;
        lowest_is(&chips[n], 7);
        for (unsigned i = 0; i < 8; i++)
            chips[n].masked[i] = true;
    }
    for (unsigned round = 0; round < 300000; round++) {
        unsigned n = any(2), irq = any(16), level = any(2);
        uint8_t value = (uint8_t)any(256);
        switch (any(8)) {
        case 0: random_command(n); break;
        case 1:
            assert_int_equal(inb(&bus, n ? 0xa0 : 0x20), model_read(n, false));
            assert_int_equal(inb(&bus, n ? 0xa1 : 0x21), model_read(n, true));
            break;
        case 2:
            if (any(20) == 0) {
                outb(&bus, (uint16_t)(0x4d0 + n), value);
                model_elcr(n, value);
                assert_int_equal(inb(&bus, (uint16_t)(0x4d0 + n)), value & (n ? 0xde : 0xf8));
            }
            break;
        case 3:
            if (model_vector(false) >= 0) {
                int vector = model_vector(true);
                assert_int_equal(pic_inta(&pic), vector);
                taken_vectors++;
            } else {
                assert_int_equal(pic_inta(&pic), chips[0].base | 7); /* spurious */
            }
            break;
        case 4:
            if (pic_peek(&pic) >= 0 && chips[0].base != chips[1].base) {
                int vector = model_vector(true);
                pic_accept(&pic, (uint8_t)vector);
            }
            break;
        case 5: {
            const struct chip *c = &chips[irq / 8];
            if (irq != 2)
                assert_int_equal(pic_fate(&pic, irq), c->masked[irq % 8] ? IRQ_MASKED
                                                      : c->irr[irq % 8]  ? IRQ_WAITS
                                                                         : IRQ_TAKEN);
            break;
        }
        default:
            pic_set(&pic, irq, level);
            model_set(irq, level);
            break;
        }
        assert_int_equal(pic_peek(&pic), model_vector(false));
        assert_int_equal(intr, model_vector(false) >= 0);
        assert_int_equal(atomic_load(&pic.output), intr);
    }
    assert_true(taken_vectors > 3000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(probe_and_init, setup),     cmocka_unit_test_setup(cascade_and_nesting, setup),
        cmocka_unit_test_setup(masks_and_auto_eoi, setup), cmocka_unit_test_setup(level_and_elcr, setup),
        cmocka_unit_test_setup(special_modes, setup),      cmocka_unit_test_setup(against_a_model, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
