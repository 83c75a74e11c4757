// SPDX-License-Identifier: Apache-2.0
/*
 * What comes between two instructions: single steps and breakpoints at instructions that a hypervisor carries out, RF
 * in the frames of faults, and NMIs. One line per check, a sum at the end, exit code 0 or 1.
 *
 * In plain QEMU 7.2 the checks of RF and of NMIs fail: it pushes no RF, and looks for NMIs between blocks of code only.
 */
#include "guest.h"

#define APIC     0xfee00000u
#define ICR      (APIC + 0x300)
#define SEND_NMI 0x4400u

#define FLAG_RF (1u << 16)
#define DR6_BS  (1u << 14)

static unsigned passed, failed;
static struct {
    volatile unsigned count, at[16], flags[16], dr6;
} traps, nmis;
static volatile unsigned faults, fault_flags;
static bool goes_on; /* a breakpoint's handler sets RF */

static void check(const char *what, bool good, unsigned a, unsigned b)
{
    print("steps: %s %s (%x, %x)\n", good ? "ok    " : "FAILED", what, a, b);
    if (good)
        passed++;
    else
        failed++;
}

static void on_debug(struct frame *f)
{
    unsigned long dr6;
    __asm__ volatile("mov %%dr6, %0" : "=r"(dr6));
    traps.at[traps.count & 15] = f->ip;
    traps.flags[traps.count & 15] = f->flags;
    traps.count++;
    traps.dr6 |= (unsigned)dr6;
    __asm__ volatile("mov %0, %%dr6" : : "r"(0xffff0ff0ul));
    if (goes_on)
        f->flags |= FLAG_RF;
}

/* RDMSR and WRMSR have two bytes. */
static void on_fault(struct frame *f)
{
    faults++;
    fault_flags = f->flags;
    f->ip += 2;
}

/* The first one's handler is sent two more. */
static void on_nmi(struct frame *f)
{
    nmis.at[nmis.count & 15] = f->ip;
    nmis.count++;
    if (nmis.count == 1) {
        *(volatile uint32_t *)ICR = SEND_NMI;
        *(volatile uint32_t *)ICR = SEND_NMI;
    }
}

/* `nth`: the trap that comes right behind the instruction, from 0. */
#define STEP(nth, setup, instruction)                                                                            \
    do {                                                                                                         \
        unsigned end_;                                                                                           \
        traps.count = traps.dr6 = 0;                                                                             \
        __asm__ volatile(setup "\n\tpushf\n\torl $0x100, (%%esp)\n\tpopf\n\t" instruction "\n"                   \
                               "1:\tnop\n\tnop\n\tpushf\n\tandl $~0x100, (%%esp)\n\tpopf\n\tmovl $1b, %0"        \
                         : "=r"(end_)                                                                            \
                         :                                                                                       \
                         : "eax", "ebx", "ecx", "edx", "esi", "edi", "memory");                                  \
        bool good_ = traps.at[nth] == end_ && traps.at[(nth) + 1] == end_ + 1 && (traps.dr6 & 0xf00f) == DR6_BS; \
        check("step over " instruction, good_, traps.at[nth] - end_, traps.dr6);                                 \
    } while (0)

/* Breakpoints at an instruction and right behind it: the second needs RF to be over. */
#define BREAK(setup, instruction)                                                                                 \
    do {                                                                                                          \
        unsigned at_, behind_;                                                                                    \
        traps.count = 0;                                                                                          \
        goes_on = true;                                                                                           \
        __asm__ volatile(setup "\n\tmovl $1f, %0\n\tmovl $2f, %1\n\tmov %0, %%dr0\n\tmov %1, %%dr1\n\t"           \
                               "mov $0x40a, %%eax\n\tmov %%eax, %%dr7\n\txor %%eax, %%eax\n1:\t" instruction "\n" \
                               "2:\tnop\n\txor %%eax, %%eax\n\tmov %%eax, %%dr7"                                  \
                         : "=&S"(at_), "=&D"(behind_)                                                             \
                         :                                                                                        \
                         : "eax", "ebx", "ecx", "edx", "memory");                                                 \
        goes_on = false;                                                                                          \
        bool good_ = traps.count == 2 && traps.at[0] == at_ && traps.at[1] == behind_;                            \
        check("breakpoints at and behind " instruction, good_, traps.count, traps.at[1] - behind_);               \
    } while (0)

