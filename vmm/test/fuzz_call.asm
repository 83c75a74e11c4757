; SPDX-License-Identifier: Apache-2.0
; System calls as no program makes them, for vmm/test/fuzz.c: the fast instruction with flags that ring 0 must not have, with a stack pointer and, for
; SYSENTER, upper halves of both addresses that are none. It comes back from all of that.
bits 64
default rel

global odd_call

; struct odd_call (vmm/test/fuzz.c)
AT_NUMBER equ 0                    ; rax; its error when it is back
AT_VALUE  equ 8                    ; rdx, likewise
AT_RDI    equ 16
AT_RSI    equ 24
AT_R10    equ 32
AT_R8     equ 40
AT_R9     equ 48
AT_FLAGS  equ 56
AT_ODD    equ 64

section .text
; rdi: struct odd_call; esi: by SYSENTER, else by SYSCALL; edx: 0: with its flags; 1: with its stack pointer, behind a load of SS
odd_call:
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    mov rbx, rdi
    mov rbp, rsp
    mov r12d, esi
    mov r13d, edx
    mov r14d, ss
    mov rax, [rbx + AT_NUMBER]
    mov rdx, [rbx + AT_VALUE]
    mov rsi, [rbx + AT_RSI]
    mov rdi, [rbx + AT_RDI]
    mov r10, [rbx + AT_R10]
    mov r8, [rbx + AT_R8]
    mov r9, [rbx + AT_R9]
    test r12d, r12d
    jz .syscall
    lea rcx, [.sysenter_back]
    mov r11, [rbx + AT_ODD]
    shr r11, 32
    shl r11, 32
    or rcx, r11
    mov r11, [rbx + AT_ODD]
    push qword [rbx + AT_FLAGS]
    test r13d, r13d
    jnz .sysenter_ss
    popfq                       ; TF traps behind the next instruction
    sysenter
.sysenter_ss:
    popfq
    mov ss, r14d                ; and not behind this one
    sysenter
.sysenter_back:
    mov rdx, r11
    jmp .back
.syscall:
    test r13d, r13d
    jnz .syscall_stack
    push qword [rbx + AT_FLAGS]
    popfq
    syscall
    jmp .back
.syscall_stack:
    mov rsp, [rbx + AT_ODD]
    syscall
.back:
    mov rsp, rbp
    mov [rbx + AT_NUMBER], rax
    mov [rbx + AT_VALUE], rdx
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    ret

section .note.GNU-stack noalloc noexec nowrite progbits
