// SPDX-License-Identifier: Apache-2.0
/* Moves of the x87, MMX, SSE, AVX and AVX-512 registers, with random contents: run by the emulator and by the host's
 * CPU. Registers, memory, the status and control words and faults must be the same. Forms that the host's CPU lacks are
 * left out. */
// sources: @insn
// libs: -lZydis -D_GNU_SOURCE
#include <cpuid.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>
#include "native_cpu.h"

#define ROUNDS    120
#define CONTROL   0
#define STATUS    2
#define TAGS      4
#define MXCSR     24
#define STACK     32
#define XMM       160
#define XSTATE_BV 512
#define CONDITION 0x4500 /* C0, C2, C3: undefined behind what is done here */

static struct fpu_image image;
static uint8_t native_fpu[NATIVE_FPU_BYTES];
static uint32_t avx; /* offset of the upper halves; 0: no AVX */
static bool avx512;
static const struct {
    unsigned component, size;
} more[] = {{6, 512}, {7, 1024}}; /* upper halves of ZMM0 to 15; ZMM16 to 31 */

/* A number in a register, of any class; often one that a narrower format just cannot hold. */
static void random_real(uint8_t *at)
{
    static const uint16_t exponents[] = {0,           1,      0x7fff, 0x7ffe, 0x3fff, 0x3fff + 63, 0x3fff + 31,
                                         0x3fff + 15, 0x3c01, 0x3c00, 0x3bcd, 0x3bcc, 0x43fe,      0x43ff,
                                         0x3f81,      0x3f80, 0x3f6a, 0x3f69, 0x407e, 0x407f};
    uint64_t fraction = number() | (number() & 7 ? 1ull << 63 : 0);
    uint16_t exponent = number() & 1 ? exponents[number() % 20] : (uint16_t)(0x3fff - 20 + number() % 90);
    if (number() % 4 == 0) /* all ones down to some bit: rounding carries */
        fraction = ~0ull << (number() % 64);
    exponent = (uint16_t)(exponent | (number() & 0x8000));
    memcpy(at, &fraction, 8);
    memcpy(at + 8, &exponent, 2);
}

static void random_fpu(unsigned masks)
{
    uint16_t control = (uint16_t)((number() & 0xf00) | 0x40 | masks);
    uint16_t status = (uint16_t)((number() & 0x7f00) | (number() & masks & 0x3f));
    uint32_t mxcsr = 0x1f80 | (number() & 0x6000);
    uint64_t present = number() & 3 ? 7 : number() & 7; /* components */
    memset(&image, 0, sizeof image);
    memcpy(image.legacy + CONTROL, &control, 2);
    memcpy(image.legacy + STATUS, &status, 2);
    image.legacy[TAGS] = (uint8_t)number();
    memcpy(image.legacy + MXCSR, &mxcsr, 4);
    for (unsigned i = 0; i < 8; i++)
        random_real(image.legacy + STACK + 16 * i);
    for (unsigned i = 0; i < 256; i++)
        image.legacy[XMM + i] = (uint8_t)(number() >> 3);
    image.xstate_bv = avx ? present : present & 3;
    for (unsigned k = 0; k < 2 && avx512; k++) {
        image.xstate_bv |= (number() & 1) << more[k].component;
        for (unsigned i = 0; i < more[k].size; i++)
            ((uint8_t *)&image)[xsave_offset[more[k].component] + i] = (uint8_t)(number() >> 3);
    }
    for (unsigned i = 0; i < 256 && avx; i++)
        ((uint8_t *)&image)[avx + i] = (uint8_t)(number() >> 3);
    memcpy(native_fpu, &image, sizeof native_fpu);
}

/* What a component that is not there stands for. */
static void write_out(struct fpu_image *f)
{
    static const uint16_t control = 0x37f;
    if (!(f->xstate_bv & 1)) {
        memset(f->legacy, 0, MXCSR);
        memset(f->legacy + STACK, 0, 128);
        memcpy(f->legacy + CONTROL, &control, 2);
    }
    if (!(f->xstate_bv & 2))
        memset(f->legacy + XMM, 0, 256);
    if (avx && !(f->xstate_bv & 4))
        memset((uint8_t *)f + avx, 0, 256);
    for (unsigned k = 0; k < 2 && avx512; k++)
        if (!(f->xstate_bv >> more[k].component & 1))
            memset((uint8_t *)f + xsave_offset[more[k].component], 0, more[k].size);
}

