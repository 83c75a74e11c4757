// SPDX-License-Identifier: Apache-2.0
// sources: mm/pagetable.c mm/pool.c
/*
 * The page tables: each format's bits held against the manuals' numbers, random maps and unmaps against an oracle,
 * failures that must change nothing, and a run under the single-step flag in which the tables are looked at after every
 * instruction of pt_map and pt_unmap.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "mm/pagetable.h"
#include "pt_lookup.h"

#define ARENA_PAGES 600u
#define ARENA_HPA   0x40000000ull
#define R           RIGHT_READ
#define RW          (RIGHT_READ | RIGHT_WRITE)
#define RX          (RIGHT_READ | RIGHT_EXEC)
#define RWX         (RIGHT_READ | RIGHT_WRITE | RIGHT_EXEC)
#define NX          0x8000000000000000ull

static _Alignas(4096) uint8_t arena[ARENA_PAGES * 4096], saved[ARENA_PAGES * 4096];
static struct quota quota;
static struct pagetable pt;

static void start(const struct pt_format *format)
{
    memset(arena, 0, sizeof(arena));
    pool_init(hpa(ARENA_HPA), sizeof(arena), arena);
    quota = (struct quota){.limit_bytes = UINT64_MAX};
    assert_int_equal(pt_create(&pt, format, &quota), OK);
}

static void finish(void)
{
    while (!pt_free_step(&pt, 512, 3))
        ;
    assert_int_equal(quota.used_bytes, 0);
    assert_int_equal(pool_pages_free(), pool_pages_total());
}

/* The raw entry of `level` on the way to `address`, walked without the code under test. */
static uint64_t raw(uint64_t address, unsigned level)
{
    const uint64_t *table = pt.root;
    for (unsigned l = 4;; l--) {
        uint64_t entry = table[address >> (12 + 9 * (l - 1)) & 511];
        if (l == level)
            return entry;
        assert_true(entry & 7);
        table = pool_ptr(hpa(entry & 0x000ffffffffff000ull));
    }
}

struct bits {
    uint32_t rights;
    uint64_t small, large;
};

static void check_bits(struct pt_format *format, const struct bits *bits, size_t count, uint64_t table_bits)
{
    const uint64_t frame = 0x000fffffc0000000ull; /* up to bit 51, 1 GiB aligned */
    for (size_t i = 0; i < count; i++) {
        start(format);
        uint32_t rights = 0;
        uint64_t size = 0;
        hpa_t f;
        assert_int_equal(pt_map(&pt, 0x40000000, hpa(frame), SIZE_1G, bits[i].rights), OK);
        assert_int_equal(pt_map(&pt, 0x80000000, hpa(frame), SIZE_2M, bits[i].rights), OK);
        assert_int_equal(pt_map(&pt, 0x80200000, hpa(frame), PAGE_SIZE, bits[i].rights), OK);
        assert_int_equal(raw(0x40000000, 3), frame | bits[i].large);
        assert_int_equal(raw(0x80000000, 2), frame | bits[i].large);
        assert_int_equal(raw(0x80200000, 1), frame | bits[i].small);
        for (unsigned level = 2; level <= 4; level++) {
            uint64_t entry = raw(0x80200000, level);
            assert_int_equal(entry & ~0x000ffffffffff000ull, table_bits);
            assert_true(pool_contains(hpa(entry & 0x000ffffffffff000ull)));
        }
        const uint64_t at[] = {0x40000000, 0x80000000, 0x80200000}, sizes[] = {SIZE_1G, SIZE_2M, PAGE_SIZE};
        for (int k = 0; k < 3; k++) {
            assert_true(pt_lookup(&pt, at[k] + sizes[k] - 1, &f, &rights, &size));
            assert_int_equal(f.v, frame + sizes[k] - PAGE_SIZE);
            assert_int_equal(size, sizes[k]);
            assert_int_equal(rights, bits[i].rights & (format == &pt_host ? ~0u : ~(PT_USER | PT_GLOBAL)));
            assert_false(pt_lookup(&pt, 0x80201000, NULL, NULL, NULL));
        }
        finish();
    }
}

/* Intel SDM vol. 3, 4.5.4: P 0, R/W 1, U/S 2, PWT 3, PCD 4, A 5, D 6, PS 7, G 8, XD 63. */
static void test_host_bits(void **state)
{
    (void)state;
    const struct bits bits[] = {
        {R, NX | 0x61, NX | 0xe1},
        {RW, NX | 0x63, NX | 0xe3},
        {RX, 0x61, 0xe1},
        {RX | PT_USER, 0x65, 0xe5},
        {RW | PT_USER, NX | 0x67, NX | 0xe7},
        {RX | PT_GLOBAL, 0x161, 0x1e1},
        {RW | PT_UNCACHED, NX | 0x7b, NX | 0xfb},
    };
    check_bits(&pt_host, bits, ARRAY_SIZE(bits), 0x27);
}

