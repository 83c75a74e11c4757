// SPDX-License-Identifier: Apache-2.0
/* See look.h. */
#include "vmm/test/look.h"

#include "lib/syscall.h"
#include "vmm/cpu/cpuid.h"

#define HAS_OSXSAVE (1u << 27) /* leaf 1, ECX */
#define HAS_RDTSCP  (1u << 27) /* leaf 8000_0001H, EDX */

uint32_t look_tsc_aux(void);
uint64_t look_xcr(uint32_t index);
void look_cpuid(uint32_t leaf, uint32_t subleaf, struct cpuid_regs *out);

static struct cpuid_regs host(uint32_t leaf, uint32_t subleaf)
{
    struct cpuid_regs r;
    look_cpuid(leaf, subleaf, &r);
    return r;
}

static uint32_t read_tsc_aux(void)
{
    return host(0x80000001u, 0).edx & HAS_RDTSCP ? look_tsc_aux() : 0;
}

struct look look_around(uint64_t ticks)
{
    struct look found = {0};
    uint64_t start = tsc_now(), last = start, now;
    uint32_t own_aux = read_tsc_aux();
    struct cpuid_regs own = host(0xd, 0);
    while ((now = tsc_now()) - start < ticks) {
        found.turns += now - last > ticks / 64;
        last = now;
        uint32_t aux = read_tsc_aux(), bytes = host(0xd, 0).ebx;
        if (aux != own_aux && aux != 0)
            found.tsc_aux = aux;
        if (bytes != own.ebx && bytes != own.ecx)
            found.xcr0_bytes = bytes;
        if (host(1, 0).ecx & HAS_OSXSAVE)
            found.xgetbv = (uint32_t)look_xcr(0) | (host(0xd, 1).eax & 4 ? (uint32_t)look_xcr(1) << 16 : 0);
    }
    return found;
}