static const char *difference(const struct fpu_image *a, const struct fpu_image *b)
{
    uint16_t status = (uint16_t)((a->legacy[STATUS] ^ b->legacy[STATUS]) |
                                 (a->legacy[STATUS + 1] ^ b->legacy[STATUS + 1]) << 8);
    if (memcmp(a->legacy, b->legacy, 2) != 0)
        return "control word";
    if (status & ~CONDITION)
        return "status word";
    if (a->legacy[TAGS] != b->legacy[TAGS])
        return "tags";
    if (memcmp(a->legacy + MXCSR, b->legacy + MXCSR, 4) != 0)
        return "mxcsr";
    for (unsigned i = 0; i < 8; i++)
        if (memcmp(a->legacy + STACK + 16 * i, b->legacy + STACK + 16 * i, 10) != 0)
            return "stack";
    if (memcmp(a->legacy + XMM, b->legacy + XMM, 256) != 0)
        return "xmm";
    for (unsigned k = 0; k < 2 && avx512; k++) {
        uint32_t at = xsave_offset[more[k].component];
        if (memcmp((const uint8_t *)a + at, (const uint8_t *)b + at, more[k].size) != 0)
            return "zmm";
    }
    return avx && memcmp((const uint8_t *)a + avx, (const uint8_t *)b + avx, 256) != 0 ? "ymm" : NULL;
}

static void dump(const char *title, const struct fpu_image *f)
{
    fprintf(stderr, "%s: control %02x%02x status %02x%02x tags %02x st0 ", title, f->legacy[1], f->legacy[0],
            f->legacy[3], f->legacy[2], f->legacy[TAGS]);
    for (unsigned i = 10; i-- > 0;)
        fprintf(stderr, "%02x", f->legacy[STACK + i]);
    fputc('\n', stderr);
}

static unsigned compared, faulted;

static void compare(const char *name, const uint8_t *insn, size_t n, uint64_t rdi)
{
    struct regs native = {.rdi = rdi, .flags = 0x202}, emulated = native;
    struct guest_fault fault = {.vector = 255};
    struct fpu_image before = image, after = {0};
    enum verdict v = run_emulated(insn, n, &emulated, &image, &fault);
    int signal = run_native(insn, n, &native, native_fpu);
    const char *wrong = NULL;
    if (signal != 0) {
        wrong = v == VERDICT_FAULT && fault.vector == 13 && s.rip == CODE && !(s.dirty & GROUP_FPU) ? NULL : "no fault";
        faulted++;
    } else if (v != VERDICT_DONE || s.rip != CODE + n) {
        wrong = "not done";
    } else {
        memcpy(&after, native_fpu, sizeof native_fpu);
        after.xstate_bv = NATIVE_FPU_MASK;
        if (!(s.dirty & GROUP_FPU)) /* then it must not have changed */
            image = before;
        write_out(&image);
        wrong = difference(&after, &image);
        compared++;
    }
    if (wrong == NULL && memcmp(host, device_bytes, 4096) != 0)
        wrong = "memory";
    if (wrong == NULL)
        return;
    fprintf(stderr, "%s:", name);
    for (size_t i = 0; i < n; i++)
        fprintf(stderr, " %02x", insn[i]);
    fprintf(stderr, ": %s; verdict %d, signal %d, mem native %016lx %016lx here %016lx %016lx\n", wrong, v, signal,
            *(uint64_t *)(void *)(host + 1024), *(uint64_t *)(void *)(host + 1032),
            *(uint64_t *)(void *)(device_bytes + 1024), *(uint64_t *)(void *)(device_bytes + 1032));
    dump("start ", &before);
    dump("native", &after);
    dump("here  ", &image);
    fail_msg("the emulator differs from this CPU");
}

