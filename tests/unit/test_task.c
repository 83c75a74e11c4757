// SPDX-License-Identifier: Apache-2.0
// sources: vmm/insn/task.c vmm/insn/walk.c vmm/insn/access.c vmm/memory.c
/*
 * Hardware task switches: what goes into the old TSS and comes out of the new one, busy bits, link, NT, and each
 * refusal with its vector and code. Offsets are from Intel SDM vol. 3, figures 8-2 and 8-10, not from the code under
 * test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "mullion/regs.h"
#include "mullion/types.h"
#include "vmm/insn/task.h"

#define RAM 0x20000u
#define GDT 0x2000u
#define LDT 0x2800u
#define OLD 0x3000u
#define NEW 0x4000u

enum {
    NIL = 0,
    CODE = 0x08,
    DATA = 0x10,
    TSS_OLD = 0x18,
    TSS_NEW = 0x20,
    TSS_16 = 0x28,
    LDT_AT = 0x30,
    USER_CODE = 0x38
};
enum {
    USER_DATA = 0x40,
    ABSENT = 0x48,
    READ_ONLY = 0x50,
    ABSENT_TSS = 0x58,
    SMALL_TSS = 0x60,
    TSS_OLD_16 = 0x68,
    LAST = 0x70
};

static uint8_t *ram;
static struct guest_memory memory;
static struct vcpu_state s;
static struct guest_cpu cpu;
static struct guest_fault fault;

static uint32_t get(uint32_t at, unsigned size)
{
    uint32_t v = 0;
    memcpy(&v, ram + at, size);
    return v;
}
static void put(uint32_t at, unsigned size, uint32_t v)
{
    memcpy(ram + at, &v, size);
}

static void describe(uint32_t at, uint32_t base, uint32_t limit, uint32_t type)
{
    uint64_t d = (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)(type & 0xff) << 40 |
                 (uint64_t)(limit >> 16 & 0xf) << 48 | (uint64_t)(type >> 8 & 0xf) << 52 | (uint64_t)(base >> 24) << 56;
    memcpy(ram + at, &d, 8);
}
static uint8_t type_of(uint32_t selector)
{
    return ram[GDT + selector + 5] & 0x1f;
}

static void no_device(void *context, uint64_t gpa, unsigned size, bool write, uint64_t *value)
{
    (void)context;
    (void)gpa;
    (void)size;
    (void)write;
    *value = ~0ull;
}

/* A 32-bit task whose registers are 0x11110000 + their place. */
static void new_task_32(uint32_t at)
{
    for (unsigned i = 0; i < 8; i++)
        put(at + 0x28 + 4 * i, 4, 0x11110000 + i);
    put(at + 0x1c, 4, 0x7000);
    put(at + 0x20, 4, 0x1234);
    put(at + 0x24, 4, 0x202);
    put(at + 0x38, 4, 0x8000); /* esp */
    const uint16_t seg[] = {DATA, CODE, DATA, DATA, 0, DATA};
    for (unsigned i = 0; i < 6; i++)
        put(at + 0x48 + 4 * i, 4, seg[i]);
}

