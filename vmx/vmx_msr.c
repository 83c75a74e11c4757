// SPDX-License-Identifier: Apache-2.0
/*
 * The MSRs that a guest reaches without an exit. Everything else exits, and the monitor decides. One page for all vCPUs
 * whose x2APIC the CPU virtualizes, one for the others, and the same again with IA32_SPEC_CTRL: they never change.
 * Layout: Intel SDM vol. 3, 25.6.9: 1 KiB each for reading low, reading high, writing low, writing high MSRs; a set bit
 * exits.
 */
#include "vmx/vmx.h"

#include "arch/x86_64/speculation.h"
#include "kernel/string.h"
#include "mullion/regs.h"

void *vmx_msr_page[MSR_BITMAPS];

enum { READ = 1, WRITE = 2, BOTH = 3 };
struct msr_row {
    uint32_t first, last;
    uint32_t open;
    const char *reason;
};

static const struct msr_row rows[] = {
    {MSR_TSC, MSR_TSC, READ, "the CPU adds the guest's offset; a write would move the host's clock"},
    {MSR_SYSENTER_CS, MSR_SYSENTER_EIP, BOTH, "switched by every entry and exit"},
    {MSR_PAT, MSR_PAT, BOTH, "switched by every entry and exit; the CPU checks the value"},
    {MSR_EFER, MSR_EFER, BOTH,
     "switched by every entry and exit; the CPU follows LME and LMA in an unrestricted guest"},
    {MSR_STAR, MSR_FMASK, READ,
     "the guest's values are in the CPU; the kernel must know them, so writes exit (a kernel's start makes them)"},
    {MSR_FS_BASE, MSR_GS_BASE, BOTH, "part of the guest's segment registers"},
    {MSR_KERNEL_GS_BASE, MSR_KERNEL_GS_BASE, BOTH, "the guest's value stays in the CPU; no other code uses SWAPGS"},
    {MSR_TSC_AUX, MSR_TSC_AUX, READ, "the guest's value is in the CPU; the kernel must know it, so writes exit"},
};

/* Only what the CPU keeps in the virtual-APIC page, whatever else its own APIC or that page may have (SDM vol.
 * 3, 30.5). */
static const struct msr_row apic_rows[] = {
    {0x802, 0x803, READ, "ID, version"},
    {0x808, 0x808, BOTH, "TPR"},
    {0x80a, 0x80a, READ, "PPR"},
    {0x80b, 0x80b, WRITE, "EOI"},
    {0x80d, 0x80d, READ, "LDR"},
    {0x80f, 0x828, READ, "SVR, ISR, TMR, IRR, ESR"},
    {0x832, 0x838, READ, "LVT, timer's initial count"},
    {0x83e, 0x83e, READ, "timer's divisor"},
    {0x83f, 0x83f, WRITE, "SELF IPI"},
};

static const struct msr_row command = {MSR_PRED_CMD, MSR_PRED_CMD, WRITE, "it tells the predictors to forget"};
static const struct msr_row controls = {MSR_SPEC_CTRL, MSR_SPEC_CTRL, BOTH, "each exit reads it and sets the host's"};

static void open_bit(uint8_t *half, uint32_t msr)
{
    half[(msr & 0x1fff) / 8] &= (uint8_t) ~(1u << (msr & 7));
}

static void open_rows(uint8_t *page, const struct msr_row *row, size_t count)
{
    for (; count--; row++) {
        for (uint32_t msr = row->first; msr <= row->last; msr++) {
            uint8_t *half = page + (msr >= 0xc0000000 ? 1024 : 0);
            if (row->open & READ)
                open_bit(half, msr);
            if (row->open & WRITE)
                open_bit(half + 2048, msr);
        }
    }
}

void vmx_msr_bitmap(uint8_t *page, uint32_t which)
{
    memset(page, 0xff, PAGE_SIZE);
    open_rows(page, rows, ARRAY_SIZE(rows));
    if (which & APIC_BY_CPU)
        open_rows(page, apic_rows, ARRAY_SIZE(apic_rows));
    if (speculation_msrs & GUEST_PRED_CMD)
        open_rows(page, &command, 1);
    if (which & BITMAP_SPEC_CTRL)
        open_rows(page, &controls, 1);
}
