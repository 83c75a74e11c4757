// SPDX-License-Identifier: Apache-2.0
/*
 * Many kinds of instructions on device memory: the local APIC's version and task priority, and an address where nothing
 * is. One line per check, `ok` or `FAILED`, a sum at the end, exit code 0 or 1. `cmdline = crash`: instead one that the
 * monitor does not know.
 */
#include "guest.h"

#define VERSION 0xfee00030u
#define TPR     0xfee00080u
#define NOTHING 0xd0000000u

static unsigned passed, failed;
static volatile uint32_t *const version = (volatile uint32_t *)(uintptr_t)VERSION;
static volatile uint32_t *const tpr = (volatile uint32_t *)(uintptr_t)TPR;
static volatile uint32_t *const nothing = (volatile uint32_t *)(uintptr_t)NOTHING;

static void check(const char *what, uint32_t got, uint32_t want)
{
    print("mmio: %s %s (0x%x, wanted 0x%x)\n", got == want ? "ok    " : "FAILED", what, got, want);
    if (got == want)
        passed++;
    else
        failed++;
}

/* TPR is `before`; then the instruction; what it is then. */
#define ON_TPR(before, instruction, ...)                                                          \
    ({                                                                                            \
        *tpr = (before);                                                                          \
        __asm__ volatile(instruction : : "r"(TPR), ##__VA_ARGS__ : "eax", "ecx", "memory", "cc"); \
        uint32_t after_ = *tpr;                                                                   \
        *tpr = 0;                                                                                 \
        after_;                                                                                   \
    })
/* Of the version register: what comes into EAX. */
#define OF_VERSION(instruction)                                                                   \
    ({                                                                                            \
        uint32_t eax_;                                                                            \
        __asm__ volatile(instruction : "=a"(eax_) : "b"(VERSION) : "ecx", "edx", "memory", "cc"); \
        eax_;                                                                                     \
    })

static void integers(uint32_t v)
{
    uint32_t high, low, ones = 0;
    for (uint32_t rest = v; rest != 0; rest &= rest - 1)
        ones++;
    check("cmovz load", OF_VERSION("xor %%eax, %%eax; cmovz (%%ebx), %%eax"), v);
    check("imul r, m, 3", OF_VERSION("imul $3, (%%ebx), %%eax"), v * 3);
    check("mul m", OF_VERSION("mov $2, %%eax; mull (%%ebx)"), v * 2);
    check("div m", OF_VERSION("mov $-1, %%eax; xor %%edx, %%edx; divl (%%ebx)"), 0xffffffff / v);
    check("bsf r, m", OF_VERSION("bsf (%%ebx), %%eax"), (uint32_t)__builtin_ctz(v));
    check("bsr r, m", OF_VERSION("bsr (%%ebx), %%eax"), 31 - (uint32_t)__builtin_clz(v));
    check("popcnt r, m", OF_VERSION("popcnt (%%ebx), %%eax"), ones);
    check("movbe r, m", OF_VERSION("movbe (%%ebx), %%eax"), __builtin_bswap32(v));
    check("push m", OF_VERSION("pushl (%%ebx); pop %%eax"), v);
    check("test m", OF_VERSION("xor %%eax, %%eax; testl $0, (%%ebx); setz %%al"), 1);
    check("rep movs",
          OF_VERSION("push %%esi; push %%edi; sub $4, %%esp; mov %%esp, %%edi; mov %%ebx, %%esi;"
                     "mov $1, %%ecx; rep movsl; pop %%eax; pop %%edi; pop %%esi"),
          v);
    check("shl m", ON_TPR(0x10, "shll $1, (%0)"), 0x20);
    check("rol m, cl", ON_TPR(0x10, "mov $1, %%ecx; roll %%cl, (%0)"), 0x20);
    check("shld m", ON_TPR(0x10, "xor %%eax, %%eax; shldl $1, %%eax, (%0)"), 0x20);
    check("adc m", ON_TPR(0x10, "stc; adcl $0xf, (%0)"), 0x20);
    check("lock inc m", ON_TPR(0x1f, "lock incl (%0)"), 0x20);
    check("xchg m", ON_TPR(0x10, "mov $0x20, %%eax; xchg %%eax, (%0)"), 0x20);
    check("pop m", ON_TPR(0, "push $0x20; popl (%0)"), 0x20);
    check("movnti", ON_TPR(0, "mov $0x20, %%eax; movnti %%eax, (%0)"), 0x20);
    low = 1;
    high = 2;
    __asm__ volatile("cmpxchg8b (%2)" : "+a"(low), "+d"(high) : "r"(NOTHING), "b"(0), "c"(0) : "memory", "cc");
    check("cmpxchg8b", low ^ high, *nothing ^ nothing[1]);
    __asm__ volatile("xor %%eax, %%eax; sete (%0)" : : "r"(NOTHING) : "eax", "memory", "cc");
    check("sete m", *nothing, nothing[1]);
    __asm__ volatile("mov %%fs, %%ecx; mov (%1), %%fs; mov %%fs, %0; mov %%ecx, %%fs"
                     : "=r"(low)
                     : "r"(0xfee00020u) /* the APIC's number, 0 */
                     : "ecx", "memory");
    check("mov fs, m", low, 0);
}

static void vectors(uint32_t v)
{
    check("movd mm, m", OF_VERSION("movd (%%ebx), %%mm0; movd %%mm0, %%eax; emms"), v);
    check("movd xmm, m", OF_VERSION("movd (%%ebx), %%xmm0; movd %%xmm0, %%eax"), v);
    check("movss", OF_VERSION("movss (%%ebx), %%xmm1; movd %%xmm1, %%eax"), v);
    check("movdqa", OF_VERSION("movdqa (%%ebx), %%xmm2; movd %%xmm2, %%eax"), v);
    check("movups", OF_VERSION("movups (%%ebx), %%xmm7; movd %%xmm7, %%eax"), v);
    check("fild, fistp", OF_VERSION("fninit; fildl (%%ebx); push %%eax; fistpl (%%esp); pop %%eax"), v);
    check("movd m, xmm", ON_TPR(0, "mov $0x20, %%eax; movd %%eax, %%xmm0; movd %%xmm0, (%0)"), 0x20);
    check("movss m, xmm", ON_TPR(0, "mov $0x20, %%eax; movd %%eax, %%xmm3; movss %%xmm3, (%0)"), 0x20);
    check("fistp m", ON_TPR(0, "push $0x20; fildl (%%esp); fistpl (%0); pop %%eax"), 0x20);
    uint32_t bits;
    __asm__ volatile("flds (%1); fstps %0" : "=m"(bits) : "r"(NOTHING) : "memory");
    check("fld, fstp", bits, *nothing);
    __asm__ volatile("pxor %%xmm0, %%xmm0; movups %%xmm0, (%0); movntdq %%xmm0, (%0)" : : "r"(NOTHING) : "memory");
    check("movups, movntdq m", nothing[2], nothing[1]);
    __asm__ volatile("fxsave (%0); pextrd $1, %%xmm0, (%0); clflush (%0)" : : "r"(NOTHING) : "memory");
    check("fxsave, pextrd m", nothing[2], nothing[1]);
}

/* --- faults --- */

static volatile uint32_t vector_seen;
uint32_t mmio_stack;
extern uint8_t mmio_back[];
static uint8_t ring3_stack[4096] __attribute__((aligned(16)));

/* Goes on behind the code that was tried. */
static void on_end(struct frame *f)
{
    vector_seen = f->vector;
    f->cs = 8;
    f->ip = (uint32_t)(uintptr_t)mmio_back;
}

/* Runs code that ends in a fault or in INT 0x80, in ring 3. */
void mmio_run(void (*code)(void), void *stack);
void mmio_add(void), mmio_call(void), mmio_divide(void);
__asm__("mmio_run:\n\tpushal\n\tmov %esp, mmio_stack\n\tmov 36(%esp), %ecx\n\tmov 40(%esp), %edx\n"
        "\tmov $0x23, %eax\n\tmov %eax, %ds\n\tmov %eax, %es\n"
        "\tpush $0x23\n\tpush %edx\n\tpush $2\n\tpush $0x1b\n\tpush %ecx\n\tiret\n"
        "mmio_back:\n\tmov $0x10, %eax\n\tmov %eax, %ds\n\tmov %eax, %es\n\tmov mmio_stack, %esp\n\tpopal\n\tret\n"
        "mmio_add:\n\taddps 0xd0000000, %xmm0\n\tint $0x80\n"
        "mmio_call:\n\tcall *0xd0000000\n\tint $0x80\n"
        "mmio_divide:\n\txor %eax, %eax\n\txor %edx, %edx\n\tinc %edx\n\tdivl 0xfee00080\n\tint $0x80\n");

static uint32_t outcome(void (*code)(void))
{
    vector_seen = 0xff;
    mmio_run(code, ring3_stack + sizeof ring3_stack);
    return vector_seen;
}

static void faults(void)
{
    handle(0, on_end);
    handle(6, on_end);
    handle(13, on_end);
    handle(0x80, on_end);
    check("div m by 0", outcome(mmio_divide), 0);
    uint32_t vector = outcome(mmio_add); /* a PC does it */
    check("addps of a program", vector == 0x80 ? 6 : vector, 6);
    vector = outcome(mmio_call); /* nothing can be run there, and 0xffffffff is the limit as well */
    check("call m", vector == 13 ? 6 : vector, 6);
}

int guest_main(uint32_t magic, const struct multiboot *info)
{
    uint32_t cr0, cr4;
    (void)magic;
    serial_init();
    tables_init();
    __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
    __asm__ volatile("mov %0, %%cr4" : : "r"(cr4 | 0x600)); /* OSFXSR, OSXMMEXCPT */
    __asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
    __asm__ volatile("mov %0, %%cr0" : : "r"((cr0 & ~0xcu) | 2)); /* no EM, no TS; MP */
    for (const char *c = (const char *)(uintptr_t)info->cmdline; info->flags & 4 && *c != 0; c++)
        if (c[0] == 'c' && c[1] == 'r' && c[2] == 'a' && c[3] == 's' && c[4] == 'h')
            __asm__ volatile("addps 0xd0000000, %%xmm0" : : : "memory");
    integers(*version);
    vectors(*version);
    faults();
    print("mmio: %u passed, %u failed\n", passed, failed);
    guest_exit(failed != 0);
}
