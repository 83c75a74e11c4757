// SPDX-License-Identifier: Apache-2.0
/*
 * One of a pair on one CPU. The `writer` puts a new pattern into every register that a guest may write, round after
 * round, and finds it there again at the round's end. The `reader` leaves them as after reset, and finds them so at the
 * end of each of its rounds, whatever the writer does meanwhile; so does its monitor in ring 3 (vmm/test/look.h).
 */
#include "guest.h"

#define ROUNDS    30u
#define LOOKS     3u
#define LOOK_MS   80u /* some periods of both shares */
#define LOOK_PAGE ((volatile uint64_t *)0xfeb00810ull)
#define SECRET    0x5ec2e7a1ull
#define AVX       4u
#define OSXSAVE   (1ull << 18)
#define OSFXSR    (3ull << 9) /* and OSXMMEXCPT */

static volatile unsigned ticks;
static void on_tick(struct frame *f)
{
    (void)f;
    ticks++;
}

static uint32_t msr; /* the row's */
static uint64_t get_msr(void)
{
    return rdmsr(msr);
}
static void set_msr(uint64_t v)
{
    wrmsr(msr, v);
}

#define REGISTER(name, read, write)                 \
    static uint64_t get_##name(void)                \
    {                                               \
        uint64_t v = 0;                             \
        __asm__ volatile(read : "=r"(v) : : "rcx"); \
        return v;                                   \
    }                                               \
    static void set_##name(uint64_t v)              \
    {                                               \
        __asm__ volatile(write : : "r"(v));         \
    }
REGISTER(cr2, "mov %%cr2, %0", "mov %0, %%cr2")
REGISTER(dr0, "mov %%dr0, %0", "mov %0, %%dr0")
REGISTER(dr1, "mov %%dr1, %0", "mov %0, %%dr1")
REGISTER(dr2, "mov %%dr2, %0", "mov %0, %%dr2")
REGISTER(dr3, "mov %%dr3, %0", "mov %0, %%dr3")
REGISTER(dr6, "mov %%dr6, %0", "mov %0, %%dr6")
REGISTER(xmm0, "movq %%xmm0, %0", "movq %0, %%xmm0; movlhps %%xmm0, %%xmm0")
REGISTER(xmm15, "movhlps %%xmm15, %%xmm15; movq %%xmm15, %0; movlhps %%xmm15, %%xmm15",
         "movq %0, %%xmm15; movlhps %%xmm15, %%xmm15")
REGISTER(mm7, "movq %%mm7, %0; emms", "movq %0, %%mm7; emms")

static uint64_t get_mxcsr(void)
{
    uint32_t v;
    __asm__ volatile("stmxcsr %0" : "=m"(v));
    return v;
}
static void set_mxcsr(uint64_t v)
{
    uint32_t low = (uint32_t)v;
    __asm__ volatile("ldmxcsr %0" : : "m"(low));
}
static uint64_t get_fcw(void)
{
    uint16_t v;
    __asm__ volatile("fnstcw %0" : "=m"(v));
    return v;
}
static void set_fcw(uint64_t v)
{
    uint16_t low = (uint16_t)v;
    __asm__ volatile("fldcw %0" : : "m"(low));
}
/* Bits 191:128: a part of YMM1 that no other instruction here reaches. */
static uint64_t get_ymm1(void)
{
    uint64_t v[4];
    __asm__ volatile("vmovups %%ymm1, %0" : "=m"(v));
    return v[2];
}
static void set_ymm1(uint64_t v)
{
    uint64_t wide[4] = {v, v, v, v};
    __asm__ volatile("vmovups %0, %%ymm1" : : "m"(wide));
}
static uint64_t get_xcr0(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}
static void set_xcr0(uint64_t v)
{
    __asm__ volatile("xsetbv" : : "c"(0), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)));
}
static uint64_t get_aux(void)
{
    uint32_t aux;
    __asm__ volatile("rdtscp" : "=c"(aux) : : "rax", "rdx");
    return aux;
}

enum { ALWAYS, WITH_RDTSCP, WITH_AVX };
#define ALL   (~0ull)
#define LOW   0x00007fffffffffffull /* canonical */
#define TYPES 0x0505050505050505ull /* of memory: any of 0, 1, 4, 5 */

static const struct row {
    const char *name;
    uint32_t msr;
    uint8_t needs;
    uint64_t (*get)(void);
    void (*set)(uint64_t v);
    uint64_t reset, bits; /* as after reset; which of them the pattern fills */
} rows[] = {
    {"IA32_TSC_AUX", 0xc0000103, WITH_RDTSCP, get_msr, set_msr, 0, 0xffffffff},
    {"TSC_AUX by RDTSCP", 0, WITH_RDTSCP, get_aux, NULL, 0, 0},
    {"STAR", 0xc0000081, ALWAYS, get_msr, set_msr, 0, ALL},
    {"LSTAR", 0xc0000082, ALWAYS, get_msr, set_msr, 0, LOW},
    {"CSTAR", 0xc0000083, ALWAYS, get_msr, set_msr, 0, LOW},
    {"SFMASK", 0xc0000084, ALWAYS, get_msr, set_msr, 0, 0xffffffff},
    {"FS_BASE", 0xc0000100, ALWAYS, get_msr, set_msr, 0, LOW},
    {"GS_BASE", 0xc0000101, ALWAYS, get_msr, set_msr, 0, LOW},
    {"KERNEL_GS_BASE", 0xc0000102, ALWAYS, get_msr, set_msr, 0, LOW},
    {"SYSENTER_CS", 0x174, ALWAYS, get_msr, set_msr, 0, 0xffff},
    {"SYSENTER_ESP", 0x175, ALWAYS, get_msr, set_msr, 0, LOW},
    {"SYSENTER_EIP", 0x176, ALWAYS, get_msr, set_msr, 0, LOW},
    {"PAT", 0x277, ALWAYS, get_msr, set_msr, 0x0007040600070406, TYPES},
    {"MTRR_FIX64K", 0x250, ALWAYS, get_msr, set_msr, 0x0606060606060606, TYPES},
    {"CR2", 0, ALWAYS, get_cr2, set_cr2, 0, ALL},
    {"DR0", 0, ALWAYS, get_dr0, set_dr0, 0, ALL},
    {"DR1", 0, ALWAYS, get_dr1, set_dr1, 0, ALL},
    {"DR2", 0, ALWAYS, get_dr2, set_dr2, 0, ALL},
    {"DR3", 0, ALWAYS, get_dr3, set_dr3, 0, ALL},
    {"DR6", 0, ALWAYS, get_dr6, set_dr6, 0xffff0ff0, 0xf},
    {"MXCSR", 0, ALWAYS, get_mxcsr, set_mxcsr, 0x1f80, 0x603f},
    {"x87 control word", 0, ALWAYS, get_fcw, set_fcw, 0x37f, 0xc00},
    {"MM7", 0, ALWAYS, get_mm7, set_mm7, 0, ALL},
    {"XMM0", 0, ALWAYS, get_xmm0, set_xmm0, 0, ALL},
    {"XMM15", 0, ALWAYS, get_xmm15, set_xmm15, 0, ALL},
    {"YMM1", 0, WITH_AVX, get_ymm1, set_ymm1, 0, ALL},
    {"XCR0", 0, WITH_AVX, get_xcr0, NULL, 0, 0}, /* by set_all */
};
#define ROWS (sizeof rows / sizeof rows[0])

static bool writer, there[3];
static uint64_t expected[ROWS], xcr0_all;
static unsigned failed, tried;

/* The reader's XCR0 has everything, the writer's SSE alone between its accesses: so their sizes differ. */
static void set_all(unsigned round)
{
    uint64_t pattern = SECRET * (0x9e3779b97f4a7c15ull + 2 * round);
    if (there[WITH_AVX])
        set_xcr0(xcr0_all);
    for (unsigned i = 0; i < ROWS; i++) {
        const struct row *r = &rows[i];
        msr = r->msr;
        uint64_t kept = r->bits == TYPES ? 0 : r->reset & ~r->bits;
        expected[i] = writer && r->set ? kept | (pattern & r->bits) : r->reset;
        if (writer && r->set && there[r->needs])
            r->set(expected[i]);
    }
    expected[1] = expected[0]; /* TSC_AUX by its other name */
    expected[ROWS - 1] = writer ? 3 : xcr0_all;
    if (there[WITH_AVX])
        set_xcr0(expected[ROWS - 1]);
}

static void check_all(unsigned round)
{
    uint64_t found[ROWS] = {0};
    if (there[WITH_AVX])
        found[ROWS - 1] = get_xcr0();
    for (unsigned i = 0; i < ROWS - 1; i++) {
        msr = rows[i].msr;
        if (writer && rows[i].needs == WITH_AVX)
            set_xcr0(xcr0_all);
        if (there[rows[i].needs])
            found[i] = rows[i].get();
    }
    for (unsigned i = 0; i < ROWS; i++) {
        if (!there[rows[i].needs])
            continue;
        tried++;
        if (found[i] == expected[i])
            continue;
        failed++;
        print("registers: round %u, %s: 0x%llx, not 0x%llx FAILED\n", round, rows[i].name, (unsigned long long)found[i],
              (unsigned long long)expected[i]);
    }
}

static void pass(unsigned round)
{
    unsigned until = ticks + 1;
    while (ticks < until) {
        if (round % 2) {
            wait_interrupt();
        } else {
            interrupts_on(); /* the shadow of STI ends with the NOP. QEMU's PAUSE alone leaves it on */
            __asm__ volatile("nop; nop; pause");
            interrupts_off();
        }
    }
}

/* The monitor's turn: it stays in ring 3 while the writer has the CPU now and then. */
static void monitor_looks(void)
{
    uint32_t r[4];
    cpuid(0x40000010u, r); /* the TSC's rate in kHz */
    LOOK_PAGE[0] = (uint64_t)r[0] * LOOK_MS;
    uint64_t a = LOOK_PAGE[0], b = LOOK_PAGE[1];
    bool good = a == 0; /* XGETBV works in QEMU: docs/emulators.md */
    failed += !good;
    print("registers: its monitor: TSC_AUX 0x%x, XCR0 of %u bytes, XGETBV 0x%x, %u turns of others%s\n", (uint32_t)a,
          (uint32_t)(a >> 32), (uint32_t)b, (uint32_t)(b >> 32), good ? "" : " FAILED");
}

static void find_out(void)
{
    uint32_t r[4];
    there[ALWAYS] = true;
    cpuid(0x80000001u, r);
    there[WITH_RDTSCP] = r[3] >> 27 & 1;
    cpuid(1, r);
    there[WITH_AVX] = (r[2] >> 26 & 1) && (r[2] >> 28 & 1);
    uint64_t cr4;
    __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
    cr4 |= OSFXSR | (there[WITH_AVX] ? OSXSAVE : 0);
    __asm__ volatile("mov %0, %%cr4" : : "r"(cr4));
    cpuid(0xd, r);
    xcr0_all = r[0];
}

int guest_main(uint32_t magic, const struct multiboot *info)
{
    (void)magic;
    const char *text = info->flags & 4 ? (const char *)(uintptr_t)info->cmdline : "";
    for (; *text; text++)
        writer |= text[0] == 'w' && text[1] == 'r' && text[2] == 'i';
    serial_init();
    tables_init();
    pic_init();
    handle(0x20, on_tick);
    pit_init(100);
    pic_unmask(0);
    find_out();
    for (unsigned round = 0; writer || round < ROUNDS; round++) {
        set_all(round);
        pass(round);
        check_all(round);
        if (!writer && round % (ROUNDS / LOOKS) == ROUNDS / LOOKS - 1)
            monitor_looks();
        if (writer && (round == ROUNDS || (failed && round % ROUNDS == 0)))
            print("registers: writer: %u found again, %u failed\n", tried, failed);
    }
    print("registers: reader: %u as after reset, %u failed\n", tried, failed);
    guest_exit(failed ? 1 : 0);
}
