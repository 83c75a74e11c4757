// SPDX-License-Identifier: Apache-2.0
#include "arch/x86_64/apic.h"

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/instr.h"
#include "mm/hostmap.h"
#include "mullion/regs.h"

enum {
    REG_ID = 0x02,
    REG_TPR = 0x08,
    REG_EOI = 0x0b,
    REG_SPURIOUS = 0x0f,
    REG_IN_SERVICE = 0x10,
    REG_ICR = 0x30,
    REG_ICR_HIGH = 0x31,
    REG_LVT_TIMER = 0x32,
    REG_LVT_LINT0 = 0x35,
    REG_LVT_LINT1 = 0x36,
    REG_LVT_ERROR = 0x37,
    REG_TIMER_INITIAL = 0x38,
    REG_TIMER_CURRENT = 0x39,
    REG_TIMER_DIVIDE = 0x3e
};
#define LVT_MASKED       (1u << 16)
#define LVT_TSC_DEADLINE (2u << 17)
#define ICR_NMI          (4u << 8)
#define ICR_INIT         (5u << 8)
#define ICR_STARTUP      (6u << 8)
#define ICR_ASSERT       (1u << 14)
#define ICR_OTHERS       (3u << 18)
#define ICR_PENDING      (1u << 12)
#define BASE_ENABLE      (1ull << 11)
#define BASE_X2APIC      (1ull << 10)

bool apic_has_deadline;
static bool x2apic;
static volatile uint32_t *registers;

static uint32_t read(unsigned reg)
{
    return x2apic ? (uint32_t)rdmsr(MSR_X2APIC_BASE + reg) : registers[reg * 4];
}

static void write(unsigned reg, uint32_t v)
{
    if (x2apic)
        wrmsr(MSR_X2APIC_BASE + reg, v);
    else
        registers[reg * 4] = v;
}

static void write_icr(uint32_t destination, uint32_t low)
{
    if (x2apic) {
        /* WRMSR to the ICR does not order earlier stores (Intel SDM vol. 3, 11.12.3). */
        __asm__ volatile("mfence; lfence" : : : "memory");
        wrmsr(MSR_X2APIC_BASE + REG_ICR, (uint64_t)destination << 32 | low);
        return;
    }
    while (registers[REG_ICR * 4] & ICR_PENDING)
        cpu_pause();
    if (!(low & ICR_OTHERS)) /* a shorthand: from an NMI, which may have come between this and the next */
        registers[REG_ICR_HIGH * 4] = destination << 24;
    registers[REG_ICR * 4] = low;
}

hpa_t apic_base(void)
{
    return hpa(page_down(rdmsr(MSR_APIC_BASE)));
}

void apic_setup(void)
{
    struct cpuid_regs one = cpuid(1, 0);
    x2apic = one.ecx & 1u << 21;
    apic_has_deadline = one.ecx & 1u << 24;
    if (!x2apic)
        registers = hostmap_device(apic_base(), PAGE_SIZE);
    /* Both 8259s: moved off the exception vectors, then masked. */
    out8(0x20, 0x11);
    out8(0xa0, 0x11);
    out8(0x21, 0x20);
    out8(0xa1, 0x28);
    out8(0x21, 4);
    out8(0xa1, 2);
    out8(0x21, 1);
    out8(0xa1, 1);
    out8(0x21, 0xff);
    out8(0xa1, 0xff);
}

void apic_init(void)
{
    uint64_t base = rdmsr(MSR_APIC_BASE) | BASE_ENABLE;
    wrmsr(MSR_APIC_BASE, base);
    if (x2apic)
        wrmsr(MSR_APIC_BASE, base | BASE_X2APIC);
    /* First: while the APIC is disabled in software, as INIT leaves it, mask bits cannot be cleared (Intel SDM vol.
     * 3, 11.4.7.2). */
    write(REG_SPURIOUS, 0x100 | VECTOR_SPURIOUS);
    write(REG_TPR, 0);
    write(REG_LVT_LINT0, LVT_MASKED);
    write(REG_LVT_LINT1, LVT_MASKED);
    write(REG_LVT_ERROR, LVT_MASKED);
    write(REG_TIMER_DIVIDE, 0xb); /* by 1 */
    write(REG_LVT_TIMER, apic_has_deadline ? VECTOR_TIMER | LVT_TSC_DEADLINE : VECTOR_TIMER);
    apic_eoi();
}

void apic_nmi_button(bool lint0)
{
    write(lint0 ? REG_LVT_LINT0 : REG_LVT_LINT1,
          ICR_NMI); /* the LVT has the delivery mode at the same place (11.5.1) */
}

uint32_t apic_id(void)
{
    return x2apic ? read(REG_ID) : read(REG_ID) >> 24;
}
bool apic_reaches(uint32_t id)
{
    return x2apic || id < 0xff;
}
void apic_eoi(void)
{
    write(REG_EOI, 0);
}
void apic_recheck(void)
{
    write(REG_TPR, 0);
}
bool apic_in_service(uint8_t vector)
{
    return read(REG_IN_SERVICE + vector / 32u) >> vector % 32u & 1;
}
void apic_ipi(uint32_t id, uint8_t vector)
{
    write_icr(id, ICR_ASSERT | vector);
}
void apic_init_ipi(uint32_t id)
{
    write_icr(id, ICR_ASSERT | ICR_INIT);
}
void apic_startup_ipi(uint32_t id, uint8_t page)
{
    write_icr(id, ICR_ASSERT | ICR_STARTUP | page);
}

void apic_nmi_others(void)
{
    if (x2apic || registers)
        write_icr(0, ICR_ASSERT | ICR_NMI | ICR_OTHERS);
}

void apic_timer(uint32_t ticks)
{
    write(REG_TIMER_INITIAL, ticks);
}
uint32_t apic_timer_left(void)
{
    return read(REG_TIMER_CURRENT);
}

void apic_timer_deadline(uint64_t tsc)
{
    __asm__ volatile("mfence; lfence"
                     :
                     :
                     : "memory"); /* orders the LVT write in xAPIC mode (Intel SDM vol. 3, 11.5.4.1) */
    wrmsr(MSR_TSC_DEADLINE, tsc);
}
