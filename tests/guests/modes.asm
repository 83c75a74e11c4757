; SPDX-License-Identifier: Apache-2.0
; A Multiboot guest that goes back to real mode and enters the boot sector of realmode.asm there: for loaders that know no boot
; sectors.
bits 32
MAGIC equ 0x1badb002

section .multiboot
align 4
header:
    dd MAGIC, 0, -MAGIC
section .text
global _start
_start:
    cli
    mov esi, sector
    mov edi, 0x7c00
    mov ecx, 128
    rep movsd
    mov esi, down
    mov edi, 0x6000
    mov ecx, down_end - down
    rep movsb
    lgdt [pointer]
    jmp 8:0x6000

; runs at 0x6000, 16-bit code segment
bits 16
down:
    mov ax, 0x10
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov fs, ax
    mov gs, ax
    mov eax, cr0
    and al, 0xfe
    mov cr0, eax
    jmp 0:0x6000 + (.real - down)
.real:
    xor ax, ax
    mov ds, ax
    lidt [cs:0x6000 + (.table - down)]
    jmp 0:0x7c00
.table:
    dw 0x3ff
    dd 0
down_end:

section .data
align 8
gdt: dq 0, 0x00009a000000ffff, 0x000092000000ffff
pointer:
    dw 23
    dd gdt
sector: incbin "realmode.bin"
section .note.GNU-stack noalloc noexec nowrite progbits