/* Intel SDM vol. 3, 29.3.2: R 0, W 1, X 2, type 5:3 (6 is WB), ignore PAT 6, page 7; tables: bits 7:3 reserved. */
static void test_ept_bits(void **state)
{
    (void)state;
    const struct bits bits[] = {
        {R, 0x71, 0xf1},
        {RW, 0x73, 0xf3},
        {RX, 0x75, 0xf5},
        {RWX, 0x77, 0xf7},
        {RWX | PT_USER | PT_GLOBAL, 0x77, 0xf7},
        {RW | PT_UNCACHED, 0x43, 0xc3},
    };
    check_bits(&pt_ept, bits, ARRAY_SIZE(bits), 0x7);
    for (uint32_t rights = 0; rights < 8; rights++) /* 29.3.3.1: writable without readable is a misconfiguration */
        assert_int_equal(pt_ept.leaf(hpa(0), 1, rights) & 1, 1);
}

/* AMD APM vol. 2, 15.25.5 and 5.3: as the host's, U/S always set. */
static void test_npt_bits(void **state)
{
    (void)state;
    const struct bits bits[] = {
        {R, NX | 0x65, NX | 0xe5},
        {RW, NX | 0x67, NX | 0xe7},
        {RX, 0x65, 0xe5},
        {RWX, 0x67, 0xe7},
        {RWX | PT_USER | PT_GLOBAL, 0x67, 0xe7},
        {RW | PT_UNCACHED, NX | 0x7f, NX | 0xff},
    };
    check_bits(&pt_npt, bits, ARRAY_SIZE(bits), 0x27);
}