static void fill(void)
{
    for (unsigned i = 0; i < 4096; i += 8) {
        uint64_t value = number();
        memcpy(host + i, &value, 8);
    }
    memcpy(device_bytes, host, 4096);
}

/* --- x87 --- */

struct x87_form {
    const char *name;
    uint8_t code, extension;
    uint8_t bytes; /* a number of that many is loaded; 0: anything */
};
static const struct x87_form x87_forms[] = {
    {"fld m32", 0xd9, 0, 4},    {"fld m64", 0xdd, 0, 8},    {"fld m80", 0xdb, 5, 10},   {"fild m16", 0xdf, 0, 0},
    {"fild m32", 0xdb, 0, 0},   {"fild m64", 0xdf, 5, 0},   {"fst m32", 0xd9, 2, 0},    {"fst m64", 0xdd, 2, 0},
    {"fstp m32", 0xd9, 3, 0},   {"fstp m64", 0xdd, 3, 0},   {"fstp m80", 0xdb, 7, 0},   {"fist m16", 0xdf, 2, 0},
    {"fist m32", 0xdb, 2, 0},   {"fistp m16", 0xdf, 3, 0},  {"fistp m32", 0xdb, 3, 0},  {"fistp m64", 0xdf, 7, 0},
    {"fisttp m16", 0xdf, 1, 0}, {"fisttp m32", 0xdb, 1, 0}, {"fisttp m64", 0xdd, 1, 0}, {"fldcw", 0xd9, 5, 0},
    {"fnstcw", 0xd9, 7, 0},     {"fnstsw", 0xdd, 7, 0},
};

/* One that is not a normal number, as often as not. */
static void random_float(uint8_t *at, unsigned bytes)
{
    unsigned fraction = bytes == 4 ? 23 : 52, most = bytes == 4 ? 0xff : 0x7ff;
    uint64_t exponent = number() & 1 ? number() & most : (number() & 1 ? most : 0);
    uint64_t bits = (number() & ((1ull << fraction) - 1)) | exponent << fraction;
    if (number() & 1)
        bits |= 1ull << (bytes == 4 ? 31 : 63);
    if (bytes == 10)
        random_real(at);
    else
        memcpy(at, &bits, bytes);
}

static void x87(void **unused)
{
    (void)unused;
    catch_signals();
    for (unsigned i = 0; i < sizeof x87_forms / sizeof x87_forms[0]; i++)
        for (unsigned round = 0; round < 5 * ROUNDS; round++) {
            const struct x87_form *f = &x87_forms[i];
            fill();
            random_fpu(round & 1 ? 0x3f : (unsigned)number() & 0x3f);
            if (round & 2) /* no stack fault */
                image.legacy[TAGS] = native_fpu[TAGS] = f->bytes || f->code == 0xdf || f->extension == 0 ? 0 : 0xff;
            if (f->bytes) {
                random_float(host + 1024, f->bytes);
                memcpy(device_bytes, host, 4096);
            }
            compare(f->name, (const uint8_t[]){f->code, (uint8_t)(f->extension << 3 | 7)}, 2, DEVICE + 1024);
        }
}

/* --- MMX, SSE, AVX --- */

