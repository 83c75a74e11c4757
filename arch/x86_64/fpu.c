// SPDX-License-Identifier: Apache-2.0
/* XSAVE where the CPU has it, FXSAVE elsewhere. Source: Intel SDM vol. 1, chapter 13. */
#include "arch/x86_64/fpu.h"

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/instr.h"
#include "kernel/log.h"
#include "kernel/string.h"
#include "mullion/regs.h"

uint64_t cpu_xcr0_mask;
bool fpu_xcr0_by_guest;

void fpu_init(void)
{
    if (!(cpuid(1, 0).ecx & 1u << 26))
        return;
    struct cpuid_regs d = cpuid(0xd, 0);
    uint64_t mask = d.eax & (XCR0_X87 | XCR0_SSE | XCR0_AVX);
    if ((d.eax & XCR0_AVX512) == XCR0_AVX512 && (mask & XCR0_AVX))
        mask |= XCR0_AVX512;
    xsetbv(0, mask);
    if (cpuid(0xd, 0).ebx > FPU_AREA_SIZE)
        panic("the CPU's FPU state needs %u bytes; Mullion keeps at most %u", cpuid(0xd, 0).ebx, FPU_AREA_SIZE);
    cpu_xcr0_mask = mask;
    this_cpu()->xcr0 = mask;
}

void fpu_reset(void *area)
{
    memset(area, 0, FPU_AREA_SIZE);
    *(uint16_t *)area = 0x037f;                       /* FCW */
    *(uint32_t *)((char *)area + FPU_MXCSR) = 0x1f80; /* as after reset */
}

void fpu_open(void)
{
    clear_ts();
    if (!unlikely(fpu_xcr0_by_guest) && cpu_xcr0_mask)
        write_cr4(read_cr4() | CR4_OSXSAVE);
}

void fpu_save(void *area)
{
    if (likely(cpu_xcr0_mask))
        __asm__ volatile("xsave64 (%0)" : : "r"(area), "a"(0xffffffffu), "d"(0xffffffffu) : "memory");
    else
        __asm__ volatile("fxsave64 (%0)" : : "r"(area) : "memory");
}

void fpu_restore(const void *area)
{
    fpu_forget_pointers();
    if (likely(cpu_xcr0_mask))
        __asm__ volatile("xrstor64 (%0)" : : "r"(area), "a"(0xffffffffu), "d"(0xffffffffu) : "memory");
    else
        __asm__ volatile("fxrstor64 (%0)" : : "r"(area) : "memory");
}

void fpu_close(void)
{
    if (!unlikely(fpu_xcr0_by_guest))
        write_cr4(read_cr4() & ~CR4_OSXSAVE);
    write_cr0(CR0_HOST);
}

bool fpu_xcr0_valid(uint64_t xcr0)
{
    if (!(xcr0 & XCR0_X87) || (xcr0 & ~cpu_xcr0_mask))
        return false;
    if ((xcr0 & XCR0_AVX) && !(xcr0 & XCR0_SSE))
        return false;
    uint64_t wide = xcr0 & XCR0_AVX512;
    return !wide || (wide == XCR0_AVX512 && (xcr0 & XCR0_AVX));
}
