// SPDX-License-Identifier: Apache-2.0
/*
 * Can this CPU run guests by AMD-V with nested paging? If not, what is missing? Required: SVM, not disabled by
 * firmware, nested paging, at least one ASID for guests, no-execute pages. Everything else is optional.
 */
#include "arch/x86_64/instr.h"
#include "mullion/regs.h"
#include "svm/svm.h"

uint8_t svm_lacks(const struct svm_abilities *a)
{
    if (!a->svm)
        return LACK_SVM;
    if ((a->vm_cr & (VM_CR_SVMDIS | VM_CR_LOCK)) == (VM_CR_SVMDIS | VM_CR_LOCK))
        return LACK_SVM_UNLOCKED;
    if (!(a->features & SVM_FEATURE_NPT))
        return LACK_SVM_NPT;
    if (a->asids < 2)
        return LACK_SVM_ASIDS;
    return a->nx ? LACK_NOTHING : LACK_SVM_NX;
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
