// SPDX-License-Identifier: Apache-2.0
/*
 * See character.h. The table is made by tools/make-marks.py.
 */
#include "services/console/character.h"

struct character_range {
    uint32_t first, last;
    enum character_kind kind;
};
#include "marks.h" /* made by the build */

enum character_kind character_kind(uint32_t code)
{
    unsigned low = 0, high = ARRAY_SIZE(ranges);
    while (low < high) { /* all ranges below low end before code, those from high on begin behind it */
        unsigned middle = (low + high) / 2;
        if (ranges[middle].last < code)
            low = middle + 1;
        else if (ranges[middle].first > code)
            high = middle;
        else
            return ranges[middle].kind;
    }
    return CHARACTER_SHOWN;
}
