// SPDX-License-Identifier: Apache-2.0
// sources: vmm/memory.c vmm/firmware/e820.c vmm/cpu/kvmclock.c
/* Guest memory access, the memory map, and the KVM clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/cpu/kvmclock.h"
#include "vmm/firmware/e820.h"
#include "vmm/memory.h"

static void layout_splits_at_three_gib(void **state)
{
    (void)state;
    struct vmm_piece p[2];
    assert_int_equal(guest_layout(0, p), 0);
    assert_int_equal(guest_layout(4097, p), 0);
    assert_int_equal(guest_layout(1ull << 41, p), 0);
    assert_int_equal(guest_layout(64 << 20, p), 1);
    assert_int_equal(p[0].size, 64 << 20);
    assert_int_equal(guest_layout(GUEST_LOW_RAM_MAX, p), 1);
    assert_int_equal(guest_layout(5ull << 30, p), 2);
    assert_int_equal(p[0].size, GUEST_LOW_RAM_MAX);
    assert_int_equal(p[1].gpa, 4ull << 30);
    assert_int_equal(p[1].size, 2ull << 30);
}

static void pieces_merge_and_refuse(void **state)
{
    (void)state;
    uint8_t *ram = malloc(0x10000), *other = malloc(0x1000);
    struct guest_memory m = {0};
    assert_int_equal(guest_memory_add(&m, 0x3000, 0x1000, ram + 0x3000), OK);
    assert_int_equal(guest_memory_add(&m, 0x1000, 0x1000, ram + 0x1000), OK);
    assert_int_equal(m.count, 2);
    assert_int_equal(guest_memory_add(&m, 0x2000, 0x1000, ram + 0x2000), OK);
    assert_int_equal(m.count, 1);
    assert_int_equal(m.piece[0].gpa, 0x1000);
    assert_int_equal(m.piece[0].size, 0x3000);
    assert_int_equal(guest_low_end(&m), 0);
    assert_int_equal(guest_memory_add(&m, 0, 0x1001, ram), E_OVERLAP);
    assert_int_equal(guest_memory_add(&m, 0x3fff, 0x1000, ram), E_OVERLAP);
    assert_int_equal(guest_memory_add(&m, 0x9000, 0, ram), E_ARG);
    assert_int_equal(guest_memory_add(&m, UINT64_MAX, 2, ram), E_ARG);
    assert_int_equal(guest_memory_add(&m, 0x9000, 1, NULL), E_ARG);
    assert_int_equal(guest_memory_add(&m, 0x9000, 0x1800, ram), E_ARG);
    assert_int_equal(guest_memory_add(&m, 0x9800, 0x1000, ram), E_ARG);
    assert_int_equal(guest_memory_add(&m, 0, 0x1000, other), OK); /* adjacent for the guest, not for us */
    assert_int_equal(m.count, 2);
    assert_int_equal(guest_low_end(&m), 0x4000);
    assert_int_equal(guest_total(&m), 0x4000);

    assert_ptr_equal(guest_ptr(&m, 0x1000, 0x3000), ram + 0x1000);
    assert_null(guest_ptr(&m, 0x1000, 0x3001));
    assert_null(guest_ptr(&m, 0x1000, 0));
    assert_null(guest_ptr(&m, 0xfff, 2));
    assert_null(guest_ptr(&m, 0x4000, 1));
    assert_null(guest_ptr(&m, UINT64_MAX, 1));
    assert_null(guest_ptr(&m, 0x1000, UINT64_MAX));
    assert_ptr_equal(guest_page(&m, 0), other); /* the first piece, another, none */
    assert_ptr_equal(guest_page(&m, 0x3000), ram + 0x3000);
    assert_null(guest_page(&m, 0x4000));
    assert_null(guest_page(&m, UINT64_MAX & ~0xfffull));
    assert_null(guest_page(&(struct guest_memory){0}, 0));

    const char text[] = "straddles two pieces";
    char back[sizeof(text)];
    assert_int_equal(guest_write(&m, 0xff8, text, sizeof(text)), OK);
    assert_memory_equal(other + 0xff8, text, 8);
    assert_int_equal(guest_read(&m, 0xff8, back, sizeof(back)), OK);
    assert_string_equal(back, text);
    assert_int_equal(guest_fill(&m, 0xff8, 0x5a, 16), OK);
    assert_int_equal(ram[0x1007], 0x5a);
    assert_int_not_equal(ram[0x1008], 0x5a);
    ram[0x3fff] = 1;
    assert_int_equal(guest_write(&m, 0x3fff, text, 2), E_ARG); /* half of it would fit: nothing is written */
    assert_int_equal(ram[0x3fff], 1);
    assert_int_equal(guest_read(&m, UINT64_MAX - 1, back, 4), E_ARG);
    free(ram);
    free(other);
}

