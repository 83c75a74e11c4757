// SPDX-License-Identifier: Apache-2.0
/*
 * What the hardware tells of itself: errors that it has corrected, and NMIs. Each CPU has to look for those of the
 * first kind (arch/x86_64/mce.h), and does so when asked; its kernel logs them. Root asks at most once a minute, and
 * only when it is awake for another reason: an idle machine stays idle.
 */
#include "lib/log.h"
#include "lib/syscall.h"
#include "services/root/answers.h"
#include "services/root/root.h"

#define EVERY_MS 60000u

static uint32_t nmis;

/* The CPU's errors so far. It looks for more when it has been asked. */
static uint32_t look_at(unsigned cpu)
{
    struct syscall_result r = sys_query(ROOT_SLOT_SELF, QUERY_CPU_ERRORS, cpu);
    uint64_t both = r.error == OK ? r.value : 0;
    if (nmis != both >> 32)
        root_log(LOG_WARN, "NMIs so far: %u. Where the CPUs were then is on the serial port", (unsigned)(both >> 32));
    nmis = (uint32_t)(both >> 32);
    return (uint32_t)both;
}

static void look_at_all(void)
{
    for (unsigned cpu = 0; cpu < ROOT_BOOT->cpu_count; cpu++)
        (void)look_at(cpu);
}

void errors_look(void)
{
    static uint64_t next;
    if (tsc_now() < next)
        return;
    next = tsc_now() + ticks_of_ms(EVERY_MS);
    look_at_all();
}

/* at->index: the CPU; at->inner: how many were reported; at->part: 1 at the end */
bool errors_next(struct cursor *at, union record *out)
{
    record_begin(out, RECORD_NOTE);
    if (at->part != 0)
        return false;
    if (at->index == 0) {
        look_at_all();
        root_rest(ticks_of_ms(1)); /* then they have looked, but for those that a host keeps away */
    }
    while (at->index < ROOT_BOOT->cpu_count) {
        unsigned cpu = at->index++;
        uint32_t errors = look_at(cpu);
        if (errors == 0)
            continue;
        at->inner++;
        record_note(&out->note, NOTE_INFO, "CPU %u: hardware errors: %u", cpu, errors);
        return true;
    }
    at->part = 1;
    record_note(&out->note, NOTE_INFO, "CPUs with hardware errors: %u, NMIs: %u", at->inner, nmis);
    return true;
}
