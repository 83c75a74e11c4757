// SPDX-License-Identifier: Apache-2.0
/* The byte channel: order, wrap-around, full, and an index that the other side made up. */
// sources: lib/proto/channel.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "lib/proto/channel.h"

static struct channel_ring ring;

static int setup(void **unused)
{
    (void)unused;
    memset(&ring, 0, sizeof ring);
    return 0;
}

static void order_and_wrap(void **unused)
{
    (void)unused;
    ring.head = ring.tail = 0xfffffff0u; /* indices wrap too */
    uint8_t in = 0, out = 0;
    srand(1);
    for (int i = 0; i < 20000; i++) {
        uint8_t buffer[700];
        size_t n = (size_t)(rand() % 700), m;
        for (size_t k = 0; k < n; k++)
            buffer[k] = (uint8_t)(in + k);
        m = channel_write(&ring, buffer, n);
        assert_true(m <= n);
        in = (uint8_t)(in + m);
        n = channel_read(&ring, buffer, (size_t)(rand() % 700));
        for (size_t k = 0; k < n; k++)
            assert_int_equal(buffer[k], out++);
        assert_int_equal(channel_used(&ring) + channel_space(&ring), CHANNEL_RING_BYTES);
    }
}

static void full(void **unused)
{
    (void)unused;
    static uint8_t big[CHANNEL_RING_BYTES + 10];
    assert_int_equal(channel_write(&ring, big, sizeof big), CHANNEL_RING_BYTES);
    assert_int_equal(channel_write(&ring, big, 1), 0);
    assert_int_equal(channel_read(&ring, big, 3), 3);
    assert_int_equal(channel_write(&ring, big, 10), 3);
}

static void hostile_index(void **unused)
{
    (void)unused;
    static uint8_t big[2 * CHANNEL_RING_BYTES];
    ring.head = 0x80000001u; /* "2 GiB are ready": at most a ring's worth is read, all of it inside the ring */
    assert_int_equal(channel_read(&ring, big, sizeof big), CHANNEL_RING_BYTES);
    ring.tail = ring.head + 5; /* "less than nothing" */
    assert_int_equal(channel_space(&ring), 0);
    assert_int_equal(channel_write(&ring, big, 100), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(order_and_wrap, setup),
        cmocka_unit_test_setup(full, setup),
        cmocka_unit_test_setup(hostile_index, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