static void too_many_pieces(void **state)
{
    (void)state;
    static uint8_t ram[0x1000];
    struct guest_memory m = {0};
    for (unsigned i = 0; i < VMM_PIECES_MAX; i++)
        assert_int_equal(guest_memory_add(&m, i * 0x10000ull, 0x1000, ram), OK);
    assert_int_equal(guest_memory_add(&m, 0x1000000, 0x1000, ram), E_QUOTA);
}

static void map_has_the_hole_and_the_reserved(void **state)
{
    (void)state;
    /* Pieces are never touched here, so their addresses need only be distinct. */
    struct guest_memory m = {0};
    assert_int_equal(guest_memory_add(&m, 0, GUEST_LOW_RAM_MAX, (void *)0x1000000000ull), OK);
    assert_int_equal(guest_memory_add(&m, GUEST_HIGH_RAM, 1ull << 30, (void *)(0x1000000000ull + GUEST_HIGH_RAM)), OK);
    struct e820_range reserved[] = {{0xfee00000, 0x1000}, {0xe0000000, 0x10000000}, {0xfec00000, 0x1000}};
    struct e820_map map;
    assert_int_equal(e820_build(&map, &m, reserved, 3), OK);
    const struct e820_entry want[] = {
        {0, 0x9fc00, E820_RAM},
        {0x9fc00, 0x60400, E820_RESERVED},
        {0x100000, GUEST_LOW_RAM_MAX - 0x100000, E820_RAM},
        {0xe0000000, 0x10000000, E820_RESERVED},
        {0xfec00000, 0x1000, E820_RESERVED},
        {0xfee00000, 0x1000, E820_RESERVED},
        {GUEST_HIGH_RAM, 1ull << 30, E820_RAM},
    };
    assert_int_equal(map.count, sizeof(want) / sizeof(want[0]));
    assert_memory_equal(map.entry, want, sizeof(want));

    struct e820_range in_ram = {0x200000, 0x1000};
    assert_int_equal(e820_build(&map, &m, &in_ram, 1), E_OVERLAP);
    struct e820_range wraps = {UINT64_MAX - 1, 0x1000};
    assert_int_equal(e820_build(&map, &m, &wraps, 1), E_ARG);
    struct e820_range empty = {0xd0000000, 0};
    assert_int_equal(e820_build(&map, &m, &empty, 1), E_ARG);
}

static void clock_rates(void **state)
{
    (void)state;
    const uint64_t rates[] = {1,       999,     1000,    50000,   999999,  1000000,
                              1000001, 1600000, 2394123, 3500000, 6000000, 1ull << 31};
    for (unsigned i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        struct pvclock_scale s;
        assert_int_equal(pvclock_scale(rates[i], &s), OK);
        assert_true(s.mul >= 1u << 31);
        uint64_t second = pvclock_ns(&s, rates[i] * 1000);
        assert_true(second >= 1000000000ull - 2000 && second <= 1000000000ull);
        if (rates[i] >= 50000 && rates[i] <= 6000000) { /* a day is right to a few microseconds */
            uint64_t day = pvclock_ns(&s, rates[i] * 1000 * 86400);
            assert_true(day <= 86400000000000ull && day >= 86400000000000ull - 50000);
        }
    }
    struct pvclock_scale s;
    assert_int_equal(pvclock_scale(0, &s), E_ARG);
    assert_int_equal(pvclock_scale((1ull << 31) + 1, &s), E_ARG);
}

static void clock_pages(void **state)
{
    (void)state;
    static uint64_t ram[512];
    struct guest_memory m = {0};
    assert_int_equal(guest_memory_add(&m, 0, sizeof(ram), ram), OK);
    ram[0] = 7;
    assert_int_equal(kvmclock_fill(&m, 0, 2000000, 1000, 500), OK);
    uint32_t version = (uint32_t)ram[0];
    assert_true(version % 2 == 0 && version > 7);
    assert_int_equal(ram[1], 1000);
    assert_int_equal(ram[2], 500);
    assert_int_equal((ram[3] >> 40) & 0xff, 1);
    assert_int_equal(kvmclock_fill(&m, 0, 2000000, 2000, 1000), OK);
    assert_int_equal((uint32_t)ram[0], version + 4);
    assert_int_equal(kvmclock_fill(&m, 4096 - 31, 2000000, 0, 0), E_ARG);
    assert_int_equal(kvmclock_fill(&m, 4096 - 28, 2000000, 0, 0), E_ARG);
    assert_int_equal(kvmclock_fill(&m, 2, 2000000, 0, 0), E_ARG);
    assert_int_equal(kvmclock_fill(&m, 4, 2000000, 0, 0), OK);
    assert_int_equal(kvmclock_wall(&m, 2048, 1700000000123456789ull), OK);
    const uint32_t *wall = (const uint32_t *)&ram[256];
    assert_int_equal(wall[0] % 2, 0);
    assert_int_equal(wall[1], 1700000000);
    assert_int_equal(wall[2], 123456789);
    assert_int_equal(kvmclock_wall(&m, 4092, 0), E_ARG);
}

