; SPDX-License-Identifier: Apache-2.0
; Where another CPU begins: real mode, on a page below 1 MiB that smp.c has copied this to. Straight into long mode, then to C.
%include "arch/x86_64/nx.inc"
section .rodata
global trampoline_start, trampoline_end, trampoline_data

align 16
bits 16
trampoline_start:
    cli
    cld
    mov ax, cs
    mov ds, ax
    mov eax, 1 << 5                     ; CR4.PAE
    mov cr4, eax
    mov eax, [data.cr3 - trampoline_start]
    mov cr3, eax
    find_nx
    jnc .none                           ; the boot CPU says that this one does not answer
    mov ecx, 0xc0000080                 ; EFER.LME, EFER.NXE: the kernel's tables use NX
    rdmsr
    or eax, 1 << 8 | 1 << 11
    wrmsr
    lgdt [data.gdt_pointer - trampoline_start]
    mov eax, 1 << 31 | 1 << 16 | 1      ; PG, WP, PE at once: real mode to long mode (AMD APM vol. 2, 14.6.1)
    mov cr0, eax
    push dword 8
    push dword [data.long - trampoline_start]
    o32 retf
.none:
    hlt
    jmp .none
bits 64
long_mode:
    mov ax, 16
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov rsp, [rel data.stack]
    mov rax, [rel data.entry]
    xor ebp, ebp
    call rax
.stop:
    hlt
    jmp .stop

align 16
trampoline_data:
data:                                   ; struct trampoline_data in smp.c
.cr3:   dq 0
.stack: dq 0
.entry: dq 0
.long:  dd long_mode - trampoline_start ; + the page's address
.gdt_pointer:
        dw 23
        dd .gdt - trampoline_start      ; + the page's address
        dw 0
        dd 0
.gdt:   dq 0
        dq 0x00af9b000000ffff
        dq 0x00cf93000000ffff
trampoline_end:
