; SPDX-License-Identifier: Apache-2.0
; int adversary_try(code, argument): calls code(argument) and answers 0, or 1 when a handler sent the CPU to adversary_out: then
; everything that code had changed in the CPU is put back that C relies on.
bits 64

section .text
global adversary_try, adversary_out, adversary_sp
adversary_try:
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    mov [rel adversary_sp], rsp
    mov rax, rdi
    mov rdi, rsi
    call rax
    xor eax, eax
    jmp back
adversary_out:
    mov rsp, [rel adversary_sp]
    mov eax, 1
back:
    push 2
    popfq
    mov ecx, 0x10
    mov ds, ecx
    mov es, ecx
    mov ss, ecx
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    ret

; void adversary_ring3(code, stack): code runs in ring 3; any fault or interrupt there ends it.
global adversary_ring3
adversary_ring3:
    push 0x23
    push rsi
    push 2
    push 0x1b
    push rdi
    iretq

; void adversary_call(code, registers[6]): rax, rbx, rcx, rdx, rsi, rdi as given, for hypercalls and the like.
global adversary_call
adversary_call:
    push rbx
    push rbp
    mov rbp, rdi
    mov r8, rsi
    mov rax, [r8]
    mov rbx, [r8 + 8]
    mov rcx, [r8 + 16]
    mov rdx, [r8 + 24]
    mov rsi, [r8 + 32]
    mov rdi, [r8 + 40]
    call rbp
    pop rbp
    pop rbx
    ret

section .bss
alignb 8
adversary_sp: resq 1
section .note.GNU-stack noalloc noexec nowrite progbits
