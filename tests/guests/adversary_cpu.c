// SPDX-License-Identifier: Apache-2.0
/* The adversary's attacks on the CPU: model-specific registers, CPUID, calls, instructions, descriptor tables, event
 * delivery. */
#include "adversary.h"

extern uint64_t adversary_gdt[16], adversary_stack, adversary_user;
struct gate {
    uint16_t low, selector;
    uint8_t ist, type;
    uint16_t middle;
    uint32_t high, reserved;
};
extern struct gate adversary_idt[256];
void adversary_ring3(const void *code, uint64_t stack);
void adversary_call(const void *code, const uint64_t registers[6]);
struct pointer {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));
#define BYTES(...) ((const uint8_t[]){__VA_ARGS__}), sizeof((const uint8_t[]){__VA_ARGS__})

/* On an AMD CPU we run in QEMU, whose own mistakes are not what is tested here. */
static bool intel(void)
{
    uint32_t r[4];
    cpuid(0, r);
    return r[1] == 0x756e6547;
}

/* ---- MSRs */

static uint64_t msr_value;
static void msr_read(uint64_t index)
{
    msr_value = rdmsr((uint32_t)index);
}
static void msr_write(uint64_t index)
{
    wrmsr((uint32_t)index, msr_value);
}

/* Writing these says where our own memory is to be written, or ends long mode's register file: attacked with care
 * elsewhere. */
static bool delicate(uint32_t i)
{
    return i == 0x1b || (i >= 0x800 && i < 0x900) || i == 0x11 || i == 0x12 || i == 0x4b564d00 || i == 0x4b564d01;
}

static void one_msr(uint32_t index)
{
    bool readable = attempt(msr_read, index);
    uint64_t was = msr_value;
    if (delicate(index))
        return;
    if (readable)
        attempt(msr_write, index);
    for (unsigned n = 0; n < 2; n++) {
        msr_value = n ? chance() : (was ^ 1ull << below(64));
        if (attempt(msr_write, index) && readable) {
            msr_value = was;
            attempt(msr_write, index);
        }
    }
}

void attack_msrs(void)
{
    static const struct {
        uint32_t first, last;
    } ranges[] = {
        {0, 0x500},
        {0x570, 0x5a0},
        {0x600, 0x6ff},
        {0x770, 0x77f},
        {0xc80, 0xcff},
        {0xd00, 0xdb0},
        {0x1400, 0x1420},
        {0x40000000, 0x40000120},
        {0x4b564d00, 0x4b564d08},
        {0xc0000080, 0xc0000110},
        {0xc0010000, 0xc0010140},
        {0xc0010200, 0xc0010210},
        {0xc0011000, 0xc0011040},
    };
    for (unsigned r = 0; r < sizeof ranges / sizeof ranges[0]; r++)
        for (uint32_t i = ranges[r].first; i <= ranges[r].last; i++)
            one_msr(i);
    for (unsigned i = 0; i < 1000; i++)
        one_msr((uint32_t)chance());
    if (attempt(msr_read, 0x3a) && (msr_value & 7) != 1 && (msr_value & 4))
        escaped("VMX may be switched on", 0x3a, msr_value);
    /* The clock page: outside, at the end, misaligned. Only a page of our own may be taken. */
    static const uint32_t clocks[] = {0x12, 0x4b564d01, 0x11, 0x4b564d00};
    for (unsigned i = 0; i < 64; i++) {
        msr_value = i < 32 ? chance() | 1 : (ram_end - (i & 7) * 4) | 1;
        if (msr_value >= ram_end)
            attempt(msr_write, clocks[i & 3]);
    }
    msr_value = 0;
    attempt(msr_write, 0x12);
    attempt(msr_write, 0x4b564d01);
}

/* ---- CPUID */

void attack_cpuid(void)
{
    static const uint32_t bases[] = {0, 0x40000000u, 0x40000100u, 0x80000000u, 0x80860000u, 0xc0000000u};
    uint32_t r[4];
    for (unsigned b = 0; b < sizeof bases / sizeof bases[0]; b++)
        for (uint32_t leaf = 0; leaf < 0x40; leaf++)
            for (uint32_t sub = 0; sub < 4; sub++)
                __asm__ volatile("cpuid"
                                 : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3])
                                 : "a"(bases[b] + leaf), "c"(sub));
    for (unsigned i = 0; i < 2000; i++)
        __asm__ volatile("cpuid"
                         : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3])
                         : "a"((uint32_t)chance()), "c"((uint32_t)chance()));
    cpuid(1, r);
    if (r[2] & 1u << 5)
        escaped("VMX is offered", 1, r[2]);
    cpuid(0x80000001u, r);
    if (r[2] & 1u << 2)
        escaped("SVM is offered", 0x80000001u, r[2]);
}

/* ---- hypercalls */

void attack_hypercalls(void)
{
    for (unsigned i = 0; i < 3000; i++) {
        uint64_t n = i < 512 ? i / 4 : below(2) ? chance() : below(16);
        uint64_t x[6] = {n,
                         below(2) ? chance() : below(4),
                         below(2) ? chance() : below(4),
                         below(2) ? chance() : ram_end - below(9),
                         below(2) ? chance() : below(0x500),
                         chance()};
        if (n == 10 && (x[4] >> 8 & 7) == 5)
            x[4] &= ~0x700ull;
        execute_with(BYTES(0x0f, 0x01, 0xc1), x); /* vmcall */
        execute_with(BYTES(0x0f, 0x01, 0xd9), x); /* vmmcall */
        if (i % 16 == 0)
            let_in(2);
    }
    let_in(300);
}

/* ---- VM instructions and their kin: none may do anything */

