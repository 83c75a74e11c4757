// SPDX-License-Identifier: Apache-2.0
/*
 * In test images only: the services that drive QEMU's "edu" devices, up to two of them, by tests/programs/testdev.c.
 * The second never answers its interrupt line. Both are also given the authority over all hardware, to show what even
 * that does not open.
 */
#include "lib/syscall.h"
#include "services/root/driver.h"

#define VENDOR_QEMU 0x1234
#define DEVICE_EDU  0x11e8
#define DMA_BYTES   (2 * PAGE_SIZE)
#define TAG_TEST(n) (16u + (n))

static enum error give(struct service *s)
{
    enum error e = driver_give(s);
    if (e != OK)
        return e;
    service_step(s, "it cannot have the authority over the hardware");
    return service_grant(s, ROOT_SLOT_HARDWARE, RIGHTS_ALL, DRIVER_SLOT_TEST);
}

#define ROW(n, words)                                                                                                \
    {                                                                                                                \
        .service = {DRIVER_SERVICE,     .give = give,                                                                \
                    .name = "testdev",  .title = words,                                                              \
                    .tag = TAG_TEST(n), .may = {.ports = 1, .reach = {{TAG_DEVICE(n), RIGHT_READ | RIGHT_WRITE}}}},  \
        .vendor = VENDOR_QEMU, .device = DEVICE_EDU, .role = n, .device_tag = TAG_DEVICE(n), .dma_bytes = DMA_BYTES, \
    }
static const struct driver_row rows[] = {ROW(0, "the test driver"), ROW(1, "the silent test driver")};

void test_services_add(void)
{
    static struct driver drivers[ARRAY_SIZE(rows)];
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
        (void)driver_add(&drivers[i], &rows[i]);
}
