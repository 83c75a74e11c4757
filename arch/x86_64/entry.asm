; SPDX-License-Identifier: Apache-2.0
; Entries into ring 0 through the IDT, and the way back to ring 3.
;
; From ring 3 the CPU pushes straight into the thread (RSP0 = end of the frame at its head); the stub pushes the rest, takes the CPU's kernel
; stack, which struct thread names right behind the frame, and never returns here: C ends in user_resume. From ring 0 (idle loop, interrupt
; window, faults of our own, NMI) the frame is on the stack and the stub returns.
section .text
bits 64

FRAME_SIZE   equ 176
FRAME_PUSHED equ 17 * 8         ; by software: the registers, vector and error code
FRAME_CS     equ 18 * 8
THREAD_STACK equ FRAME_SIZE     ; asserted in kernel/thread.c
%include "calls.inc"            ; SYS_*

extern trap_from_user, trap_from_kernel, irq_dispatch, syscall_entry, vcpu_run_call
global user_resume, trap_stubs, syscall_stub

%define EVERY_REGISTER rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
%macro push_each 1-*
%rep %0
    push %1
%rotate 1
%endrep
%endmacro
%macro pop_each 1-*             ; the last one first
%rep %0
%rotate -1
    pop %1
%endrep
%endmacro
; RFLAGS as C expects them, whatever ring 3 had: AC clear above all, or SMAP is off; DF clear. Needs a stack.
%macro own_flags 0
    push qword 2
    popfq
%endmacro
align 16
trap_common:
    push_each EVERY_REGISTER
    mov rdi, rsp
    test byte [rdi + FRAME_CS], 3
    jz .kernel
    cmp dword [rdi + 15 * 8], 2     ; NMI, #DF and #MC have stacks of their own: the frame is not in a thread
    je .kernel
    cmp dword [rdi + 15 * 8], 8
    je .kernel
    cmp dword [rdi + 15 * 8], 18
    je .kernel
    mov rsp, [rdi + THREAD_STACK]
    own_flags
    xor ebp, ebp
    call trap_from_user
    ud2
.kernel:
    mov rbp, rsp
    and rsp, -16
    own_flags
    call trap_from_kernel
    mov rsp, rbp
    pop_each EVERY_REGISTER
    add rsp, 16
    iretq

; An interrupt. In ring 0 it comes only where C lets it in, with nothing in its registers (irq_window, irq_wait): only RBP is kept.
align 16
irq_common:
    test byte [rsp + 3 * 8], 3      ; CS
    jnz trap_common
    mov edi, [rsp]
    call irq_dispatch
    add rsp, 16
    iretq

; vcpu_run keeps what a C function keeps; the thread's other registers become what they were at an earlier entry.
align 16
syscall_stub:
    cmp rax, SYS_VCPU_RUN
    jne .any
    lea rdi, [rsp - FRAME_PUSHED]
    mov [rdi], r15
    mov [rdi + 1 * 8], r14
    mov [rdi + 2 * 8], r13
    mov [rdi + 3 * 8], r12
    mov [rdi + 8 * 8], rbp
    mov [rdi + 13 * 8], rbx
    mov rsp, [rdi + THREAD_STACK]
    own_flags
    xor ebp, ebp
    call vcpu_run_call
    ud2
.any:
    push qword 0
    push qword 0x80
    push_each EVERY_REGISTER
    mov rdi, rsp
    mov rsp, [rdi + THREAD_STACK]
    own_flags
    xor ebp, ebp
    call syscall_entry
    ud2

align 16
user_resume:
    mov rsp, rdi
    pop_each EVERY_REGISTER
    add rsp, 16
    iretq

; One stub per vector, 16 bytes each. Vectors 8, 10-14, 17, 21, 29, 30 push an error code (Intel SDM vol. 3, 6.3.1; AMD APM vol. 2, 8.2).
align 16
trap_stubs:
%assign v 0
%rep 256
    align 16
%if v < 32
%define target trap_common
%else
%define target irq_common
%endif
%if v == 8 || (v >= 10 && v <= 14) || v == 17 || v == 21 || v == 29 || v == 30
%else
    push qword 0
%endif
    push qword v
    jmp %[target]
%assign v v + 1
%endrep
