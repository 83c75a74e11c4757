// SPDX-License-Identifier: Apache-2.0
/* Every form of the integer instructions that the emulator knows, with random operands: the same bytes run by the
 * host's CPU. Registers, flags, memory, rip and faults must be the same. What the manual calls undefined is left out,
 * and forms that the host's CPU lacks. */
// sources: @insn
// libs: -lZydis -D_GNU_SOURCE
#include <cpuid.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "native_cpu.h"
#include "vmm/insn/flags.h"

#define ROUNDS 96

/* The forms */

enum {
    W = 1,       /* with operand sizes 16, 32 and 64; else what the bytes say */
    D = 2,       /* 32 and 64 */
    M = 4,       /* no modrm */
    REG = 8,     /* modrm's reg names rax, rcx, rdx or rbx */
    LOCK = 16,   /* with and without */
    NEAR = 32,   /* rax..rbx hold bit numbers that stay in the page */
    FEW = 64,    /* rcx holds at most 7: repeated */
    COUNT = 128, /* an immediate byte and cl are at most 16: more is undefined for 16 bits */
    FITS = 256,  /* rdx:rax often is a dividend that fits */
};
#define SZAP (FLAG_SF | FLAG_ZF | FLAG_AF | FLAG_PF)

struct form {
    const char *name;
    const char *feature; /* what the host's CPU must have; NULL: nothing */
    uint8_t prefix;      /* before REX: F2, F3; 0: none */
    uint8_t count, code[3];
    int8_t extension;  /* modrm's reg, unless REG */
    uint8_t immediate; /* bytes; 4: as the operand size has it */
    uint16_t how;
    uint64_t undefined; /* flags */
};

static const struct form forms[] = {
#define ALU(name, op, undefined)                                                                                    \
    {name, NULL, 0, 1, {op}, 0, 0, REG | LOCK, undefined},                                                          \
        {name, NULL, 0, 1, {op + 1}, 0, 0, W | REG | LOCK, undefined},                                              \
        {name, NULL, 0, 1, {op + 2}, 0, 0, REG, undefined}, {name, NULL, 0, 1, {op + 3}, 0, 0, W | REG, undefined}, \
        {name, NULL, 0, 1, {0x80}, op >> 3, 1, LOCK, undefined},                                                    \
        {name, NULL, 0, 1, {0x81}, op >> 3, 4, W | LOCK, undefined},                                                \
    {                                                                                                               \
        name, NULL, 0, 1, {0x83}, op >> 3, 1, W | LOCK, undefined                                                   \
    }
    ALU("add", 0x00, 0),
    ALU("or", 0x08, FLAG_AF),
    ALU("adc", 0x10, 0),
    ALU("sbb", 0x18, 0),
    ALU("and", 0x20, FLAG_AF),
    ALU("sub", 0x28, 0),
    ALU("xor", 0x30, FLAG_AF),
    ALU("cmp", 0x38, 0),
    {"test", NULL, 0, 1, {0x84}, 0, 0, REG, FLAG_AF},
    {"test", NULL, 0, 1, {0x85}, 0, 0, W | REG, FLAG_AF},
    {"test", NULL, 0, 1, {0xf6}, 0, 1, 0, FLAG_AF},
    {"test", NULL, 0, 1, {0xf7}, 0, 4, W, FLAG_AF},
    {"xchg", NULL, 0, 1, {0x86}, 0, 0, REG | LOCK, 0},
    {"xchg", NULL, 0, 1, {0x87}, 0, 0, W | REG | LOCK, 0},
    {"mov", NULL, 0, 1, {0x88}, 0, 0, REG, 0},
    {"mov", NULL, 0, 1, {0x89}, 0, 0, W | REG, 0},
    {"mov", NULL, 0, 1, {0x8a}, 0, 0, REG, 0},
    {"mov", NULL, 0, 1, {0x8b}, 0, 0, W | REG, 0},
    {"mov", NULL, 0, 1, {0xc6}, 0, 1, 0, 0},
    {"mov", NULL, 0, 1, {0xc7}, 0, 4, W, 0},
    {"movsxd", NULL, 0, 1, {0x63}, 0, 0, W | REG, 0},
    {"not", NULL, 0, 1, {0xf6}, 2, 0, LOCK, 0},
    {"not", NULL, 0, 1, {0xf7}, 2, 0, W | LOCK, 0},
    {"neg", NULL, 0, 1, {0xf6}, 3, 0, LOCK, 0},
    {"neg", NULL, 0, 1, {0xf7}, 3, 0, W | LOCK, 0},
    {"inc", NULL, 0, 1, {0xfe}, 0, 0, LOCK, 0},
    {"inc", NULL, 0, 1, {0xff}, 0, 0, W | LOCK, 0},
    {"dec", NULL, 0, 1, {0xfe}, 1, 0, LOCK, 0},
    {"dec", NULL, 0, 1, {0xff}, 1, 0, W | LOCK, 0},
    {"mul", NULL, 0, 1, {0xf6}, 4, 0, 0, SZAP},
    {"mul", NULL, 0, 1, {0xf7}, 4, 0, W, SZAP},
    {"imul", NULL, 0, 1, {0xf6}, 5, 0, 0, SZAP},
    {"imul", NULL, 0, 1, {0xf7}, 5, 0, W, SZAP},
    {"imul", NULL, 0, 1, {0x69}, 0, 4, W | REG, SZAP},
    {"imul", NULL, 0, 1, {0x6b}, 0, 1, W | REG, SZAP},
    {"imul", NULL, 0, 2, {0x0f, 0xaf}, 0, 0, W | REG, SZAP},
    {"div", NULL, 0, 1, {0xf6}, 6, 0, FITS, FLAGS_ARITHMETIC},
    {"div", NULL, 0, 1, {0xf7}, 6, 0, W | FITS, FLAGS_ARITHMETIC},
    {"idiv", NULL, 0, 1, {0xf6}, 7, 0, FITS, FLAGS_ARITHMETIC},
    {"idiv", NULL, 0, 1, {0xf7}, 7, 0, W | FITS, FLAGS_ARITHMETIC},
#define SHIFT(name, ext, always, many)                                                                \
    {name, NULL, 0, 1, {0xd0}, ext, 0, 0, always}, {name, NULL, 0, 1, {0xd1}, ext, 0, W, always},     \
        {name, NULL, 0, 1, {0xd2}, ext, 0, COUNT, many}, {name, NULL, 0, 1, {0xd3}, ext, 0, W, many}, \
        {name, NULL, 0, 1, {0xc0}, ext, 1, COUNT, many},                                              \
    {                                                                                                 \
        name, NULL, 0, 1, {0xc1}, ext, 1, W, many                                                     \
    }
    SHIFT("rol", 0, 0, FLAG_OF),
    SHIFT("ror", 1, 0, FLAG_OF),
    SHIFT("rcl", 2, 0, FLAG_OF),
    SHIFT("rcr", 3, 0, FLAG_OF),
    SHIFT("shl", 4, FLAG_AF, FLAG_AF | FLAG_OF | FLAG_CF),
    SHIFT("shr", 5, FLAG_AF, FLAG_AF | FLAG_OF | FLAG_CF),
    SHIFT("sar", 7, FLAG_AF, FLAG_AF | FLAG_OF | FLAG_CF),
    {"shld", NULL, 0, 2, {0x0f, 0xa4}, 0, 1, W | REG | COUNT, FLAG_AF | FLAG_OF},
    {"shld", NULL, 0, 2, {0x0f, 0xa5}, 0, 0, W | REG | COUNT, FLAG_AF | FLAG_OF},
    {"shrd", NULL, 0, 2, {0x0f, 0xac}, 0, 1, W | REG | COUNT, FLAG_AF | FLAG_OF},
    {"shrd", NULL, 0, 2, {0x0f, 0xad}, 0, 0, W | REG | COUNT, FLAG_AF | FLAG_OF},
#define BITS(name, op, ext)                                                                   \
    {name, NULL, 0, 2, {0x0f, op}, 0, 0, W | REG | NEAR | (ext != 4) * LOCK, SZAP | FLAG_OF}, \
    {                                                                                         \
        name, NULL, 0, 2, {0x0f, 0xba}, ext, 1, W | (ext != 4) * LOCK, SZAP | FLAG_OF         \
    }
    BITS("bt", 0xa3, 4),
    BITS("bts", 0xab, 5),
    BITS("btr", 0xb3, 6),
    BITS("btc", 0xbb, 7),
    {"xadd", NULL, 0, 2, {0x0f, 0xc0}, 0, 0, REG | LOCK, 0},
    {"xadd", NULL, 0, 2, {0x0f, 0xc1}, 0, 0, W | REG | LOCK, 0},
    {"cmpxchg", NULL, 0, 2, {0x0f, 0xb0}, 0, 0, REG | LOCK, 0},
    {"cmpxchg", NULL, 0, 2, {0x0f, 0xb1}, 0, 0, W | REG | LOCK, 0},
    {"cmpxchg8b/16b", NULL, 0, 2, {0x0f, 0xc7}, 1, 0, D | LOCK, 0},
    {"movzx", NULL, 0, 2, {0x0f, 0xb6}, 0, 0, W | REG, 0},
    {"movzx", NULL, 0, 2, {0x0f, 0xb7}, 0, 0, W | REG, 0},
    {"movsx", NULL, 0, 2, {0x0f, 0xbe}, 0, 0, W | REG, 0},
    {"movsx", NULL, 0, 2, {0x0f, 0xbf}, 0, 0, W | REG, 0},
    {"movnti", NULL, 0, 2, {0x0f, 0xc3}, 0, 0, D | REG, 0},
    {"movbe", "movbe", 0, 3, {0x0f, 0x38, 0xf0}, 0, 0, W | REG, 0},
    {"movbe", "movbe", 0, 3, {0x0f, 0x38, 0xf1}, 0, 0, W | REG, 0},
    {"bsf", NULL, 0, 2, {0x0f, 0xbc}, 0, 0, W | REG, SZAP - FLAG_ZF + FLAG_OF + FLAG_CF},
    {"bsr", NULL, 0, 2, {0x0f, 0xbd}, 0, 0, W | REG, SZAP - FLAG_ZF + FLAG_OF + FLAG_CF},
    {"tzcnt", "bmi", 0xf3, 2, {0x0f, 0xbc}, 0, 0, W | REG, SZAP - FLAG_ZF + FLAG_OF},
    {"lzcnt", "lzcnt", 0xf3, 2, {0x0f, 0xbd}, 0, 0, W | REG, SZAP - FLAG_ZF + FLAG_OF},
    {"popcnt", "popcnt", 0xf3, 2, {0x0f, 0xb8}, 0, 0, W | REG, 0},
    {"crc32", "sse4.2", 0xf2, 3, {0x0f, 0x38, 0xf0}, 0, 0, D | REG, 0},
    {"crc32", "sse4.2", 0xf2, 3, {0x0f, 0x38, 0xf1}, 0, 0, W | REG, 0},
    {"adcx", "adx", 0x66, 3, {0x0f, 0x38, 0xf6}, 0, 0, D | REG, 0},
    {"adox", "adx", 0xf3, 3, {0x0f, 0x38, 0xf6}, 0, 0, D | REG, 0},
    {"xlat", NULL, 0, 1, {0xd7}, 0, 0, M | NEAR, 0},
    {"clflush", NULL, 0, 2, {0x0f, 0xae}, 7, 0, 0, 0},
#define STRING(name, op)                                                                                      \
    {name, NULL, 0, 1, {op}, 0, 0, M, 0}, {name, NULL, 0, 1, {op + 1}, 0, 0, M | W, 0},                       \
        {name, NULL, 0xf3, 1, {op}, 0, 0, M | FEW, 0}, {name, NULL, 0xf3, 1, {op + 1}, 0, 0, M | W | FEW, 0}, \
        {name, NULL, 0xf2, 1, {op}, 0, 0, M | FEW, 0},                                                        \
    {                                                                                                         \
        name, NULL, 0xf2, 1, {op + 1}, 0, 0, M | W | FEW, 0                                                   \
    }
    STRING("movs", 0xa4),
    STRING("cmps", 0xa6),
    STRING("stos", 0xaa),
    STRING("lods", 0xac),
    STRING("scas", 0xae),
};

