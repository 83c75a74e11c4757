// SPDX-License-Identifier: Apache-2.0
// sources: tests/unit/ring0_string.c
/* Hardware errors, on a CPU with made-up banks: whose an error is, what is logged, cleared and left, and the panic's
 * words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define rdmsr real_rdmsr
#define wrmsr real_wrmsr
#define cpuid real_cpuid
#include "arch/x86_64/instr.h"
#undef rdmsr
#undef wrmsr
#undef cpuid
#define this_cpu real_this_cpu
#include "arch/x86_64/cpu.h"
#undef this_cpu

static struct cpu here = {.number = 5};
static struct cpu *this_cpu(void)
{
    return &here;
}
static uint32_t cpuid_edx;
static struct cpuid_regs cpuid(uint32_t leaf, uint32_t subleaf)
{
    assert_int_equal(leaf, 1);
    assert_int_equal(subleaf, 0);
    return (struct cpuid_regs){.edx = cpuid_edx};
}
/* What is neither there nor said to hold something faults. */
static uint64_t cap, global, control, bank[40][4];
static uint64_t *msr(uint32_t number)
{
    assert_true(cpuid_edx & 1 << 14);
    switch (number) {
    case 0x179: return &cap;
    case 0x17a: return &global;
    case 0x17b: assert_true(cap & 1 << 8); return &control;
    default: break;
    }
    assert_in_range(number, 0x400, 0x400 + 4 * (cap & 0xff) - 1);
    assert_in_range(number, 0x400, 0x47f);
    uint64_t *b = bank[(number - 0x400) / 4];
    assert_true(number % 4 != 2 || b[1] >> 58 & 1);
    assert_true(number % 4 != 3 || b[1] >> 59 & 1);
    return &b[number % 4];
}
static uint64_t rdmsr(uint32_t number)
{
    return *msr(number);
}
static void wrmsr(uint32_t number, uint64_t value)
{
    assert_true(number != 0x179 && (number < 0x400 || number % 4 < 2));
    *msr(number) = value;
}
#include "arch/x86_64/mce.c"

static char words[4000];
static jmp_buf stopped;
static void append(const char *format, va_list arguments)
{
    size_t n = strlen(words);
    vsnprintf(words + n, sizeof words - n, format, arguments);
}
void klog(enum log_level level, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    strcat(words, level == LOG_ERROR ? "E " : "W ");
    append(format, arguments);
    strcat(words, "\n");
    va_end(arguments);
}
noreturn void panic(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    append(format, arguments);
    va_end(arguments);
    longjmp(stopped, 1);
}

#define RIPV 1ull
#define EIPV 2ull
#define MCIP 4ull
/* VAL, UC, EN, MISCV, ADDRV, S, AR: a load that met bad memory. */
#define LOAD_MET_IT 0xbd80000000000134ull
/* The same without AR: found by the scrubber, and without S too: at a write-back. */
#define SCRUBBED  0xbd000000000000cfull
#define NO_ACTION 0xbc0000000000009full
#define CORRECTED 0x9c00000000000080ull
#define PCC       (1ull << 57)
#define OVER      (1ull << 62)
#define ADDRV     (1ull << 58)

static int fresh(void **state)
{
    (void)state;
    cpuid_edx = 1 << 14;
    cap = 1 << 24 | 1 << 8 | 10;
    global = control = 0;
    memset(bank, 0, sizeof bank);
    here.errors = 0;
    words[0] = 0;
    return 0;
}