static void test_arguments(void **state)
{
    (void)state;
    const uint64_t top = 1ull << 48, half = 1ull << 47;
    start(&pt_ept);
    const struct {
        uint64_t a, f, s;
    } bad[] = {
        {1, 0, 4096},          {0, 1, 4096},
        {0, 0, 4097},          {0, 0, 0},
        {top, 0, 4096},        {top - 4096, 0, 8192},
        {0, 0, top + 4096},    {4096, 0, top},
        {0, 1ull << 52, 4096}, {0, (1ull << 52) - 4096, 8192},
        {4096, 0, ~PAGE_MASK}, {~PAGE_MASK, 0, 4096},
        {0 - half, 0, 4096},
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(pt_map(&pt, bad[i].a, hpa(bad[i].f), bad[i].s, RW), E_ARG);
    assert_int_equal(pt_tables(&pt, 512), 1);
    assert_int_equal(pt_map(&pt, top - 4096, hpa((1ull << 52) - 4096), 4096, RW), OK);
    assert_true(pt_lookup(&pt, top - 1, NULL, NULL, NULL));
    assert_false(pt_lookup(&pt, top, NULL, NULL, NULL));
    assert_false(pt_lookup(&pt, ~0ull, NULL, NULL, NULL));
    pt_unmap_all(&pt, top - 4096, ~0ull);
    assert_false(pt_lookup(&pt, top - 1, NULL, NULL, NULL));
    finish();

    start(&pt_host); /* canonical addresses, and no range from one half into the other */
    const struct {
        uint64_t a, s;
    } odd[] = {
        {half, 4096},        {half - 4096, 8192}, {top - 4096, 4096}, {0 - half - 4096, 8192},
        {0 - 4096ull, 8192}, {top, 4096},
    };
    for (size_t i = 0; i < ARRAY_SIZE(odd); i++)
        assert_int_equal(pt_map(&pt, odd[i].a, hpa(0), odd[i].s, RW), E_ARG);
    assert_int_equal(pt_map(&pt, half - 4096, hpa(0x1000), 4096, RW), OK);
    assert_int_equal(pt_map(&pt, 0 - half, hpa(0x2000), 4096, RW), OK);
    assert_int_equal(pt_map(&pt, 0 - 4096ull, hpa(0x3000), 4096, RW), OK);
    hpa_t f;
    assert_true(pt_lookup(&pt, ~0ull, &f, NULL, NULL) && f.v == 0x3000);
    assert_true(pt_lookup(&pt, 0 - half, &f, NULL, NULL) && f.v == 0x2000);
    assert_false(pt_lookup(&pt, half, &f, NULL, NULL));
    pt_unmap_all(&pt, 0, ~0ull); /* stays in the lower half */
    assert_false(pt_lookup(&pt, half - 4096, NULL, NULL, NULL));
    assert_true(pt_lookup(&pt, 0 - half, NULL, NULL, NULL));
    finish();
}

static void test_largest_pages(void **state)
{
    (void)state;
    for (unsigned level = 1; level <= 3; level++) {
        struct pt_format format = pt_npt;
        format.max_leaf_level = level;
        start(&format);
        uint64_t size, from = SIZE_1G - SIZE_2M - 4096, bytes = level == 1 ? 2 * SIZE_2M : SIZE_1G + 2 * SIZE_2M;
        assert_int_equal(pt_map(&pt, from, hpa(SIZE_1G * 5 + from), bytes, RW), OK);
        const uint64_t largest[] = {0, PAGE_SIZE, SIZE_2M, SIZE_1G};
        assert_true(pt_lookup(&pt, from, NULL, NULL, &size) && size == PAGE_SIZE);
        assert_true(pt_lookup(&pt, from + 4096, NULL, NULL, &size) && size == min_u64(largest[level], SIZE_2M));
        assert_true(pt_lookup(&pt, SIZE_1G, NULL, NULL, &size) && size == largest[level]);
        assert_false(pt_lookup(&pt, from - 1, NULL, NULL, NULL));
        assert_false(pt_lookup(&pt, from + bytes, NULL, NULL, NULL));
        /* a step that ends in the middle of a large page takes it whole */
        pt_unmap_all(&pt, from, SIZE_2M + 8192);
        assert_false(pt_lookup(&pt, SIZE_1G + largest[level] - 1, NULL, NULL, NULL));
        pt_unmap_all(&pt, from, bytes);
        for (uint64_t a = from; a < from + bytes; a += SIZE_2M / 2)
            assert_false(pt_lookup(&pt, a, NULL, NULL, NULL));
        /* frames that are not aligned like the addresses: 4 KiB pages only */
        assert_int_equal(pt_map(&pt, 8 * SIZE_1G, hpa(SIZE_2M + 4096), SIZE_2M, RW), OK);
        assert_true(pt_lookup(&pt, 8 * SIZE_1G, NULL, NULL, &size) && size == PAGE_SIZE);
        finish();
    }
}

static void save(void)
{
    memcpy(saved, arena, sizeof(arena));
}

static void assert_unchanged(struct quota q, struct pagetable p, uint64_t free_pages)
{
    assert_memory_equal(saved, arena, sizeof(arena));
    assert_memory_equal(&q, &quota, sizeof(q));
    assert_memory_equal(&p, &pt, sizeof(p));
    assert_int_equal(pool_pages_free(), free_pages);
}

static void test_overlap_changes_nothing(void **state)
{
    (void)state;
    start(&pt_ept);
    assert_int_equal(pt_map(&pt, 0x40000000 + 0x5000, hpa(0x9000), 0x1000, RW), OK);
    assert_int_equal(pt_map(&pt, 0x80000000, hpa(0x80000000), SIZE_2M, RW), OK);
    assert_int_equal(pt_map(&pt, 4 * SIZE_1G, hpa(4 * SIZE_1G), SIZE_1G, RW), OK);
    const struct {
        uint64_t a, s;
    } clash[] = {
        {0x40005000, 0x1000},
        {0x40004000, 0x2000},
        {0x40005000, 0x9000},
        {0x3fc01000, 0x1000000},
        {0x40000000, SIZE_1G},
        {0x801ff000, 0x1000},
        {0x7ffff000, 0x2000},
        {0, 3 * SIZE_1G},
        {5 * SIZE_1G - 4096, 4096},
        {4 * SIZE_1G + SIZE_2M, SIZE_2M},
        {0, 1ull << 48},
    };
    save();
    struct quota q = quota;
    struct pagetable p = pt;
    uint64_t free_pages = pool_pages_free();
    for (size_t i = 0; i < ARRAY_SIZE(clash); i++) {
        assert_int_equal(pt_map(&pt, clash[i].a, hpa(clash[i].a & ~(SIZE_1G - 1)), clash[i].s, RW), E_OVERLAP);
        assert_unchanged(q, p, free_pages);
    }
    finish();
}

static void test_quota_exhaustion_leaves_nothing(void **state)
{
    (void)state;
    const uint64_t at = SIZE_1G - 3 * SIZE_2M - 0x3000, size = 6 * SIZE_2M + 0x5000;
    for (unsigned odd = 0; odd < 2; odd++) {
        start(&pt_host);
        assert_int_equal(pt_map(&pt, at - 0x2000, hpa(0x1000), 0x1000, RW), OK);
        pt_unmap_all(&pt, at - 0x2000, 0x1000); /* leaves tables that the map can use */
        hpa_t frame = hpa(at + odd * 4096 + SIZE_1G);
        uint64_t used = quota.used_bytes, allowed;
        bool by_pool = false;
        for (allowed = 0;; allowed++) {
            quota.limit_bytes = used + allowed * PAGE_SIZE;
            save();
            struct quota q = quota;
            struct pagetable p = pt;
            uint64_t free_pages = pool_pages_free();
            enum error e = pt_map(&pt, at, frame, size, RW);
            if (e == OK)
                break;
            assert_int_equal(e, E_QUOTA);
            assert_unchanged(q, p, free_pages);
        }
        assert_true(allowed >= 2 && allowed < 12);
        assert_int_equal(quota.used_bytes, used + allowed * PAGE_SIZE); /* exactly what was missing */
        assert_int_equal(pt_tables(&pt, 512) * PAGE_SIZE, quota.used_bytes);
        /* the same when it is the pool that runs dry */
        quota.limit_bytes = UINT64_MAX;
        pt_unmap_all(&pt, at, size);
        struct quota other = {.limit_bytes = UINT64_MAX};
        uint64_t pages = 0;
        while (pool_pages_free() > 1 && pool_page(&other))
            pages++;
        save();
        struct quota q = quota;
        struct pagetable p = pt;
        by_pool = pt_map(&pt, 9 * SIZE_1G + 4096, hpa(0), 4096, RW) == E_QUOTA;
        assert_true(by_pool && pages > 0);
        assert_unchanged(q, p, 1);
    }
}

/* Random maps and unmaps over a window that crosses a 1 GiB border; the oracle is one frame number per page. */
static void random_run(struct pt_format *format, unsigned max_leaf_level, unsigned seed)
{
    enum { PAGES = 8192 * 2, MAPS = 40 };
    static struct {
        uint64_t frame;
        uint32_t rights;
        int map;
    } page[PAGES];
    static struct {
        uint32_t first, count;
        bool used;
    } map[MAPS];
    const uint64_t base = 3 * SIZE_1G - PAGES / 2 * PAGE_SIZE;
    struct pt_format f = *format;
    f.max_leaf_level = max_leaf_level;
    memset(page, 0, sizeof(page));
    memset(map, 0, sizeof(map));
    start(&f);
    srand(seed);
    unsigned made = 0, refused = 0;
    for (int step = 0; step < 6000; step++) {
        int m = rand() % MAPS;
        if (map[m].used) {
            uint32_t first = map[m].first, count = map[m].count, done = 0;
            while (done < count) { /* in steps of any length */
                uint32_t n = rand() % 2 ? count - done : 1 + (uint32_t)rand() % (count - done);
                pt_unmap_all(&pt, base + (first + done) * PAGE_SIZE, n * PAGE_SIZE);
                done += n;
            }
            for (uint32_t i = first; i < first + count; i++)
                page[i].frame = 0;
            map[m].used = false;
        } else {
            uint32_t unit = rand() % 2 ? 512 : 1, first = (uint32_t)rand() % PAGES / unit * unit;
            uint32_t count = (1 + (uint32_t)rand() % (unit == 1 ? 700 : 4)) * unit;
            uint32_t shift = rand() % 3 ? 0 : (uint32_t)rand() % 512;
            count = first + count > PAGES ? PAGES - first : count;
            uint64_t frame = (uint64_t)(rand() % 4096) * SIZE_1G + (base + (first + shift) * PAGE_SIZE) % SIZE_1G +
                             8 * SIZE_1G;
            uint32_t rights = R | ((uint32_t)rand() & (RIGHT_WRITE | RIGHT_EXEC));
            bool free = true;
            for (uint32_t i = first; i < first + count; i++)
                free = free && page[i].frame == 0;
            uint64_t before = pt_tables(&pt, 512);
            enum error e = pt_map(&pt, base + first * PAGE_SIZE, hpa(frame), count * PAGE_SIZE, rights);
            assert_int_equal(e, free ? OK : E_OVERLAP);
            made += free;
            refused += !free;
            if (!free) {
                assert_int_equal(pt_tables(&pt, 512), before);
                continue;
            }
            for (uint32_t i = 0; i < count; i++) {
                page[first + i].frame = frame + i * PAGE_SIZE;
                page[first + i].rights = rights;
                page[first + i].map = m;
            }
            map[m].first = first;
            map[m].count = count;
            map[m].used = true;
        }
        assert_int_equal(pt_tables(&pt, 512) * PAGE_SIZE, quota.used_bytes);
        for (uint32_t i = step % 100 ? (uint32_t)rand() % 37 : 0; i < PAGES; i += step % 100 ? 37 : 1) {
            hpa_t got;
            uint32_t rights;
            uint64_t size;
            bool found = pt_lookup(&pt, base + i * PAGE_SIZE + (uint64_t)(rand() % 4096), &got, &rights, &size);
            if (found != (page[i].frame != 0) || (found && (got.v != page[i].frame || rights != page[i].rights)))
                fail_msg("%s, step %d, page %u", f.canonical ? "host" : f.table_bits == 7 ? "EPT" : "NPT", step, i);
            if (!found)
                continue;
            uint64_t low = (base + i * PAGE_SIZE) & ~(size - 1); /* the whole page belongs to this one mapping */
            int in = page[i].map;
            if (low < base + map[in].first * PAGE_SIZE ||
                low + size > base + (map[in].first + map[in].count) * PAGE_SIZE)
                fail_msg("%s, step %d, page %u: too large",
                         f.canonical         ? "host"
                         : f.table_bits == 7 ? "EPT"
                                             : "NPT",
                         step, i);
        }
    }
    assert_true(made > 500 && refused > 200);
    finish();
}

static void test_random(void **state)
{
    (void)state;
    random_run(&pt_host, 2, 5);
    random_run(&pt_ept, 3, 6);
    random_run(&pt_npt, 1, 7);
}

static void test_free_in_steps(void **state)
{
    (void)state;
    start(&pt_host);
    struct quota other = {.limit_bytes = UINT64_MAX};
    struct pagetable kernel;
    assert_int_equal(pt_create(&kernel, &pt_host, &other), OK);
    assert_int_equal(pt_map(&kernel, 0 - SIZE_1G, hpa(0x5000), 4096, RW), OK);
    pt.root[511] = kernel.root[511]; /* shared */
    for (uint64_t i = 0; i < 40; i++)
        assert_int_equal(pt_map(&pt, i * 3 * SIZE_1G, hpa(0x1000), 4096, RW), OK);
    uint64_t tables = pt_tables(&pt, 256), freed = 0;
    for (bool done = false; !done;) {
        uint64_t before = quota.used_bytes;
        done = pt_free_step(&pt, 256, 7);
        assert_true(before - quota.used_bytes == 7 * PAGE_SIZE || done);
        freed += (before - quota.used_bytes) / PAGE_SIZE;
    }
    assert_int_equal(freed, tables);
    assert_int_equal(quota.used_bytes, 0);
    assert_true(pt_free_step(&pt, 256, 1)); /* nothing left to do */
    assert_true(pt_lookup(&kernel, 0 - SIZE_1G, NULL, NULL, NULL));
    pt = kernel;
    while (!pt_free_step(&pt, 512, 1))
        ;
    assert_int_equal(other.used_bytes, 0);
    assert_int_equal(pool_pages_free(), pool_pages_total());
}

/* ---- pt_protect */

enum { PROTECTED = 4096 };

/* In as many steps as it takes; each goes forward. */
static bool protect_all(uint64_t address, uint64_t frame, uint64_t size, uint32_t rights)
{
    bool stale = false;
    for (unsigned steps = 0; size > 0; steps++) {
        struct pt_change c = {0, false};
        assert_true(steps < 64);
        assert_int_equal(pt_protect(&pt, address, hpa(frame), size, rights, &c), OK);
        assert_in_range(c.done, PAGE_SIZE, size);
        assert_int_equal(c.done & PAGE_MASK, 0);
        stale |= c.stale;
        address += c.done, frame += c.done, size -= c.done;
    }
    return stale;
}

/* Random rights for random parts of one range that holds large pages, with other memory in some of its holes. */
static void random_protects(const struct pt_format *format, unsigned max_leaf_level, uint32_t with, unsigned seed)
{
    static uint32_t want[PROTECTED];
    static bool foreign[PROTECTED];
    const uint64_t base = SIZE_1G - 4 * SIZE_2M, frame = 9 * SIZE_1G + base, other = 64 * SIZE_1G;
    struct pt_format f = *format;
    f.max_leaf_level = max_leaf_level;
    start(&f);
    srand(seed);
    assert_int_equal(pt_map(&pt, base, hpa(frame), PROTECTED * PAGE_SIZE, RWX | with), OK);
    for (unsigned i = 0; i < PROTECTED; i++)
        want[i] = RWX | with, foreign[i] = false;
    for (unsigned step = 0; step < 1500; step++) {
        unsigned first = (unsigned)rand() % PROTECTED, count = 1 + (unsigned)rand() % (rand() % 4 ? 9 : PROTECTED);
        if (rand() % 8 == 0)
            first &= ~511u, count = 512;
        count = count > PROTECTED - first ? PROTECTED - first : count;
        if (want[first] == 0 && !foreign[first] && rand() % 4 == 0) {
            uint64_t at = base + first * PAGE_SIZE;
            assert_int_equal(pt_map(&pt, at, hpa(other + first * PAGE_SIZE), PAGE_SIZE, R | with), OK);
            foreign[first] = true;
            continue;
        }
        if (foreign[first] && rand() % 2) {
            pt_unmap_all(&pt, base + first * PAGE_SIZE, PAGE_SIZE);
            foreign[first] = false;
            want[first] = 0;
            continue;
        }
        const uint32_t choice[] = {0, R | with, RW | with, RX | with, RWX | with};
        uint32_t rights = choice[rand() % 5];
        bool stale = false;
        for (unsigned i = first; i < first + count; i++)
            if (!foreign[i]) {
                stale |= want[i] != 0 && (f.canonical ? want[i] != rights : (want[i] & ~rights) != 0);
                want[i] = rights;
            }
        assert_int_equal(protect_all(base + first * PAGE_SIZE, frame + first * PAGE_SIZE, count * PAGE_SIZE, rights),
                         stale);
        assert_int_equal(pt_tables(&pt, 512) * PAGE_SIZE, quota.used_bytes);
        for (unsigned i = step % 16 ? (unsigned)rand() % 37 : 0; i < PROTECTED; i += step % 16 ? 37 : 1) {
            hpa_t at;
            uint32_t found = 0, expected = foreign[i] ? R | with : want[i];
            bool there = pt_lookup(&pt, base + i * PAGE_SIZE, &at, &found, NULL);
            assert_int_equal(there, expected != 0);
            if (!there)
                continue;
            assert_int_equal(found, expected);
            assert_int_equal(at.v, (foreign[i] ? other : frame) + i * PAGE_SIZE);
        }
    }
    finish();
}

static void test_protect_random(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed < 4; seed++) {
        random_protects(&pt_host, 2, PT_USER, seed);
        random_protects(&pt_ept, 3, 0, seed);
        random_protects(&pt_npt, 3, 0, seed);
        random_protects(&pt_ept, 1, 0, seed);
    }
}

