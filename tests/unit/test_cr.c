// SPDX-License-Identifier: Apache-2.0
/* Writes to control registers: what they change, and what they refuse. */
// sources: vmm/cpu/cr.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "mullion/regs.h"
#include "vmm/cpu/cr.h"

/* Never offered, so nothing but this test knows them (Intel SDM vol. 3, 2.5). */
#define CR4_LA57 (1ull << 12)
#define CR4_SMXE (1ull << 14)
#define CR4_CET  (1ull << 23)
#define CR4_PKS  (1ull << 24)

#define ALLOWED              (CR4_PAE | CR4_PGE | CR4_PSE | CR4_PCIDE | CR4_OSFXSR | CR4_SMEP)
#define WRITE(number, value) cr_write(&s, number, value, ALLOWED, 40)

static struct vcpu_state s;

static int setup(void **unused)
{
    (void)unused;
    s = (struct vcpu_state){.cr0 = CR0_PE | CR0_ET};
    s.seg[SEG_CS].attr = 0xc09b;
    return 0;
}

static void into_long_mode(void **unused)
{
    (void)unused;
    s.efer = EFER_LME;
    assert_false(WRITE(0, CR0_PE | CR0_PG)); /* without PAE */
    assert_false(s.dirty);
    assert_true(WRITE(4, CR4_PAE));
    assert_true(WRITE(3, 0x123000));
    assert_true(WRITE(0, CR0_PE | CR0_PG));
    assert_true(s.efer == (EFER_LME | EFER_LMA));
    assert_true(s.cr0 == (CR0_PE | CR0_PG | CR0_ET)); /* ET is wired to 1 */
    assert_int_equal(s.dirty, GROUP_CR);
    assert_false(WRITE(4, 0)); /* PAE stays while long mode is active */
    s.seg[SEG_CS].attr = 0xa09b;
    assert_false(WRITE(0, CR0_PE)); /* not out of 64-bit code */
    s.seg[SEG_CS].attr = 0xc09b;
    assert_true(WRITE(0, CR0_PE));
    assert_true(s.efer == EFER_LME);
}

static void refused(void **unused)
{
    (void)unused;
    assert_false(WRITE(0, CR0_PG));          /* paging without protection */
    assert_false(WRITE(0, CR0_PE | CR0_NW)); /* not-write-through without cache-disable */
    assert_false(WRITE(0, 1ull << 40));
    assert_false(WRITE(4, CR4_VMXE)); /* not offered */
    assert_false(WRITE(4, CR4_LA57));
    assert_false(WRITE(4, CR4_PCIDE)); /* only in long mode */
    assert_false(WRITE(5, 0));
    assert_false(WRITE(8, 0)); /* the APIC's */
    assert_int_equal(s.dirty, 0);
    assert_true(s.cr0 == (CR0_PE | CR0_ET) && s.cr4 == 0);
}

static void page_table_base(void **unused)
{
    (void)unused;
    assert_true(WRITE(3, 0x1123456789000)); /* outside long mode: 32 bits */
    assert_true(s.cr3 == 0x56789000);
    s.efer = EFER_LME | EFER_LMA;
    s.cr4 = CR4_PAE;
    s.cr0 |= CR0_PG;
    s.cr3 = 0x1000;
    assert_false(WRITE(3, 1ull << 40)); /* beyond the physical address width */
    assert_false(WRITE(3, 1ull << 63));
    assert_true(WRITE(4, CR4_PAE | CR4_PCIDE));
    assert_true(WRITE(3, 1ull << 63 | 0x2005)); /* with PCIDs: a hint, not kept */
    assert_true(s.cr3 == 0x2005);
    assert_false(WRITE(0, CR0_PE)); /* paging off with PCIDs on */
}

static void what_cpuid_offers(void **unused)
{
    (void)unused;
    assert_true(cr4_allowed(0, 0, 0, 0) == CR4_PCE);
    assert_true(cr4_allowed(1u << 26, 0, 0, 0) == (CR4_PCE | CR4_OSXSAVE));
    assert_true(cr4_allowed(0, 1u << 6 | 1u << 24, 1u << 7 | 1u << 20, 1u << 2) ==
                (CR4_PCE | CR4_PAE | CR4_OSFXSR | CR4_SMEP | CR4_SMAP | CR4_UMIP));
    assert_false(cr4_allowed(~0u, ~0u, ~0u, ~0u) & (CR4_VMXE | CR4_SMXE | CR4_LA57 | CR4_CET | CR4_PKS));
}