/* Encoded by VEX: BMI1 and BMI2. */
struct vex_form {
    const char *name, *feature;
    uint8_t map, pp, opcode;
    int8_t extension; /* modrm's reg; -1: rax..rbx */
    uint8_t immediate;
    uint64_t undefined;
};
static const struct vex_form vex_forms[] = {
    {"andn", "bmi", 2, 0, 0xf2, -1, 0, FLAG_AF | FLAG_PF},
    {"bextr", "bmi", 2, 0, 0xf7, -1, 0, FLAG_AF | FLAG_SF | FLAG_PF},
    {"blsr", "bmi", 2, 0, 0xf3, 1, 0, FLAG_AF | FLAG_PF},
    {"blsmsk", "bmi", 2, 0, 0xf3, 2, 0, FLAG_AF | FLAG_PF},
    {"blsi", "bmi", 2, 0, 0xf3, 3, 0, FLAG_AF | FLAG_PF},
    {"bzhi", "bmi2", 2, 0, 0xf5, -1, 0, FLAG_AF | FLAG_PF},
    {"mulx", "bmi2", 2, 3, 0xf6, -1, 0, 0},
    {"pdep", "bmi2", 2, 3, 0xf5, -1, 0, 0},
    {"pext", "bmi2", 2, 2, 0xf5, -1, 0, 0},
    {"rorx", "bmi2", 3, 3, 0xf0, -1, 1, 0},
    {"sarx", "bmi2", 2, 2, 0xf7, -1, 0, 0},
    {"shlx", "bmi2", 2, 1, 0xf7, -1, 0, 0},
    {"shrx", "bmi2", 2, 3, 0xf7, -1, 0, 0},
};