static int setup(void **state)
{
    (void)state;
    ram = aligned_alloc(4096, RAM);
    memset(ram, 0, RAM);
    memory = (struct guest_memory){0};
    assert_int_equal(guest_memory_add(&memory, 0, RAM, ram), OK);
    describe(GDT + CODE, 0, 0xfffff, 0xc9a);
    describe(GDT + DATA, 0, 0xfffff, 0xc92);
    describe(GDT + TSS_OLD, OLD, 0x67, 0x08b);
    describe(GDT + TSS_NEW, NEW, 0x67, 0x089);
    describe(GDT + TSS_16, NEW, 0x2b, 0x081);
    describe(GDT + LDT_AT, LDT, 0x0f, 0x082);
    describe(GDT + USER_CODE, 0, 0xfffff, 0xcfa);
    describe(GDT + USER_DATA, 0, 0xfffff, 0xcf2);
    describe(GDT + ABSENT, 0, 0xfffff, 0xc12);
    describe(GDT + READ_ONLY, 0, 0xfffff, 0xc90);
    describe(GDT + ABSENT_TSS, NEW, 0x67, 0x009);
    describe(GDT + SMALL_TSS, NEW, 0x66, 0x089);
    describe(GDT + TSS_OLD_16, OLD, 0x2b, 0x083);
    describe(LDT + 8, 0x100, 0xfffff, 0xc92);
    new_task_32(NEW);
    memset(&s, 0, sizeof s);
    s.cr0 = CR0_PE;
    s.cr3 = 0x9000;
    s.rip = 0x5000;
    s.rsp = 0x6000;
    s.rflags = RFLAGS_FIXED | RFLAGS_NT | 0x40;
    s.dr7 = 0x7ff;
    for (unsigned i = 0; i < GPR_COUNT; i++)
        s.gpr[i] = 0x22220000 + i;
    for (unsigned i = 0; i < SEG_LDTR; i++)
        s.seg[i] = (struct segment){.selector = DATA, .attr = 0xc093, .limit = 0xffffffff};
    s.seg[SEG_CS] = (struct segment){.selector = CODE, .attr = 0xc09b, .limit = 0xffffffff};
    s.seg[SEG_LDTR].attr = SEG_ATTR_UNUSABLE;
    s.seg[SEG_TR] = (struct segment){.selector = TSS_OLD, .attr = 0x8b, .base = OLD, .limit = 0x67};
    s.gdtr = (struct table_register){.base = GDT, .limit = LAST - 1};
    cpu = (struct guest_cpu){.state = &s, .memory = &memory, .device = no_device};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(ram);
    return 0;
}

static enum verdict go(uint8_t by, uint16_t selector)
{
    const struct task_switch t = {.selector = selector, .by = by, .next = s.rip + 2};
    fault = (struct guest_fault){0};
    return task_switch(&cpu, &t, &fault);
}

static void assert_new_task_runs(void)
{
    assert_int_equal(s.rip, 0x1234);
    for (unsigned i = 0; i < 8; i++)
        if (i != GPR_RSP)
            assert_int_equal(s.gpr[i], 0x11110000 + i);
    assert_int_equal(s.rsp, 0x8000);
    assert_int_equal(s.seg[SEG_TR].selector, TSS_NEW);
    assert_int_equal(s.seg[SEG_TR].attr, 0x8b);
    assert_int_equal(s.seg[SEG_TR].base, NEW);
    assert_true(s.cr0 & CR0_TS);
    assert_int_equal(s.dr7, 0x7ff & ~0x155);
    assert_int_equal(s.dirty, GROUP_RIP | GROUP_SEG | GROUP_CR | GROUP_DR);
    assert_int_equal(s.seg[SEG_CS].selector, CODE);
    assert_int_equal(s.seg[SEG_CS].attr, 0xc09b);
    assert_int_equal(s.seg[SEG_SS].attr, 0xc093);
    assert_int_equal(s.seg[SEG_DS].attr, 0xc093);
    assert_int_equal(s.seg[SEG_FS].attr, SEG_ATTR_UNUSABLE); /* its selector is null */
    assert_int_equal(s.cr3, 0x9000);                         /* no paging: it stays */
}

static void assert_old_task_is_stored(uint32_t flags)
{
    assert_int_equal(get(OLD + 0x20, 4), 0x5002);
    assert_int_equal(get(OLD + 0x24, 4), flags);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(get(OLD + 0x28 + 4 * i, 4), i == GPR_RSP ? 0x6000 : 0x22220000 + i);
    const uint16_t seg[] = {DATA, CODE, DATA, DATA, DATA, DATA};
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(get(OLD + 0x48 + 4 * i, 2), seg[i]);
    assert_int_equal(get(OLD + 0x1c, 4), 0); /* CR3 and LDT are not stored */
    assert_int_equal(get(OLD + 0x60, 2), 0);
}

static void a_jump(void **state)
{
    (void)state;
    assert_int_equal(go(TASK_BY_JUMP, TSS_NEW), VERDICT_DONE);
    assert_new_task_runs();
    assert_old_task_is_stored(0x4042);
    assert_int_equal(s.rflags, 0x202);
    assert_int_equal(type_of(TSS_OLD), 0x09);
    assert_int_equal(type_of(TSS_NEW), 0x0b);
    assert_int_equal(get(NEW, 2), 0); /* no link */
}

