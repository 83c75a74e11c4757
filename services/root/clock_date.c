// SPDX-License-Identifier: Apache-2.0
/* Dates of the MC146818 and its heirs: BCD or binary, 12 or 24 hours (data sheet MC146818A, registers 0-9 and B). Pure.
 */
#include "services/root/clock.h"

#define B_24_HOURS 0x02u
#define B_BINARY   0x04u
#define HOUR_PM    0x80u

static unsigned value_of(uint8_t raw, uint8_t status_b)
{
    return status_b & B_BINARY ? raw : (raw >> 4) * 10u + (raw & 15u);
}

static bool leap(unsigned year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

bool cmos_seconds(const struct cmos_time *t, uint64_t *seconds)
{
    static const uint8_t days_of[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    uint8_t b = t->status_b;
    unsigned second = value_of(t->second, b), minute = value_of(t->minute, b), day = value_of(t->day, b),
             month = value_of(t->month, b);
    unsigned hour = value_of((uint8_t)(b & B_24_HOURS ? t->hour : t->hour & ~HOUR_PM), b);
    if (!(b & B_24_HOURS)) {
        if (hour < 1 || hour > 12)
            return false;
        hour = hour % 12 + (t->hour & HOUR_PM ? 12u : 0u);
    }
    unsigned century = value_of(t->century, b), year = value_of(t->year, b);
    if (year > 99 || month < 1 || month > 12 || hour > 23 || minute > 59 || second > 59)
        return false;
    year += (century == 21 ? 21u : 20u) * 100;
    unsigned in_month = days_of[month - 1] + (month == 2 && leap(year) ? 1u : 0u);
    if (day < 1 || day > in_month)
        return false;
    uint64_t days = day - 1;
    for (unsigned y = 1970; y < year; y++)
        days += leap(y) ? 366 : 365;
    for (unsigned m = 1; m < month; m++)
        days += days_of[m - 1] + (m == 2 && leap(year) ? 1u : 0u);
    *seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    return true;
}
