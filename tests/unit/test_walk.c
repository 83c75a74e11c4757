// SPDX-License-Identifier: Apache-2.0
/* The walk through guest page tables, and accesses that cross pages. */
// sources: vmm/insn/walk.c vmm/insn/access.c vmm/memory.c
// libs: -pthread
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "mullion/regs.h"
#include "vmm/insn/access.h"

#define RAM (16u << 20)
static uint8_t *ram;
static struct guest_memory memory;
static struct vcpu_state state;
static uint64_t device_gpa, device_value;
static unsigned device_calls;

static void device(void *context, uint64_t gpa, unsigned size, bool write, uint64_t *value)
{
    (void)context;
    (void)size;
    device_gpa = gpa;
    device_calls++;
    if (write)
        device_value = *value;
    else
        *value = device_value;
}

static void put(uint64_t gpa, uint64_t v)
{
    memcpy(ram + gpa, &v, 8);
}
static void put4(uint64_t gpa, uint32_t v)
{
    memcpy(ram + gpa, &v, 4);
}
static uint64_t get(uint64_t gpa)
{
    uint64_t v;
    memcpy(&v, ram + gpa, 8);
    return v;
}

static int setup(void **unused)
{
    (void)unused;
    ram = aligned_alloc(4096, RAM);
    memset(ram, 0, RAM);
    memory = (struct guest_memory){0};
    assert_int_equal(guest_memory_add(&memory, 0, RAM, ram), OK);
    state = (struct vcpu_state){0};
    device_calls = 0;
    return 0;
}
static int teardown(void **unused)
{
    (void)unused;
    free(ram);
    return 0;
}

static void long_mode(void)
{
    state.cr0 = CR0_PE | CR0_PG | CR0_WP;
    state.cr4 = CR4_PAE;
    state.efer = EFER_LME | EFER_LMA | EFER_NXE;
    state.cr3 = 0x1000;
    state.seg[SEG_CS].attr = SEG_ATTR_L | 0x9b;
    put(0x1000, 0x2000 | 7);
    put(0x2000, 0x3000 | 7);
    put(0x2008, 0x40000000 | 0x83); /* 1 GiB page at 1 GiB */
    put(0x3000, 0x4000 | 7);
    put(0x3008, 0x200000 | 0x87);         /* 2 MiB page at 2 MiB */
    put(0x4000, 0x5000 | 7);              /* user, writable */
    put(0x4008, 0x6000 | 3);              /* supervisor, writable */
    put(0x4010, 0x7000 | 1);              /* supervisor, read-only */
    put(0x4018, 0x8000 | 7 | 1ull << 63); /* no execute */
}

static void no_paging(void **unused)
{
    (void)unused;
    struct walk_result w = walk(&memory, &state, 0x1234, ACCESS_WRITE);
    assert_int_equal(w.outcome, WALK_OK);
    assert_int_equal(w.gpa, 0x1234);
    assert_int_equal(w.left, 0x1000 - 0x234);
    assert_int_equal(walk(&memory, &state, 0x100001234, 0).gpa, 0x1234); /* 32 bits */
}

static void four_levels(void **unused)
{
    (void)unused;
    long_mode();
    struct walk_result w = walk(&memory, &state, 0x123, ACCESS_WRITE | ACCESS_USER);
    assert_int_equal(w.outcome, WALK_OK);
    assert_int_equal(w.gpa, 0x5123);
    assert_int_equal(get(0x4000) & 0x60, 0x60); /* accessed, dirty */
    assert_int_equal(get(0x1000) & 0x60, 0x20);
    assert_int_equal(walk(&memory, &state, 0x2abcde, 0).gpa, 0x2abcde);
    assert_int_equal(walk(&memory, &state, 0x40123456, ACCESS_PEEK).gpa, 0x40123456);
    assert_int_equal(walk(&memory, &state, 0x800000000000, 0).outcome, WALK_GENERAL);
    w = walk(&memory, &state, 0x9000, ACCESS_WRITE);
    assert_int_equal(w.outcome, WALK_PAGE_FAULT);
    assert_int_equal(w.error_code, 2);
}