/* What lies around the part is not touched; a step is bounded, and large pages count as one. */
static void test_protect_splits(void **state)
{
    (void)state;
    struct pt_change c;
    uint32_t rights;
    uint64_t size;
    start(&pt_ept);
    assert_int_equal(pt_map(&pt, SIZE_1G, hpa(4 * SIZE_1G), 3 * SIZE_1G, RWX), OK);
    uint64_t used = quota.used_bytes, at = 2 * SIZE_1G + 5 * SIZE_2M + 0x7000;
    assert_int_equal(pt_protect(&pt, at, hpa(3 * SIZE_1G + at), PAGE_SIZE, R, &c), OK);
    assert_true(c.stale && c.done == PAGE_SIZE);
    assert_int_equal(quota.used_bytes, used + 2 * PAGE_SIZE);
    const uint64_t around[] = {SIZE_1G, at - PAGE_SIZE, at + PAGE_SIZE, at - SIZE_2M, at + SIZE_2M, 3 * SIZE_1G};
    const uint64_t sizes[] = {SIZE_1G, PAGE_SIZE, PAGE_SIZE, SIZE_2M, SIZE_2M, SIZE_1G};
    for (unsigned i = 0; i < ARRAY_SIZE(around); i++) {
        hpa_t frame;
        assert_true(pt_lookup(&pt, around[i], &frame, &rights, &size));
        assert_int_equal(rights, RWX);
        assert_int_equal(size, sizes[i]);
        assert_int_equal(frame.v, 3 * SIZE_1G + around[i]);
    }
    assert_true(pt_lookup(&pt, at, NULL, &rights, NULL) && rights == R);
    assert_int_equal(pt_protect(&pt, at, hpa(3 * SIZE_1G + at), PAGE_SIZE, RWX, &c), OK);
    assert_false(c.stale); /* a space: more rights need no flush */
    assert_int_equal(pt_protect(&pt, SIZE_1G, hpa(4 * SIZE_1G), 3 * SIZE_1G, RX, &c), OK);
    assert_in_range(c.done, SIZE_1G, 3 * SIZE_1G - PAGE_SIZE); /* 512 entries are no gigabyte of small pages */
    finish();
}

