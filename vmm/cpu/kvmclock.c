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

/* A structure that begins with its version, which is odd: then readers look again until the even one stands there. */
static enum error publish(const struct guest_memory *m, uint64_t gpa, const void *bytes, size_t size, uint32_t version)
{
    if (!guest_store(m, gpa, 4, version))
        return E_ARG;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    enum error error = guest_write(m, gpa + 4, (const uint8_t *)bytes + 4, size - 4);
    if (error == OK && !guest_store(m, gpa, 4, version + 1u))
        error = E_ARG;
    return error;
}

enum error kvmclock_fill(const struct guest_memory *m, uint64_t gpa, uint64_t tsc_khz, uint64_t tsc, uint64_t ns)
{
    struct pvclock_scale scale;
    const struct pvclock_time *page = gpa % 4 == 0 ? guest_ptr(m, gpa, sizeof(*page)) : NULL;
    if (page == NULL || pvclock_scale(tsc_khz, &scale) != OK)
        return E_ARG;
    /* A reader takes an odd version, or one that changed, as "look again". Whatever the guest had there is only counted
     * up. */
    const struct pvclock_time now = {.version = (page->version | 1u) + 2u,
                                     .tsc_timestamp = tsc,
                                     .system_time = ns,
                                     .mul = scale.mul,
                                     .shift = scale.shift,
                                     .flags = PVCLOCK_TSC_STABLE};
    return publish(m, gpa, &now, sizeof now, now.version);
}

enum error kvmclock_wall(const struct guest_memory *m, uint64_t gpa, uint64_t ns_since_1970)
{
    const struct pvclock_wall *wall = gpa % 4 == 0 ? guest_ptr(m, gpa, sizeof(*wall)) : NULL;
    if (wall == NULL)
        return E_ARG;
    const struct pvclock_wall now = {(wall->version | 1u) + 2u, (uint32_t)(ns_since_1970 / 1000000000u),
                                     (uint32_t)(ns_since_1970 % 1000000000u)};
    return publish(m, gpa, &now, sizeof now, now.version);
}
