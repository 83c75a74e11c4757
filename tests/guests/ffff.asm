; SPDX-License-Identifier: Apache-2.0
; A boot sector that says a line and jumps to where an 8086 begins, as old programs reset a PC.
org 0x7c00
bits 16

    jmp 0:start
start:
    xor ax, ax
    mov ds, ax
    mov dx, 0x3f8 + 3
    mov al, 3                   ; 8N1
    out dx, al
    mov si, line
.next:
    mov dx, 0x3f8 + 5
.wait:
    in al, dx
    test al, 0x20
    jz .wait
    lodsb
    test al, al
    jz .end
    mov dx, 0x3f8
    out dx, al
    jmp .next
.end:
    jmp 0xf000:0xfff0
line: db "ffff: jumping to the reset entry", 13, 10, 0

    times 510 - ($ - $$) db 0
    dw 0xaa55
