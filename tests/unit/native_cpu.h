/* SPDX-License-Identifier: Apache-2.0 */
/* One instruction, run by the host's CPU and by the emulator, each with registers and a page of memory of its own.
 * For the tests that compare the two. Each includes it once, behind cmocka.h. */
#ifndef TESTS_UNIT_NATIVE_CPU_H
#define TESTS_UNIT_NATIVE_CPU_H

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "mullion/regs.h"
#include "vmm/insn/emulate.h"

#define DEVICE 0x10000000ull /* there the host has a page, and the guest a device with the same bytes */
#define RAM    (1u << 20)
#define CODE   0x1000u

/* run_native's bytes know the offsets. */
struct regs {
    uint64_t rax, rcx, rdx, rbx, rsi, rdi, flags;
};
#define NATIVE_FPU_BYTES 2816 /* x87, SSE, AVX and AVX-512, as Intel's and AMD's CPUs place them */
#define NATIVE_FPU_MASK  0xe7
struct native {
    struct regs regs;
    uint8_t fpu[NATIVE_FPU_BYTES] __attribute__((aligned(64)));  /* at 64: XSAVE's standard format */
    uint8_t host[NATIVE_FPU_BYTES] __attribute__((aligned(64))); /* at 0xb40: what was there before */
};

static uint8_t *ram, *host, device_bytes[4096];
static uint8_t *native_code;
static struct guest_memory memory;
static struct vcpu_state s;
static struct fpu_image *emulated_fpu;
static uint32_t xsave_offset[8];
static sigjmp_buf back;

static void device(void *context, uint64_t gpa, unsigned size, bool write, uint64_t *value)
{
    (void)context;
    assert_true(gpa >= DEVICE && gpa + size <= DEVICE + sizeof device_bytes);
    if (write)
        memcpy(device_bytes + (gpa - DEVICE), value, size);
    else
        memcpy(memset(value, 0, 8), device_bytes + (gpa - DEVICE), size);
}

static struct fpu_image *image_of(void *context)
{
    (void)context;
    return emulated_fpu;
}

static void on_signal(int number)
{
    siglongjmp(back, number);
}

static uint8_t *append(uint8_t *to, const uint8_t *bytes, size_t n)
{
    return (uint8_t *)memcpy(to, bytes, n) + n;
}

__attribute__((target("xsave"))) static void restore_host(const struct native *n)
{
    __builtin_ia32_xrstor64((void *)(uintptr_t)n->host, NATIVE_FPU_MASK);
}

/* 0, or the signal that the instruction came to. `fpu`: NATIVE_FPU_BYTES in and out; NULL: the host's own stay. */
static int run_native(const uint8_t *insn, size_t n, struct regs *r, uint8_t *fpu)
{
    static const uint8_t enter[] = {0x41, 0x57, 0x53, 0x55, 0x49, 0x89, 0xff}; /* push r15, rbx, rbp; mov r15, rdi */
    static const uint8_t load_fpu[] = {
        0xb8, 0xe7, 0,    0,    0,    0x31, 0xd2,    /* mov eax, 0xe7; xor edx, edx */
        0x49, 0x0f, 0xae, 0xa7, 0x40, 0x0b, 0,    0, /* xsave64 [r15+0xb40] */
        0x49, 0x0f, 0xae, 0xaf, 0x40, 0,    0,    0, /* xrstor64 [r15+0x40] */
    };
    static const uint8_t load[] = {
        0x41, 0xff, 0x77, 0x30, 0x9d, /* push [r15+48]; popf */
        0x49, 0x8b, 0x07, 0x49, 0x8b, 0x4f, 0x08, 0x49, 0x8b, 0x57, 0x10, 0x49,
        0x8b, 0x5f, 0x18, 0x49, 0x8b, 0x77, 0x20, 0x49, 0x8b, 0x7f, 0x28,
    };
    static const uint8_t save[] = {
        0x9c, 0x41, 0x8f, 0x47, 0x30, 0xfc, /* pushf; pop [r15+48]; cld */
        0x49, 0x89, 0x07, 0x49, 0x89, 0x4f, 0x08, 0x49, 0x89, 0x57, 0x10, 0x49,
        0x89, 0x5f, 0x18, 0x49, 0x89, 0x77, 0x20, 0x49, 0x89, 0x7f, 0x28,
    };
    static const uint8_t save_fpu[] = {
        0xb8, 0xe7, 0,    0,    0,    0x31, 0xd2, 0x49, 0x0f, 0xae, 0xa7, 0x40, 0, 0, 0, /* xsave64 [r15+0x40] */
        0x49, 0x0f, 0xae, 0xaf, 0x40, 0x0b, 0,    0,                                     /* xrstor64 [r15+0xb40] */
    };
    static const uint8_t leave[] = {0x5d, 0x5b, 0x41, 0x5f, 0xc3};
    static struct native state;
    uint8_t *p = append(native_code, enter, sizeof enter);
    if (fpu != NULL)
        p = append(p, load_fpu, sizeof load_fpu);
    p = append(p, load, sizeof load);
    p = append(p, insn, n);
    p = append(p, save, sizeof save);
    if (fpu != NULL)
        p = append(p, save_fpu, sizeof save_fpu);
    append(p, leave, sizeof leave);
    state.regs = *r;
    memset(state.host, 0, sizeof state.host);
    if (fpu != NULL)
        memcpy(state.fpu, fpu, sizeof state.fpu);
    int number = sigsetjmp(back, 0);
    if (number != 0) {
        if (fpu != NULL)
            restore_host(&state);
        return number;
    }
    ((void (*)(struct native *))(void *)native_code)(&state);
    *r = state.regs;
    if (fpu != NULL)
        memcpy(fpu, state.fpu, sizeof state.fpu);
    return 0;
}

