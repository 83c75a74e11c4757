; SPDX-License-Identifier: Apache-2.0
; The entry of every ring-3 program and of each of its threads: rdi = the thread's argument, rsp = the top of its stack. The
; first thread of
; root is started by the kernel with rsp = 0: no program can map a stack for it, so it uses the one here.
bits 64
default rel

extern thread_main
global _start

%include "calls.inc"            ; SYS_*
SYSCALL_VECTOR  equ 0x80
ROOT_STACK_BYTES equ 65536

section .text
_start:
    test rsp, rsp
    jnz .have_stack
    lea rsp, [first_stack_top]
.have_stack:
    and rsp, -16                ; the call below pushes 8: the System V ABI's alignment at a function's first instruction
    xor ebp, ebp                ; ends the chain of frames
    cld
    call thread_main
    mov eax, SYS_THREAD_EXIT
    int SYSCALL_VECTOR
    ud2                         ; thread_exit does not return

section .bss
alignb 16
first_stack:
    resb ROOT_STACK_BYTES
first_stack_top:

section .note.GNU-stack noalloc noexec nowrite progbits