static void a_call_and_its_return(void **state)
{
    (void)state;
    assert_int_equal(go(TASK_BY_CALL, TSS_NEW), VERDICT_DONE);
    assert_new_task_runs();
    assert_old_task_is_stored(0x4042);
    assert_int_equal(s.rflags, 0x202 | RFLAGS_NT);
    assert_int_equal(type_of(TSS_OLD), 0x0b); /* both are busy */
    assert_int_equal(type_of(TSS_NEW), 0x0b);
    assert_int_equal(get(NEW, 2), TSS_OLD);

    assert_int_equal(go(TASK_BY_IRET, TSS_OLD), VERDICT_DONE);
    assert_int_equal(s.rip, 0x5002);
    assert_int_equal(s.rsp, 0x6000);
    assert_int_equal(s.gpr[GPR_RDI], 0x22220007);
    assert_int_equal(s.rflags, 0x4042);
    assert_int_equal(type_of(TSS_OLD), 0x0b);
    assert_int_equal(type_of(TSS_NEW), 0x09);
    assert_int_equal(get(NEW + 0x20, 4), 0x1236);
    assert_int_equal(get(NEW + 0x24, 4), 0x202); /* NT is not stored by IRET */
}

static void a_gate_with_an_error_code(void **state)
{
    (void)state;
    const struct task_switch t = {
        .selector = TSS_NEW, .by = TASK_BY_GATE, .next = s.rip, .by_fault = true, .has_code = true, .code = 0x5678};
    assert_int_equal(task_switch(&cpu, &t, &fault), VERDICT_DONE);
    assert_int_equal(s.rsp, 0x7ffc);
    assert_int_equal(get(0x7ffc, 4), 0x5678);
    assert_int_equal(get(OLD + 0x20, 4), 0x5000);
    assert_int_equal(get(OLD + 0x24, 4), 0x4042 | RFLAGS_RF);
    assert_int_equal(get(NEW, 2), TSS_OLD);
    assert_true(s.rflags & RFLAGS_NT);
}

static void with_paging(void **state)
{
    (void)state;
    s.cr0 |= CR0_PG;
    s.cr4 = CR4_PSE;
    put(0x9000, 4, 0x83); /* 4 MiB, identity, in the old task's tables */
    put(0x7000, 4, 0x83); /* and in the new one's */
    assert_int_equal(go(TASK_BY_JUMP, TSS_NEW), VERDICT_DONE);
    assert_int_equal(s.cr3, 0x7000);

    assert_int_equal(teardown(NULL) + setup(NULL), 0); /* the new task's tables do not show its stack */
    s.cr0 |= CR0_PG;
    s.cr4 = CR4_PSE;
    put(0x9000, 4, 0x83);
    put(0x7000, 4, 0x83);
    put(NEW + 0x38, 4, 0x800000);
    const struct task_switch t = {.selector = TSS_NEW, .by = TASK_BY_GATE, .next = s.rip, .has_code = true};
    assert_int_equal(task_switch(&cpu, &t, &fault), VERDICT_FAULT);
    assert_int_equal(fault.vector, VECTOR_PF);
    assert_int_equal(fault.address, 0x7ffffc);
    assert_int_equal(fault.code, 2);
    assert_int_equal(s.rip, 0x1234); /* it is the new task's */
}

static void a_task_of_16_bits(void **state)
{
    (void)state;
    memset(ram + NEW, 0, 104);
    put(NEW + 14, 2, 0x1234);
    put(NEW + 16, 2, 0x0246);
    for (unsigned i = 0; i < 8; i++)
        put(NEW + 18 + 2 * i, 2, 0x4440 + i);
    put(NEW + 26, 2, 0x8000);
    const uint16_t seg[] = {DATA, CODE, DATA, DATA};
    for (unsigned i = 0; i < 4; i++)
        put(NEW + 34 + 2 * i, 2, seg[i]);
    const struct task_switch t = {
        .selector = TSS_16, .by = TASK_BY_GATE, .next = s.rip, .has_code = true, .code = 0x99};
    assert_int_equal(task_switch(&cpu, &t, &fault), VERDICT_DONE);
    assert_int_equal(s.rip, 0x1234);
    assert_int_equal(s.gpr[GPR_RAX] & 0xffff, 0x4440);
    assert_int_equal(s.gpr[GPR_RDI] & 0xffff, 0x4447);
    assert_int_equal(s.seg[SEG_GS].selector, 0);
    assert_int_equal(s.seg[SEG_TR].attr, 0x83);
    assert_int_equal(get(0x7ffe, 2), 0x99); /* the code is 16 bits wide */
    assert_int_equal(s.rsp, 0x7ffe);

    /* and back, into its own TSS */
    s.seg[SEG_TR] = (struct segment){.selector = TSS_OLD_16, .attr = 0x83, .base = OLD, .limit = 0x2b};
    s.gpr[GPR_RBX] = 0xabcd1234;
    s.rip = 0x4321;
    new_task_32(NEW);
    memset(ram + OLD, 0, 104);
    assert_int_equal(go(TASK_BY_JUMP, TSS_NEW), VERDICT_DONE);
    assert_int_equal(get(OLD + 14, 2), 0x4323);
    assert_int_equal(get(OLD + 24, 2), 0x1234);
    assert_int_equal(get(OLD + 36, 2), CODE);
    assert_int_equal(get(OLD + 44, 4), 0); /* nothing behind its end */
    assert_int_equal(type_of(TSS_OLD_16), 0x01);
}

