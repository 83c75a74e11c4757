; SPDX-License-Identifier: Apache-2.0
; From the boot loader's 32-bit protected mode to 64-bit C.
;
; Promises: boot_main(magic, info) is called on boot_stack with interrupts off, paging on, physical memory 0-4 GiB mapped one to one and
; the kernel at its linked address. The tables made here are used only until mm/hostmap.c has built the real ones.
; Multiboot 1: Multiboot Specification 0.6.96, 3.1; Multiboot 2: Multiboot2 Specification 2.0, 3.1.

KERNEL_BASE equ 0xffffffff80000000

%include "arch/x86_64/nx.inc"
section .multiboot progbits alloc noexec nowrite align=8
align 8
multiboot2_header:
    dd 0xe85250d6, 0, multiboot2_end - multiboot2_header
    dd 0x100000000 - (0xe85250d6 + 0 + (multiboot2_end - multiboot2_header))
    dw 6, 0                     ; modules on page boundaries
    dd 8
    dw 5, 1                     ; optional: a screen of 1024 x 768 pixels in 32 bits, or what is near; UEFI loaders give none unasked
    dd 20, 1024, 768, 32
align 8, db 0
    dw 4, 1                     ; optional: VGA text is as welcome (2), no screen at all is not refused
    dd 12, 2
align 8, db 0
    dw 0, 0
    dd 8
multiboot2_end:
align 4
multiboot1_header:
    dd 0x1badb002, 0x00000003, 0x100000000 - (0x1badb002 + 0x00000003) ; modules on page boundaries, memory information

section .boot progbits alloc exec nowrite align=16
bits 32
global boot_entry
boot_entry:
    cli
    cld
    mov esp, early_stack_end
    mov ebp, eax                ; magic
    mov esi, ebx                ; information

    ; CPUID there, long mode there?
    pushfd
    pop eax
    mov ecx, eax
    xor eax, 1 << 21
    push eax
    popfd
    pushfd
    pop eax
    cmp eax, ecx
    je no_long_mode
    mov eax, 0x80000000
    cpuid
    cmp eax, 0x80000001
    jb no_long_mode
    mov eax, 0x80000001
    cpuid
    bt edx, 29                  ; LM
    jnc no_long_mode

    ; PML4[0] and PML4[511] -> low 4 GiB in 2 MiB pages; the kernel's half shares the first directory.
    mov edi, boot_pml4
    xor eax, eax
    mov ecx, 7 * 1024
    rep stosd
    mov dword [boot_pml4], boot_pdpt_low + 3
    mov dword [boot_pml4 + 511 * 8], boot_pdpt_high + 3
    mov eax, boot_pd + 3
    mov dword [boot_pdpt_high + 510 * 8], eax
    mov edi, boot_pdpt_low
    mov ecx, 4
.pdpt:
    mov [edi], eax
    add eax, 4096
    add edi, 8
    loop .pdpt
    mov edi, boot_pd
    mov eax, 0x83               ; present, writable, 2 MiB
    mov ecx, 4 * 512
.pd:
    mov [edi], eax
    add eax, 0x200000
    add edi, 8
    loop .pd

    mov eax, 1 << 5             ; PAE, and nothing that firmware has left on (LA57, CET, PCIDE)
    mov cr4, eax
    find_nx                     ; hostmap_init looks whether they are there
    mov eax, boot_pml4
    mov cr3, eax
    mov ecx, 0xc0000080         ; EFER
    rdmsr
    or eax, 1 << 8              ; LME
    wrmsr
    mov eax, cr0
    or eax, 1 << 31 | 1 << 16   ; PG, WP
    mov cr0, eax
    lgdt [boot_gdt_pointer]
    jmp 8:.long
bits 64
.long:
    mov ax, 16
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov fs, ax
    mov gs, ax
    extern boot_main
    mov rsp, boot_stack_end
    mov edi, ebp
    mov esi, esi
    xor ebp, ebp
    mov rax, boot_main
    call rax
.stop:
    hlt
    jmp .stop

bits 32
no_long_mode:                   ; the oldest PC output there is: COM1 and the text screen
    mov esi, no_long_mode_text
    mov edi, 0xb8000
.next:
    lodsb
    test al, al
    jz .halt
    mov ah, 0x4f
    mov [edi], ax
    add edi, 2
    mov bl, al
    mov dx, 0x3fd
    mov ecx, 100000
.wait:
    in al, dx
    test al, 0x20
    jnz .send
    loop .wait
.send:
    mov dx, 0x3f8
    mov al, bl
    out dx, al
    jmp .next
.halt:
    hlt
    jmp .halt

section .boot.data progbits alloc noexec write align=16
no_long_mode_text: db "mullion: this CPU has no 64-bit mode; Mullion needs a 64-bit CPU with VT-x or AMD-V", 13, 10, 0
align 16
boot_gdt:
    dq 0
    dq 0x00af9b000000ffff       ; 64-bit code
    dq 0x00cf93000000ffff       ; data
boot_gdt_pointer:
    dw 23
    dq boot_gdt
align 4096
boot_pml4:     times 4096 db 0
boot_pdpt_low: times 4096 db 0
global boot_pdpt_high
boot_pdpt_high: times 4096 db 0
boot_pd:       times 4 * 4096 db 0
early_stack:   times 256 db 0
early_stack_end:

section .bss nobits alloc noexec write align=16
boot_stack:    resb 16384       ; until the boot CPU's area exists
boot_stack_end:
