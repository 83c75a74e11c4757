// SPDX-License-Identifier: Apache-2.0
/*
 * See vmm/cpu/kvmclock.h.
 */
#include "vmm/cpu/kvmclock.h"
#include <stddef.h>

#define PVCLOCK_TSC_STABLE 1u

/* Linux Documentation/virt/kvm/x86/msr.rst, MSR_KVM_SYSTEM_TIME_NEW and MSR_KVM_WALL_CLOCK_NEW. */
struct pvclock_time {
    uint32_t version; /* odd while it is being written */
    uint32_t pad0;
    uint64_t tsc_timestamp;
    uint64_t system_time;
    uint32_t mul;
    int8_t shift;
    uint8_t flags;
    uint8_t pad1[2];
} __attribute__((packed, aligned(4)));
_Static_assert(sizeof(struct pvclock_time) == 32, "ABI");

struct pvclock_wall {
    uint32_t version, sec, nsec;
};

enum error pvclock_scale(uint64_t tsc_khz, struct pvclock_scale *out)
{
    if (tsc_khz == 0 || tsc_khz > 1ull << 31)
        return E_ARG;
    /* ns per tick = 10^6 / kHz = n / d * 2^shift, brought to n < d <= 2n so that mul uses all of its 32 bits. */
    uint64_t n = 1000000, d = tsc_khz;
    int shift = 0;
    while (n >= d) {
        d <<= 1;
        shift++;
    }
    while (d > 2 * n) {
        n <<= 1;
        shift--;
    }
    out->mul = (uint32_t)((n << 32) / d); /* n < 2^31 */
    out->shift = (int8_t)shift;
    return OK;
}

uint64_t pvclock_ns(const struct pvclock_scale *s, uint64_t ticks)
{
    ticks = s->shift >= 0 ? ticks << s->shift : ticks >> -s->shift;
    return (ticks >> 32) * s->mul + ((ticks & 0xffffffffu) * s->mul >> 32);
}

enum error kvmclock_fill(const struct guest_memory *m, uint64_t gpa, uint64_t tsc_khz, uint64_t tsc, uint64_t ns)
{
    struct pvclock_scale scale;
    struct pvclock_time *page = gpa % 4 == 0 ? guest_ptr(m, gpa, sizeof(*page)) : NULL;
    if (page == NULL || pvclock_scale(tsc_khz, &scale) != OK)
        return E_ARG;
    /* A reader takes an odd version, or one that changed, as "look again". Whatever the guest had there is only counted
     * up. */
    uint32_t version = (page->version | 1u) + 2u;
    __atomic_store_n(&page->version, version, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    page->tsc_timestamp = tsc;
    page->system_time = ns;
    page->mul = scale.mul;
    page->shift = scale.shift;
    page->flags = PVCLOCK_TSC_STABLE;
    __atomic_store_n(&page->version, version + 1u, __ATOMIC_RELEASE);
    return OK;
}

enum error kvmclock_wall(const struct guest_memory *m, uint64_t gpa, uint64_t ns_since_1970)
{
    struct pvclock_wall *wall = gpa % 4 == 0 ? guest_ptr(m, gpa, sizeof(*wall)) : NULL;
    if (wall == NULL)
        return E_ARG;
    uint32_t version = (wall->version | 1u) + 2u;
    __atomic_store_n(&wall->version, version, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    wall->sec = (uint32_t)(ns_since_1970 / 1000000000u);
    wall->nsec = (uint32_t)(ns_since_1970 % 1000000000u);
    __atomic_store_n(&wall->version, version + 1u, __ATOMIC_RELEASE);
    return OK;
}