static void rights(void **unused)
{
    (void)unused;
    long_mode();
    assert_int_equal(walk(&memory, &state, 0x1000, ACCESS_USER).error_code, 5);
    assert_int_equal(walk(&memory, &state, 0x2000, ACCESS_WRITE).error_code, 3);
    assert_int_equal(get(0x4010) & 0x60, 0); /* a refused access marks nothing */
    state.cr0 &= ~CR0_WP;
    assert_int_equal(walk(&memory, &state, 0x2000, ACCESS_WRITE).outcome, WALK_OK);
    assert_int_equal(walk(&memory, &state, 0x3000, ACCESS_FETCH | ACCESS_USER).error_code, 0x15);
    state.cr4 |= CR4_SMAP | CR4_SMEP;
    assert_int_equal(walk(&memory, &state, 0x0, 0).error_code, 1);
    assert_int_equal(walk(&memory, &state, 0x0, ACCESS_FETCH).error_code, 0x11);
    state.rflags |= RFLAGS_AC;
    assert_int_equal(walk(&memory, &state, 0x0, 0).outcome, WALK_OK);
}

static void pae(void **unused)
{
    (void)unused;
    state.cr0 = CR0_PE | CR0_PG;
    state.cr4 = CR4_PAE;
    state.cr3 = 0x1020;
    put(0x1020 + 3 * 8, 0x2000 | 1); /* covers 3 GiB.. */
    put(0x2000, 0x200000 | 0x83);
    put(0x2008, 0x3000 | 3);
    put(0x3008, 0x5000 | 3);
    assert_int_equal(walk(&memory, &state, 0xc0012345, ACCESS_WRITE).gpa, 0x212345);
    assert_int_equal(walk(&memory, &state, 0xc0201fff, ACCESS_WRITE).gpa, 0x5fff);
    assert_int_equal(get(0x1038), 0x2001); /* no accessed bit in a pointer entry */
    assert_int_equal(walk(&memory, &state, 0, 0).outcome, WALK_PAGE_FAULT);
}

static void two_levels(void **unused)
{
    (void)unused;
    state.cr0 = CR0_PE | CR0_PG;
    state.cr4 = CR4_PSE;
    state.cr3 = 0x1000;
    put4(0x1000, 0x2000 | 7);
    put4(0x1004, 0x400000 | 0x83 | 1u << 13); /* 4 MiB, PSE-36 bit 32 */
    put4(0x2004, 0x5000 | 7);
    assert_int_equal(walk(&memory, &state, 0x1010, ACCESS_USER).gpa, 0x5010);
    assert_int_equal(walk(&memory, &state, 0x412345, 0).gpa, 0x100412345);
}

static void tables_outside_ram(void **unused)
{
    (void)unused;
    long_mode();
    put(0x2000, 0xffff000000000 | 7);
    assert_int_equal(walk(&memory, &state, 0, 0).outcome, WALK_BROKEN);
    state.cr3 = RAM;
    assert_int_equal(walk(&memory, &state, 0, 0).outcome, WALK_BROKEN);
}

