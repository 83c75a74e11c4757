/*
 * The MSRs that a guest reaches without an exit. Everything else exits, and the monitor decides. One page for all vCPUs: it never changes.
 * Layout: Intel SDM vol. 3, 25.6.9: 1 KiB each for reading low, reading high, writing low, writing high MSRs; a set bit exits.
 */
#include "vmx/vmx.h"

#include "arch/x86_64/regs.h"
#include "kernel/string.h"

void *vmx_msr_page;

enum { READ = 1, WRITE = 2, BOTH = 3 };
struct msr_row { uint32_t first, last; uint32_t open; const char *reason; };

static const struct msr_row rows[] = {
    {MSR_TSC, MSR_TSC, READ, "the CPU adds the guest's offset; a write would move the host's clock"},
    {MSR_SYSENTER_CS, MSR_SYSENTER_EIP, BOTH, "switched by every entry and exit"},
    {MSR_PAT, MSR_PAT, BOTH, "switched by every entry and exit; the CPU checks the value"},
    {MSR_EFER, MSR_EFER, BOTH, "switched by every entry and exit; the CPU follows LME and LMA in an unrestricted guest"},
    {MSR_STAR, MSR_FMASK, BOTH, "the guest's values stay in the CPU; nobody else uses SYSCALL"},
    {MSR_FS_BASE, MSR_GS_BASE, BOTH, "part of the guest's segment registers"},
    {MSR_KERNEL_GS_BASE, MSR_KERNEL_GS_BASE, BOTH, "the guest's value stays in the CPU; nobody else uses SWAPGS"},
    {MSR_TSC_AUX, MSR_TSC_AUX, READ, "the guest's value is in the CPU; the kernel must know it, so writes exit"},
};

static void open_bit(uint8_t *half, uint32_t msr) { half[(msr & 0x1fff) / 8] &= (uint8_t)~(1u << (msr & 7)); }

void vmx_msr_bitmap(uint8_t *page)
{
    memset(page, 0xff, PAGE_SIZE);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        for (uint32_t msr = rows[i].first; msr <= rows[i].last; msr++) {
            uint8_t *half = page + (msr >= 0xc0000000 ? 1024 : 0);
            if (rows[i].open & READ)
                open_bit(half, msr);
            if (rows[i].open & WRITE)
                open_bit(half + 2048, msr);
        }
    }
}
