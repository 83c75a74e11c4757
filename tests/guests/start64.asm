; SPDX-License-Identifier: Apache-2.0
; Entry of the 64-bit test guests: a Multiboot 1 header in an ELF64 file. The loader enters in 32-bit protected mode (the
; specification knows nothing else); this goes on to long mode with the first 4 GiB mapped one to one in 2 MiB pages, then calls
; guest_main.

MAGIC equ 0x1badb002
FLAGS equ 3

section .multiboot
align 4
    dd MAGIC, FLAGS, -(MAGIC + FLAGS)

section .text
global _start
extern guest_main, guest_interrupt
bits 32
_start:
    mov esp, stack_top
    mov esi, eax
    mov ebp, ebx
    mov edi, pml4
    xor eax, eax
    mov ecx, 6 * 1024
    rep stosd
    mov dword [pml4], pdpt + 3
    mov ecx, 4
.directories:
    mov eax, ecx
    shl eax, 12
    add eax, pd - 4096 + 3
    mov [pdpt - 8 + ecx * 8], eax
    loop .directories
    mov ecx, 2048
.pages:
    mov eax, ecx
    dec eax
    shl eax, 21
    or eax, 0x83
    mov [pd - 8 + ecx * 8], eax
    loop .pages
    mov eax, cr4
    or eax, 1 << 5              ; PAE
    mov cr4, eax
    mov eax, pml4
    mov cr3, eax
    mov ecx, 0xc0000080         ; EFER
    rdmsr
    or eax, 1 << 8              ; LME
    wrmsr
    mov eax, cr0
    or eax, 1 << 31
    mov cr0, eax
    lgdt [pointer]
    jmp 8:in_long

bits 64
in_long:
    mov eax, 0x10
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov edi, esi
    mov esi, ebp
    call guest_main
.halt:
    cli
    hlt
    jmp .halt

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
    push rax
    push rbx
    push rcx
    push rdx
    push rsi
    push rdi
    push rbp
    push r8
    push r9
    push r10
    push r11
    push r12
    push r13
    push r14
    push r15
    mov rdi, rsp
    cld
    call guest_interrupt
    pop r15
    pop r14
    pop r13
    pop r12
    pop r11
    pop r10
    pop r9
    pop r8
    pop rbp
    pop rdi
    pop rsi
    pop rdx
    pop rcx
    pop rbx
    pop rax
    add rsp, 16
    iretq

section .data
align 8
gdt: dq 0, 0x00af9a000000ffff, 0x00cf92000000ffff
pointer:
    dw 23
    dd gdt
section .bss
align 4096
pml4: resb 4096
pdpt: resb 4096
pd:   resb 4 * 4096
    resb 16384
global stack_top
stack_top:
section .note.GNU-stack noalloc noexec nowrite progbits
