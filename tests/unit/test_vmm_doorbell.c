// SPDX-License-Identifier: Apache-2.0
// sources: vmm/doorbell.c
/* Which writes to doorbells in memory ring 0 is told of, and when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "vmm/doorbell.h"

static void told_at_the_second_time(void **state)
{
    (void)state;
    struct doorbells d = {0};
    assert_int_equal(doorbell_add(&d, 0xfeb00000, 7, 1), OK);
    assert_int_equal(doorbell_add(&d, 0xfeb00004, 8, 2), OK);
    assert_int_equal(doorbell_add(&d, 0xfeb00000, 9, 4), E_OVERLAP);
    assert_null(doorbell_rung(&d, 0xfeb00008, 0x1000)); /* none there */
    assert_null(doorbell_rung(&d, 0xfeb00008, 0x1000));
    assert_null(doorbell_rung(&d, 0xfeb00004, 0x1000));
    const struct doorbell *b = doorbell_rung(&d, 0xfeb00004, 0x1000);
    assert_non_null(b);
    assert_int_equal(b->event, 8);
    assert_int_equal(b->bits, 2);
    assert_null(doorbell_rung(&d, 0xfeb00004, 0x1000)); /* it still comes: this CPU cannot do it */
    assert_null(doorbell_rung(&d, 0xfeb00000, 0x1000)); /* each for itself */
    assert_non_null(doorbell_rung(&d, 0xfeb00000, 0x1000));
}

static void two_places_in_turns(void **state)
{
    (void)state;
    struct doorbells d = {0};
    assert_int_equal(doorbell_add(&d, 0x1000, 7, 1), OK);
    for (int i = 0; i < 10; i++)
        assert_null(doorbell_rung(&d, 0x1000, i % 2 ? 0xa : 0xb));
    assert_non_null(doorbell_rung(&d, 0x1000, 0xa)); /* now it was twice */
    assert_null(doorbell_rung(&d, 0x1000, 0xb));
    assert_non_null(doorbell_rung(&d, 0x1000, 0xb)); /* its place is taken over */
    assert_null(doorbell_rung(&d, 0x1000, 0xa));
    assert_non_null(doorbell_rung(&d, 0x1000, 0xa));
}

static void full(void **state)
{
    (void)state;
    struct doorbells d = {0};
    for (uint64_t i = 0; i < DOORBELLS_MAX; i++)
        assert_int_equal(doorbell_add(&d, i * 4, 1, 1), OK);
    assert_int_equal(doorbell_add(&d, 0x1000, 1, 1), E_QUOTA);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(told_at_the_second_time), cmocka_unit_test(two_places_in_turns),
                                       cmocka_unit_test(full)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