struct vector_form {
    const char *name, *feature;
    uint8_t prefix, map, opcode; /* prefix: 0, 66, F3, F2; map: 1 is 0F, 2 is 0F 38 */
    uint8_t how;
};
enum {
    VEX = 1,    /* there is a form by VEX as well */
    VEX256 = 2, /* and one with 32 bytes */
    ONLY_VEX = 4,
    THREE = 8, /* VEX's names another register */
    WIDE = 16, /* REX.W */
};
static const struct vector_form vector_forms[] = {
    {"movd mm load", "mmx", 0, 1, 0x6e, 0},
    {"movd mm store", "mmx", 0, 1, 0x7e, 0},
    {"movq mm load", "mmx", 0, 1, 0x6f, 0},
    {"movq mm store", "mmx", 0, 1, 0x7f, 0},
    {"movq mm load", "mmx", 0, 1, 0x6e, WIDE},
    {"movntq", "sse", 0, 1, 0xe7, 0},
    {"movd load", "sse2", 0x66, 1, 0x6e, VEX},
    {"movd store", "sse2", 0x66, 1, 0x7e, VEX},
    {"movq load", "sse2", 0x66, 1, 0x6e, VEX | WIDE},
    {"movq store", "sse2", 0x66, 1, 0x7e, VEX | WIDE},
    {"movq load", "sse2", 0xf3, 1, 0x7e, VEX},
    {"movq store", "sse2", 0x66, 1, 0xd6, VEX},
    {"movups load", "sse", 0, 1, 0x10, VEX | VEX256},
    {"movups store", "sse", 0, 1, 0x11, VEX | VEX256},
    {"movupd load", "sse2", 0x66, 1, 0x10, VEX | VEX256},
    {"movupd store", "sse2", 0x66, 1, 0x11, VEX | VEX256},
    {"movss load", "sse", 0xf3, 1, 0x10, VEX},
    {"movss store", "sse", 0xf3, 1, 0x11, VEX},
    {"movsd load", "sse2", 0xf2, 1, 0x10, VEX},
    {"movsd store", "sse2", 0xf2, 1, 0x11, VEX},
    {"movaps load", "sse", 0, 1, 0x28, VEX | VEX256},
    {"movaps store", "sse", 0, 1, 0x29, VEX | VEX256},
    {"movapd load", "sse2", 0x66, 1, 0x28, VEX | VEX256},
    {"movapd store", "sse2", 0x66, 1, 0x29, VEX | VEX256},
    {"movdqa load", "sse2", 0x66, 1, 0x6f, VEX | VEX256},
    {"movdqa store", "sse2", 0x66, 1, 0x7f, VEX | VEX256},
    {"movdqu load", "sse2", 0xf3, 1, 0x6f, VEX | VEX256},
    {"movdqu store", "sse2", 0xf3, 1, 0x7f, VEX | VEX256},
    {"lddqu", "sse3", 0xf2, 1, 0xf0, VEX | VEX256},
    {"movntps", "sse", 0, 1, 0x2b, VEX | VEX256},
    {"movntpd", "sse2", 0x66, 1, 0x2b, VEX | VEX256},
    {"movntdq", "sse2", 0x66, 1, 0xe7, VEX | VEX256},
    {"movntdqa", "sse4.1", 0x66, 2, 0x2a, VEX},
    {"vmovntdqa", "avx2", 0x66, 2, 0x2a, ONLY_VEX | VEX256},
    {"movlps load", "sse", 0, 1, 0x12, VEX | THREE},
    {"movlps store", "sse", 0, 1, 0x13, VEX},
    {"movlpd load", "sse2", 0x66, 1, 0x12, VEX | THREE},
    {"movlpd store", "sse2", 0x66, 1, 0x13, VEX},
    {"movhps load", "sse", 0, 1, 0x16, VEX | THREE},
    {"movhps store", "sse", 0, 1, 0x17, VEX},
    {"movhpd load", "sse2", 0x66, 1, 0x16, VEX | THREE},
    {"movhpd store", "sse2", 0x66, 1, 0x17, VEX},
    {"movddup", "sse3", 0xf2, 1, 0x12, VEX},
    {"vbroadcastss", "avx", 0x66, 2, 0x18, ONLY_VEX | VEX | VEX256},
    {"vbroadcastsd", "avx", 0x66, 2, 0x19, ONLY_VEX | VEX256},
    {"vbroadcastf128", "avx", 0x66, 2, 0x1a, ONLY_VEX | VEX256},
    {"vbroadcasti128", "avx2", 0x66, 2, 0x5a, ONLY_VEX | VEX256},
    {"vpbroadcastb", "avx2", 0x66, 2, 0x78, ONLY_VEX | VEX | VEX256},
    {"vpbroadcastw", "avx2", 0x66, 2, 0x79, ONLY_VEX | VEX | VEX256},
    {"vpbroadcastd", "avx2", 0x66, 2, 0x58, ONLY_VEX | VEX | VEX256},
    {"vpbroadcastq", "avx2", 0x66, 2, 0x59, ONLY_VEX | VEX | VEX256},
};

