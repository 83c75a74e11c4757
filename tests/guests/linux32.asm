; SPDX-License-Identifier: Apache-2.0
; A bzImage as a 32-bit Linux is one: no 64-bit entry. It checks what the boot protocol promises its 32-bit entry (Linux
; Documentation/arch/x86/boot.rst, "32-bit boot protocol"), says so, and ends with code 32, or with the number of the
; check that failed.
bits 16
org 0

BASE equ 0x100000               ; where the kernel wants to be

    times 0x1f1 db 0
    db 1                        ; setup_sects: the kernel is at 1024
    dw 0
    dd (end - kernel + 15) / 16 ; syssize
    times 0x1fe - ($ - $$) db 0
    dw 0xaa55
    jmp short header_end
    db "HdrS"
    dw 0x20f                    ; protocol 2.15
    times 0x211 - ($ - $$) db 0
    db 1                        ; LOADED_HIGH
    times 0x22c - ($ - $$) db 0
    dd 0x7fffffff               ; initrd_addr_max
    dd 0x1000                   ; kernel_alignment
    db 0, 0
    dw 0                        ; xloadflags: no 64-bit entry
    dd 255                      ; cmdline_size
    times 0x258 - ($ - $$) db 0
    dq BASE                     ; pref_address
    dd 0x2000                   ; init_size
header_end:
    times 1024 - ($ - $$) db 0

bits 32
kernel:
%define AT(label) (BASE + label - kernel)
    mov edx, 1
    mov eax, ebx
    or eax, ebp
    or eax, edi
    jnz failed                  ; EBX, EBP and EDI are 0
    inc edx
    mov ax, cs
    cmp ax, 0x10
    jne failed
    mov ax, ds
    cmp ax, 0x18
    jne failed
    inc edx
    cmp dword [esi + 0x202], "HdrS"
    jne failed
    inc edx
    cmp dword [esi + 0x214], BASE
    jne failed
    inc edx
    cmp byte [esi + 0x1e8], 2   ; e820 entries
    jb failed
    inc edx
    mov eax, [esi + 0x2d0 + 8]  ; the first is base memory, and the BIOS data area agrees
    shr eax, 10
    cmp ax, [0x413]
    jne failed
    inc edx
    mov ebx, [esi + 0x228]
    cmp dword [ebx], "thir"
    jne failed
    mov esp, BASE + 0x2000
    mov ecx, AT(good)
    mov bl, 32
    jmp say
failed:
    mov ecx, AT(bad)
    mov bl, dl
say:
    mov dx, 0x3f8 + 5
    in al, dx
    test al, 0x20
    jz say
    mov al, [ecx]
    inc ecx
    test al, al
    jz .end
    mov dx, 0x3f8
    out dx, al
    jmp say
.end:
    mov al, bl
    out 0xf4, al
    hlt
    jmp .end
good: db "linux32: entered in protected mode, all as the boot protocol says", 13, 10, 0
bad: db "linux32: FAILED", 13, 10, 0
    align 512, db 0
end:
