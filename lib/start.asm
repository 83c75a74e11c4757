; SPDX-License-Identifier: Apache-2.0
; The entry of every ring-3 program and of each of its threads: rdi = the thread's argument, rsi = the machine's way of system calls (enum call_way),
; rsp = the top of its stack. The first thread of root is started by the kernel with rsp = 0: no program can map a stack for it, so it uses the one
; here.
bits 64
default rel

extern thread_main
global _start, call_way, call_by_interrupt, call_by_sysenter, call_by_syscall

%include "calls.inc"            ; SYS_*
SYSCALL_VECTOR  equ 0x80
ROOT_STACK_BYTES equ 65536

section .text
_start:
    test rsp, rsp
    jnz .have_stack
    lea rsp, [first_stack_top]
.have_stack:
    lea rax, [call_ways]
    mov rax, [rax + rsi * 8]
    mov [call_way], rax         ; each thread writes the same
    and rsp, -16                ; the call below pushes 8: the System V ABI's alignment at a function's first instruction
    xor ebp, ebp                ; ends the chain of frames
    cld
    call thread_main
    mov eax, SYS_THREAD_EXIT
    int SYSCALL_VECTOR
    ud2                         ; thread_exit does not return

; The ways in: all registers as the call has them (mullion/abi.h); rcx and r11 are theirs.
call_by_interrupt:
    int SYSCALL_VECTOR
    ret
call_by_sysenter:
    mov r11, rsp
    lea rcx, [.back]
    sysenter
.back:
    mov rdx, r11                ; SYSEXIT needs rdx for itself
    ret
call_by_syscall:
    syscall
    ret

section .rodata
align 8
call_ways:
    dq call_by_interrupt, call_by_sysenter, call_by_syscall

section .bss
alignb 16
first_stack:
    resb ROOT_STACK_BYTES
first_stack_top:
call_way:
    resq 1

section .note.GNU-stack noalloc noexec nowrite progbits
