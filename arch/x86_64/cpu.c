// SPDX-License-Identifier: Apache-2.0
/*
 * Per-CPU areas, descriptor tables and control registers. Sources: Intel SDM vol. 3, 3.4.5 (descriptors), 8.7 (64-bit
 * TSS), 2.5 (control registers).
 */
#include "arch/x86_64/cpu.h"

#include "arch/x86_64/apic.h"
#include "arch/x86_64/fpu.h"
#include "arch/x86_64/instr.h"
#include "arch/x86_64/leftovers.h"
#include "arch/x86_64/mce.h"
#include "arch/x86_64/traps.h"
#include "kernel/log.h"
#include "kernel/string.h"
#include "mm/hostmap.h"
#include "mullion/regs.h"

unsigned cpu_count;
bool cpu_has_tsc_aux;

struct tss {
    uint32_t reserved0;
    uint64_t rsp[3], reserved1, ist[7], reserved2;
    uint16_t reserved3, iomap_base;
    uint8_t iomap[65536 / 8 + 1];
} __attribute__((packed));
_Static_assert(offsetof(struct tss, rsp) == 4, "cpu_call_stack, and entry.asm");
_Static_assert(offsetof(struct tss, iomap) == 104, "Intel SDM vol. 3, figure 8-11");
_Static_assert(sizeof(struct tss) <= 3 * 4096, "three pages of the area");

static struct tss *tss_of(struct cpu *c)
{
    return (struct tss *)((uintptr_t)c + AREA_TSS);
}

#define GDT_BYTES (SEL_TSS + 16u)
#define ALL_FLAGS 0x257fd5u

enum error cpu_area_create(unsigned number)
{
    uint64_t va = CPU_AREAS_VA + number * CPU_AREA_SIZE;
    for (uint64_t at = 0; at < CPU_AREA_SIZE; at += PAGE_SIZE) {
        if (at == AREA_GUARD)
            continue;
        enum error e = hostmap_pool_page(va + at);
        if (e != OK)
            return e;
    }
    /* A VM exit leaves the GDT's limit at 64 KiB: what ring 3 then finds behind the table is a page fault. */
    enum error e = hostmap_pool_page(GDTS_VA + number * GDT_STRIDE);
    if (e != OK)
        return e;
    struct cpu *c = cpu_by_number(number);
    c->number = number;
    c->timer_armed = NEVER;
    c->path = PATH_COUNT;
    c->tsc_aux = ~0ull; /* not known */

    struct tss *t = tss_of(c);
    t->ist[0] = va + AREA_STACK_DF;
    t->ist[1] = va + AREA_STACK_NMI;
    t->ist[2] = va + AREA_STACK_MC;
    t->iomap_base = sizeof *t;
    memset(t->iomap, 0xff, sizeof t->iomap);

    uint64_t base = (uint64_t)t, limit = sizeof *t - 1, *gdt = cpu_gdt(c);
    gdt[SEL_KERNEL_CODE / 8] = 0x00af9b000000ffff;
    gdt[SEL_KERNEL_DATA / 8] = 0x00cf93000000ffff;
    gdt[SEL_USER_DATA / 8] = 0x00cff3000000ffff;
    gdt[SEL_USER_CODE / 8] = 0x00affb000000ffff;
    gdt[SEL_USER_STACK / 8] = gdt[SEL_USER_DATA / 8];
    gdt[SEL_TSS / 8] = (limit & 0xffff) | (base & 0xffffff) << 16 | 0x89ull << 40 | (limit >> 16) << 48 |
                       (base >> 24 & 0xff) << 56;
    gdt[SEL_TSS / 8 + 1] = base >> 32;
    return OK;
}

void cpu_reload_tr(struct cpu *c)
{
    cpu_gdt(c)[SEL_TSS / 8] &= ~(2ull << 40); /* not busy, or LTR faults */
    __asm__ volatile("ltr %w0" : : "r"(SEL_TSS) : "memory");
}

