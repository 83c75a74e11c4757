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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(probe_and_init, setup),     cmocka_unit_test_setup(cascade_and_nesting, setup),
        cmocka_unit_test_setup(masks_and_auto_eoi, setup), cmocka_unit_test_setup(level_and_elcr, setup),
        cmocka_unit_test_setup(special_modes, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