static void an_ldt_and_ring_3(void **state)
{
    (void)state;
    put(NEW + 0x60, 4, LDT_AT);
    put(NEW + 0x4c, 4, USER_CODE | 3);
    put(NEW + 0x50, 4, USER_DATA | 3);
    put(NEW + 0x48, 4, USER_DATA | 3);
    put(NEW + 0x54, 4, USER_DATA | 3);
    put(NEW + 0x5c, 4, 0);
    assert_int_equal(go(TASK_BY_JUMP, TSS_NEW), VERDICT_DONE);
    assert_int_equal(access_cpl(&s), 3);
    assert_int_equal(s.seg[SEG_LDTR].base, LDT);
    assert_int_equal(s.seg[SEG_LDTR].attr, 0x82);

    assert_int_equal(teardown(NULL) + setup(NULL), 0);
    put(NEW + 0x60, 4, LDT_AT);
    put(NEW + 0x58, 4, 0x0c); /* FS: the LDT's entry 1 */
    assert_int_equal(go(TASK_BY_JUMP, TSS_NEW), VERDICT_DONE);
    assert_int_equal(s.seg[SEG_FS].base, 0x100);
    assert_int_equal(ram[LDT + 13], 0x93); /* marked as accessed */
}

static void virtual_8086(void **state)
{
    (void)state;
    put(NEW + 0x24, 4, 0x20202);
    put(NEW + 0x4c, 4, 0x1000);
    put(NEW + 0x54, 4, 0xffff);
    assert_int_equal(go(TASK_BY_JUMP, TSS_NEW), VERDICT_DONE);
    assert_true(s.rflags & RFLAGS_VM);
    assert_int_equal(s.seg[SEG_CS].base, 0x10000);
    assert_int_equal(s.seg[SEG_DS].base, 0xffff0);
    assert_int_equal(s.seg[SEG_DS].limit, 0xffff);
    assert_int_equal(s.seg[SEG_SS].attr, 0xf3);
}

/* Before the switch: nothing has changed, but for what a fault says. */
static void refused(void **state)
{
    (void)state;
    const struct {
        uint8_t by, vector;
        uint16_t selector, code;
    } row[] = {
        {TASK_BY_JUMP, VECTOR_GP, NIL, 0},
        {TASK_BY_JUMP, VECTOR_GP, TSS_NEW | 4, TSS_NEW | 4},
        {TASK_BY_JUMP, VECTOR_GP, LAST, LAST},
        {TASK_BY_IRET, VECTOR_TS, LAST, LAST},
        {TASK_BY_JUMP, VECTOR_GP, DATA, DATA},
        {TASK_BY_JUMP, VECTOR_GP, LDT_AT, LDT_AT},
        {TASK_BY_JUMP, VECTOR_GP, TSS_OLD, TSS_OLD}, /* busy */
        {TASK_BY_CALL, VECTOR_GP, TSS_OLD, TSS_OLD},
        {TASK_BY_GATE, VECTOR_GP, TSS_OLD, TSS_OLD},
        {TASK_BY_IRET, VECTOR_TS, TSS_NEW, TSS_NEW}, /* not busy */
        {TASK_BY_JUMP, VECTOR_NP, ABSENT_TSS, ABSENT_TSS},
        {TASK_BY_JUMP, VECTOR_TS, SMALL_TSS, SMALL_TSS},
        {TASK_BY_JUMP, VECTOR_GP, DATA | 3, DATA},
    };
    uint8_t *before = malloc(RAM);
    memcpy(before, ram, RAM);
    const struct vcpu_state was = s;
    for (size_t i = 0; i < ARRAY_SIZE(row); i++) {
        assert_int_equal(go(row[i].by, row[i].selector), VERDICT_FAULT);
        assert_int_equal(fault.vector, row[i].vector);
        assert_true(fault.has_code);
        assert_int_equal(fault.code, row[i].code);
        assert_memory_equal(before, ram, RAM);
        assert_memory_equal(&was, &s, sizeof s);
    }
    s.seg[SEG_TR].limit = 0x66; /* the old one's */
    assert_int_equal(go(TASK_BY_JUMP, TSS_NEW), VERDICT_FAULT);
    assert_int_equal(fault.vector, VECTOR_TS);
    assert_int_equal(fault.code, TSS_OLD);
    assert_memory_equal(before, ram, RAM);
    free(before);
}

