// SPDX-License-Identifier: Apache-2.0
/*
 * The checker: a program of its own in a domain of its own, which root starts and asks. It can read the kernel's pool
 * and write nothing but its answer. Waits for a request, looks, looks again if something changed meanwhile, answers.
 * See check.h.
 */
#include "lib/string.h"
#include "lib/syscall.h"
#include "services/audit/check.h"

#define BOOT          ((const struct audit_boot *)AUDIT_BOOT_VA)
#define ANSWER        ((struct audit_answer *)AUDIT_ANSWER_VA)
#define RING0_POOL_VA 0xffffffffc0000000ull /* docs/memory.md */
#define TRIES_MAX     8
#define PAUSE_US      500u         /* before the second look; each further pause is twice as long */
#define EVENT_NEVER   (1ull << 63) /* never signalled */

void thread_main(uint64_t argument);

static void answer(uint64_t request)
{
    static struct audit_answer found;
    const struct audit_boot *b = BOOT;
    struct view view = {.pool = (const uint8_t *)AUDIT_POOL_VA,
                        .pool_hpa = b->pool.base,
                        .pool_size = b->pool.size,
                        .pool_va = RING0_POOL_VA,
                        .shown = (const struct audit_view *)AUDIT_SHOWN_VA,
                        .shown_hpa = b->shown.base,
                        .shown_size = b->shown.size};
    uint32_t tries = 0;
    uint64_t pause = b->tsc_khz * PAUSE_US / 1000;
    for (;;) {
        check(&view, b, &found);
        if (found.verdict != AUDIT_RESTLESS || ++tries == TRIES_MAX)
            break;
        (void)sys_event_wait(AUDIT_SLOT_EVENT, EVENT_NEVER, tsc_now() + pause);
        pause *= 2;
    }
    found.tries = tries + (found.verdict != AUDIT_RESTLESS);
    *ANSWER = found;
    __atomic_store_n(&ANSWER->answered, request, __ATOMIC_RELEASE);
    (void)sys_event_signal(AUDIT_SLOT_ROOT_EVENT, b->root_bits);
}

void thread_main(uint64_t argument)
{
    (void)argument;
    if (BOOT->magic != AUDIT_BOOT_MAGIC)
        return;
    for (;;) {
        uint64_t request = __atomic_load_n(&BOOT->request, __ATOMIC_ACQUIRE);
        if (request != ANSWER->answered)
            answer(request);
        (void)sys_event_wait(AUDIT_SLOT_EVENT, ~EVENT_NEVER, NEVER);
    }
}
