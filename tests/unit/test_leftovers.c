// SPDX-License-Identifier: Apache-2.0
// sources: arch/x86_64/leftovers.c
// libs: -DFAKE_CPUID -include tests/unit/fake_cpu.h
/* Which registers of firmware's are cleared, on which CPUs: writing one that a CPU lacks would be #GP, and the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "arch/x86_64/leftovers.h"

static uint32_t last_leaf, msrs[16];
static struct cpuid_regs leaf_1, leaf_7, leaf_a, leaf_d1;
static unsigned count;

struct cpuid_regs cpuid(uint32_t leaf, uint32_t subleaf)
{
    if (leaf == 0)
        return (struct cpuid_regs){.eax = last_leaf};
    if (leaf > last_leaf) /* what CPUs of Intel's answer: the highest one's */
        return (struct cpuid_regs){~0u, ~0u, ~0u, ~0u};
    if (leaf == 0xd)
        return subleaf == 1 ? leaf_d1 : (struct cpuid_regs){0xff, 0xff, 0xff, 0xff};
    assert_int_equal(subleaf, 0);
    return leaf == 1 ? leaf_1 : leaf == 7 ? leaf_7 : leaf == 0xa ? leaf_a : (struct cpuid_regs){0};
}

void wrmsr(uint32_t msr, uint64_t value)
{
    assert_int_equal(value, 0);
    assert_true(count < ARRAY_SIZE(msrs));
    msrs[count++] = msr;
}

static void cleared(unsigned expected, const uint32_t *numbers)
{
    count = 0;
    leftovers_clear();
    assert_int_equal(count, expected);
    for (unsigned i = 0; i < expected; i++)
        assert_int_equal(msrs[i], numbers[i]);
}

static void each_where_it_exists(void **state)
{
    (void)state;
    leaf_1.edx = 1u << 5;
    last_leaf = 1; /* an old one: nothing else may be believed */
    cleared(1, (const uint32_t[]){0x1d9});
    last_leaf = 0xd;
    leaf_a.eax = 1; /* version 1 has no global control */
    cleared(1, (const uint32_t[]){0x1d9});
    leaf_a.eax = 2;
    leaf_d1.eax = 0xf;
    cleared(3, (const uint32_t[]){0x1d9, 0x38f, 0xda0});
    last_leaf = 0x20;
    leaf_a.eax = 0x08300805;
    leaf_d1.eax = 0x1f;
    leaf_7.ebx = 1u << 25;
    leaf_7.edx = 1u << 19;
    cleared(6, (const uint32_t[]){0x1d9, 0x570, 0x14ce, 0x38f, 0xda0, 0x1c4});
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_where_it_exists)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