static enum verdict run_emulated(const uint8_t *insn, size_t n, struct regs *r, struct fpu_image *fpu,
                                 struct guest_fault *fault)
{
    struct instruction_bytes seen = {.count = 0};
    const struct guest_cpu c = {
        .state = &s, .memory = &memory, .device = device, .fpu = image_of, .xsave_offset = xsave_offset};
    emulated_fpu = fpu;
    memset(&s, 0, sizeof s);
    s.cr0 = CR0_PE | CR0_PG;
    s.cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXSAVE;
    s.xcr0 = XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512;
    s.efer = EFER_LME | EFER_LMA;
    s.cr3 = 0x20000;
    for (unsigned i = 0; i < SEG_LDTR; i++)
        s.seg[i] = (struct segment){.attr = i == SEG_CS ? 0xa09b : 0xc093, .limit = ~0u};
    s.rip = CODE;
    memset(ram + CODE, 0x90, 32);
    memcpy(ram + CODE, insn, n);
    uint64_t *const at[] = {&s.gpr[GPR_RAX], &s.gpr[GPR_RCX], &s.gpr[GPR_RDX], &s.gpr[GPR_RBX],
                            &s.gpr[GPR_RSI], &s.gpr[GPR_RDI], &s.rflags};
    uint64_t *const of[] = {&r->rax, &r->rcx, &r->rdx, &r->rbx, &r->rsi, &r->rdi, &r->flags};
    for (unsigned i = 0; i < sizeof at / sizeof at[0]; i++)
        *at[i] = *of[i];
    enum verdict v = emulate_memory(&c, &seen, fault);
    for (unsigned i = 0; i < sizeof at / sizeof at[0]; i++)
        *of[i] = *at[i];
    return v;
}

/* A random number, often one at some border. */
static uint64_t number(void)
{
    static uint64_t x = 88172645463325252ull;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    switch (x & 15) {
    case 0: return 0;
    case 1: return ~0ull;
    case 2: return 1ull << 63;
    case 3: return 0x80;
    case 4: return 0x8000;
    case 5: return 0x80000000u;
    case 6: return x >> 56;
    case 7: return ~0ull >> 1;
    case 8: return 1;
    default: return x * 0x2545f4914f6cdd1dull;
    }
}

/* In each test anew: cmocka puts handlers of its own around it. */
static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_NODEFER};
    assert_int_equal(sigaction(SIGFPE, &action, NULL) | sigaction(SIGSEGV, &action, NULL), 0);
}

static int setup(void **unused)
{
    (void)unused;
    native_code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    host = mmap((void *)DEVICE, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (native_code == MAP_FAILED || host != (void *)DEVICE)
        return 1;
    ram = aligned_alloc(4096, RAM);
    memset(ram, 0, RAM);
    uint64_t *tables = (uint64_t *)(void *)(ram + 0x20000);
    tables[0] = 0x21000 | 7;
    tables[512] = 0x22000 | 7;
    for (unsigned i = 0; i < 512; i++)
        tables[1024 + i] = (uint64_t)i << 21 | 0x87;
    return guest_memory_add(&memory, 0, RAM, ram) != OK;
}

static int teardown(void **unused)
{
    (void)unused;
    free(ram);
    return 0;
}

#endif
