; SPDX-License-Identifier: Apache-2.0
; What the benchmark guest must know to the instruction: an interrupt handler that takes the time first, and the way of a
; second CPU into long mode.
bits 64
default abs

section .text
global isr_stamp
extern stamp, eoi_ticks, stamps
isr_stamp:
    push rax
    push rdx
    rdtsc
    shl rdx, 32
    or rax, rdx
    mov [stamp], rax
    push rcx
    rdtsc
    mov [eoi_start], eax
    mov ecx, 0x80b              ; x2APIC end-of-interrupt (SDM vol. 3, table 11-6)
    xor eax, eax
    xor edx, edx
    wrmsr
    rdtsc
    sub eax, [eoi_start]
    mov [eoi_ticks], eax
    inc dword [stamps]
    pop rcx
    pop rdx
    pop rax
    iretq

; Begins each round of mode=loop, for the tracer (tests/bench/profile.py).
global loop_mark, loop_begin
loop_begin:
    xchg bx, bx                 ; Bochs' debugger stops here
    ret
loop_mark:
    ret

; The other CPU starts at 0x8000 in real mode. It uses the boot CPU's page tables and descriptor tables, whose pointers are
; filled in before.
AP_AT equ 0x8000
global ap_code, ap_code_end, ap_here
global ap_cr3, ap_gdtr, ap_idtr
%define at(x) (AP_AT + (x) - ap_code)
align 16
ap_code:
bits 16
    cli
    xor ax, ax
    mov ds, ax
    lgdt [at(ap_own_gdtr)]
    mov eax, cr0
    or eax, 1
    mov cr0, eax
    jmp dword 8:at(ap_32)
bits 32
ap_32:
    mov eax, 0x10
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov eax, cr4
    or eax, 1 << 5
    mov cr4, eax
    mov eax, [at(ap_cr3)]
    mov cr3, eax
    mov ecx, 0xc0000080
    rdmsr
    or eax, 1 << 8
    wrmsr
    mov eax, cr0
    or eax, 1 << 31
    mov cr0, eax
    jmp 0x18:at(ap_64)
bits 64
ap_64:
    lgdt [at(ap_gdtr)]
    lidt [at(ap_idtr)]
    mov rsp, ap_stack_end
    push 8
    mov rax, ap_run
    push rax
    retfq
align 8
ap_own_gdt: dq 0, 0x00cf9a000000ffff, 0x00cf92000000ffff, 0x00af9a000000ffff
ap_own_gdtr:
    dw 31
    dd at(ap_own_gdt)
align 8
ap_cr3:  dq 0
ap_gdtr: times 10 db 0
align 8
ap_idtr: times 10 db 0
ap_code_end:

; x2APIC on, then ready, then nothing but taking interrupts.
ap_run:
    mov ecx, 0x1b
    rdmsr
    or eax, 0xc00
    wrmsr
    mov ecx, 0x80f
    mov eax, 0x1ff
    xor edx, edx
    wrmsr
    mov dword [ap_here], 1
    sti
.spin:
    jmp .spin

section .bss
alignb 16
ap_stack: resb 4096
ap_stack_end:
eoi_start: resd 1
ap_here: resd 1
section .note.GNU-stack noalloc noexec nowrite progbits
