; SPDX-License-Identifier: Apache-2.0
; Entry of the 32-bit test guests: the Multiboot 1 header, a stack, interrupt stubs, and the call of guest_main(magic,
; information). A 64-bit guest (start64.asm) has its own.
bits 32

MAGIC equ 0x1badb002
FLAGS equ 3                     ; modules page-aligned, memory map wanted

section .multiboot
align 4
    dd MAGIC, FLAGS, -(MAGIC + FLAGS)

section .text
global _start
extern guest_main, guest_interrupt
_start:
    mov esp, stack_top
    push 0
    popfd
    push ebx
    push eax
    call guest_main
.halt:
    cli
    hlt
    jmp .halt

; One stub per vector, 16 bytes apart: some push an error code, the others a zero.
global guest_stubs
align 16
guest_stubs:
%assign v 0
%rep 256
    align 16
  %if v = 8 || (v >= 10 && v <= 14) || v = 17 || v = 21
  %else
    push 0
  %endif
    push v
    jmp to_handler
  %assign v v + 1
%endrep

to_handler:
    pushad
    push es
    push ds
    mov eax, 0x10
    mov ds, eax
    mov es, eax
    push esp
    cld
    call guest_interrupt
    add esp, 4
    pop ds
    pop es
    popad
    add esp, 8
    iretd

section .bss
align 16
    resb 16384
global stack_top
stack_top:
section .note.GNU-stack noalloc noexec nowrite progbits