void cpu_init(void)
{
    struct cpu *c = this_cpu();
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) pointer = {GDT_BYTES - 1, (uint64_t)cpu_gdt(c)};
    __asm__ volatile("lgdt %0" : : "m"(pointer) : "memory");
    __asm__ volatile("pushq %0; leaq 1f(%%rip), %%rax; pushq %%rax; lretq; 1:"
                     :
                     : "i"(SEL_KERNEL_CODE)
                     : "rax", "memory");
    __asm__ volatile("mov %0, %%ds; mov %0, %%es; mov %0, %%ss; mov %1, %%fs; mov %1, %%gs"
                     :
                     : "r"(SEL_KERNEL_DATA), "r"(0)
                     : "memory");
    pointer.limit = IDT_LIMIT;
    pointer.base = idt_base();
    __asm__ volatile("lidt %0" : : "m"(pointer) : "memory");
    cpu_reload_tr(c);
    __asm__ volatile("lldt %w0" : : "r"(0));

    struct cpuid_regs seven = cpuid(0, 0).eax >= 7 ? cpuid(7, 0) : (struct cpuid_regs){0};
    uint64_t cr4 = CR4_PAE | CR4_PGE | CR4_MCE | CR4_OSFXSR | CR4_OSXMMEXCPT;
    if (seven.ebx & 1u << 7)
        cr4 |= CR4_SMEP;
    if (seven.ebx & 1u << 20)
        cr4 |= CR4_SMAP;
    if (seven.ecx & 1u << 2)
        cr4 |= CR4_UMIP;
    if (cpuid(1, 0).ecx & 1u << 26)
        cr4 |= CR4_OSXSAVE; /* until fpu_close */
    wrmsr(MSR_PAT, PAT_HOST);
    (void)mce_look(MCE_AT_BOOT);
    write_cr4(cr4); /* PGE goes from 0 to 1: forgets translations of the old PAT */
    write_cr0(CR0_HOST);
    /* No SYSCALL in ring 3, and no SYSENTER, before cpu_calls_by. */
    wrmsr(MSR_EFER, (rdmsr(MSR_EFER) & ~EFER_SCE) | EFER_NXE);
    wrmsr(MSR_SYSENTER_CS, 0);
    cpu_has_tsc_aux = cpuid(0x80000001, 0).edx & 1u << 27; /* RDTSCP */
    leftovers_clear();
    fpu_init();
}

/*
 * SYSENTER loads CS from its MSR and SS from behind it, SYSEXIT CS from + 32 and SS from + 40 (Intel SDM vol. 2).
 * SYSCALL loads CS from bits 47:32 of STAR and SS from behind it, SYSRET SS from bits 63:48 + 8 and CS from + 16 (AMD
 * APM vol. 2, 6.1.1). SYSCALL clears all flags; SYSENTER clears IF alone, and entry.asm the others.
 */
_Static_assert(SEL_KERNEL_DATA == SEL_KERNEL_CODE + 8 && SEL_USER_CODE == SEL_KERNEL_CODE + 32 + 3 &&
                   SEL_USER_STACK == SEL_KERNEL_CODE + 40 + 3 && SEL_USER_CODE == SEL_USER_DATA + 8,
               "the order in the GDT");
_Static_assert(CPU_AREAS_VA == 0xffffffffa0000000 && CPU_AREA_SIZE == 0x10000 && AREA_TSS == 0x1000 && MAX_CPUS == 1024,
               "entry.asm has these");
void cpu_calls_by(enum call_way way)
{
    struct cpu *c = this_cpu();
    if (way == CALL_BY_SYSENTER) {
        wrmsr(MSR_SYSENTER_CS, SEL_KERNEL_CODE);
        wrmsr(MSR_SYSENTER_ESP, cpu_call_stack(c));
        wrmsr(MSR_SYSENTER_EIP, (uint64_t)sysenter_entry);
        return;
    }
    wrmsr(MSR_STAR, (uint64_t)(SEL_USER_DATA - 8) << 48 | (uint64_t)SEL_KERNEL_CODE << 32);
    wrmsr(MSR_LSTAR, (uint64_t)syscall_entries + c->number * 16ull);
    wrmsr(MSR_FMASK, ALL_FLAGS);
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE);
}

void cpu_set_rsp0(struct cpu *c, uint64_t thread_frame_end)
{
    tss_of(c)->rsp[0] = thread_frame_end;
}

/* By 64 ports at once. */
void cpu_ports(struct cpu *c, uint32_t first, uint32_t last, bool open)
{
    uint8_t *map = tss_of(c)->iomap;
    for (uint32_t next; first <= last; first = next) {
        next = (first | 63) + 1;
        uint64_t word, bits = ~0ull << first % 64 & ~0ull >> (next > last + 1 ? next - last - 1 : 0);
        memcpy(&word, map + first / 64 * 8, sizeof word);
        word = open ? word & ~bits : word | bits;
        memcpy(map + first / 64 * 8, &word, sizeof word);
    }
}

void cpu_ports_reach(struct cpu *c, bool reach)
{
    tss_of(c)->iomap_base = reach ? offsetof(struct tss, iomap) : sizeof(struct tss);
}

void cpu_post(struct cpu *c, uint32_t work)
{
    uint32_t before = __atomic_fetch_or(&c->work, work, __ATOMIC_SEQ_CST);
    if (c != this_cpu() && (before & work) != work) /* else it knows, and looks before it leaves ring 0 */
        apic_ipi(c->apic_id, VECTOR_IPI);
}