void attack_vm_instructions(void)
{
    static const struct {
        const char *name;
        uint8_t bytes[8];
        uint8_t size;
    } rows[] = {
        {"vmxon", {0xf3, 0x0f, 0xc7, 0x37}, 4},
        {"vmclear", {0x66, 0x0f, 0xc7, 0x37}, 4},
        {"vmptrld", {0x0f, 0xc7, 0x37}, 3},
        {"vmptrst", {0x0f, 0xc7, 0x3f}, 3},
        {"vmread", {0x0f, 0x78, 0xd8}, 3},
        {"vmwrite", {0x0f, 0x79, 0xd8}, 3},
        {"vmlaunch", {0x0f, 0x01, 0xc2}, 3},
        {"vmresume", {0x0f, 0x01, 0xc3}, 3},
        {"vmxoff", {0x0f, 0x01, 0xc4}, 3},
        {"vmfunc", {0x0f, 0x01, 0xd4}, 3},
        {"invept", {0x66, 0x0f, 0x38, 0x80, 0x07}, 5},
        {"invvpid", {0x66, 0x0f, 0x38, 0x81, 0x07}, 5},
        {"vmrun", {0x0f, 0x01, 0xd8}, 3},
        {"vmload", {0x0f, 0x01, 0xda}, 3},
        {"vmsave", {0x0f, 0x01, 0xdb}, 3},
        {"stgi", {0x0f, 0x01, 0xdc}, 3},
        {"clgi", {0x0f, 0x01, 0xdd}, 3},
        {"skinit", {0x0f, 0x01, 0xde}, 3},
        {"getsec", {0x0f, 0x37}, 2},
        {"rsm", {0x0f, 0xaa}, 2},
        {"encls", {0x0f, 0x01, 0xcf}, 3},
        {"seamcall", {0x66, 0x0f, 0x01, 0xcf}, 4},
        {"pconfig", {0x0f, 0x01, 0xc5}, 3},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (unsigned n = 0; n < 24; n++) {
            uint64_t a = n < 8 ? 0x200000 : n < 16 ? ram_end + (below(64) << 12) : chance();
            uint64_t x[6] = {n & 1 ? a : 0x681e, chance(), below(2) ? chance() : 0,
                             chance(),           a,        n & 2 ? a : (uintptr_t)adversary_code + 0x100};
            if (execute_with(rows[i].bytes, rows[i].size, x))
                escaped(rows[i].name, a, n);
        }
    /* Their switches. */
    msr_value = 0;
    for (unsigned n = 0; n < 4; n++) {
        msr_value = rdmsr(0xc0000080) | 0x1000;
        if (attempt(msr_write, 0xc0000080) && (rdmsr(0xc0000080) & 0x1000))
            escaped("EFER.SVME can be set", 0xc0000080, rdmsr(0xc0000080));
        msr_value = 0x200000;
        attempt(msr_write, 0xc0010117);
        msr_value = 5;
        attempt(msr_write, 0x3a);
        attempt(msr_write, 0xc0010114);
    }
    /* Those that wait or flush on behalf of the whole machine. */
    static const uint64_t x[6] = {0, 0, 0, 0, 0x200000, 0x200000};
    for (unsigned n = 0; n < 8; n++) {
        execute_with(BYTES(0x0f, 0x09), x);                   /* wbinvd */
        execute_with(BYTES(0x0f, 0x08), x);                   /* invd */
        execute_with(BYTES(0x0f, 0x01, 0xc8), x);             /* monitor */
        execute_with(BYTES(0xf3, 0x90), x);                   /* pause */
        execute_with(BYTES(0x66, 0x0f, 0x38, 0x82, 0x07), x); /* invpcid */
        execute_with(BYTES(0x0f, 0x01, 0xdf), x);             /* invlpga */
        execute_with(BYTES(0x0f, 0x01, 0xfe), x);             /* invlpgb */
        execute_with(BYTES(0x0f, 0x33), x);                   /* rdpmc */
        execute_with(BYTES(0x0f, 0xc7, 0x2f), x);             /* xsaves */
        execute_with(BYTES(0x0f, 0xc7, 0x1f), x);             /* xrstors */
        execute_with(BYTES(0xf1), x);                         /* int1 */
        execute_with(BYTES(0x0f, 0x05), x);                   /* syscall, off */
        execute_with(BYTES(0x0f, 0x34), x);                   /* sysenter, nowhere */
        execute_with(BYTES(0x0f, 0x01, 0xf9), x);             /* rdtscp */
    }
}

/* ---- control, debug and extended control registers */

static void cr0_write(uint64_t v)
{
    __asm__ volatile("mov %%cr0, %%rbx; mov %0, %%cr0; mov %%rbx, %%cr0" : : "r"(v) : "rbx", "memory");
}
static void cr4_write(uint64_t v)
{
    __asm__ volatile("mov %%cr4, %%rbx; mov %0, %%cr4; mov %%rbx, %%cr4" : : "r"(v) : "rbx", "memory");
}
static void cr3_write(uint64_t v)
{
    __asm__ volatile("mov %0, %%cr3" : : "r"(v) : "memory");
}
static void cr2_write(uint64_t v)
{
    __asm__ volatile("mov %0, %%cr2" : : "r"(v) : "memory");
}
static void cr8_write(uint64_t v)
{
    __asm__ volatile("mov %0, %%cr8" : : "r"(v) : "memory");
}
static void lmsw(uint64_t v)
{
    __asm__ volatile("lmsw %w0; clts" : : "r"((uint32_t)v & ~8u) : "memory");
}
static uint32_t xcr_index;
static void xcr_write(uint64_t v)
{
    __asm__ volatile("xsetbv" : : "c"(xcr_index), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)) : "memory");
}
static void dr_write(uint64_t v)
{
    uint64_t far = v | 0x400000000000ull; /* addresses: nothing of ours */
    __asm__ volatile("mov %0, %%dr0; mov %0, %%dr1; mov %0, %%dr2; mov %0, %%dr3" : : "r"(far & 0x7fffffffffffull));
    __asm__ volatile("mov %0, %%dr6" : : "r"(v & 0xffffffff));
    __asm__ volatile("mov %0, %%dr7" : : "r"(v & (below(2) ? 0xffffffffull : ~0ull)));
    __asm__ volatile("mov %%dr6, %%rax; mov %%dr7, %%rax; mov %0, %%dr7" : : "r"(0x400ull) : "rax");
}
static void dr_bad(uint64_t v)
{
    __asm__ volatile("mov %0, %%dr4; mov %0, %%dr5; mov %0, %%dr6" : : "r"(v));
}

/* What this guest puts into its debug registers stays there, whatever else runs meanwhile. */
static void keep_debug_registers(void)
{
    uint64_t want[4], got[4];
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < 4; i++)
            want[i] = chance() >> 17;
        __asm__ volatile("mov %0, %%dr0; mov %1, %%dr1; mov %2, %%dr2; mov %3, %%dr3"
                         :
                         : "r"(want[0]), "r"(want[1]), "r"(want[2]), "r"(want[3]));
        for (volatile unsigned spin = 0; spin < 200000; spin++)
            ;
        __asm__ volatile("mov %%dr0, %0; mov %%dr1, %1; mov %%dr2, %2; mov %%dr3, %3"
                         : "=r"(got[0]), "=r"(got[1]), "=r"(got[2]), "=r"(got[3]));
        for (unsigned i = 0; i < 4; i++)
            if (got[i] != want[i])
                print("adversary: WRONG: DR%u 0x%llx, not 0x%llx\n", i, (unsigned long long)got[i],
                      (unsigned long long)want[i]);
    }
    __asm__ volatile("mov %0, %%dr0; mov %0, %%dr1; mov %0, %%dr2; mov %0, %%dr3" : : "r"(0ull));
}

void attack_registers(void)
{
    keep_debug_registers();
    uint64_t cr0, cr3, cr4, keep0 = 0, keep4 = 0;
    if (!intel()) { /* QEMU 7.2 lets paging and PAE be cleared in long mode, which no guest survives */
        keep0 = 0x80000001;
        keep4 = 0x20;
    }
    __asm__ volatile("mov %%cr0, %0; mov %%cr3, %1; mov %%cr4, %2" : "=r"(cr0), "=r"(cr3), "=r"(cr4));
    for (unsigned bit = 0; bit < 64; bit++) {
        attempt(cr0_write, (cr0 ^ 1ull << bit) | keep0);
        __asm__ volatile("mov %0, %%cr0" : : "r"(cr0) : "memory");
        attempt(cr4_write, (cr4 ^ 1ull << bit) | keep4);
        __asm__ volatile("mov %0, %%cr4" : : "r"(cr4) : "memory");
        attempt(dr_write, 1ull << bit);
        if (bit >= 52)
            attempt(cr3_write, cr3 | 1ull << bit);
        __asm__ volatile("mov %0, %%cr3" : : "r"(cr3) : "memory");
    }
    for (unsigned i = 0; i < 500; i++) {
        attempt(cr0_write, (below(2) ? (chance() & 0xffffffff) | 0x80000001 : chance()) | keep0);
        __asm__ volatile("mov %0, %%cr0" : : "r"(cr0) : "memory");
        attempt(cr4_write, (below(2) ? cr4 | (chance() & 0x3fffff) : chance()) | keep4);
        __asm__ volatile("mov %0, %%cr4" : : "r"(cr4) : "memory");
        attempt(cr2_write, chance());
        attempt(cr8_write, below(2) ? below(20) : chance());
        attempt(cr8_write, 0);
        attempt(dr_write, chance());
        attempt(dr_bad, chance());
        attempt(lmsw, chance());
        __asm__ volatile("mov %0, %%cr0" : : "r"(cr0) : "memory");
        xcr_index = 0;
        attempt(xcr_write, below(2) ? below(0x400) : chance()); /* without OSXSAVE: #UD */
    }
    uint32_t r[4];
    cpuid(1, r);
    if (r[2] & 1u << 26) {
        __asm__ volatile("mov %0, %%cr4" : : "r"(cr4 | 1u << 18) : "memory");
        for (unsigned i = 0; i < 1500; i++) {
            xcr_index = below(8) ? 0 : (uint32_t)chance();
            attempt(xcr_write, i < 1024 ? i : chance());
        }
        xcr_index = 0;
        attempt(xcr_write, 1);
        __asm__ volatile("mov %0, %%cr4" : : "r"(cr4) : "memory");
    }
}

/* ---- code: instructions that write themselves, that cross pages, that reach into devices */