static void test_protect_quota(void **state)
{
    (void)state;
    const uint64_t at = SIZE_1G + 3 * SIZE_2M + 0x5000, size = 9 * SIZE_2M;
    for (uint64_t allowed = 0; allowed < 3; allowed++) {
        struct pt_change c;
        start(&pt_npt);
        assert_int_equal(pt_map(&pt, SIZE_1G, hpa(SIZE_1G), SIZE_1G, RW), OK);
        quota.limit_bytes = quota.used_bytes + allowed * PAGE_SIZE;
        save();
        struct quota q = quota;
        struct pagetable p = pt;
        uint64_t free_pages = pool_pages_free();
        assert_int_equal(pt_protect(&pt, at, hpa(at), size, 0, &c), E_QUOTA);
        assert_unchanged(q, p, free_pages);
        quota.limit_bytes = UINT64_MAX;
        struct quota other = {.limit_bytes = UINT64_MAX};
        while (pool_pages_free() > allowed && pool_page(&other))
            ;
        save();
        q = quota;
        assert_int_equal(pt_protect(&pt, at, hpa(at), size, 0, &c), E_QUOTA);
        assert_unchanged(q, p, allowed);
    }
}

/* After every single instruction of a map or an unmap, each address must show the old state or the new one. */
#define WATCHED 9
static struct {
    uint64_t address, frame, size_min;
    bool neighbour;
} watched[WATCHED];
static volatile uint64_t looks, wrong, changes;
static bool was_mapped[WATCHED];
static volatile sig_atomic_t watching;

