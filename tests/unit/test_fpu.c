// SPDX-License-Identifier: Apache-2.0
/*
 * Which images of the FPU's state the kernel takes: held against XRSTOR itself, on the CPU that runs the test. What
 * fpu_image_valid lets through must never fault, for in ring 0 that would be a panic; and what does not fault it should
 * let through.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86_64/fpu.h"

static _Alignas(64) struct fpu_image image, own;
static sigjmp_buf out;

static void faulted(int number)
{
    (void)number;
    siglongjmp(out, 1);
}

/* XRSTOR of everything that the image may name. */
static __attribute__((noinline)) bool cpu_takes(uint64_t components)
{
    uint32_t low = (uint32_t)components, high = (uint32_t)(components >> 32);
    if (sigsetjmp(out, 1))
        return false;
    __asm__ volatile("xrstor64 (%0)" : : "r"(&image), "a"(low), "d"(high) : "memory");
    __asm__ volatile("xrstor64 (%0)" : : "r"(&own), "a"(low), "d"(high) : "memory");
    return true;
}

static uint64_t xcr0(void)
{
    uint32_t low, high, a = 1, b, c = 0, d;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    if (!(c >> 27 & 1))
        return 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return ((uint64_t)high << 32 | low) & 0xe7; /* what Mullion switches */
}

static void test_against_the_cpu(void **state)
{
    (void)state;
    uint64_t components = xcr0();
    if (!components)
        skip();
    struct sigaction action = {.sa_handler = faulted, .sa_flags = SA_NODEFER}, old[2];
    sigaction(SIGSEGV, &action, &old[0]);
    sigaction(SIGBUS, &action, &old[1]);
    __asm__ volatile("xsave64 (%0)" : : "r"(&own), "a"((uint32_t)components), "d"(0) : "memory");
    uint32_t mask;
    memcpy(&mask, own.legacy + FPU_MXCSR_MASK, 4);
    unsigned taken = 0, refused = 0;
    srand(1);
    for (unsigned n = 0; n < 20000; n++) {
        image = own;
        for (unsigned k = (unsigned)rand() % 4; k > 0; k--) {
            unsigned where = (unsigned)rand() % 4, bit = (unsigned)rand() % 512;
            if (where == 0) /* the header */
                ((uint8_t *)&image)[512 + bit / 8] ^= (uint8_t)(1u << bit % 8);
            else if (where == 1) /* XSTATE_BV, MXCSR */
                ((uint8_t *)&image)[bit % 2 ? 512 : FPU_MXCSR + bit / 2 % 4] ^= (uint8_t)(1u << bit % 8);
            else if (where == 2)
                image.xstate_bv = components & (uint64_t)rand();
            else
                ((uint8_t *)&image)[(unsigned)rand() % 4096 / 32 % 24] = (uint8_t)rand(); /* FCW, FSW, pointers */
        }
        /* An unmasked exception that is pending would be raised by this program's next x87 instruction. */
        image.legacy[0] |= 0x3f;
        bool good = fpu_image_valid(&image, components, mask), takes = cpu_takes(components);
        if (good && !takes)
            fail_msg("image %u: XRSTOR faults on it", n);
        taken += good;
        refused += !good && !takes;
    }
    sigaction(SIGSEGV, &old[0], NULL);
    sigaction(SIGBUS, &old[1], NULL);
    assert_true(taken > 2000 && refused > 2000);
}

static void test_without_xsave(void **state)
{
    (void)state;
    memset(&image, 0xff, sizeof image);
    memcpy(image.legacy + FPU_MXCSR, &(uint32_t){0x1f80}, 4);
    assert_true(fpu_image_valid(&image, 0, FPU_MXCSR_MASK_OLD)); /* there is no header */
    memcpy(image.legacy + FPU_MXCSR, &(uint32_t){0x1fc0}, 4);    /* DAZ, which that CPU has not */
    assert_false(fpu_image_valid(&image, 0, FPU_MXCSR_MASK_OLD));
    assert_true(fpu_image_valid(&image, 0, 0xffff));
}

struct environment {
    uint32_t control, status, tag, ip, selector_and_opcode, data, data_selector;
};

/* The worst a guest can leave: all registers in use, every exception unmasked, one of them pending. Nothing faults, and
 * of its last instruction nothing is left. */
static void test_pointers_are_forgotten(void **state)
{
    (void)state;
    struct environment before, after;
    static const double one = 1.0, nothing = 0.0;
    static const uint16_t unmasked = 0x0340;
    __asm__ volatile("fninit; fld1; fld1; fld1; fld1; fld1; fld1; fldl %2; fldcw %1; fdivl %3; fnstenv %0; fldcw %1"
                     : "=m"(before)
                     : "m"(unmasked), "m"(one), "m"(nothing)
                     : "memory");
    /* FNSTENV masks them, and the pending one with it: unmasked again it is as before, for an instruction that waits.
     */
    fpu_forget_pointers();
    __asm__ volatile("fnstenv %0; fninit" : "=m"(after) : : "memory");
    assert_true(before.status & 0x80); /* ES: it was pending */
    assert_int_not_equal(before.ip, 0);
    assert_int_not_equal(after.ip, before.ip);
    assert_int_equal(after.status & 0x80ff, 0);
    assert_int_equal(after.tag & 0xffff, 0x7fff); /* the one that the last instruction has loaded: 0 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_the_cpu), cmocka_unit_test(test_without_xsave),
                                       cmocka_unit_test(test_pointers_are_forgotten)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