static void jump_to(uint64_t at)
{
    ((void (*)(void))(uintptr_t)at)();
}

static void run_across(uint64_t registers)
{
    adversary_call(adversary_code + 4095, (const uint64_t *)registers);
}

void attack_code(void)
{
    uint64_t x[6] = {0x5a5a5a5a, 0, 0, 0, (uintptr_t)adversary_code + 0x1800, 0};
    static const struct {
        uint8_t bytes[8];
        uint8_t size;
    } accesses[] = {
        /* all on [rdi] */
        {{0x89, 0x07}, 2},
        {{0x8b, 0x07}, 2},
        {{0x48, 0x89, 0x07}, 3},
        {{0x48, 0x8b, 0x07}, 3},
        {{0x88, 0x07}, 2},
        {{0x66, 0x89, 0x07}, 3},
        {{0x48, 0xa5}, 2},
        {{0xf3, 0xa4}, 2},
        {{0xf3, 0x48, 0xab}, 3},
        {{0xf0, 0x48, 0x01, 0x07}, 4},
        {{0xf0, 0x48, 0x0f, 0xb1, 0x07}, 5},
        {{0x48, 0x87, 0x07}, 3},
        {{0x0f, 0xb6, 0x07}, 3},
        {{0x48, 0x0f, 0xba, 0x2f, 0x3f}, 5},
        {{0x48, 0xff, 0x07}, 3},
        {{0xf6, 0x17}, 2},
        {{0x48, 0x63, 0x07}, 3},
        {{0x48, 0xf7, 0x07, 1, 0, 0, 0}, 7},
        {{0xc7, 0x07, 1, 2, 3, 4}, 6},
        {{0x64, 0x8b, 0x07}, 3},
        {{0x48, 0x0f, 0xc1, 0x07}, 4},
        {{0x48, 0x0f, 0xc3, 0x07}, 4},
    };
    const uint64_t targets[] = {ram_end,    ram_end - 4, ram_end + 0xffd, 0xfee00ffd, 0xfec00ffe, 0xe00ffffe,
                                0xfee00020, 0xfec00000,  0xffffffff,      0xfffffffc, 0xd0000ffd};
    for (unsigned t = 0; t < sizeof targets / sizeof targets[0]; t++)
        for (unsigned i = 0; i < sizeof accesses / sizeof accesses[0]; i++) {
            x[5] = targets[t], x[2] = 3, x[4] = (uintptr_t)adversary_code + 0x1800;
            execute_with(accesses[i].bytes, accesses[i].size, x);
            for (unsigned k = 0; k < accesses[i].size; k++) /* the same, the instruction itself across a page's end */
                ((volatile uint8_t *)adversary_code)[4095 + k] = accesses[i].bytes[k];
            ((volatile uint8_t *)adversary_code)[4095 + accesses[i].size] = 0xc3;
            x[2] = 3;
            attempt(run_across, (uintptr_t)x);
        }
    /* Writes the device access that comes next over a nop, ten times over. */
    static const uint8_t self[] = {
        0x48, 0x8d, 0x05, 0x09, 0,    0,    0,    /* lea rax, [rip+9]: the five nops */
        0xc7, 0x00, 0x8b, 0x0f, 0x90, 0x90,       /* mov dword [rax], "mov ecx, [rdi]; nop; nop" */
        0x90, 0x90, 0x90,                         /* to here +9 */
        0x90, 0x90, 0x90, 0x90, 0x90, 0xff, 0xce, /* dec esi */
        0x75, 0xe7,                               /* jnz to the beginning */
    };
    for (unsigned i = 0; i < 20; i++) {
        x[4] = 10, x[5] = ram_end + (below(64) << 12);
        execute_with(self, sizeof self, x);
    }
    /* Into where no memory is: the CPU fetches all ones there, which is no instruction. */
    attempt(jump_to, ram_end);
    attempt(jump_to, ram_end + 0x1234);
    attempt(jump_to, 0xfee00020);
    attempt(jump_to, 0xfec00010);
    attempt(jump_to, 0xe0000000);
    attempt(jump_to, 0xfffffff0);
    /* An instruction that begins in memory and ends behind it. */
    volatile uint8_t *last = (volatile uint8_t *)(uintptr_t)(ram_end - 2);
    uint8_t keep[2] = {last[0], last[1]};
    last[0] = 0x48, last[1] = 0x8b;
    attempt(jump_to, ram_end - 2);
    last[0] = keep[0], last[1] = keep[1];
    attempt(jump_to, 0x8000000000000000ull);
}