/* --- one door for writes --- */

static struct {
    unsigned count;
    uint64_t gpa[8], len[8];
} told;

static void on_written(void *context, uint64_t gpa, uint64_t len)
{
    assert_ptr_equal(context, &told);
    assert_true(told.count < 8);
    told.gpa[told.count] = gpa;
    told.len[told.count++] = len;
}

static void is_told(uint64_t gpa, uint64_t len)
{
    assert_int_equal(told.count, 1);
    assert_int_equal(told.gpa[0], gpa);
    assert_int_equal(told.len[0], len);
    told.count = 0;
}

static void every_write_is_told(void **state)
{
    (void)state;
    static uint8_t low[0x2000] __attribute__((aligned(8))), high[0x1000] __attribute__((aligned(8)));
    struct guest_memory m = {0};
    uint64_t v = 0x1122334455667788ull;
    assert_int_equal(guest_memory_add(&m, 0, sizeof low, low), OK);
    assert_int_equal(guest_memory_add(&m, 0x5000, sizeof high, high), OK);
    m.written = on_written;
    m.context = &told;
    assert_int_equal(guest_write(&m, 0x10, &v, 8), OK);
    is_told(0x10, 8);
    assert_int_equal(guest_write(&m, 0x1ffc, &v, 8), E_ARG);
    assert_int_equal(guest_write(&m, 0x10, &v, 0), OK);
    assert_int_equal(told.count, 0); /* nothing was done */
    assert_int_equal(guest_fill(&m, 0x5000, 1, 0x1000), OK);
    is_told(0x5000, 0x1000);
    for (unsigned size = 1; size <= 8; size++) {
        assert_true(guest_store(&m, 0x100, size, v));
        is_told(0x100, size);
        assert_memory_equal(low + 0x100, &v, size);
        assert_true(guest_store(&m, 0x203, size, v));
        is_told(0x203, size);
        assert_memory_equal(low + 0x203, &v, size);
        assert_int_equal(low[0x203 + size], 0);
        memset(low + 0x203, 0, 8);
    }
    assert_false(guest_store(&m, 0x100, 9, v));
    assert_false(guest_store(&m, 0x1ffd, 4, v));
    assert_false(guest_store(&m, UINT64_MAX, 1, v));
    uint64_t old;
    memcpy(&old, low + 0x20, 8);
    assert_true(guest_replace(&m, 0x20, 8, old, old | 1ull << 63));
    is_told(0x20, 8);
    uint32_t half = 0x80000000 | (uint32_t)(old >> 32);
    assert_true(guest_replace(&m, 0x24, 4, half, half | 1));
    is_told(0x24, 4);
    assert_int_equal(low[0x27] << 8 | low[0x24], 0x8001);
    assert_false(guest_replace(&m, 0x24, 4, half, 7)); /* it holds something else by now */
    assert_false(guest_replace(&m, 0x20, 8, old, 7));
    assert_int_equal(low[0x27] << 8 | low[0x24], 0x8001);
    assert_false(guest_replace(&m, 0x3000, 4, 0, 1));
    assert_int_equal(told.count, 0);
    guest_written(&m, 0x1800, 0x10000); /* both pieces, as far as they reach */
    assert_int_equal(told.count, 2);
    assert_true(told.gpa[0] == 0x1800 && told.len[0] == 0x800 && told.gpa[1] == 0x5000 && told.len[1] == 0x1000);
    told.count = 0;
    guest_written(&m, 0x5ff0, UINT64_MAX - 0x5ff0 + 1);
    is_told(0x5ff0, 0x10);
    guest_written(&m, 0x2000, 0x3000);
    guest_written(&m, 0x10, 0);
    guest_written(&m, 0x6000, UINT64_MAX); /* wraps: only what is above counts */
    assert_int_equal(told.count, 0);
    assert_int_equal(kvmclock_fill(&m, 0x800, 2000000, 2000, 1000), OK);
    assert_true(told.count == 3 && told.gpa[0] == 0x800 && told.gpa[1] == 0x804 && told.len[1] == 28);
    told.count = 0;
    guest_clear(&m);
    assert_int_equal(told.count, 2);
    told.count = 0;
    for (unsigned i = 0; i < sizeof low; i++)
        assert_true(low[i] == 0 && high[i % sizeof high] == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layout_splits_at_three_gib),
        cmocka_unit_test(pieces_merge_and_refuse),
        cmocka_unit_test(too_many_pieces),
        cmocka_unit_test(map_has_the_hole_and_the_reserved),
        cmocka_unit_test(clock_rates),
        cmocka_unit_test(clock_pages),
        cmocka_unit_test(every_write_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