static void crossing(void **unused)
{
    (void)unused;
    long_mode();
    state.seg[SEG_SS].attr = 0x93;
    struct guest_cpu c = {.state = &state, .memory = &memory, .device = device};
    struct guest_fault fault;
    uint64_t v = 0x1122334455667788;
    assert_int_equal(access_linear(&c, 0xffd, 8, true, &v, &fault), VERDICT_DONE);
    assert_memory_equal(ram + 0x5ffd, "\x88\x77\x66", 3);
    assert_memory_equal(ram + 0x6000, "\x55\x44\x33\x22\x11", 5);
    v = 0;
    assert_int_equal(access_linear(&c, 0xffd, 8, false, &v, &fault), VERDICT_DONE);
    assert_true(v == 0x1122334455667788);
    /* the second page refuses: nothing is written, and the fault's address is the second page's */
    memset(ram + 0x6000, 0xee, 4096);
    v = 0;
    assert_int_equal(access_linear(&c, 0x1ffe, 4, true, &v, &fault), VERDICT_FAULT);
    assert_int_equal(fault.vector, 14);
    assert_true(fault.address == 0x2000);
    assert_int_equal(ram[0x6fff], 0xee);
    /* a device */
    put(0x4020, 0xfee00000 | 3);
    device_value = 0xabcd1234;
    assert_int_equal(access_linear(&c, 0x4020, 4, false, &v, &fault), VERDICT_DONE);
    assert_true(device_gpa == 0xfee00020 && v == 0xabcd1234 && device_calls == 1);
}

/* Another vCPU clears the entry behind the walk's back: here right when the first accessed bit has been set. */
static void clear_leaf(void *unused, uint64_t gpa, uint64_t len)
{
    (void)unused;
    assert_int_equal(len, 8);
    if (gpa == 0x1000)
        put(0x4000, 0);
}

static void cleared_meanwhile(void **unused)
{
    (void)unused;
    long_mode();
    memory.written = clear_leaf;
    struct walk_result w = walk(&memory, &state, 0x123, ACCESS_WRITE);
    assert_int_equal(w.outcome, WALK_PAGE_FAULT); /* the walk was done anew */
    assert_int_equal(w.error_code, 2);
    assert_true(get(0x4000) == 0);
    memory.written = NULL;
    /* Nothing is written where the bits stand already. */
    put(0x4000, 0x5000 | 0x67);
    assert_int_equal(walk(&memory, &state, 0x123, ACCESS_WRITE).outcome, WALK_OK);
    memory.written = clear_leaf;
    assert_int_equal(walk(&memory, &state, 0x123, ACCESS_WRITE).outcome, WALK_OK);
    assert_true(get(0x4000) == (0x5000 | 0x67));
}

static _Atomic bool over;
static void *walker(void *unused)
{
    (void)unused;
    while (!over)
        (void)walk(&memory, &state, 0x123, ACCESS_WRITE);
    return NULL;
}

/* The same with a real race: 20,000 entries that the walker had marked, and as many others as come between. */
static void cleared_at_any_time(void **unused)
{
    (void)unused;
    long_mode();
    _Atomic uint64_t *entry = (_Atomic uint64_t *)(void *)(ram + 0x4000);
    pthread_t thread;
    over = false;
    atomic_store(entry, 0);
    assert_int_equal(pthread_create(&thread, NULL, walker, NULL), 0);
    unsigned marked = 0, dirtied = 0;
    while (marked < 20000) {
        atomic_store(entry, 0x5000 | 7);
        for (volatile unsigned i = 0; i < marked % 64; i++)
            continue;
        uint64_t was = atomic_exchange(entry, 0);
        for (volatile unsigned i = 0; i < 64; i++)
            continue;
        marked += (was & 0x20) != 0;
        dirtied += atomic_load(entry) != 0;
    }
    over = true;
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(dirtied, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_paging, setup, teardown),
        cmocka_unit_test_setup_teardown(four_levels, setup, teardown),
        cmocka_unit_test_setup_teardown(rights, setup, teardown),
        cmocka_unit_test_setup_teardown(pae, setup, teardown),
        cmocka_unit_test_setup_teardown(two_levels, setup, teardown),
        cmocka_unit_test_setup_teardown(tables_outside_ram, setup, teardown),
        cmocka_unit_test_setup_teardown(crossing, setup, teardown),
        cmocka_unit_test_setup_teardown(cleared_meanwhile, setup, teardown),
        cmocka_unit_test_setup_teardown(cleared_at_any_time, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