/* By EVEX, without a mask: registers 0 to 31 of 16, 32 and 64 bytes. */
static const struct vector_form evex_forms[] = {
    {"vmovdqu8 load", "", 0xf2, 1, 0x6f, 0},
    {"vmovdqu8 store", "", 0xf2, 1, 0x7f, 0},
    {"vmovdqu16 load", "", 0xf2, 1, 0x6f, WIDE},
    {"vmovdqu16 store", "", 0xf2, 1, 0x7f, WIDE},
    {"vmovdqu32 load", "", 0xf3, 1, 0x6f, 0},
    {"vmovdqu32 store", "", 0xf3, 1, 0x7f, 0},
    {"vmovdqu64 load", "", 0xf3, 1, 0x6f, WIDE},
    {"vmovdqu64 store", "", 0xf3, 1, 0x7f, WIDE},
    {"vmovdqa32 load", "", 0x66, 1, 0x6f, 0},
    {"vmovdqa32 store", "", 0x66, 1, 0x7f, 0},
    {"vmovdqa64 load", "", 0x66, 1, 0x6f, WIDE},
    {"vmovdqa64 store", "", 0x66, 1, 0x7f, WIDE},
    {"vmovups load", "", 0, 1, 0x10, 0},
    {"vmovups store", "", 0, 1, 0x11, 0},
    {"vmovupd load", "", 0x66, 1, 0x10, WIDE},
    {"vmovupd store", "", 0x66, 1, 0x11, WIDE},
    {"vmovaps load", "", 0, 1, 0x28, 0},
    {"vmovaps store", "", 0, 1, 0x29, 0},
    {"vmovapd load", "", 0x66, 1, 0x28, WIDE},
    {"vmovapd store", "", 0x66, 1, 0x29, WIDE},
    {"vmovntps", "", 0, 1, 0x2b, 0},
    {"vmovntpd", "", 0x66, 1, 0x2b, WIDE},
    {"vmovntdq", "", 0x66, 1, 0xe7, 0},
    {"vmovntdqa", "", 0x66, 2, 0x2a, 0},
};

static bool has(const char *feature)
{
    __builtin_cpu_init();
    if (strcmp(feature, "avx") == 0)
        return avx != 0;
    if (strcmp(feature, "avx2") == 0)
        return avx != 0 && __builtin_cpu_supports("avx2");
    return strcmp(feature, "sse4.1") != 0 || __builtin_cpu_supports("sse4.1");
}

static size_t legacy_bytes(const struct vector_form *f, unsigned reg, uint8_t *insn)
{
    size_t n = 0;
    if (f->prefix)
        insn[n++] = f->prefix;
    if (f->how & WIDE)
        insn[n++] = 0x48;
    insn[n++] = 0x0f;
    if (f->map == 2)
        insn[n++] = 0x38;
    insn[n++] = f->opcode;
    insn[n++] = (uint8_t)(reg << 3 | 7);
    return n;
}

static unsigned pp_of(const struct vector_form *f)
{
    static const uint8_t prefixes[4] = {0, 0x66, 0xf3, 0xf2};
    unsigned pp = 0;
    while (prefixes[pp] != f->prefix)
        pp++;
    return pp;
}

static size_t evex_bytes(const struct vector_form *f, unsigned reg, unsigned length, uint8_t *insn)
{
    insn[0] = 0x62;
    insn[1] = (uint8_t)((~reg >> 3 & 1) << 7 | 0x60 | (~reg >> 4 & 1) << 4 | f->map);
    insn[2] = (uint8_t)((f->how & WIDE ? 0x80 : 0) | 0x7c | pp_of(f));
    insn[3] = (uint8_t)(length << 5 | 8);
    insn[4] = f->opcode;
    insn[5] = (uint8_t)((reg & 7) << 3 | 7);
    return 6;
}

static size_t vex_bytes(const struct vector_form *f, unsigned reg, bool wide, uint8_t *insn)
{
    unsigned other = f->how & THREE ? (unsigned)number() & 15 : 0;
    insn[0] = 0xc4;
    insn[1] = (uint8_t)((reg < 8 ? 0xe0 : 0x60) | f->map);
    insn[2] = (uint8_t)((f->how & WIDE ? 0x80 : 0) | (~other & 15) << 3 | (wide ? 4 : 0) | pp_of(f));
    insn[3] = f->opcode;
    insn[4] = (uint8_t)((reg & 7) << 3 | 7);
    return 5;
}

static void vectors(void **unused)
{
    (void)unused;
    catch_signals();
    for (unsigned i = 0; i < sizeof vector_forms / sizeof vector_forms[0]; i++)
        for (unsigned encoding = 0; encoding < 3; encoding++) { /* legacy, VEX, VEX with 32 bytes */
            const struct vector_form *f = &vector_forms[i];
            bool there = encoding == 0 ? !(f->how & ONLY_VEX) : avx && (f->how & (encoding == 1 ? VEX : VEX256));
            for (unsigned round = 0; round < ROUNDS && there && has(f->feature); round++) {
                uint8_t insn[8];
                size_t n = encoding == 0 ? legacy_bytes(f, round & 7, insn)
                                         : vex_bytes(f, round & 15, encoding == 2, insn);
                fill();
                random_fpu(0x3f);
                compare(f->name, insn, n, DEVICE + 1024 + (round % 5 == 0 ? round / 5 : 0));
            }
        }
    assert_in_range(compared, 5000, 1000000);
    assert_in_range(faulted, 200, 1000000); /* what is not aligned */
}

static void wide_vectors(void **unused)
{
    (void)unused;
    catch_signals();
    for (unsigned i = 0; i < sizeof evex_forms / sizeof evex_forms[0] && avx512; i++)
        for (unsigned round = 0; round < 2 * ROUNDS; round++) {
            uint8_t insn[8];
            size_t n = evex_bytes(&evex_forms[i], round & 31, round >> 5 & 3 ? (round >> 5 & 3) - 1 : 2, insn);
            fill();
            random_fpu(0x3f);
            compare(evex_forms[i].name, insn, n, DEVICE + 1024 + (round % 5 == 0 ? round / 5 : 0));
        }
}

/* MXCSR: a reserved bit faults. */
static void mxcsr(void **unused)
{
    (void)unused;
    catch_signals();
    for (unsigned round = 0; round < 2 * ROUNDS; round++) {
        uint32_t value = 0x1f80u | ((uint32_t)number() & (round & 1 ? 0xffffu : ~0u));
        fill();
        random_fpu(0x3f);
        image.legacy[28] = native_fpu[28] = 0xff; /* the mask, as FXSAVE tells it */
        memcpy(image.legacy + 28, &(uint32_t){0x2ffff}, 4);
        memcpy(host + 1024, &value, 4);
        memcpy(device_bytes, host, 4096);
        if (value & 0x20000) /* AMD's alone */
            continue;
        compare("ldmxcsr", (const uint8_t[]){0x0f, 0xae, 0x17}, 3, DEVICE + 1024);
        fill();
        random_fpu(0x3f);
        compare("stmxcsr", (const uint8_t[]){0x0f, 0xae, 0x1f}, 3, DEVICE + 1024);
    }
}

static int find_avx(void **unused)
{
    unsigned a, b, c = 0, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c >> 27 & 1))
        return 1; /* OSXSAVE: each host of today has it */
    if (__builtin_cpu_supports("avx") && __get_cpuid_count(0xd, 2, &a, &b, &c, &d))
        xsave_offset[2] = avx = b;
    /* its parts for 16 and 32 bytes and for bytes and words are all there, and XCR0 has them */
    avx512 = __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
    for (unsigned k = 0; k < 2 && avx512; k++) {
        if (!__get_cpuid_count(0xd, more[k].component, &a, &b, &c, &d) || b + more[k].size > NATIVE_FPU_BYTES)
            return 1;
        xsave_offset[more[k].component] = b;
    }
    return setup(unused);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(x87),
        cmocka_unit_test(vectors),
        cmocka_unit_test(wide_vectors),
        cmocka_unit_test(mxcsr),
    };
    return cmocka_run_group_tests(tests, find_avx, teardown);
}