static __attribute__((no_sanitize("address", "undefined"))) void look(int signal)
{
    (void)signal;
    if (!watching)
        return;
    looks++;
    for (int i = 0; i < WATCHED; i++) {
        const uint64_t *table = pt.root; /* as a CPU walks */
        bool mapped = false;
        for (unsigned level = 4; level >= 1; level--) {
            uint64_t entry = table[watched[i].address >> (12 + 9 * (level - 1)) & 511];
            if ((entry & 7) == 0)
                break;
            if (level == 1 || entry & 0x80) {
                uint64_t mask = (1ull << (12 + 9 * (level - 1))) - 1;
                mapped = true;
                wrong += (entry & 0x000ffffffffff000ull & ~mask) + (watched[i].address & mask) != watched[i].frame;
                wrong += (entry & 0x77) != 0x73;
                break;
            }
            wrong += (entry & 0xfff) != 7;
            table = (const uint64_t *)(const void *)(arena + ((entry & 0x000ffffffffff000ull) - ARENA_HPA));
        }
        wrong += watched[i].neighbour && !mapped;
        changes += mapped != was_mapped[i];
        was_mapped[i] = mapped;
    }
}

static void step_on(void)
{
    watching = 1;
    __asm__ volatile("sub $128, %%rsp; pushfq; orq $0x100, (%%rsp); popfq; add $128, %%rsp" ::: "memory", "cc");
}