/* Behind the switch: the new task gets it. Its CS and SS are such that a CPU enters. */
static void refused_in_the_new_task(void **state)
{
    (void)state;
    const struct {
        uint32_t at;
        uint16_t selector;
        uint8_t vector;
        uint16_t code;
    } row[] = {
        {0x4c, NIL, VECTOR_TS, 0},           {0x4c, DATA, VECTOR_TS, DATA},
        {0x4c, CODE | 3, VECTOR_TS, CODE}, /* DPL 0 is not RPL 3 */
        {0x4c, LAST, VECTOR_TS, LAST},       {0x50, NIL, VECTOR_TS, 0},
        {0x50, CODE, VECTOR_TS, CODE},       {0x50, READ_ONLY, VECTOR_TS, READ_ONLY},
        {0x50, DATA | 3, VECTOR_TS, DATA},   {0x50, USER_DATA, VECTOR_TS, USER_DATA},
        {0x50, ABSENT, VECTOR_SS, ABSENT},   {0x54, ABSENT, VECTOR_NP, ABSENT},
        {0x54, TSS_OLD, VECTOR_TS, TSS_OLD}, {0x54, DATA | 3, VECTOR_TS, DATA}, /* RPL above DPL */
        {0x5c, 0x0c, VECTOR_TS, 0x0c},                                          /* no LDT */
        {0x60, DATA, VECTOR_TS, DATA},       {0x60, LDT_AT | 4, VECTOR_TS, LDT_AT | 4},
    };
    for (size_t i = 0; i < ARRAY_SIZE(row); i++) {
        put(NEW + row[i].at, 4, row[i].selector);
        assert_int_equal(go(TASK_BY_JUMP, TSS_NEW), VERDICT_FAULT);
        assert_int_equal(fault.vector, row[i].vector);
        assert_int_equal(fault.code, row[i].code);
        assert_int_equal(s.rip, 0x1234);
        assert_int_equal(s.seg[SEG_TR].selector, TSS_NEW);
        assert_int_equal(type_of(TSS_NEW), 0x0b);
        assert_int_equal(s.seg[SEG_CS].attr & 0x98, 0x98);
        assert_int_equal(s.seg[SEG_SS].attr & 0x9a, 0x92);
        assert_int_equal(s.seg[SEG_CS].attr >> 5 & 3, s.seg[SEG_SS].attr >> 5 & 3);
        assert_int_equal(teardown(NULL) + setup(NULL), 0);
    }
}

static void the_trap_flag(void **state)
{
    (void)state;
    put(NEW + 100, 2, 1);
    assert_int_equal(go(TASK_BY_JUMP, TSS_NEW), VERDICT_FAULT);
    assert_int_equal(fault.vector, VECTOR_DB);
    assert_false(fault.has_code);
    assert_int_equal(s.dr6 & 0xe00f, 0x8000);
    assert_int_equal(s.rip, 0x1234);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_jump),
        TEST(a_call_and_its_return),
        TEST(a_gate_with_an_error_code),
        TEST(with_paging),
        TEST(a_task_of_16_bits),
        TEST(an_ldt_and_ring_3),
        TEST(virtual_8086),
        TEST(refused),
        TEST(refused_in_the_new_task),
        TEST(the_trap_flag),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
