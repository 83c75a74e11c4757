; SPDX-License-Identifier: Apache-2.0
; A boot sector: says a line in real mode, in protected mode and in long mode, takes a software interrupt in each of the first
; two, and ends with code 21. Loaded at 0x7c00, entered in real mode.
org 0x7c00
bits 16

    jmp 0:start
start:
    cli
    xor ax, ax
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov sp, 0x7c00
    mov dx, 0x3f8 + 3
    mov al, 3                   ; 8N1
    out dx, al
    mov dl, 0xf8
    mov word [0x60 * 4], service
    mov word [0x60 * 4 + 2], 0
    mov si, real
    int 0x60
    lgdt [pointer]
    mov eax, cr0
    or al, 1
    mov cr0, eax
    jmp 8:protected

service:
    call print
    iret

; The same bytes mean the same in all three modes: prints the string at (e|r)si; dx = 0x3f8.
print:
    lodsb
    test al, al
    jz .end
    mov ah, al
.wait:
    add dl, 5
    in al, dx
    sub dl, 5
    test al, 0x20
    jz .wait
    mov al, ah
    out dx, al
    jmp short print
.end:
    ret

bits 32
protected:
    mov ax, 0x10
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov esp, 0x7c00
    movzx edx, dx
    lidt [interrupts]
    mov dword [0x500 + 0x60 * 8], 0x00080000 + service32
    mov dword [0x504 + 0x60 * 8], 0x00008e00
    mov esi, flat
    int 0x60
    mov edi, 0x1000             ; PML4, PDPT, PD at 0x1000, 0x2000, 0x3000
    xor eax, eax
    mov ecx, 3 * 1024
    rep stosd
    mov word [0x1000], 0x2003
    mov word [0x2000], 0x3003
    mov byte [0x3000], 0x83
    mov eax, cr4
    or al, 1 << 5
    mov cr4, eax
    mov eax, 0x1000
    mov cr3, eax
    mov ecx, 0xc0000080
    rdmsr
    or ah, 1
    wrmsr
    mov edx, 0x3f8
    mov eax, cr0
    bts eax, 31
    mov cr0, eax
    jmp 0x18:in_long

service32:
    call print
    iretd

bits 64
in_long:
    mov esi, wide
    call print
    mov al, 21
    out 0xf4, al
    hlt
    jmp in_long

align 8
gdt: dq 0, 0x00cf9a000000ffff, 0x00cf92000000ffff, 0x00af9a000000ffff
pointer:
    dw 31
    dd gdt
interrupts:
    dw 0x7ff
    dd 0x500
real: db "realmode: in real mode", 13, 10, 0
flat: db "realmode: in protected mode", 13, 10, 0
wide: db "realmode: in long mode, done", 13, 10, 0

    times 510 - ($ - $$) db 0
    dw 0xaa55