static void steps(void)
{
    STEP(0, "", "nop");
    STEP(0, "", "cpuid");
    STEP(0, "mov $0x3fd, %%edx", "in %%dx, %%al");
    STEP(0, "", "out %%al, $0x80");
    STEP(0, "mov $0x1b, %%ecx", "rdmsr");
    STEP(0, "mov $0x277, %%ecx\n\trdmsr", "wrmsr");
    STEP(0, "", "movl 0xfee00030, %%eax");
    STEP(0, "xor %%eax, %%eax", "movl %%eax, 0xfec00000");
    STEP(0, "xor %%eax, %%eax", "andl %%eax, 0xfec00000");
    STEP(0, "mov %%cr0, %%eax", "mov %%eax, %%cr0");
    STEP(0, "mov %%cr0, %%eax\n\txor $0x40000000, %%eax", "mov %%eax, %%cr0");
    STEP(0, "mov %%cr0, %%eax\n\tand $~0x40000000, %%eax", "mov %%eax, %%cr0");
    STEP(0, "", "mov %%dr7, %%eax");
    STEP(0, "", "wbinvd");
    STEP(0, "", "cli");
    STEP(0, "mov $0x80, %%edx\n\tmov $1f, %%esi", "outsb");
    STEP(2, "mov $0x80, %%edx\n\tmov $1f, %%esi\n\tmov $3, %%ecx", "rep outsb");
    check("a round of REP leaves RF set, its end does not",
          traps.at[0] == traps.at[1] && (traps.flags[0] & FLAG_RF) && !(traps.flags[2] & FLAG_RF), traps.flags[0],
          traps.flags[2]);
    STEP(0, "mov %%ss, %%ebx", "mov %%ebx, %%ss; cpuid");
    STEP(0, "mov %%ss, %%ebx", "mov %%ebx, %%ss; movl 0xfee00030, %%eax");
    STEP(0, "mov %%ss, %%ebx", "mov %%ebx, %%ss; in $0x61, %%al");
    STEP(1, "", "push %%ss; pop %%ss; in $0x61, %%al");
}

static void breakpoints(void)
{
    BREAK("", "cpuid");
    BREAK("", "in $0x61, %%al");
    BREAK("", "movl 0xfee00030, %%eax");
}

/* The second comes before the instruction that the first came before; and there is no third. */
static void nmi_order(void)
{
    unsigned behind;
    *(volatile uint32_t *)(APIC + 0xf0) = 0x1ff;
    *(volatile uint32_t *)(APIC + 0x310) = *(volatile uint32_t *)(APIC + 0x20);
    __asm__ volatile("movl %1, %2\n1:\tnop\n\tnop\n\tnop\n\tmovl $1b, %0"
                     : "=r"(behind)
                     : "r"(SEND_NMI), "m"(*(volatile uint32_t *)ICR)
                     : "memory");
    check("two NMIs of three, with no instruction between", nmis.count == 2 && nmis.at[1] == nmis.at[0], nmis.count,
          nmis.at[1] - nmis.at[0]);
    check("the first behind what sent it", nmis.at[0] == behind, nmis.at[0], behind);
}

int guest_main(uint32_t magic, const struct multiboot *info)
{
    (void)magic;
    (void)info;
    serial_init();
    tables_init();
    handle(1, on_debug);
    handle(2, on_nmi);
    handle(13, on_fault);
    steps();
    breakpoints();
    (void)rdmsr(0x12345678);
    check("a fault's frame has RF", faults == 1 && (fault_flags & FLAG_RF), faults, fault_flags);
    nmi_order();
    print("steps: %u passed, %u failed\n", passed, failed);
    guest_exit(failed ? 1 : 0);
}