static void whose_it_is(void **state)
{
    (void)state;
    static const struct {
        uint64_t status, global;
        bool tells;
        enum mce_verdict verdict;
    } rows[] = {
        {LOAD_MET_IT, RIPV | EIPV, true, MCE_CONTAINED},
        {LOAD_MET_IT, EIPV, true, MCE_CONTAINED},
        {LOAD_MET_IT, RIPV, true, MCE_NOTED}, /* another CPU's, which shares the bank */
        {LOAD_MET_IT | PCC, RIPV | EIPV, true, MCE_FATAL},
        {LOAD_MET_IT | OVER, RIPV | EIPV, true, MCE_FATAL},
        {LOAD_MET_IT & ~ADDRV, RIPV | EIPV, true, MCE_FATAL},
        {LOAD_MET_IT & ~VALID, RIPV | EIPV, true, MCE_NOTED},
        {SCRUBBED, RIPV, true, MCE_NOTED},
        {SCRUBBED, RIPV | EIPV, true, MCE_NOTED},
        {SCRUBBED | PCC, RIPV, true, MCE_FATAL},
        {SCRUBBED | OVER, RIPV, true, MCE_FATAL},
        {NO_ACTION, RIPV, true, MCE_NOTED},
        {NO_ACTION | OVER, RIPV, true, MCE_NOTED},
        {NO_ACTION | PCC, RIPV, true, MCE_FATAL}, /* with PCC, S says nothing */
        {CORRECTED, RIPV, true, MCE_NOTED},
        {CORRECTED | OVER, RIPV | EIPV, false, MCE_NOTED},
        /* A CPU without S and AR; bit 55 is something else on AMD's */
        {NO_ACTION, RIPV, false, MCE_CONTAINED},
        {NO_ACTION & ~ADDRV, EIPV, false, MCE_CONTAINED},
        {LOAD_MET_IT, RIPV, false, MCE_CONTAINED},
        {NO_ACTION | PCC, RIPV | EIPV, false, MCE_FATAL},
        {NO_ACTION | OVER, RIPV | EIPV, false, MCE_FATAL},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (mce_judge(rows[i].status, rows[i].global, rows[i].tells) != rows[i].verdict)
            fail_msg("row %u", i);
}

static void put(unsigned i, uint64_t status, uint64_t address, uint64_t misc)
{
    bank[i][1] = status;
    bank[i][2] = address;
    bank[i][3] = misc;
}

/* True: it has panicked. */
static bool ends, panics;
static void check(uint64_t mcg, bool outside)
{
    global = mcg | MCIP;
    words[0] = 0;
    panics = setjmp(stopped) != 0;
    if (!panics)
        ends = mce_look(outside ? MCE_OUTSIDE : MCE_IN_RING_0);
}

/* What met it ends; all is logged and cleared, so that the next one is not the CPU's end. */
static void contained(void **state)
{
    (void)state;
    for (unsigned mcg = EIPV; mcg <= (EIPV | RIPV); mcg++) {
        fresh(state);
        put(3, CORRECTED, 0x40, 1);
        put(9, LOAD_MET_IT, 0x1234000, 0x8c);
        check(mcg, true);
        assert_true(!panics && ends);
        assert_string_equal(
            words, "W CPU 5: hardware error 1, corrected: bank 3, status 0x9c00000000000080, address 0x40, misc 0x1\n"
                   "E CPU 5: hardware error 2, uncorrected: bank 9, status 0xbd80000000000134, address 0x1234000, misc "
                   "0x8c\n");
        assert_true(bank[3][1] == 0 && bank[9][1] == 0 && global == 0 && here.errors == 2);
    }
}

static void in_ring_0_it_is_the_end(void **state)
{
    (void)state;
    put(2, SCRUBBED, 0x10, 0x20);
    put(4, LOAD_MET_IT, 0x1234000, 0x8c);
    put(7, CORRECTED, 0, 0);
    check(RIPV | EIPV, false);
    assert_true(panics);
    assert_non_null(strstr(words, "machine check: "));
    assert_non_null(strstr(words, "bank 4  status 0xbd80000000000134  address 0x1234000  misc 0x8c  MCG_STATUS 0x7"));
}

static void damage_elsewhere_is_the_end(void **state)
{
    (void)state;
    put(0, LOAD_MET_IT, 0x1000, 0);
    put(6, 0xb200000000000000ull | PCC, 0, 0); /* neither address nor misc: not to be read */
    check(RIPV | EIPV, true);
    assert_true(panics);
    assert_non_null(strstr(words, "bank 6  status 0xb200000000000000  address 0x0  misc 0x0  MCG_STATUS 0x7"));
    /* Neither a place to go on from nor the culprit's: also with nothing in the banks. */
    fresh(state);
    check(0, true);
    assert_true(panics);
    /* The culprit is known, and no bank says what it was. */
    check(EIPV, true);
    assert_true(!panics && ends);
    check(EIPV, false);
    assert_true(panics);
}

/* It came to all CPUs. This one leaves the bank to the one that met the error, now and at its next looks. */
static void another_cpus(void **state)
{
    (void)state;
    for (unsigned outside = 0; outside < 2; outside++) {
        fresh(state);
        put(4, LOAD_MET_IT, 0x1234000, 0x8c);
        check(RIPV, outside);
        assert_true(!panics && !ends && global == 0);
        (void)mce_look(MCE_NOW);
        assert_string_equal(words, "");
        assert_int_equal(bank[4][1], LOAD_MET_IT);
    }
    global = RIPV | EIPV | MCIP; /* where an emulator gave #MC to a guest, and no handler of ours has run */
    (void)mce_look(MCE_NOW);
    assert_true(bank[4][1] == 0 && global == 0 && here.errors == 1);
}

/* In ring 0 the log's lock may be held: what may wait does. */
static void noted_in_ring_0(void **state)
{
    (void)state;
    put(1, SCRUBBED, 0x5000, 0x8c);
    check(RIPV, false);
    assert_true(!panics && !ends && global == 0);
    assert_string_equal(words, "");
    (void)mce_look(MCE_NOW);
    assert_non_null(strstr(words, "E CPU 5: hardware error 1, uncorrected: bank 1,"));
    fresh(state);
    put(1, SCRUBBED, 0x5000, 0x8c);
    check(RIPV, true);
    assert_true(!panics && !ends && bank[1][1] == 0);
    assert_non_null(strstr(words, "bank 1,"));
}

static void at_boot(void **state)
{
    (void)state;
    put(4, LOAD_MET_IT, 0x1234000, 0x8c);
    (void)mce_look(MCE_AT_BOOT);
    assert_string_equal(words, "E CPU 5: hardware error 1, uncorrected, from before this start: bank 4, status "
                               "0xbd80000000000134, address 0x1234000, misc 0x8c\n");
    assert_int_equal(bank[4][1], 0);
    assert_int_equal(control, ~0ull);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(bank[i][0], ~0ull);
    /* More banks than there are MSRs; no MCG_CTL */
    fresh(state);
    cap = 0xff;
    (void)mce_look(MCE_AT_BOOT);
    assert_int_equal(bank[31][0], ~0ull);
    assert_int_equal(bank[32][0], 0);
    assert_int_equal(control, 0);
    /* None at all */
    cpuid_edx = 0;
    (void)mce_look(MCE_AT_BOOT);
    (void)mce_look(MCE_NOW);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whose_it_is),
        cmocka_unit_test_setup(contained, fresh),
        cmocka_unit_test_setup(in_ring_0_it_is_the_end, fresh),
        cmocka_unit_test_setup(damage_elsewhere_is_the_end, fresh),
        cmocka_unit_test_setup(another_cpus, fresh),
        cmocka_unit_test_setup(noted_in_ring_0, fresh),
        cmocka_unit_test_setup(at_boot, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
