// SPDX-License-Identifier: Apache-2.0
/* Instructions on device memory, string port I/O, control-register decoding: against a fake bus. */
// sources: @insn
// libs: -lZydis
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "mullion/regs.h"
#include "vmm/insn/emulate.h"
#include "vmm/insn/flags.h"
#include "vmm/insn/move_cache.h"

#define RAM    (1u << 20)
#define DEVICE 0x10000000ull /* not RAM */
#define CODE   0x1000u

static uint8_t *ram;
static struct guest_memory memory;
static struct vcpu_state s;
static struct guest_cpu cpu;
static struct guest_fault fault;
static struct instruction_bytes seen;
static uint8_t registers[4096]; /* the device: plain bytes */
static unsigned reads, writes, last_size;
static bool loose;

static void device(void *context, uint64_t gpa, unsigned size, bool write, uint64_t *value)
{
    (void)context;
    if (gpa < DEVICE || gpa > DEVICE + sizeof registers - size) { /* random instructions go anywhere */
        assert_true(loose);
        return;
    }
    assert_true(size == 1 || size == 2 || size == 4 || size == 8);
    last_size = size;
    if (write) {
        writes++;
        memcpy(registers + (gpa - DEVICE), value, size);
    } else {
        reads++;
        *value = 0;
        memcpy(value, registers + (gpa - DEVICE), size);
    }
}

static void descriptor(unsigned seg, uint32_t attr)
{
    s.seg[seg] = (struct segment){.attr = attr, .limit = 0xffffffff};
}

/* Protected mode without paging: linear is physical. 64-bit tests use identity tables. */
static int setup32(void **unused)
{
    (void)unused;
    ram = aligned_alloc(4096, RAM);
    memset(ram, 0, RAM);
    memory = (struct guest_memory){0};
    assert_int_equal(guest_memory_add(&memory, 0, RAM, ram), OK);
    memset(&s, 0, sizeof s);
    memset(registers, 0, sizeof registers);
    reads = writes = 0;
    s.cr0 = CR0_PE;
    s.rip = CODE;
    s.rflags = 2;
    for (unsigned i = 0; i < SEG_LDTR; i++)
        descriptor(i, 0xc093);
    descriptor(SEG_CS, 0xc09b);
    cpu = (struct guest_cpu){.state = &s, .memory = &memory, .device = device};
    return 0;
}

static void put(uint64_t gpa, uint64_t v)
{
    memcpy(ram + gpa, &v, 8);
}

static int setup64(void **unused)
{
    setup32(unused);
    put(0x8000, 0x9000 | 3);
    put(0x9000, 0xa000 | 3);
    put(0xa000, 0x0 | 0x83); /* 0..2 MiB */
    put(0xa000 + 8 * (DEVICE >> 21), DEVICE | 0x83);
    put(0x9000 + 8 * 3, 0xb000 | 3); /* 3 GiB: 4 KiB pages */
    put(0xb000, 0xc000 | 3);
    put(0xc000, 0x20000 | 3); /* one page, the next is not there */
    s.cr0 = CR0_PE | CR0_PG | CR0_WP;
    s.cr3 = 0x8000;
    s.cr4 = CR4_PAE;
    s.efer = EFER_LME | EFER_LMA;
    s.seg[SEG_CS].attr = 0xa09b;
    return 0;
}

static int teardown(void **unused)
{
    (void)unused;
    free(ram);
    return 0;
}

#define RUN(...) run((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))
static enum verdict run(const uint8_t *code, size_t n)
{
    memset(ram + CODE, 0x90, 32);
    memcpy(ram + CODE, code, n);
    s.rip = CODE;
    s.dirty = 0;
    s.shadow = SHADOW_STI;
    enum verdict v = emulate_memory(&cpu, &seen, &fault);
    if (v == VERDICT_DONE) {
        assert_int_equal(s.rip, CODE + n);
        assert_int_equal(s.shadow, 0);
        assert_true(s.dirty & GROUP_RIP);
    } else {
        assert_int_equal(s.rip, CODE);
    }
    return v;
}

static uint32_t reg32(unsigned at)
{
    uint32_t v;
    memcpy(&v, registers + at, 4);
    return v;
}
static void set32(unsigned at, uint32_t v)
{
    memcpy(registers + at, &v, 4);
}

static void moves(void **unused)
{
    (void)unused;
    s.gpr[GPR_RAX] = 0x1111222233334444;
    s.gpr[GPR_RBX] = DEVICE;
    s.gpr[GPR_RCX] = 2;
    assert_int_equal(RUN(0x89, 0x43, 0x10), VERDICT_DONE); /* mov [rbx+10h], eax */
    assert_int_equal(reg32(0x10), 0x33334444);
    assert_int_equal(RUN(0x48, 0x89, 0x44, 0x8b, 0x20), VERDICT_DONE); /* mov [rbx+rcx*4+20h], rax */
    assert_int_equal(reg32(0x2c), 0x11112222);
    assert_int_equal(RUN(0xc7, 0x03, 0x78, 0x56, 0x34, 0xf2), VERDICT_DONE); /* mov dword [rbx], 0xf2345678 */
    assert_int_equal(reg32(0), 0xf2345678);
    s.gpr[GPR_RDX] = ~0ull;
    assert_int_equal(RUN(0x8b, 0x13), VERDICT_DONE); /* mov edx, [rbx]: clears the upper half */
    assert_true(s.gpr[GPR_RDX] == 0xf2345678);
    s.gpr[GPR_RDX] = ~0ull;
    assert_int_equal(RUN(0x8a, 0x73, 0x01), VERDICT_DONE); /* mov dh, [rbx+1] */
    assert_true(s.gpr[GPR_RDX] == 0xffffffffffff56ff);
    assert_int_equal(RUN(0x0f, 0xb6, 0x53, 0x03), VERDICT_DONE); /* movzx edx, byte [rbx+3] */
    assert_true(s.gpr[GPR_RDX] == 0xf2);
    assert_int_equal(RUN(0x48, 0x0f, 0xbe, 0x53, 0x03), VERDICT_DONE); /* movsx rdx, byte [rbx+3] */
    assert_true(s.gpr[GPR_RDX] == 0xfffffffffffffff2);
    assert_int_equal(RUN(0x48, 0x63, 0x13), VERDICT_DONE); /* movsxd rdx, dword [rbx] */
    assert_true(s.gpr[GPR_RDX] == 0xfffffffff2345678);
    assert_int_equal(RUN(0x48, 0xc7, 0x03, 0xff, 0xff, 0xff, 0xff), VERDICT_DONE); /* mov qword [rbx], -1 */
    assert_int_equal(reg32(4), 0xffffffff);
    /* moffs: mov eax, [abs64] */
    set32(8, 0x12121212);
    assert_int_equal(RUN(0xa1, 8, 0, 0, 0x10, 0, 0, 0, 0), VERDICT_DONE);
    assert_true(s.gpr[GPR_RAX] == 0x12121212);
    /* rsp as a base, and as a source */
    s.rsp = DEVICE + 0x40;
    assert_int_equal(RUN(0x48, 0x89, 0x24, 0x24), VERDICT_DONE); /* mov [rsp], rsp */
    assert_int_equal(reg32(0x40), DEVICE + 0x40);
    /* rip-relative: from the next instruction */
    int32_t away = (int32_t)(DEVICE + 0x50 - (CODE + 6));
    uint8_t code[6] = {0x89, 0x05};
    memcpy(code + 2, &away, 4);
    assert_int_equal(run(code, 6), VERDICT_DONE);
    assert_int_equal(reg32(0x50), 0x12121212);
    /* fs base */
    s.seg[SEG_FS].base = DEVICE + 0x60;
    assert_int_equal(RUN(0x64, 0x89, 0x04, 0x25, 4, 0, 0, 0), VERDICT_DONE);
    assert_int_equal(reg32(0x64), 0x12121212);
}

static void arithmetic(void **unused)
{
    (void)unused;
    s.gpr[GPR_RBX] = DEVICE;
    set32(0, 0x80000001);
    s.gpr[GPR_RAX] = 0x80000000;
    assert_int_equal(RUN(0x21, 0x03), VERDICT_DONE); /* and [rbx], eax */
    assert_int_equal(reg32(0), 0x80000000);
    assert_int_equal(s.rflags & FLAGS_ARITHMETIC, FLAG_SF | FLAG_PF);
    assert_int_equal(RUN(0x01, 0x03), VERDICT_DONE); /* add: 8000_0000 + 8000_0000 */
    assert_int_equal(reg32(0), 0);
    assert_int_equal(s.rflags & FLAGS_ARITHMETIC, FLAG_ZF | FLAG_PF | FLAG_CF | FLAG_OF);
    assert_int_equal(RUN(0x83, 0x1b, 0x00), VERDICT_DONE); /* sbb dword [rbx], 0 with carry */
    assert_int_equal(reg32(0), 0xffffffff);
    assert_true(s.rflags & FLAG_CF);
    assert_int_equal(RUN(0xff, 0x03), VERDICT_DONE); /* inc: CF stays */
    assert_int_equal(reg32(0), 0);
    assert_true(s.rflags & FLAG_CF && s.rflags & FLAG_ZF);
    assert_int_equal(RUN(0x83, 0x0b, 0xf0), VERDICT_DONE); /* or dword [rbx], -16 */
    assert_int_equal(reg32(0), 0xfffffff0);
    writes = 0;
    assert_int_equal(RUN(0x81, 0x3b, 0xf0, 0xff, 0xff, 0xff), VERDICT_DONE); /* cmp dword [rbx], 0xfffffff0 */
    assert_true(s.rflags & FLAG_ZF);
    assert_int_equal(RUN(0xf6, 0x03, 0x10), VERDICT_DONE); /* test byte [rbx], 10h */
    assert_false(s.rflags & FLAG_ZF);
    assert_int_equal(writes, 0);
    assert_int_equal(RUN(0x3b, 0x03), VERDICT_DONE); /* cmp eax, [rbx] */
    assert_int_equal(writes, 0);
    s.gpr[GPR_RCX] = 0x12345678;
    assert_int_equal(RUN(0x87, 0x0b), VERDICT_DONE); /* xchg [rbx], ecx */
    assert_int_equal(reg32(0), 0x12345678);
    assert_true(s.gpr[GPR_RCX] == 0xfffffff0);
    s.gpr[GPR_RAX] = 0x12345678;
    s.gpr[GPR_RDX] = 5;
    assert_int_equal(RUN(0xf0, 0x0f, 0xb1, 0x13), VERDICT_DONE); /* lock cmpxchg [rbx], edx */
    assert_int_equal(reg32(0), 5);
    assert_int_equal(RUN(0xf0, 0x0f, 0xb1, 0x0b), VERDICT_DONE); /* differs */
    assert_true(s.gpr[GPR_RAX] == 5);
    s.gpr[GPR_RDX] = 7;
    assert_int_equal(RUN(0xf0, 0x0f, 0xc1, 0x13), VERDICT_DONE); /* lock xadd [rbx], edx */
    assert_int_equal(reg32(0), 12);
    assert_true(s.gpr[GPR_RDX] == 5);
    assert_int_equal(RUN(0xf7, 0x13), VERDICT_DONE); /* not */
    assert_int_equal(reg32(0), ~12u);
}

/* What no CPU at hand can show; the others are in test_emulate_cpu.c. */
static void rare(void **unused)
{
    (void)unused;
    s.gpr[GPR_RBX] = DEVICE;
    s.gpr[GPR_RAX] = 0x123456789a;
    assert_int_equal(RUN(0x48, 0x0f, 0x38, 0xf9, 0x03), VERDICT_DONE); /* movdiri [rbx], rax */
    assert_int_equal(reg32(0), 0x3456789a);
    for (unsigned i = 0; i < 64; i++)
        ram[0x40100 + i] = (uint8_t)(i + 1);
    s.gpr[GPR_RDI] = DEVICE + 0x40;
    s.gpr[GPR_RSI] = 0x40100;
    assert_int_equal(RUN(0x66, 0x0f, 0x38, 0xf8, 0x3e), VERDICT_DONE); /* movdir64b rdi, [rsi] */
    assert_memory_equal(registers + 0x40, ram + 0x40100, 64);
    s.gpr[GPR_RDI] += 8;
    assert_int_equal(RUN(0x66, 0x0f, 0x38, 0xf8, 0x3e), VERDICT_FAULT);
    assert_int_equal(fault.vector, VECTOR_GP);
    /* A CPU without BMI1 and LZCNT takes their bytes for BSF and BSR. */
    set32(0, 0x00010000);
    assert_int_equal(RUN(0xf3, 0x0f, 0xbd, 0x13), VERDICT_DONE); /* lzcnt edx, [rbx] */
    assert_int_equal(s.gpr[GPR_RDX], 15);
    cpu.no_tzcnt = cpu.no_lzcnt = true;
    assert_int_equal(RUN(0xf3, 0x0f, 0xbd, 0x13), VERDICT_DONE);
    assert_int_equal(s.gpr[GPR_RDX], 16);
    set32(0, 0);
    assert_int_equal(RUN(0xf3, 0x0f, 0xbc, 0x13), VERDICT_DONE); /* tzcnt */
    assert_int_equal(s.gpr[GPR_RDX], 16);                        /* as it was */
    assert_true(s.rflags & FLAG_ZF);
}

/* MOVDIR64B writes by ES, whatever prefix there is, and reads by DS or what the prefix says (SDM vol. 2). */
static void movdir64b_segments(void **unused)
{
    (void)unused;
    for (unsigned i = 0; i < 64; i++) {
        ram[0x40000 + i] = (uint8_t)i;
        ram[0x50000 + i] = (uint8_t)(0x80 + i);
    }
    s.seg[SEG_ES].base = 0x100000;
    s.seg[SEG_FS].base = 0x10000;
    s.gpr[GPR_RDI] = DEVICE + 0x80 - 0x100000;
    s.gpr[GPR_RSI] = 0x40000;
    assert_int_equal(RUN(0x66, 0x0f, 0x38, 0xf8, 0x3e), VERDICT_DONE);
    assert_memory_equal(registers + 0x80, ram + 0x40000, 64);
    assert_int_equal(RUN(0x64, 0x66, 0x0f, 0x38, 0xf8, 0x3e), VERDICT_DONE); /* fs: */
    assert_memory_equal(registers + 0x80, ram + 0x50000, 64);
    s.seg[SEG_ES].attr = 0xc091; /* not for writing */
    assert_int_equal(RUN(0x66, 0x0f, 0x38, 0xf8, 0x3e), VERDICT_FAULT);
    assert_int_equal(fault.vector, VECTOR_GP);
}

static void bits(void **unused)
{
    (void)unused;
    s.gpr[GPR_RBX] = DEVICE + 0x100;
    assert_int_equal(RUN(0x0f, 0xba, 0x2b, 0x03), VERDICT_DONE); /* bts dword [rbx], 3 */
    assert_int_equal(reg32(0x100), 8);
    assert_false(s.rflags & FLAG_CF);
    s.gpr[GPR_RAX] = 35;
    assert_int_equal(RUN(0x0f, 0xab, 0x03), VERDICT_DONE); /* bts [rbx], eax: bit 3 of the next dword */
    assert_int_equal(reg32(0x104), 8);
    s.gpr[GPR_RAX] = 0xffffffff; /* bit -1 */
    assert_int_equal(RUN(0x0f, 0xab, 0x03), VERDICT_DONE);
    assert_int_equal(reg32(0xfc), 0x80000000);
    writes = 0;
    assert_int_equal(RUN(0x0f, 0xa3, 0x03), VERDICT_DONE); /* bt */
    assert_true(s.rflags & FLAG_CF);
    assert_int_equal(writes, 0);
    assert_int_equal(RUN(0x0f, 0xb3, 0x03), VERDICT_DONE); /* btr */
    assert_int_equal(reg32(0xfc), 0);
}

static void strings(void **unused)
{
    (void)unused;
    for (unsigned i = 0; i < 4096; i++)
        ram[0x40000 + i] = (uint8_t)(i * 7);
    s.gpr[GPR_RSI] = 0x40000;
    s.gpr[GPR_RDI] = DEVICE + 8;
    s.gpr[GPR_RCX] = 64;
    assert_int_equal(RUN(0xf3, 0xa5), VERDICT_DONE); /* rep movsd */
    assert_memory_equal(registers + 8, ram + 0x40000, 256);
    assert_int_equal(last_size, 4);
    assert_true(s.gpr[GPR_RCX] == 0 && s.gpr[GPR_RSI] == 0x40100 && s.gpr[GPR_RDI] == DEVICE + 0x108);
    /* bounded: the rest is left to the next exit */
    s.gpr[GPR_RAX] = 0xaa;
    s.gpr[GPR_RDI] = DEVICE;
    s.gpr[GPR_RCX] = EMULATE_ROUNDS + 10;
    assert_int_equal(RUN(0xf3, 0xaa), VERDICT_AGAIN); /* rep stosb */
    assert_true(s.gpr[GPR_RCX] == 10);
    assert_int_equal(RUN(0xf3, 0xaa), VERDICT_DONE);
    assert_int_equal(registers[EMULATE_ROUNDS + 9], 0xaa);
    /* backwards */
    s.rflags |= FLAG_DF;
    s.gpr[GPR_RDI] = DEVICE + 6;
    s.gpr[GPR_RCX] = 3;
    s.gpr[GPR_RAX] = 0x1234;
    assert_int_equal(RUN(0x66, 0xf3, 0xab), VERDICT_DONE); /* rep stosw */
    assert_memory_equal(registers + 2, "\x34\x12\x34\x12\x34\x12", 6);
    s.rflags &= ~FLAG_DF;
    /* repe cmpsb stops at the difference */
    memset(ram + 0x41000, 0, 16);
    memset(registers, 0, 16);
    registers[5] = 1;
    s.gpr[GPR_RSI] = 0x41000;
    s.gpr[GPR_RDI] = DEVICE;
    s.gpr[GPR_RCX] = 16;
    assert_int_equal(RUN(0xf3, 0xa6), VERDICT_DONE);
    assert_true(s.gpr[GPR_RCX] == 10);
    assert_false(s.rflags & FLAG_ZF);
    /* a page that is not there: what was done stays done, and the fault tells the address */
    s.gpr[GPR_RSI] = DEVICE;
    s.gpr[GPR_RDI] = 0xc0000ff8;
    s.gpr[GPR_RCX] = 4;
    assert_int_equal(RUN(0xf3, 0xa5), VERDICT_FAULT);
    assert_true(s.gpr[GPR_RCX] == 2 && s.gpr[GPR_RDI] == 0xc0001000);
    assert_true(fault.vector == 14 && fault.address == 0xc0001000 && fault.code == 2);
}

/* Its end, by RF and TF: a single step waits behind it, or behind each round of a repeated one, which is then left as
 * an interrupt leaves it. */
static void single_steps(void **unused)
{
    (void)unused;
    s.gpr[GPR_RBX] = DEVICE;
    s.rflags = RFLAGS_FIXED | RFLAGS_RF;
    assert_int_equal(RUN(0x89, 0x03), VERDICT_DONE); /* mov [rbx], eax */
    assert_true(s.rflags == RFLAGS_FIXED && s.pending_debug == 0);
    s.rflags = RFLAGS_FIXED | RFLAGS_RF | RFLAGS_TF;
    s.pending_debug = 0x1001;                        /* of a MOV SS before it */
    assert_int_equal(RUN(0x21, 0x03), VERDICT_DONE); /* and [rbx], eax */
    assert_true((s.rflags & (RFLAGS_RF | RFLAGS_TF)) == RFLAGS_TF && s.pending_debug == (0x1001 | DR6_BS));
    s.gpr[GPR_RDI] = DEVICE;
    for (unsigned left = 3; left > 0; left--) {
        s.gpr[GPR_RCX] = left;
        s.pending_debug = 0;
        enum verdict verdict = RUN(0xf3, 0xaa); /* rep stosb */
        assert_int_equal(verdict, left > 1 ? VERDICT_AGAIN : VERDICT_DONE);
        assert_int_equal(s.rip, left > 1 ? CODE : CODE + 2);
        assert_int_equal(s.rflags & RFLAGS_RF, left > 1 ? RFLAGS_RF : 0);
        assert_int_equal(s.gpr[GPR_RCX], left - 1);
        assert_int_equal(s.pending_debug, DR6_BS);
    }
    s.rflags = RFLAGS_FIXED;
    s.pending_debug = 0;
    s.gpr[GPR_RCX] = EMULATE_ROUNDS + 1;
    assert_int_equal(RUN(0xf3, 0xaa), VERDICT_AGAIN);
    assert_true((s.rflags & RFLAGS_RF) && s.pending_debug == 0);
}

static void refused(void **unused)
{
    (void)unused;
    s.gpr[GPR_RBX] = DEVICE;
    assert_int_equal(RUN(0x0f, 0x58, 0x03), VERDICT_UNSUPPORTED);                   /* addps xmm0, [rbx] */
    assert_int_equal(RUN(0xd8, 0x03), VERDICT_UNSUPPORTED);                         /* fadd dword [rbx] */
    assert_int_equal(RUN(0x62, 0xf1, 0x7f, 0x49, 0x6f, 0x03), VERDICT_UNSUPPORTED); /* vmovdqu8 zmm0 {k1}, [rbx] */
    assert_int_equal(RUN(0xff, 0x2b), VERDICT_UNSUPPORTED);                         /* jmp far [rbx] */
    assert_int_equal(RUN(0x0f, 0xae, 0x0b), VERDICT_UNSUPPORTED);                   /* fxrstor [rbx] */
    assert_int_equal(RUN(0x06), VERDICT_UNSUPPORTED);                               /* not an instruction here */
    assert_int_equal(seen.bytes[0], 0x06);
    s.rip = 0x70000000; /* not mapped */
    assert_int_equal(emulate_memory(&cpu, &seen, &fault), VERDICT_UNSUPPORTED);
    assert_int_equal(seen.count, 0);
}

static uint8_t port_bytes[2048];
static unsigned port_at;
static void port_io(void *context, uint16_t port, unsigned size, bool write, uint32_t *value)
{
    (void)context;
    assert_int_equal(port, 0x1f0);
    if (port_at + size > sizeof port_bytes)
        port_at = 0;
    if (write)
        memcpy(port_bytes + port_at, value, size);
    else
        memcpy(value, port_bytes + port_at, size);
    port_at += size;
}

static enum verdict string_io(const uint8_t *code, size_t n, unsigned size)
{
    memcpy(ram + CODE, code, n);
    s.rip = CODE;
    port_at = 0;
    return emulate_string_io(&cpu, 0x1f0, size, port_io, &seen, &fault);
}

static void port_strings(void **unused)
{
    (void)unused;
    for (unsigned i = 0; i < sizeof port_bytes; i++)
        port_bytes[i] = (uint8_t)(i * 3);
    s.gpr[GPR_RDI] = 0x40000;
    s.gpr[GPR_RCX] = 256;
    assert_int_equal(string_io((const uint8_t[]){0xf3, 0x66, 0x6d}, 3, 2), VERDICT_DONE); /* rep insw */
    assert_memory_equal(ram + 0x40000, port_bytes, 512);
    assert_int_equal(s.rip, CODE + 3);
    s.gpr[GPR_RSI] = 0x40001;
    assert_int_equal(string_io((const uint8_t[]){0x6e}, 1, 1), VERDICT_DONE); /* outsb */
    assert_true(port_bytes[0] == 3 && s.gpr[GPR_RSI] == 0x40002);
    /* a page fault comes before the port loses a byte */
    s.gpr[GPR_RDI] = 0xc0001000;
    s.gpr[GPR_RCX] = 1;
    assert_int_equal(string_io((const uint8_t[]){0xf3, 0x6c}, 2, 1), VERDICT_FAULT);
    assert_int_equal(port_at, 0);
    assert_int_equal(string_io((const uint8_t[]){0x90}, 1, 1), VERDICT_UNSUPPORTED);
}

static void real_mode(void **unused)
{
    (void)unused;
    s.cr0 = 0;
    descriptor(SEG_CS, 0x9b);
    s.seg[SEG_CS].base = 0x10000;
    s.seg[SEG_DS].base = 0x20000;
    s.seg[SEG_ES].base = DEVICE;                          /* unreal */
    memcpy(ram + 0x10000 + 0x100, "\x26\xa2\x34\x00", 4); /* mov es:[0034h], al */
    s.rip = 0x100;
    s.gpr[GPR_RAX] = 0x5a;
    assert_int_equal(emulate_memory(&cpu, &seen, &fault), VERDICT_DONE);
    assert_int_equal(registers[0x34], 0x5a);
    assert_int_equal(s.rip, 0x104);
    /* rep movsb with 16-bit registers: the upper halves stay */
    memcpy(ram + 0x10000 + 0x200, "\xf3\xa4", 2);
    memset(ram + 0x20000, 0x77, 8);
    s.rip = 0x200;
    s.gpr[GPR_RSI] = 0xabcd0000;
    s.gpr[GPR_RDI] = 0xabcd0040;
    s.gpr[GPR_RCX] = 0xabcd0004;
    assert_int_equal(emulate_memory(&cpu, &seen, &fault), VERDICT_DONE);
    assert_true(s.gpr[GPR_RCX] == 0xabcd0000 && s.gpr[GPR_RDI] == 0xabcd0044);
    assert_int_equal(registers[0x43], 0x77);
}

/* 32-bit code with segments that hold something back: which fault each access gets, and that nothing was done. */
static void segments(void **unused)
{
    (void)unused;
    static const struct {
        unsigned seg; /* what is changed */
        struct segment to;
        uint32_t esi, edi;
        uint8_t vector; /* 0: goes through */
    } cases[] = {
        {SEG_ES, {.attr = 0xc093, .limit = 0xffffffff}, 0x40000, 0x41000, 0},
        {SEG_ES, {.attr = 0x4093, .limit = 0x41003}, 0x40000, 0x41000, 0},
        {SEG_ES, {.attr = 0x4093, .limit = 0x41002}, 0x40000, 0x41000, VECTOR_GP},
        {SEG_ES, {.attr = 0x4093, .limit = 0x41003}, 0x40000, 0xfffffffe, VECTOR_GP}, /* wraps */
        {SEG_ES, {.attr = 0xc091, .limit = 0xffffffff}, 0x40000, 0x41000, VECTOR_GP}, /* read-only */
        {SEG_ES, {.attr = 0xc09b, .limit = 0xffffffff}, 0x40000, 0x41000, VECTOR_GP}, /* code */
        {SEG_ES, {.attr = SEG_ATTR_UNUSABLE}, 0x40000, 0x41000, VECTOR_GP},           /* null */
        {SEG_ES, {.attr = 0x10093, .limit = 0xffffffff}, 0x40000, 0x41000, VECTOR_GP},
        {SEG_ES, {.attr = 0xc013, .limit = 0xffffffff}, 0x40000, 0x41000, VECTOR_GP}, /* not present */
        {SEG_ES, {.attr = 0xc097, .limit = 0x40fff}, 0x40000, 0x41000, 0},            /* expand-down */
        {SEG_ES, {.attr = 0xc097, .limit = 0x41000}, 0x40000, 0x41000, VECTOR_GP},    /* at its end */
        {SEG_ES, {.attr = 0x0097, .limit = 0x0fff}, 0x40000, 0xfffc, 0},              /* of 16 bits */
        {SEG_ES, {.attr = 0x0097, .limit = 0x0fff}, 0x40000, 0xfffd, VECTOR_GP},      /* past 64 KiB */
        {SEG_DS, {.attr = 0xc09b, .limit = 0xffffffff}, 0x40000, 0x41000, 0},         /* code, readable */
        {SEG_DS, {.attr = 0xc099, .limit = 0xffffffff}, 0x40000, 0x41000, VECTOR_GP}, /* not readable */
        {SEG_DS, {.attr = 0xc091, .limit = 0xffffffff}, 0x40000, 0x41000, 0},         /* read-only */
        {SEG_DS, {.attr = 0x4093, .limit = 0x3ffff}, 0x40000, 0x41000, VECTOR_GP},    /* limit */
    };
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (unsigned mode = 0; mode < 2; mode++) { /* protected mode, then compatibility mode */
            free(ram);
            (void)(mode == 0 ? setup32(NULL) : setup64(NULL));
            s.seg[SEG_CS].attr = 0xc09b;
            s.seg[cases[i].seg] = cases[i].to;
            memset(ram + 0x40000, 0x5a, 4096);
            s.gpr[GPR_RSI] = cases[i].esi;
            s.gpr[GPR_RDI] = cases[i].edi;
            fault = (struct guest_fault){0};
            assert_int_equal(RUN(0xa5), cases[i].vector ? VERDICT_FAULT : VERDICT_DONE); /* movsd */
            assert_int_equal(fault.vector, cases[i].vector);
            assert_true(fault.code == 0 && fault.has_code == (cases[i].vector != 0));
            assert_int_equal(ram[cases[i].edi & (RAM - 1)], cases[i].vector ? 0 : 0x5a);
            assert_true(s.gpr[GPR_RSI] == cases[i].esi + (cases[i].vector ? 0u : 4u));
        }
    /* By the stack's segment: another fault. */
    s.seg[SEG_SS] = (struct segment){.attr = 0x4093, .limit = 0xfff};
    s.gpr[GPR_RBP] = 0xffd;
    assert_int_equal(RUN(0x8b, 0x45, 0x00), VERDICT_FAULT); /* mov eax, [ebp] */
    assert_int_equal(fault.vector, VECTOR_SS);
    s.gpr[GPR_RBP] = 0xffc;
    assert_int_equal(RUN(0x8b, 0x45, 0x00), VERDICT_DONE);
    /* 64-bit code knows no limits, but addresses that are not canonical: by the stack's segment or another. */
    free(ram);
    setup64(NULL);
    s.seg[SEG_ES] = (struct segment){.attr = SEG_ATTR_UNUSABLE};
    s.gpr[GPR_RSI] = 0x40000;
    s.gpr[GPR_RDI] = 0x41000;
    assert_int_equal(RUN(0xa5), VERDICT_DONE);
    s.gpr[GPR_RDI] = 0x800000000000;
    assert_int_equal(RUN(0xa5), VERDICT_FAULT);
    assert_int_equal(fault.vector, VECTOR_GP);
    s.gpr[GPR_RDI] = 0x7ffffffffffe; /* its end is not */
    assert_int_equal(RUN(0xa5), VERDICT_FAULT);
    assert_int_equal(fault.vector, VECTOR_GP);
    s.gpr[GPR_RBP] = 0x7ffffffffffe;
    assert_int_equal(RUN(0x8b, 0x45, 0x00), VERDICT_FAULT);
    assert_int_equal(fault.vector, VECTOR_SS);
}

/* INS and OUTS make their exit before the CPU has looked at the memory operand: ring 3 must not write past a limit. */
static void port_segments(void **unused)
{
    (void)unused;
    s.seg[SEG_ES] = (struct segment){.attr = 0x40f3, .limit = 0x400ff};
    s.gpr[GPR_RDI] = 0x400fe;
    s.gpr[GPR_RCX] = 4;
    assert_int_equal(string_io((const uint8_t[]){0xf3, 0x6c}, 2, 1), VERDICT_FAULT); /* rep insb */
    assert_int_equal(fault.vector, VECTOR_GP);
    assert_true(s.gpr[GPR_RCX] == 2 && s.gpr[GPR_RDI] == 0x40100); /* as far as it goes */
    assert_int_equal(port_at, 2);                                  /* and no byte is lost */
    s.seg[SEG_ES] = (struct segment){.attr = SEG_ATTR_UNUSABLE};
    s.gpr[GPR_RDI] = 0x40000;
    assert_int_equal(string_io((const uint8_t[]){0x6c}, 1, 1), VERDICT_FAULT);
    assert_int_equal(port_at, 0);
    s.seg[SEG_FS] = (struct segment){.attr = 0x40f9, .limit = 0xfffff}; /* code that only runs */
    s.gpr[GPR_RSI] = 0x40000;
    assert_int_equal(string_io((const uint8_t[]){0x64, 0x6e}, 2, 1), VERDICT_FAULT); /* fs: outsb */
    assert_int_equal(port_at, 0);
    /* Real mode: the limit holds, the type does not. */
    s.cr0 = 0;
    s.seg[SEG_CS].attr = 0x9b;
    s.seg[SEG_ES] = (struct segment){.attr = 0x9b, .limit = 0xffff};
    s.gpr[GPR_RDI] = 0xffff;
    assert_int_equal(string_io((const uint8_t[]){0x6c}, 1, 1), VERDICT_DONE);
    s.gpr[GPR_RDI] = 0xffff;
    assert_int_equal(string_io((const uint8_t[]){0x6d}, 1, 2), VERDICT_FAULT); /* insw at the end */
    assert_int_equal(fault.vector, VECTOR_GP);
}

/* Runs code whose instruction goes to `to`. */
static enum verdict jump(const uint8_t *code, size_t n, uint64_t to)
{
    memset(ram + CODE, 0x90, 32);
    memcpy(ram + CODE, code, n);
    s.rip = CODE;
    enum verdict v = emulate_memory(&cpu, &seen, &fault);
    assert_true(s.rip == (v == VERDICT_DONE ? to : CODE));
    return v;
}
#define JUMP(to, ...) jump((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), to)

static uint64_t get(uint64_t gpa, unsigned size)
{
    uint64_t v = 0;
    memcpy(&v, ram + gpa, size);
    return v;
}

/* The operand is the device's, the stack is in RAM; and the other way round. */
static void stack(void **unused)
{
    (void)unused;
    s.gpr[GPR_RBX] = DEVICE;
    set32(0, 0x12345678);
    set32(4, 0);
    s.rsp = 0x50000;
    assert_int_equal(RUN(0xff, 0x33), VERDICT_DONE); /* push qword [rbx] */
    assert_true(s.rsp == 0x4fff8 && get(0x4fff8, 8) == 0x12345678);
    assert_int_equal(RUN(0x66, 0xff, 0x33), VERDICT_DONE); /* push word [rbx] */
    assert_true(s.rsp == 0x4fff6 && get(0x4fff6, 2) == 0x5678);
    s.rsp = 0x4fff8;
    set32(0, 0);
    assert_int_equal(RUN(0x8f, 0x03), VERDICT_DONE); /* pop qword [rbx] */
    assert_true(s.rsp == 0x50000 && reg32(0) == 0x12345678);
    put(0x50000, 0xdd);
    s.rsp = 0x50000;
    s.gpr[GPR_RBX] = DEVICE - 0x50008;
    assert_int_equal(RUN(0x8f, 0x04, 0x1c), VERDICT_DONE); /* pop [rsp+rbx]: rsp as it is behind */
    assert_int_equal(reg32(0), 0xdd);
    set32(0, 0x12345678);
    s.rsp = 0x50000;
    s.gpr[GPR_RBX] = DEVICE;
    assert_int_equal(JUMP(0x12345678, 0xff, 0x13), VERDICT_DONE); /* call [rbx] */
    assert_true(s.rsp == 0x4fff8 && get(0x4fff8, 8) == CODE + 2);
    assert_int_equal(JUMP(0x12345678, 0xff, 0x23), VERDICT_DONE); /* jmp [rbx] */
    set32(4, 0x8000);
    assert_int_equal(JUMP(0, 0xff, 0x13), VERDICT_FAULT); /* not canonical */
    assert_true(fault.vector == VECTOR_GP && s.rsp == 0x4fff8);
    /* A stack that cannot be written: the device is not read. */
    s.rsp = 0xc0002000;
    reads = 0;
    assert_int_equal(RUN(0xff, 0x33), VERDICT_FAULT);
    assert_true(fault.vector == VECTOR_PF && fault.address == 0xc0001ff8 && fault.code == 2);
    assert_true(reads == 0 && s.rsp == 0xc0002000);
    /* The operand cannot be written: rsp is as before. */
    s.rsp = 0x50000;
    s.gpr[GPR_RBX] = 0xc0001000;
    assert_int_equal(RUN(0x8f, 0x03), VERDICT_FAULT);
    assert_true(s.rsp == 0x50000);
    /* Device stacks. */
    s.rsp = DEVICE + 0x100;
    s.gpr[GPR_RAX] = 0x1122334455667788;
    assert_int_equal(RUN(0x50), VERDICT_DONE); /* push rax */
    assert_true(reg32(0xf8) == 0x55667788 && s.rsp == DEVICE + 0xf8);
    assert_int_equal(RUN(0x5c), VERDICT_DONE); /* pop rsp */
    assert_true(s.rsp == 0x1122334455667788);
    s.rsp = DEVICE + 0x100;
    assert_int_equal(RUN(0x6a, 0xfe), VERDICT_DONE); /* push -2 */
    assert_true(reg32(0xf8) == 0xfffffffe && reg32(0xfc) == 0xffffffff);
    assert_int_equal(JUMP(CODE + 5 + 0x100, 0xe8, 0x00, 0x01, 0x00, 0x00), VERDICT_DONE); /* call */
    assert_int_equal(reg32(0xf0), CODE + 5);
    assert_int_equal(JUMP(CODE + 5, 0xc2, 0x08, 0x00), VERDICT_DONE); /* ret 8 */
    assert_true(s.rsp == DEVICE + 0x100);
    s.gpr[GPR_RBP] = DEVICE + 0xf8;
    assert_int_equal(RUN(0xc9), VERDICT_DONE); /* leave */
    assert_true(s.rsp == DEVICE + 0x100 && s.gpr[GPR_RBP] == 0xfffffffffffffffe);
}

static struct fpu_image fpu;
static unsigned asked;
static struct fpu_image *image_of(void *context)
{
    (void)context;
    asked++;
    return &fpu;
}

/* Vector and x87 moves as far as test_emulate_fpu.c cannot go: faults, and the registers of AVX-512. */
static void vector_rights(void **unused)
{
    (void)unused;
    static const struct {
        uint64_t cr0, cr4, xcr0; /* what is set in the first, cleared in the others */
        uint8_t sse, avx, mmx, x87;
    } cases[] = {
        {0, 0, 0, 255, 255, 255, 255},        {CR0_TS, 0, 0, 7, 7, 7, 7},
        {CR0_EM, 0, 0, 6, 255, 6, 7},         {CR0_EM | CR0_TS, 0, 0, 6, 7, 6, 7},
        {0, CR4_OSFXSR, 0, 6, 255, 255, 255}, {0, CR4_OSXSAVE, 0, 255, 6, 255, 255},
        {0, 0, XCR0_AVX, 255, 6, 255, 255},
    };
    static const uint32_t offsets[8] = {[2] = 576, [6] = 1152};
    static const uint8_t code[4][5] = {{0x0f, 0x10, 0x03}, {0xc5, 0xf8, 0x10, 0x03}, {0x0f, 0x6f, 0x03}, {0xd9, 0x03}};
    s.gpr[GPR_RBX] = DEVICE;
    cpu.fpu = image_of;
    cpu.xsave_offset = offsets;
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const uint8_t vectors[] = {cases[i].sse, cases[i].avx, cases[i].mmx, cases[i].x87};
        s.cr0 = CR0_PE | CR0_PG | CR0_WP | cases[i].cr0;
        s.cr4 = (CR4_PAE | CR4_OSFXSR | CR4_OSXSAVE) & ~cases[i].cr4;
        s.xcr0 = 7 & ~cases[i].xcr0;
        for (unsigned k = 0; k < 4; k++) {
            reads = asked = 0;
            memcpy(ram + CODE, code[k], 5);
            s.rip = CODE;
            s.dirty = 0;
            fault = (struct guest_fault){.vector = 255};
            enum verdict v = emulate_memory(&cpu, &seen, &fault);
            assert_int_equal(v, vectors[k] == 255 ? VERDICT_DONE : VERDICT_FAULT);
            assert_int_equal(fault.vector, vectors[k]);
            assert_true(v == VERDICT_DONE ? reads > 0 && (s.dirty & GROUP_FPU) : reads == 0 && asked == 0);
            assert_false(v != VERDICT_DONE && fault.has_code);
        }
    }
    s.cr4 |= CR4_OSXSAVE | CR4_OSFXSR;
    s.xcr0 = 7;
    /* By VEX all behind becomes zero, also what only AVX-512 reaches; without it nothing does. */
    memset(&fpu, 0x55, sizeof fpu);
    fpu.xstate_bv = 0x47;
    set32(0, 0x11223344);
    assert_int_equal(RUN(0x0f, 0x10, 0x0b), VERDICT_DONE); /* movups xmm1, [rbx] */
    assert_int_equal(fpu.legacy[160 + 16], 0x44);
    assert_true(fpu.extended[16] == 0x55 && fpu.extended[1152 - 576 + 32] == 0x55);
    assert_int_equal(RUN(0xc5, 0xf8, 0x10, 0x0b), VERDICT_DONE); /* vmovups xmm1, [rbx] */
    for (unsigned i = 0; i < 32; i++)
        assert_true(fpu.extended[16 + i % 16] == 0 && fpu.extended[1152 - 576 + 32 + i] == 0);
    assert_true(fpu.extended[15] == 0x55 && fpu.extended[32] == 0x55 && fpu.extended[1152 - 576 + 64] == 0x55);
    assert_int_equal(fpu.xstate_bv, 0x47);
    /* A store that faults changes nothing. */
    struct fpu_image before = fpu;
    s.gpr[GPR_RBX] = 0xc0001000;
    s.dirty = 0;
    assert_int_equal(RUN(0x0f, 0x7f, 0x03), VERDICT_FAULT); /* movq [rbx], mm0 */
    assert_memory_equal(&fpu, &before, sizeof fpu);
    assert_int_equal(RUN(0xdd, 0x1b), VERDICT_FAULT); /* fstp qword [rbx] */
    assert_memory_equal(&fpu, &before, sizeof fpu);
    assert_false(s.dirty & GROUP_FPU);
    /* The CPU has no AVX, or there is no image. */
    s.gpr[GPR_RBX] = DEVICE;
    cpu.xsave_offset = (const uint32_t[8]){0};
    assert_int_equal(RUN(0xc5, 0xf8, 0x10, 0x0b), VERDICT_UNSUPPORTED);
    cpu.fpu = NULL;
    assert_int_equal(RUN(0x0f, 0x10, 0x0b), VERDICT_UNSUPPORTED);
}

/* 32-bit code on a 16-bit stack, and 16-bit code. */
static void narrow_stack(void **unused)
{
    (void)unused;
    s.gpr[GPR_RBX] = DEVICE;
    set32(0, 0x12345678);
    s.seg[SEG_SS] = (struct segment){.attr = 0x93, .limit = 0xffff, .base = 0x40000};
    s.rsp = 0xabcd0002;
    assert_int_equal(RUN(0x66, 0xff, 0x33), VERDICT_DONE); /* push word [ebx] */
    assert_true(s.rsp == 0xabcd0000 && get(0x40000, 2) == 0x5678);
    assert_int_equal(RUN(0x66, 0xff, 0x33), VERDICT_DONE); /* wraps */
    assert_true(s.rsp == 0xabcdfffe && get(0x4fffe, 2) == 0x5678);
    s.rsp = 0xabcd0002;
    assert_int_equal(RUN(0xff, 0x33), VERDICT_FAULT); /* push dword: beyond the limit */
    assert_int_equal(fault.vector, VECTOR_SS);
    assert_true(s.rsp == 0xabcd0002);
    s.seg[SEG_CS].limit = 0x20000;
    s.rsp = 0x100;
    assert_int_equal(JUMP(0, 0xff, 0x23), VERDICT_FAULT); /* jmp [ebx]: beyond the code's limit */
    assert_int_equal(fault.vector, VECTOR_GP);
    assert_int_equal(JUMP(0x5678, 0x66, 0xff, 0x23), VERDICT_DONE); /* jmp word [ebx] */
}

/* MOV to a segment register: what is loaded, and which fault else. */
static void segment_loads(void **unused)
{
    (void)unused;
    static const struct {
        uint64_t descriptor;
        unsigned cpl;
        uint16_t selector;
        uint8_t ds, ss; /* vectors; 0: loaded */
    } cases[] = {
        {0x00cf93000000ffff, 0, 0x08, 0, 0},   {0x00cf93000000ffff, 0, 0x0b, 13, 13}, /* RPL 3, DPL 0 */
        {0x00cff3000000ffff, 3, 0x0b, 0, 0},   {0x00cff3000000ffff, 3, 0x08, 0, 13},  /* RPL 0 */
        {0x00cff3000000ffff, 0, 0x08, 0, 13},                                         /* DPL 3 */
        {0x00cf13000000ffff, 0, 0x08, 11, 12},                                        /* not present */
        {0x00cf91000000ffff, 0, 0x08, 0, 13},                                         /* read-only */
        {0x00cf9b000000ffff, 0, 0x08, 0, 13},                                         /* code */
        {0x00cf99000000ffff, 0, 0x08, 13, 13},                                        /* code that cannot be read */
        {0x00cf9f000000ffff, 3, 0x0b, 0, 13},                                         /* conforming */
        {0x00cf8b000000ffff, 0, 0x08, 13, 13},                                        /* a system's */
        {0x00cf93000000ffff, 0, 0x10, 13, 13},                                        /* beyond the table */
        {0x00cf93000000ffff, 0, 0x0c, 13, 13},                                        /* there is no LDT */
        {0x00cf93000000ffff, 0, 0x00, 0, 13},                                         /* null */
    };
    s.gpr[GPR_RBX] = DEVICE;
    s.gdtr = (struct table_register){.base = 0x60000, .limit = 15};
    s.seg[SEG_LDTR].attr = SEG_ATTR_UNUSABLE;
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (unsigned ss = 0; ss < 2; ss++) {
            put(0x60008, cases[i].descriptor);
            set32(0, cases[i].selector);
            descriptor(SEG_DS, 0xc093);
            descriptor(SEG_SS, 0xc093 | cases[i].cpl << 5);
            s.seg[SEG_SS].selector = s.seg[SEG_DS].selector = 0x77;
            unsigned vector = ss ? cases[i].ss : cases[i].ds;
            memcpy(ram + CODE, ss ? "\x8e\x13" : "\x8e\x1b", 2); /* mov ss/ds, [ebx] */
            s.rip = CODE;
            s.dirty = s.shadow = 0;
            assert_int_equal(emulate_memory(&cpu, &seen, &fault), vector ? VERDICT_FAULT : VERDICT_DONE);
            const struct segment *g = &s.seg[ss ? SEG_SS : SEG_DS];
            if (vector != 0) {
                assert_int_equal(fault.vector, vector);
                assert_int_equal(fault.code, cases[i].selector & ~3);
                assert_true(fault.has_code && g->selector == 0x77 && !(s.dirty & GROUP_SEG));
                continue;
            }
            assert_int_equal(g->selector, cases[i].selector);
            assert_true(s.dirty & GROUP_SEG);
            assert_int_equal(s.shadow, ss ? SHADOW_MOV_SS : 0);
            if (cases[i].selector == 0)
                assert_true(g->attr & SEG_ATTR_UNUSABLE);
            else
                assert_true(g->attr == (cases[i].descriptor >> 40 & 0xf0ff) && g->limit == 0xffffffff && g->base == 0);
        }
    /* Base, limit in bytes, and the accessed bit that was not set. */
    descriptor(SEG_SS, 0xc093);
    put(0x60008, 0x12439234567889ab);
    set32(0, 8);
    assert_int_equal(RUN(0x8e, 0x23), VERDICT_DONE); /* mov fs, [ebx] */
    assert_true(s.seg[SEG_FS].base == 0x12345678 && s.seg[SEG_FS].limit == 0x389ab && s.seg[SEG_FS].attr == 0x4093);
    assert_true(get(0x60008, 8) == 0x12439334567889ab);
    /* Ring 3 needs no rights of its own on the table, which is one of the CPU's accesses. */
    descriptor(SEG_SS, 0xc0f3);
    s.cr0 |= CR0_PG;
    s.cr3 = 0xe000;
    memset(ram + 0xe000, 0, 0x2000);
    put(0xe000, 0xf000 | 7);
    put(0xf000 + 4 * CODE / 4096, CODE | 7);
    put(0xf000 + 4 * 0x60, 0x60000 | 3);
    uint32_t to_device = DEVICE | 7;
    memcpy(ram + 0xf000 + 4 * 0x61, &to_device, 4);
    s.gpr[GPR_RBX] = 0x61000;
    put(0x60008, 0x00cff3000000ffff);
    set32(0, 0xb);
    assert_int_equal(RUN(0x8e, 0x23), VERDICT_DONE);
    assert_int_equal(s.seg[SEG_FS].selector, 0xb);
    /* Real mode knows no descriptors. */
    s.cr0 = 0;
    s.seg[SEG_CS].attr = 0x9b;
    s.seg[SEG_DS] = (struct segment){.base = DEVICE, .limit = 0xffff, .attr = 0x93};
    s.gpr[GPR_RBX] = 0;
    set32(0, 0x20001234);
    assert_int_equal(RUN(0xc4, 0x07), VERDICT_DONE); /* les ax, [bx] */
    assert_true(s.seg[SEG_ES].base == 0x20000 && s.seg[SEG_ES].selector == 0x2000);
    assert_int_equal(s.gpr[GPR_RAX] & 0xffff, 0x1234);
}

/* SMSW, SLDT, STR, SGDT, SIDT: not for ring 3 if UMIP says so. */
static void system_stores(void **unused)
{
    (void)unused;
    s.gpr[GPR_RBX] = DEVICE;
    s.seg[SEG_TR].selector = 0x40;
    s.gdtr = (struct table_register){.base = 0xffff800012345678, .limit = 0x7f};
    assert_int_equal(RUN(0x0f, 0x01, 0x23), VERDICT_DONE); /* smsw [rbx] */
    assert_int_equal(reg32(0), s.cr0 & 0xffff);
    assert_int_equal(RUN(0x0f, 0x00, 0x0b), VERDICT_DONE); /* str [rbx] */
    assert_int_equal(reg32(0), 0x40);
    assert_int_equal(RUN(0x0f, 0x01, 0x03), VERDICT_DONE); /* sgdt [rbx] */
    assert_memory_equal(registers, "\x7f\x00\x78\x56\x34\x12\x00\x80\xff\xff", 10);
    s.cr4 |= CR4_UMIP;
    assert_int_equal(RUN(0x0f, 0x01, 0x03), VERDICT_DONE);
    put(0x8000, 0x9000 | 7);
    put(0x9000, 0xa000 | 7);
    put(0xa000, 0x87);
    put(0xa000 + 8 * (DEVICE >> 21), DEVICE | 0x87);
    s.seg[SEG_SS].attr |= 3 << 5;
    assert_int_equal(RUN(0x0f, 0x01, 0x03), VERDICT_FAULT);
    assert_int_equal(fault.vector, VECTOR_GP);
    assert_int_equal(RUN(0x0f, 0x01, 0x23), VERDICT_FAULT);
}

static void control_registers(void **unused)
{
    (void)unused;
    struct cr_access a;
    s.cr0 |= CR0_TS;
    s.gpr[GPR_R9] = 0x1234;
    memcpy(ram + CODE, "\x45\x0f\x22\xc1", 4); /* mov cr8, r9 */
    assert_int_equal(decode_cr(&cpu, &a, &seen, &fault), VERDICT_DONE);
    assert_true(a.write && a.number == 8 && a.value == 0x1234 && a.length == 4);
    memcpy(ram + CODE, "\x0f\x20\xc3", 3); /* mov rbx, cr0 */
    assert_int_equal(decode_cr(&cpu, &a, &seen, &fault), VERDICT_DONE);
    assert_true(!a.write && a.number == 0 && a.gpr == GPR_RBX && a.length == 3);
    memcpy(ram + CODE, "\x0f\x06", 2); /* clts */
    assert_int_equal(decode_cr(&cpu, &a, &seen, &fault), VERDICT_DONE);
    assert_true(a.write && a.number == 0 && a.value == (s.cr0 & ~CR0_TS) && a.length == 2);
    s.gpr[GPR_RAX] = 0xfffffff2;
    memcpy(ram + CODE, "\x0f\x01\xf0", 3); /* lmsw ax: PE stays */
    assert_int_equal(decode_cr(&cpu, &a, &seen, &fault), VERDICT_DONE);
    assert_true(a.write && a.value == ((s.cr0 & ~0xeull) | 2));
    s.cr0 = 0xe0050033;
    s.gpr[GPR_RBX] = s.gpr[GPR_RCX] = s.gpr[GPR_RDX] = 0x1122334455667788;
    assert_int_equal(RUN(0x66, 0x0f, 0x01, 0xe3), VERDICT_DONE); /* smsw bx */
    assert_int_equal(s.gpr[GPR_RBX], 0x1122334455660033);
    assert_int_equal(RUN(0x0f, 0x01, 0xe1), VERDICT_DONE); /* smsw ecx */
    assert_int_equal(s.gpr[GPR_RCX], 0xe0050033);
    assert_int_equal(RUN(0x48, 0x0f, 0x01, 0xe2), VERDICT_DONE); /* smsw rdx */
    assert_int_equal(s.gpr[GPR_RDX], 0xe0050033);
    memcpy(ram + CODE, "\x0f\x01\xe3", 3);
    s.rip = CODE;
    assert_int_equal(decode_cr(&cpu, &a, &seen, &fault), VERDICT_UNSUPPORTED);
    memcpy(ram + CODE, "\x0f\x32", 2);
    assert_int_equal(decode_cr(&cpu, &a, &seen, &fault), VERDICT_UNSUPPORTED);
    assert_int_equal(decode_length(&cpu, &seen), 2);
}

/* What was decoded once is used again, but only while the same bytes stand at the same place in the same mode. */
static void move_cache(void **unused)
{
    (void)unused;
    struct cached_move q = {0};
    s.gpr[GPR_RBX] = DEVICE;
    s.gpr[GPR_RAX] = 0x89abcdef;
    cpu.move = &q;
    assert_int_equal(RUN(0x89, 0x43, 0x10), VERDICT_DONE); /* mov [rbx+10h], eax */
    assert_int_equal(q.kind, MOVE_CACHE_STORE);
    s.rip = CODE;
    s.gpr[GPR_RAX] = 0x12345678;
    assert_true(move_cache_execute(&q, &cpu, access_code_width(&s), DEVICE + 0x10));
    assert_int_equal(reg32(0x10), 0x12345678);
    assert_int_equal(s.advance, 3); /* the kernel moves rip */
    s.rip = CODE + 3;
    assert_false(move_cache_execute(&q, &cpu, access_code_width(&s), DEVICE + 0x10)); /* another rip */
    s.rip = CODE;
    assert_false(move_cache_execute(&q, &cpu, access_code_width(&s), DEVICE + 0xffe)); /* crosses a page */
    s.seg[SEG_CS].attr = 0xc09b;
    assert_false(move_cache_execute(&q, &cpu, access_code_width(&s), DEVICE + 0x10)); /* 32-bit code now */
    s.seg[SEG_CS].attr = 0xa09b;
    ram[CODE + 2] = 0x14; /* the guest patches its code */
    assert_false(move_cache_execute(&q, &cpu, access_code_width(&s), DEVICE + 0x14));
    assert_int_equal(s.rip, CODE);

    assert_int_equal(RUN(0x48, 0x0f, 0xbe, 0x53, 0x10), VERDICT_DONE); /* movsx rdx, byte [rbx+10h] */
    registers[0x10] = 0x80;
    s.rip = CODE;
    assert_true(move_cache_execute(&q, &cpu, access_code_width(&s), DEVICE + 0x10));
    assert_true(s.gpr[GPR_RDX] == 0xffffffffffffff80);
    assert_int_equal(RUN(0x66, 0xc7, 0x03, 0xcd, 0xab), VERDICT_DONE); /* mov word [rbx], 0xabcd */
    set32(0, 0);
    s.rip = CODE;
    assert_true(move_cache_execute(&q, &cpu, access_code_width(&s), DEVICE));
    assert_int_equal(reg32(0), 0xabcd);
    q.kind = MOVE_CACHE_NONE;
    assert_int_equal(RUN(0x09, 0x03), VERDICT_DONE); /* or [rbx], eax is not a move */
    assert_int_equal(q.kind, MOVE_CACHE_NONE);
}

/* An operand that begins in RAM and ends in a device: the exit tells the device's page. */
static void quick_crossing(void **unused)
{
    (void)unused;
    static const struct {
        uint8_t length, bytes[8];
    } moves[] = {
        {3, {0x48, 0x89, 0x03}},                         /* mov [rbx], rax */
        {4, {0x48, 0x89, 0x04, 0x0b}},                   /* mov [rbx+rcx], rax */
        {7, {0x48, 0x89, 0x83, 0xf8, 0x0f, 0, 0}},       /* mov [rbx+0xff8], rax */
        {8, {0x48, 0x89, 0x04, 0x25, 0, 0, 0, 0x10}},    /* mov [abs], rax */
        {7, {0x48, 0x89, 0x05, 0xf9, 0xef, 0xff, 0x0f}}, /* mov [rip+..], rax */
    };
    put(0xa000 + 8 * (DEVICE >> 21) - 8, 0xd000 | 3);
    put(0xd000 + 8 * 511, 0x30000 | 3); /* RAM before the device */
    cpu.move = &(struct cached_move){0};
    for (unsigned i = 0; i < sizeof moves / sizeof moves[0]; i++) {
        struct cached_move *q = cpu.move;
        bool indexed = i == 1, moving = i < 3;
        uint64_t base = DEVICE - (i == 2 ? 0xff8 : 0);
        memset(registers, 0x11, sizeof registers);
        memset(ram + 0x30000, 0xaa, 4096);
        *q = (struct cached_move){0};
        s.gpr[GPR_RAX] = 0x8877665544332211;
        s.gpr[GPR_RCX] = 0;
        s.gpr[GPR_RBX] = base;
        assert_int_equal(run(moves[i].bytes, moves[i].length), VERDICT_DONE);
        assert_int_equal(reg32(0), 0x44332211);
        assert_int_equal(q->kind, MOVE_CACHE_STORE);
        s.rip = CODE;
        set32(0, 0);
        assert_int_equal(move_cache_execute(q, &cpu, 64, DEVICE), !indexed); /* where it may cross: the long way */
        assert_int_equal(reg32(0), indexed ? 0 : 0x44332211);
        if (!moving)
            continue;
        s.rip = CODE;
        memset(registers, 0x11, sizeof registers);
        s.gpr[GPR_RBX] = base - 4;
        assert_false(move_cache_execute(q, &cpu, 64, DEVICE));
        assert_int_equal(emulate_memory(&cpu, &seen, &fault), VERDICT_DONE);
        assert_memory_equal(ram + 0x30ffc, "\x11\x22\x33\x44", 4);
        assert_memory_equal(registers, "\x55\x66\x77\x88\x11\x11\x11\x11", 8);
    }
    /* A byte lies in one page. */
    assert_int_equal(RUN(0x88, 0x04, 0x0b), VERDICT_DONE); /* mov [rbx+rcx], al */
    s.rip = CODE;
    assert_true(move_cache_execute(cpu.move, &cpu, 64, DEVICE));
    /* With a segment's base: 32-bit code. */
    s.seg[SEG_CS].attr = 0xc09b;
    s.seg[SEG_DS].base = 0x800;
    s.gpr[GPR_RBX] = DEVICE - 0x800;
    assert_int_equal(RUN(0x89, 0x03), VERDICT_DONE); /* mov [ebx], eax */
    s.rip = CODE;
    assert_true(move_cache_execute(cpu.move, &cpu, 32, DEVICE));
    s.rip = CODE;
    s.gpr[GPR_RBX] -= 2;
    assert_false(move_cache_execute(cpu.move, &cpu, 32, DEVICE));
}

static bool quick(struct cached_move *q, uint64_t rip)
{
    s.rip = rip;
    return move_cache_execute(q, &cpu, access_code_width(&s), DEVICE);
}

/* The guest changes its page tables, or what lies behind them, between two exits at the same rip: the bytes that run
 * count. */
static void quick_code_moves(void **unused)
{
    (void)unused;
    struct cached_move q = {0};
    s.gpr[GPR_RBX] = DEVICE;
    cpu.move = &q;
    assert_int_equal(RUN(0x8b, 0x03), VERDICT_DONE); /* mov eax, [rbx] */
    assert_true(quick(&q, CODE));
    uint64_t large;
    memcpy(&large, ram + 0xa000, 8);
    put(0xa000, 0xc000 | 3); /* 0..2 MiB by 4 KiB pages now */
    put(0xc000 + 8, CODE | 1);
    assert_true(quick(&q, CODE)); /* the same bytes, another walk */
    put(0xc000 + 8, 0xd000 | 1);
    assert_false(quick(&q, CODE)); /* the page holds nothing like it */
    memcpy(ram + 0xd000 + CODE % 4096, "\x8b\x03", 2);
    assert_true(quick(&q, CODE)); /* the instruction was copied there */
    put(0xc000 + 8, 0xd000);
    assert_false(quick(&q, CODE)); /* not present */
    put(0xc000 + 8, RAM | 1);
    assert_false(quick(&q, CODE)); /* not RAM */
    put(0xa000, RAM | 3);
    assert_false(quick(&q, CODE)); /* nor is the table */
    put(0xa000, large);
    put(0x9000, 0x83); /* a 1 GiB page */
    assert_true(quick(&q, CODE));
    s.cr3 = 0xe000; /* another address space, where nothing is */
    assert_false(quick(&q, CODE));
    s.cr3 = 0x8000;
    assert_true(quick(&q, CODE));
}