/* Each feature bit of CPUID lets its own bits of CR4 be set, and no other does (SDM vol. 3, 2.5). */
static void each_feature(void **unused)
{
    (void)unused;
    static const struct {
        unsigned word, bit; /* leaf 1 ECX, EDX; leaf 7 EBX, ECX */
        uint64_t cr4;
    } row[] = {
        {0, 17, 1u << 17}, {0, 26, 1u << 18}, {1, 1, 3},        {1, 2, 1u << 3},  {1, 3, 1u << 4},   {1, 4, 1u << 2},
        {1, 6, 1u << 5},   {1, 7, 1u << 6},   {1, 13, 1u << 7}, {1, 24, 1u << 9}, {1, 25, 1u << 10}, {2, 0, 1u << 16},
        {2, 7, 1u << 20},  {2, 20, 1u << 21}, {3, 2, 1u << 11}, {3, 3, 1u << 22},
    };
    for (unsigned word = 0; word < 4; word++)
        for (unsigned bit = 0; bit < 32; bit++) {
            uint32_t w[4] = {0};
            uint64_t want = 1u << 8; /* PCE */
            w[word] = 1u << bit;
            for (unsigned i = 0; i < sizeof row / sizeof row[0]; i++)
                if (row[i].word == word && row[i].bit == bit)
                    want |= row[i].cr4;
            assert_int_equal(cr4_allowed(w[0], w[1], w[2], w[3]), want);
        }
}

/* Bit by bit: what CR0 keeps, what CR3 and CR4 take, CR2 as it is; and that the CPU is told. */
static void each_bit(void **state)
{
    for (unsigned bit = 0; bit < 64; bit++) {
        uint64_t one = 1ull << bit;
        bool kept = one & 0x6005003f; /* PE MP EM TS ET NE, WP AM, CD; PG and NW want another bit */
        setup(state);
        bool taken = bit < 32 && bit != 29 && bit != 31;
        assert_int_equal(WRITE(0, CR0_PE | one), taken || bit == 31);
        assert_int_equal(s.cr0, taken       ? CR0_PE | CR0_ET | (kept && bit != 29 ? one : 0)
                                : bit == 31 ? CR0_PE | CR0_ET | CR0_PG
                                            : CR0_PE | CR0_ET);
        setup(state);
        assert_true(WRITE(2, one));
        assert_int_equal(s.cr2, one);
        assert_int_equal(s.dirty, GROUP_CR);
        setup(state);
        s.efer = EFER_LME | EFER_LMA;
        s.cr4 = CR4_PAE;
        assert_int_equal(WRITE(3, one), bit < 40);
        assert_int_equal(s.cr3, bit < 40 ? one : 0);
        setup(state);
        s.cr4 = 0;
        assert_int_equal(WRITE(4, one), (ALLOWED & one) != 0 && one != CR4_PCIDE);
    }
    assert_true(WRITE(0, CR0_PE | CR0_NW | CR0_CD));
    assert_int_equal(s.cr0, CR0_PE | CR0_ET | CR0_NW | CR0_CD);
    assert_false(WRITE(0, CR0_PG)); /* without protection */
    setup(state);
    s.efer = EFER_LME | EFER_LMA; /* PCIDs: in long mode only, from one that is 0 */
    s.cr4 = CR4_PAE;
    s.cr3 = 0x1001;
    assert_false(WRITE(4, CR4_PAE | CR4_PCIDE));
    s.cr3 = 0x1000;
    assert_false(WRITE(4, 0)); /* without PAE there is no long mode */
    assert_true(WRITE(4, CR4_PAE | CR4_PCIDE));
    s.cr3 = 0x1001;
    assert_true(WRITE(4, CR4_PAE | CR4_PCIDE | CR4_PGE)); /* it was on before */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(into_long_mode, setup),
        cmocka_unit_test_setup(refused, setup),
        cmocka_unit_test_setup(page_table_base, setup),
        cmocka_unit_test(what_cpuid_offers),
        cmocka_unit_test(each_feature),
        cmocka_unit_test(each_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
