; SPDX-License-Identifier: Apache-2.0
; How the other CPUs of tests/guests/smp.c begin: copied to SMP_AT, where a start-up IPI with vector SMP_AT / 4096 sends them, in real mode. On to long
; mode with the boot CPU's tables, and to smp_other(initial APIC ID) on the stack of that number.
SMP_AT      equ 0x8000
STACK_BYTES equ 4096

section .text
global smp_code, smp_code_end, smp_cr3, smp_gdtr, smp_idtr
extern smp_other, smp_stacks

bits 16
smp_code:
    cli
    mov ax, cs
    mov ds, ax
    o32 lgdt [smp_gdtr - smp_code]
    mov eax, 1 << 5             ; PAE, before EFER.LME
    mov cr4, eax
    mov eax, [smp_cr3 - smp_code]
    mov cr3, eax
    mov ecx, 0xc0000080         ; EFER
    rdmsr
    or eax, 1 << 8              ; LME
    wrmsr
    mov eax, 0x80000011         ; PG, ET, PE
    mov cr0, eax
    jmp dword 8:SMP_AT + (.long - smp_code)

bits 64
.long:
    mov eax, 0x10
    mov ds, eax
    mov es, eax
    mov ss, eax
    lidt [SMP_AT + (smp_idtr - smp_code)]
    mov eax, 1
    cpuid
    shr ebx, 24
    mov edi, ebx
    lea eax, [rbx + 1]
    imul eax, eax, STACK_BYTES
    lea rsp, [smp_stacks + rax]
    mov rax, smp_other
    call rax
    ud2

align 8
smp_cr3:  dq 0
smp_gdtr: dw 0
    dq 0
smp_idtr: dw 0
    dq 0
smp_code_end:
section .note.GNU-stack noalloc noexec nowrite progbits