static bool has(const char *feature)
{
    static const char *const flags[] = {"movbe", "bmi", "bmi2", "lzcnt", "popcnt", "sse4.2", "adx"};
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (feature == NULL)
        return true;
    __builtin_cpu_init();
    const bool have[] = {
        (__get_cpuid(1, &a, &b, &c, &d), c >> 22 & 1),
        __builtin_cpu_supports("bmi"),
        __builtin_cpu_supports("bmi2"),
        (__get_cpuid(0x80000001, &a, &b, &c, &d), c >> 5 & 1),
        __builtin_cpu_supports("popcnt"),
        __builtin_cpu_supports("sse4.2"),
        (__get_cpuid_count(7, 0, &a, &b, &c, &d), b >> 19 & 1),
    };
    for (unsigned i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (strcmp(flags[i], feature) == 0)
            return have[i];
    fail_msg("no such feature: %s", feature);
    return false;
}

static unsigned compared, faulted;

static void fill(uint64_t at_rdi, uint64_t next, uint64_t at_rsi)
{
    memset(host, 0x33, 4096);
    memcpy(host + 1024, &at_rdi, 8);
    memcpy(host + 1032, &next, 8);
    memcpy(host + 2048, &at_rsi, 8);
    memcpy(device_bytes, host, 4096);
}

static void compare(const char *name, const uint8_t *insn, size_t n, const struct regs *start, uint64_t undefined)
{
    struct regs native = *start, emulated = *start;
    struct guest_fault fault = {.vector = 255};
    enum verdict v = run_emulated(insn, n, &emulated, NULL, &fault);
    int signal = run_native(insn, n, &native, NULL);
    uint64_t differ = (native.flags ^ emulated.flags) & (FLAGS_ARITHMETIC | FLAG_DF) & ~undefined;
    bool same = false;
    if (signal != 0) {
        same = v == VERDICT_FAULT && fault.vector == (signal == SIGFPE ? 0 : 13) &&
               memcmp(&emulated, start, sizeof emulated) == 0 && s.rip == CODE;
        faulted++;
    } else if (v == VERDICT_DONE) {
        native.flags = emulated.flags = differ;
        same = differ == 0 && memcmp(&native, &emulated, sizeof native) == 0 && s.rip == CODE + n;
        compared++;
    }
    if (same && memcmp(host, device_bytes, 4096) == 0)
        return;
    fprintf(stderr, "%s:", name);
    for (size_t i = 0; i < n; i++)
        fprintf(stderr, " %02x", insn[i]);
    fprintf(stderr, "\nstart  rax %lx rcx %lx rdx %lx rbx %lx flags %lx\n", start->rax, start->rcx, start->rdx,
            start->rbx, start->flags);
    fprintf(stderr, "native rax %lx rcx %lx rdx %lx rbx %lx rsi %lx rdi %lx, signal %d\n", native.rax, native.rcx,
            native.rdx, native.rbx, native.rsi, native.rdi, signal);
    fprintf(stderr, "here   rax %lx rcx %lx rdx %lx rbx %lx rsi %lx rdi %lx, verdict %d, vector %u, flags differ %lx\n",
            emulated.rax, emulated.rcx, emulated.rdx, emulated.rbx, emulated.rsi, emulated.rdi, v, fault.vector,
            differ);
    fail_msg("the emulator differs from this CPU");
}

static struct regs start_of(unsigned how, unsigned round)
{
    struct regs r = {number(), number(), number(), number(), DEVICE + 2048, DEVICE + 1024, 0x202};
    r.flags |= number() & FLAGS_ARITHMETIC;
    if (how & M)
        r.flags |= number() & FLAG_DF;
    if (how & NEAR) {
        uint64_t *const numbers[] = {&r.rax, &r.rcx, &r.rdx, &r.rbx};
        for (unsigned i = 0; i < 4; i++)
            *numbers[i] = (uint64_t)(int64_t)(int8_t)*numbers[i];
    }
    if ((how & (NEAR | M)) == (NEAR | M))
        r.rbx = DEVICE + 1024;
    if (how & FEW)
        r.rcx &= 7;
    if (how & COUNT)
        r.rcx &= 15;
    if ((how & FITS) && (round & 1)) {
        r.rdx = round & 2 ? 0 : ~0ull;
        r.rax = r.rdx == 0 ? r.rax & 0x7f : r.rax | ~0x7full;
    }
    return r;
}

static void one_form(const struct form *f, unsigned width, bool lock)
{
    uint8_t insn[16];
    unsigned n = 0;
    if (lock)
        insn[n++] = 0xf0;
    if (width == 2)
        insn[n++] = 0x66;
    if (f->prefix)
        insn[n++] = f->prefix;
    if (width == 8)
        insn[n++] = 0x48;
    memcpy(insn + n, f->code, f->count);
    n += f->count;
    unsigned modrm = n, immediate = f->immediate == 4 && width == 2 ? 2 : f->immediate;
    n += !(f->how & M);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < immediate; i++)
            insn[n + i] = (uint8_t)(number() & (f->how & COUNT ? 15 : 0xff));
        if (!(f->how & M))
            insn[modrm] = (uint8_t)((f->how & REG ? round & 3 : (unsigned)f->extension) << 3 | 7);
        struct regs start = start_of(f->how, round);
        uint64_t at = number(), next = number();
        if (round & 4) { /* CMPXCHG finds what it expects */
            at = start.rax;
            next = start.rdx;
            if (f->extension == 1 && width != 8)
                at = (at & 0xffffffffu) | next << 32;
        }
        fill(at, next, round & 8 ? at : number());
        compare(f->name, insn, n + immediate, &start, f->undefined);
    }
}

static void integer_forms(void **unused)
{
    (void)unused;
    catch_signals();
    for (unsigned i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        static const uint8_t widths[] = {4, 8, 2};
        unsigned count = forms[i].how & W ? 3 : forms[i].how & D ? 2 : 1;
        for (unsigned w = 0; w < count && has(forms[i].feature); w++) {
            one_form(&forms[i], widths[w], false);
            /* XCHG has it always; a comparison or test with it is no instruction. */
            if ((forms[i].how & LOCK) && strcmp(forms[i].name, "cmp") != 0)
                one_form(&forms[i], widths[w], true);
        }
    }
    assert_in_range(compared, 10000, 1000000);
    assert_in_range(faulted, 50, 1000000); /* #DE */
}

static void conditions(void **unused)
{
    (void)unused;
    for (uint8_t cc = 0; cc < 16; cc++) {
        const struct form set = {"setcc", NULL, 0, 2, {0x0f, (uint8_t)(0x90 + cc)}, 0, 0, 0, 0};
        const struct form move = {"cmovcc", NULL, 0, 2, {0x0f, (uint8_t)(0x40 + cc)}, 0, 0, W | REG, 0};
        one_form(&set, 4, false);
        for (unsigned width = 2; width <= 8; width *= 2)
            one_form(&move, width, false);
    }
}

static void vex(void **unused)
{
    (void)unused;
    for (unsigned i = 0; i < sizeof vex_forms / sizeof vex_forms[0]; i++) {
        const struct vex_form *f = &vex_forms[i];
        for (unsigned round = 0; round < 2 * ROUNDS && has(f->feature); round++) {
            unsigned reg = f->extension >= 0 ? (unsigned)f->extension : round & 3, wide = round >> 2 & 1;
            unsigned other = f->immediate ? 0 : round >> 3 & 3; /* vvvv; RORX has none */
            uint8_t insn[7] = {0xc4,      (uint8_t)(0xe0 | f->map), (uint8_t)(wide << 7 | (~other & 15) << 3 | f->pp),
                               f->opcode, (uint8_t)(reg << 3 | 7),  (uint8_t)number()};
            struct regs start = start_of(0, round);
            fill(number(), number(), number());
            compare(f->name, insn, 5u + f->immediate, &start, f->undefined);
        }
    }
}

/* CMPXCHG16B wants an aligned operand. */
static void alignment(void **unused)
{
    (void)unused;
    catch_signals();
    struct regs start = start_of(0, 0);
    start.rdi += 8;
    fill(1, 2, 3);
    faulted = 0;
    compare("cmpxchg16b", (const uint8_t[]){0x48, 0x0f, 0xc7, 0x0f}, 4, &start, 0);
    assert_int_equal(faulted, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integer_forms),
        cmocka_unit_test(conditions),
        cmocka_unit_test(vex),
        cmocka_unit_test(alignment),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
