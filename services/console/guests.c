// SPDX-License-Identifier: Apache-2.0
/*
 * What root has said of each guest. See console.h.
 */
#include "lib/print.h"
#include "lib/string.h"
#include "services/console/console.h"

static enum guest_life life[CONSOLE_GUESTS_MAX];

unsigned guest_number(const char *name)
{
    for (unsigned n = 0; n < console.guest_count; n++)
        if (strcmp(BOOT->guest[n], name) == 0)
            return n;
    return NO_GUEST;
}

void guest_told(const struct guest_record *r)
{
    unsigned n = guest_number(r->name);
    if (n != NO_GUEST)
        life[n] = r->life;
}

unsigned guests_on(char *names, size_t size)
{
    unsigned count = 0;
    size_t used = 0;
    names[0] = 0;
    for (unsigned n = 0; n < console.guest_count; n++) {
        if (life[n] < LIFE_STARTING)
            continue;
        if (used < size)
            used += (size_t)format(names + used, size - used, "%s%s", count != 0 ? ", " : "", BOOT->guest[n]);
        count++;
    }
    return count;
}