/* Instructions of any length, up to the page's end and not across it. */
static void quick_lengths(void **unused)
{
    (void)unused;
    static const struct {
        uint8_t length, bytes[15];
    } moves[] = {
        {2, {0x8b, 0x03}},                                            /* mov eax, [rbx] */
        {3, {0x44, 0x8a, 0x23}},                                      /* mov r12b, [rbx] */
        {7, {0x48, 0x8b, 0x83, 0, 0, 0, 0}},                          /* mov rax, [rbx+disp32] */
        {8, {0x48, 0x8b, 0x84, 0x23, 0, 0, 0, 0}},                    /* the same with a SIB byte */
        {9, {0x67, 0x48, 0x8b, 0x84, 0x23, 0, 0, 0, 0}},              /* mov rax, [ebx+disp32] */
        {10, {0xc7, 0x83, 0, 0, 0, 0, 0x78, 0x56, 0x34, 0x12}},       /* mov dword [rbx+disp32], imm32 */
        {11, {0x48, 0xc7, 0x83, 0, 0, 0, 0, 0x78, 0x56, 0x34, 0x12}}, /* qword */
    };
    for (unsigned i = 0; i < sizeof moves / sizeof moves[0]; i++) {
        unsigned n = moves[i].length;
        for (uint64_t rip = 0x1000; rip <= 0x2000; rip += rip == 0x1000 ? 4096 - 32 : 1) {
            struct cached_move q = {0};
            memset(ram + 0x1000, 0x90, 0x2000);
            memcpy(ram + rip, moves[i].bytes, n);
            s.gpr[GPR_RBX] = DEVICE;
            s.gpr[GPR_RSP] = s.rsp = 0;
            s.rip = rip;
            cpu.move = &q;
            assert_int_equal(emulate_memory(&cpu, &seen, &fault), VERDICT_DONE);
            assert_int_equal(s.rip, rip + n);
            bool crosses = (rip & 4095) + n > 4096;
            assert_int_equal(quick(&q, rip), !crosses);
            for (unsigned k = 0; k < n; k++) { /* every byte counts */
                ram[rip + k] ^= 1;
                assert_false(quick(&q, rip));
                ram[rip + k] ^= 1;
            }
            for (unsigned k = n; k < 16; k++) { /* and none behind it */
                ram[rip + k] ^= 0xff;
                assert_int_equal(quick(&q, rip), !crosses);
            }
        }
    }
}

/* Which part of which register; rsp, which is kept elsewhere, takes the long way. */
static void quick_registers(void **unused)
{
    (void)unused;
    struct cached_move q = {0};
    cpu.move = &q;
    s.gpr[GPR_RBX] = DEVICE;
    set32(0, 0x8899aabb);
    assert_int_equal(RUN(0x8a, 0x23), VERDICT_DONE); /* mov ah, [rbx] */
    s.gpr[GPR_RAX] = 0x1122334455667788;
    assert_true(quick(&q, CODE));
    assert_true(s.gpr[GPR_RAX] == 0x112233445566bb88);
    assert_int_equal(RUN(0x66, 0x8b, 0x03), VERDICT_DONE); /* mov ax, [rbx] */
    s.gpr[GPR_RAX] = 0x1122334455667788;
    assert_true(quick(&q, CODE));
    assert_true(s.gpr[GPR_RAX] == 0x112233445566aabb);
    assert_int_equal(RUN(0x8b, 0x03), VERDICT_DONE); /* mov eax, [rbx] */
    s.gpr[GPR_RAX] = 0x1122334455667788;
    assert_true(quick(&q, CODE));
    assert_true(s.gpr[GPR_RAX] == 0x8899aabb);
    assert_int_equal(RUN(0x66, 0x0f, 0xbe, 0x03), VERDICT_DONE); /* movsx ax, byte [rbx] */
    s.gpr[GPR_RAX] = 0x1122334455667788;
    assert_true(quick(&q, CODE));
    assert_true(s.gpr[GPR_RAX] == 0x112233445566ffbb);
    assert_int_equal(RUN(0x48, 0x63, 0x03), VERDICT_DONE); /* movsxd rax, dword [rbx] */
    assert_true(quick(&q, CODE));
    assert_true(s.gpr[GPR_RAX] == 0xffffffff8899aabb);
    assert_int_equal(RUN(0x88, 0x3b), VERDICT_DONE); /* mov [rbx], bh */
    assert_true(quick(&q, CODE));
    assert_int_equal(registers[0], DEVICE >> 8 & 0xff);
    q = (struct cached_move){0};
    assert_int_equal(RUN(0x8b, 0x23), VERDICT_DONE); /* mov esp, [rbx] */
    assert_int_equal(q.kind, MOVE_CACHE_NONE);
    assert_false(quick(&q, CODE));
    assert_false(quick(&q, 0)); /* an empty one knows nothing */
}

static bool nothing_claimed(void *context, uint64_t gpa, unsigned size)
{
    (void)context;
    assert_true(size > 0 && (gpa & 4095) + size <= 4096);
    return false;
}

/* Any bytes at all: nothing but RAM and whole device accesses is touched, and every verdict is one of the four. */
static void any_bytes(void **unused)
{
    (void)unused;
    static const uint8_t opcodes[] = {0x00, 0x09, 0x21, 0x50, 0x69, 0x6b, 0x62, 0x80, 0x81, 0x83, 0x86,
                                      0x87, 0x88, 0x89, 0x8a, 0x8b, 0x8c, 0x8e, 0x8f, 0xa0, 0xa3, 0xa4,
                                      0xa5, 0xaa, 0xab, 0xac, 0xae, 0xc0, 0xc1, 0xc2, 0xc4, 0xc5, 0xc6,
                                      0xc7, 0xc9, 0xd0, 0xd3, 0xd7, 0xd9, 0xdb, 0xdd, 0xdf, 0xf6, 0xf7,
                                      0xfe, 0xff, 0x0f, 0x0f, 0x0f, 0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x48};
    static const uint32_t offsets[8] = {[2] = 576, [6] = 1152, [7] = 1664};
    cpu.fpu = image_of;
    cpu.xsave_offset = offsets;
    cpu.claimed = nothing_claimed;
    s.xcr0 = 0xe7;
    s.gdtr = (struct table_register){.base = 0x60000, .limit = 0xffff};
    for (unsigned i = 0; i < 0x10000; i++) /* descriptors of all kinds */
        ram[0x60000 + i] = (uint8_t)rand();
    struct cached_move moves[MOVE_CACHE_SIZE] = {0};
    srand(7);
    for (int round = 0; round < 120000; round++) {
        for (unsigned i = 0; i < SEG_LDTR; i++)
            descriptor(i, rand() % 8 ? 0xc093 : (unsigned)rand() % 0x20000);
        s.cr4 = CR4_PAE | CR4_OSXSAVE | CR4_OSFXSR;
        fpu.xstate_bv = (unsigned)rand() & 0xc7;
        for (unsigned i = 0; i < GPR_COUNT; i++)
            s.gpr[i] = (rand() & 3) ? DEVICE + (unsigned)rand() % 2048 + 1024
                                    : (uint64_t)rand() << 32 | (unsigned)rand();
        s.gpr[GPR_RCX] = (unsigned)rand() % 64;
        s.rsp = DEVICE + 1024;
        s.rflags = (unsigned)rand() & FLAG_DF ? 2 | FLAG_DF : 2;
        s.cr0 = CR0_PE | CR0_WP | ((rand() & 1) ? CR0_PG : 0);
        s.efer = s.cr0 & CR0_PG ? EFER_LME | EFER_LMA : 0;
        s.seg[SEG_CS].attr = s.cr0 & CR0_PG ? ((rand() & 1) ? 0xa09b : 0xc09b) : ((rand() & 1) ? 0x9b : 0xc09b);
        s.rip = CODE;
        for (unsigned i = 0; i < 16; i++)
            ram[CODE + i] = (uint8_t)rand();
        ram[CODE] = opcodes[(unsigned)rand() % sizeof opcodes];
        cpu.move = move_cache_slot(moves, s.rip + (unsigned)rand() % 16);
        loose = true;
        enum verdict v = emulate_memory(&cpu, &seen, &fault);
        assert_in_range(v, VERDICT_DONE, VERDICT_UNSUPPORTED);
        bool jump = seen.name != NULL && strchr("jcr", seen.name[0]) != NULL; /* JMP, CALL, RET */
        if (v == VERDICT_DONE && !jump)
            assert_in_range(s.rip, CODE + 1, CODE + 15);
        s.rip = CODE;
        (void)move_cache_execute(cpu.move, &cpu, access_code_width(&s), DEVICE + (unsigned)rand() % 4096);
        s.rip = CODE;
        struct cr_access a;
        (void)decode_cr(&cpu, &a, &seen, &fault);
        port_at = 0;
        (void)emulate_string_io(&cpu, 0x1f0, 1, port_io, &seen, &fault);
    }
    loose = false;
}

#define T64(f) cmocka_unit_test_setup_teardown(f, setup64, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T64(moves),
        T64(arithmetic),
        T64(rare),
        T64(bits),
        T64(strings),
        T64(single_steps),
        T64(refused),
        T64(port_strings),
        T64(control_registers),
        T64(move_cache),
        T64(quick_crossing),
        T64(quick_code_moves),
        T64(segments),
        T64(stack),
        T64(vector_rights),
        T64(system_stores),
        T64(quick_lengths),
        T64(quick_registers),
        T64(any_bytes),
        cmocka_unit_test_setup_teardown(real_mode, setup32, teardown),
        cmocka_unit_test_setup_teardown(port_segments, setup32, teardown),
        cmocka_unit_test_setup_teardown(narrow_stack, setup32, teardown),
        cmocka_unit_test_setup_teardown(movdir64b_segments, setup32, teardown),
        cmocka_unit_test_setup_teardown(segment_loads, setup32, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
