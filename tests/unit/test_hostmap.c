// SPDX-License-Identifier: Apache-2.0
// sources: mm/pagetable.c mm/pool.c boot/ranges.c
/*
 * Where the kernel's pool goes: in free memory below 4 GiB, away from image and modules, the highest place there is;
 * and found whenever there is one. The rest of mm/hostmap.c writes to the CPU and is tried by booting.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "mm/hostmap.c"

char text_start[1], text_end[1], rodata_end[1], programs_end[1], data_start[1], kernel_end[1];
uint64_t boot_pdpt_high_va[512];

#define MB(n) ((uint64_t)(n) << 20)

/* As kernel/main.c does it: out of the memory that there is comes what is taken; the pool goes into the rest. */
static bool choose(const struct boot_range *ram, unsigned rams, const struct boot_range *taken, unsigned takens,
                   uint64_t size, uint64_t *base)
{
    struct boot_range free[16];
    unsigned n = rams;
    for (unsigned i = 0; i < rams; i++)
        free[i] = ram[i];
    for (unsigned i = 0; i < takens; i++)
        assert_int_equal(ranges_remove(free, &n, 16, taken[i]), OK);
    *base = choose_pool(free, n, size);
    return *base != 0;
}

static void test_places(void **state)
{
    (void)state;
    const struct boot_range ram[] = {
        {0, 0x9f000}, {MB(1), MB(127)}, {MB(3072), MB(1024) - 0x20000}, {MB(4096), MB(4096)}};
    struct boot_range taken[3] = {{0, MB(1)}, {MB(1), MB(4)}, {0, 0}};
    uint64_t base;
    assert_true(choose(ram, 4, taken, 2, MB(64), &base));
    assert_int_equal(base, MB(4094 - 64)); /* never above 4 GiB */
    assert_true(choose(ram, 2, taken, 2, MB(64), &base));
    assert_int_equal(base, MB(64));
    taken[2] = (struct boot_range){MB(127), 0x1000}; /* a module at the top */
    assert_true(choose(ram, 2, taken, 3, MB(64), &base));
    assert_int_equal(base, MB(62));
    taken[2] = (struct boot_range){MB(60), MB(60)};
    assert_true(choose(ram, 2, taken, 3, MB(8), &base));
    assert_int_equal(base, MB(120));
    assert_true(choose(ram, 2, taken, 3, MB(10), &base));
    assert_int_equal(base, MB(50));
    assert_false(choose(ram, 2, taken, 3, MB(56), &base));
    assert_false(choose(ram, 0, taken, 3, MB(4), &base));
    assert_false(choose(ram, 1, taken, 0, MB(4), &base));
    assert_false(choose(ram + 3, 1, taken, 0, MB(4), &base));
}

/* A guest with one CPU needs 448 KiB of the pool (config/config.h) and little memory. */
static void test_sizes(void **state)
{
    (void)state;
    assert_int_equal(pool_bytes(MB(64), 1), MB(4));
    assert_int_equal(pool_bytes(MB(512), 4), MB(32));
    assert_int_equal(pool_bytes(MB(1024), 4), MB(64));
    assert_int_equal(pool_bytes(MB(16384), 64), MB(320));
    assert_int_equal(pool_bytes(MB(1) << 20, 1024), MB(512));
    assert_true(pool_bytes(MB(1024), 4) > 100 * (448ull << 10));
    assert_true(pool_bytes(MB(4096), 64) > 256 * (448ull << 10));
    for (uint64_t ram = MB(32); ram < MB(1) << 20; ram += ram / 3)
        assert_int_equal(pool_bytes(ram, 3) % SIZE_2M, 0);
}

static void test_against_trying_all(void **state)
{
    (void)state;
    enum { TOP = 64 }; /* MiB */
    srand(31);
    unsigned found = 0, none = 0;
    for (int round = 0; round < 20000; round++) {
        struct boot_range ram[4], taken[6];
        unsigned rams = 0, takens = (unsigned)rand() % 6;
        for (uint64_t at = (uint64_t)rand() % 6; rams < 4 && at < TOP; rams++) {
            uint64_t size = 1 + (uint64_t)rand() % 30;
            ram[rams] = (struct boot_range){MB(at) + (rand() % 2 ? 0x3000 : 0), MB(size) - 0x4000};
            at += size + (uint64_t)rand() % 5;
        }
        for (unsigned i = 0; i < takens; i++)
            taken[i] = (struct boot_range){MB(rand() % TOP) + (uint64_t)(rand() % 256) * 0x1000,
                                           0x1000 + (uint64_t)(rand() % 2000) * 0x1000};
        uint64_t size = MB(4 + 2 * (rand() % 6)), base = 0, best = ~0ull;
        for (uint64_t at = MB(2); at < MB(2 * TOP); at += MB(2)) { /* 0 means none */
            bool inside = false, free = true;
            for (unsigned i = 0; i < rams; i++)
                inside |= at >= ram[i].base && at + size <= ram[i].base + ram[i].size;
            for (unsigned i = 0; i < takens; i++)
                free &= at + size <= taken[i].base || at >= taken[i].base + taken[i].size;
            if (inside && free)
                best = at;
        }
        bool got = choose(ram, rams, taken, takens, size, &base);
        assert_int_equal(got, best != ~0ull);
        if (got)
            assert_int_equal(base, best);
        found += got;
        none += !got;
    }
    assert_true(found > 1000 && none > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_against_trying_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
