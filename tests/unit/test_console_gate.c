// SPDX-License-Identifier: Apache-2.0
// sources: services/console/gate.c
/* What is typed for a guest that has just gone off is dropped, until a key is meant for the shell. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "services/console/gate.h"

#define KHZ 1000u
static struct gate g;
static uint64_t now;

static int setup(void **state)
{
    (void)state;
    g = (struct gate){.khz = KHZ};
    now = 5000000;
    gate_shut(&g, now);
    return 0;
}

static void wait_ms(unsigned ms)
{
    now += ms * (uint64_t)KHZ;
}

/* True: one of them has opened it. */
static bool keys(const char *text)
{
    bool open = false;
    for (; *text; text++)
        open = gate_key(&g, (uint8_t)*text, now) || open;
    return open;
}

static void test_a_command_of_habit(void **state)
{
    (void)state;
    assert_false(keys("poweroff\r"));
    wait_ms(GATE_BEHIND);
    assert_false(gate_work(&g, now));
    wait_ms(100);
    assert_false(keys("poweroff\r"));
    wait_ms(GATE_BEHIND);
    assert_false(gate_work(&g, now));
    assert_int_equal(gate_due(&g), NEVER);
    assert_true(g.shut);
}

static void test_ctrl_bracket(void **state)
{
    (void)state;
    assert_false(keys("halt"));
    assert_true(keys("\x1d"));
    assert_false(g.shut);
    assert_false(gate_work(&g, now));
}

static void test_enter_alone(void **state)
{
    (void)state;
    wait_ms(GATE_BEFORE - 1);
    assert_false(keys("\r"));
    wait_ms(GATE_BEHIND);
    assert_false(gate_work(&g, now)); /* too early */
    wait_ms(GATE_BEFORE - GATE_BEHIND);
    assert_false(keys("\r\n")); /* one Enter */
    assert_int_equal(gate_due(&g), now + GATE_BEHIND * KHZ);
    wait_ms(GATE_BEHIND - 1);
    assert_false(gate_work(&g, now));
    wait_ms(1);
    assert_true(gate_work(&g, now));
    assert_false(g.shut);
}

/* A paste whose first line break comes after a pause goes on behind it. */
static void test_a_paste_after_a_pause(void **state)
{
    (void)state;
    wait_ms(3 * GATE_BEFORE);
    assert_false(keys("\r"));
    wait_ms(GATE_BEHIND - 1);
    assert_false(keys("poweroff now\r"));
    wait_ms(GATE_BEFORE);
    assert_false(gate_work(&g, now));
    assert_true(g.shut);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_command_of_habit, setup),
        cmocka_unit_test_setup(test_ctrl_bracket, setup),
        cmocka_unit_test_setup(test_enter_alone, setup),
        cmocka_unit_test_setup(test_a_paste_after_a_pause, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
