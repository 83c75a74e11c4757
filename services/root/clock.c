// SPDX-License-Identifier: Apache-2.0
/* The battery clock's ports. See clock.h. */
#include "services/root/clock.h"

#include "lib/syscall.h"
#include "services/root/hardware.h"
#include "services/root/root.h"

#define PORT_INDEX  0x70
#define PORT_DATA   0x71
#define REG_A       0x0a
#define REG_B       0x0b
#define REG_CENTURY 0x32
#define A_UPDATING  0x80u
#define PATIENCE    100000u /* polls: a dead clock must not hang the machine */

static uint64_t seconds_then, tsc_then;

static uint8_t reg(uint8_t index)
{
    port_out8(PORT_INDEX, index);
    return port_in8(PORT_DATA);
}

static struct cmos_time read_all(void)
{
    for (unsigned i = 0; i < PATIENCE && (reg(REG_A) & A_UPDATING); i++)
        continue;
    return (struct cmos_time){reg(0), reg(2), reg(4), reg(7), reg(8), reg(9), reg(REG_CENTURY), reg(REG_B)};
}

static bool same(const struct cmos_time *a, const struct cmos_time *b)
{
    return a->second == b->second && a->minute == b->minute && a->hour == b->hour && a->day == b->day &&
           a->month == b->month && a->year == b->year;
}

void clock_init(void)
{
    if (!hardware_open(PORT_INDEX, PORT_DATA))
        return;
    /* Twice the same: no update came between. */
    struct cmos_time a = read_all(), b = read_all();
    for (unsigned i = 0; i < 8 && !same(&a, &b); i++) {
        a = b;
        b = read_all();
    }
    tsc_then = tsc_now();
    if (!same(&a, &b) || !cmos_seconds(&b, &seconds_then))
        root_log(LOG_WARN, "the machine's clock tells no time of day; guests begin in 2026");
}

uint64_t clock_seconds(void)
{
    return seconds_then ? seconds_then + (tsc_now() - tsc_then) / (ROOT_BOOT->tsc_khz * 1000) : 0;
}
