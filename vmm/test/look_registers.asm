; SPDX-License-Identifier: Apache-2.0
; The registers that ring 3 can read, for vmm/test/look.c.
bits 64

section .text
global look_tsc_aux, look_xcr, look_cpuid

; void look_cpuid(uint32_t leaf, uint32_t subleaf, struct cpuid_regs *out)
look_cpuid:
    push rbx
    mov r8, rdx
    mov eax, edi
    mov ecx, esi
    cpuid
    mov [r8], eax
    mov [r8 + 4], ebx
    mov [r8 + 8], ecx
    mov [r8 + 12], edx
    pop rbx
    ret

; uint32_t look_tsc_aux(void): CPUID has RDTSCP.
look_tsc_aux:
    rdtscp
    mov eax, ecx
    ret

; uint64_t look_xcr(uint32_t index): CPUID has OSXSAVE.
look_xcr:
    mov ecx, edi
    xgetbv
    shl rdx, 32
    or rax, rdx
    ret
section .note.GNU-stack noalloc noexec nowrite progbits