/* ---- descriptor tables and task gates */

static void load_selector(uint64_t s)
{
    __asm__ volatile("mov %w0, %%ds; mov %w0, %%es; mov %w0, %%fs; mov %w0, %%gs" : : "r"((uint32_t)s));
}
static void load_stack(uint64_t s)
{
    __asm__ volatile("mov %w0, %%ss" : : "r"((uint32_t)s));
}
static void load_task(uint64_t s)
{
    __asm__ volatile("ltr %w0" : : "r"((uint32_t)s));
}
static void load_ldt(uint64_t s)
{
    __asm__ volatile("lldt %w0" : : "r"((uint32_t)s));
}
static struct {
    uint32_t offset;
    uint16_t selector;
} __attribute__((packed)) far;
static void far_jump(uint64_t s)
{
    far.offset = (uint32_t)(uintptr_t)adversary_code;
    far.selector = (uint16_t)s;
    __asm__ volatile("ljmp *%0" : : "m"(far));
}
static void software_interrupt(uint64_t vector)
{
    if (vector == 0x81)
        __asm__ volatile("int $0x81");
    else if (vector == 3)
        __asm__ volatile("int3");
    else
        __asm__ volatile("int $0x90");
}

void attack_tables(void)
{
    adversary_code[0] = 0xc3;
    for (unsigned i = 0; i < 400; i++) {
        /* Above the task's two slots: anything, system descriptors of every type among it (call and task gates, busy
         * tasks), but no free task: ours has the stacks that we survive on. */
        for (unsigned k = 8; k < 16; k++) {
            uint64_t d = below(2) ? chance() : (chance() & ~(0x9full << 40)) | (0x80 | below(32)) << 40;
            adversary_gdt[k] = (d >> 40 & 0x17) == 1 ? d ^ 2ull << 40 : d; /* types 9, and 1, which QEMU takes too */
        }
        __asm__ volatile("" : : : "memory");
        uint64_t s = 0x40 + below(8) * 8 + below(8);
        attempt(load_selector, s);
        attempt(load_stack, s);
        attempt(load_task, s);
        attempt(load_ldt, s);
        attempt(load_task, 0x28);                                              /* busy */
        adversary_gdt[9] = 0x0000850000280000ull;                              /* a task gate to our task */
        adversary_gdt[10] = (adversary_gdt[5] & ~(0xfull << 40)) | 3ull << 40; /* a 16-bit task */
        __asm__ volatile("" : : : "memory");
        attempt(far_jump, 0x48);
        attempt(far_jump, 0x28);
        attempt(far_jump, 0x50);
        struct gate g = adversary_idt[0x90];
        /* A task gate, or anything but an open gate. */
        adversary_idt[0x90].type = (uint8_t)(below(2) ? 0x85 : (chance() & ~0xeull));
        adversary_idt[0x90].selector = (uint16_t)(below(2) ? 0x28 : chance());
        __asm__ volatile("" : : : "memory");
        attempt(software_interrupt, 0x90);
        adversary_idt[0x90] = g;
        __asm__ volatile("" : : : "memory");
    }
    for (unsigned k = 8; k < 16; k++)
        adversary_gdt[k] = 0;
    __asm__ volatile("lldt %w0" : : "r"(0));
}

/* ---- delivery: double faults, NMIs, debug exceptions where they hurt */

static void watch_stack(uint64_t unused)
{
    /* A breakpoint on the very words that delivering an exception pushes (CVE-2015-8104), then an interrupt. */
    (void)unused;
    __asm__ volatile("mov %0, %%dr0; mov %1, %%dr7; int $0x81"
                     :
                     : "r"(adversary_stack - 0x18), "r"(0x000d0403ull)
                     : "memory");
}
static void watch_mov_ss(uint64_t target)
{
    /* A pending breakpoint held back by MOV SS, over INT (CVE-2018-8897). */
    static uint16_t selector = 0x10;
    __asm__ volatile("mov %0, %%dr0; mov %1, %%dr7" : : "r"(&selector), "r"(0x00070403ull) : "memory");
    if (target == 0)
        __asm__ volatile("mov %0, %%ss; int $0x81" : : "m"(selector));
    else if (target == 1)
        __asm__ volatile("mov %0, %%ss; int3" : : "m"(selector));
    else if (target == 2)
        __asm__ volatile("mov %0, %%ss; cpuid" : : "m"(selector) : "rax", "rbx", "rcx", "rdx");
    else
        __asm__ volatile("mov %0, %%ss; outb %%al, $0x80" : : "m"(selector));
    __asm__ volatile("mov %0, %%dr7" : : "r"(0x400ull));
}
static void step(uint64_t what)
{
    /* Single-stepping over what makes exits. */
    if (what == 0)
        __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq; cpuid; nop" : : : "rax", "rbx", "rcx", "rdx", "memory");
    else if (what == 1)
        __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq; outb %%al, $0x80; nop" : : : "memory");
    else
        __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq; movabsl 0xfee00020, %%eax; nop" : : : "rax", "memory");
}
static void nmi_self(uint64_t how)
{
    volatile uint32_t *icr = (volatile uint32_t *)0xfee00300ull;
    icr[4] = 0;
    *icr = 0x4400; /* to APIC 0; the shorthand "self" takes no NMIs */
    if (how == 1)
        __asm__ volatile("sti; cli; sti; nop; cli");
    else if (how == 2)
        __asm__ volatile("mov %0, %%ss; nop" : : "r"(0x10));
    else if (how == 3)
        __asm__ volatile("mov %0, %%cr8; mov %%cr8, %%rax; movl $0x4400, (%1)"
                         :
                         : "r"(15ull), "r"(icr)
                         : "rax", "memory");
}
static void ipi_self(void)
{
    *(volatile uint32_t *)0xfee00300ull = 0x44000 | 0xd0;
}
static uint8_t ring3_stack[4096] __attribute__((aligned(16)));
static void ring3(uint64_t code)
{
    uint64_t stack = adversary_user + (uintptr_t)ring3_stack + sizeof ring3_stack - 8;
    adversary_ring3((const void *)(uintptr_t)(adversary_user + code), stack);
}

void attack_delivery(void)
{
    struct gate gp = adversary_idt[13], np = adversary_idt[11], x81 = adversary_idt[0x81];
    for (unsigned i = 0; i < 50; i++) { /* a fault whose handlers are not there: a double fault */
        adversary_idt[13].type = adversary_idt[11].type = adversary_idt[0x81].type = 0;
        __asm__ volatile("" : : : "memory");
        uint64_t before = fault_count;
        attempt(software_interrupt, 0x81);
        attempt(load_selector, 0x7ff8);
        adversary_idt[13] = gp, adversary_idt[11] = np, adversary_idt[0x81] = x81;
        __asm__ volatile("" : : : "memory");
        if (fault_count == before)
            print("adversary: no double fault came\n");
    }
    /* An interrupt stack where no address can be; the double fault's is good. */
    adversary_idt[13].ist = 7;
    __asm__ volatile("" : : : "memory");
    for (unsigned i = 0; i < 20; i++)
        attempt(load_selector, 0x7ff8);
    adversary_idt[13] = gp;
    for (unsigned i = 0; i < 30; i++) {
        if (intel()) /* QEMU 7.2 ends itself on such a watchpoint */
            attempt(watch_stack, 0);
        __asm__ volatile("mov %0, %%dr7" : : "r"(0x400ull));
        attempt(watch_mov_ss, i % 4);
        __asm__ volatile("mov %0, %%dr7" : : "r"(0x400ull));
        attempt(step, i % 3);
    }
    __asm__ volatile("mov %0, %%dr7; mov %1, %%dr0" : : "r"(0x400ull), "r"(0ull));
    uint64_t nmis = nmi_count;
    for (unsigned i = 0; i < 300; i++) {
        attempt(nmi_self, i % 4);
        __asm__ volatile("mov %0, %%cr8" : : "r"(0ull));
        let_in(1);
    }
    if (nmi_count == nmis)
        print("adversary: no NMI came\n");
    /* CR8 is the local APIC's task priority: it holds interrupts back, and lets them through again. */
    uint64_t held, cr8;
    let_in(300);
    __asm__ volatile("mov %0, %%cr8" : : "r"(15ull));
    ipi_self();
    held = interrupt_count;
    let_in(5);
    if (interrupt_count != held || *(volatile uint32_t *)0xfee00080ull != 0xf0)
        print("adversary: WRONG: CR8 holds nothing back\n");
    *(volatile uint32_t *)0xfee00080ull = 0x30;
    __asm__ volatile("mov %%cr8, %0" : "=r"(cr8));
    __asm__ volatile("mov %0, %%cr8" : : "r"(0ull));
    let_in(5);
    if (cr8 != 3 || interrupt_count != held + 1)
        print("adversary: WRONG: CR8 0x%llx, %llu interrupts\n", (unsigned long long)cr8,
              (unsigned long long)(interrupt_count - held));
    /* Ring 3 with an alignment check on every access (CVE-2015-5307), privileged instructions, an endless loop of
     * faults. */
    uint64_t cr0;
    __asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
    __asm__ volatile("mov %0, %%cr0" : : "r"(cr0 | 1u << 18));
    static const uint8_t codes[][12] = {
        {0x9c, 0x81, 0x0c, 0x24, 0, 0, 4, 0, 0x9d, 0x50, 0x8b,
         0x44}, /* pushf; or dword [rsp], AC; popf; push rax; ... */
        {0x48, 0xff, 0xc4, 0xcc},
        {0xf4},
        {0xfa},
        {0x0f, 0x01, 0xc1},
        {0x0f, 0x01, 0xd9},
        {0x0f, 0x01, 0xd8},
        {0xe6, 0x80},
        {0x0f, 0x30},
        {0x0f, 0xa2, 0xcc},
        {0x0f, 0x05},
        {0x0f, 0x34},
        {0xcd, 0x81},
        {0x8b, 0x04, 0x25, 0x20, 0, 0xe0, 0xfe},
        {0x0f, 0x01, 0xd1},
    };
    for (unsigned n = 0; n < 4; n++)
        for (unsigned i = 0; i < sizeof codes / sizeof codes[0]; i++) {
            for (unsigned k = 0; k < 12; k++)
                ((volatile uint8_t *)adversary_code)[k] = codes[i][k];
            ((volatile uint8_t *)adversary_code)[12] = 0x24;
            ((volatile uint8_t *)adversary_code)[13] = 0x03;
            ((volatile uint8_t *)adversary_code)[14] = 0x0f;
            ((volatile uint8_t *)adversary_code)[15] = 0x0b;
            attempt(ring3, (uintptr_t)adversary_code);
        }
    __asm__ volatile("mov %0, %%cr0" : : "r"(cr0));
}

/* ---- as many exits as there can be, of every cheap kind */

void attack_exits(void)
{
    uint32_t r[4];
    for (unsigned i = 0; i < 20000; i++)
        cpuid(i & 1 ? 0 : 0x40000000u, r);
    for (unsigned i = 0; i < 3000; i++) {
        outb(0x80, (uint8_t)i);
        (void)*(volatile uint32_t *)0xfee00020ull;
        (void)rdmsr(0xc0000080);
        execute(BYTES(0xf3, 0x90));
        __asm__ volatile("invlpg (%0)" : : "r"((uintptr_t)i << 12));
    }
    pit_init(1000);
    pic_unmask(0);
    for (unsigned i = 0; i < 30; i++) { /* the shortest sleeps: an interrupt waits already, or comes at once */
        *(volatile uint32_t *)0xfee00300ull = 0x44000 | 0xd0;
        wait_interrupt();
    }
}
