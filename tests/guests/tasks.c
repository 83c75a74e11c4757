// SPDX-License-Identifier: Apache-2.0
/*
 * Hardware task switches, as 32-bit systems of the past used them and a double fault's gate still does: CALL and JMP to
 * a TSS, INT and faults through task gates, IRET back. The last one is a double fault whose task ends the guest.
 */
#include "guest.h"

struct tss {
    uint32_t link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags;
    uint32_t eax, ecx, edx, ebx, esp, ebp, esi, edi;
    uint32_t es, cs, ss, ds, fs, gs, ldt;
    uint16_t trap, io;
};
_Static_assert(sizeof(struct tss) == 104, "as the CPU has it");

enum { CODE = 0x08, DATA = 0x10, TSS_MAIN = 0x18, TSS_OTHER = 0x20, TSS_FAULT = 0x28, TSS_DOUBLE = 0x30 };
#define NT (1u << 14)

static struct tss main_task, other, fault, twice;
static uint8_t stacks[3][4096] __attribute__((aligned(16)));
static uint64_t gdt[8], idt[256];
static volatile uint32_t runs, code, passed, failed;
static volatile bool ts, nested;

static void check(bool good, const char *what)
{
    print("%s %s\n", good ? "ok    " : "FAILED", what);
    good ? passed++ : failed++;
}

static uint32_t flags(void)
{
    uint32_t f;
    __asm__ volatile("pushf; pop %0" : "=r"(f));
    return f;
}

/* Each round ends in IRET; the next one goes on behind it. */
static void other_task(void)
{
    for (;;) {
        uint32_t cr0;
        __asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
        ts = cr0 & 8;
        nested = flags() & NT;
        runs++;
        if (nested)
            __asm__ volatile("iret" : : : "memory");
        else
            __asm__ volatile("ljmp %0, $0" : : "i"(TSS_MAIN) : "memory");
    }
}

/* A fault's task finds the code on its stack, and steps over the instruction, a MOV of two bytes. */
static void __attribute__((used)) note_code(uint32_t c)
{
    code = c;
    runs++;
    main_task.eip += 2;
}
void fault_entry(void);
__asm__(".text; fault_entry: call note_code; add $4, %esp; iret; jmp fault_entry");

static void double_task(void)
{
    check(twice.link == TSS_MAIN, "a double fault has its task");
    print("tasks: %u passed, %u failed\n", passed, failed);
    guest_exit(0);
}

static uint64_t tss_descriptor(const struct tss *t)
{
    uint64_t at = (uintptr_t)t;
    return (sizeof *t - 1) | (at & 0xffffff) << 16 | 0x89ull << 40 | (at >> 24) << 56;
}

static uint64_t task_gate(uint16_t selector)
{
    return (uint64_t)selector << 16 | 0x85ull << 40;
}

static void make(struct tss *t, void (*entry)(void), unsigned stack)
{
    *t = (struct tss){.eip = (uintptr_t)entry,
                      .eflags = 2,
                      .esp = (uintptr_t)stacks[stack] + sizeof stacks[0],
                      .cs = CODE,
                      .ss = DATA,
                      .ds = DATA,
                      .es = DATA,
                      .fs = DATA,
                      .gs = DATA,
                      .io = sizeof *t};
}

static void load_tables(void)
{
    struct {
        uint16_t limit;
        uintptr_t base;
    } __attribute__((packed)) g = {sizeof gdt - 1, (uintptr_t)gdt}, i = {sizeof idt - 1, (uintptr_t)idt};
    gdt[CODE / 8] = 0x00cf9a000000ffff;
    gdt[DATA / 8] = 0x00cf92000000ffff;
    gdt[TSS_MAIN / 8] = tss_descriptor(&main_task);
    gdt[TSS_OTHER / 8] = tss_descriptor(&other);
    gdt[TSS_FAULT / 8] = tss_descriptor(&fault);
    gdt[TSS_DOUBLE / 8] = tss_descriptor(&twice);
    idt[0x40] = task_gate(TSS_OTHER);
    idt[13] = task_gate(TSS_FAULT);
    idt[8] = task_gate(TSS_DOUBLE);
    __asm__ volatile("lgdt %0; lidt %1; ljmp %3, $1f; 1: mov %2, %%ds; mov %2, %%es; mov %2, %%fs; mov %2, %%gs;"
                     "mov %2, %%ss; ltr %w4"
                     :
                     : "m"(g), "m"(i), "r"(DATA), "i"(CODE), "r"(TSS_MAIN)
                     : "memory");
}

static uint8_t type_of(unsigned selector)
{
    return gdt[selector / 8] >> 40 & 0x1f;
}

static void by_instructions(void)
{
    uint32_t kept = 0x12345678, want = runs + 1;
    __asm__ volatile("lcall %1, $0" : "+b"(kept) : "i"(TSS_OTHER) : "memory");
    check(runs == want && kept == 0x12345678, "CALL to a TSS, and IRET back");
    check(ts && nested && other.link == TSS_MAIN, "CR0.TS and NT are set, the link is the old task");
    check(type_of(TSS_MAIN) == 0xb && type_of(TSS_OTHER) == 0x9, "the task that is left is not busy");
    check(!(flags() & NT), "the old task's flags are back");
    want++;
    __asm__ volatile("int $0x40" : : : "memory");
    check(runs == want && nested, "INT through a task gate");
    want++;
    __asm__ volatile("ljmp %0, $0" : : "i"(TSS_OTHER) : "memory");
    check(runs == want && !nested, "JMP to a TSS, and JMP back");
}

static void by_a_fault(void)
{
    for (uint32_t selector = 0x78; selector <= 0x80; selector += 8) { /* twice: the task goes on behind its IRET */
        uint32_t want = runs + 1;
        __asm__ volatile("mov %0, %%fs" : : "r"(selector) : "memory");
        check(runs == want && code == selector, "a fault through a task gate, with its error code");
    }
}

int guest_main(uint32_t magic, const struct multiboot *info)
{
    (void)magic;
    (void)info;
    serial_init();
    make(&other, other_task, 0);
    make(&fault, fault_entry, 1);
    make(&twice, double_task, 2);
    load_tables();
    by_instructions();
    by_a_fault();
    print("tasks: now a double fault\n");
    idt[13] = 0;
    __asm__ volatile("ud2");
    for (;;) {
    }
}
