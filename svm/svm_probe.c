// SPDX-License-Identifier: Apache-2.0
/*
 * Can this CPU run guests by AMD-V with nested paging? If not, the answer is one sentence that names what is missing
 * and what to do. Required: SVM, not disabled by firmware, nested paging, at least one ASID for guests, no-execute
 * pages. Everything else is optional.
 */
#include "arch/x86_64/instr.h"
#include "mullion/regs.h"
#include "svm/svm.h"

const char *svm_lacks(const struct svm_abilities *a)
{
    if (!a->svm)
        return "the CPU has no AMD-V (CPUID 8000_0001h ECX bit 2); an emulator or an outer hypervisor may have it off by default";
    if ((a->vm_cr & (VM_CR_SVMDIS | VM_CR_LOCK)) == (VM_CR_SVMDIS | VM_CR_LOCK))
        return "the firmware has switched AMD-V off and locked it: enable \"SVM Mode\" (or \"AMD-V\") in its CPU settings";
    if (!(a->features & SVM_FEATURE_NPT))
        return "the CPU has AMD-V but no nested paging (CPUID 8000_000Ah EDX bit 0); a newer CPU is needed";
    if (a->asids < 2)
        return "AMD-V reports no address-space identifier for guests (CPUID 8000_000Ah EBX)";
    if (!a->nx)
        return "no-execute pages are off (CPUID 8000_0001h EDX bit 20): enable \"NX Mode\" in the firmware's CPU settings";
    return NULL;
}

struct svm_abilities svm_abilities(void)
{
    struct svm_abilities a = {0};
    if (cpuid(0x80000000u, 0).eax < 0x8000000au)
        return a;
    struct cpuid_regs extended = cpuid(0x80000001u, 0);
    a.svm = extended.ecx & 1u << 2;
    if (!a.svm)
        return a; /* VM_CR exists with SVM only */
    a.nx = extended.edx & 1u << 20;
    a.vm_cr = rdmsr(MSR_VM_CR);
    struct cpuid_regs revision = cpuid(0x8000000au, 0);
    a.asids = revision.ebx;
    a.features = revision.edx;
    return a;
}