static void step_off(void)
{
    __asm__ volatile("sub $128, %%rsp; pushfq; andq $~0x100, (%%rsp); popfq; add $128, %%rsp" ::: "memory", "cc");
    watching = 0;
}

/* Whatever is asked for, a step moves on by 512 entries, but at the end. */
static void test_steps_are_bounded(void **state)
{
    (void)state;
    const uint64_t page[] = {PAGE_SIZE, SIZE_2M, SIZE_1G}; /* by which address and frame are apart */
    for (unsigned kind = 0; kind < 3; kind++) {
        for (uint64_t size = SIZE_1G; size <= 1ull << 46; size *= 4) {
            start(&pt_ept);
            const uint64_t at = SIZE_1G, frame = at + page[kind], one = 512 * page[kind];
            uint64_t mapped = 0, done = 0;
            for (unsigned n = 0; n < 5 && mapped < size; n++, mapped += done) {
                assert_int_equal(pt_map_step(&pt, at + mapped, hpa(frame + mapped), size - mapped, RW, &done), OK);
                assert_int_equal(done, min_u64(one, size - mapped));
            }
            assert_true(pt_lookup(&pt, at + mapped - 1, NULL, NULL, NULL));
            assert_false(pt_lookup(&pt, at + mapped, NULL, NULL, NULL));
            for (uint64_t gone = 0; gone < mapped; gone += done) {
                done = pt_unmap_step(&pt, at + gone, mapped - gone);
                assert_int_equal(done, min_u64(one, mapped - gone));
                assert_false(pt_lookup(&pt, at + gone + done - 1, NULL, NULL, NULL));
                assert_true(gone + done == mapped || pt_lookup(&pt, at + gone + done, NULL, NULL, NULL));
            }
            finish();
        }
    }
}

/* Address and frame are a page apart, so only 4 KiB entries fit, in tables that the quota has no pages for. */
static void test_a_map_that_cannot_be_paid(void **state)
{
    (void)state;
    start(&pt_ept);
    quota.limit_bytes = quota.used_bytes + 8 * PAGE_SIZE;
    uint64_t done, mapped = 0;
    while (pt_map_step(&pt, SIZE_1G + mapped, hpa(SIZE_1G + mapped + 4096), SIZE_1G, RW, &done) == OK)
        mapped += done;
    assert_int_equal(mapped, 6 * SIZE_2M); /* two of the eight are above them */
    assert_int_equal(quota.used_bytes, quota.limit_bytes);
    assert_int_equal(pt_tables(&pt, 512), 9);
    assert_int_equal(pt_map(&pt, 512 * SIZE_1G, hpa(4096), SIZE_2M, RW), E_QUOTA);
    assert_int_equal(pt_tables(&pt, 512), 9);
    finish();
}

