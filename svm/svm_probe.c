// SPDX-License-Identifier: Apache-2.0
/*
 * Can this CPU run guests by AMD-V with nested paging? If not, what is missing? Required: SVM, not disabled by
 * firmware, nested paging, at least one ASID for guests. mm/hostmap.c has asked for no-execute pages. Everything else
 * is optional.
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
    return a->asids < 2 ? LACK_SVM_ASIDS : LACK_NOTHING;
}

struct svm_abilities svm_abilities(void)
{
    if (cpuid(0x80000000u, 0).eax < 0x8000000au || !(cpuid(0x80000001u, 0).ecx & 1u << 2))
        return (struct svm_abilities){.svm = false}; /* VM_CR exists with SVM only */
    struct cpuid_regs revision = cpuid(0x8000000au, 0);
    return (struct svm_abilities){
        .svm = true, .vm_cr = rdmsr(MSR_VM_CR), .features = revision.edx, .asids = revision.ebx};
}
