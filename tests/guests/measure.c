// SPDX-License-Identifier: Apache-2.0
/* What the measuring guests share. See measure.h. */
#include "measure.h"

uint64_t tsc_khz;
static const char *words = "";
static uint64_t state = 88172645463325252ull;

uint64_t chance(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (state * 0x2545f4914f6cdd1dull) >> 20;
}

/* Behind `key`, where that begins a word of the command line; NULL: nowhere. */
static const char *find(const char *key)
{
    for (const char *at = words; *at; at++) {
        if (at != words && at[-1] != ' ')
            continue;
        const char *a = at, *k = key;
        while (*k && *a == *k) {
            a++;
            k++;
        }
        if (!*k)
            return a;
    }
    return NULL;
}

uint64_t option_number(const char *key, uint64_t otherwise)
{
    const char *a = find(key);
    if (!a || *a < '0' || *a > '9')
        return otherwise;
    uint64_t v = 0;
    for (; *a >= '0' && *a <= '9'; a++)
        v = v * 10 + (uint64_t)(*a - '0');
    return v;
}

bool option_word(const char *word)
{
    const char *a = find(word);
    return a && (*a == ' ' || *a == 0);
}

/* CPUID 0x40000010 (hypervisors' agreement): EAX is the TSC's rate in kHz. Without it 0x15 (Intel SDM vol. 2, CPUID).
 */
static uint64_t find_khz(void)
{
    uint32_t r[4];
    cpuid(0x40000000, r);
    if (r[0] >= 0x40000010 && r[0] < 0x40010000) {
        cpuid(0x40000010, r);
        return r[0];
    }
    cpuid(0, r);
    if (r[0] < 0x15)
        return 0;
    cpuid(0x15, r);
    return r[0] ? (uint64_t)r[2] * r[1] / r[0] / 1000 : 0;
}

void measure_init(uint32_t magic, const struct multiboot *info, const char *name)
{
    uint32_t r[4];
    if (magic == MULTIBOOT_MAGIC && info->flags & 4)
        words = (const char *)(uintptr_t)info->cmdline;
    interrupts_off();
    serial_init();
    tables_init();
    pic_init();
    tsc_khz = find_khz();
    cpuid(1, r);
    if (tsc_khz == 0 || !(r[2] >> 21 & 1) || !(r[2] >> 24 & 1)) {
        print("%s: it needs a TSC of known rate, an x2APIC and a TSC-deadline timer\n", name);
        guest_exit(1);
    }
    wrmsr(0x1b, rdmsr(0x1b) | 0xc00);     /* global and x2APIC enable: 11.12.1 */
    wrmsr(0x80f, 0x1ff);                  /* software enable, spurious vector 0xff */
    wrmsr(0x808, 0);                      /* TPR */
    wrmsr(0x832, 0x40000 | VECTOR_TIMER); /* LVT timer: by TSC deadline */
    print("%s ready: %llu kHz\n", name, (unsigned long long)tsc_khz);
}