static void test_no_half_built_state_is_visible(void **state)
{
    (void)state;
    struct sigaction action = {.sa_handler = look}, old;
    start(&pt_ept);
    const uint64_t at = SIZE_1G - SIZE_2M - 0x2000, size = 2 * SIZE_2M + 0x4000, frame = 7 * SIZE_1G + at;
    const uint64_t inside[] = {
        0, 0x1000, 0x2000, SIZE_2M, SIZE_2M + 0x2000, 2 * SIZE_2M + 0x2000, 2 * SIZE_2M + 0x3000};
    for (int i = 0; i < 7; i++) {
        watched[i].address = at + inside[i];
        watched[i].frame = frame + inside[i];
    }
    watched[7].address = at - 0x1000; /* neighbours that stay mapped throughout */
    watched[7].frame = 0x123000;
    watched[8].address = at + size;
    watched[8].frame = 0x456000;
    watched[7].neighbour = watched[8].neighbour = true;
    was_mapped[7] = was_mapped[8] = true;
    assert_int_equal(pt_map(&pt, watched[7].address, hpa(watched[7].frame), 0x1000, RW), OK);
    assert_int_equal(pt_map(&pt, watched[8].address, hpa(watched[8].frame), 0x1000, RW), OK);
    assert_int_equal(sigaction(SIGTRAP, &action, &old), 0);
    step_on();
    enum error e = pt_map(&pt, at, hpa(frame), size, RW);
    step_off();
    assert_int_equal(e, OK);
    assert_int_equal(changes, 7);
    step_on();
    pt_unmap_all(&pt, at, size);
    step_off();
    assert_int_equal(sigaction(SIGTRAP, &old, NULL), 0);
    assert_int_equal(wrong, 0);
    assert_int_equal(changes, 14); /* each came once and went once */
    assert_true(looks > 1000);
    finish();
}

/* The part goes and the neighbours stay, though all are one large page at first; it comes back the same. */
static void test_no_half_split_page_is_visible(void **state)
{
    (void)state;
    struct sigaction action = {.sa_handler = look}, old;
    struct pt_change c;
    start(&pt_ept);
    const uint64_t at = SIZE_1G + 4 * SIZE_2M - 0x2000, size = 0x5000, delta = 6 * SIZE_1G; /* in two large pages */
    const uint64_t place[WATCHED] = {at,          at + 0x1000, at + 0x2000, at + 0x3000,         at + 0x4000,
                                     at - 0x1000, at + size,   SIZE_1G,     2 * SIZE_1G - 0x1000};
    for (int i = 0; i < WATCHED; i++) {
        watched[i].address = place[i];
        watched[i].frame = place[i] + delta;
        watched[i].neighbour = i >= 5;
        was_mapped[i] = true;
    }
    looks = wrong = changes = 0;
    assert_int_equal(pt_map(&pt, SIZE_1G, hpa(SIZE_1G + delta), SIZE_1G, RW), OK);
    assert_int_equal(sigaction(SIGTRAP, &action, &old), 0);
    for (unsigned round = 1; round <= 2; round++)
        for (uint64_t done = 0; done < size; done += c.done) {
            step_on();
            enum error e = pt_protect(&pt, at + done, hpa(at + done + delta), size - done, round == 1 ? 0 : RW, &c);
            step_off();
            assert_int_equal(e, OK);
            assert_int_equal(c.stale, round == 1);
        }
    assert_int_equal(sigaction(SIGTRAP, &old, NULL), 0);
    assert_int_equal(wrong, 0);
    assert_int_equal(changes, 10); /* five went, and came back */
    assert_true(looks > 1000);
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_host_bits),
        cmocka_unit_test(test_ept_bits),
        cmocka_unit_test(test_npt_bits),
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_largest_pages),
        cmocka_unit_test(test_overlap_changes_nothing),
        cmocka_unit_test(test_quota_exhaustion_leaves_nothing),
        cmocka_unit_test(test_steps_are_bounded),
        cmocka_unit_test(test_a_map_that_cannot_be_paid),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_free_in_steps),
        cmocka_unit_test(test_protect_random),
        cmocka_unit_test(test_protect_splits),
        cmocka_unit_test(test_protect_quota),
        cmocka_unit_test(test_no_half_built_state_is_visible),
        cmocka_unit_test(test_no_half_split_page_is_visible),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
